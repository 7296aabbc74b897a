"""The gap-filling network: seconds of a global day, minutes of a training, and hidden values.

A global day is all land of the 0.25 degree grid under bands that no orbit sees. The network that is
scored learns from one made-up world, is ended by a second, and fills a third: benchmarks/gap_world.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gap_world import GapWorld, bands, gap_world
from benchmarks.timing import progress, taken
from smcloud.grids.grid import GLOBAL025
from smcloud.grids.land import land_cells
from smcloud.models.gap_baselines import baseline_fillers
from smcloud.models.gap_patches import PatchRules, cut_patches, swath_masks
from smcloud.models.seamless import SeamlessNet, fill_days
from smcloud.models.seamless_files import net_of
from smcloud.models.seamless_rules import SMALL, SeamlessShape, TrainingRules
from smcloud.models.seamless_training import new_net, train
from smcloud.validation.hidden_swaths import HidingRule
from smcloud.validation.simulated_gaps import GapRule, score_gaps

PUBLISHED = SeamlessShape()
TILES = (48, 96, 192)
SCORES = ("RMSE", "R", "MAE", "bias", "step_ratio")
LAST_ROW = 600
"""Rows south of it are the Antarctic, where nothing is retrieved (SGD-SM ends at 60 S, too)."""
SINCE = (0, 1, 2, 4, 8)
"""Days since a start after which it is looked at what is left of it."""
BAND = (120, 55)
"""Columns from one orbit to the next at the equator, and between their swaths."""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rows: int
    """Of the global grid, from the north."""
    world: tuple[int, int, int]
    """Days, rows and columns to learn from."""
    training: TrainingRules
    patches: PatchRules


PARTLY = PatchRules(size=24, stride=8, complete_share=0.6)
"""Bands leave no square of 24 cells complete: what is missing is not learned from."""
SIZES = {
    "tiny": Size(
        40,
        (24, 32, 48),
        TrainingRules(epochs=2, steps=3, batch=4),
        PatchRules(size=16, stride=8, complete_share=0.95),
    ),
    "small": Size(LAST_ROW, (200, 96, 128), TrainingRules(), PARTLY),
    "large": Size(
        LAST_ROW,
        (700, 96, 128),
        TrainingRules(epochs=200),
        PARTLY,
    ),
}


def measure(scale: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return seconds of a global day by size, tile and threads, and the table of fillers."""
    size = SIZES[scale]
    return {"day": global_day(size, seed), "training": trained(size, seed)}


