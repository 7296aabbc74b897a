"""Real tiles as features of smap-downscaling, by the reader and the cells that production has."""

import numpy as np
import pytest

from smcloud.cube.store import create_store
from smcloud.features.blockwise import FeatureReader
from smcloud.features.catalogue import features_named
from smcloud.features.spec import CubeSet, Quality
from smcloud.grids.cells import Aggregation, aggregate, cells_in, land_in, reach, sampled
from smcloud.grids.grid import EASE2_36KM, GLOBAL025, SIN1KM, Window
from smcloud.grids.land import land_mask
from smcloud.grids.tiles import TileYear, tile_window
from smcloud.ingest.cubes import ingest_slab
from smcloud.ingest.index import index_granules, list_bucket
from smcloud.ingest.plan import plan_ingest
from smcloud.products.smap_downscaling import SMAP_DOWNSCALING
from smcloud.sources.cci import CCI_COMBINED
from smcloud.sources.modis import MOD09A1, MOD11A1
from smcloud.sources.registry import SOURCES

pytestmark = pytest.mark.real
LST_TILE = tile_window(SIN1KM, "h14v09")
LST_DAY = np.array(["2019-11-01"], "datetime64[D]")
INDICES = ("ndwi", "lswi", "nsdsi3")


def cube_of(source, realdata, folder, key):
    """Ingest the slab of a real file as the product has it ingested; return the cubes' prefix."""
    pytest.importorskip("pyhdf")
    (driver,) = (one for one in SMAP_DOWNSCALING.drivers if one.source == source)
    reader, url = SOURCES[source], str(realdata / "modis")
    index = index_granules(reader, url, list_bucket(url))
    tasks = plan_ingest(reader, index, str(folder), [key], quality=driver.quality)
    (task,) = (one for one in tasks if one.granules)
    create_store(task.cube_url, reader.schema, key.year)
    assert ingest_slab(task).granules_read == 1
    return task.cube_url.rsplit("/", 1)[0]


def columns_of(names, source, prefix, window, days, points):
    drivers = SMAP_DOWNSCALING.drivers
    features = features_named(names, drivers)
    reader = FeatureReader(features, drivers, CubeSet({source: prefix}))
    return reader.compute(reader.read(window, days, points))


@pytest.fixture(scope="module")
def temperature(realdata, tmp_path_factory):
    """Return the land pixels of the tile and their feature lst_day on the day of the file."""
    key = TileYear("sin1km", "h14v09", 2019)
    prefix = cube_of("mod11a1", realdata, tmp_path_factory.mktemp("lst"), key)
    points = np.flatnonzero(land_mask(LST_TILE))
    found = columns_of(("lst_day",), "mod11a1", prefix, LST_TILE, LST_DAY, points)
    return points, found


def test_strict_temperature_is_the_feature_on_every_good_land_pixel(temperature, real_file):
    points, found = temperature
    file = MOD11A1.read(real_file("modis/MOD11A1.A2019305.h14v09*.hdf"), quality="good")
    expected = file["lst_day"].values.ravel()[points]
    np.testing.assert_allclose(found.values[0, 0], expected, atol=4e-5)  # float32 at 300 K
    known = np.isfinite(expected)
    np.testing.assert_array_equal(known, file["qc_day"].values.ravel()[points] == 0)
    assert 200_000 < known.sum() < 251_784  # the rest of the good ones is water by our mask
    assert 291.0 < expected[known].min() < expected[known].max() < 326.0
    is_flagged = (found.flags[0] & Quality.LST_UNKNOWN) != 0
    np.testing.assert_array_equal(is_flagged, ~known)


@pytest.mark.parametrize("grid", [EASE2_36KM, GLOBAL025], ids=lambda grid: grid.name)
def test_real_temperature_comes_to_the_cells_of_smap_and_cci(grid, temperature):
    """Each cell's mean is that of its land pixels, found apart by the cell of each pixel."""
    points, found = temperature
    values = np.full(LST_TILE.shape[0] * LST_TILE.shape[1], np.nan, np.float32)
    values[points] = found.values[0, 0]
    inner = Window(LST_TILE.row0 + 300, LST_TILE.row1 - 300, LST_TILE.col0, LST_TILE.col0 + 800)
    cells = cells_in(grid, inner)
    around = reach(cells, inner).intersect(LST_TILE)
    inside, cell_of = sampled(cells, LST_TILE, Aggregation("mean", 0.5))
    land = land_in(cells, around)
    means = aggregate(
        values[None, inside], cell_of, cells.rows.size, land, Aggregation("mean", 0.5)
    )
    lon, lat = (axis.ravel()[points] for axis in SIN1KM.lonlat(LST_TILE))
    row, col = grid.pixel_of(lon, lat)
    known_cells = np.flatnonzero(np.isfinite(means[0]))
    assert known_cells.size > 50
    for cell in known_cells[::17]:
        own = (row == cells.rows[cell]) & (col == cells.cols[cell])
        temperatures = values[points][own]
        assert np.isfinite(temperatures).mean() >= 0.5
        assert means[0, cell] == pytest.approx(np.nanmean(temperatures, dtype=np.float64), abs=1e-3)
    spread = np.nanstd(means[0]) / np.nanstd(found.values[0, 0])
    assert 0.2 < spread < 1.0


