"""Composites to days against a plain loop over pixels and days."""

from bisect import bisect_right
from operator import itemgetter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smcloud.features import composites
from smcloud.features.composites import (
    HOLD_STEPS,
    MAX_GAP_STEPS,
    Periods,
    daily_values,
)

FIRST = int(np.datetime64("2018-01-01", "D").astype(int))


def year_bounds(years, step):
    starts = [
        np.arange(np.datetime64(f"{year}-01-01"), np.datetime64(f"{year + 1}-01-01"), step)
        for year in years
    ]
    end = np.datetime64(f"{years[-1] + 1}-01-01")
    return np.append(np.concatenate(starts), end).astype("datetime64[D]").astype(np.int64)


def known_of(values, dates):
    """Return one pixel's known values with their dates, which rise."""
    there = np.isfinite(values)
    return list(zip(dates[there], values[there], strict=True))


def plain(known, step, day):
    """Return one pixel's value on one day, by the rule as it is written, in float32."""
    nothing = (np.float32(np.inf), np.float32(np.nan))
    following = bisect_right(known, day, key=itemgetter(0))
    before = known[following - 1] if following else None
    after = known[following] if following < len(known) else None
    if before and after and after[0] - before[0] <= MAX_GAP_STEPS * step:
        slope = (after[1] - before[1]) / (after[0] - before[0])
        return (np.float32(day) - before[0]) * slope + before[1]
    since, until = (abs(np.float32(day) - (pair or nothing)[0]) for pair in (before, after))
    nearest = (before if since <= until else after) or nothing
    return nearest[1] if min(since, until) <= HOLD_STEPS * step else np.float32(np.nan)


def daily(values, offsets, bounds, step, days):
    periods = Periods(bounds, step)
    out = np.empty((len(days), values.shape[1]), np.float32)
    dates = periods.dates(offsets)
    for some, piece in daily_values(values, dates, periods, days):
        out[some] = piece
    return out, np.broadcast_to(dates, values.shape)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    step=st.sampled_from([8, 16]),
    gaps=st.sampled_from([0.0, 0.3, 0.8, 1.0]),
    own_dates=st.booleans(),
    pixels=st.sampled_from([1, 4, 37]),
)
def test_equals_the_plain_rule_bit_by_bit_across_the_turn_of_the_year(
    seed, step, gaps, own_dates, pixels
):
    rng = np.random.default_rng(seed)
    bounds = year_bounds([2018, 2019], step)
    shape = (len(bounds) - 1, pixels)
    values = rng.uniform(0, 1, shape).astype(np.float32)
    values[rng.random(shape) < gaps] = rng.choice([np.nan, np.inf])
    offsets = rng.integers(0, step, shape).astype(np.float32)
    offsets[rng.random(shape) < 0.1] = np.nan
    days = np.arange(FIRST + rng.integers(0, 340), FIRST + rng.integers(341, 420))
    found, dates = daily(values, offsets if own_dates else None, bounds, step, days)
    for pixel in range(shape[1]):
        known = known_of(values[:, pixel], dates[:, pixel])
        expected = [plain(known, step, day) for day in days]
        np.testing.assert_array_equal(found[:, pixel], np.array(expected, np.float32))


@pytest.mark.parametrize("work", [1, 100, 2**18])
def test_pieces_of_days_and_tiles_of_pixels_leave_no_trace(monkeypatch, work):
    rng = np.random.default_rng(3)
    bounds = year_bounds([2018], 16)
    values = rng.normal(size=(23, 2 * composites.TILE_POINTS + 5)).astype(np.float32)
    values[rng.random(values.shape) < 0.4] = np.nan
    offsets = rng.integers(0, 16, values.shape).astype(np.float32)
    days = np.arange(FIRST + 100, FIRST + 150)
    whole, _ = daily(values, offsets, bounds, 16, days)
    monkeypatch.setattr(composites, "WORK_ELEMENTS", work)
    some = np.r_[:9, 2040:2055, 4090:4101]
    part, _ = daily(values[:, some], offsets[:, some], bounds, 16, days)
    np.testing.assert_array_equal(part, whole[:, some])


def test_value_on_its_own_day_is_the_composite():
    bounds = year_bounds([2018], 16)
    values = np.linspace(0, 1, 23, dtype=np.float32)[:, None]
    offsets = np.full((23, 1), 5, np.float32)
    found, _ = daily(values, offsets, bounds, 16, bounds[:-1] + 5)
    np.testing.assert_array_equal(found, values)


def test_dates_stay_within_their_period_and_default_to_its_middle():
    bounds = year_bounds([2018], 16)[-3:]  # 19 December (13 days to the year's end) is cut
    assert np.diff(bounds).tolist() == [16, 13]
    periods = Periods(bounds, 16)
    offsets = np.float32([[-3, 15, np.nan], [14, 2, np.nan]])
    expected = bounds[:-1, None] + [[0, 15, 8], [12, 2, 8]]
    np.testing.assert_array_equal(periods.dates(offsets), expected)
    np.testing.assert_array_equal(periods.dates(None), bounds[:-1, None] + 8)


@pytest.mark.parametrize(("missing", "is_bridged"), [(3, True), (4, False)])
def test_gap_is_bridged_up_to_four_periods(missing, is_bridged):
    bounds = year_bounds([2018], 8)
    values = np.full((46, 1), 2.0, np.float32)
    values[10 : 10 + missing] = np.nan
    middle = bounds[10] + 8 * missing // 2
    found, _ = daily(values, None, bounds, 8, np.array([middle]))
    assert np.isfinite(found[0, 0]) == is_bridged


def test_lone_composite_is_held_for_one_period():
    bounds = year_bounds([2018], 8)
    values = np.full((46, 1), np.nan, np.float32)
    values[20] = 4.0
    own_day = bounds[20] + 4
    days = np.arange(own_day - 10, own_day + 11)
    found, _ = daily(values, None, bounds, 8, days)
    np.testing.assert_array_equal(np.isfinite(found[:, 0]), np.abs(days - own_day) <= 8)
    assert np.nanmin(found) == np.nanmax(found) == 4.0
