"""A tile put together without the HDF4 library reads as the one that the library wrote."""

from datetime import date

import numpy as np
import pytest
from pyhdf.SD import SD

from smcloud.simulate.hdf_eos import TilePixels, write_grid_file
from smcloud.simulate.sparse_tiles import SparseTile, without_layers
from smcloud.simulate.tile_files import TILE_SOURCES

TILE = "h18v04"
START = date(2019, 3, 6)


@pytest.fixture(scope="module")
def pixels():
    rng = np.random.default_rng(4)
    flat = np.unique(np.concatenate([rng.integers(0, 1200 * 1200, 60), [0, 1, 1439999, 720_500]]))
    flat = np.unique(np.concatenate([flat, np.arange(500_000, 500_040)]))
    return TilePixels(TILE, flat // 1200, flat % 1200)


def values_of(product, pixels, seed):
    rng = np.random.default_rng(seed)
    values = {}
    for layer in product.layers:
        if layer.scale is None:
            high = 2 ** (8 * np.dtype(layer.dtype).itemsize - 1)
            values[layer.name] = rng.integers(0, high, len(pixels.rows)).astype(layer.dtype)
            continue
        low, high = layer.valid or (0, 100)
        drawn = rng.uniform(low, high, len(pixels.rows)) * layer.scale + (layer.offset or 0)
        values[layer.name] = np.where(rng.random(len(pixels.rows)) < 0.2, np.nan, drawn)
    return values


def content(path):
    file = SD(str(path))
    layers = {}
    for name in sorted(file.datasets()):
        layer = file.select(name)
        layers[name] = (layer[:], layer.attributes(full=1), layer.dimensions())
        layer.endaccess()
    attributes = file.attributes(full=1)
    file.end()
    return layers, attributes


@pytest.mark.parametrize("source", sorted(TILE_SOURCES))
def test_values_and_attributes_are_those_of_the_library(tmp_path, pixels, source):
    product = TILE_SOURCES[source].product
    values = values_of(product, pixels, 1)
    tile = SparseTile(product, pixels)
    tile.file(date(2018, 1, 1), values_of(product, pixels, 2))
    expected, told = content(write_grid_file(tmp_path, product, pixels, START, values))
    path = tmp_path / "put-together.hdf"
    path.write_bytes(tile.file(START, values))
    found, tells = content(path)
    assert tells == told
    assert found.keys() == expected.keys()
    for name, (array, attributes, dimensions) in expected.items():
        np.testing.assert_array_equal(found[name][0], array)
        assert found[name][1] == attributes
        assert found[name][2] == dimensions


def test_layers_that_nobody_filled_read_as_fill(tmp_path, pixels):
    product = TILE_SOURCES["mod11a1"].product
    path = tmp_path / "few.hdf"
    path.write_bytes(SparseTile(product, pixels).file(START, {"LST_Night_1km": pixels.rows * 0.0}))
    file = SD(str(path))
    assert (file.select("LST_Day_1km")[:] == 0).all()
    assert (file.select("QC_Day")[:] == 3).all()
    file.end()


def test_a_file_is_the_same_whatever_was_made_before_it(pixels):
    product = TILE_SOURCES["mod13a2"].product
    values = values_of(product, pixels, 3)
    after = SparseTile(product, pixels)
    after.file(date(2017, 1, 1), values_of(product, pixels, 5))
    assert after.file(START, values) == SparseTile(product, pixels).file(START, values)


def test_what_is_no_hdf4_file_is_refused():
    with pytest.raises(ValueError, match="no HDF4 file"):
        without_layers(b"\x89HDF")
