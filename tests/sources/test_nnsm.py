"""NNsm: names by day of year, either order of rows and columns, refusals."""

from datetime import date

import numpy as np
import pytest

from smcloud.core.errors import GranuleError
from smcloud.grids.grid import EASE2_36KM
from smcloud.grids.tiles import TileYear
from smcloud.sources.nnsm import AMSR_NNSM, MWRI_NNSM
from tests.sources.satellite_files import around, write_nnsm

DAY = date(2012, 12, 31)
KEY = TileYear("ease2_36km", "globe", 2012)
SQUARE = around(EASE2_36KM, 12)


def values_of(path, within=SQUARE):
    dataset = AMSR_NNSM.read(path)
    try:
        return AMSR_NNSM.steps([dataset], KEY, within=within)["soil_moisture"].values[0]
    finally:
        dataset.close()


def test_names_count_the_days_of_the_year():
    assert AMSR_NNSM.identify("NNsm-AMSR-2012366.nc").start == DAY
    assert AMSR_NNSM.identify("NNsm-AMSR2-2013001.nc").start == date(2013, 1, 1)
    assert MWRI_NNSM.identify("NNsm-FY-2013001.nc").start == date(2013, 1, 1)
    for name in ("NNsm-FY-2013001.nc", "NNsm-AMSR-2013366.nc", "NNsm-AMSR-2013000.nc"):
        assert AMSR_NNSM.identify(name) is None


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("units", ["m3/m3", ""])
def test_either_order_of_rows_and_columns_is_read(turned, units, tmp_path):
    path = write_nnsm(tmp_path, "AMSR", DAY, turned=turned, units=units)
    expected = np.linspace(0.03, 0.5, 144, dtype=np.float32).reshape(12, 12)
    np.testing.assert_array_equal(values_of(path), expected)
    assert np.isfinite(values_of(path, EASE2_36KM.window)).sum() == 144


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (400, 964)}, "of 406 x 964 cells, found 400 x 964"),
        ({"units": "percent"}, "expected soil_moisture in .*, found 'percent'"),
        ({"flip": True}, "expected latitude from 83.632 to -83.632, found -83.632 to 83.632"),
    ],
)
def test_files_of_another_layout_are_named_in_one_line(changes, message, tmp_path):
    path = write_nnsm(tmp_path, "AMSR", DAY, **changes)
    with pytest.raises(GranuleError, match=message) as error:
        AMSR_NNSM.read(path)
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)


def test_percent_is_refused(tmp_path):
    path = write_nnsm(tmp_path, "AMSR", DAY, values=np.full((12, 12), 25.0))
    with pytest.raises(GranuleError, match="of 0 to 1"):
        values_of(path)


def test_the_gap_between_the_sensors_is_known():
    assert AMSR_NNSM.expects(date(2011, 10, 4))
    assert not AMSR_NNSM.expects(date(2011, 10, 5))
    assert not AMSR_NNSM.expects(date(2012, 7, 1))
    assert MWRI_NNSM.expects(date(2012, 1, 1))
