"""MCD43D: codes and their meaning, quality in files beside, and cells read around pixels alone."""

import shutil
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from smcloud.core.errors import ConfigError, GranuleError
from smcloud.cube.store import create_store, open_cube
from smcloud.grids.grid import GLOBAL30S, SIN1KM, Window
from smcloud.grids.tiles import TileYear, tile_window
from smcloud.ingest.cubes import ingest_slab
from smcloud.ingest.index import index_granules, list_bucket
from smcloud.ingest.plan import plan_ingest
from smcloud.simulate.granules_mcd43d import (
    BAND_QUALITY,
    OVERALL_QUALITY,
    QUALITY,
    SNOW,
    SNOW_STATUS,
    WHITE_SKY,
    WHITE_SKY_BAND7,
    GlobeCells,
    write_globe_file,
)
from smcloud.simulate.samples import SAMPLE_START, sample_window, write_sample
from smcloud.sources.hdf_eos import GridFile
from smcloud.sources.mcd43d import MCD43D, MCD43D51, MCD43D58, MCD43D61, albedo_product
from tests.sources.conftest import sample_key

KEY = TileYear("sin1km", "h18v04", 2019)
WHITE = "albedo_wsa_shortwave"


def test_t02_band_7_albedo_is_not_taken_for_shortwave():
    assert (albedo_product("MCD43D58").sky, albedo_product("MCD43D58").band) == (
        "white-sky",
        "band 7",
    )
    assert not albedo_product("MCD43D58").is_shortwave
    shortwave = sorted(code for code, meaning in MCD43D.items() if meaning.is_shortwave)
    assert shortwave == ["MCD43D51", "MCD43D61"]
    assert albedo_product("MCD43D61").sky == "white-sky"
    assert len(MCD43D) == 20
    with pytest.raises(ConfigError, match="MCD43D62"):
        albedo_product("MCD43D62")


def test_t02_cubes_and_layers_are_named_for_what_they_hold():
    assert [v.name for v in MCD43D58.schema.variables] == ["albedo_wsa_band7"]
    assert MCD43D58.title == "MODIS white-sky albedo, band 7, daily, 30 arc seconds"
    assert MCD43D58.product.layer == "BRDF_Albedo_WSA_Band7"
    assert MCD43D58.product.quality_layer == "BRDF_Albedo_Band_Quality_Band7"
    assert MCD43D51.product.layer == "BRDF_Albedo_BSA_Shortwave"
    assert MCD43D61.product.quality_layer == "BRDF_Quality"


def test_a_name_tells_product_and_day():
    found = MCD43D61.identify("MCD43D61.A2019365.061.2020008041012.hdf")
    assert (found.start.isoformat(), found.scene) == ("2019-12-31", "MCD43D61")
    assert MCD43D61.identify("MCD43D31.A2019365.061.2020008041012.hdf").scene == "MCD43D31"
    for other in (
        "MCD43D58.A2019365",
        "MCD43D61.A2019366",
        "MCD43D61.A2019000",
        "MCD43A3.A2019001",
    ):
        assert MCD43D61.identify(f"{other}.061.2020008041012.hdf") is None


@pytest.fixture(scope="module")
def square():
    """Return cells around one place in tile h18v04, and their rows and columns in the square."""
    row, col = (int(one) for one in GLOBAL30S.pixel_of(8.0, 46.0))
    rows, cols = np.indices((40, 40)).reshape(2, -1)
    part = Window(row - 20, row + 20, col - 20, col + 20)
    return GlobeCells(rows + part.row0, cols + part.col0, (part,)), rows, cols


def pixels_inside(part):
    """Return pixels of the output grid that lie well inside a square of cells."""
    lon = GLOBAL30S.x[part.col0 + 8 : part.col1 - 8]
    lat = GLOBAL30S.y[part.row0 + 8 : part.row1 - 8]
    row, col = SIN1KM.pixel_of(lon[[0, -1]], lat[[0, -1]])
    return Window(int(row[0]), int(row[1]), int(col.min()), int(col.max()))


