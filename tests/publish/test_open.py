"""A published store opens in plain xarray and rioxarray, decoded and in its place."""

import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr

from .conftest import BLOCKS, moisture


@pytest.fixture(scope="module")
def opened(product_store):
    return xr.open_zarr(product_store, chunks=None, decode_coords="all")


def test_xarray_decodes_scale_fill_and_time(opened):
    moist = opened.soil_moisture
    assert moist.dims == ("time", "y", "x")
    assert moist.attrs["units"] == "m3 m-3"
    assert moist.attrs["standard_name"] == "volume_fraction_of_condensed_water_in_soil"
    assert opened.time.values[0] == np.datetime64("2019-01-01")
    assert opened.time.values[-1] == np.datetime64("2019-12-31")
    block = BLOCKS[0]
    rows, cols = block.slices
    found = moist.isel(time=195, y=rows, x=cols).values
    np.testing.assert_allclose(found, moisture(block)[195], atol=5.1e-5)


def test_rioxarray_sees_the_sinusoidal_crs(opened):
    crs = opened.rio.crs
    assert crs is not None
    assert crs.to_dict()["proj"] == "sinu"
    assert crs.to_dict()["R"] == pytest.approx(6371007.181)


def test_unwritten_pixels_are_unknown_and_flags_stay_integers(opened):
    corner = opened.isel(time=0, y=0, x=0)
    assert np.isnan(corner.soil_moisture.values)
    assert opened.quality_flag.dtype == np.uint8
