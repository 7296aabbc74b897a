"""The truth is the same whatever else was asked for, obeys its own physics, and has no seams."""

import numpy as np
import pytest

from smcloud.simulate import columns
from smcloud.simulate.world import Earth

STATE_FIELDS = (
    "soil_moisture",
    "root_moisture",
    "rain_mm",
    "snow_water_mm",
    "lst_day_k",
    "lst_night_k",
    "lai",
    "albedo_bsa",
    "reflectance",
    "cloud_day",
)


def assert_same_state(a, b, pick):
    for name in STATE_FIELDS:
        assert (getattr(a, name)[..., pick] == getattr(b, name)).all(), name


def test_a_pixel_is_the_same_alone_and_among_others(earth, places, year, days):
    lon, lat = places
    for pick in (np.array([3]), np.arange(150, 20, -13)):
        (alone,) = earth.run(lon[pick], lat[pick], days("2018-02-03", "2018-02-03"))
        assert_same_state(year[33], alone, pick)


def test_a_pixel_is_the_same_in_any_block(earth, days, monkeypatch):
    lon, lat = np.random.default_rng(0).uniform(8, 9, (2, 700))
    asked = days("2019-01-01", "2019-01-02")
    whole = list(earth.run(lon, lat, asked))
    monkeypatch.setattr(columns, "BLOCK", 64)
    for a, b in zip(whole, earth.run(lon, lat, asked), strict=True):
        assert_same_state(a, b, slice(None))


def test_a_day_is_the_same_asked_alone_and_in_a_year(earth, places, year):
    asked = np.array(["2018-01-01", "2018-03-05"], "datetime64[D]")
    pick = np.arange(10)
    found = list(earth.run(places[0][pick], places[1][pick], asked))
    assert [str(state.day) for state in found] == ["2018-01-01", "2018-03-05"]
    assert_same_state(year[0], found[0], pick)
    assert_same_state(year[63], found[1], pick)


def test_another_seed_is_another_earth(places, year, days):
    (other,) = Earth(8).run(*places, days("2018-01-10", "2018-01-10"))
    assert np.corrcoef(other.rain_mm, year[9].rain_mm)[0, 1] < 0.4


def test_days_out_of_order_are_refused(earth):
    with pytest.raises(ValueError, match="sort them"):
        list(earth.run([1.0], [2.0], np.array(["2018-01-02", "2018-01-01"], "datetime64[D]")))


def test_the_turn_of_the_year_jumps_by_next_to_nothing(earth, places, days, monkeypatch):
    new_year = days("2019-01-01", "2019-01-01")
    lon, lat = (values[:90] for values in places)
    (short,) = earth.run(lon, lat, new_year)
    monkeypatch.setattr(columns, "SPIN_UP_DAYS", columns.SPIN_UP_DAYS + 365)
    (long,) = earth.run(lon, lat, new_year)
    jump = np.abs(short.soil_moisture - long.soil_moisture)[~long.is_frozen]
    assert np.percentile(jump, 50) < 1e-4
    assert np.percentile(jump, 95) < 2e-3


def test_values_are_finite_and_physical(earth, places, of_year):
    ground = earth.ground(*places)
    moisture = of_year("soil_moisture")
    assert np.isfinite(moisture).all()
    assert moisture.min() > 0.0
    assert (moisture <= ground.porosity + 1e-6).all()
    assert of_year("reflectance").min() >= 0
    assert of_year("reflectance").max() <= 1
    assert of_year("albedo_wsa").max() < 0.85
    assert of_year("lai").min() > 0
    assert of_year("lst_day_k").min() > 200
    assert of_year("lst_day_k").max() < 350


def test_ground_is_ordered_and_sums_up(earth, places):
    ground = earth.ground(*places)
    total = ground.sand_percent + ground.silt_percent + ground.clay_percent
    np.testing.assert_allclose(total, 100, atol=1e-3)
    assert (ground.wilting_point < ground.field_capacity).all()
    assert (ground.field_capacity < ground.porosity).all()
    assert ground.elevation_m.min() > 0


def test_climate_has_dry_and_wet_warm_and_cold_places(of_year, places):
    rain = of_year("rain_mm").sum(axis=0)
    assert np.percentile(rain, 5) < 300
    assert np.percentile(rain, 95) > 1500
    warmth = of_year("air_temperature_k").mean(axis=0)
    north = places[1]
    assert warmth[np.abs(north) < 15].mean() > warmth[north > 50].mean() + 15
    july, january = (
        of_year("air_temperature_k")[s].mean(axis=0) for s in (slice(181, 212), slice(31))
    )
    assert (july > january)[north > 35].all()
    assert (july < january)[north < -30].all()


def test_rain_wets_the_soil_and_dry_days_dry_it(of_year):
    change = of_year("soil_moisture_end") - of_year("soil_moisture_start")
    thawed = ~of_year("is_frozen") & (of_year("snow_water_mm") == 0)
    wet, dry = of_year("rain_mm") > 15, of_year("rain_mm") == 0
    assert change[wet & thawed].mean() > 0.03
    assert change[dry & thawed & (of_year("irrigation_mm") == 0)].mean() < -0.002


def test_cloud_follows_rain_and_changes_the_true_skin_temperature(of_year):
    cloud, rain = of_year("cloud_day"), of_year("rain_mm")
    assert cloud[rain > 2].mean() > 0.8
    assert cloud[rain == 0].mean() < 0.5
    excess = of_year("lst_day_k") - of_year("air_temperature_k")
    warm = of_year("air_temperature_k") > 290
    assert excess[warm & ~cloud].mean() > excess[warm & cloud].mean() + 4


def test_wet_soil_is_cooler_by_day_under_clear_sky(of_year):
    excess = of_year("lst_day_k") - of_year("air_temperature_k")
    clear = ~of_year("cloud_day") & (of_year("air_temperature_k") > 288) & (of_year("lai") < 1)
    moisture = of_year("soil_moisture")
    low, high = np.percentile(moisture[clear], [25, 75])
    assert excess[clear & (moisture < low)].mean() > excess[clear & (moisture > high)].mean() + 4


def test_leaves_lag_behind_the_water_of_the_roots(of_year, places):
    tropics = np.abs(places[1]) < 25
    roots, leaves = of_year("root_moisture")[:, tropics], of_year("lai")[:, tropics]

    def agreement(lag: int) -> float:
        pairs = zip(roots[: 365 - lag].T, leaves[lag:].T, strict=True)
        return float(np.median([np.corrcoef(a, b)[0, 1] for a, b in pairs]))

    assert agreement(25) > agreement(0)


def test_some_pixels_are_irrigated_when_dry_and_warm(earth, days):
    lon, lat = np.random.default_rng(0).uniform(0, 3, (2, 1200)) + np.array([[71.0], [28.0]])
    ground = earth.ground(lon, lat)
    share = ground.is_irrigated.mean()
    assert 0.005 < share < 0.3
    states = list(earth.run(lon, lat, days("2018-06-10", "2018-06-25")))
    water = np.stack([state.irrigation_mm for state in states]).sum(axis=0)
    assert water[~ground.is_irrigated].max() == 0
    assert water[ground.is_irrigated].max() > 0
