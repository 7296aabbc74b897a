"""Pieces of work over the cells of a region.

First strips of cells are stepped through a year, and what radiometers say of each day is kept in
scratch files that all processes map. Files are of the globe, so they are written when all strips
are done: parts of a year's days at a time, each process its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from smcloud.core.objects import open_objects
from smcloud.simulate.amsr import LprmRadiometer
from smcloud.simulate.footprints import Footprints
from smcloud.simulate.granules_amsr import LPRM_PRODUCTS, LprmFiles, days_of, stored_layers
from smcloud.simulate.granules_imerg import ImergFiles, cells_within, centres_of, file_name
from smcloud.simulate.hdf_eos import Array
from smcloud.simulate.instruments import key_of
from smcloud.simulate.noise import Doubles
from smcloud.simulate.pool import Report
from smcloud.simulate.rain_satellite import RainSatellite
from smcloud.simulate.satellites import footprints
from smcloud.simulate.truth_cells import CELL_TRUTH, truth_of, write_truth
from smcloud.simulate.world import Earth
from smcloud.simulate.year_pieces import days_in

IMERG = "imerg_025"


def keys_by_day(source: str, year: int) -> dict[date, str]:
    """Return the key of each day's file of a source in a year, in order."""
    if source == IMERG:
        return {day: key_of(source, year, file_name(day)) for day in days_in(year).astype(object)}
    product = LPRM_PRODUCTS[source]
    return {day: key_of(source, year, product.file_name(day)) for day in days_of(source, year)}


@dataclass(frozen=True)
class YearOfCells:
    """Scratch files that take some layers of all cells on each day of a year.

    Attributes
    ----------
    folder : Path
    word : str
        Sets the files apart from others.
    year, size : int
        Which year, and how many cells.
    dtypes : tuple of (str, str)
        Name and stored type of each layer.
    """

    folder: Path
    word: str
    year: int
    size: int
    dtypes: tuple[tuple[str, str], ...]

    def create(self) -> None:
        """Make the files; days that are never kept take no room."""
        self.opened("w+")

    def opened(self, mode: Literal["r", "r+", "w+"]) -> dict[str, Array]:
        """Return the layers, (days, cells) each, mapped."""
        shape = len(days_in(self.year)), self.size
        return {
            name: np.memmap(
                self.folder / f"{self.word}-{name}-{self.year}", np.dtype(dtype), mode, shape=shape
            )
            for name, dtype in self.dtypes
        }


def scratch_of(source: str, folder: Path, year: int, size: int) -> YearOfCells:
    """Return the scratch files of a radiometer's product, or of the truth."""
    if source in LPRM_PRODUCTS:
        fields = LPRM_PRODUCTS[source].fields
        dtypes = tuple((name, field.dtype) for name, field in fields.items())
    else:
        dtypes = tuple((variable.name, variable.dtype) for variable in CELL_TRUTH.variables)
    return YearOfCells(folder, source, year, size, dtypes)


@dataclass(frozen=True, eq=False)
class StripPiece:
    """Cells of a region stepped through a year, and what was kept of them.

    Attributes
    ----------
    seed, year : int
    lon, lat : float array
        Centres of the strip's cells, in the order of the region's.
    first : int
        Number of its first cell in the region.
    wanted : mapping of str to frozenset of date
        Days to be kept by source; every day of the truth.
    scratch : mapping of str to YearOfCells
        Where, by the same sources.
    """

    seed: int
    year: int
    lon: Doubles
    lat: Doubles
    first: int
    wanted: Mapping[str, frozenset[date]]
    scratch: Mapping[str, YearOfCells]

    def run(self, report: Report) -> None:
        """Step the cells up to the last day that is wanted."""
        earth, cells = Earth(self.seed), footprints("lprm", self.lon, self.lat)
        part = slice(self.first, self.first + len(cells.rows))
        layers = {source: one.opened("r+") for source, one in self.scratch.items()}
        sensors = {
            LPRM_PRODUCTS[source].sensor: LprmRadiometer(
                earth, LPRM_PRODUCTS[source].mission.satellite, cells
            )
            for source in sorted(self.wanted)
            if source in LPRM_PRODUCTS
        }
        every = {day for own in self.wanted.values() for day in own}
        days = np.array(sorted(every), "datetime64[D]")
        for state in earth.run_water(cells.place_lon, cells.place_lat, days):
            day: date = state.day.astype(object)
            at = day.timetuple().tm_yday - 1
            for source in (one for one, own in self.wanted.items() if day in own):
                if source in LPRM_PRODUCTS:
                    product = LPRM_PRODUCTS[source]
                    looks = sensors[product.sensor].observe(state, by_night=product.by_night)
                    found = stored_layers(product, looks)
                else:
                    found = truth_of(cells, state)
                for name, values in found.items():
                    layers[source][name][at, part] = values
        report(1, 0)


@dataclass(frozen=True, eq=False)
class LprmPiece:
    """Files of a radiometer's product on some days of a year, from scratch.

    Attributes
    ----------
    out : str
        URL below which files are written.
    source : str
    keys : mapping of date to str
        What to write.
    lon, lat : float array
        Centres of all cells of the region.
    scratch : YearOfCells
    """

    out: str
    source: str
    keys: Mapping[date, str]
    lon: Doubles
    lat: Doubles
    scratch: YearOfCells

    def run(self, report: Report) -> None:
        """Write the files."""
        made = LprmFiles(LPRM_PRODUCTS[self.source], footprints("lprm", self.lon, self.lat))
        layers, objects = self.scratch.opened("r"), open_objects(self.out)
        for day, key in self.keys.items():
            at = day.timetuple().tm_yday - 1
            data = made.file_of({name: np.asarray(values[at]) for name, values in layers.items()})
            objects.put(key, data)
            report(1, len(data))


@dataclass(frozen=True, eq=False)
class CellTruthPiece:
    """The truth of a year's cells, from scratch; attributes as of `LprmPiece`."""

    out: str
    year: int
    missing: frozenset[str]
    lon: Doubles
    lat: Doubles
    scratch: YearOfCells

    def run(self, report: Report) -> None:
        """Write the store whole; shards that were there already get the same bytes."""
        cells = footprints("lprm", self.lon, self.lat)
        for key, size in write_truth(self.out, self.year, cells, self.scratch.opened("r")):
            if key in self.missing:
                report(1, size)


@dataclass(frozen=True, eq=False)
class ImergPiece:
    """Files of IMERG on some days; attributes as of `LprmPiece`."""

    out: str
    seed: int
    keys: Mapping[date, str]
    lon: Doubles
    lat: Doubles

    def run(self, report: Report) -> None:
        """Look at the rain of each day and write its file."""
        rows, cols = cells_within(footprints("lprm", self.lon, self.lat))
        satellite = RainSatellite(self.seed, *centres_of(rows, cols))
        made, objects = ImergFiles(rows, cols), open_objects(self.out)
        for day, key in self.keys.items():
            data = made.file(day, satellite.observe(np.datetime64(day, "D")))
            objects.put(key, data)
            report(1, len(data))


def strips_of(cells: Footprints, size: int) -> list[slice]:
    """Return parts of about `size` cells, all about equal; they end where a row of cells does."""
    starts = np.flatnonzero(np.diff(cells.rows, prepend=-1))
    share = len(cells.rows) / max(1, round(len(cells.rows) / size))
    ends, at = [], 0
    for start in starts:
        if start - at >= share:
            ends.append(int(start))
            at = int(start)
    bounds = [0, *ends, len(cells.rows)]
    return [slice(first, last) for first, last in pairwise(bounds)]