def test_the_pixel_at_the_centre_is_the_published_way_to_the_cell(temperature):
    points, found = temperature
    values = np.full(LST_TILE.shape[0] * LST_TILE.shape[1], np.nan, np.float32)
    values[points] = found.values[0, 0]
    cells = cells_in(EASE2_36KM, LST_TILE)
    rule = Aggregation("nearest")
    inside, cell_of = sampled(cells, LST_TILE, rule)
    ones = np.ones(cells.rows.size, np.int64)
    nearest = aggregate(values[None, inside], cell_of, cells.rows.size, ones, rule)[0]
    row, col = SIN1KM.pixel_of(*cells.lonlat)
    expected = values.reshape(LST_TILE.shape)[row - LST_TILE.row0, col - LST_TILE.col0]
    np.testing.assert_array_equal(nearest, expected)
    assert 20 < np.isfinite(nearest).sum() < cells.rows.size


def test_cci_knows_moisture_in_cells_that_the_temperature_tile_covers(temperature, real_file):
    """Another year than the tile's: the cells meet, and what is known of both is told apart."""
    points, found = temperature
    cells = cells_in(GLOBAL025, LST_TILE)
    dataset = CCI_COMBINED.read(real_file("cci/C3S*COMBINED*20170701*"))
    globe = CCI_COMBINED.steps([dataset], TileYear("global025", "globe", 2017))
    dataset.close()
    moisture = globe["soil_moisture"].values[0][cells.rows, cells.cols]
    values = np.full(LST_TILE.shape[0] * LST_TILE.shape[1], np.nan, np.float32)
    values[points] = found.values[0, 0]
    inside, cell_of = sampled(cells, LST_TILE, Aggregation())
    land = land_in(cells, LST_TILE)
    warm = aggregate(values[None, inside], cell_of, cells.rows.size, land, Aggregation())[0]
    both = np.isfinite(moisture) & np.isfinite(warm)
    assert both.sum() > 50
    assert 0.0 < moisture[both].min() < moisture[both].max() < 0.6


@pytest.fixture(scope="module")
def water(realdata, tmp_path_factory, real_file):
    """Return the known pixels of the MOD09A1 cut-out, its indices, and its bands at 1 km."""
    key = TileYear("sin1km", "h18v04", 2017)
    prefix = cube_of("mod09a1", realdata, tmp_path_factory.mktemp("bands"), key)
    file = MOD09A1.read(real_file("modis/MOD09A1*.hdf"))
    steps = MOD09A1.steps([file], key)
    home = tile_window(SIN1KM, "h18v04")
    known = np.isfinite(steps["nir"].values[0])
    rows, cols = (np.flatnonzero(known.any(axis=axis)) for axis in (1, 0))
    edges = (rows[0], rows[-1] + 1, cols[0], cols[-1] + 1)
    row0, row1, col0, col1 = (int(edge) for edge in edges)
    window = Window(home.row0 + row0, home.row0 + row1, home.col0 + col0, home.col0 + col1)
    days = np.arange("2017-07-12", "2017-07-20", dtype="datetime64[D]")
    points = np.arange(window.shape[0] * window.shape[1])
    found = columns_of(INDICES, "mod09a1", prefix, window, days, points)
    down, across = window.within(home)
    bands = {name: steps[name].values[0, down, across].ravel() for name in MOD09A1.layers}
    return bands, found


def test_water_and_soil_indices_of_the_real_cut_out_are_the_published_ratios(water):
    """Bands as the cube keeps them, to 0.0001; a lone composite is held through its own days."""
    bands, found = water
    kept = {
        name: MOD09A1.schema.variable(name).unpack(MOD09A1.schema.variable(name).pack(values))
        for name, values in bands.items()
    }
    pairs = {"ndwi": ("nir", "swir1"), "lswi": ("nir", "swir2"), "nsdsi3": ("swir2", "swir3")}
    for number, name in enumerate(INDICES):
        first, second = (kept[band].astype(np.float64) for band in pairs[name])
        ratio = (first - second) / (first + second)
        expected = np.where(np.abs(ratio) <= 1.0, ratio, np.nan)
        known = np.isfinite(found.values[number])
        assert known.any(axis=0).sum() == np.isfinite(expected).sum() > 400
        np.testing.assert_allclose(
            found.values[number][known], np.broadcast_to(expected, known.shape)[known], atol=2e-6
        )
    ndwi, lswi, nsdsi3 = (float(np.nanmedian(values)) for values in found.values)
    assert -0.3 < ndwi < 0.5
    assert -0.3 < lswi < 0.7
    assert 0.0 < nsdsi3 < 0.7


def test_pixels_hidden_by_cloud_are_flagged_and_not_guessed(water):
    bands, found = water
    unknown = np.isnan(bands["swir2"])
    assert unknown.any()
    assert np.isnan(found.values[1][:, unknown]).all()
    assert ((found.flags[:, unknown] & Quality.COMPOSITE_MISSING) != 0).all()
