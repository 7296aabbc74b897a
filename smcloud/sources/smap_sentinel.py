"""SPL2SMAP_S: soil moisture of SMAP sharpened by Sentinel-1, 1 km, brought to the output grid.

A file is one Sentinel-1 scene: HDF5 whose group ``Soil_Moisture_Retrieval_Data_1km`` holds a
rectangle of the 1 km EASE-Grid 2.0, placed by its row and column indices (NSIDC, data fields of
SPL2SMAP_S). A pixel of the output grid takes the cell that its centre lies in: both grids are 1 km,
and a mean of cells would smooth what the product is there to resolve. The day is that of the SMAP
overpass, the second stamp of a name: the first, of Sentinel-1, may be of another day.

Scenes are rare (a place is seen each 6 to 12 days), so that a day without one is nothing missing.
Where scenes of one day overlap, the first by name that knows a cell counts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from smcloud.core.errors import GranuleError
from smcloud.cube.schema import CubeSchema
from smcloud.grids.grid import EASE2_1KM, SIN1KM, Window
from smcloud.grids.tiles import GLOBE, TileYear, tile_window
from smcloud.sources.base import Granule, Outage, day_of, steps_dataset
from smcloud.sources.coarse_files import days_in
from smcloud.sources.day_files import Amount, DayFile, LazyAmount, LazyWords, lazy
from smcloud.sources.quality import RETRIEVAL_RULES, check_rule, keep_smap
from smcloud.sources.smap import (
    OUTAGES,
    VOLUMETRIC,
    WORD_FILL,
    WORDS,
    check_short_name,
    volumetric,
    word_layer,
)

GROUP = "Soil_Moisture_Retrieval_Data_1km"
SUFFIX = "_1km"
REACH_DEGREES = 6.0
"""How far a scene may reach from the place in its name, degrees of latitude."""
_NAME = re.compile(
    r"SMAP_L2_SM_SP_(?P<radar>1[A-D]IW[A-Z]{2}_\d{8}T\d{6})_(?P<day>\d{8})(?P<time>T\d{6})_"
    r"(?P<place>(?P<lon>\d{3})(?P<ew>[EW])(?P<lat>\d{2})(?P<ns>[NS]))_"
    r"(?P<release>[RT]\d{5})_(?P<version>\d{3})\.h5"
)

_DIMS = ("time", "y", "x")
Indices = NDArray[np.int64]

SCHEMA = CubeSchema(
    "smap_sentinel",
    SIN1KM.name,
    (volumetric("soil_moisture", "soil moisture of SMAP and Sentinel-1"),),
    1,
    (46, 150, 150),
    (46, 1200, 1200),
    "SMAP/Sentinel-1 SPL2SMAP_S soil moisture, 1 km",
    codec="lz4",
)


@dataclass(frozen=True)
class SmapSentinel:
    """Reader of scenes; several files are joined on a tile."""

    name: str = SCHEMA.name
    title: str = SCHEMA.title
    schema: CubeSchema = SCHEMA
    quality_rules: tuple[str, ...] = RETRIEVAL_RULES
    joins_granules: bool = True
    lookahead_days: int = 0
    outages: tuple[Outage, ...] = OUTAGES

    def expects(self, day: date) -> bool:
        """Say that no day must have a scene."""
        del day
        return False

    def identify(self, name: str) -> Granule | None:
        """Return what the name of a scene says; a newer release of a scene replaces an older."""
        found = _NAME.fullmatch(name)
        if found is None:
            return None
        day = day_of(found["day"])
        if day is None:
            return None
        scene = f"{found['radar']} {found['time']} {found['place']}"
        produced = f"{found['release']}_{found['version']}"
        return Granule(self.name, GLOBE, day, day, produced, name, scene)

    def covers(self, granule: Granule, key: TileYear) -> bool:
        """Say whether a scene may reach a tile, by the whole degrees of its name."""
        found = _NAME.fullmatch(granule.name)
        if found is None:
            return False
        lon = int(found["lon"]) * (1 if found["ew"] == "E" else -1)
        lat = int(found["lat"]) * (1 if found["ns"] == "N" else -1)
        west, south, east, north = _bounds(key.tile)
        if not south - REACH_DEGREES <= lat <= north + REACH_DEGREES:
            return False
        reach = REACH_DEGREES / np.cos(np.radians(min(abs(lat) + REACH_DEGREES, 85.0)))
        centre, half = (west + east) / 2.0, (east - west) / 2.0
        apart = abs((lon - centre + 180.0) % 360.0 - 180.0)
        return bool(apart <= half + reach)

    def read(self, path: Path, *, quality: str = "") -> xr.Dataset:
        """Return a scene on its own 1 km cells: soil moisture (m3 m-3) and flags, dims (y, x).

        Raises
        ------
        GranuleError
            If the file is damaged or of another product or layout.
        """
        rule = check_rule(quality, self.quality_rules, self.name)
        granule = self.identify(path.name)
        if granule is None:
            raise GranuleError(f"{path.name}: expected a name of SPL2SMAP_S with its two stamps")
        file = DayFile(path)
        try:
            check_short_name(file, "SPL2SMAP_S")
            return _scene(file, granule, rule)
        finally:
            file.close()

    def steps(
        self, datasets: Sequence[xr.Dataset], key: TileYear, *, within: Window | None = None
    ) -> xr.Dataset:
        """Return the days with a scene on a tile, dims (time, y, x), NaN outside the scenes."""
        window = within or key.window
        days = days_in(
            [np.array([one.attrs["day"]], "datetime64[D]") for one in datasets], key.year
        )
        values = np.full((len(days), *window.shape), np.nan, np.float32)
        row, col = _cells_of(window)
        for dataset in sorted(datasets, key=lambda one: str(one.attrs["file"])):
            at = np.flatnonzero(days == np.datetime64(dataset.attrs["day"], "D"))
            if at.size:
                _place(dataset, row, col, values[at[0]])
        return steps_dataset(self.schema, {"soil_moisture": values}, days, window)


def _scene(file: DayFile, granule: Granule, rule: str) -> xr.Dataset:
    """Return a scene, read; its layers are a few hundred cells on a side."""
    amount = Amount(f"{GROUP}/soil_moisture{SUFFIX}", VOLUMETRIC, (0.0, 1.0))
    shape = file.layer(amount.path, "f").shape
    if len(shape) != 2:
        raise GranuleError(f"{file.path.name}: expected {amount.path} by row and column")
    file.expect(shape)
    words = {name: word_layer(file, f"{GROUP}/{name}{SUFFIX}") for name in WORDS}
    values = LazyAmount(file, amount, words, keep_smap(rule))
    fields = {"soil_moisture": lazy(values, _DIMS, {"units": "m3 m-3"})}
    fields |= {name: lazy(LazyWords(file, words[name]), _DIMS, {"units": "1"}) for name in WORDS}
    window = _window_of(file, shape)
    rows, cols = window.slices
    return xr.Dataset(
        {name: field.isel(time=0).load() for name, field in fields.items()},
        coords={"y": EASE2_1KM.y[rows], "x": EASE2_1KM.x[cols]},
        attrs={
            "source": SCHEMA.name,
            "file": file.path.name,
            "day": granule.start.isoformat(),
            "row0": window.row0,
            "col0": window.col0,
        },
    )


def _window_of(file: DayFile, shape: tuple[int, int]) -> Window:
    """Return the cells of the 1 km grid that a scene's arrays lie on, from their indices.

    Raises
    ------
    GranuleError
        If no index is known, or they are not those of a rectangle of the grid.
    """
    firsts = []
    for name, axis, most in (("row", 0, EASE2_1KM.rows), ("column", 1, EASE2_1KM.cols)):
        path = f"{GROUP}/EASE_{name}_index{SUFFIX}"
        layer = word_layer(file, path)
        found = file.cells(layer, (slice(None), slice(None))).astype(np.int64)
        known = found != WORD_FILL
        along = np.arange(shape[axis]).reshape((-1, 1) if axis == 0 else (1, -1))
        starts = np.unique((found - along)[known])
        if starts.size != 1 or starts[0] < 0 or starts[0] + shape[axis] > most:
            raise GranuleError(
                f"{file.path.name}: expected {path} of one rectangle of the {most} {name}s of the "
                f"1 km grid, found {starts.size or 'no'} first {name}s"
            )
        firsts.append(int(starts[0]))
    row, col = firsts
    return Window(row, row + shape[0], col, col + shape[1])


def _place(dataset: xr.Dataset, row: Indices, col: Indices, values: NDArray[np.float32]) -> None:
    """Put a scene into the pixels of a day that nothing is known of yet."""
    scene = dataset["soil_moisture"].values
    down, across = row - dataset.attrs["row0"], col - dataset.attrs["col0"]
    inside = (down >= 0) & (down < scene.shape[0]) & (across >= 0) & (across < scene.shape[1])
    inside &= np.isnan(values)
    values[inside] = scene[down[inside], across[inside]]


@lru_cache(maxsize=2)
def _cells_of(window: Window) -> tuple[Indices, Indices]:
    """Return the 1 km cell that each pixel's centre lies in, row and column; -1 off the globe."""
    lon, lat = SIN1KM.lonlat(window)
    on_globe = np.isfinite(lon)
    row, col = (np.full(window.shape, -1, np.int64) for _ in range(2))
    row[on_globe], col[on_globe] = EASE2_1KM.pixel_of(lon[on_globe], lat[on_globe])
    return row, col


@lru_cache(maxsize=1024)
def _bounds(tile: str) -> tuple[float, float, float, float]:
    """Return west, south, east and north of a tile's pixels, degrees; all NaN off the globe."""
    window = tile_window(SIN1KM, tile)
    edge_rows = (window.row0, (window.row0 + window.row1) // 2, window.row1 - 1)
    lonlat = [SIN1KM.lonlat(Window(row, row + 1, window.col0, window.col1)) for row in edge_rows]
    lon, lat = (np.concatenate([pair[i].ravel() for pair in lonlat]) for i in (0, 1))
    known = np.isfinite(lon)
    if not known.any():
        return (float("nan"),) * 4
    lon, lat = lon[known], lat[known]
    return float(lon.min()), float(lat.min()), float(lon.max()), float(lat.max())


SMAP_SENTINEL = SmapSentinel()
