"""The files of a tile that are not on its pixels: reanalysis hours, elevation sheets, soil maps.

All of them cover what the asked pixels need and a margin, so that interpolation, slopes and means
over a pixel never meet an edge that is not a coast.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np

from smcloud.grids.grid import ERA5LAND
from smcloud.grids.land import is_land
from smcloud.simulate.granules_era5_land import FIELDS, file_name, write_era5_land
from smcloud.simulate.granules_rasters import (
    CELLS_PER_DEGREE,
    SHEET_DEGREES,
    SOIL_LAYERS,
    fraction_file_name,
    sheet_lonlat,
    soil_file_name,
    write_elevation,
    write_fractions,
    write_soil_maps,
)
from smcloud.simulate.hdf_eos import Array, TilePixels
from smcloud.simulate.reanalysis import Reanalysis
from smcloud.simulate.records import ReanalysisDay
from smcloud.simulate.request import lonlat_of
from smcloud.simulate.world import Earth

FRACTIONS = ("sand_percent", "silt_percent", "clay_percent")
NODES_PER_DEGREE = round(1 / ERA5LAND.step)
HOURS = 24
BLOCK_CELLS = 20
"""Elevation is computed in blocks of 20 x 20 cells (5 arc minutes): those with pixels and those
beside them."""
BLOCKS_PER_DEGREE = CELLS_PER_DEGREE // BLOCK_CELLS


@dataclass(frozen=True)
class Nodes:
    """Reanalysis nodes around pixels, and the rectangle that holds them.

    Attributes
    ----------
    latitude, longitude : float array
        Axes of the rectangle: degrees, north to south and west to east.
    rows, cols : int array (n,)
        Where the nodes lie in it; only nodes on land, the reanalysis has no others.
    """

    latitude: Array
    longitude: Array
    rows: Array
    cols: Array

    @classmethod
    def around(cls, lon: Array, lat: Array) -> "Nodes":
        """Return the nodes of the cells that hold points, and of the cells beside those."""
        west = np.floor(lon * NODES_PER_DEGREE).astype(np.int64)
        south = np.floor(lat * NODES_PER_DEGREE).astype(np.int64)
        cells = np.unique(np.stack([south, west], 1), axis=0)
        steps = np.array([(up, across) for up in range(-1, 3) for across in range(-1, 3)])
        tenths = np.unique((cells[:, None, :] + steps[None]).reshape(-1, 2), axis=0)
        half_turn, pole = 180 * NODES_PER_DEGREE, 90 * NODES_PER_DEGREE
        on_globe = (np.abs(tenths[:, 0]) <= pole) & (tenths[:, 1] >= -half_turn)
        tenths = tenths[on_globe & (tenths[:, 1] < half_turn)]
        land = is_land(tenths[:, 1] / NODES_PER_DEGREE, tenths[:, 0] / NODES_PER_DEGREE)
        north, first = tenths[:, 0].max(), tenths[:, 1].min()
        return cls(
            np.arange(north, tenths[:, 0].min() - 1, -1) / NODES_PER_DEGREE,
            np.arange(first, tenths[:, 1].max() + 1) / NODES_PER_DEGREE,
            north - tenths[land, 0],
            tenths[land, 1] - first,
        )

    @property
    def lonlat(self) -> tuple[Array, Array]:
        """Return longitude and latitude (n,) of the nodes, degrees."""
        return self.longitude[self.cols], self.latitude[self.rows]

    def place(self, values: Array) -> Array:
        """Return (hours, rows, cols) of values (hours, n), NaN at other nodes."""
        shape = (values.shape[0], len(self.latitude), len(self.longitude))
        canvas = np.full(shape, np.nan, np.float32)
        canvas[:, self.rows, self.cols] = values
        return canvas


@dataclass(frozen=True)
class HoursFile:
    """One ERA5-Land file: its first and last UTC day, and hours per day (1: only 00 UTC)."""

    first: date
    last: date
    hours: int = HOURS

    def name(self, region: str) -> str:
        """Return the file's name."""
        return file_name(self.first, self.last, region)


def hours_files(year: int, next_year_follows: bool) -> list[HoursFile]:
    """Return the files of a year: its months, and 00 UTC of the day after it.

    The last hour completes the accumulations of 31 December; it is part of the next year's
    January where that is simulated too.
    """
    starts = [date(year, month, 1) for month in range(1, 13)] + [date(year + 1, 1, 1)]
    one_day = timedelta(days=1)
    months = [HoursFile(a, b - one_day) for a, b in pairwise(starts)]
    return months if next_year_follows else [*months, HoursFile(starts[-1], starts[-1], 1)]


