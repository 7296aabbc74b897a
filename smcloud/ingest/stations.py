"""Hourly station files to one table of stations and one of daily means.

Each file is read by a pure function, so that files are spread over workers; what comes back is a
few kilobytes a sensor. A file that cannot be read is named and left out, and the rest goes on.
"""

import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smcloud.core.errors import UserError
from smcloud.core.objects import open_objects

HOURS_A_DAY = 24.0
DEFAULT_INTERVAL_HOURS = 1.0
SURFACE_DEPTH_M = 0.05
DEPTH_TOLERANCE_M = 0.001
"""SCAN writes its two-inch probes as 0.0508 m; the table of stations takes them as 0-5 cm."""

Days = NDArray[np.datetime64]
Times = NDArray[np.datetime64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class StationRules:
    """What makes a value usable and a day known.

    Attributes
    ----------
    accepted_flags : tuple of str
        ISMN quality flags that are kept. Files from before 2013 carry no G at all, their good
        values are U, so both are accepted; of combined flags ("D01,D03") every part must be.
    minimum_hours : float
        Hours of a day that must be covered by accepted values; in terms of counts, 12 values of
        hourly series, 24 of half-hourly ones, 4 of three-hourly ones.
    lowest, highest : float
        Range of usable values, m3 m-3: the bounds of ISMN's own flags C01 and C02.
    """

    accepted_flags: tuple[str, ...] = ("G", "U")
    minimum_hours: float = 12.0
    lowest: float = 0.0
    highest: float = 0.60

    def __post_init__(self) -> None:
        if not self.accepted_flags:
            raise UserError("no station flag is accepted: name at least one, such as G,U")
        if not 0.0 < self.minimum_hours <= HOURS_A_DAY:
            raise UserError(f"minimum hours of a day is {self.minimum_hours}: expected 0 to 24")


@dataclass(frozen=True)
class DailySeries:
    """Daily means of one sensor and what was left out of them.

    Attributes
    ----------
    days : datetime64[D] (n,)
        UTC days that are known, ascending; a day with too few values is absent.
    means : float32 (n,)
        Volumetric soil moisture, m3 m-3.
    counts : int16 (n,)
        Values in each mean.
    flags : dict
        How often each flag, as written, occurs in the file.
    out_of_range, repeated : int
        Accepted values outside the range, and values at a time that had been seen already.
    """

    days: Days
    means: Floats
    counts: NDArray[np.int16]
    flags: Mapping[str, int]
    out_of_range: int
    repeated: int


def daily_means(
    times: Times,
    values: Floats | NDArray[np.float64],
    flags: NDArray[np.str_],
    rules: StationRules,
) -> DailySeries:
    """Return the UTC day means of one sensor's accepted values.

    Parameters
    ----------
    times
        UTC instants (n,), in any order; of equal ones the first counts.
    values
        Volumetric soil moisture (n,), m3 m-3; NaN where the file has no value.
    flags
        Quality flag of each value (n,), as written.
    rules
        Flags, minimum cover of a day and range.
    """
    flag_names, flag_of, flag_counts = np.unique(flags, return_inverse=True, return_counts=True)
    first_at = np.unique(times, return_index=True)[1]
    is_first = np.zeros(times.shape, dtype=bool)
    is_first[first_at] = True
    accepted = np.array([is_accepted(str(name), rules) for name in flag_names], dtype=bool)
    usable = is_first & accepted[flag_of] & np.isfinite(values)
    in_range = (values >= rules.lowest) & (values <= rules.highest)
    keep = usable & in_range
    needed = values_needed(times[is_first], rules)
    days, means, counts = _means_by_day(times[keep], values[keep], needed)
    return DailySeries(
        days,
        means,
        counts,
        {str(name): int(n) for name, n in zip(flag_names, flag_counts, strict=True)},
        out_of_range=int((usable & ~in_range).sum()),
        repeated=int(times.size - first_at.size),
    )


def is_accepted(flag: str, rules: StationRules) -> bool:
    """Say whether every part of a flag ("D01,D03") is an accepted one; no flag is not."""
    parts = [part.strip() for part in flag.split(",")]
    return all(part in rules.accepted_flags for part in parts)


def values_needed(times: Times, rules: StationRules) -> int:
    """Return how many values make a day known, from the usual step between `times` (sorted or not).

    The step is the median one, so gaps do not count; a file of one value is taken as hourly.
    """
    steps = np.diff(np.sort(times)).astype("timedelta64[s]").astype(np.int64) / 3600.0
    hours = float(np.median(steps)) if steps.size else DEFAULT_INTERVAL_HOURS
    return max(1, math.ceil(rules.minimum_hours / min(hours, HOURS_A_DAY) - 1e-9))


def _means_by_day(
    times: Times, values: Floats | NDArray[np.float64], needed: int
) -> tuple[Days, Floats, NDArray[np.int16]]:
    days, day_of, counts = np.unique(
        times.astype("datetime64[D]"), return_inverse=True, return_counts=True
    )
    sums = np.bincount(day_of, weights=values, minlength=days.size)
    known = counts >= needed
    means = (sums[known] / counts[known]).astype(np.float32)
    return days[known], means, counts[known].astype(np.int16)


@dataclass(frozen=True)
class Sensor:
    """One probe: who it is, where it is, and its daily means.

    Attributes
    ----------
    network, station, sensor : str
        Names as the file's header has them.
    latitude, longitude : float
        Degrees.
    elevation : float
        Metres; NaN where the file has none.
    depth_from, depth_to : float
        Metres below the surface.
    values : int
        Values in the file, usable or not.
    series : DailySeries
    static : mapping
        Static variables of the station (clay, sand, land cover, climate) as written, by column.
    file : str
        Name of the file, for messages.
    """

    network: str
    station: str
    sensor: str
    latitude: float
    longitude: float
    elevation: float
    depth_from: float
    depth_to: float
    values: int
    series: DailySeries
    static: Mapping[str, str] = field(default_factory=dict)
    file: str = ""

    @property
    def station_id(self) -> str:
        """Return the key of the probe, ``network/station/sensor/depth``."""
        depth = f"{self.depth_from:.3f}-{self.depth_to:.3f}"
        return f"{self.network}/{self.station}/{self.sensor}/{depth}"


def station_frames(sensors: Iterable[Sensor]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the table of sensors and the table of their daily means.

    Sensors are sorted by id. Where several files hold one sensor (a download split by year), days
    are joined; of a day that two files have, the first file's mean counts. A file that is there
    twice (unpacked beside its zip) counts once.

    Returns
    -------
    stations : one row a sensor
        station_id, network, station, sensor, latitude, longitude (degrees), elevation,
        depth_from, depth_to (m), values, days, flags (JSON, count by flag as written),
        out_of_range, repeated, and one ``static_*`` column for each static variable.
    daily : one row a sensor and known day
        station_id, day (datetime64), soil_moisture (m3 m-3), count. Unknown days are absent.
    """
    grouped: dict[str, list[Sensor]] = {}
    for sensor in sorted(sensors, key=lambda one: (one.station_id, one.file)):
        held = grouped.setdefault(sensor.station_id, [])
        if not any(_is_copy(sensor, other) for other in held):
            held.append(sensor)
    frames = [_daily_frame(group) for group in grouped.values()]
    daily = pd.concat(frames, ignore_index=True) if frames else _EMPTY_DAILY.copy()
    known = daily["station_id"].value_counts()
    rows = [_station_row(group, int(known.get(name, 0))) for name, group in grouped.items()]
    stations = pd.DataFrame(rows, columns=_columns(rows))
    for column in stations.columns[len(_STATION_COLUMNS) :]:
        stations[column] = _typed(stations[column])
    return stations, daily


def _is_copy(sensor: Sensor, other: Sensor) -> bool:
    """Say whether two files have the same name and as many values."""
    names = (PurePosixPath(sensor.file).name, PurePosixPath(other.file).name)
    return names[0] == names[1] and sensor.values == other.values


_EMPTY_DAILY = pd.DataFrame(
    {
        "station_id": pd.Series(dtype=str),
        "day": pd.Series(dtype="datetime64[ms]"),
        "soil_moisture": pd.Series(dtype=np.float32),
        "count": pd.Series(dtype=np.int16),
    }
)
_STATION_COLUMNS = (
    "station_id",
    "network",
    "station",
    "sensor",
    "latitude",
    "longitude",
    "elevation",
    "depth_from",
    "depth_to",
    "values",
    "days",
    "flags",
    "out_of_range",
    "repeated",
)


def _daily_frame(group: Sequence[Sensor]) -> pd.DataFrame:
    """Return the daily means of the files of one sensor."""
    frame = pd.DataFrame(
        {
            "station_id": group[0].station_id,
            "day": np.concatenate([s.series.days for s in group]).astype("datetime64[ms]"),
            "soil_moisture": np.concatenate([s.series.means for s in group]),
            "count": np.concatenate([s.series.counts for s in group]),
        }
    )
    return frame.drop_duplicates("day", keep="first").sort_values("day", kind="stable")


def _station_row(group: Sequence[Sensor], days: int) -> dict[str, object]:
    first = group[0]
    flags: dict[str, int] = {}
    for sensor in group:
        for flag, count in sensor.series.flags.items():
            flags[flag] = flags.get(flag, 0) + count
    static = {f"static_{name}": value for s in group for name, value in sorted(s.static.items())}
    return {
        "station_id": first.station_id,
        "network": first.network,
        "station": first.station,
        "sensor": first.sensor,
        "latitude": first.latitude,
        "longitude": first.longitude,
        "elevation": first.elevation,
        "depth_from": first.depth_from,
        "depth_to": first.depth_to,
        "values": sum(sensor.values for sensor in group),
        "days": days,
        "flags": json.dumps(flags, sort_keys=True),
        "out_of_range": sum(sensor.series.out_of_range for sensor in group),
        "repeated": sum(sensor.series.repeated for sensor in group),
        **static,
    }


def _columns(rows: Sequence[Mapping[str, object]]) -> list[str]:
    extra = sorted({name for row in rows for name in row} - set(_STATION_COLUMNS))
    return [*_STATION_COLUMNS, *extra]


def _typed(column: pd.Series) -> pd.Series:
    """Return numbers where every value is one, else text; absent values stay absent."""
    try:
        return pd.to_numeric(column)
    except (TypeError, ValueError):
        return column


def write_stations(sensors: Iterable[Sensor], url: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Store ``stations.parquet`` and ``daily.parquet`` below `url`; return both tables."""
    stations, daily = station_frames(sensors)
    target = open_objects(url)
    for name, frame in (("stations", stations), ("daily", daily)):
        target.put(f"{name}.parquet", frame.to_parquet(index=False, compression="zstd"))
    return stations, daily


def read_stations(url: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tables that `write_stations` stored below `url`.

    Raises
    ------
    NotFoundError
        If they are not there: run ``smcloud ingest ismn`` first.
    """
    target = open_objects(url)
    stations, daily = (
        pd.read_parquet(io.BytesIO(target.get(f"{name}.parquet"))) for name in ("stations", "daily")
    )
    return stations, daily


def station_points(url: str) -> tuple[tuple[float, float], ...]:
    """Return longitude and latitude (degrees) of the sensors stored below `url`, each once, sorted.

    Raises
    ------
    NotFoundError
        If no stations were ingested.
    """
    stations, _ = read_stations(url)
    pairs = zip(stations["longitude"].tolist(), stations["latitude"].tolist(), strict=True)
    return tuple(sorted(set(pairs)))


def surface_sensors(stations: pd.DataFrame, maximum_depth_m: float) -> pd.DataFrame:
    """Return the sensors whose lower end is no deeper than `maximum_depth_m` (metres).

    Depths are compared to the millimetre: 0.0508 m, the two inches of US networks, is written as
    0.05 in file headers and as 0.050800 in file names.
    """
    return stations[stations["depth_to"] <= maximum_depth_m + DEPTH_TOLERANCE_M]
