"""Composites of 8 or 16 days to daily values: linear in time between each pixel's own dates.

A composite holds, for each pixel, the best observation of its period; where the product stores the
day of that observation, it is used, else the middle of the period. Unknown composites are skipped.
Between two known ones the value is linear if they are at most `MAX_GAP_STEPS` periods apart. Beyond
that, and at the ends of the record, the nearest known composite is held for at most one period;
further away the value is unknown. The rule reaches no further than the maximum gap, so a day's
value does not depend on how much of the record was read around it, nor on which other pixels were.

The periods restart on 1 January; the last one of a year is cut there, and with it the few dates
of MOD13A2 that lie in the first days of the next year.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smcloud.core.compiled import compiled
from smcloud.features.spec import Floats32

MAX_GAP_STEPS = 4
"""Longest bridge between two known composites, in periods: 32 or 64 days [M]."""
HOLD_STEPS = 1
"""How long a lone composite is held, in periods [M]."""
WORK_ELEMENTS = 2**18
"""Values in work at once: 1 MB of float32, which stays in the cache."""
TILE_POINTS = 2048
"""Pixels whose lines stay in the innermost cache from one day to the next."""

DayNumbers = NDArray[np.int64]


@dataclass(frozen=True)
class Periods:
    """The composites that a block of days needs.

    Attributes
    ----------
    bounds : (n + 1,) int64
        Day number (since 1970-01-01) of the first day of each period; the last is the end of the
        last period.
    step_days : int
        Nominal length.
    """

    bounds: DayNumbers
    step_days: int

    def dates(self, offsets: Floats32 | None) -> Floats32:
        """Return the day number of each composite, (n, points), or (n, 1) without `offsets`.

        `offsets` are days since the start of the period, (n, points), NaN for unknown; unknown
        ones and all, where a product stores none, are the middle of the period. Every date lies
        within its period, so dates ascend.
        """
        first = self.bounds[:-1].astype(np.float32)
        longest = np.diff(self.bounds).astype(np.float32) - 1
        middle = np.float32(self.step_days // 2)
        if offsets is None:
            return (first + np.minimum(middle, longest))[:, None]
        dates = np.empty_like(offsets)
        _own_dates(offsets, first, longest, middle, dates)
        return dates


_Composite = tuple[Floats32, Floats32]
"""Value and day of one composite a pixel, (points,) each."""


@dataclass(frozen=True)
class _Line:
    """From a known composite to the next one, for every pixel: rows of (points,).

    Where no composite is known on a side, its value is NaN and its day infinite. The slope is NaN
    where the two are too far apart.
    """

    before: Floats32
    before_day: Floats32
    after: Floats32
    after_day: Floats32
    slope: Floats32


def daily_values(
    values: Floats32, dates: Floats32, periods: Periods, days: DayNumbers
) -> Iterator[tuple[slice, Floats32]]:
    """Yield consecutive pieces of `days` with their values (days, points), from composites.

    Every piece is a view of one buffer, which the next piece overwrites.

    Parameters
    ----------
    values
        (n, points), NaN for unknown.
    dates
        Day numbers from `Periods.dates`, (n, points) or (n, 1).
    days
        Consecutive day numbers (n_days,), all within the periods.
    """
    points = values.shape[1]
    if dates.shape[1] < points:
        dates = np.repeat(dates, points, axis=1)
    at_once = max(1, min(WORK_ELEMENTS // points, len(days)))
    buffer = np.empty((at_once, points), np.float32)
    always = np.full(points, -np.inf, np.float32)
    hold = np.float32(HOLD_STEPS * periods.step_days)
    for step, earlier, later in _lines(values, dates, periods, days):
        date = dates[step]
        start, stop = np.searchsorted(days, periods.bounds[step : step + 2])
        for first in range(start, stop, at_once):
            some = slice(first, min(first + at_once, stop))
            when = days[some].astype(np.float32)
            out = buffer[: len(when)]
            # Up to the first pixel's date all are on the earlier line, from the last one's on none.
            begun, ended = np.searchsorted(when, [date.min(), date.max()])
            _draw(earlier, always, when[:ended], hold, out[:ended])
            _draw(later, date, when[begun:], hold, out[begun:])
            yield some, out


def _lines(
    values: Floats32, dates: Floats32, periods: Periods, days: DayNumbers
) -> Iterator[tuple[int, _Line, _Line]]:
    """Yield each period that the days meet, with the lines up to its composite and on from it."""
    n, points = values.shape
    max_gap = np.float32(MAX_GAP_STEPS * periods.step_days)
    first, last = np.searchsorted(periods.bounds, days[[0, -1]], side="right") - 1
    nothing = np.full(points, np.nan, np.float32)
    following = [(nothing, np.full(points, np.inf, np.float32))]
    for step in range(n - 1, first - 1, -1):
        following.append(_nearest(values[step], dates[step], following[-1]))
    before = nothing, np.full(points, -np.inf, np.float32)
    for step in range(first):
        before = _nearest(values[step], dates[step], before)
    line = _line(before, following.pop(), max_gap)
    for step in range(first, last + 1):
        before = _nearest(values[step], dates[step], before)
        earlier, line = line, _line(before, following.pop(), max_gap)
        yield step, earlier, line


def _nearest(value: Floats32, day: Floats32, other: _Composite) -> _Composite:
    """Return value and day of a composite where it is known, else those of another one."""
    chosen, chosen_day = np.empty_like(value), np.empty_like(value)
    _where_known(value, value, other[0], chosen)
    _where_known(value, day, other[1], chosen_day)
    return chosen, chosen_day


def _line(before: _Composite, after: _Composite, max_gap: np.float32) -> _Line:
    slope = np.empty_like(before[0])
    _slope(*before, *after, max_gap, slope)
    return _Line(*before, *after, slope)


def _draw(line: _Line, begin: Floats32, when: Floats32, hold: np.float32, out: Floats32) -> None:
    """Write a line's values on days `when` to `out` (days, points), from day `begin` of a point."""
    _draw_rows(
        line.before, line.before_day, line.after, line.after_day, line.slope, begin, when, hold, out
    )


