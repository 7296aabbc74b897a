"""Area means on coarse cells: each cell once, equal to the mean of its own land pixels."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from smcloud.cube.schema import CubeSchema
from smcloud.cube.store import create_store, write_shard
from smcloud.grids.cells import areas_of, cells_in, reach
from smcloud.grids.grid import SIN1KM, Window, grid_named
from smcloud.grids.land import land_mask
from smcloud.validation.area_means import (
    CoarseComparison,
    area_means,
    cell_series,
    compare_area,
    true_errors_of,
)
from smcloud.validation.collocation import Layer
from smcloud.validation.pairs import PairStats

from .conftest import BLOCKS, MOISTURE, YEAR, product_of

GRID = grid_named("global025")
COARSE = CubeSchema(
    "cci_combined", "global025", (MOISTURE,), 1, (46, 40, 40), (368, 40, 40), "A coarse product"
)
AREA = areas_of(BLOCKS)[0]


def coarse_at(rows, cols, shift=0.0):
    """A year of the coarse product (cells, days)."""
    season = 0.06 * np.sin(np.arange(365) / 58)
    noise = np.random.default_rng(int(shift * 1000) + 3).normal(0, 0.01, (rows.size, 365))
    return 0.22 + shift + season[None] + 0.002 * (rows + cols)[:, None] % 0.05 + noise


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    """Two coarse layers around the blocks, one with an unknown cell and a gap in spring."""
    root = tmp_path_factory.mktemp("coarse")
    found = []
    for name, shift in (("theirs", 0.0), ("third", 0.02)):
        url = str(root / f"{name}.zarr")
        create_store(url, COARSE, YEAR)
        row0, col0 = _first_shard()
        rows, cols = (i.reshape(-1) for i in np.mgrid[row0 : row0 + 40, col0 : col0 + 40])
        values = coarse_at(rows, cols, shift).T.reshape(365, 40, 40)
        values[90:120] = np.nan
        write_shard(
            url, COARSE, "soil_moisture", (0, row0 // 40, col0 // 40), MOISTURE.pack(values)
        )
        found.append(Layer(url, COARSE, YEAR, "soil_moisture", required=False))
    return found


def _first_shard():
    cells = cells_in(GRID, AREA)
    row0, col0 = int(cells.rows.min()) // 40 * 40, int(cells.cols.min()) // 40 * 40
    assert cells.rows.max() < row0 + 40
    assert cells.cols.max() < col0 + 40
    return row0, col0


@pytest.fixture(scope="module")
def comparison(layers, references):
    return CoarseComparison(layers[0], references[0], references[1], minimum_share=0.5)


def expected_means(cells, share):
    """The means by brute force: every pixel's cell, day by day."""
    total, known, land = {}, {}, {}
    whole = reach(cells, AREA)
    lon, lat = SIN1KM.lonlat(whole)
    is_land = land_mask(whole)
    rows, cols = GRID.pixel_of(lon[is_land], lat[is_land])
    for flat in rows * GRID.cols + cols:
        land[flat] = land.get(flat, 0) + 1
    for block in BLOCKS:
        values, mask = product_of(block), land_mask(block)
        values = MOISTURE.unpack(MOISTURE.pack(values))[:, mask]
        lon, lat = (v[mask] for v in SIN1KM.lonlat(block))
        rows, cols = GRID.pixel_of(lon, lat)
        for number, flat in enumerate(rows * GRID.cols + cols):
            series = values[:, number]
            total[flat] = total.get(flat, 0) + np.nan_to_num(series)
            known[flat] = known.get(flat, 0) + np.isfinite(series)
    means = np.full((cells.flat.size, 365), np.nan)
    for number, flat in enumerate(cells.flat):
        if flat in total:
            enough = known[flat] >= max(share * land[flat], 1)
            means[number, enough] = total[flat][enough] / known[flat][enough]
    return means


@pytest.mark.parametrize("share", [0.01, 0.5])
def test_a_mean_is_that_of_the_cells_own_land_pixels(layers, references, share):
    comparison = CoarseComparison(layers[0], references[0], minimum_share=share)
    found = compare_area(comparison, AREA, BLOCKS)
    cells = found.cells
    expected = expected_means(cells, share)
    lon, lat = SIN1KM.lonlat(reach(cells, AREA))
    rows, cols = GRID.pixel_of(lon.reshape(-1), lat.reshape(-1))
    land = land_mask(reach(cells, AREA)).reshape(-1)
    counts = [(land & (rows * GRID.cols + cols == flat)).sum() for flat in cells.flat]
    means = area_means(layers[0], cells, np.maximum(share * np.array(counts), 1), BLOCKS)
    np.testing.assert_allclose(means, expected, atol=1e-6)
    assert np.isfinite(means).any()
    theirs = cell_series(references[0], *cells.lonlat)
    same = PairStats.along(expected.astype(np.float32), theirs, axis=1)
    np.testing.assert_allclose(found.pairs.n, same.n)
    np.testing.assert_allclose(found.pairs.mean_d, same.mean_d, atol=1e-6)


