"""SMAP radiometer soil moisture, daily composites: SPL3SMP (36 km) and SPL3SMP_E (9 km).

A file is HDF5 with a group for the overpasses at 6 in the morning (descending) and one for those at
18 (ascending), whose names end in ``_pm``; layers are global EASE-Grid 2.0 arrays, north up (NSIDC,
data fields of SPL3SMP and SPL3SMP_E). Values are masked by their fill, by ``valid_min`` and
``valid_max`` of the file, and by a rule on the bits of ``retrieval_qual_flag`` and ``surface_flag``
(`quality.SMAP_RETRIEVAL`, `quality.SMAP_SURFACE`).
"""

import re
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import ClassVar

import h5py
import numpy as np
import xarray as xr

from smcloud.core.errors import GranuleError
from smcloud.cube.schema import Variable
from smcloud.grids.grid import EASE2_9KM, EASE2_36KM, Floats, Grid, Window
from smcloud.grids.tiles import GLOBE
from smcloud.sources.base import Granule, Outage, day_of
from smcloud.sources.coarse_files import daily_schema
from smcloud.sources.day_files import Amount, DayFile, LazyAmount, LazyWords, lazy
from smcloud.sources.global_days import GlobalDays
from smcloud.sources.quality import keep_smap

CELLS_36KM, CELLS_9KM = (20, 100), (50, 200)
"""Rows, and columns, of a chunk and of a shard of cubes on either grid."""
FILL, WORD_FILL = -9999.0, 65534
VOLUMETRIC = ("cm**3/cm**3", "cm3/cm3", "cm^3/cm^3", "m**3/m**3", "m3/m3", "m3 m-3")
OUTAGES = (
    Outage(date(1970, 1, 1), date(2015, 3, 30), "SMAP measures since 2015-03-31"),
    Outage(date(2019, 6, 19), date(2019, 7, 23), "SMAP was in safe mode"),
    Outage(date(2022, 8, 6), date(2022, 9, 20), "SMAP was in safe mode"),
)
GROUPS: Mapping[str, tuple[str, str]] = {
    "am": ("Soil_Moisture_Retrieval_Data_AM", ""),
    "pm": ("Soil_Moisture_Retrieval_Data_PM", "_pm"),
}
"""Group and suffix of the layers of each overpass."""
WORDS = ("retrieval_qual_flag", "surface_flag")
CENTRE_TOLERANCE_DEGREES = 0.01
CHECKED_ROWS = 16
"""Rows, spread over the grid, whose coordinates in a file are compared with the grid's."""
_NAME = re.compile(
    r"SMAP_L3_(?P<topic>SM|FT)_P(?P<enhanced>_E)?_(?P<day>\d{8})_(?P<release>[RT]\d{5})_"
    r"(?P<version>\d{3})\.h5"
)


def volumetric(name: str, long_name: str) -> Variable:
    """Return a cube variable of soil moisture as SMAP has it."""
    return Variable(
        name,
        "int16",
        "m3 m-3",
        long_name,
        (0.0, 1.0),
        scale=0.0001,
        fill=-9999,
        standard_name="volume_fraction_of_condensed_water_in_soil",
    )


class SmapDays(GlobalDays):
    """Reader of a daily product of SMAP, by NSIDC's short name: of 36 km, or ``_E`` of 9 km.

    Attributes
    ----------
    topic : str
        What names have after ``SMAP_L3``.
    """

    topic: ClassVar[str]

    def identify(self, name: str) -> Granule | None:
        """Return what a name ``SMAP_L3_<topic>_P_<day>_<release>_<version>.h5`` says."""
        found = _NAME.fullmatch(name)
        if found is None or found["topic"] != self.topic:
            return None
        day = day_of(found["day"])
        if day is None or bool(found["enhanced"]) != self.product.endswith("_E"):
            return None
        produced = f"{found['release']}_{found['version']}"
        return Granule(self.name, GLOBE, day, day, produced, name, "daily")


