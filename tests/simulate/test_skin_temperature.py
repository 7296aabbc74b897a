"""Clouds change the true skin temperature: less sun by day, less cooling by night."""

import numpy as np
import pytest

from smcloud.simulate.world import Earth


@pytest.fixture(scope="module")
def summer():
    lon, lat = np.meshgrid(np.arange(100.0, 112.0, 2), np.arange(30.0, 42, 2))
    days = np.arange("2019-05-15", "2019-07-15", dtype="datetime64[D]")
    return list(Earth(3).run(lon.ravel(), lat.ravel(), days))


def difference(states, temperature, cloud):
    """Mean over pixels of cloudy less clear days, K."""
    values = np.stack([getattr(state, temperature) for state in states])
    is_cloudy = np.stack([getattr(state, cloud) for state in states])
    both = is_cloudy.any(axis=0) & ~is_cloudy.all(axis=0)
    values, is_cloudy = values[:, both], is_cloudy[:, both]
    cloudy = np.nanmean(np.where(is_cloudy, values, np.nan), axis=0)
    clear = np.nanmean(np.where(is_cloudy, np.nan, values), axis=0)
    return float((cloudy - clear).mean())


def test_a_cloudy_morning_is_cooler_and_a_cloudy_night_warmer(summer):
    assert -18 < difference(summer, "lst_day_k", "cloud_day") < -4
    assert 1 < difference(summer, "lst_night_k", "cloud_night") < 6
