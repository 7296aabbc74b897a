"""A piece of a tile by every route: stored features in, stored soil moisture out."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import ours, requests
from benchmarks.ours import BlockDone, LibraryPredictor
from benchmarks.routes import (
    BLOCKWISE,
    MASKED,
    NAIVE,
    OURS,
    PEER_WORKERS,
    Job,
    Run,
    clusters,
    prepared,
    run_in_turn,
)
from benchmarks.timing import interleave
from benchmarks.workload import BLOCK, COLUMNS, SCALES, Scale, land, read_bytes
from smcloud.grids.tiles import blocks_of
from smcloud.models.forest import Forest
from smcloud.production.plan import MODEL_FACTOR
from smcloud.production.planned import PROCESS_BYTES, BlockMemory
from smcloud.products.glass_sm import GLASS_SM

GLOBAL_ROWS = 157e6 * 365
"""Land pixel-days of a year without Antarctica."""
CORE_HOUR_PRICE = 0.05
WORKER_GOAL_BYTES = 0.6e9
KERNEL_ROUNDS = 3
FOREST, INPLACE = "smcloud Forest", "xgboost inplace_predict"


def measure(scale: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return the seconds of every route and what follows from them.

    Raises
    ------
    BenchmarkError
        If the integers of two routes differ.
    """
    models = []
    for job in prepared(SCALES[scale], seed, folder):
        with clusters() as cluster:
            models.append(rates(job, run_in_turn(job, cluster)))
    short, long = models
    return {**figures(short, long, SCALES[scale], seed), "requests": _requests(folder, seed)}


def rates(job: Job, runs: list[Run]) -> dict[str, Any]:
    """Return how fast each route was with one model, and prediction alone beside them."""
    routes, kernels = _best(job, runs), _kernels(job)
    return {
        "trees": job.trees,
        "model_bytes": Path(job.model).stat().st_size,
        "land_rows": job.land_rows,
        "routes": routes,
        "kernels": kernels,
        "share_of_kernel": _shares(routes, kernels),
    }


def figures(short: dict[str, Any], long: dict[str, Any], scale: Scale, seed: int) -> dict[str, Any]:
    """Return everything that follows from the rates with both models."""
    found = {
        "workload": {**asdict(scale), "columns": len(COLUMNS)},
        **short,
        **_one_worker(scale, seed, short),
        "global_year": _global_year(short["routes"]),
        "more_trees": long,
    }
    return {**found, "goals": _goals(found)}


def _requests(folder: Path, seed: int) -> dict[str, int]:
    requests.write_year(folder, seed)
    return asdict(requests.count(folder))


def _best(job: Job, runs: list[Run]) -> list[dict[str, Any]]:
    """Return one row for each route: its best round, and the seconds of its worst."""
    rows = []
    for name, workers in dict.fromkeys((run.name, run.workers) for run in runs):
        same = [run for run in runs if (run.name, run.workers) == (name, workers)]
        best = min(same, key=lambda run: run.took.seconds)
        rows.append(
            {
                "route": name,
                "workers": workers,
                **asdict(best.took),
                "seconds_worst": max(run.took.seconds for run in same),
                "land_rows_per_second": job.land_rows / best.took.seconds,
                "steps": _steps(best.blocks),
                "worker_peak_bytes": max((one.peak_bytes for one in best.blocks), default=0),
            }
        )
    return rows


def _steps(blocks: list[BlockDone]) -> dict[str, float]:
    """Return the seconds of each step, all blocks together."""
    names = blocks[0].seconds if blocks else ()
    return {name: sum(block.seconds[name] for block in blocks) for name in names}


def _kernels(job: Job) -> list[dict[str, Any]]:
    """Return rows per second of prediction alone, on rows of the workload's first block."""
    columns = ours.block_columns(job.cubes, job.scale, job.seed)
    rows = np.ascontiguousarray(columns.T)
    forest, library = Forest.from_xgboost(job.booster), LibraryPredictor(job.booster).booster
    forest.predict(columns)
    works = {
        (FOREST, 1): lambda: forest.predict(columns),
        (FOREST, PEER_WORKERS): lambda: forest.predict(columns, threads=PEER_WORKERS),
        (INPLACE, 1): lambda: library.inplace_predict(rows),
    }
    named = {f"{engine}\n{threads}": work for (engine, threads), work in works.items()}
    spreads = interleave(named, KERNEL_ROUNDS).values()
    return [
        {"engine": engine, "threads": threads, "rows_per_second": len(rows) / spread.best}
        for (engine, threads), spread in zip(works, spreads, strict=True)
    ]


