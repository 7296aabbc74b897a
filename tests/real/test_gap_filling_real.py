"""Simulated gaps in five consecutive real days of ESA CCI, and what fills them; part of the globe.

The scores of all of it are printed by ``python -m benchmarks.gaps ../shared/realdata/cci``.
"""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.gaps import PART, RULE, can_be_known, passive_days, scores_in
from smcloud.grids.grid import Window
from smcloud.models.seamless_rules import SeamlessShape, TrainingRules

pytestmark = pytest.mark.real
SMALLER = Window(250, 320, 640, 800)


@pytest.fixture(scope="session")
def cci_days(realdata):
    """Return days and global fields (days, rows, cols)."""
    paths = sorted((realdata / "cci").glob("ESACCI*PASSIVE*"))
    if len(paths) != 5:
        pytest.skip("the five days of ESA CCI are not there")
    return passive_days(paths)


@pytest.fixture(scope="module")
def scores(cci_days):
    return scores_in(PART, *cci_days)


def test_the_days_follow_each_other_and_most_of_what_can_be_known_is(cci_days):
    days, fields = cci_days
    assert (np.diff(days) == np.timedelta64(1, "D")).all()
    known = np.isfinite(fields)
    assert [int(day.sum()) for day in known[[0, 4]]] == [59_125, 52_890]
    part = fields[:, *PART.slices]
    share = np.isfinite(part)[:, can_be_known(part, PART)].mean()
    assert 0.5 < share < 0.9  # the rest are gaps between orbits


def test_every_filler_is_judged_on_the_same_thousands_of_values(scores):
    overall = scores.overall()
    assert overall["n"].nunique() == 1
    assert overall["n"].iloc[0] > 3000
    assert (overall["share"][["inverse distance", "cosine smoother"]] == 1.0).all()
    # A cell that was known on the hidden day alone is nothing to interpolate in time.
    assert (overall["share"][["linear in time", "climatology"]] > 0.9).all()


def test_real_moisture_is_found_again_to_a_few_hundredths(scores):
    overall = scores.overall()
    assert (overall["RMSE"] < 0.07).all()
    assert (overall["R"] > 0.8).all()
    assert (overall["bias"].abs() < 0.01).all()


def test_the_cells_around_tell_less_the_wider_the_gap_and_the_days_around_as_much(scores):
    table = scores.table().query("grouping == 'cells to a known one'")
    error = table.pivot(index="class", columns="filler", values="RMSE")
    in_space, in_time = error["inverse distance"], error["linear in time"]
    assert in_space["1"] < in_space["2 to 3"] < in_space["4 to 7"]
    assert in_time["4 to 7"] == pytest.approx(in_time["1"], rel=0.2)
    assert in_time["4 to 7"] < 0.8 * in_space["4 to 7"]


def test_a_network_that_learned_from_the_days_themselves_beats_plain_ways(cci_days):
    """A small one, for seconds, in one round; docs/design/gap-filling.md has a longer training."""
    pytest.importorskip("torch")
    from benchmarks.gap_network import self_taught

    shape = SeamlessShape(channels=4, mid_layers=2, days=4, lstm_hidden=4)
    rules = TrainingRules(epochs=4, steps=20, batch=16)
    once = replace(RULE, hiding=replace(RULE.hiding, folds=1))
    more = {"network": self_taught(cci_days[0], shape, rules)}
    overall = scores_in(SMALLER, *cci_days, more, once).overall()
    assert overall["share"]["network"] == 1.0
    assert (overall["RMSE"].drop("network") > overall["RMSE"]["network"]).all()
