"""Sensors joined on one scale: what stands in the gap, what is a seam and what is not."""

import numpy as np
import pytest

from smcloud.models.coarse_moisture import (
    Bridge,
    Sensed,
    Sensors,
    SourceFlag,
    between_known,
    coarse_year,
    mapped,
    not_seen,
    scales_of,
)
from smcloud.validation.sensor_join import SensorRecord

CELLS = 12
LAST, FIRST = np.datetime64("2011-10-04"), np.datetime64("2012-07-02")
FROZEN = 1


def truth_on(days, seed=0):
    """Return a seasonal moisture with weather of some days' memory, (days, cells)."""
    rng = np.random.default_rng(seed)
    number = (days - np.datetime64("2000-01-01")).astype(int)
    season = 0.22 + 0.08 * np.sin(2 * np.pi * number / 365.25)[:, None]
    shocks = rng.normal(0, 0.02, (len(days), CELLS))
    weather = np.zeros_like(shocks)
    for day in range(1, len(days)):
        weather[day] = 0.8 * weather[day - 1] + shocks[day]
    return season + weather + rng.normal(0, 0.03, CELLS)


@pytest.fixture(scope="module")
def world():
    """Return days, the truth on AMSR2's scale, and three sensors that see two days in three."""
    days = np.arange("2009-01-01", "2015-01-01", dtype="datetime64[D]")
    truth = truth_on(days)
    rng = np.random.default_rng(4)

    def sensed(first, last, scale, offset, noise, phase):
        own = (days >= first) & (days <= last)
        missed = (np.arange(len(days))[:, None] + np.arange(CELLS) + phase) % 3 == 0
        seen = scale * truth + offset + rng.normal(0, noise, truth.shape)
        values = np.where(missed, np.nan, seen)
        return Sensed(SensorRecord(days[own], values[own]), missed[own])

    earlier = sensed(days[0], LAST, 0.8, 0.08, 0.01, 0)
    later = sensed(FIRST, days[-1], 1.0, 0.0, 0.01, 1)
    bridge = sensed(days[0], np.datetime64("2013-03-01"), 1.2, -0.03, 0.01, 2)
    return days, truth, Sensors(earlier, later, bridge)


def year_of(world, days, bridge):
    _, _, sensors = world
    scales = scales_of(sensors, bridge)
    wanted = sensors if bridge == Bridge.SENSOR else Sensors(sensors.earlier, sensors.later)
    return coarse_year(wanted, days, scales)


@pytest.mark.parametrize(
    ("bridge", "route"), [(Bridge.SENSOR, "bridge"), (Bridge.CLIMATOLOGY, "climatology")]
)
def test_the_earlier_sensor_is_brought_to_the_scale_of_the_later(world, bridge, route):
    days, truth, sensors = world
    scales = scales_of(sensors, bridge)
    record = sensors.earlier.record
    assert scales.earlier.route == route
    there = truth[np.isin(days, record.days)]
    before = np.nanmean(record.values - there)
    after = np.nanmean(mapped(scales.earlier, record.values, record.days) - there)
    assert abs(before) > 0.03
    assert abs(after) < 0.006


def test_without_a_bridge_each_keeps_its_scale(world):
    days, _, sensors = world
    scales = scales_of(sensors, Bridge.NONE)
    assert (scales.earlier, scales.bridge) == (None, None)
    asked = days[:30]
    found = year_of(world, asked, Bridge.NONE)
    observed = found.flag == SourceFlag.OBSERVED
    np.testing.assert_array_equal(
        found.values[observed], sensors.earlier.record.values[:30][observed]
    )


def test_the_third_sensor_stands_between_the_two_and_is_flagged(world):
    days, truth, _ = world
    asked = np.arange("2011-09-01", "2012-08-15", dtype="datetime64[D]")
    found = year_of(world, asked, Bridge.SENSOR)
    between = (asked > LAST) & (asked < FIRST)
    flags = found.flag[between]
    assert set(np.unique(flags)) == {SourceFlag.BRIDGE_SENSOR, SourceFlag.SEAM_FILLED}
    assert not (found.flag[~between] == SourceFlag.BRIDGE_SENSOR).any()
    error = found.values - truth[np.isin(days, asked)]
    assert np.sqrt(np.nanmean(error[between] ** 2)) < 0.03


@pytest.mark.parametrize("bridge", [Bridge.CLIMATOLOGY, Bridge.NONE])
def test_without_a_third_sensor_the_time_between_stays_unknown(world, bridge):
    asked = np.arange("2011-10-05", "2012-07-02", dtype="datetime64[D]")
    found = year_of(world, asked, bridge)
    assert np.isnan(found.values).all()
    assert (found.flag == SourceFlag.UNKNOWN).all()


def test_what_orbits_missed_is_estimated_and_flagged(world):
    days, truth, _ = world
    asked = days[days >= np.datetime64("2013-01-01")][:365]
    found = year_of(world, asked, Bridge.SENSOR)
    filled = found.flag == SourceFlag.SEAM_FILLED
    assert 0.3 < filled.mean() < 0.36
    assert set(np.unique(found.flag)) == {SourceFlag.OBSERVED, SourceFlag.SEAM_FILLED}
    error = (found.values - truth[np.isin(days, asked)])[filled]
    assert np.sqrt(np.mean(error**2)) < 0.03


def test_known_values_are_never_touched(world):
    _, _, sensors = world
    asked = sensors.later.record.days[200:300]
    found = year_of(world, asked, Bridge.SENSOR)
    seen = sensors.later.record.values[200:300]
    known = np.isfinite(seen)
    np.testing.assert_array_equal(found.values[known], seen[known])
    assert (found.flag[known] == SourceFlag.OBSERVED).all()


def test_frozen_ground_is_no_seam():
    states = np.array([[0, np.nan, 0, 1, np.nan, 1, np.nan, 0, np.nan, np.nan, 0]]).T
    seams = not_seen(states, FROZEN, 3)[:, 0]
    assert np.flatnonzero(seams).tolist() == [1, 8, 9]


def test_a_look_long_ago_says_nothing_about_frost():
    states = np.full((9, 1), np.nan)
    states[0] = FROZEN
    assert np.flatnonzero(not_seen(states, FROZEN, 3)[:, 0]).tolist() == [4, 5, 6, 7, 8]


def test_without_states_only_short_gaps_between_known_days_are_seams():
    values = np.array([[np.nan, 0.2, np.nan, 0.3, *[np.nan] * 7, 0.2, np.nan]]).T
    assert np.flatnonzero(between_known(values, 3)[:, 0]).tolist() == [2]


def test_no_sensor_at_all_for_months_is_unknown_and_no_error(world):
    _, _, sensors = world
    lone = Sensors(sensors.earlier, None, None)
    asked = np.arange("2012-01-01", "2012-06-01", dtype="datetime64[D]")
    found = coarse_year(lone, asked, scales_of(lone, Bridge.SENSOR))
    assert found.values.shape == (len(asked), CELLS)
    assert np.isnan(found.values).all()
    assert (found.flag == SourceFlag.UNKNOWN).all()


def test_values_stay_between_dry_and_full(world):
    _, _, sensors = world
    record = sensors.earlier.record
    wild = np.where(record.values > 0.3, 5.0, np.where(record.values < 0.1, -1.0, record.values))
    found = mapped(scales_of(sensors, Bridge.SENSOR).earlier, wild, record.days)
    known = np.isfinite(found)
    assert found[known].min() >= 0.0
    assert found[known].max() <= 1.0
