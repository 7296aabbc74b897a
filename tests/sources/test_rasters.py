"""Elevation models and soil maps on the output grid."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from smcloud.core.errors import GranuleError
from smcloud.grids.grid import EARTH_RADIUS_M, SIN1KM, Window
from smcloud.grids.tiles import TileYear, tiles_of
from smcloud.sources.soilgrids import HOMOLOSINE, SOILGRIDS
from smcloud.sources.terrain import TERRAIN, horn

STEP = 1.0 / 240
METRES = EARTH_RADIUS_M * np.pi / 180


def write_dem(
    path: Path, west: float, north: float, values: np.ndarray, *, step: float = STEP, **changes
) -> Path:
    profile = {
        "driver": "GTiff",
        "height": values.shape[0],
        "width": values.shape[1],
        "count": 1,
        "dtype": "float32",
        "crs": "EPSG:4326",
        "transform": from_origin(west, north, step, step),
        "nodata": -9999.0,
    } | changes
    with rasterio.open(path, "w", **profile) as file:
        file.write(values.astype(profile["dtype"]), 1)
    return path


def tilted_plane(west: float, north: float, size: int, to_east: float, to_north: float):
    """Return elevation (m) that rises by these fractions to east and to north."""
    centres = (np.arange(size) + 0.5) * STEP
    lat = north - centres
    easting = centres * METRES * np.cos(np.radians(north - size * STEP / 2))
    return 500.0 + to_north * (lat - lat[-1])[:, None] * METRES + to_east * easting[None, :]


def steps_at(tmp_path, west: float, north: float, values: np.ndarray):
    path = write_dem(tmp_path / "plane_dem.tif", west, north, values)
    lon, lat = west + 0.25, north - 0.25
    key = TileYear("sin1km", tiles_of(np.array([lon]), np.array([lat]))[0], None)
    row, col = (int(index) for index in SIN1KM.pixel_of(lon, lat))
    inner = Window(row - 4, row + 5, col - 4, col + 5)
    return TERRAIN.steps([TERRAIN.read(path)], key, within=inner)


@pytest.mark.parametrize("west", [0.5, 100.0])
def test_a_tilted_plane_has_one_slope_and_aspect_sheared_or_not(tmp_path, west):
    found = steps_at(tmp_path, west, 35.25, tilted_plane(west, 35.25, 120, 0.1, -0.05))
    steepness = np.hypot(0.1, 0.05)
    np.testing.assert_allclose(found["slope"], np.degrees(np.arctan(steepness)), rtol=0.01)
    # The ground falls to the west and to the north: aspect between 270 and 360 degrees.
    np.testing.assert_allclose(found["aspect_sin"], -0.1 / steepness, atol=0.01)
    np.testing.assert_allclose(found["aspect_cos"], 0.05 / steepness, atol=0.01)


@pytest.mark.parametrize(
    ("to_east", "to_north", "sine", "cosine"),
    [(0.0, -0.1, 0, 1), (-0.1, 0.0, 1, 0), (0.0, 0.1, 0, -1), (0.1, 0.0, -1, 0)],
)
def test_aspect_counts_clockwise_from_north(to_east, to_north, sine, cosine):
    plane = tilted_plane(10.0, 0.01, 5, to_east, to_north).astype(np.float32)
    slope, sin, cos = horn(plane, np.zeros(5), STEP, STEP)
    assert slope[2, 2] == pytest.approx(np.degrees(np.arctan(0.1)), rel=1e-3)
    assert (sin[2, 2], cos[2, 2]) == pytest.approx((sine, cosine), abs=1e-3)


def test_flat_ground_has_no_direction_and_the_sea_stays_unknown():
    ground = np.full((4, 4), 7.0, np.float32)
    ground[0, 0] = np.nan
    slope, sine, cosine = horn(ground, np.zeros(4), STEP, STEP)
    assert np.isnan(slope[0, 0])
    assert slope[1, 1] == 0.0
    assert (sine[1, 1], cosine[1, 1]) == (0.0, 0.0)


def test_sheets_cut_in_two_give_the_same_slope_as_one(tmp_path):
    rng = np.random.default_rng(4)
    values = rng.normal(300, 40, (120, 120))
    whole = TERRAIN.read(write_dem(tmp_path / "whole_dem.tif", 10.0, 45.0, values))
    parts = [
        TERRAIN.read(write_dem(tmp_path / f"{name}_dem.tif", west, 45.0, cells))
        for name, west, cells in (
            ("left", 10.0, values[:, :50]),
            ("right", 10.0 + 50 * STEP, values[:, 50:]),
        )
    ]
    row, col = (int(index) for index in SIN1KM.pixel_of(10.21, 44.75))
    key = TileYear("sin1km", tiles_of(np.array([10.21]), np.array([44.75]))[0], None)
    inner = Window(row - 5, row + 5, col - 5, col + 5)
    one, two = (TERRAIN.steps(d, key, within=inner) for d in ([whole], parts))
    for name in ("elevation", "slope", "aspect_sin", "aspect_cos"):
        assert np.isfinite(one[name].values).all()
        np.testing.assert_allclose(two[name].values, one[name].values, rtol=1e-6)


def test_upstream_area_is_an_optional_layer(tmp_path):
    values = np.full((120, 120), 12.5)
    dem = TERRAIN.read(write_dem(tmp_path / "n44e010_elv.tif", 10.0, 45.0, values))
    area = TERRAIN.read(write_dem(tmp_path / "n44e010_upa.tif", 10.0, 45.0, values))
    row, col = (int(index) for index in SIN1KM.pixel_of(10.2, 44.8))
    key = TileYear("sin1km", tiles_of(np.array([10.2]), np.array([44.8]))[0], None)
    inner = Window(row, row + 2, col, col + 2)
    assert "upstream_area" not in TERRAIN.steps([dem], key, within=inner)
    found = TERRAIN.steps([dem, area], key, within=inner)
    np.testing.assert_allclose(found["upstream_area"].values, 12.5)
    assert found["upstream_area"].attrs["units"] == "km2"


def test_sheets_that_do_not_line_up_are_refused(tmp_path):
    values = np.ones((40, 40))
    first = TERRAIN.read(write_dem(tmp_path / "a_dem.tif", 10.0, 45.0, values))
    shifted = TERRAIN.read(write_dem(tmp_path / "b_dem.tif", 10.0 + 40.4 * STEP, 45.0, values))
    with pytest.raises(GranuleError, match=r"b_dem\.tif: expected cells in line with"):
        TERRAIN.steps([first, shifted], TileYear("sin1km", "h18v04", None))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crs": "EPSG:32632"}, "expected latitude and longitude, found EPSG:32632"),
        ({"crs": None}, "expected a CRS, found none"),
        ({"transform": from_origin(10, 45, STEP, STEP).rotation(10)}, "expected a raster with"),
    ],
)
def test_other_rasters_are_refused_in_one_line(tmp_path, changes, message):
    path = write_dem(tmp_path / "odd_dem.tif", 10.0, 45.0, np.ones((4, 4)), **changes)
    with pytest.raises(GranuleError, match=message) as error:
        TERRAIN.read(path)
    assert str(error.value).startswith("odd_dem.tif: ")


def test_elevations_beyond_reason_and_nodata_are_unknown(tmp_path):
    values = np.array([[100.0, -9999.0], [9500.0, -700.0]])
    found = TERRAIN.read(write_dem(tmp_path / "a_dem.tif", 10.0, 45.0, values))["elevation"]
    assert np.isnan(found.values).tolist() == [[False, True], [True, True]]


def test_soil_maps_take_their_factors_and_follow_sheared_pixels(tmp_path, opened):
    clay = next(one for one in opened("soilgrids") if "clay" in one)
    assert clay["clay"].attrs["units"] == "%"
    # A map that grows from west to east must be sampled where each pixel lies, at 100 E too.
    size = 400
    x0, y0 = 10_950_000.0, 3_950_000.0
    ramp = np.broadcast_to(np.arange(size) * 2, (size, size))
    path = tmp_path / "sand_0-5cm_mean.tif"
    write_dem(path, x0, y0, ramp, step=250.0, crs=HOMOLOSINE, dtype="int16", nodata=-32768)
    from pyproj import Transformer

    to_degrees = Transformer.from_crs(HOMOLOSINE, "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(x0 + 50_000, y0 - 50_000)
    row, col = (int(index) for index in SIN1KM.pixel_of(lon, lat))
    key = TileYear("sin1km", tiles_of(np.array([lon]), np.array([lat]))[0], None)
    inner = Window(row - 3, row + 4, col - 3, col + 4)
    found = SOILGRIDS.steps([SOILGRIDS.read(path)], key, within=inner)["sand"].values
    longitude, latitude = SIN1KM.lonlat(inner)
    x, _ = Transformer.from_crs("EPSG:4326", HOMOLOSINE, always_xy=True).transform(
        longitude, latitude
    )
    expected = ((np.asarray(x) - x0) / 250.0 - 0.5) * 2 * 0.1
    np.testing.assert_allclose(found, expected, atol=0.06)


def test_soil_maps_on_another_grid_are_refused(tmp_path):
    path = write_dem(tmp_path / "clay_0-5cm_mean.tif", 10.0, 45.0, np.ones((4, 4)))
    with pytest.raises(GranuleError, match="expected Goode homolosine, found EPSG:4326"):
        SOILGRIDS.read(path)
    path = write_dem(
        tmp_path / "sand_0-5cm_mean.tif", 0, 0, np.ones((4, 4)), step=1000.0, crs=HOMOLOSINE
    )
    with pytest.raises(GranuleError, match="expected cells of 250 m, found 1000 m"):
        SOILGRIDS.read(path)
