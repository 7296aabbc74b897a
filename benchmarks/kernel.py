"""Trees alone: smcloud's evaluator against the library that trained them, and against others.

Every engine predicts the same rows in the same run, A B C A B C ..., after its estimates have been
compared with the library's: smcloud's bit by bit.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import engines
from benchmarks.engines import Engine, Estimates, Pool
from benchmarks.record import BenchmarkError, compiled_features, vector_features
from benchmarks.timing import interleave, progress
from benchmarks.trees import Case, models_of
from benchmarks.workload import VARIABLES, training_rows

THREADS = (1, 2)
FEWEST_ROWS = 1_000
"""Of one call, so that a call is not all overhead."""
CHECK_ROWS = 20_011
"""Rows whose estimates are compared: no multiple of anything."""
TOLERANCE = 1e-4
"""An engine of others that differs by more computes something else, and is not timed."""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    seconds: float
    """Of each timed piece of work, about."""
    rounds: int
    rows: int
    train_rows: int
    cases: Sequence[Case]
    is_compiled: bool = False
    """Compile the trees with treelite too."""


CASES = (
    Case("boosted", 300, 8, goal_avx512=25, goal_avx2=18, with_others=True),
    Case("boosted", 1000, 8, goal_avx512=35, goal_avx2=18),
    Case("boosted", 500, 6, goal_avx512=30, goal_avx2=30),
    Case("boosted", 100, 4),
    Case("boosted", 100, 10),
    Case("boosted", 60, 12),
    Case("boosted", 100, 8, max_bin=1024),
    Case("random forest", 100, 8, goal_avx512=6, goal_avx2=6, with_others=True),
    Case("random forest", 300, 8, goal_avx512=6, goal_avx2=6),
    Case("random forest", 100, 12, goal_avx512=2.5, goal_avx2=2.5),
    Case("extra trees", 100, 8, goal_avx512=6, goal_avx2=6),
    Case("extra trees", 300, 8, goal_avx512=6, goal_avx2=6),
    Case("extra trees", 100, 12, goal_avx512=2.5, goal_avx2=2.5),
)
"""What the evaluator is for; the goals are those of two threads."""
TINY = (
    Case("boosted", 12, 4, with_others=True),
    Case("boosted", 5, 4),
    Case("random forest", 6, 4),
)
SIZES = {
    "tiny": Size(0.002, 2, 4_096, 3_000, TINY),
    "small": Size(0.5, 3, 2**19, 50_000, CASES),
    "large": Size(1.0, 5, 2**21, 200_000, CASES, is_compiled=True),
}


def measure(scale: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return one row for each model, engine and number of threads.

    Raises
    ------
    BenchmarkError
        If smcloud's estimates differ from the library's in any bit.
    """
    size = SIZES[scale]
    pool = Pool(VARIABLES[0].pack(training_rows(size.rows, seed + 1)[0].T))
    rows = []
    for case, model in models_of(size.cases, size.train_rows, seed, folder):
        progress(case.name)
        # On one thread: scikit-learn adds up its trees in the order in which threads finish them.
        expected = engines.library(model, 1).predict(pool.head("rows", CHECK_ROWS))
        for threads in THREADS:
            contenders = list(_contenders(case, model, threads, size, folder))
            rows += _rows(case, threads, contenders, expected, pool, size)
    return {"features": len(VARIABLES), "vector_level": vector_level(), "kernels": rows}


def vector_level() -> str:
    """Return whose goals are this machine's: ``avx512``, ``avx2``, or ``other``, which has none."""
    features = vector_features(compiled_features()).split()
    return "avx512" if "avx512bw" in features else "avx2" if "avx2" in features else "other"


def _contenders(case: Case, model: Any, threads: int, size: Size, folder: Path) -> Iterator[Engine]:
    yield engines.library(model, threads)
    yield from engines.ours(model, threads)
    if case.with_others:
        compiled = folder / f"{case.file_stem}.so" if size.is_compiled else None
        yield from engines.others(model, threads, compiled)


