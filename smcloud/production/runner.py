"""Run many small tasks through a bounded window of futures, whatever workers do."""

import errno
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from distributed import Client, Future, KilledWorker, wait
from distributed.comm.core import CommClosedError

from smcloud.core.errors import ClusterError, NotFoundError, StoreError, StoreFullError
from smcloud.core.listener import Listener, Silent

log = logging.getLogger(__name__)

T = TypeVar("T")

POLL_SECONDS = 2.0
WORKERLESS_SECONDS = 120.0
_submitted: WeakKeyDictionary[Client, Counter[str]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Task(Generic[T]):
    """One piece of work: a function of picklable, small arguments (URLs and keys, never data)."""

    key: str
    """Readable name, as ``produce-h25v05-2019-b07``: what an operator sees on the dashboard."""
    function: Callable[..., T]
    args: tuple[Any, ...] = ()


@dataclass
class _Flight(Generic[T]):
    """A task that was submitted, and how often."""

    task: Task[T]
    attempt: int = 0


@dataclass
class _Window(Generic[T]):
    """The futures that are out, at most `size` of them, refilled from `waiting`."""

    client: Client
    waiting: Iterator[Task[T]]
    size: int
    flying: dict["Future[T]", _Flight[T]] = field(default_factory=dict)

    def fill(self) -> None:
        while len(self.flying) < self.size and (task := next(self.waiting, None)) is not None:
            self.submit(_Flight(task))

    def submit(self, flight: _Flight[T]) -> None:
        task = flight.task
        key = _fresh_key(self.client, task.key)
        future = self.client.submit(task.function, *task.args, key=key, pure=False)
        self.flying[future] = flight

    def land(self) -> list[tuple["Future[T]", _Flight[T]]]:
        """Return the finished flights, waiting for one at least."""
        done = _first_done(self.client, list(self.flying))
        return [(future, self.flying.pop(future)) for future in done]

    def cancel(self) -> None:
        futures = list(self.flying)
        self.flying.clear()
        if futures and self.client.status == "running":
            self.client.cancel(futures, force=True)


def run_tasks(
    client: Client | None,
    tasks: Iterable[Task[T]],
    *,
    window: int,
    retries: int = 2,
    on_done: Callable[[Task[T], T], None],
    listener: Listener | None = None,
) -> None:
    """Run every task, and call `on_done` in this thread with each result as it comes.

    Parameters
    ----------
    client
        Cluster to run on; None runs the tasks in this process, one after another.
    tasks
        Consumed lazily: no more than `window` tasks are known to the scheduler at a time.
    window
        Most tasks that are out at a time; about twice the worker threads keeps all busy.
    retries
        How often one task is tried again after an error that may pass: a store or network error,
        a worker that died. Each is told to `listener` (figure ``retries``).
    on_done
        Receives a task and its result; an error it raises stops the run.
    listener
        Is told of retries; progress is the caller's to tell.

    Raises
    ------
    SmcloudError, Exception
        The first error that does not pass, unchanged, after the rest has been cancelled.
    ClusterError
        When workers kept dying under a task, none is left, or the scheduler went away.
    """
    told = _Retries(retries, listener or Silent())
    if client is None:
        for task in tasks:
            on_done(task, _run_here(task, told))
        return
    flights = _Window(client, iter(tasks), max(1, window))
    try:
        _fly(flights, told, on_done)
    finally:
        flights.cancel()


def _fly(flights: _Window[T], told: "_Retries", on_done: Callable[[Task[T], T], None]) -> None:
    """Keep the window full until every task has landed."""
    flights.fill()
    while flights.flying:
        for future, flight in flights.land():
            if future.status == "finished":
                on_done(flight.task, future.result())
            else:
                told.count(flight, _error_of(future, flight.task))
                flights.submit(flight)
        flights.fill()


def may_pass(error: BaseException) -> bool:
    """Return whether trying again may help: network and store trouble, a worker that died."""
    if isinstance(error, NotFoundError | StoreFullError):
        return False
    if isinstance(error, StoreError | KilledWorker | CommClosedError):
        return True
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    return isinstance(error, OSError) and error.errno in {errno.EIO, errno.EAGAIN, errno.ESTALE}


@dataclass
class _Retries:
    """Decides whether a failed flight goes out again, and tells the listener."""

    allowed: int
    listener: Listener
    total: int = 0

    def count(self, flight: _Flight[Any], error: BaseException) -> None:
        """Make `flight` ready for another attempt, or raise its error."""
        if not may_pass(error) or flight.attempt >= self.allowed:
            raise _for_people(flight.task, error) from error.__cause__
        flight.attempt += 1
        self.total += 1
        log.warning("retry %d of %s: %s", flight.attempt, flight.task.key, error)
        self.listener.advance(0, retries=self.total)


def _fresh_key(client: Client, key: str) -> str:
    """Return `key`, with a number from the second submission by this client on.

    The scheduler forgets a finished or failed key with some delay, and until then it answers a
    second submission from memory, whatever its arguments are.
    """
    counts = _submitted.setdefault(client, Counter())
    counts[key] += 1
    return key if counts[key] == 1 else f"{key}-again{counts[key] - 1}"


def _run_here(task: Task[T], told: _Retries) -> T:
    flight = _Flight(task)
    while True:
        try:
            return task.function(*task.args)
        except Exception as err:
            told.count(flight, err)


def _error_of(future: "Future[T]", task: Task[Any]) -> BaseException:
    if future.status == "cancelled":
        return ClusterError(f"{task.key} was cancelled by somebody else on this scheduler")
    error: BaseException = future.exception()
    return error


def _for_people(task: Task[Any], error: BaseException) -> BaseException:
    if isinstance(error, KilledWorker):
        return ClusterError(
            f"{task.key}: the workers that ran it died again and again, most likely out of "
            "memory: give each worker more memory, or make the blocks smaller"
        )
    return error


def _first_done(client: Client, futures: list["Future[T]"]) -> list["Future[T]"]:
    """Return the futures that are done, at least one; raises ClusterError when hope is gone."""
    workerless_since: float | None = None
    while True:
        try:
            done = wait(futures, timeout=POLL_SECONDS, return_when="FIRST_COMPLETED").done
            return sorted(done, key=lambda future: str(future.key))
        except TimeoutError:
            workerless_since = _check_alive(client, workerless_since)
        except (CancelledError, CommClosedError) as err:
            raise _lost_scheduler() from err


def _check_alive(client: Client, workerless_since: float | None) -> float | None:
    """Return since when there has been no worker (None: there is one); raises when too long."""
    if client.status not in {"running", "connecting"}:
        raise _lost_scheduler()
    if client.scheduler_info()["workers"]:
        return None
    since = time.monotonic() if workerless_since is None else workerless_since
    if time.monotonic() - since > WORKERLESS_SECONDS:
        raise ClusterError(
            f"no worker has been left for {WORKERLESS_SECONDS:.0f} s: start workers, then run "
            "the same command again; finished blocks are kept"
        )
    return since


def _lost_scheduler() -> ClusterError:
    return ClusterError(
        "the Dask scheduler went away: start it, then run the same command again; "
        "finished blocks are kept"
    )
