"""SMOS and SMAP freeze and thaw: classes and fills, passes and halves, quality, other files."""

from datetime import date

import numpy as np
import pytest

from smcloud.core.errors import GranuleError
from smcloud.grids.grid import EASE2_9KM, EASE2_36KM, EASE2_NORTH_25KM, Window
from smcloud.grids.tiles import TileYear
from smcloud.sources.smap_ft import SMAP_FT, SMAP_FT_E, refused_bits
from smcloud.sources.smos_ft import SMOS_FT, GroundState
from tests.sources.frozen_ground_files import (
    NORTH_SQUARE,
    PLACE,
    SMAP_SQUARES,
    START,
    write_smap_ft,
    write_smos_ft,
)

TURNS = np.arange(100).reshape(10, 10) % 3


def window_of(square):
    rows, cols = square
    return Window(rows.start, rows.stop, cols.start, cols.stop)


def steps_of(source, paths, square, quality=""):
    key = TileYear(source.schema.grid, "globe", 2019)
    datasets = [source.read(path, quality=quality) for path in paths]
    try:
        return source.steps(datasets, key, within=window_of(square))
    finally:
        for dataset in datasets:
            dataset.close()


def smos(*paths):
    return steps_of(SMOS_FT, paths, NORTH_SQUARE)


def test_squares_of_the_files_hold_the_place():
    for grid, square in (
        (EASE2_NORTH_25KM, NORTH_SQUARE),
        (EASE2_36KM, SMAP_SQUARES["SPL3FTP"]),
        (EASE2_9KM, SMAP_SQUARES["SPL3FTP_E"]),
    ):
        row, col = (int(index) for index in grid.pixel_of(*PLACE))
        window = window_of(square)
        assert window.row0 <= row < window.row1
        assert window.col0 <= col < window.col1


def test_names_of_smos_tell_day_and_version():
    name = "W_XX-ESA,SMOS,NH_25KM_EASE2_20160301_o_v200_01_l3soilft.nc"
    found = SMOS_FT.identify(name)
    assert (found.start, found.produced, found.scene) == (date(2016, 3, 1), "v200-01-o", "daily")
    assert SMOS_FT.identify(name.replace("ft.nc", "ft_asc.nc")).scene == "asc"
    assert SMOS_FT.identify(name.replace("0301", "0332")) is None
    assert not SMOS_FT.expects(date(2010, 6, 30))


@pytest.mark.parametrize(
    ("lowest", "attribute"),
    [(0, "flag_values"), (1, "flag_values"), (0, "valid_range"), (1, "valid_range"), (None, "")],
)
def test_classes_count_from_what_the_file_says(lowest, attribute, tmp_path):
    path = write_smos_ft(tmp_path, START, lowest=lowest, attribute=attribute)
    found = smos(path)
    np.testing.assert_array_equal(found["state_desc"].values[0], TURNS)
    assert np.isnan(found["state_asc"].values).all()


def test_both_passes_of_a_day_fill_one_step(tmp_path):
    up = write_smos_ft(tmp_path, START, orbits="ascending", states=np.full((10, 10), 2))
    found = smos(up, write_smos_ft(tmp_path, START))
    assert found.sizes["time"] == 1
    assert (found["state_asc"].values == GroundState.FROZEN).all()
    np.testing.assert_array_equal(found["state_desc"].values[0], TURNS)


def test_no_value_is_unknown(tmp_path):
    states = TURNS.copy()
    states[0] = 255
    found = smos(write_smos_ft(tmp_path, START, states=states))["state_desc"].values[0]
    assert np.isnan(found[0]).all()
    np.testing.assert_array_equal(found[1:], TURNS[1:])


def test_a_class_that_is_none_is_refused_when_it_is_met(tmp_path):
    states = np.where(TURNS == 2, 7, TURNS)
    with pytest.raises(GranuleError, match="three classes from 1 on, or 255, found 8"):
        smos(write_smos_ft(tmp_path, START, states=states))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lowest": 3}, "expected L3FT of classes 0 to 2 or 1 to 3, found flag_values of 3 to 5"),
        ({"shape": (720, 719)}, "expected L3FT of 720 x 720 cells, found 720 x 719"),
        ({"told": ""}, "expected orbits_included to name ascending or descending orbits"),
        ({"told": "ascending and descending"}, "expected orbits_included"),
    ],
)
def test_other_layouts_of_smos_are_refused_in_one_line(changes, words, tmp_path):
    path = write_smos_ft(tmp_path, START, **changes)
    with pytest.raises(GranuleError) as error:
        SMOS_FT.read(path)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_morning_and_evening_of_smap_are_two_layers(tmp_path):
    path = write_smap_ft(tmp_path, "SPL3FTP", START)
    found = steps_of(SMAP_FT, [path], SMAP_SQUARES["SPL3FTP"])
    turns = np.arange(144).reshape(12, 12) % 2
    frozen = np.where(turns == 1, float(GroundState.FROZEN), float(GroundState.THAWED))
    np.testing.assert_array_equal(found["state_am"].values[0], frozen)
    np.testing.assert_array_equal(found["state_pm"].values[0], 2.0 - frozen)


def test_names_of_smap_tell_the_product():
    name = "SMAP_L3_FT_P_E_20241105_R19240_001.h5"
    assert SMAP_FT_E.identify(name).start == date(2024, 11, 5)
    assert SMAP_FT.identify(name) is None
    assert SMAP_FT.identify(name.replace("_E_", "_")) is not None
    assert not SMAP_FT.expects(date(2019, 7, 1))


@pytest.mark.parametrize(
    ("rule", "bits"), [("recommended", {0, 1, 2}), ("attempted", {1, 2}), ("all", set())]
)
def test_each_bit_of_the_retrieval_flag_is_judged(rule, bits, tmp_path):
    assert refused_bits(rule) == sum(1 << bit for bit in bits)
    words = np.array([0, 1, 2, 4, 8])[np.arange(144).reshape(12, 12) % 5]
    path = write_smap_ft(tmp_path, "SPL3FTP", START, quality=words)
    found = steps_of(SMAP_FT, [path], SMAP_SQUARES["SPL3FTP"], rule)["state_am"].values[0]
    refused = np.isin(words, [1 << bit for bit in bits])
    np.testing.assert_array_equal(np.isnan(found), refused)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"halves": 1}, "expected .*freeze_thaw of 2 x 406 x 964 cells, found 1 x 406 x 964"),
        ({"group": "Freeze_Thaw_Retrieval_Data_Polar"}, "Polar"),
        ({"told": "SPL3FTA"}, "expected the product SPL3FTP, found SPL3FTA"),
    ],
)
def test_other_layouts_of_smap_are_refused_in_one_line(changes, words, tmp_path):
    with pytest.raises(GranuleError, match=words):
        SMAP_FT.read(write_smap_ft(tmp_path, "SPL3FTP", START, **changes))


def test_a_code_that_is_no_state_is_refused_when_it_is_met(tmp_path):
    path = write_smap_ft(tmp_path, "SPL3FTP", START, states=np.full((12, 12), 7))
    with pytest.raises(GranuleError, match=r"expected .* of 0, 1 or 254, found 7"):
        steps_of(SMAP_FT, [path], SMAP_SQUARES["SPL3FTP"])
