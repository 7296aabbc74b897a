"""`python -m benchmarks run [--scale small]`: the tile job by every route, in one run."""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import xgboost
from numpy.typing import NDArray

from benchmarks import ours, peers, requests
from benchmarks.record import Timed, timed, write
from benchmarks.workload import COLUMNS, LAND_SHARE, SCALES, Scale, land, prepare
from smcloud.features.blockwise import FeatureReader
from smcloud.production.cluster import ClusterRequest, connect
from smcloud.production.plan import PROCESS_BYTES

GLOBAL_ROWS = 157e6 * 365
"""Land pixel-days of a year without Antarctica."""
CORE_HOUR_PRICE = 0.05
WORKER_BYTES = 4 * 2**30
Job = Callable[[], NDArray[np.int16]]


@dataclass(frozen=True)
class Row:
    """One route: seconds, land rows per second, peak bytes, ratio to smcloud on equal workers."""

    route: str
    workers: int
    seconds: float
    land_rows_per_second: float
    peak_bytes: int


class Bench:
    """One workload, its model on disk, and the routes over it."""

    def __init__(self, scale: Scale, folder: Path, seed: int) -> None:
        self.scale, self.folder, self.seed = scale, folder, seed
        self.url, self.model = prepare(folder, scale, seed)
        self.path = str(folder / "model.ubj")
        self.model.save_model(self.path)
        self.mask = land(scale, seed)
        self.rows: list[Row] = []
        self.blocks: list[ours.BlockDone] = []
        self.expected: NDArray[np.int16] | None = None

    @property
    def land_rows(self) -> int:
        """Return the land pixel-days of the workload."""
        return int(self.mask.sum()) * self.scale.days

    def time(self, route: str, workers: int, job: Job) -> None:
        """Time one route and refuse a result that differs from the first one's."""
        stored, took = timed(job)
        if self.expected is None:
            self.expected = stored
        if not np.array_equal(stored, self.expected):
            raise SystemExit(f"{route}: its integers differ from those of {self.rows[0].route}")
        self._note(route, workers, took)

    def _note(self, route: str, workers: int, took: Timed) -> None:
        rate = self.land_rows / took.seconds
        self.rows.append(Row(route, workers, took.seconds, rate, took.peak_bytes))
        print(f"  {route:<34}{workers:>3} workers {took.seconds:8.1f} s {rate / 1e3:9.1f} k rows/s",
              flush=True)  # fmt: skip

    def smcloud(self, workers: int) -> None:
        """Time smcloud's blocks on a warm cluster of one-thread processes."""
        with connect(ClusterRequest(workers=workers, worker_bytes=WORKER_BYTES)) as client:
            client.run(feature_warm_up, self.path)

            def job() -> NDArray[np.int16]:
                stored, self.blocks = ours.run(
                    self.url, self.scale, self.path, self.seed, self.folder, client
                )
                return stored

            self.time(f"smcloud, {workers} worker" + "s" * (workers > 1), workers, job)

    def peers(self, workers: int) -> None:
        """Time the four peers on a warm cluster of the same size."""
        with connect(ClusterRequest(workers=workers, worker_bytes=WORKER_BYTES)) as client:
            client.run(feature_warm_up, self.path)
            inputs = (self.url, self.scale, one_thread(self.model), self.mask, self.folder)
            self.time("apply_ufunc, ocean masked first", workers, lambda: peers.masked(*inputs))
            self.time("apply_ufunc, as people write it", workers, lambda: peers.naive(*inputs))
            self.time("dask-ml ParallelPostFit", workers, lambda: peers.parallel_post_fit(*inputs))
            self.time("xgboost.dask", workers, lambda: peers.xgboost_dask(*inputs, client))


def one_thread(model: xgboost.Booster) -> xgboost.Booster:
    """Return the model bounded to one thread, as every worker of a one-thread cluster needs."""
    model.set_param({"nthread": 1})
    return model


def feature_warm_up(path: str) -> None:
    """Import and load on a worker what its first task would otherwise pay for."""
    ours._model(path)


