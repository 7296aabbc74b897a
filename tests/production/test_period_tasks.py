"""Models by period from end to end: any number of workers, any order of rows, and resumed."""

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from smcloud.core.errors import ModelError, NotFoundError, UserError
from smcloud.core.objects import open_objects
from smcloud.models.family_search import SearchRules
from smcloud.models.period_fits import PeriodRules, hold_out
from smcloud.models.periods import (
    PeriodModels,
    PeriodsCard,
    load_periods_card,
    model_key,
    open_period_models,
)
from smcloud.production import period_tasks
from smcloud.production.period_samples import PeriodsRequest, cleaned, cut
from smcloud.production.period_tasks import train_periods
from tests.models.coarse_cells import FEATURES, coarse_table
from tests.production.recorder import Recorder

RULES = PeriodRules(families=("mlr", "svr", "xgb"), search=SearchRules(candidates=2, folds=2))
DAYS = 4
NO_TARGET, CLOUDED = np.datetime64("2019-03-03"), np.datetime64("2019-03-02")


def world() -> pd.DataFrame:
    """Four days: the second has no LST at all, the third no target (an outage of the satellite)."""
    table = coarse_table(DAYS)
    table.loc[table["time"] == CLOUDED, "lst_day"] = np.nan
    table.loc[table["time"] == NO_TARGET, "soil_moisture"] = np.nan
    return table


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return world()


def request_at(folder, **changes) -> PeriodsRequest:
    return PeriodsRequest(
        root=str(folder), name="mine", features=FEATURES, rules=replace(RULES, **changes)
    )


def files_of(request: PeriodsRequest) -> dict[str, bytes]:
    return {info.key: request.models.get(info.key) for info in request.models.list()}


@pytest.fixture(scope="module")
def trained(table, tmp_path_factory):
    request = request_at(tmp_path_factory.mktemp("root"))
    return request, train_periods(table, request)


def opened(request: PeriodsRequest) -> PeriodModels:
    card = load_periods_card(request.models, request.name)
    return open_period_models(request.models.url, request.name, card.whole_sha256)


def test_each_period_has_its_best_family_or_a_reason(trained, table) -> None:
    _, summary = trained
    entries = summary.card.periods
    assert [entry.start.isoformat() for entry in entries] == [f"2019-03-0{n}" for n in range(1, 5)]
    assert [entry.family is None for entry in entries] == [False, False, True, False]
    assert entries[2].why_not == "too few samples: more than 100 are needed"
    assert (entries[2].samples, entries[2].sha256) == (0, "")
    assert summary.card.modelled == 3
    assert summary.dropped == int(table["soil_moisture"].isna().sum())


def test_the_table_has_all_families_of_each_modelled_period(trained) -> None:
    _, summary = trained
    found = summary.scores
    assert len(found) == 3 * len(RULES.families)
    assert found.groupby("start")["is_best"].sum().tolist() == [1, 1, 1]
    for _, rows in found.groupby("start"):
        assert rows["inner_RMSE"].idxmin() == rows["is_best"].idxmax()
    assert (found["RMSE"] < found["constant_RMSE"]).all()
    assert set(summary.card.scores) == {*RULES.families, "best"}
    assert summary.card.scores["best"]["periods"] == 3


def test_a_day_is_estimated_by_its_own_model(trained, table) -> None:
    request, _ = trained
    models = opened(request)
    for day, wanted in (("2019-03-01", 0.7), ("2019-03-04", 0.7)):
        rows = table[table["time"] == np.datetime64(day)]
        columns = np.ascontiguousarray(rows[list(FEATURES)].to_numpy(np.float32).T)
        found = models.estimate(np.datetime64(day), columns, np.zeros((2, len(rows))))
        error = found - rows["soil_moisture"]
        assert np.sqrt((error**2).mean()) < wanted * rows["soil_moisture"].std()
    clouded = models.entry(CLOUDED)
    assert 0 not in models.model_of(clouded).preparation.kept


def test_a_day_without_a_model_has_no_estimate_and_a_reason(trained) -> None:
    models = opened(trained[0])
    columns = np.ones((len(FEATURES), 5), np.float32)
    for day, reason in (
        (NO_TARGET, "too few samples: more than 100 are needed"),
        (np.datetime64("2019-02-28"), "no day of its period was in the training table"),
        (np.datetime64("2019-03-05"), "no day of its period was in the training table"),
    ):
        assert not models.is_modelled(day)
        assert models.why_not(day) == reason
        assert np.isnan(models.estimate(day, columns, np.zeros((2, 5)))).all()
    assert models.is_modelled(CLOUDED)
    assert models.why_not(CLOUDED) == ""


