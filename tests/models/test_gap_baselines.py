"""Plain ways to fill gaps: exact on fields made for them, and blind to how they are cut up."""

from functools import partial

import numpy as np
import pytest

from smcloud.core.errors import UserError
from smcloud.models.gap_baselines import (
    CosineRule,
    _segments,
    baseline_fillers,
    climatology,
    dct_smooth,
    inverse_distance,
    temporal_linear,
)
from smcloud.models.gap_filling import fill_gaps

DAYS = np.arange("2015-01-20", "2015-03-01", dtype="datetime64[D]")
ROWS, COLS = 20, 24
LATITUDE, LONGITUDE = 40 - 0.25 * np.arange(ROWS), -3 + 0.25 * np.arange(COLS)
LAND = np.ones((ROWS, COLS), bool)
LAND[:3, :5] = False


@pytest.fixture(scope="module")
def truth():
    """Return smooth fields on land (days, rows, cols)."""
    day, row, col = np.ogrid[: len(DAYS), :ROWS, :COLS]
    wave = np.sin(day / 6.0) * np.cos(row / 5.0) + np.sin(col / 7.0 + day / 9.0)
    return np.where(LAND, 0.25 + 0.05 * wave, np.nan).astype(np.float32)


@pytest.fixture(scope="module")
def gappy(truth):
    """Return the fields less slanting swaths and single cells."""
    rng = np.random.default_rng(3)
    day, row, col = np.ogrid[: len(DAYS), :ROWS, :COLS]
    gap = ((col + row // 4 + 5 * day) % 16 < 5) | (rng.random(truth.shape) < 0.05)
    return np.where(gap, np.nan, truth).astype(np.float32)


FILLERS = baseline_fillers(DAYS, LATITUDE, LONGITUDE)


@pytest.mark.parametrize("name", sorted(FILLERS))
def test_known_values_come_back_bit_for_bit_and_sea_stays_sea(name, gappy):
    before = gappy.copy()
    filled = FILLERS[name](gappy, LAND)
    np.testing.assert_array_equal(gappy, before)
    assert filled.dtype == np.float32
    known = np.isfinite(gappy)
    assert (filled[known] == gappy[known]).all()
    assert np.isnan(filled[:, ~LAND]).all()
    assert np.isfinite(filled[:, LAND]).all()


@pytest.mark.parametrize(("name", "most"), [("cosine smoother", 0.004), ("linear in time", 0.012)])
def test_smooth_fields_are_found_again(name, most, gappy, truth):
    gap = np.isnan(gappy) & LAND
    error = (FILLERS[name](gappy, LAND) - truth)[gap]
    assert np.sqrt(np.mean(error**2)) < most


@pytest.mark.parametrize("name", sorted(FILLERS))
def test_fields_without_any_value_stay_unknown(name, gappy):
    assert np.isnan(FILLERS[name](np.full_like(gappy, np.nan), LAND)).all()
    assert np.isnan(FILLERS[name](gappy, np.zeros_like(LAND))[np.isnan(gappy)]).all()


def test_a_straight_line_in_time_is_met_and_reach_ends():
    values = np.arange(10, dtype=np.float32)[:, None, None].copy()
    gaps = values.copy()
    gaps[[1, 2, 5, 6, 7]] = np.nan
    land = np.ones((1, 1), bool)
    np.testing.assert_allclose(temporal_linear(gaps, land), values)
    short = temporal_linear(gaps, land, reach_days=1)
    assert np.isnan(short[6])
    np.testing.assert_array_equal(short[[5, 7]].ravel(), [4, 8])  # one side alone is held


def test_climatology_is_the_mean_of_the_cells_month_else_of_all_its_days():
    values = np.full((len(DAYS), 1, 2), np.nan, np.float32)
    is_january = DAYS < np.datetime64("2015-02-01")
    values[is_january, 0, 0] = np.where(np.arange(is_january.sum()) % 2, 0.1, 0.3)
    values[0, 0, 0] = np.nan
    found = climatology(values, np.ones((1, 2), bool), days=DAYS)
    known = values[is_january, 0, 0][1:].mean()
    assert found[0, 0, 0] == pytest.approx(known, abs=1e-6)
    assert found[-1, 0, 0] == pytest.approx(known, abs=1e-6)  # February has none
    assert np.isnan(found[:, 0, 1]).all()
    with pytest.raises(UserError, match="a day per field"):
        climatology(values[1:], np.ones((1, 2), bool), days=DAYS)


def direct_mean(field, row, col, latitude, longitude, count):
    """Return the weighted mean of the nearest known cells by the haversine formula."""
    phi, lam = np.radians(latitude)[:, None], np.radians(longitude)[None, :]
    here = phi[row, 0], lam[0, col]
    half = np.sin((phi - here[0]) / 2) ** 2
    half = half + np.cos(phi) * np.cos(here[0]) * np.sin((lam - here[1]) / 2) ** 2
    arc = 2 * np.arcsin(np.sqrt(half))
    arc[np.isnan(field)] = np.inf
    nearest = np.argsort(arc.ravel(), kind="stable")[:count]
    weight = arc.ravel()[nearest] ** -2.0
    return (weight * field.ravel()[nearest]).sum() / weight.sum()


def test_distances_are_those_of_the_sphere_and_longitude_goes_round():
    latitude, longitude = 80.3 - 1.0 * np.arange(6), -179.5 + np.arange(360.0)
    rng = np.random.default_rng(0)
    field = rng.random((1, 6, 360)).astype(np.float32)
    gaps = field.copy()
    gaps[0, 2:4, :9] = np.nan
    gaps[0, 2:4, 352:] = np.nan
    land = np.ones((6, 360), bool)
    # Eleven: one cell to the north or south and five pairs beside it, none of them cut in two.
    nearest = partial(inverse_distance, latitude=latitude, neighbours=11)
    found = nearest(gaps, land, longitude=longitude)
    for row, col in ((2, 0), (3, 359), (2, 4)):
        expected = direct_mean(gaps[0], row, col, latitude, longitude, 11)
        assert found[0, row, col] == pytest.approx(expected, abs=2e-6)
    turned = nearest(np.roll(gaps, 90, axis=2), land, longitude=np.roll(longitude, 90))
    np.testing.assert_allclose(np.roll(turned, -90, axis=2), found, atol=1e-6)


def test_nothing_beyond_the_reach_is_taken():
    gaps = np.full((1, ROWS, COLS), np.nan, np.float32)
    gaps[0, 10, 0] = 0.3
    near = partial(inverse_distance, latitude=LATITUDE, longitude=LONGITUDE, reach_km=50.0)
    found = near(gaps, LAND)[0]
    assert found[10, 2] == np.float32(0.3)  # 43 km
    assert np.isnan(found[10, 3])


def test_what_is_local_does_not_depend_on_what_else_is_passed_along(gappy):
    near = FILLERS["inverse distance"]
    apart = np.concatenate([near(gappy[[day]], LAND) for day in range(len(DAYS))])
    np.testing.assert_array_equal(near(gappy, LAND), apart)
    for name in ("linear in time", "climatology"):
        fill = FILLERS[name]
        halves = [fill(gappy[:, :, cut], LAND[:, cut]) for cut in (slice(0, 7), slice(7, None))]
        np.testing.assert_array_equal(fill(gappy, LAND), np.concatenate(halves, axis=2))


def smoothed_directly(y, known, smoothing):
    """Return the minimum of the penalised squares by solving its normal equations."""
    size = y.size
    laplacian = np.zeros((size, size))
    number = np.arange(size).reshape(y.shape)
    for axis in range(3):
        for lag in (-1, 1):
            other = np.clip(np.arange(y.shape[axis]) + lag, 0, y.shape[axis] - 1)
            beside = np.take(number, other, axis=axis).ravel()
            laplacian[np.arange(size), beside] += 1
            laplacian[np.arange(size), np.arange(size)] -= 1
    weight = np.diag(known.ravel().astype(float))
    system = weight + smoothing * laplacian.T @ laplacian
    return np.linalg.solve(system, weight @ np.where(known, y, 0.0).ravel()).reshape(y.shape)


def test_the_smoother_meets_the_minimum_of_its_penalised_squares():
    rng = np.random.default_rng(5)
    y = (0.3 + 0.05 * rng.normal(size=(5, 6, 7))).astype(np.float32)
    known = rng.random(y.shape) > 0.3
    gaps = np.where(known, y, np.nan).astype(np.float32)
    rule = CosineRule(smoothing=0.5, most_rounds=2000, tolerance=1e-7)
    found = dct_smooth(gaps, np.ones((6, 7), bool), rule=rule)
    expected = smoothed_directly(y.astype(float), known, 0.5)
    expected = np.clip(expected, y[known].min(), y[known].max())
    np.testing.assert_allclose(found[~known], expected[~known], atol=1e-4)


def test_cross_validation_smooths_noise_more_than_what_is_smooth(truth):
    rng = np.random.default_rng(6)
    inside = truth[:, 3:, 5:]
    land = np.ones(inside.shape[1:], bool)
    gap = rng.random(inside.shape) < 0.3
    noisy = inside + rng.normal(0, 0.03, inside.shape).astype(np.float32)
    gaps = np.where(gap, np.nan, noisy).astype(np.float32)

    def error(rule):
        return np.sqrt(np.mean((dct_smooth(gaps, land, rule=rule) - inside)[gap] ** 2))

    assert error(CosineRule()) < 0.7 * error(CosineRule(smoothing=1e-4))


def test_segments_of_days_bound_memory_and_change_little(gappy, truth):
    whole = dct_smooth(gappy, LAND, rule=CosineRule())
    some_days = CosineRule(most_values=24 * ROWS * COLS, overlap_days=6)
    cut = dct_smooth(gappy, LAND, rule=some_days)
    gap = np.isnan(gappy) & LAND
    apart = np.sqrt(np.mean((cut - whole)[gap] ** 2))
    assert 0 < apart < 0.1 * truth[:, LAND].std()
    lengths = [(wide.stop - wide.start) for _, wide in _segments(gappy.shape, some_days)]
    assert max(lengths) == 24
    kept = [day for part, _ in _segments(gappy.shape, some_days) for day in range(len(DAYS))[part]]
    assert kept == list(range(len(DAYS)))


@pytest.mark.parametrize(
    "wrong", [{"smoothing": 0.0}, {"relaxation": 2.0}, {"most_rounds": 0}, {"most_values": 0}]
)
def test_a_rule_that_cannot_work_is_refused(wrong):
    with pytest.raises(UserError, match="cosine smoother needs"):
        CosineRule(**wrong)


def test_the_step_fills_what_is_wanted_within_bounds(gappy):
    gap = np.isnan(gappy) & LAND
    wanted = gap & (np.arange(COLS) % 2 == 0)
    found = fill_gaps(gappy, LAND, lambda values, land: np.full_like(values, 2.0), wanted=wanted)
    np.testing.assert_array_equal(found.is_filled, wanted)
    np.testing.assert_array_equal(found.values[~wanted], gappy[~wanted])
    assert (found.values[wanted] == 2.0).all()
    bounded = fill_gaps(gappy, LAND, lambda values, land: values * 0 + 2.0, bounds=(0.0, 1.0))
    np.testing.assert_array_equal(bounded.values, gappy)  # no estimate in any gap
    assert not bounded.is_filled.any()
    high = fill_gaps(gappy, LAND, lambda values, land: np.full_like(values, 2), bounds=(0.0, 1.0))
    assert (high.values[gap] == 1.0).all()
    assert np.isnan(high.values[:, ~LAND]).all()


def test_the_step_refuses_shapes_that_do_not_fit(gappy):
    fill = FILLERS["linear in time"]
    with pytest.raises(UserError, match="rows, cols"):
        fill_gaps(gappy, LAND[1:], fill)
    with pytest.raises(UserError, match="wanted gaps must be"):
        fill_gaps(gappy, LAND, fill, wanted=np.ones_like(LAND))
    with pytest.raises(UserError, match="the filler made"):
        fill_gaps(gappy, LAND, lambda values, land: values[1:])
