"""Sensors and their daily means as one Parquet data set, a part for each task that wrote some.

``stations.parquet`` has one row a sensor: who it is, where it is, and which row group of which part
below ``daily/`` holds its days. Parts are named by their content and written by workers; the table
of sensors is written last, so that a reader never meets parts that do not belong to it.
"""

import hashlib
import io
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from smcloud.core.errors import IntegrityError, UserError
from smcloud.core.objects import Objects, in_order, open_objects
from smcloud.grids.tiles import tiles_of
from smcloud.ingest.daily_means import DailySeries, Days, Floats

DEPTH_TOLERANCE_M = 0.001
"""SCAN writes its two-inch probes as 0.0508 m; the table of stations takes them as 0-5 cm."""
PLACE_TOLERANCE_DEGREES = 0.01
"""Files of one sensor whose places differ by more are of two sensors: about one pixel."""
STATIONS, DAILY = "stations.parquet", "daily"
STORAGE_COLUMNS = ("part", "row_group")
COLUMNS = (
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
    "first_day",
    "last_day",
    "flags",
    "out_of_range",
    "repeated",
)
"""Of the table of sensors, before its ``static_*`` columns."""
_DAY: Literal["datetime64[ms]"] = "datetime64[ms]"
_SCHEMA = pa.schema(
    [
        ("station_id", pa.string()),
        ("depth_from", pa.float64()),
        ("depth_to", pa.float64()),
        ("day", pa.timestamp("ms")),
        ("soil_moisture", pa.float32()),
        ("count", pa.int16()),
        ("flags", pa.string()),
    ]
)
_ENCODING: Mapping[str, Any] = {
    "use_dictionary": [name for name in _SCHEMA.names if name != "day"],
    "column_encoding": {"day": "DELTA_BINARY_PACKED"},
}
"""Days follow each other: as differences they take a hundredth of the bytes."""
_READ = ("day", "soil_moisture", "count")

Row = dict[str, str | int | float | None]
"""One sensor in the table, in values that JSON can hold."""
Counts = np.ndarray[tuple[int], np.dtype[np.int16]]


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


@dataclass(frozen=True)
class SensorFiles:
    """The files of one sensor (a download may be split by year), the first of them leading.

    Attributes
    ----------
    parts : tuple of Sensor
        At least one; of a day that two have, the first one's mean counts.
    copies : int
        Files that were there twice, unpacked beside their zip for one.
    elsewhere : tuple of Sensor
        Files that call themselves the same sensor and stand somewhere else: left out.
    """

    parts: tuple[Sensor, ...]
    copies: int
    elsewhere: tuple[Sensor, ...]

    @property
    def first(self) -> Sensor:
        """Return the file that places and names the sensor."""
        return self.parts[0]


def sensor_files(sensors: Iterable[Sensor]) -> list[SensorFiles]:
    """Return what was read file by file, by sensor; sensors are sorted by id, files by name."""
    grouped: dict[str, list[Sensor]] = {}
    for sensor in sorted(sensors, key=lambda one: (one.station_id, one.file)):
        grouped.setdefault(sensor.station_id, []).append(sensor)
    return [_one_sensor(files) for files in grouped.values()]


def _one_sensor(files: Sequence[Sensor]) -> SensorFiles:
    parts: list[Sensor] = []
    elsewhere: list[Sensor] = []
    for file in files:
        if any(_is_copy(file, other) for other in parts):
            continue
        (elsewhere if parts and _is_elsewhere(file, parts[0]) else parts).append(file)
    return SensorFiles(tuple(parts), len(files) - len(parts) - len(elsewhere), tuple(elsewhere))


def _is_copy(sensor: Sensor, other: Sensor) -> bool:
    """Say whether two files have the same name and as many values."""
    names = (PurePosixPath(sensor.file).name, PurePosixPath(other.file).name)
    return names[0] == names[1] and sensor.values == other.values


def _is_elsewhere(sensor: Sensor, other: Sensor) -> bool:
    apart = (sensor.latitude - other.latitude, sensor.longitude - other.longitude)
    return max(map(abs, apart)) > PLACE_TOLERANCE_DEGREES


def _joined(files: SensorFiles) -> DailySeries:
    """Return the days of all files of a sensor, each day once."""
    if len(files.parts) == 1:
        return files.first.series
    every = [part.series for part in files.parts]
    days, at = np.unique(np.concatenate([one.days for one in every]), return_index=True)
    flags: dict[str, int] = {}
    for one in every:
        for flag, count in one.flags.items():
            flags[flag] = flags.get(flag, 0) + count
    return DailySeries(
        days,
        np.concatenate([one.means for one in every])[at],
        np.concatenate([one.counts for one in every])[at],
        dict(sorted(flags.items())),
        out_of_range=sum(one.out_of_range for one in every),
        repeated=sum(one.repeated for one in every),
        day_flags=np.concatenate([_day_flags(one) for one in every])[at],
    )


def _day_flags(series: DailySeries) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    if series.day_flags.size == series.days.size:
        return series.day_flags
    return np.full(series.days.size, None, object)