def test_the_slope_of_a_day_is_drawn_to_that_of_all_days(trained) -> None:
    request, summary = trained
    models = opened(request)
    known = [entry for entry in summary.card.periods if entry.family]
    degrees = np.array([entry.inner_degrees for entry in known])
    covariance = np.array([entry.inner_covariance for entry in known])
    variance = np.array([entry.inner_variance for entry in known])
    pooled = (degrees * covariance).sum() / (degrees * variance).sum()
    for entry in known:
        found = models.slope(np.datetime64(entry.start))
        ends = sorted([pooled, entry.inner_covariance / entry.inner_variance])
        assert ends[0] <= found <= ends[1]
    assert np.isnan(models.slope(NO_TARGET))
    bare = {"inner_covariance": None, "inner_variance": None, "inner_degrees": 0}
    entries = [entry.model_copy(update=bare) for entry in summary.card.periods]
    card = summary.card.model_copy(update={"periods": tuple(entries)})
    assert np.isnan(PeriodModels(request.models, card).slope(CLOUDED))


def test_models_that_are_not_asked_for_leave_memory(trained, monkeypatch) -> None:
    request, summary = trained
    models = PeriodModels(request.models, summary.card)
    monkeypatch.setattr("smcloud.models.periods.LOADED_BYTES", 1)
    columns = np.ones((len(FEATURES), 5), np.float32)
    for entry in summary.card.periods:
        models.estimate(np.datetime64(entry.start), columns, np.zeros((2, 5)))
        assert len(models._loaded) <= 1


def test_the_order_of_rows_changes_nothing(trained, table, tmp_path) -> None:
    mixed = table.sample(frac=1, random_state=3)[sorted(table.columns)]
    request = request_at(tmp_path)
    train_periods(mixed, request)
    assert files_of(request) == files_of(trained[0])


@pytest.mark.cluster
def test_workers_write_the_same_bytes(trained, table, tmp_path, client) -> None:
    request = request_at(tmp_path)
    recorder = Recorder()
    summary = train_periods(table, request, client, recorder)
    assert files_of(request) == files_of(trained[0])
    assert summary.done == 3 * len(RULES.families) + 3
    assert open_objects(request.samples_url).list() == []


@pytest.mark.cluster
def test_one_worker_writes_the_same_bytes(trained, table, tmp_path) -> None:
    from smcloud.production.cluster import ClusterRequest, connect

    request = request_at(tmp_path)
    with connect(ClusterRequest(workers=1, threads=2, worker_bytes=2**30)) as one:
        train_periods(table, request, one)
    assert files_of(request) == files_of(trained[0])


def test_a_finished_training_is_not_repeated(trained, table) -> None:
    request, summary = trained
    before = files_of(request)
    again = train_periods(table, request)
    assert again.repeated
    assert again.card == summary.card
    pd.testing.assert_frame_equal(again.scores, summary.scores)
    assert files_of(request) == before


def test_a_stopped_training_goes_on_where_it_was(trained, table, tmp_path, monkeypatch) -> None:
    real, left = period_tasks.assess, [4]

    def failing(*args):
        if not left[0]:
            raise MemoryError
        left[0] -= 1
        return real(*args)

    request = request_at(tmp_path)
    monkeypatch.setattr(period_tasks, "assess", failing)
    with pytest.raises(MemoryError):
        train_periods(table, request)
    with pytest.raises(NotFoundError, match="run `smcloud train` first"):
        load_periods_card(request.models, "mine")
    left[0] = 5
    found = train_periods(table, request)
    assert (found.kept, found.done) == (4, 5 + 3)
    assert files_of(request) == files_of(trained[0])


def test_one_more_day_and_one_more_family_do_only_what_is_missing(table, tmp_path) -> None:
    request = request_at(tmp_path, families=("mlr", "svr"))
    train_periods(table[table["time"] < np.datetime64("2019-03-04")], request)
    found = train_periods(table, request)
    assert (found.kept, found.done) == (2 * 2 + 2, 2 + 1)
    more = train_periods(table, request_at(tmp_path))
    assert more.kept >= 3 * 2
    assert {entry.sha256 for entry in more.card.periods if entry.sha256} == {
        key.split("/")[-1].removesuffix(".npz") for key in files_of(request) if key.endswith(".npz")
    }


def test_a_lost_model_is_fitted_again(table, tmp_path) -> None:
    request = request_at(tmp_path, families=("mlr",))
    card = train_periods(table, request).card
    whole = files_of(request)
    request.models.delete(model_key("mine", card.periods[0].sha256))
    assert train_periods(table, request).done == 1
    assert files_of(request) == whole


