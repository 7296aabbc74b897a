"""Decision trees as plain arrays, whichever library grew them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import ModelError

LEAF = -1
IDENTITY = (
    "reg:squarederror",
    "reg:squaredlogerror",
    "reg:absoluteerror",
    "reg:pseudohubererror",
    "reg:quantileerror",
    "rank:pairwise",
    "rank:ndcg",
    "rank:map",
)
"""XGBoost's objectives whose prediction is the sum of the leaves itself, without a link."""


class NoFitError(Exception):
    """The evaluator has no form for these trees; the library predicts them."""


@dataclass(frozen=True, eq=False)
class Tree:
    """One binary tree; a row goes left where ``x[feature] < cut``.

    Attributes
    ----------
    left, right : int (n_nodes,)
        Children of each node; `LEAF` for a leaf. Node 0 is the root.
    feature : int (n_nodes,)
    cut : float32 (n_nodes,)
    unknown_left : bool (n_nodes,)
        Whether NaN goes left.
    value : float32 or float64 (n_nodes, n_outputs)
        Of the leaves.
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    cut: NDArray[np.float32]
    unknown_left: NDArray[np.bool_]
    value: NDArray[Any]

    @property
    def splits(self) -> NDArray[np.intp]:
        """Return the nodes that split."""
        return np.flatnonzero(self.left != LEAF)

    def levels(self) -> int:
        """Return the length of the longest path from the root to a leaf."""
        depth, level = 0, np.array([0])
        while (level := level[self.left[level] != LEAF]).size:
            level = np.concatenate([self.left[level], self.right[level]])
            depth += 1
        return depth


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Trees whose leaves are added, in order, to a start, and divided at the end.

    Attributes
    ----------
    trees : tuple of Tree
    n_features, n_outputs : int
    start : float32 or float64
        What the sum begins with; its type is that of the sum.
    divisor : float
        1 for boosting, the number of trees for a mean.
    """

    trees: tuple[Tree, ...]
    n_features: int
    n_outputs: int
    start: np.floating[Any]
    divisor: int


def xgboost_ensemble(booster: Any) -> Ensemble:
    """Return the trees of an XGBoost booster, read from its own JSON.

    Raises
    ------
    ModelError
        If the objective has a link function, by name, or the booster is linear.
    NoFitError
        For DART, categorical splits and several outputs.
    """
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    objective = learner["objective"]["name"]
    if objective not in IDENTITY:
        raise ModelError(
            f"the objective {objective!r} puts a link function behind the sum of its trees, which "
            f"the evaluator does not compute: use the library, or one of {', '.join(IDENTITY)}"
        )
    model = learner["gradient_booster"]
    shape = learner["learner_model_param"]
    if model["name"] == "gblinear":
        raise ModelError(
            "the booster is 'gblinear', which has no trees and which XGBoost predicts from a "
            "DMatrix alone: use the library"
        )
    if model["name"] != "gbtree":
        raise NoFitError(f"the booster is {model['name']!r}, not 'gbtree'")
    starts = json.loads(_bracketed(shape["base_score"]))
    if int(shape["num_class"]) > 1 or int(shape.get("num_target", 1)) > 1 or len(starts) > 1:
        raise NoFitError("the booster has several outputs")
    model = model["model"]
    trees = tuple(_xgboost_tree(tree) for tree in model["trees"])
    return Ensemble(trees, int(shape["num_feature"]), 1, np.float32(starts[0]), 1)


def _bracketed(text: str) -> str:
    """Return XGBoost's base score as a JSON list; up to version 3.0 it was a bare number."""
    return text if text.startswith("[") else f"[{text}]"


def _xgboost_tree(found: Mapping[str, Any]) -> Tree:
    if any(found.get("split_type", ())) or found.get("categories_nodes"):
        raise NoFitError("a tree splits on categories")
    if int(found["tree_param"].get("size_leaf_vector", 1)) > 1:
        raise NoFitError("the leaves are vectors")
    cut = np.asarray(found["split_conditions"], np.float32)
    return Tree(
        np.asarray(found["left_children"], np.int64),
        np.asarray(found["right_children"], np.int64),
        np.asarray(found["split_indices"], np.int64),
        cut,
        np.asarray(found["default_left"], np.bool_),
        cut[:, None],
    )


def sklearn_ensemble(estimator: Any) -> Ensemble:
    """Return the trees of a fitted random forest or extra trees, regressor or classifier.

    Raises
    ------
    NoFitError
        For other estimators, several targets and criteria whose leaves are not means.
    """
    members: Sequence[Any] = getattr(estimator, "estimators_", ())
    if not _averages_trees(estimator, members):
        raise NoFitError(f"{type(estimator).__name__} is not a fitted forest of one target")
    outputs = int(getattr(estimator, "n_classes_", 1))
    if hasattr(estimator, "n_classes_") and outputs == 1:
        raise NoFitError("the classifier knows one class only")
    trees = tuple(_sklearn_tree(member.tree_, outputs) for member in members)
    features = int(estimator.n_features_in_)
    return Ensemble(trees, features, outputs, np.float64(0), len(members))


def _averages_trees(estimator: Any, members: Sequence[Any]) -> bool:
    """Say whether an estimator predicts by the mean over trees of scikit-learn."""
    kinds = {cls.__name__ for cls in type(estimator).__mro__}
    is_forest = bool(kinds & {"ForestRegressor", "ForestClassifier"})
    return is_forest and len(members) > 0 and int(getattr(estimator, "n_outputs_", 1)) == 1


def _sklearn_tree(tree: Any, outputs: int) -> Tree:
    left = np.asarray(tree.children_left, np.int64)
    return Tree(
        left,
        np.asarray(tree.children_right, np.int64),
        np.maximum(np.asarray(tree.feature, np.int64), 0),
        _strict_cut(np.asarray(tree.threshold, np.float64)),
        np.asarray(tree.missing_go_to_left, np.bool_),
        np.asarray(tree.value, np.float64)[:, 0, :outputs],
    )


def _strict_cut(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the float32 below which exactly those float32 lie that are <= a double."""
    with np.errstate(over="ignore"):
        near = threshold.astype(np.float32)
        up = np.nextafter(near, np.float32(np.inf))
    return np.where(near.astype(np.float64) <= threshold, up, near)