def _shares(routes: list[dict[str, Any]], kernels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the whole job's rate over that of the evaluator alone on as many threads."""
    alone = {one["threads"]: one["rows_per_second"] for one in kernels if one["engine"] == FOREST}
    return [
        {
            "workers": row["workers"],
            "share": row["land_rows_per_second"] / alone[row["workers"]],
        }
        for row in routes
        if row["route"] == OURS and row["workers"] in alone
    ]


def _one_worker(scale: Scale, seed: int, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return how fast one worker read, and its peak memory beside the plan's."""
    row = found["routes"][0]
    return {
        "read_bytes_per_core_second": read_bytes(scale) / row["steps"]["read"],
        "worker_peak_bytes": row["worker_peak_bytes"],
        "worker_planned_bytes": planned_bytes(scale, seed, found["model_bytes"], read_ahead=False),
    }


def planned_bytes(scale: Scale, seed: int, model_bytes: int, *, read_ahead: bool) -> int:
    """Return what production's plan allows for one block of the workload, term by term as there."""
    pixels = BLOCK * BLOCK
    is_land = land(scale, seed)
    most_land = max(
        int(is_land[window.within(scale.window)].sum()) for window in blocks_of(scale.window, BLOCK)
    )
    reader = ours.feature_reader("")
    held = reader.estimate_bytes(
        scale.days,
        most_land,
        slab_days=ours.STEP_DAYS,
        window_pixels=pixels,
        row_bytes=len(COLUMNS) + np.dtype(np.float32).itemsize,
    )
    sizes = [np.dtype(one.dtype).itemsize for one in GLASS_SM.schema.variables]
    return BlockMemory(
        process=PROCESS_BYTES,
        inputs=held,
        outputs=scale.days * pixels * sum(sizes),
        encoding=2 * int(np.prod(GLASS_SM.schema.shards)) * max(sizes),
        ahead=reader.read_bytes(scale.days, most_land, pixels) if read_ahead else 0,
        model=MODEL_FACTOR * model_bytes,
    ).total()


def _global_year(routes: list[dict[str, Any]]) -> dict[str, float]:
    """Return core-hours of a year, by the wall clock of all cores and by their processor time."""
    cores = os.cpu_count() or 1
    row = max(
        (row for row in routes if row["route"] == OURS and row["workers"] <= cores),
        key=lambda row: row["workers"],
    )
    rows = row["land_rows_per_second"] * row["seconds"]
    wall = GLOBAL_ROWS / rows * row["seconds"] * row["workers"] / 3600
    return {
        "workers": row["workers"],
        "core_hours": wall,
        "busy_core_hours": GLOBAL_ROWS / rows * row["core_seconds"] / 3600,
        "cost": wall * CORE_HOUR_PRICE,
        "land_rows_per_core_second": row["land_rows_per_second"] / row["workers"],
    }


def _goals(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the goals of the whole job, what is wanted and what was found."""
    rates = {
        row["route"]: row["land_rows_per_second"]
        for row in found["routes"]
        if row["workers"] == PEER_WORKERS
    }
    goals = [
        {"goal": f"times {name}", "at_least": wanted, "found": rates[OURS] / rates[name]}
        for name, wanted in ((NAIVE, 40), (MASKED, 12), (BLOCKWISE, 15))
        if name in rates
    ]
    shares = {
        f"share of the evaluator's rate, {one['trees']} trees": (wanted, row["share"])
        for one, wanted in ((found, 0.45), (found["more_trees"], 0.60))
        for row in one["share_of_kernel"]
        if row["workers"] == PEER_WORKERS
    }
    peak, planned = found["worker_peak_bytes"], found["worker_planned_bytes"]
    return [
        *goals,
        *({"goal": name, "at_least": wanted, "found": share}
          for name, (wanted, share) in shares.items()),
        {"goal": "peak of a worker over its plan", "at_least": 0.9, "at_most": 1.1,
         "found": peak / planned},
        {"goal": "peak of a worker, GB", "at_most": WORKER_GOAL_BYTES / 1e9, "found": peak / 1e9},
        {"goal": "core-hours of a global year", "at_most": 8.0,
         "found": found["global_year"]["core_hours"]},
    ]  # fmt: skip


def show(found: Mapping[str, Any]) -> str:
    """Return the tables that the pages quote."""
    work = found["workload"]
    return "\n".join(
        [
            f"{found['land_rows']:,} land rows, {work['columns']} stored features, trees of depth "
            f"{work['depth']}; best of {work['rounds']} rounds",
            *_model_lines(found),
            *_step_lines(found),
            *_year_lines(found["global_year"]),
            *_model_lines(found["more_trees"]),
            f"requests: {found['requests']}",
            *_goal_lines(found["goals"]),
        ]
    )


def _model_lines(found: Mapping[str, Any]) -> list[str]:
    trees = f"{found['trees']} trees"
    return [*_route_lines(found["routes"], trees), *_kernel_lines(found, trees)]


def _route_lines(routes: list[Mapping[str, Any]], trees: str) -> list[str]:
    rates = {row["workers"]: row["land_rows_per_second"] for row in routes if row["route"] == OURS}
    lines = [
        f"{trees:<36}{'workers':>8}{'s':>9}{'worst':>9}{'land rows/s':>14}{'core-s':>9}"
        f"{'peak GB':>9}{'smcloud is':>12}"
    ]
    for row in routes:
        times = rates[row["workers"]] / row["land_rows_per_second"]
        lines.append(
            f"{row['route']:<36}{row['workers']:>8}{row['seconds']:>9.2f}"
            f"{row['seconds_worst']:>9.2f}{row['land_rows_per_second']:>14,.0f}"
            f"{row['core_seconds']:>9.1f}{row['peak_bytes'] / 1e9:>9.2f}{times:>11.1f}x"
        )
    return lines


def _step_lines(found: Mapping[str, Any]) -> list[str]:
    steps = found["routes"][0]["steps"]
    total = sum(steps.values())
    return [
        "one worker, seconds by step: "
        + ", ".join(f"{step} {value:.2f} ({value / total:.0%})" for step, value in steps.items()),
        f"reading and decoding {found['read_bytes_per_core_second'] / 1e9:.2f} GB/s and core; peak "
        f"of a worker {found['worker_peak_bytes'] / 2**20:,.0f} MiB, planned "
        f"{found['worker_planned_bytes'] / 2**20:,.0f} MiB",
    ]


def _kernel_lines(found: Mapping[str, Any], trees: str) -> list[str]:
    alone = ", ".join(
        f"{one['engine']} {one['rows_per_second']:,.0f} ({one['threads']} threads)"
        for one in found["kernels"]
    )
    shares = ", ".join(
        f"{one['share']:.0%} on {one['workers']}" for one in found["share_of_kernel"]
    )
    return [
        f"{trees}, prediction alone, rows/s: {alone}",
        f"{trees}, whole job over the evaluator alone, workers over threads: {shares}",
    ]


def _year_lines(year: Mapping[str, float]) -> list[str]:
    return [
        f"a global year, {GLOBAL_ROWS:.3g} land rows, {year['workers']} workers: "
        f"{year['core_hours']:,.1f} core-hours ({year['busy_core_hours']:,.1f} of them busy), "
        f"{year['land_rows_per_core_second']:,.0f} land rows/s and core, "
        f"{year['cost']:,.2f} at {CORE_HOUR_PRICE} a core-hour"
    ]


def _goal_lines(goals: list[Mapping[str, Any]]) -> list[str]:
    lines = []
    for one in goals:
        bounds = [f"{word} {one[key]:g}" for key, word in
                  (("at_least", "at least"), ("at_most", "at most")) if key in one]  # fmt: skip
        met = one.get("at_least", -np.inf) <= one["found"] <= one.get("at_most", np.inf)
        lines.append(
            f"goal: {one['goal']} {' and '.join(bounds)}: {one['found']:.3g}, "
            + ("met" if met else "NOT MET")
        )
    return lines
