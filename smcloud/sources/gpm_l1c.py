"""Brightness temperatures of AMSR-E and AMSR2 by orbit: GPM level 1C, HDF5.

NASA's Precipitation Processing System recalibrates radiometers to one another (XCAL). A file is an
orbit from the southernmost point on, in six swaths S1 to S6: 10.65, 18.7, 23.8 and 36.5 GHz, and 89
GHz by the two horns of 89A and 89B; `Tc` holds vertical and horizontal polarisation. Layouts are
those of two real files, which tell the channels of a swath in `LongName`; their values are all
fill, so that the codes of `Quality` follow the maker's file specification, from memory: 0 is good,
positive codes are cautions (1 sun glint, 2 interference, 3 geolocation, 4 a warm load that the sun
shone on) and negative ones mean that there is no value.
"""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from smcloud.core.errors import GranuleError
from smcloud.cube.schema import CubeSchema
from smcloud.grids.grid import EASE2_NORTH_25KM
from smcloud.grids.tiles import GLOBE
from smcloud.sources.amsr import AMSR2_YEARS, AMSRE_YEARS
from smcloud.sources.base import Granule, day_of
from smcloud.sources.coarse_files import daily_schema, granule_of
from smcloud.sources.day_files import DayFile
from smcloud.sources.quality import ATTEMPTED, RECOMMENDED, check_rule
from smcloud.sources.swath_cells import (
    ASCENDING,
    DESCENDING,
    Swath,
    brightness_variables,
    directions_of,
    swath_means,
)
from smcloud.sources.swath_days import SwathFiles, swath_dataset

SWATHS = {"S1": "10.65", "S2": "18.7", "S3": "23.8", "S4": "36.5", "S5": "89", "S6": "89"}
"""GHz of each swath, as `LongName` has them."""
GROUPS = {"10": ("S1",), "18": ("S2",), "23": ("S3",), "36": ("S4",), "89": ("S5", "S6")}
"""Swaths of each frequency of the cube."""
GOOD, INTERFERENCE = 0, 2
SECONDS_PER_HOUR, SECONDS_PER_DAY = 3600.0, 86401.0
"""A day may have a leap second."""
HOURS = {ASCENDING: "ascending, 13:30 local", DESCENDING: "descending, 1:30 local"}
_NAME = re.compile(
    r"1C\.(?P<satellite>\w+)\.(?P<sensor>\w+)\.(?P<calibration>XCAL\d{4}-\w+)\.(?P<day>\d{8})-"
    r"S(?P<start>\d{6})-E(?P<end>\d{6})\.(?P<orbit>\d{6})\.(?P<version>V\d{2}\w)\.HDF5"
)


class BrightnessOrbits(SwathFiles):
    """Reader of the orbits of one radiometer, named as `FileHeader` has it."""

    def identify(self, name: str) -> Granule | None:
        """Return what ``1C.GCOMW1.AMSR2.XCAL2016-V.<day>-S<start>-E<end>.<orbit>.V07A.HDF5`` says.

        An orbit that ends earlier in the day than it began ends on the next day.
        """
        found = _NAME.fullmatch(name)
        if found is None or found["sensor"] != self.product:
            return None
        day = day_of(found["day"])
        if day is None:
            return None
        last = day + timedelta(days=int(found["end"] < found["start"]))
        produced = f"{found['version']}-{found['calibration']}"
        return Granule(self.name, GLOBE, day, last, produced, name, f"orbit-{found['orbit']}")

    def read(self, path: Path, *, quality: str = "") -> xr.Dataset:
        """Return the means of an orbit's footprints by cell, UTC day and direction.

        Returns
        -------
        Dims as the cube has them, one step for each UTC day, over the window of the cells that hold
        a footprint. Brightness temperatures and hours as the cube names them, NaN without a
        footprint; ``footprints_18_asc`` and the like count them.

        Raises
        ------
        GranuleError
            If the file is damaged, of another radiometer or of another layout.
        """
        rule = check_rule(quality, self.quality_rules, self.name)
        granule_of(self, path)
        file = DayFile(path)
        try:
            _check_header(file, self.product)
            swaths = {name: _swath(file, name, rule) for name in SWATHS}
        finally:
            file.close()
        grid = self.schema.on
        found = {
            frequency: swath_means(grid, [swaths[name] for name in names])
            for frequency, names in GROUPS.items()
        }
        return swath_dataset(grid, found, self.name, path.name)


