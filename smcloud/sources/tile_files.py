"""The reader that every HDF-EOS tile product shares; what differs between products is data.

A product is a `TileSource` record: names, layers, quality words, a rule, a cube schema. Layers at
500 m come to the cube's 1 km as the mean of the known ones of the four pixels inside.
"""

import re
from collections.abc import Sequence
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
from smcloud.sources.base import Granule
from smcloud.sources.hdf_eos import (
    Array,
    Floats,
    GridFile,
    Layer,
    TileGrid,
    Word,
    check_product,
    open_grid_file,
    read_grid,
)
from smcloud.sources.quality import ALL, Fields, Rule, check_rule

MIN_FRACTION = 0.25
"""Of the four 500 m pixels inside a 1 km pixel, one known is enough."""


@dataclass(frozen=True)
class DayLayer:
    """A layer that says on which day of the year each pixel of a composite was seen."""

    layer: Word
    fill: int


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
            start = _day_of_year(parts["start"])
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
        rule = check_rule(quality, self.quality_rules, self.name)
        granule = self._granule(path)
        with open_grid_file(path) as file:
            if self.has_core_metadata or file.metadata("CoreMetadata.0"):
                check_product(file, self.short_name, self.collections)
            grid = read_grid(file, granule.tile, self.grid_prefix, self.pixels)
            words = {
                name: file.words(word, grid.window.shape) for name, (word, _) in self.words.items()
            }
            values = {
                name: file.physical(layer, grid.window.shape) for name, layer in self.layers.items()
            }
            if self.day_layer is not None:
                values["composite_day"] = self._composite_day(file, self.day_layer, grid, granule)
        kept = {} if rule == ALL else self.keep(words, rule)
        for name, mask in kept.items():
            np.copyto(values[name], np.float32(np.nan), where=~mask)
        return self._dataset(values, words, grid, granule)

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
        days = [np.datetime64(str(one.attrs["start"]), "D") for one in ordered]
        rows, cols = window.within(home)
        variables = {}
        for variable in self.schema.variables:
            stack = np.stack([self._on_tile(one, variable.name) for one in ordered])
            attrs = {"units": variable.units, "long_name": variable.long_name}
            variables[variable.name] = (("time", "y", "x"), stack[:, rows, cols], attrs)
        return xr.Dataset(
            variables,
            coords={
                "time": np.array(days, "datetime64[ns]"),
                "y": SIN1KM.y[window.row0 : window.row1],
                "x": SIN1KM.x[window.col0 : window.col1],
            },
        )

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

    def _composite_day(
        self, file: GridFile, day_layer: DayLayer, grid: TileGrid, granule: Granule
    ) -> Floats:
        """Return the days since the start of the composite, NaN where the file has none."""
        day_of_year = file.words(day_layer.layer, grid.window.shape)
        return days_since_start(day_of_year, granule.start, self.days, day_layer.fill)

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
        home = tile_window(SIN1KM, str(dataset.attrs["tile"]))
        factor = self.pixels // TILE_PIXELS
        if values.shape == (self.pixels, self.pixels):
            whole = values
        else:
            row = int(dataset.attrs["row0"]) - home.row0 * factor
            col = int(dataset.attrs["col0"]) - home.col0 * factor
            whole = np.full((self.pixels, self.pixels), np.nan, np.float32)
            whole[row : row + values.shape[0], col : col + values.shape[1]] = values
        return whole if factor == 1 else block_mean(whole, factor, MIN_FRACTION)


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


def _day_of_year(text: str) -> date:
    """Return the date written as year and day of year, or raise `ValueError`."""
    year, day = int(text[:4]), int(text[4:])
    found = date(year, 1, 1) + timedelta(days=day - 1)
    if day < 1 or found.year != year:
        raise ValueError(f"no day {day} in {year}")
    return found
