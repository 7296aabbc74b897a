"""What is told of a table that is odd, and what is refused: names, dates, repeats, places."""

import numpy as np
import pandas as pd
import pytest

from smcloud.core.errors import UserError
from smcloud.models.samples import TableColumns, training_table
from smcloud.models.table_oddities import oddities

COLUMNS = TableColumns(("rain",), "sm", "station", "day", "lat", "lon")


def table(**changes: object) -> pd.DataFrame:
    days = pd.date_range("2018-01-01", periods=20).astype("datetime64[s]")
    n = 5 * days.size
    frame = pd.DataFrame(
        {
            "station": np.repeat([f"s{number}" for number in range(5)], days.size),
            "day": np.tile(days, 5),
            "lat": np.repeat(np.arange(40.0, 45.0), days.size),
            "lon": np.repeat(np.arange(5.0, 10.0), days.size),
            "rain": np.arange(n, dtype=float) % 7,
            "sm": np.linspace(0.1, 0.4, n),
        }
    )
    return frame.assign(**changes)


def told(frame: pd.DataFrame) -> list[str]:
    return oddities(training_table(frame, COLUMNS))


def test_a_plain_table_is_not_odd() -> None:
    assert told(table()) == []


def test_stations_without_a_usable_day_are_named() -> None:
    frame = table()
    frame.loc[frame["station"].isin(["s1", "s3"]), "sm"] = np.nan
    dropped, lost = told(frame)
    assert dropped == "40 rows have no target, time or station and are left out"
    assert lost == "2 stations without a usable day: s1, s3"


def test_repeated_days_are_counted_and_their_stations_named() -> None:
    frame = pd.concat([table(), table().iloc[:3]])
    (line,) = told(frame)
    assert line.startswith("3 rows repeat a day of their station, in 1 station: s0")


def test_a_name_at_two_places_is_named() -> None:
    frame = table()
    frame.loc[5:9, "lat"] += 2.0
    (line,) = told(frame)
    assert line.startswith("1 station at places up to 2 degrees apart: s0")


@pytest.mark.parametrize("day", ["1018-01-05", "2918-01-05"])
def test_a_day_that_cannot_be_is_refused(day: str) -> None:
    frame = table()
    days = frame["day"].dt.strftime("%Y-%m-%d")
    days[7] = day
    wrong = frame.assign(day=days.to_numpy().astype("datetime64[s]"))
    with pytest.raises(UserError, match=f"'day' has {day} in data row 8"):
        training_table(wrong, COLUMNS)


def test_numbers_and_words_of_one_name_are_one_station() -> None:
    frame = table(station=[1, "1", 2, None, 3] * 20)
    found = training_table(frame, COLUMNS)
    assert list(found.names) == ["1", "2", "3"]
    assert found.dropped == 20


def test_dates_with_the_year_last_are_refused() -> None:
    frame = table()
    wrong = frame.assign(day=frame["day"].dt.strftime("%d/%m/%Y"))
    with pytest.raises(
        UserError, match="'01/01/2018', which may be read with the day or the month"
    ):
        training_table(wrong, COLUMNS)


def test_numbers_of_stations_have_no_point_whether_one_is_missing_or_not() -> None:
    numbers = np.repeat(np.arange(5), 20)
    whole = training_table(table(station=numbers), COLUMNS)
    holes = table(station=np.where(np.arange(100) == 3, np.nan, numbers))
    assert list(whole.names) == list(training_table(holes, COLUMNS).names) == list("01234")
    padded = table(station=[f"s{number} " for number in numbers])
    assert list(training_table(padded, COLUMNS).names) == [f"s{n}" for n in range(5)]


def test_a_feature_made_from_the_target_is_named() -> None:
    frame = table()
    (line,) = told(frame.assign(rain=frame["sm"] * 100 + 3))
    assert line.startswith("nearly the target itself: rain (R 1.000)")
    (line,) = told(frame.assign(rain=-frame["sm"]))
    assert "rain (R -1.000)" in line


def test_marks_for_unknown_values_are_named() -> None:
    frame = table()
    frame.loc[[3, 50], "rain"] = -9999
    (line,) = told(frame)
    assert line.startswith("numbers that look like marks for unknown: rain -9999")
    frame.loc[7, "sm"] = -999.0
    assert "sm -999, rain -9999" in told(frame)[0]


@pytest.mark.parametrize("value", [np.nan, 7.0])
def test_a_feature_that_says_nothing_is_named(value: float) -> None:
    (line,) = told(table(rain=value))
    assert line.startswith("1 feature without two different values: rain")


def test_a_target_that_its_units_cannot_hold_is_told() -> None:
    frame = table()
    moist = training_table(frame.assign(sm=frame["sm"] * 100), COLUMNS)
    (line,) = oddities(moist, "m3 m-3")
    assert "lies between 10 and 40, and m3 m-3 between 0 and 1: divide per cent by 100" in line
    assert oddities(moist, "%") == []
    assert oddities(training_table(frame, COLUMNS), "m3 m-3") == []


def test_several_columns_of_one_name_are_refused() -> None:
    frame = pd.concat([table(), table()[["rain"]]], axis=1)
    with pytest.raises(UserError, match="several columns 'rain'"):
        training_table(frame, COLUMNS)
