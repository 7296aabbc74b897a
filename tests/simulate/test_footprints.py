"""Footprints lie about the cells that hold the points, each for itself."""

import numpy as np
import pytest

from smcloud.simulate.footprints import Footprints, grid_axes
from smcloud.simulate.satellites import GRIDS, footprints

LON = np.array([10.21, 10.24, -98.4, 116.9, 147.0])
LAT = np.array([45.33, 45.35, 36.2, 34.1, -35.3])


@pytest.mark.parametrize("name", sorted(GRIDS))
def test_the_cell_of_every_point_is_there_once(name):
    cells = footprints(name, LON, LAT)
    rows, cols = cells.grid.pixel_of(LON, LAT)
    assert set(zip(cells.rows, cells.cols, strict=True)) == set(zip(rows, cols, strict=True))
    lons, lats = grid_axes(cells.grid)
    np.testing.assert_allclose(cells.lat, lats[cells.rows])
    np.testing.assert_allclose(cells.lon, lons[cells.cols])


@pytest.mark.parametrize("name", ["smap_l3", "cci"])
def test_places_fall_into_their_cell(name):
    cells = footprints(name, LON, LAT)
    rows, cols = cells.grid.pixel_of(cells.place_lon, cells.place_lat)
    assert (rows == cells.repeated(cells.rows)).all()
    assert (cols == cells.repeated(cells.cols)).all()


def test_the_enhanced_product_sees_beyond_its_cell():
    cells = footprints("smap_l3e", LON, LAT)
    rows, _ = cells.grid.pixel_of(cells.place_lon, cells.place_lat)
    assert np.ptp(rows - cells.repeated(cells.rows)) == 2


def test_a_cell_is_the_same_alone():
    every, alone = footprints("smap_l3", LON, LAT), footprints("smap_l3", LON[3:4], LAT[3:4])
    at = np.flatnonzero((every.rows == alone.rows[0]) & (every.cols == alone.cols[0]))[0]
    k = every.per_cell
    np.testing.assert_array_equal(every.place_lon[at * k : (at + 1) * k], alone.place_lon)
    np.testing.assert_array_equal(every.place_lat[at * k : (at + 1) * k], alone.place_lat)


def test_the_sea_is_not_part_of_the_mean():
    cells = footprints("smap_l3", LON, LAT)
    land = np.zeros((1, 16), bool)
    land[0, :4] = True
    one = Footprints(
        cells.grid,
        *(getattr(cells, name)[:1] for name in ("rows", "cols", "lon", "lat")),
        cells.place_lon[:16],
        cells.place_lat[:16],
        land,
    )
    values = np.where(np.arange(16) < 4, 0.3, 9.9).astype(np.float32)
    assert one.mean(values) == pytest.approx(0.3)
    assert one.land_share == pytest.approx(0.25)
