"""Periods: which days share a model, which are modelled and why not, what is held out."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from smcloud.core.errors import ConfigError
from smcloud.models.families import FAMILIES, TITLES, CellSamples
from smcloud.models.family_search import SearchRules
from smcloud.models.period_fits import (
    FamilyResult,
    PeriodRules,
    assess,
    chosen,
    groups_of,
    hold_out,
    random_split,
    shared_pattern,
    thinned_to_days,
    usable,
    why_not_modelled,
)
from smcloud.models.periods import Period, family_scores, periods_of, score_rows, summary_table
from smcloud.validation.metrics import all_scores
from smcloud.validation.pairs import PairStats
from tests.models.coarse_cells import coarse_table, samples_of

QUICK = PeriodRules(families=("mlr", "svr"), search=SearchRules(candidates=2, folds=2))


def days(*names: str):
    return np.array(names, "datetime64[D]")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def samples() -> CellSamples:
    return samples_of(coarse_table(1))


def test_every_day_from_the_first_to_the_last_is_a_period() -> None:
    found, at = periods_of(days("2019-02-27", "2019-03-02", "2019-02-27"), PeriodRules())
    assert [str(period) for period in found] == [
        "2019-02-27",
        "2019-02-28",
        "2019-03-01",
        "2019-03-02",
    ]
    assert at.tolist() == [0, 3, 0]


def test_windows_are_counted_from_new_year_whatever_days_are_given() -> None:
    rules = PeriodRules(period_days=8)
    found, at = periods_of(days("2019-12-29", "2019-12-20", "2020-01-08", "2020-01-09"), rules)
    assert found == [
        Period(date(2019, 12, 19), 8),
        Period(date(2019, 12, 27), 5),
        Period(date(2020, 1, 1), 8),
        Period(date(2020, 1, 9), 8),
    ]
    assert at.tolist() == [1, 0, 2, 3]
    alone, _ = periods_of(days("2020-01-09"), rules)
    assert alone == found[3:]


def test_pooled_is_one_period() -> None:
    found, at = periods_of(days("2019-02-27", "2019-03-02"), PeriodRules(pooled=True))
    assert found == [Period(date(2019, 2, 27), 4)]
    assert at.tolist() == [0, 0]
    assert found[0].holds(np.datetime64("2019-03-01T12:00"))
    assert not found[0].holds(np.datetime64("2019-03-03"))
    assert periods_of(days(), PeriodRules()) == ([], pytest.approx(np.zeros(0)))


def test_more_than_a_hundred_samples_are_modelled(samples) -> None:
    assert why_not_modelled(samples, PeriodRules()) == ""
    exactly = samples.at(np.arange(100))
    assert why_not_modelled(exactly, PeriodRules()) == "too few samples: more than 100 are needed"
    assert why_not_modelled(samples.at(np.arange(101)), PeriodRules()) == ""


def bad_periods(samples: CellSamples) -> dict[str, CellSamples]:
    nothing = np.full_like(samples.features, np.nan)
    flat = np.broadcast_to(samples.features[:1], samples.features.shape)
    return {
        "the target is constant": replace(samples, target=np.full(samples.size, 0.21)),
        "no feature varies": replace(samples, features=nothing),
        "no feature varies ": replace(samples, features=flat),
        "no group to hold out: the cells lie in 1 of the 3 groups": replace(
            samples, groups=np.zeros(samples.size, np.int64)
        ),
        "no group to hold out: the cells lie in 2 of the 3 groups": replace(
            samples, groups=np.arange(samples.size) % 2
        ),
        "too few samples: more than 100 are needed": samples.at(np.arange(0)),
    }


def test_a_period_that_cannot_be_modelled_says_why(samples) -> None:
    for reason, bad in bad_periods(samples).items():
        assert why_not_modelled(bad, PeriodRules()).startswith(reason.strip())


def test_what_a_family_cannot_fit_is_a_result(samples) -> None:
    fit, _ = hold_out(samples.groups, QUICK.test_share, QUICK.search.seed)
    target = samples.target.copy()
    target[fit] = 0.2
    for family in FAMILIES:
        found = assess(replace(samples, target=target), family, QUICK)
        assert found.why_not == "the target is constant"
        assert np.isnan(found.inner_rmse)
        assert FamilyResult.from_json(found.to_json()).why_not == found.why_not


def test_samples_count_with_a_target_and_half_of_the_features() -> None:
    features = np.ones((4, 4))
    features[1, :2] = np.nan
    features[2, :3] = np.nan
    target = np.array([0.1, 0.1, 0.1, np.nan])
    assert usable(features, target).tolist() == [True, True, False, False]


def test_groups_are_squares_of_cells() -> None:
    rows, cols = np.array([99, 99, 101, 102, 99]), np.array([300, 302, 300, 300, 303])
    found = groups_of(rows, cols, 3)
    assert found[0] == found[1] == found[2]
    assert len(set(found.tolist())) == 3


def test_held_out_groups_are_whole_and_the_same_places_every_day(samples) -> None:
    fit, test = hold_out(samples.groups, 0.3, seed=1)
    assert not set(samples.groups[fit]) & set(samples.groups[test])
    np.testing.assert_array_equal(np.sort(np.r_[fit, test]), np.arange(samples.size))
    assert 0.25 < test.size / samples.size < 0.35
    other = samples_of(coarse_table(1, seed=4))
    tested = set(other.groups[hold_out(other.groups, 0.3, seed=1)[1]])
    assert len(tested ^ set(samples.groups[test])) <= 2
    assert tested != set(other.groups[hold_out(other.groups, 0.3, seed=2)[1]])


def test_two_groups_are_left_to_validate_on() -> None:
    groups = np.repeat([1, 2, 3], [10, 10, 200])
    for seed in range(6):
        fit, test = hold_out(groups, 0.9, seed)
        assert np.unique(groups[fit]).size == 2
        assert np.unique(groups[test]).size == 1


def test_the_shared_pattern_is_that_between_cells_of_a_group_on_a_day() -> None:
    rng = np.random.default_rng(0)
    groups, days = (part.ravel() for part in np.mgrid[:40, :30])
    groups, days = np.repeat(groups, 9), np.repeat(days, 9)
    target = rng.normal(0, 0.02, groups.size)
    estimates = 0.5 * target + rng.normal(0, 0.01, groups.size)
    of_group = rng.normal(0, 0.3, (40, 30))
    cells = CellSamples(
        np.zeros((groups.size, 1), np.float32), target + of_group[groups, days], groups, days
    )
    covariance, variance, degrees = shared_pattern(estimates - 3 * of_group[groups, days], cells)
    assert degrees == 40 * 30 * 8
    assert covariance == pytest.approx(0.5 * 0.02**2, rel=0.05)
    assert variance == pytest.approx(0.25 * 0.02**2 + 0.01**2, rel=0.05)
    # A cell more in a group of two makes it count, with two degrees of freedom.
    few = cells.at(np.r_[0, 1, 9, 10, 11])
    assert shared_pattern(few.target, few)[2] == 2
    unknown = np.array([0.1, 0.2, np.nan, 0.1, 0.2])
    assert np.isnan(shared_pattern(unknown, few)[0])
    assert shared_pattern(unknown, few)[2] == 0


def test_whole_days_are_searched() -> None:
    table = samples_of(coarse_table(6))
    most = int(0.55 * table.size)
    few = thinned_to_days(table, most)
    assert few.size <= most
    assert np.diff(np.unique(few.days)).tolist() == [2, 2]
    for day in np.unique(few.days):
        assert (few.days == day).sum() == (table.days == day).sum()
    assert thinned_to_days(table, table.size).size == table.size
    assert thinned_to_days(few.at(few.days == few.days[0]), 50).size == 50


def test_a_random_split_has_the_wanted_share() -> None:
    fit, test = random_split(200, 0.3, seed=2)
    assert (fit.size, test.size) == (140, 60)
    assert random_split(2, 0.01, 0)[1].size == 1


def test_no_choice_sees_the_test_part(samples) -> None:
    """Whatever the held-out targets are, parameters and inner scores stay as they were."""
    _, test = hold_out(samples.groups, QUICK.test_share, QUICK.search.seed)
    target = samples.target.copy()
    target[test] = np.random.default_rng(0).permutation(target[test]) * 3
    for family in QUICK.families:
        one, other = (
            assess(given, family, QUICK) for given in (samples, replace(samples, target=target))
        )
        assert (one.parameters, one.inner_rmse) == (other.parameters, other.inner_rmse)
        assert all_scores(other.held_out)["RMSE"] > 2 * all_scores(one.held_out)["RMSE"]


@pytest.fixture(scope="module")
def results(samples) -> list[FamilyResult]:
    rules = replace(PeriodRules(), search=SearchRules(candidates=2, folds=2))
    return [assess(samples, family, rules) for family in FAMILIES]


def test_a_result_is_read_back_as_it_was(results) -> None:
    for found in results:
        again = FamilyResult.from_json(found.to_json())
        assert again.to_json() == found.to_json()
        assert (again.family, again.parameters) == (found.family, found.parameters)


def test_the_pattern_of_every_family_is_known_from_the_same_cells(results) -> None:
    assert {found.inner_degrees for found in results} == {results[0].inner_degrees}
    assert results[0].inner_degrees > 50
    for found in results:
        assert 0 < found.inner_variance < 0.03**2
        assert abs(found.inner_covariance) < np.sqrt(found.inner_variance) * 0.03


def test_every_family_beats_the_mean_of_what_was_fitted(results) -> None:
    for found in results:
        scores = all_scores(found.held_out)
        assert scores["RMSE"] < 0.9 * all_scores(found.constant)["RMSE"], found.family
        assert found.held_out.n == found.test


def test_the_best_has_the_least_inner_score_and_not_the_least_test_score(results) -> None:
    few = [replace(results[0], inner_rmse=0.02), replace(results[1], inner_rmse=0.01)]
    best = replace(few[0], held_out=PairStats.of(np.full(9, 0.5), np.zeros(9)))
    assert chosen([best, few[1]]) is few[1]
    refused = replace(few[1], why_not="its estimates are no numbers")
    assert chosen([few[0], refused]) is few[0]
    assert chosen([refused]) is None
    draw = [replace(few[0], inner_rmse=0.01), few[1]]
    assert chosen(draw) is draw[0]


def test_families_are_compared_over_the_same_samples(results) -> None:
    rows = score_rows(Period(date(2019, 3, 1), 1), results, "svr")
    spoilt = [replace(found) for found in results]
    spoilt[3] = replace(results[3], why_not="the target is constant")
    rows += score_rows(Period(date(2019, 3, 2), 1), spoilt, "mlr")
    found = family_scores(pd.DataFrame(rows))
    assert list(found) == [*FAMILIES, "best"]
    assert {scores["periods"] for scores in found.values()} == {1}
    expected = all_scores(results[1].held_out)
    assert found["best"]["RMSE"] == found["svr"]["RMSE"] == pytest.approx(expected["RMSE"])
    assert [found[name]["chosen"] for name in ("mlr", "svr", "rf", "best")] == [1, 1, 0, 2]
    assert found["mlr"]["random_RMSE"] == pytest.approx(all_scores(results[0].random)["RMSE"])
    shown = summary_table(found)
    assert shown["family"].tolist() == [*(TITLES[name] for name in FAMILIES), "best of each period"]
    assert shown["RMSE"].tolist() == [scores["RMSE"] for scores in found.values()]
    assert family_scores(pd.DataFrame()) == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"period_days": 0}, "period_days is 0"),
        ({"test_share": 1.0}, "test_share is 1"),
        ({"minimum_samples": -1}, "minimum_samples must be 0 or more"),
        ({"group_cells": 0}, "group_cells 1 or more"),
        ({"families": ("mlr", "lstm")}, "families is mlr, lstm"),
    ],
)
def test_a_mistake_is_named(changes, message) -> None:
    with pytest.raises(ConfigError, match=message):
        PeriodRules(**changes)
