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

from smcloud.features.spec import Floats32

MAX_GAP_STEPS = 4
"""Longest bridge between two known composites, in periods: 32 or 64 days [M]."""
HOLD_STEPS = 1
"""How long a lone composite is held, in periods [M]."""
WORK_ELEMENTS = 2**18
"""Values in work at once: 1 MB of float32, which stays in the cache."""

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
        first = self.bounds[:-1, None].astype(np.float32)
        middle = np.float32(self.step_days // 2)
        days = np.full_like(first, middle) if offsets is None else offsets
        days = np.where(np.isfinite(days), days, middle)
        longest = np.diff(self.bounds)[:, None].astype(np.float32) - 1
        return first + np.minimum(np.maximum(days, np.float32(0)), longest)


@dataclass(frozen=True)
class _Span:
    """The line between a known composite and the next one, for every pixel (points,)."""

    before: Floats32
    before_day: Floats32
    after: Floats32
    after_day: Floats32
    slope: Floats32
    broken: NDArray[np.intp]
    """Pixels that have no line but a composite on one side at least."""


def interpolate_composites(
    values: Floats32, dates: Floats32, periods: Periods, days: DayNumbers, out: Floats32
) -> None:
    """Fill `out` (n_days, points) with the daily values of composites.

    Parameters
    ----------
    values
        (n, points), NaN for unknown.
    dates
        Day numbers from `Periods.dates`, (n, points) or (n, 1).
    days
        Consecutive day numbers (n_days,), all within the periods.
    """
    spans = _spans(values, dates, periods.step_days)
    earlier = next(spans)
    step_of_day = np.searchsorted(periods.bounds, days, side="right") - 1
    hold = np.float32(HOLD_STEPS * periods.step_days)
    at_once = max(1, WORK_ELEMENTS // max(1, values.shape[1]))
    for step, later in enumerate(spans):
        start, stop = np.searchsorted(step_of_day, [step, step + 1])
        for first in range(start, stop, at_once):
            some = slice(first, min(first + at_once, stop))
            when = days[some, None].astype(np.float32)
            is_later = when >= dates[step]
            _choose(is_later, _on_span(later, when, hold), _on_span(earlier, when, hold), out[some])
        earlier = later


def _spans(values: Floats32, dates: Floats32, step_days: int) -> Iterator[_Span]:
    """Yield the spans before the first composite, between each two, and after the last."""
    max_gap = np.float32(MAX_GAP_STEPS * step_days)
    n, points = values.shape
    nothing = np.full(points, np.nan, np.float32)
    after = [(nothing, np.full(points, np.inf, np.float32))]
    known = np.isfinite(values)
    for step in range(n - 1, -1, -1):
        after.append(_either(known[step], values[step], dates[step], *after[-1]))
    before = (nothing, np.full(points, -np.inf, np.float32))
    yield _span(before, after[n], max_gap)
    for step in range(n):
        before = _either(known[step], values[step], dates[step], *before)
        yield _span(before, after[n - 1 - step], max_gap)


def _either(
    known: NDArray[np.bool_], value: Floats32, day: Floats32, other: Floats32, other_day: Floats32
) -> tuple[Floats32, Floats32]:
    out, out_day = np.empty_like(other), np.empty_like(other_day)
    _choose(known, value, other, out)
    _choose(known, np.broadcast_to(day, other_day.shape), other_day, out_day)
    return out, out_day


def _span(
    earlier: tuple[Floats32, Floats32], later: tuple[Floats32, Floats32], max_gap: np.float32
) -> _Span:
    (before, before_day), (after, after_day) = earlier, later
    gap = after_day - before_day
    linear = gap <= max_gap
    slope = (after - before) / gap
    slope[~linear] = np.nan
    broken = np.flatnonzero(~linear & (np.isfinite(before_day) | np.isfinite(after_day)))
    # An endless day times an unknown slope is unknown as well, yet numpy would warn of it.
    finite_day = np.where(np.isfinite(before_day), before_day, np.float32(0))
    return _Span(before, finite_day, after, after_day, slope, broken)


def _on_span(span: _Span, when: Floats32, hold: np.float32) -> Floats32:
    """Return the values (days, points) of a span on days `when` (days, 1)."""
    result = when - span.before_day
    result *= span.slope
    result += span.before
    if span.broken.size:
        result[:, span.broken] = _held(span, when, hold)
    return result


def _held(span: _Span, when: Floats32, hold: np.float32) -> Floats32:
    """Return the nearest known composite of the broken pixels, if it is near enough."""
    before, after = span.before[span.broken], span.after[span.broken]
    since = np.where(np.isfinite(before), when - span.before_day[span.broken], np.float32(np.inf))
    until = span.after_day[span.broken] - when
    nearest = np.where(since <= until, before, after)
    held: Floats32 = np.where(np.minimum(since, until) <= hold, nearest, np.float32(np.nan))
    return held


def _choose(
    take_first: NDArray[np.bool_], first: Floats32, second: Floats32, out: Floats32
) -> None:
    """Write `first` where `take_first`, else `second`, bit by bit.

    With dates that differ from pixel to pixel the mask is noise, on which `numpy.where` spends
    five times as long (mispredicted branches).
    """
    ones = np.negative(take_first.astype(np.int32))
    bits = np.bitwise_xor(first.view(np.int32), second.view(np.int32))
    bits &= ones
    np.bitwise_xor(bits, second.view(np.int32), out=out.view(np.int32))
