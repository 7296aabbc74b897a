"""Stations by state: each one on its own days, means over those with enough of them."""

import numpy as np
import pytest

from smcloud.validation.state_scores import by_state


def test_means_are_over_the_stations_with_days_enough_in_the_state():
    rng = np.random.default_rng(2)
    measured = rng.normal(0.2, 0.05, (200, 3)).astype(np.float32)
    state = np.zeros((200, 3), np.int64)
    state[100:, :2] = 1
    state[190:, 2] = 1  # ten days are too few
    error = np.where(state == 1, 0.04, 0.01)
    estimate = (measured + error * rng.normal(size=measured.shape)).astype(np.float32)
    estimate[:5] = np.nan
    clear, cloudy, empty, whole = by_state(estimate, measured, state, 3)
    assert (clear.stations, cloudy.stations, empty.stations, whole.stations) == (3, 2, 0, 3)
    assert clear.days == 2 * 95 + 185
    assert clear.ubrmse == pytest.approx(0.01, rel=0.1)
    assert cloudy.ubrmse == pytest.approx(0.04, rel=0.15)
    assert np.isnan(empty.ubrmse)
    assert clear.r > cloudy.r
    assert clear.ubrmse < whole.ubrmse < cloudy.ubrmse
