"""Seams between swaths: values hidden under orbits of other days, by all who could fill them."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.coarse_world import DryingWorld, drying_world
from benchmarks.timing import interleave, progress
from smcloud.models.seams import SeamRule, fill_seams
from smcloud.validation.hidden_swaths import (
    Filler,
    HidingRule,
    linear_in_time,
    monthly_climatology,
    score_hidden,
)

SIZES = {"tiny": (200, 60, 1), "small": (365, 2000, 7), "large": (730, 5000, 7)}
"""Days, cells and folds."""
NOISES = (0.015, 0.03)
"""Errors of the retrievals, m3 m-3: they are in the hidden values too, and bound every score."""
SCORES = ("RMSE", "R", "bias")


def measure(scale: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return the scores of each way to fill seams, and the seconds that ours takes."""
    days, cells, folds = SIZES[scale]
    rows, world = [], drying_world(seed, days, cells, NOISES[0])
    for noise in NOISES:
        progress(f"hidden swaths, errors of {noise}")
        world = drying_world(seed, days, cells, noise)
        found = score_hidden(world.seen, world.missed, fillers(world), HidingRule(folds=folds))
        table = found.table()
        rows += [
            {"errors": noise, "filler": name, "n": int(row["n"]), "share": float(row["share"])}
            | {score: float(row[score]) for score in SCORES}
            for name, row in table.iterrows()
        ]
    work = partial(fill_seams, world.seen, world.missed, world.predictors)
    return {
        "days": days,
        "cells": cells,
        "missed_share": float(world.missed.mean()),
        "fill_seconds": interleave({"fill": work}, 1)["fill"].best,
        "fillers": rows,
    }


def fillers(world: DryingWorld) -> dict[str, Filler]:
    """Return the sub-model with and without predictors, and what is simpler."""
    return {
        "sub-model": lambda seen, wanted: fill_seams(seen, wanted, world.predictors).values,
        "sub-model, days around alone": lambda seen, wanted: fill_seams(seen, wanted).values,
        "linear in time": lambda seen, _: linear_in_time(seen, SeamRule().days),
        "climatology": lambda seen, _: monthly_climatology(seen, world.days),
    }


def show(found: Mapping[str, Any]) -> str:
    """Return the table of fillers."""
    missed = f"{found['missed_share']:.0%} missed by the orbits"
    lines = [
        f"{found['cells']:,} cells, {found['days']} days, {missed}; "
        f"filled in {found['fill_seconds']:.1f} s",
        f"{'errors':<8}{'filler':<32}{'n':>9}{'filled':>8}{'RMSE':>9}{'R':>8}{'bias':>9}",
    ]
    lines += [
        f"{row['errors']:<8}{row['filler']:<32}{row['n']:>9,}{row['share']:>8.1%}"
        f"{row['RMSE']:>9.4f}{row['R']:>8.3f}{row['bias']:>9.4f}"
        for row in found["fillers"]
    ]
    return "\n".join(lines)
