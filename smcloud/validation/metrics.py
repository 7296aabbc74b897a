"""Scores of an estimate against a reference, with confidence intervals, from mergeable sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats as distributions

from smcloud.validation.pairs import Floats, PairStats

MIN_PAIRS = 3
"""Fewer pairs give no score: a correlation of two points is always 1 or -1."""


class Interval(NamedTuple):
    """A score with the ends of its confidence interval; each an array over the groups."""

    value: Floats
    low: Floats
    high: Floats


def correlation(pairs: PairStats) -> Floats:
    """Return Pearson's R per group; NaN below 3 pairs or where a series is constant."""
    spread = np.sqrt(pairs.m2_x * pairs.m2_y)
    # A constant series leaves rounding noise about its mean; it is no variance to divide by.
    varies = (pairs.m2_x > _noise(pairs.n, pairs.mean_x)) & (
        pairs.m2_y > _noise(pairs.n, pairs.mean_y)
    )
    ratio = np.divide(pairs.c_xy, spread, out=np.full(pairs.shape, np.nan), where=varies)
    return _where_enough(pairs, np.clip(ratio, -1.0, 1.0))


def bias(pairs: PairStats) -> Floats:
    """Return mean(estimate - reference) per group, in the units of the series."""
    return _where_enough(pairs, pairs.mean_d)


def unbiased_rmse(pairs: PairStats) -> Floats:
    """Return ubRMSE per group: the root mean square difference after removing both means."""
    return _where_enough(pairs, np.sqrt(_per_pair(pairs, pairs.m2_d)))


def rmse(pairs: PairStats) -> Floats:
    """Return RMSE per group: sqrt(ubRMSE^2 + bias^2)."""
    return _where_enough(pairs, np.sqrt(_per_pair(pairs, pairs.m2_d) + pairs.mean_d**2))


def mean_absolute_error(pairs: PairStats) -> Floats:
    """Return MAE per group: mean |estimate - reference|."""
    return _where_enough(pairs, _per_pair(pairs, pairs.sum_abs_d))


SCORES: Mapping[str, Callable[[PairStats], Floats]] = {
    "R": correlation,
    "RMSE": rmse,
    "ubRMSE": unbiased_rmse,
    "MAE": mean_absolute_error,
    "bias": bias,
}
"""Every score by the name that tables and reports print."""


def all_scores(pairs: PairStats) -> dict[str, Floats]:
    """Return every score per group, by name."""
    return {name: score(pairs) for name, score in SCORES.items()}


def intervals(
    pairs: PairStats, *, level: float = 0.95, n_effective: npt.ArrayLike | None = None
) -> dict[str, Interval]:
    """Return every score per group with its confidence interval at `level`.

    R: Fisher's z. ubRMSE: chi-square of the variance of the difference. Bias: Student's t.
    RMSE: the mean square as a scaled chi-square of equal mean and variance (Patnaik 1949), the
    variance for normal differences being (2 s^4 + 4 b^2 s^2) / n, s the standard deviation
    and b the bias of the difference. MAE: normal, the variance of |d| being MSE - MAE^2.

    Daily soil moisture remembers, so its pairs are not independent: `n_effective` (see
    `effective_sample_size`) replaces n in every interval and makes it wider. Without it the
    intervals hold for independent pairs. Ends are NaN where they do not exist (n <= 3).
    """
    n = pairs.n if n_effective is None else np.minimum(np.asarray(n_effective, float), pairs.n)
    enough = np.where(n > MIN_PAIRS, n, np.nan)
    normal = float(distributions.norm.ppf(0.5 + level / 2))
    return {
        "R": _fisher(correlation(pairs), enough, normal),
        "RMSE": _rmse_interval(pairs, enough, level),
        "ubRMSE": _variance_interval(unbiased_rmse(pairs), enough, level),
        "MAE": _mae_interval(pairs, enough, normal),
        "bias": _mean_interval(bias(pairs), unbiased_rmse(pairs), enough, level),
    }


def effective_sample_size(n: npt.ArrayLike, lag1_x: npt.ArrayLike, lag1_y: npt.ArrayLike) -> Floats:
    """Return the number of independent pairs that n autocorrelated ones are worth.

    n (1 - a b) / (1 + a b), a and b the lag-one autocorrelations of the two series
    (Bretherton et al. 1999, doi:10.1175/1520-0442(1999)012<1990:TENOSD>2.0.CO;2, for red
    noise). Never more than n: anticorrelated series gain nothing.
    """
    product = np.clip(np.asarray(lag1_x, float) * np.asarray(lag1_y, float), 0.0, 0.999)
    return np.asarray(np.asarray(n, float) * (1 - product) / (1 + product))


