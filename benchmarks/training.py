"""Trees grown from a table: smcloud's streamed columns, and its workers, against plain XGBoost.

Each training has a process of its own, so that memory freed by one is not lent to the next. Memory
is counted above what the process holds with the table in it.
"""

import gc
import hashlib
import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import xgboost
from distributed import Client, LocalCluster
from numpy.typing import NDArray

from benchmarks.timing import Taken, taken
from smcloud.models.parameters import BoostingParams
from smcloud.models.rows import Rows
from smcloud.models.training import train_boosting

FEATURES = 24
UNKNOWN = 0.1
"""Share of values that are NaN."""
STOP_SHARE = 50
"""One row in so many is in the stop set."""
CORES = 2
GOAL = 1.3
"""Times the seconds of plain XGBoost."""


@dataclass(frozen=True)
class Scale:
    """Rows to fit, trees to grow, and how often each route has its turn."""

    rows: int
    trees: int
    rounds: int


SCALES = {
    "tiny": Scale(20_000, 5, 1),
    "small": Scale(500_000, 100, 3),
    "large": Scale(10_000_000, 50, 1),
}


@dataclass(frozen=True)
class Job:
    """One training: its route, table and store."""

    route: str
    scale: Scale
    seed: int
    folder: str

    @property
    def params(self) -> BoostingParams:
        """Return smcloud's defaults; nothing stops the growing early."""
        return BoostingParams(
            rounds=self.scale.trees,
            early_stopping=self.scale.trees,
            seed=self.seed,
            threads=CORES,
        )


@dataclass(frozen=True)
class Run:
    """What a training took."""

    took: Taken
    peak_bytes: int
    """Largest resident memory of all its processes above what they held before."""
    trees_hash: str
    stop_rmse: float


def measure(scale: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return seconds and memory of every route, and which of them grow equal trees."""
    chosen = SCALES[scale]
    runs: dict[str, list[Run]] = {route: [] for route in ROUTES}
    for turn in range(chosen.rounds):
        for route in ROUTES:
            job = Job(route, chosen, seed, str(folder / f"{turn}-{route.replace(' ', '-')}"))
            runs[route].append(_apart(job))
    plain = min(run.took.seconds for run in runs[PLAIN])
    return {
        "workload": {**asdict(chosen), "features": FEATURES, "cores": CORES},
        "table_bytes": chosen.rows * FEATURES * 4,
        "routes": [_row(route, found, plain, runs[PLAIN][0]) for route, found in runs.items()],
    }


def _row(route: str, runs: list[Run], plain_seconds: float, plain: Run) -> dict[str, Any]:
    best = min(runs, key=lambda run: run.took.seconds)
    return {
        "route": route,
        "seconds": best.took.seconds,
        "seconds_worst": max(run.took.seconds for run in runs),
        "core_seconds": best.took.core_seconds,
        "peak_bytes": max(run.peak_bytes for run in runs),
        "ratio": best.took.seconds / plain_seconds,
        "same_trees": best.trees_hash == plain.trees_hash,
        "stop_rmse": best.stop_rmse,
    }


def show(found: Mapping[str, Any]) -> str:
    """Return the table of all routes."""
    work, table = found["workload"], found["table_bytes"]
    lines = [
        f"{work['rows']:,} rows x {work['features']} float32 ({table / 1e9:.2f} GB), "
        f"{work['trees']} trees of depth 8, {work['cores']} cores; goal: {GOAL} times plain",
        f"{'route':<30}{'seconds':>9}{'worst':>9}{'core s':>9}{'times':>7}{'GB above':>10}"
        f"{'B/value':>9}{'stop RMSE':>11}  trees",
    ]
    return "\n".join([*lines, *(_line(row, table) for row in found["routes"])])


def _line(row: Mapping[str, Any], table_bytes: int) -> str:
    return (
        f"{row['route']:<30}{row['seconds']:>9.1f}{row['seconds_worst']:>9.1f}"
        f"{row['core_seconds']:>9.1f}{row['ratio']:>7.2f}{row['peak_bytes'] / 1e9:>10.2f}"
        f"{row['peak_bytes'] * 4 / table_bytes:>9.1f}{row['stop_rmse']:>11.5f}"
        f"  {'the same' if row['same_trees'] else 'others'}"
    )


def _apart(job: Job) -> Run:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_run, job).result()


def _run(job: Job) -> Run:
    return ROUTES[job.route](job)


def _plain(job: Job) -> Run:
    """Grow trees from ready arrays by XGBoost alone, the same parameters given."""
    (fit, target), (stop, stop_target) = (_arrays(job, is_fit) for is_fit in (True, False))
    params = {**job.params.for_xgboost(0), "nthread": CORES}
    scores: dict[str, Any] = {}

    def grow() -> bytes:
        bins = {"max_bin": job.params.max_bin, "nthread": CORES}
        matrix = xgboost.QuantileDMatrix(fit, target, **bins)
        held_out = xgboost.QuantileDMatrix(stop, stop_target, ref=matrix, **bins)
        booster = xgboost.train(
            params,
            matrix,
            job.scale.trees,
            evals=[(held_out, "stop")],
            evals_result=scores,
            verbose_eval=False,
        )
        best = int(np.argmin(scores["stop"]["rmse"])) + 1
        return bytes(booster[:best].save_raw("ubj"))

    data, took, peak = _watched(grow, ())
    return Run(took, peak, hashlib.sha256(data).hexdigest(), min(scores["stop"]["rmse"]))


def _streamed(job: Job) -> Run:
    """Grow trees from the table's columns, as smcloud does on one host."""
    return _ours(job, None)


def _over_one(job: Job) -> Run:
    """Grow trees in one worker of as many threads as there are cores."""
    return _over_workers(job, n_workers=1)


def _over_two(job: Job) -> Run:
    """Grow trees in one worker of one thread for each core."""
    return _over_workers(job, n_workers=CORES)


def _over_workers(job: Job, n_workers: int) -> Run:
    with (
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=CORES // n_workers,
            dashboard_address=":0",
            memory_limit=0,
        ) as cluster,
        Client(cluster) as client,
    ):
        return _ours(job, client)


