"""The evaluator gives XGBoost's predictions bit for bit, at every value where it could fail."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smcloud.core.errors import UserError
from smcloud.models import forest_layout
from smcloud.models.forest import Forest
from tests.models.trees import (
    LARGEST,
    N_FEATURES,
    SMALLEST,
    assert_as_xgboost,
    assert_same_bits,
    by_library,
    columns_around,
    cuts_of,
    grown,
    made_of,
    random_tree,
    sample,
)

LENGTHS = (0, 1, 7, 8, 9, 511, 512, 513, 4095, 4096, 4097, 10000)
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


def assert_agrees(booster, columns, **options):
    forest = Forest.from_xgboost(booster)
    assert forest.fallback == ""
    assert_as_xgboost(forest.predict(columns, **options), booster, columns)


@pytest.mark.parametrize("max_bin", [16, 256, 1024])
@pytest.mark.parametrize("unknown", [0.0, 0.1])
@pytest.mark.parametrize("depth", [1, 6, 8, 12])
def test_trained_trees_agree_at_every_cut_and_beside_it(depth, unknown, max_bin):
    booster = grown(depth, unknown=unknown, max_bin=max_bin)
    assert_agrees(booster, columns_around(cuts_of(booster), 3000, 5))


def test_trained_trees_agree_on_rows_like_those_they_learned():
    booster = grown(8, rounds=60)
    assert_agrees(booster, sample(10000, 11)[0])


@pytest.mark.parametrize("depth", [9, 11])
def test_subtrees_are_joined_at_every_depth(depth):
    booster = grown(depth, rounds=9)
    assert_agrees(booster, columns_around(cuts_of(booster), 2000, 5))


@pytest.mark.parametrize("method", ["exact", "approx"])
def test_pruned_ragged_trees_agree(method):
    pruned = {"tree_method": method, "gamma": 3.0, "min_child_weight": 20.0}
    booster = grown(8, rounds=33, **pruned)
    assert_agrees(booster, columns_around(cuts_of(booster), 1500, 5))


def test_several_trees_a_round_are_added_in_order():
    booster = grown(6, rounds=7, num_parallel_tree=5, subsample=0.5)
    assert_agrees(booster, columns_around(cuts_of(booster), 1500, 5))


@pytest.mark.parametrize("objective", ["reg:absoluteerror", "reg:pseudohubererror"])
def test_other_objectives_without_a_link_agree(objective):
    assert_agrees(grown(6, objective=objective), sample(1000, 11)[0])


def test_trees_that_do_not_split_agree():
    assert_agrees(grown(6, rounds=5, gamma=1e9), sample(600, 11)[0])


def test_a_leaf_beside_a_tree_agrees():
    rng = np.random.default_rng(3)
    cuts = [np.array([0.5], np.float32)] * N_FEATURES
    trees = [random_tree(rng, cuts, depth) for depth in (0, 8, 0, 1, 2, 0)]
    assert_agrees(made_of(trees), columns_around(cuts, 600, 5))


def test_no_trees_give_the_base_score():
    booster = made_of([])
    columns = sample(600, 11)[0]
    assert_agrees(booster, columns)
    assert by_library(booster, columns)[0] == np.float32(0.1)


def test_one_feature_agrees():
    cuts = [np.linspace(-1, 1, 40, dtype=np.float32)]
    rng = np.random.default_rng(3)
    booster = made_of([random_tree(rng, cuts, 8) for _ in range(5)], n_features=1)
    assert_agrees(booster, columns_around(cuts, 1000, 5))


def test_a_thousand_features_most_of_them_unused_agree():
    cuts = [np.array([], np.float32)] * 1100
    for number in (0, 999, 1099):
        cuts[number] = np.linspace(-1, 1, 40, dtype=np.float32)
    rng = np.random.default_rng(3)
    booster = made_of([random_tree(rng, cuts, 8) for _ in range(5)], n_features=1100)
    assert_agrees(booster, columns_around(cuts, 700, 5))


SPECIAL_CUTS = {
    "one": np.array([0.25], np.float32),
    "zero": np.array([-0.0], np.float32),
    "denormal": np.arange(-6, 7, dtype=np.float32) * SMALLEST,
    "denormal and one": np.array([-SMALLEST, SMALLEST, 3 * SMALLEST, 1.0], np.float32),
    "largest": np.array([-LARGEST, LARGEST], np.float32),
    "largest and all between": np.array([-LARGEST, -1, -SMALLEST, 0, 1, LARGEST], np.float32),
    "infinite": np.array([-np.inf, 0.0, np.inf], np.float32),
    "neighbours": np.float32(1) + np.arange(200, dtype=np.float32) * np.float32(2**-23),
    "clustered": np.concatenate(
        [np.linspace(0, 1e-6, 180, dtype=np.float32), np.array([1e4], np.float32)]
    ),
    "geometric": np.float32(2) ** np.arange(-149, 128, dtype=np.float32),
    "many": np.linspace(-3, 3, 700, dtype=np.float32),
    "many in one cell": np.concatenate(
        [np.float32(1) + np.arange(3000, dtype=np.float32) * np.float32(2**-23), [1e30]]
    ).astype(np.float32),
}


@pytest.mark.parametrize("name", SPECIAL_CUTS)
def test_cuts_that_are_hard_to_find_agree(name):
    cuts = [SPECIAL_CUTS[name]] * 2
    rng = np.random.default_rng(3)
    n_trees = 60 if len(cuts[0]) > 200 else 9
    booster = made_of([random_tree(rng, cuts, 8) for _ in range(n_trees)], n_features=2)
    assert_agrees(booster, columns_around(cuts_of(booster, 2), 12000, 5))


@settings(max_examples=40, deadline=None)
@given(
    cuts=st.lists(st.lists(finite, min_size=1, max_size=30), min_size=1, max_size=5),
    others=st.lists(finite, max_size=10),
    depth=st.sampled_from([6, 8, 10]),
    n_trees=st.integers(1, 35),
    n_rows=st.integers(1, 1100),
    seed=st.integers(0, 2**32 - 1),
)
def test_trees_of_any_cuts_agree(cuts, others, depth, n_trees, n_rows, seed):
    known = [np.unique(np.array(some, np.float32)) for some in cuts]
    rng = np.random.default_rng(seed)
    trees = [random_tree(rng, known, int(rng.integers(0, depth + 1))) for _ in range(n_trees - 1)]
    booster = made_of([*trees, random_tree(rng, known, depth)], n_features=len(known))
    columns = columns_around([np.append(k, np.float32(others)) for k in known], n_rows, seed)
    assert_agrees(booster, columns)


@pytest.mark.parametrize("n_rows", LENGTHS)
def test_any_number_of_rows_and_threads_gives_the_same_bits(n_rows):
    booster = grown(8)
    forest = Forest.from_xgboost(booster)
    columns = sample(n_rows, 11)[0]
    expected = by_library(booster, columns) if n_rows else np.empty(0, np.float32)
    for threads in (1, 2, 3):
        assert_same_bits(forest.predict(columns, threads=threads), expected)


def test_scratch_of_earlier_rows_leaves_no_trace():
    booster = grown(8)
    forest = Forest.from_xgboost(booster)
    forest.predict(np.full((N_FEATURES, 4096), np.inf, np.float32))
    columns = sample(5, 11)[0]
    assert_as_xgboost(forest.predict(columns), booster, columns)


def test_results_go_where_they_are_wanted_and_nowhere_else():
    booster = grown(8)
    columns = sample(600, 11)[0]
    memory = np.full(602, -9, np.float32)
    out = memory[1:-1]
    assert Forest.from_xgboost(booster).predict(columns, out=out) is out
    assert_as_xgboost(out, booster, columns)
    assert (memory[[0, -1]] == -9).all()


@pytest.mark.parametrize(
    "columns",
    [
        np.zeros((N_FEATURES, 5)),
        np.zeros((N_FEATURES, 5), np.float16),
        np.zeros((N_FEATURES + 1, 5), np.float32),
        np.zeros((N_FEATURES - 1, 5), np.float32),
        np.zeros((5, N_FEATURES), np.float32).T,
        np.zeros((N_FEATURES, 10), np.float32)[:, ::2],
        np.zeros(N_FEATURES, np.float32),
        np.zeros((N_FEATURES, 5, 2), np.float32),
    ],
)
def test_columns_of_another_shape_or_type_are_refused(columns):
    with pytest.raises(UserError, match=r"takes C-contiguous columns \(6, n_rows\)") as caught:
        Forest.from_xgboost(grown(8)).predict(columns)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "out",
    [np.zeros(5), np.zeros(4, np.float32), np.zeros((5, 1), np.float32), np.zeros(10, "f4")[::2]],
)
def test_an_output_of_another_shape_or_type_is_refused(out):
    with pytest.raises(UserError, match=r"predictions need a C-contiguous array \(5,\)"):
        Forest.from_xgboost(grown(8)).predict(sample(5, 11)[0], out=out)


def test_two_threads_may_use_one_forest_at_once():
    booster = grown(8, rounds=60)
    forest = Forest.from_xgboost(booster)
    many = [sample(9000, seed)[0] for seed in range(8)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(forest.predict, many))
    for one, columns in zip(found, many, strict=True):
        assert_as_xgboost(one, booster, columns)


def test_groups_of_trees_give_the_same_bits(monkeypatch):
    booster = grown(8, rounds=40)
    columns = columns_around(cuts_of(booster), 3000, 5)
    monkeypatch.setattr(forest_layout, "GROUP_BYTES", 20000)
    forest = Forest.from_xgboost(booster)
    assert len(forest._layout.parts) > 3
    assert_as_xgboost(forest.predict(columns, threads=2), booster, columns)
