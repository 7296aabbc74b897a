"""Codes count the cuts at or below a value, from floats and from stored integers alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smcloud.core.errors import UserError
from smcloud.models import forest_layout
from smcloud.models.forest import Forest
from tests.models.trees import (
    N_FEATURES,
    SMALLEST,
    around,
    assert_as_xgboost,
    columns_around,
    cuts_of,
    grown,
    made_of,
    random_tree,
    sample,
)

FEW, MANY = 256, 1024
"""Bins of models whose codes are of one byte, and of two."""
STORED = {"int16": (-32768, 0.0001), "uint16": (0, 0.0001), "uint8": (255, 0.02)}
"""Types of stored integers: that which means unknown, and the scale."""


def forest_asking(*cuts, n_trees=12):
    """Return a forest that has every one of these cuts, by feature, and perhaps no others."""
    rng = np.random.default_rng(3)
    trees = [random_tree(rng, cuts, 8) for _ in range(n_trees)]
    for number, known in enumerate(cuts):
        one = [np.array([], np.float32)] * len(cuts)
        for cut in known:
            one[number] = np.array([cut], np.float32)
            trees.append(random_tree(rng, one, 1))
    return Forest.from_xgboost(made_of(trees, n_features=len(cuts)))


def numbers_of(values, cuts):
    """Return the codes by numpy's own search; one more than the cuts for unknown values."""
    found = np.searchsorted(cuts, values, side="right")
    return np.where(np.isnan(values), len(cuts) + 1, found)


def physical(dtype):
    """Return what every stored integer of a type means, by its unsigned bits."""
    fill, scale = STORED[dtype]
    size = np.dtype(dtype).itemsize
    stored = np.arange(2 ** (8 * size), dtype=f"u{size}").view(dtype)
    return np.where(stored == fill, np.nan, stored * scale).astype(np.float32)


def stored_columns(dtype, n_rows):
    """Return stored columns (6, n_rows) and the float32 they mean."""
    fill, scale = STORED[dtype]
    values = sample(n_rows, 11)[0]
    limits = np.iinfo(dtype)
    stored = np.clip(np.round(values / scale), limits.min, limits.max)
    stored = np.where(np.isnan(values), fill, stored).astype(dtype)
    return stored, physical(dtype)[stored.view(f"u{stored.itemsize}")]


@pytest.mark.parametrize("max_bin", [FEW, MANY])
def test_codes_of_trained_cuts_are_those_of_a_sorted_search(max_bin):
    booster = grown(8, max_bin=max_bin)
    forest = Forest.from_xgboost(booster)
    for column, cuts in enumerate(cuts_of(booster)):
        values = np.concatenate([around(cuts), sample(5000, column)[0][0]])
        codes = forest.encode(values, column)
        assert codes.dtype == forest.code_dtype
        np.testing.assert_array_equal(codes, numbers_of(values, cuts))


def test_codes_take_one_byte_up_to_254_cuts_and_two_beyond():
    for n_cuts, dtype in ((254, np.uint8), (255, np.uint16)):
        cuts = np.arange(n_cuts, dtype=np.float32)
        forest = forest_asking(cuts)
        assert forest.code_dtype == dtype
        values = np.append(cuts, np.float32([-1, np.nan, np.inf]))
        np.testing.assert_array_equal(forest.encode(values, 0), numbers_of(values, cuts))


@settings(max_examples=40, deadline=None)
@given(
    cuts=st.lists(
        st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=40
    ),
    near=st.integers(0, 40),
    values=st.lists(st.floats(width=32), max_size=50),
)
def test_codes_of_any_cuts_are_those_of_a_sorted_search(cuts, near, values):
    """`near` cuts more lie side by side: all of them in one cell of the grid."""
    close = np.float32(1) + np.arange(near, dtype=np.float32) * np.float32(2**-23)
    known = np.unique(np.append(np.array(cuts, np.float32), close) + np.float32(0))
    every = np.concatenate([around(known), np.array(values, np.float32)])
    found = forest_asking(known, n_trees=1).encode(every, 0)
    np.testing.assert_array_equal(found, numbers_of(every, known))


def test_a_feature_without_cuts_has_known_and_unknown_values():
    forest = forest_asking(np.array([], np.float32), np.array([1], np.float32))
    codes = forest.encode(np.array([-np.inf, 0, SMALLEST, np.inf, np.nan], np.float32), 0)
    np.testing.assert_array_equal(codes, [0, 0, 0, 0, 1])


