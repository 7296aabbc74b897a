"""A year of both downscaled products by `smcloud produce`, pass by pass, and of their regions.

Drivers are made up and read as a user's own cubes; models of each family, or local regressions, are
trained on them. What a pass took is what the ledger says: the receipts of production itself. The
anchoring is compared with the same mathematics in whole arrays of numpy and scipy.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.anchoring import CEILING, scene_of
from benchmarks.anchoring_peer import anchor_whole, prepare
from benchmarks.record import BenchmarkError
from benchmarks.region import RegionJob, train, write_cubes
from benchmarks.timing import interleave, progress
from smcloud.core.listener import Silent
from smcloud.core.memory import peak_bytes
from smcloud.grids.grid import TILE_PIXELS
from smcloud.models.anchoring import AnchorRules, anchor
from smcloud.models.families import FAMILIES, TITLES, Family
from smcloud.production.block import STEPS
from smcloud.production.ledger import Ledger
from smcloud.production.passes import PASSES, figure_of
from smcloud.production.plan import plan_year
from smcloud.production.produce_stage import run
from smcloud.production.recipe import recipe_of
from smcloud.products.all_weather import ALL_WEATHER
from smcloud.products.base import Product
from smcloud.products.regions import REGIONS
from smcloud.products.smap_downscaling import SMAP_DOWNSCALING

DAYS, CORES, CORE_HOUR_PRICE = 365, (2, 16, 64), 0.05
TILE_YEAR = DAYS * TILE_PIXELS**2
FINISH = "finish"
WARM_SIDE = 20
AGREEMENT = 1e-4
"""Largest difference from the peer's values, m3 m-3: the bound of a cell's mean."""
DRY, CLOUDY = 0.05, 0.3


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    side: int
    """Pixels along each side of the region that is produced."""
    families: tuple[Family, ...]
    scene_side: int
    scene_days: int
    rounds: int


SIZES = {
    "tiny": Size(30, ("mlr",), 120, 2, 1),
    "small": Size(300, FAMILIES, 600, 16, 2),
    "large": Size(600, FAMILIES, 1200, 46, 3),
}
"""small: 90,000 pixels of four blocks, 33 million pixel-days a product and family."""


def measure(scale: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return the speed of every pass of both products, and of anchoring beside its peer.

    Raises
    ------
    BenchmarkError
        If the peer's values are others.
    """
    size = SIZES[scale]
    years = []
    for product, models in ((SMAP_DOWNSCALING, size.families), (ALL_WEATHER, (None,))):
        sides = {"warm": WARM_SIDE, "timed": size.side}
        jobs = [
            RegionJob(product, n, seed, folder / product.name / name) for name, n in sides.items()
        ]
        progress(f"{product.name}: cubes")
        for job in jobs:
            write_cubes(job)
        for family in models:
            progress(f"{product.name}: {family or 'local regressions'}")
            # The first one compiles, or loads what was compiled before.
            years.append([_year(job, family) for job in jobs][-1])
    progress("anchoring")
    return {"years": years, "anchoring": _anchoring(size, seed)}


def _year(job: RegionJob, family: Family | None) -> dict[str, Any]:
    """Train, produce a year in this process, and return what the ledger says of it."""
    train(job, family)
    config = job.config(family or "local")
    plan = plan_year(recipe_of(config), int(config.years[0]))
    (year,) = run(config, None, Silent()).years
    (record,) = Ledger(config.store.root, f"produce/{job.product.name}").records(year.year).values()
    figures = record.figures
    seconds = {name: figures[figure_of(name)] for name in PASSES}
    seconds[FINISH] = sum(figures[f"seconds_{step}"] for step in STEPS)
    rows = figures["rows"]
    return {
        "product": job.product.name,
        "model": family or "local",
        "rows": int(rows),
        "seconds": seconds,
        "rows_per_core_second": {n: rows / s if s else 0.0 for n, s in seconds.items()},
        "whole_rows_per_core_second": rows / figures["seconds"],
        "tile_days_per_core_hour": rows / figures["seconds"] * 3600 / TILE_PIXELS**2,
        "region": _region(job.product, rows / figures["seconds"]),
        "stored_bytes": int(figures["stored_bytes"]),
        "process_peak_bytes": peak_bytes(),
        "planned_bytes": {one.name: one.total() for one in plan.passes},
    }


