"""Seconds, measured so that a busy machine treats every contender alike."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import psutil

T = TypeVar("T")
SAMPLE_SECONDS = 0.02
"""How often resident memory is looked at."""


@dataclass(frozen=True)
class Spread:
    """Seconds of one piece of work over several rounds."""

    best: float
    worst: float
    rounds: int


@dataclass(frozen=True)
class Taken:
    """What a call took."""

    seconds: float
    core_seconds: float
    """Processor time of all processes that were watched."""
    peak_bytes: int
    """Largest sum of the resident memory of all processes that were watched."""


def interleave(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Spread]:
    """Return the seconds of each piece of work, run A B C A B C ... and not A A B B C C.

    A neighbour that takes the machine for a while then slows all of them and not one. The best
    round is the figure to compare; the worst one says how quiet the machine was.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - started)
    return {name: Spread(min(all_), max(all_), rounds) for name, all_ in seconds.items()}


def progress(text: str) -> None:
    """Tell whoever waits what is being measured; tables go to the standard output alone."""
    print(f"  ... {text}", file=sys.stderr, flush=True)


def taken(work: Callable[[], T], pids: Iterable[int] = ()) -> tuple[T, Taken]:
    """Return the result of `work` and what it took of this process and of those in `pids`."""
    watched = [psutil.Process(), *(psutil.Process(pid) for pid in sorted(set(pids)))]
    peak, stop = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while True:
            peak = max(peak, sum(process.memory_info().rss for process in watched))
            if stop.wait(SAMPLE_SECONDS):
                return

    watcher = threading.Thread(target=watch, daemon=True)
    before = _core_seconds(watched)
    started = time.perf_counter()
    watcher.start()
    try:
        result = work()
    finally:
        seconds = time.perf_counter() - started
        stop.set()
        watcher.join()
    return result, Taken(seconds, _core_seconds(watched) - before, peak)


def _core_seconds(processes: Iterable[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return float(sum(one.user + one.system for one in times))
