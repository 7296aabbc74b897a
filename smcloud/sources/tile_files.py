"""The reader that every HDF-EOS tile product shares; what differs between products is data.

A product is a `TileSource` record: names, layers, quality words, a rule, a cube schema. Layers at
500 m come to the cube's 1 km as the mean of the known ones of the four pixels inside.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import xarray as xr

from smcloud.core.errors import ConfigError, GranuleError
from smcloud.cube.schema import CubeSchema
from smcloud.grids.grid import SIN1KM, TILE_PIXELS, Window
from smcloud.grids.regrid import block_mean
from smcloud.grids.tiles import TileYear, tile_window
from smcloud.sources.base import Granule, steps_dataset
from smcloud.sources.hdf_eos import (
    Array,
    Floats,
    GridFile,
    Layer,
    TileGrid,
    Word,
    check_product,
    every_code,
    open_grid_file,
    read_grid,
)
from smcloud.sources.packing import Coded, pack_means
from smcloud.sources.quality import ALL, Conditions, Fields, Rule, Words, check_rule, kept

MIN_FRACTION = 0.25
"""Of the four 500 m pixels inside a 1 km pixel, one known is enough."""


@dataclass(frozen=True)
class DayLayer:
    """A layer that says on which day of the year each pixel of a composite was seen."""

    layer: Word
    fill: int


@dataclass(frozen=True)
class _Tile:
    """An open file of the right product, and where it lies."""

    file: GridFile
    granule: Granule
    grid: TileGrid


@dataclass(frozen=True)
class TileSource:
    """Reader of one tile product.

    Attributes
    ----------
    name, title : str
    schema : CubeSchema
    short_name : str
        Product word in file names and metadata.
    collections : tuple of str
        Collections accepted.
    pattern : str
        Regular expression of file names with the groups start (YYYYJJJ), tile, collection and,
        where names have one, produced.
    grid_prefix : str
        How the name of the HDF-EOS grid begins.
    pixels : int
        Pixels across a tile of the files.
    days : int
        Length of the period of a file.
    layers : dict of cube variable to Layer
    words : dict of name to (Word, bit fields)
    keep : Rule
        Which pixels the quality words allow.
    quality_rules : tuple of str
    day_layer : DayLayer or None
    has_core_metadata : bool
        False where files may lack ``CoreMetadata.0``, so that the grid alone names the product.
    """

    name: str
    title: str
    schema: CubeSchema
    short_name: str
    collections: tuple[str, ...]
    pattern: str
    grid_prefix: str
    pixels: int
    days: int
    layers: dict[str, Layer]
    words: dict[str, tuple[Word, Fields]]
    keep: Rule
    quality_rules: tuple[str, ...]
    day_layer: DayLayer | None = None
    has_core_metadata: bool = True
    joins_granules: bool = False
    lookahead_days: int = 0

    def identify(self, name: str) -> Granule | None:
        """Return what a file name says, or None where it is not of this product."""
        found = re.fullmatch(self.pattern, name)
        if found is None:
            return None
        parts = found.groupdict()
        try:
            start = day_of_year(parts["start"])
            tile_window(SIN1KM, parts["tile"])
        except (ValueError, ConfigError):
            return None
        end = start + timedelta(days=self.days - 1)
        return Granule(self.name, parts["tile"], start, end, parts.get("produced") or "", name)

    def covers(self, granule: Granule, key: TileYear) -> bool:
        """Say whether a granule is of the key's tile."""
        return granule.tile == key.tile

    def read(self, path: Path, *, quality: str = "") -> xr.Dataset:
        """Return one tile file: dims (y, x) at its own resolution, see `Source.read`.

        Beside the cube's variables (float32, NaN unknown) it holds the quality words as stored.
        """
        conditions = self._conditions(quality)
        with self._opened(path) as tile:
            words = {name: self._word(tile, name) for name in self.words}
            values = {v.name: self._coded(tile, v.name).physical() for v in self.schema.variables}
        for name, own in conditions.items():
            np.copyto(values[name], np.float32(np.nan), where=~kept(words, own))
        return self._dataset(values, words, tile.grid, tile.granule)

    def pack_into(self, path: Path, into: Mapping[str, Array], *, quality: str = "") -> None:
        """Pack one tile file into whole tiles of a cube, see `PacksGranules.pack_into`."""
        conditions = self._conditions(quality)
        needed = {condition.word for own in conditions.values() for condition in own}
        factor = self.pixels // TILE_PIXELS
        with self._opened(path) as tile:
            words: Words = {
                name: self._whole(self._word(tile, name), 0, tile) for name in sorted(needed)
            }
            for variable in self.schema.variables:
                layer = self._coded(tile, variable.name)
                whole = Coded(
                    self._whole(layer.stored, layer.fill, tile), layer.meanings, layer.fill
                )
                pack_means(
                    whole,
                    words,
                    conditions.get(variable.name, ()),
                    variable,
                    least_known(factor),
                    into[variable.name],
                )

    def steps(
        self, datasets: Sequence[xr.Dataset], key: TileYear, *, within: Window | None = None
    ) -> xr.Dataset:
        """Return tile files on the 1 km grid of the key's tile, dims (time, y, x).

        One step for each dataset, in order of time; pixels outside a cut-out are NaN.
        """
        home = tile_window(SIN1KM, key.tile)
        ordered = sorted(datasets, key=lambda one: str(one.attrs["start"]))
        for dataset in ordered:
            if dataset.attrs["tile"] != key.tile:
                raise GranuleError(
                    f"{dataset.attrs['file']}: expected tile {key.tile}, found "
                    f"{dataset.attrs['tile']}"
                )
        window = home if within is None else home.intersect(within) or home
        days = np.array([str(one.attrs["start"]) for one in ordered], "datetime64[D]")
        rows, cols = window.within(home)
        stacks = {
            variable.name: np.stack([self._on_tile(one, variable.name) for one in ordered])
            for variable in self.schema.variables
        }
        inside = {name: stack[:, rows, cols] for name, stack in stacks.items()}
        return steps_dataset(self.schema, inside, days, window)

    def _conditions(self, quality: str) -> Conditions:
        rule = check_rule(quality, self.quality_rules, self.name)
        return {} if rule == ALL else self.keep(rule)

    @contextmanager
    def _opened(self, path: Path) -> Iterator[_Tile]:
        """Open a file after checking its name, its product and its place."""
        granule = self._granule(path)
        with open_grid_file(path) as file:
            if self.has_core_metadata or file.metadata("CoreMetadata.0"):
                check_product(file, self.short_name, self.collections)
            grid = read_grid(file, granule.tile, self.grid_prefix, self.pixels)
            yield _Tile(file, granule, grid)

    def _word(self, tile: _Tile, name: str) -> Array:
        """Return a quality word as stored."""
        return tile.file.words(self.words[name][0], tile.grid.window.shape)

    def _coded(self, tile: _Tile, name: str) -> Coded:
        """Return the layer of a cube variable as stored, and what its codes mean."""
        if name in self.layers:
            layer = self.layers[name]
            return Coded(*tile.file.codes(layer, tile.grid.window.shape), layer.fill)
        if self.day_layer is None:
            raise ConfigError(f"{self.name} has no layer for {name!r}: name one in `layers`")
        stored = tile.file.words(self.day_layer.layer, tile.grid.window.shape)
        codes = every_code(stored.dtype)
        start, fill = tile.granule.start, self.day_layer.fill
        return Coded(stored, days_since_start(codes, start, self.days, fill), fill)

    def _whole(self, values: Array, outside: int, tile: _Tile) -> Array:
        """Return a layer over the whole tile, `outside` where a cut-out has nothing."""
        if values.shape == (self.pixels, self.pixels):
            return values
        window = tile.grid.window
        rows, cols = self._place(tile.grid.tile, window.row0, window.col0, values)
        whole = np.full((self.pixels, self.pixels), outside, values.dtype)
        whole[rows, cols] = values
        return whole

    def _place(self, tile: str, row0: int, col0: int, values: Array) -> tuple[slice, slice]:
        """Return the rows and columns of the tile at the files' resolution that values cover."""
        home = tile_window(SIN1KM, tile)
        factor = self.pixels // TILE_PIXELS
        row, col = row0 - home.row0 * factor, col0 - home.col0 * factor
        return slice(row, row + values.shape[0]), slice(col, col + values.shape[1])

    def _granule(self, path: Path) -> Granule:
        granule = self.identify(path.name)
        if granule is None:
            raise GranuleError(
                f"{path.name}: expected a file name of {self.short_name} such as {self.example}, "
                "found another"
            )
        found = re.fullmatch(self.pattern, path.name)
        collection = found["collection"] if found else ""
        if collection not in self.collections:
            raise GranuleError(
                f"{path.name}: expected collection {' or '.join(self.collections)}, found "
                f"{collection}"
            )
        self._check_start(granule)
        return granule

    def _check_start(self, granule: Granule) -> None:
        """Raise `GranuleError` unless the file begins on a step of the cube."""
        step = self.schema.step_days or 1
        day = granule.start.timetuple().tm_yday
        if (day - 1) % step:
            raise GranuleError(
                f"{granule.name}: expected a composite that begins a multiple of {step} days after "
                f"1 January, found day {day} of the year"
            )

    @property
    def example(self) -> str:
        """Return the beginning of a file name of this product."""
        return f"{self.short_name}.{self.collections[0]}...A2019001.h18v04...hdf"

    def _dataset(
        self,
        values: dict[str, Floats],
        words: dict[str, Array],
        grid: TileGrid,
        granule: Granule,
    ) -> xr.Dataset:
        y, x = grid.centres()
        data: dict[str, object] = {}
        for name, array in values.items():
            units = self.schema.variable(name).units
            data[name] = (("y", "x"), array, {"units": units})
        for name, array in words.items():
            bits = [
                f"{field}:{start}:{length}"
                for field, (start, length) in self.words[name][1].items()
            ]
            data[name] = (("y", "x"), array, {"units": "1", "bit_fields": " ".join(bits)})
        return xr.Dataset(
            data,
            coords={"y": y, "x": x},
            attrs={
                "source": self.name,
                "tile": granule.tile,
                "start": granule.start.isoformat(),
                "end": granule.end.isoformat(),
                "file": granule.name,
                "row0": grid.window.row0,
                "col0": grid.window.col0,
            },
        )

    def _on_tile(self, dataset: xr.Dataset, name: str) -> Floats:
        """Return one variable over the whole tile at 1 km."""
        values: Floats = dataset[name].values
        at = dataset.attrs
        rows, cols = self._place(str(at["tile"]), int(at["row0"]), int(at["col0"]), values)
        whole = np.full((self.pixels, self.pixels), np.nan, np.float32)
        whole[rows, cols] = values
        factor = self.pixels // TILE_PIXELS
        return whole if factor == 1 else block_mean(whole, factor, MIN_FRACTION)


def least_known(factor: int) -> int:
    """Return how many of the factor x factor pixels inside a 1 km pixel must be known."""
    return max(1, int(np.ceil(MIN_FRACTION * factor * factor)))


def days_since_start(day_of_year: Array, start: date, days: int, fill: int) -> Floats:
    """Return the days from the start of a composite to each pixel's own date, float32.

    A composite that begins in December may reach into January, where days count from 1 again. NaN
    where the day is fill or outside the composite's `days`.
    """
    first = start.timetuple().tm_yday
    length = date(start.year, 12, 31).timetuple().tm_yday
    since = day_of_year.astype(np.float32) - np.float32(first)
    since = np.where(since < 0, since + np.float32(length), since)
    known = (day_of_year != fill) & (since < days)
    return np.where(known, since, np.float32(np.nan))


def day_of_year(text: str) -> date:
    """Return the date written as year and day of year, or raise `ValueError`."""
    year, day = int(text[:4]), int(text[4:])
    found = date(year, 1, 1) + timedelta(days=day - 1)
    if day < 1 or found.year != year:
        raise ValueError(f"no day {day} in {year}")
    return found
