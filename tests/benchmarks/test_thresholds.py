"""The threshold is chosen inside each fold, and every line is of the same test stations."""

import numpy as np
import pytest

from benchmarks import thresholds
from smcloud.models.fold_jobs import TrainingData
from smcloud.models.folds import StationSelection
from smcloud.models.parameters import BoostingParams
from smcloud.models.samples import training_table
from smcloud.validation.selection import SelectionRules
from smcloud.validation.splits import SplitRules
from tests.models.study import COLUMNS, study


@pytest.fixture(scope="module")
def trial():
    world = study(stations=90)
    rules = SelectionRules(minimum_samples=50, bootstrap_draws=0)
    table = training_table(world.rows, COLUMNS)
    data = TrainingData(
        table, SplitRules(block_degrees=0.5), StationSelection(world.references, rules)
    )
    params = BoostingParams(rounds=15, early_stopping=5, threads=1, trees={"max_depth": 3})
    return thresholds.Trial(data, params, "station")


@pytest.fixture(scope="module")
def lines(trial):
    return thresholds.measure(trial, (None, 0.6)).splitlines()


def test_every_threshold_and_the_choice_have_a_line(lines):
    head, whole, selected, chosen, *inner = lines
    assert head.count("gain in R") == 2, "of the stations and of the truth"
    assert [line.split("  ")[0] for line in (whole, selected, chosen)] == [
        "all stations", "0.6", "chosen inside each fold"
    ]  # fmt: skip
    assert len(inner) == thresholds.FOLDS
    assert all(line.endswith("chosen: 0.6") for line in inner), "bad stations measure noise"
    assert chosen.split()[4:] == selected.split()[1:]


def test_a_threshold_leaves_the_test_stations_alone(trial):
    whole, selected = (trial.fold(0, threshold) for threshold in (None, 0.6))
    assert whole.stations["station"].equals(selected.stations["station"])
    np.testing.assert_array_equal(whole.stations["point_n"], selected.stations["point_n"])
    assert selected.counts["fit"]["stations"] < whole.counts["fit"]["stations"]
