"""Brightness temperatures of MWRI on FengYun-3B by half orbit: level 1 of NSMC, HDF5.

A name tells the half: ``FY3B_MWRIA_GBAL_L1_<day>_<time>_010KM_MS.HDF`` ascends, ``MWRID`` descends.
`EARTH_OBSERVE_BT_10_to_89GHz` is (10, scans, pixels) of integers, vertical before horizontal
polarisation at 10.65, 18.7, 23.8, 36.5 and 89 GHz, brightness = stored * `Slope` + `Intercept`
(0.01 and 327.68). Of FengYun-3B layers lie at the root of the file, of 3C and 3D in `Calibration`
and `Geolocation`. Scans count days and milliseconds from 2000-01-01 12:00 UTC (`Scan_Daycnt`,
`Scan_Mscnt`). Files have no quality word. Names and layouts are those that public readers of the
files use; no real file was at hand, so what differs is refused.
"""

import re
from datetime import timedelta
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from smcloud.core.errors import GranuleError
from smcloud.grids.tiles import GLOBE
from smcloud.sources.base import Granule, day_of
from smcloud.sources.coarse_files import granule_of
from smcloud.sources.day_files import DayFile
from smcloud.sources.gpm_l1c import brightness_schema
from smcloud.sources.nnsm import MWRI_NNSM
from smcloud.sources.quality import check_rule
from smcloud.sources.swath_cells import ASCENDING, DESCENDING, FREQUENCIES, Swath, swath_means
from smcloud.sources.swath_days import SwathFiles, swath_dataset

CHANNELS = 2 * len(FREQUENCIES)
BRIGHTNESS = "EARTH_OBSERVE_BT_10_to_89GHz"
SLOPE, INTERCEPT = 0.01, 327.68
EPOCH = np.datetime64("2000-01-01T12:00", "ms")
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
HOURS = {ASCENDING: "ascending, 13:40 local", DESCENDING: "descending, 1:40 local"}
MOST_MINUTES = 102
"""An orbit: a half of one that begins in the last of them may end on the next day."""
_NAME = re.compile(
    r"FY3(?P<satellite>[BCD])_MWRI(?P<half>[AD])_GBAL_L1_(?P<day>\d{8})_(?P<time>\d{4})_010KM_MS"
    r"\.HDF"
)
_FOLDERS = (("", ""), ("Calibration/", "Geolocation/"))
"""Where measurements and places lie: at the root, or in groups."""


class MwriOrbits(SwathFiles):
    """Reader of the half orbits of one FengYun-3 satellite, named by its letter."""

    def kept_bytes(self, granules: int, quality: str) -> int:
        """Return the bytes that so many open files keep: the means of half an orbit's cells."""
        return super().kept_bytes(granules, quality) // 2

    def identify(self, name: str) -> Granule | None:
        """Return what ``FY3B_MWRIA_GBAL_L1_<day>_<time>_010KM_MS.HDF`` says."""
        found = _NAME.fullmatch(name)
        if found is None or found["satellite"] != self.product:
            return None
        day, time = day_of(found["day"]), found["time"]
        if day is None:
            return None
        minutes = 60 * int(time[:2]) + int(time[2:])
        last = day + timedelta(days=int(minutes + MOST_MINUTES >= 24 * 60))
        return Granule(self.name, GLOBE, day, last, "", name, f"{found['half']}{time}")

    def read(self, path: Path, *, quality: str = "") -> xr.Dataset:
        """Return the means of a half orbit's footprints by cell and UTC day.

        As `BrightnessOrbits.read`; the other half's channels are unknown.

        Raises
        ------
        GranuleError
            If the file is damaged, of another instrument or of another layout.
        """
        check_rule(quality, self.quality_rules, self.name)
        granule_of(self, path)
        file = DayFile(path)
        try:
            swaths = _swaths(file, _rises(path.name))
        finally:
            file.close()
        found = {
            frequency: swath_means(self.schema.on, [swath]) for frequency, swath in swaths.items()
        }
        return swath_dataset(self.schema.on, found, self.name, path.name)


def _rises(name: str) -> int:
    found = _NAME.fullmatch(name)
    return 1 if found and found["half"] == "A" else -1


def _swaths(file: DayFile, rises: int) -> dict[str, Swath]:
    """Return the swath of each frequency."""
    measured, placed = next((pair for pair in _FOLDERS if file.has(pair[0] + BRIGHTNESS)), ("", ""))
    path = measured + BRIGHTNESS
    stored = file.array(path, "iu")
    if stored.ndim != 3 or stored.shape[0] != CHANNELS:
        raise GranuleError(
            f"{file.path.name}: expected {path} of {CHANNELS} x scans x pixels, found "
            + " x ".join(map(str, stored.shape))
        )
    _check_packing(file, path)
    brightness = stored.astype(np.float32) * np.float32(SLOPE) + np.float32(INTERCEPT)
    shape = stored.shape[1:]
    lon, lat = (file.array(f"{placed}{name}", "f", shape) for name in ("Longitude", "Latitude"))
    days, hours = _times(file, measured, shape[0])
    return {
        frequency: Swath(
            lon,
            lat,
            np.moveaxis(brightness[2 * number : 2 * number + 2], 0, -1),
            np.ones(shape, np.bool_),
            days,
            hours,
            np.full(shape[0], rises, np.int8),
        )
        for number, frequency in enumerate(FREQUENCIES)
    }


def _check_packing(file: DayFile, path: str) -> None:
    """Raise `GranuleError` where a file says that its integers mean something else."""
    for name, expected in (("Slope", SLOPE), ("Intercept", INTERCEPT)):
        found = file.number(path, name)
        if not np.isclose(found, expected, rtol=1e-5):
            raise GranuleError(
                f"{file.path.name}: expected {path} with {name} {expected:g}, found {found:g}"
            )


def _times(
    file: DayFile, group: str, scans: int
) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Return the UTC day of each scan, NaT where the file does not know it, and the hour."""
    count, millisecond = (
        file.array(f"{group}{name}", "iuf").reshape(scans, -1)[:, 0].astype(np.float64)
        for name in ("Scan_Daycnt", "Scan_Mscnt")
    )
    is_known = (count > 0) & (count < 40_000) & (millisecond >= 0) & (millisecond <= DAY_MS)
    after = np.where(is_known, count * DAY_MS + millisecond, 0.0).astype(np.int64)
    moments = EPOCH + after.astype("timedelta64[ms]")
    days = moments.astype("datetime64[D]")
    hours = (moments - days).astype(np.float64) / HOUR_MS
    days[~is_known] = np.datetime64("NaT")
    return days, hours


MWRI_TB = MwriOrbits(
    "B",
    brightness_schema("mwri_tb", "MWRI on FengYun-3B", HOURS),
    MWRI_NNSM.outages,
    quality_rules=(),
)
