"""Two sensors that never overlap, brought onto one scale, and the step that is left at the join.

A sensor is brought to another's scale by mean and spread (or by quantiles) for each cell and
calendar month. Both come from days that the two have in common, or, where there are none, from
their climatologies: then what changed in nature between the two periods is taken for a difference
of sensors, and removed. With a bridge, a third sensor that overlaps both, the old sensor is mapped
to the bridge and the bridge to the new one (Liu et al. 2012, doi:10.1016/j.rse.2012.03.014, chain
sensors by quantiles). Cells and months with few days lean on the mean over all cells, by the ratio
of variances (empirical Bayes, Morris 1983, doi:10.1080/01621459.1983.10477920).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import ndtri

from smcloud.core.errors import UserError
from smcloud.cube.schema import Days
from smcloud.grids.grid import Floats
from smcloud.validation.collocation import MONTHS, month_of
from smcloud.validation.sensor_join import SensorRecord

QUANTILES = np.array([0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.98])


class ScaleMap(Protocol):
    """Brings the values of one sensor to the scale of another."""

    def apply(self, values: Floats, days: Days) -> Floats:
        """Return values (days, cells) on the other scale; NaN where unknown or without a map."""


@dataclass(frozen=True)
class MatchRule:
    """How two sensors are matched.

    Attributes
    ----------
    memory_days : float
        Days after which the difference of two sensors is a new witness; fewer days count less.
    minimum_days : int
        Values of a calendar month, over all cells, below which it takes the map of all months;
        and common days that a route needs.
    largest_ratio : float
        Bound of the ratio of spreads and of its inverse: beyond it noise is amplified.
    """

    memory_days: float = 5.0
    minimum_days: int = 30
    largest_ratio: float = 3.0

    def __post_init__(self) -> None:
        if self.memory_days < 1 or self.minimum_days < 3 or self.largest_ratio <= 1:
            raise UserError(
                "matching sensors needs a memory of at least 1 day, at least 3 days and a ratio "
                f"above 1, found {self.memory_days}, {self.minimum_days}, {self.largest_ratio}"
            )


@dataclass(frozen=True, eq=False)
class MomentMap:
    """y = mean_to + ratio (x - mean_from), for each calendar month and cell.

    Attributes
    ----------
    mean_from, mean_to, ratio : (12, cells)
        NaN where the month has no map.
    weight : (12, cells)
        Share of the cell's own figures in the difference of means; the rest is the region's.
    """

    mean_from: Floats
    mean_to: Floats
    ratio: Floats
    weight: Floats

    def apply(self, values: Floats, days: Days) -> Floats:
        """Return values (days, cells) on the other scale."""
        month = month_of(days)
        from_mean = values - self.mean_from[month]
        return np.asarray(self.mean_to[month] + self.ratio[month] * from_mean)


@dataclass(frozen=True, eq=False)
class QuantileMap:
    """Piecewise linear from quantiles to quantiles of each cell, all months together.

    Attributes
    ----------
    source, target : (quantiles, cells)
        Increasing; beyond the ends the differences there hold on. NaN: no map.
    """

    source: Floats
    target: Floats

    def apply(self, values: Floats, days: Days) -> Floats:
        """Return values (days, cells) on the other scale; days do not matter."""
        found = np.full(values.shape, np.nan)
        for cell in np.flatnonzero(np.isfinite(self.source).all(axis=0)):
            x, y = self.source[:, cell], self.target[:, cell]
            found[:, cell] = values[:, cell] + np.interp(values[:, cell], x, y - x)
        return found


@dataclass(frozen=True, eq=False)
class Chain:
    """One map after the other: the old sensor to the bridge, the bridge to the new one."""

    links: tuple[ScaleMap, ...]

    def apply(self, values: Floats, days: Days) -> Floats:
        """Return values (days, cells) on the scale of the last link."""
        for link in self.links:
            values = link.apply(values, days)
        return values


def match_moments(
    old: SensorRecord, new: SensorRecord, rule: MatchRule, *, is_common: bool = True
) -> MomentMap:
    """Return the map from `old` to `new` by mean and spread of each calendar month and cell.

    From common days, on which what happened on the days cancels, or else from each sensor's
    climatology over all its days. A month with too few days takes the map of all months together;
    without enough days in all, nothing has a map.
    """
    one, other = on_common_days(old, new) if is_common else (old, new)
    from_, to = _Moments.of(one), _Moments.of(other)
    apart = SensorRecord(one.days, one.values - other.values) if is_common else None
    difference = None if apart is None else _Moments.of(apart)
    shift, weight = _shrunk(to.mean - from_.mean, _mean_error(from_, to, difference, rule))
    log_ratio, _ = _shrunk(*_log_ratio(from_, to, difference, rule))
    bound = np.log(rule.largest_ratio)
    # A sensor that never varies has no spread to match: its mean alone is moved.
    ratio = np.exp(np.clip(np.where(np.isfinite(log_ratio), log_ratio, 0.0), -bound, bound))
    mean_from = np.where(np.isfinite(from_.mean), from_.mean, _over_cells(from_.mean))
    days = np.minimum(from_.count.sum(axis=1), to.count.sum(axis=1))
    group = np.where(days[:MONTHS] >= rule.minimum_days, np.arange(MONTHS), MONTHS)
    if days[MONTHS] < rule.minimum_days:
        mean_from = np.full(mean_from.shape, np.nan)
    mean_to = mean_from + shift
    return MomentMap(mean_from[group], mean_to[group], ratio[group], weight[group])


def match_quantiles(
    old: SensorRecord, new: SensorRecord, rule: MatchRule, *, is_common: bool = True
) -> QuantileMap:
    """Return the map from `old` to `new` by quantiles of each cell over all months.

    The differences of quantiles lean on those of the region, as much for each quantile as its
    sampling error says: p (1 - p) / n over the squared density there, that of a normal.
    """
    one, other = on_common_days(old, new) if is_common else (old, new)
    source, n_source = _quantiles(one.values)
    target, n_target = _quantiles(other.values)
    error = _quantile_error(source, n_source, rule) + _quantile_error(target, n_target, rule)
    shift, _ = _shrunk(target - source, error)
    enough = n_source.sum() >= rule.minimum_days and n_target.sum() >= rule.minimum_days
    source = np.where(np.isfinite(source), source, _over_cells(source))
    source = np.where(enough, source, np.nan)
    # Shrinking quantile by quantile may cross them; a map must not turn wet into dry.
    return QuantileMap(source, np.maximum.accumulate(source + shift, axis=0))


@dataclass(frozen=True, eq=False)
class Calibration:
    """A map from one sensor to another, and how it was found.

    Attributes
    ----------
    scale : ScaleMap
    route : str
        ``overlap``, ``bridge`` or ``climatology``.
    common_days : tuple of int
        Days common to the sensors of each link.
    """

    scale: ScaleMap
    route: str
    common_days: tuple[int, ...]


def calibrate(
    old: SensorRecord,
    new: SensorRecord,
    bridge: SensorRecord | None = None,
    *,
    by_quantiles: bool = False,
    rule: MatchRule | None = None,
) -> Calibration:
    """Return the map from `old` to `new` by the best route that there is.

    Their own common days, if there are at least `minimum_days` of them; else through a bridge that
    has as many with each; else by climatology.
    """
    rule = rule or MatchRule()
    match = match_quantiles if by_quantiles else match_moments
    own = common_days(old, new)
    if own >= rule.minimum_days:
        return Calibration(match(old, new, rule), "overlap", (own,))
    if bridge is not None:
        both = common_days(old, bridge), common_days(bridge, new)
        if min(both) >= rule.minimum_days:
            links = match(old, bridge, rule), match(bridge, new, rule)
            return Calibration(Chain(links), "bridge", both)
    return Calibration(match(old, new, rule, is_common=False), "climatology", (own,))


def on_common_days(old: SensorRecord, new: SensorRecord) -> tuple[SensorRecord, SensorRecord]:
    """Return both records on the days that both have, known where both are."""
    days, at_old, at_new = np.intersect1d(old.days, new.days, return_indices=True)
    x, y = old.values[at_old], new.values[at_new]
    both = np.isfinite(x) & np.isfinite(y)
    one, other = (np.where(both, values, np.nan) for values in (x, y))
    return SensorRecord(days, one), SensorRecord(days, other)


def common_days(old: SensorRecord, new: SensorRecord) -> int:
    """Return the days on which a cell is known to both."""
    return int(np.isfinite(on_common_days(old, new)[0].values).any(axis=1).sum())


@dataclass(frozen=True, eq=False)
class _Moments:
    """Days, means and spreads of each calendar month and, last, of all days: (13, cells)."""

    count: Floats
    mean: Floats
    spread: Floats

    @classmethod
    def of(cls, record: SensorRecord) -> _Moments:
        month = month_of(record.days)
        groups = [record.values[month == number] for number in range(MONTHS)]
        parts = [_count_mean_spread(values) for values in [*groups, record.values]]
        count, mean, spread = (np.stack(found) for found in zip(*parts, strict=True))
        return cls(count, mean, spread)


def _count_mean_spread(values: Floats) -> tuple[Floats, Floats, Floats]:
    """Return known days, mean and spread of each cell; NaN below one and three days."""
    known = np.isfinite(values)
    count = known.sum(axis=0).astype(np.float64)
    unknown = np.full(count.shape, np.nan)
    total = np.where(known, values, 0.0).sum(axis=0)
    mean = np.divide(total, count, out=unknown.copy(), where=count > 0)
    squares = (np.where(known, values - mean, 0.0) ** 2).sum(axis=0)
    return count, mean, np.sqrt(np.divide(squares, count - 1, out=unknown, where=count > 2))


def _mean_error(
    from_: _Moments, to: _Moments, difference: _Moments | None, rule: MatchRule
) -> Floats:
    """Return the sampling variance of the difference of means, (13, cells)."""
    parts = [from_, to] if difference is None else [difference]
    errors = [part.spread**2 / _witnesses(part.count, rule) for part in parts]
    return np.asarray(sum(errors))


def _log_ratio(
    from_: _Moments, to: _Moments, difference: _Moments | None, rule: MatchRule
) -> tuple[Floats, Floats]:
    """Return the log of the ratio of spreads and its sampling variance, (13, cells).

    1 / 2 (n - 1) for each spread of a normal; (1 - r^2) / (n - 1) for the ratio of two that
    correlate by r (Pitman 1939, doi:10.1093/biomet/31.1-2.9).
    """
    usable = (from_.spread > 0) & (to.spread > 0)
    ratio = np.divide(to.spread, from_.spread, out=np.ones(usable.shape), where=usable)
    log_ratio = np.where(usable, np.log(ratio), np.nan)
    if difference is None:
        error = [0.5 / np.maximum(_witnesses(m.count, rule) - 1, 0.5) for m in (from_, to)]
        return log_ratio, error[0] + error[1]
    product = np.where(usable, 2 * from_.spread * to.spread, 1.0)
    r = (from_.spread**2 + to.spread**2 - difference.spread**2) / product
    freedom = np.maximum(_witnesses(from_.count, rule) - 1, 0.5)
    return log_ratio, np.maximum(1 - np.clip(r, -1, 1) ** 2, 1e-6) / freedom


def _witnesses(count: Floats, rule: MatchRule) -> Floats:
    """Return how many independent days so many days are worth, one at least."""
    return np.asarray(np.maximum(count / rule.memory_days, 1.0))


def _shrunk(values: Floats, error: Floats) -> tuple[Floats, Floats]:
    """Return values (groups, cells) drawn to the mean over cells, and the weight of their own.

    weight = T / (T + error), T the variance between cells that sampling does not explain, of each
    group. Unknown values are the mean itself.
    """
    known = np.isfinite(values) & np.isfinite(error)
    centre = _over_cells(np.where(known, values, np.nan), np.where(known, 1 / (error + 1e-12), 0))
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    apart = np.where(known, (values - centre) ** 2 - error, 0.0).sum(axis=1, keepdims=True) / count
    between = np.maximum(apart, 0.0)
    total = np.where(known, between + error, 1.0)
    share = np.divide(between, total, out=np.ones(values.shape), where=total > 0)
    weight = np.where(known, share, 0.0)
    return np.where(known, centre + weight * (values - centre), centre), weight


def _over_cells(values: Floats, weights: Floats | None = None) -> Floats:
    """Return the mean over the known cells (groups, 1); NaN where none is."""
    known = np.isfinite(values)
    share = np.where(known, 1.0 if weights is None else weights, 0.0)
    total = share.sum(axis=1, keepdims=True)
    sums = np.where(known, values * share, 0.0).sum(axis=1, keepdims=True)
    return np.asarray(np.divide(sums, total, out=np.full(total.shape, np.nan), where=total > 0))


def _quantiles(values: Floats) -> tuple[Floats, Floats]:
    """Return the quantiles (quantiles, cells), NaN where nothing is known, and known days."""
    count = np.isfinite(values).sum(axis=0)
    found = np.full((len(QUANTILES), values.shape[1]), np.nan)
    some = count > 0
    found[:, some] = np.nanquantile(values[:, some], QUANTILES, axis=0)
    return found, count.astype(np.float64)


def _quantile_error(quantiles: Floats, count: Floats, rule: MatchRule) -> Floats:
    """Return the sampling variance of quantiles of a normal of the same spread."""
    score = ndtri(QUANTILES)
    low, high = QUANTILES.searchsorted(0.1), QUANTILES.searchsorted(0.9)
    spread = (quantiles[high] - quantiles[low]) / (score[high] - score[low])
    density = np.exp(-0.5 * score**2) / np.sqrt(2 * np.pi)
    shape = QUANTILES * (1 - QUANTILES) / density**2
    return np.asarray(shape[:, None] * spread**2 / _witnesses(count, rule))
