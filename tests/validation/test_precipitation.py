"""Answers to rain, on series whose answer is known."""

import numpy as np
import pytest

from smcloud.validation.precipitation import (
    DAYS_AFTER,
    EVENT_MM,
    LAGS,
    RainResponse,
    added,
    response_to_rain,
)

DAYS, PLACES = 365, 40


@pytest.fixture(scope="module")
def rain():
    rng = np.random.default_rng(8)
    return np.where(rng.random((DAYS, PLACES)) < 0.08, 12.0, 0.0).astype(np.float32)


def bucket(rain, delay=0):
    """Soil that takes the rain up and loses a tenth of it a day."""
    late = np.zeros_like(rain)
    late[delay:] = rain[: len(rain) - delay]
    wet = np.zeros_like(rain)
    for day in range(1, len(rain)):
        wet[day] = 0.9 * wet[day - 1] + 0.004 * late[day]
    return wet + np.float32(0.1)


@pytest.mark.parametrize("delay", [0, 1, 2])
def test_the_lag_of_the_highest_correlation_is_the_delay_of_the_soil(rain, delay):
    found = response_to_rain(bucket(rain, delay), rain).correlations
    assert LAGS[int(np.argmax(found))] == delay
    assert found[LAGS.index(delay)] > 0.9
    assert np.abs(found[LAGS.index(-1)]) < 0.1


def test_soil_is_wettest_on_the_day_of_the_event_and_dries(rain):
    found = response_to_rain(bucket(rain), rain)
    assert np.argmax(found.response) == 0
    assert (np.diff(found.response) < 0).all()
    assert found.response[0] == pytest.approx(0.004 * 12.0, abs=0.01)


def test_an_event_ends_where_the_next_begins():
    rain = np.zeros((30, 1), np.float32)
    rain[[5, 9]] = EVENT_MM
    moisture = np.arange(30, dtype=np.float32)[:, None]
    found = response_to_rain(np.repeat(moisture, 100, axis=1), np.repeat(rain, 100, axis=1))
    np.testing.assert_array_equal(found.n / 100, [2, 2, 2, 2] + [1] * (DAYS_AFTER - 3))
    np.testing.assert_allclose(found.response, np.arange(1.0, DAYS_AFTER + 2))


def test_a_second_wet_day_is_no_event_of_its_own():
    rain = np.zeros((30, 1), np.float32)
    rain[[5, 6]] = 20.0
    found = response_to_rain(np.ones((30, 1), np.float32), rain)
    assert found.events == 1
    assert found.n[1] == 0


def test_changes_across_unknown_days_do_not_count(rain):
    moisture = bucket(rain)
    moisture[10] = np.nan
    whole, gap = (response_to_rain(m, rain) for m in (bucket(rain), moisture))
    same_day = LAGS.index(0)
    assert whole.lagged.n[same_day] - gap.lagged.n[same_day] == 2 * PLACES


def test_places_add_up(rain):
    moisture = bucket(rain)
    whole = response_to_rain(moisture, rain)
    halves = [{"soil": response_to_rain(moisture[:, s], rain[:, s])} for s in np.s_[:15, 15:]]
    found = added(halves)["soil"]
    np.testing.assert_allclose(found.correlations, whole.correlations, rtol=1e-9)
    np.testing.assert_allclose(found.response, whole.response, rtol=1e-6)
    np.testing.assert_array_equal(found.n, whole.n)


def test_no_rain_gives_no_answer():
    dry = response_to_rain(np.full((20, 3), 0.2, np.float32), np.zeros((20, 3), np.float32))
    assert dry.events == 0
    assert np.isnan(dry.correlations).all()
    assert np.isnan(RainResponse.zero().response).all()
