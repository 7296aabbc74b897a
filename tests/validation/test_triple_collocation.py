"""Triple collocation: pytesmo's figures, known errors recovered, and what cannot be judged."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from smcloud.core.errors import UserError
from smcloud.simulate.world import Earth
from smcloud.validation import triple_collocation as tc
from smcloud.validation.anomalies import anomalies
from smcloud.validation.triple_collocation import (
    Status,
    bootstrap,
    triple_collocation,
)

SCALES = np.array([1.0, 0.7, 120.0])
"""b of the members: the third is in per cent."""
OFFSETS = np.array([0.02, 0.1, -3.0])
ERRORS = np.array([0.03, 0.04, 5.0])
"""Standard deviations of the errors, each in the units of its member."""
SIGNAL = 0.05


def remembering(rng, shape, memory):
    """Return red noise of unit variance along the last axis; `memory` is its lag one."""
    shocks = rng.normal(size=shape) * np.sqrt(1 - memory**2)
    shocks[..., 0] /= np.sqrt(1 - memory**2)
    return lfilter([1.0], [1.0, -memory], shocks, axis=-1)


def observed(seed, n_series, n_times, *, memory=0.0, mixing=None):
    """Return members (n_series, 3, n_times) of a truth; `mixing` correlates their errors."""
    rng = np.random.default_rng(seed)
    truth = SIGNAL * remembering(rng, (n_series, 1, n_times), 0.9 if memory else 0.0)
    noise = remembering(rng, (n_series, 3, n_times), memory)
    if mixing is not None:
        noise = np.einsum("ij,njt->nit", mixing, noise)
    noise *= ERRORS[:, None]
    return OFFSETS[:, None] + SCALES[:, None] * truth + noise


def with_gaps(values, seed, share=0.2):
    gaps = np.random.default_rng(seed).random(values.shape) < share
    return np.where(gaps, np.nan, values)


def with_covariance(matrix, n_times=400):
    """Return one series whose sample covariance is `matrix`."""
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(3, n_times))
    white = np.linalg.solve(np.linalg.cholesky(np.cov(raw)), raw - raw.mean(1, keepdims=True))
    return (np.linalg.cholesky(np.asarray(matrix, float)) @ white)[None]


def pytesmo_of(members):
    """Return pytesmo's (snr, scaled error_std, beta) of one series on its common samples."""
    from pytesmo.metrics import tcol_metrics

    return tcol_metrics(*members[:, np.isfinite(members).all(axis=0)])


def assert_same(found, expected):
    for name, value in vars(expected).items():
        np.testing.assert_array_equal(getattr(found, name), value, err_msg=name)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(101, 900), st.floats(0, 0.6))
def test_figures_are_those_of_pytesmo_on_the_same_series(seed, n_times, share):
    values = with_gaps(observed(seed, 3, n_times), seed, share)
    found = triple_collocation(values, minimum=3).absolute()
    negative = triple_collocation(values, minimum=3).error_variance < 0
    for number, members in enumerate(values):
        if found.n[number] < 3:
            continue
        snr, error_std, beta = pytesmo_of(members)
        np.testing.assert_allclose(found.snr_db[number], snr, rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(found.beta[number], beta, rtol=1e-9)
        np.testing.assert_array_equal(np.isnan(error_std), negative[number])
        known = ~negative[number]
        np.testing.assert_allclose(
            found.error_std_scaled[number][known], np.abs(error_std[known]), rtol=1e-8
        )


def test_error_std_is_unscaled_and_in_the_units_of_its_member():
    found = triple_collocation(observed(1, 1, 200_000))
    np.testing.assert_allclose(found.error_std[0], ERRORS, rtol=0.02)
    np.testing.assert_allclose(found.beta[0], SCALES[0] / SCALES, rtol=0.02)
    expected = np.sqrt((SCALES * SIGNAL) ** 2 / ((SCALES * SIGNAL) ** 2 + ERRORS**2))
    np.testing.assert_allclose(found.r[0], expected, rtol=0.01)
    np.testing.assert_allclose(
        found.snr_db[0], 10 * np.log10((SCALES * SIGNAL / ERRORS) ** 2), atol=0.2
    )
    assert found.status[0] == Status.OK


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.permutations(range(3)))
def test_order_of_members_does_not_matter_but_for_the_scaling(seed, order):
    values = with_gaps(observed(seed, 2, 600), seed)
    found, turned = triple_collocation(values), triple_collocation(values[:, order])
    for name in ("error_variance", "r", "r2", "snr_db"):
        np.testing.assert_allclose(
            getattr(turned, name), getattr(found, name)[:, order], rtol=1e-9, err_msg=name
        )
    np.testing.assert_array_equal(turned.status, found.status)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 1000),
    st.lists(st.floats(0.01, 100), min_size=3, max_size=3),
    st.lists(st.floats(-1000, 1000), min_size=3, max_size=3),
)
def test_units_of_a_member_change_its_error_and_nothing_else(seed, factors, offsets):
    values = with_gaps(observed(seed, 1, 500), seed)
    factors, offsets = np.array(factors), np.array(offsets)
    found = triple_collocation(values)
    changed = triple_collocation(offsets[:, None] + factors[:, None] * values)
    np.testing.assert_allclose(changed.error_std, found.error_std * factors, rtol=1e-5)
    np.testing.assert_allclose(changed.r, found.r, rtol=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 6))