@dataclass(frozen=True)
class DailyPart:
    """The daily means of some sensors as a Parquet file, and their rows of the table of sensors.

    Attributes
    ----------
    key : str
        ``daily/<hash of the content>.parquet``; empty where no sensor has a known day.
    content : bytes
        One row group for each sensor that has days: station_id, depth_from, depth_to (m), day,
        soil_moisture (m3 m-3), count, flags.
    rows : tuple of Row
        Sorted by station_id.
    """

    key: str
    content: bytes
    rows: tuple[Row, ...]


def daily_part(sensors: Sequence[SensorFiles]) -> DailyPart:
    """Return the part that holds some sensors; the same bytes for the same sensors."""
    sink = io.BytesIO()
    rows: list[Row] = []
    n_groups = 0
    with pq.ParquetWriter(sink, _SCHEMA, compression="zstd", **_ENCODING) as writer:
        for files in sensors:
            series = _joined(files)
            group = n_groups if series.days.size else -1
            rows.append({**_station_row(files, series), "row_group": group})
            if series.days.size:
                writer.write_table(_daily_table(files.first, series))
                n_groups += 1
    content = sink.getvalue() if n_groups else b""
    key = f"{DAILY}/{hashlib.sha256(content).hexdigest()[:32]}.parquet" if n_groups else ""
    placed = (row | {"part": key if row["row_group"] != -1 else ""} for row in rows)
    return DailyPart(key, content, tuple(placed))


def _daily_table(sensor: Sensor, series: DailySeries) -> pa.Table:
    same = (sensor.station_id, sensor.depth_from, sensor.depth_to)
    own = (series.days.astype(_DAY), series.means, series.counts, _day_flags(series))
    types = _SCHEMA.types
    named = zip(same, types[: len(same)], strict=True)
    columns = [pa.repeat(pa.scalar(value, of), series.days.size) for value, of in named]
    columns += [pa.array(column, of) for column, of in zip(own, types[len(same) :], strict=True)]
    return pa.Table.from_arrays(columns, schema=_SCHEMA)


def _station_row(files: SensorFiles, series: DailySeries) -> Row:
    first, days = files.first, series.days
    static = {
        f"static_{name}": value for part in files.parts for name, value in part.static.items()
    }
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
        "values": sum(part.values for part in files.parts),
        "days": int(days.size),
        "first_day": str(days[0]) if days.size else None,
        "last_day": str(days[-1]) if days.size else None,
        "flags": json.dumps(series.flags, sort_keys=True),
        "out_of_range": series.out_of_range,
        "repeated": series.repeated,
        **dict(sorted(static.items())),
    }


def write_part(part: DailyPart, url: str) -> None:
    """Store a part below `url`; one that is there already has the same bytes."""
    if part.key:
        open_objects(url).put(part.key, part.content)


def write_table(rows: Iterable[Row], url: str) -> pd.DataFrame:
    """Store the table of sensors below `url`, remove parts that it does not name, and return it.

    Parameters
    ----------
    rows
        Of all parts, in any order.
    url
        Where the parts lie.

    Returns
    -------
    One row a sensor, sorted by station_id: `COLUMNS` (degrees, metres, days as datetime64; `values`
    is the count in the files, `flags` is JSON, the count of each flag as written), a ``static_*``
    column for each static variable, numbers where all are, and `STORAGE_COLUMNS`.
    """
    ordered = sorted(rows, key=lambda row: str(row["station_id"]))
    extra = {name for row in ordered for name in row} - {*COLUMNS, *STORAGE_COLUMNS}
    stations = pd.DataFrame(ordered, columns=[*COLUMNS, *sorted(extra), *STORAGE_COLUMNS])
    for column in ("first_day", "last_day"):
        stations[column] = pd.to_datetime(stations[column]).astype(_DAY)
    for column in sorted(extra):
        stations[column] = _typed(stations[column])
    target = open_objects(url)
    target.put(STATIONS, stations.to_parquet(index=False, compression="zstd"))
    named = set(stations["part"])
    for info in target.list(DAILY):
        if info.key not in named:
            target.delete(info.key)
    return stations


def _typed(column: pd.Series) -> pd.Series:
    """Return numbers where every value is one, else text; absent values stay absent."""
    try:
        return pd.to_numeric(column)
    except (TypeError, ValueError):
        return column


