"""Monotone and interaction rules by feature name, kept by the trees that are grown."""

import numpy as np
import pytest

from smcloud.core.errors import ConfigError
from smcloud.models.boosting import forest_of
from smcloud.models.constraints import Constraints
from smcloud.models.parameters import BoostingParams
from smcloud.models.rows import Rows
from smcloud.models.training import train_boosting

FEATURES = ("rain", "heat", "sand")
PARAMS = BoostingParams(rounds=30, early_stopping=30, threads=1, trees={"max_depth": 4})


def grown(params: BoostingParams):
    rng = np.random.default_rng(3)
    columns = rng.normal(size=(3000, 3)).astype(np.float32)
    # Wavy in rain, and rain and heat act together.
    target = np.sin(2 * columns[:, 0]) + columns[:, 0] * (1 + columns[:, 1])
    rows = Rows.of_matrix(columns, (0.2 + 0.05 * target).astype(np.float32))
    return forest_of(train_boosting(rows, rows, params).data)


def along_rain(forest) -> np.ndarray:
    rain = np.linspace(-2, 2, 200, dtype=np.float32)
    rows = np.stack([rain, np.full_like(rain, 0.3), np.zeros_like(rain)])
    return forest.predict(rows)


def test_an_estimate_never_falls_where_it_must_not() -> None:
    free, ruled = (
        along_rain(grown(rules.applied(PARAMS, FEATURES)))
        for rules in (Constraints(), Constraints({"rain": 1, "sand": 0}))
    )
    assert (np.diff(free) < -1e-4).any()
    assert (np.diff(ruled) >= -1e-7).all()


def test_features_of_different_groups_add_up() -> None:
    rules = Constraints(interactions=(("rain", "sand"), ("heat",)))
    forest = grown(rules.applied(PARAMS, FEATURES))

    def at(rain: float, heat: float) -> float:
        return float(forest.predict(np.array([[rain], [heat], [0]], np.float32))[0])

    effect = [at(1.5, heat) - at(-1.5, heat) for heat in (-1.0, 1.0)]
    assert effect[0] == pytest.approx(effect[1], abs=1e-5)
    free = grown(PARAMS)
    rows = np.array([[1.5, -1.5, 1.5, -1.5], [-1, -1, 1, 1], [0, 0, 0, 0]], np.float32)
    wet = free.predict(rows)
    assert abs((wet[0] - wet[1]) - (wet[2] - wet[3])) > 0.05


def test_rules_follow_the_columns_that_are_left() -> None:
    rules = Constraints({"sand": -1}, (("rain", "sand"), ("heat",)))
    whole = rules.applied(PARAMS, FEATURES)
    assert whole.trees["monotone_constraints"] == "(0,0,-1)"
    assert whole.trees["interaction_constraints"] == "[[0, 2], [1]]"
    left = rules.among(whole, ("heat", "sand"))
    assert left.trees["monotone_constraints"] == "(0,-1)"
    assert left.trees["interaction_constraints"] == "[[1], [0]]"
    assert "monotone_constraints" not in rules.among(whole, ("heat",)).trees


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (Constraints({"rian": 1}), r"train\.monotone names 'rian'.*did you mean 'rain'"),
        (Constraints(interactions=(("rain", "x"),)), r"train\.interactions names 'x'.*it has rain"),
    ],
)
def test_an_unknown_feature_is_named(rules: Constraints, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        rules.applied(PARAMS, FEATURES)


def test_rules_by_column_number_are_refused() -> None:
    params = BoostingParams(trees={"monotone_constraints": "(1,0,0)"})
    with pytest.raises(ConfigError, match="goes by column number: say it by feature name"):
        Constraints().applied(params, FEATURES)