def _ours(job: Job, client: Client | None) -> Run:
    fit, stop = (_rows(job, is_fit) for is_fit in (True, False))
    pids = () if client is None else tuple(client.run(_pid).values())
    found, took, peak = _watched(
        lambda: train_boosting(
            fit,
            stop,
            job.params,
            client=client,
            route="local" if client is None else "dask",
            checkpoints=job.folder,
        ),
        pids,
    )
    return Run(took, peak, hashlib.sha256(found.data).hexdigest(), min(found.history))


def _pid() -> int:
    return psutil.Process().pid


def _watched(work: Callable[[], Any], pids: tuple[int, ...]) -> tuple[Any, Taken, int]:
    gc.collect()
    held = sum(psutil.Process(pid).memory_info().rss for pid in (_pid(), *pids))
    result, took = taken(work, pids)
    return result, took, took.peak_bytes - held


def _size(job: Job, is_fit: bool) -> int:
    return job.scale.rows if is_fit else job.scale.rows // STOP_SHARE


def _column(job: Job, number: int, is_fit: bool) -> NDArray[np.float32]:
    rng = np.random.default_rng([job.seed, number, is_fit])
    column = rng.standard_normal(_size(job, is_fit), dtype=np.float32)
    column[rng.random(column.size, dtype=np.float32) < UNKNOWN] = np.nan
    return column


def _target(job: Job, is_fit: bool) -> NDArray[np.float32]:
    first, second, third = (np.nan_to_num(_column(job, n, is_fit)) for n in range(3))
    noise = np.random.default_rng([job.seed, FEATURES, is_fit])
    target = 0.25 + 0.03 * first * second + 0.04 * np.sin(third)
    noisy: NDArray[np.float32] = target + 0.02 * noise.standard_normal(first.size, np.float32)
    return noisy


def _rows(job: Job, is_fit: bool) -> Rows:
    columns = tuple(_column(job, number, is_fit) for number in range(FEATURES))
    return Rows(columns, _target(job, is_fit), np.arange(_size(job, is_fit)))


def _arrays(job: Job, is_fit: bool) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    matrix = np.empty((_size(job, is_fit), FEATURES), np.float32)
    for number in range(FEATURES):
        matrix[:, number] = _column(job, number, is_fit)
    return matrix, _target(job, is_fit)


PLAIN = "xgboost.train, ready array"
ROUTES: Mapping[str, Callable[[Job], Run]] = {
    PLAIN: _plain,
    "smcloud, columns streamed": _streamed,
    "smcloud over 1 worker": _over_one,
    "smcloud over 2 workers": _over_two,
}
