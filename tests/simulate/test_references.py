"""Reference satellites: files as their readers expect them, errors as the instruments have them."""

from dataclasses import replace
from datetime import date

import h5py
import numpy as np
import pytest

from smcloud.core.errors import ConfigError
from smcloud.core.listener import Silent
from smcloud.grids.grid import EASE2_1KM, EASE2_36KM, GLOBAL025
from smcloud.grids.land import is_land
from smcloud.simulate.records import DayState
from smcloud.simulate.request import REFERENCES, VARIED, SimulateRequest, stations_of
from smcloud.simulate.run import simulate
from smcloud.simulate.satellites import (
    ACTIVE_PASSES,
    EVENING,
    MORNING,
    CciSatellites,
    SmapRadiometer,
    footprints,
)
from smcloud.simulate.scenes import smap_days
from smcloud.simulate.swath import METOP_A, SMAP, Swath
from smcloud.simulate.world import Earth
from tests.trees import tree_of

SEED = 7


def request(out, **changes):
    plain = SimulateRequest(
        str(out),
        ("h18v04", "h09v05"),
        (2019,),
        seed=SEED,
        at_stations=True,
        stations=4,
        sources=REFERENCES,
    )
    return replace(plain, **changes)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("references")
    return out, simulate(request(out), Silent())


def station_places(stations=4):
    own = [s for group in stations_of(request("out", stations=stations)).values() for s in group]
    return np.array([s.longitude for s in own]), np.array([s.latitude for s in own])


def test_every_day_has_its_files_but_for_the_outage(written):
    out, _ = written
    names = list(tree_of(out))
    for folder, count in (("CCI-active", 365), ("SPL3SMP", 330), ("SPL3SMP_E", 330)):
        assert sum(name.startswith(f"granules/{folder}/2019/") for name in names) == count
    assert not any("SMAP_L3_SM_P_20190701" in name for name in names)
    scenes = [name.split("_")[-3] for name in names if "SPL2SMAP_S" in name]
    assert len(scenes) > 60
    assert not any(f"2019{day}" in name for name in scenes for day in ("0620", "0722"))


def test_morning_and_evening_of_smap_hold_the_cells_of_the_stations(written):
    out, _ = written
    path = out / "granules/SPL3SMP/2019/SMAP_L3_SM_P_20190915_R18290_001.h5"
    rows, cols = EASE2_36KM.pixel_of(*station_places())
    with h5py.File(path) as file:
        for half, suffix in (("AM", ""), ("PM", "_pm")):
            group = file[f"Soil_Moisture_Retrieval_Data_{half}"]
            quality = group[f"retrieval_qual_flag{suffix}"][:]
            assert quality.shape == (406, 964)
            known = quality != 65534
            assert known.sum() <= len(set(zip(rows, cols, strict=True)))
            moisture = group[f"soil_moisture{suffix}"]
            assert moisture.fillvalue == np.float32(-9999)
            values = moisture[:]
            assert ((values == -9999) | ((values >= 0.02) & (values <= 0.5))).all()
            assert (values[~known] == -9999).all()
            assert (values[known & ((quality & 2) > 0)] == -9999).all()
            lat = group[f"latitude{suffix}"][:]
            there = lat != -9999
            assert set(zip(*np.nonzero(there), strict=True)) == set(zip(rows, cols, strict=True))


def test_scenes_are_rectangles_of_the_one_kilometre_grid(written):
    out, _ = written
    path = sorted((out / "granules/SPL2SMAP_S/2019").iterdir())[5]
    with h5py.File(path) as file:
        group = file["Soil_Moisture_Retrieval_Data_1km"]
        rows, cols = group["EASE_row_index_1km"][:], group["EASE_column_index_1km"][:]
        assert (np.diff(rows.astype(int), axis=0) == 1).all()
        assert (np.diff(cols.astype(int), axis=1) == 1).all()
        values = group["soil_moisture_1km"][:]
        assert values.shape == rows.shape
    lon, lat = station_places()
    own_rows, own_cols = EASE2_1KM.pixel_of(lon, lat)
    inside = (own_rows >= rows.min()) & (own_rows <= rows.max())
    assert (inside & (own_cols >= cols.min()) & (own_cols <= cols.max())).any()


