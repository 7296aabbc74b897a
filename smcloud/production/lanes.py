"""Blocks of one worker in overlapping lanes: one is read, one is computed, one is written.

A task reads on a thread of its worker's pool. When its turn to compute comes it leaves the pool, so
that the worker begins to read the next block; it lets the next one compute only once the block
before it is written. As many blocks as the worker has threads are in each lane, never more: memory
is known beforehand, and a slow store holds the computing up instead of filling the memory.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, Semaphore
from weakref import WeakKeyDictionary

from distributed import Worker, get_worker, secede


class Lanes:
    """The lanes of one worker, each open to `size` tasks at a time."""

    def __init__(self, size: int) -> None:
        self.computing = Semaphore(size)
        self.writing = Semaphore(size)


_lanes: WeakKeyDictionary[Worker, Lanes] = WeakKeyDictionary()
_lock = Lock()


class Turn:
    """One task's way through the lanes; without lanes it never waits."""

    def __init__(self, lanes: Lanes | None) -> None:
        self._lanes = lanes
        self._held: Semaphore | None = None

    def compute(self) -> None:
        """Wait for a turn to compute, and let the worker start its next task."""
        if self._lanes is not None:
            self._move_to(self._lanes.computing)
            secede()

    def write(self) -> None:
        """Wait until an earlier block is written, then let the next one compute."""
        if self._lanes is not None:
            self._move_to(self._lanes.writing)

    def leave(self) -> None:
        """Leave the lane that the task is in."""
        if self._held is not None:
            self._held.release()
            self._held = None

    def _move_to(self, lane: Semaphore) -> None:
        lane.acquire()
        self.leave()
        self._held = lane


@contextmanager
def take_turn(*, overlap: bool) -> Iterator[Turn]:
    """Yield the turn of the present task, which leaves its lane at the end, whatever happens.

    Parameters
    ----------
    overlap
        Whether tasks of the worker shall overlap; outside a worker they never do.
    """
    turn = Turn(_lanes_here() if overlap else None)
    try:
        yield turn
    finally:
        turn.leave()


def _lanes_here() -> Lanes | None:
    """Return the lanes of the worker that runs this task; None outside a worker."""
    try:
        worker = get_worker()
    except ValueError:
        return None
    with _lock:
        return _lanes.setdefault(worker, Lanes(worker.state.nthreads))
