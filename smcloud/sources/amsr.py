"""Soil moisture of AMSR-E, AMSR2 and WindSat by LPRM: daily global netCDF files at 0.25 degree.

The Land Parameter Retrieval Model is run on each radiometer apart, and the passes by night and by
day are products of their own (Goddard DISC: LPRM_AMSRE_D_SOILM3, LPRM_AMSR2_D_SOILM3,
LPRM_WINDSAT_NT_SOILM3; A and DY by day). By night soil and leaves are about equally warm, as the
retrieval assumes. Arrays lie by longitude and latitude; soil moisture is a whole number of per
cent, so that 0.01 m3 m-3 is the finest step there is. Layers of AMSR2 were read in the header of a
file (LPRM-AMSR2_L3_A_SOILM3_V001_20121216010911.nc4), those of AMSR-E are the ones that readers of
other projects name; WindSat is taken to be laid out as AMSR-E is.

No file says in one word what became of a cell. It is told from skin temperature, optical depth,
error and interference, whose thresholds are those of NASA's Land Information System for LPRM:
273.15 K, 0.8 and 0.2 m3 m-3.
"""

import re
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from smcloud.core.errors import GranuleError
from smcloud.cube.schema import Variable
from smcloud.grids.grid import GLOBAL025
from smcloud.grids.tiles import GLOBE
from smcloud.sources.base import Granule, Outage, day_of
from smcloud.sources.coarse_files import check_axis, daily_schema
from smcloud.sources.day_files import (
    ENOUGH_VALUES,
    MOST_OUTSIDE,
    DayFile,
    Floats,
    LazyLayer,
    Packed,
    Window2,
    lazy,
)
from smcloud.sources.global_days import GlobalDays
from smcloud.sources.quality import ALL, RECOMMENDED
from smcloud.sources.smap import volumetric

NIGHT, DAY = "night", "day"
WORDS = {"D": NIGHT, "NT": NIGHT, "A": DAY, "DY": DAY}
"""Words of the overpasses in names: AMSR descends by night, WindSat's products say so."""
FREEZING_K, GREATEST_DEPTH, GREATEST_ERROR_PERCENT = 273.15, 0.8, 20.0
AXIS_TOLERANCE_DEGREES = 0.001
PERCENT = np.float32(0.01)
UNKNOWN = -32767
_NAME = re.compile(
    r"LPRM-(?P<sensor>AMSR_E|AMSR2|WINDSAT)_L3_(?P<overpass>D|A|NT|DY)_SOILM3_"
    r"V(?P<version>\d{3})_(?P<day>\d{8})(?P<time>\d{6})?\.nc4?"
)
_EVERYTHING = (slice(None), slice(None))
Words = NDArray[np.uint8]
Stored = NDArray[np.int16]


class RetrievalState(IntEnum):
    """What became of a cell on a day."""

    RETRIEVED = 0
    FROZEN = 1
    """Frozen ground, or snow, over which no temperature can be had."""
    DENSE = 2
    """Under vegetation too dense to look through."""
    INTERFERENCE = 3
    """Spoilt by transmitters."""
    UNCERTAIN = 4
    """Retrieved with an error that makes it worthless."""
    FAILED = 5
    """Seen, and without a retrieval for another reason."""
    NOT_SEEN = 255
    """Under no swath."""


@dataclass(frozen=True)
class Layers:
    """Names of the layers of a sensor's files.

    Attributes
    ----------
    moisture, error, depth : str
        Of one frequency: the lowest, whose waves come from deepest in the soil.
    interference : str
        Layer that tells of transmitters.
    clean : int
        What is stored there where there are none.
    must_tell : bool
        Whether a file without that layer is refused.
    """

    moisture: str
    error: str
    depth: str
    interference: str
    clean: int
    must_tell: bool


ONE_C_BAND = Layers("soil_moisture_c", "sm_c_error", "opt_depth_c", "rfi_code", 0, must_tell=False)
"""AMSR-E and WindSat. Swath files have `rfi_code`; whether daily ones do is not documented."""
TWO_C_BANDS = Layers(
    "soil_moisture_c1",
    "soil_moisture_c1_error",
    "opt_depth_c1",
    "frequency_map",
    69,
    must_tell=True,
)
"""AMSR2 measures at 6.9 and 7.3 GHz to evade transmitters, and its frequency map (tenths of GHz)
says which frequency is the lowest that is free of them."""
TEMPERATURE, SCAN_TIME = "ts", "scantime"


class Looks(NamedTuple):
    """Cells of a day, (rows, cols) or any other shape, NaN unknown."""

    percent: Floats
    error_percent: Floats
    depth: Floats
    temperature_k: Floats
    is_disturbed: NDArray[np.bool_]
    is_seen: NDArray[np.bool_]