def test_a_series_has_the_same_bits_whatever_is_asked_beside_it(seed, n_series):
    values = with_gaps(observed(seed, n_series, 300), seed)
    together = bootstrap(values, seed=3, draws=20)
    for number in range(n_series):
        alone = bootstrap(values[number : number + 1], seed=3, draws=20)
        for name, value in vars(alone).items():
            np.testing.assert_array_equal(getattr(together, name)[[number]], value, err_msg=name)


def test_single_precision_is_summed_in_double():
    values = with_gaps(observed(5, 2, 5000), 5).astype(np.float32)
    assert_same(triple_collocation(values), triple_collocation(values.astype(np.float64)))


def test_intervals_hold_the_known_errors_as_often_as_they_say():
    values = observed(11, 400, 1500, memory=0.7)
    found = bootstrap(values, seed=1, draws=300, block_days=30)
    expected = np.sqrt((SCALES * SIGNAL) ** 2 / ((SCALES * SIGNAL) ** 2 + ERRORS**2))
    for low, high, known in (
        (found.error_std_low, found.error_std_high, ERRORS),
        (found.r_low, found.r_high, expected),
        (found.beta_low[:, 1:], found.beta_high[:, 1:], SCALES[0] / SCALES[1:]),
    ):
        covered = ((low <= known) & (known <= high)).mean(axis=0)
        assert (covered > 0.9).all(), covered
        assert (covered < 0.99).all(), covered


def test_single_days_make_intervals_too_narrow_for_errors_that_remember():
    values = observed(12, 200, 1500, memory=0.9)
    days, blocks = (bootstrap(values, seed=1, draws=200, block_days=d) for d in (1, 60))
    covered = [
        ((found.error_std_low <= ERRORS) & (ERRORS <= found.error_std_high)).mean()
        for found in (days, blocks)
    ]
    assert covered[0] < 0.75 < 0.85 < covered[1]


def test_errors_of_independent_days_have_pytesmos_intervals():
    from pytesmo.metrics import tcol_metrics_with_bootstrapped_ci

    values = observed(13, 1, 800)
    found = bootstrap(values, seed=0, draws=2000, block_days=1)
    np.random.seed(0)  # pytesmo draws from the global generator
    _, (_, low, high), (_, beta_low, beta_high) = tcol_metrics_with_bootstrapped_ci(
        *values[0], nsamples=2000
    )
    width = high - low
    np.testing.assert_allclose(found.beta_low[0, 1:], beta_low[1:], rtol=0.02)
    np.testing.assert_allclose(found.beta_high[0, 1:], beta_high[1:], rtol=0.02)
    # pytesmo scales each draw by its own beta; member 0 has none.
    assert abs(found.error_std_low[0, 0] - low[0]) < 0.1 * width[0]
    assert abs(found.error_std_high[0, 0] - high[0]) < 0.1 * width[0]


