"""A search that finds better trees on unseen stations, in any order of jobs, from its seed."""

import math
from dataclasses import replace

import pytest

from smcloud.core.errors import ConfigError
from smcloud.models.fold_jobs import FoldJob, TrainingData, score_job
from smcloud.models.parameters import BoostingParams
from smcloud.models.samples import training_table
from smcloud.models.tuning import SPACE, TuningRules, candidates, search
from smcloud.validation.splits import SplitRules
from tests.models.study import COLUMNS, study

FOLD = ("station", 0, "all")
RULES = TuningRules(candidates=6, keep_one_in=3, rungs=2, inner_folds=2, seed=4)
# Three trees of one split each: nearly anything is better.
STATED = BoostingParams(rounds=30, early_stopping=5, threads=1, trees={"max_depth": 1, "eta": 0.01})


@pytest.fixture(scope="module")
def data() -> TrainingData:
    table = training_table(study(bad_share=0.0).rows, COLUMNS)
    return TrainingData(table, SplitRules(block_degrees=0.5, gap_days=10))


@pytest.fixture(scope="module")
def run(data):
    done: dict[str, object] = {}

    def run_jobs(jobs):
        for job in reversed(jobs):
            done.setdefault(job.identity(), score_job(data, job)[0])
        return [done[job.identity()] for job in jobs]

    return run_jobs


def test_the_search_leaves_bad_parameters(run) -> None:
    found = search(FOLD, STATED, RULES, run)
    assert found.chosen != 0
    best, stated = found.trials[found.chosen], found.trials[0]
    assert best.scores[-1] < 0.8 * stated.scores[-1]
    tuned = found.tuned(STATED)
    assert tuned.trees["max_depth"] == best.parameters["max_depth"] >= SPACE["max_depth"][0]
    assert tuned.rounds == STATED.rounds


def test_each_rung_keeps_one_in_three_and_the_stated_one_and_sees_three_times_the_days(run) -> None:
    jobs: list[FoldJob] = []

    def noting(wanted):
        jobs.extend(wanted)
        return run(wanted)

    found = search(FOLD, STATED, RULES, noting)
    assert [sum(job.every == every for job in jobs) for every in (3, 1)] == [12, 6]
    assert sorted(len(trial.scores) for trial in found.trials) == [1, 1, 1, 2, 2, 2]
    assert len(found.trials[0].scores) == 2
    assert all(job.inner is not None for job in jobs)


def test_equal_seeds_give_equal_searches_and_others_do_not(run) -> None:
    assert search(FOLD, STATED, RULES, run) == search(FOLD, STATED, RULES, run)
    other = candidates(replace(RULES, seed=5), STATED)
    assert other[0] == candidates(RULES, STATED)[0]
    assert other[1] != candidates(RULES, STATED)[1]


def test_draws_stay_in_the_space() -> None:
    drawn = candidates(TuningRules(candidates=200), STATED)[1:]
    for name, (low, high) in SPACE.items():
        values = [trial.parameters[name] for trial in drawn]
        assert low * (1 - 1e-5) <= min(values) <= max(values) <= high * (1 + 1e-5)
        if name == "eta":  # half of the draws lie below the geometric mean
            below = sum(value < math.sqrt(low * high) for value in values)
            assert 70 < below < 130
    assert isinstance(drawn[0].parameters["max_depth"], int)


def test_a_candidate_no_better_than_the_stated_one_is_not_taken(run) -> None:
    same = {name: (value, value) for name, value in {"max_depth": 1.0, "eta": 0.01}.items()}
    found = search(FOLD, STATED, replace(RULES, space=same), run)
    assert found.chosen == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": {"depth": (1, 2)}}, "tune.space names 'depth', which is not searched"),
        ({"space": {"eta": (0.0, 0.3)}}, r"tune\.space\.eta is 0 to 0\.3"),
        ({"space": {"max_depth": (9, 4)}}, r"tune\.space\.max_depth is 9 to 4"),
        ({"score": "MSE"}, r"tune\.score is 'MSE': expected RMSE"),
        ({"candidates": 1}, "2 or more candidates"),
    ],
)
def test_a_mistake_is_named(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(RULES, **changes)
