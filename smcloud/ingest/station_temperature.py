"""Soil temperature of stations at the hours of overpasses: a check that no product learns from.

Series ``ts`` of an ISMN archive, degrees Celsius. Of a station the shallowest series counts, since
radiometers see the top of the ground. A value counts with the flags that are kept for soil
moisture, ``G`` and ``U``, and those that say no more than that the ground is cold (D01, D02, D03),
which is what is asked about.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from smcloud.core.errors import GranuleError
from smcloud.ingest.receipts import BadGranule
from smcloud.ingest.station_files import series_of
from smcloud.sources.ismn import StationSeries, read_stm

SOIL_TEMPERATURE = "ts"
DEEPEST_M = 0.10
VALID_C = (-70.0, 70.0)
KEPT_FLAGS = frozenset({"G", "U", "D01", "D02", "D03"})
SITE = ["network", "station"]
COLUMNS = (*SITE, "latitude", "longitude", "depth", "time", "temperature")


def read_soil_temperature(
    url: str, *, deepest_m: float = DEEPEST_M
) -> tuple[pd.DataFrame, tuple[BadGranule, ...]]:
    """Return hourly soil temperature of the stations of an archive, and files that are malformed.

    Columns are network, station, latitude, longitude (degrees), depth (m, the middle), time
    (datetime64[s], UTC) and temperature (degrees Celsius); rows of unknown temperature are left
    out.

    Raises
    ------
    NotFoundError
        If the archive has no series of soil temperature.
    """
    found, broken = [], []
    for name, content in series_of(url, SOIL_TEMPERATURE):
        try:
            found.append(read_stm(content, name))
        except GranuleError as err:
            broken.append(BadGranule(name, str(err)))
    return shallowest(found, deepest_m=deepest_m), tuple(broken)


def shallowest(series: Iterable[StationSeries], *, deepest_m: float = DEEPEST_M) -> pd.DataFrame:
    """Return the rows of the shallowest series of each station that ends at most so deep (m).

    Of series of one depth those that are first by sensor count. Columns as `read_soil_temperature`.
    """
    chosen: dict[tuple[str, str], StationSeries] = {}
    for one in sorted(series, key=lambda each: (each.depth_to, each.depth_from, each.sensor)):
        if one.depth_to <= deepest_m:
            chosen.setdefault((one.network, one.station), one)
    tables = [_rows(chosen[site]) for site in sorted(chosen)]
    tables = [table for table in tables if len(table)]
    if not tables:
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.concat(tables, ignore_index=True)


def _rows(one: StationSeries) -> pd.DataFrame:
    low, high = VALID_C
    is_kept = np.array([set(name.split(",")) <= KEPT_FLAGS for name in one.flag_names], np.bool_)
    good = is_kept[one.flag_codes] & (one.values >= low) & (one.values <= high)
    return pd.DataFrame(
        {
            "network": one.network,
            "station": one.station,
            "latitude": one.latitude,
            "longitude": one.longitude,
            "depth": (one.depth_from + one.depth_to) / 2,
            "time": one.times[good],
            "temperature": one.values[good],
        }
    )


def at_overpass(
    table: pd.DataFrame, local_hour: float, *, within_hours: float = 1.0
) -> pd.DataFrame:
    """Return the mean temperature about a local solar hour of each day, one row a station and day.

    Days are UTC days of the overpass itself, (hour - longitude / 15) mod 24, as satellites' files
    have them. Columns are those of the table with day (datetime64[D]) in place of time.
    """
    utc = (local_hour - table["longitude"].to_numpy() / 15.0) % 24.0
    times = table["time"].to_numpy().astype("datetime64[s]")
    # An overpass near midnight has rows on both sides of it.
    passed = times.astype(np.int64) / 3600.0 - utc
    number = np.rint(passed / 24.0)
    near = np.abs(passed - 24.0 * number) <= within_hours
    days = number[near].astype(np.int64).astype("datetime64[D]")
    chosen = table[near].drop(columns="time").assign(day=days.astype("datetime64[s]"))
    keys = [*SITE, "latitude", "longitude", "depth", "day"]
    means: pd.DataFrame = chosen.groupby(keys, sort=True)[["temperature"]].mean().reset_index()
    return means
