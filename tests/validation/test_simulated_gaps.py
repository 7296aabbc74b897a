"""Gaps of other days laid over known values: what is hidden, who is judged on what."""

import numpy as np
import pytest

from smcloud.core.errors import UserError
from smcloud.validation.hidden_swaths import HidingRule
from smcloud.validation.simulated_gaps import (
    ALL,
    BY_CELLS,
    BY_DAYS,
    BY_REASON,
    GapRule,
    hidden_gaps,
    score_gaps,
)

N_DAYS, ROWS, COLS = 30, 16, 40
LAND = np.ones((ROWS, COLS), bool)
LAND[:, :4] = False
HIDING = HidingRule(shift_days=2, apart=5, folds=5)
RULE = GapRule(HIDING, area_cells=1)
SWATH, FROZEN, OUTAGE = 1, 3, 5
NAMES = {SWATH: "swath", FROZEN: "frozen or snow"}


@pytest.fixture(scope="module")
def world():
    """Return truth, fields with gaps, and the reasons of those (days, rows, cols)."""
    rng = np.random.default_rng(0)
    day, row, col = np.ogrid[:N_DAYS, :ROWS, :COLS]
    truth = 0.25 + 0.05 * np.sin(day / 4.0 + col / 9.0) + rng.normal(0, 0.01, (N_DAYS, ROWS, COLS))
    reasons = np.zeros(truth.shape, np.uint8)
    reasons[np.broadcast_to((col + row // 3 + 7 * day) % 21 < 6, truth.shape)] = SWATH
    reasons[10:20, :4, 20:] = FROZEN
    reasons[27] = OUTAGE
    reasons[:, ~LAND] = 254
    values = np.where(reasons == 0, truth, np.nan).astype(np.float32)
    return truth, values, reasons


def held(values, land):
    """Return fields with the value of the day before held on land, and 0.25 where it has none."""
    found = values.copy()
    for day in range(1, len(found)):
        gap = np.isnan(found[day]) & land
        found[day][gap] = found[day - 1][gap]
    return np.where(np.isnan(found) & land, np.float32(0.25), found)


def constant(values, land):
    """Return fields with 0.25 in the gaps of all rows but the first."""
    gap = np.isnan(values) & land
    gap[:, 0] = False
    return np.where(gap, np.float32(0.25), values)


FILLERS = {"held": held, "constant": constant}


def test_gaps_keep_their_shape_and_move_to_where_values_are(world):
    _, values, reasons = world
    known = np.isfinite(values)
    hidden = hidden_gaps(known, reasons == SWATH, LAND, RULE, 3)
    assert set(np.flatnonzero(hidden.any(axis=(1, 2)))) <= set(range(3, N_DAYS, 5))
    np.testing.assert_array_equal(hidden[8], known[8] & (reasons[10] == SWATH))
    assert not (hidden & ~known).any()
    rounds = [hidden_gaps(known, reasons == SWATH, LAND, RULE, fold) for fold in range(5)]
    assert (np.sum(rounds, axis=0) <= 1).all()


def test_only_areas_that_are_nearly_complete_are_hidden_in(world):
    _, values, reasons = world
    known = np.isfinite(values)
    rule = GapRule(HIDING, area_cells=5, complete=1.0)
    hidden = hidden_gaps(known, reasons == SWATH, LAND, rule, 3)
    assert 0 < hidden.sum() < hidden_gaps(known, reasons == SWATH, LAND, RULE, 3).sum()
    for day, row, col in np.argwhere(hidden):
        near = slice(max(row - 2, 0), row + 3), slice(max(col - 2, 0), col + 3)
        assert (known[day][near] | ~LAND[near]).all()


def test_all_fillers_are_judged_on_the_values_that_all_have(world):
    _, values, reasons = world
    found = score_gaps(values, LAND, FILLERS, RULE, reasons=reasons, reason_names=NAMES)
    table = found.table()
    counts = table.pivot(index=["grouping", "class"], columns="filler", values="n")
    assert (counts["held"] == counts["constant"]).all()
    overall = found.overall()
    assert overall["share"]["held"] == 1.0
    assert overall["share"]["constant"] < 1.0
    assert overall["n"]["held"] == pytest.approx(found.hidden * overall["share"]["constant"])
    for grouping in (BY_REASON, BY_DAYS, BY_CELLS):
        assert counts.loc[grouping]["held"].sum() == counts.loc[ALL]["held"].sum()
    squares = overall["RMSE"] ** 2 - overall["bias"] ** 2
    np.testing.assert_allclose(overall["ubRMSE"] ** 2, squares, rtol=1e-6)


def test_scores_are_those_of_the_hidden_values(world):
    _, values, reasons = world
    found = score_gaps(values, LAND, FILLERS, RULE, reasons=reasons, reason_names=NAMES)
    errors = []
    gaps = np.isin(reasons, list(NAMES))
    for fold in range(5):
        hidden = hidden_gaps(np.isfinite(values), gaps, LAND, RULE, fold)
        filled = constant(np.where(hidden, np.float32(np.nan), values), LAND)
        errors.append((filled - values)[hidden & np.isfinite(filled)])
    error = np.concatenate(errors).astype(float)
    row = found.overall().loc["constant"]
    assert row["n"] == error.size
    assert row["RMSE"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-6)
    assert row["MAE"] == pytest.approx(np.abs(error).mean(), rel=1e-6)
    assert row["bias"] == pytest.approx(error.mean(), abs=1e-9)


def test_values_take_the_reason_of_the_gap_that_hides_them(world):
    _, values, reasons = world
    found = score_gaps(values, LAND, FILLERS, RULE, reasons=reasons, reason_names=NAMES)
    by_reason = found.table().query("grouping == @BY_REASON and filler == 'held'")
    assert set(by_reason["class"]) == set(NAMES.values())  # an outage hides nothing here
    alone = score_gaps(values, LAND, FILLERS, RULE, reasons=reasons, reason_names={SWATH: "swath"})
    swath = by_reason.set_index("class")["n"]["swath"]
    assert alone.overall()["n"]["held"] == swath


def test_steps_tell_jumps_from_what_is_too_smooth(world):
    truth, values, _ = world
    whole = truth.astype(np.float32)

    def perfect(seen, land):
        return np.where(np.isnan(seen) & land, whole, seen)

    def offset(seen, land):
        return np.where(np.isnan(seen) & land, whole + np.float32(0.1), seen)

    fillers = {"perfect": perfect, "offset": offset, "held": held}
    found = score_gaps(values, LAND, fillers, RULE)
    ratio = found.overall()["step_ratio"]
    assert ratio["perfect"] == pytest.approx(1.0, abs=1e-5)
    assert ratio["offset"] > 3
    table = found.consistency()
    assert len(table) == 6
    steps = table.set_index(["filler", "side"])
    assert steps["ratio"]["held", "from the day before"] == 0.0
    assert steps["n"]["held", "from the day before"] == steps["n"]["offset", "from the day before"]


def test_sizes_are_counted_as_the_fillers_see_them():
    values = np.full((9, 3, 30), 0.2, np.float32) + np.arange(9, dtype=np.float32)[:, None, None]
    values[6, :, 10:15] = np.nan
    values[5, :, 12] = np.nan
    land = np.ones((3, 30), bool)
    rule = GapRule(HidingRule(shift_days=2, apart=9, folds=5), area_cells=1)
    # Day 4 is hidden under the gap of day 6, day 3 under that of day 5.
    found = score_gaps(values, land, {"held": held}, rule)
    table = found.table().query("filler == 'held'").set_index(["grouping", "class"])["n"]
    by_days = table[BY_DAYS].to_dict()
    assert by_days.pop("3 to 4") == 3  # days 4, 5 and 6 of column 12
    assert sum(by_days.values()) == found.hidden - 3
    by_cells = table[BY_CELLS].to_dict()
    assert by_cells["1"] == 3 * (2 + 1)  # both edges of the wide gap; column 12 under day 5's
    assert by_cells["2 to 3"] == 3 * 3


def test_scores_of_parts_add_up(world):
    _, values, _ = world
    west, east = (slice(None), slice(None), slice(0, 20)), (slice(None), slice(None), slice(20, 40))
    parts = [score_gaps(values[cut], LAND[cut[1:]], FILLERS, RULE) for cut in (west, east)]
    both, whole = (parts[0] + parts[1]).overall(), score_gaps(values, LAND, FILLERS, RULE).overall()
    np.testing.assert_allclose(both.to_numpy(float), whole.to_numpy(float), rtol=1e-6, atol=1e-8)
    other = score_gaps(values, LAND, {"held": held}, RULE)
    with pytest.raises(UserError, match="do not add up"):
        parts[0] + other


def test_lines_tell_every_filler_and_class(world):
    _, values, reasons = world
    found = score_gaps(values, LAND, FILLERS, RULE, reasons=reasons, reason_names=NAMES)
    text = "\n".join(found.lines())
    for word in (*FILLERS, *NAMES.values(), "step_ratio", "RMSE by days of the gap"):
        assert word in text
    table = found.table()
    order = table[table["filler"] == "held"].groupby("grouping", sort=False)["class"].agg(list)
    assert list(order.index) == [ALL, BY_REASON, BY_DAYS, BY_CELLS]
    assert order[BY_CELLS] == [one for one in ("1", "2 to 3", "4 to 7") if one in order[BY_CELLS]]


@pytest.mark.parametrize(
    ("filler", "message"),
    [
        (lambda values, land: values[1:], "out of"),
        (lambda values, land: np.nan_to_num(values) + np.float32(0.1), "changed .* known values"),
    ],
)
def test_a_filler_that_breaks_the_protocol_is_refused(world, filler, message):
    with pytest.raises(UserError, match=message):
        score_gaps(world[1], LAND, {"broken": filler}, RULE)


def test_nothing_to_hide_is_told():
    values = np.full((20, 5, 5), 0.2, np.float32)
    with pytest.raises(UserError, match="no value could be hidden"):
        score_gaps(values, np.ones((5, 5), bool), FILLERS, RULE)
    with pytest.raises(UserError, match="a share of 0 to 1"):
        GapRule(complete=1.5)


def test_fillers_that_fill_nothing_in_common_are_told_so(world):
    with pytest.raises(UserError, match=r"filled were: held [1-9].*, nothing 0"):
        score_gaps(world[1], LAND, {"held": held, "nothing": lambda values, land: values}, RULE)
