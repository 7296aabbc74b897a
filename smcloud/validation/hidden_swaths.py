"""Values hidden under the gaps between orbits of other days, to judge what fills such gaps.

Cells that the orbits missed have no value to compare with. Known cells of day t are hidden where
the orbits missed them on day t + s: gaps keep their shape, width and slant, and move. Hidden days
lie far enough apart that the days beside them keep all they know, as beside a true gap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smcloud.core.errors import UserError
from smcloud.grids.grid import Floats
from smcloud.validation.collocation import month_of
from smcloud.validation.metrics import all_scores
from smcloud.validation.pairs import PairStats
from smcloud.validation.sensor_join import monthly_means

Bools = NDArray[np.bool_]
Filler = Callable[[Floats, Bools], Floats]
"""From values (days, cells), NaN unknown, and where estimates are wanted, the estimates there."""


@dataclass(frozen=True)
class HidingRule:
    """Which days are hidden, and under the gaps of which others."""

    shift_days: int = 5
    """Days from a hidden day to the one whose gaps hide it: more than a filler looks to either
    side, or its neighbour would be unknown wherever it is hidden. No multiple of the period of
    the orbits, after which gaps lie where they were."""
    apart: int = 7
    """Days from one hidden day to the next: 2 n + 1 where a filler looks n days to both sides."""
    folds: int = 7
    """Rounds, each with other days hidden; with as many as `apart` each day is hidden once."""

    def __post_init__(self) -> None:
        if not 1 <= self.folds <= self.apart or self.shift_days == 0:
            raise UserError(
                f"hidden swaths need 1 to {self.apart} folds (days apart) and a shift of at least "
                f"one day, found {self.folds} folds and {self.shift_days} days"
            )


@dataclass(frozen=True, eq=False)
class HiddenScores:
    """How well fillers find what was hidden.

    Attributes
    ----------
    pairs : mapping
        Filler to sums over the values that all fillers estimated, in units of the series.
    hidden, judged : int
        Values hidden, and those of them that all fillers estimated.
    found : mapping
        Filler to the number of hidden values that it estimated.
    """

    pairs: Mapping[str, PairStats]
    hidden: int
    judged: int
    found: Mapping[str, int]

    @property
    def alone(self) -> Mapping[str, float]:
        """Return the share of the hidden values that each filler estimated."""
        return {name: count / self.hidden for name, count in self.found.items()}

    def __add__(self, other: HiddenScores) -> HiddenScores:
        """Return the scores over both sets of values, of the fillers that both have."""
        shared = [name for name in self.pairs if name in other.pairs]
        return HiddenScores(
            {name: self.pairs[name] + other.pairs[name] for name in shared},
            self.hidden + other.hidden,
            self.judged + other.judged,
            {name: self.found[name] + other.found[name] for name in shared},
        )

    def table(self) -> pd.DataFrame:
        """Return one row per filler: n, share estimated, and every score."""
        rows = {
            name: {"n": int(pairs.n), "share": self.alone[name]}
            | {score: float(value) for score, value in all_scores(pairs).items()}
            for name, pairs in self.pairs.items()
        }
        return pd.DataFrame.from_dict(rows, orient="index")


def hidden_swaths(known: Bools, missed: Bools, rule: HidingRule, fold: int) -> Bools:
    """Return which known values (days, cells) one round hides.

    Parameters
    ----------
    known
        Where there is a value.
    missed
        Where no orbit looked, whatever became of what they saw elsewhere.
    fold
        From 0; day `fold` is the first that may be hidden.
    """
    n_days = len(known)
    hidden = np.zeros(known.shape, bool)
    for day in range(fold, n_days, rule.apart):
        other = day + rule.shift_days
        if not 0 <= other < n_days:  # at the end of the series: the same shift backwards
            other = day - rule.shift_days
        if 0 <= other < n_days:
            hidden[day] = known[day] & missed[other]
    return hidden


def score_hidden(
    values: Floats, missed: Bools, fillers: Mapping[str, Filler], rule: HidingRule
) -> HiddenScores:
    """Return how well each filler finds hidden values; it is given the series without them.

    All scores are over the same values: those that every filler estimated.

    Raises
    ------
    UserError
        If nothing is hidden: the orbits missed no cell, or the shift is a period of theirs.
    """
    known = np.isfinite(values)
    pairs = {name: PairStats.zero() for name in fillers}
    found = dict.fromkeys(fillers, 0)
    hidden_values = judged = 0
    for fold in range(rule.folds):
        hidden = hidden_swaths(known, missed, rule, fold)
        seen = np.where(hidden, np.nan, values)
        truth = values[hidden]
        estimates = {name: fill(seen, hidden)[hidden] for name, fill in fillers.items()}
        common = np.all([np.isfinite(one) for one in estimates.values()], axis=0)
        hidden_values, judged = hidden_values + truth.size, judged + int(common.sum())
        for name, estimate in estimates.items():
            found[name] += int(np.isfinite(estimate).sum())
            pairs[name] += PairStats.of(estimate[common], truth[common])
    if hidden_values == 0:
        raise UserError(
            f"no value could be hidden: no cell known on a day is missed {rule.shift_days} days "
            "later; choose another shift"
        )
    return HiddenScores(pairs, hidden_values, judged, found)


def linear_in_time(values: Floats, reach_days: int) -> Floats:
    """Return values (days, cells) with gaps interpolated in time between the nearest known days.

    Where only one side is known within `reach_days`, its value is held; NaN where neither is.
    """
    before, days_before = _last_known(values, reach_days)
    after, days_after = (found[::-1] for found in _last_known(values[::-1], reach_days))
    total = np.maximum(days_before + days_after, 1)
    between = (before * days_after + after * days_before) / total
    one_sided = np.where(np.isfinite(before), before, after)
    filled = np.where(np.isfinite(between), between, one_sided)
    return np.where(np.isfinite(values), values, filled)


def monthly_climatology(values: Floats, days: NDArray[np.datetime64]) -> Floats:
    """Return the mean of each cell over the known days of each calendar month, (days, cells)."""
    month = month_of(days)
    return np.asarray(monthly_means(values, month)[month])


def _last_known(values: Floats, reach_days: int) -> tuple[Floats, NDArray[np.int64]]:
    """Return the value of the last known day, today's included, and how long ago it was."""
    n_days = len(values)
    number = np.arange(n_days)[:, None]
    last = np.maximum.accumulate(np.where(np.isfinite(values), number, -n_days - reach_days), 0)
    ago = number - last
    held = np.take_along_axis(values, np.maximum(last, 0), axis=0)
    return np.where(ago <= reach_days, held, np.nan), ago