def lag_one_autocorrelation(days: npt.NDArray[np.datetime64], values: npt.ArrayLike) -> float:
    """Return the correlation of a daily series with itself a day later; 0 when unknowable.

    Pairs are days that follow each other on the calendar, so gaps break no rule.
    """
    series = np.asarray(values, float)
    order = np.argsort(days, kind="stable")
    day, value = days[order].astype("datetime64[D]"), series[order]
    follows = np.flatnonzero(np.diff(day) == np.timedelta64(1, "D"))
    found = float(correlation(PairStats.of(value[follows], value[follows + 1])))
    return found if np.isfinite(found) else 0.0


@dataclass(frozen=True)
class StationScores:
    """Scores of one estimate against stations: each station, their median and mean, all pairs."""

    stations: pd.DataFrame
    """One row per station: station, n, n_effective and each score with _low and _high."""
    median: pd.DataFrame
    """One row per score: value, low, high of the median over stations (bootstrap)."""
    mean: pd.DataFrame
    """The same of the mean over stations."""
    overall: pd.DataFrame
    """One row per score: value, low, high over all pairs (bootstrap over stations)."""
    pairs: PairStats
    """The sums per station, in the order of `stations`."""
    scored: int
    """How many have pairs enough for median and mean."""


def score_stations(
    table: pd.DataFrame,
    estimate: str = "estimate",
    reference: str = "soil_moisture",
    station: str = "station",
    time: str = "time",
    *,
    block: str | None = None,
    min_pairs: int = 30,
    level: float = 0.95,
    seed: int = 0,
) -> StationScores:
    """Return the scores of column `estimate` against column `reference`, station by station.

    Parameters
    ----------
    table
        One row per station and day; NaN is unknown and its row does not count.
    block
        Column of spatial blocks to resample in the bootstrap; stations by default.
    min_pairs
        Stations with fewer pairs are listed with their count but take no part in median and mean.
    """
    names, codes = np.unique(table[station].to_numpy(str), return_inverse=True)
    x, y = table[estimate].to_numpy(float), table[reference].to_numpy(float)
    pairs = PairStats.grouped(x, y, codes, len(names))
    effective = _effective_per_station(table[time].to_numpy("datetime64[D]"), x, y, codes, pairs)
    listed = _station_rows(names, pairs, effective, level)
    takes_part = pairs.n >= min_pairs
    group = names if block is None else _first_of(table[block].to_numpy(str), codes, len(names))
    weights = draw_weights(group[takes_part], seed=seed)
    chosen = pairs.at(takes_part)
    return StationScores(
        stations=listed,
        median=_summary(median_interval(chosen, weights, level)),
        mean=_summary(mean_interval(chosen, weights, level)),
        overall=_summary(overall_interval(chosen, weights, level)),
        pairs=pairs,
        scored=int(takes_part.sum()),
    )


def draw_weights(groups: npt.ArrayLike, *, seed: int, draws: int = 1000) -> Floats:
    """Return how often each member counts in each bootstrap draw, shape (draws, members).

    Whole groups are drawn with replacement (a block bootstrap): members of one group are
    not independent of each other. Fewer than two groups give no draw, and so no interval: drawing
    the same group again and again would make one of no width.
    """
    names, codes = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        return np.zeros((0, codes.size))
    chance = np.full(len(names), 1 / len(names))
    counts = np.random.default_rng(seed).multinomial(len(names), chance, size=draws)
    return np.asarray(counts[:, codes], dtype=np.float64)


def median_interval(pairs: PairStats, weights: Floats, level: float = 0.95) -> dict[str, Interval]:
    """Return the median of each score over groups with its bootstrap percentile interval."""
    return {
        name: _percentiles(
            weighted_median(values, np.ones((1, values.size)))[0],
            weighted_median(values, weights),
            level,
        )
        for name, values in all_scores(pairs).items()
    }


def mean_interval(pairs: PairStats, weights: Floats, level: float = 0.95) -> dict[str, Interval]:
    """Return the mean of each score over groups with its bootstrap percentile interval."""
    found = {}
    for name, values in all_scores(pairs).items():
        known = np.isfinite(values)
        each = np.vstack([np.ones(values.size), weights])[:, known]
        drawn, total = each @ values[known], each.sum(axis=1)
        means = np.divide(drawn, total, out=np.full(total.shape, np.nan), where=total > 0)
        found[name] = _percentiles(float(means[0]), means[1:], level)
    return found


def overall_interval(pairs: PairStats, weights: Floats, level: float = 0.95) -> dict[str, Interval]:
    """Return each score over all pairs with its bootstrap interval over the groups."""
    value = all_scores(pairs.total())
    drawn = all_scores(pairs.weighted(weights).total(axis=-1))
    return {name: _percentiles(float(value[name]), drawn[name], level) for name in SCORES}


def _where_enough(pairs: PairStats, values: Floats) -> Floats:
    return np.asarray(np.where(pairs.n >= MIN_PAIRS, values, np.nan))


def _noise(n: Floats, mean: Floats) -> Floats:
    """Return the sum of squares that rounding leaves of a constant: a sum drifts by n roundings."""
    return np.asarray(n * (np.finfo(float).eps * np.maximum(n, 8) * np.abs(mean)) ** 2)


