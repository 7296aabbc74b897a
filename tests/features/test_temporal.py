"""Temperature, antecedent rain and season against values worked by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smcloud.features import temporal


def test_lst_mean_and_range_need_both_passes():
    day, night = np.float32([300, 310, np.nan]), np.float32([280, np.nan, 275])
    np.testing.assert_array_equal(temporal.lst_mean(day, night), [290, np.nan, np.nan])
    np.testing.assert_array_equal(temporal.lst_range(day, night), [20, np.nan, np.nan])


def test_coldest_takes_the_known_one():
    found = temporal.coldest(np.float32([270, np.nan, np.nan]), np.float32([280, 275, np.nan]))
    np.testing.assert_array_equal(found, [270, 275, np.nan])


def test_one_wet_day_decays_by_nine_percent_a_day_and_is_forgotten():
    rain = np.zeros((33 + 40, 1), np.float32)
    rain[33] = 10.0
    index = temporal.antecedent_precipitation(rain)[:, 0]
    assert index.shape == (40,)
    np.testing.assert_allclose(index[:34], 10.0 * 0.91 ** np.arange(34), rtol=1e-6)
    assert (index[34:] == 0).all()


def test_steady_rain_gives_the_geometric_sum():
    index = temporal.antecedent_precipitation(np.full((34, 2), 3.0, np.float32))
    np.testing.assert_allclose(index, 3.0 * (1 - 0.91**34) / 0.09, rtol=1e-6)


def test_unknown_days_are_weighted_up_until_too_few_are_left():
    steady = np.full((34, 1), 3.0, np.float32)
    whole = temporal.antecedent_precipitation(steady)[0, 0]
    gap = steady.copy()
    gap[20:23] = np.nan
    assert temporal.antecedent_precipitation(gap)[0, 0] == pytest.approx(whole, rel=1e-6)
    gap[-3:] = np.nan  # the three youngest days carry a quarter of the weight
    assert np.isnan(temporal.antecedent_precipitation(gap)[0, 0])
    assert np.isnan(temporal.antecedent_precipitation(np.full_like(steady, np.nan))[0, 0])


def plain_antecedent(rain, days, decay, min_known):
    """Return the index lag by lag as numpy computes it: float32 products in double sums."""
    n = len(rain) - (days - 1)
    total, known_weight, whole = np.zeros((n, rain.shape[1])), np.zeros((n, rain.shape[1])), 0.0
    for lag in range(days):
        past = rain[days - 1 - lag : days - 1 - lag + n]
        known = np.isfinite(past)
        total += decay**lag * np.where(known, past, np.float32(0))
        known_weight += decay**lag * known
        whole += decay**lag
    with np.errstate(divide="ignore", invalid="ignore"):
        index = np.where(known_weight >= min_known * whole, total * (whole / known_weight), np.nan)
    return index.astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    days=st.integers(1, 34),
    n=st.integers(1, 50),
    cells=st.integers(1, 40),
)
def test_antecedent_precipitation_is_the_plain_sum_bit_by_bit(seed, days, n, cells):
    rng = np.random.default_rng(seed)
    rain = rng.gamma(0.3, 8.0, (n + days - 1, cells)).astype(np.float32)
    rain[rng.random(rain.shape) < rng.choice([0.0, 0.1, 0.5])] = np.nan
    found = temporal.antecedent_precipitation(rain, days, 0.91, 0.75)
    np.testing.assert_array_equal(found, plain_antecedent(rain, days, 0.91, 0.75))
    later = temporal.antecedent_precipitation(rain[n // 2 :], days, 0.91, 0.75)
    np.testing.assert_array_equal(later, found[n // 2 :])


def test_record_needs_a_fortnight_before_the_index_is_known():
    rain = np.full((33 + 30, 1), np.nan, np.float32)
    rain[33:] = 1.0
    known = np.isfinite(temporal.antecedent_precipitation(rain)[:, 0])
    assert int(np.argmax(known)) == 13
    assert known[13:].all()


@pytest.mark.parametrize("day", [1, 91, 183, 366])
def test_season_is_the_angle_of_the_day(day):
    number = np.float32([[day]])
    sine, cosine = temporal.day_of_year_sin(number), temporal.day_of_year_cos(number)
    assert sine.shape == (1, 1)
    assert sine[0, 0] == pytest.approx(np.sin(2 * np.pi * day / 365.25), abs=1e-7)
    assert cosine[0, 0] == pytest.approx(np.cos(2 * np.pi * day / 365.25), abs=1e-7)
