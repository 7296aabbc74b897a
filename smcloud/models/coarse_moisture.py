"""One series of coarse soil moisture out of sensors that took over from each other.

Each sensor is brought to the scale of the latest one (`intercalibration`), a third one stands in
while neither measured, and what the day's orbits missed is estimated (`seams`). What was seen and
could not be retrieved (frozen ground, dense leaves, transmitters) stays unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

import numpy as np
from numpy.typing import NDArray

from smcloud.cube.schema import Days
from smcloud.grids.grid import Floats
from smcloud.models.intercalibration import Calibration, MatchRule, ScaleMap, calibrate
from smcloud.models.seams import Bools, SeamRule, SeamState, fill_seams
from smcloud.validation.sensor_join import SensorRecord

Flags = NDArray[np.uint8]
JOIN_RULE = MatchRule(minimum_days=20)
"""WindSat and AMSR2 share one month, July 2012."""


class SourceFlag(IntEnum):
    """What a value rests on."""

    OBSERVED = 0
    SEAM_FILLED = 1
    BRIDGE_SENSOR = 2
    UNKNOWN = 255


class Bridge(StrEnum):
    """How two sensors that never overlap are joined, and what fills the time between them."""

    SENSOR = "sensor"
    """A third sensor that overlaps both carries the scale, and stands in between."""
    CLIMATOLOGY = "climatology"
    """The scale is that of the climatologies, and the time between stays unknown."""
    NONE = "none"
    """Each sensor keeps its scale, and the time between stays unknown."""


@dataclass(frozen=True, eq=False)
class Sensed:
    """What a sensor delivered.

    Attributes
    ----------
    record : SensorRecord
        Days and values (days, cells), m3 m-3, NaN unknown.
    missed : (days, cells)
        Cells that its orbits did not see, on days that it measured.
    """

    record: SensorRecord
    missed: Bools


@dataclass(frozen=True, eq=False)
class Sensors:
    """The sensors of a series; None where nothing of one is at hand."""

    earlier: Sensed | None
    later: Sensed | None
    bridge: Sensed | None = None


@dataclass(frozen=True, eq=False)
class Scales:
    """Maps to the scale of the later sensor; None leaves a sensor on its own."""

    earlier: Calibration | None = None
    bridge: Calibration | None = None


class SensorOfDay(IntEnum):
    """Whose values a day has."""

    LATER = 0
    EARLIER = 1
    BRIDGE = 2
    NONE = 255


@dataclass(frozen=True, eq=False)
class JoinedSeries:
    """What sensors saw, on one scale, with the gaps that they left.

    Attributes
    ----------
    values : (days, cells)
        m3 m-3, 0 to 1; NaN unknown.
    missed : (days, cells)
        Cells that the orbits of the day's sensor did not see.
    by : uint8 (days,)
        `SensorOfDay` of each day.
    """

    values: Floats
    missed: Bools
    by: Flags


@dataclass(frozen=True, eq=False)
class CoarseYear:
    """A series without seams.

    Attributes
    ----------
    values : (days, cells)
        m3 m-3, 0 to 1; NaN unknown.
    flag : uint8 (days, cells)
        `SourceFlag` of each.
    """

    values: Floats
    flag: Flags


def scales_of(sensors: Sensors, bridge: Bridge) -> Scales:
    """Return how each sensor is brought to the scale of the later one.

    Without the later sensor there is no scale to bring them to. A sensor whose cells have no map
    (too few days) is left on its own scale: `mapped`.
    """
    if bridge == Bridge.NONE or sensors.later is None:
        return Scales()
    later = sensors.later.record
    third = sensors.bridge.record if sensors.bridge and bridge == Bridge.SENSOR else None
    earlier = sensors.earlier.record if sensors.earlier else None
    return Scales(
        None if earlier is None else calibrate(earlier, later, third, rule=JOIN_RULE),
        None if third is None else calibrate(third, later, rule=JOIN_RULE),
    )


def mapped(calibration: Calibration | None, values: Floats, days: Days) -> Floats:
    """Return values (days, cells) on the later sensor's scale, 0 to 1; as they are without a map.

    A cell for which the map is unknown keeps its values: without any is worse than on the sensor's
    own scale.
    """
    found = values
    if calibration is not None:
        scale: ScaleMap = calibration.scale
        moved = scale.apply(values, days)
        found = np.where(np.isfinite(moved), moved, values)
    return np.clip(found, 0.0, 1.0)


def coarse_year(
    sensors: Sensors,
    days: Days,
    scales: Scales,
    predictors: Floats | None = None,
    rule: SeamRule | None = None,
) -> CoarseYear:
    """Return the joined series of some consecutive days.

    Parameters
    ----------
    days
        What is asked for; a few more than are kept, for seams look to the days beside.
    predictors : (predictors, days, cells)
        Of seams, on the same days.
    """
    seen = joined_series(sensors, days, scales)
    values, flag = seen.values, np.full(seen.values.shape, SourceFlag.OBSERVED, np.uint8)
    flag[seen.by == SensorOfDay.BRIDGE] = SourceFlag.BRIDGE_SENSOR
    if seen.missed.any() and np.isfinite(values).any():
        filled = fill_seams(values, seen.missed, predictors, rule)
        values = np.minimum(filled.values, 1.0)
        flag[filled.state == SeamState.FILLED] = SourceFlag.SEAM_FILLED
    flag[~np.isfinite(values)] = SourceFlag.UNKNOWN
    return CoarseYear(values, flag)


def joined_series(sensors: Sensors, days: Days, scales: Scales) -> JoinedSeries:
    """Return what the sensors saw on some days, seams left open.

    A day has the values of the later sensor if that one measured, else of the earlier, else of the
    bridge: sensors are not mixed within a day.
    """
    shape = (len(days), _cells(sensors))
    values, missed = np.full(shape, np.nan), np.zeros(shape, bool)
    by = np.full(len(days), SensorOfDay.NONE, np.uint8)
    for sensed, scale, who in (
        (sensors.bridge, scales.bridge, SensorOfDay.BRIDGE),
        (sensors.earlier, scales.earlier, SensorOfDay.EARLIER),
        (sensors.later, None, SensorOfDay.LATER),
    ):
        if sensed is not None:
            here, there = _common(days, sensed.record.days)
            values[here] = mapped(scale, sensed.record.values[there], days[here])
            missed[here] = sensed.missed[there]
            by[here] = who
    return JoinedSeries(values, missed, by)


def _common(days: Days, others: Days) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    _, here, there = np.intersect1d(days, others, return_indices=True)
    return here, there


def _cells(sensors: Sensors) -> int:
    """Return the number of cells, 0 where there is no sensor at all."""
    known = (sensors.earlier, sensors.later, sensors.bridge)
    return next((one.record.values.shape[1] for one in known if one is not None), 0)


def not_seen(states: Floats, frozen: int, reach_days: int) -> Bools:
    """Return which cells the orbits missed and could have been retrieved, (days, cells).

    Parameters
    ----------
    states : (days, cells)
        What became of each cell on consecutive days, NaN where no orbit was.
    frozen : int
        State of frozen ground: a cell that was frozen when last or next seen is no seam, its
        moisture could not be had.
    reach_days
        How far back and ahead is looked.
    """
    missed = np.isnan(states)
    was = _last(states, reach_days) == frozen
    will_be = _last(states[::-1], reach_days)[::-1] == frozen
    return np.asarray(missed & ~was & ~will_be)


def between_known(values: Floats, reach_days: int) -> Bools:
    """Return unknown values with a known one within so many days before, and one after.

    For products that do not say why a cell is unknown: spells of frost are longer than gaps
    between orbits.
    """
    before = np.isfinite(_last(values, reach_days))
    after = np.isfinite(_last(values[::-1], reach_days)[::-1])
    return np.asarray(np.isnan(values) & before & after)


def _last(values: Floats, reach_days: int) -> Floats:
    """Return the last known value of each cell at most so many days ago, NaN without one."""
    n_days = len(values)
    number = np.arange(n_days)[:, None]
    known = np.where(np.isfinite(values), number, -n_days - reach_days - 1)
    last = np.maximum.accumulate(known, axis=0)
    held = np.take_along_axis(values, np.maximum(last, 0), axis=0)
    return np.where(number - last <= reach_days, held, np.nan)