def states_of(looks: Looks, rule: str) -> Words:
    """Return the `RetrievalState` of each cell by a quality rule.

    Recommended: everything that speaks against a value counts. Attempted: dense vegetation and a
    large error do not. All: every value of 0 to 100 per cent.
    """
    inside = (looks.percent >= 0) & (looks.percent <= 100)
    refused = [(~inside, RetrievalState.FAILED)]
    if rule == RECOMMENDED:
        refused = [
            (looks.error_percent > np.float32(GREATEST_ERROR_PERCENT), RetrievalState.UNCERTAIN),
            (~(looks.depth <= np.float32(GREATEST_DEPTH)), RetrievalState.DENSE),
            *refused,
        ]
    if rule != ALL:
        refused += [
            (looks.is_disturbed, RetrievalState.INTERFERENCE),
            (~(looks.temperature_k >= np.float32(FREEZING_K)), RetrievalState.FROZEN),
        ]
    state = np.full(looks.percent.shape, RetrievalState.RETRIEVED, np.uint8)
    for speaks_against, why in refused:
        state[speaks_against] = why
    state[~(looks.is_seen | inside)] = RetrievalState.NOT_SEEN
    return state


class _Judged:
    """A file's retrieval and what became of each cell, judged once, rows from north to south."""

    def __init__(self, file: DayFile, layers: Layers, rule: str) -> None:
        file.expect((GLOBAL025.cols, GLOBAL025.rows))
        self._file, self._rule, self._layers = file, rule, layers
        self._runs_north = _runs_north(file)
        self._moisture = file.integers(Packed(layers.moisture, "percent", 1.0))
        self._error = file.integers(Packed(layers.error, "percent", 0.01))
        self._depth = file.integers(Packed(layers.depth, "", 0.01))
        self._temperature = file.integers(Packed(TEMPERATURE, "Kelvin", 0.1))
        has_word = layers.must_tell or file.has(layers.interference)
        self._word = file.layer(layers.interference, "iu") if has_word else None
        self._times = file.layer(SCAN_TIME, "f") if file.has(SCAN_TIME) else None

    @cached_property
    def results(self) -> tuple[Stored, Words]:
        """Return per cent (`UNKNOWN` where refused) and state, (rows, cols)."""
        at, looks = self._looks()
        known = np.isfinite(looks.percent)
        outside = int((known & ~((looks.percent >= 0) & (looks.percent <= 100))).sum())
        if known.sum() >= ENOUGH_VALUES and outside > MOST_OUTSIDE * known.sum():
            raise GranuleError(
                f"{self._file.path.name}: expected {self._layers.moisture} of 0 to 100 percent, "
                f"found {outside} of {int(known.sum())} values outside"
            )
        shape = GLOBAL025.cols, GLOBAL025.rows
        percent = np.full(shape, UNKNOWN, np.int16)
        state = np.full(shape, RetrievalState.NOT_SEEN, np.uint8)
        state.reshape(-1)[at] = found = states_of(looks, self._rule)
        kept = found == RetrievalState.RETRIEVED
        percent.reshape(-1)[at[kept]] = looks.percent[kept].astype(np.int16)
        return self._by_row(percent), self._by_row(state)

    def _looks(self) -> tuple[NDArray[np.intp], Looks]:
        """Return the cells that were seen, counted as they are stored, and their looks.

        Most of the globe is sea, or under no swath.
        """
        moisture, temperature = (self._whole(one[0]) for one in (self._moisture, self._temperature))
        seen = (moisture != self._moisture[1]) | (temperature != self._temperature[1])
        if self._times is not None:
            seen |= self._whole(self._times) > 0
        at = np.flatnonzero(seen)
        disturbed = np.zeros(at.size, np.bool_)
        if self._word is not None:
            word = self._whole(self._word)[at]
            disturbed = (word >= 0) & (word != self._layers.clean)
        error, depth = (self._whole(one[0])[at] for one in (self._error, self._depth))
        return at, Looks(
            _unpacked(moisture[at], self._moisture[1], 1.0),
            _unpacked(error, self._error[1], 0.01),
            _unpacked(depth, self._depth[1], 0.01),
            _unpacked(temperature[at], self._temperature[1], 0.1),
            disturbed,
            np.ones(at.size, np.bool_),
        )

    def _whole(self, layer: Any) -> NDArray[Any]:
        """Return the cells of a layer in the order of the file."""
        return self._file.cells(layer, _EVERYTHING).reshape(-1)

    def _by_row(self, cells: NDArray[Any]) -> NDArray[Any]:
        """Return cells (cols, rows) as (rows, cols), from north to south."""
        turned = cells.T
        return np.ascontiguousarray(turned[::-1] if self._runs_north else turned)


def _unpacked(stored: NDArray[Any], fill: int, scale: float) -> Floats:
    """Return physical values, NaN where they are fill."""
    return np.where(stored == fill, np.float32(np.nan), stored * np.float32(scale))


class _LazyMoisture(LazyLayer):
    """Soil moisture of a day in m3 m-3, NaN where there is none."""

    def __init__(self, judged: _Judged) -> None:
        self._judged = judged
        super().__init__((GLOBAL025.rows, GLOBAL025.cols), np.float32)

    def _read(self, window: Window2) -> Floats:
        stored = self._judged.results[0][window]
        return np.where(stored == UNKNOWN, np.float32(np.nan), stored * PERCENT)