def write_hours(
    folder: Path, seed: int, pixels: TilePixels, files: list[HoursFile]
) -> Iterator[Path]:
    """Write ERA5-Land files around pixels, in order of time, and yield their paths.

    Nodes of the area that are water are NaN; where all are, so is every value.
    """
    nodes = Nodes.around(*lonlat_of(pixels))
    days = np.concatenate(
        [
            np.arange(np.datetime64(file.first, "D"), np.datetime64(file.last, "D") + 1)
            for file in files
        ]
    )
    hours = Reanalysis(seed).run(*nodes.lonlat, days)
    for file in files:
        count = (file.last - file.first).days + 1
        month = [next(hours) for _ in range(count)]
        times = (np.datetime64(file.first, "h") + np.arange(HOURS * count))[
            : HOURS * (count - 1) + file.hours
        ]
        yield write_era5_land(
            folder,
            pixels.tile,
            times,
            nodes.latitude,
            nodes.longitude,
            {name: nodes.place(_joined(month, name)[: len(times)]) for name in FIELDS},
        )


def _joined(days: list[ReanalysisDay], name: str) -> Array:
    joined: Array = np.concatenate([getattr(day, name) for day in days])
    return joined


def sheets_around(pixels: TilePixels) -> list[tuple[int, int]]:
    """Return the lower left corners (south, west) of the sheets that pixels need, sorted."""
    per_sheet = SHEET_DEGREES * BLOCKS_PER_DEGREE
    corners = np.unique(_elevation_blocks(pixels) // per_sheet, axis=0) * SHEET_DEGREES
    return [(int(south), int(west)) for south, west in corners]


def _elevation_blocks(pixels: TilePixels) -> Array:
    """Return (south, west) of the blocks that hold pixels and of those beside them.

    Blocks are counted from the equator and Greenwich; those beyond the poles are left out.
    """
    lon, lat = lonlat_of(pixels)
    held = np.floor(np.stack([lat, lon], 1) * BLOCKS_PER_DEGREE).astype(np.int64)
    steps = np.array([(up, across) for up in (-1, 0, 1) for across in (-1, 0, 1)])
    around = (np.unique(held, axis=0)[:, None, :] + steps[None]).reshape(-1, 2)
    half_turn, pole = 180 * BLOCKS_PER_DEGREE, 90 * BLOCKS_PER_DEGREE
    around[:, 1] = (around[:, 1] + half_turn) % (2 * half_turn) - half_turn
    on_globe = (around[:, 0] >= -pole) & (around[:, 0] < pole)
    blocks: Array = np.unique(around[on_globe], axis=0)
    return blocks


def write_sheet(folder: Path, seed: int, areas: list[TilePixels], corner: tuple[int, int]) -> Path:
    """Write the elevation sheet at a corner (south, west), with what pixels of any tile need."""
    south, west = corner
    side = SHEET_DEGREES * BLOCKS_PER_DEGREE
    wanted = np.zeros((side, side), bool)
    for pixels in areas:
        up, across = (_elevation_blocks(pixels) - np.array(corner) * BLOCKS_PER_DEGREE).T
        inside = (up >= 0) & (up < side) & (across >= 0) & (across < side)
        wanted[side - 1 - up[inside], across[inside]] = True
    cells = wanted.repeat(BLOCK_CELLS, 0).repeat(BLOCK_CELLS, 1)
    lon, lat = sheet_lonlat(south, west)
    rows, cols = np.nonzero(cells)
    elevation = np.full(cells.shape, np.nan, np.float32)
    elevation[rows, cols] = Earth(seed).elevation(lon[cols], lat[rows])
    return write_elevation(folder, south, west, elevation)


def soil_names(tile: str) -> list[str]:
    """Return the names of the soil maps of a tile."""
    return [soil_file_name(layer, tile) for layer in SOIL_LAYERS.values()]


def write_soil(folder: Path, seed: int, pixels: TilePixels) -> list[Path]:
    """Write the soil maps around pixels, nodata over the sea, and return their paths."""
    earth = Earth(seed)

    def soil_at(lon: Array, lat: Array) -> Mapping[str, Array]:
        soil, land = earth.soil_map(lon, lat), is_land(lon, lat)
        return {name: np.where(land, getattr(soil, name), np.nan) for name in SOIL_LAYERS}

    return write_soil_maps(folder, pixels.tile, *lonlat_of(pixels), soil_at)


def fraction_names(tile: str) -> list[str]:
    """Return the names of the maps of the China data set of a tile."""
    return [fraction_file_name(fraction, tile) for fraction in ("sand", "silt", "clay")]


def write_china_soil(folder: Path, seed: int, pixels: TilePixels) -> list[Path]:
    """Write sand, silt and clay around pixels, nodata over the sea, and return their paths.

    The same survey as the other soil maps, in whole per cent.
    """
    earth = Earth(seed)

    def soil_at(lon: Array, lat: Array) -> Mapping[str, Array]:
        soil, land = earth.soil_map(lon, lat), is_land(lon, lat)
        return {name: np.where(land, getattr(soil, name), np.nan) for name in FRACTIONS}

    return write_fractions(folder, pixels.tile, *lonlat_of(pixels), soil_at)
