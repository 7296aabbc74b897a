"""Seams between swaths: exact where a series follows its neighbours, the rules where they fail."""

from dataclasses import replace
from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.coarse_world import drying_world
from smcloud.core.errors import UserError
from smcloud.models.seams import (
    SeamRule,
    SeamState,
    apply_seams,
    fill_seams,
    seam_patterns,
    seam_sums,
    solve_seams,
)
from smcloud.validation.hidden_swaths import (
    HidingRule,
    linear_in_time,
    monthly_climatology,
    score_hidden,
)

RULE = SeamRule()


def wet_and_dry(**settings):
    world = drying_world(**settings)
    return world.truth, world.seen, world.missed, world.predictors, world.days


def test_every_missed_cell_with_a_neighbour_in_time_is_filled_and_flagged():
    _, seen, missed, predictors, _ = wet_and_dry()
    fill = fill_seams(seen, missed, predictors)
    observed = np.isfinite(seen)
    np.testing.assert_array_equal(fill.values[observed], seen[observed])
    assert (fill.state[observed] == SeamState.OBSERVED).all()
    assert missed.mean() > 0.1
    assert (fill.state[missed] == SeamState.FILLED).mean() > 0.99
    assert np.isfinite(fill.values[fill.state == SeamState.FILLED]).all()
    assert np.isnan(fill.values[fill.state == SeamState.UNKNOWN]).all()


def test_failed_retrievals_are_no_seams():
    _, seen, missed, predictors, _ = wet_and_dry()
    seen[50:60, :20] = np.nan
    fill = fill_seams(seen, missed, predictors)
    failed = np.isnan(seen) & ~missed
    assert failed.any()
    assert (fill.state[failed] == SeamState.UNKNOWN).all()
    assert np.isnan(fill.values[failed]).all()


def test_a_straight_line_in_time_is_found_again():
    days, cells = 200, 40
    slope = np.linspace(-1e-3, 1e-3, cells)
    line = 0.3 + slope * np.arange(days)[:, None]
    rng = np.random.default_rng(0)
    missed = rng.random(line.shape) < 0.3
    fill = fill_seams(np.where(missed, np.nan, line), missed, rule=replace(RULE, ridge=1e-6))
    inside = np.zeros(line.shape, bool)
    inside[3:-3] = True
    inside &= fill.state == SeamState.FILLED
    # One neighbour does not tell a line from a level.
    inside &= sum(np.roll(~missed, -lag, axis=0).astype(int) for lag in RULE.lags) > 1
    assert np.abs(fill.values - line)[inside].max() < 2e-4


def test_hidden_swaths_are_found_better_than_by_lines_and_by_climatology():
    _, seen, missed, predictors, dates = wet_and_dry(noise=0.03)
    fillers = {
        "neighbours and predictors": lambda v, m: fill_seams(v, m, predictors).values,
        "neighbours": lambda v, m: fill_seams(v, m).values,
        "linear in time": lambda v, m: linear_in_time(v, RULE.days),
        "climatology": lambda v, m: monthly_climatology(v, dates),
    }
    found = score_hidden(seen, missed, fillers, HidingRule(folds=3))
    table = found.table()
    assert found.judged > 500
    error = table["RMSE"]
    assert error["neighbours and predictors"] < 0.95 * error["neighbours"]
    assert error["neighbours"] < 0.99 * error["linear in time"]
    assert error["linear in time"] < error["climatology"]
    assert (table["bias"].abs() < 0.01)[:2].all()


def test_days_without_predictors_use_neighbours_alone():
    truth, seen, missed, predictors, _ = wet_and_dry()
    cloudy = predictors.copy()
    cloudy[:, 100:160] = np.nan
    fill = fill_seams(seen, missed, cloudy)
    wanted = missed[100:160]
    assert (fill.state[100:160][wanted] == SeamState.FILLED).mean() > 0.99
    with_all = fill_seams(seen, missed, predictors)
    errors = [(one.values - truth)[100:160][wanted] for one in (with_all, fill)]
    assert np.nanstd(errors[0]) < 0.9 * np.nanstd(errors[1])


def test_without_evidence_the_line_between_the_nearest_days_is_left():
    _, seen, missed, predictors, _ = wet_and_dry()
    given_ = predictors, seam_patterns(seen, missed, predictors, RULE)
    sums = seam_sums(seen, *given_, RULE)
    nothing = replace(sums, squares=0 * sums.squares, products=0 * sums.products)
    fill = apply_seams(solve_seams(nothing, RULE), seen, missed, predictors)
    at = fill.state == SeamState.FILLED
    expected = linear_in_time(seen, RULE.days)[at]
    np.testing.assert_allclose(fill.values[at], expected, atol=1e-12)


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(1, 59), max_size=3, unique=True))
def test_parts_of_the_cells_add_up_to_the_whole(cuts):
    _, seen, missed, predictors, _ = wet_and_dry(days=120)
    whole = fill_seams(seen, missed, predictors)
    ends = [0, *sorted(cuts), 60]
    parts = [slice(a, b) for a, b in pairwise(ends)]
    inputs = [(seen[:, p], missed[:, p], predictors[:, :, p]) for p in parts]
    patterns = np.unique(np.concatenate([seam_patterns(*one, RULE) for one in inputs]))
    sums = reduce(add, [seam_sums(y, x, patterns, RULE) for y, _, x in inputs])
    model = solve_seams(sums, RULE)
    found = np.concatenate([apply_seams(model, *one).values for one in inputs], axis=1)
    np.testing.assert_allclose(found, whole.values, rtol=1e-9, atol=1e-12)


def test_a_cell_that_was_hardly_ever_seen_stays_unknown():
    _, seen, missed, predictors, _ = wet_and_dry()
    seen[9:, 5] = np.nan
    missed = missed.copy()
    missed[9:, 5] = True
    fill = fill_seams(seen, missed, predictors)
    assert np.isnan(fill.values[9:, 5]).all()
    assert np.isfinite(np.delete(fill.values, 5, axis=1)).mean() > 0.99


def test_a_constant_cell_and_a_series_of_nothing_end_well():
    _, seen, missed, predictors, _ = wet_and_dry()
    seen[:, 3] = np.where(np.isfinite(seen[:, 3]), 0.2, np.nan)
    fill = fill_seams(seen, missed, predictors)
    np.testing.assert_allclose(fill.values[fill.state[:, 3] != SeamState.UNKNOWN, 3], 0.2)
    nothing = fill_seams(np.full(seen.shape, np.nan), missed, predictors)
    assert (nothing.state == SeamState.UNKNOWN).all()
    everything = fill_seams(np.nan_to_num(seen, nan=0.1), np.zeros(missed.shape, bool), predictors)
    assert (everything.state == SeamState.OBSERVED).all()


def test_estimates_are_never_negative():
    _, seen, missed, predictors, _ = wet_and_dry(noise=0.0)
    dry = np.where(np.isfinite(seen), np.maximum(seen - 0.15, 0), np.nan)
    assert np.nanmin(fill_seams(dry, missed, predictors).values) == 0.0


def test_what_does_not_fit_is_refused():
    _, seen, missed, predictors, _ = wet_and_dry()
    with pytest.raises(UserError, match=r"found \(1, 10, 60\)"):
        fill_seams(seen, missed, predictors[:, :10])
    with pytest.raises(UserError, match="at least 1 day"):
        SeamRule(days=0)
    sums = seam_sums(seen, predictors, np.array([1]), RULE)
    with pytest.raises(UserError, match="same patterns"):
        sums + seam_sums(seen, predictors, np.array([2]), RULE)
