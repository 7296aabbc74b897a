"""Which cells of coarse grids are land: by points spread over them."""

import numpy as np

from smcloud.grids.grid import EASE2_36KM, GLOBAL025, Window
from smcloud.grids.land import is_land, land_cells

ALPS_TO_SICILY = Window(160, 216, 740, 792)


def test_the_inland_is_land_the_sea_is_not_and_the_coast_is_by_its_share():
    land = land_cells(GLOBAL025, ALPS_TO_SICILY)
    assert 0.2 < land.mean() < 0.8
    rows, cols = GLOBAL025.pixel_of(np.array([11.4, 10.0]), np.array([48.1, 42.0]))
    found = land[rows - ALPS_TO_SICILY.row0, cols - ALPS_TO_SICILY.col0]
    assert found.tolist() == [True, False]  # Bavaria, the sea off Corsica
    more = land_cells(GLOBAL025, ALPS_TO_SICILY, least=0.04)
    less = land_cells(GLOBAL025, ALPS_TO_SICILY, least=1.0)
    assert less.sum() < land.sum() < more.sum()
    assert (less <= land).all()
    assert (land <= more).all()


def test_points_lie_inside_their_cell():
    some, all_ = (land_cells(GLOBAL025, ALPS_TO_SICILY, least) for least in (0.04, 1.0))
    row, col = np.argwhere(some & ~all_)[40]
    cell = Window(160 + row, 161 + row, 740 + col, 741 + col)
    lon, lat = GLOBAL025.lonlat(cell)
    offsets = 0.05 * np.arange(-2, 3)
    share = is_land(lon + offsets[None, :] + np.zeros((5, 1)), lat - offsets[:, None]).mean()
    assert 0 < share < 1
    assert land_cells(GLOBAL025, cell, least=share).all()
    assert not land_cells(GLOBAL025, cell, least=share + 0.01).any()


def test_the_answer_does_not_depend_on_the_window():
    whole = land_cells(GLOBAL025, ALPS_TO_SICILY)
    part = Window(171, 200, 750, 770)
    np.testing.assert_array_equal(land_cells(GLOBAL025, part), whole[part.within(ALPS_TO_SICILY)])


def test_an_equal_area_grid_has_land_too():
    lon, lat = np.array([11.4, -30.0]), np.array([48.1, 40.0])
    at = zip(*EASE2_36KM.pixel_of(lon, lat), strict=True)
    found = [land_cells(EASE2_36KM, Window(r, r + 1, c, c + 1)).item() for r, c in at]
    assert found == [True, False]
