"""The dissimilarity index against a slow statement of it, and what lies outside."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from smcloud.core.errors import ModelError
from smcloud.models.applicability import Area, fit_area, importances, prototype_rows
from smcloud.models.parameters import BoostingParams
from smcloud.models.samples import TableColumns, training_table
from smcloud.models.training import train_boosting
from smcloud.validation.splits import SplitRules, split_samples

COLUMNS = TableColumns(("wet", "warm", "idle"), "y", "station", "time", "latitude", "longitude")
PARAMS = BoostingParams(rounds=20, early_stopping=20, trees={"max_depth": 3}, threads=1)
RULES = SplitRules(block_degrees=1.0)


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(1)
    station = np.repeat(np.arange(60), 50)
    wet = rng.normal(0, 1, 60)[station] + rng.normal(0, 0.3, station.size)
    warm = rng.normal(280, 10, station.size)
    warm[rng.random(station.size) < 0.2] = np.nan
    rows = pd.DataFrame(
        {
            "station": [f"s{s:02d}" for s in station],
            "time": np.datetime64("2019-01-01") + np.tile(np.arange(50), 60),
            "latitude": 30.0 + 2 * (station // 10),
            "longitude": 3.0 * (station % 10),
            "wet": wet,
            "warm": warm,
            "idle": 1.0,
            "y": 0.2 + 0.1 * wet + 0.001 * np.nan_to_num(warm - 280),
        }
    )
    table = training_table(rows, COLUMNS)
    split = split_samples(table.samples(1.0), "station", RULES)
    trained = train_boosting(table.rows(split.fit), table.rows(split.stop), PARAMS, route="local")
    return table, split, trained, fit_area(table, split, RULES, trained)


def slow_distance(area, one, other):
    """Weighted distance of two rows of features, over what both know."""
    step = (one - other) * area.scales
    known = np.isfinite(step)
    weight = area.weights[known].sum()
    return np.inf if weight < 0.5 else np.sqrt((step[known] ** 2).sum() / weight)


def test_the_index_is_the_distance_to_the_nearest_prototype(world):
    *_, area = world
    rng = np.random.default_rng(2)
    rows = np.stack([rng.normal(0, 3, 40), rng.normal(280, 30, 40), np.ones(40)]).astype("f4")
    rows[1, :10] = np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        features = area.prototypes / area.scales + area.means
    features[:, 2] = 1.0
    expected = [
        min(slow_distance(area, row, other) for other in features) / area.mean_distance
        for row in rows.T
    ]
    np.testing.assert_allclose(area.index(rows), expected, rtol=2e-3)
    np.testing.assert_array_equal(area.outside(rows), area.index(rows) > area.threshold)
    assert 0 < area.outside(rows).sum() < 40


def test_training_is_inside_and_another_climate_outside(world):
    table, split, _, area = world
    for index, share in ((split.fit, 0.0), (split.test, 0.1)):
        (columns,) = (part.copy() for part, _ in table.rows(index).batches(index.size))
        assert area.outside(columns).mean() <= share + 0.02
    far = np.array([[9.0], [280.0], [1.0]], np.float32)
    assert area.outside(far).all()


def test_the_order_of_rows_changes_nothing(world):
    *_, area = world
    rng = np.random.default_rng(3)
    rows = np.stack([rng.normal(0, 3, 500), rng.normal(280, 9, 500), np.ones(500)]).astype("f4")
    order = rng.permutation(500)
    np.testing.assert_array_equal(area.outside(rows)[order], area.outside(rows[:, order]))


def test_important_features_count_and_idle_ones_do_not(world):
    _, _, trained, area = world
    importance = importances(trained, 3)
    assert importance.sum() == pytest.approx(1.0)
    assert importance[0] > importance[1] > importance[2] == 0
    assert area.weights.sum() == pytest.approx(1.0)
    rows = np.array([[0.0, 0.0], [280.0, 280.0], [1.0, 1e6]], np.float32)
    assert np.ptp(area.index(rows)) == 0


def test_rows_that_are_mostly_unknown_are_outside(world):
    *_, area = world
    rows = np.array([[np.nan, 0.0], [280.0, np.nan], [1.0, np.nan]], np.float32)
    assert area.outside(rows).tolist() == [True, False]
    assert np.isinf(area.index(rows)[0])


def test_it_is_stored_as_it_is_and_the_same_every_time(world):
    table, split, trained, area = world
    again = Area.from_data(area.data)
    rows = np.array([[0.3, 5.0], [290.0, 280.0], [1.0, 1.0]], np.float32)
    np.testing.assert_array_equal(again.index(rows), area.index(rows))
    np.testing.assert_array_equal(again.outside(rows), area.outside(rows))
    assert fit_area(table, split, RULES, trained).data == area.data
    note = area.note()
    assert note is not None
    assert note.prototypes == len(area.prototypes) <= 2000
    with pytest.raises(ModelError, match="unreadable"):
        Area.from_data(b"nothing")


def test_prototypes_are_spread_over_stations_and_days(world):
    table, split, *_ = world
    samples = table.samples(1.0)
    chosen = prototype_rows(samples, split.fit, most=200)
    assert np.isin(chosen, split.fit).all()
    count = np.unique(samples.stations[chosen], return_counts=True)[1]
    assert count.size == np.unique(samples.stations[split.fit]).size
    assert count.min() == count.max() == 200 // count.size
    few = prototype_rows(samples, split.fit, most=10)
    assert np.unique(samples.stations[few]).size == 10


def test_one_block_leaves_a_reason_instead_of_an_area(world):
    table, split, trained, _ = world
    samples = table.samples(1.0)
    block = split.fit[samples.blocks[split.fit] == samples.blocks[split.fit][0]]
    found = fit_area(table, replace(split, fit=block), RULES, trained)
    assert not found.possible
    assert "one spatial block" in found.why_not
    assert (found.note(), found.data) == (None, b"")
