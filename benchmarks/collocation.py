"""Triple collocation and scores of thousands of stations, beside pytesmo, on the same series.

pytesmo takes one station at a time: its routes are loops over its plain functions, without the
data frames of its validation framework. Both sides leave out unknown values themselves.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from benchmarks.record import BenchmarkError
from benchmarks.timing import Spread, interleave, progress
from smcloud.validation.metrics import all_scores
from smcloud.validation.pairs import PairStats
from smcloud.validation.triple_collocation import bootstrap, triple_collocation

Floats = NDArray[np.float64]
SIZES = {"tiny": (6, 2000), "small": (2000, 3653), "large": (5000, 7305)}
"""Stations and days."""
DRAWS = {"tiny": 200, "small": 1000, "large": 1000}
SAMPLED = {"tiny": 2, "small": 10, "large": 10}
"""Stations of which pytesmo makes intervals: all of them would take it minutes to an hour."""
ROUNDS = {"tiny": 1, "small": 3, "large": 3}
UNKNOWN_SHARE = 0.3
MEMORY = 0.9
"""Lag-one autocorrelation of the truth; errors have half of it."""
SCORES = {"R": "pearson_r", "RMSE": "rmsd", "ubRMSE": "ubrmsd", "bias": "bias"}
"""Our scores and pytesmo's names for them."""
COVERED = {"tiny": (20, 400, 30), "small": (600, 1500, 300), "large": (2000, 1500, 1000)}
"""Series, days and draws of which it is asked how often intervals hold the known figure."""
MEMORIES = (0.0, 0.7, 0.9)
"""Lag-one autocorrelation of their errors."""
BLOCKS = (1, 30, 60)
SLOPES, ERRORS, SIGNAL = np.array([1.0, 0.8, 1.2]), np.array([0.03, 0.04, 0.05]), 0.05
JOBS = ("triple collocation", "with intervals", "scores")
RELATIVE = 1e-7
"""Differences of rounding: an SNR is a difference of nearly equal numbers."""