def _region(product: Product, rate: float) -> dict[str, Any]:
    """Return what a year of the product's region takes on so many cores at this speed."""
    region = REGIONS[product.name]
    hours = region.land_pixels * DAYS / rate / 3600
    return {
        **asdict(region),
        "core_hours": hours,
        "cost": hours * CORE_HOUR_PRICE,
        "hours_on_cores": {str(cores): hours / cores for cores in CORES},
    }


def _anchoring(size: Size, seed: int) -> dict[str, Any]:
    """Return pixel-days a second of anchoring here and in whole arrays, on equal values."""
    made = scene_of(np.random.default_rng(seed), size.scene_side, size.scene_days, DRY)
    rng, guess, where = np.random.default_rng(seed), made.guess.copy(), made.where
    guess[rng.random(guess.shape, np.float32) < CLOUDY] = np.nan
    whole = prepare(where, AnchorRules().decay_cells)
    ours, _ = anchor(guess, where, made.anchors, CEILING)
    theirs = anchor_whole(guess, whole, where, made.anchors, CEILING)
    difference = float(np.nanmax(np.abs(ours - theirs)))
    if difference > AGREEMENT:
        raise BenchmarkError(f"anchoring in whole arrays differs by {difference:.2g} m3 m-3")
    works: dict[str, Callable[[], object]] = {
        "smcloud": lambda: anchor(guess, where, made.anchors, CEILING),
        "whole arrays": lambda: anchor_whole(guess, whole, where, made.anchors, CEILING),
    }
    spread = interleave(works, size.rounds)
    return {
        "pixel_days": int(guess.size),
        "cells": int(np.prod(where.window.shape)),
        "largest_difference": difference,
        "seconds": {name: one.best for name, one in spread.items()},
        "seconds_worst": {name: one.worst for name, one in spread.items()},
        "ratio": spread["whole arrays"].best / spread["smcloud"].best,
    }


def show(found: Mapping[str, Any]) -> str:
    """Return the tables of passes, of regions and of anchoring beside its peer."""
    names = (*PASSES, FINISH)
    lines = [
        f"million pixel-days a core-second by pass; {found['years'][0]['rows']:,} pixel-days, "
        "one process",
        f"{'':<44}" + "".join(f"{name:>13}" for name in (*names, "whole")) + f"{'tile-days/h':>13}",
    ]
    for row in found["years"]:
        rates = [row["rows_per_core_second"][name] for name in names]
        rates.append(row["whole_rows_per_core_second"])
        lines.append(
            f"{_title(row):<44}"
            + "".join(f"{rate / 1e6:>13.2f}" if rate else f"{'-':>13}" for rate in rates)
            + f"{row['tile_days_per_core_hour']:>13,.0f}"
        )
    lines += [_region_line(row) for row in found["years"]]
    peak = max(row["process_peak_bytes"] for row in found["years"])
    planned = max(size for row in found["years"] for size in row["planned_bytes"].values())
    lines.append(
        f"peak of this process, which trains too, {peak / 2**20:,.0f} MiB; planned for a worker "
        f"{planned / 2**20:,.0f} MiB"
    )
    one = found["anchoring"]
    lines.append(
        f"anchoring {one['pixel_days']:,} pixel-days, {one['cells']} cells: smcloud "
        f"{one['seconds']['smcloud']:.2f} s, whole arrays of numpy and scipy "
        f"{one['seconds']['whole arrays']:.2f} s, {one['ratio']:.1f} times as long; values differ "
        f"by {one['largest_difference']:.1g} at most"
    )
    return "\n".join(lines)


def _title(row: Mapping[str, Any]) -> str:
    return f"{row['product']}, {TITLES.get(row['model'], 'local regressions')}"


def _region_line(row: Mapping[str, Any]) -> str:
    region = row["region"]
    clock = ", ".join(
        f"{60 * hours:,.0f} min on {cores}" for cores, hours in region["hours_on_cores"].items()
    )
    return (
        f"a year of {region['name']} ({_title(row)}): {region['core_hours']:,.1f} core-hours, "
        f"{region['cost']:,.2f} at {CORE_HOUR_PRICE} a core-hour; {clock} cores"
    )
