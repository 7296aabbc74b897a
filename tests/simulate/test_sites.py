"""Varied networks and sites: own calibrations, odd courses in time, told land cover and climate."""

from dataclasses import replace

import numpy as np
import pytest

from smcloud.grids.land import is_land
from smcloud.simulate.granules_ismn import static_text
from smcloud.simulate.records import Site
from smcloud.simulate.sites import USUAL_SITE, varied
from smcloud.simulate.station_truth import daily_means, station_day_table, station_table
from smcloud.simulate.stations import observe_all, place_stations
from smcloud.simulate.world import Earth

SEED = 7


@pytest.fixture(scope="module")
def plain():
    return place_stations(SEED, 100, is_land)


@pytest.fixture(scope="module")
def stations(plain):
    return varied(Earth(SEED), plain)


@pytest.fixture(scope="module")
def record(stations, days):
    return observe_all(Earth(SEED), stations, days("2018-04-01", "2018-12-31"))


def test_places_names_and_representativeness_stay(plain, stations):
    for before, after in zip(plain, stations, strict=True):
        assert replace(after, sensor=before.sensor, site=Site()) == before


def test_a_network_shares_its_probe_and_calibration(stations):
    for network in {s.network for s in stations}:
        own = {(s.sensor, s.site.gain, s.site.offset) for s in stations if s.network == network}
        assert len(own) == 1
    assert len({s.site.gain for s in stations}) == 10
    assert len({s.sensor for s in stations}) > 2


def test_only_odd_sites_have_a_course_of_their_own(stations):
    for station in stations:
        own = replace(
            station.site,
            gain=1.0,
            offset=0.0,
            land_cover="130",
            land_cover_name="Grassland",
            climate="Cfa",
            climate_name="Temperate",
        )
        assert (own == USUAL_SITE) == station.is_representative


def test_odd_sites_follow_their_pixel_less_closely_in_time(stations, record):
    table = station_table(stations, record).set_index("station")
    r = table.groupby("representative")["r_pixel"].median()
    assert r[True] > 0.9
    assert r[False] < r[True] - 0.08


def test_tables_hold_one_row_a_station_and_day(stations, record):
    days = station_day_table(stations, record)
    assert list(days.columns) == ["station", "time", "soil_moisture_pixel"]
    assert len(days) == 100 * 275
    assert days["station"].is_monotonic_increasing
    one = stations[31]
    mine = days[days["station"] == f"{one.network}/{one.name}"]
    np.testing.assert_array_equal(mine["soil_moisture_pixel"], record.pixel[:, 31])
    assert str(mine["time"].iloc[0].date()) == "2018-04-01"


def test_means_need_half_a_day_of_good_hours(record):
    means = daily_means(record)
    good = ((record.flags == 0) & np.isfinite(record.values)).reshape(len(record.days), 24, -1)
    assert (np.isfinite(means) == (good.sum(axis=1) >= 12)).all()


def test_static_variables_tell_cover_and_climate(stations):
    soil = Earth(SEED).soil_map([10.0], [45.0])
    covers = {s.site.land_cover_name for s in stations}
    climates = {s.site.climate for s in stations}
    assert len(covers) >= 3
    assert len(climates) >= 4
    text = static_text(soil, stations[0].site).decode()
    assert f";{stations[0].site.land_cover};{stations[0].site.land_cover_name};" in text
    assert f";{stations[0].site.climate};{stations[0].site.climate_name};" in text
