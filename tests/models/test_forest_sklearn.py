"""Forests of scikit-learn: the doubles of its own trees, in the order of one job."""

import numpy as np
import pytest
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from smcloud.models import forest_layout
from smcloud.models.forest import Forest
from tests.models.trees import assert_same_bits, columns_around, sample

REGRESSORS = (RandomForestRegressor, ExtraTreesRegressor)
CLASSIFIERS = (RandomForestClassifier, ExtraTreesClassifier)
SMALL_GROUPS = 40000


def fitted(kind, depth, *, n_trees=12, classes=0, unknown=0.1, **params):
    columns, target = sample(2500, 7, unknown=unknown)
    if classes:
        edges = np.quantile(target, np.linspace(0, 1, classes + 1)[1:-1])
        target = np.array(["dry", "moist", "wet"])[np.searchsorted(edges, target)]
    estimator = kind(n_trees, max_depth=depth, random_state=3, n_jobs=None, **params)
    return estimator.fit(columns.T, target)


def columns_near(estimator, n_rows, n_features=6):
    """Return columns of thresholds rounded to float32, and their neighbours; nothing infinite."""
    cuts = [[] for _ in range(n_features)]
    for member in estimator.estimators_:
        for feature, threshold in zip(member.tree_.feature, member.tree_.threshold, strict=True):
            if feature >= 0 and np.isfinite(threshold):
                cuts[feature].append(threshold)
    with np.errstate(over="ignore"):
        near = [np.unique(np.array(known, float).astype(np.float32)) for known in cuts]
    columns = columns_around(near, n_rows, 5)
    return np.where(np.isinf(columns), np.float32(3), columns)


def assert_as_sklearn(forest, estimator, columns, **options):
    assert forest.fallback == ""
    predict = getattr(estimator, "predict_proba", estimator.predict)
    with np.errstate(all="ignore"):  # it adds up the rows to see whether they are finite
        expected = predict(np.ascontiguousarray(columns.T))
    assert_same_bits(forest.predict(columns, **options), expected)


@pytest.mark.parametrize("unknown", [0.0, 0.1])
@pytest.mark.parametrize("depth", [8, 12])
@pytest.mark.parametrize("kind", REGRESSORS)
def test_means_of_trees_agree_at_thresholds_and_beside_them(kind, depth, unknown):
    estimator = fitted(kind, depth, unknown=unknown)
    columns = columns_near(estimator, 3000)
    if unknown == 0.0:
        columns = np.nan_to_num(columns)
    assert_as_sklearn(Forest.from_sklearn(estimator), estimator, columns)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("depth", [8, 12])
@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_probabilities_agree(kind, depth, classes):
    estimator = fitted(kind, depth, classes=classes)
    forest = Forest.from_sklearn(estimator)
    columns = columns_near(estimator, 700)
    assert_as_sklearn(forest, estimator, columns)
    assert forest.predict(columns).shape == (700, classes)


@pytest.mark.parametrize("depth", [8, 12])
def test_groups_of_trees_give_the_same_bits(monkeypatch, depth):
    estimator = fitted(ExtraTreesRegressor, depth, n_trees=40)
    monkeypatch.setattr(forest_layout, "GROUP_BYTES", SMALL_GROUPS)
    forest = Forest.from_sklearn(estimator)
    assert len(forest._layout.parts) > 5
    assert_as_sklearn(forest, estimator, columns_near(estimator, 5000), threads=2)


def test_the_groups_of_a_large_forest_stay_in_the_cache():
    """Masks for unknown left and right are kept of every cut: twice the splits at the most."""
    estimator = fitted(ExtraTreesRegressor, 12, n_trees=60)
    parts = Forest.from_sklearn(estimator)._layout.parts
    assert len(parts) > 1
    assert max(part.group.n_rows for part in parts) * 64 <= forest_layout.GROUP_BYTES + 64


@pytest.mark.parametrize("criterion", ["absolute_error", "poisson"])
def test_leaves_that_are_no_means_agree(criterion):
    columns, target = sample(400, 7)
    estimator = RandomForestRegressor(5, max_depth=6, criterion=criterion, random_state=3)
    estimator.fit(columns.T, np.abs(target))
    assert_as_sklearn(Forest.from_sklearn(estimator), estimator, columns)


def test_thresholds_between_two_floats_are_exact():
    """The middle of two floats an odd number of steps apart is no float."""
    steps = np.float32(1) + np.arange(4, dtype=np.float32) * np.float32(2**-23)
    learned = np.tile(steps[[0, 3]], 50)[:, None]
    estimator = RandomForestRegressor(3, max_depth=1, bootstrap=False)
    estimator.fit(learned, np.tile([0.0, 1.0], 50))
    threshold = estimator.estimators_[0].tree_.threshold[0]
    assert steps[1] < threshold < steps[2]
    found = Forest.from_sklearn(estimator).predict(steps[None])
    np.testing.assert_array_equal(found, [0, 0, 1, 1])


def thresholds_moved(estimator, thresholds):
    """Return the estimator with other thresholds, in turn, at its splits."""
    for member in estimator.estimators_:
        tree = member.tree_
        splits = np.flatnonzero(tree.children_left >= 0)
        tree.threshold[splits] = np.resize(thresholds, len(splits))
    return estimator


@pytest.mark.parametrize(
    "thresholds",
    [
        [0.0, -0.0, 1e-60, -1e-60, 1e-45, -1e-45],
        [3.4028234663852886e38, -3.4028234663852886e38, 1e300, -1e300],
        [np.inf, -np.inf, 0.5],
        [1.0, 1.0 + 2**-25, 1.0 + 2**-24, 1.0 + 2**-23, 1.0 - 2**-24, 1.0 - 2**-26],
    ],
)
def test_thresholds_that_no_float_holds_are_exact(thresholds):
    estimator = thresholds_moved(fitted(ExtraTreesRegressor, 8), thresholds)
    columns = columns_near(estimator, 3000)
    assert_as_sklearn(Forest.from_sklearn(estimator), estimator, columns)
