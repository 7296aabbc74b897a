"""What was measured, where and from which commit: JSON beside the code."""

import json
import os
import platform
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

T = TypeVar("T")
RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, str | int]:
    """Return the processor, its vector features, cores and memory."""
    flags = ""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((ln.split(":")[1].strip() for ln in lines if "model name" in ln), model)
        words = next((ln.split(":")[1].split() for ln in lines if ln.startswith("flags")), [])
        flags = " ".join(sorted(w for w in words if w.startswith(("avx2", "avx512"))))
    return {
        "processor": model,
        "vector_features": flags,
        "cores": os.cpu_count() or 1,
        "memory_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
    }


def commit() -> str:
    """Return the commit of the working tree, marked if it was changed."""
    try:
        head = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parent,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip()


def write(name: str, figures: dict[str, object], seed: int) -> Path:
    """Store one run and return its file."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    record = {"machine": machine(), "commit": commit(), "seed": seed, "figures": figures}
    path.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    return path


@dataclass(frozen=True)
class Timed:
    """Seconds of a call and the peak resident bytes of this process and its children over it."""

    seconds: float
    peak_bytes: int


def timed(work: Callable[[], T]) -> tuple[T, Timed]:
    """Run `work` and return its result with what it took."""
    me, peak, stop = psutil.Process(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not stop.wait(0.05):
            peak = max(peak, _resident(me))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    start = time.perf_counter()
    try:
        result = work()
    finally:
        seconds = time.perf_counter() - start
        stop.set()
        watcher.join()
    return result, Timed(seconds, peak)


def _resident(process: psutil.Process) -> int:
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_info().rss
        except psutil.Error:
            continue
    return total