def test_every_cell_belongs_to_one_area_only():
    side = 600
    row, col = AREA.row0, AREA.col0
    areas = [
        Window(r, r + side, c, c + side)
        for r in (row - side, row, row + side)
        for c in (col - side, col, col + side)
    ]
    flats = np.concatenate([cells_in(GRID, area).flat for area in areas])
    assert len(flats) == len(set(flats.tolist()))
    middle = cells_in(GRID, AREA)
    lon, lat = middle.lonlat
    rows, cols = SIN1KM.pixel_of(lon, lat)
    assert ((rows >= row) & (rows < row + side) & (cols >= col) & (cols < col + side)).all()


@pytest.mark.parametrize("corner", [(3000, 30300), (9600, 21000), (18000, 12000), (4800, 33600)])
def test_the_reach_of_an_area_holds_every_pixel_of_its_cells(corner):
    area = Window(corner[0], corner[0] + 600, corner[1], corner[1] + 600)
    cells = cells_in(GRID, area)
    found = reach(cells, area)
    around = Window(found.row0 - 60, found.row1 + 60, found.col0 - 60, found.col1 + 60)
    lon, lat = SIN1KM.lonlat(around)
    known = np.isfinite(lon)
    rows, cols = GRID.pixel_of(np.where(known, lon, 0), np.where(known, lat, 0))
    mine = known & np.isin(rows * GRID.cols + cols, cells.flat)
    inside = np.zeros(mine.shape, bool)
    inside[found.within(around)] = True
    assert not (mine & ~inside).any()


def test_known_days_and_collocation_are_told_for_each_cell(comparison):
    found = compare_area(comparison, AREA, BLOCKS)
    ours, theirs, both = found.known
    assert theirs.max() == 335  # thirty days of spring are unknown
    assert (both <= np.minimum(ours, theirs)).all()
    np.testing.assert_array_equal(both, found.pairs.n)
    assert found.collocation.r.shape == (found.cells.rows.size, 3)
    assert np.isfinite(found.collocation.r).any()
    assert (ours > 0).all()  # cells of which too little was produced are no gaps
    assert int(found.months.n.sum()) == int(both.sum())


def test_true_errors_are_what_a_line_on_the_truth_leaves():
    rng = np.random.default_rng(4)
    truth = rng.normal(0.2, 0.05, (2, 4000)).astype(np.float32)
    spread = np.array([0.01, 0.02, 0.03])
    members = 0.1 + 0.7 * truth[:, None] + rng.normal(0, 1, (2, 3, 4000)) * spread[:, None]
    members[0, 0, :100] = np.nan
    found = true_errors_of(members.astype(np.float32), truth)
    np.testing.assert_allclose(found.error_std, np.tile(spread, (2, 1)), rtol=0.05)
    line = np.polyfit(truth[0, 100:], members[0, 1, 100:], 1)
    left = members[0, 1, 100:] - np.polyval(line, truth[0, 100:])
    assert found.error_std[0, 1] == pytest.approx(left.std(), rel=1e-3)
    assert found.r[0, 0] == pytest.approx(0.035 / np.hypot(0.035, 0.01), abs=0.01)


def test_two_areas_give_what_one_gives(comparison):
    whole = compare_area(comparison, AREA, BLOCKS)
    half = [replace(AREA, col1=AREA.col0 + 300), replace(AREA, col0=AREA.col0 + 300)]
    parts = [p for a in half if (p := compare_area(comparison, a, BLOCKS)) is not None]
    flats = np.concatenate([part.cells.flat for part in parts])
    order = np.argsort(flats)
    np.testing.assert_array_equal(flats[order], whole.cells.flat)
    for name in ("n", "mean_d", "c_xy"):
        found = np.concatenate([getattr(part.pairs, name) for part in parts])[order]
        np.testing.assert_allclose(found, getattr(whole.pairs, name), rtol=1e-12, atol=1e-15)


def test_what_a_task_is_told_and_gives_back_travels(comparison):
    found = compare_area(*pickle.loads(pickle.dumps((comparison, AREA, BLOCKS))))
    back = pickle.loads(pickle.dumps(found))
    assert back.cells.grid is GRID
    np.testing.assert_array_equal(back.pairs.n, found.pairs.n)
    assert len(pickle.dumps((comparison, AREA, BLOCKS))) < 4000


def test_an_area_at_sea_has_no_cells_to_score(comparison):
    atlantic = Window(6000, 6600, 15000, 15600)
    assert compare_area(comparison, atlantic, ()) is None