def _per_pair(pairs: PairStats, sums: Floats) -> Floats:
    return np.asarray(sums / np.where(pairs.n > 0, pairs.n, np.nan))


def _fisher(r: Floats, n: Floats, normal: float) -> Interval:
    with np.errstate(divide="ignore"):  # R of exactly 1 has an interval of no width
        z = np.arctanh(r)
    half = normal / np.sqrt(n - 3)
    return Interval(r, np.tanh(z - half), np.tanh(z + half))


def _rmse_interval(pairs: PairStats, n: Floats, level: float) -> Interval:
    variance = unbiased_rmse(pairs) ** 2
    square = variance + pairs.mean_d**2
    spread = (2 * variance**2 + 4 * pairs.mean_d**2 * variance) / n
    degrees = 2 * square**2 / np.where(spread > 0, spread, np.nan)
    low = distributions.chi2.ppf(0.5 + level / 2, degrees)
    high = distributions.chi2.ppf(0.5 - level / 2, degrees)
    value = np.sqrt(square)
    return Interval(value, value * np.sqrt(degrees / low), value * np.sqrt(degrees / high))


def _variance_interval(deviation: Floats, n: Floats, level: float) -> Interval:
    degrees = n - 1
    low = distributions.chi2.ppf(0.5 + level / 2, degrees)
    high = distributions.chi2.ppf(0.5 - level / 2, degrees)
    return Interval(deviation, deviation * np.sqrt(n / low), deviation * np.sqrt(n / high))


def _mae_interval(pairs: PairStats, n: Floats, normal: float) -> Interval:
    value = mean_absolute_error(pairs)
    spread = np.sqrt(np.maximum(rmse(pairs) ** 2 - value**2, 0))
    half = normal * spread / np.sqrt(n)
    return Interval(value, np.maximum(value - half, 0), value + half)


def _mean_interval(mean: Floats, deviation: Floats, n: Floats, level: float) -> Interval:
    half = distributions.t.ppf(0.5 + level / 2, n - 1) * deviation / np.sqrt(n - 1)
    return Interval(mean, mean - half, mean + half)


def _effective_per_station(
    days: npt.NDArray[np.datetime64],
    x: Floats,
    y: Floats,
    codes: npt.NDArray[np.intp],
    pairs: PairStats,
) -> Floats:
    known = np.isfinite(x) & np.isfinite(y)
    found = np.zeros(pairs.shape)
    for number in range(found.size):
        rows = np.flatnonzero(known & (codes == number))
        lag1_x = lag_one_autocorrelation(days[rows], x[rows])
        lag1_y = lag_one_autocorrelation(days[rows], y[rows])
        found[number] = effective_sample_size(pairs.n[number], lag1_x, lag1_y)
    return found


def _station_rows(
    names: npt.NDArray[np.str_], pairs: PairStats, effective: Floats, level: float
) -> pd.DataFrame:
    columns: dict[str, npt.NDArray[np.generic]] = {
        "station": names,
        "n": pairs.n.astype(int),
        "n_effective": effective,
    }
    for name, interval in intervals(pairs, level=level, n_effective=effective).items():
        columns |= {
            name: interval.value,
            f"{name}_low": interval.low,
            f"{name}_high": interval.high,
        }
    return pd.DataFrame(columns)


def _first_of(
    labels: npt.NDArray[np.str_], codes: npt.NDArray[np.intp], size: int
) -> npt.NDArray[np.str_]:
    first = np.full(size, len(codes))
    np.minimum.at(first, codes, np.arange(len(codes)))
    return np.asarray(labels[first])


def weighted_median(values: Floats, weights: Floats) -> Floats:
    """Return the mean of the lower and upper weighted median of values (n,) per row of weights.

    `weights` is (draws, n), as from `draw_weights`; NaN values take no part.
    """
    known = np.isfinite(values)
    order = np.argsort(values[known], kind="stable")
    ordered = values[known][order]
    if ordered.size == 0:
        return np.full(len(weights), np.nan)
    running = np.cumsum(weights[:, known][:, order], axis=1)
    half = running[:, -1:] / 2
    lower = np.argmax(running >= half, axis=1)
    upper = np.argmax(running > half, axis=1)
    median = (ordered[lower] + ordered[upper]) / 2
    return np.where(running[:, -1] > 0, median, np.nan)


def _percentiles(value: float, drawn: Floats, level: float) -> Interval:
    known = drawn[np.isfinite(drawn)]
    if known.size == 0:
        return Interval(np.asarray(value), np.asarray(np.nan), np.asarray(np.nan))
    low, high = np.quantile(known, [0.5 - level / 2, 0.5 + level / 2])
    return Interval(np.asarray(value), np.asarray(low), np.asarray(high))


def _summary(found: Mapping[str, Interval]) -> pd.DataFrame:
    rows = {name: [float(part) for part in interval] for name, interval in found.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "low", "high"])
