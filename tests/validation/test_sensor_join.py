"""The step at a join: found where there is one, within its error where there is none."""

import numpy as np
import pytest

from smcloud.core.errors import UserError
from smcloud.validation.sensor_join import SensorRecord, join_steps, step_table

CELLS = 20


def world(seed, common=0.0):
    rng = np.random.default_rng(seed)
    days = np.arange(np.datetime64("2006-01-01"), np.datetime64("2015-01-01"))
    season = 0.05 * np.sin(2 * np.pi * np.arange(len(days)) / 365.25)[:, None]
    walk = np.zeros((len(days), 1))
    for day in range(1, len(days)):
        walk[day] = 0.9 * walk[day - 1] + rng.normal(0, 0.01)
    values = 0.2 + rng.uniform(-0.1, 0.1, CELLS) + season + walk
    return days, values, rng


def split(days, values, step, rng):
    old = days < np.datetime64("2011-10-01")
    new = days >= np.datetime64("2012-07-01")
    records = []
    for at, added in ((old, 0.0), (new, step)):
        seen = values[at] + added + rng.normal(0, 0.02, values[at].shape)
        seen[rng.random(seen.shape) < 0.4] = np.nan
        records.append(SensorRecord(days[at], seen))
    return records


@pytest.mark.parametrize("step", [0.0, 0.04, -0.04])
def test_a_step_is_found_both_ways(step):
    days, values, rng = world(1)
    reference = SensorRecord(days, values + 0.1 + rng.normal(0, 0.005, values.shape))
    table = step_table(join_steps(*split(days, values, step, rng), reference))
    assert table["climatology"].tolist() == ["earlier", "earlier", "later", "later"]
    assert (np.abs(table["step"] - step) < 4 * table["standard_error"] + 2e-3).all()
    plain = table["standard_error"][~table["reference"]].max()
    assert table["standard_error"][table["reference"]].max() < 0.5 * plain
    assert (table["days_before"] == 365).all()


def test_the_error_covers_what_chance_does():
    apart = []
    for seed in range(40):
        days, values, rng = world(seed)
        found = join_steps(*split(days, values, 0.02, rng))[0]
        apart.append((found.step - 0.02) / found.standard_error)
    assert 0.5 < np.std(apart) < 1.6


def test_too_few_days_are_told():
    days, values, rng = world(0)
    old, new = split(days, values, 0.0, rng)
    few = SensorRecord(new.days[:2], new.values[:2])
    with pytest.raises(UserError, match="the later sensor has 2 usable days"):
        join_steps(old, few, window_days=365)