def test_cci_files_are_netcdf_on_the_quarter_degree_grid(written):
    out, _ = written
    name = "C3S-SOILMOISTURE-L3S-SSMS-ACTIVE-DAILY-20190601000000-TCDR-v202212.0.0.nc"
    path = out / "granules/CCI-active/2019" / name
    rows, cols = GLOBAL025.pixel_of(*station_places())
    with h5py.File(path) as file:
        sm, flag = file["sm"], file["flag"]
        assert sm.shape == flag.shape == (1, 720, 1440)
        assert [file["sm"].dims[k][0].name for k in range(3)] == ["/time", "/lat", "/lon"]
        assert sm.attrs["units"] == "percent"
        values, flags = sm[0], flag[0]
        assert file["lat"][0] > file["lat"][-1]
    observed = flags != 127
    assert set(zip(*np.nonzero(observed), strict=True)) <= set(zip(rows, cols, strict=True))
    assert ((values == -9999) | ((values >= 0) & (values <= 100))).all()


def test_lost_files_come_back_bit_for_bit_and_workers_change_nothing(written, tmp_path):
    out, _ = written
    before = tree_of(out)
    lost = [
        next(name for name in before if "PASSIVE-DAILY-20190302" in name),
        next(name for name in before if "SMAP_L3_SM_P_E_20190303" in name),
        next(name for name in before if "SPL2SMAP_S" in name),
    ]
    for name in lost:
        (out / name).unlink()
    simulate(request(out), Silent())
    assert tree_of(out) == before


def test_more_tiles_are_other_global_files(written):
    out, _ = written
    with pytest.raises(ConfigError, match="the extent of the references there"):
        simulate(request(out, tiles=("h18v04",)), Silent())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shared_error": 1.0}, "--shared-error 1: expected a share"),
        ({"shared_error": 0.3, "sources": ("cci_active",)}, "--shared-error concerns SMAP"),
        ({"years": (2014,)}, "SMAP delivers from 2015-03-31, asked is 2014"),
        ({"sites": "odd"}, "--sites 'odd': expected one of plain, varied"),
    ],
)
def test_a_request_that_cannot_be_met_is_one_clear_line(changes, message):
    with pytest.raises(ConfigError, match=message):
        request("out", **changes)


def test_varied_sites_are_another_earth(written):
    out, _ = written
    with pytest.raises(ConfigError, match="sites there is plain, asked is varied"):
        simulate(request(out, sites=VARIED), Silent())


# Instruments over many places


@pytest.fixture(scope="module")
def cells(places):
    lon, lat = places
    land = is_land(lon, lat)
    return footprints("smap_l3", lon[land], lat[land])


@pytest.fixture(scope="module")
def states(cells, days) -> list[DayState]:
    asked = days("2018-01-01", "2018-12-31")
    return list(Earth(SEED).run(cells.place_lon, cells.place_lat, asked))


@pytest.fixture(scope="module")
def smap(cells, states):
    sensor = SmapRadiometer(Earth(SEED), cells)
    return sensor, [sensor.observe(state, MORNING) for state in states]


def stacked(records, name):
    return np.stack([getattr(record, name) for record in records])


def test_smap_passes_every_second_or_third_day(cells):
    swath = Swath(cells.lon, cells.lat, SMAP)
    seen = np.stack([~np.isnan(swath.look(day, False).angle_degree) for day in range(64)])
    share = seen.mean(axis=0)
    assert 0.3 < share[np.abs(cells.lat) < 20].mean() < 0.45
    assert share[np.abs(cells.lat) > 45].mean() > 0.45
    metop = Swath(cells.lon, cells.lat, METOP_A)
    angles = np.stack([metop.look(day, False).angle_degree for day in range(29)])
    assert np.nanmin(np.abs(angles)) > 15


