"""Why a value is not there: what a sensor says, what another one saw, what nobody saw."""

import numpy as np
import pytest

from smcloud.core.errors import UserError
from smcloud.features.coarse_cubes import GAPPY_MOISTURE
from smcloud.models.gap_filling import fillable
from smcloud.models.gap_reasons import (
    REASON_NAMES,
    GapReason,
    ReasonRule,
    gap_reasons,
    merged_reasons,
    reasons_of,
    spell_days,
)
from smcloud.sources.amsr import RetrievalState

R, F, D, I, NO = (  # noqa: E741
    float(RetrievalState.RETRIEVED),
    float(RetrievalState.FROZEN),
    float(RetrievalState.DENSE),
    float(RetrievalState.INTERFERENCE),
    np.nan,
)
WAYS = [
    ([R, NO, R, NO, NO, R], "observed swath observed swath swath observed"),
    ([R, D, R, I, NO, R], "observed dense observed failed swath observed"),
    ([F, NO, NO, R, R, R], "frozen frozen frozen observed observed observed"),
    ([R, NO, NO, F, R, R], "observed frozen frozen frozen observed observed"),
    ([D, NO, D, NO, NO, D], "dense swath dense swath swath dense"),
]


def column(states):
    return np.array(states, float)[:, None]


def words(reasons):
    return " ".join(GapReason(code).name.lower() for code in np.ravel(reasons))


@pytest.mark.parametrize(("states", "expected"), WAYS)
def test_a_sensor_says_why_it_has_no_value(states, expected):
    assert words(reasons_of(column(states))) == expected


def test_a_long_spell_is_an_outage_even_beside_frozen_ground():
    states = [F, *[NO] * 6, R]
    assert words(reasons_of(column(states))).split()[1:7] == ["outage"] * 6
    rule = ReasonRule(longest_days=6)
    found = words(reasons_of(column(states), rule)).split()[1:7]
    assert found == ["frozen"] * 3 + ["swath"] * 3  # three days of reach


def test_a_cell_that_is_never_seen_is_unknown_unless_too_few_days_tell():
    assert words(reasons_of(column([NO] * 6))) == " ".join(["unknown"] * 6)
    assert words(reasons_of(column([NO] * 5))) == " ".join(["swath"] * 5)


def test_cells_do_not_change_each_other():
    rng = np.random.default_rng(1)
    states = rng.choice([R, F, D, I, NO], (40, 30), p=[0.3, 0.1, 0.1, 0.1, 0.4])
    apart = np.concatenate([reasons_of(states[:, [cell]]) for cell in range(30)], axis=1)
    np.testing.assert_array_equal(reasons_of(states), apart)


@pytest.mark.parametrize("state", list(RetrievalState))
def test_every_state_has_a_reason(state):
    reason = reasons_of(column([R, float(state), R]))[1, 0]
    if state != RetrievalState.NOT_SEEN:  # NaN in what cubes unpack
        assert reason != GapReason.UNKNOWN


def test_another_sensor_tells_of_the_ground_where_the_days_own_did_not_look():
    own = np.array([[GapReason.SWATH, GapReason.OUTAGE, GapReason.FAILED, GapReason.SWATH]], "u1")
    dense = np.full((1, 4), GapReason.DENSE, np.uint8)
    frozen = np.array([[GapReason.FROZEN] * 3 + [GapReason.FAILED]], np.uint8)
    for others in ([dense, frozen], [frozen, dense]):
        assert words(merged_reasons(own, others)) == "frozen frozen failed dense"
    assert words(merged_reasons(own, [frozen])) == "frozen frozen failed swath"
    assert words(own) == "swath outage failed swath"


def test_a_value_goes_before_every_reason_and_sea_has_none():
    own = np.array([[GapReason.FROZEN, GapReason.OBSERVED, GapReason.SWATH, GapReason.SWATH]], "u1")
    values = np.array([[0.2, np.nan, np.nan, 0.3]])
    is_land = np.array([True, True, False, False])
    assert words(gap_reasons(values, own, [], is_land)) == "observed failed not_land observed"


def test_spells_are_counted():
    unknown = np.array([1, 0, 1, 1, 0, 1, 1, 1], bool)[:, None]
    assert spell_days(unknown).ravel().tolist() == [1, 0, 2, 2, 0, 3, 3, 3]


def test_the_cube_stores_these_codes_under_these_names():
    attrs = GAPPY_MOISTURE.schema.variable("gap_reason").attrs
    assert attrs["flag_values"] == [int(reason) for reason in GapReason]
    assert attrs["flag_meanings"].split() == [reason.name.lower() for reason in GapReason]
    assert set(REASON_NAMES) == set(GapReason) - {GapReason.OBSERVED, GapReason.NOT_LAND}


def test_frozen_gaps_are_left_by_default():
    codes = np.array([list(GapReason)], np.uint8)
    left = {GapReason(code) for code in codes[~fillable(codes)]}
    assert left == {GapReason.OBSERVED, GapReason.NOT_LAND, GapReason.FROZEN}
    assert fillable(codes, masked=()).sum() == len(GapReason) - 2


def test_a_rule_without_days_is_refused():
    with pytest.raises(UserError, match="at least 1 day"):
        ReasonRule(longest_days=0)
