"""Random forest and XGBoost as one kind of estimator: arrays of trees for the bit-sliced evaluator.

Both are stored as the nodes of their trees (`models.tree_sums`), and give the library's own
estimates bit for bit.
"""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import RandomForestRegressor

from smcloud.core.errors import MissingExtraError
from smcloud.models.families import Floats, Floats32, Parameters
from smcloud.models.forest_layout import DEEPEST
from smcloud.models.forest_trees import sklearn_ensemble, xgboost_ensemble
from smcloud.models.tree_sums import TreeSums

try:
    import xgboost
except ImportError as err:
    raise MissingExtraError("xgboost", "cpu", "training and production") from err

SHALLOW, DEEP_ROWS = 8, 4_000
"""Levels of a random forest fitted on up to so many rows; with more rows as deep as the evaluator
goes. Eight levels hold what a day's rows can fill, in a tenth of the memory of twelve."""
XGB_FIXED: Parameters = {"tree_method": "hist", "objective": "reg:squarederror", "nthread": 1}


def fit_random_forest(
    ready: Floats32, target: Floats, parameters: Parameters, seed: int
) -> TreeSums:
    """Return the mean of trees grown on resampled rows, by scikit-learn.

    Parameters
    ----------
    ready
        (n_samples, n_kept).
    parameters
        ``trees``, ``min_samples_leaf`` and ``max_features``, the part of the features that each
        split looks at.
    """
    found = RandomForestRegressor(
        int(parameters["trees"]),
        max_depth=SHALLOW if target.size <= DEEP_ROWS else DEEPEST,
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
    """
    own = {name: value for name, value in parameters.items() if name != "trees"}
    matrix = xgboost.DMatrix(ready, target.astype(np.float32), nthread=1)
    booster = xgboost.train({**XGB_FIXED, **own, "seed": seed}, matrix, int(parameters["trees"]))
    return TreeSums(xgboost_ensemble(booster))