@pytest.mark.parametrize("shared", [0.6, -0.4])
def test_errors_shared_by_two_members_are_put_on_the_third(shared):
    """C_yz holds the shared error c beside the signal, so S_x = V b_x^2 / (1 + c/(b_y b_z V))."""
    mixing = np.linalg.cholesky([[1, 0, 0], [0, 1, shared], [0, shared, 1]])
    found = triple_collocation(observed(21, 1, 400_000, mixing=mixing))
    signal = (SCALES * SIGNAL) ** 2
    excess = 1 + shared * ERRORS[1] * ERRORS[2] / (SCALES[1] * SCALES[2] * SIGNAL**2)
    expected = signal + ERRORS**2 - signal * np.array([1 / excess, excess, excess])
    differs = (found.error_variance[0] - expected) / (signal + ERRORS**2)
    assert np.abs(differs).max() < 0.01
    looks_worse = found.error_std[0] > ERRORS
    assert looks_worse.tolist() == ([True, False, False] if shared > 0 else [False, True, True])
    known_r = np.sqrt(signal / (signal + ERRORS**2))
    assert (found.r[0] < known_r).tolist() == looks_worse.tolist()


def test_a_negative_variance_is_kept_flagged_and_counted():
    matrix = [[1.0, 0.85, 0.85], [0.85, 1.0, 0.6], [0.85, 0.6, 1.0]]
    values = np.concatenate([with_covariance(matrix), with_covariance(np.eye(3) * 0.5 + 0.5)])
    found = triple_collocation(values)
    assert found.status.tolist() == [Status.NEGATIVE_VARIANCE | Status.FEW, Status.FEW]
    np.testing.assert_allclose(found.error_variance[0, 0], 1 - 0.85**2 / 0.6)
    assert np.isnan(found.error_std[0, 0])
    assert np.isnan(found.snr_db[0, 0])
    assert found.r[0, 0] > 1
    assert np.isfinite(found.error_std[0, 1:]).all()
    assert found.counts()["an error variance is negative"] == 1
    np.testing.assert_allclose(found.absolute().error_std[0, 0], np.sqrt(0.85**2 / 0.6 - 1))
    np.testing.assert_allclose(found.absolute().snr_db[0], pytesmo_of(values[0])[0], rtol=1e-7)


def test_the_interval_of_a_negative_variance_is_cut_at_nought():
    matrix = [[1.0, 0.8, 0.8], [0.8, 1.0, 0.63], [0.8, 0.63, 1.0]]
    found = bootstrap(with_covariance(matrix), seed=0)
    assert found.error_variance[0, 0] < 0
    assert found.error_std_low[0, 0] == 0
    assert found.error_std_high[0, 0] > 0
    assert found.r_low[0, 0] < found.r_high[0, 0] == 1
    assert found.snr_db_high[0, 0] == np.inf


def test_one_member_against_the_others_has_a_negative_r():
    matrix = [[1.0, -0.5, -0.5], [-0.5, 1.0, 0.5], [-0.5, 0.5, 1.0]]
    found = triple_collocation(with_covariance(matrix))
    np.testing.assert_allclose(found.r[0], [-np.sqrt(0.5), np.sqrt(0.5), np.sqrt(0.5)])
    assert found.status[0] & Status.NEGATIVE_CORRELATION


def test_contradicting_signs_have_no_r():
    matrix = [[1.0, -0.4, 0.5], [-0.4, 1.0, 0.5], [0.5, 0.5, 1.0]]
    found = triple_collocation(with_covariance(matrix))
    assert np.isnan(found.r).all()
    assert np.isnan(found.snr_db).all()
    assert (found.r2 < 0).all()
    assert found.status[0] & Status.NEGATIVE_CORRELATION


def test_series_that_cannot_be_judged_have_a_status_and_no_figures():
    values = observed(31, 6, 1000)
    values[0, 1, 99:] = np.nan  # 99 common samples
    values[1, 2] = 0.3  # constant; its mean is rounded
    values[2, 0] = np.nan  # one member is missing altogether
    values[3] = np.nan
    values[4, 1, ::2] = np.inf  # infinite is unknown
    found = bootstrap(values, seed=0, draws=10)
    assert found.status.tolist() == [
        Status.TOO_FEW,
        Status.CONSTANT,
        Status.TOO_FEW | Status.ABSENT,
        Status.TOO_FEW | Status.ABSENT,
        Status.OK,
        Status.OK,
    ]
    assert found.n.tolist() == [99, 1000, 0, 0, 500, 1000]
    for name, figure in vars(found).items():
        if name not in ("n", "status"):
            assert np.isnan(figure[:4]).all(), name
            assert np.isfinite(figure[4:]).all(), name
    assert found.counts()["ok"] == 2
    assert found.counts()["a member has no value at all"] == 2


