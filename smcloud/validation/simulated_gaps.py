"""Values hidden under the gaps of other days, to judge whatever fills the gaps of daily fields.

Known cells of day t are hidden where day t + s has a gap: gaps keep the shape of the sensors' own
swaths and their reason, and move to where there is something to compare with
(`hidden_swaths.HidingRule`). Only areas that are nearly complete on day t are hidden in, so that a
hole is a hole among known cells and not the rest of one. Every filler is given the same fields and
is judged on the same values, those that all of them filled.

Beside scores there is the consistency in time: the step of the series from the day before a filled
day and to the day after it, against the steps of the true series there. A ratio of 1 is the
series' own roughness, less is too smooth, more is a jump at the ends of gaps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, uniform_filter

from smcloud.core.errors import UserError
from smcloud.validation.hidden_pixels import GapSums
from smcloud.validation.hidden_swaths import HidingRule, hidden_swaths
from smcloud.validation.metrics import all_scores
from smcloud.validation.pairs import PairStats

Bools = NDArray[np.bool_]
Fields = NDArray[np.float32]
Reasons = NDArray[np.uint8]
Filler = Callable[[Fields, Bools], Fields]
"""From fields (days, rows, cols), NaN unknown, and land (rows, cols), the fields with the gaps on
land filled; NaN where it has no answer. Known values come back bit for bit."""

SPELLS = ((1, 1), (2, 2), (3, 4), (5, 8), (9, 10**6))
"""Classes of the days in a row that a cell is unknown to the fillers."""
WIDTHS = ((1, 1), (2, 3), (4, 7), (8, 15), (16, 10**6))
"""Classes of the cells from a hidden one to the nearest that is known on the day."""
ALL, BY_REASON, BY_DAYS, BY_CELLS = "all", "gap reason", "days of the gap", "cells to a known one"
BEFORE, AFTER = "from the day before", "to the day after"
SCORES = ("R", "RMSE", "MAE", "bias", "ubRMSE")


@dataclass(frozen=True)
class GapRule:
    """Which values are hidden.

    Attributes
    ----------
    hiding : HidingRule
        Days that are hidden and how far off the days are whose gaps hide them.
    area_cells : int
        Side of the area around a hidden cell that must be known on its day; 1: none.
    complete : float
        Share of the land there that must be known.
    """

    hiding: HidingRule = field(default_factory=HidingRule)
    area_cells: int = 9
    complete: float = 0.9

    def __post_init__(self) -> None:
        if self.area_cells < 1 or not 0 <= self.complete <= 1:
            raise UserError(
                "simulated gaps need areas of a cell at least and a share of 0 to 1, found "
                f"{self.area_cells} and {self.complete}"
            )


@dataclass(frozen=True, eq=False)
class GapScores:
    """Sums over hidden values; those of parts of the globe or of the years add up.

    Attributes
    ----------
    sums : GapSums
        By grouping, class and filler, in units of the fields.
    steps : mapping
        (filler, side) to pairs of the filled series' step and the true one's, over hidden values
        whose neighbour in time is known; `sums` and these are over the same values.
    found : mapping
        Filler to the number of hidden values that it filled.
    hidden : int
        Values hidden.
    """

    sums: GapSums
    steps: Mapping[tuple[str, str], PairStats]
    found: Mapping[str, int]
    hidden: int

    def __add__(self, other: GapScores) -> GapScores:
        """Return the scores over both sets of values, of the same fillers."""
        if set(self.found) != set(other.found):
            raise UserError(
                f"scores of {', '.join(self.found)} and of {', '.join(other.found)} do not add up"
            )
        return GapScores(
            self.sums + other.sums,
            {key: pairs + other.steps[key] for key, pairs in self.steps.items()},
            {name: count + other.found[name] for name, count in self.found.items()},
            self.hidden + other.hidden,
        )

    def table(self) -> pd.DataFrame:
        """Return one row a grouping, class and filler: n, share filled of all, every score."""
        rows = [
            {"grouping": grouping, "class": kind, "filler": filler, "n": int(pairs.n)}
            | {"share": self.found[filler] / self.hidden}
            | {score: float(all_scores(pairs)[score]) for score in SCORES}
            for (grouping, kind, filler), pairs in self._ordered()
        ]
        return pd.DataFrame(rows)

    def _ordered(self) -> list[tuple[tuple[str, str, str], PairStats]]:
        """Return the sums by grouping and class, small gaps first; rounds find them in any order.

        Reasons keep the order in which they were found.
        """
        groupings = (ALL, BY_REASON, BY_DAYS, BY_CELLS)
        sizes = {BY_DAYS: list(_words(SPELLS)), BY_CELLS: list(_words(WIDTHS))}

        def place(item: tuple[tuple[str, str, str], PairStats]) -> tuple[int, int]:
            grouping, kind, _ = item[0]
            known = sizes.get(grouping, [])
            return groupings.index(grouping), known.index(kind) if kind in known else 0

        return sorted(self.sums.pairs.items(), key=place)

    def overall(self) -> pd.DataFrame:
        """Return one row per filler over all gaps, with the ratio of its steps to the true ones."""
        table = self.table()
        own = table[table["grouping"] == ALL].set_index("filler")
        return own.drop(columns=["grouping", "class"]).assign(
            step_ratio=[self.step_ratio(str(name)) for name in own.index]
        )

    def consistency(self) -> pd.DataFrame:
        """Return one row a filler and side: n, root mean square step filled and true, their ratio.

        Steps are in units of the fields.
        """
        rows = []
        for (filler, side), pairs in self.steps.items():
            filled, true = _root_mean_squares(pairs)
            ratio = filled / true if true > 0 else float("nan")
            rows.append((filler, side, int(pairs.n), filled, true, ratio))
        names = ["filler", "side", "n", "step_filled", "step_true", "ratio"]
        return pd.DataFrame(rows, columns=names)

    def step_ratio(self, filler: str) -> float:
        """Return the ratio of the steps at both ends of filled days to the true ones."""
        both = self.steps[filler, BEFORE] + self.steps[filler, AFTER]
        filled, true = _root_mean_squares(both)
        return filled / true if true > 0 else float("nan")

    def lines(self) -> list[str]:
        """Return the tables as lines to print: all gaps first, then RMSE by every class."""
        told = [f"{self.hidden} values hidden, the same for every filler"]
        told += self.overall().round(4).to_string().splitlines()
        table = self.table()
        for grouping in (BY_REASON, BY_DAYS, BY_CELLS):
            own = table[table["grouping"] == grouping]
            if len(own):
                wide = own.pivot(index="class", columns="filler", values="RMSE")
                wide = wide.reindex(index=own["class"].unique(), columns=list(self.found))
                wide.insert(0, "n", own.groupby("class")["n"].first())
                told += [f"RMSE by {grouping}", *wide.round(4).to_string().splitlines()]
        return told


def score_gaps(
    values: Fields,
    land: Bools,
    fillers: Mapping[str, Filler],
    rule: GapRule | None = None,
    *,
    reasons: Reasons | None = None,
    reason_names: Mapping[int, str] | None = None,
) -> GapScores:
    """Return how well each filler finds hidden values; it is given the fields without them.

    Memory: the fields, what one filler makes of them, and a few bytes per value beside.

    Parameters
    ----------
    values : (days, rows, cols)
        Consecutive days; NaN unknown.
    land : (rows, cols)
        What can have a value at all.
    reasons : uint8 (days, rows, cols)
        Why a value is unknown; hidden values take the reason of the gap that hides them.
    reason_names : mapping
        Codes of reasons whose gaps hide values, and their words; other gaps hide nothing.

    Raises
    ------
    UserError
        If nothing can be hidden, no hidden value was filled by all fillers, or one of them changed
        a known value or the shape.
    """
    rule, names = rule or GapRule(), dict(reason_names or {})
    known = np.isfinite(values)
    gaps = ~known & land
    if reasons is not None and names:
        gaps &= np.isin(reasons, list(names))
    parts = []
    for fold in range(rule.hiding.folds):
        hidden = hidden_gaps(known, gaps, land, rule, fold)
        if hidden.any():
            of_hidden = None if reasons is None else _donors(reasons, hidden, rule.hiding)
            parts.append(_fold_scores(values, land, fillers, hidden, of_hidden, names))
    if not parts:
        raise UserError(
            f"no value could be hidden in {len(values)} days: no cell in an area known to "
            f"{rule.complete:.0%} is a gap {rule.hiding.shift_days} days later; choose another "
            "shift, smaller areas or a longer series"
        )
    found = reduce(add, parts)
    if not found.sums.pairs:
        counts = ", ".join(f"{name} {count}" for name, count in found.found.items())
        raise UserError(
            f"none of {found.hidden} hidden values was filled by every filler, so there is nothing "
            f"to judge them on; filled were: {counts}"
        )
    return found


def hidden_gaps(known: Bools, gaps: Bools, land: Bools, rule: GapRule, fold: int) -> Bools:
    """Return which known values (days, rows, cols) one round hides.

    Parameters
    ----------
    known, gaps : (days, rows, cols)
        Where there is a value, and which gaps may hide values of other days.
    fold
        From 0; day `fold` is the first that may be hidden.
    """
    flat = len(known), -1
    hidden = hidden_swaths(known.reshape(flat), gaps.reshape(flat), rule.hiding, fold)
    hidden = hidden.reshape(known.shape)
    if rule.area_cells > 1:
        on_land = uniform_filter(land.astype(np.float32), rule.area_cells, mode="constant")
        for day in np.flatnonzero(hidden.any(axis=(1, 2))):
            there = (known[day] & land).astype(np.float32)
            share = uniform_filter(there, rule.area_cells, mode="constant")
            # Sums of a running mean round: a complete area must not fail by its last digit.
            hidden[day] &= share >= rule.complete * on_land - 1e-4
    return hidden


def _donors(reasons: Reasons, hidden: Bools, rule: HidingRule) -> Reasons:
    """Return the reasons of the gaps that hide each hidden value, (values,)."""
    days, rows, cols = np.nonzero(hidden)
    other = days + rule.shift_days
    # As `hidden_swaths` has it: at the end of the series the same shift backwards.
    other = np.where((other >= 0) & (other < len(reasons)), other, days - rule.shift_days)
    return np.asarray(reasons[other, rows, cols])


def _fold_scores(
    values: Fields,
    land: Bools,
    fillers: Mapping[str, Filler],
    hidden: Bools,
    reasons: Reasons | None,
    names: Mapping[int, str],
) -> GapScores:
    """Return the scores of one round."""
    seen = np.where(hidden, np.float32(np.nan), values)
    truth = values[hidden].astype(np.float64)
    estimates = {name: _estimates(name, fill, seen, land, hidden) for name, fill in fillers.items()}
    common = np.all([np.isfinite(one) for one in estimates.values()], axis=0)
    groups = _classes(seen, hidden) | _by_reason(reasons, names)
    sums = GapSums()
    sums.add(estimates, truth, common, groups)
    steps = {}
    for side, lag in ((BEFORE, -1), (AFTER, 1)):
        beside = _beside(seen, hidden, lag)
        chosen = common & np.isfinite(beside)
        for name, estimate in estimates.items():
            made, true = estimate[chosen] - beside[chosen], truth[chosen] - beside[chosen]
            steps[name, side] = PairStats.of(made, true)
    found = {name: int(np.isfinite(one).sum()) for name, one in estimates.items()}
    return GapScores(sums, steps, found, truth.size)


def _estimates(
    name: str, fill: Filler, seen: Fields, land: Bools, hidden: Bools
) -> NDArray[np.float64]:
    """Return what a filler makes of the hidden values (values,).

    Raises
    ------
    UserError
        If it changed the shape or a known value.
    """
    filled = fill(seen, land)
    if filled.shape != seen.shape:
        raise UserError(f"{name} made fields of {filled.shape} out of {seen.shape}")
    changed = int((filled != seen)[np.isfinite(seen)].sum())
    if changed:
        raise UserError(f"{name} changed {changed} known values: a filler returns them as they are")
    return filled[hidden].astype(np.float64)


def _beside(seen: Fields, hidden: Bools, lag: int) -> NDArray[np.float64]:
    """Return the known values `lag` days from the hidden ones (values,), NaN where unknown."""
    days, rows, cols = np.nonzero(hidden)
    other = days + lag
    inside = (other >= 0) & (other < len(seen))
    found = seen[np.where(inside, other, 0), rows, cols].astype(np.float64)
    return np.where(inside, found, np.nan)


def _classes(seen: Fields, hidden: Bools) -> dict[str, dict[str, Bools]]:
    """Return the classes by size that each hidden value (values,) belongs to."""
    spell, width = _spells(seen, hidden), _widths(seen, hidden)
    return {
        ALL: {"": np.ones(spell.size, bool)},
        BY_DAYS: _banded(spell, SPELLS),
        BY_CELLS: _banded(width, WIDTHS),
    }


def _banded(sizes: NDArray[np.int64], bands: Sequence[tuple[int, int]]) -> dict[str, Bools]:
    return {
        word: (sizes >= low) & (sizes <= high)
        for word, (low, high) in zip(_words(bands), bands, strict=True)
    }


def _words(bands: Sequence[tuple[int, int]]) -> Iterator[str]:
    """Yield the words of classes; the last one has no upper end."""
    for low, high in bands:
        if (low, high) == bands[-1]:
            yield f"{low} or more"
        else:
            yield f"{low}" if low == high else f"{low} to {high}"


def _by_reason(reasons: Reasons | None, names: Mapping[int, str]) -> dict[str, dict[str, Bools]]:
    if reasons is None or not names:
        return {}
    return {BY_REASON: {word: np.asarray(reasons == code) for code, word in names.items()}}


def _spells(seen: Fields, hidden: Bools) -> NDArray[np.int64]:
    """Return the days in a row that the cell of each hidden value is unknown."""
    days, rows, cols = np.nonzero(hidden)
    unknown = np.isnan(seen)
    spell = np.ones(days.size, np.int64)
    for direction in (-1, 1):
        goes_on = np.ones(days.size, bool)
        for ago in range(1, len(seen)):
            other = days + direction * ago
            goes_on &= (other >= 0) & (other < len(seen))
            goes_on[goes_on] = unknown[other[goes_on], rows[goes_on], cols[goes_on]]
            if not goes_on.any():
                break
            spell += goes_on
    return spell


def _widths(seen: Fields, hidden: Bools) -> NDArray[np.int64]:
    """Return the cells from each hidden value to the nearest one that is known on its day."""
    found = []
    for day in np.flatnonzero(hidden.any(axis=(1, 2))):
        known = np.isfinite(seen[day])
        far = float(sum(known.shape))
        apart = distance_transform_edt(~known) if known.any() else np.full(known.shape, far)
        found.append(np.rint(apart[hidden[day]]).astype(np.int64))
    return np.concatenate(found)


def _root_mean_squares(pairs: PairStats) -> tuple[float, float]:
    """Return the root mean squares of both members of pairs; NaN without any."""
    if pairs.n == 0:
        return float("nan"), float("nan")
    estimate = np.sqrt(pairs.m2_x / pairs.n + pairs.mean_x**2)
    reference = np.sqrt(pairs.m2_y / pairs.n + pairs.mean_y**2)
    return float(estimate), float(reference)
