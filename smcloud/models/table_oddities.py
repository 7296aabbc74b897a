"""What is odd about a table and yet no reason to refuse it: told before a training, by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smcloud.core.listener import counted
from smcloud.models.samples import TrainingTable
from smcloud.validation.metrics import correlation
from smcloud.validation.pairs import PairStats

NAMED = 3
"""Stations that are named; the others are counted."""
SAME_PLACE_DEGREES = 0.01
"""A station whose rows lie further apart is told: about a pixel of 1 km."""

ECHO = 0.99
"""A feature whose correlation with the target is this high was most likely made from it."""
ECHO_ROWS = 100_000
"""Rows that are looked at for that."""
MARKS = (-9999.0, -999.0, 9999.0, 99999.0)
"""Numbers that tables are known to hold where a value is unknown."""
VOLUMES = ("m3 m-3", "m3/m3", "m^3/m^3", "m³/m³", "m³ m⁻³", "cm3 cm-3", "cm3/cm3")
"""Units in which soil moisture lies between 0 and 1."""


def oddities(table: TrainingTable, units: str = "") -> list[str]:
    """Return a line for each oddity of a table, and none for a plain one.

    Rows left out, stations without a day, repeated days, a name at two places, features that say
    nothing or that repeat the target, numbers that look like marks for unknown, a target that its
    units cannot hold.

    Parameters
    ----------
    units
        Those of the target; empty where nobody said.
    """
    found = [
        _dropped(table),
        _without_a_day(table),
        _repeats(table),
        _places(table),
        _silent_features(table),
        _marks(table),
        _echoes(table),
        _out_of_range(table, units),
    ]
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


def _silent_features(table: TrainingTable) -> str:
    silent = []
    for name in table.columns.features:
        values = table.values[name]
        low, high = np.fmin.reduce(values), np.fmax.reduce(values)
        if not low < high:
            silent.append(name)
    if not silent:
        return ""
    return (
        f"{counted(len(silent), 'features')} without two different values: {_some(silent)}; the "
        "trees have no use for them"
    )


def _marks(table: TrainingTable) -> str:
    found = []
    for name in (table.columns.target, *table.columns.features):
        values = table.values[name]
        # Such a number is an extreme one: nothing else is compared.
        ends = {float(np.fmin.reduce(values)), float(np.fmax.reduce(values))}
        found += [f"{name} {mark:g}" for mark in MARKS if mark in ends]
    if not found:
        return ""
    return (
        f"numbers that look like marks for unknown: {_some(found)}; they count as they stand: "
        "leave unknown values empty"
    )


def _echoes(table: TrainingTable) -> str:
    rows = table.order[:: -(-table.order.size // ECHO_ROWS)]
    target = table.values[table.columns.target][rows]
    found = {}
    for name in table.columns.features:
        r = float(correlation(PairStats.of(table.values[name][rows], target)))
        if abs(r) >= ECHO:
            found[name] = r
    if not found:
        return ""
    named = ", ".join(f"{name} (R {r:.3f})" for name, r in found.items())
    return (
        f"nearly the target itself: {named}; scores say nothing if it was made from the target: "
        "name the predictors with --features"
    )


def _out_of_range(table: TrainingTable, units: str) -> str:
    if units not in VOLUMES:
        return ""
    target = table.values[table.columns.target][table.order]
    low, high = float(target.min()), float(target.max())
    if low >= 0.0 and high <= 1.0:
        return ""
    hint = "divide per cent by 100" if high > 1.0 else "leave unknown values empty"
    return (
        f"the target lies between {low:g} and {high:g}, and {units} between 0 and 1: {hint}, or "
        "say other units"
    )


def _some(names: Sequence[str] | np.ndarray[tuple[int], np.dtype[np.object_]]) -> str:
    shown = ", ".join(map(str, names[:NAMED]))
    return f"{shown} and {len(names) - NAMED} more" if len(names) > NAMED else shown
