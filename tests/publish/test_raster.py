"""GeoTIFFs hold the cube's values in the place where the data set puts them."""

import numpy as np
import pytest
import rasterio
import rioxarray  # noqa: F401
import xarray as xr
from rio_cogeo.cogeo import cog_validate

from smcloud.core.errors import ConfigError, CubeError
from smcloud.grids.grid import PIXEL_M, SIN1KM, Window
from smcloud.grids.tiles import tile_window
from smcloud.publish.raster import REGION, RasterTask, RegionTask, write_raster, write_region
from smcloud.validation.collocation import Layer

from .conftest import BLOCKS, SCHEMA, TILE, YEAR, block_at, moisture


@pytest.fixture(scope="module")
def record(product_store, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("cog"))
    layer = Layer(product_store, SCHEMA, YEAR, "soil_moisture")
    return write_raster(RasterTask(layer, TILE, "2019-07-15", BLOCKS, folder))


def test_the_file_lies_where_the_modis_grid_says(record):
    with rasterio.open(record.url) as raster:
        assert raster.shape == (1200, 1200)
        # h18v04: the prime meridian and 50 degrees north, on the sphere
        assert raster.transform.c == pytest.approx(0.0, abs=1e-6)
        assert raster.transform.f == pytest.approx(5559752.598333, abs=1e-5)
        assert raster.transform.a == pytest.approx(926.6254330558334, abs=1e-9)
        assert raster.crs.to_dict()["proj"] == "sinu"
        assert raster.crs.to_dict()["R"] == pytest.approx(6371007.181)


def test_unknown_is_minus_9999_and_known_is_the_stored_value(record):
    with rasterio.open(record.url) as raster:
        assert raster.nodata == -9999
        assert raster.scales == (0.0001,)
        stored = raster.read(1)
    day = 195  # 15 July
    for block in BLOCKS:
        expected = SCHEMA.variables[0].pack(moisture(block)[day])
        found = stored[block.within(tile_window(SIN1KM, TILE))]
        np.testing.assert_array_equal(found, expected)
    assert stored[0, 0] == -9999
    assert record.known_pixels == (stored != -9999).sum() > 10_000


def test_it_is_a_valid_cog_with_overviews(record):
    valid, errors, _ = cog_validate(record.url)
    assert valid, errors
    with rasterio.open(record.url) as raster:
        assert raster.overviews(1) == [2, 4]


def test_rioxarray_reads_it_masked_and_scaled(record):
    found = xr.open_dataset(record.url, engine="rasterio", mask_and_scale=True).band_data[0]
    assert float(found.max()) == pytest.approx(0.35, abs=0.01)
    assert float(found.min()) > 0


def test_the_same_values_make_the_same_bytes(product_store, tmp_path):
    layer = Layer(product_store, SCHEMA, YEAR, "soil_moisture")
    files = []
    for name in ("a", "b"):
        write_raster(RasterTask(layer, TILE, "2019-07-15", BLOCKS, str(tmp_path / name)))
        files.append((tmp_path / name / "glass-sm.h18v04.2019-07-15.tif").read_bytes())
    assert files[0] == files[1]


def test_a_lost_block_is_an_error_and_not_a_gap(product_store, tmp_path):
    layer = Layer(product_store, SCHEMA, YEAR, "soil_moisture")
    task = RasterTask(layer, TILE, "2019-07-15", (block_at(0, 0),), str(tmp_path))
    with pytest.raises(CubeError, match="lacks the object"):
        write_raster(task)


def test_a_day_of_another_year_is_refused(product_store, tmp_path):
    layer = Layer(product_store, SCHEMA, YEAR, "soil_moisture")
    with pytest.raises(ConfigError, match="not a day of 2019"):
        write_raster(RasterTask(layer, TILE, "2020-01-01", BLOCKS, str(tmp_path)))


@pytest.fixture(scope="module")
def region(product_store, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("region"))
    layer = Layer(product_store, SCHEMA, YEAR, "soil_moisture")
    return write_region(RegionTask(layer, "2019-07-15", BLOCKS, folder))


def test_a_region_holds_its_blocks_in_physical_values_where_the_grid_has_them(region):
    window = RegionTask(None, "2019-07-15", BLOCKS, "").window
    with rasterio.open(region.url) as raster:
        assert raster.shape == window.shape
        assert raster.dtypes == ("float32",)
        assert (raster.nodata, raster.scales) == (-9999, (1.0,))
        assert raster.transform.c == pytest.approx(SIN1KM.x[window.col0] - PIXEL_M / 2)
        assert raster.transform.f == pytest.approx(SIN1KM.y[window.row0] + PIXEL_M / 2)
        values = raster.read(1)
    variable = SCHEMA.variables[0]
    for block in BLOCKS:
        expected = variable.unpack(variable.pack(moisture(block)[195]))
        found = values[block.within(window)]
        np.testing.assert_array_equal(found, np.where(np.isnan(expected), -9999, expected))
    assert region.tile == REGION
    assert region.known_pixels == (values != -9999).sum() > 0


def test_a_region_is_a_valid_cog_and_the_same_bytes_again(region, product_store, tmp_path):
    valid, errors, _ = cog_validate(region.url)
    assert valid, errors
    layer = Layer(product_store, SCHEMA, YEAR, "soil_moisture")
    again = write_region(RegionTask(layer, "2019-07-15", BLOCKS, str(tmp_path)))
    with open(region.url, "rb") as one, open(again.url, "rb") as other:
        assert one.read() == other.read()


def test_tiles_a_globe_apart_are_refused_in_one_file():
    corners = (Window(0, 150, 0, 150), Window(21000, 21150, 43000, 43150))
    with pytest.raises(ConfigError, match=r"21,150 x 43,150 pixels.*lie closer together"):
        RegionTask(None, "2019-07-15", corners, "")
