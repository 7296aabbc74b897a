"""Forests of frozen ground: trees by number, honest probabilities, mappings, files, hard inputs."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier

from smcloud.core.errors import ConfigError, ModelError, UserError
from smcloud.core.objects import open_objects
from smcloud.models.base import content_hash
from smcloud.models.forest import Forest
from smcloud.models.freeze_thaw import (
    NO_STATE,
    ForestRules,
    classes_of,
    decided,
    fit_freeze_thaw,
    frozen_by_temperature,
    grow_trees,
    prepared,
    tree_seed,
    words_of,
)
from smcloud.models.freeze_thaw_files import (
    FreezeThawCard,
    from_bytes,
    load_freeze_thaw,
    save_freeze_thaw,
    to_bytes,
    trees_to_bytes,
)
from smcloud.models.tree_sums import FEW_POINTS
from smcloud.validation.confusion import Confusion, producers_accuracy
from smcloud.validation.reliability import Reliability, brier_score, calibration_error
from tests.models.frozen_ground import FEATURES, frozen_table

RULES = ForestRules(trees=8, seed=3)
PLAIN = ForestRules(trees=6, balanced=False, seed=3)


@pytest.fixture(scope="module")
def table():
    found = frozen_table()
    return found[found["label"] != NO_STATE]


@pytest.fixture(scope="module")
def features(table) -> np.ndarray:
    return table[list(FEATURES)].to_numpy(np.float32)


@pytest.fixture(scope="module")
def labels(table) -> np.ndarray:
    return table["label"].to_numpy()


@pytest.fixture(scope="module")
def model(features, labels):
    return fit_freeze_thaw(features, labels, FEATURES, "frozen", RULES)


def columns(features) -> np.ndarray:
    return np.ascontiguousarray(features.T)


def test_a_tree_depends_on_its_number_and_not_on_the_part_it_is_grown_in(features, labels) -> None:
    rows = prepared(features, labels, "frozen", RULES)
    grown = [rows.ready, rows.classes, rows.weights, RULES]
    whole = grow_trees(*grown, range(5))
    parts = [*grow_trees(*grown, range(2)), *grow_trees(*grown, range(2, 5))]
    assert trees_to_bytes(whole) == trees_to_bytes(parts)
    assert trees_to_bytes(whole[:1]) != trees_to_bytes(whole[1:2])


def test_probabilities_are_those_of_scikit_learn_bit_for_bit(features, labels) -> None:
    model = fit_freeze_thaw(features, labels, FEATURES, "class", PLAIN)
    rows = prepared(features, labels, "class", PLAIN)
    settings = {"min_samples_leaf": 5, "max_features": 1 / 3, "max_depth": PLAIN.max_depth}
    members = [
        ExtraTreesClassifier(1, random_state=tree_seed(3, number), **settings)
        .fit(rows.ready, rows.classes)
        .estimators_[0]
        for number in range(PLAIN.trees)
    ]
    theirs = ExtraTreesClassifier(1, **settings).fit(rows.ready, rows.classes)
    theirs.estimators_ = members
    ready = rows.preparation.of_samples(features)
    assert len(ready) > FEW_POINTS
    known = np.isfinite(model.probabilities(columns(features))).all(axis=1)
    expected = theirs.predict_proba(ready[known])
    assert model.probabilities(columns(features))[known].tobytes() == expected.tobytes()
    evaluator = Forest.from_sklearn(theirs)
    assert evaluator.fallback == ""
    assert evaluator.predict(columns(ready[known])).tobytes() == expected.tobytes()


def test_points_have_the_same_bits_however_they_are_cut(model, features) -> None:
    whole = model.probabilities(columns(features))
    pieces = [model.probabilities(columns(part)) for part in np.array_split(features, 7)]
    assert np.concatenate(pieces).tobytes() == whole.tobytes()


def test_trees_without_a_limit_are_walked_and_are_scikit_learns_too(features, labels) -> None:
    deep = ForestRules(trees=2, max_depth=0, min_samples_leaf=1, balanced=False)
    model = fit_freeze_thaw(features, labels, FEATURES, "frozen", deep)
    found = model.probabilities(columns(features))
    assert model.trees.layout is None
    rows = prepared(features, labels, "frozen", deep)
    theirs = [
        ExtraTreesClassifier(1, max_features=1 / 3, random_state=tree_seed(0, number)).fit(
            rows.ready, rows.classes
        )
        for number in range(2)
    ]
    ready = rows.preparation.of_samples(features)
    expected = sum(one.predict_proba(ready) for one in theirs) / 2
    known = np.isfinite(found).all(axis=1)
    np.testing.assert_array_equal(found[known], expected[known])


def test_leaves_of_a_balanced_tree_hold_the_share_of_their_rows(features, labels) -> None:
    rules = ForestRules(trees=1, max_depth=4, min_samples_leaf=50, decision="balanced")
    model = fit_freeze_thaw(features, labels, FEATURES, "frozen", rules)
    assert model.odds[1] > 1.2 * model.odds[0]  # frozen rows are fewer
    stated = model.probabilities(columns(features))[:, 1]
    frozen = classes_of(labels, "frozen") == 1
    leaves = np.unique(stated[np.isfinite(stated)].round(9))
    assert leaves.size > 4
    for leaf in leaves:
        inside = np.abs(stated - leaf) < 1e-8
        assert frozen[inside].mean() == pytest.approx(leaf, abs=1e-6)


def test_balance_finds_more_of_the_rare_state_and_probabilities_stay_honest(table) -> None:
    is_test = table["col"].to_numpy() % 4 == 0
    parts = {}
    for name, chosen in (("learn", ~is_test), ("test", is_test)):
        part = table[chosen]
        parts[name] = part[list(FEATURES)].to_numpy(np.float32), part["label"].to_numpy()
    scores, reliability = {}, {}
    for balanced in (False, True):
        decision = "balanced" if balanced else "likeliest"
        rules = ForestRules(trees=20, balanced=balanced, decision=decision)
        model = fit_freeze_thaw(*parts["learn"], FEATURES, "class", rules)
        stated = model.probabilities(columns(parts["test"][0]))
        true = classes_of(parts["test"][1], "class")
        found = Confusion.of(true, model.decided(stated), words_of("class"))
        scores[balanced] = producers_accuracy(found)
        known = np.isfinite(stated[:, 2])
        reliability[balanced] = Reliability.of(stated[known, 2], true[known] == 2)
        weighed = stated * model.odds
        weighed /= weighed.sum(axis=1, keepdims=True)
        dishonest = Reliability.of(weighed[known, 2], true[known] == 2)
    assert scores[True][1] > scores[False][1] + 0.1
    assert calibration_error(reliability[True]) < 0.06
    assert calibration_error(reliability[True]) < calibration_error(dishonest)
    assert brier_score(reliability[True]) < 1.1 * brier_score(reliability[False])


def test_the_decision_moves_states_and_not_probabilities(model, features, labels) -> None:
    other = fit_freeze_thaw(
        features, labels, FEATURES, "frozen", replace(RULES, decision="balanced")
    )
    stated = model.probabilities(columns(features))
    assert other.probabilities(columns(features)).tobytes() == stated.tobytes()
    assert model.odds.tolist() == [1.0, 1.0]
    known = np.isfinite(stated).all(axis=1)
    np.testing.assert_array_equal(model.decided(stated)[known], stated[known].argmax(axis=1))
    assert (other.decided(stated) == 1).sum() > (model.decided(stated) == 1).sum()


def test_partly_frozen_ground_counts_as_configured() -> None:
    labels = np.array([0, 1, 2, 255], np.uint8)
    assert classes_of(labels, "frozen").tolist() == [0, 1, 1, -1]
    assert classes_of(labels, "thawed").tolist() == [0, 0, 1, -1]
    assert classes_of(labels, "left_out").tolist() == [0, -1, 1, -1]
    assert classes_of(labels, "class").tolist() == [0, 1, 2, -1]
    assert words_of("class") == ("thawed", "partly frozen", "frozen")
    with pytest.raises(UserError, match="a label of frozen ground is 7"):
        classes_of(np.array([0, 7], np.uint8), "frozen")
    with pytest.raises(ConfigError, match="partly is 'maybe'"):
        words_of("maybe")


def test_the_plain_rule_knows_nothing_where_the_temperature_is_unknown() -> None:
    kelvin = np.array([273.14, 273.15, 290.0, np.nan])
    assert frozen_by_temperature(kelvin, "frozen").tolist() == [1, 0, 0, -1]
    assert frozen_by_temperature(kelvin, "class").tolist() == [2, 0, 0, -1]


def test_equal_odds_take_the_likeliest_and_unknown_probabilities_no_state(model) -> None:
    stated = np.array([[0.6, 0.4], [0.5, 0.5], [np.nan, np.nan]])
    assert decided(stated).tolist() == [0, 0, -1]
    assert decided(stated, np.array([0.5, 1.0])).tolist() == [1, 1, -1]
    assert model.stored_states(np.array([0, 1, -1])).tolist() == [0, 2, NO_STATE]


def test_unknown_brightness_is_borne_and_too_little_gives_no_estimate(features, labels) -> None:
    without = features.copy()
    without[:, 1] = np.nan  # a channel that is missing altogether
    without[0, 2] = np.inf
    model = fit_freeze_thaw(without, labels, FEATURES, "frozen", ForestRules(trees=2))
    some = np.repeat(features[:1], 3, axis=0)
    some[1, :2] = np.nan
    some[2, :5] = np.nan
    found = model.probabilities(columns(some))
    assert np.isfinite(found[:2]).all()
    assert np.isnan(found[2]).all()
    with pytest.raises(UserError, match=r"features \(7, n_points\)"):
        model.probabilities(columns(features[:, :6]))


def test_a_state_without_rows_and_rules_out_of_range_are_refused(features, labels) -> None:
    thawed = labels == 0
    with pytest.raises(UserError, match=r"no row to learn from: thawed .*, frozen 0"):
        fit_freeze_thaw(features[thawed], labels[thawed], FEATURES, "frozen", RULES)
    with pytest.raises(ConfigError, match="trees is 0"):
        ForestRules(trees=0)
    with pytest.raises(ConfigError, match="decision is 'both': expected likeliest or balanced"):
        ForestRules(decision="both")
    with pytest.raises(ConfigError, match="max_features is 2"):
        ForestRules(max_features=2.0)


def test_a_file_gives_back_the_model_and_damage_is_told(model, features, tmp_path) -> None:
    data = to_bytes(model)
    back = from_bytes(data)
    assert to_bytes(back) == data
    assert (
        back.probabilities(columns(features)).tobytes()
        == model.probabilities(columns(features)).tobytes()
    )
    with pytest.raises(ModelError, match="not a model of frozen ground"):
        from_bytes(data[:1000])
    with pytest.raises(ModelError, match="not a model of frozen ground"):
        from_bytes(trees_to_bytes(model.trees.ensemble.trees[:1]))
    objects = open_objects(str(tmp_path))
    card = card_of(model, data)
    with pytest.raises(ModelError, match="belongs to other bytes"):
        save_freeze_thaw(objects, "mine", data[:-1], b"{}", card)
    save_freeze_thaw(objects, "mine", data, b"{}", card)
    assert load_freeze_thaw(objects, "mine", FEATURES)[1].to_json() == card.to_json()
    with pytest.raises(ModelError, match="missing tb_18v"):
        load_freeze_thaw(objects, "mine", FEATURES[1:])
    objects.put(f"mine/{card.sha256}.trees.npz", data[:-1] + b"x")
    with pytest.raises(ModelError, match="is damaged"):
        load_freeze_thaw(objects, "mine")


def card_of(model, data: bytes) -> FreezeThawCard:
    return FreezeThawCard(
        name="mine",
        target="state",
        target_units="1",
        columns=FEATURES,
        units=("",) * len(FEATURES),
        versions={},
        input_hash="",
        scores={"none": {"kappa": float("nan")}},
        partly="frozen",
        states=model.states,
        rows={"frozen": 1},
        params=RULES.to_json(),
        headline="",
        notes=(),
        sha256=content_hash(data),
        scores_sha256=content_hash(b"{}"),
    )
