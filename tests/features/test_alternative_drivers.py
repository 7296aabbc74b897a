"""Sources that may stand in for a product's own: native files to cubes to its features."""

import numpy as np
import pytest

from smcloud.cube.store import create_store
from smcloud.features.blockwise import FeatureReader
from smcloud.features.catalogue import features_named
from smcloud.features.spec import CubeSet
from smcloud.grids.grid import Window
from smcloud.grids.tiles import TileYear
from smcloud.ingest.cubes import ingest_slab
from smcloud.ingest.index import index_granules, list_bucket
from smcloud.ingest.plan import plan_ingest
from smcloud.products.registry import product_named
from smcloud.simulate.samples import SAMPLE_START, SAMPLE_TILE, sample_window, write_sample
from smcloud.sources.registry import SOURCES

DAYS = np.array([SAMPLE_START, "2019-01-02"], "datetime64[D]")
HOME = sample_window()
WINDOW = Window(HOME.row0 + 10, HOME.row0 + 40, HOME.col0 + 10, HOME.col0 + 40)
POINTS = np.arange(0, 900, 7)


def columns_of(word, source, names, folder):
    """Return columns of a sample by the drivers of smap-downscaling with one of them chosen."""
    product = product_named("smap-downscaling").with_drivers({word: source})
    reader = SOURCES[source]
    write_sample(source, folder / "in")
    index = index_granules(reader, str(folder / "in"), list_bucket(str(folder / "in")))
    year = None if reader.schema.is_static else SAMPLE_START.year
    key = TileYear("sin1km", SAMPLE_TILE, year)
    task = plan_ingest(reader, index, str(folder / "out"), [key])[0]
    create_store(task.cube_url, reader.schema, year)
    assert ingest_slab(task).damaged == ()
    cubes = CubeSet({source: task.cube_url.rsplit("/", 1)[0]})
    features = FeatureReader(features_named(names, product.drivers), product.drivers, cubes)
    return features.compute(features.read(WINDOW, DAYS, POINTS))


def test_texture_of_china_and_the_porosity_that_it_leaves(tmp_path):
    names = ("sand", "silt", "clay", "porosity")
    found = columns_of("soil", "china_soil", names, tmp_path)
    assert np.isfinite(found.values).all()
    sand, silt, clay, porosity = found.values[:, 0]
    assert 20 <= sand.min() < sand.max() <= 60
    assert 14 <= silt.min() <= silt.max() <= 26
    assert 9 <= clay.min() <= clay.max() <= 16
    np.testing.assert_allclose(porosity, 0.489 - 0.00126 * sand, atol=1e-6)
    np.testing.assert_array_equal(found.values[:, 1], found.values[:, 0])


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("mcd43d51", "albedo_black_sky"),
        ("mcd43d58", "albedo_white_sky_band7"),
        ("mcd43d61", "albedo_white_sky"),
    ],
)
def test_albedo_of_30_arc_seconds(source, name, tmp_path):
    pytest.importorskip("pyhdf")
    product = product_named("smap-downscaling").with_drivers({"albedo": source})
    assert name in product.features
    found = columns_of("albedo", source, (name,), tmp_path)
    known = np.isfinite(found.values[0])
    assert 0.5 < known.mean() < 1.0
    assert 0.1 <= found.values[0][known].min() <= found.values[0][known].max() <= 0.3
    first, second = found.values[0]
    assert not np.array_equal(first, second, equal_nan=True)
