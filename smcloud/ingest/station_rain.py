"""Daily rain at stations, from plain CSV: a witness that no downscaled product learns from.

Files ``*precipitation.csv`` of the station archive become one table, ``precipitation.parquet``
beside that of the sensors. A day is the sum of its rows, if most of the rows that a day usually has
are there.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from smcloud.core.errors import GranuleError, NotFoundError
from smcloud.core.objects import open_objects
from smcloud.ingest.receipts import BadGranule
from smcloud.sources.ismn import StationSeries
from smcloud.sources.station_csv import PRECIPITATION, csv_variable, read_station_csv

TABLE = "precipitation.parquet"
COLUMNS = ("network", "station", "latitude", "longitude", "day", "rain")
LEAST_SHARE = 0.8
"""Of the rows that a day of the station usually has: a sum over fewer is unknown."""
MOST_MM = 2000.0
"""More has never fallen in a day (1825 mm, La Reunion 1966): such values are no rain."""


@dataclass(frozen=True)
class RainSummary:
    """What was read: stations and days with rain known (0 too), and files left out."""

    stations: int
    days: int
    broken: tuple[BadGranule, ...]


def ingest_rain(from_url: str, to_url: str) -> RainSummary | None:
    """Store the daily rain of an archive below `to_url`; None where it has none.

    Files that are malformed are named in the result, and left out. Files inside a zip are not
    looked for.
    """
    if from_url.lower().endswith(".zip"):
        return None
    archive = open_objects(from_url)
    names = [info.key for info in archive.list() if csv_variable(info.key) == PRECIPITATION]
    if not names:
        return None
    tables, broken = [pd.DataFrame(columns=list(COLUMNS))], []
    for name in sorted(names):
        try:
            tables.append(daily_rain(read_station_csv(archive.get(name), name)))
        except GranuleError as err:
            broken.append(BadGranule(name, str(err)))
    table = pd.concat([one for one in tables if len(one)] or tables[:1], ignore_index=True)
    keys = ["network", "station", "day"]
    table = table.drop_duplicates(keys).sort_values(keys, ignore_index=True)
    data = io.BytesIO()
    table.to_parquet(data, index=False)
    open_objects(to_url).put(TABLE, data.getvalue())
    return RainSummary(len(table[keys[:2]].drop_duplicates()), len(table), tuple(broken))


def read_rain(url: str) -> pd.DataFrame | None:
    """Return the table of daily rain (mm) below `url`; None where none was ingested."""
    try:
        return pd.read_parquet(io.BytesIO(open_objects(url).get(TABLE)))
    except NotFoundError:
        return None


def daily_rain(series: Iterable[StationSeries]) -> pd.DataFrame:
    """Return one row a station and UTC day on which the sum is known.

    Columns are network, station, latitude, longitude, day (datetime64[ms]) and rain (mm).
    """
    found = []
    for one in series:
        values = one.values.astype(np.float64)
        values[~((values >= 0) & (values <= MOST_MM))] = np.nan
        day = one.times.astype("datetime64[D]")
        days, which, rows = np.unique(day, return_inverse=True, return_counts=True)
        known = np.bincount(which, np.isfinite(values), len(days))
        total = np.bincount(which, np.nan_to_num(values), len(days))
        enough = (known > 0) & (known >= LEAST_SHARE * np.median(rows))
        table = pd.DataFrame(
            {
                "network": one.network,
                "station": one.station,
                "latitude": one.latitude,
                "longitude": one.longitude,
                "day": days[enough].astype("datetime64[ms]"),
                "rain": total[enough].astype(np.float32),
            }
        )
        found.append(table)
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(COLUMNS))
