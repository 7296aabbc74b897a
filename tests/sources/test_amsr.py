"""LPRM by sensor: names, arrays by longitude and latitude, what becomes of each cell, refusals."""

from datetime import date

import h5py
import numpy as np
import pytest

from smcloud.core.errors import GranuleError
from smcloud.grids.grid import GLOBAL025
from smcloud.grids.tiles import TileYear
from smcloud.sources.amsr import (
    AMSR2_LPRM,
    AMSR2_LPRM_DAY,
    AMSRE_LPRM,
    WINDSAT_LPRM,
    WINDSAT_LPRM_DAY,
    RetrievalState,
)
from tests.sources.satellite_files import around, lprm_name, write_lprm

DAY = date(2012, 7, 15)
KEY = TileYear("global025", "globe", 2012)
SQUARE = around(GLOBAL025, 20)


def stepped(path, source=AMSR2_LPRM, quality="", within=SQUARE):
    dataset = source.read(path, quality=quality)
    try:
        found = source.steps([dataset], KEY, within=within)
        return found["soil_moisture"].values[0], found["retrieval_state"].values[0]
    finally:
        dataset.close()


def test_names_tell_sensor_overpass_and_day():
    night = AMSR2_LPRM.identify("LPRM-AMSR2_L3_D_SOILM3_V001_20121216010911.nc4")
    assert (night.start, night.produced) == (date(2012, 12, 16), "V001-010911")
    assert AMSRE_LPRM.identify("LPRM-AMSR_E_L3_D_SOILM3_V002_20020619.nc").start.year == 2002
    by_day = "LPRM-AMSR2_L3_A_SOILM3_V001_20121216010911.nc4"
    assert AMSR2_LPRM.identify(by_day) is None
    assert AMSR2_LPRM_DAY.identify(by_day) is not None
    windsat = "LPRM-WINDSAT_L3_NT_SOILM3_V001_20100101000000.nc4"
    assert WINDSAT_LPRM.identify(windsat) is not None
    assert WINDSAT_LPRM_DAY.identify(windsat) is None


@pytest.mark.parametrize(
    "name",
    [
        "LPRM-AMSR2_L2_D_SOILM2_V001_20120702231838.nc4",
        "LPRM-AMSR2_L3_DS_D_SOILM3_V001_20121216010911.nc4",
        "LPRM-AMSR2_L3_D_SOILM3_V001_20121316010911.nc4",
        "LPRM-AMSR2_L3_D_SOILM3_V001_20121216010911.nc4.xml",
    ],
)
def test_swaths_other_resolutions_and_impossible_days_are_no_names(name):
    assert AMSR2_LPRM.identify(name) is None
    assert AMSR2_LPRM_DAY.identify(name) is None


@pytest.mark.parametrize("south_up", [False, True])
def test_arrays_by_longitude_and_latitude_come_out_by_row_and_column(tmp_path, south_up):
    percent = 3 + np.arange(400).reshape(20, 20) % 50
    path = write_lprm(
        tmp_path, "amsr2_lprm", DAY, layers={"soil_moisture_c1": percent}, south_up=south_up
    )
    moisture, state = stepped(path)
    np.testing.assert_allclose(moisture, percent / 100, atol=1e-6)
    assert (state == RetrievalState.RETRIEVED).all()
    whole, states = stepped(path, within=GLOBAL025.window)
    assert np.isfinite(whole).sum() == np.isfinite(states).sum() == 400


LAYERS = {"amsre_lprm": ("c", "rfi_code"), "amsr2_lprm": ("c1", "frequency_map")}
SOURCES = {"amsre_lprm": AMSRE_LPRM, "amsr2_lprm": AMSR2_LPRM}


def one_cell_each(name):
    """Return layers whose first cells are each spoilt in one way, and the states they have."""
    band, word = LAYERS[name]
    moisture, depth, ts = np.full((20, 20), 25), np.full((20, 20), 80), np.full((20, 20), 2732)
    error, disturbed = np.full((20, 20), 2000), np.full((20, 20), 69 if band == "c1" else 0)
    times = np.full((20, 20), 6.3e8)
    ts[0, 0], ts[0, 1] = 2731, -32767
    depth[0, 2] = 81
    disturbed[0, 3] = 107 if band == "c1" else 4
    error[0, 4] = 2001
    moisture[0, 5] = -32767
    moisture[0, 6], ts[0, 6], times[0, 6] = -32767, -32767, 0.0
    moisture[0, 7], ts[0, 7] = -32767, -32767
    error_name = "soil_moisture_c1_error" if band == "c1" else "sm_c_error"
    layers = {
        f"soil_moisture_{band}": moisture,
        f"opt_depth_{band}": depth,
        error_name: error,
        "ts": ts,
        word: disturbed,
        "scantime": times,
    }
    return layers


