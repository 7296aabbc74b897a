"""Stations as plain CSV: soil moisture of networks that no archive holds, and daily rain.

Columns are ``network,station,lat,lon,depth,time,value``. Networks judge nothing: what ISMN would
have flagged is left empty here. A rain gauge catches a little less than falls, and its error is a
factor.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from smcloud.core.objects import open_objects
from smcloud.simulate.noise import Floats, normal_of, pixel_hash, pixel_keys, stream
from smcloud.simulate.pool import Report
from smcloud.simulate.records import Station, StationSeries
from smcloud.simulate.request import FOLDERS
from smcloud.simulate.stations import hourly_series, observe_all
from smcloud.simulate.world import Earth
from smcloud.simulate.year_pieces import days_of_years

HEADER = "network,station,lat,lon,depth,time,value\n"
GOOD = ("G", "U")
CATCH, GAUGE_ERROR = np.float32(0.95), np.float32(0.10)
LEAST_RAIN_MM = 0.1
NAMES = {"station_csv": "soil_moisture.csv", "precipitation_csv": "precipitation.csv"}


@dataclass(frozen=True)
class CsvPiece:
    """The CSV files of some stations.

    Attributes
    ----------
    out : str
        URL below which files are written.
    seed : int
    stations : tuple of Station
    years : tuple of int
        Ascending.
    source : str
        ``station_csv`` or ``precipitation_csv``.
    """

    out: str
    seed: int
    stations: tuple[Station, ...]
    years: tuple[int, ...]
    source: str

    def keys(self) -> list[str]:
        """Return the key of the file."""
        return [f"granules/{FOLDERS[self.source]}/{NAMES[self.source]}"]

    def only(self, missing: frozenset[str]) -> "CsvPiece":
        """Return this piece: it has one key."""
        return self

    def run(self, report: Report) -> None:
        """Write the file."""
        days = days_of_years(self.years)
        if self.source == "station_csv":
            record = observe_all(Earth(self.seed), self.stations, days)
            text = moisture_text(hourly_series(record, self.stations))
        else:
            text = rain_text(self.stations, days, rain_at(self.seed, self.stations, days))
        data = text.encode()
        open_objects(self.out).put(self.keys()[0], data)
        report(1, len(data))


def moisture_text(series: Iterable[StationSeries]) -> str:
    """Return the rows of hourly series, header first; a value that is no good one is empty."""
    parts = [HEADER]
    for one in series:
        own = one.station
        depth = f"{own.depth_from:.2f}-{own.depth_to:.2f}"
        start = f"{own.network},{own.name},{own.latitude:.5f},{own.longitude:.5f},{depth},"
        times = np.datetime_as_string(one.times, unit="m").tolist()
        is_good = np.isin(one.flags, GOOD) & np.isfinite(one.values)
        for time, value, good in zip(times, one.values.tolist(), is_good.tolist(), strict=True):
            parts.append(f"{start}{time},{value:.4f}\n" if good else f"{start}{time},\n")
    return "".join(parts)


def rain_at(
    seed: int, stations: Sequence[Station], days: np.typing.NDArray[np.datetime64]
) -> Floats:
    """Return what gauges at the stations catch, (days, n), mm."""
    lon = np.array([station.longitude for station in stations])
    lat = np.array([station.latitude for station in stations])
    keys, key = pixel_keys(lon, lat), stream(seed, "gauge")
    caught = []
    for state in Earth(seed).run(lon, lat, days):
        luck = normal_of(pixel_hash(keys, key, int(state.day.astype(int))))
        caught.append(state.rain_mm * CATCH * np.exp(GAUGE_ERROR * luck))
    return np.stack(caught)


def rain_text(
    stations: Sequence[Station], days: np.typing.NDArray[np.datetime64], rain_mm: Floats
) -> str:
    """Return one row a station and day, header first; less than a tenth of a millimetre is none."""
    parts = [HEADER]
    words = np.datetime_as_string(days, unit="D").tolist()
    for number, own in enumerate(stations):
        start = f"{own.network},{own.name},{own.latitude:.5f},{own.longitude:.5f},,"
        for word, value in zip(words, rain_mm[:, number].tolist(), strict=True):
            parts.append(f"{start}{word},{value if value >= LEAST_RAIN_MM else 0.0:.1f}\n")
    return "".join(parts)
