"""One training of any table: model, card, scores and estimates in the store, once."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from smcloud.core.config import RunConfig
from smcloud.core.errors import NotFoundError, UserError
from smcloud.core.objects import open_objects
from smcloud.models.boosting import load_model
from smcloud.models.samples import TableColumns
from smcloud.production import train_stage
from smcloud.production.ledger import Ledger
from smcloud.production.train_stage import TrainRequest, read_scores, train_table
from smcloud.products.registry import product_named
from smcloud.validation.splits import SPLIT_KINDS
from tests.production.recorder import Recorder
from tests.production.training_root import request_below

COLUMNS = TableColumns(("rain", "heat"), "sm", "station", "day", "lat", "lon")


def table(years: int = 2, stations: int = 24) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    days = pd.date_range("2018-01-01", periods=61 * years, freq="6D")
    rows = stations * days.size
    frame = pd.DataFrame(
        {
            "station": np.repeat([f"s{n:02d}" for n in range(stations)], days.size),
            "day": np.tile(days, stations),
            "lat": np.repeat(rng.uniform(40, 48, stations), days.size),
            "lon": np.repeat(rng.uniform(0, 10, stations), days.size),
            "rain": rng.gamma(0.4, 5.0, rows),
            "heat": rng.normal(290, 8, rows),
        }
    )
    sm = 0.2 + 0.01 * frame["rain"] - 0.002 * (frame["heat"] - 290) + rng.normal(0, 0.02, rows)
    return frame.assign(sm=sm)


@pytest.fixture(scope="module")
def source() -> pd.DataFrame:
    return table()


@pytest.fixture
def request_(tmp_path) -> TrainRequest:
    return request_below(tmp_path, columns=COLUMNS)


def test_a_training_leaves_model_card_scores_and_estimates(
    source: pd.DataFrame, request_: TrainRequest
) -> None:
    summary = train_table(source, request_, None, Recorder())
    assert summary.headline == "station_year"
    card = load_model(request_.models, "mine", COLUMNS.features).card
    assert card == summary.card
    assert set(card.scores) == set(SPLIT_KINDS)
    assert card.training_keys == ("2018", "2019")
    assert card.sets["test"]["stations"] + card.sets["fit"]["stations"] < 24
    stored = read_scores(request_.models, "mine")
    for kind in SPLIT_KINDS:
        assert stored[kind].to_json() == summary.scores[kind].to_json()
    reports = open_objects(f"{request_.root}/reports/mine")
    assert [info.key for info in reports.list()] == sorted(
        f"splits/{kind}.parquet" for kind in SPLIT_KINDS
    )


def test_the_scores_are_those_of_the_stored_model(
    source: pd.DataFrame, request_: TrainRequest
) -> None:
    summary = train_table(source, request_, None, Recorder())
    model = load_model(request_.models, "mine")
    with open_objects(f"{request_.root}/reports/mine/splits").fetch("station.parquet") as path:
        tested = pd.read_parquet(path)
    seen = source.merge(tested, left_on=["station", "day"], right_on=["station", "time"])
    columns = seen[list(COLUMNS.features)].to_numpy(np.float32).T
    np.testing.assert_array_equal(model.predict(np.ascontiguousarray(columns)), seen["estimate"])
    error = np.sqrt(np.mean((seen["estimate"] - seen["sm_x"]) ** 2))
    assert summary.card.scores["station"]["RMSE"] == pytest.approx(error, rel=1e-4)


def test_rows_in_another_order_give_the_same_card(
    source: pd.DataFrame, request_: TrainRequest, tmp_path
) -> None:
    one = train_table(source, request_, None, Recorder())
    elsewhere = replace(request_, root=str(tmp_path / "other"))
    mixed = source.sample(frac=1.0, random_state=1)
    other = train_table(mixed, elsewhere, None, Recorder())
    assert other.card.to_json() == one.card.to_json()


def test_an_equal_training_is_not_done_twice(source: pd.DataFrame, request_: TrainRequest) -> None:
    first = train_table(source, request_, None, Recorder())
    listener = Recorder()
    again = train_table(source, request_, None, listener)
    assert again.repeated
    assert listener.stages == []
    assert again.card == first.card
    changed = replace(request_, params=replace(request_.params, seed=9))
    assert not train_table(source, changed, None, Recorder()).repeated


def test_a_lost_model_or_a_broken_card_is_trained_anew(
    source: pd.DataFrame, request_: TrainRequest
) -> None:
    card = train_table(source, request_, None, Recorder()).card
    request_.models.delete(f"mine/{card.sha256}.ubj")
    assert not train_table(source, request_, None, Recorder()).repeated
    request_.models.put("mine/card.json", b"{}")
    assert train_table(source, request_, None, Recorder()).card == card


def test_one_year_leaves_the_splits_by_year_out(request_: TrainRequest) -> None:
    summary = train_table(table(years=1), request_, None, Recorder())
    assert summary.headline == "station"
    assert set(summary.card.scores) == {"random", "station"}
    assert "all of 2018" in summary.scores["year"].why_not


def test_too_few_stations_leave_no_model(request_: TrainRequest) -> None:
    with pytest.raises(UserError, match="'station' needs 5 spatial blocks"):
        train_table(table(stations=3), request_, None, Recorder())
    with pytest.raises(NotFoundError, match="smcloud train"):
        load_model(request_.models, "mine")


def test_a_run_names_its_units_tile_years_and_ledger_records(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = RunConfig.model_validate(
        {
            "product": "glass-sm",
            "years": [2018, 2019],
            "tiles": ["h18v04"],
            "store": {"root": str(tmp_path)},
            "train": {
                "rounds": 20,
                "device": "cpu",
                "features": ["ndvi", "lai"],
                "block_degrees": 0.5,
            },
        }
    )
    rows = table(years=2).rename(
        columns={
            "rain": "ndvi",
            "heat": "lai",
            "day": "time",
            "lat": "latitude",
            "lon": "longitude",
            "sm": "soil_moisture",
        }
    )
    built = rows.assign(tile="h18v04")
    monkeypatch.setattr(train_stage, "build_samples", lambda *_: built)
    for _ in range(2):
        card = train_stage.run(config, None, Recorder()).card
    assert card.units == ("1", "m2 m-2")
    assert card.target_units == "m3 m-3"
    assert card.training_keys == ("sin1km/h18v04/2018", "sin1km/h18v04/2019")
    assert "feature ndvi" in card.versions
    assert card.params["device"] == "cpu"
    assert card.params["max_depth"] == product_named("glass-sm").parameters["max_depth"]
    records = Ledger(str(tmp_path), "train/glass-sm").records(2018)
    (record,) = records.values()
    assert record.shards == {f"{card.sha256}.ubj": card.sha256}
    assert record.input_hash == card.input_hash
    folder = open_objects(str(tmp_path / "ledger/train/glass-sm/2018"))
    assert [info.key for info in folder.list()] == ["000001.json"]