# The loops below write one array each and read few, so that they become vector code. A value is
# made by one operation after another in float32: the compiler may not fuse them.


@compiled
def _own_dates(
    offsets: Floats32, first: Floats32, longest: Floats32, middle: np.float32, out: Floats32
) -> None:
    """Write the first day of each period plus its offset, held within 0 and `longest`."""
    zero = np.float32(0.0)
    for step in range(first.size):
        row, target = offsets[step], out[step]
        for point in range(row.size):
            offset = row[point] if row[point] - row[point] == zero else middle
            offset = offset if offset >= zero else zero
            target[point] = first[step] + (offset if offset <= longest[step] else longest[step])


@compiled
def _where_known(known: Floats32, first: Floats32, second: Floats32, out: Floats32) -> None:
    """Write `first` where `known` is finite, else `second`; all (points,)."""
    zero = np.float32(0.0)
    for point in range(out.size):
        is_known = known[point] - known[point] == zero
        out[point] = first[point] if is_known else second[point]


@compiled
def _slope(
    before: Floats32,
    before_day: Floats32,
    after: Floats32,
    after_day: Floats32,
    max_gap: np.float32,
    out: Floats32,
) -> None:
    """Write the slope from one composite to the next, NaN where they lie too far apart."""
    unknown = np.float32(np.nan)
    for point in range(out.size):
        gap = after_day[point] - before_day[point]
        slope = (after[point] - before[point]) / gap
        out[point] = slope if gap <= max_gap else unknown


@compiled
def _draw_rows(
    before: Floats32,
    before_day: Floats32,
    after: Floats32,
    after_day: Floats32,
    slope: Floats32,
    begin: Floats32,
    when: Floats32,
    hold: np.float32,
    out: Floats32,
) -> None:
    """Write a line, or where it has no slope the nearest composite that is near enough."""
    unknown = np.float32(np.nan)
    for first in range(0, begin.size, TILE_POINTS):
        last = min(first + TILE_POINTS, begin.size)
        value, day, rise = before[first:last], before_day[first:last], slope[first:last]
        next_value, next_day, start = after[first:last], after_day[first:last], begin[first:last]
        for row in range(when.size):
            now, target = when[row], out[row, first:last]
            for point in range(target.size):
                since, until = now - day[point], next_day[point] - now
                on_line = since * rise[point] + value[point]
                nearest = value[point] if since <= until else next_value[point]
                is_near = (since if since <= until else until) <= hold
                held = nearest if is_near else unknown
                found = on_line if rise[point] == rise[point] else held
                target[point] = found if now >= start[point] else target[point]
