"""The rain that stations measured inside the maps of a year, as daily totals."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smcloud.core.config import RunConfig
from smcloud.core.errors import GranuleError
from smcloud.core.listener import Listener
from smcloud.core.objects import open_objects
from smcloud.cube.schema import Days
from smcloud.grids.grid import SIN1KM
from smcloud.production.store_year import StoreYear
from smcloud.sources.ismn import StationSeries
from smcloud.sources.station_csv import PRECIPITATION, csv_variable, read_station_csv
from smcloud.validation.collocation import Floats32

LEAST_SHARE = 0.9
"""Of the measurements that a full day of a station has: a day with fewer is unknown."""


@dataclass(frozen=True, eq=False)
class StationRain:
    """Rain of a year at stations.

    Attributes
    ----------
    rows, cols : int64 (stations,)
        Global pixels.
    rain : float32 (days, stations)
        Daily totals (UTC), mm; NaN is unknown.
    """

    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    rain: Floats32


def station_rain(config: RunConfig, year: StoreYear, listener: Listener) -> StationRain | None:
    """Return the rain of stations inside the produced blocks; None without any.

    It is read from the plain CSV files of the run's station archive (``*precipitation.csv``); one
    that cannot be read is named and passed over.
    """
    days = year.schema.times(year.year)
    series = list(_series(config, listener))
    lonlat = np.array([(one.longitude, one.latitude) for one in series]).reshape(-1, 2)
    rows, cols = SIN1KM.pixel_of(lonlat[:, 0], lonlat[:, 1])
    chosen = np.flatnonzero(year.holds(rows, cols))
    totals = [daily_totals(series[number], days) for number in chosen.tolist()]
    if not totals or not np.isfinite(np.stack(totals)).any():
        return None
    return StationRain(rows[chosen], cols[chosen], np.stack(totals, axis=1))


def daily_totals(series: StationSeries, days: Days) -> Floats32:
    """Return the total of each day, mm, (days,); NaN where some of it is unknown.

    A measurement counts for the UTC day of its time.
    """
    at = (series.times.astype("datetime64[D]") - days[0]).astype(np.int64)
    inside = (at >= 0) & (at < len(days))
    at, values = at[inside], series.values[inside].astype(np.float64)
    known = np.isfinite(values)
    total = np.bincount(at[known], values[known], minlength=len(days))
    count = np.bincount(at[known], minlength=len(days))
    needed = max(LEAST_SHARE * count.max(initial=0), 1.0)
    return np.where(count >= needed, total, np.nan).astype(np.float32)


def _series(config: RunConfig, listener: Listener) -> Iterator[StationSeries]:
    archive = config.station_archive
    if not (config.store.granules or "://" in archive) or archive.lower().endswith(".zip"):
        return
    objects = open_objects(archive)
    for info in sorted(objects.list(), key=lambda one: one.key):
        if csv_variable(info.key) == PRECIPITATION:
            try:
                yield from read_station_csv(objects.get(info.key), info.key)
            except GranuleError as err:
                listener.warn(f"rain of stations passed over: {err}")
