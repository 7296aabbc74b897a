"""EASE-Grid 2.0 and the 0.25 degree grid against PROJ and the published corners and cells."""

import numpy as np
import pytest
from pyproj import Transformer

from smcloud.core.errors import ConfigError
from smcloud.cube.store import grid_mapping_attrs
from smcloud.grids import ease2
from smcloud.grids.grid import (
    EASE2_1KM,
    EASE2_9KM,
    EASE2_36KM,
    EASE2_NORTH_25KM,
    ERA5LAND,
    GLOBAL025,
    GRIDS,
    SIN1KM,
    Window,
    grid_named,
)
from smcloud.grids.regrid import bilinear, nearest
from smcloud.grids.tiles import TileYear

EASE2 = (EASE2_36KM, EASE2_9KM, EASE2_1KM)
COARSE = tuple(grid for grid in GRIDS.values() if not grid.is_fine)
TO_MAP = Transformer.from_crs("EPSG:4326", "EPSG:6933", always_xy=True)


def names(grids):
    return {"argvalues": grids, "ids": [grid.name for grid in grids]}


def test_only_the_output_grid_is_fine():
    assert [grid.name for grid in GRIDS.values() if grid.is_fine] == ["sin1km"]
    assert {grid.name for grid in GRIDS.values() if grid.projected} == {
        "sin1km", "ease2_36km", "ease2_9km", "ease2_1km", "ease2n_25km",
    }  # fmt: skip


@pytest.mark.parametrize("grid", **names(EASE2))
def test_the_north_west_corner_is_the_published_one(grid):
    """NSIDC grid parameter definitions: map origin (-17367530.4451615, 7314540.8306386) m."""
    box = grid.geobox(grid.window)
    assert box.affine.c == pytest.approx(-17367530.4451615, abs=1e-3)
    assert box.affine.f == pytest.approx(7314540.8306386, abs=1e-3)
    assert box.boundingbox.right == pytest.approx(17367530.4451615, abs=1e-3)
    assert box.boundingbox.bottom == pytest.approx(-7314540.8306386, abs=1e-3)


def test_sizes_are_the_published_ones():
    assert [(grid.rows, grid.cols) for grid in EASE2] == [(406, 964), (1624, 3856), (14616, 34704)]
    assert EASE2_36KM.step == pytest.approx(4 * EASE2_9KM.step, rel=1e-12)
    assert EASE2_36KM.step == pytest.approx(36 * EASE2_1KM.step, rel=1e-12)
    assert (GLOBAL025.rows, GLOBAL025.cols) == (720, 1440)


def test_the_grid_ends_at_85_degrees():
    """NSIDC: "The top and bottom edges of the grid are at +-85.0445664 deg latitude"."""
    _, lat = ease2.to_degrees(np.zeros(2), np.array([7314540.8306386, -7314540.8306386]))
    np.testing.assert_allclose(lat, [85.0445664, -85.0445664], atol=1e-7)
    lon, _ = ease2.to_degrees(np.array([-17367530.4451615]), np.zeros(1))
    np.testing.assert_allclose(lon, [-180.0], atol=1e-9)


def test_the_projection_agrees_with_proj_both_ways():
    rng = np.random.default_rng(3)
    lon, lat = rng.uniform(-180, 180, 2000), rng.uniform(-89.9, 89.9, 2000)
    x, y = ease2.to_map(lon, lat)
    expected = TO_MAP.transform(lon, lat)
    np.testing.assert_allclose((x, y), expected, atol=1e-6)
    back = ease2.to_degrees(x, y)
    np.testing.assert_allclose(back, (lon, lat), atol=1e-9)