def measure(scale: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return the seconds a thousand stations of both sides, for each job, and the coverage.

    Raises
    ------
    BenchmarkError
        If the two give other values.
    """
    stations, days = SIZES[scale]
    values = series(stations, days, seed)
    few, draws = values[: SAMPLED[scale]], DRAWS[scale]
    made: dict[str, Any] = {}
    works: dict[str, Callable[[], object]] = {}
    for name, work in {
        "ours triple collocation": partial(triple_collocation, values),
        "theirs triple collocation": partial(their_collocation, values),
        "ours with intervals": partial(bootstrap, values, seed=seed, draws=draws),
        "theirs with intervals": partial(their_intervals, few, draws, seed),
        "ours scores": partial(our_scores, values),
        "theirs scores": partial(their_scores, values),
    }.items():
        works[name] = partial(_keep, made, name, work)
    bootstrap(few[:1], seed=seed, draws=2)  # compiles
    progress(f"{stations} stations of {days} days, {ROUNDS[scale]} rounds")
    spreads = interleave(works, ROUNDS[scale])
    check_collocation(made["ours triple collocation"], made["theirs triple collocation"])
    check_scores(made["ours scores"], made["theirs scores"])
    days_apart = bootstrap(few, seed=seed, draws=draws, block_days=1)
    check_intervals(days_apart, made["theirs with intervals"], draws)
    counts = {"with intervals": (stations, len(few))}
    return {
        "stations": stations,
        "days": days,
        "draws": draws,
        "jobs": [_row(job, spreads, *counts.get(job, (stations, stations))) for job in JOBS],
        "status": made["ours triple collocation"].counts(),
        "coverage": coverage(scale, seed),
    }


def coverage(scale: str, seed: int) -> list[dict[str, float]]:
    """Return how often 95 % intervals hold the error and the correlation that are known."""
    n_series, days, draws = COVERED[scale]
    known_r = 1 / np.sqrt(1 + (ERRORS / (SLOPES * SIGNAL)) ** 2)
    rows = []
    for memory in MEMORIES:
        values = series(n_series, days, seed, memory)
        for block in BLOCKS:
            found = bootstrap(values, seed=seed, draws=draws, block_days=block)
            rows.append(
                {
                    "memory": memory,
                    "block_days": block,
                    "error_std": _share_inside(found.error_std_low, ERRORS, found.error_std_high),
                    "r": _share_inside(found.r_low, known_r, found.r_high),
                }
            )
    return rows


def series(stations: int, days: int, seed: int, memory: float = MEMORY / 2) -> Floats:
    """Return three members (stations, 3, days) of one truth with known errors, and gaps."""
    rng = np.random.default_rng(seed)
    values = np.empty((stations, 3, days))
    truth = SIGNAL * _red(rng, (stations, days), MEMORY)
    for member in range(3):
        noise = ERRORS[member] * _red(rng, (stations, days), memory)
        found = 0.2 + SLOPES[member] * truth + noise
        found[rng.random(found.shape) < UNKNOWN_SHARE / 3] = np.nan
        values[:, member] = found
    return values


def their_collocation(values: Floats) -> tuple[Floats, Floats, Floats]:
    """Return pytesmo's SNR, scaled error standard deviation and beta, (stations, 3) each."""
    from pytesmo.metrics import tcol_metrics

    found = np.array([tcol_metrics(*_common(members)) for members in values])
    return found[:, 0], found[:, 1], found[:, 2]


def their_intervals(values: Floats, draws: int, seed: int) -> Floats:
    """Return pytesmo's (value, low, high) of SNR, error and beta, (stations, 3, 3, 3)."""
    from pytesmo.metrics import tcol_metrics_with_bootstrapped_ci

    np.random.seed(seed)  # pytesmo draws from the global generator
    return np.array(
        [tcol_metrics_with_bootstrapped_ci(*_common(members), nsamples=draws) for members in values]
    )


def our_scores(values: Floats) -> dict[str, Floats]:
    """Return the scores of member 1 against member 0, (stations,) each."""
    found = all_scores(PairStats.along(values[:, 1], values[:, 0], axis=1))
    return {name: found[name] for name in SCORES}


def their_scores(values: Floats) -> dict[str, Floats]:
    """Return pytesmo's scores of member 1 against member 0, by our names."""
    from pytesmo import metrics

    functions = [getattr(metrics, name) for name in SCORES.values()]
    found = np.array([_scores_of(members[1], members[0], functions) for members in values])
    return dict(zip(SCORES, found.T, strict=True))


def check_collocation(ours: Any, theirs: tuple[Floats, Floats, Floats]) -> None:
    """Refuse figures that differ: SNR, error standard deviation scaled by beta, and beta."""
    mine = (ours.absolute().snr_db, ours.error_std_scaled, ours.beta)
    for name, one, other in zip(("SNR", "error_std", "beta"), mine, theirs, strict=True):
        _check(name, one, other)


def check_scores(ours: Mapping[str, Floats], theirs: Mapping[str, Floats]) -> None:
    """Refuse scores that differ."""
    for name, values in ours.items():
        _check(name, values, theirs[name])


def check_intervals(ours: Any, theirs: Floats, draws: int) -> None:
    """Refuse intervals of member 0's error that differ by more than draws at random do.

    Single days are drawn on both sides; pytesmo scales errors by the beta of each draw, which
    is 1 for member 0 alone, and leaves out draws of a negative variance, of which long series have
    none. A percentile of so many draws is uncertain by a few parts of the width.
    """
    low, high = theirs[:, 1, 1, 0], theirs[:, 1, 2, 0]
    allowed = 4 / np.sqrt(draws) * (high - low)
    ends = ((ours.error_std_low[:, 0], low), (ours.error_std_high[:, 0], high))
    if any((np.abs(mine - their) > allowed).any() for mine, their in ends):
        raise BenchmarkError("intervals of error_std differ from pytesmo's beyond chance")


def show(found: Mapping[str, Any]) -> str:
    """Return the seconds a thousand stations of both sides, and how often smcloud is faster."""
    lines = [
        f"{found['stations']:,} stations of {found['days']:,} days, one process; "
        f"intervals of {found['draws']:,} draws",
        f"{'seconds a thousand stations':<30}{'smcloud':>10}{'pytesmo':>10}{'ratio':>8}",
    ]
    for row in found["jobs"]:
        ours, theirs = row["smcloud_seconds"], row["pytesmo_seconds"]
        note = f"   pytesmo on {row['pytesmo_stations']} stations" * (
            row["pytesmo_stations"] < found["stations"]
        )
        lines.append(f"{row['job']:<30}{ours:>10.3f}{theirs:>10.3f}{theirs / ours:>7.1f}x{note}")
    lines += ["values are equal", f"{'95 % intervals hold, %':<30}{'error_std':>10}{'r':>10}"]
    for row in found["coverage"]:
        words = f"errors' lag one {row['memory']}, {row['block_days']}-day blocks"
        lines.append(f"{words:<36}{100 * row['error_std']:>4.0f}{100 * row['r']:>10.0f}")
    return "\n".join(lines)


def _keep(made: dict[str, Any], name: str, work: Callable[[], object]) -> None:
    made[name] = work()


def _row(job: str, spreads: Mapping[str, Spread], ours: int, theirs: int) -> dict[str, Any]:
    mine, other = spreads[f"ours {job}"], spreads[f"theirs {job}"]
    return {
        "job": job,
        "smcloud_seconds": 1000 * mine.best / ours,
        "smcloud_seconds_worst": 1000 * mine.worst / ours,
        "pytesmo_seconds": 1000 * other.best / theirs,
        "pytesmo_seconds_worst": 1000 * other.worst / theirs,
        "pytesmo_stations": theirs,
    }


def _red(rng: np.random.Generator, shape: tuple[int, int], memory: float) -> Floats:
    shocks = rng.normal(0, np.sqrt(1 - memory**2), shape)
    return np.asarray(lfilter([1.0], [1.0, -memory], shocks, axis=-1))


def _share_inside(low: Floats | None, known: Floats, high: Floats | None) -> float:
    assert low is not None
    assert high is not None
    return float(((low <= known) & (known <= high)).mean())


def _common(members: Floats) -> Floats:
    return np.asarray(members[:, np.isfinite(members).all(axis=0)])


def _scores_of(x: Floats, y: Floats, functions: list[Callable[..., float]]) -> list[float]:
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    return [function(x, y) for function in functions]


def _check(name: str, ours: Floats, theirs: Floats) -> None:
    if not np.allclose(ours, theirs, rtol=RELATIVE, atol=RELATIVE, equal_nan=True):
        worst = np.nanmax(np.abs(ours - theirs))
        raise BenchmarkError(f"{name} differs from pytesmo's by up to {worst:.2g}")
