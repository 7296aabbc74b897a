"""The rain that stations measured inside the maps of a year, as daily totals."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smcloud.core.config import RunConfig
from smcloud.grids.grid import SIN1KM, Floats
from smcloud.ingest.station_rain import SITE, read_rain
from smcloud.production.store_year import StoreYear
from smcloud.validation.collocation import Floats32


@dataclass(frozen=True, eq=False)
class StationRain:
    """Rain of a year at stations.

    Attributes
    ----------
    lon, lat : float64 (stations,)
        Degrees.
    rows, cols : int64 (stations,)
        Global pixels.
    rain : float32 (days, stations)
        Daily totals (UTC), mm; NaN is unknown.
    """

    lon: Floats
    lat: Floats
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    rain: Floats32


def station_rain(config: RunConfig, year: StoreYear) -> StationRain | None:
    """Return the rain of a year at stations inside the produced blocks; None without any.

    It is that of the table which ingest made of ``*precipitation.csv``.
    """
    table = read_rain(config.layout.stations)
    if table is None:
        return None
    days = year.schema.times(year.year).astype("datetime64[D]")
    at = pd.DatetimeIndex(days.astype("datetime64[ms]")).get_indexer(pd.DatetimeIndex(table["day"]))
    table = table[at >= 0].assign(at=at[at >= 0])
    sites = table.drop_duplicates(SITE)
    lon, lat = (sites[name].to_numpy(np.float64) for name in ("longitude", "latitude"))
    rows, cols = SIN1KM.pixel_of(lon, lat)
    inside = year.holds(rows, cols)
    if not inside.any():
        return None
    number = pd.MultiIndex.from_frame(sites[inside][SITE]).get_indexer(
        pd.MultiIndex.from_frame(table[SITE])
    )
    rain = np.full((len(days), int(inside.sum())), np.nan, np.float32)
    mine = number >= 0
    rain[table["at"].to_numpy()[mine], number[mine]] = table["rain"].to_numpy()[mine]
    return StationRain(lon[inside], lat[inside], rows[inside], cols[inside], rain)
