"""Blocks of joined coarse moisture with its gaps left open, and the reason of each gap.

Values are those of `coarse_blocks` before seams are filled: the same sensors on the same scales.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smcloud.cube.schema import Array, Days
from smcloud.features.coarse_cubes import JOINED, Joined
from smcloud.features.derived import DERIVED
from smcloud.features.derived_cubes import DerivedBlock
from smcloud.grids.grid import Floats
from smcloud.grids.land import land_cells
from smcloud.models.coarse_moisture import Bridge, SensorOfDay, joined_series
from smcloud.models.gap_reasons import GapReason, ReasonRule, Reasons, gap_reasons, reasons_of
from smcloud.production.coarse_blocks import (
    SPANS,
    days_measured,
    history_of,
    series_of,
    widened_days,
)

RULE = ReasonRule()
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class GappyYear:
    """A joined series with its gaps.

    Attributes
    ----------
    values : (days, cells)
        m3 m-3, 0 to 1; NaN unknown.
    reason : uint8 (days, cells)
        `GapReason` of each.
    """

    values: Floats
    reason: Reasons


@dataclass(frozen=True, eq=False)
class _Looks:
    """What one sensor's orbits came to on some days.

    Attributes
    ----------
    reasons : uint8 (days, cells)
        `UNKNOWN` on days without a cube, or on which it was not to measure.
    was_expected : (days,)
        Days on which it was to measure, whether a cube of the year is at hand or not.
    """

    reasons: Reasons
    was_expected: Bools


def gappy_block(block: DerivedBlock, name: str) -> Mapping[str, Array]:
    """Return the stored arrays (days, rows, cols) of a cube with gaps in a block and its year."""
    schema = DERIVED[name].schema
    days = schema.times(block.year)
    year = gappy_days(block, name, days)
    shape = (len(days), *block.window.shape)
    moisture = schema.variable("soil_moisture").pack(year.values)
    return {"soil_moisture": moisture.reshape(shape), "gap_reason": year.reason.reshape(shape)}


def gappy_days(block: DerivedBlock, name: str, days: Days) -> GappyYear:
    """Return the series of a block on consecutive days of its year with the reasons of its gaps."""
    made_of, (wide, kept) = JOINED[name], widened_days(days)
    looks = _looks(block, made_of, wide)
    is_land = land_cells(DERIVED[name].schema.on, block.window).ravel()
    values = np.full((len(wide), is_land.size), np.nan)
    by = np.full(len(wide), SensorOfDay.NONE, np.uint8)
    history = history_of(block, made_of)
    if history is not None:
        series = joined_series(history.sensors, wide, history.scales)
        values, by = series.values, series.by
    reason = gap_reasons(values, _of_day(looks, by), _others(looks, by), is_land)
    return GappyYear(values[kept], reason[kept])


def _looks(block: DerivedBlock, made_of: Joined, days: Days) -> dict[SensorOfDay, _Looks]:
    """Return what became of the cells under each sensor that the run file wants."""
    sources = {SensorOfDay.LATER: made_of.later, SensorOfDay.EARLIER: made_of.earlier}
    if block.settings["bridge"] == Bridge.SENSOR:
        sources[SensorOfDay.BRIDGE] = made_of.bridge
    years = sorted(set((days.astype("datetime64[Y]").astype(np.int64) + 1970).tolist()))
    found = {}
    for who, source in sources.items():
        expected = days_measured(source, days, SPANS[who])
        there, states = series_of(block, source, "retrieval_state", years)
        _, here, at = np.intersect1d(days[expected], there, return_indices=True)
        reasons = np.full((len(days), states.shape[1]), GapReason.UNKNOWN, np.uint8)
        reasons[np.flatnonzero(expected)[here]] = reasons_of(states[at], RULE)
        found[who] = _Looks(reasons, expected)
    return found


def _of_day(looks: Mapping[SensorOfDay, _Looks], by: NDArray[np.uint8]) -> Reasons:
    """Return the reasons (days, cells) of the sensor whose values each day has.

    On days without one: an outage if none was to measure, else its files are not here.
    """
    shape = next(iter(looks.values())).reasons.shape
    found = np.full(shape, GapReason.OUTAGE, np.uint8)
    found[np.any([one.was_expected for one in looks.values()], axis=0)] = GapReason.UNKNOWN
    for who, one in looks.items():
        found[by == who] = one.reasons[by == who]
    return found


def _others(looks: Mapping[SensorOfDay, _Looks], by: NDArray[np.uint8]) -> Sequence[Reasons]:
    """Return the reasons of each sensor on the days that have another one's values."""
    return [
        np.where((by == who)[:, None], GapReason.UNKNOWN, one.reasons).astype(np.uint8)
        for who, one in looks.items()
    ]
