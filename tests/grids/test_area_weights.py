"""Exact area weights between geographic grids: totals, constants, unknown cells, the date line."""

import numpy as np
import pytest

from smcloud.core.errors import ConfigError
from smcloud.grids.grid import EASE2_36KM, ERA5LAND, GLOBAL025, IMERG, SIN1KM, Window
from smcloud.grids.regrid import area_weights

GLOBE = GLOBAL025.window


def areas(grid):
    """Return the areas of all cells on the unit sphere, (rows, 1)."""
    edges = np.clip(grid.y_first + grid.step * (0.5 - np.arange(grid.rows + 1)), -90, 90)
    return (-np.diff(np.sin(np.radians(edges))) * np.radians(grid.step))[:, None]


def cut(weights, values):
    """Return the fine cells of the window of some weights."""
    return values[weights.window.row0 : weights.window.row1][:, weights.columns]


@pytest.mark.parametrize("fine", [IMERG, ERA5LAND], ids=lambda grid: grid.name)
def test_totals_over_the_globe_are_kept(fine):
    values = np.random.default_rng(1).gamma(0.3, 8.0, (fine.rows, fine.cols)).astype(np.float32)
    weights = area_weights(fine, GLOBAL025, GLOBE)
    means = weights.apply(cut(weights, values))
    assert means.shape == GLOBE.shape
    before, after = (areas(fine) * values).sum(), (areas(GLOBAL025) * means).sum()
    assert after == pytest.approx(before, rel=1e-6)


def test_means_equal_those_of_a_loop_over_overlaps():
    window = Window(100, 103, 701, 705)
    weights = area_weights(IMERG, GLOBAL025, window)
    values = np.random.default_rng(2).random((IMERG.rows, IMERG.cols)).astype(np.float32)
    found = weights.apply(cut(weights, values))
    for row in range(*window.slices[0].indices(720)):
        for col in range(*window.slices[1].indices(1440)):
            north, west = 90 - 0.25 * row, -180 + 0.25 * col
            total = area = 0.0
            for fine_row in range(int(row * 2.5), int(np.ceil((row + 1) * 2.5))):
                top = min(north, 90 - 0.1 * fine_row)
                low = max(north - 0.25, 90 - 0.1 * (fine_row + 1))
                height = np.sin(np.radians(top)) - np.sin(np.radians(low))
                for fine_col in range(int(col * 2.5), int(np.ceil((col + 1) * 2.5))):
                    left = max(west, -180 + 0.1 * fine_col)
                    width = min(west + 0.25, -180 + 0.1 * (fine_col + 1)) - left
                    total += height * width * values[fine_row, fine_col]
                    area += height * width
            assert found[row - 100, col - 701] == pytest.approx(total / area, rel=1e-6)


def test_constants_stay_and_the_poles_have_no_hole():
    weights = area_weights(ERA5LAND, GLOBAL025, GLOBE)
    means = weights.apply(np.full(weights.window.shape, 0.3, np.float32))
    assert (means == np.float32(0.3)).all()


def test_a_cell_at_the_date_line_takes_fine_cells_from_both_sides():
    """Columns of ERA5-Land begin at Greenwich and are centred on the date line itself."""
    values = np.zeros((ERA5LAND.rows, ERA5LAND.cols), np.float32)
    values[:, 1800] = 1.0  # from 179.95 E to 179.95 W
    for cols in ((0, 1), (1439, 1440)):
        weights = area_weights(ERA5LAND, GLOBAL025, Window(300, 301, *cols))
        assert weights.apply(cut(weights, values))[0, 0] == pytest.approx(0.05 / 0.25, rel=1e-6)
    greenwich = area_weights(ERA5LAND, GLOBAL025, Window(300, 301, 719, 721))
    assert greenwich.columns.tolist() == [3598, 3599, 0, 1, 2]


def test_any_window_and_any_number_of_days_give_the_same_values():
    values = np.random.default_rng(3).random((2, IMERG.rows, 200)).astype(np.float32)
    whole = area_weights(IMERG, GLOBAL025, Window(0, 720, 0, 80))
    part = area_weights(IMERG, GLOBAL025, Window(311, 320, 33, 40))
    inner = values[:, part.window.row0 : part.window.row1, part.window.col0 : part.window.col1]
    expected = whole.apply(values)[:, 311:320, 33:40]
    np.testing.assert_array_equal(part.apply(inner), expected)
    np.testing.assert_array_equal(part.apply(inner[1]), expected[1])


def test_unknown_cells_are_left_out_until_too_little_is_known():
    weights = area_weights(IMERG, GLOBAL025, Window(360, 361, 0, 1))
    assert weights.window.shape == (3, 3)
    values = np.array([[1, 1, 9], [1, 1, 9], [9, 9, 9]], np.float32)
    values[values == 9] = np.nan
    assert weights.apply(values)[0, 0] == 1.0  # 4 of 6.25 tenths are known
    assert np.isnan(weights.apply(values, min_share=0.65)[0, 0])
    values[0, 0] = np.nan  # 3 of 6.25
    assert np.isnan(weights.apply(values)[0, 0])
    assert weights.apply(values, min_share=0.4)[0, 0] == 1.0
    assert np.isnan(weights.apply(np.full((3, 3), np.nan, "f4"), min_share=0.0)[0, 0])


@pytest.mark.parametrize(("fine", "coarse"), [(SIN1KM, GLOBAL025), (IMERG, EASE2_36KM)])
def test_grids_without_latitudes_and_longitudes_are_refused(fine, coarse):
    with pytest.raises(ConfigError, match="need latitudes and longitudes"):
        area_weights(fine, coarse, Window(0, 1, 0, 1))
