"""Soil temperature of stations as the International Soil Moisture Network delivers it.

A thermometer measures the ground under it: 0-5 cm of its own place at each hour, with an offset
and noise of its own, gaps, and the depth at which it lies. Nothing of the satellites is in it.
"""

import tempfile
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smcloud.core.objects import open_objects
from smcloud.simulate.frozen_ground import ground_at
from smcloud.simulate.granules_ismn import HEADER, download_name, write_folder
from smcloud.simulate.noise import Floats, normal_of, pixel_hash, pixel_keys, stream, uniform_of
from smcloud.simulate.pool import Report
from smcloud.simulate.records import SoilMap, Station, StationSeries
from smcloud.simulate.request import FOLDERS
from smcloud.simulate.stations import site_ground
from smcloud.simulate.world import Earth

OFFSET_K, NOISE_K = np.float32(0.3), np.float32(0.15)
MISSING_SHARE = np.float32(0.03)
THERMOMETER = "Thermistor-107"
GOOD, MISSING = "G", "M"
HOURS = 24


@dataclass(frozen=True)
class TemperaturePiece:
    """Hourly soil temperature (degrees Celsius) of all stations, one download."""

    out: str
    seed: int
    stations: tuple[Station, ...]
    years: tuple[int, ...]

    @property
    def _name(self) -> str:
        first = np.datetime64(date(self.years[0], 1, 1))
        return download_name(HEADER, first, np.datetime64(date(self.years[-1], 12, 31)))

    def keys(self) -> list[str]:
        """Return the key of the last file of the download, which is written whole."""
        return [f"granules/{FOLDERS['ismn_temperature']}/{self._name}/Metadata.xml"]

    def only(self, missing: frozenset[str]) -> "TemperaturePiece":
        """Return this piece: a download is written whole."""
        return self

    def run(self, report: Report) -> None:
        """Measure and write every station; the download counts as one file."""
        earth, objects = Earth(self.seed), open_objects(self.out)
        days = np.concatenate(
            [np.arange(f"{y}-01-01", f"{y + 1}-01-01", dtype="datetime64[D]") for y in self.years]
        )
        values = soil_temperatures(earth, self.stations, days)
        series = [
            (_series(station, days, values[:, number]), _soil(earth, station))
            for number, station in enumerate(self.stations)
        ]
        total = 0
        with tempfile.TemporaryDirectory(prefix="smcloud-") as folder:
            root = write_folder(Path(folder), self._name, HEADER, series, "ts")
            paths = (path for path in root.rglob("*") if path.is_file())
            for path in sorted(paths, key=lambda one: (one.name == "Metadata.xml", one)):
                data, name = path.read_bytes(), path.relative_to(folder).as_posix()
                objects.put(f"granules/{FOLDERS['ismn_temperature']}/{name}", data)
                total += len(data)
        report(1, total)


def soil_temperatures(
    earth: Earth, stations: tuple[Station, ...], days: NDArray[np.datetime64]
) -> Floats:
    """Return what thermometers measure at each hour, (24 * days, n) degrees Celsius; NaN missing.

    Hours are UTC, from 00.
    """
    lon = np.array([station.longitude for station in stations])
    lat = np.array([station.latitude for station in stations])
    keys = pixel_keys(lon, lat)
    offset = OFFSET_K * normal_of(pixel_hash(keys, stream(earth.seed, "thermometer-offset")))
    rows = []
    for state in earth.run(lon, lat, days, ground=site_ground(earth, stations)):
        number = int(state.day.astype(int))
        for hour in range(HOURS):
            local = (hour + lon / 15.0) % HOURS
            moment = HOURS * number + hour
            noise = normal_of(pixel_hash(keys, stream(earth.seed, "thermometer-noise"), moment))
            luck = uniform_of(pixel_hash(keys, stream(earth.seed, "thermometer-gap"), moment))
            value = ground_at(state, local).ground_c + offset + NOISE_K * noise
            rows.append(np.where(luck < MISSING_SHARE, np.float32(np.nan), value))
    return np.stack(rows).astype(np.float32)


def _series(station: Station, days: NDArray[np.datetime64], values: Floats) -> StationSeries:
    first = np.repeat(days.astype("datetime64[h]"), HOURS)
    hours = first + np.tile(np.arange(HOURS), days.size).astype("timedelta64[h]")
    flags = np.where(np.isnan(values), MISSING, GOOD)
    return StationSeries(replace(station, sensor=THERMOMETER), hours, values, flags)


def _soil(earth: Earth, station: Station) -> SoilMap:
    return earth.soil_map(station.longitude, station.latitude)