def day_of(folder, cells, values, *, quality=None, snow=None, product=WHITE_SKY):
    """Write the files of a day and return their paths, the albedo's first."""
    given = {product.layers[0].name: values}
    paths = [write_globe_file(folder, product, cells, SAMPLE_START, given)]
    if quality is not None:
        words = {OVERALL_QUALITY: quality, BAND_QUALITY: quality}
        paths.append(write_globe_file(folder, QUALITY, cells, SAMPLE_START, words))
    if snow is not None:
        paths.append(write_globe_file(folder, SNOW, cells, SAMPLE_START, {SNOW_STATUS: snow}))
    return paths


def found_in(paths, within, rule="good", reader=MCD43D61):
    datasets = [reader.read(path, quality=rule) for path in paths]
    return reader.steps(datasets, KEY, within=within)


def test_a_pixel_is_interpolated_between_the_cells_around_its_centre(tmp_path, square):
    """A plane in longitude and latitude comes out as it is, but for the packing by 0.001."""
    cells, rows, cols = square
    values = 0.2 + 0.004 * rows + 0.008 * cols
    within = pixels_inside(cells.parts[0])
    found = found_in(day_of(tmp_path, cells, values), within, "all")[WHITE].values[0]
    lon, lat = SIN1KM.lonlat(within)
    part = cells.parts[0]
    row = (GLOBAL30S.y_first - lat) / GLOBAL30S.step - part.row0
    col = (lon - GLOBAL30S.x_first) / GLOBAL30S.step - part.col0
    np.testing.assert_allclose(found, 0.2 + 0.004 * row + 0.008 * col, atol=0.0006)


def test_quality_and_snow_lie_in_files_beside(tmp_path, square):
    cells, rows, cols = square
    paths = day_of(
        tmp_path,
        cells,
        np.full(rows.size, 0.3),
        quality=np.where(rows < 20, 1, np.where(cols < 20, 3, 4)).astype(np.uint8),
        snow=(cols < 20).astype(np.uint8),
    )
    within = pixels_inside(cells.parts[0])
    known = {
        rule: np.isfinite(found_in(paths, within, rule)[WHITE].values[0])
        for rule in MCD43D61.quality_rules
    }
    assert known["all"].all()
    assert 0.4 < known["good"].mean() < 0.7
    assert known["good"].sum() < known["relaxed"].sum() < known["all"].sum()
    assert 0.15 < known["snow_free"].mean() < 0.4
    assert not (known["snow_free"] & ~known["good"]).any()


def test_a_day_without_the_quality_that_its_rule_needs_is_unknown(tmp_path, square):
    cells, rows, _ = square
    paths = day_of(tmp_path, cells, np.full(rows.size, 0.3))
    within = pixels_inside(cells.parts[0])
    assert np.isnan(found_in(paths, within, "good")[WHITE].values).all()
    assert np.isfinite(found_in(paths, within, "all")[WHITE].values).all()


def test_band_7_has_the_quality_of_its_own_band(tmp_path, square):
    cells, rows, _ = square
    product = WHITE_SKY_BAND7
    albedo = {product.layers[0].name: np.full(rows.size, 0.3)}
    words = {
        OVERALL_QUALITY: np.zeros(rows.size, np.uint8),
        BAND_QUALITY: np.full(rows.size, 3, np.uint8),
    }
    paths = [
        write_globe_file(tmp_path, product, cells, SAMPLE_START, albedo),
        write_globe_file(tmp_path, QUALITY, cells, SAMPLE_START, words),
    ]
    within = pixels_inside(cells.parts[0])
    good, relaxed = (
        found_in(paths, within, rule, MCD43D58)["albedo_wsa_band7"].values
        for rule in ("good", "relaxed")
    )
    assert np.isnan(good).all()
    np.testing.assert_allclose(relaxed, 0.3, atol=0.0006)


