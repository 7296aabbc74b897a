"""What features are worth: to the trees, to unseen stations, and to a model without them."""

from dataclasses import replace

import numpy as np
import pytest

from smcloud.models.base import content_hash
from smcloud.models.boosting import forest_of
from smcloud.models.constraints import Constraints
from smcloud.models.fold_jobs import TrainingData, score_job
from smcloud.models.folds import fit_fold
from smcloud.models.importance import (
    PermuteJob,
    ablation_jobs,
    ablation_of,
    gains,
    importances,
    permuted_scores,
)
from smcloud.models.parameters import BoostingParams
from smcloud.models.samples import training_table
from smcloud.models.scoring import pooled
from smcloud.validation.splits import SplitRules
from tests.models.study import COLUMNS, FEATURES, GROUPS, study

PARAMS = BoostingParams(rounds=60, early_stopping=10, threads=1, trees={"max_depth": 3})
FOLD = ("station", 0, "all")


@pytest.fixture(scope="module")
def data() -> TrainingData:
    table = training_table(study(bad_share=0.0).rows, COLUMNS)
    return TrainingData(table, SplitRules(block_degrees=0.5, gap_days=10))


@pytest.fixture(scope="module")
def model(data) -> bytes:
    return fit_fold(data.table, data.split("station", 0), PARAMS).trained.data


def permuted(data, model, *features: str, repeats: int = 3, seed: int = 1):
    job = PermuteJob("p", *FOLD, features, repeats, seed, content_hash(model))
    return permuted_scores(data, job, forest_of(model))


def test_gain_is_shared_among_the_features_that_the_trees_use(model) -> None:
    found = gains(model, FEATURES)
    assert sum(found.values()) == pytest.approx(1.0)
    assert found["noise"] < 0.02 < found["rain"]


def test_what_matters_is_missed_on_unseen_stations_and_noise_is_not(data, model) -> None:
    groups = {name: (name,) for name in FEATURES} | GROUPS
    scores = {"": permuted(data, model)}
    scores |= {name: permuted(data, model, *group) for name, group in groups.items()}
    found = {part.name: part for part in importances(groups, gains(model, FEATURES), scores)}
    assert list(found) == list(groups)
    assert found["rain"].rmse_rise > 5 * abs(found["noise"].rmse_rise)
    assert found["rain"].r_fall > 0.1
    together = found["weather"]
    assert together.rmse_rise > max(found["rain"].rmse_rise, found["heat"].rmse_rise)
    assert together.gain == pytest.approx(found["rain"].gain + found["heat"].gain)
    assert 0 < found["rain"].rmse_spread < found["rain"].rmse_rise


def test_permutations_come_from_their_seed(data, model) -> None:
    one, same, other = (permuted(data, model, "rain", seed=seed) for seed in (1, 1, 2))
    assert one.to_parquet() == same.to_parquet()
    assert one.to_parquet() != other.to_parquet()
    assert sorted(one.stations["repeat"].unique()) == [0, 1, 2]


def test_features_of_a_group_keep_together(data, model) -> None:
    """A rotation of all columns at once would be a permutation of whole rows."""
    whole = permuted(data, model, *FEATURES, repeats=1)
    alone = permuted(data, model)
    mean = [
        float(np.average(p.stations["point_mean_x"], weights=p.stations["point_n"]))
        for p in (whole, alone)
    ]
    assert mean[0] == pytest.approx(mean[1], rel=1e-6)


def test_doing_without_the_weather_costs_and_without_noise_does_not(data, model) -> None:
    groups = {"weather": ("rain", "heat"), "noise": ("noise",)}
    jobs = ablation_jobs(FOLD, groups, FEATURES, PARAMS, Constraints({"rain": 1}))
    assert "monotone_constraints" not in jobs[0].params.trees
    assert jobs[1].params.trees["monotone_constraints"] == "(1,0,0)"
    whole = pooled([score_job(data, replace(jobs[0], without=()))[0]], 0)
    found = [
        ablation_of(name, job.without, whole, pooled([score_job(data, job)[0]], 0))
        for name, job in zip(groups, jobs, strict=True)
    ]
    assert found[0].rmse_rise > 0.01
    assert found[0].median_r_fall > 0.2
    assert abs(found[1].rmse_rise) < 0.002


def test_a_group_of_all_features_leaves_nothing_to_train() -> None:
    assert ablation_jobs(FOLD, {"all": FEATURES}, FEATURES, PARAMS, Constraints()) == []
