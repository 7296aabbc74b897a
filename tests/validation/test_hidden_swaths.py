"""Hidden swaths: what is hidden was known, has the shape of a gap, and leaves neighbours alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smcloud.core.errors import UserError
from smcloud.validation.hidden_swaths import (
    HidingRule,
    hidden_swaths,
    linear_in_time,
    monthly_climatology,
    score_hidden,
)

DAYS, CELLS = 60, 30


def stripes(days=DAYS, cells=CELLS, width=8, step=11):
    """Return gaps of a width that wander by some cells a day."""
    start = (np.arange(days) * step % cells)[:, None]
    return (np.arange(cells)[None] - start) % cells < width


def series(seed=0):
    rng = np.random.default_rng(seed)
    values = rng.random((DAYS, CELLS))
    values[stripes()] = np.nan
    values[rng.random(values.shape) < 0.1] = np.nan
    return values


@settings(max_examples=30, deadline=None)
@given(
    shift=st.sampled_from([-9, -5, 4, 5, 7, 12]), apart=st.integers(2, 9), fold=st.integers(0, 8)
)
def test_known_values_are_hidden_where_another_day_has_its_gap(shift, apart, fold):
    known, missed = np.isfinite(series()), stripes()
    rule = HidingRule(shift, apart, 1)
    hidden = hidden_swaths(known, missed, rule, fold % apart)
    assert not (hidden & ~known).any()
    days = np.flatnonzero(hidden.any(axis=1))
    assert (np.diff(days) >= apart).all()
    for day in days:
        shapes = [known[day] & missed[o] for o in (day + shift, day - shift) if 0 <= o < DAYS]
        assert any((hidden[day] == shape).all() for shape in shapes)


def test_as_many_folds_as_days_apart_hide_each_day_once():
    known, missed = np.isfinite(series()), stripes()
    rule = HidingRule(5, 7, 7)
    times = sum(hidden_swaths(known, missed, rule, fold).astype(int) for fold in range(7))
    assert times.max() == 1
    assert (times.any(axis=1)).all()


def test_a_filler_that_knows_the_truth_has_no_error_and_all_are_judged_on_the_same_values():
    values, missed = series(), stripes()

    def half(seen, hidden):
        found = values + 0.1
        found[:, ::2] = np.nan
        return found

    found = score_hidden(values, missed, {"truth": lambda *_: values, "half": half}, HidingRule())
    table = found.table()
    assert table.loc["truth", "RMSE"] == 0
    assert table.loc["half", "bias"] == pytest.approx(0.1)
    assert table.loc["truth", "n"] == table.loc["half", "n"] == found.judged < found.hidden
    assert table.loc["truth", "share"] == 1
    assert 0.3 < table.loc["half", "share"] < 0.7


def test_a_filler_never_sees_what_is_hidden():
    values, missed = series(), stripes()

    def peep(seen, hidden):
        assert hidden.any()
        assert np.isnan(seen[hidden]).all()
        np.testing.assert_array_equal(seen[~hidden], values[~hidden])
        return np.zeros(seen.shape)

    score_hidden(values, missed, {"zero": peep}, HidingRule())


def test_orbits_that_return_or_miss_nothing_leave_nothing_to_judge():
    for missed, shift in ((np.zeros((DAYS, CELLS), bool), 5), (stripes(step=10), 3)):
        values = np.where(missed, np.nan, 0.2)
        with pytest.raises(UserError, match="choose another shift"):
            score_hidden(values, missed, {"same": lambda v, _: v}, HidingRule(shift))


def test_lines_between_known_days():
    values = np.array(
        [[0.1, np.nan], [np.nan, np.nan], [np.nan, 0.4], [0.4, np.nan], [0.1, np.nan]]
    )
    found = linear_in_time(values, 2)
    np.testing.assert_allclose(found[:, 0], [0.1, 0.2, 0.3, 0.4, 0.1])
    np.testing.assert_allclose(found[:, 1], 0.4)
    assert np.isnan(linear_in_time(values, 1)[[0, 4], 1]).all()


def test_the_climatology_is_the_mean_of_the_month():
    days = np.array(["2015-01-01", "2015-02-01", "2016-01-05"], "datetime64[D]")
    values = np.array([[0.1, np.nan], [0.5, 0.2], [0.3, np.nan]])
    found = monthly_climatology(values, days)
    np.testing.assert_allclose(found, [[0.2, np.nan], [0.5, 0.2], [0.2, np.nan]])


def test_rules_that_make_no_sense_are_refused():
    for wrong in ((0, 7, 7), (5, 7, 8), (5, 7, 0)):
        with pytest.raises(UserError, match="hidden swaths need"):
            HidingRule(*wrong)