@pytest.mark.parametrize("grid", **names(EASE2))
def test_centres_agree_with_proj(grid):
    window = Window(grid.rows // 9, grid.rows // 9 + 5, grid.cols - 7, grid.cols)
    lon, lat = grid.lonlat(window)
    rows, cols = window.slices
    x, y = np.meshgrid(grid.x[cols], grid.y[rows])
    expected_lon, expected_lat = TO_MAP.transform(x, y, direction="INVERSE")
    np.testing.assert_allclose(lon, expected_lon, atol=1e-9)
    np.testing.assert_allclose(lat, expected_lat, atol=1e-9)
    assert np.all(np.diff(lat[:, 0]) < 0)
    assert np.all(np.diff(lon[0]) > 0)


@pytest.mark.parametrize("grid", **names(COARSE))
def test_the_centre_of_a_cell_lies_in_that_cell(grid):
    rng = np.random.default_rng(4)
    rows, cols = rng.integers(0, grid.rows, 200), rng.integers(0, grid.cols, 200)
    corners = [(0, 0), (0, grid.cols - 1), (grid.rows - 1, 0), (grid.rows - 1, grid.cols - 1)]
    for row, col in [*zip(rows.tolist(), cols.tolist(), strict=True), *corners]:
        lon, lat = grid.lonlat(Window(row, row + 1, col, col + 1))
        assert grid.pixel_of(lon[0, 0], lat[0, 0]) == (row, col)


@pytest.mark.parametrize("grid", **names(COARSE))
def test_longitude_is_a_circle(grid):
    lon = np.array([-179.99, -0.32, 77.73])  # on no edge between columns
    lat = np.array([10.0, -33.0, 60.0])
    here, around = grid.pixel_of(lon, lat), grid.pixel_of(lon + 360.0, lat)
    np.testing.assert_array_equal(here, around)


def test_beyond_the_last_row_it_is_held():
    assert EASE2_36KM.pixel_of(10.0, 89.0)[0] == 0
    assert EASE2_36KM.pixel_of(10.0, -89.0)[0] == 405
    with pytest.raises(ConfigError):
        EASE2_36KM.pixel_of(10.0, 91.0)


def test_a_known_place_lies_in_the_known_cell():
    """The equator and Greenwich are edges of the middle cells, at all sizes."""
    for grid in EASE2:
        assert grid.pixel_of(1e-6, 1e-6) == (grid.rows // 2 - 1, grid.cols // 2)
        assert grid.pixel_of(-1e-6, -1e-6) == (grid.rows // 2, grid.cols // 2 - 1)
    assert GLOBAL025.pixel_of(-179.9, 89.9) == (0, 0)
    assert GLOBAL025.pixel_of(179.9, -89.9) == (719, 1439)


@pytest.mark.parametrize("grid", **names(COARSE))
def test_bilinear_is_exact_on_a_plane_of_the_map(grid):
    rng = np.random.default_rng(5)
    lon, lat = rng.uniform(100, 104, 300), rng.uniform(33, 38, 300)
    weights = bilinear(grid, lon, lat)
    rows = weights.window.slices[0]
    y = grid.y[rows] / grid.step
    x = (grid.x_first / grid.step) + np.arange(weights.window.col0, weights.window.col1)
    plane = (0.01 * x[None, :] + 0.02 * y[:, None]).astype(np.float32)
    at_x, at_y = grid.xy(lon, lat)
    expected = 0.01 * at_x / grid.step + 0.02 * at_y / grid.step
    np.testing.assert_allclose(weights.apply(plane), expected, rtol=2e-4)


@pytest.mark.parametrize("grid", **names(COARSE))
def test_nearest_gives_the_cell_that_contains_a_point(grid):
    rng = np.random.default_rng(6)
    lon, lat = rng.uniform(-4, 4, 300), rng.uniform(40, 45, 300)
    row, col = grid.pixel_of(lon, lat)
    weights = nearest(grid, lon, lat)
    window = weights.window
    values = rng.random(window.shape).astype(np.float32)
    across = (col - window.col0) % grid.cols
    np.testing.assert_array_equal(weights.apply(values), values[row - window.row0, across])
    values[row[0] - window.row0, across[0]] = np.nan
    assert np.isnan(weights.apply(values)[0])


def test_the_northern_map_agrees_with_proj_both_ways():
    rng = np.random.default_rng(7)
    lon, lat = rng.uniform(-180, 180, 2000), rng.uniform(-60, 89.9, 2000)
    x, y = ease2.to_north_map(lon, lat)
    to_map = Transformer.from_crs("EPSG:4326", "EPSG:6931", always_xy=True)
    np.testing.assert_allclose((x, y), to_map.transform(lon, lat), atol=1e-5)
    np.testing.assert_allclose(ease2.north_to_degrees(x, y), (lon, lat), atol=1e-9)


def test_the_northern_grid_has_the_published_corner_and_pole():
    """NSIDC: EASE2_N25km, 720 x 720 cells of 25 km, map origin (-9000000, 9000000) m."""
    grid = EASE2_NORTH_25KM
    box = grid.geobox(grid.window)
    assert (grid.rows, grid.cols, grid.step) == (720, 720, 25000.0)
    assert (box.affine.c, box.affine.f) == (-9.0e6, 9.0e6)
    assert grid.pixel_of(10.0, 89.95) == (360, 360)  # Greenwich points down
    row, col = grid.pixel_of(91.9, 33.4)  # Nagqu, beyond 90 E: just above the middle row
    assert (int(row), int(col)) == (351, 601)
    corner = grid.lonlat(Window(0, 1, 0, 1))
    assert corner[1][0, 0] < -80  # the corners lie near the other pole
    with np.errstate(all="raise"):
        assert np.isfinite(grid.lonlat(grid.window)).all()


def test_nothing_lies_beyond_the_south_pole():
    beyond = ease2.north_to_degrees(np.array([12.75e6]), np.array([0.0]))
    assert np.isnan(beyond).all()


def test_the_northern_grid_does_not_go_around_the_globe():
    grid = EASE2_NORTH_25KM
    assert not grid.goes_around
    # South America lies beyond the left edge: the cells there are held.
    row, col = grid.pixel_of(-60.0, -30.0)
    assert (int(row), int(col)) == (580, 0)
    lon, lat = (axis[0] for axis in grid.lonlat(Window(400, 401, 718, 720)))
    for weights in (bilinear(grid, lon, lat), nearest(grid, lon, lat)):
        assert weights.columns[-1] == 719
        values = np.tile(weights.columns.astype(np.float32), (weights.window.shape[0], 1))
        np.testing.assert_allclose(weights.apply(values), [718.0, 719.0], atol=1e-4)


def test_nearest_reaches_the_last_row_and_column():
    weights = nearest(GLOBAL025, np.array([179.9]), np.array([-89.9]))
    assert weights.window == Window(718, 720, 1439, 1441)
    values = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    assert weights.apply(values)[0] == 3.0
    assert weights.columns.tolist() == [1439, 0]


def test_weights_need_a_coarse_grid_and_known_points():
    for weights in (bilinear, nearest):
        with pytest.raises(ConfigError, match="coarse grid"):
            weights(SIN1KM, np.zeros(1), np.zeros(1))
        with pytest.raises(ConfigError, match="known coordinates"):
            weights(GLOBAL025, np.array([np.nan]), np.zeros(1))


@pytest.mark.parametrize("grid", **names(COARSE))
def test_keys_and_stores_carry_the_grid(grid):
    key = TileYear(grid.name, "globe", 2019)
    assert TileYear.parse(str(key)) == key
    assert key.window == grid.window
    attrs = grid_mapping_attrs(grid)
    expected = {
        "ease2": "lambert_cylindrical_equal_area", "geographic": "latitude_longitude",
        "ease2north": "lambert_azimuthal_equal_area",
    }[grid.projection]  # fmt: skip
    assert attrs["grid_mapping_name"] == expected
    west, step, _, north, _, down = map(float, attrs["GeoTransform"].split())
    assert (step, down) == (grid.step, -grid.step)
    assert west == pytest.approx(grid.x[0] - grid.step / 2)
    assert north == pytest.approx(grid.y[0] + grid.step / 2)


def test_era5land_is_where_it_was():
    assert ERA5LAND.pixel_of(8.04, 46.04) == (440, 80)
    assert grid_named("era5land").dims == ("latitude", "longitude")
    assert EASE2_36KM.dims == ("y", "x")
