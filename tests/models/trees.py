"""Boosters grown or made by hand, and values at which a comparison could go wrong."""

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

Floats = NDArray[np.float32]
N_FEATURES = 6
LARGEST = np.finfo(np.float32).max
SMALLEST = np.nextafter(np.float32(0), np.float32(1))
"""The least denormal number."""
ODDITIES = np.array(
    [
        *(0.0, -0.0, SMALLEST, -SMALLEST, np.finfo(np.float32).tiny, -np.finfo(np.float32).tiny),
        *(1.0, -1.0, 1e30, -1e30, LARGEST, -LARGEST, np.inf, -np.inf, np.nan),
    ],
    np.float32,
)


def assert_same_bits(found: NDArray[Any], expected: NDArray[Any]) -> None:
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    bits = f"u{found.dtype.itemsize}"
    differing = np.flatnonzero(found.reshape(-1).view(bits) != expected.reshape(-1).view(bits))
    assert not differing.size, f"{differing.size} of {found.size} differ, at {differing[:5]}"


def assert_as_xgboost(found: NDArray[Any], booster: xgboost.Booster, columns: Floats) -> None:
    assert_same_bits(found, by_library(booster, columns))


def by_library(booster: xgboost.Booster, columns: Floats) -> NDArray[Any]:
    rows = np.ascontiguousarray(columns.T)
    found: NDArray[Any] = booster.inplace_predict(rows, validate_features=False)
    return found


def sample(n_rows: int, seed: int, *, unknown: float = 0.1) -> tuple[Floats, Floats]:
    """Return columns (6, n_rows) and a target; the last feature tells nothing and is constant."""
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(N_FEATURES, n_rows)).astype(np.float32)
    target = columns[0] * columns[1] + np.sin(3 * columns[2]) + 0.3 * columns[3] + columns[4] ** 2
    target = (target + rng.normal(0, 0.1, n_rows)).astype(np.float32)
    columns[5] = 1.0
    columns[rng.random(columns.shape) < unknown] = np.nan
    return columns, target


@lru_cache
def grown(depth: int, rounds: int = 20, unknown: float = 0.1, **params: Any) -> xgboost.Booster:
    columns, target = sample(3000, 7, unknown=unknown)
    settings = {"max_depth": depth, "tree_method": "hist", "nthread": 1, "seed": 3, **params}
    return xgboost.train(settings, xgboost.DMatrix(columns.T, target, nthread=1), rounds)


@lru_cache
def template() -> str:
    """Return the JSON of a booster of no trees."""
    data = xgboost.DMatrix(np.zeros((2, N_FEATURES), np.float32), [0.0, 1.0])
    booster = xgboost.train({"nthread": 1, "base_score": 0.1}, data, 0)
    return bytes(booster.save_raw("json")).decode()


def made_of(
    trees: Sequence[dict[str, Any]], n_features: int = N_FEATURES, objective: str | None = None
) -> xgboost.Booster:
    """Return a booster whose trees are these, as `random_tree` makes them."""
    model = json.loads(template())
    learner = model["learner"]
    learner["learner_model_param"]["num_feature"] = str(n_features)
    if objective is not None:
        learner["objective"] = {"name": objective}
    forest = learner["gradient_booster"]["model"]
    forest["gbtree_model_param"] = {"num_parallel_tree": "1", "num_trees": str(len(trees))}
    forest["trees"] = [as_json(tree, number, n_features) for number, tree in enumerate(trees)]
    forest["tree_info"] = [0] * len(trees)
    forest["iteration_indptr"] = list(range(len(trees) + 1))
    return xgboost.Booster({"nthread": 1}, model_file=bytearray(json.dumps(model).encode()))


