"""Soil moisture that a neural network learnt from SMAP: AMSR-E, AMSR2 and MWRI on EASE-Grid 2.0.

Daily files at 36 km by Yao et al. 2021 (Scientific Data 8, 143, doi:10.1038/s41597-021-00925-8):
brightness temperatures of each radiometer, brought to SMAP's retrievals. By the makers' page a file
holds `latitude` (406), `longitude` (964) and `soil_moisture`, m3 m-3, and nothing else: no flag
says why a cell is unknown. Writers of Matlab store arrays the other way round, so either order of
rows and columns is read.
"""

import re
from datetime import date, timedelta

import numpy as np
import xarray as xr

from smcloud.cube.schema import CubeSchema
from smcloud.grids.grid import EASE2_36KM, Window
from smcloud.grids.tiles import GLOBE
from smcloud.sources.base import Granule, Outage
from smcloud.sources.coarse_files import check_axis, daily_schema
from smcloud.sources.day_files import Amount, DayFile, Floats, LazyAmount, LazyLayer, Window2, lazy
from smcloud.sources.global_days import GlobalDays
from smcloud.sources.smap import VOLUMETRIC, volumetric

CENTRE_TOLERANCE_DEGREES = 0.02
_NAME = re.compile(r"NNsm-(?P<sensor>AMSR\w*|FY\w*)-(?P<year>\d{4})(?P<day>\d{3})\.nc4?")
_MOISTURE = Amount("soil_moisture", (*VOLUMETRIC, "m3 / m3", ""), (0.0, 1.0))


class _Turned(LazyLayer):
    """A layer that is stored by column and row."""

    def __init__(self, layer: LazyAmount) -> None:
        self._layer = layer
        _, cols, rows = layer.shape
        super().__init__((rows, cols), np.float32)

    def _read(self, window: Window2) -> Floats:
        rows, cols = window
        return self._layer._read((cols, rows)).T


class NnsmSoilMoisture(GlobalDays):
    """Reader of the product of one family of radiometers, AMSR or FY (MWRI on FengYun-3B)."""

    def identify(self, name: str) -> Granule | None:
        """Return what ``NNsm-AMSR-<year><day of year>.nc`` says."""
        found = _NAME.fullmatch(name)
        if found is None or not found["sensor"].startswith(self.product):
            return None
        year, number = int(found["year"]), int(found["day"])
        if year < 1 or number < 1:
            return None
        day = date(year, 1, 1) + timedelta(days=number - 1)
        if day.year != year:
            return None
        return Granule(self.name, GLOBE, day, day, "", name, "daily")

    def _fields(self, file: DayFile, granule: Granule, rule: str) -> dict[str, xr.Variable]:
        """Return soil moisture; there is no flag that a rule could look at."""
        del granule, rule
        grid = self.schema.on
        _check_centres(file)
        is_turned = file.shape_of(_MOISTURE.path)[-2:] == (grid.cols, grid.rows)
        if is_turned:
            file.expect((grid.cols, grid.rows))
        values = LazyAmount(file, _MOISTURE, {}, ())
        layer = _Turned(values) if is_turned else values
        return {"soil_moisture": lazy(layer, self.schema.dims, {"units": "m3 m-3"})}


def _check_centres(file: DayFile) -> None:
    """Raise `GranuleError` unless latitude and longitude are those of the grid, north up."""
    grid = EASE2_36KM
    lon = grid.lonlat(Window(0, 1, 0, grid.cols))[0][0]
    lat = grid.lonlat(Window(0, grid.rows, 0, 1))[1][:, 0]
    for name, centres in (("latitude", lat), ("longitude", lon)):
        check_axis(file, name, centres, CENTRE_TOLERANCE_DEGREES, digits=".3f")


def _schema(name: str, words: str) -> CubeSchema:
    moisture = volumetric("soil_moisture", f"soil moisture by a neural network from {words}")
    title = f"NNsm soil moisture from {words}, daily, 36 km"
    return daily_schema(name, EASE2_36KM, (moisture,), (20, 100), title)


AMSR_NNSM = NnsmSoilMoisture(
    "AMSR",
    _schema("amsr_nnsm", "AMSR-E and AMSR2"),
    (
        Outage(date(1970, 1, 1), date(2002, 6, 18), "AMSR-E measures since 2002-06-19"),
        Outage(date(2011, 10, 5), date(2012, 7, 1), "between AMSR-E and AMSR2"),
    ),
    quality_rules=(),
)
MWRI_NNSM = NnsmSoilMoisture(
    "FY",
    _schema("mwri_nnsm", "MWRI on FengYun-3B"),
    (
        Outage(date(1970, 1, 1), date(2010, 11, 17), "MWRI on FY-3B measures since 2010-11-18"),
        Outage(date(2019, 8, 20), date(9999, 12, 31), "MWRI on FY-3B measured to 2019-08"),
    ),
    quality_rules=(),
)
