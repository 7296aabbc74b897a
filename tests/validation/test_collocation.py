"""Scores of blocks add up to the scores of the whole, on the pixels and days that they should."""

import numpy as np
import pytest

from smcloud.core.errors import CubeError
from smcloud.grids.grid import SIN1KM
from smcloud.grids.land import land_mask
from smcloud.validation.collocation import (
    DENSITY_EDGES,
    Comparison,
    bin_pairs,
    coarse_series,
    score_block,
    station_series,
)
from smcloud.validation.metrics import all_scores
from smcloud.validation.pairs import PairStats, merge

from .conftest import BLOCKS, MOISTURE, block_at, product_of, truth_of


def as_stored(values):
    return MOISTURE.unpack(MOISTURE.pack(values))


@pytest.fixture(scope="module")
def parts(layers):
    product, truth, coarse = layers
    comparison = Comparison(product, truth, coarse, cell=10)
    return [score_block(comparison, block) for block in BLOCKS]


def test_block_sums_equal_the_scores_of_all_values_at_once(parts):
    estimate = np.concatenate([as_stored(product_of(block)) for block in BLOCKS], axis=2)
    reference = np.concatenate([as_stored(truth_of(block)) for block in BLOCKS], axis=2)
    expected = PairStats.of(estimate, reference)
    found = merge(part.product.total() for part in parts)
    assert found.n == expected.n > 100_000
    for name, value in all_scores(expected).items():
        assert all_scores(found)[name] == pytest.approx(value, rel=1e-9)


def test_each_cell_and_month_holds_its_own_pairs(parts):
    estimate, reference = (
        as_stored(f(BLOCKS[1]))[31:59, 20:30, 40:50] for f in (product_of, truth_of)
    )
    expected = PairStats.of(estimate, reference)  # February, third row and fifth column of cells
    found = parts[1].product.at((1, 2, 4))
    assert found.n == expected.n
    assert found.m2_d == pytest.approx(expected.m2_d)


def test_the_baseline_is_scored_on_pairs_of_the_product_alone(parts):
    part = parts[0]
    known_coarse = 92  # two slabs of 46 days were ingested
    estimate, reference = as_stored(product_of(BLOCKS[0])), as_stored(truth_of(BLOCKS[0]))
    season = as_stored(0.3 + 0.05 * np.sin(np.arange(365) / 58))[:known_coarse, None, None]
    both = np.where(np.isnan(estimate), np.nan, reference)[:known_coarse]
    expected = PairStats.of(np.broadcast_to(season, both.shape), both)
    found = part.baseline.total()
    assert found.n == expected.n
    assert found.mean_d == pytest.approx(expected.mean_d, abs=1e-6)


def test_sea_counts_nowhere(parts):
    for part, block in zip(parts, BLOCKS, strict=True):
        sea = ~land_mask(block).reshape(5, 10, 5, 10).any(axis=(1, 3))
        assert (part.product.n[:, sea] == 0).all()
    assert any((~land_mask(block)).any() for block in BLOCKS)  # there is sea to leave out


def test_the_density_holds_every_pair_once(parts):
    for part in parts:
        assert part.density.sum() == part.product.n.sum()


def test_values_beyond_the_edges_fall_in_the_outer_bins():
    density = bin_pairs(np.array([0.9, -0.1, np.nan], "f4"), np.array([0.65, 0.0, 0.1], "f4"))
    last = len(DENSITY_EDGES) - 2
    assert density[last, last] == 1
    assert density[0, 0] == 1
    assert density.sum() == 2


def test_a_lost_product_block_is_an_error(layers):
    product, truth, _ = layers
    with pytest.raises(CubeError, match="lacks the object"):
        score_block(Comparison(product, truth, None, cell=10), block_at(0, 0))


def test_station_series_are_those_of_their_pixels(layers):
    block = BLOCKS[0]
    rows, cols = np.argwhere(land_mask(block))[[3, 500]].T
    found = station_series(layers[0], rows + block.row0, cols + block.col0)
    expected = as_stored(product_of(block))[:, rows, cols]
    np.testing.assert_array_equal(found, expected)


def test_coarse_series_at_points_know_where_the_cube_ends(layers):
    lon, lat = SIN1KM.lonlat(BLOCKS[0])
    found = coarse_series(layers[2], lon[10:11, 10], lat[10:11, 10])
    assert found.shape == (365, 1)
    assert found[0, 0] == pytest.approx(0.3, abs=1e-4)
    assert np.isnan(found[92:]).all()
