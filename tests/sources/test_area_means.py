"""Area means of parts that a raster knows are those that every point of every pixel would give."""

import numpy as np
import pytest
import xarray as xr

from smcloud.grids.grid import SIN1KM, Window
from smcloud.sources.area_means import Block, area_means
from smcloud.sources.geotiff import Lattice, Raster

SAMPLES = 5


def raster(cells, west, north, step):
    corner = {"west": west, "north": north, "step_x": step, "step_y": step}
    return Raster(xr.DataArray(cells.astype(np.float32), dims=("y", "x"), attrs=corner))


def shifted(lon, lat):
    """Project so that a gap of the map lies in the middle of the window, as a homolosine has."""
    return np.where(lon < 10.6, lon, lon + 3.0) * np.cos(np.radians(lat)), lat


def plain(lon, lat):
    return lon, lat


def every_point(window, layer, locate):
    """Return the means with all points of all pixels projected and looked up one by one."""
    block = Block(window, SAMPLES)
    x, y = locate(*block.lonlat)
    points = np.full(x.shape, np.nan, np.float32)
    for one in layer:
        row, col = one.lattice.position(x, y)
        rows, cols = one.values.shape
        inside = (row >= 0) & (row < rows) & (col >= 0) & (col < cols)
        found = np.full(x.shape, np.nan, np.float32)
        found[inside] = one.values.values[row[inside].astype(int), col[inside].astype(int)]
        points = np.where(np.isnan(points), found, points)
    return block.mean(points)


@pytest.mark.parametrize("locate", [plain, shifted])
@pytest.mark.parametrize("known", [0.0, 0.02, 1.0])
def test_blocks_without_a_known_cell_change_no_bit(locate, known):
    rng = np.random.default_rng(8)
    row, col = (int(one) for one in SIN1KM.pixel_of(10.5, 45.0))
    window = Window(row - 60, row + 62, col - 63, col + 70)
    islands = np.kron(rng.random((20, 20)) < known, np.ones((30, 30)))
    cells = np.where(islands == 1, rng.normal(300, 40, islands.shape), np.nan)
    west = locate(np.array(9.0), np.array(45.0))[0]
    layer = [raster(cells, float(west), 46.0, 0.0031), raster(cells[::-1], 9.9, 45.6, 0.0047)]
    found = area_means(window, {"first": layer, "other": layer[::-1]}, locate, SAMPLES)
    np.testing.assert_array_equal(found["first"], every_point(window, layer, locate))
    np.testing.assert_array_equal(found["other"], every_point(window, layer[::-1], locate))
    assert np.isfinite(found["first"]).any() == (known > 0)


def test_a_lattice_tells_cells_beyond_its_raster_and_none_of_what_is_off_the_map():
    lattice = Lattice(10.0, 50.0, 0.5, 0.25, 4, 4)
    row, col = lattice.position(np.array([10.1, 9.9, np.inf]), np.array([49.9, 50.1, np.nan]))
    assert row[:2].tolist() == [0.0, -1.0]
    assert col[:2].tolist() == [0.0, -1.0]
    assert not np.isfinite(row[2])
    assert not np.isfinite(col[2])
