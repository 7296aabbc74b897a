"""What anchoring gives and costs: cell means, edges, errors within cells; seconds of the solver.

A simulated region is known at 1 km; its first guess has errors of all sizes, and the coarse field
is the truth's own mean on cells of 36 km. Seconds are of the process, which runs one thread here,
after everything is compiled.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from benchmarks.timing import progress
from smcloud.grids.cells import land_pixels
from smcloud.grids.grid import EASE2_36KM, SIN1KM, Window
from smcloud.models.anchor_nodes import Nodes, State
from smcloud.models.anchoring import Anchors, anchor, corrected, refined, solve
from smcloud.models.anchoring_kernels import UNIT
from smcloud.models.cell_sums import CellSums, Links, cell_sums, links

Floats32 = NDArray[np.float32]
SIZES = {"tiny": (240, 1, 30), "small": (600, 8, 100), "large": (1200, 8, 200)}
"""Side of the region in pixels, days, and side of the region of the solver in cells."""
CORNER = (5400, 31200)
"""Of the region: 45 N, 104 E, where pixels are sheared by more than 50 degrees."""
LEVELS = {"steppe": 0.18, "desert": 0.05}
"""Mean soil moisture, m3 m-3."""
CEILING, CLOUDY, CELL_PIXELS = 0.6, 0.4, 1296
DRY, MOST_ROUNDS = (0.1, 0.05, 0.03, 0.02), 10
YEAR, SOLVED_DAYS = 365, 10
SHARED_DAYS = 46
"""Days of one call of the kernels, as production has."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A region: how its pixels hang on the cells, truth and first guess (days, pixels), cells."""

    window: Window
    where: Links
    truth: Floats32
    guess: Floats32
    anchors: Anchors

    @property
    def target(self) -> Floats32:
        """Return the coarse values, NaN where a cell is not whole."""
        return self.anchors.target


