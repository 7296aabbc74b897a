"""What is odd about a table and yet no reason to refuse it: told before a training, by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smcloud.core.listener import counted
from smcloud.models.samples import TrainingTable

NAMED = 3
"""Stations that are named; the others are counted."""
SAME_PLACE_DEGREES = 0.01
"""A station whose rows lie further apart is told: about a pixel of 1 km."""


def oddities(table: TrainingTable) -> list[str]:
    """Return a line for each oddity: rows left out, stations without a day, repeats, two places."""
    found = [_dropped(table), _without_a_day(table), _repeats(table), _places(table)]
    return [line for line in found if line]


def _dropped(table: TrainingTable) -> str:
    if not table.dropped:
        return ""
    return f"{table.dropped} rows have no target, time or station and are left out"


def _without_a_day(table: TrainingTable) -> str:
    has_day = np.zeros(table.names.size, bool)
    has_day[table.codes] = True
    if has_day.all():
        return ""
    names = table.names[~has_day]
    return f"{counted(names.size, 'stations')} without a usable day: {_some(names)}"


def _repeats(table: TrainingTable) -> str:
    # Rows come by station and day, so that repeats are neighbours.
    codes, days = table.codes, table.days
    is_again = (codes[1:] == codes[:-1]) & (days[1:] == days[:-1])
    if not is_again.any():
        return ""
    names = table.names[np.unique(codes[1:][is_again])]
    return (
        f"{counted(int(is_again.sum()), 'rows')} repeat a day of their station, in "
        f"{counted(names.size, 'stations')}: {_some(names)}; all count, none is parted from its "
        "like by a split"
    )


def _places(table: TrainingTable) -> str:
    apart = np.zeros(table.names.size)
    for name in (table.columns.latitude, table.columns.longitude):
        if name is None:
            return ""
        degrees = table.values[name][table.order].astype(np.float64)
        low, high = np.full(apart.size, np.inf), np.full(apart.size, -np.inf)
        np.minimum.at(low, table.codes, degrees)
        np.maximum.at(high, table.codes, degrees)
        with np.errstate(invalid="ignore"):
            apart = np.fmax(apart, high - low)
    moved = np.flatnonzero(apart > SAME_PLACE_DEGREES)
    if not moved.size:
        return ""
    widest = f"{apart[moved].max():.2g}"
    return (
        f"{counted(moved.size, 'stations')} at places up to {widest} degrees apart: "
        f"{_some(table.names[moved])}; each counts at the northernmost: give duplicates names of "
        "their own"
    )


def _some(names: Sequence[str] | np.ndarray[tuple[int], np.dtype[np.object_]]) -> str:
    shown = ", ".join(map(str, names[:NAMED]))
    return f"{shown} and {len(names) - NAMED} more" if len(names) > NAMED else shown