def kept_codes(codes: NDArray[np.signedinteger[Any]], rule: str) -> NDArray[np.bool_]:
    """Return which footprints a rule keeps by their `Quality`.

    Recommended: good ones alone. Attempted: cautions too, except interference. All: every one that
    has a value.
    """
    kept: NDArray[np.bool_] = codes == GOOD if rule == RECOMMENDED else codes >= GOOD
    return kept & (codes != INTERFERENCE) if rule == ATTEMPTED else kept


def _check_header(file: DayFile, sensor: str) -> None:
    """Raise `GranuleError` unless the header names the radiometer."""
    header = file.attribute("/", "FileHeader")
    found = re.search(r"InstrumentName=([^;]*);", header)
    if found is None or found[1] != sensor:
        named = found[1] if found else "no FileHeader that names one"
        raise GranuleError(f"{file.path.name}: expected level 1C of {sensor}, found {named}")


def _swath(file: DayFile, name: str, rule: str) -> Swath:
    """Return one swath after a look that it has the channels that it must have."""
    told = file.attribute(f"{name}/Tc", "LongName")
    for polarisation in ("V-Pol", "H-Pol"):
        expected = f"{SWATHS[name]} GHz {polarisation}"
        if expected not in told:
            raise GranuleError(
                f"{file.path.name}: expected {name}/Tc of {expected}, found {told or 'nothing'!r}"
            )
    brightness = file.array(f"{name}/Tc", "f")
    if brightness.ndim != 3 or brightness.shape[-1] != 2:
        raise GranuleError(
            f"{file.path.name}: expected {name}/Tc of scans x pixels x 2, found "
            + " x ".join(map(str, brightness.shape))
        )
    shape = brightness.shape[:2]
    return Swath(
        file.array(f"{name}/Longitude", "f", shape),
        file.array(f"{name}/Latitude", "f", shape),
        brightness,
        kept_codes(file.array(f"{name}/Quality", "i", shape), rule),
        *_times(file, name, shape[0]),
        directions_of(file.array(f"{name}/SCstatus/SClatitude", "f", shape[:1])),
    )


def _times(
    file: DayFile, name: str, scans: int
) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Return the UTC day of each scan, NaT where the file does not know it, and the hour."""
    year, month, day = (
        file.array(f"{name}/ScanTime/{part}", "i", (scans,)).astype(np.int64)
        for part in ("Year", "Month", "DayOfMonth")
    )
    second = file.array(f"{name}/ScanTime/SecondOfDay", "f", (scans,)).astype(np.float64)
    is_known = (year > 1970) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    is_known &= (second >= 0) & (second <= SECONDS_PER_DAY)
    months = np.where(is_known, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + np.where(is_known, day - 1, 0)
    days[~is_known] = np.datetime64("NaT")
    return days, second / SECONDS_PER_HOUR


def brightness_schema(name: str, words: str, hours: dict[str, str]) -> CubeSchema:
    """Return the cube of a radiometer's channels at 25 km."""
    title = f"brightness temperatures of {words}, daily, 25 km"
    return daily_schema(
        name, EASE2_NORTH_25KM, brightness_variables(hours), (40, 360), title, slab=8
    )


AMSRE_TB = BrightnessOrbits(
    "AMSRE", brightness_schema("amsre_tb", "AMSR-E on Aqua", HOURS), AMSRE_YEARS
)
AMSR2_TB = BrightnessOrbits(
    "AMSR2", brightness_schema("amsr2_tb", "AMSR2 on GCOM-W1", HOURS), AMSR2_YEARS
)
