"""PairStats is a monoid whose sums do not depend on how the pairs were cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from smcloud.validation import pairs
from smcloud.validation.pairs import PairStats, merge

moisture = st.one_of(st.just(np.nan), st.floats(0.0, 0.75, width=32))


def series(size):
    return arrays(np.float64, size, elements=moisture)


@st.composite
def three_parts(draw):
    sizes = [draw(st.integers(0, 12)) for _ in range(3)]
    return [(draw(series(size)), draw(series(size))) for size in sizes]


def assert_same_sums(found, expected):
    np.testing.assert_array_equal(found.n, expected.n)
    for name in ("mean_x", "mean_y", "mean_d", "m2_x", "m2_y", "c_xy", "m2_d", "sum_abs_d"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), rtol=1e-9, atol=1e-12, err_msg=name
        )


@settings(max_examples=60, deadline=None)
@given(three_parts())
def test_merging_is_associative_and_equals_the_one_pass_result(parts):
    a, b, c = (PairStats.of(x, y) for x, y in parts)
    whole = PairStats.of(*(np.concatenate(side) for side in zip(*parts, strict=True)))
    assert_same_sums((a + b) + c, whole)
    assert_same_sums(a + (b + c), whole)
    assert_same_sums(c + a + b, whole)


@settings(max_examples=30, deadline=None)
@given(three_parts())
def test_zero_changes_nothing(parts):
    a = PairStats.of(*parts[0])
    assert_same_sums(a + PairStats.zero(), a)
    assert_same_sums(PairStats.zero() + a, a)


@settings(max_examples=40, deadline=None)
@given(series(20), series(20), arrays(np.int64, 20, elements=st.integers(0, 3)))
def test_grouped_sums_equal_the_sums_of_each_group_alone(x, y, groups):
    found = PairStats.grouped(x, y, groups, 4)
    for group in range(4):
        assert_same_sums(found.at(group), PairStats.of(x[groups == group], y[groups == group]))
    assert_same_sums(found.total(), PairStats.of(x, y))


def test_along_time_gives_the_sums_of_every_pixel():
    rng = np.random.default_rng(1)
    x, y = rng.random((2, 30, 4, 5))
    x[rng.random(x.shape) < 0.3] = np.nan
    found = PairStats.along(x, y, axis=0)
    assert found.shape == (4, 5)
    assert_same_sums(found.at((2, 3)), PairStats.of(x[:, 2, 3], y[:, 2, 3]))
    assert_same_sums(found.total(axis=1).at(2), PairStats.of(x[:, 2], y[:, 2]))


def test_merging_keeps_its_digits_where_naive_sums_lose_them():
    rng = np.random.default_rng(2)
    x = 1e8 + rng.random(20_000)
    y = 1e8 + rng.random(20_000)
    merged = merge(PairStats.of(x[i : i + 100], y[i : i + 100]) for i in range(0, 20_000, 100))
    assert merged.m2_x / merged.n == pytest.approx(np.var(x), rel=1e-9)
    naive = np.mean(x * x) - np.mean(x) ** 2
    assert abs(naive - np.var(x)) > 0.01  # the test would prove nothing otherwise


def test_a_weighted_draw_equals_counting_the_pairs_again():
    rng = np.random.default_rng(3)
    x, y = rng.random((2, 60))
    groups = np.repeat([0, 1, 2], 20)
    drawn = PairStats.grouped(x, y, groups, 3).weighted([[2, 0, 1]]).total(axis=-1)
    again = np.concatenate([np.arange(20), np.arange(20), np.arange(40, 60)])
    assert_same_sums(drawn.at(0), PairStats.of(x[again], y[again]))


def test_pairs_of_unlike_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        PairStats.of(np.zeros(3), np.zeros(4))


def test_group_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match="from 0 to 1"):
        PairStats.grouped(np.zeros(3), np.zeros(3), [0, 1, 2], 2)


@pytest.mark.parametrize("axis", [0, 1, -1, (0, 2)])
def test_many_groups_are_summed_in_pieces_with_the_same_result(axis, monkeypatch):
    rng = np.random.default_rng(7)
    x, y = rng.random((2, 20, 31, 17))
    x[rng.random(x.shape) < 0.2] = np.nan
    whole = PairStats.along(x, y, axis)
    monkeypatch.setattr(pairs, "PIECE_PAIRS", 1000)
    pieces = PairStats.along(x, y, axis)
    assert pieces.shape == whole.shape
    # NumPy adds over two axes in an order of its own that depends on the shape.
    rounding = 1e-12 if isinstance(axis, tuple) else 0.0
    for name, sums in vars(whole).items():
        np.testing.assert_allclose(getattr(pieces, name), sums, rtol=rounding, err_msg=name)