def global_day(size: Size, seed: int) -> dict[str, Any]:
    """Return the seconds in which the gaps of one day are filled, the days around it given."""
    land = land_cells(GLOBAL025, GLOBAL025.window)[: size.rows]
    days = PUBLISHED.window
    rng = np.random.default_rng(seed)
    missed = bands(days, *land.shape, *BAND)
    moisture = rng.uniform(0.05, 0.45, missed.shape).astype(np.float32)
    moisture[missed | ~land] = np.nan
    rain = rng.exponential(2.0, missed.shape).astype(np.float32)
    # Days with no gap are not looked at: the middle one alone is work.
    gaps = np.isnan(moisture[days // 2]) & land
    moisture = np.where(np.isnan(moisture) & land, np.float32(0.2), moisture)
    moisture[days // 2][gaps] = np.nan
    works = {}
    for name, shape in (("published", PUBLISHED), ("small", SMALL)):
        net = new_net(shape, seed)
        for tile in TILES:
            for threads in (1, 2):
                key = f"{name}, tiles of {tile}, threads {threads}"
                rules = {"tile": tile, "threads": threads, "circular": True}
                works[key] = partial(fill_days, net, moisture, land, rain, **rules)
    progress(f"a global day, {int(gaps.sum()):,} gaps")
    took = {name: taken(work)[1] for name, work in works.items()}
    return {
        "land_cells": int(land.sum()),
        "gaps": int(gaps.sum()),
        "seconds": {name: [one.seconds, one.core_seconds] for name, one in took.items()},
    }


def trained(size: Size, seed: int) -> dict[str, Any]:
    """Return the minutes of a training on one thread, and the scores of all fillers."""
    n_days, rows, cols = size.world
    world = gap_world(seed + 1, n_days, rows, cols)
    few = max(n_days // 4, 24), rows, cols
    other = gap_world(seed + 2, *few)
    patches, held_out = (
        cut_patches(one.days, one.observed, one.land, one.rain, size.patches)
        for one in (world, other)
    )
    masks = swath_masks(world.days, world.missed, world.land, size.patches)
    progress(f"training on {len(patches):,} patches")
    started = time.perf_counter()
    found = train([patches], masks, held_out, SMALL, size.training)
    seconds = time.perf_counter() - started
    progress("hidden values")
    net, third = net_of(found.data, SMALL, "benchmark"), gap_world(seed + 3, *few)
    return {
        "patches": len(patches),
        "minutes": seconds / 60,
        "epochs": len(found.history),
        "held_out": {"network": min(found.history), "untrained": found.untrained_rmse},
        "fillers": scores(net, third),
        "forgetting": forgetting(net, third),
    }


def scores(net: SeamlessNet, world: GapWorld) -> list[dict[str, float | str]]:
    """Return a row per filler over hidden values of a world that no part of the training saw."""
    latitude = 40 - 0.25 * np.arange(world.land.shape[0])
    longitude = 0.25 * np.arange(world.land.shape[1])
    dry = np.full_like(world.rain, np.nan)
    fillers = {
        "network": lambda seen, land: fill_days(net, seen, land, world.rain),
        "network, rain unknown": lambda seen, land: fill_days(net, seen, land, dry),
        **baseline_fillers(world.days, latitude, longitude),
    }
    values = np.where(world.land, world.observed, np.float32(np.nan))
    rule = GapRule(HidingRule(shift_days=7, apart=9, folds=3))
    table = score_gaps(values, world.land, fillers, rule).overall()
    return [
        {"filler": str(name), "n": int(row["n"])} | {score: float(row[score]) for score in SCORES}
        for name, row in table.iterrows()
    ]


def forgetting(net: SeamlessNet, world: GapWorld, start: int = 12) -> list[dict[str, float]]:
    """Return how far a run that starts late is from one that started earlier, day by day.

    Over the gaps on land of the days since the late start: mean and 99th percentile of the absolute
    difference, m3 m-3.
    """
    early = fill_days(net, world.observed, world.land, world.rain)[start:]
    late = fill_days(net, world.observed[start:], world.land, world.rain[start:])
    gaps = np.isnan(world.observed[start:]) & world.land
    rows = []
    for day in SINCE:
        apart = np.abs(early[day] - late[day])[gaps[day]]
        rows.append(
            {"day": day, "mean": float(apart.mean()), "p99": float(np.quantile(apart, 0.99))}
        )
    return rows


def show(found: Mapping[str, Any]) -> str:
    """Return both tables."""
    day, training = found["day"], found["training"]
    lines = [f"a global day: {day['gaps']:,} gaps of {day['land_cells']:,} cells of land"]
    lines += [
        f"{name:<40}{seconds:>8.1f} s{of_cores:>8.1f} core-s"
        for name, (seconds, of_cores) in day["seconds"].items()
    ]
    held_out = training["held_out"]
    lines += [
        f"trained in {training['minutes']:.1f} minutes on one thread, {training['epochs']} epochs, "
        f"{training['patches']:,} patches",
        f"year held out: RMSE {held_out['network']:.4f}, the first guess that "
        f"it starts from {held_out['untrained']:.4f}",
        f"{'filler':<26}{'n':>8}" + "".join(f"{score:>11}" for score in SCORES),
    ]
    lines += [
        f"{row['filler']:<26}{row['n']:>8,}" + "".join(f"{row[score]:>11.4f}" for score in SCORES)
        for row in training["fillers"]
    ]
    lines += ["days since a late start, and how far it is from an early one: mean, 99th percentile"]
    lines += [
        f"{row['day']:>4}{row['mean']:>10.5f}{row['p99']:>10.5f}" for row in training["forgetting"]
    ]
    return "\n".join(lines)
