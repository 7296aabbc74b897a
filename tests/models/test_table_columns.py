"""Columns of a user's table: what is read, and refusals that name column, value and row."""

import numpy as np
import pandas as pd
import pytest

from smcloud.core.errors import UserError
from smcloud.models.table_columns import days_of, numbers_of, require_places

DAYS = np.array(["2019-01-01", "2019-01-02", "NaT"], "datetime64[D]")


@pytest.mark.parametrize(
    "values",
    [
        ["2019-01-01", "2019-01-02", None],
        ["2019-01-01T23:59Z", "2019-01-02T00:00Z", None],
        ["2019-01-01 12:30", "2019-01-02", ""],
        ["2019-01-01", "2019-01-02T01:00:00+02:00", None],
        ["1 Jan 2019", "2 Jan 2019", None],
    ],
)
def test_days_are_read_with_and_without_a_time_of_day(values: list[str | None]) -> None:
    expected = DAYS.copy()
    if "+02:00" in str(values[1]):
        expected[1] = np.datetime64("2019-01-01")  # The evening before, in UTC.
    np.testing.assert_array_equal(days_of(pd.Series(values), "day"), expected)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["2019-01-01", "soon", "later"], "it holds 'soon' in data row 2 .2 of 3 values"),
        ([20190101, 20190102], "holds numbers where times are expected, such as 20190101"),
        ([None, "31/07/2019"], "'31/07/2019', which may be read with the day or the month"),
        (["2019-01-01", "1019-01-01"], "'day' has 1019-01-01 in data row 2"),
    ],
)
def test_what_is_no_day_is_named_with_its_row(values: list[object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        days_of(pd.Series(values), "day")


def test_a_column_without_any_day_is_unknown_everywhere() -> None:
    assert np.isnat(days_of(pd.Series([None, None], dtype=object), "day")).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["0,25", "0,3", None], "holds '0,25' in data row 1.* .2 of 3 .*decimals with a point"),
        ([1.0, np.inf], "1 infinite values"),
        ([pd.Timestamp("2019-01-01")], "holds datetime64.* where numbers are expected"),
    ],
)
def test_what_is_no_number_is_named_with_its_row(values: list[object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        numbers_of(pd.Series(values), "sm")


@pytest.mark.parametrize(
    ("latitude", "message"),
    [
        ([45.0, np.nan, 46.0], "'lat' has nothing in data row 2 .1 of 3 rows"),
        ([45.0, 46.0, 145.0], "'lat' has 145 in data row 3 .*latitude of -90 to 90 degrees"),
    ],
)
def test_a_place_that_cannot_be_is_named_with_its_row(latitude: list[float], message: str) -> None:
    places = {
        "latitude": ("lat", np.array(latitude)),
        "longitude": ("lon", np.array([350, -10, 7])),
    }
    with pytest.raises(UserError, match=message):
        require_places(places, np.arange(3))
    require_places(places, np.array([0]))
