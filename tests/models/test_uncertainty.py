"""Half widths that hold what they promise at stations that no model has seen."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from smcloud.core.errors import ModelError, UserError
from smcloud.models.boosting import forest_of
from smcloud.models.parameters import BoostingParams
from smcloud.models.samples import TableColumns, training_table
from smcloud.models.training import train_boosting
from smcloud.models.uncertainty import (
    LEVELS,
    conformal_factor,
    coverage_on,
    fit_spread,
)
from smcloud.validation.splits import SplitRules, split_samples

COLUMNS = TableColumns(
    ("signal", "noisy", "idle"), "soil_moisture", "station", "time", "latitude", "longitude"
)
PARAMS = BoostingParams(rounds=30, early_stopping=30, trees={"max_depth": 3}, threads=1)
RULES = SplitRules(block_degrees=1.0, seed=2)


def station_table(n_stations=240, days=25, seed=0):
    """Stations with an offset that no feature tells, and noise that one feature does tell."""
    rng = np.random.default_rng(seed)
    count = rng.integers(5, 2 * days, n_stations)
    station = np.repeat(np.arange(n_stations), count)
    signal, noisy, idle = rng.uniform(-1, 1, (3, station.size))
    offset = rng.normal(0, 0.02, n_stations)[station]
    noise = rng.normal(0, 1, station.size) * (0.01 + 0.05 * (noisy > 0))
    first = np.concatenate([np.arange(n) for n in count])
    return pd.DataFrame(
        {
            "station": [f"net{s % 4}/s{s:03d}" for s in station],
            "time": np.datetime64("2019-01-01") + first,
            "latitude": (30 + 1.5 * (station // 20)).astype(float),
            "longitude": (2.5 * (station % 20)).astype(float),
            "signal": signal,
            "noisy": noisy,
            "idle": idle,
            "soil_moisture": np.clip(0.3 + 0.08 * signal + offset + noise, 0, 0.7),
        }
    )


@pytest.fixture(scope="module")
def world():
    table = training_table(station_table(), COLUMNS)
    split = split_samples(table.samples(RULES.block_degrees), "station", RULES)
    trained = train_boosting(table.rows(split.fit), table.rows(split.stop), PARAMS, route="local")
    return table, split, trained, fit_spread(table, split, RULES, trained, PARAMS)


def estimates_of(trained, table, index):
    (columns,) = (part.copy() for part, _ in table.rows(index).batches(index.size))
    return forest_of(trained.data).predict(np.ascontiguousarray(columns))


def test_unseen_stations_are_covered_as_promised(world):
    table, split, trained, spread = world
    estimates = estimates_of(trained, table, split.test)
    found = coverage_on(spread, table, split.test, estimates)
    for level in (0.5, 0.68, 0.9):
        assert found.overall(level).covered_by_station == pytest.approx(level, abs=0.08)
    assert found.covers == "point"
    assert {row.group for row in found.by("network")} == {"net0", "net1", "net2", "net3"}


def test_intervals_are_wide_where_errors_are_large(world):
    table, split, _, spread = world
    rows = table.rows(split.test)
    noisy = rows.columns[1][rows.index] > 0
    half = spread.half_widths(rows)[0.68]
    assert half[noisy].mean() > 1.4 * half[~noisy].mean()
    assert (half > 0).all()


def test_wider_levels_are_nowhere_narrower(world):
    table, split, _, spread = world
    halves = spread.half_widths(table.rows(split.test))
    assert tuple(halves) == LEVELS
    stacked = np.stack(list(halves.values()))
    assert (np.diff(stacked, axis=0) >= 0).all()


def test_the_same_table_gives_the_same_spread(world):
    table, split, trained, spread = world
    again = fit_spread(table, split, RULES, trained, PARAMS)
    assert (again.data, again.factors) == (spread.data, spread.factors)
    note = spread.note()
    assert note is not None
    assert note.factors["0.68"] == spread.factors[0.68]


@pytest.mark.parametrize("leaking", ["fit", "stop"])
def test_a_calibrate_set_that_was_seen_is_refused(world, leaking):
    table, split, trained, _ = world
    seen = getattr(split, leaking)
    mixed = np.sort(np.concatenate([split.calibrate, seen[:40]]))
    kept = {leaking: seen[40:]}
    with pytest.raises(ModelError, match="leaks"):
        fit_spread(table, replace(split, calibrate=mixed, **kept), RULES, trained, PARAMS)


def test_too_few_stations_leave_a_reason_instead_of_a_spread(world):
    table, split, trained, _ = world
    stations = table.samples(1.0).stations
    two = split.calibrate[np.isin(stations[split.calibrate], stations[split.calibrate][:1])]
    found = fit_spread(table, replace(split, calibrate=two), RULES, trained, PARAMS)
    assert not found.possible
    assert "1 stations, too few for a level of 0.68" in found.why_not
    assert found.note() is None
    with pytest.raises(UserError, match="no uncertainty"):
        found.half_widths(table.rows(split.test))


def test_a_random_day_of_a_new_station_is_covered_on_average():
    """Stations differ in spread and in days: pooled quantiles would follow the long ones."""
    rng = np.random.default_rng(7)
    held = {"conformal": [], "pooled": []}
    for _ in range(400):
        scale = np.exp(rng.normal(0, 0.8, 31))
        days = np.where(scale > 1, 4, 60)
        groups = np.repeat(np.arange(31), days)
        scores = np.abs(rng.normal(0, 1, groups.size)) * scale[groups]
        seen, new = groups < 30, groups == 30
        held["conformal"].append(
            (scores[new] <= conformal_factor(scores[seen], groups[seen], 0.68)).mean()
        )
        held["pooled"].append((scores[new] <= np.quantile(scores[seen], 0.68)).mean())
    assert 0.66 < np.mean(held["conformal"]) < 0.74
    assert np.mean(held["pooled"]) < 0.62


def test_factors_need_groups_enough():
    scores, groups = np.arange(9.0), np.arange(9)
    assert conformal_factor(scores, groups, 0.9) == 8.0
    assert np.isnan(conformal_factor(scores[:8], groups[:8], 0.9))
    assert conformal_factor(scores[:8], groups[:8], 0.68) == 6.0
