"""SPL3SMP and SPL3SMP_E: both overpasses, every flag bit, ranges of the file, outages, damage."""

from datetime import date

import h5py
import numpy as np
import pytest

from smcloud.core.errors import GranuleError
from smcloud.grids.grid import EASE2_9KM, EASE2_36KM
from smcloud.grids.tiles import TileYear
from smcloud.ingest.index import index_granules, list_bucket
from smcloud.sources.quality import SMAP_RETRIEVAL, SMAP_SURFACE
from smcloud.sources.smap import SMAP_L3, SMAP_L3E
from tests.sources.satellite_files import START, around, smap_name, write_smap

KEY = TileYear("ease2_36km", "globe", 2019)
SQUARE = around(EASE2_36KM, 12)
EVERYTHING = np.arange(144, dtype=np.uint16).reshape(12, 12)
OVERPASSES = ("soil_moisture_am", "soil_moisture_pm")


def steps_of(path, quality="", source=SMAP_L3, key=KEY, within=SQUARE):
    dataset = source.read(path, quality=quality)
    try:
        return source.steps([dataset], key, within=within)
    finally:
        dataset.close()


def words(value):
    return np.full((12, 12), value, np.uint16)


def kept(tmp_path, rule, retrieval=0, surface=0):
    """Say whether cells of these flags are kept, in both overpasses alike."""
    path = write_smap(
        tmp_path, "SPL3SMP", START, retrieval=words(retrieval), surface=words(surface)
    )
    found = steps_of(path, rule)
    states = {bool(np.isfinite(found[name].values).all()) for name in OVERPASSES}
    assert states == {bool(np.isfinite(found[name].values).any()) for name in OVERPASSES}
    (state,) = states
    return state


def test_names_tell_product_day_and_release():
    coarse = SMAP_L3.identify("SMAP_L3_SM_P_20150331_R18290_002.h5")
    assert (coarse.start, coarse.produced) == (date(2015, 3, 31), "R18290_002")
    assert SMAP_L3.identify("SMAP_L3_SM_P_E_20150331_R18290_002.h5") is None
    assert SMAP_L3E.identify("SMAP_L3_SM_P_E_20150331_R18290_002.h5") is not None
    assert SMAP_L3E.identify("SMAP_L3_SM_P_20150331_R18290_002.h5") is None
    assert SMAP_L3.identify("SMAP_L3_SM_P_20150231_R18290_002.h5") is None
    assert SMAP_L3.identify("SMAP_L2_SM_P_20150331_R18290_002.h5") is None


@pytest.mark.parametrize("bit", range(4))
def test_each_bit_of_the_retrieval_flag_is_judged(bit, tmp_path):
    """Bit 0 not recommended, 1 not attempted, 2 failed; 3 is about freeze and thaw alone."""
    assert kept(tmp_path, "recommended", retrieval=1 << bit) == (bit == 3)
    assert kept(tmp_path, "attempted", retrieval=1 << bit) == (bit in (0, 3))
    assert kept(tmp_path, "all", retrieval=1 << bit)


@pytest.mark.parametrize("bit", range(12))
def test_each_bit_of_the_surface_flag_is_judged(bit, tmp_path):
    """Attempted retrievals of snow, ice or frozen ground are dropped; either frozen bit counts."""
    is_cold = bit in (5, 6, 7, 8)
    assert kept(tmp_path, "attempted", retrieval=1, surface=1 << bit) != is_cold
    assert kept(tmp_path, "recommended", surface=1 << bit)
    assert kept(tmp_path, "all", surface=1 << bit)


@pytest.mark.parametrize("rule", ["recommended", "attempted"])
def test_the_fill_of_a_flag_keeps_nothing(rule, tmp_path):
    assert not kept(tmp_path, rule, retrieval=65534, surface=65534)


def test_tables_name_every_bit_once():
    assert sorted(start for start, _ in SMAP_RETRIEVAL.values()) == list(range(4))
    assert sorted(start for start, _ in SMAP_SURFACE.values()) == list(range(12))


def test_the_overpasses_are_apart(tmp_path):
    path = write_smap(tmp_path, "SPL3SMP", START)

    with h5py.File(path, "a") as file:
        layer = file["Soil_Moisture_Retrieval_Data_PM/soil_moisture_pm"]
        layer[SQUARE.slices] = np.float32(0.44)
    found = steps_of(path, "all")
    assert (found["soil_moisture_pm"].values == np.float32(0.44)).all()
    assert not (found["soil_moisture_am"].values == np.float32(0.44)).all()


def test_fill_and_the_files_own_range_are_unknown(tmp_path):
    values = np.full((12, 12), 0.3, np.float32)
    values[0, :4] = (-9999.0, 0.019, 0.51, np.nan)
    found = steps_of(write_smap(tmp_path, "SPL3SMP", START, values=values), "all")
    assert np.flatnonzero(np.isnan(found["soil_moisture_am"].values)).tolist() == [0, 1, 2, 3]


def test_layers_lie_on_the_grid_row_by_row(tmp_path):
    """The cell that holds a place has the value written there."""
    found = steps_of(write_smap(tmp_path, "SPL3SMP", START), "all", within=EASE2_36KM.window)
    row, col = EASE2_36KM.pixel_of(8.0, 46.0)
    middle = np.linspace(0.02, 0.5, 144, dtype=np.float32).reshape(12, 12)[6, 6]
    assert found["soil_moisture_am"].values[0, row, col] == middle
    np.testing.assert_array_equal(found["y"].values, EASE2_36KM.y)


