"""The history of the records: how fast the tile job and the evaluator are, commit by commit.

Only records of clean commits are drawn; machines are never joined by a line.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.engines import OURS as FOREST
from benchmarks.record import CHANGED, ROOT, BenchmarkError, Record, read
from benchmarks.routes import PEER_WORKERS

IMAGE = ROOT / "docs" / "images" / "benchmarks.png"
SCALE = "small"
Point = tuple[str, float]
"""Name of a line, and its height at one record."""


def draw(results: Path, image: Path) -> Path:
    """Draw all records of clean commits at scale small; return the image's file.

    Raises
    ------
    BenchmarkError
        If there is no such record, or one cannot be read.
    """
    records = history(results)
    if not records:
        raise BenchmarkError(
            f"{results} has no record of a clean commit at scale {SCALE}: "
            "commit, then `python -m benchmarks run`"
        )
    commits = list(dict.fromkeys(record.commit for record in records))
    figure = Figure(figsize=(10, 4.2), dpi=120, layout="constrained")
    with mpl.rc_context({"font.size": 8, "svg.hashsalt": "smcloud"}):
        left, right = figure.subplots(1, 2)
        _lines(left, records, "tile", tile_points, commits)
        left.set(title=f"Whole job, {PEER_WORKERS} workers", ylabel="land rows/s", yscale="log")
        _lines(right, records, "kernel", kernel_points, commits)
        right.set(title="Evaluator, two threads", ylabel="times the library's own predictor")
        image.parent.mkdir(parents=True, exist_ok=True)
        # Without its software's name and version, equal figures give equal bytes.
        figure.savefig(image, metadata={"Software": None})
    return image


def history(results: Path) -> list[Record]:
    """Return the records of clean commits at the drawn scale, oldest commit first."""
    records = (read(path) for path in sorted(results.glob("*.json")))
    drawn = (one for one in records if one.scale == SCALE and not one.commit.endswith(CHANGED))
    return sorted(drawn, key=lambda one: (one.committed, one.commit, one.benchmark))


def tile_points(record: Record) -> Iterable[Point]:
    """Return the land rows per second of each route."""
    for row in record.figures["routes"]:
        if row["workers"] == PEER_WORKERS:
            yield row["route"], row["land_rows_per_second"]


def kernel_points(record: Record) -> Iterable[Point]:
    """Return how many times the library's rate the evaluator reaches, for each model."""
    for row in record.figures["kernels"]:
        if row["engine"] == FOREST and row["threads"] == PEER_WORKERS:
            yield row["model"], row["ratio"]


def _lines(
    axes: Axes,
    records: Iterable[Record],
    benchmark: str,
    points: Callable[[Record], Iterable[Point]],
    commits: list[str],
) -> None:
    """Draw one line for each name and machine; commits are evenly spaced."""
    lines: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for record in records:
        if record.benchmark == benchmark:
            for name, height in points(record):
                place = commits.index(record.commit)
                lines.setdefault((name, _machine(record.machine)), []).append((place, height))
    machines = sorted({machine for _, machine in lines})
    for (name, machine), line in lines.items():
        label = name if len(machines) < 2 else f"{name} ({machine})"
        axes.plot(
            *zip(*line, strict=True), marker="os^Dv"[machines.index(machine) % 5], label=label
        )
    axes.set_xticks(range(len(commits)), [commit[:7] for commit in commits], rotation=45)
    axes.set_xlabel(" and ".join(machines))
    axes.grid(alpha=0.3)
    if lines:
        axes.legend(fontsize=6)


def _machine(machine: Any) -> str:
    vectors = "AVX-512" if "avx512" in machine["compiled_for"] else "AVX2"
    return f"{machine['processor']}, {machine['cores']} cores, {vectors}"
