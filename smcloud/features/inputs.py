"""Reading what a block needs: stored integers of its land pixels, with their halos.

Nothing is converted here: a block's year of drivers stays in its stored types (2 bytes a value),
and features unpack a few days at a time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from smcloud.core.compiled import compiled
from smcloud.core.errors import NotFoundError, UserError
from smcloud.cube.schema import Array, CubeSchema, Variable
from smcloud.cube.sharded import Batch
from smcloud.cube.store import Cube, open_cube
from smcloud.features.composites import DayNumbers
from smcloud.features.spec import CubeSet, Days, Feature, Floats32
from smcloud.grids.grid import Grid, Window
from smcloud.grids.regrid import Weights
from smcloud.grids.tiles import tile_at, tile_window

Points = NDArray[np.intp]
Cells = tuple[str, str]
"""A coarse grid, and how its cells reach the points: ``bilinear`` or ``nearest``."""

OPTIONAL_LAYERS: Mapping[str, str] = {
    "terrain.upstream_area": "a raster of upstream area (MERIT Hydro's upa, say) with the terrain"
}
"""Layers that a cube has without being asked for, all unknown, and what would fill them."""


@dataclass(frozen=True)
class Part:
    """Stored values of consecutive steps from one store, and the packing found there."""

    first: int
    stored: Array
    variable: Variable


@dataclass(frozen=True)
class Series:
    """One variable of a block along time: (steps, cells), from one store a year.

    Attributes
    ----------
    bounds : (n + 1,) int64
        Day number of the first day of each step; the last is the end of the last step.
    parts : tuple of Part
        Steps without a part (years that were never ingested) are unknown.
    cells : int
        Land pixels of the block, or coarse cells.
    """

    bounds: DayNumbers
    parts: tuple[Part, ...]
    cells: int

    def physical(self, start: int, stop: int) -> Floats32:
        """Return the physical values of steps [start, stop), (stop - start, cells)."""
        for part in self.parts:
            if part.first <= start and stop <= part.first + len(part.stored):
                return unpacked(part.stored[start - part.first : stop - part.first], part.variable)
        values = np.full((stop - start, self.cells), np.nan, np.float32)
        for inside, stored, variable in self.pieces(start, stop):
            values[inside] = unpacked(stored, variable)
        return values

    def unknown(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Say which values of steps [start, stop) are unknown, (stop - start, cells)."""
        missing = np.ones((stop - start, self.cells), np.bool_)
        for inside, stored, variable in self.pieces(start, stop):
            if variable.fill is None:
                missing[inside] = np.isnan(stored) if stored.dtype.kind == "f" else False
            else:
                np.equal(stored, variable.fill, out=missing[inside])
        return missing

    def pieces(self, start: int, stop: int) -> Iterator[tuple[slice, Array, Variable]]:
        """Yield what is stored of steps [start, stop): where it lies in them, values, packing."""
        for part in self.parts:
            low, high = max(start, part.first), min(stop, part.first + len(part.stored))
            if low < high:
                stored = part.stored[low - part.first : high - part.first]
                yield slice(low - start, high - start), stored, part.variable

    def step_of(self, day: int) -> int:
        """Return the index of the step that holds a day number."""
        return int(np.searchsorted(self.bounds, day, side="right")) - 1


@dataclass(frozen=True)
class BlockInputs:
    """Everything that features of one block and its days are computed from.

    Attributes
    ----------
    window : Window
        The block, in global pixels.
    days : datetime64[D] (n_days,)
        Consecutive days.
    points : (n_points,)
        Flat indices of the land pixels within the window, ascending.
    series : mapping
        ``source.variable`` to its values along time.
    static : mapping
        (``source.variable``, halo pixels) to physical values (n_points,), or
        (rows + 2 h, cols + 2 h) with a halo.
    coarse : mapping
        Grid and way to the weights from its cells to the points.
    """

    window: Window
    days: Days
    points: Points
    series: Mapping[str, Series]
    static: Mapping[tuple[str, int], Floats32]
    coarse: Mapping[Cells, Weights]
    computed: dict[Feature, Floats32] = field(default_factory=dict, repr=False, compare=False)
    """Static features (n_points,) and those of coarse cells (n_days, cells), filled by the first
    computation that needs them: all slabs of days share them."""

    @property
    def first_day(self) -> int:
        """Return the day number of the first day."""
        return int(self.days[0].astype(np.int64))

    @property
    def nbytes(self) -> int:
        """Return the bytes held."""
        stored = sum(p.stored.nbytes for series in self.series.values() for p in series.parts)
        weights = sum(weights.nbytes for weights in self.coarse.values())
        return stored + sum(values.nbytes for values in self.static.values()) + weights


