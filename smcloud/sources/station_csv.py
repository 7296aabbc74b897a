"""Station measurements as plain CSV, for networks that no archive holds.

One row a measurement: ``network,station,lat,lon,depth,time,value``. Soil moisture is in m3 m-3 and
precipitation in mm of the hour (or day, whatever the step) that begins at its time. Depth is in
metres, one number or two with a hyphen between (``0.00-0.05``); empty above the ground. Time is UTC
by ISO 8601, ``2018-07-01T06:00`` or ``2018-07-01 06:00``, and goes forward from row to row of a
probe. An empty value, or -9999, means missing.
"""

import io
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smcloud.core.errors import GranuleError
from smcloud.sources.ismn import MISSING_BELOW, SOIL_MOISTURE, YEARS, StationSeries

COLUMNS = ("network", "station", "lat", "lon", "depth", "time", "value")
PRECIPITATION = "p"
UNFLAGGED = "U"
"""Flag of every value: nobody has judged them, which is what ISMN's U says."""
PROBE = "csv"
_WORDS = {"soil_moisture": SOIL_MOISTURE, "precipitation": PRECIPITATION}
_BOUNDS = {"lat": (-90.0, 90.0), "lon": (-180.0, 360.0)}
MOST_MOISTURE = 1.0
"""m3 m-3; where most values are above, they are no such fraction but per cent."""
LEAST_RAIN_MM = 0.1
"""What a rain gauge can tell; where all rain is below, it is not in mm but in metres."""
RAINY_ROWS = 10
"""Fewer tell nothing of the unit: a desert's month may have but a trace."""


def csv_variable(name: str) -> str:
    """Return what ``*soil_moisture.csv`` or ``*precipitation.csv`` holds; empty for others."""
    stem = PurePosixPath(name).name.lower()
    for word, variable in _WORDS.items():
        if stem.endswith(f"{word}.csv"):
            return variable
    return ""


def read_station_csv(content: bytes, name: str) -> tuple[StationSeries, ...]:
    """Return the series of a file, one for each network, station and depth, in that order.

    Raises
    ------
    GranuleError
        If columns are absent, a row holds something else than they say, a station has two places,
        a probe's time stands still or goes back (the first such line is named), or the values are
        in other units.
    """
    rows = _rows(content, name)
    places = np.stack([_numbers(rows, column, name) for column in _BOUNDS])
    _refuse_two_places(rows, places, name)
    values = _numbers(rows, "value", name)
    values[values <= MISSING_BELOW] = np.nan
    _refuse_other_units(values, name)
    times = _times(rows, name)
    probe = rows.groupby(["network", "station", "depth"]).ngroup().to_numpy()
    order = np.argsort(probe, kind="stable")
    _refuse_disorder(rows, times, probe, order, name)
    ends = np.flatnonzero(np.diff(probe[order])) + 1
    return tuple(_series(rows, places, times, values, own, name) for own in np.split(order, ends))


def _series(
    rows: pd.DataFrame,
    places: NDArray[np.float64],
    times: NDArray[np.datetime64],
    values: NDArray[np.float64],
    own: NDArray[np.intp],
    name: str,
) -> StationSeries:
    """Return the series of one probe, whose rows are `own`."""
    network, station, depth = (str(rows[c].iloc[own[0]]) for c in COLUMNS[:2] + COLUMNS[4:5])
    lat, lon = places[:, own[0]].tolist()
    top, bottom = _depths(depth, f"{name}, line {_line(rows, own[0])}")
    return StationSeries(
        network=network,
        station=station,
        sensor=PROBE,
        variable=csv_variable(name),
        latitude=lat,
        longitude=lon - 360.0 if lon > 180.0 else lon,
        elevation=float("nan"),
        depth_from=top,
        depth_to=bottom,
        times=times[own],
        values=values[own].astype(np.float32),
        flag_names=(UNFLAGGED,),
        flag_codes=np.zeros(len(own), np.int16),
        file=name,
    )


def _refuse_two_places(rows: pd.DataFrame, places: NDArray[np.float64], name: str) -> None:
    """Raise `GranuleError` where a station is somewhere else than in its first row."""
    _, first, site = np.unique(
        (rows["network"] + "/" + rows["station"]).to_numpy(str),
        return_index=True,
        return_inverse=True,
    )
    moved = np.flatnonzero((places != places[:, first[site]]).any(axis=0))
    if moved.size:
        row, start = int(moved[0]), int(first[site[moved[0]]])
        before, after = (", ".join(f"{x:g}" for x in places[:, k]) for k in (start, row))
        raise GranuleError(
            f"{name}, line {_line(rows, row)}: expected {_site(rows, row)} at {before} (latitude, "
            f"longitude) as in line {_line(rows, start)}, found {after}: a station has one place, "
            "and a name of its own"
        )


def _refuse_other_units(values: NDArray[np.float64], name: str) -> None:
    """Raise `GranuleError` where values can hardly be m3 m-3, or mm."""
    known = values[np.isfinite(values)]
    if csv_variable(name) == SOIL_MOISTURE:
        if np.count_nonzero(known > MOST_MOISTURE) > known.size / 2:
            raise GranuleError(
                f"{name}: expected soil moisture in m3 m-3 (0 to 1), found a median of "
                f"{np.median(known):g}: divide per cent by 100"
            )
    elif np.count_nonzero(known > 0) >= RAINY_ROWS and known.max() < LEAST_RAIN_MM:
        raise GranuleError(
            f"{name}: expected precipitation in mm, found at most {known.max():g}: multiply "
            "metres by 1000"
        )