def test_exactly_the_minimum_of_samples_is_enough():
    values = observed(32, 1, 150)
    assert triple_collocation(values, minimum=150).status[0] == Status.FEW
    assert triple_collocation(values, minimum=151).status[0] == Status.TOO_FEW
    assert triple_collocation(values, minimum=150, few=150).status[0] == Status.OK


@pytest.mark.parametrize("shape", [(0, 3, 50), (2, 3, 0)])
def test_no_series_and_no_times_are_no_error(shape):
    found = bootstrap(np.empty(shape), seed=0, draws=5)
    assert found.r.shape == (shape[0], 3)
    assert (found.status == (Status.TOO_FEW | Status.ABSENT)).all()


def test_a_series_of_fewer_than_two_blocks_has_no_interval():
    found = bootstrap(observed(33, 1, 110), seed=0, draws=50, block_days=80)
    assert np.isfinite(found.r).all()
    assert np.isnan(found.r_low).all()
    assert np.isnan(found.error_std_high).all()


def test_seeds_decide_the_draws():
    values = observed(34, 2, 400)
    assert_same(bootstrap(values, seed=7, draws=30), bootstrap(values, seed=7, draws=30))
    other = bootstrap(values, seed=8, draws=30)
    assert (other.r_low != bootstrap(values, seed=7, draws=30).r_low).all()


def test_long_gaps_are_no_part_of_the_draws():
    values = observed(35, 1, 600)
    gap = np.full((1, 3, 900), np.nan)  # whole cells of six days
    apart = np.concatenate([values[..., :300], gap, values[..., 300:]], axis=-1)
    whole, cut = (bootstrap(v, seed=1, draws=400) for v in (values, apart))
    np.testing.assert_allclose(cut.error_std_low, whole.error_std_low, rtol=0.05)
    np.testing.assert_allclose(cut.error_std_high, whole.error_std_high, rtol=0.05)


def test_the_bootstrap_needs_no_more_memory_for_more_series(monkeypatch):
    monkeypatch.setattr(tc, "PIECE_BYTES", 2**21)
    values = observed(36, 200, 400)
    bootstrap(values[:1], seed=0, draws=100)  # compiles
    tracemalloc.start()
    bootstrap(values, seed=0, draws=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * 2**21  # 200 series at once would take 16 MB for the sums alone


@pytest.mark.parametrize(
    ("block_days", "cell"), [(1, 1), (4, 1), (7, 1), (30, 6), (31, 1), (35, 7), (60, 12)]
)
def test_cells_divide_a_block(block_days, cell):
    assert tc.cell_days(block_days) == cell


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: triple_collocation(np.ones((4, 2, 10))), r"three members.*\(4, 2, 10\)"),
        (lambda: triple_collocation(np.ones((3, 10))), r"three members.*\(3, 10\)"),
        (lambda: triple_collocation(np.ones((1, 3, 9)), minimum=2), "3 or more common samples"),
        (lambda: bootstrap(np.ones((1, 3, 9)), seed=0, draws=-1), "draws=-1"),
        (lambda: bootstrap(np.ones((1, 3, 9)), seed=0, confidence=95), "confidence=95"),
        (lambda: anomalies(np.ones(9), np.arange(8).astype("M8[D]")), r"\(9,\) times.*\(8,\)"),
        (lambda: anomalies(np.ones(2), np.array([5, 4]).astype("M8[D]")), "ascending"),
        (lambda: anomalies(np.ones(1), np.zeros(1, "M8[D]"), window_days=0), "window_days=0"),
    ],
)
def test_wrong_calls_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()


YEARS = np.arange("2015-01-01", "2020-01-01", dtype="datetime64[D]")


def season_of(days):
    since = (days - days.astype("datetime64[Y]").astype("datetime64[D]")).astype(int)
    return 0.25 + 0.1 * np.sin(2 * np.pi * since / 365.25)