@pytest.mark.parametrize("name", LAYERS)
def test_each_refusal_is_told_apart(name, tmp_path):
    path = write_lprm(tmp_path, name, DAY, layers=one_cell_each(name))
    moisture, state = stepped(path, SOURCES[name])
    expected = [1, 1, 2, 3, 4, 5, np.nan, 1, 0]
    np.testing.assert_array_equal(state[0, :9], expected)
    assert np.isnan(moisture[0, :8]).all()
    assert (moisture[1:] == np.float32(0.25)).all()


@pytest.mark.parametrize(
    ("rule", "kept"), [("recommended", ()), ("attempted", (2, 4)), ("all", (0, 1, 2, 3, 4))]
)
def test_rules_keep_more_and_more(rule, kept, tmp_path):
    path = write_lprm(tmp_path, "amsr2_lprm", DAY, layers=one_cell_each("amsr2_lprm"))
    moisture, state = stepped(path, quality=rule)
    assert tuple(np.flatnonzero(np.isfinite(moisture[0, :8]))) == kept
    assert (state[0, list(kept)] == RetrievalState.RETRIEVED).all()


def test_files_without_scan_times_or_codes_of_interference_are_read(tmp_path):
    layers = one_cell_each("amsre_lprm") | {"scantime": None, "rfi_code": None}
    _, state = stepped(write_lprm(tmp_path, "amsre_lprm", DAY, layers=layers), AMSRE_LPRM)
    np.testing.assert_array_equal(state[0, :8], [1, 1, 2, 0, 4, 5, np.nan, np.nan])


def test_an_untold_frequency_is_no_interference(tmp_path):
    layers = {"frequency_map": np.full((20, 20), -1)}
    moisture, _ = stepped(write_lprm(tmp_path, "amsr2_lprm", DAY, layers=layers))
    assert np.isfinite(moisture).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (720, 720)}, "expected 1440 values of Longitude"),
        ({"layers": {"soil_moisture_c1": None}}, "expected a layer soil_moisture_c1, found in /"),
        ({"layers": {"frequency_map": None}}, "expected a layer frequency_map"),
        ({"layers": {"ts": None}}, "expected a layer ts"),
        (
            {"attributes": {"soil_moisture_c1": {"units": "m3 m-3"}}},
            "expected soil_moisture_c1 in percent, found 'm3 m-3'",
        ),
        (
            {"attributes": {"opt_depth_c1": {"scale_factor": 0.001}}},
            "expected opt_depth_c1 with a scale of 0.01 and an offset of 0, found 0.001 and 0",
        ),
        ({"attributes": {"ts": {"add_offset": 273.0}}}, "offset of 0, found 0.1 and 273"),
    ],
)
def test_files_of_another_layout_are_named_in_one_line(changes, message, tmp_path):
    path = write_lprm(tmp_path, "amsr2_lprm", DAY, **changes)
    with pytest.raises(GranuleError, match=message) as error:
        AMSR2_LPRM.read(path)
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)


def test_layers_by_row_and_column_are_refused(tmp_path):
    path = write_lprm(tmp_path, "amsr2_lprm", DAY)
    with h5py.File(path, "a") as file:
        turned = file["soil_moisture_c1"][...].T
        attributes = dict(file["soil_moisture_c1"].attrs)
        del file["soil_moisture_c1"]
        file["soil_moisture_c1"] = turned
        file["soil_moisture_c1"].attrs.update(attributes)
    with pytest.raises(GranuleError, match="of 1440 x 720 cells, found 720 x 1440"):
        AMSR2_LPRM.read(path)


def test_values_in_other_units_are_refused_and_not_made_unknown(tmp_path):
    layers = {"soil_moisture_c1": np.full((20, 20), 2500)}
    with pytest.raises(GranuleError, match="of 0 to 100 percent, found 400 of 400"):
        stepped(write_lprm(tmp_path, "amsr2_lprm", DAY, layers=layers))


def test_days_without_a_sensor_are_not_missing():
    assert AMSRE_LPRM.expects(date(2011, 10, 4))
    assert not AMSRE_LPRM.expects(date(2011, 10, 5))
    assert not AMSR2_LPRM.expects(date(2012, 7, 1))
    assert AMSR2_LPRM.expects(date(2012, 7, 2))
    assert WINDSAT_LPRM.expects(date(2012, 7, 31))
    assert not WINDSAT_LPRM.expects(date(2012, 8, 1))


def test_a_file_under_the_name_of_another_sensor_is_refused(tmp_path):
    path = write_lprm(tmp_path, "amsre_lprm", DAY, name=lprm_name("amsr2_lprm", DAY))
    with pytest.raises(GranuleError, match="expected a layer soil_moisture_c1"):
        AMSR2_LPRM.read(path)