def _rows(
    case: Case,
    threads: int,
    contenders: list[Engine],
    expected: Estimates,
    pool: Pool,
    size: Size,
) -> list[dict[str, Any]]:
    """Return the rows of one model on so many threads; the library's is the first."""
    differences = {one.name: _difference(case, one, pool, expected) for one in contenders}
    rates = _rates([one for one in contenders if differences[one.name] <= TOLERANCE], pool, size)
    library = rates[contenders[0].name][0]
    rows = []
    for one in contenders:
        best, worst = rates.get(one.name, (None, None))
        rows.append(
            {
                "model": case.name,
                "engine": one.name,
                "threads": threads,
                "rows_per_second": best,
                "rows_per_second_worst": worst,
                "ratio": best and best / library,
                "largest_difference": differences[one.name],
                "note": one.note,
            }
        )
    return rows


def _difference(case: Case, engine: Engine, pool: Pool, expected: Estimates) -> float:
    """Return the largest difference from the library's estimates; raise if ours has any."""
    found = engine.predict(pool.head(engine.takes, CHECK_ROWS))
    if engine.is_ours and (found.dtype != expected.dtype or found.tobytes() != expected.tobytes()):
        raise BenchmarkError(
            f"{case.name}: {engine.name} differs from the library in "
            f"{int((found != expected).sum())} of {len(expected)} rows"
        )
    return float(np.abs(found.astype(np.float64) - expected).max())


def _rates(contenders: list[Engine], pool: Pool, size: Size) -> dict[str, tuple[float, float]]:
    """Return rows per second of each engine: of its best round and of its worst."""
    few = {one.name: _calls(one, pool, CHECK_ROWS) for one in contenders}
    first = interleave({name: work for name, (work, _) in few.items()}, 1)
    wanted = {name: few[name][1] * size.seconds / one.best for name, one in first.items()}
    works = {one.name: _calls(one, pool, int(wanted[one.name])) for one in contenders}
    spreads = interleave({name: work for name, (work, _) in works.items()}, size.rounds)
    return {
        name: (works[name][1] / one.best, works[name][1] / one.worst)
        for name, one in spreads.items()
    }


def _calls(engine: Engine, pool: Pool, n_rows: int) -> tuple[Callable[[], None], int]:
    """Return work that predicts about so many rows, and how many it really predicts."""
    given = pool.head(engine.takes, max(n_rows, FEWEST_ROWS))
    length = given.shape[0 if engine.takes == "rows" else 1]
    calls = -(-n_rows // length)

    def work() -> None:
        for _ in range(calls):
            engine.predict(given)

    return work, calls * length


def show(found: Mapping[str, Any]) -> str:
    """Return the table of all engines, and which goals are met on this machine."""
    level = found["vector_level"]
    lines = [
        f"trees alone, {found['features']} float32 features with NaN, compiled for {level}; "
        "best of the rounds, slowest round in brackets",
        f"{'model':<31}{'engine':<30}{'threads':>8}{'rows/s':>13}{'':>13}{'times':>8}  goal",
    ]
    lines += [
        f"{row['model']:<31}{row['engine']:<30}{row['threads']:>8}{_rate(row)}"
        f"  {_remark(row, level)}".rstrip()
        for row in found["kernels"]
    ]
    return "\n".join(lines)


def _rate(row: Mapping[str, Any]) -> str:
    if row["rows_per_second"] is None:
        return f"{'':>34}"
    worst = f"({row['rows_per_second_worst']:,.0f})"
    return f"{row['rows_per_second']:>13,.0f}{worst:>13}{row['ratio']:>7.1f}x"


def _remark(row: Mapping[str, Any], level: str) -> str:
    """Return whether a row meets its goal, or what else there is to say of it."""
    if row["largest_difference"] > TOLERANCE:
        return f"not timed: off by {row['largest_difference']:.2g}"
    case = next((one for one in CASES if one.name == row["model"]), None)
    goal = case.goal(level) if case else 0.0
    is_judged = row["engine"] == engines.OURS and row["threads"] == max(THREADS)
    words = [row["note"]] if row["note"] else []
    if goal and is_judged:
        words.append(f"{goal:g}x {'met' if row['ratio'] >= goal else 'NOT MET'}")
    return "; ".join(words)
