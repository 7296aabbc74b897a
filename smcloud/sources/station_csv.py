"""Station measurements as plain CSV, for networks that no archive holds.

One row a measurement: ``network,station,lat,lon,depth,time,value``. Soil moisture is in m3 m-3 and
precipitation in mm since the row before (or of the day, where rows are days). Depth is in metres,
one number or two with a hyphen between (``0.00-0.05``); empty above the ground. Time is UTC by ISO
8601, ``2018-07-01T06:00`` or ``2018-07-01 06:00``. An empty value, or -9999, means missing.
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
_BOUNDS = {"lat": 90.0, "lon": 360.0}


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
        If columns are absent, or a row holds something else than they say: the first such line is
        named.
    """
    rows = _rows(content, name)
    places = np.stack([_numbers(rows, column, name) for column in _BOUNDS])
    values = _numbers(rows, "value", name)
    values[values <= MISSING_BELOW] = np.nan
    times = _times(rows, name)
    probe = rows.groupby(["network", "station", "depth"]).ngroup().to_numpy()
    order = np.argsort(probe, kind="stable")
    ends = np.flatnonzero(np.diff(probe[order])) + 1
    found = []
    for own in np.split(order, ends):
        network, station, depth = (str(rows[c].iloc[own[0]]) for c in COLUMNS[:2] + COLUMNS[4:5])
        lat, lon = _place(places[:, own], f"{name}: expected one place of {network}/{station}")
        top, bottom = _depths(depth, name, int(own[0]))
        found.append(
            StationSeries(
                network=network,
                station=station,
                sensor=PROBE,
                variable=csv_variable(name),
                latitude=lat,
                longitude=lon,
                elevation=float("nan"),
                depth_from=top,
                depth_to=bottom,
                times=times[own],
                values=values[own].astype(np.float32),
                flag_names=(UNFLAGGED,),
                flag_codes=np.zeros(len(own), np.int16),
                file=name,
            )
        )
    return tuple(found)


def _place(places: NDArray[np.float64], expected: str) -> tuple[float, float]:
    """Return latitude and longitude (-180 to 180) of one probe's rows."""
    one = np.unique(places, axis=1)
    if one.shape[1] > 1:
        raise GranuleError(f"{expected}, found {one.shape[1]}")
    lat, lon = one[:, 0].tolist()
    return lat, lon - 360.0 if lon > 180.0 else lon


def _rows(content: bytes, name: str) -> pd.DataFrame:
    """Return the rows as text."""
    try:
        rows = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False, encoding="utf-8")
    except (ValueError, UnicodeDecodeError) as err:  # pandas' own errors are ValueErrors
        raise GranuleError(f"{name}: expected CSV, found {' '.join(str(err).split())}") from err
    if not isinstance(rows.index, pd.RangeIndex):  # pandas takes surplus values for row names
        raise GranuleError(f"{name}: expected {len(COLUMNS)} values in each row, found more")
    rows.columns = [str(column).strip().lower() for column in rows.columns]
    if tuple(rows.columns) != COLUMNS:
        shown = ",".join(rows.columns)[:80]
        raise GranuleError(f"{name}: expected the columns {','.join(COLUMNS)}, found {shown}")
    if rows.empty:
        raise GranuleError(f"{name}: expected rows below the columns, found none")
    for column in ("network", "station"):
        rows[column] = rows[column].str.strip()
        _refuse(name, column, rows[column], (rows[column] == "").to_numpy(), "a name")
    return rows


def _numbers(rows: pd.DataFrame, column: str, name: str) -> NDArray[np.float64]:
    """Return a column as numbers; empty values are NaN."""
    text = rows[column].str.strip()
    numbers = pd.to_numeric(text, errors="coerce").to_numpy(np.float64, copy=True)
    is_wrong = np.isnan(numbers) & (text != "").to_numpy() & (text.str.lower() != "nan").to_numpy()
    if column in _BOUNDS:
        is_wrong |= ~(np.abs(numbers) <= _BOUNDS[column])
    _refuse(name, column, text, is_wrong, "a number" if column == "value" else "degrees")
    return numbers


def _times(rows: pd.DataFrame, name: str) -> NDArray[np.datetime64]:
    """Return the times, UTC."""
    found = pd.to_datetime(rows["time"].str.strip(), format="ISO8601", utc=True, errors="coerce")
    year = found.dt.year.to_numpy(np.float64)
    is_wrong = ~((year >= YEARS[0]) & (year < YEARS[1]))
    _refuse(name, "time", rows["time"], is_wrong, f"a UTC time of {YEARS[0]} to {YEARS[1] - 1}")
    return found.dt.tz_localize(None).to_numpy().astype("datetime64[s]")


def _depths(text: str, name: str, row: int) -> tuple[float, float]:
    """Return the depths that a text names, metres; 0 and 0 where it is empty."""
    try:
        depths = [float(part) for part in text.split("-")] if text.strip() else [0.0]
    except ValueError:
        depths = []
    if len(depths) not in (1, 2) or not all(0 <= depth < 100 for depth in depths):
        raise GranuleError(
            f"{name}, line {row + 2}: expected depth as 0.05 or 0.00-0.05 (m), found {text!r}"
        )
    return depths[0], depths[-1]


def _refuse(
    name: str, column: str, text: "pd.Series[str]", is_wrong: NDArray[np.bool_], expected: str
) -> None:
    """Raise `GranuleError` naming the first wrong line, if there is one."""
    if is_wrong.any():
        row = int(np.flatnonzero(is_wrong)[0])
        raise GranuleError(
            f"{name}, line {row + 2}: expected {expected} in {column}, found {text.iloc[row]!r}"
        )