def unpacked(stored: Array, variable: Variable) -> Floats32:
    """Return what `Variable.unpack` returns, in one pass without branches.

    The fill mask of clouds is noise, on which masked assignment spends four times as long.
    """
    if stored.dtype.kind not in "iu" or variable.fill is None:
        return variable.unpack(stored)
    values = np.empty(stored.shape, np.float32)
    flat = native(stored).reshape(-1)
    _unpack(flat, float(variable.scale), float(variable.offset), variable.fill, values.reshape(-1))
    return values


@compiled
def _unpack(stored: Array, scale: float, offset: float, fill: int, out: Floats32) -> None:
    """Write physical values of integers (n,): computed in double and rounded once."""
    unknown = np.float32(np.nan)
    for index in range(stored.size):
        value = np.float32(stored[index] * scale + offset)
        out[index] = unknown if stored[index] == fill else value


def is_small(stored: Array) -> bool:
    """Say whether stored values are integers of 1 or 2 bytes, which a table can unpack."""
    return stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2


def native(stored: Array) -> Array:
    """Return stored values C-contiguous and in the machine's byte order, copied only if need be."""
    return np.ascontiguousarray(stored, stored.dtype.newbyteorder("="))


@dataclass(frozen=True)
class Request:
    """Which steps and cells of one source a block needs.

    Attributes
    ----------
    schema : CubeSchema
    cubes : CubeSet
    days : (first, last)
        Day numbers that are asked for; their stores and objects must exist.
    reach : (first, last)
        Day numbers with halos; what lies beyond `days` is unknown where it was never ingested.
    window : Window
        Pixels, or cells of the coarse grid (columns may pass the seam of longitude).
    points : (n,) or None
        Flat indices to keep; None keeps all.
    """

    schema: CubeSchema
    cubes: CubeSet
    days: tuple[int, int]
    reach: tuple[int, int]
    window: Window
    points: Points | None

    def series(self, name: str, batch: Batch) -> Series:
        """Return one variable along time, whose values are there once `batch` is completed."""
        parts: list[Part] = []
        bounds: list[DayNumbers] = []
        first = 0
        for year, steps, year_bounds in self._years():
            part = self._read(name, year, steps, year_bounds, first, batch)
            parts += [part] if part else []
            bounds.append(year_bounds[:-1])
            first += steps.stop - steps.start
        cells = self.window.shape[0] * self.window.shape[1]
        return Series(
            np.concatenate([*bounds, year_bounds[-1:]]),
            tuple(parts),
            cells if self.points is None else len(self.points),
        )

    def _years(self) -> Iterator[tuple[int, slice, DayNumbers]]:
        """Yield each year with the steps that meet the reach and their bounds."""
        for year in range(_year_of(self.reach[0]), _year_of(self.reach[1]) + 1):
            starts = self.schema.times(year).astype(np.int64)
            end = np.datetime64(f"{year + 1:04d}-01-01", "D").astype(np.int64)
            bounds = np.append(starts, end)
            first = max(0, int(np.searchsorted(bounds, self.reach[0], side="right")) - 1)
            stop = min(len(starts), int(np.searchsorted(bounds, self.reach[1], side="right")))
            yield year, slice(first, stop), bounds[first : stop + 1]

    def _read(
        self, name: str, year: int, steps: slice, bounds: DayNumbers, first: int, batch: Batch
    ) -> Part | None:
        wanted = np.flatnonzero((bounds[1:] > self.days[0]) & (bounds[:-1] <= self.days[1]))
        try:
            cube = open_cube(self.cubes.url(self.schema.name, year), self.schema, year)
        except NotFoundError:
            if wanted.size:
                raise
            return None
        windows = unwrapped_windows(self.window, self.schema.on)
        if wanted.size:
            must = slice(steps.start + wanted[0], steps.start + wanted[-1] + 1)
            for window in windows:
                _require(cube, name, must, window, batch)
        stored = self._stored(cube, name, steps, windows, batch)
        return Part(first, stored, cube.variables[name])

    def _stored(
        self, cube: Cube, name: str, steps: slice, windows: list[Window], batch: Batch
    ) -> Array:
        """Return stored values (steps, cells) of windows that lie side by side."""
        if self.points is not None:
            (window,) = windows
            return cube.read_points(name, steps, window, self.points, required=False, batch=batch)
        n_steps = steps.stop - steps.start
        whole = np.empty((n_steps, *self.window.shape), cube.variables[name].dtype)
        first = 0
        for window in windows:
            side = whole[..., first : first + window.shape[1]]
            cube.read(name, steps, window, required=False, out=side, batch=batch)
            first += window.shape[1]
        return whole.reshape(n_steps, -1)

    def static(self, name: str, halo: int, batch: Batch) -> Part:
        """Return a static variable at the points, or around the window with a halo of pixels.

        Its values are there once `batch` is completed.

        Raises
        ------
        UserError
            If it is an optional layer that was never ingested: a column of nothing but NaN would
            train and produce without a word.
        """
        url = self.cubes.url(self.schema.name, None)
        cube = open_cube(url, self.schema, None)
        _require(cube, name, slice(0, 0), self.window, batch)
        layer, tile = f"{self.schema.name}.{name}", tile_at(self.window.row0, self.window.col0)
        if layer in OPTIONAL_LAYERS and _is_absent(url, self.schema, name, tile):
            raise UserError(
                f"{layer} is unknown everywhere in tile {tile} of {url}: ingest "
                f"{OPTIONAL_LAYERS[layer]}, or leave the features that need it out"
            )
        if halo or self.points is None:
            wide = widened(self.window, halo)
            stored = cube.read(name, slice(0, 0), wide, required=False, batch=batch)
        else:
            stored = cube.read_points(
                name, slice(0, 0), self.window, self.points, required=False, batch=batch
            )
        return Part(0, stored, cube.variables[name])


