"""The NetCDF file of a tile-year holds the cube's values and says where they are."""

import numpy as np
import pytest
import xarray as xr

from smcloud.core.errors import CubeError
from smcloud.grids.grid import SIN1KM, Window
from smcloud.publish.netcdf import NetcdfTask, write_netcdf
from tests.publish.cf_faults import cf_faults

from .conftest import BLOCKS, SCHEMA, TILE, YEAR, block_at, moisture

WINDOW = Window(BLOCKS[0].row0, BLOCKS[0].row1, BLOCKS[0].col0, BLOCKS[1].col1)


@pytest.fixture(scope="module")
def path(product_store, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("netcdf"))
    return write_netcdf(NetcdfTask(product_store, SCHEMA, YEAR, TILE, WINDOW, BLOCKS, folder))


def test_values_are_those_of_the_cube_and_gaps_stay_gaps(path):
    with xr.open_dataset(path, engine="h5netcdf") as found:
        expected = np.concatenate([moisture(block)[[0, 45, 364]] for block in BLOCKS], axis=2)
        days = found.soil_moisture.isel(time=[0, 45, 364]).values
        np.testing.assert_allclose(days, expected, atol=5.1e-5)
        assert str(found.time.values[45])[:10] == "2019-02-15"
        assert found.quality_flag.dtype == np.uint8


def test_every_pixel_has_its_longitude_and_latitude(path):
    with xr.open_dataset(path, engine="h5netcdf") as found:
        lon, lat = SIN1KM.lonlat(WINDOW)
        np.testing.assert_array_equal(found.lon.values, lon)
        np.testing.assert_array_equal(found.lat.values, lat)
        assert set(found.soil_moisture.coords) >= {"lon", "lat"}


@pytest.mark.filterwarnings("ignore")  # of the checker's own dependencies
def test_the_cf_checker_finds_nothing(path, tmp_path):
    assert cf_faults(path, tmp_path) == []
    with xr.open_dataset(path, engine="h5netcdf", decode_cf=False) as found:
        assert found.spatial_ref.attrs["longitude_of_projection_origin"] == 0


def test_a_lost_block_is_an_error(product_store, tmp_path):
    lost = block_at(0, 0)
    task = NetcdfTask(product_store, SCHEMA, YEAR, TILE, lost, (lost,), str(tmp_path))
    with pytest.raises(CubeError, match="lacks the object"):
        write_netcdf(task)
