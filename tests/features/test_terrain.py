"""Terrain on a sheared grid: planes keep slope and aspect, discs stay discs."""

import numpy as np
import pytest

from smcloud.features import terrain
from smcloud.grids.grid import EARTH_RADIUS_M, SIN1KM, Window

HALO = terrain.POSITION_HALO_PIXELS


def around(lon, lat, side):
    """Return longitude and latitude (degrees) of a square of pixels around a place."""
    row, col = (int(index) for index in SIN1KM.pixel_of(lon, lat))
    half = side // 2
    return SIN1KM.lonlat(Window(row - half, row + half + 1, col - half, col + half + 1))


def metres_from_centre(lon, lat):
    """Return metres east and north of the middle pixel, on the tangent plane."""
    middle = tuple(size // 2 for size in lon.shape)
    east = EARTH_RADIUS_M * np.cos(np.radians(lat[middle])) * np.radians(lon - lon[middle])
    return east, EARTH_RADIUS_M * np.radians(lat - lat[middle])


@pytest.mark.parametrize("lon", [0.0, 100.0, -120.0])
@pytest.mark.parametrize("lat", [35.0, -42.0])
@pytest.mark.parametrize(("aspect", "degrees"), [(0, 2.0), (90, 5.0), (135, 10.0), (250, 1.0)])
def test_tilted_plane_has_one_slope_and_aspect_everywhere(lon, lat, aspect, degrees):
    lons, lats = around(lon, lat, 3)
    east, north = metres_from_centre(lons, lats)
    down = np.tan(np.radians(degrees))
    facing = np.radians(aspect)
    elevation = 500.0 - down * (np.sin(facing) * east + np.cos(facing) * north)
    slope, found = terrain.slope_aspect_sinusoidal(elevation, lons, lats)
    assert slope.shape == (1, 1)
    assert slope[0, 0] == pytest.approx(degrees, abs=0.01)
    assert (found[0, 0] - aspect + 180) % 360 - 180 == pytest.approx(0, abs=0.1)
    sine = terrain.aspect_sin_sinusoidal(elevation, lons, lats)[0, 0]
    cosine = terrain.aspect_cos_sinusoidal(elevation, lons, lats)[0, 0]
    assert (sine, cosine) == pytest.approx((np.sin(facing), np.cos(facing)), abs=2e-3)


def test_without_the_correction_the_plane_at_100_e_would_be_wrong():
    lons, lats = around(100.0, 35.0, 3)
    assert terrain.shear(lons, lats)[1, 1] == pytest.approx(1.0, abs=0.01)  # 45 degrees


def test_unknown_neighbour_makes_slope_unknown():
    lons, lats = around(10.0, 45.0, 5)
    elevation = np.zeros((5, 5))
    elevation[0, 0] = np.nan
    slope = terrain.slope_sinusoidal(elevation, lons, lats)
    assert np.isnan(slope[0, 0])
    assert (slope[1:, 1:] == 0).all()


@pytest.mark.parametrize("lon", [0.0, 100.0, 175.0])
def test_position_is_height_above_a_disc_on_the_ground(lon):
    side = 2 * HALO + 1
    lons, lats = around(lon, 45.0, side)
    east, north = metres_from_centre(lons, lats)
    distance = np.hypot(east, north)
    cone = -distance / 100.0
    found = terrain.topographic_position(cone, lons, lats)
    pixels_within = distance <= 5.3 * 926.6
    expected = -cone[pixels_within].mean()
    assert found.shape == (1, 1)
    assert found[0, 0] == pytest.approx(expected, rel=0.06)


def test_plane_has_no_topographic_position_far_from_greenwich():
    side = 2 * HALO + 1
    lons, lats = around(100.0, 35.0, side)
    east, north = metres_from_centre(lons, lats)
    plane = 0.05 * east + 0.03 * north
    assert abs(terrain.topographic_position(plane, lons, lats)[0, 0]) < 5.0  # 46 m a pixel


def test_position_needs_half_of_its_neighbours():
    side = 2 * HALO + 1
    lons, lats = around(0.0, 45.0, side)
    elevation = np.full((side, side), np.nan)
    elevation[: HALO + 1] = 100.0
    elevation[HALO, HALO] = 103.0
    found = terrain.topographic_position(elevation, lons, lats)[0, 0]
    assert 2.9 < found < 3.0
    elevation[HALO - 2 : HALO] = np.nan
    assert np.isnan(terrain.topographic_position(elevation, lons, lats)[0, 0])


def test_wetness_is_the_logarithm_of_area_over_slope():
    area, slope = np.float32([10.0, 10.0, 0.0, np.nan]), np.float32([5.0, 0.0, 5.0, 5.0])
    found = terrain.topographic_wetness(area, slope)
    per_contour = 10e6 / 926.6254331
    assert found[0] == pytest.approx(np.log(per_contour / np.tan(np.radians(5.0))), rel=1e-6)
    assert found[1] == pytest.approx(np.log(per_contour / 0.001), rel=1e-6)
    assert np.isnan(found[2:]).all()


def test_porosity_of_bulk_density():
    found = terrain.porosity(np.float32([1.325, 2.65, 2.7, np.nan]))
    np.testing.assert_allclose(found, [0.5, 0.0, np.nan, np.nan], atol=1e-7)


def test_porosity_of_sand_is_that_of_cosbys_classes():
    """Sand of 92 % and clay of 58 % (22 % sand): 0.373 and 0.461, as land surface models have."""
    found = terrain.porosity_of_sand(np.float32([92.0, 22.0, np.nan]))
    np.testing.assert_allclose(found, [0.37308, 0.46128, np.nan], atol=1e-6)
