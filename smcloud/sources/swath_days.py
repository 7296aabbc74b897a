"""Means of swaths by cell as fields of UTC days, and several files of a day merged into one."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from smcloud.cube.schema import CubeSchema, Days
from smcloud.grids.grid import Grid, Window
from smcloud.grids.tiles import TileYear
from smcloud.sources.base import coordinates, steps_dataset
from smcloud.sources.coarse_files import CoarseFiles, days_in
from smcloud.sources.day_files import lazy
from smcloud.sources.swath_cells import (
    DIRECTIONS,
    FREQUENCIES,
    POLARISATIONS,
    TIMED,
    CellMeans,
    Floats32,
    Indices,
    brightness_name,
    count_name,
    hour_name,
)

HOUR = len(POLARISATIONS)
"""Column of the hour in the means of a frequency."""
LEAST_FOOTPRINTS = 3
"""A cell of 25 km holds six footprints at a spacing of 10 km: half of them must be there."""
BYTES_A_CELL = 110
"""Of an open file: ten channels, five hours, counts and indices of a cell."""
CELLS_OF_AN_ORBIT = 60_000
"""Of 25 km north of the equator, both halves of an orbit together."""
_UNIT = {"units": "1"}
FrequencyMeans = Mapping[str, Mapping[tuple[np.datetime64, str], CellMeans]]
"""By frequency, what `swath_cells.swath_means` gives."""


class SwathFiles(CoarseFiles):
    """A reader of files that hold an orbit of a radiometer, or half of one."""

    def kept_bytes(self, granules: int, quality: str) -> int:
        """Return the bytes that so many open files keep: the means of an orbit's cells at most."""
        del quality
        return granules * BYTES_A_CELL * CELLS_OF_AN_ORBIT

    def steps(
        self, datasets: Sequence[xr.Dataset], key: TileYear, *, within: Window | None = None
    ) -> xr.Dataset:
        """Return the days of the key's year, the mean over the footprints of all files of a day.

        The window is the whole grid, or `within`.
        """
        return merged_days(datasets, self.schema, key.year, within or self.schema.on.window)


