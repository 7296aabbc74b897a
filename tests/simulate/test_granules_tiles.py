"""MODIS and GLASS tiles hold what they were given, in the structure of real files."""

from datetime import date

import numpy as np
import pytest
from pyhdf.SD import SD

from smcloud.core.errors import ConfigError
from smcloud.simulate.granules_glass import GLASS_ALBEDO, GLASS_LAI, GLASS_LST, albedo_quality
from smcloud.simulate.granules_modis import MCD43A3, MOD09A1, MOD11A1, MOD13A2, MOD15A2H
from smcloud.simulate.hdf_eos import TilePixels, tile_corners_m, write_grid_file

DAY = date(2019, 1, 1)
PRODUCTS = (MOD11A1, MOD13A2, MOD15A2H, MOD09A1, MCD43A3, GLASS_LAI, GLASS_ALBEDO, GLASS_LST)


@pytest.fixture(scope="module")
def pixels():
    rows, cols = np.indices((5, 7)).reshape(2, -1)
    return TilePixels("h14v09", rows + 600, cols + 31)


def read(path, name):
    file = SD(str(path))
    layer = file.select(name)
    values, attributes = layer[:], layer.attributes()
    file.end()
    return values, attributes


def test_lst_comes_back_within_half_a_step_and_cloud_is_fill(tmp_path, pixels):
    lst = np.linspace(280.0, 310.0, 35)
    lst[3] = np.nan
    path = write_grid_file(tmp_path, MOD11A1, pixels, DAY, {"LST_Day_1km": lst})
    stored, attributes = read(path, "LST_Day_1km")
    square = stored[600:605, 31:38].ravel()
    assert path.name == "MOD11A1.A2019001.h14v09.061.2020123045612.hdf"
    assert stored.dtype == np.uint16
    assert square[3] == attributes["_FillValue"] == 0
    assert np.nanmax(np.abs(np.delete(square * attributes["scale_factor"] - lst, 3))) <= 0.01
    assert (stored > 0).sum() == 34


def test_qc_outside_the_pixels_says_not_produced_and_declares_no_fill(tmp_path, pixels):
    """Trap T4: zero is best quality, so an empty QC must not read as zero."""
    path = write_grid_file(tmp_path, MOD11A1, pixels, DAY, {"QC_Day": np.zeros(35, np.uint8)})
    stored, attributes = read(path, "QC_Day")
    assert "_FillValue" not in attributes
    assert (stored == 0).sum() == 35
    assert set(np.unique(stored)) == {0, 3}
    assert set(np.unique(read(path, "QC_Night")[0])) == {3}


def test_vegetation_indices_declare_a_divisor(tmp_path, pixels):
    """Trap T5: the file says 10000 and means division."""
    ndvi = np.linspace(-0.2, 1.0, 35)
    path = write_grid_file(tmp_path, MOD13A2, pixels, DAY, {"1 km 16 days NDVI": ndvi})
    stored, attributes = read(path, "1 km 16 days NDVI")
    assert attributes["scale_factor"] == 10000.0
    assert attributes["_FillValue"] == stored[0, 0] == -3000
    found = stored[600:605, 31:38].ravel() / attributes["scale_factor"]
    np.testing.assert_allclose(found, ndvi, atol=0.5e-4)


def test_half_kilometre_layers_hold_four_parts_of_each_pixel(tmp_path, pixels):
    parts = np.arange(35 * 4).reshape(35, 4) / 1000.0
    path = write_grid_file(tmp_path, MOD09A1, pixels, DAY, {"sur_refl_b02": parts})
    stored, attributes = read(path, "sur_refl_b02")
    assert stored.shape == (2400, 2400)
    first = stored[1200:1202, 62:64].ravel() * attributes["scale_factor"]
    np.testing.assert_allclose(first, parts[0], atol=1e-6)
    assert (stored != attributes["_FillValue"]).sum() == 35 * 4


def test_codes_are_stored_as_they_are(tmp_path, pixels):
    state = np.full(35, 0b1010_0000_0000_1001, np.uint16)
    path = write_grid_file(tmp_path, MOD09A1, pixels, DAY, {"sur_refl_state_500m": state})
    stored, _ = read(path, "sur_refl_state_500m")
    assert set(np.unique(stored)) == {0b1010_0000_0000_1001, 65535}


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: product.short_name)
def test_every_layer_exists_with_its_type_and_reads_empty(tmp_path, pixels, product):
    path = write_grid_file(tmp_path, product, pixels, DAY, {})
    file = SD(str(path))
    found = file.datasets()
    assert list(found) == sorted(found, key=lambda name: found[name][3])
    assert set(found) == {layer.name for layer in product.layers}
    for layer in product.layers:
        dims, shape, _, _ = found[layer.name]
        values = file.select(layer.name)[:]
        assert dims == (f"YDim:{product.grid_name}", f"XDim:{product.grid_name}")
        assert shape == (product.pixels, product.pixels)
        assert values.dtype == layer.dtype
        assert (values == layer.empty).all()
    file.end()


def test_metadata_name_product_days_and_corners(tmp_path, pixels):
    path = write_grid_file(tmp_path, MOD13A2, pixels, DAY, {})
    file = SD(str(path))
    attributes = file.attributes()
    file.end()
    struct, core = attributes["StructMetadata.0"], attributes["CoreMetadata.0"]
    # The corner of the real tile h14v09; its last decimals differ between real products.
    assert "UpperLeftPointMtrs=(-4447802.078667,0.000000)" in struct
    assert "LowerRightMtrs=(-3335851.559000,-1111950.519667)" in struct
    assert 'GridName="MODIS_Grid_16DAY_1km_VI"' in struct
    for text in ('"MOD13A2"', '"2019-01-01"', '"2019-01-16"', '"2020-05-02T04:56:12.000Z"'):
        assert text in core
    assert "= 61\n" in core


def test_equal_arguments_give_equal_bytes_in_any_folder(tmp_path, pixels):
    values = {"LST_Day_1km": np.linspace(280.0, 310.0, 35)}
    contents = []
    for name in ("a", "a-much-longer-folder-name"):
        folder = tmp_path / name
        folder.mkdir()
        contents.append(write_grid_file(folder, MOD11A1, pixels, DAY, values).read_bytes())
        assert len(list(folder.iterdir())) == 1
    assert contents[0] == contents[1]


def test_an_unknown_layer_is_refused_by_name(tmp_path, pixels):
    with pytest.raises(ConfigError, match="MOD11A1 has no layer 'LST_Noon'"):
        write_grid_file(tmp_path, MOD11A1, pixels, DAY, {"LST_Noon": np.zeros(35)})


def test_corners_of_the_globe():
    assert tile_corners_m("h00v00")[:2] == pytest.approx((-20015109.354, 10007554.677), abs=1e-3)
    assert tile_corners_m("h35v17")[2:] == pytest.approx((20015109.354, -10007554.677), abs=1e-3)


def test_albedo_quality_puts_parts_in_their_bits():
    word = albedo_quality(np.array([2]), np.array([100]), np.array([37]))
    assert word.dtype == np.uint16
    assert (word[0] & 3, word[0] >> 2 & 127, word[0] >> 9) == (2, 100, 37)
