"""The simulated MCD43D files of a year: global days, so all tiles of a request in one piece."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from smcloud.core.objects import open_objects
from smcloud.grids.grid import GLOBAL30S, Window
from smcloud.grids.land import is_land
from smcloud.grids.regrid import bilinear
from smcloud.simulate.granules_mcd43d import (
    BAND_QUALITY,
    BLACK_SKY,
    OVERALL_QUALITY,
    QUALITY,
    SNOW,
    SNOW_STATUS,
    WHITE_SKY,
    WHITE_SKY_BAND7,
    GlobeCells,
    write_globe_file,
)
from smcloud.simulate.hdf_eos import Array, GridProduct, TilePixels
from smcloud.simulate.instruments import key_of
from smcloud.simulate.pool import Report
from smcloud.simulate.records import AlbedoView, DayState
from smcloud.simulate.request import lonlat_of
from smcloud.simulate.sensors import AlbedoSensor
from smcloud.simulate.tile_files import store_file
from smcloud.simulate.world import Earth
from smcloud.simulate.year_pieces import YearPiece, days_in

ALBEDO_PRODUCTS: Mapping[str, GridProduct] = {
    "mcd43d51": BLACK_SKY,
    "mcd43d58": WHITE_SKY_BAND7,
    "mcd43d61": WHITE_SKY,
}
SNOW_MM = 3.0
"""Water equivalent from which the ground is white."""
Layers = Mapping[str, Array]


def cells_around(areas: tuple[TilePixels, ...]) -> GlobeCells:
    """Return the land cells that pixels are interpolated from."""
    found, parts = [], []
    for pixels in areas:
        weights = bilinear(GLOBAL30S, *lonlat_of(pixels))
        width = weights.window.shape[1]
        flat = np.unique(
            np.concatenate([weights.corner + step for step in (0, 1, width, width + 1)])
        )
        rows, cols = weights.window.row0 + flat // width, weights.columns[flat % width]
        found.append(rows * GLOBAL30S.cols + cols)
        parts += _rectangles(weights.window)
    rows, cols = np.divmod(np.unique(np.concatenate(found)), GLOBAL30S.cols)
    land = is_land(GLOBAL30S.x[cols], GLOBAL30S.y[rows])
    return GlobeCells(rows[land], cols[land], tuple(parts))


def _rectangles(window: Window) -> list[Window]:
    """Return a window whose columns may go around the globe as one or two within it."""
    last = min(window.col1, GLOBAL30S.cols)
    spans = [(window.col0, last), (0, window.col1 - last)]
    return [Window(window.row0, window.row1, *span) for span in spans if span[0] < span[1]]


@dataclass(frozen=True)
class AlbedoPiece(YearPiece):
    """Albedo of the whole globe, of which the cells of some tiles' pixels are known, for a year.

    Attributes
    ----------
    sources : tuple of str
        Keys of ALBEDO_PRODUCTS.
    """

    sources: tuple[str, ...]

    @property
    def _products(self) -> tuple[GridProduct, ...]:
        return (QUALITY, SNOW, *(ALBEDO_PRODUCTS[source] for source in self.sources))

    def _keys(self, day: date) -> dict[str, GridProduct]:
        """Return the products of a day by the keys of their files."""
        names = {one.file_name("", day): one for one in self._products}
        return {key_of(self.sources[0], self.year, name): one for name, one in names.items()}

    def _keys_by_day(self) -> dict[date, dict[str, GridProduct]]:
        return {day: self._keys(day) for day in days_in(self.year).tolist()}

    def keys(self) -> list[str]:
        """Return the keys of all files of this piece."""
        return [key for keys in self._keys_by_day().values() for key in keys]

    def run(self, report: Report) -> None:
        """Simulate the days up to the last that misses a file, and write what is missing."""
        by_day = self._keys_by_day()
        wanted = [day for day, keys in by_day.items() if self.missing.intersection(keys)]
        if not wanted:
            return
        cells = cells_around(self.areas)
        lon, lat = GLOBAL30S.x[cells.cols], GLOBAL30S.y[cells.rows]
        sensor, objects = AlbedoSensor(self.seed, lon, lat), open_objects(self.out)
        days = np.arange(np.datetime64(min(by_day), "D"), np.datetime64(max(wanted), "D") + 1)
        with tempfile.TemporaryDirectory(prefix="smcloud-") as folder:
            for state in Earth(self.seed).run(lon, lat, days):
                layers = _layers(sensor.observe(state), state)
                day: date = state.day.astype(object)
                for key, product in by_day[day].items():
                    if key in self.missing:
                        values = {one.name: layers[one.name] for one in product.layers}
                        path = write_globe_file(Path(folder), product, cells, day, values)
                        store_file(objects, key, path, report)


def _layers(view: AlbedoView, state: DayState) -> Layers:
    """Return every layer of a day: albedos, how they were inverted, and snow."""
    return {
        BLACK_SKY.layers[0].name: view.bsa,
        WHITE_SKY.layers[0].name: view.wsa,
        WHITE_SKY_BAND7.layers[0].name: view.wsa_band7,
        OVERALL_QUALITY: view.quality,
        BAND_QUALITY: view.quality,
        SNOW_STATUS: (state.snow_water_mm > SNOW_MM).astype(np.uint8),
    }
