"""Folds with and without selected stations: what each may see, and what its scores are of."""

from dataclasses import replace

import numpy as np
import pytest

from smcloud.core.errors import ModelError, UserError
from smcloud.models import folds as folds_module
from smcloud.models.fold_jobs import FoldJob, TrainingData, score_job
from smcloud.models.folds import StationSelection, fit_fold, references_at, with_selected
from smcloud.models.parameters import BoostingParams
from smcloud.models.samples import training_table
from smcloud.models.scoring import FoldScores, merged, pooled
from smcloud.validation.metrics import all_scores
from smcloud.validation.nested_splits import InnerFold
from smcloud.validation.selection import SelectionRules
from smcloud.validation.splits import SplitRules
from tests.models.study import COLUMNS, study

RULES = SplitRules(block_degrees=0.5, gap_days=10)
PARAMS = BoostingParams(rounds=60, early_stopping=10, threads=1, trees={"max_depth": 3})
SELECTION = SelectionRules(minimum_r=0.6, minimum_samples=50, bootstrap_draws=0)


@pytest.fixture(scope="module")
def world():
    return study()


@pytest.fixture(scope="module")
def data(world) -> TrainingData:
    table = training_table(world.rows, COLUMNS)
    held = frozenset(name for name in world.sites["station"] if name.startswith("THREE/"))
    return TrainingData(table, RULES, StationSelection(world.references, SELECTION), held)


def job(kind: str = "station", variant: str = "all", **changes) -> FoldJob:
    return replace(FoldJob("j", kind, 0, variant, PARAMS), **changes)


def test_selected_stations_fit_and_stop_and_the_test_set_stays_whole(world, data) -> None:
    split = data.split("station", 0)
    chosen, found = with_selected(data.table, split, data.needed_selection())
    np.testing.assert_array_equal(chosen.test, split.test)
    np.testing.assert_array_equal(chosen.calibrate, split.calibrate)
    names = data.table.names[data.table.codes]
    assert not set(names[chosen.fit]) & world.bad
    assert set(names[split.fit]) & world.bad
    seen = set(names[np.concatenate([split.fit, split.stop])])
    assert set(found["station"]) == seen


def test_selection_sees_no_row_of_a_test_year_or_of_a_test_station(data) -> None:
    split = data.split("station_year", 0)
    seen = np.sort(np.concatenate([split.fit, split.stop]))
    references, rows = references_at(data.table, seen, data.needed_selection().references)
    assert set(rows) <= set(seen)
    tested = data.table.samples(RULES.block_degrees)
    assert not set(references["time"].dt.year) & set(tested.years[split.test])


def test_a_leak_into_selection_stops_the_training(data, monkeypatch) -> None:
    split = data.split("station", 0)

    def leaking(table, rows, references):
        return references_at(table, np.append(rows, split.test[:4]), references)

    monkeypatch.setattr(folds_module, "references_at", leaking)
    with pytest.raises(ModelError, match="selection leaks: it saw 4 rows outside fit and stop"):
        fit_fold(data.table, split, PARAMS, data.selection)


def test_selection_helps_against_the_truth_of_unselected_stations(data) -> None:
    both = [pooled([score_job(data, job(variant=v))[0]], 0) for v in ("all", "selected")]
    assert both[0].counts["test"] == both[1].counts["test"]
    sums = [
        merged([score_job(data, job(variant=v))[0].stations], "truth")[2]
        for v in ("all", "selected")
    ]
    without, with_ = (float(all_scores(part.total())["RMSE"]) for part in sums)
    assert with_ < without


def test_all_stations_dropped_is_a_score_that_says_so(data) -> None:
    impossible = TrainingData(
        data.table,
        RULES,
        StationSelection(data.needed_selection().references, replace(SELECTION, minimum_r=0.999)),
    )
    scores, estimates = score_job(impossible, job(variant="selected"))
    assert not scores.possible
    assert estimates is None
    with pytest.raises(UserError):
        fit_fold(data.table, data.split("station", 0), PARAMS, impossible.selection)
    again = FoldScores.from_parquet(scores.to_parquet())
    assert again.why_not == scores.why_not


def test_stations_without_references_are_named(data) -> None:
    nothing = StationSelection(data.needed_selection().references.iloc[:0], SELECTION)
    with pytest.raises(UserError, match="no station to fit has a day on which references are"):
        with_selected(data.table, data.split("station", 0), nothing)


def test_a_held_out_network_is_tested_whole(data) -> None:
    scores, _ = score_job(data, job("network"))
    assert scores.stations["station"].str.startswith("THREE/").all()
    assert scores.counts["test"]["stations"] == len(scores.stations) == 16


def test_scores_are_those_of_the_estimates_that_come_with_them(data) -> None:
    scores, estimates = score_job(data, job(estimates="x"))
    error = estimates["estimate"] - estimates["sm"]
    found = pooled([scores], RULES.seed)
    assert found.overall["RMSE"]["value"] == pytest.approx(np.sqrt(np.mean(error**2)))
    by_station = estimates.groupby("station")[["estimate", "sm"]].corr().iloc[::2, 1]
    assert found.median["R"]["value"] == pytest.approx(by_station.median())


def test_folds_pool_to_every_station_once(data) -> None:
    params = replace(PARAMS, rounds=10)
    folds = [score_job(data, job(fold=n, params=params))[0] for n in range(RULES.folds)]
    together = pooled(folds, 0)
    assert together.folds == RULES.folds
    assert together.counts["test"]["stations"] == 48
    assert together.counts["test"]["rows"] == data.table.order.size
    years = [score_job(data, job("year", fold=n, params=params))[0] for n in range(2)]
    names, _, sums = merged([fold.stations for fold in years])
    assert names.size == np.unique(np.concatenate([f.stations["station"] for f in years])).size
    assert sums.n.sum() == sum(fold.counts["test"]["rows"] for fold in years)


def test_an_inner_fold_scores_no_row_of_the_outer_test_set(data) -> None:
    inside = job(inner=InnerFold(0, 3), every=3)
    scores, _ = score_job(data, inside)
    outer = data.split("station", 0)
    names = data.table.names[data.table.codes]
    tested = set(scores.stations["station"])
    assert not tested & set(names[outer.test])
    assert not tested & set(names[outer.calibrate])
    fewer = score_job(data, replace(inside, every=1))[0].counts["fit"]["rows"]
    assert scores.counts["fit"]["rows"] == pytest.approx(fewer / 3, rel=0.02)


def test_a_feature_left_out_is_not_used(data) -> None:
    without, _ = score_job(data, job(without=("rain", "heat")))
    whole, _ = score_job(data, job())
    rmse = [pooled([one], 0).overall["RMSE"]["value"] for one in (whole, without)]
    assert rmse[1] > rmse[0]


def test_coverage_of_points_and_of_pixels_comes_with_a_fold(data) -> None:
    scores, _ = score_job(data, job("network", has_spread=True))
    found = scores.figures["coverage"]
    assert set(found) == {"point", "pixel"}
    again = FoldScores.from_parquet(scores.to_parquet())
    assert again.figures == scores.figures
    assert again.to_parquet() == scores.to_parquet()


def test_a_limit_of_rows_takes_days_away_and_no_station(data) -> None:
    few = TrainingData(data.table, RULES, data.selection, most_rows=1500)
    whole = data.split("station", 0)
    for variant in ("all", "selected"):
        used, full = (one.fitted_split("station", 0, variant) for one in (few, data))
        assert used.fit.size + used.stop.size <= 1500
        names = data.table.codes
        assert set(names[used.fit]) == set(names[full.fit])
        np.testing.assert_array_equal(used.test, whole.test)
