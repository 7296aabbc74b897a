"""What nobody knows about real stations: which represent their pixel, and the pixel's own truth.

Two tables beside the truth cube: ``stations.parquet``, one row a station, and
``station_days.parquet``, one row a station and day. Only scores read them.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from smcloud.grids.grid import SIN1KM
from smcloud.simulate.noise import Floats
from smcloud.simulate.records import Station
from smcloud.simulate.stations import Record

STATIONS_KEY = "truth/stations.parquet"
DAYS_KEY = "truth/station_days.parquet"
GOOD_HOURS = 12
"""Good hours that a daily mean of a probe rests on."""


def station_name(station: Station) -> str:
    """Return network and name as the sample table has them, ``network/station``."""
    return f"{station.network}/{station.name}"


def station_table(stations: Sequence[Station], record: Record) -> pd.DataFrame:
    """Return one row a station.

    Returns
    -------
    station (``network/station``), network, latitude, longitude (degrees), row, col (global pixels
    of 1 km), representative (whether the site was made to resemble its pixel), r_pixel and
    ubrmse_pixel (of the daily means of its good readings against the truth of its pixel; m3 m-3),
    land_cover, climate; sorted by station.
    """
    lon = np.array([station.longitude for station in stations])
    lat = np.array([station.latitude for station in stations])
    row, col = SIN1KM.pixel_of(lon, lat)
    r, spread = _against_pixel(daily_means(record), record.pixel)
    table = pd.DataFrame(
        {
            "station": [station_name(station) for station in stations],
            "network": [station.network for station in stations],
            "latitude": lat,
            "longitude": lon,
            "row": row,
            "col": col,
            "representative": [station.is_representative for station in stations],
            "r_pixel": r,
            "ubrmse_pixel": spread,
            "land_cover": [station.site.land_cover_name for station in stations],
            "climate": [station.site.climate for station in stations],
        }
    )
    return table.sort_values("station", ignore_index=True)


def station_day_table(stations: Sequence[Station], record: Record) -> pd.DataFrame:
    """Return one row a station and day: station, time, soil_moisture_pixel (true, m3 m-3)."""
    names = [station_name(station) for station in stations]
    order = np.argsort(names)
    days = record.days.astype("datetime64[ms]")
    return pd.DataFrame(
        {
            "station": pd.Categorical(np.repeat(np.array(names)[order], len(days))).astype(str),
            "time": np.tile(days, len(names)),
            "soil_moisture_pixel": record.pixel[:, order].T.ravel(),
        }
    )


def daily_means(record: Record) -> Floats:
    """Return the mean of the good hours of each day (days, n); NaN where they are too few."""
    shape = (len(record.days), 24, -1)
    values = record.values.reshape(shape)
    good = (record.flags.reshape(shape) == 0) & np.isfinite(values)
    count = good.sum(axis=1)
    total = np.where(good, values, np.float32(0.0)).sum(axis=1)
    mean = np.where(count >= GOOD_HOURS, total / np.maximum(count, 1), np.nan)
    return mean.astype(np.float32)


def _against_pixel(values: Floats, pixel: Floats) -> tuple[Floats, Floats]:
    """Return correlation and unbiased RMS difference (n,); NaN with fewer than 30 common days."""
    r = np.full(values.shape[1], np.nan, np.float32)
    spread = r.copy()
    for k in range(values.shape[1]):
        known = np.isfinite(values[:, k])
        if known.sum() >= 30 and values[known, k].std() > 0 and pixel[known, k].std() > 0:
            r[k] = np.corrcoef(values[known, k], pixel[known, k])[0, 1]
            spread[k] = (values[known, k] - pixel[known, k]).std()
    return r, spread
