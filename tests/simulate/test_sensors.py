"""Sensors see the truth through their own gaps, errors and quality words."""

import numpy as np
import pytest

from smcloud.simulate.composites import LaiComposite, ReflectanceComposite, VegetationComposite
from smcloud.simulate.sensors import AlbedoSensor, LstSensor
from smcloud.simulate.swath import Swath
from smcloud.simulate.world import Earth

SEED = 7


@pytest.fixture(scope="module")
def looks(places, year):
    sensor = LstSensor(SEED, *places)
    return [sensor.observe(state) for state in year]


def stacked(records, name):
    return np.stack([getattr(record, name) for record in records])


def test_temperature_is_missing_just_where_quality_says_so(looks):
    for half in ("day", "night"):
        value, quality = stacked(looks, f"lst_{half}_k"), stacked(looks, f"qc_{half}")
        assert (np.isnan(value) == ((quality & 3) >= 2)).all()
        assert set(np.unique(quality & 3)) == {0, 1, 2, 3}


def test_cloud_hides_most_of_what_it_covers_and_nothing_else_does_within_swaths(looks, of_year):
    hidden = np.isnan(stacked(looks, "lst_day_k"))
    outside = np.isnan(stacked(looks, "view_angle_day_degree"))
    cloud = of_year("cloud_day")
    assert 0.9 < hidden[cloud & ~outside].mean() < 1.0
    assert not hidden[~cloud & ~outside].any()


def test_errors_of_the_best_looks_are_a_kelvin_and_those_of_missed_cloud_are_cold(looks, of_year):
    error = stacked(looks, "lst_day_k") - of_year("lst_day_k")
    best = stacked(looks, "qc_day") == 0
    cloud = of_year("cloud_day")
    assert 0.7 < np.nanstd(error[best & ~cloud]) < 2.0
    assert abs(np.nanmean(error[best & ~cloud])) < 1.2
    assert np.nanmean(error[cloud]) < np.nanmean(error[~cloud]) - 1


def test_swaths_leave_gaps_at_the_equator_only_and_move_from_day_to_day():
    lon = np.linspace(-180, 179.9, 3600)
    equator = [np.isnan(Swath(lon, np.zeros(3600)).look(day, False).angle_degree) for day in (0, 1)]
    assert 0.05 < equator[0].mean() < 0.25
    assert (equator[0] != equator[1]).any()
    for latitude in (35.0, 60.0, -50.0):
        assert not np.isnan(Swath(lon, np.full(3600, latitude)).look(3, False).angle_degree).any()
    look = Swath(lon, np.zeros(3600)).look(0, is_ascending=True)
    assert np.nanmax(np.abs(look.angle_degree)) < 66
    assert 21 < np.nanmin(look.hour) < np.nanmax(look.hour) < 24


def test_albedo_fails_only_after_long_cloud_and_follows_snow(places, year, of_year):
    sensor = AlbedoSensor(SEED, *places)
    views = [sensor.observe(state) for state in year]
    wsa, quality = stacked(views, "wsa"), stacked(views, "quality")
    assert (np.isnan(wsa) == (quality == 4)).all()
    cloudy = of_year("cloud_day").mean(axis=0)
    assert (
        np.isnan(wsa).mean(axis=0)[cloudy > 0.55].mean()
        >= np.isnan(wsa).mean(axis=0)[cloudy < 0.4].mean()
    )
    assert np.nanmean(np.abs(wsa - of_year("albedo_wsa"))) < 0.03


def test_albedo_of_a_year_is_the_same_alone_and_after_another_year(places, days):
    lon, lat = (values[:6] for values in places)
    states = list(Earth(SEED).run(lon, lat, days("2018-12-28", "2019-01-04")))
    after, alone = AlbedoSensor(SEED, lon, lat), AlbedoSensor(SEED, lon, lat)
    late = [after.observe(state) for state in states][4:]
    for a, b in zip(late, [alone.observe(state) for state in states[4:]], strict=True):
        np.testing.assert_array_equal(a.wsa, b.wsa)


@pytest.fixture(scope="module")
def composite(places, year):
    made = ReflectanceComposite(SEED, *places, year[160].day)
    for state in year[160:168]:
        made.add(state)
    return made.finish()


def test_a_composite_keeps_a_clear_day_where_there_was_one(composite, of_year, places):
    cloud = of_year("cloud_day")[160:168]
    kept = composite.day_of_year.astype(int) - 161
    chosen = cloud[kept, np.arange(places[0].size)]
    assert (chosen == cloud.all(axis=0)).all()


def test_what_is_left_of_cloud_is_bright_and_mostly_flagged(composite, of_year):
    covered = of_year("cloud_day")[160:168].all(axis=0) & (of_year("snow_water_mm")[165] == 0)
    flagged = (composite.state_flags & 3) == 1
    assert not flagged[~of_year("cloud_day")[160:168].all(axis=0)].any()
    if covered.sum() > 10:
        assert flagged[covered].mean() > 0.7
        clear = ~covered & (of_year("snow_water_mm")[165] == 0)
        assert composite.reflectance[2][covered].mean() > 2 * composite.reflectance[2][clear].mean()


def test_reflectance_of_clear_looks_is_close_to_the_truth(composite, of_year, places):
    kept = composite.day_of_year.astype(int) - 1
    truth = of_year("reflectance")[kept, :, np.arange(places[0].size)].T
    clear = ~of_year("cloud_day")[160:168].all(axis=0)
    assert np.median(np.abs(composite.reflectance - truth)[:, clear]) < 0.02


def test_a_composite_that_was_fed_nothing_is_empty(places):
    start = np.datetime64("2018-01-01")
    assert np.isnan(ReflectanceComposite(SEED, *places, start).finish().reflectance).all()
    vegetation = VegetationComposite(SEED, *places, start).finish()
    assert np.isnan(vegetation.ndvi).all()
    assert (vegetation.reliability == -1).all()
    assert np.isnan(LaiComposite(SEED, *places, start).finish().lai).all()


def test_vegetation_indices_follow_leaves_and_snow_is_ranked(places, year, of_year):
    made = VegetationComposite(SEED, *places, year[0].day)
    leaves = LaiComposite(SEED, *places, year[0].day)
    for state in year[:16]:
        made.add(state)
        leaves.add(state)
    view, leaf = made.finish(), leaves.finish()
    snow_free = of_year("snow_water_mm")[:16].max(axis=0) == 0
    good = snow_free & (view.reliability <= 1)
    assert np.corrcoef(view.ndvi[good], of_year("lai")[8][good])[0, 1] > 0.7
    assert np.corrcoef(leaf.lai[good], of_year("lai")[8][good])[0, 1] > 0.9
    deep = of_year("snow_water_mm")[:16].min(axis=0) > 20
    assert (view.reliability[deep] >= 2).all()
    assert ((view.quality[deep] >> 14) & 1).all()
