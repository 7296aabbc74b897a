"""Two records side by side: the ratio of each figure, and what else differed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.record import BenchmarkError, Record, read

NOISE = 0.10
"""Differences up to this share are put down to the machine."""
MORE_IS_BETTER = ("per_second", "per_core_second", "mb_s", "ratio", "share")
LESS_IS_BETTER = ("seconds", "_ms", "bytes", "hours", "cost", "requests")
COUNTS = ("threads", "workers")
"""Numbers that say which row of a table this is, as its words do."""


@dataclass(frozen=True)
class Change:
    """One figure in both records."""

    figure: str
    before: float
    after: float

    @property
    def ratio(self) -> float:
        """Return after / before."""
        return self.after / self.before if self.before else float("inf")

    @property
    def verdict(self) -> str:
        """Return ``better``, ``worse``, or nothing where the difference may be noise."""
        if self.before == self.after or 1 - NOISE <= self.ratio <= 1 + NOISE:
            return ""
        return "better" if (self.ratio > 1) == (_goal(self.figure) > 0) else "worse"


def compare(before: Path, after: Path) -> tuple[list[str], list[Change]]:
    """Return what differs between two records' machines and versions, and every common figure.

    Raises
    ------
    BenchmarkError
        If a record cannot be read, or the two are not of the same benchmark, scale and seed.
    """
    old, new = read(before), read(after)
    for name in ("benchmark", "scale", "seed"):
        if getattr(old, name) != getattr(new, name):
            raise BenchmarkError(
                f"{before} and {after} cannot be compared: {name} {getattr(old, name)} against "
                f"{getattr(new, name)}"
            )
    was, now = dict(figures_of(old.figures)), dict(figures_of(new.figures))
    changes = [Change(name, was[name], now[name]) for name in was if name in now]
    if not changes:
        raise BenchmarkError(f"{before} and {after} have no figure in common")
    return [*_differences(old, new), *_lost(was, now)], changes


def figures_of(found: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Yield the name and value of each judged figure; rows of a table are named by their words."""
    if isinstance(found, Mapping):
        for name in found:
            yield from figures_of(found[name], f"{path} / {name}" if path else str(name))
    elif isinstance(found, list):
        for row in found:
            if isinstance(row, Mapping):
                yield from figures_of(row, f"{path} / {_row_name(row)}")
    elif _goal(path) and isinstance(found, int | float) and not isinstance(found, bool):
        yield path, float(found)


def show(differences: list[str], changes: list[Change]) -> str:
    """Return the comparison as lines of text."""
    width = max(len(change.figure) for change in changes)
    lines = [*differences, f"{'figure':<{width}}{'before':>16}{'after':>16}{'ratio':>8}"]
    lines += [
        f"{one.figure:<{width}}{one.before:>16,.5g}{one.after:>16,.5g}{one.ratio:>8.2f}"
        + f"  {one.verdict}".rstrip()
        for one in changes
    ]
    worse = sum(one.verdict == "worse" for one in changes)
    better = sum(one.verdict == "better" for one in changes)
    return "\n".join([*lines, f"{len(changes)} figures: {better} better, {worse} worse"])


def _row_name(row: Mapping[str, Any]) -> str:
    words = [str(value) for name, value in row.items() if isinstance(value, str) and name != "note"]
    return " ".join([*words, *(f"{name} {row[name]}" for name in COUNTS if name in row)])


def _goal(path: str) -> int:
    """Return 1 where more is better, -1 where less is, 0 where a number says neither.

    The innermost name that says it decides: ``routes / smcloud workers 2 / seconds``.
    """
    for name in reversed(path.split(" / ")):
        if name.endswith(MORE_IS_BETTER):
            return 1
        if name.endswith(LESS_IS_BETTER):
            return -1
    return 0


def _differences(old: Record, new: Record) -> list[str]:
    """Return a line for each thing besides the code that may explain a change."""
    lines = [f"commit: {old.commit} against {new.commit}"]
    for kind, was, now in (
        ("machine", old.machine, new.machine),
        ("version", old.versions, new.versions),
    ):
        lines += [
            f"{kind} differs: {name} {was.get(name, 'absent')} against {now.get(name, 'absent')}"
            for name in sorted({*was, *now})
            if was.get(name) != now.get(name)
        ]
    return lines


def _lost(was: Mapping[str, float], now: Mapping[str, float]) -> list[str]:
    """Return a line for each figure that only one record has."""
    return [
        f"only {'before' if name in was else 'after'}: {name}" for name in sorted({*was} ^ {*now})
    ]
