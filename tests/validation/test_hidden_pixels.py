"""Hidden pixels: clouds of other days, sizes of gaps, and scores on the simulated Earth."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.cloud_filling import simulated
from smcloud.core.errors import UserError
from smcloud.grids.tiles import parse_window
from smcloud.validation.hidden_pixels import (
    CloudHiding,
    GapSums,
    days_since_a_look,
    distance_to_a_look,
    gap_classes,
    hidden_clouds,
    score_cloudy_pixels,
    score_hidden_pixels,
)


def known_pixels(seed=0, shape=(80, 12, 15)):
    return np.random.default_rng(seed).random(shape) < 0.6


def test_clear_pixels_are_hidden_under_moved_clouds_of_another_day():
    known, rule = known_pixels(), CloudHiding(shift_days=31, shift_pixels=(3, -4), apart=10)
    hidden = hidden_clouds(known, rule, fold=4)
    assert not (hidden & ~known).any()
    days = np.flatnonzero(hidden.any(axis=(1, 2)))
    assert days.tolist() == [4, 14, 24, 34, 44, 54, 64, 74]
    moved = np.roll(~known[45], (3, -4), axis=(0, 1))
    np.testing.assert_array_equal(hidden[14], known[14] & moved)
    np.testing.assert_array_equal(hidden[64], known[64] & np.roll(~known[33], (3, -4), (0, 1)))


def test_days_since_a_look_count_from_the_last_or_to_the_first():
    known = np.array([0, 0, 1, 0, 0, 1, 0], bool)[:, None]
    assert days_since_a_look(known)[:, 0].tolist() == [2, 1, 0, 1, 2, 0, 1]


def test_distance_to_a_look_is_in_kilometres_and_infinite_on_overcast_days():
    known = np.zeros((2, 5, 5), bool)
    known[0, 2, 0] = True
    found = distance_to_a_look(known)
    assert found[0, 2, 3] == pytest.approx(3 * 0.926625)
    assert np.isinf(found[1]).all()


@pytest.mark.parametrize("wrong", [{"apart": 0}, {"shift_days": 0}])
def test_rules_that_hide_nothing_are_refused(wrong):
    with pytest.raises(UserError, match="at least"):
        CloudHiding(**wrong)


def test_sums_of_gaps_add_up_over_blocks_and_are_kept_as_tables():
    rng = np.random.default_rng(1)
    truth = rng.normal(290, 5, (20, 6, 6))
    estimates = {"filled": truth + rng.normal(0, 2, truth.shape), "climatology alone": truth + 4}
    estimates["filled"][3] = np.nan
    known = known_pixels(seed=2, shape=truth.shape)
    classes = gap_classes(known, np.ones(truth.shape, np.uint8))
    whole, parts = GapSums(), []
    whole.add(estimates, truth, ~known, classes)
    for half in (slice(0, 10), slice(10, 20)):
        part = GapSums()
        cut = {g: {n: one[half] for n, one in own.items()} for g, own in classes.items()}
        part.add({n: v[half] for n, v in estimates.items()}, truth[half], ~known[half], cut)
        parts.append(GapSums.from_frame(part.to_frame()))
    keys = ["grouping", "class", "filler"]
    found, expected = (
        sums.table().sort_values(keys).reset_index(drop=True)
        for sums in (parts[0] + parts[1], whole)
    )
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    climate = expected[
        (expected["filler"] == "climatology alone") & (expected["grouping"] == "all")
    ]
    # All are judged on the values that each of them has.
    assert int(climate["n"].iloc[0]) == int((~known).sum() - (~known[3]).sum())
    assert float(climate["bias"].iloc[0]) == pytest.approx(4.0)


@pytest.fixture(scope="module")
def overpasses():
    return simulated(parse_window("30x30+600+600", "h26v05"), 2019, seed=3)


def rmse(table, filler, grouping="all"):
    rows = table[(table["grouping"] == grouping) & (table["filler"] == filler)]
    return rows.set_index("class")["RMSE"]


@pytest.mark.parametrize("name", ["lst_day", "lst_night"])
def test_filling_beats_climatology_and_time_on_the_simulated_earth(overpasses, name):
    overpass = overpasses[name]
    hidden = score_hidden_pixels(overpass.data)
    cloudy = score_cloudy_pixels(overpass.data, overpass.truth, overpass.is_cloudy)
    for table, share in ((hidden, 0.95), (cloudy, 0.7)):
        whole = {
            filler: float(rmse(table, filler)[""])
            for filler in ("filled", "clear sky alone", "climatology alone", "linear in time")
        }
        assert whole["filled"] < share * whole["climatology alone"]
        assert whole["filled"] < 0.75 * whole["linear in time"]
        assert whole["filled"] < whole["clear sky alone"]
    rests = rmse(cloudy, "filled", "rests on")
    assert rests["clear sky anomaly"] < rests["cloud departure"]
    assert set(cloudy["grouping"]) == {
        "all",
        "days since a look",
        "km to a clear pixel",
        "rests on",
    }


def test_a_series_too_short_to_hide_anything_is_refused(overpasses):
    data = overpasses["lst_day"].data
    with pytest.raises(UserError, match="no clear pixel could be hidden"):
        score_hidden_pixels(data, CloudHiding(shift_days=400))