def test_quality_says_why_there_is_no_retrieval(smap):
    _, views = smap
    moisture, quality, seen = (stacked(views, n) for n in ("soil_moisture", "quality", "is_seen"))
    surface = stacked(views, "surface")
    tried = (quality & 2) == 0
    assert np.isnan(moisture[~tried]).all()
    assert (surface[(quality == 0) & seen] == 0).all()
    assert 0.3 < (quality[seen] == 0).mean() < 0.9
    frozen = (surface & (1 << 5 | 1 << 7 | 1 << 8)) != 0
    assert not (frozen & tried & seen).any()


def test_errors_grow_with_leaves_and_last(smap, cells, states):
    _, views = smap
    truth = np.stack([cells.mean(state.soil_moisture) for state in states])
    good = stacked(views, "quality") == 0
    error = np.where(good, stacked(views, "soil_moisture") - truth, np.nan)
    often = good.sum(axis=0) >= 30
    error = error[:, often] - np.nanmean(error[:, often], axis=0)
    leaves = np.stack([cells.mean(state.lai) for state in states])[:, often]
    low, high = np.nanstd(error[leaves < 0.5]), np.nanstd(error[leaves > 2.0])
    assert high > 1.3 * low
    assert 0.01 < low < 0.08
    pairs = np.isfinite(error[:-8]) & np.isfinite(error[8:])
    assert 0.1 < np.corrcoef(error[:-8][pairs], error[8:][pairs])[0, 1] < 0.9


def test_the_radar_is_in_per_cent_and_follows_the_truth_less_than_smap(cells, smap, places):
    lon, lat = cells.lon, cells.lat
    quarter = footprints("cci", lon, lat)
    satellites = CciSatellites(Earth(SEED), quarter)
    asked = np.arange("2018-01-01", "2019-01-01", dtype="datetime64[D]")
    days = [
        (satellites.observe(state), quarter.mean(state.soil_moisture))
        for state in Earth(SEED).run(quarter.place_lon, quarter.place_lat, asked)
    ]
    truth = np.stack([mean for _, mean in days])
    medians = {}
    for name in ("cci_active", "cci_passive", "cci_combined"):
        values = np.stack([day[name].soil_moisture for day, _ in days])
        flag = np.stack([day[name].flag for day, _ in days])
        values = np.where(flag == 0, values, np.nan)
        top = 100 if name == "cci_active" else 1
        assert np.nanmin(values) >= 0
        assert np.nanmax(values) <= top
        medians[name] = _median_r(values, truth)
    assert 0.2 < medians["cci_active"] < 0.9
    assert 0.2 < medians["cci_passive"] < 0.9
    assert len(ACTIVE_PASSES) == 4


def _median_r(values, truth):
    found = []
    for k in range(truth.shape[1]):
        known = np.isfinite(values[:, k])
        if known.sum() > 60:
            found.append(np.corrcoef(values[known, k], truth[known, k])[0, 1])
    assert len(found) > 20
    return float(np.median(found))


def test_a_shared_error_brings_smap_to_the_reanalysis(cells, states):
    sensor = SmapRadiometer(Earth(SEED), cells, shared_error=0.4)
    model = np.full(len(cells.rows), 0.3, np.float32)
    plain = sensor.observe(states[200], EVENING).soil_moisture
    leaning = sensor.observe(states[200], EVENING, model).soil_moisture
    known = np.isfinite(plain) & np.isfinite(leaning) & (plain > 0.02)
    assert known.sum() > 5
    np.testing.assert_allclose(leaning[known], 0.6 * plain[known] + 0.12, rtol=1e-5)


def test_smap_was_lost_in_the_summer_of_2019_and_began_in_2015():
    days = smap_days(2019).astype(object)
    assert date(2019, 6, 18) in days
    assert date(2019, 6, 19) not in days
    assert date(2019, 7, 23) not in days
    assert date(2019, 7, 24) in days
    assert smap_days(2015)[0] == np.datetime64("2015-03-31")
    assert not smap_days(2014).size