def read_stations(
    url: str,
    *,
    years: Collection[int] | None = None,
    tiles: Collection[str] | None = None,
    maximum_depth_m: float | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the sensors stored below `url` and their daily means; only what is asked is read.

    Parameters
    ----------
    url
        Where `smcloud ingest ismn` put them.
    years
        Days of these years; None for all.
    tiles
        Sensors in these sinusoidal tiles, such as ``h18v04``; None for all.
    maximum_depth_m
        Sensors that end no deeper than this (`surface_sensors`); None for all.

    Returns
    -------
    stations : one row a sensor, sorted by station_id
        As `write_table`, without `STORAGE_COLUMNS`.
    daily : one row a sensor and known day, sorted by both
        station_id (categorical), day (datetime64), soil_moisture (float32, m3 m-3), count (int16).
        Unknown days are absent.

    Raises
    ------
    NotFoundError
        If they are not there: run ``smcloud ingest ismn`` first.
    UserError
        If an earlier version of smcloud wrote them.
    IntegrityError
        If a part is damaged.
    """
    source = open_objects(url)
    stations = _read_table(source)
    if maximum_depth_m is not None:
        stations = surface_sensors(stations, maximum_depth_m)
    if tiles is not None:
        stations = stations[np.isin(_tiles_of_sites(stations), sorted(tiles))]
    stations = stations.reset_index(drop=True)
    daily = _read_daily(source, stations, None if years is None else sorted(years))
    return stations.drop(columns=list(STORAGE_COLUMNS)), daily


def _read_table(source: Objects) -> pd.DataFrame:
    stations = pd.read_parquet(io.BytesIO(source.get(STATIONS)))
    if not {*STORAGE_COLUMNS} <= {*stations.columns}:
        raise UserError(
            f"{source.url}/{STATIONS} is of an earlier version of smcloud, which kept the daily "
            "means in one file: run `smcloud ingest ismn` again"
        )
    return stations


def _tiles_of_sites(stations: pd.DataFrame) -> list[str]:
    """Return the tile of each sensor; all sensors of a station follow the first of them."""
    site = stations["network"].astype(str) + "/" + stations["station"].astype(str)
    place = stations.groupby(site)[["longitude", "latitude"]].transform("first")
    return tiles_of(place["longitude"].to_numpy(), place["latitude"].to_numpy())


def _read_daily(
    source: Objects, stations: pd.DataFrame, years: Sequence[int] | None
) -> pd.DataFrame:
    """Return the days of the sensors in the table; row groups without any day asked stay unread."""
    held = stations[stations["row_group"] >= 0]
    if years is not None:
        first, last = held["first_day"].dt.year, held["last_day"].dt.year
        held = held[np.any([(first <= year) & (last >= year) for year in years or [0]], axis=0)]
    parts = [(str(key), part["row_group"]) for key, part in held.groupby("part", sort=True)]
    calls = [partial(_read_part, source, key, groups.tolist(), years) for key, groups in parts]
    found: dict[int, tuple[Days, Floats, Counts]] = {}
    for (_, groups), slices in zip(parts, in_order(calls), strict=True):
        found.update(zip(groups.index.tolist(), slices, strict=True))
    order = sorted(found)
    codes = np.repeat(np.array(order, np.int32), [found[number][0].size for number in order])
    empty = [(np.empty(0, _DAY), np.empty(0, np.float32), np.empty(0, np.int16))]
    columns = zip(*(found[number] for number in order) if order else empty, strict=True)
    days, means, counts = (np.concatenate(column) for column in columns)
    names = pd.Categorical.from_codes(codes, pd.Index(stations["station_id"].tolist()))
    return pd.DataFrame({"station_id": names, "day": days, "soil_moisture": means, "count": counts})


def _read_part(
    source: Objects, key: str, groups: Sequence[int], years: Sequence[int] | None
) -> list[tuple[Days, Floats, Counts]]:
    """Return day, mean and count of some row groups of a part."""
    try:
        file = pq.ParquetFile(pa.BufferReader(source.get(key)))
        table = file.read_row_groups(groups, columns=list(_READ), use_threads=False)
        sizes = [file.metadata.row_group(group).num_rows for group in groups]
        days, means, counts = (table[name].to_numpy() for name in _READ)
    except (pa.ArrowException, OSError, KeyError) as err:
        raise IntegrityError(
            f"{source.url}/{key} is damaged: {err}; run `smcloud ingest ismn --redo` on the archive"
        ) from err
    return list(_wanted(days, means, counts, sizes, years))


def _wanted(
    days: Days, means: Floats, counts: Counts, sizes: Sequence[int], years: Sequence[int] | None
) -> Iterator[tuple[Days, Floats, Counts]]:
    ends = np.cumsum(sizes).tolist()
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        keep: slice | np.ndarray = slice(start, end)
        if years is not None:
            year = days[start:end].astype("datetime64[Y]").astype(np.int64) + 1970
            keep = start + np.flatnonzero(np.isin(year, years))
        yield days[keep].astype(_DAY), means[keep], counts[keep]


def station_points(url: str) -> tuple[tuple[float, float], ...]:
    """Return longitude and latitude (degrees) of the sensors stored below `url`, each once, sorted.

    Raises
    ------
    NotFoundError
        If no stations were ingested.
    """
    stations = pd.read_parquet(
        io.BytesIO(open_objects(url).get(STATIONS)), columns=["longitude", "latitude"]
    )
    pairs = zip(stations["longitude"].tolist(), stations["latitude"].tolist(), strict=True)
    return tuple(sorted(set(pairs)))


def surface_sensors(stations: pd.DataFrame, maximum_depth_m: float) -> pd.DataFrame:
    """Return the sensors whose lower end is no deeper than `maximum_depth_m` (metres).

    Depths are compared to the millimetre: 0.0508 m, the two inches of US networks, is written as
    0.05 in file headers and as 0.050800 in file names.
    """
    return stations[stations["depth_to"] <= maximum_depth_m + DEPTH_TOLERANCE_M]
