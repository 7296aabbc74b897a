"""Native files of a whole tile from the simulator's own writers: what stages are timed on."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.profiles import Taken, profiled
from smcloud.grids.grid import SIN1KM, TILE_PIXELS, Window
from smcloud.grids.tiles import tile_window
from smcloud.simulate.granules_era5_land import FIELDS as HOURLY
from smcloud.simulate.granules_era5_land import write_era5_land
from smcloud.simulate.granules_rasters import (
    SHEET_DEGREES,
    SOIL_LAYERS,
    sheet_lonlat,
    write_elevation,
    write_soil_maps,
)
from smcloud.simulate.hdf_eos import Array, TilePixels, write_grid_file
from smcloud.simulate.records import DayState
from smcloud.simulate.request import pixel_centres
from smcloud.simulate.tile_files import TILE_SOURCES
from smcloud.simulate.world import Earth

TILE = "h18v04"
YEAR = 2019
FIRST_ROW, FIRST_COL = 600, 750
"""Where the simulated window lies in the tile: coast, mountains and a plain."""
FIRST_DAY = np.datetime64(f"{YEAR}-01-01", "D")


@dataclass(frozen=True)
class Area:
    """A square of pixels of the tile."""

    side: int
    row: int = FIRST_ROW
    col: int = FIRST_COL

    @property
    def window(self) -> Window:
        """Return the pixels in the whole grid."""
        tile = tile_window(SIN1KM, TILE)
        row, col = tile.row0 + self.row, tile.col0 + self.col
        return Window(row, row + self.side, col, col + self.side)

    @property
    def lonlat(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return longitude and latitude (n,) of the pixels, degrees."""
        rows, cols = np.indices((self.side, self.side)).reshape(2, -1)
        return pixel_centres(self.window.row0 + rows, self.window.col0 + cols)

    @property
    def pixels(self) -> TilePixels:
        """Return the pixels as the writers take them."""
        rows, cols = np.indices((self.side, self.side)).reshape(2, -1)
        return TilePixels(TILE, rows + self.row, cols + self.col)


WHOLE_TILE = Area(TILE_PIXELS, 0, 0)


def states(seed: int, area: Area, days: int) -> list[DayState]:
    """Return the true states of the first days of the year."""
    run = Earth(seed).run(*area.lonlat, FIRST_DAY + np.arange(days))
    return [_copied(state) for state in run]


def _copied(state: DayState) -> DayState:
    return replace(
        state,
        **{f.name: np.array(getattr(state, f.name)) for f in fields(state) if f.name != "day"},
    )


def spread(small: DayState, size: int) -> DayState:
    """Return a state of `size` pixels that repeats one of fewer: the same work for the writers."""
    repeated = {}
    for field in fields(small):
        values = getattr(small, field.name)
        if field.name != "day":
            repeated[field.name] = np.resize(values.T, (size, *values.shape[:-1])).T.copy()
    return replace(small, **repeated)


def write_granules(
    source: str, folder: Path, area: Area, seen: list[DayState], seed: int, count: int
) -> Iterator[Taken]:
    """Write the first files of a tile product, one after another; yield what each took."""
    product = TILE_SOURCES[source].product
    recorder = TILE_SOURCES[source].recorder(seed, *area.lonlat)
    days = [spread(state, area.side**2) for state in seen[: product.days]]
    start = FIRST_DAY.item()

    def one() -> None:
        for day in days:
            recorder.observe(day)
        write_grid_file(folder, product, area.pixels, start, recorder.layers(start))

    for _ in range(count):
        yield profiled(one)[1]
        days = [replace(day, day=day.day + product.days) for day in days]
        start += timedelta(days=product.days)


def link_granules(source: str, folder: Path, total: int) -> None:
    """Give the files of a folder further names, so that a product has `total` files in a row."""
    product = TILE_SOURCES[source].product
    first = FIRST_DAY.item()
    names = [
        product.file_name(TILE, first + timedelta(days=n * product.days)) for n in range(total)
    ]
    have = [name for name in names if (folder / name).exists()]
    for number, name in enumerate(names[len(have) :]):
        os.link(folder / have[number % len(have)], folder / name)


def write_fields(source: str, folder: Path, area: Area, seed: int) -> None:
    """Write what is not on the tile's pixels: hours of two months, elevation or soil of an area.

    Values are waves with noise on them, so that files are about as large as real ones.
    """
    lon, lat = area.lonlat
    if source == "era5land":
        _write_hours(folder, lon, lat, seed)
    elif source == "soilgrids":
        write_soil_maps(folder, TILE, lon, lat, partial(_soil, seed))
    else:
        south, west = (np.floor(at / SHEET_DEGREES).astype(int) for at in (lat, lon))
        for corner in sorted(set(zip(south.tolist(), west.tolist(), strict=True))):
            corner_lat, corner_lon = (SHEET_DEGREES * at for at in corner)
            x, y = np.meshgrid(*sheet_lonlat(corner_lat, corner_lon))
            write_elevation(folder, corner_lat, corner_lon, 800 + 700 * _waves(x, y, seed))


def _write_hours(
    folder: Path, lon: NDArray[np.float64], lat: NDArray[np.float64], seed: int
) -> None:
    """Write January and February of the rectangle of nodes around points."""
    west, east, south, north = (
        int(np.floor(lon.min() * 10)), int(np.ceil(lon.max() * 10)),
        int(np.floor(lat.min() * 10)), int(np.ceil(lat.max() * 10)),
    )  # fmt: skip
    latitude, longitude = np.arange(north, south - 1, -1) / 10, np.arange(west, east + 1) / 10
    waves = _waves(*np.meshgrid(longitude, latitude), seed)
    for month in (1, 2):
        first = np.datetime64(f"{YEAR}-{month:02d}", "M")
        times = np.arange(first.astype("datetime64[h]"), (first + 1).astype("datetime64[h]"))
        daily = np.sin(np.arange(times.size) * 2 * np.pi / 24)[:, None, None]
        shape = np.broadcast_to(waves + daily / 2, (times.size, *waves.shape)).astype(np.float32)
        middle = {"swvl1": 0.25, "tp": 0.002}
        fields = {name: middle.get(name, 285.0) * (1 + 0.02 * shape) for name in HOURLY}
        write_era5_land(folder, TILE, times, latitude, longitude, fields)


def _soil(seed: int, lon: Array, lat: Array) -> dict[str, Array]:
    """Return fields of soil at points (n,)."""
    middle = {"bulk_density": 1.3, "organic_carbon": 20.0}
    return {
        name: middle.get(name, 33.0) * (1 + 0.2 * _waves(lon, lat, seed)) for name in SOIL_LAYERS
    }


def _waves(lon: Array, lat: Array, seed: int) -> NDArray[np.float32]:
    """Return waves of about one degree with a little noise, -1 to 1 or so, in the shape given."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(scale=0.05, size=lon.shape)
    return np.asarray(np.sin(6 * lon) * np.cos(7 * lat) + noise, np.float32)
