"""How much of a pattern is believed: known worlds, cuts into blocks and slabs, what is unknown."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smcloud.grids.grid import EASE2_36KM, Grid, Window
from smcloud.models.damping import (
    LAG_DAYS,
    LEAST,
    SUMS,
    Spread,
    factors,
    merged,
    merged_in_time,
    spread_of,
)

CELLS = np.repeat(np.arange(6), 200)
DAYS = 120
ALL = Window(10, 12, 20, 23)


@dataclass(frozen=True)
class Hung:
    """Points in the cells of a window."""

    cell: np.ndarray
    window: Window = ALL
    grid: Grid = EASE2_36KM


def world(seed, noise=0.06, gain=1.0):
    """Levels of cells, a truth that lasts, and a first guess of it with noise of each day."""
    rng = np.random.default_rng(seed)
    level = rng.normal(0.25, 0.1, (DAYS, 6))[:, CELLS]
    truth = level + 0.04 * rng.normal(size=CELLS.size)
    first_guess = level + gain * (truth - level) + noise * rng.normal(size=truth.shape)
    return level, truth, first_guess.astype(np.float32)


def spread(first_guess, where=Hung(CELLS), slab=46):
    parts = []
    for start in range(0, len(first_guess), slab):
        stop = min(start + slab, len(first_guess))
        then = first_guess[max(0, start - LAG_DAYS) : max(0, stop - LAG_DAYS)]
        parts.append(spread_of(first_guess[start:stop], then, where))
    return merged_in_time(parts)


@pytest.mark.parametrize("gain", [1.0, 0.6, 1.7])
def test_the_factor_brings_a_noisy_pattern_nearest_to_the_truth(gain):
    level, truth, first_guess = world(2, gain=gain)
    found = factors(spread(first_guess), np.full(DAYS, 1.0 / gain))[:, None]

    def error(factor):
        return np.square(level + factor * (first_guess - level) - truth).mean()

    others = (0.0, 0.8 * found, np.minimum(1.25 * found, 1.0), 1.0)
    # A slope above 1 is not followed: the pattern is never made stronger than the model's own.
    if gain >= 1.0:
        assert all(error(found) < error(other) for other in others)
    else:
        assert error(found) < min(error(0.0), error(1.0))


def test_the_variance_is_that_within_cells_whatever_their_levels():
    # What lasts is all there is: the factor is the slope, unless levels were taken for pattern.
    _, truth, _ = world(1)
    factor = factors(spread(truth.astype(np.float32)), np.full(DAYS, 0.7))
    np.testing.assert_allclose(factor, 0.7, atol=0.01)


def test_cells_of_few_known_pixels_count_for_nothing():
    _, _, first_guess = world(3)
    without = first_guess.copy()
    without[:, CELLS == 0] = np.nan
    first_guess[:, np.flatnonzero(CELLS == 0)[90:]] = np.nan
    slope = np.full(DAYS, 0.9)
    found = factors(spread(first_guess), slope)
    np.testing.assert_array_equal(found, factors(spread(without), slope))


@settings(max_examples=15, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 1199), max_size=5, unique=True),
    slab=st.sampled_from([7, 46, 120]),
    order=st.randoms(use_true_random=False),
)
def test_any_blocks_and_slabs_give_the_factors_of_the_whole(cuts, slab, order):
    # Blocks cut cells wherever they like: the mean is that of the whole cell all the same.
    _, _, first_guess = world(4)
    slope = np.full(DAYS, 0.8)
    whole = factors(spread(first_guess, slab=DAYS), slope)
    parts = []
    for start, stop in pairwise([0, *sorted(cuts), 1200]):
        first, last = CELLS[start] // 3, CELLS[stop - 1] // 3
        window = Window(10 + first, 11 + last, 20, 23)
        hung = Hung(CELLS[start:stop] - 3 * first, window)
        parts.append(spread(first_guess[:, start:stop], hung, slab=slab))
    order.shuffle(parts)
    np.testing.assert_array_equal(factors(merged(parts), slope), whole)


def test_what_is_unknown_keeps_the_pattern_and_a_negative_slope_the_least_of_it():
    _, _, first_guess = world(5)
    short = spread(first_guess[:20])
    np.testing.assert_array_equal(factors(short, np.full(20, np.nan)), 1.0)
    np.testing.assert_array_equal(factors(short, np.full(20, -0.5)), np.float32(LEAST))


def test_bytes_come_back():
    found = spread(world(6)[2])
    again = Spread.from_bytes(found.to_bytes())
    assert (again.grid, again.window) == (found.grid, found.window)
    for name in SUMS:
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
