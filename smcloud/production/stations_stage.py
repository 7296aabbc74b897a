"""The station stage: an ISMN archive to the tables of sensors and of daily means."""

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from distributed import Client

from smcloud.core.errors import UserError
from smcloud.core.layout import Layout
from smcloud.core.listener import Listener, counted
from smcloud.core.objects import normalise_url
from smcloud.ingest.receipts import BadGranule
from smcloud.ingest.station_files import (
    StationFiles,
    StationsRead,
    find_station_files,
    read_station_files,
)
from smcloud.ingest.stations import Sensor, StationRules, write_stations
from smcloud.production.cluster import refuse_memory_urls, worker_threads
from smcloud.production.runner import Task, run_tasks

NAMES_TOLD = 10
"""How many files left out are told one by one."""


@dataclass(frozen=True)
class StationsSummary:
    """What was read of a station archive.

    Attributes
    ----------
    archive : str
        Where it lies.
    networks, stations, sensors, days : int
        `days` counts known days of all sensors.
    flags : mapping
        How often each flag, as written, occurs in all series.
    broken : tuple of BadGranule
        Malformed files, left out.
    others, other_variables : int
        Files that are no series, and series that are not soil moisture.
    seconds : float
    """

    archive: str
    networks: int
    stations: int
    sensors: int
    days: int
    flags: Mapping[str, int]
    broken: tuple[BadGranule, ...]
    others: int
    other_variables: int
    seconds: float


def ingest_stations(
    from_url: str, to_url: str, rules: StationRules, client: Client | None, listener: Listener
) -> StationsSummary:
    """Read a station archive (folder or zip) and store its tables below the root `to_url`.

    Malformed files are told to the listener by name and left out.

    Raises
    ------
    NotFoundError
        If nothing lies at `from_url`.
    UserError
        If a zip is unsafe, or no series can be used.
    """
    started = time.perf_counter()
    from_url, to_url = normalise_url(from_url), normalise_url(to_url)
    refuse_memory_urls(client, (from_url, to_url))
    found = find_station_files(from_url)
    parts = _read(found.tasks, rules, client, listener)
    sensors = [sensor for part in parts for sensor in part.sensors]
    broken = tuple(sorted({*found.broken, *(bad for part in parts for bad in part.broken)}))
    for bad in broken[:NAMES_TOLD]:
        listener.warn(f"station file left out: {bad}")
    if len(broken) > NAMES_TOLD:
        listener.warn(f"{counted(len(broken) - NAMES_TOLD, 'more station files')} left out")
    if not sensors:
        raise UserError(
            f"no soil moisture series below {from_url} can be used: {len(broken)} files are "
            f"malformed, {sum(part.other_variables for part in parts)} hold other variables"
        )
    return _stored(from_url, to_url, sensors, broken, len(found.others), parts, started)


def _read(
    tasks: tuple[StationFiles, ...], rules: StationRules, client: Client | None, listener: Listener
) -> list[StationsRead]:
    parts: list[StationsRead] = []
    listener.begin("ingest ismn", len(tasks), "tasks")

    def on_done(task: Task[StationsRead], part: StationsRead) -> None:
        parts.append(part)
        listener.advance(sensors=sum(len(each.sensors) for each in parts))

    try:
        run_tasks(
            client,
            (
                Task(f"ingest-ismn-p{number:04d}", read_station_files, (task, rules))
                for number, task in enumerate(tasks)
            ),
            window=2 * worker_threads(client) if client else 1,
            on_done=on_done,
            listener=listener,
        )
    finally:
        listener.end()
    return parts


def _stored(
    from_url: str,
    to_url: str,
    sensors: list[Sensor],
    broken: tuple[BadGranule, ...],
    others: int,
    parts: list[StationsRead],
    started: float,
) -> StationsSummary:
    """Store the tables and return what they hold."""
    stations, daily = write_stations(sensors, Layout(to_url).stations)
    flags: Counter[str] = Counter()
    for text in stations["flags"]:
        flags.update(json.loads(text))
    return StationsSummary(
        archive=from_url,
        networks=int(stations["network"].nunique()),
        stations=len(stations[["network", "station"]].drop_duplicates()),
        sensors=len(stations),
        days=len(daily),
        flags=dict(sorted(flags.items())),
        broken=broken,
        others=others,
        other_variables=sum(part.other_variables for part in parts),
        seconds=round(time.perf_counter() - started, 2),
    )
