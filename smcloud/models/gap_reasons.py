"""Why a cell has no soil moisture on a day: no orbit, a retrieval that failed, frozen ground, ...

The reason is that of the sensor whose values the day has, from its `RetrievalState` and from the
days on which it was expected to measure. Where that sensor did not look at a cell, another one
that measured on the day may have, and tells what the ground was like. Precedence, first to last:

1. a value is there: observed, whatever anybody says;
2. the cell is no land;
3. the sensor of the day looked: frozen or snow, dense vegetation, failed retrieval, as it says;
4. it did not, but the cell was frozen when it last or next did: frozen, as seams have it;
5. another sensor says so by 3 or 4: frozen, then dense vegetation. That its retrieval failed
   says nothing of the day's sensor;
6. no sensor was to measure, or none looked for longer than orbits leave a cell alone: outage.
   Rule 4 does not hold within such a spell;
7. swath.

Cells that the day's sensor never sees, and days whose files were never ingested, are unknown
instead of 6 or 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import UserError
from smcloud.models.coarse_moisture import not_seen
from smcloud.sources.amsr import RetrievalState

Reasons = NDArray[np.uint8]
Bools = NDArray[np.bool_]
States = NDArray[np.floating]


class GapReason(IntEnum):
    """Why a value is not there."""

    OBSERVED = 0
    SWATH = 1
    FAILED = 2
    FROZEN = 3
    DENSE = 4
    OUTAGE = 5
    NOT_LAND = 254
    UNKNOWN = 255


REASON_NAMES: Mapping[int, str] = MappingProxyType(
    {
        GapReason.SWATH: "swath",
        GapReason.FAILED: "failed retrieval",
        GapReason.FROZEN: "frozen or snow",
        GapReason.DENSE: "dense vegetation",
        GapReason.OUTAGE: "sensor outage",
        GapReason.UNKNOWN: "unknown reason",
    }
)
"""Reasons of gaps in words, as tables print them."""

_OF_STATE = {
    RetrievalState.RETRIEVED: GapReason.OBSERVED,
    RetrievalState.FROZEN: GapReason.FROZEN,
    RetrievalState.DENSE: GapReason.DENSE,
    RetrievalState.INTERFERENCE: GapReason.FAILED,
    RetrievalState.UNCERTAIN: GapReason.FAILED,
    RetrievalState.FAILED: GapReason.FAILED,
}
_BY_GROUND = (GapReason.FROZEN, GapReason.DENSE)
"""What a sensor saw of the ground, which holds for the others too; the first goes first."""
_NOBODY_LOOKED = (GapReason.SWATH, GapReason.OUTAGE, GapReason.UNKNOWN)


@dataclass(frozen=True)
class ReasonRule:
    """How a cell that no orbit saw is told from one that no sensor could have seen.

    Attributes
    ----------
    reach_days : int
        How far back and ahead a frozen cell makes an unseen one frozen, as for seams.
    longest_days : int
        Days in a row that orbits may leave a cell alone; more are an outage. Orbits of AMSR leave a
        cell unseen two days at most; the narrower swath of WindSat is taken to leave it five.
    """

    reach_days: int = 3
    longest_days: int = 5

    def __post_init__(self) -> None:
        if self.reach_days < 1 or self.longest_days < 1:
            raise UserError(
                "reasons of gaps need a reach and a longest spell of at least 1 day, found "
                f"{self.reach_days} and {self.longest_days}"
            )


def reasons_of(states: States, rule: ReasonRule | None = None) -> Reasons:
    """Return why one sensor has no value, (days, cells).

    Parameters
    ----------
    states : (days, cells)
        `RetrievalState` on consecutive days on which the sensor was to measure; NaN where no orbit
        was. A few days more than are kept, since spells are counted: what lies beyond the ends
        counts as seen.
    """
    rule = rule or ReasonRule()
    unseen = np.isnan(states)
    reason = np.full(states.shape, GapReason.UNKNOWN, np.uint8)
    for state, found in _OF_STATE.items():
        reason[states == state] = found
    is_swath = not_seen(states.astype(np.float64), RetrievalState.FROZEN, rule.reach_days)
    reason[unseen] = GapReason.FROZEN
    reason[is_swath] = GapReason.SWATH
    reason[unseen & (spell_days(unseen) > rule.longest_days)] = GapReason.OUTAGE
    if len(states) > rule.longest_days:
        reason[:, unseen.all(axis=0)] = GapReason.UNKNOWN
    return reason


def merged_reasons(of_day: Reasons, others: Sequence[Reasons]) -> Reasons:
    """Return the reasons of the day's sensor, with what others saw where it did not look.

    All (days, cells).
    """
    found = of_day.copy()
    for ground in reversed(_BY_GROUND):
        for other in others:
            found[np.isin(of_day, _NOBODY_LOOKED) & (other == ground)] = ground
    return found


def gap_reasons(
    values: NDArray[np.floating],
    of_day: Reasons,
    others: Sequence[Reasons],
    is_land: Bools,
) -> Reasons:
    """Return the reason of each cell and day, `OBSERVED` exactly where there is a value.

    Parameters
    ----------
    values : (days, cells)
        The joined series, NaN unknown.
    of_day : (days, cells)
        Of the sensor whose values each day has; on days without one, `OUTAGE` if none was to
        measure, else `UNKNOWN`.
    others : sequence of (days, cells)
        Of the other sensors, `UNKNOWN` on days on which they did not measure.
    is_land : (cells,)
    """
    reason = merged_reasons(of_day, others)
    # A state of a retrieval without its value is a failure all the same.
    reason[reason == GapReason.OBSERVED] = GapReason.FAILED
    reason[:, ~is_land] = GapReason.NOT_LAND
    reason[np.isfinite(values)] = GapReason.OBSERVED
    return reason


def spell_days(unknown: Bools) -> NDArray[np.int64]:
    """Return the length of the spell of unknown days that each belongs to, 0 where known.

    `unknown` is (days, ...); days beyond the ends count as known.
    """
    number = np.arange(len(unknown)).reshape(-1, *[1] * (unknown.ndim - 1))
    last = np.maximum.accumulate(np.where(unknown, -1, number), axis=0)
    after = np.where(unknown, len(unknown), number)[::-1]
    following = np.minimum.accumulate(after, axis=0)[::-1]
    return np.where(unknown, following - last - 1, 0)
