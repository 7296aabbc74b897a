"""Networks stand on land, probes measure their own site, records have faults and flags."""

import numpy as np
import pytest

from smcloud.simulate.stations import (
    hourly_moisture,
    measure,
    observe_daily,
    place_stations,
    site_ground,
)


def anywhere(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    return np.ones(lon.shape, bool)


def east_of_ten(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    return lon > 10


@pytest.fixture(scope="module")
def stations():
    return place_stations(7, 60, anywhere, bounds=(-20.0, 10.0, 40.0, 55.0))


@pytest.fixture(scope="module")
def series(earth, stations, days):
    return list(measure(earth, stations, days("2018-01-01", "2018-12-31")))


def test_stations_stand_on_accepted_places_within_bounds():
    placed = place_stations(7, 25, east_of_ten, bounds=(5.0, 40.0, 15.0, 50.0))
    assert len(placed) == 25
    assert all(10 < s.longitude <= 15 and 40 <= s.latitude <= 50 for s in placed)
    assert len({(s.network, s.name) for s in placed}) == 25
    assert placed == place_stations(7, 25, east_of_ten, bounds=(5.0, 40.0, 15.0, 50.0))


def test_too_little_land_is_said_with_numbers():
    with pytest.raises(ValueError, match=r"expected 5 stations .* found accepted places for 0"):
        place_stations(7, 5, lambda lon, lat: np.zeros(lon.shape, bool))


def test_networks_differ_in_style_and_some_stations_do_not_represent_their_pixel():
    placed = place_stations(7, 200, anywhere)
    assert {s.style for s in placed} == {"new", "old"}
    assert {(s.depth_from, s.depth_to) for s in placed} == {(0.0, 0.05), (0.05, 0.05)}
    assert 0.2 < np.mean([not s.is_representative for s in placed]) < 0.5


def test_odd_sites_differ_more_from_their_pixels(earth, stations):
    site = site_ground(earth, stations)
    pixel = earth.ground([s.longitude for s in stations], [s.latitude for s in stations])
    ratio = np.abs(np.log(site.field_capacity / pixel.field_capacity))
    is_odd = np.array([not s.is_representative for s in stations])
    assert ratio[is_odd].mean() > 2 * ratio[~is_odd].mean()
    assert (site.wilting_point < site.field_capacity).all()
    assert (site.field_capacity < site.porosity).all()


def test_a_station_is_the_same_alone(earth, stations, series, days):
    (alone,) = measure(earth, stations[17:18], days("2018-01-01", "2018-02-10"))
    count = alone.values.size
    np.testing.assert_array_equal(alone.values, series[17].values[:count])
    assert (alone.flags == series[17].flags[:count]).all()


def test_hours_follow_each_other_and_flags_are_those_of_ismn(series):
    known = {"C01", "C02", "C03", "D01", "D06", "D09", "M", "G", "U"}
    for one in series:
        assert (np.diff(one.times) > np.timedelta64(0, "h")).all()
        assert {part for flag in np.unique(one.flags) for part in str(flag).split(",")} <= known
    every = np.concatenate([one.flags for one in series])
    assert any("," in str(flag) for flag in np.unique(every))
    assert {"D01", "D06", "D09"} <= set(every.tolist())


def test_styles_treat_good_and_missing_hours_differently(series):
    new = [one for one in series if one.station.style == "new"]
    old = [one for one in series if one.station.style == "old"]
    assert new
    assert old
    for one in new:
        assert one.times.size == 365 * 24
        assert (np.isnan(one.values) == (one.flags == "M")).all()
        assert "U" not in one.flags
    for one in old:
        assert one.times.size < 365 * 24
        assert not np.isnan(one.values).any()
        assert "G" not in one.flags


def test_flags_mark_what_they_name(series):
    for one in series:
        has = {name: np.char.find(one.flags, name) >= 0 for name in ("C01", "C02")}
        assert (one.values[has["C01"]] < 0).all()
        assert (one.values[has["C02"]] > 0.6).all()


def test_the_mean_of_the_hours_is_the_truth_of_the_day(year):
    for state in year[::30]:
        hours = hourly_moisture(state).mean(axis=0)
        step = np.abs(state.soil_moisture_end - state.soil_moisture_start)
        assert (np.abs(hours - state.soil_moisture) <= 0.03 * step + 1e-6).all()


def test_good_readings_follow_the_truth_of_the_pixel_best_where_the_site_resembles_it(
    earth, stations, days
):
    asked = days("2018-04-01", "2018-09-30")
    record = list(observe_daily(earth, stations, asked))
    lon, lat = [s.longitude for s in stations], [s.latitude for s in stations]
    truth = np.stack([state.soil_moisture for state in earth.run(lon, lat, asked)])
    values = np.stack([np.where(day.flags == 0, day.values, np.nan)[12] for day in record])
    error = np.sqrt(np.nanmean((values - truth) ** 2, axis=0))
    is_odd = np.array([not s.is_representative for s in stations])
    assert np.nanmedian(error[is_odd]) > 1.3 * np.nanmedian(error[~is_odd])
    assert 0.01 < np.nanmedian(error[~is_odd]) < 0.06


def test_stations_of_a_small_window_do_not_heap_up_in_its_corners():
    bounds = (10.0, 44.0, 10.7, 44.5)
    placed = place_stations(7, 40, lambda lon, lat: np.ones(lon.shape, bool), bounds=bounds)
    assert len({(station.longitude, station.latitude) for station in placed}) == 40
    edges = set(bounds)
    assert not any(station.longitude in edges or station.latitude in edges for station in placed)
