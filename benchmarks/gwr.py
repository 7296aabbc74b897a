"""Local regressions of coarse cells: beside a plain loop, over a tile, and their bandwidths.

The peer is what people write first: for each cell, one weighted `numpy.linalg.lstsq` of the cells
around it. Both sides get the same weights and give the same coefficients, or nothing is timed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from benchmarks.coarse_world import CoarseWorld, coarse_world
from benchmarks.record import BenchmarkError
from benchmarks.timing import interleave, progress
from smcloud.grids.grid import EASE2_36KM, SIN1KM, Window
from smcloud.grids.regrid import bilinear
from smcloud.models.gwr import CoarseDays, LocalRule, State, evaluate, fit_days, kernel
from smcloud.models.gwr_bandwidth import Criterion, search_bandwidth

Floats = NDArray[np.float64]
BANDWIDTH_KM = 140.0
SIDES = {"tiny": 12, "small": 86, "large": 100}
"""Cells along a side of the region: 86 x 86 are 7,396."""
DAYS = {"tiny": 2, "small": 31, "large": 31}
SAMPLED = {"tiny": 20, "small": 200, "large": 500}
"""Cells of a day that the loop solves: all of them would take it minutes."""
ROUNDS = {"tiny": 1, "small": 3, "large": 5}
TILE_PIXELS = {"tiny": 60, "small": 1200, "large": 1200}
SEEDS = {"tiny": 1, "small": 4, "large": 12}
CANDIDATES = (70.0, 100.0, 140.0, 200.0, 280.0, 400.0, 800.0, 1600.0)
CRITERIA: tuple[Criterion, ...] = ("block", "cell")
DEPARTURES = np.array([2.0, 0.05, 0.04])
"""How far predictors lie from their cell's mean where slopes are judged: K, 1, 1."""
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Kind:
    """A kind of world in which slopes are looked for."""

    name: str
    varying: float
    noise: float
    noise_cells: float
    alike: float = 0.0

    def world(self, seed: int) -> CoarseWorld:
        """Return a world of six days."""
        return coarse_world(
            seed,
            days=6,
            noise=self.noise,
            noise_cells=self.noise_cells,
            varying=self.varying,
            hidden=0.2,
            alike=self.alike,
        )


KINDS = (
    Kind("one slope, single errors", 0.0, 0.02, 0.0),
    Kind("one slope, errors like neighbours'", 0.0, 0.02, 1.5),
    Kind("slopes vary, single errors", 0.5, 0.02, 0.0),
    Kind("slopes vary, errors like neighbours'", 0.5, 0.02, 1.5),
    Kind("slopes vary much, small errors", 0.8, 0.01, 1.5),
)
RIDGED = (
    Kind("predictors on their own", 0.5, 0.02, 1.5),
    Kind("predictors alike (r 0.80)", 0.5, 0.02, 1.5, 0.80),
    Kind("predictors alike (r 0.95)", 0.5, 0.02, 1.5, 0.95),
    Kind("predictors alike (r 0.99)", 0.5, 0.02, 1.5, 0.99),
)
RIDGES = (0.0, 0.1, 0.3, 1.0, 3.0)
RIDGED_DAYS_AROUND = (0, 2)


