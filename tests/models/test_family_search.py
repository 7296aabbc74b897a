"""A search that repeats itself from its seed, and never fits what it scores."""

from itertools import product

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from smcloud.core.errors import ConfigError, UserError
from smcloud.models import family_search
from smcloud.models.families import FAMILIES, CellSamples
from smcloud.models.family_fits import DEFAULTS, SPACES, fit_family
from smcloud.models.family_search import SearchRules, candidates, inner_folds, search
from tests.models.coarse_cells import coarse_table, samples_of


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def samples() -> CellSamples:
    return samples_of(coarse_table(1))


@pytest.mark.parametrize("family", FAMILIES)
def test_candidates_are_the_defaults_and_draws_from_the_space(family) -> None:
    found = candidates(family, SearchRules(candidates=500))
    space = SPACES[family]
    assert found[0] == {name: DEFAULTS[family][name] for name in space}
    whole = [dict(zip(sorted(space), values, strict=True)) for values in _product(space)]
    assert sorted(map(_key, found)) == sorted(map(_key, whole))


def _product(space):
    return product(*(space[name] for name in sorted(space)))


def _key(parameters) -> str:
    return repr(sorted(parameters.items()))


@pytest.mark.parametrize("family", FAMILIES)
def test_equal_seeds_draw_equal_candidates(family) -> None:
    rules = SearchRules(candidates=4, seed=8)
    assert candidates(family, rules) == candidates(family, rules)
    assert len(candidates(family, rules)) == 4
    assert candidates(family, SearchRules(candidates=1)) == [candidates(family, rules)[0]]
    others = [candidates(family, SearchRules(candidates=4, seed=seed)) for seed in range(5)]
    assert any(other != others[0] for other in others)


def test_inner_folds_keep_groups_whole_and_score_every_sample_once(samples) -> None:
    folds = inner_folds(samples.groups, SearchRules(folds=4))
    assert len(folds) == 4
    for fit, held in folds:
        assert not set(samples.groups[fit]) & set(samples.groups[held])
    scored = np.sort(np.concatenate([held for _, held in folds]))
    np.testing.assert_array_equal(scored, np.arange(samples.size))


def test_fewer_groups_than_folds_make_fewer_folds(samples) -> None:
    two = samples.at(np.isin(samples.groups, np.unique(samples.groups)[:2]))
    assert len(inner_folds(two.groups, SearchRules(folds=5))) == 2
    one = samples.at(samples.groups == samples.groups[0])
    with pytest.raises(UserError, match="no group of cells is left to validate on"):
        search("mlr", one, SearchRules())


def test_no_fit_sees_what_it_is_scored_on(samples, monkeypatch) -> None:
    seen = []

    def noting(family, given, parameters, seed):
        seen.append(set(given.groups))
        return fit_family(family, given, parameters, seed)

    monkeypatch.setattr(family_search, "fit_family", noting)
    search("mlr", samples, SearchRules(candidates=2, folds=3))
    assert len(seen) == 6
    everything = set(samples.groups)
    held = [everything - groups for groups in seen[:3]]
    assert set.union(*held) == everything
    assert sum(map(len, held)) == len(everything)


def test_the_best_candidate_wins_and_the_first_of_equals(samples, monkeypatch) -> None:
    found = search("svr", samples, SearchRules(candidates=8))
    assert found.best.rmse == min(trial.rmse for trial in found.trials) < samples.target.std()
    monkeypatch.setattr(family_search, "root_mean_square", lambda _: 0.5)
    assert search("svr", samples, SearchRules()).best.parameters == found.trials[0].parameters


def test_a_forest_is_searched_with_fewer_trees_and_scored_with_all(samples, monkeypatch) -> None:
    trees = []

    def noting(family, given, parameters, seed):
        trees.append(parameters.get("trees", DEFAULTS[family]["trees"]))
        return fit_family(family, given, {**parameters, "trees": 2}, seed)

    monkeypatch.setattr(family_search, "fit_family", noting)
    found = search("rf", samples, SearchRules(candidates=3, folds=2))
    assert trees == [30] * 6 + [100] * 2
    assert "trees" not in found.best.parameters


def test_a_fit_that_diverged_is_never_the_best(samples, monkeypatch) -> None:
    class Diverged:
        def __init__(self, model):
            self.preparation = model.preparation

        def predict(self, columns):
            return np.full(columns.shape[1], np.nan, np.float32)

    def fit(family, given, parameters, seed):
        model = fit_family(family, given, parameters, seed)
        return Diverged(model) if parameters["C"] == DEFAULTS["svr"]["C"] else model

    monkeypatch.setattr(family_search, "fit_family", fit)
    found = search("svr", samples, SearchRules(candidates=10))
    assert found.trials[0].rmse == float("inf")
    assert found.best.parameters["C"] != DEFAULTS["svr"]["C"]


@pytest.mark.parametrize("changes", [{"candidates": 0}, {"folds": 1}])
def test_a_mistake_is_named(changes) -> None:
    with pytest.raises(ConfigError, match="1 or more candidates and 2 or more folds"):
        SearchRules(**changes)