class _CellLayer(BackendArray):
    """Values by day of some cells as (days, rows, cols) of a window, filled in when indexed."""

    def __init__(
        self,
        days: Sequence[tuple[Indices, NDArray[Any]] | None],
        window: Window,
        cols: int,
        dtype: type[np.generic],
    ) -> None:
        self._days, self._window, self._cols = tuple(days), window, cols
        self.shape = (len(self._days), *window.shape)
        self.dtype = np.dtype(dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Return the values of an index; xarray brings any to slices and integers."""
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._basic
        )

    def _basic(self, key: tuple[int | slice, ...]) -> Any:
        """Return the values of slices, and of integers, which drop their axis."""
        day, *axes = key
        rows, cols = (
            range(size)[axis] if isinstance(axis, slice) else range(axis, axis + 1)
            for axis, size in zip(axes, self._window.shape, strict=True)
        )
        chosen = self._days[day] if isinstance(day, slice) else (self._days[day],)
        fields = np.empty((len(chosen), len(rows), len(cols)), self.dtype)
        for number, one in enumerate(chosen):
            fields[number] = self._field(one, rows, cols)
        dropped = (slice(None) if isinstance(axis, slice) else 0 for axis in (day, *axes))
        return fields[tuple(dropped)]

    def _field(self, one: tuple[Indices, NDArray[Any]] | None, rows: range, cols: range) -> Any:
        """Return one day over some rows and columns of the window, in steps of one."""
        nothing = np.nan if self.dtype.kind == "f" else 0
        field = np.full((len(rows), len(cols)), nothing, self.dtype)
        if one is not None and field.size:
            row, col = np.divmod(one[0], self._cols)
            row, col = row - self._window.row0 - rows.start, col - self._window.col0 - cols.start
            inside = (row >= 0) & (row < len(rows)) & (col >= 0) & (col < len(cols))
            field[row[inside], col[inside]] = one[1][inside]
        return field


def swath_dataset(grid: Grid, found: FrequencyMeans, source: str, name: str) -> xr.Dataset:
    """Return the means of a file as fields (time, y, x) over the window of its cells.

    Brightness temperatures (K, NaN without a footprint) as `brightness_name`, the UTC hour of the
    overpass as ``hour_asc``, and the number of footprints of each frequency and direction as
    ``footprints_18_asc``; one step for each UTC day.
    """
    days = np.array(sorted({day for means in found.values() for day, _ in means}), "datetime64[D]")
    window = _window_of(grid, [one.cells for means in found.values() for one in means.values()])
    fields = {}
    for frequency in FREQUENCIES:
        for direction in DIRECTIONS:
            held = [found.get(frequency, {}).get((day, direction)) for day in days]
            counts = [(one.cells, one.counts) if one else None for one in held]
            layer = _CellLayer(counts, window, grid.cols, np.uint16)
            fields[count_name(frequency, direction)] = lazy(layer, ("time", *grid.dims), _UNIT)
            for number, polarisation in enumerate(POLARISATIONS):
                means = [(one.cells, one.means[:, number]) if one else None for one in held]
                layer = _CellLayer(means, window, grid.cols, np.float32)
                own = brightness_name(frequency, polarisation, direction)
                fields[own] = lazy(layer, ("time", *grid.dims), {"units": "K"})
            if frequency == TIMED:
                when = [(one.cells, one.means[:, HOUR]) if one else None for one in held]
                layer = _CellLayer(when, window, grid.cols, np.float32)
                fields[hour_name(direction)] = lazy(layer, ("time", *grid.dims), {"units": "h"})
    return xr.Dataset(
        fields, coords=coordinates(days, grid, window), attrs={"source": source, "file": name}
    )


def _window_of(grid: Grid, cells: Sequence[Indices]) -> Window:
    """Return the window that holds all cells; an empty one without any."""
    every = np.concatenate([*cells, np.array([], np.int64)])
    if every.size == 0:
        return Window(0, 0, 0, 0)
    rows, cols = np.divmod(every, grid.cols)
    return Window(int(rows.min()), int(rows.max()) + 1, int(cols.min()), int(cols.max()) + 1)


def merged_days(
    datasets: Sequence[xr.Dataset], schema: CubeSchema, year: int | None, window: Window
) -> xr.Dataset:
    """Return days of a year over a window: the mean over the footprints of all swaths of a day.

    A cell with fewer than `LEAST_FOOTPRINTS` is unknown.

    Parameters
    ----------
    datasets
        As `swath_dataset` gives, one a file.
    schema
        Of the cube, whose variables are named by `brightness_name`.
    year, window
        What is wanted.
    """
    days = days_in([dataset["time"].values for dataset in datasets], year)
    placed = [_Placed(dataset, schema.on, days, window) for dataset in datasets]
    fields: dict[str, Floats32] = {}
    for direction in DIRECTIONS:
        for frequency in FREQUENCIES:
            names = [brightness_name(frequency, one, direction) for one in POLARISATIONS]
            names += [hour_name(direction)] if frequency == TIMED else []
            shape = len(days), *window.shape
            fields |= dict(_means(placed, names, count_name(frequency, direction), shape))
    return steps_dataset(schema, fields, days, window)


class _Placed:
    """Where a file's fields lie in the days and the window that are wanted."""

    def __init__(self, dataset: xr.Dataset, grid: Grid, days: Days, window: Window) -> None:
        self.dataset = dataset
        rows, cols = grid.dims
        first_row, first_col = (
            round(float((axis[0] - first) * sign / grid.step)) if axis.size else 0
            for axis, first, sign in (
                (dataset[rows].values, grid.y_first, -1.0),
                (dataset[cols].values, grid.x_first, 1.0),
            )
        )
        shape = dataset.sizes[rows], dataset.sizes[cols]
        own = Window(first_row, first_row + shape[0], first_col, first_col + shape[1])
        self.inside = own.intersect(window)
        if self.inside is not None:
            self.theirs = dict(zip(grid.dims, self.inside.within(own), strict=True))
            self.ours = self.inside.within(window)
        stamps = dataset["time"].values.astype("datetime64[D]")
        at = np.searchsorted(days, stamps)
        self.steps = [
            (number, int(step))
            for number, step in enumerate(at)
            if step < days.size and days[step] == stamps[number]
        ]

    def fields(self, name: str) -> list[tuple[int, NDArray[Any]]]:
        """Return (step, field) of each wanted day over what lies in the window."""
        if self.inside is None:
            return []
        part = self.dataset.variables[name].isel(self.theirs)
        return [(step, part.isel(time=number).values) for number, step in self.steps]


def _means(
    placed: Sequence[_Placed], names: Sequence[str], count_name: str, shape: tuple[int, ...]
) -> Iterator[tuple[str, Floats32]]:
    """Yield name and mean over all footprints (days, rows, cols); NaN where there are too few."""
    counts = np.zeros(shape, np.int64)
    totals = {name: np.zeros(shape) for name in names}
    for one in placed:
        own_counts = one.fields(count_name)
        for step, own in own_counts:
            counts[step][one.ours] += own
        for name in names:
            for (step, means), (_, own) in zip(one.fields(name), own_counts, strict=True):
                totals[name][step][one.ours] += np.where(own > 0, means, np.float32(0)) * own
    for name in names:
        mean = np.full(shape, np.nan, np.float32)
        enough = counts >= LEAST_FOOTPRINTS
        np.divide(totals[name], counts, out=mean, where=enough, casting="same_kind")
        yield name, mean
