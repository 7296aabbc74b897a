"""Stored integers of a block: unpacked as their variable says, by year, across the seam."""

from dataclasses import replace

import numpy as np
import pytest

from smcloud.cube.schema import Variable
from smcloud.features.inputs import Part, Series, lonlat_around, unpacked, unwrapped_windows
from smcloud.features.spec import QUALITY_MEANINGS, Quality
from smcloud.grids.grid import ERA5LAND, SIN1KM, Window

LST = Variable("lst", "uint16", "K", "lst", (150.0, 400.0), scale=0.02, fill=0)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "<i2", ">i2", "uint32"])
@pytest.mark.parametrize("size", [7, 40_000])
def test_unpacking_gives_what_the_variable_gives(dtype, size):
    variable = replace(LST, dtype=dtype, scale=0.013, offset=-4.5, fill=3)
    info = np.iinfo(dtype)
    rng = np.random.default_rng(1)
    stored = rng.integers(info.min, info.max, size, dtype=np.dtype(dtype).newbyteorder("="))
    stored = stored.astype(dtype)
    stored[2] = 3
    found = unpacked(stored, variable)
    assert found.dtype == np.float32
    assert np.isnan(found[2])
    np.testing.assert_array_equal(found, variable.unpack(stored))


def test_series_joins_years_and_leaves_absent_ones_unknown():
    first = Part(0, np.full((2, 3), 14_000, np.uint16), LST)
    second = Part(4, np.full((2, 3), 140, np.uint16), replace(LST, scale=2.0))
    series = Series(np.arange(100, 107), (first, second), cells=3)
    expected = np.float32([280, 280, np.nan, np.nan, 280, 280])
    np.testing.assert_allclose(series.physical(0, 6)[:, 1], expected)
    np.testing.assert_allclose(series.physical(1, 5)[:, 0], expected[1:5])
    np.testing.assert_array_equal(series.unknown(0, 6)[:, 2], np.isnan(expected))
    assert series.step_of(104) == 4


def test_cells_across_the_seam_are_read_in_two_pieces():
    assert unwrapped_windows(Window(3, 5, 10, 12), ERA5LAND) == [Window(3, 5, 10, 12)]
    assert unwrapped_windows(Window(3, 5, 3598, 3603), ERA5LAND) == [
        Window(3, 5, 3598, 3600),
        Window(3, 5, 0, 3),
    ]
    assert unwrapped_windows(Window(3, 5, 3600, 3602), ERA5LAND) == [Window(3, 5, 0, 2)]


def test_halo_beyond_the_grid_has_no_coordinates():
    lon, lat = lonlat_around(SIN1KM, Window(0, 2, 21600, 21602), 2)
    assert lon.shape == lat.shape == (6, 6)
    assert np.isnan(lon[:2]).all()
    assert lat[2:, 2].max() > 89.9


def test_every_quality_bit_has_a_meaning():
    assert list(QUALITY_MEANINGS) == [int(bit) for bit in Quality]
    assert sum(QUALITY_MEANINGS) < 32