def _refuse_disorder(
    rows: pd.DataFrame,
    times: NDArray[np.datetime64],
    probe: NDArray[np.integer],
    order: NDArray[np.intp],
    name: str,
) -> None:
    """Raise `GranuleError` where the time of a probe stands still or goes back between its rows."""
    step = np.diff(times[order])
    is_wrong = (step <= np.timedelta64(0, "s")) & (np.diff(probe[order]) == 0)
    if not is_wrong.any():
        return
    row = int(order[1:][is_wrong].min())
    before = int(order[np.flatnonzero(order == row)[0] - 1])
    found = np.datetime_as_string(times[row], unit="m")
    start = f"{name}, line {_line(rows, row)}: expected each time of {_site(rows, row)} at depth "
    start += f"{rows['depth'].iloc[row]!r} once and in order, found {found} "
    if times[row] == times[before]:
        raise GranuleError(f"{start}again, as in line {_line(rows, before)}")
    raise GranuleError(
        f"{start}after {np.datetime_as_string(times[before], unit='m')} of line "
        f"{_line(rows, before)}: sort the rows; times are UTC, which no summer time sets back"
    )


def _line(rows: pd.DataFrame, row: int) -> int:
    """Return the number of a row's line in the file."""
    return int(rows["line"].iloc[row])


def _site(rows: pd.DataFrame, row: int) -> str:
    return f"{rows['network'].iloc[row]}/{rows['station'].iloc[row]}"


def _rows(content: bytes, name: str) -> pd.DataFrame:
    """Return the rows as text, and the number of each one's line."""
    try:
        rows = pd.read_csv(
            io.BytesIO(content),
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,  # so that lines can be counted
            encoding="utf-8-sig",  # spreadsheets put a mark before the first column
        )
    except (ValueError, UnicodeDecodeError) as err:  # pandas' own errors are ValueErrors
        raise GranuleError(f"{name}: expected CSV, found {' '.join(str(err).split())}") from err
    rows.columns = [str(column).strip().lower() for column in rows.columns]
    if tuple(rows.columns) != COLUMNS:
        shown = ",".join(rows.columns)[:80]
        raise GranuleError(f"{name}: expected the columns {','.join(COLUMNS)}, found {shown}")
    if not isinstance(rows.index, pd.RangeIndex):  # pandas takes surplus values for row names
        raise GranuleError(f"{name}: expected {len(COLUMNS)} values in each row, found more")
    rows["line"] = np.arange(2, len(rows) + 2)
    rows = rows[(rows[list(COLUMNS)] != "").any(axis=1)].reset_index(drop=True)
    if rows.empty:
        raise GranuleError(f"{name}: expected rows below the columns, found none")
    for column in ("network", "station", "depth"):
        rows[column] = rows[column].str.strip()
    for column in ("network", "station"):
        _refuse(rows, column, (rows[column] == "").to_numpy(), "a name", name)
    return rows


def _numbers(rows: pd.DataFrame, column: str, name: str) -> NDArray[np.float64]:
    """Return a column as numbers; empty values are NaN."""
    text = rows[column].str.strip()
    numbers = pd.to_numeric(text, errors="coerce").to_numpy(np.float64, copy=True)
    is_wrong = np.isnan(numbers) & (text != "").to_numpy() & (text.str.lower() != "nan").to_numpy()
    expected = "a number"
    if column in _BOUNDS:
        lowest, highest = _BOUNDS[column]
        is_wrong |= ~((numbers >= lowest) & (numbers <= highest))
        expected = f"degrees from {lowest:g} to {highest:g}"
    _refuse(rows, column, is_wrong, expected, name)
    return numbers


def _times(rows: pd.DataFrame, name: str) -> NDArray[np.datetime64]:
    """Return the times, UTC."""
    found = pd.to_datetime(rows["time"].str.strip(), format="ISO8601", utc=True, errors="coerce")
    year = found.dt.year.to_numpy(np.float64)
    is_wrong = ~((year >= YEARS[0]) & (year < YEARS[1]))
    expected = f"a UTC time of {YEARS[0]} to {YEARS[1] - 1} by ISO 8601"
    _refuse(rows, "time", is_wrong, expected, name)
    return found.dt.tz_localize(None).to_numpy().astype("datetime64[s]")


def _depths(text: str, where: str) -> tuple[float, float]:
    """Return the depths that a text names, metres; 0 and 0 where it is empty."""
    try:
        depths = [float(part) for part in text.split("-")] if text.strip() else [0.0]
    except ValueError:
        depths = []
    if len(depths) not in (1, 2) or not all(0 <= depth < 100 for depth in depths):
        raise GranuleError(f"{where}: expected depth as 0.05 or 0.00-0.05 (m), found {text!r}")
    return depths[0], depths[-1]


def _refuse(
    rows: pd.DataFrame, column: str, is_wrong: NDArray[np.bool_], expected: str, name: str
) -> None:
    """Raise `GranuleError` naming the first wrong line, if there is one."""
    if is_wrong.any():
        row = int(np.flatnonzero(is_wrong)[0])
        raise GranuleError(
            f"{name}, line {_line(rows, row)}: expected {expected} in {column}, found "
            f"{rows[column].iloc[row].strip()!r}"
        )
