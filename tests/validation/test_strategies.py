"""Paired differences and scores by kind of station."""

import numpy as np
import pandas as pd
import pytest

from smcloud.validation.strategies import by_kind, by_season, difference, paired, station_scores


def rows_of(gain, n=40, folds=2):
    rng = np.random.default_rng(4)
    rows = []
    for station in range(n):
        base = rng.uniform(0.3, 0.9)
        rows += [
            {
                "split": "station",
                "fold": fold,
                "variant": variant,
                "station": f"n/{station:02d}",
                "network": "n",
                "block": f"b{station:02d}",
                "R": base + fold * 0.01 + (gain if variant == "selected" else 0.0),
                "is_selected": station % 2 == 0,
            }
            for fold in range(folds)
            for variant in ("all", "selected")
        ]
    return pd.DataFrame(rows)


def test_the_gain_is_that_of_each_station_whatever_their_spread():
    found = difference(paired(rows_of(0.02), "station"), "R")
    assert found.stations == 40
    assert found.value == pytest.approx(0.02)
    assert found.low == pytest.approx(0.02)
    assert found.with_ - found.without == pytest.approx(0.02)


def test_folds_of_one_station_count_once():
    scores = station_scores(rows_of(0.0), "station", "all")
    assert len(scores) == 40
    assert set(scores["network"]) == {"n"}


def test_a_station_that_only_one_model_was_tested_on_takes_no_part():
    rows = rows_of(0.02)
    rows = rows[~((rows["station"] == "n/00") & (rows["variant"] == "selected"))]
    assert difference(paired(rows, "station"), "R").stations == 39


def test_without_stations_nothing_is_known():
    found = difference(paired(rows_of(0.0), "year"), "R")
    assert found.stations == 0
    assert np.isnan(found.value)


def test_an_interval_holds_zero_where_stations_disagree():
    pairs = paired(rows_of(0.0), "station")
    pairs["R_with"] = pairs["R"] + np.where(np.arange(40) % 2, 0.05, -0.05)
    found = difference(pairs, "R", seed=1)
    assert found.low < 0 < found.high


def test_stations_of_one_block_are_drawn_together():
    pairs = paired(rows_of(0.0), "station")
    pairs["R_with"] = pairs["R"] + np.where(np.arange(40) < 20, 0.05, -0.05)
    apart = difference(pairs, "R")
    pairs["block"] = np.where(np.arange(40) < 20, "west", "east")
    together = difference(pairs, "R")
    assert together.high - together.low > 0.09, "a draw may hold one block twice"
    assert together.high - together.low >= apart.high - apart.low
    assert np.isnan(difference(pairs.assign(block="one"), "R").low), "one block is no sample"


def test_a_season_is_scored_from_its_own_days():
    days = np.arange("2019-01-01", "2020-01-01", dtype="datetime64[D]").astype("datetime64[s]")
    rng = np.random.default_rng(0)
    truth = rng.random(365)
    summer = np.isin(days.astype("datetime64[M]").astype(int) % 12, [5, 6, 7])
    estimate = np.where(summer, truth, rng.random(365))
    found = by_season(
        pd.DataFrame({"station": "a", "time": days, "estimate": estimate, "soil_moisture": truth})
    )
    assert found["June to August"]["R"][0] == pytest.approx(1.0)
    assert abs(found["December to February"]["R"][0]) < 0.3


def test_a_season_with_few_days_has_no_score():
    days = np.arange("2019-06-01", "2019-06-11", dtype="datetime64[D]").astype("datetime64[s]")
    values = np.linspace(0, 1, 10)
    found = by_season(
        pd.DataFrame({"station": "a", "time": days, "estimate": values, "soil_moisture": values})
    )
    assert all(np.isnan(part["R"]).all() for part in found.values())


def test_kinds_come_with_most_stations_first_and_unknown_is_named():
    stations = pd.DataFrame(
        {"climate": ["Cfa", "Bsk", "Cfa", None], "R": [1, 2, 3, 4], "ubRMSE": [1, 2, 3, 4]}
    )
    found = by_kind(stations, "climate")
    assert list(found) == ["Cfa", "Bsk", "unknown"]
    np.testing.assert_array_equal(found["Cfa"]["R"], [1, 3])
