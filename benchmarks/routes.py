"""The routes of the tile job, each on a warm cluster of one-thread processes."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from distributed import Client

from benchmarks import ours, peers
from benchmarks.ours import BlockDone
from benchmarks.peers import Stored
from benchmarks.record import BenchmarkError
from benchmarks.timing import Taken, progress, taken
from benchmarks.workload import Scale, land, prepare
from smcloud.core.listener import counted
from smcloud.production.cluster import ClusterRequest, connect

WORKER_BYTES = 4 * 2**30
OURS = "smcloud"
BLOCKWISE = "smcloud's blocks, inplace_predict"
MASKED = "apply_ufunc, ocean masked first"
NAIVE = "apply_ufunc, as people write it"
POST_FIT = "dask-ml ParallelPostFit"
XGBOOST_DASK = "xgboost.dask"
PEER_WORKERS = 2
Cluster = Callable[[int], Client]
"""Gives a client of a warm cluster of so many workers."""
PEERS: dict[str, Callable[..., None]] = {
    MASKED: peers.masked,
    NAIVE: peers.naive,
    POST_FIT: peers.parallel_post_fit,
}


@dataclass(frozen=True)
class Job:
    """The workload as it lies on disk, and its model."""

    scale: Scale
    seed: int
    folder: Path
    cubes: str
    booster: xgboost.Booster

    @property
    def trees(self) -> int:
        """Return the number of trees."""
        return int(self.booster.num_boosted_rounds())

    @property
    def model(self) -> str:
        """Return the path of the model's file."""
        return str(self.folder / f"model-{self.scale.name}-{self.seed}-{self.trees}.ubj")

    @property
    def land_rows(self) -> int:
        """Return the land pixel-days."""
        return int(land(self.scale, self.seed).sum()) * self.scale.days


@dataclass(frozen=True)
class Route:
    """One way to do the job: what is timed, and how to read what it wrote."""

    name: str
    workers: int
    pids: tuple[int, ...]
    store: Path
    write: Callable[[], list[BlockDone]]
    read: Callable[[], Stored]


@dataclass(frozen=True)
class Run:
    """One run of a route."""

    name: str
    workers: int
    took: Taken
    blocks: list[BlockDone]
    """What smcloud's blocks say of themselves; of the peers there is nothing."""


def prepared(scale: Scale, seed: int, folder: Path) -> tuple[Job, Job]:
    """Return the workload with its model, and with a longer one for smcloud's blocks alone."""
    url, booster = prepare(folder, scale, seed)
    short = Job(scale, seed, folder, url, booster[: scale.trees])
    long = Job(replace(scale, with_peers=False), seed, folder, url, booster)
    for job in (short, long):
        job.booster.set_param({"nthread": 1})  # as workers of a one-thread cluster need it
        job.booster.save_model(job.model)
    return short, long


def worker_counts() -> list[int]:
    """Return 1, 2, and further doublings as far as there are cores."""
    counts = [1, 2]
    while counts[-1] * 2 <= (os.cpu_count() or 1):
        counts.append(counts[-1] * 2)
    return counts


@contextmanager
def clusters() -> Iterator[Cluster]:
    """Yield what starts a local cluster of so many workers; all are closed in the end."""
    with ExitStack() as started:

        def start(workers: int) -> Client:
            request = ClusterRequest(workers=workers, worker_bytes=WORKER_BYTES)
            return started.enter_context(connect(request))

        yield start


def run_in_turn(job: Job, cluster: Cluster) -> list[Run]:
    """Run every route so many rounds as the scale says, A B C A B C ...

    Raises
    ------
    BenchmarkError
        If the integers of two routes differ.
    """
    routes = _routes(job, cluster)
    runs: list[Run] = []
    expected: Stored | None = None
    for _ in range(job.scale.rounds):
        for route in routes:
            runs.append(_run(route))
            found = route.read()
            if expected is None:
                expected = found
            if not np.array_equal(found, expected):
                raise BenchmarkError(
                    f"{route.name}: its integers differ from those of {routes[0].name}"
                )
    return runs


def _run(route: Route) -> Run:
    shutil.rmtree(route.store, ignore_errors=True)
    progress(f"{route.name}, {counted(route.workers, 'workers')}")
    blocks, took = taken(route.write, route.pids)
    return Run(route.name, route.workers, took, blocks)


def _routes(job: Job, cluster: Cluster) -> list[Route]:
    """Return the routes; smcloud's have clusters of their own, whose peak memory is theirs."""
    routes = [_blocks(job, cluster(workers), workers) for workers in worker_counts()]
    routes.append(_blocks(job, cluster(PEER_WORKERS), PEER_WORKERS, is_library=True))
    if job.scale.with_peers:
        client = cluster(PEER_WORKERS)
        routes += [_peer(job, client, name, peer) for name, peer in PEERS.items()]
        routes.append(_peer(job, client, XGBOOST_DASK, peers.xgboost_dask, client))
    return routes


def _blocks(job: Job, client: Client, workers: int, *, is_library: bool = False) -> Route:
    ours.warm_up(job.model, is_library)  # compiles once; workers then load what was compiled
    client.run(ours.warm_up, job.model, is_library)
    store = job.folder / f"ours-{workers}-{'library' if is_library else 'forest'}.zarr"

    def write() -> list[BlockDone]:
        return ours.run(
            client, job.cubes, job.scale, job.model, job.seed, store, is_library=is_library
        )

    def read() -> Stored:
        return ours.read_back(store, job.scale)

    return Route(BLOCKWISE if is_library else OURS, workers, _pids(client), store, write, read)


def _peer(job: Job, client: Client, name: str, peer: Callable[..., None], *more: Any) -> Route:
    store = job.folder / "peer.zarr"
    is_land = land(job.scale, job.seed)

    def write() -> list[BlockDone]:
        with client.as_current():
            peer(job.cubes, job.scale, job.booster, is_land, store, *more)
        return []

    return Route(name, PEER_WORKERS, _pids(client), store, write, lambda: peers.read_back(store))


def _pids(client: Client) -> tuple[int, ...]:
    return tuple(sorted(client.run(os.getpid).values()))
