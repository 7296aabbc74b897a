"""The bandwidth of a local regression, found by leaving out what is estimated.

By default blocks are left out: all cells within a distance of the judged one. From the slopes that
the others give, the departure of the cell from the mean of its block is estimated; for that is
what slopes are for: coarse values give back every block its mean, and only what varies inside it
comes from the regression. The other way, leaving out the cell alone and estimating its value, is
there for comparison. It rewards bandwidths so small that the intercept follows its neighbours'
errors and unseen causes, which are like its own (Telford and Birks 2009,
doi:10.1016/j.quascirev.2008.12.020; Le Rest et al. 2014, doi:10.1111/geb.12161), and slopes are
the worse for it. docs/design/all-weather.md has both on worlds whose slopes are known.

The ridge is not found this way: from cell to cell predictors are nearly one (heat, leaves and bare
soil all follow the climate), and slopes that cancel out there score well. Inside a cell they do
not, and the same slopes make a pattern out of nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from smcloud.core.errors import UserError
from smcloud.grids.grid import Floats
from smcloud.models.gwr import (
    REACH_BANDWIDTHS,
    CoarseDays,
    Indices,
    LocalFit,
    LocalRule,
    fit_days,
    kernel,
)

Criterion = Literal["block", "cell"]

BANDWIDTHS_KM = (70.0, 100.0, 140.0, 200.0, 280.0, 400.0, 560.0, 800.0)
"""From two cells of 36 km on: below, a node has too few cells for slopes of its own."""
OWN_CELL_KM = 1e-3
"""Leaves out the cell itself: no two centres of a grid are that near."""
BLOCK_KM = 100.0
"""Radius of a block: some 24 cells of 36 km."""
FEWEST_IN_BLOCK = 4
"""Known cells of a block, the judged one among them, for its mean to be a mean."""


@dataclass(frozen=True)
class Judged:
    """Which cells and days a search looks at, thinned where there are more.

    Attributes
    ----------
    block_km : float
        Radius of the blocks that are left out.
    most_cells, most_days : int
        Cells are drawn at random from `seed`, days lie evenly among those with enough cells.
    seed : int
    """

    block_km: float = BLOCK_KM
    most_cells: int = 1000
    most_days: int = 24
    seed: int = 0

    def days_of(self, known: Indices, rule: LocalRule) -> Indices:
        """Return the positions of the days, given the known cells of each, (days,)."""
        return _evenly(np.flatnonzero(known >= rule.minimum_cells), self.most_days)

    def of(self, series: CoarseDays, rule: LocalRule) -> tuple[Indices, Indices]:
        """Return the positions of days and cells; none where no day has enough cells."""
        days = self.days_of(series.known.sum(axis=1), rule)
        cells = np.flatnonzero(series.known[days].any(axis=0))
        return days, _drawn(cells, self.most_cells, self.seed)


@dataclass(frozen=True, eq=False)
class BandwidthSearch:
    """What each bandwidth scores.

    Attributes
    ----------
    bandwidth_km : (candidates,)
        Ascending.
    rmse : (candidates,)
        Over the cells and days that every candidate estimates, in units of the target: of
        departures from the block's mean, or of values.
    pairs : int
        Cells and days judged.
    """

    bandwidth_km: Floats
    rmse: Floats
    pairs: int

    @property
    def chosen_km(self) -> float:
        """Return the bandwidth of least RMSE, the widest of equals."""
        best = np.flatnonzero(self.rmse <= self.rmse.min() * (1 + 1e-9))
        return float(self.bandwidth_km[best[-1]])


def search_bandwidth(
    series: CoarseDays,
    rule: LocalRule,
    candidates: Sequence[float] = BANDWIDTHS_KM,
    *,
    criterion: Criterion = "block",
    judged: Judged | None = None,
) -> BandwidthSearch:
    """Return the scores of candidate bandwidths, the rule's own being ignored.

    Each cell is estimated by the whole procedure, fall-backs included, from weights that hold
    zeros for what is left out; with the cell alone this is what the hat matrix gives, e / (1 - h),
    and it holds with a ridge too.

    Parameters
    ----------
    criterion
        ``block``, the default, or ``cell``; see the head of this file.
    judged
        Which cells and days are looked at, and how large blocks are.

    Raises
    ------
    UserError
        If no cell of any day can be estimated.
    """
    judged = judged or Judged()
    widths = sorted(candidates)
    rules = [replace(rule, bandwidth_km=width) for width in widths]
    days, at = judged.of(series, rules[0])
    if not days.size:
        raise _nothing_to_judge(rules[0])
    if criterion == "block":
        errors = _departure_errors(series, days, at, rules, judged.block_km)
    else:
        errors = _value_errors(series, days, at, rules)
    known = np.isfinite(errors).all(axis=0)
    if not known.any():
        raise _nothing_to_judge(rules[0])
    squares = np.array([np.mean(found[known] ** 2) for found in errors])
    return BandwidthSearch(np.array(widths, np.float64), np.sqrt(squares), int(known.sum()))


def departure_slope(series: CoarseDays, rule: LocalRule, judged: Judged | None = None) -> float:
    """Return the slope of true on estimated departures from block means.

    Each departure is estimated from slopes of cells outside its block. NaN where none can be.
    """
    judged = judged or Judged()
    days, at = judged.of(series, rule)
    if not days.size:
        return math.nan
    estimated, target = _departures(series, days, at, rule, judged.block_km)
    known = np.isfinite(estimated) & np.isfinite(target)
    variance = float(np.square(estimated[known]).sum())
    return float((estimated[known] * target[known]).sum()) / variance if variance else math.nan


def _nothing_to_judge(rule: LocalRule) -> UserError:
    return UserError(
        f"no bandwidth can be judged: no day has {rule.minimum_cells} cells near each other with "
        "moisture and all predictors; ingest more days, or lower minimum_cells"
    )


def _value_errors(
    series: CoarseDays, days: Indices, at: Indices, rules: Sequence[LocalRule]
) -> Floats:
    """Return estimate minus target of cells estimated from all others, (rules, days, cells)."""
    part = series.at(days)
    fits = (_fit_apart(series, days, at, rule, OWN_CELL_KM) for rule in rules)
    seen = part.target[:, at]
    return np.array([fit.estimate(part.predictors[:, :, at]) - seen for fit in fits])


def _departure_errors(
    series: CoarseDays, days: Indices, at: Indices, rules: Sequence[LocalRule], block_km: float
) -> Floats:
    """Return the errors of departures from block means, (rules, days, cells)."""
    found = (_departures(series, days, at, rule, block_km) for rule in rules)
    return np.array([estimated - target for estimated, target in found])


def _departures(
    series: CoarseDays, days: Indices, at: Indices, rule: LocalRule, block_km: float
) -> tuple[Floats, Floats]:
    """Return estimated and true departures from block means, (days, cells) each."""
    part = series.at(days)
    means = _block_means(part, at, block_km)
    values = np.concatenate([part.predictors, part.target[:, None]], axis=1)[:, :, at]
    predictors, target = np.split(values - means, [-1], axis=1)
    fit = _fit_apart(series, days, at, rule, block_km)
    return (fit.coefficients[:, 1:] * predictors).sum(axis=1), target[:, 0]


def _fit_apart(
    series: CoarseDays, days: Indices, at: Indices, rule: LocalRule, apart_km: float
) -> LocalFit:
    """Return the coefficients of cells from those further away than `apart_km`."""
    cells = series.lon, series.lat
    nodes = series.lon[at], series.lat[at]
    return fit_days(series, kernel(nodes, cells, rule.bandwidth_km, apart_km), rule, days)


def _block_means(series: CoarseDays, at: Indices, block_km: float) -> Floats:
    """Return means of predictors and target over the known cells around some, (days, k, cells)."""
    known = series.known
    cells, nodes = (series.lon, series.lat), (series.lon[at], series.lat[at])
    # A kernel ends at so many bandwidths: its cells are those of the block, its weights no matter.
    members = kernel(nodes, cells, block_km / REACH_BANDWIDTHS)
    members.data[:] = 1.0
    values = np.concatenate([series.predictors, series.target[:, None]], axis=1)
    values = np.where(known[:, None], values, 0.0)
    total = (members @ values.reshape(-1, values.shape[-1]).T).T.reshape(*values.shape[:2], -1)
    count = (members @ known.T.astype(np.float64)).T[:, None]
    enough = np.broadcast_to(count >= FEWEST_IN_BLOCK, total.shape)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=enough))


def _evenly(numbers: Indices, most: int) -> Indices:
    if numbers.size <= most:
        return numbers
    return numbers[np.linspace(0, numbers.size - 1, most).round().astype(np.intp)]


def _drawn(numbers: Indices, most: int, seed: int) -> Indices:
    if numbers.size <= most:
        return numbers
    return np.sort(np.random.default_rng(seed).choice(numbers, most, replace=False))
