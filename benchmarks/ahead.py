"""What reading ahead brings: smcloud's blocks on stores that answer at once, or late.

The store is a folder; each of its requests is made to wait for so many milliseconds, as a bucket
would, without taking processor time. Nothing but the waiting is simulated.
"""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

from distributed import Client

from benchmarks import ours
from benchmarks.routes import Job, clusters, prepared, worker_counts
from benchmarks.tile import planned_bytes
from benchmarks.timing import progress
from benchmarks.workload import SCALES
from smcloud.core.objects import Objects

LATENCIES = {"tiny": (0.0, 0.01), "small": (0.0, 0.03, 0.1), "large": (0.0, 0.03, 0.1)}
"""Seconds that a request waits: a disk; a bucket in the same region; a busy one."""
ROUNDS = {"tiny": 1, "small": 3, "large": 2}
REQUESTS = ("get", "get_range", "get_part", "put")


def measure(scale: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return seconds and peak memory with and without reading ahead, for each latency."""
    job, _ = prepared(replace(SCALES[scale], with_peers=False), seed, folder)
    rows: list[dict[str, Any]] = []
    with clusters() as start:
        for workers in worker_counts():
            for read_ahead in (False, True):
                client = start(workers)
                ours.warm_up(job.model, is_library=False)  # compiles once; workers load it
                client.run(ours.warm_up, job.model, False)
                rows += [
                    _row(job, client, workers, latency, ROUNDS[scale], read_ahead=read_ahead)
                    for latency in LATENCIES[scale]
                ]
    size = Path(job.model).stat().st_size
    planned = {
        name: planned_bytes(job.scale, seed, size, read_ahead=ahead)
        for name, ahead in (("without", False), ("with", True))
    }
    return {"land_rows": job.land_rows, "rows": rows, "planned_bytes": planned}


def _row(
    job: Job, client: Client, workers: int, latency: float, rounds: int, *, read_ahead: bool
) -> dict[str, Any]:
    progress(f"{workers} workers, {latency * 1000:.0f} ms, reading ahead {read_ahead}")
    client.run(delay_requests, latency)
    store = job.folder / f"ahead-{workers}-{read_ahead}.zarr"
    seconds, peak = [], 0
    for _ in range(rounds):
        shutil.rmtree(store, ignore_errors=True)
        started = time.perf_counter()
        blocks = ours.run(
            client, job.cubes, job.scale, job.model, job.seed, store, read_ahead=read_ahead
        )
        seconds.append(time.perf_counter() - started)
        peak = max(peak, *(block.peak_bytes for block in blocks))
    return {
        "workers": workers,
        "latency": latency,
        "read_ahead": read_ahead,
        "seconds": min(seconds),
        "seconds_worst": max(seconds),
        "land_rows_per_second": job.land_rows / min(seconds),
        "peak_bytes": peak,
    }


def delay_requests(seconds: float) -> None:
    """Make every request of this process wait for so long before it is sent."""
    for name in REQUESTS:
        request = getattr(Objects, name)
        prompt = getattr(request, "__wrapped__", request)
        setattr(Objects, name, _delayed(prompt, seconds) if seconds else prompt)


def _delayed(request: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    @wraps(request)
    def late(*args: Any, **kwargs: Any) -> Any:
        time.sleep(seconds)
        return request(*args, **kwargs)

    return late


def show(found: Mapping[str, Any]) -> str:
    """Return one line for each latency and number of workers."""
    lines = [
        f"{found['land_rows']:,} land rows; each request waits",
        f"{'ms':>6}{'workers':>9}{'reading ahead':>15}{'s':>8}{'worst':>8}{'land rows/s':>14}"
        f"{'peak MiB':>10}",
    ]
    ordered = sorted(found["rows"], key=lambda one: (one["latency"], one["workers"]))
    lines += [
        f"{row['latency'] * 1000:>6.0f}{row['workers']:>9}"
        f"{'yes' if row['read_ahead'] else 'no':>15}{row['seconds']:>8.2f}"
        f"{row['seconds_worst']:>8.2f}{row['land_rows_per_second']:>14,.0f}"
        f"{row['peak_bytes'] / 2**20:>10,.0f}"
        for row in ordered
    ]
    planned = ", ".join(
        f"{name} {size / 2**20:,.0f} MiB" for name, size in found["planned_bytes"].items()
    )
    return "\n".join([*lines, f"planned for one worker, reading ahead: {planned}"])
