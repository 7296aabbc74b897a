"""ESA CCI and C3S: names, versions, flags bit by bit, ranges, and files of another kind."""

from datetime import date

import h5py
import numpy as np
import pytest

from smcloud.core.errors import GranuleError
from smcloud.grids.grid import GLOBAL025
from smcloud.grids.tiles import TileYear
from smcloud.ingest.index import index_granules, list_bucket
from smcloud.sources.cci import CCI_ACTIVE, CCI_COMBINED, CCI_PASSIVE
from smcloud.sources.quality import CCI_FLAG
from tests.sources.satellite_files import START, around, cci_name, write_cci

KEY = TileYear("global025", "globe", 2019)
SQUARE = around(GLOBAL025, 20)


def values_of(path, source=CCI_PASSIVE, quality="", within=SQUARE):
    dataset = source.read(path, quality=quality)
    try:
        return source.steps([dataset], KEY, within=within)["soil_moisture"].values[0]
    finally:
        dataset.close()


def test_names_of_both_makers_tell_product_day_and_version():
    esa = CCI_PASSIVE.identify("ESACCI-SOILMOISTURE-L3S-SSMV-PASSIVE-20161227000000-fv04.2.nc")
    c3s = CCI_ACTIVE.identify(
        "C3S-SOILMOISTURE-L3S-SSMS-ACTIVE-DAILY-20140101000000-TCDR-v201801.0.0.nc"
    )
    assert (esa.start, esa.produced) == (date(2016, 12, 27), "fv04.2")
    assert (c3s.start, c3s.produced) == (date(2014, 1, 1), "v201801.0.0-TCDR")


@pytest.mark.parametrize(
    "name",
    [
        "ESACCI-SOILMOISTURE-L3S-SSMV-ACTIVE-20161227000000-fv04.2.nc",
        "ESACCI-SOILMOISTURE-L3S-SSMV-PASSIVE-20161327000000-fv04.2.nc",
        "ESACCI-SOILMOISTURE-L3S-SSMV-COMBINED_ADJUSTED-20161227000000-fv08.1.nc",
        "ESACCI-SOILMOISTURE-L3S-SSMV-COMBINED-20161227000000-fv04.2.nc",
    ],
)
def test_names_of_other_products_and_impossible_days_are_no_names(name):
    assert CCI_PASSIVE.identify(name) is None
    assert CCI_ACTIVE.identify(name) is None


def test_the_newest_version_of_a_day_is_used_and_final_data_before_interim(tmp_path):
    for name in (
        cci_name("PASSIVE", START, "v202012.0.0"),
        cci_name("PASSIVE", START, "v202212.0.0", "ICDR"),
        cci_name("PASSIVE", START, "v202212.0.0", "TCDR"),
    ):
        (tmp_path / name).write_bytes(b"x")
    index = index_granules(CCI_PASSIVE, str(tmp_path), list_bucket(str(tmp_path)))
    assert [g.granule.produced for g in index.granules] == ["v202212.0.0-TCDR"]
    assert len(index.duplicates) == 2


def test_values_up_to_098_are_kept_and_active_is_in_percent(tmp_path):
    passive = values_of(write_cci(tmp_path, "PASSIVE", START), quality="all")
    assert np.nanmax(passive) == np.float32(0.98)
    active = values_of(write_cci(tmp_path, "ACTIVE", START), CCI_ACTIVE, "all")
    assert np.nanmax(active) == 95.0
    assert CCI_ACTIVE.schema.variables[0].units == "%"
    assert CCI_COMBINED.schema.variables[0].units == "m3 m-3"


def test_the_globe_outside_the_observations_is_unknown(tmp_path):
    whole = values_of(write_cci(tmp_path, "PASSIVE", START), quality="all", within=GLOBAL025.window)
    assert np.isfinite(whole).sum() == 400


KEPT = {
    0: ("recommended", "attempted", "all"),
    1: ("all",),
    2: ("attempted", "all"),
    4: ("all",),
    8: ("all",),
    16: ("attempted", "all"),
    32: ("all",),
    64: ("recommended", "attempted", "all"),
    2 | 16: ("attempted", "all"),
    1 | 2: ("all",),
    64 | 1: ("all",),
    127: ("all",),
}


@pytest.mark.parametrize("rule", CCI_PASSIVE.quality_rules)
@pytest.mark.parametrize("flag", KEPT)
def test_each_bit_of_the_flag_is_judged_by_each_rule(flag, rule, tmp_path):
    path = write_cci(tmp_path, "PASSIVE", START, flags=np.full((20, 20), flag, np.int8))
    is_kept = np.isfinite(values_of(path, quality=rule))
    assert is_kept.all() if rule in KEPT[flag] else not is_kept.any()


def test_every_documented_bit_is_in_the_table_once():
    assert sorted(1 << start for start, bits in CCI_FLAG.values()) == [1, 2, 4, 8, 16, 32, 64]


def test_flags_are_handed_on_as_stored(tmp_path):
    dataset = CCI_PASSIVE.read(write_cci(tmp_path, "PASSIVE", START))
    rows, cols = SQUARE.slices
    found = dataset["flag"].isel(time=0, latitude=rows, longitude=cols).values
    assert found.dtype == np.uint8
    assert set(np.unique(found)) == {0, 1}
    dataset.close()


