"""Pixels and coarse cells: exact where grids nest, each pixel once where they do not."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smcloud.core.errors import ConfigError
from smcloud.grids.cells import (
    Aggregation,
    Cells,
    aggregate,
    cells_in,
    land_in,
    land_pixels,
    means,
    members,
    reach,
    sampled,
    totals,
)
from smcloud.grids.grid import EASE2_1KM, EASE2_36KM, GLOBAL025, SIN1KM, Window
from smcloud.grids.land import land_mask

COAST = Window(5430, 5580, 22640, 22790)
"""Of the north Adriatic: land and sea, 44 degrees north."""


def all_cells(grid, window):
    rows, cols = (index.reshape(-1) for index in np.mgrid[window.slices])
    return Cells(grid, rows, cols)


@pytest.fixture(scope="module")
def sahara():
    """Cells of 36 km without sea, and the pixels of 1 km that they nest."""
    coarse = Window(140, 143, 520, 524)
    fine = Window(*(36 * edge for edge in (coarse.row0, coarse.row1, coarse.col0, coarse.col1)))
    return all_cells(EASE2_36KM, coarse), coarse, fine


def test_on_the_nested_grid_a_cell_is_its_own_36_by_36_pixels(sahara):
    cells, coarse, fine = sahara
    points, cell_of = members(cells, fine, EASE2_1KM)
    assert len(points) == 3 * 4 * 36 * 36
    row, col = np.divmod(points, fine.shape[1])
    np.testing.assert_array_equal(cell_of, row // 36 * coarse.shape[1] + col // 36)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]))
def test_on_the_nested_grid_means_are_those_of_blocks(sahara, seed, share):
    cells, coarse, fine = sahara
    rng = np.random.default_rng(seed)
    values = rng.uniform(0, 1, (2, *fine.shape)).astype(np.float32)
    values[rng.random(values.shape) < rng.uniform(0, 1)] = np.nan
    points, cell_of = members(cells, fine, EASE2_1KM)
    found = aggregate(
        values.reshape(2, -1)[:, points],
        cell_of,
        len(cells.rows),
        np.full(12, 1296),
        Aggregation("mean", share),
    )
    nested = values.astype(np.float64).reshape(2, 3, 36, 4, 36)
    known = np.isfinite(nested).sum(axis=(2, 4))
    mean = np.nansum(nested, axis=(2, 4)) / np.maximum(known, 1)
    expected = np.where(known >= max(share * 1296, 1), mean, np.nan).astype(np.float32)
    np.testing.assert_array_equal(found.reshape(2, *coarse.shape), expected)


@settings(max_examples=20, deadline=None)
@given(
    row=st.integers(0, 120),
    col=st.integers(0, 120),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    grid=st.sampled_from([EASE2_36KM, GLOBAL025]),
)
def test_every_land_pixel_of_a_window_lies_in_the_cell_that_holds_its_centre(
    row, col, height, width, grid
):
    window = Window(
        COAST.row0 + row, COAST.row0 + row + height, COAST.col0 + col, COAST.col0 + col + width
    )
    lon, lat = (values.reshape(-1) for values in SIN1KM.lonlat(window))
    rows, cols = grid.pixel_of(lon, lat)
    cells = all_cells(
        grid, Window(int(rows.min()), int(rows.max()) + 1, int(cols.min()), int(cols.max()) + 1)
    )
    points, cell_of = members(cells, window)
    np.testing.assert_array_equal(points, np.flatnonzero(land_mask(window)))
    np.testing.assert_array_equal(cells.rows[cell_of], rows[points])
    np.testing.assert_array_equal(cells.cols[cell_of], cols[points])


@settings(max_examples=20, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 149), max_size=4), across=st.lists(st.integers(1, 149), max_size=4)
)
def test_totals_over_any_cut_are_those_of_the_whole(cuts, across):
    cells = cells_in(GLOBAL025, COAST)
    rng = np.random.default_rng(3)
    values = rng.uniform(250, 320, (4, *COAST.shape)).astype(np.float32)
    values[rng.random(values.shape) < 0.3] = np.nan

    def summed(rows, cols):
        total, known = np.zeros((2, 4, len(cells.rows)))
        for top, bottom in itertools.pairwise(rows):
            for left, right in itertools.pairwise(cols):
                part = Window(
                    COAST.row0 + top, COAST.row0 + bottom, COAST.col0 + left, COAST.col0 + right
                )
                points, cell_of = members(cells, part)
                own = values[:, top:bottom, left:right].reshape(4, -1)[:, points]
                more = totals(own, cell_of, len(cells.rows))
                total += more[0]
                known += more[1]
        return means(total, known, np.full(len(cells.rows), 1.0))

    whole = summed([0, 150], [0, 150])
    parts = summed([0, *sorted(set(cuts)), 150], [0, *sorted(set(across)), 150])
    np.testing.assert_array_equal(parts, whole)


def test_the_area_mean_of_a_smooth_field_is_right_to_a_thousandth_on_the_sheared_grid():
    area = Window(6000, 6600, 30600, 31200)  # 112 E, 37 N: pixels are sheared by 50 degrees
    cells = cells_in(EASE2_36KM, area)
    window = reach(cells, area)
    lon, lat = SIN1KM.lonlat(window)
    points, cell_of = members(cells, window)
    field = (0.2 + 0.02 * (lon - 112) + 0.03 * (lat - 37)).astype(np.float32).reshape(-1)
    found = aggregate(
        field[points], cell_of, len(cells.rows), np.ones(len(cells.rows)), Aggregation()
    )
    centre_lon, centre_lat = cells.lonlat
    np.testing.assert_allclose(
        found, 0.2 + 0.02 * (centre_lon - 112) + 0.03 * (centre_lat - 37), atol=2e-4
    )


def test_the_nearest_pixel_holds_the_centre_of_the_cell_and_is_found_in_one_window_only():
    cells = cells_in(GLOBAL025, COAST)
    rule = Aggregation("nearest")
    west, east = Window(5330, 5680, 22590, 22717), Window(5330, 5680, 22717, 22890)
    found = {}
    for window in (west, east):
        points, cell_of = sampled(cells, window, rule)
        for point, cell in zip(points, cell_of, strict=True):
            assert cell not in found
            found[int(cell)] = divmod(int(point), window.shape[1])
            found[int(cell)] = (found[cell][0] + window.row0, found[cell][1] + window.col0)
    rows, cols = SIN1KM.pixel_of(*cells.lonlat)
    land = np.array(
        [land_mask(Window(r, r + 1, c, c + 1))[0, 0] for r, c in zip(rows, cols, strict=True)]
    )
    assert set(found) == set(np.flatnonzero(land).tolist())
    assert 0 < len(found) < len(rows)  # some centres lie at sea: those cells stay unknown
    assert all(found[cell] == (rows[cell], cols[cell]) for cell in found)


def test_a_nearest_pixel_needs_no_share_and_gives_its_own_value():
    values = np.array([[0.3, np.nan, 0.5]], np.float32)
    found = aggregate(values, np.array([0, 1, 3]), 4, np.full(4, 1000), Aggregation("nearest", 0.9))
    np.testing.assert_array_equal(found, np.array([[0.3, np.nan, np.nan, 0.5]], np.float32))


@pytest.mark.parametrize(("known", "is_known"), [(4, False), (5, True), (10, True)])
def test_a_mean_needs_its_share_of_land_pixels(known, is_known):
    values = np.full(10, np.nan, np.float32)
    values[:known] = 1.0
    found = aggregate(
        values, np.zeros(10, np.int64), 2, np.array([10, 0]), Aggregation("mean", 0.5)
    )
    assert np.isfinite(found[0]) == is_known
    assert np.isnan(found[1])  # a cell without any pixel


def test_land_is_counted_for_whole_cells_wherever_they_lie():
    for grid, window in (
        (GLOBAL025, Window(170, 175, 760, 775)),
        (EASE2_36KM, Window(60, 64, 958, 970)),  # across the seam, in Siberia
        (EASE2_36KM, Window(-1, 2, 700, 703)),  # beyond the first row
    ):
        land = land_pixels(grid, window)
        for row, col in ((0, 0), (2, 1), (window.shape[0] - 1, window.shape[1] - 1)):
            at = window.row0 + row
            if at < 0:
                assert land[row, col] == 0
                continue
            one = Cells(grid, np.array([at]), np.array([(window.col0 + col) % grid.cols]))
            lon, lat = (float(v[0]) for v in one.lonlat)
            y, x = (int(i) for i in SIN1KM.pixel_of(lon, lat))
            # Far more than a cell, so that the count cannot depend on how windows are chosen.
            around = Window(max(y - 400, 0), y + 400, max(x - 900, 0), x + 900)
            assert land[row, col] == land_in(one, around)[0]


def test_rules_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="expected mean or nearest"):
        Aggregation("median")
    with pytest.raises(ConfigError, match="expected 0 to 1"):
        Aggregation("mean", 1.5)
