"""Layers, scales, days and places of tile products."""

from datetime import date

import numpy as np
import pytest

from smcloud.core.errors import GranuleError
from smcloud.grids.tiles import TileYear
from smcloud.sources.hdf_eos import Layer, check_complete, odl_value, to_physical
from smcloud.sources.modis import MOD09A1, MOD11A1, MOD13A2
from smcloud.sources.tile_files import days_since_start

LAYER = Layer("sur_refl_b01", ("int16",), 0.0001, -28672, (-100, 16000))
STORED = np.array([-28672, -101, -100, 0, 5000, 16000, 16001], np.int16)


@pytest.mark.parametrize("declared", [0.0001, 10000.0])
def test_t05_scale_is_a_factor_or_a_divisor_as_the_file_says(declared):
    found = to_physical(STORED, LAYER, {"scale_factor": declared})
    np.testing.assert_allclose(found[2:6], [-0.01, 0.0, 0.5, 1.6], atol=1e-6)


@pytest.mark.parametrize("declared", [None, 1.0, 0.001, 100.0])
def test_t05_an_unknown_scale_is_refused(declared):
    attributes = {} if declared is None else {"scale_factor": declared}
    with pytest.raises(
        GranuleError, match=r"expected scale_factor 0\.0001 or its reciprocal 10000"
    ):
        to_physical(STORED, LAYER, attributes)


def test_fill_and_values_out_of_range_are_unknown_and_nothing_else_is():
    found = to_physical(STORED, LAYER, {"scale_factor": 0.0001, "_FillValue": -28672})
    assert np.isnan(found).tolist() == [True, True, False, False, False, False, True]
    narrower = to_physical(STORED, LAYER, {"scale_factor": 0.0001, "valid_range": [0, 6000]})
    assert np.isnan(narrower).tolist() == [True, True, True, False, False, True, True]


def test_an_offset_or_other_units_are_refused():
    with pytest.raises(GranuleError, match="expected no add_offset, found -65"):
        to_physical(STORED, LAYER, {"scale_factor": 0.0001, "add_offset": -65.0})
    kelvin = Layer("LST", ("uint16",), 0.02, 0, (7500, 65535), ("K",))
    with pytest.raises(GranuleError, match="expected units K, found 'degC'"):
        to_physical(STORED, kelvin, {"scale_factor": 0.02, "units": "degC"})


def test_t04_zero_is_no_fill_of_a_quality_word(sample_files):
    dataset = MOD11A1.read(sample_files("mod11a1")[0], quality="good")
    best = dataset["qc_day"].values == 0
    assert best.any()
    assert np.isfinite(dataset["lst_day"].values[best]).all()
    assert dataset["qc_day"].dtype == np.uint8


def test_composite_days_turn_the_year():
    day_of_year = np.array([353, 366, 1, 2, 3, 352, -1], np.int16)
    found = days_since_start(day_of_year, date(2020, 12, 18), 16, -1)
    np.testing.assert_array_equal(found, [0, 13, 14, 15, np.nan, np.nan, np.nan])
    spring = days_since_start(np.array([97, 104, 105], np.uint16), date(2019, 4, 7), 8, 65535)
    np.testing.assert_array_equal(spring, [0, 7, np.nan])


def test_composite_days_are_of_each_pixel(sample_files):
    dataset = MOD13A2.read(sample_files("mod13a2")[0], quality="all")
    days = dataset["composite_day"].values
    assert set(np.unique(days[np.isfinite(days)])) == {3.0, 11.0}


def test_half_kilometre_pixels_come_to_one_kilometre_by_their_known_mean(opened):
    dataset = opened("mod09a1")[0].copy(deep=True)
    key = TileYear("sin1km", "h18v04", 2019)
    red = dataset["red"].values
    red[:] = np.nan
    red[0:2, 0:2] = [[0.1, 0.2], [0.3, np.nan]]
    found = MOD09A1.steps([dataset], key)["red"].values[0]
    assert found[0, 0] == pytest.approx(0.2)
    assert np.isnan(found[0, 1])
    assert found.shape == (1200, 1200)


def test_steps_are_in_order_of_time_whatever_the_order_of_files(opened):
    key = TileYear("sin1km", "h18v04", 2019)
    found = MOD13A2.steps(opened("mod13a2")[::-1], key)
    days = found["time"].values.astype("datetime64[D]").astype(str).tolist()
    assert days == ["2019-01-01", "2019-01-17"]


def test_names_with_impossible_days_or_tiles_are_no_granules():
    assert MOD13A2.identify("MOD13A2.A2019366.h18v04.061.2020123045612.hdf") is None
    assert MOD13A2.identify("MOD13A2.A2020366.h18v04.061.2020123045612.hdf") is not None
    assert MOD13A2.identify("MOD13A2.A2019001.h36v04.061.2020123045612.hdf") is None


def test_metadata_values_are_found_with_and_without_quotes():
    text = 'OBJECT = SHORTNAME\n NUM_VAL = 1\n VALUE = "MOD11A1"\nOBJECT = VERSIONID\n VALUE = 61\n'
    assert odl_value(text, "SHORTNAME") == "MOD11A1"
    assert odl_value(text, "VERSIONID") == "61"
    assert odl_value(text, "NOTHING") == ""


def test_a_circle_in_the_list_of_contents_ends(tmp_path):
    path = tmp_path / "circle.hdf"
    path.write_bytes(b"\x0e\x03\x13\x01" + b"\x00\x00" + b"\x00\x00\x00\x04")
    with pytest.raises(GranuleError, match="never ends"):
        check_complete(path)