def test_the_enhanced_product_is_read_window_by_window(tmp_path):
    path = write_smap(tmp_path, "SPL3SMP_E", START)
    key = TileYear("ease2_9km", "globe", 2019)
    square = around(EASE2_9KM, 12)
    found = steps_of(path, "all", SMAP_L3E, key, square)["soil_moisture_am"]
    np.testing.assert_array_equal(
        found.values[0], np.linspace(0.02, 0.5, 144, dtype=np.float32).reshape(12, 12)
    )


def test_flags_carry_the_names_that_the_file_gives_their_bits(tmp_path):

    path = write_smap(tmp_path, "SPL3SMP", START)
    with h5py.File(path, "a") as file:
        layer = file["Soil_Moisture_Retrieval_Data_AM/surface_flag"]
        layer.attrs["flag_meanings"] = b"a b frozen_ground_from_radiometer"
    dataset = SMAP_L3.read(path)
    assert "frozen_ground" in dataset["surface_flag_am"].attrs["flag_meanings"]
    assert "flag_meanings" not in dataset["surface_flag_pm"].attrs
    dataset.close()


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ({"flip": True}, "expected latitude"),
        ({"changes": {"units": "K"}}, "in cm\\*\\*3/cm\\*\\*3, found 'K'"),
        ({"changes": {"soil_moisture": None}}, "expected a layer Soil_Moisture_Retrieval_Data_AM/"),
        ({"changes": {"retrieval_qual_flag": None}}, "expected a layer .*_AM/retrieval_qual"),
        ({"changes": {"surface_flag_pm": None}}, "expected a layer .*_PM/surface_flag_pm"),
        ({"changes": {"latitude": None}}, "expected a layer .*latitude"),
        ({"name": smap_name("SPL3SMP", date(2019, 1, 5)), "values": words(3)}, None),
    ],
)
def test_files_of_another_layout_are_named(kinds, message, tmp_path):
    path = write_smap(tmp_path, "SPL3SMP", START, side=12 if "values" in kinds else 60, **kinds)
    if message is None:
        with pytest.raises(GranuleError, match="144 of 144 values outside"):
            steps_of(path)
        return
    with pytest.raises(GranuleError, match=message) as error:
        SMAP_L3.read(path)
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)


def test_the_enhanced_product_under_the_others_name_is_refused(tmp_path):
    path = write_smap(tmp_path, "SPL3SMP_E", START, name=smap_name("SPL3SMP", START))
    with pytest.raises(GranuleError, match="expected the product SPL3SMP, found SPL3SMP_E"):
        SMAP_L3.read(path)


def without_group(file):
    del file["Soil_Moisture_Retrieval_Data_PM"]


def as_early_releases(file):
    without_group(file)
    file.move("Soil_Moisture_Retrieval_Data_AM", "Soil_Moisture_Retrieval_Data")


def without_metadata(file):
    del file["Metadata"]


def transposed(file):
    group = file["Soil_Moisture_Retrieval_Data_AM"]
    values = group["soil_moisture"][...].T
    del group["soil_moisture"]
    group["soil_moisture"] = values
    group["soil_moisture"].attrs["units"] = "cm**3/cm**3"


def with_bytes_as_flags(file):
    group = file["Soil_Moisture_Retrieval_Data_PM"]
    values = group["surface_flag_pm"][...].astype(np.uint8)
    del group["surface_flag_pm"]
    group["surface_flag_pm"] = values


@pytest.mark.parametrize(
    ("change", "short_name", "message"),
    [
        (without_group, "SPL3SMP", "_PM/retrieval_qual_flag_pm, found in / Metadata, Soil_"),
        (as_early_releases, "SPL3SMP", "_AM/longitude, found in / Metadata, Soil_"),
        (without_metadata, "SPL3SMP_E", "of 406 x 964 cells, found 1624 x 3856"),
        (transposed, "SPL3SMP", "AM/soil_moisture of 406 x 964 cells, found 964 x 406"),
        (with_bytes_as_flags, "SPL3SMP", "surface_flag_pm of 16 bits a cell, found uint8"),
    ],
)
def test_files_whose_groups_and_layers_differ_are_named(change, short_name, message, tmp_path):
    path = write_smap(tmp_path, short_name, START, name=smap_name("SPL3SMP", START))
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(GranuleError, match=message) as error:
        SMAP_L3.read(path)
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("day", "is_expected"),
    [
        (date(2015, 3, 30), False),
        (date(2015, 3, 31), True),
        (date(2019, 6, 18), True),
        (date(2019, 6, 19), False),
        (date(2019, 7, 23), False),
        (date(2019, 7, 24), True),
        (date(2022, 8, 6), False),
        (date(2022, 9, 20), False),
        (date(2022, 9, 21), True),
    ],
)
def test_nothing_was_produced_in_outages(day, is_expected):
    assert SMAP_L3.expects(day) == SMAP_L3E.expects(day) == is_expected


def test_the_newest_release_of_a_day_is_used(tmp_path):
    for release, version in (("R16510", 1), ("R18290", 1), ("R18290", 2)):
        (tmp_path / smap_name("SPL3SMP", START, release, version)).write_bytes(b"x")
    index = index_granules(SMAP_L3, str(tmp_path), list_bucket(str(tmp_path)))
    assert [entry.granule.produced for entry in index.granules] == ["R18290_002"]
    assert len(index.duplicates) == 2


def test_days_of_other_years_are_left_to_them(tmp_path):
    path = write_smap(tmp_path, "SPL3SMP", date(2018, 12, 31))
    assert steps_of(path).sizes["time"] == 0
