"""How much of a pattern is believed: known worlds, cuts into blocks, unknown covariance."""

import numpy as np
import pytest

from smcloud.models.damping import Spread, factors, merged, within_cells

CELLS = np.repeat(np.arange(6), 200)


def pattern(seed, days=40, strength=0.05):
    rng = np.random.default_rng(seed)
    level = rng.normal(0.25, 0.1, (days, 6))[:, CELLS]
    return level, level + strength * rng.normal(size=level.shape)


def test_the_variance_is_that_within_cells_whatever_their_levels():
    _, first_guess = pattern(1)
    spread = Spread(*within_cells(first_guess.astype(np.float32), CELLS))
    assert spread.squares.sum() / spread.pixels.sum() == pytest.approx(0.05**2, rel=0.02)


def test_the_factor_brings_a_noisy_pattern_nearest_to_the_truth():
    rng = np.random.default_rng(2)
    level, truth = pattern(2, strength=0.04)
    first_guess = level + 0.7 * (truth - level) + 0.06 * rng.normal(size=truth.shape)
    spread = Spread(*within_cells(first_guess.astype(np.float32), CELLS))
    covariance = np.full(len(truth), 0.7 * 0.04**2)
    found = factors(spread, covariance)[:, None]
    errors = [
        np.square(level + factor * (first_guess - level) - truth).mean()
        for factor in (0.0, 0.5 * found, found, np.minimum(2 * found, 1.0), 1.0)
    ]
    assert np.argmin(errors) == 2


def test_cells_of_few_known_pixels_count_for_nothing():
    _, first_guess = pattern(3)
    first_guess[:, CELLS == 0][:, 90:] = np.nan
    some = first_guess.copy()
    some[:, np.flatnonzero(CELLS == 0)[90:]] = np.nan
    spread = Spread(*within_cells(some.astype(np.float32), CELLS))
    np.testing.assert_array_equal(spread.pixels, 5 * 199)


def test_blocks_give_the_factors_of_the_whole():
    _, first_guess = pattern(4)
    first_guess = first_guess.astype(np.float32)
    whole = Spread(*within_cells(first_guess, CELLS))
    cut = [Spread(*within_cells(first_guess[:, CELLS == c], CELLS[CELLS == c])) for c in range(6)]
    covariance = np.full(40, 0.001)
    np.testing.assert_array_equal(
        factors(whole, covariance), factors(merged(cut[::-1]), covariance)
    )


def test_an_unknown_covariance_keeps_the_pattern_and_a_negative_one_none_of_it():
    _, first_guess = pattern(5)
    spread = Spread(*within_cells(first_guess.astype(np.float32), CELLS))
    covariance = np.where(np.arange(40) < 20, np.nan, -1.0)
    found = factors(spread, covariance)
    np.testing.assert_array_equal(found, np.where(np.arange(40) < 20, 1.0, 0.0))


def test_bytes_come_back():
    spread = Spread(np.arange(3.0), np.arange(3.0) + 1)
    again = Spread.from_bytes(spread.to_bytes())
    np.testing.assert_array_equal(again.squares, spread.squares)
    np.testing.assert_array_equal(again.pixels, spread.pixels)