def measure(scale: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return seconds of both sides, of a tile, and what either criterion's bandwidth gives.

    Raises
    ------
    BenchmarkError
        If the loop gives other coefficients.
    """
    world = _region(SIDES[scale], DAYS[scale], seed)
    series, rule = world.series, LocalRule(BANDWIDTH_KM)
    weights = kernel(world.places, world.places, BANDWIDTH_KM)
    fit = fit_days(series, weights, rule)
    at = np.flatnonzero(fit.state[0] == State.LOCAL)
    at = at[np.linspace(0, at.size - 1, min(SAMPLED[scale], at.size)).astype(np.intp)]
    _check(fit.coefficients[0][:, at], lstsq_loop(series, weights, at))
    progress(f"{series.lon.size} cells, {ROUNDS[scale]} rounds")
    pixels = _Pixels(TILE_PIXELS[scale], seed)
    works = {
        "weights": partial(kernel, world.places, world.places, BANDWIDTH_KM),
        "day": partial(fit_days, series.at(slice(0, 1)), weights, rule),
        "days": partial(fit_days, series, weights, rule),
        "loop": partial(lstsq_loop, series, weights, at),
        "tile": pixels.day,
    }
    spreads = interleave(works, ROUNDS[scale])
    per_cell = spreads["loop"].best / at.size
    return {
        "cells": series.lon.size,
        "days": len(series.days),
        "neighbours": float(np.diff(weights.indptr).mean()),
        "weights_seconds": spreads["weights"].best,
        "day_seconds": spreads["day"].best,
        "day_seconds_worst": spreads["day"].worst,
        "year_seconds": 365 / len(series.days) * spreads["days"].best,
        "loop_day_seconds": per_cell * series.lon.size,
        "loop_cells": int(at.size),
        "tile_pixels": pixels.lon.size,
        "tile_day_seconds": spreads["tile"].best,
        "criteria": [_criterion(kind, scale, seed) for kind in KINDS],
        "ridges": [_ridges(kind, scale, seed) for kind in RIDGED],
    }


def lstsq_loop(series: CoarseDays, weights: csr_array, at: NDArray[np.intp]) -> Floats:
    """Return the coefficients (1 + features, nodes) of the first day, node by node."""
    known = series.known[0]
    predictors, target = series.predictors[0], series.target[0]
    found = np.empty((len(predictors) + 1, at.size))
    for number, node in enumerate(at):
        part = slice(weights.indptr[node], weights.indptr[node + 1])
        cells, weight = weights.indices[part], weights.data[part]
        taken = known[cells]
        cells, root = cells[taken], np.sqrt(weight[taken])
        design = np.column_stack([np.ones(cells.size), predictors[:, cells].T])
        solved = np.linalg.lstsq(design * root[:, None], target[cells] * root, rcond=None)
        found[:, number] = solved[0]
    return found


class _Pixels:
    """A square of 1 km pixels with coefficients around and predictors."""

    def __init__(self, side: int, seed: int) -> None:
        window = Window(6000, 6000 + side, 32400, 32400 + side)
        self.lon, self.lat = (values.reshape(-1) for values in SIN1KM.lonlat(window))
        self.weights = bilinear(EASE2_36KM, self.lon, self.lat)
        rng = np.random.default_rng(seed)
        shape = (4, *self.weights.window.shape)
        self.coefficients = rng.normal(0, 0.01, shape).astype(np.float32)
        self.columns = rng.normal(size=(3, self.lon.size)).astype(np.float32)

    def day(self) -> None:
        evaluate(self.coefficients, self.weights, self.columns)


def _criterion(kind: Kind, scale: str, seed: int) -> dict[str, Any]:
    """Return how much worse slopes are than those of the best bandwidth, for each criterion."""
    ratios: dict[str, list[float]] = {name: [] for name in CRITERIA}
    chosen: dict[str, list[float]] = {name: [] for name in CRITERIA}
    for number in range(SEEDS[scale]):
        world = kind.world(seed + number)
        errors = {width: slope_error(world, width) for width in CANDIDATES}
        for name in CRITERIA:
            search = search_bandwidth(
                world.series, LocalRule(CANDIDATES[0]), CANDIDATES, criterion=name
            )
            chosen[name].append(search.chosen_km)
            ratios[name].append(errors[search.chosen_km] / min(errors.values()))
    found: dict[str, Any] = {"world": kind.name}
    for name in CRITERIA:
        found[f"{name}_km"] = float(np.median(chosen[name]))
        found[f"{name}_error_ratio"] = float(np.mean(ratios[name]))
        found[f"{name}_error_ratio_worst"] = float(np.max(ratios[name]))
    return found


def _ridges(kind: Kind, scale: str, seed: int) -> dict[str, Any]:
    """Return what slopes do to pixels at each ridge, as a share of what no slopes do.

    The bandwidth is that which blocks choose.
    """
    shares: dict[str, list[float]] = {}
    for number in range(SEEDS[scale]):
        world = kind.world(seed + number)
        rule = LocalRule(CANDIDATES[0])
        rule = replace(
            rule, bandwidth_km=search_bandwidth(world.series, rule, CANDIDATES).chosen_km
        )
        none = float(np.sqrt(((world.slopes[1:] * DEPARTURES[:, None]) ** 2).sum(axis=0).mean()))
        for days in RIDGED_DAYS_AROUND:
            for ridge in RIDGES:
                asked = replace(rule, ridge=ridge, days_around=days)
                error = slope_error(world, rule.bandwidth_km, asked)
                shares.setdefault(f"{ridge:g}/{days}", []).append(error / none)
    return {"world": kind.name, **{name: float(np.mean(found)) for name, found in shares.items()}}


def slope_error(world: CoarseWorld, bandwidth_km: float, rule: LocalRule | None = None) -> float:
    """Return the RMSE that slopes cause in pixels that lie `DEPARTURES` from their cell's mean."""
    weights = kernel(world.places, world.places, bandwidth_km)
    fit = fit_days(world.series, weights, rule or LocalRule(bandwidth_km))
    wrong = (fit.coefficients[:, 1:] - world.slopes[1:]) * DEPARTURES[:, None]
    return float(np.sqrt((wrong**2).sum(axis=1).mean()))


def show(found: Mapping[str, Any]) -> str:
    """Return the seconds of both sides and the table of criteria."""
    times = found["loop_day_seconds"] / found["day_seconds"]
    lines = [
        f"{found['cells']:,} cells with {found['neighbours']:.0f} neighbours, one process",
        f"{'weights, once':<44}{found['weights_seconds']:>9.2f} s",
        f"{'a day':<44}{found['day_seconds']:>9.3f} s",
        f"{'a year':<44}{found['year_seconds']:>9.1f} s",
        f"{'a day by a loop of numpy.linalg.lstsq':<44}{found['loop_day_seconds']:>9.2f} s"
        f"{times:>7.0f}x   from {found['loop_cells']} cells; same coefficients",
        f"{found['tile_pixels']:,} pixels of a day{'':<20}{found['tile_day_seconds']:>12.3f} s",
        "",
        "bandwidth chosen, median; error of slopes over that of the best, mean (worst) of worlds",
        f"{'world':<40}{'leaving out blocks':>26}{'leaving out cells':>26}",
    ]
    for row in found["criteria"]:
        cells = [
            f"{row[f'{name}_km']:.0f} km {row[f'{name}_error_ratio']:>6.2f} "
            f"({row[f'{name}_error_ratio_worst']:.2f})"
            for name in CRITERIA
        ]
        lines.append(f"{row['world']:<40}{cells[0]:>26}{cells[1]:>26}")
    ridges = [f"{ridge:g}/{days}" for days in RIDGED_DAYS_AROUND for ridge in RIDGES]
    lines += [
        "",
        "error that slopes leave in pixels, 1 is no slopes at all, by ridge / days around",
    ]
    lines.append(f"{'world':<28}" + "".join(f"{name:>8}" for name in ridges))
    lines += [
        f"{row['world']:<28}" + "".join(f"{row[name]:>8.2f}" for name in ridges)
        for row in found["ridges"]
    ]
    return "\n".join(lines)


def _region(side: int, days: int, seed: int) -> CoarseWorld:
    area = Window(60, 60 + side, 700, 700 + side)
    return coarse_world(seed, days, area, noise=0.02, noise_cells=1.5, varying=0.5, hidden=0.2)


def _check(ours: Floats, theirs: Floats) -> None:
    """Refuse coefficients that differ from the loop's."""
    scale = np.abs(theirs).max(axis=1, keepdims=True)
    worst = float((np.abs(ours - theirs) / scale).max())
    if not worst <= TOLERANCE:
        raise BenchmarkError(f"coefficients differ from the loop's by up to {worst:.2g} of theirs")
