"""An assessment from end to end: folds, selection, search, networks, and being resumed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from smcloud.core.config import RunConfig
from smcloud.core.errors import UserError
from smcloud.core.objects import open_objects
from smcloud.models.constraints import Constraints
from smcloud.models.tuning import TuningRules
from smcloud.production import fold_tasks, train_model, train_stage
from smcloud.production.assessment import Assessment, read_assessment
from smcloud.production.train_request import TrainRequest
from smcloud.production.train_stage import sites_of, with_truth
from smcloud.validation.selection import SelectionRules
from tests.models.study import COLUMNS, GROUPS, study
from tests.production.recorder import Recorder
from tests.production.training_root import WHOLE, request_below, trained


@pytest.fixture(scope="module")
def world():
    return study()


@pytest.fixture
def request_(tmp_path) -> TrainRequest:
    return request_below(tmp_path, **WHOLE)


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory):
    request = request_below(tmp_path_factory.mktemp("root"), **WHOLE, folds=2)
    return request, trained(world, request)


def test_both_variants_are_scored_on_the_same_unselected_stations(whole) -> None:
    found = whole[1].assessment
    for split in ("random", "station", "year", "station_year", "network"):
        one, other = (found.scores_of(split, variant) for variant in ("all", "selected"))
        assert (one.stations, one.rows) == (other.stations, other.rows)
        passing = found.scores_of(split, "selected", "selected")
        assert 0 < passing.stations < one.stations
    assert found.shipped == "selected"
    assert found.headline == "station_year"


def test_selection_is_worth_what_the_truth_says(whole) -> None:
    found = whole[1].assessment
    rmse = {
        variant: found.scores_of("station", variant, "truth").overall["RMSE"]["value"]
        for variant in ("all", "selected")
    }
    assert rmse["selected"] < rmse["all"]


def test_a_held_out_network_has_scores_of_its_own(whole) -> None:
    found = whole[1].assessment
    network = found.scores_of("network", "all", "all", "THREE")
    assert network.stations == found.scores_of("network", "all").stations == 16


def test_rows_have_what_a_reader_needs(whole) -> None:
    request, summary = whole
    rows = pd.read_parquet(f"{request.root}/models/mine/assessment.parquet")
    named = ["split", "fold", "variant", "station", "n", "R", "RMSE", "ubRMSE", "bias"]
    named += ["is_selected", "R_truth", "ubRMSE_truth", "network", "latitude", "longitude"]
    assert list(rows)[: len(named)] == named
    assert not rows.duplicated(["split", "fold", "variant", "station"]).any()
    assert set(rows["fold"]) == {0, 1}
    np.testing.assert_allclose(rows["RMSE"] ** 2, rows["ubRMSE"] ** 2 + rows["bias"] ** 2)
    one = rows[(rows["split"] == "station") & (rows["variant"] == "all")]
    expected = summary.assessment.scores_of("station", "all").median["R"]["value"]
    assert one["R"].median() == pytest.approx(expected)


def test_the_artefact_is_read_back_as_it_was(whole) -> None:
    request, summary = whole
    found = read_assessment(request.models, "mine")
    assert found.to_json() == summary.assessment.to_json()
    assert Assessment.from_json(found.to_json()).scores == found.scores
    assert {part.name for part in found.ablation} == set(GROUPS)
    assert {part.name for part in found.importance} == {*COLUMNS.features, *GROUPS}
    assert set(found.coverage) == {"station", "station_year", "network"}
    assert found.selection["kept"] < found.selection["stations"]
    assert read_assessment(request.models, "none") is None


def test_a_finished_fold_is_not_trained_again(world, request_, monkeypatch) -> None:
    real, done = fold_tasks.score_job, []

    def dying(data, job, over):
        if len(done) == 5:
            raise KeyboardInterrupt
        done.append(job.name)
        return real(data, job, over)

    monkeypatch.setattr(fold_tasks, "score_job", dying)
    with pytest.raises(KeyboardInterrupt):
        trained(world, request_)
    again: list[str] = []

    def counting(data, job, over):
        again.append(job.name)
        return real(data, job, over)

    monkeypatch.setattr(fold_tasks, "score_job", counting)
    monkeypatch.setattr(train_model, "fit_fold", None)
    listener = Recorder()
    resumed = trained(world, request_, listener)
    assert not set(done) & set(again)
    assert "the model itself was finished before" in listener.notes
    monkeypatch.undo()
    unbroken = trained(world, replace(request_, root=f"{request_.root}/other"))
    assert resumed.card.to_json() == unbroken.card.to_json()
    one, other = (part.assessment for part in (resumed, unbroken))
    assert replace(one, seconds={}).to_json() == replace(other, seconds={}).to_json()
    pd.testing.assert_frame_equal(one.rows, other.rows)


def test_a_search_is_told_and_scored_on_the_stored_models_test_set(world, request_) -> None:
    rules = TuningRules(candidates=3, rungs=1, inner_folds=2)
    small = replace(request_, selection=None, held_out_networks=(), ablation=False, tuning=rules)
    found = trained(world, small)
    assessment = found.assessment
    (result,) = assessment.tuning
    assert len(result.trials) == 3
    assert set(assessment.tuned_test) == {"stated", "chosen"}
    chosen = assessment.tuned_test["chosen"]["RMSE"]
    assert found.card.scores["station"]["RMSE"] == pytest.approx(chosen)
    for name, value in result.parameters.items():
        assert found.card.params[name] == value
    everywhere = trained(world, replace(small, tuning=replace(rules, every_fold=True)))
    assert len(everywhere.assessment.tuning) == 4
    assert trained(world, replace(small, tuning=replace(rules, every_fold=True))).repeated


def test_constraints_are_kept_in_the_card_and_the_artefact(world, request_) -> None:
    ruled = replace(
        request_,
        selection=None,
        held_out_networks=(),
        ablation=False,
        constraints=Constraints({"rain": 1}),
    )
    found = trained(world, ruled)
    assert found.card.params["monotone_constraints"] == "(1,0,0,0)"
    assert found.assessment.constraints == {"monotone": {"rain": 1}}


def test_all_stations_dropped_is_named(world, request_) -> None:
    strict = replace(request_, selection=SelectionRules(minimum_samples=10_000))
    with pytest.raises(UserError, match="selection keeps none of 32 stations"):
        trained(world, strict)
    shown = trained(world, replace(strict, ship="all")).assessment
    assert shown.scores_of("station", "selected").why_not
    assert not shown.scores_of("station", "all").why_not


def test_an_unknown_network_is_named(world, request_) -> None:
    with pytest.raises(UserError, match="network 'FOUR'; there are ONE, THREE, TWO"):
        trained(world, replace(request_, held_out_networks=("FOUR",)))


def test_the_truth_of_a_simulated_earth_joins_its_days(world, tmp_path) -> None:
    rows = pd.DataFrame(
        {
            "station": ["a/b", "a/b", "a/c"],
            "time": pd.to_datetime(["2019-01-01"] * 2 + ["2019-02-01"]),
        }
    )
    rows.loc[1, "time"] = pd.Timestamp("2019-01-02")
    assert with_truth(rows, str(tmp_path)) == (rows, False)
    known = pd.DataFrame(
        {
            "station": ["a/b", "a/c"],
            "time": pd.to_datetime(["2019-01-02", "2019-02-01"]),
            "soil_moisture_pixel": np.float32([0.2, 0.3]),
        }
    )
    open_objects(str(tmp_path)).put("station_days.parquet", known.to_parquet(index=False))
    found, has_truth = with_truth(rows, str(tmp_path))
    assert has_truth
    np.testing.assert_allclose(found["soil_moisture_pixel"], [np.nan, 0.2, 0.3])


def test_land_cover_and_climate_come_from_the_static_variables() -> None:
    rows = pd.DataFrame(
        {"station": ["N/a", "N/a", "N/b"], "network": "N", "latitude": 1.0, "longitude": 2.0}
    )
    sensors = pd.DataFrame(
        {
            "network": ["N", "N"],
            "station": ["a", "c"],
            "static_land_cover_classification_cci_landcover_2000": [10.0, 11.0],
            "static_land_cover_classification_cci_landcover_2010": [130.0, 11.0],
            "static_climate_classification_koeppen_geiger_2007": ["Cfa", "Dfb"],
        }
    )
    found = sites_of(rows, sensors).set_index("station")
    assert found.loc["N/a", "land_cover"] == "130.0"
    assert found.loc["N/a", "climate"] == "Cfa"
    assert pd.isna(found.loc["N/b", "climate"])
    assert list(sites_of(rows, None)) == ["station", "network", "latitude", "longitude"]


def test_a_run_with_selection_stores_what_it_chose_and_how_often_that_was_right(
    world, tmp_path, monkeypatch
) -> None:
    config = RunConfig.model_validate(
        {
            "product": "glass-sm",
            "years": [2018, 2019],
            "tiles": ["h18v04"],
            "store": {"root": str(tmp_path), "truth": str(tmp_path / "truth")},
            "train": {"rounds": 20, "features": ["ndvi", "lai", "sand"], "permutations": 0},
            "selection": {"use": True, "minimum_r": 0.6, "minimum_samples": 50, "draws": 10},
        }
    )
    names = {"rain": "ndvi", "heat": "lai", "day": "time", "lat": "latitude", "lon": "longitude"}
    rows = world.rows.rename(columns={**names, "sm": "soil_moisture"}).assign(tile="h18v04")
    truth = open_objects(str(tmp_path / "truth"))
    pixels = rows[["station", "time"]].assign(soil_moisture_pixel=rows["truth"])
    truth.put("station_days.parquet", pixels.to_parquet(index=False))
    known = pd.DataFrame({"station": world.sites["station"]})
    known["representative"] = ~known["station"].isin(world.bad)
    truth.put("stations.parquet", known.to_parquet(index=False))
    monkeypatch.setattr(train_stage, "build_samples", lambda *_: rows)
    monkeypatch.setattr(train_stage, "build_references", lambda *_: world.references)
    for _ in range(2):
        found = train_stage.run(config, None, Recorder())
        assert found.verdicts.precision == 1.0
        assert found.assessment.scores_of("station", "selected", "truth").stations > 5
    assert found.repeated
    kept = pd.read_parquet(tmp_path / "models/glass-sm/selection.parquet")
    assert kept["kept"].sum() == found.assessment.selection["kept"]
    assert kept["r_low"].notna().any()
