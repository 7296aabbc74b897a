"""Sensors on one scale: known maps come back, through a bridge, by climatology, with few days."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smcloud.core.errors import UserError
from smcloud.models.intercalibration import (
    MatchRule,
    calibrate,
    common_days,
    match_moments,
    match_quantiles,
)
from smcloud.validation.sensor_join import SensorRecord

RULE = MatchRule()
CELLS = 40


def nature(years=9, seed=0, noise=0.0):
    """Return days from 2006 and moisture with a season and rain, (days, cells)."""
    rng = np.random.default_rng(seed)
    days = np.arange(np.datetime64("2006-01-01"), np.datetime64(f"{2006 + years}-01-01"))
    season = 0.05 * np.sin(2 * np.pi * np.arange(len(days)) / 365.25)[:, None]
    wetness = rng.uniform(0.15, 0.3, CELLS)
    walk = np.zeros((len(days), CELLS))
    for day in range(1, len(days)):
        walk[day] = 0.85 * walk[day - 1] + rng.normal(0, 0.015, CELLS)
    return days, wetness + season + walk + rng.normal(0, noise, walk.shape)


def sensor(days, values, begin, end, gain=1.0, offset=0.0, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    at = (days >= np.datetime64(begin)) & (days < np.datetime64(end))
    seen = offset + gain * values[at] + rng.normal(0, noise, values[at].shape)
    seen[rng.random(seen.shape) < 0.3] = np.nan
    return SensorRecord(days[at], seen)


@settings(max_examples=10, deadline=None)
@given(gain=st.floats(0.5, 2.0), offset=st.floats(-0.1, 0.1))
def test_a_linear_map_on_common_days_is_found_exactly(gain, offset):
    days, truth = nature(2)
    one = sensor(days, truth, "2006-01-01", "2007-12-01")
    # Whatever the gaps are, the same days count for both.
    other = sensor(days, truth, "2006-01-01", "2007-12-01", gain, offset, seed=1)
    scale = match_moments(one, other, RULE)
    found = scale.apply(one.values, one.days)
    known = np.isfinite(one.values)
    np.testing.assert_array_equal(np.isfinite(found), known)
    # Cells have one map, and shrinking draws them to what they have in common, their own mean.
    error = (found - (offset + gain * one.values))[known]
    assert np.abs(error.mean()) < 1e-3
    assert np.sqrt((error**2).mean()) < 0.1 * abs(gain - 1) * 0.1 + 2e-3


def test_a_bridge_joins_sensors_that_never_overlap():
    days, truth = nature()
    old = sensor(days, truth, "2006-01-01", "2011-10-01", 1.3, 0.04, 0.01, 1)
    new = sensor(days, truth, "2012-07-01", "2015-01-01", 1.0, 0.0, 0.01, 2)
    bridge = sensor(days, truth, "2009-01-01", "2014-01-01", 0.8, 0.1, 0.01, 3)
    assert common_days(old, new) == 0
    found = calibrate(old, new, bridge)
    assert found.route == "bridge"
    assert min(found.common_days) > 500
    at = (days >= old.days[0]) & (days <= old.days[-1])
    error = found.scale.apply(old.values, old.days) - truth[at]
    raw = old.values - truth[at]
    assert abs(np.nanmean(error)) < 0.003
    assert np.nanstd(error) < 0.02
    assert abs(np.nanmean(raw)) > 0.08


def test_without_a_bridge_the_climatologies_are_matched():
    days, truth = nature()
    old = sensor(days, truth, "2006-01-01", "2011-10-01", 1.3, 0.04, 0.01, 1)
    new = sensor(days, truth, "2012-07-01", "2015-01-01", 1.0, 0.0, 0.01, 2)
    short = sensor(days, truth, "2011-09-20", "2012-07-10", 0.8, 0.1, 0.01, 3)
    for bridge in (None, short):
        found = calibrate(old, new, bridge)
        assert found.route == "climatology"
        at = (days >= old.days[0]) & (days <= old.days[-1])
        error = found.scale.apply(old.values, old.days) - truth[at]
        assert abs(np.nanmean(error)) < 0.006
        assert np.nanstd(error) < 0.025


def test_climatology_takes_a_change_of_nature_for_one_of_sensors():
    days, truth = nature()
    drier = truth.copy()
    drier[days >= np.datetime64("2012-01-01")] -= 0.05
    old = sensor(days, drier, "2006-01-01", "2011-10-01", seed=1)
    new = sensor(days, drier, "2012-07-01", "2015-01-01", seed=2)
    bridge = sensor(days, drier, "2009-01-01", "2014-01-01", seed=3)
    at = (days >= old.days[0]) & (days <= old.days[-1])
    for given_, expected in ((None, -0.05), (bridge, 0.0)):
        moved = calibrate(old, new, given_).scale.apply(old.values, old.days)
        assert np.nanmean(moved - drier[at]) == pytest.approx(expected, abs=0.005)


def test_a_cell_with_few_days_leans_on_the_region():
    days, truth = nature(3, seed=4)
    old = sensor(days, truth, "2006-01-01", "2008-01-01", 1.0, 0.06, 0.02, 1)
    new = sensor(days, truth, "2007-01-01", "2009-01-01", 1.0, 0.0, 0.02, 2)
    both = old.days >= np.datetime64("2007-01-01")
    old.values[np.flatnonzero(both)[4:], 0] = np.nan
    scale = match_moments(old, new, RULE)
    shift = (scale.mean_to - scale.mean_from).mean(axis=0)
    assert shift[0] == pytest.approx(-0.06, abs=0.006)
    assert scale.weight[:, 0].max() < 0.3


def test_months_without_common_days_take_the_map_of_all():
    days, truth = nature(3)
    old = sensor(days, truth, "2006-01-01", "2008-03-01", 1.0, 0.06, 0.005, 1)
    new = sensor(days, truth, "2007-12-01", "2009-01-01", 1.0, 0.0, 0.005, 2)
    scale = match_moments(old, new, RULE)
    is_july = old.days.astype("datetime64[M]").astype(int) % 12 == 6
    summer = scale.apply(old.values, old.days)[is_july]
    assert np.isfinite(summer).any()
    at = (days >= old.days[0]) & (days <= old.days[-1])
    assert np.nanmean(scale.apply(old.values, old.days) - truth[at]) == pytest.approx(0, abs=0.005)


@settings(max_examples=10, deadline=None)
@given(power=st.floats(0.7, 1.5), seed=st.integers(0, 100))
def test_quantiles_undo_a_bent_scale_and_keep_the_order(power, seed):
    days, truth = nature(3, seed)
    one = sensor(days, truth, "2006-01-01", "2009-01-01", seed=1)
    bent = sensor(days, np.maximum(truth, 0.01) ** power, "2006-01-01", "2009-01-01", seed=2)
    scale = match_quantiles(one, bent, RULE)
    found = scale.apply(one.values, one.days)
    expected = np.maximum(one.values, 0.01) ** power
    assert np.sqrt(np.nanmean((found - expected) ** 2)) < 0.012
    order = np.argsort(one.values[:, 3])
    assert (np.diff(found[order, 3][np.isfinite(found[order, 3])]) >= -1e-12).all()


def test_maps_without_enough_days_give_nothing():
    days, truth = nature(2)
    old = sensor(days, truth, "2006-01-01", "2006-06-01")
    nothing = SensorRecord(old.days, np.full(old.values.shape, np.nan))
    for match in (match_moments, match_quantiles):
        scale = match(old, nothing, RULE)
        assert np.isnan(scale.apply(old.values, old.days)).all()


def test_a_sensor_that_never_varies_is_moved_to_the_mean():
    days, truth = nature(2)
    new = sensor(days, truth, "2006-01-01", "2007-01-01")
    stuck = SensorRecord(new.days, np.where(np.isfinite(new.values), 0.5, np.nan))
    found = match_moments(stuck, new, RULE).apply(stuck.values, stuck.days)
    assert np.nanmean(found) == pytest.approx(np.nanmean(new.values), abs=1e-3)


def test_rules_that_make_no_sense_are_refused():
    for wrong in ({"memory_days": 0.0}, {"minimum_days": 2}, {"largest_ratio": 1.0}):
        with pytest.raises(UserError, match="matching sensors needs"):
            MatchRule(**wrong)
