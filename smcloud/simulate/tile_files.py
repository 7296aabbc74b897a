"""The files of a tile's own pixels: days are simulated in order, seen by each sensor, and written.

`TILE_SOURCES` is the one place where a further sensor on this grid is added: its product record
and a recorder (`recorders`), which is fed the true state of every day and hands out the layers of
a period.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from smcloud.core.objects import Objects, open_objects
from smcloud.simulate import recorders
from smcloud.simulate.granules_glass import GLASS_ALBEDO, GLASS_LAI, GLASS_LST
from smcloud.simulate.granules_modis import MCD43A3, MOD09A1, MOD11A1, MOD13A2, MOD15A2H
from smcloud.simulate.hdf_eos import GridProduct, TilePixels, write_grid_file
from smcloud.simulate.pool import Report
from smcloud.simulate.records import DayState
from smcloud.simulate.request import FOLDERS, lonlat_of
from smcloud.simulate.sparse_tiles import FEW_PIXELS, SparseTile
from smcloud.simulate.truth import Scratch
from smcloud.simulate.world import Earth

PARTS = (0, 208)
"""First day (from 0) of each part of a year that is simulated on its own: multiples of 16, so that
no composite is cut. The split is fixed, whatever the number of processes, so that files are too.
The second part is shorter because it has to step through the first."""
WARM_UP_DAYS = 32
"""Days that sensors with a memory are fed before the first that is written, within the year."""


@dataclass(frozen=True)
class TileSource:
    """One simulated product of the tile grid: its files, and what fills them."""

    product: GridProduct
    recorder: recorders.RecorderType


TILE_SOURCES: Mapping[str, TileSource] = {
    "mod11a1": TileSource(MOD11A1, recorders.LstRecorder),
    "mod13a2": TileSource(MOD13A2, recorders.VegetationRecorder),
    "mod15a2h": TileSource(MOD15A2H, recorders.LaiRecorder),
    "mod09a1": TileSource(MOD09A1, recorders.ReflectanceRecorder),
    "mcd43a3": TileSource(MCD43A3, recorders.AlbedoRecorder),
    "glass_lai": TileSource(GLASS_LAI, recorders.GlassLaiRecorder),
    "glass_albedo": TileSource(GLASS_ALBEDO, recorders.GlassAlbedoRecorder),
    "glass_lst": TileSource(GLASS_LST, recorders.GlassLstRecorder),
}


def period_start(product: GridProduct, day: date) -> date:
    """Return the first day of the period that holds `day`; periods restart each 1 January."""
    first = date(day.year, 1, 1)
    return first + timedelta(days=(day - first).days // product.days * product.days)


def tile_keys(source: str, tile: str, year: int) -> dict[str, date]:
    """Return the first day by key (below the output URL) of every file of a tile-year."""
    product = TILE_SOURCES[source].product
    start, keys = date(year, 1, 1), {}
    while start.year == year:
        keys[f"granules/{FOLDERS[source]}/{year}/{product.file_name(tile, start)}"] = start
        start += timedelta(days=product.days)
    return keys


def store_file(objects: Objects, key: str, path: Path, report: Report) -> None:
    """Move a finished local file to its key."""
    data = path.read_bytes()
    objects.put(key, data)
    path.unlink()
    report(1, len(data))


class TileFiles:
    """Makes the files of one product over some pixels of a tile, the quicker way for few pixels."""

    def __init__(self, product: GridProduct, pixels: TilePixels) -> None:
        self._product, self._pixels = product, pixels
        few = len(pixels.rows) < FEW_PIXELS
        self._sparse = SparseTile(product, pixels) if few else None

    def file(self, start: date, layers: recorders.Layers) -> bytes:
        """Return the content of the file of a period."""
        if self._sparse is not None:
            return self._sparse.file(start, layers)
        with tempfile.TemporaryDirectory(prefix="smcloud-") as folder:
            path = write_grid_file(Path(folder), self._product, self._pixels, start, layers)
            return path.read_bytes()


@dataclass(frozen=True)
class TilePart:
    """One part of a tile's year; a piece of work for one process.

    Attributes
    ----------
    out : str
        URL below which files are written.
    seed : int
    pixels : TilePixels
        What is simulated.
    year, part : int
        Which part, an index of PARTS.
    missing : frozenset of str
        Keys that are to be written; others exist already.
    truth : tuple of Scratch
        Files that take the truth; none when no truth is wanted.
    """

    out: str
    seed: int
    pixels: TilePixels
    year: int
    part: int
    missing: frozenset[str]
    truth: tuple[Scratch, ...] = ()

    @property
    def span(self) -> tuple[np.datetime64, np.datetime64]:
        """Return the first and last day of the part."""
        first = np.datetime64(f"{self.year:04d}-01-01", "D")
        following = np.datetime64(f"{self.year + 1:04d}-01-01", "D")
        ends = [first + start for start in PARTS[1:]] + [following]
        return first + PARTS[self.part], ends[self.part] - 1

    @property
    def keys(self) -> dict[str, dict[str, str]]:
        """Return the missing keys of this part by source and first day (ISO)."""
        first, last = self.span
        found: dict[str, dict[str, str]] = {}
        for source in TILE_SOURCES:
            starts = tile_keys(source, self.pixels.tile, self.year)
            wanted = {
                start.isoformat(): key
                for key, start in starts.items()
                if key in self.missing and first <= np.datetime64(start) <= last
            }
            if wanted:
                found[source] = wanted
        return found

    def run(self, report: Report) -> None:
        """Simulate the days and write what is missing of their files."""
        keys = self.keys
        if not keys and not self.truth:
            return
        lon, lat = lonlat_of(self.pixels)
        sensors = {s: TILE_SOURCES[s].recorder(self.seed, lon, lat) for s in sorted(keys)}
        first, last = self.span
        start_of_year = np.datetime64(f"{self.year:04d}-01-01", "D")
        warm_up = max(first - WARM_UP_DAYS, start_of_year)
        objects = open_objects(self.out)
        files = {source: TileFiles(TILE_SOURCES[source].product, self.pixels) for source in sensors}
        for state in Earth(self.seed).run(lon, lat, np.arange(warm_up, last + 1)):
            for scratch in self.truth if state.day >= first else ():
                scratch.keep(state)
            for source, sensor in sensors.items():
                sensor.observe(state)
                found = self._ended(source, sensor, state, keys[source])
                if found is not None:
                    key, start, layers = found
                    data = files[source].file(start, layers)
                    objects.put(key, data)
                    report(1, len(data))

    def _ended(
        self, source: str, sensor: recorders.Recorder, state: DayState, keys: Mapping[str, str]
    ) -> tuple[str, date, recorders.Layers] | None:
        """Return key, start and layers of a period that ends on this day, if it is missing."""
        product = TILE_SOURCES[source].product
        day: date = state.day.astype(object)
        start, tomorrow = period_start(product, day), day + timedelta(days=1)
        if period_start(product, tomorrow) == start:
            return None
        values = sensor.layers(start)
        key = keys.get(start.isoformat())
        return None if key is None else (key, start, values)