class _LazyState(LazyLayer):
    """`RetrievalState` of a day, NaN where no swath was."""

    def __init__(self, judged: _Judged) -> None:
        self._judged = judged
        super().__init__((GLOBAL025.rows, GLOBAL025.cols), np.float32)

    def _read(self, window: Window2) -> Floats:
        state = self._judged.results[1][window]
        is_seen = state != RetrievalState.NOT_SEEN
        return np.where(is_seen, state.astype(np.float32), np.float32(np.nan))


def _runs_north(file: DayFile) -> bool:
    """Say whether latitude rises; raise `GranuleError` unless axes are those of the grid."""
    lat = file.values("Latitude", GLOBAL025.rows)
    rises = bool(lat[0] < lat[-1])
    latitudes = GLOBAL025.y[::-1] if rises else GLOBAL025.y
    check_axis(file, "Latitude", latitudes, AXIS_TOLERANCE_DEGREES)
    check_axis(file, "Longitude", GLOBAL025.x, AXIS_TOLERANCE_DEGREES)
    return rises


@dataclass(frozen=True, kw_only=True)
class LprmSoilMoisture(GlobalDays):
    """Reader of one product: a sensor's passes by night or by day.

    Attributes
    ----------
    layers : Layers
    overpass : str
        ``night`` or ``day``.
    """

    layers: Layers
    overpass: str

    def identify(self, name: str) -> Granule | None:
        """Return what ``LPRM-AMSR2_L3_D_SOILM3_V001_<day><time>.nc4`` and its like say."""
        found = _NAME.fullmatch(name)
        if found is None or found["sensor"] != self.product:
            return None
        day = day_of(found["day"])
        if day is None or WORDS[found["overpass"]] != self.overpass:
            return None
        produced = f"V{found['version']}-{found['time'] or ''}"
        return Granule(self.name, GLOBE, day, day, produced, name, "daily")

    def _fields(self, file: DayFile, granule: Granule, rule: str) -> dict[str, xr.Variable]:
        """Return soil moisture (m3 m-3) and the state of each cell."""
        del granule
        judged = _Judged(file, self.layers, rule)
        dims = self.schema.dims
        return {
            "soil_moisture": lazy(_LazyMoisture(judged), dims, {"units": "m3 m-3"}),
            "retrieval_state": lazy(_LazyState(judged), dims, {"units": "1"}),
        }


def _state_variable() -> Variable:
    return Variable(
        "retrieval_state",
        "uint8",
        "1",
        "what became of the cell",
        (0.0, 254.0),
        fill=int(RetrievalState.NOT_SEEN),
        attrs={
            "flag_values": [int(state) for state in RetrievalState],
            "flag_meanings": " ".join(state.name.lower() for state in RetrievalState),
        },
    )


def _product(
    name: str, sensor: str, layers: Layers, outages: tuple[Outage, ...], words: str
) -> tuple[LprmSoilMoisture, LprmSoilMoisture]:
    """Return the readers of a sensor's passes by night and by day."""
    made = []
    for overpass in (NIGHT, DAY):
        own = name if overpass == NIGHT else f"{name}_{overpass}"
        schema = daily_schema(
            own,
            GLOBAL025,
            (
                volumetric("soil_moisture", f"soil moisture, {words}, passes by {overpass}"),
                _state_variable(),
            ),
            (25, 200),
            f"LPRM soil moisture of {words}, passes by {overpass}, daily, 0.25 degree",
        )
        made.append(LprmSoilMoisture(sensor, schema, outages, layers=layers, overpass=overpass))
    return made[0], made[1]


_EVER, _NEVER = date(1970, 1, 1), date(9999, 12, 31)
AMSRE_YEARS = (
    Outage(_EVER, date(2002, 6, 18), "AMSR-E measures since 2002-06-19"),
    Outage(date(2011, 10, 5), _NEVER, "the antenna of AMSR-E stopped on 2011-10-04"),
)
AMSR2_YEARS = (Outage(_EVER, date(2012, 7, 1), "AMSR2 measures since 2012-07-02"),)
WINDSAT_YEARS = (
    Outage(_EVER, date(2003, 1, 31), "LPRM has WindSat from 2003-02"),
    Outage(date(2012, 8, 1), _NEVER, "LPRM has WindSat to 2012-07"),
)

AMSRE_LPRM, AMSRE_LPRM_DAY = _product(
    "amsre_lprm", "AMSR_E", ONE_C_BAND, AMSRE_YEARS, "AMSR-E on Aqua"
)
AMSR2_LPRM, AMSR2_LPRM_DAY = _product(
    "amsr2_lprm", "AMSR2", TWO_C_BANDS, AMSR2_YEARS, "AMSR2 on GCOM-W1"
)
WINDSAT_LPRM, WINDSAT_LPRM_DAY = _product(
    "windsat_lprm", "WINDSAT", ONE_C_BAND, WINDSAT_YEARS, "WindSat on Coriolis"
)