def planned_bytes(reader: FeatureReader, scale: Scale) -> int:
    """Return what production's plan would allow for one block of the workload."""
    points = int(LAND_SHARE * 150 * 150)
    held = reader.estimate_bytes(scale.days, points, slab_days=46, window_pixels=150 * 150)
    return PROCESS_BYTES + held + 3 * 2 * 368 * 150 * 150


def figures(bench: Bench) -> dict[str, object]:
    """Return everything that was measured."""
    seconds = {
        step: sum(block.seconds[step] for block in bench.blocks) for step in bench.blocks[0].seconds
    }
    core_seconds = sum(seconds.values())
    raw = ours.raw_rate(bench.url, bench.scale, bench.path, bench.seed)
    rate = bench.land_rows / core_seconds
    hours = GLOBAL_ROWS / rate / 3600
    peak = max(block.peak_bytes for block in bench.blocks)
    requests.write_year(bench.folder, bench.seed)
    return {
        "scale": asdict(bench.scale),
        "columns": len(COLUMNS),
        "land_rows": bench.land_rows,
        "routes": [asdict(row) for row in bench.rows],
        "core_seconds_by_step": seconds,
        "land_rows_per_core_second": rate,
        "inplace_predict_rows_per_core_second": raw,
        "share_of_raw_rate": rate / raw,
        "peak_bytes_measured": peak,
        "peak_bytes_planned": planned_bytes(ours.feature_reader(bench.url), bench.scale),
        "global_year_core_hours": hours,
        "global_year_cost": hours * CORE_HOUR_PRICE,
        "requests": asdict(requests.count(bench.folder)),
    }


def show(found: dict[str, object]) -> None:
    """Print the table that the README quotes."""
    routes = [Row(**row) for row in found["routes"]]  # type: ignore[attr-defined]
    by_workers = {row.workers: row for row in routes if row.route.startswith("smcloud")}
    print(
        f"\n{'route':<34}{'workers':>8}{'s':>9}{'land rows/s':>14}{'peak GB':>9}{'smcloud is':>12}"
    )
    for row in routes:
        ratio = by_workers[row.workers].land_rows_per_second / row.land_rows_per_second
        print(f"{row.route:<34}{row.workers:>8}{row.seconds:>9.1f}{row.land_rows_per_second:>14,.0f}"
              f"{row.peak_bytes / 1e9:>9.2f}{ratio:>11.1f}x")  # fmt: skip
    steps = found["core_seconds_by_step"]
    total = sum(steps.values())  # type: ignore[attr-defined]
    print(
        "\ncore-seconds by step: "
        + ", ".join(f"{step} {value:.1f} ({value / total:.0%})" for step, value in steps.items())
    )  # type: ignore[attr-defined]
    print(
        f"land rows per core-second {found['land_rows_per_core_second']:,.0f}, "
        f"inplace_predict alone {found['inplace_predict_rows_per_core_second']:,.0f}: "
        f"{found['share_of_raw_rate']:.0%} of the raw rate"
    )
    print(
        f"peak of a worker {found['peak_bytes_measured'] / 2**20:,.0f} MiB, "  # type: ignore[operator]
        f"planned {found['peak_bytes_planned'] / 2**20:,.0f} MiB"
    )  # type: ignore[operator]
    print(
        f"a global year, 5.73e10 land rows: {found['global_year_core_hours']:,.0f} core-hours, "
        f"{found['global_year_cost']:,.0f} at {CORE_HOUR_PRICE} a core-hour"
    )
    print(f"requests: {found['requests']}")


def main() -> None:
    """Run the workload and store its record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("verb", choices=["run"])
    parser.add_argument("--scale", choices=sorted(SCALES), default="small")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="smcloud-bench-") as folder:
        bench = Bench(SCALES[chosen.scale], Path(folder), chosen.seed)
        print(f"{bench.land_rows:,} land rows of {bench.mask.size * bench.scale.days:,}")
        for workers in (1, 2):
            bench.smcloud(workers)
        bench.peers(2)
        found = figures(bench)
        show(found)
        print("record:", write(f"tile-{chosen.scale}", found, chosen.seed))


if __name__ == "__main__":
    main()