class SmapDaily(SmapDays):
    """Reader of soil moisture of both overpasses."""

    topic = "SM"

    def _fields(self, file: DayFile, granule: Granule, rule: str) -> dict[str, xr.Variable]:
        """Return soil moisture (m3 m-3) and flags of both overpasses."""
        del granule
        check_short_name(file, self.product)
        _check_centres(file, self.schema.on)
        fields: dict[str, xr.Variable] = {}
        for overpass in GROUPS:
            fields |= self._overpass(file, overpass, rule)
        return fields

    def _overpass(self, file: DayFile, overpass: str, rule: str) -> dict[str, xr.Variable]:
        """Return the layers of one overpass; flags carry the file's own names of their bits."""
        group, suffix = GROUPS[overpass]
        words = {name: word_layer(file, f"{group}/{name}{suffix}") for name in WORDS}
        amount = Amount(f"{group}/soil_moisture{suffix}", VOLUMETRIC, (0.0, 1.0), FILL)
        values = LazyAmount(file, amount, words, keep_smap(rule))
        fields = {f"soil_moisture_{overpass}": lazy(values, self.schema.dims, {"units": "m3 m-3"})}
        for name, layer in words.items():
            attrs = {"units": "1"}
            for meaning in ("flag_masks", "flag_meanings"):
                if text := file.attribute(f"{group}/{name}{suffix}", meaning):
                    attrs[meaning] = text
            fields[f"{name}_{overpass}"] = lazy(LazyWords(file, layer), self.schema.dims, attrs)
        return fields


def _check_centres(file: DayFile, grid: Grid) -> None:
    """Raise `GranuleError` unless known coordinates, of some rows, are those of the grid.

    Those of the morning stand for both overpasses: the layers of a file have one shape.
    """
    group = GROUPS["am"][0]
    for name, centres in zip(("longitude", "latitude"), _centres(grid), strict=True):
        layer = file.layer(f"{group}/{name}", "f")
        found = file.cells(layer, (_checked_rows(grid), slice(None)))
        known = np.isfinite(found) & (found != np.float32(FILL))
        wrong = known & ~(np.abs(found - centres) <= CENTRE_TOLERANCE_DEGREES)
        if wrong.any():
            row, col = (int(index[0]) for index in np.nonzero(wrong))
            there = np.broadcast_to(centres, wrong.shape)[row, col]
            raise GranuleError(
                f"{file.path.name}: expected {name} {there:.4f} where the grid {grid.name} has "
                f"it, found {found[row, col]:.4f}"
            )


def _checked_rows(grid: Grid) -> slice:
    """Return the rows whose coordinates are compared, spread over the grid."""
    return slice(grid.rows // (2 * CHECKED_ROWS), None, grid.rows // CHECKED_ROWS)


@lru_cache(maxsize=2)
def _centres(grid: Grid) -> tuple[Floats, Floats]:
    """Return longitude (1, cols) and latitude (some rows, 1) of cell centres, degrees."""
    lon, _ = grid.lonlat(Window(0, 1, 0, grid.cols))
    _, lat = grid.lonlat(Window(0, grid.rows, 0, 1))
    return lon, lat[_checked_rows(grid)]


def check_short_name(file: DayFile, expected: str) -> None:
    """Raise `GranuleError` where the metadata of a file name another product."""
    found = file.attribute("Metadata/DatasetIdentification", "shortName")
    if found and found != expected:
        raise GranuleError(f"{file.path.name}: expected the product {expected}, found {found}")


def word_layer(file: DayFile, path: str) -> h5py.Dataset:
    """Return a layer of 16 bit flags, or raise `GranuleError`."""
    layer = file.layer(path, "iu")
    if layer.dtype.itemsize != 2:
        raise GranuleError(
            f"{file.path.name}: expected {path} of 16 bits a cell, found {layer.dtype}"
        )
    return layer


_BOTH = (
    volumetric("soil_moisture_am", "soil moisture, overpass at 6 local solar time"),
    volumetric("soil_moisture_pm", "soil moisture, overpass at 18 local solar time"),
)
SMAP_L3 = SmapDaily(
    "SPL3SMP",
    daily_schema(
        "smap_l3", EASE2_36KM, _BOTH, CELLS_36KM, "SMAP SPL3SMP soil moisture, daily, 36 km"
    ),
    OUTAGES,
)
SMAP_L3E = SmapDaily(
    "SPL3SMP_E",
    daily_schema(
        "smap_l3e", EASE2_9KM, _BOTH, CELLS_9KM, "SMAP SPL3SMP_E soil moisture, daily, 9 km"
    ),
    OUTAGES,
)
