"""Random forest and XGBoost as one kind of estimator: arrays of trees for the bit-sliced evaluator.

Both are stored as the nodes of their trees, in the order in which the library adds them up, so
that `models.forest` gives the library's own estimates bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor

from smcloud.core.errors import MissingExtraError
from smcloud.models.families import Arrays, Floats, Floats32, Parameters
from smcloud.models.forest import Forest
from smcloud.models.forest_layout import Layout, layout_of
from smcloud.models.forest_trees import Ensemble, Tree, sklearn_ensemble, xgboost_ensemble

try:
    import xgboost
except ImportError as err:
    raise MissingExtraError("xgboost", "cpu", "training and production") from err

NODE_TYPES: Mapping[str, type] = {
    "left": np.int32,
    "right": np.int32,
    "feature": np.int16,
    "cut": np.float32,
    "unknown_left": np.bool_,
}
"""How the nodes of a tree are stored; leaf values keep the type of their sum."""
XGB_FIXED: Parameters = {"tree_method": "hist", "objective": "reg:squarederror", "nthread": 1}


@dataclass(frozen=True, eq=False)
class TreeSums:
    """Trees whose leaves are added up.

    Attributes
    ----------
    ensemble : Ensemble
    layout : Layout
        The trees as the evaluator reads them.
    """

    ensemble: Ensemble
    layout: Layout = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layout", layout_of(self.ensemble))

    def __call__(self, ready: Floats32) -> NDArray[Any]:
        """Return the estimates of features (n_kept, n_points), bit for bit the library's."""
        # The scratch of a forest is larger than its trees: it lives as long as one piece does.
        forest = Forest.from_layout(self.ensemble, self.layout)
        return forest.predict(np.ascontiguousarray(ready))

    def arrays(self) -> Arrays:
        """Return all nodes of all trees, tree after tree, and what the sum begins with."""
        trees = self.ensemble.trees
        found: Arrays = {
            name: np.concatenate([getattr(tree, name) for tree in trees]).astype(kind)
            for name, kind in NODE_TYPES.items()
        }
        found["value"] = np.concatenate([tree.value for tree in trees])
        found["sizes"] = np.array([tree.left.size for tree in trees], np.int32)
        found["start"] = np.asarray(self.ensemble.start)
        found["divisor"] = np.array(self.ensemble.divisor)
        found["n_features"] = np.array(self.ensemble.n_features)
        return found

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> TreeSums:
        """Return what `arrays` gave."""
        ends = np.cumsum(arrays["sizes"])
        pieces = [slice(end - size, end) for end, size in zip(ends, arrays["sizes"], strict=True)]
        trees = tuple(_tree_of(arrays, piece) for piece in pieces)
        start = arrays["start"].dtype.type(arrays["start"])
        n_features, divisor = int(arrays["n_features"]), int(arrays["divisor"])
        return cls(Ensemble(trees, n_features, 1, start, divisor))


def _tree_of(arrays: Mapping[str, NDArray[Any]], piece: slice) -> Tree:
    return Tree(
        arrays["left"][piece].astype(np.int64),
        arrays["right"][piece].astype(np.int64),
        arrays["feature"][piece].astype(np.int64),
        arrays["cut"][piece],
        arrays["unknown_left"][piece],
        arrays["value"][piece],
    )


def fit_random_forest(
    ready: Floats32, target: Floats, parameters: Parameters, seed: int
) -> TreeSums:
    """Return the mean of trees grown on resampled rows, by scikit-learn.

    Parameters
    ----------
    ready
        (n_samples, n_kept).
    parameters
        ``trees``, ``max_depth`` (12 at the most, for the evaluator), ``min_samples_leaf`` and
        ``max_features``, the part of the features that each split looks at.

    Raises
    ------
    NoFitError
        If the evaluator cannot hold the trees.
    """
    found = RandomForestRegressor(
        int(parameters["trees"]),
        max_depth=int(parameters["max_depth"]),
        min_samples_leaf=int(parameters["min_samples_leaf"]),
        max_features=float(parameters["max_features"]),
        random_state=seed,
        n_jobs=1,
    )
    return TreeSums(sklearn_ensemble(found.fit(ready, target)))


def fit_xgboost(ready: Floats32, target: Floats, parameters: Parameters, seed: int) -> TreeSums:
    """Return boosted trees on one thread, by XGBoost.

    Parameters
    ----------
    ready
        (n_samples, n_kept).
    parameters
        ``trees`` and XGBoost's own names.

    Raises
    ------
    NoFitError
        If the evaluator cannot hold the trees.
    """
    own = {name: value for name, value in parameters.items() if name != "trees"}
    matrix = xgboost.DMatrix(ready, target.astype(np.float32), nthread=1)
    booster = xgboost.train({**XGB_FIXED, **own, "seed": seed}, matrix, int(parameters["trees"]))
    return TreeSums(xgboost_ensemble(booster))