@lru_cache(maxsize=32)
def _is_absent(url: str, schema: CubeSchema, name: str, tile: str) -> bool:
    """Say whether a static layer is unknown in a whole tile: its files were not ingested."""
    cube = open_cube(url, schema, None)
    values = cube.read_physical(name, slice(0, 0), tile_window(schema.on, tile), required=False)
    return bool(np.isnan(values).all())


def _require(cube: Cube, name: str, steps: slice, window: Window, batch: Batch) -> None:
    inside = window.intersect(cube.window)
    if inside is not None:
        cube.require(name, steps, inside, batch)


def _year_of(day: int) -> int:
    return int(np.datetime64(day, "D").astype("datetime64[Y]").astype(np.int64)) + 1970


def widened(window: Window, pixels: int) -> Window:
    """Return a window with `pixels` more on each side; it may leave the grid."""
    return Window(
        window.row0 - pixels, window.row1 + pixels, window.col0 - pixels, window.col1 + pixels
    )


def unwrapped_windows(window: Window, grid: Grid) -> list[Window]:
    """Return the pieces of a window whose columns pass the seam of longitude, west to east."""
    if window.col1 <= grid.cols:
        return [window]
    if window.col0 >= grid.cols:
        shift = grid.cols
        return [Window(window.row0, window.row1, window.col0 - shift, window.col1 - shift)]
    return [
        Window(window.row0, window.row1, window.col0, grid.cols),
        Window(window.row0, window.row1, 0, window.col1 - grid.cols),
    ]


def lonlat_around(grid: Grid, window: Window, halo: int) -> tuple[Floats32, Floats32]:
    """Return longitude and latitude (degrees) of a window with a halo; NaN off the globe."""
    wide = widened(window, halo)
    lon = np.full(wide.shape, np.nan, np.float32)
    lat = np.full(wide.shape, np.nan, np.float32)
    inside = wide.intersect(grid.window)
    if inside is not None:
        target = inside.within(wide)
        lon[target], lat[target] = grid.lonlat(inside)
    return lon, lat