def test_short_term_anomalies_are_pytesmos():
    from pytesmo.time_series.anomaly import calc_anomaly

    rng = np.random.default_rng(41)
    values = with_gaps(season_of(YEARS) + rng.normal(0, 0.05, YEARS.size), 41)
    expected = calc_anomaly(pd.Series(values, index=pd.DatetimeIndex(YEARS)), window_size=35)
    found = anomalies(values, YEARS, climatology=False, minimum=1)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    known = np.isfinite(values)
    by_rows = anomalies(values[known], YEARS[known], climatology=False, minimum=1)
    np.testing.assert_allclose(by_rows, found[known], atol=1e-12)


def test_climatology_anomalies_are_pytesmos_where_every_year_has_every_day():
    from pytesmo.time_series.anomaly import calc_anomaly, calc_climatology

    days = YEARS[YEARS.astype(str) != "2016-02-29"]
    rng = np.random.default_rng(42)
    series = pd.Series(rng.normal(0.25, 0.05, days.size), index=pd.DatetimeIndex(days))
    cycle = calc_climatology(series, moving_avg_orig=1, moving_avg_clim=35)
    expected = calc_anomaly(series, climatology=cycle, respect_leap_years=False)
    found = anomalies(series.to_numpy(), days)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_cycle_of_the_year_leaves_little_and_the_unusual_remains():
    storm = np.where(
        (YEARS >= np.datetime64("2017-06-01")) & (YEARS < np.datetime64("2017-06-06")), 0.2, 0
    )
    found = anomalies(season_of(YEARS) + storm, YEARS)
    assert np.abs(found[storm == 0]).max() < 0.01
    assert found[storm > 0].min() > 0.18


def test_anomalies_keep_shape_gaps_and_the_callers_values():
    values = with_gaps(np.tile(season_of(YEARS), (2, 3, 1)), 43)
    values[1, 2] = np.nan
    values[0, 0, 4:] = np.nan  # four values are no climatology
    before = values.copy()
    found = anomalies(values, YEARS)
    np.testing.assert_array_equal(values, before)
    assert found.shape == values.shape
    gaps = np.isnan(values)
    gaps[0, 0] = True
    np.testing.assert_array_equal(np.isnan(found), gaps)


def test_a_window_longer_than_a_year_takes_the_mean_of_the_year():
    values = season_of(YEARS)
    found = anomalies(values, YEARS, window_days=1000)
    np.testing.assert_allclose(found, values - values.mean(), atol=1e-3)


def test_seasons_are_not_skill_for_anomalies():
    """Members that share nothing but the season look correlated until it is removed."""
    rng = np.random.default_rng(44)
    values = season_of(YEARS) + rng.normal(0, 0.03, (1, 3, YEARS.size))
    raw, anomaly = triple_collocation(values), triple_collocation(anomalies(values, YEARS))
    assert raw.r.min() > 0.9
    assert not (anomaly.r > 0.3).all()


@pytest.fixture(scope="module")
def moisture_of_the_earth():
    """Two years of true soil moisture at 40 places of the simulated Earth, (places, days)."""
    rng = np.random.default_rng(5)
    days = np.arange("2018-01-01", "2020-01-01", dtype="datetime64[D]")
    states = Earth(7).run(rng.uniform(-180, 180, 40), rng.uniform(-40, 55, 40), days)
    return np.stack([state.soil_moisture for state in states], axis=1).astype(np.float64)


def test_known_errors_on_the_simulated_earth_lie_in_their_intervals(moisture_of_the_earth):
    """Of five draws of noise, judged together: one alone varies more than the intervals do."""
    inside = [are_inside(moisture_of_the_earth, seed) for seed in range(5)]
    assert np.concatenate(inside).mean() > 0.9


def are_inside(moisture, seed):
    """Return whether the intervals of judged places hold the errors that were put in."""
    rng = np.random.default_rng(seed)
    truth, errors, slopes = moisture[:, None], rng.uniform(0.01, 0.06, 3), rng.uniform(0.4, 2.0, 3)
    noise = remembering(rng, (len(truth), 3, truth.shape[-1]), 0.5) * errors[:, None]
    values = with_gaps(0.1 + slopes[:, None] * truth + noise, seed)
    found = bootstrap(values, seed=seed, draws=200, few=100)
    judged = found.status == Status.OK
    assert judged.sum() >= 10
    inside = (found.error_std_low <= errors) & (errors <= found.error_std_high)
    return inside[judged].ravel()