def test_values_beyond_the_physical_range_are_unknown(tmp_path):
    values = np.full((20, 20), 0.3, np.float32)
    values[0, :3] = (-0.1, 1.2, np.nan)
    path = write_cci(tmp_path, "PASSIVE", START, values=values, flags=np.zeros((20, 20), np.int8))
    assert np.flatnonzero(np.isnan(values_of(path))).tolist() == [0, 1, 2]


def test_percent_under_volumetric_units_is_refused_and_not_made_unknown(tmp_path):
    path = write_cci(tmp_path, "PASSIVE", START, values=np.full((20, 20), 40.0))
    with pytest.raises(GranuleError, match=r"expected sm of 0 to 1 m3 m-3, found 400 of 400"):
        values_of(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"units": "kg m-2"}, "expected sm in m3 m-3, found 'kg m-2'"),
        ({"without": "sm"}, "expected a layer sm, found in / flag, lat, lon"),
        ({"without": "flag"}, "expected a layer flag"),
        ({"shape": (360, 1440)}, "expected 720 values of lat"),
        ({"name": cci_name("PASSIVE", START, "fv02.2")}, "expected version 3 or later"),
    ],
)
def test_files_of_another_layout_are_named(changes, message, tmp_path):
    path = write_cci(tmp_path, "PASSIVE", START, **changes)
    with pytest.raises(GranuleError, match=message) as error:
        CCI_PASSIVE.read(path)
    assert path.name in str(error.value)


def replaced(file, name, values):
    """Store other values under the name of a layer, with its attributes."""
    attributes = dict(file[name].attrs)
    del file[name]
    file[name] = values
    file[name].attrs.update(attributes)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "sm",
            lambda values: values.swapaxes(1, 2),
            "of 720 x 1440 cells, found 1 x 1440 x 720",
        ),
        ("sm", lambda values: values.repeat(2, axis=0), "found 2 x 720 x 1440"),
        ("sm", lambda values: (values * 100).astype(np.int16), "expected sm as float, found int16"),
        ("flag", lambda values: values.astype(np.float32), "expected flag as integer, found float"),
        ("lat", lambda values: values[::-1], "expected lat from 89.875 to -89.875, found -89.875"),
        ("lat", lambda values: values + np.nan, "expected lat from 89.875"),
        (
            "lon",
            lambda values: values + 180.0,
            "lon from -179.875 to 179.875, found 0.125",
        ),
    ],
)
def test_layers_and_axes_in_another_order_are_named(name, change, message, tmp_path):
    path = write_cci(tmp_path, "PASSIVE", START)
    with h5py.File(path, "a") as file:
        replaced(file, name, change(file[name][...]))
    with pytest.raises(GranuleError, match=message) as error:
        CCI_PASSIVE.read(path)
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)


def test_not_a_number_serves_as_fill_too(tmp_path):
    path = write_cci(tmp_path, "PASSIVE", START)
    expected = values_of(path, quality="all", within=GLOBAL025.window)
    with h5py.File(path, "a") as file:
        stored = file["sm"][...]
        file["sm"][...] = np.where(stored == -9999.0, np.nan, stored)
    found = values_of(path, quality="all", within=GLOBAL025.window)
    np.testing.assert_array_equal(found, expected)


def test_days_of_other_years_are_left_to_them(tmp_path):
    path = write_cci(tmp_path, "PASSIVE", date(2018, 12, 31))
    dataset = CCI_PASSIVE.read(path)
    assert CCI_PASSIVE.steps([dataset], KEY, within=SQUARE).sizes["time"] == 0
    dataset.close()


def test_another_product_under_this_name_is_refused(tmp_path):
    path = write_cci(tmp_path, "COMBINED", START, name=cci_name("PASSIVE", START))
    with pytest.raises(GranuleError, match="expected the product PASSIVE, found COMBINED"):
        CCI_PASSIVE.read(path)


def test_a_day_before_the_first_sensor_is_not_missing():
    assert not CCI_ACTIVE.expects(date(1991, 8, 4))
    assert CCI_ACTIVE.expects(date(1991, 8, 5))
    assert CCI_PASSIVE.expects(date(1978, 11, 1))


def test_two_files_of_a_day_fill_each_other(tmp_path):
    left, right = np.full((20, 20), np.nan), np.full((20, 20), 0.4, np.float32)
    left[:, :10] = 0.2
    good = np.zeros((20, 20), np.int8)
    paths = [
        write_cci(tmp_path / side, "PASSIVE", START, values=values, flags=good)
        for side, values in (("a", left), ("b", right))
    ]
    datasets = [CCI_PASSIVE.read(path) for path in paths]
    found = CCI_PASSIVE.steps(datasets, KEY, within=SQUARE)["soil_moisture"].values
    assert found.shape == (1, 20, 20)
    np.testing.assert_allclose(found[0, :, :10], 0.2)
    np.testing.assert_allclose(found[0, :, 10:], 0.4)
