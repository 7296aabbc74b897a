"""Five families: the library's own estimates from stored arrays, and every bad input defined."""

from dataclasses import replace

import numpy as np
import pytest
import xgboost
from sklearn.ensemble import RandomForestRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.svm import SVR
from threadpoolctl import threadpool_limits

from smcloud.core.errors import ConfigError, ModelError, UserError
from smcloud.models import family_trees, tree_sums
from smcloud.models.families import (
    FAMILIES,
    PIECE_POINTS,
    CellSamples,
    Preparation,
    bounds_of,
    known_families,
    varying,
)
from smcloud.models.family_fits import DEFAULTS, MOST_ROWS, fit_family, from_bytes, to_bytes
from smcloud.models.family_regressions import NETWORK_ROUNDS, fit_linear
from smcloud.models.forest_trees import NoFitError
from tests.models.coarse_cells import coarse_table, samples_of

FEW = {
    "rf": {"trees": 8},
    "xgb": {"trees": 20, "eta": 0.3},
    "ann": {"hidden": "6x4"},
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def samples() -> CellSamples:
    return samples_of(coarse_table(1))


@pytest.fixture(scope="module")
def models(samples):
    return {name: fit_family(name, samples, FEW.get(name, {}), 3) for name in FAMILIES}


@pytest.fixture(scope="module")
def fine(samples):
    """Points between the cells and beyond them, a tenth of the values unknown."""
    rng = np.random.default_rng(5)
    at = rng.integers(0, samples.size, (2, 2 * PIECE_POINTS + 77))
    columns = (1.4 * samples.features[at[0]] - 0.4 * samples.features[at[1]]).T
    columns[rng.random(columns.shape) < 0.1] = np.nan
    return np.ascontiguousarray(columns, np.float32)


def columns_of(samples: CellSamples):
    return np.ascontiguousarray(samples.features.T)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_learns_what_the_features_tell(family, models, samples) -> None:
    other = samples_of(coarse_table(1, seed=9))
    error = models[family].predict(columns_of(other)) - other.target
    assert np.sqrt(np.mean(error**2)) < 0.7 * other.target.std()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_stored_model_estimates_the_same_bits(family, models, fine) -> None:
    data = to_bytes(models[family])
    again = from_bytes(data)
    assert again.predict(fine).tobytes() == models[family].predict(fine).tobytes()
    assert to_bytes(again) == data


@pytest.mark.parametrize("family", FAMILIES)
def test_equal_fits_are_equal_bytes(family, models, samples) -> None:
    assert to_bytes(fit_family(family, samples, FEW.get(family, {}), 3)) == to_bytes(models[family])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_bits_of_a_point_do_not_depend_on_its_neighbours(family, models, fine) -> None:
    whole, rng = models[family].predict(fine), np.random.default_rng(1)
    chosen = [np.sort(rng.choice(len(whole), size, replace=False)) for size in (1, 500, 7001)]
    for points in (*chosen, np.arange(PIECE_POINTS - 3, PIECE_POINTS + 5)):
        part = models[family].predict(np.ascontiguousarray(fine[:, points]))
        assert part.tobytes() == whole[points].tobytes()


def prepared(samples: CellSamples, is_scaled: bool):
    return Preparation.of(samples.features, is_scaled=is_scaled).of_samples(samples.features)


def test_the_linear_regression_is_that_of_least_squares(models, samples) -> None:
    rows = np.column_stack([prepared(samples, True).astype(float), np.ones(samples.size)])
    expected = rows @ np.linalg.lstsq(rows, samples.target)[0]
    np.testing.assert_allclose(models["mlr"].predict(columns_of(samples)), expected, atol=1e-6)


def test_support_vectors_estimate_as_scikit_learn(models, samples, fine) -> None:
    ready, mean, deviation = prepared(samples, True), samples.target.mean(), samples.target.std()
    theirs = SVR(C=1.0, epsilon=0.1, gamma=1 / ready.shape[1])
    theirs.fit(ready.astype(float), (samples.target - mean) / deviation)
    points, _ = models["svr"].preparation.ready(fine)
    expected = theirs.predict(points.T.astype(float)) * deviation + mean
    np.testing.assert_allclose(models["svr"].estimator(points), expected, atol=1e-6)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_network_estimates_as_scikit_learn(models, samples, fine) -> None:
    ready, mean, deviation = prepared(samples, True), samples.target.mean(), samples.target.std()
    theirs = MLPRegressor(
        hidden_layer_sizes=[6, 4],
        activation="tanh",
        solver="lbfgs",
        alpha=DEFAULTS["ann"]["alpha"],
        max_iter=NETWORK_ROUNDS,
        random_state=3,
    )
    theirs.fit(ready.astype(float), (samples.target - mean) / deviation)
    points, _ = models["ann"].preparation.ready(fine)
    expected = theirs.predict(points.T.astype(float)) * deviation + mean
    np.testing.assert_allclose(models["ann"].estimator(points), expected, atol=1e-6)


def test_trees_estimate_bit_for_bit_as_their_libraries(models, samples, fine) -> None:
    ready = prepared(samples, False)
    own = {**DEFAULTS["rf"], **FEW["rf"]}
    forest = RandomForestRegressor(
        own["trees"],
        max_depth=family_trees.SHALLOW,
        min_samples_leaf=own["min_samples_leaf"],
        max_features=own["max_features"],
        random_state=3,
    ).fit(ready, samples.target)
    points, _ = models["rf"].preparation.ready(fine)
    assert models["rf"].estimator(points).tobytes() == forest.predict(points.T).tobytes()

    own = {k: v for k, v in {**DEFAULTS["xgb"], **FEW["xgb"]}.items() if k != "trees"}
    matrix = xgboost.DMatrix(ready, samples.target.astype(np.float32))
    booster = xgboost.train({**family_trees.XGB_FIXED, **own, "seed": 3}, matrix, 20)
    expected = booster.inplace_predict(np.ascontiguousarray(points.T))
    assert models["xgb"].estimator(points).tobytes() == expected.tobytes()


@pytest.mark.parametrize("family", ["rf", "xgb"])
def test_few_points_walk_the_trees_to_the_same_bits(family, samples, fine) -> None:
    model = fit_family(family, samples, FEW[family], 3)
    few = model.predict(np.ascontiguousarray(fine[:, :1000]))
    assert "layout" not in model.estimator.__dict__
    many = model.predict(fine)
    assert model.estimator.__dict__["layout"] is not None
    assert few.tobytes() == many[:1000].tobytes()


def test_trees_that_do_not_fit_the_evaluator_are_walked(monkeypatch, models, samples, fine) -> None:
    def refuse(ensemble):
        raise NoFitError("too wide")

    monkeypatch.setattr(tree_sums, "layout_of", refuse)
    model = fit_family("rf", samples, FEW["rf"], 3)
    assert model.predict(fine).tobytes() == models["rf"].predict(fine).tobytes()


@pytest.mark.parametrize("family", FAMILIES)
def test_unknown_values_are_taken_for_the_median(family, models, samples) -> None:
    columns = columns_of(samples)[:, :50].copy()
    columns[0] = np.nan
    filled = columns.copy()
    filled[0] = np.nanmedian(samples.features[:, 0])
    np.testing.assert_array_equal(models[family].predict(columns), models[family].predict(filled))


@pytest.mark.parametrize("family", FAMILIES)
def test_points_with_too_few_known_features_have_no_estimate(family, models, samples) -> None:
    columns = np.repeat(columns_of(samples)[:, :1], 3, axis=1)
    columns[:, 0] = np.nan
    columns[:4, 1] = [np.nan, np.inf, -np.inf, np.nan]
    columns[:3, 2] = np.nan
    found = models[family].predict(columns)
    assert np.isnan(found).tolist() == [True, True, False]
    assert models[family].predict(columns[:, :0]).shape == (0,)


def changed(samples: CellSamples, column: int, values) -> CellSamples:
    features = samples.features.copy()
    features[:, column] = values
    return replace(samples, features=features)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("values", [np.nan, 290.0, np.inf], ids=["unknown", "constant", "inf"])
def test_a_feature_that_tells_nothing_is_left_out(family, samples, values) -> None:
    model = fit_family(family, changed(samples, 2, values), FEW.get(family, {}), 3)
    assert model.preparation.kept.tolist() == [0, 1, 3, 4, 5, 6]
    columns = columns_of(samples)
    away = columns.copy()
    away[2] = 1e9
    np.testing.assert_array_equal(model.predict(columns), model.predict(away))
    assert np.isfinite(model.predict(columns)).all()


def test_rounding_of_a_constant_is_no_variation() -> None:
    values = np.full((50, 2), 290.0, np.float32)
    values[::2, 0] = np.nextafter(np.float32(290), np.float32(291))
    values[::2, 1] = 290.01
    assert varying(values).tolist() == [False, True]


@pytest.mark.parametrize("family", FAMILIES)
def test_what_cannot_be_fitted_is_said(family, samples) -> None:
    flat = replace(samples, features=np.ones_like(samples.features))
    with pytest.raises(UserError, match="no feature varies"):
        fit_family(family, flat, {}, 0)
    still = replace(samples, target=np.full(samples.size, 0.2))
    with pytest.raises(UserError, match="the target is constant"):
        fit_family(family, still, {}, 0)
    with pytest.raises(UserError, match=f"{family} has no parameter 'depht'"):
        fit_family(family, samples, {"depht": 3}, 0)


@pytest.mark.parametrize("family", FAMILIES)
def test_collinear_features_change_nothing_much(family, models, samples) -> None:
    twice = changed(samples, 6, samples.features[:, 5] * 2 + 1)
    found = fit_family(family, twice, FEW.get(family, {}), 3)
    errors = [
        np.sqrt(np.mean((model.predict(columns_of(given)) - samples.target) ** 2))
        for model, given in ((found, twice), (models[family], samples))
    ]
    assert errors[0] < 1.15 * errors[1]


def test_a_singular_regression_has_the_solution_of_least_norm(samples) -> None:
    ready = prepared(samples, True)
    twice = np.column_stack([ready, ready[:, :1]])
    found = fit_linear(twice, samples.target, {"penalty": 0.0})
    once = fit_linear(ready, samples.target, {"penalty": 0.0})
    assert (once.rank, found.rank) == (ready.shape[1], ready.shape[1])
    assert found.coefficients[0] == pytest.approx(found.coefficients[-1], rel=1e-4)
    assert found.coefficients[0] == pytest.approx(once.coefficients[0] / 2, rel=1e-3)
    few = fit_linear(ready[:4], samples.target[:4], {"penalty": 0.0})
    assert few.rank == 3
    np.testing.assert_allclose(few(ready[:4].T), samples.target[:4], atol=1e-6)


def test_estimates_stay_near_what_was_seen(models, samples) -> None:
    low, high = bounds_of(samples.target)
    width = np.ptp(samples.target)
    assert high == pytest.approx(samples.target.max() + width / 2)
    assert low == pytest.approx(samples.target.min() - width / 2)
    assert bounds_of(np.array([0.05, 0.25])) == (0.0, pytest.approx(0.35))
    assert bounds_of(np.array([1.0, 2.0])) == (0.5, 2.5)
    assert bounds_of(np.array([-1.0, 2.0])) == (-1.0, 3.5)
    wild = columns_of(samples)[:, :40] * 1e6
    found = np.stack([models[name].predict(wild) for name in FAMILIES])
    assert found.min() >= np.float32(low)
    assert found.max() <= np.float32(high)


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_extrapolated(family, models, samples) -> None:
    columns = columns_of(samples)[:, :40].copy()
    at_end = columns.copy()
    columns[3], at_end[3] = 1e6, samples.features[:, 3].max()
    columns[5], at_end[5] = -1e6, samples.features[:, 5].min()
    np.testing.assert_array_equal(models[family].predict(columns), models[family].predict(at_end))


def test_support_vectors_of_many_rows_take_some(samples) -> None:
    many = samples.at(np.resize(np.arange(samples.size), MOST_ROWS["svr"] + 500))
    model = fit_family("svr", many, {"epsilon": 0.01}, 0)
    assert model.estimator.weights.size <= MOST_ROWS["svr"]


def test_a_wide_tube_needs_no_support_vector(samples) -> None:
    model = fit_family("svr", samples, {"epsilon": 50.0}, 0)
    assert model.estimator.weights.size == 0
    assert np.ptp(model.predict(columns_of(samples))) == 0


def test_features_of_another_number_are_refused(models, samples) -> None:
    with pytest.raises(UserError, match=r"takes features \(7, n_points\), found \(6,"):
        models["mlr"].predict(columns_of(samples)[:6])


def test_files_of_another_kind_are_refused(models) -> None:
    for data in (b"", b"not an archive", to_bytes(models["mlr"])[:200]):
        with pytest.raises(ModelError, match="not a model of a family"):
            from_bytes(data)


def test_families_are_named_once() -> None:
    assert known_families(("rf", "mlr")) == ("rf", "mlr")
    for names in ((), ("rf", "rf"), ("lstm",)):
        with pytest.raises(ConfigError, match="families is"):
            known_families(names)