def test_columns_go_around_the_globe(tmp_path):
    """Pixels beside 180 degrees are interpolated with the first column of cells."""
    home = tile_window(SIN1KM, "h35v08")
    within = Window(home.row1 - 38, home.row1 - 35, home.col1 - 3, home.col1)
    lon, lat = SIN1KM.lonlat(within)
    row = int(GLOBAL30S.pixel_of(0.0, lat[0, 0])[0]) - 3
    parts = tuple(
        Window(row, row + 8, *span) for span in ((GLOBAL30S.cols - 20, GLOBAL30S.cols), (0, 3))
    )
    squares = [np.indices(one.shape).reshape(2, -1) for one in parts]
    rows = np.concatenate([at[0] + one.row0 for at, one in zip(squares, parts, strict=True)])
    cols = np.concatenate([at[1] + one.col0 for at, one in zip(squares, parts, strict=True)])
    cells = GlobeCells(rows, cols, parts)
    (path,) = day_of(tmp_path, cells, np.where(cols < 3, 0.6, 0.2))
    dataset = MCD43D61.read(path, quality="all")
    found = MCD43D61.steps([dataset], TileYear("sin1km", "h35v08", 2019), within=within)
    beyond = np.maximum((lon - GLOBAL30S.x[-1]) / GLOBAL30S.step, 0.0)
    assert beyond.max() > 0.2
    np.testing.assert_allclose(found[WHITE].values[0], 0.2 + 0.4 * beyond, atol=0.0006)


def test_no_more_than_the_cells_around_the_pixels_is_read(opened):
    """A layer has 3.7 GB as float32: a square of 60 pixels takes less than 10 MB of it."""
    datasets = opened("mcd43d61")
    MCD43D61.steps(datasets, sample_key("mcd43d61"), within=sample_window())
    tracemalloc.start()
    MCD43D61.steps(datasets, sample_key("mcd43d61"), within=sample_window())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6


def test_layers_without_global_in_front_are_the_same(tmp_path, square):
    cells, rows, _ = square
    layer = WHITE_SKY.layers[0]
    short = replace(WHITE_SKY, layers=(replace(layer, name=layer.name.removeprefix("Global_")),))
    paths = day_of(tmp_path, cells, np.full(rows.size, 0.3), product=short)
    found = found_in(paths, pixels_inside(cells.parts[0]), "all")
    np.testing.assert_allclose(found[WHITE].values, 0.3, atol=0.0006)


def test_a_file_of_another_band_or_grid_is_named(tmp_path, square, monkeypatch):
    cells, rows, _ = square
    (path,) = day_of(tmp_path, cells, np.full(rows.size, 0.3))
    disguised = tmp_path / path.name.replace("MCD43D61", "MCD43D58")
    shutil.copy(path, disguised)
    with pytest.raises(GranuleError, match="expected the product MCD43D58, found MCD43D61"):
        MCD43D58.read(disguised)
    other = replace(WHITE_SKY, layers=WHITE_SKY_BAND7.layers)
    (path,) = day_of(tmp_path, cells, np.full(rows.size, 0.3), product=other)
    with pytest.raises(
        GranuleError, match="expected a layer BRDF_Albedo_WSA_Shortwave, found Global_BRDF"
    ):
        MCD43D61.read(path)
    monkeypatch.setattr(GridFile, "metadata", lambda self, name: _half_a_globe(self, name))
    with pytest.raises(GranuleError, match="expected latitude and longitude of the whole globe"):
        MCD43D61.read(path)


def test_a_damaged_file_of_quality_takes_its_own_day_and_no_other(tmp_path):
    write_sample("mcd43d61", tmp_path / "in")
    first = next((tmp_path / "in").glob("MCD43D31.A2019001.*"))
    data = bytearray(first.read_bytes())
    at = data.find(b"\x78\x01")  # where the compressed cells of a layer begin
    while at >= 0:
        data[at + 2 : at + 40] = bytes(38)
        at = data.find(b"\x78\x01", at + 40)
    first.write_bytes(data)
    index = index_granules(MCD43D61, str(tmp_path / "in"), list_bucket(str(tmp_path / "in")))
    task = plan_ingest(MCD43D61, index, str(tmp_path / "out"), [sample_key("mcd43d61")])[0]
    create_store(task.cube_url, MCD43D61.schema, 2019)
    receipt = ingest_slab(task)
    assert [bad.name for bad in receipt.damaged] == [first.name]
    assert receipt.granules_read == 3
    cube = open_cube(task.cube_url, MCD43D61.schema, 2019)
    found = cube.read_physical(WHITE, slice(0, 2), sample_window())
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).mean() > 0.5


METADATA = GridFile.metadata


def _half_a_globe(file, name):
    return METADATA(file, name).replace("LowerRightMtrs=(180000000", "LowerRightMtrs=(0")
