"""What the columns of a user's table hold: days, numbers and places, or a line that says why not.

Every refusal names the column, a value and its row, so that it is found where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smcloud.core.errors import UserError

Numbers = NDArray[Any]

EARLIEST, LATEST = np.datetime64("1950-01-01"), np.datetime64("2101-01-01")
"""Days of a table lie between: before, nobody measured soil moisture each day."""
DAY_OR_MONTH = re.compile(r"\s*\d{1,2}[/. -]\d{1,2}[/. -]\d{2,4}\b")
"""How a date begins that puts the year last."""
FARTHEST = {"latitude": 90.0, "longitude": 360.0}
"""Degrees from zero that a coordinate may be: longitudes may run to 180 or to 360."""


def days_of(column: pd.Series[Any], name: str) -> NDArray[np.datetime64]:
    """Return the UTC day of each row, NaT where there is none.

    Raises
    ------
    UserError
        Naming a value: one is no day, may be read in two ways, or no station can have measured it.
    """
    _require_dates(column, name)
    try:
        # Days as text and as instants with a zone both become UTC days.
        parsed = pd.to_datetime(column, utc=True)
    except (ValueError, TypeError, OverflowError):
        parsed = _of_mixed(column, name)
    days = np.asarray(parsed.dt.tz_localize(None).to_numpy("datetime64[D]"))
    _require_plausible(days, name)
    return days


def _of_mixed(column: pd.Series[Any], name: str) -> pd.Series[Any]:
    """Return the instants of a column in which some have a time of day and others have none."""
    parsed = pd.to_datetime(column, utc=True, format="ISO8601", errors="coerce")
    is_said = column.notna() & (column.astype(str).str.strip() != "")
    strays = np.flatnonzero(parsed.isna() & is_said)
    if strays.size:
        raise UserError(
            f"the column {name!r} cannot be read as time: it holds {column.iloc[strays[0]]!r} in "
            f"data row {strays[0] + 1} ({strays.size} of {column.size} values are no days): write "
            "days as 2019-07-31 and leave unknown ones empty"
        )
    return parsed


def _require_dates(column: pd.Series[Any], name: str) -> None:
    """Raise `UserError` for numbers, and for dates of which nobody can say which part is the day.

    A month would be read as a day, or a day as a month, without a word.
    """
    is_known = column.notna().to_numpy()
    if pd.api.types.is_datetime64_any_dtype(column.dtype) or not is_known.any():
        return
    shown = str(column.iloc[int(is_known.argmax())])
    if pd.api.types.is_numeric_dtype(column.dtype):
        raise UserError(
            f"the column {name!r} holds numbers where times are expected, such as {shown}: write "
            "days as 2019-07-31"
        )
    if DAY_OR_MONTH.match(shown):
        raise UserError(
            f"the column {name!r} holds {shown!r}, which may be read with the day or the month "
            "first: write dates as 2019-07-31"
        )


def _require_plausible(days: NDArray[np.datetime64], name: str) -> None:
    """Raise `UserError` for a day that no station can have measured."""
    outside = np.flatnonzero((days < EARLIEST) | (days >= LATEST))
    if outside.size:
        raise UserError(
            f"the column {name!r} has {days[outside[0]]} in data row {outside[0] + 1} "
            f"({outside.size} of {days.size} days lie outside {EARLIEST} to {LATEST}): mend the "
            "dates or leave them empty"
        )


def numbers_of(column: pd.Series[Any], name: str) -> Numbers:
    """Return a column's own numbers, NaN unknown; a copy only where pandas marks them apart.

    Raises
    ------
    UserError
        If it holds text, or infinite values.
    """
    if not pd.api.types.is_numeric_dtype(column.dtype):
        raise UserError(_why_no_numbers(column, name))
    numbers = (
        column.to_numpy()
        if isinstance(column.dtype, np.dtype)
        else column.to_numpy(np.float64, na_value=np.nan)
    )
    infinite = int(np.isinf(numbers).sum())
    if infinite:
        raise UserError(
            f"the column {name!r} has {infinite} infinite values: leave unknown ones empty"
        )
    return numbers


def _why_no_numbers(column: pd.Series[Any], name: str) -> str:
    strays = np.flatnonzero(pd.to_numeric(column, errors="coerce").isna() & column.notna())
    if not strays.size:
        return f"the column {name!r} holds {column.dtype} where numbers are expected"
    return (
        f"the column {name!r} holds {column.iloc[strays[0]]!r} in data row {strays[0] + 1}, where "
        f"numbers are expected ({strays.size} of {column.size} values are none): leave unknown "
        "ones empty, encode words as numbers, and write decimals with a point"
    )


def require_places(places: Mapping[str, tuple[str, Numbers]], rows: NDArray[np.int64]) -> None:
    """Raise `UserError` naming the row if a coordinate is unknown or off the globe.

    Parameters
    ----------
    places
        "latitude" and "longitude": the column's name and its values, degrees.
    rows
        Rows that are used; the others need no place.
    """
    for coordinate, (name, values) in places.items():
        most = FARTHEST[coordinate]
        lost = rows[~(np.abs(values[rows]) <= most)]
        if lost.size:
            first = int(lost.min())
            shown = "nothing" if np.isnan(values[first]) else f"{values[first]:g}"
            raise UserError(
                f"the column {name!r} has {shown} in data row {first + 1} ({lost.size} of "
                f"{rows.size} rows): expected a {coordinate} of {-most:g} to {most:g} degrees; "
                "without --lat and --lon each station is a block of its own"
            )
