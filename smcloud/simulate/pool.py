"""Work on one host: independent pieces of a simulation over processes, with progress."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol, TypeVar

from smcloud.core.errors import ClusterError

POLL_SECONDS = 0.2

Report = Callable[[int, int], None]
"""Called with a number of files and their bytes, each time some are stored."""


class Piece(Protocol):
    """One piece of work: picklable, and finished when `run` returns."""

    def run(self, report: Report) -> None:
        """Do the work; tell `report` of stored files."""


PieceType = TypeVar("PieceType", bound=Piece)

_reports: Any = None
"""The queue of a worker process, set when the process starts."""


def run_pieces(pieces: Sequence[PieceType], workers: int, report: Report) -> Iterator[PieceType]:
    """Run pieces and yield each when it is done.

    With one worker everything runs in this process, in order: nothing is started, and stores that
    live in this process (``memory://``) work.
    """
    if workers == 1 or len(pieces) < 2:
        for piece in pieces:
            piece.run(report)
            yield piece
        return
    context = multiprocessing.get_context("spawn")
    reports = context.SimpleQueue()
    with ProcessPoolExecutor(
        min(workers, len(pieces)), context, initializer=_keep_queue, initargs=(reports,)
    ) as pool:
        futures = {pool.submit(_run, piece): piece for piece in pieces}
        try:
            yield from _finished(futures, reports, report)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _finished(
    futures: "dict[Future[None], PieceType]", reports: Any, report: Report
) -> Iterator[PieceType]:
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, timeout=POLL_SECONDS, return_when="FIRST_COMPLETED")
        _drain(reports, report)
        for future in done:
            try:
                future.result()
            except BrokenProcessPool as err:
                raise ClusterError(
                    "a process of the simulation died, most likely out of memory: "
                    "run the same command again with fewer --workers, it continues"
                ) from err
            yield futures[future]


def _drain(reports: Any, report: Report) -> None:
    while not reports.empty():
        report(*reports.get())


def _keep_queue(reports: Any) -> None:
    global _reports
    _reports = reports


def _run(piece: Piece) -> None:
    piece.run(lambda files, size: _reports.put((files, size)))
