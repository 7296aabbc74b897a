"""Bandwidths: leaving out is honest, and finds worlds whose slopes vary or do not."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.coarse_world import coarse_world
from smcloud.core.errors import UserError
from smcloud.models.gwr import LocalRule, fit_days, kernel
from smcloud.models.gwr_bandwidth import OWN_CELL_KM, Judged, search_bandwidth

RULE = LocalRule(120.0)


def test_a_weight_of_zero_for_itself_is_leaving_out_by_the_hat_matrix():
    world = coarse_world(0, days=1, noise=0.02, varying=0.5)
    series = world.series
    weights = kernel(world.places, world.places, RULE.bandwidth_km)
    whole = fit_days(series, weights, RULE)
    apart = kernel(world.places, world.places, RULE.bandwidth_km, OWN_CELL_KM)
    left_out = fit_days(series, apart, RULE)
    error = left_out.estimate(series.predictors)[0] - series.target[0]
    residual = whole.estimate(series.predictors)[0] - series.target[0]
    design = np.vstack([np.ones(series.lon.size), series.predictors[0]])
    for node in np.flatnonzero(left_out.state[0] == 0)[::61]:
        normal = (design * weights[[node]].toarray()) @ design.T
        hat = design[:, node] @ np.linalg.solve(normal, design[:, node])
        assert error[node] == pytest.approx(residual[node] / (1 - hat), rel=1e-6)


def test_nothing_near_the_judged_cell_is_seen():
    world = coarse_world(1, days=1)
    apart = kernel(world.places, world.places, 80.0, 100.0)
    near = kernel(world.places, world.places, 1000.0).toarray() > np.exp(-0.5 * 0.0999**2)
    assert not (apart.toarray() > 0)[near].any()
    assert apart.max() <= 1.0


CANDIDATES = (70.0, 140.0, 280.0, 1600.0)


def chosen(world, criterion):
    return search_bandwidth(world.series, RULE, CANDIDATES, criterion=criterion).chosen_km


def test_blocks_tell_varying_slopes_from_constant_ones():
    constant = coarse_world(2, days=4, noise=0.02, noise_cells=1.5, hidden=0.2)
    varying = coarse_world(2, days=4, noise=0.004, varying=0.8, hidden=0.2)
    assert chosen(constant, "block") >= 280
    assert chosen(varying, "block") <= 140


def test_leaving_out_one_cell_is_fooled_by_errors_that_neighbours_share():
    constant = coarse_world(2, days=4, noise=0.02, noise_cells=1.5, hidden=0.2)
    assert chosen(constant, "cell") == 70
    errors = []
    for criterion in ("block", "cell"):
        width = chosen(constant, criterion)
        fit = fit_days(constant.series, kernel(constant.places, constant.places, width), RULE)
        errors.append(np.sqrt(((fit.coefficients[:, 1] - constant.slopes[1]) ** 2).mean()))
    assert errors[0] < 0.7 * errors[1]


def test_departures_are_from_the_mean_of_known_cells_around():
    world = coarse_world(5, days=1)
    search = search_bandwidth(world.series, RULE, (140.0,))
    assert search.rmse[0] < 1e-9, "a linear world leaves no error"
    shifted = replace(world.series, target=world.series.target + 7.0)
    noisy = replace(world.series, target=world.series.target + np.where(world.missed, 0.1, 0.0))
    assert search_bandwidth(shifted, RULE, (140.0,)).rmse[0] < 1e-9
    assert search_bandwidth(noisy, RULE, (140.0,)).rmse[0] > 1e-3


def test_a_search_is_thinned_by_a_seed_and_repeats():
    world = coarse_world(3, days=6, noise=0.02, varying=0.5, hidden=0.3)
    judged, widths = Judged(most_cells=100, most_days=3), (100.0, 200.0)
    one, same = (search_bandwidth(world.series, RULE, widths, judged=judged) for _ in range(2))
    np.testing.assert_array_equal(one.rmse, same.rmse)
    assert 0 < one.pairs <= 300
    other = search_bandwidth(world.series, RULE, widths, judged=replace(judged, seed=1))
    assert (other.rmse != one.rmse).all()


def test_a_series_without_a_modelled_day_cannot_be_searched():
    world = coarse_world(4, days=2)
    target = world.series.target.copy()
    target[:, 20:] = np.nan
    with pytest.raises(UserError, match="no day has 30 cells"):
        search_bandwidth(replace(world.series, target=target), RULE)