def test_pooled_models_serve_every_day_of_the_table(table, tmp_path) -> None:
    request = request_at(tmp_path, families=("mlr", "xgb"), pooled=True)
    summary = train_periods(table, request)
    assert len(summary.card.periods) == 1
    models = opened(request)
    assert models.is_modelled(NO_TARGET)
    assert not models.is_modelled(np.datetime64("2019-03-05"))


def test_no_model_at_all_is_told_by_period(table, tmp_path) -> None:
    summary = train_periods(table, request_at(tmp_path, minimum_samples=10_000))
    assert summary.card.modelled == 0
    assert summary.scores.empty
    assert all("more than 10000 are needed" in entry.why_not for entry in summary.card.periods)
    again = train_periods(table, request_at(tmp_path, minimum_samples=10_000))
    assert again.repeated


def test_families_that_fail_leave_their_reasons(table, tmp_path) -> None:
    """The target varies in the held-out groups alone."""
    request = request_at(tmp_path, families=("mlr", "svr"))
    rows, _ = cleaned(table[table["time"] == table["time"].min()], request)
    groups = cut(rows, request)[0].samples.groups
    fit, _ = hold_out(groups, RULES.test_share, RULES.search.seed)
    rows.loc[fit, "soil_moisture"] = 0.2
    found = train_periods(rows, request)
    reasons = "mlr: the target is constant; svr: the target is constant"
    assert found.card.periods[0].why_not == reasons
    assert found.scores["why_not"].tolist() == ["the target is constant"] * 2
    assert opened(request).why_not(np.datetime64("2019-03-01")) == reasons


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns=["ndvi", "col"]), "lacks col, ndvi"),
        (lambda t: pd.concat([t, t[:3]]), "has 3 rows whose cell and day stand there already"),
        (lambda t: t.assign(soil_moisture=np.nan), "none of the 900 rows of coarse cells has"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(table, tmp_path, change, message) -> None:
    with pytest.raises(UserError, match=message):
        train_periods(change(table), request_at(tmp_path))


def test_damage_is_found_before_anything_is_estimated(table, tmp_path) -> None:
    request = request_at(tmp_path, families=("mlr",))
    card = train_periods(table, request).card
    key = model_key("mine", card.periods[0].sha256)
    data = bytearray(request.models.get(key))
    data[len(data) // 2] ^= 1
    request.models.put(key, bytes(data))
    models, columns = PeriodModels(request.models, card), np.ones((len(FEATURES), 5), np.float32)
    day = np.datetime64("2019-03-01")
    with pytest.raises(ModelError, match="is damaged"):
        models.estimate(day, columns, np.zeros((2, 5)))
    request.models.delete(key)
    with pytest.raises(ModelError, match="is not there"):
        models.estimate(day, columns, np.zeros((2, 5)))


def test_models_that_were_replaced_meanwhile_are_refused(trained) -> None:
    request, _ = trained
    with pytest.raises(ModelError, match="were trained anew while they were in use"):
        open_period_models(request.models.url, "mine", "0" * 64)


def test_cards_are_read_back_and_others_refused(trained, tmp_path) -> None:
    _, summary = trained
    assert json.loads(summary.card.to_json())["kind"] == "periods"
    assert PeriodsCard.model_validate_json(summary.card.to_json()) == summary.card
    whole = summary.card.whole_sha256
    entries = summary.card.periods
    other = entries[0].model_copy(update={"sha256": "0" * 64})
    assert summary.card.model_copy(update={"periods": (other, *entries[1:])}).whole_sha256 != whole
    believed = entries[0].model_copy(update={"inner_variance": 0.5})
    card = summary.card.model_copy(update={"periods": (believed, *entries[1:])})
    assert card.whole_sha256 != whole, "how far estimates are believed shapes the maps too"
    stray = open_objects(str(tmp_path))
    for body, message in ((b"{", "not a model card"), (b'{"card_version": 9}', "version 9")):
        stray.put("mine/card.json", body)
        with pytest.raises(ModelError, match=message):
            load_periods_card(stray, "mine")


def test_stored_scores_are_a_table_for_anyone(trained) -> None:
    request, _ = trained
    data = request.models.get("mine/periods/scores.parquet")
    found = pd.read_parquet(io.BytesIO(data))
    assert list(found)[:6] == ["start", "days", "family", "is_best", "samples", "fit"]
    assert found["start"].dtype.kind == "M"
