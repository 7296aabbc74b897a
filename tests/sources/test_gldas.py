"""GLDAS Noah: units, south-up axes, whole days alone, files with some variables, other files."""

from datetime import date

import numpy as np
import pytest

from smcloud.core.errors import GranuleError
from smcloud.grids.grid import GLOBAL025, Window
from smcloud.grids.tiles import TileYear
from smcloud.sources.gldas import GLDAS
from tests.sources.frozen_ground_files import PLACE, START, write_gldas

KEY = TileYear("global025", "globe", 2019)
ROW, COL = (int(index) for index in GLOBAL025.pixel_of(*PLACE))
AROUND = Window(ROW - 4, ROW + 5, COL - 4, COL + 5)
HOURS = range(0, 24, 3)


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gldas")
    warm = {hour: {"Tair_f_inst": 270.0 + hour / 3} for hour in HOURS}
    return [write_gldas(folder, START, hour, values=warm[hour]) for hour in HOURS]


def steps_of(paths, within=AROUND):
    datasets = [GLDAS.read(path) for path in paths]
    try:
        return GLDAS.steps(datasets, KEY, within=within)
    finally:
        for dataset in datasets:
            dataset.close()


def test_names_tell_day_and_hour():
    found = GLDAS.identify("GLDAS_NOAH025_3H.A20160101.0300.021.nc4")
    assert (found.start, found.produced, found.scene) == (date(2016, 1, 1), "021", "03-hours")
    assert GLDAS.identify("GLDAS_NOAH025_3H.A20160101.0300.021.nc4.SUB.nc4") is None
    assert GLDAS.identify("GLDAS_NOAH025_3H.A20160101.0300.021.SUB.nc4") is not None
    assert GLDAS.identify("GLDAS_NOAH025_3H.A20160101.0400.021.nc4") is None
    assert GLDAS.identify("GLDAS_NOAH10_3H.A20160101.0300.021.nc4") is None


def test_a_day_is_the_mean_of_its_eight_instants_north_up(day):
    found = steps_of(day)
    air = found["air_temperature"].values[0]
    # 0.1 more for each row to the north: ten rows from the southern end of what is written.
    rows = np.rint((found["latitude"].values - (PLACE[1] - 2.5 + 0.125)) / 0.25)
    expected = 270.0 + 3.5 + 0.1 * rows
    np.testing.assert_allclose(air, np.broadcast_to(expected[:, None], air.shape), atol=1e-4)
    assert (np.diff(air[:, 0]) < 0).all()
    np.testing.assert_allclose(found["soil_moisture"].values[0, :, 0], 0.25 + 0.001 * rows, 1e-5)
    assert found["snow_water"].values[0].min() >= 12.0


def test_a_day_that_lacks_an_instant_is_unknown(day):
    found = steps_of(day[:-1])
    assert found.sizes["time"] == 1
    assert all(np.isnan(values.values).all() for values in found.data_vars.values())


def test_one_instant_twice_does_not_make_a_day(day):
    found = steps_of([*day[:-1], day[0]])
    assert np.isnan(found["air_temperature"].values).all()


def test_files_may_lack_variables_but_not_all(day, tmp_path):
    others = ("Tair_f_inst", "SoilTMP0_10cm_inst", "SWE_inst")
    paths = [write_gldas(tmp_path, START, hour, without=others) for hour in HOURS]
    found = steps_of(paths)
    assert np.isfinite(found["soil_moisture"].values).all()
    assert np.isnan(found["soil_temperature"].values).all()
    none = write_gldas(tmp_path / "none", START, 0, without=(*others, "SoilMoi0_10cm_inst"))
    with pytest.raises(GranuleError, match=r"expected one of Tair_f_inst, .* found none"):
        GLDAS.read(none)
    mixed = steps_of([*day[:4], *paths[4:]])
    assert np.isfinite(mixed["soil_moisture"].values).all()
    assert np.isnan(mixed["air_temperature"].values).all()


def test_rows_south_of_60_degrees_are_unknown(day):
    found = steps_of(day, Window(590, 610, 0, 4))
    assert found["air_temperature"].shape == (1, 20, 4)
    assert np.isnan(found["air_temperature"].values).all()


def test_glaciers_hold_the_greatest_snow(tmp_path):
    deep = {"SWE_inst": 30_000.0}
    found = steps_of([write_gldas(tmp_path, START, hour, values=deep) for hour in HOURS])
    assert (found["snow_water"].values == 6000.0).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"units": {"SoilMoi0_10cm_inst": "m3 m-3"}}, "expected SoilMoi0_10cm_inst in kg m-2"),
        ({"north_up": True}, "expected lat from -59.875 to 89.875, found 89.875"),
        ({"told_hour": 6}, "expected the time 2019-01-01T03:00, found 2019-01-01T06:00"),
    ],
)
def test_other_layouts_are_refused_in_one_line(changes, words, tmp_path):
    path = write_gldas(tmp_path, START, 3, **changes)
    with pytest.raises(GranuleError) as error:
        GLDAS.read(path)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
