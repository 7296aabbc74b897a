"""A Dask cluster to work on: started here, or found at a scheduler's address."""

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dask
from distributed import Client, LocalCluster, Worker, WorkerPlugin
from distributed.comm.addressing import parse_address, parse_host_port

from smcloud.core.errors import ClusterError, ConfigError, SmcloudError

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5
WORKER_SECONDS = 60
WARM_UP = "smcloud-warm-up"


@dataclass(frozen=True)
class ClusterRequest:
    """What a run asks of its cluster."""

    workers: int = 2
    """Worker processes to start (a local cluster only)."""
    threads: int = 1
    """Threads of each worker; BLAS, OpenMP and zarr pools are bounded to the same number."""
    worker_bytes: int = 0
    """Memory of one worker in bytes; 0 shares the machine's memory among the workers."""
    scheduler: str = ""
    """Address of a running scheduler, as ``tcp://host:8786``; empty starts a local cluster."""
    dashboard: str = ":0"
    """Address of the local dashboard; ``:0`` takes any free port."""


def thread_bounds(threads: int) -> dict[str, str]:
    """Return the environment that keeps every library's own pool to `threads` threads.

    One-thread workers on one host otherwise start as many BLAS, OpenMP and zarr threads each as
    the host has cores, and glibc keeps freed memory apart for each thread that ever read.
    """
    names = (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "BLOSC_NTHREADS",
        "ZARR_THREADING__MAX_WORKERS",
        "MALLOC_ARENA_MAX",
    )
    return dict.fromkeys(names, str(threads))


class WarmUp(WorkerPlugin):
    """Bounds thread pools and imports the heavy modules before a worker's first task.

    The scheduler hands it to every worker that joins later too, so restarted workers are covered.
    """

    name = WARM_UP

    def __init__(self, threads: int = 1, modules: tuple[str, ...] = ()) -> None:
        self.threads = threads
        self.modules = modules

    def setup(self, worker: Worker) -> None:
        """Prepare `worker`; an environment that its operator set on purpose is kept."""
        for name, value in thread_bounds(self.threads).items():
            os.environ.setdefault(name, value)
        for module in self.modules:
            __import__(module)
        log.debug("worker %s is warm, Python %s", worker.address, sys.version.split()[0])


class Ahead(WorkerPlugin):
    """Does on every worker, now and when one joins later, what its first task would wait for.

    The work is done beside the worker's event loop, which goes on answering the scheduler.
    """

    def __init__(self, name: str, function: Callable[..., None], args: tuple[Any, ...]) -> None:
        self.name, self.function, self.args = name, function, args

    async def setup(self, worker: Worker) -> None:
        """Prepare `worker`; what goes wrong here goes wrong in a task too, and is told there."""
        try:
            await asyncio.to_thread(self.function, *self.args)
        except SmcloudError as err:
            log.debug("worker %s is not warm: %s", worker.address, err)


def do_ahead(
    client: Client | None, name: str, function: Callable[..., None], args: tuple[Any, ...]
) -> None:
    """Have every worker call `function`, workers that join later too; without a client do nothing.

    A second call with the same `name` takes the place of the first.
    """
    if client is not None:
        client.register_plugin(Ahead(name, function, args), name=name)


@contextmanager
def connect(request: ClusterRequest, modules: tuple[str, ...] = ()) -> Iterator[Client]:
    """Yield a client of the requested cluster, with warm workers; closes what it started.

    Parameters
    ----------
    request
        A local cluster of processes, or the address of a scheduler.
    modules
        Modules each worker imports before its first task.

    Raises
    ------
    ClusterError
        When the scheduler does not answer within seconds, or has no worker.
    """
    if request.scheduler:
        client = _client_at(request.scheduler)
        try:
            yield _warm(client, request, modules)
        finally:
            client.close()
        return
    with _local_cluster(request) as cluster, Client(cluster) as client:
        yield _warm(client, request, modules)


def refuse_memory_urls(client: Client | None, urls: Iterable[str]) -> None:
    """Raise ConfigError when a ``memory://`` URL is meant for workers in other processes.

    Each process has its own ``memory://``: what one worker writes no other process can see.
    """
    if client is None:
        return
    held = sorted(url for url in urls if url.startswith("memory:"))
    if held and not _workers_are_here(client):
        raise ConfigError(
            f"{held[0]} lives in one process, but this cluster works in several: "
            "use a folder (file://) or a bucket (s3://, gs://)"
        )


def smallest_worker_bytes(client: Client) -> int:
    """Return the memory limit of the smallest worker in bytes; 0 where none is set."""
    limits = [int(info["memory_limit"] or 0) for info in _workers(client).values()]
    return min(limits, default=0)


def most_threads(client: Client) -> int:
    """Return how many tasks one worker runs side by side at the most."""
    return max((int(info["nthreads"]) for info in _workers(client).values()), default=1)


def worker_threads(client: Client) -> int:
    """Return how many tasks the cluster runs at a time."""
    return sum(int(info["nthreads"]) for info in _workers(client).values())


def _workers(client: Client) -> dict[str, dict[str, Any]]:
    workers: dict[str, dict[str, Any]] = client.scheduler_info()["workers"]
    return workers


def _workers_are_here(client: Client) -> bool:
    return all(address.startswith("inproc://") for address in _workers(client))


def _local_cluster(request: ClusterRequest) -> LocalCluster:
    bounds = thread_bounds(request.threads)
    # pre-spawn: the pools are sized at import, before a worker could set its own environment.
    with dask.config.set({"distributed.nanny.pre-spawn-environ": bounds}):
        return LocalCluster(
            n_workers=request.workers,
            threads_per_worker=request.threads,
            processes=True,
            memory_limit=request.worker_bytes or "auto",
            dashboard_address=request.dashboard,
            env=bounds,
            silence_logs=logging.ERROR,
        )


def _client_at(address: str) -> Client:
    try:
        parse_address(address, strict=True)
    except ValueError as err:
        raise ClusterError(
            f"a scheduler address reads like tcp://host:8786, found {address!r}"
        ) from err
    try:
        _hear_scheduler(address)
        return Client(address, timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError) as err:
        raise ClusterError(
            f"the scheduler at {address} did not answer within {CONNECT_SECONDS} s: "
            "check that it runs and that this host can reach it, or leave `scheduler` out"
        ) from err


def _hear_scheduler(address: str) -> None:
    """Raise OSError unless something listens that speaks first, as Dask does on plain TCP.

    A client waits for ever on a port that accepts and then stays silent.
    """
    scheme, where = parse_address(address)
    host, port = parse_host_port(where)
    with socket.create_connection((host, port), timeout=CONNECT_SECONDS) as line:
        if scheme == "tcp" and not line.recv(1):
            raise ConnectionError(f"{address} closed the connection without a word")


def _warm(client: Client, request: ClusterRequest, modules: tuple[str, ...]) -> Client:
    try:
        client.wait_for_workers(1, timeout=WORKER_SECONDS)
    except TimeoutError as err:
        raise ClusterError(
            f"the scheduler at {request.scheduler or 'this host'} has no worker after "
            f"{WORKER_SECONDS} s: start workers that join it"
        ) from err
    client.register_plugin(WarmUp(request.threads, modules), name=WARM_UP)
    return client
