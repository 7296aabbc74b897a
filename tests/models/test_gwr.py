"""Local regressions: what must hold exactly, the fall-backs, and gaps."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.coarse_world import coarse_world
from smcloud.core.errors import UserError
from smcloud.grids.grid import EASE2_36KM
from smcloud.grids.regrid import bilinear
from smcloud.models.gwr import CoarseDays, LocalRule, State, evaluate, fit_days, kernel

RULE = LocalRule(120.0)


def fitted(world, rule=RULE, nodes=None):
    weights = kernel(nodes or world.places, world.places, rule.bandwidth_km)
    return fit_days(world.series, weights, rule)


def some_cells(world, at):
    series = world.series
    places = series.lon[at], series.lat[at]
    return CoarseDays(*places, series.days, series.predictors[:, :, at], series.target[:, at])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), bandwidth=st.floats(80, 400), hidden=st.floats(0.0, 0.6))
def test_a_linear_world_with_constant_slopes_is_recovered(seed, bandwidth, hidden):
    world = coarse_world(seed, days=2, hidden=hidden)
    fit = fitted(world, replace(RULE, bandwidth_km=bandwidth))
    assert np.isin(fit.state, [State.LOCAL, State.RIDGE, State.GLOBAL]).all()
    exact = fit.state != State.RIDGE
    expected = np.broadcast_to(world.slopes, fit.coefficients.shape)
    found = np.moveaxis(fit.coefficients, 1, -1)[exact]
    np.testing.assert_allclose(found, np.moveaxis(expected, 1, -1)[exact], rtol=1e-6, atol=1e-9)
    assert np.abs(fit.estimate(world.series.predictors) - world.truth).max() < 2e-3


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_order_of_cells_does_not_matter(seed):
    world = coarse_world(seed, days=2, noise=0.02, varying=0.5, hidden=0.3)
    order = np.random.default_rng(seed).permutation(world.series.lon.size)
    other = some_cells(world, order)
    weights = kernel(world.places, (other.lon, other.lat), RULE.bandwidth_km)
    found, expected = fit_days(other, weights, RULE), fitted(world)
    np.testing.assert_allclose(found.coefficients, expected.coefficients, rtol=1e-8, atol=1e-10)
    np.testing.assert_array_equal(found.cells, expected.cells)


def test_an_infinite_bandwidth_is_ordinary_least_squares():
    world = coarse_world(1, days=3, noise=0.02, varying=0.5, hidden=0.3)
    fit = fitted(world, LocalRule(np.inf))
    for day, known in enumerate(world.series.known):
        design = np.vstack([np.ones(known.sum()), world.series.predictors[day][:, known]]).T
        plane = np.linalg.lstsq(design, world.series.target[day, known], rcond=None)[0]
        assert np.ptp(fit.coefficients[day], axis=1).max() < 1e-9
        np.testing.assert_allclose(fit.coefficients[day, :, 0], plane, rtol=1e-8)


def test_each_node_is_the_weighted_regression_of_its_cells():
    world = coarse_world(2, days=2, noise=0.02, varying=0.5, hidden=0.3)
    weights = kernel(world.places, world.places, RULE.bandwidth_km)
    fit = fit_days(world.series, weights, RULE)
    known = world.series.known[1]
    for node in np.flatnonzero(fit.state[1] == State.LOCAL)[::97]:
        root = np.sqrt(weights[[node]].toarray()[0][known])
        design = np.vstack([np.ones(known.sum()), world.series.predictors[1][:, known]]).T
        seen = world.series.target[1, known]
        plane = np.linalg.lstsq(design * root[:, None], seen * root, rcond=None)[0]
        np.testing.assert_allclose(fit.coefficients[1, :, node], plane, rtol=1e-6)


def test_weights_follow_the_great_circle_and_go_around_the_globe():
    lon, lat = np.array([179.9, -179.9, 0.0, 179.9]), np.array([0.0, 0.0, 0.0, 60.0])
    weights = kernel((lon, lat), (lon, lat), 100.0).toarray()
    distance = 0.2 * np.pi / 180 * 6371.007181
    assert weights[0, 1] == pytest.approx(np.exp(-0.5 * (distance / 100) ** 2), rel=1e-9)
    assert weights[0, 2] == weights[0, 3] == 0
    np.testing.assert_array_equal(np.diag(weights), 1)


def test_nodes_alone_with_their_neighbours_equal_the_whole():
    world = coarse_world(3, days=3, noise=0.02, varying=0.5, hidden=0.2)
    whole = fitted(world)
    rows, cols = world.area.shape
    block = np.zeros((rows, cols), bool)
    block[8:13, 10:18] = True
    block = block.reshape(-1)
    nodes = tuple(values[block] for values in world.places)
    near = np.asarray((kernel(nodes, world.places, RULE.bandwidth_km) > 0).sum(axis=0)).ravel() > 0
    assert near.sum() < near.size
    part = some_cells(world, near)
    alone = fit_days(part, kernel(nodes, (part.lon, part.lat), RULE.bandwidth_km), RULE)
    np.testing.assert_array_equal(alone.state, whole.state[:, block])
    is_local = (alone.state != State.GLOBAL)[:, None]
    a, b = (np.where(is_local, c, 0) for c in (alone.coefficients, whole.coefficients[..., block]))
    np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(1, 11), max_size=3, unique=True))
def test_parts_of_the_days_are_the_whole_bit_for_bit(cuts):
    world = coarse_world(4, noise=0.02, varying=0.5, hidden=0.3)
    weights = kernel(world.places, world.places, RULE.bandwidth_km)
    whole = fit_days(world.series, weights, RULE)
    ends = [0, *sorted(cuts), 12]
    parts = [fit_days(world.series.at(slice(a, b)), weights, RULE) for a, b in pairwise(ends)]
    found = np.concatenate([part.coefficients for part in parts])
    np.testing.assert_array_equal(found, whole.coefficients)


@settings(max_examples=3, deadline=None)
@given(cuts=st.lists(st.integers(1, 11), max_size=2, unique=True), reach=st.integers(1, 4))
def test_parts_of_the_days_with_those_around_are_the_whole_bit_for_bit(cuts, reach):
    world = coarse_world(4, noise=0.02, varying=0.5, hidden=0.3)
    weights = kernel(world.places, world.places, RULE.bandwidth_km)
    rule = replace(RULE, days_around=reach, ridge=1.0)
    whole = fit_days(world.series, weights, rule)
    parts = []
    for start, stop in pairwise([0, *sorted(cuts), 12]):
        first, last = max(start - reach, 0), min(stop + reach, 12)
        wanted = np.arange(start, stop) - first
        parts.append(fit_days(world.series.at(slice(first, last)), weights, rule, wanted))
    found = np.concatenate([part.coefficients for part in parts])
    np.testing.assert_array_equal(found, whole.coefficients)


def test_days_share_slopes_and_keep_their_levels():
    # One slope for all days, levels that jump by more than all else from day to day.
    world = coarse_world(2, days=9, noise=0.03, noise_cells=1.0)
    level = np.linspace(-0.5, 0.5, 9)[np.random.default_rng(0).permutation(9)]
    series = replace(world.series, target=world.series.target + level[:, None])
    weights = kernel(world.places, world.places, 300.0)
    alone = fit_days(series, weights, LocalRule(300.0))
    shared = fit_days(series, weights, LocalRule(300.0, days_around=4))
    wrong = [np.abs(fit.coefficients[4, 1:] - world.slopes[1:]).mean() for fit in (alone, shared)]
    assert wrong[1] < 0.6 * wrong[0]
    at_cells = shared.estimate(series.predictors)
    np.testing.assert_allclose(at_cells.mean(axis=1), series.target.mean(axis=1), atol=0.01)


def test_days_far_away_by_date_have_no_say():
    world = coarse_world(4, days=3, noise=0.02)
    weights = kernel(world.places, world.places, RULE.bandwidth_km)
    apart = replace(world.series, days=world.series.days + np.array([0, 10, 20]))
    shared = fit_days(apart, weights, replace(RULE, days_around=9))
    np.testing.assert_array_equal(shared.coefficients, fit_days(apart, weights, RULE).coefficients)


def test_a_ridge_keeps_slopes_of_predictors_that_go_together_from_cancelling_out():
    world = coarse_world(1, days=4, noise=0.02, noise_cells=1.5, varying=0.3, alike=0.98)
    weights = kernel(world.places, world.places, 200.0)
    free, held = (
        fit_days(world.series, weights, LocalRule(200.0, ridge=ridge)) for ridge in (0.0, 1.0)
    )
    # What slopes make of a pixel that departs from its cell by ways of its own.
    away = np.array([2.0, 0.05, 0.04])[:, None]
    right = (world.slopes[1:] * away).sum(axis=0)
    errors = [
        float(np.std((fit.coefficients[:, 1:] * away).sum(axis=1) - right)) for fit in (free, held)
    ]
    assert errors[1] < np.std(right) < errors[0] or errors[1] < 0.5 * errors[0]


def test_a_cell_with_an_unknown_predictor_takes_no_part():
    world = coarse_world(5, days=1, noise=0.02)
    series = world.series
    at = np.arange(0, series.lon.size, 5)
    without = series.target.copy()
    without[:, at] = np.nan
    predictors = series.predictors.copy()
    predictors[:, 1, at] = np.nan
    weights = kernel(world.places, world.places, RULE.bandwidth_km)
    a = fit_days(replace(series, target=without), weights, RULE)
    b = fit_days(replace(series, predictors=predictors), weights, RULE)
    np.testing.assert_array_equal(a.coefficients, b.coefficients)
    assert a.cells[0] == series.lon.size - at.size
    assert np.isnan(b.estimate(predictors)[0, at]).all()


def test_a_constant_predictor_has_no_slope_and_spoils_no_other():
    world = coarse_world(6, days=1)
    series = world.series
    predictors = np.concatenate([series.predictors, np.full((1, 1, series.lon.size), 273.15)], 1)
    weights = kernel(world.places, world.places, RULE.bandwidth_km)
    fit = fit_days(replace(series, predictors=predictors), weights, RULE)
    assert (fit.state == State.RIDGE).all()
    assert (fit.coefficients[:, 4] == 0).all()
    expected = np.broadcast_to(world.slopes, fit.coefficients[0, :4].shape)
    np.testing.assert_allclose(fit.coefficients[0, :4], expected, rtol=1e-6)


def test_predictors_that_are_alike_share_the_slope_by_a_ridge():
    world = coarse_world(7, days=1, noise=0.01)
    series = world.series
    twice = np.concatenate([series.predictors, series.predictors[:, :1]], axis=1)
    weights = kernel(world.places, world.places, RULE.bandwidth_km)
    fit = fit_days(replace(series, predictors=twice), weights, RULE)
    assert (fit.state == State.RIDGE).all()
    np.testing.assert_allclose(fit.coefficients[:, 1], fit.coefficients[:, 4], rtol=1e-6)
    alone = fit_days(series, weights, RULE)
    both = fit.coefficients[:, 1] + fit.coefficients[:, 4]
    assert np.abs(both / alone.coefficients[:, 1] - 1).max() < 0.02


def test_without_any_variation_the_mean_around_is_left():
    world = coarse_world(8, days=1)
    constant = np.broadcast_to(np.array([300.0, 0.4, 0.1])[:, None], (1, 3, world.truth.shape[1]))
    series = replace(world.series, predictors=constant)
    weights = kernel(world.places, world.places, RULE.bandwidth_km)
    fit = fit_days(series, weights, RULE)
    assert (fit.state == State.MEAN).all()
    mean = (weights @ series.target[0]) / weights.sum(axis=1)
    np.testing.assert_allclose(fit.estimate(constant)[0], mean, rtol=1e-10)


def test_far_from_all_cells_the_regression_of_the_day_holds():
    world = coarse_world(9, days=1, noise=0.02, varying=0.5)
    far = np.array([20.0, -60.0]), np.array([10.0, -20.0])
    fit = fitted(world, nodes=far)
    assert (fit.state == State.GLOBAL).all()
    whole = fitted(world, LocalRule(np.inf))
    np.testing.assert_allclose(fit.coefficients[0, :, 0], whole.coefficients[0, :, 0], rtol=1e-9)


@pytest.mark.parametrize("left", [0, 1, 29])
def test_a_day_with_too_few_cells_is_not_modelled(left):
    world = coarse_world(10, days=2)
    target = world.series.target.copy()
    target[0, left:] = np.nan
    weights = kernel(world.places, world.places, RULE.bandwidth_km)
    fit = fit_days(replace(world.series, target=target), weights, RULE)
    assert (fit.state[0] == State.NONE).all()
    assert np.isnan(fit.coefficients[0]).all()
    assert fit.cells[0] == left
    assert np.isfinite(fit.coefficients[1]).all()


def test_local_slopes_follow_where_the_day_has_one_slope_for_all():
    world = coarse_world(11, days=4, noise=0.003, varying=0.6)
    local, whole = (
        fitted(world, LocalRule(bandwidth)).coefficients - world.slopes
        for bandwidth in (120.0, np.inf)
    )
    lst_error = [np.sqrt((found[:, 1] ** 2).mean()) for found in (local, whole)]
    assert lst_error[0] < 0.6 * lst_error[1]
    # Elsewhere in the cell predictors differ from its mean: what a slope that is off would do.
    columns = world.series.predictors + np.array([2.0, 0.05, 0.04])[:, None]
    planes = [found[:, 0] + (found[:, 1:] * columns).sum(axis=1) for found in (local, whole)]
    assert np.sqrt((planes[0] ** 2).mean()) < 0.6 * np.sqrt((planes[1] ** 2).mean())


def test_interpolated_coefficients_are_the_mean_of_four_planes():
    world = coarse_world(12, days=1, noise=0.02, varying=0.5)
    rows, cols = world.area.shape
    nodes = fitted(world).coefficients[0].reshape(-1, rows, cols).astype(np.float32)
    rng = np.random.default_rng(0)
    lon = rng.uniform(world.series.lon.min() + 1, world.series.lon.max() - 1, 50)
    lat = rng.uniform(world.series.lat.min() + 1, world.series.lat.max() - 1, 50)
    weights = bilinear(EASE2_36KM, lon, lat)
    window, area = weights.window, world.area
    inner = nodes[:, window.row0 - area.row0 :, window.col0 - area.col0 :]
    inner = np.ascontiguousarray(inner[:, : window.shape[0], : window.shape[1]])
    columns = np.stack([rng.normal(300, 5, 50), rng.random(50), rng.random(50)]).astype(np.float32)
    columns[1, 7] = np.nan
    found = evaluate(inner, weights, columns)
    planes = inner[0][..., None] + np.einsum("krc,kn->rcn", inner[1:], columns)
    at = np.array(np.unravel_index(weights.corner, window.shape))
    corners = [planes[at[0] + i, at[1] + j, range(50)] for i in (0, 1) for j in (0, 1)]
    expected = (np.stack(corners) * weights.shares.T).sum(axis=0)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert np.isnan(found[7])


def test_a_table_becomes_days_and_cells():
    table = pd.DataFrame(
        {
            "row": [10, 9, 10],
            "col": [5, 5, 5],
            "time": np.array(["2015-01-02", "2015-01-02", "2015-01-01"], "datetime64[s]"),
            "lst": [300.0, 301.0, np.nan],
            "soil_moisture": [0.2, 0.3, 0.1],
        }
    )
    series = CoarseDays.from_table(table, EASE2_36KM, ["lst"])
    np.testing.assert_array_equal(series.target, [[np.nan, 0.1], [0.3, 0.2]])
    np.testing.assert_array_equal(series.known, [[False, False], [True, True]])
    assert series.lat[0] > series.lat[1]
    with pytest.raises(UserError, match="two rows for one cell and day"):
        CoarseDays.from_table(pd.concat([table, table]), EASE2_36KM, ["lst"])
    with pytest.raises(UserError, match="no column ndvi"):
        CoarseDays.from_table(table, EASE2_36KM, ["lst", "ndvi"])
    with pytest.raises(UserError, match="no rows"):
        CoarseDays.from_table(table[:0], EASE2_36KM, ["lst"])


@pytest.mark.parametrize(
    "wrong",
    [{"bandwidth_km": 0.0}, {"bandwidth_km": float("nan")}, {"condition": 1.0}, {"ridge": -1}],
)
def test_a_rule_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(UserError, match="found"):
        replace(RULE, **wrong)