def as_json(tree: dict[str, Any], number: int, n_features: int) -> dict[str, Any]:
    n_nodes = len(tree["left"])
    parents = [2147483647] * n_nodes
    for node, (left, right) in enumerate(zip(tree["left"], tree["right"], strict=True)):
        if left != -1:
            parents[left] = parents[right] = node
    return {
        "base_weights": [0.0] * n_nodes,
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
        "default_left": [int(side) for side in tree["unknown_left"]],
        "id": number,
        "left_children": tree["left"],
        "loss_changes": [0.0] * n_nodes,
        "parents": parents,
        "right_children": tree["right"],
        "split_conditions": [float(value) for value in tree["value"]],
        "split_indices": tree["feature"],
        "split_type": [0] * n_nodes,
        "sum_hessian": [1.0] * n_nodes,
        "tree_param": {
            "num_deleted": "0",
            "num_feature": str(n_features),
            "num_nodes": str(n_nodes),
            "size_leaf_vector": "1",
        },
    }


def random_tree(
    rng: np.random.Generator, cuts: Sequence[Floats], depth: int, *, stop: float = 0.2
) -> dict[str, Any]:
    """Return a ragged tree with one path of `depth` splits, on cuts given by feature.

    The right child follows the left one, as in every tree that XGBoost grows: it relies on that.
    """
    tree: dict[str, list[Any]] = {
        name: [] for name in ("left", "right", "feature", "value", "unknown_left")
    }
    asked = [number for number, known in enumerate(cuts) if len(known)]
    waiting = [(0, True)]
    node = 0
    while node < len(waiting):
        level, must = waiting[node]
        splits = level < depth and (must or rng.random() >= stop)
        feature = int(rng.choice(asked)) if splits else 0
        value = rng.choice(cuts[feature]) if splits else np.float32(rng.normal())
        first = len(waiting) if splits else -1
        right = first + 1 if splits else -1
        added = (first, right, feature, value, bool(splits and rng.random() < 0.5))
        for name, entry in zip(tree, added, strict=True):
            tree[name].append(entry)
        if splits:
            goes_on = rng.random() < 0.5
            waiting += [(level + 1, must and goes_on), (level + 1, must and not goes_on)]
        node += 1
    return tree


def cuts_of(booster: xgboost.Booster, n_features: int = N_FEATURES) -> list[Floats]:
    """Return the cuts of each feature, read from XGBoost's own table of nodes."""
    nodes = booster.trees_to_dataframe()
    nodes = nodes[nodes.Feature != "Leaf"]
    model = json.loads(bytes(booster.save_raw("json")))
    trees = model["learner"]["gradient_booster"]["model"]["trees"]
    found: list[list[float]] = [[] for _ in range(n_features)]
    for tree in trees:
        for left, feature, cut in zip(
            tree["left_children"], tree["split_indices"], tree["split_conditions"], strict=True
        ):
            if left != -1:
                found[feature].append(cut)
    assert sum(map(len, found)) == len(nodes)
    return [np.unique(np.array(cuts, np.float32)) for cuts in found]


def around(cuts: Floats) -> Floats:
    """Return each cut, its two neighbours among float32, and the oddities of float32."""
    with np.errstate(over="ignore"):
        below, above = (
            np.nextafter(cuts, -np.float32(np.inf)),
            np.nextafter(cuts, np.float32(np.inf)),
        )
    return np.concatenate([cuts, below, above, ODDITIES]).astype(np.float32)


def columns_around(cuts: Sequence[Floats], n_rows: int, seed: int) -> Floats:
    """Return columns in which every value is one that `around` gives, each at least once."""
    rng = np.random.default_rng(seed)
    columns = np.empty((len(cuts), n_rows), np.float32)
    for column, known in zip(columns, cuts, strict=True):
        values = around(known)
        every = rng.permutation(np.concatenate([values, rng.choice(values, n_rows)]))
        column[:] = (
            every[:n_rows]
            if len(values) > n_rows
            else rng.permutation(np.concatenate([values, rng.choice(values, n_rows - len(values))]))
        )
    return columns