@pytest.mark.parametrize("max_bin", [FEW, MANY])
@pytest.mark.parametrize("dtype", STORED)
def test_stored_integers_predict_as_the_values_they_mean(dtype, max_bin):
    booster = grown(8, max_bin=max_bin)
    forest = Forest.from_xgboost(booster)
    stored, values = stored_columns(dtype, 5000)
    codes = np.empty(stored.shape, forest.code_dtype)
    for column, integers in enumerate(stored):
        table = forest.table(column, physical(dtype))
        assert forest.encode(integers, column, table, out=codes[column]).base is codes
        np.testing.assert_array_equal(codes[column], forest.encode(values[column], column))
    assert_as_xgboost(forest.predict_codes(codes, threads=2), booster, values)


@pytest.mark.parametrize("max_bin", [FEW, MANY])
@pytest.mark.parametrize("depth", [8, 10])
def test_codes_predict_as_values_in_groups_of_trees(monkeypatch, depth, max_bin):
    booster = grown(depth, max_bin=max_bin)
    monkeypatch.setattr(forest_layout, "GROUP_BYTES", 30000)
    forest = Forest.from_xgboost(booster)
    assert len(forest._layout.parts) > 2
    columns = columns_around(cuts_of(booster), 1500, 5)
    codes = np.stack([forest.encode(values, column) for column, values in enumerate(columns)])
    out = np.empty(1500, np.float32)
    assert forest.predict_codes(codes, out=out) is out
    assert_as_xgboost(out, booster, columns)


def test_codes_of_features_that_no_tree_asks_are_not_looked_at():
    booster = grown(8, unknown=0.0)
    forest = Forest.from_xgboost(booster)
    columns = sample(700, 11)[0]
    codes = np.stack([forest.encode(values, column) for column, values in enumerate(columns)])
    assert not cuts_of(booster)[N_FEATURES - 1].size
    codes[N_FEATURES - 1] = 255
    assert_as_xgboost(forest.predict_codes(codes), booster, columns)


@pytest.mark.parametrize(
    "codes",
    [
        np.zeros((N_FEATURES, 5), np.uint16),
        np.zeros((N_FEATURES, 5), np.int8),
        np.zeros((N_FEATURES - 1, 5), np.uint8),
        np.zeros((N_FEATURES, 10), np.uint8)[:, ::2],
    ],
)
def test_codes_of_another_shape_or_type_are_refused(codes):
    with pytest.raises(UserError, match=r"takes C-contiguous columns \(6, n_rows\) of uint8"):
        Forest.from_xgboost(grown(8)).predict_codes(codes)


@pytest.mark.parametrize("max_bin", [FEW, MANY])
def test_codes_that_a_feature_does_not_have_are_refused(max_bin):
    """A compiled loop would write beyond its memory."""
    forest = Forest.from_xgboost(grown(8, max_bin=max_bin))
    codes = np.zeros((N_FEATURES, 600), forest.code_dtype)
    counts = forest._layout.cuts.counts
    codes[2, 599] = counts[2] + 1
    forest.predict_codes(codes)
    codes[2, 599] += 1
    with pytest.raises(UserError, match=rf"feature 2 has codes up to {counts[2] + 1}, found"):
        forest.predict_codes(codes)


VALUES = np.zeros(9, np.float32)
INTEGERS = np.zeros(9, np.int16)
WHOLE_TABLE = np.zeros(65536, np.uint8)


@pytest.mark.parametrize(
    ("values", "column", "table", "out"),
    [
        (VALUES.astype(float), 0, None, None),
        (INTEGERS, 0, None, None),
        (VALUES.reshape(3, 3), 0, None, None),
        (np.zeros(18, np.float32)[::2], 0, None, None),
        (VALUES, N_FEATURES, None, None),
        (VALUES, -1, None, None),
        (VALUES, 0, None, np.zeros(8, np.uint8)),
        (VALUES, 0, None, np.zeros(9, np.uint16)),
        (VALUES, 0, WHOLE_TABLE, None),
        (INTEGERS, 0, WHOLE_TABLE[:-1], None),
        (INTEGERS, 0, WHOLE_TABLE.astype(np.uint16), None),
        (INTEGERS.astype(np.int8), 0, WHOLE_TABLE, None),
        (INTEGERS.astype(np.int32), 0, WHOLE_TABLE, None),
        (INTEGERS, 0, WHOLE_TABLE, np.zeros(8, np.uint8)),
    ],
)
def test_what_would_be_read_or_written_beyond_memory_is_refused(values, column, table, out):
    with pytest.raises(UserError) as caught:
        Forest.from_xgboost(grown(8)).encode(values, column, table, out)
    assert "\n" not in str(caught.value)
