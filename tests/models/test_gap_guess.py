"""The first guess of a day: means over its other days and over what is known around it."""

import numpy as np
import pytest
from scipy.ndimage import correlate1d

pytest.importorskip("torch", reason="needs torch: pip install 'smcloud[deep]'")

import torch

from smcloud.models.gap_guess import GapGuess, Guess, guess_reach, reach_of
from smcloud.models.seamless_rules import SPREADS

DAYS, NORMAL = 2, 0.25


@pytest.fixture(scope="module")
def guess():
    return GapGuess(DAYS)


def made(guess, stack, weight=None, normal=NORMAL):
    """Return the guess of a stack (2 d + 1, rows, cols) that is NaN where it is unknown."""
    weight = np.isfinite(stack).astype(np.float32) if weight is None else weight
    usual = np.full((1, *stack.shape[1:]), normal, np.float32)
    parts = (np.nan_to_num(stack).astype(np.float32), weight.astype(np.float32), usual)
    with torch.no_grad():
        return guess(*(torch.from_numpy(part)[None] for part in parts))


def smoothed(field, scale):
    """Return the field under a cut Gaussian, by another library."""
    steps = np.arange(-reach_of(scale), reach_of(scale) + 1)
    kernel = np.exp(-0.5 * (steps / scale) ** 2)
    kernel /= kernel.sum()
    return correlate1d(correlate1d(field, kernel, 0, mode="constant"), kernel, 1, mode="constant")


def test_nearer_days_of_a_pixel_count_for_more(guess):
    stack = np.full((5, 40, 40), np.nan)
    stack[0], stack[3] = 0.10, 0.40  # two days before and a day behind: 1/2 and 1
    found = made(guess, stack)
    np.testing.assert_allclose(found.level, 0.30, atol=2e-3)
    assert (found.steps == 0).all(), "nothing is known of the day itself"
    half = np.ones((5, 40, 40))
    half[3] = 0.5  # filled on an earlier day
    half[[1, 2, 4]] = 0
    np.testing.assert_allclose(made(guess, stack, half).level, 0.25, atol=2e-3)


def test_a_pixel_without_other_days_takes_them_from_around_it(guess):
    stack = np.full((5, 60, 60), np.nan)
    stack[1], stack[1, 25:35, 25:35] = 0.1, np.nan
    found = made(guess, stack).level[0, 0].numpy()
    assert found[30, 30] == pytest.approx(0.1, abs=5e-3)
    nothing = made(guess, np.full((5, 9, 9), np.nan), normal=0.33)
    np.testing.assert_allclose(nothing.value, 0.33, rtol=1e-6)
    assert (nothing.basis == 0).all()


def test_there_is_more_to_go_by_the_more_is_known(guess):
    stack = np.full((5, 60, 60), 0.2)
    stack[:, :, :30] = np.nan
    stack[1, :, 10:30] = 0.2
    basis = made(guess, stack).basis[0, 0].numpy()
    assert (basis[:, 35:] == 1).all()
    assert (basis[30, :10] < 0.05).all()
    assert 0.05 < basis[30, 15] < 1
    faint = made(guess, stack, 0.1 * np.isfinite(stack)).basis[0, 0].numpy()
    assert faint[30, 15] < 0.2 * basis[30, 15]


def test_what_is_new_today_is_carried_into_the_gap(guess):
    rng = np.random.default_rng(1)
    pattern = rng.uniform(0.1, 0.4, (40, 48))
    stack = np.repeat(pattern[None], 5, 0)
    stack[DAYS] += 0.08
    gap = np.zeros((40, 48), bool)
    gap[:, 20:26] = True
    truth = stack[DAYS].copy()
    stack[DAYS][gap] = np.nan
    found = made(guess, stack)
    before = np.abs(found.level[0, 0].numpy() - truth)[gap].mean()
    after = np.abs(found.value[0, 0].numpy() - truth)[gap].mean()
    assert before == pytest.approx(0.08, abs=2e-3)
    assert after < 0.1 * before


def test_corrections_are_those_of_barnes(guess):
    rng = np.random.default_rng(2)
    stack = rng.uniform(0.1, 0.4, (5, 30, 34))
    stack[DAYS][rng.random((30, 34)) < 0.6] = np.nan
    found = made(guess, stack)
    level = found.level[0, 0].numpy().astype(np.float64)
    known = np.isfinite(stack[DAYS])
    left = np.where(known, np.nan_to_num(stack[DAYS]) - level, 0.0)
    for number, scale in enumerate(SPREADS):
        step = smoothed(left * known, scale) / (smoothed(known.astype(float), scale) + 0.05)
        np.testing.assert_allclose(found.steps[0, number], step, atol=1e-5)
        left = left - step


def test_it_looks_as_far_as_it_says_and_its_parts_stay_together(guess):
    rng = np.random.default_rng(3)
    side = 2 * guess_reach() + 3
    stack = rng.uniform(0.1, 0.4, (5, side, side))
    stack[:, rng.random((side, side)) < 0.5] = np.nan
    other = stack.copy()
    other[:, :, 0] = 0.9
    middle = guess_reach() + 1
    one, two = (made(guess, field) for field in (stack, other))
    changed = (one.whole() - two.whole()).abs()[0].amax(0)
    assert (changed[:, middle:] == 0).all()
    assert changed[:, 1].max() > 0
    again = Guess.of(one.whole())
    for name in ("level", "steps", "support"):
        assert torch.equal(getattr(again, name), getattr(one, name))
