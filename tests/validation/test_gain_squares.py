"""Sums by square and month: they add up over blocks, and differences have honest intervals."""

import numpy as np
import pytest

from smcloud.grids.grid import EASE2_36KM
from smcloud.validation.gain_squares import SquareSums, scored, squares_of
from smcloud.validation.metrics import all_scores
from smcloud.validation.pairs import PairStats


def sums_of(errors, squares, months=12, days=30, seed=0):
    """Sums of estimates with these errors: of all days of a square and month, and of each day."""
    rng = np.random.default_rng(seed)
    shape = len(squares), months, days
    truth = rng.normal(0.2, 0.05, shape)
    parts = []
    for of_square, of_day in errors:
        shared = of_square * rng.normal(size=(*shape[:2], 1))
        estimate = truth + shared + of_day * rng.normal(size=shape)
        parts.append(PairStats.along(estimate, truth, axis=2))
    return SquareSums(np.asarray(squares), PairStats.stacked(parts))


def test_squares_hold_three_by_three_cells():
    rows, cols = np.mgrid[0:6, 0:6]
    numbers = squares_of(EASE2_36KM, rows, cols)
    assert len(np.unique(numbers)) == 4
    assert (numbers[:3, :3] == numbers[0, 0]).all()
    assert numbers[3, 0] != numbers[0, 3]


def test_sums_of_blocks_add_up_where_they_share_a_square():
    one, other = sums_of([(0.0, 0.03)], [2, 5]), sums_of([(0.0, 0.05)], [5, 9], seed=1)
    both = one + other
    assert both.squares.tolist() == [2, 5, 9]
    expected = one.sums.total(axis=(1, 2)) + other.sums.total(axis=(1, 2))
    found = both.sums.total(axis=(1, 2))
    for name, value in all_scores(expected).items():
        np.testing.assert_allclose(all_scores(found)[name], value, rtol=1e-12)
    alone = SquareSums.zero(1) + one
    np.testing.assert_array_equal(alone.sums.m2_d, one.sums.m2_d)


def test_a_true_gain_is_certain_and_none_is_not():
    found = scored(sums_of([(0.01, 0.03), (0.01, 0.04), (0.01, 0.03)], range(9)), seed=4)
    assert found.blocks == 9 * 12
    itself, worse, same = (one["RMSE"] for one in found.less)
    assert tuple(itself) == (0.0, 0.0, 0.0)
    assert worse.high < 0
    assert worse.value == pytest.approx(
        found.values[0]["RMSE"].value - found.values[1]["RMSE"].value
    )
    assert same.low < 0 < same.high


def test_errors_shared_by_a_square_widen_the_interval():
    widths = []
    for errors in ((0.0, 0.03), (0.03, 0.0)):
        interval = scored(sums_of([errors], range(9)), seed=4).values[0]["RMSE"]
        widths.append(interval.high - interval.low)
    assert widths[1] > 3 * widths[0]


def test_one_block_alone_has_no_interval():
    found = scored(sums_of([(0.0, 0.03), (0.0, 0.05)], [3], months=12), seed=0)
    assert np.isfinite(found.values[0]["RMSE"].low)
    sums = sums_of([(0.0, 0.03), (0.0, 0.05)], [3])
    one = SquareSums(sums.squares, sums.sums.weighted(np.arange(12) == 0))
    assert np.isnan(scored(one, seed=0).less[1]["RMSE"].low)
