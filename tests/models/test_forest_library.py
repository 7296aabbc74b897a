"""Models that the evaluator has no form for: the library predicts, and the log says so once."""

import logging

import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.ensemble import (
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeRegressor

from smcloud.core.errors import ModelError, UserError
from smcloud.models import forest as module
from smcloud.models.forest import Forest
from tests.models.trees import (
    N_FEATURES,
    assert_as_xgboost,
    assert_same_bits,
    grown,
    sample,
)


def with_categories():
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"kind": pd.Categorical(rng.integers(0, 5, 500)), "x": rng.random(500)})
    target = frame["kind"].cat.codes.to_numpy() % 2 + 0.1 * frame["x"]
    data = xgboost.DMatrix(frame, target, enable_categorical=True, nthread=1)
    return xgboost.train({"max_depth": 4, "nthread": 1, "max_cat_to_onehot": 1}, data, 5)


def two_targets(**params):
    columns, target = sample(500, 7)
    data = xgboost.DMatrix(columns.T, np.stack([target, -target], axis=1), nthread=1)
    return xgboost.train({"max_depth": 3, "nthread": 1, **params}, data, 5)


BOOSTERS = {
    "a tree has 13 levels, more than 12": lambda: grown(13),
    "the booster is 'dart', not 'gbtree'": lambda: grown(4, booster="dart"),
    "a tree splits on categories": with_categories,
    "the booster has several outputs": two_targets,
}


@pytest.mark.parametrize("reason", BOOSTERS)
def test_other_boosters_predict_through_xgboost_and_the_log_says_why_once(reason, caplog):
    booster = BOOSTERS[reason]()
    with caplog.at_level(logging.WARNING, module.__name__):
        forest = Forest.from_xgboost(booster)
        columns = np.abs(sample(700, 11, unknown=0.0)[0][: forest.n_features])
        columns[0] = np.floor(columns[0])
        assert_as_xgboost(forest.predict(columns), booster, columns)
        forest.predict(columns)
    assert forest.fallback == reason
    assert [record.getMessage() for record in caplog.records] == [
        f"the library predicts, many times slower: {reason}"
    ]


def test_leaves_that_are_vectors_predict_through_xgboost():
    booster = two_targets(multi_strategy="multi_output_tree", tree_method="hist")
    forest = Forest.from_xgboost(booster)
    assert forest.fallback
    columns = sample(700, 11)[0]
    assert_as_xgboost(forest.predict(columns), booster, columns)


def test_the_library_is_asked_piece_by_piece(monkeypatch):
    monkeypatch.setattr(module, "LIBRARY_ROWS", 100)
    booster = grown(13)
    forest = Forest.from_xgboost(booster)
    columns = sample(950, 11)[0]
    out = np.empty(950, np.float32)
    assert forest.predict(columns, out=out) is out
    assert_as_xgboost(out, booster, columns)
    assert forest.predict(columns[:, :0].copy()).shape == (0,)
    with pytest.raises(UserError, match="takes C-contiguous columns"):
        forest.predict(columns[1:])


def test_the_library_takes_no_codes():
    forest = Forest.from_xgboost(grown(13))
    with pytest.raises(ModelError, match="from values only: a tree has 13 levels"):
        forest.encode(np.zeros(3, np.float32), 0)
    with pytest.raises(ModelError, match="from values only: a tree has 13 levels"):
        forest.predict_codes(np.zeros((N_FEATURES, 3), np.uint8))


@pytest.mark.parametrize(
    ("objective", "low", "high"),
    [
        ("binary:logistic", 0, 1),
        ("reg:logistic", 0, 1),
        ("binary:logitraw", 0, 1),
        ("reg:gamma", 1, 9),
        ("reg:tweedie", 1, 9),
        ("count:poisson", 1, 9),
        ("survival:cox", 1, 9),
    ],
)
def test_objectives_with_a_link_are_refused_by_name(objective, low, high):
    columns, target = sample(300, 7)
    labels = np.where(target > np.median(target), high, low)
    params = {"objective": objective, "max_depth": 2, "nthread": 1}
    booster = xgboost.train(params, xgboost.DMatrix(columns.T, labels, nthread=1), 2)
    with pytest.raises(ModelError, match=f"the objective '{objective}' puts a link") as caught:
        Forest.from_xgboost(booster)
    assert "\n" not in str(caught.value)
    asked = Forest.from_xgboost(booster, links_by_library=True)
    assert objective in asked.fallback
    np.testing.assert_array_equal(asked.predict(columns), booster.inplace_predict(columns.T))


def test_several_classes_are_refused_by_name():
    columns, target = sample(300, 7)
    labels = np.searchsorted(np.quantile(target, [0.3, 0.6]), target)
    params = {"objective": "multi:softprob", "num_class": 3, "max_depth": 2, "nthread": 1}
    booster = xgboost.train(params, xgboost.DMatrix(columns.T, labels, nthread=1), 2)
    with pytest.raises(ModelError, match="'multi:softprob'"):
        Forest.from_xgboost(booster)


def estimators():
    columns, target = sample(300, 7)
    both = np.stack([target, -target], axis=1)
    known = np.nan_to_num(columns).T
    return {
        "deep": RandomForestRegressor(3, max_depth=20).fit(columns.T, target),
        "several targets": RandomForestRegressor(3, max_depth=4).fit(columns.T, both),
        "boosting": GradientBoostingRegressor(n_estimators=3).fit(known, target),
        "one tree": DecisionTreeRegressor(max_depth=4).fit(columns.T, target),
    }


@pytest.mark.parametrize("name", ["deep", "several targets", "boosting", "one tree"])
def test_other_estimators_predict_through_scikit_learn(name, caplog):
    estimator = estimators()[name]
    with caplog.at_level(logging.WARNING, module.__name__):
        forest = Forest.from_sklearn(estimator)
    assert len(caplog.records) == 1
    assert ("levels" if name == "deep" else type(estimator).__name__) in forest.fallback
    columns = np.nan_to_num(sample(700, 11)[0])
    expected = estimator.predict(np.ascontiguousarray(columns.T))
    found = forest.predict(columns)
    assert_same_bits(found, expected)


def test_linear_boosters_are_refused():
    columns, target = sample(300, 7, unknown=0.0)
    params = {"booster": "gblinear", "nthread": 1}
    booster = xgboost.train(params, xgboost.DMatrix(columns.T, target, nthread=1), 2)
    with pytest.raises(ModelError, match="'gblinear'"):
        Forest.from_xgboost(booster)


def test_a_classifier_of_one_class_predicts_through_scikit_learn():
    columns = sample(300, 7, unknown=0.0)[0]
    estimator = RandomForestClassifier(3, max_depth=8).fit(columns.T, np.zeros(300))
    forest = Forest.from_sklearn(estimator)
    assert forest.fallback == "the classifier knows one class only"
    assert forest.predict(columns).shape == (300, 1)