def measure(scale: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return scores of all ways to correct a first guess, and what the solver does and costs."""
    side, days, cells = SIZES[scale]
    methods = []
    for name, level in LEVELS.items():
        progress(f"a {name} of {side} x {side} pixels")
        scene = scene_of(np.random.default_rng(seed), side, days, level)
        methods += [{"scene": name, **row} for row in _methods(scene)]
    progress("the solver")
    rng = np.random.default_rng(seed)
    return {
        "methods": methods,
        "rounds": _rounds(rng, side, days),
        "growth": _growth(rng, cells),
        "cells": cells**2,
        "solver": _solver(rng, cells),
        "kernels": _kernels(scene),
    }


def _noise(
    rng: np.random.Generator, shape: tuple[int, ...], width: float, height: float
) -> Floats32:
    field = gaussian_filter(rng.normal(size=shape), (0, width, width), mode="wrap")
    return np.asarray(height * field / field.std(), np.float32)


def scene_of(rng: np.random.Generator, side: int, days: int, level: float) -> Scene:
    """Return a region of so many pixels along each side, of this mean soil moisture."""
    window = Window(CORNER[0], CORNER[0] + side, CORNER[1], CORNER[1] + side)
    shape, wet = (days, side, side), level / 0.18
    truth = np.full(shape, level, np.float32)
    for width, height in ((80, 0.04), (12, 0.02), (2, 0.015), (0.7, 0.01)):
        truth += _noise(rng, shape, width, height * wet)
    truth = np.clip(truth, 0.005, CEILING)
    guess = truth + np.float32(0.01) + _noise(rng, shape, 30, 0.03) + _noise(rng, shape, 2, 0.01)
    lon, lat = (values.reshape(-1) for values in SIN1KM.lonlat(window))
    where = links(EASE2_36KM, lon, lat)
    flat = truth.reshape(days, -1)
    land, sums = land_pixels(EASE2_36KM, where.window), cell_sums(flat, where, CEILING)
    target = np.where(sums.known >= 0.95 * land, sums.means, np.nan).astype(np.float32)
    first = np.clip(guess, 0.0, CEILING).reshape(days, -1)
    return Scene(window, where, flat, first, Anchors(target, land))


def _methods(scene: Scene) -> list[dict[str, Any]]:
    """Return the scores of the first guess, of simpler corrections, and of anchoring."""
    guess, where = scene.guess, scene.where
    residual = scene.target - cell_sums(guess, where, CEILING).means
    known = np.nan_to_num(residual).astype(np.float32)
    even = known.reshape(len(guess), -1)[:, where.cell]
    cover = _noise(np.random.default_rng(5), (len(guess), *scene.window.shape), 15, 1.0)
    is_clear = cover.reshape(guess.shape) <= np.quantile(cover, 1 - CLOUDY)
    seen = np.where(is_clear, guess, np.float32(np.nan))
    anchored, nodes = anchor(guess, where, scene.anchors, CEILING)
    cloudy, of_cloudy = anchor(seen, where, scene.anchors, CEILING)
    between = where.weights.apply(known)
    ways = {
        "first guess": (guess, nodes),
        "+ residual, even in its cell": (np.clip(guess + even, 0, CEILING), nodes),
        "+ residual, bilinear": (np.clip(guess + between, 0, CEILING), nodes),
        "anchored": (anchored, nodes),
        f"anchored, {CLOUDY:.0%} clouds": (cloudy, of_cloudy),
    }
    return [{"way": name, **_scores(scene, *way)} for name, way in ways.items()]


def _scores(scene: Scene, values: Floats32, nodes: Nodes) -> dict[str, float]:
    state = nodes.state[:, 1:-1, 1:-1]
    is_anchored = np.isin(state, (State.ANCHORED, State.CLAMPED))
    means = cell_sums(values, scene.where, CEILING).means
    cell = scene.where.cell.reshape(scene.window.shape)
    across = np.abs(np.diff(values.reshape(-1, *scene.window.shape), axis=2))
    is_edge = cell[:, 1:] != cell[:, :-1]
    error = np.asarray(values - scene.truth, np.float64)
    within = [_within(one, scene.where.cell) for one in error]
    return {
        "worst_mean": float(np.abs(means - scene.target)[is_anchored].max()),
        "jump": float(np.nanmedian(across[:, is_edge]) / np.nanmedian(across[:, ~is_edge])),
        "RMSE": float(np.sqrt(np.nanmean(error**2))),
        "RMSE_within": float(np.sqrt(np.nanmean(np.square(within)))),
        "clamped": float(np.mean(values[np.isfinite(values)] == 0)),
        "missed": int((state == State.NOT_REACHED).sum()),
    }


def _within(error: NDArray[np.float64], cell: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return an error less its mean over each cell."""
    known = np.isfinite(error)
    count = np.bincount(cell[known], minlength=cell.max() + 1)
    mean = np.bincount(cell[known], error[known], minlength=cell.max() + 1) / np.maximum(count, 1)
    return error - mean[cell]


def _rounds(rng: np.random.Generator, side: int, days: int) -> dict[str, list[float]]:
    """Return, by the mean of a field, its clamped share, and what is missed before each round."""
    found = {}
    for level in DRY:
        scene = scene_of(rng, side, days, level)
        sums = cell_sums(scene.guess, scene.where, CEILING)
        nodes, missed = solve(sums, scene.anchors), []
        for _ in range(MOST_ROUNDS):
            given = nodes.on(scene.where.window)
            clamped = cell_sums(scene.guess, scene.where, CEILING, given)
            nodes = refined(nodes, sums, clamped, scene.anchors)
            missed.append(float(np.nanmax(np.abs(nodes.error))))
            if not nodes.missed().any():
                break
        values = corrected(scene.guess, nodes, scene.where, CEILING)
        found[f"mean {level:g}, {np.mean(values == 0):.0%} clamped"] = missed
    return found


def _lattice(is_full: NDArray[np.bool_]) -> CellSums:
    """Return sums of a first guess of zero over whole cells of 36 x 36 pixels."""
    one = np.array([0.125, 0.75, 0.125])
    weights = CELL_PIXELS * UNIT * np.outer(one, one).reshape(-1)
    return CellSums(
        EASE2_36KM,
        Window(100, 100 + is_full.shape[1], 500, 500 + is_full.shape[2]),
        np.where(is_full, CELL_PIXELS, 0).astype(np.int32),
        np.zeros(is_full.shape, np.int64),
        np.where(is_full, int(CELL_PIXELS * UNIT), 0),
        np.where(is_full[..., None], weights, 0.0).astype(np.int64),
        np.zeros(is_full.shape, np.float32),
        np.ones(is_full.shape, np.float32),
    )


def _growth(rng: np.random.Generator, side: int) -> dict[str, float]:
    """Return how much the nodes differ from cell to cell, beside the residuals."""
    shape, inner = (1, side, side), (0, slice(8, -8), slice(8, -8))
    row, col = np.mgrid[:side, :side]
    fields = {f"smooth over {width} cells": _noise(rng, shape, width, 0.02) for width in (4, 2, 1)}
    fields["of each cell alone"] = _noise(rng, shape, 0, 0.02)
    fields["checkerboard"] = (0.02 * (-1.0) ** (row + col))[None].astype(np.float32)
    sums, land = _lattice(np.ones(shape, np.bool_)), np.full((side, side), CELL_PIXELS)
    return {
        name: float(
            solve(sums, Anchors(f, land)).values[:, 1:-1, 1:-1][inner].std() / f[inner].std()
        )
        for name, f in fields.items()
    }


def _solver(rng: np.random.Generator, side: int) -> dict[str, float]:
    """Return the seconds of a year of nodes."""
    shape, found = (SOLVED_DAYS, side, side), {}
    swaths = np.broadcast_to((np.arange(side) // 15) % 3 > 0, shape)
    for label, is_full in (("every cell known", np.ones(shape, np.bool_)), ("swaths", swaths)):
        sums, land = _lattice(is_full), np.full((side, side), CELL_PIXELS)
        for kind, width in (("smooth over 2 cells", 2.0), ("of each cell alone", 0.0)):
            target = np.where(is_full, _noise(rng, shape, width, 0.03), np.float32(np.nan))
            work = partial(solve, sums, Anchors(target, land))
            found[f"{label}, residuals {kind}"] = _seconds(work) * YEAR / SOLVED_DAYS
    return found


def _kernels(scene: Scene) -> dict[str, float]:
    """Return nanoseconds a pixel and day."""
    days = np.concatenate([scene.guess] * SHARED_DAYS)[:SHARED_DAYS]
    where = scene.where
    sums = cell_sums(days, where, CEILING)
    target = (sums.means + 0.01).astype(np.float32)
    nodes = solve(sums, Anchors(target, sums.known[0].astype(np.int64)))
    works: dict[str, Callable[[], object]] = {
        "sums of the first guess": partial(cell_sums, days, where, CEILING),
        "sums after clamping": partial(cell_sums, days, where, CEILING, nodes.on(where.window)),
        "corrected values": partial(corrected, days, nodes, where, CEILING),
    }
    return {name: _seconds(work) / days.size * 1e9 for name, work in works.items()}


def _seconds(work: Callable[[], object]) -> float:
    work()
    start = time.process_time()
    work()
    return time.process_time() - start


def show(found: Mapping[str, Any]) -> str:
    """Return the tables of methods, of growth and of seconds."""
    lines = [
        "largest error of a cell's mean; jump at edges of cells over that inside; errors, m3 m-3",
        f"{'':38}{'largest':>9}{'jump':>7}{'RMSE':>8}{'in cells':>10}{'clamped':>9}{'missed':>8}",
    ]
    lines += [
        f"{row['scene']:8}{row['way']:30}{row['worst_mean']:9.1e}{row['jump']:7.2f}"
        f"{row['RMSE']:8.4f}{row['RMSE_within']:10.4f}{row['clamped']:9.1%}{row['missed']:8}"
        for row in found["methods"]
    ]
    lines.append("largest error of a mean before each round of clamping")
    lines += [
        f"{name:26}" + " ".join(f"{missed:8.1e}" for missed in row)
        for name, row in found["rounds"].items()
    ]
    lines.append("differences of the nodes over those of the residuals")
    lines += [f"{name:38}{value:9.2f}" for name, value in found["growth"].items()]
    lines.append(f"seconds for the nodes of a year of {found['cells']:,} cells")
    lines += [f"{name:48}{value:7.1f}" for name, value in found["solver"].items()]
    lines.append("nanoseconds a pixel and day")
    lines += [f"{name:38}{value:9.1f}" for name, value in found["kernels"].items()]
    return "\n".join(lines)
