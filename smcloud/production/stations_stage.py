"""The station stage: an ISMN archive to the table of sensors and the data set of daily means."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd
from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.errors import UserError
from smcloud.core.layout import Layout
from smcloud.core.listener import Listener, counted
from smcloud.core.objects import normalise_url, open_objects
from smcloud.ingest.daily_means import StationRules
from smcloud.ingest.receipts import BadGranule
from smcloud.ingest.station_files import FoundFiles, RainFile, StationFiles, find_station_files
from smcloud.ingest.station_rain import (
    RainReceipt,
    RainSummary,
    finished_rain,
    ingest_rain_file,
    write_rain,
)
from smcloud.ingest.station_receipts import (
    StationReceipt,
    finished,
    ingest_station_files,
    remove_others,
    write_receipt,
)
from smcloud.ingest.stations import COLUMNS, Row, write_table
from smcloud.production.cluster import refuse_memory_urls, worker_threads
from smcloud.production.runner import Task, run_tasks
from smcloud.products.registry import product_named

NAMES_TOLD = 10
"""How many files left out are told one by one."""


@dataclass(frozen=True)
class StationsSummary:
    """What was read of a station archive, tasks of earlier runs included.

    Attributes
    ----------
    archive : str
        Where it lies; several places with commas between.
    networks, stations, sensors, days : int
        `days` counts known days of all sensors.
    flags : mapping
        How often each flag, as written, occurs in all series.
    broken : tuple of BadGranule
        Malformed files, left out.
    others, other_variables : int
        Files that are no series, and series that are not soil moisture.
    seconds : float
    files, copies : int
        Series of soil moisture in the archive, and those of them that repeat another.
    idle : tuple of str
        Sensors (station_id) without a single known day: in the table, and of no use to a model.
    tasks, tasks_skipped : int
        Tasks in all, and those that an earlier run had finished.
    rain : RainSummary or None
        What gauges told; None without a file of precipitation.
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
    files: int = 0
    copies: int = 0
    idle: tuple[str, ...] = ()
    tasks: int = 0
    tasks_skipped: int = 0
    rain: RainSummary | None = None


def ingest_named_stations(
    config: RunConfig, client: Client | None, listener: Listener, *, redo: bool = False
) -> StationsSummary | None:
    """Ingest the archive and the plain CSV that a run file names; None where it names neither.

    A product that comes down from coarse cells learns from no station: it does without the default
    archive where that is not there, and without soil moisture where there is rain alone.

    Raises
    ------
    As `ingest_stations`.
    """
    places = [url for url in (config.station_archive, config.station_csv) if url]
    product = product_named(config.product)
    learns = product.downscaling is None and not product.label
    is_default = "archive" not in config.stations.model_fields_set
    if places and not learns and is_default and not open_objects(config.station_archive).list():
        listener.note(
            f"no station archive at {config.station_archive}: the model of {config.product} learns "
            "from coarse cells and needs none"
        )
        places.remove(config.station_archive)
    if not places:
        listener.note("no station is ingested: those of an earlier ingest serve, if there are any")
        return None
    rules = StationRules(config.stations.flags, config.stations.minimum_hours)
    first, *also = places
    return ingest_stations(
        *(first, config.store.root, rules, client, listener),
        also=also,
        redo=redo,
        needs_moisture=learns,
    )


def ingest_stations(
    from_url: str,
    to_url: str,
    rules: StationRules,
    client: Client | None,
    listener: Listener,
    *,
    also: Sequence[str] = (),
    redo: bool = False,
    needs_moisture: bool = True,
) -> StationsSummary:
    """Read a station archive (folder or zip) and store its tables below the root `to_url`.

    Each task reads some stations and stores their daily means; only rows of the table of sensors
    come back. Tasks whose files and rules are those of an earlier run are not run again, unless
    `redo`. Malformed files are told to the listener by name and left out. Files of precipitation
    become a table of their own.

    Parameters
    ----------
    also
        Further archives, whose stations go to the same tables.
    needs_moisture
        Whether it is an error if there is rain and no series of soil moisture that can be used. If
        not, the tables of an earlier run are left as they are.

    Raises
    ------
    NotFoundError
        If nothing lies at `from_url`, or at one of `also`.
    UserError
        If a zip is unsafe, or no series can be used.
    """
    started = time.perf_counter()
    urls, to_url = [normalise_url(url) for url in (from_url, *also)], normalise_url(to_url)
    refuse_memory_urls(client, (*urls, to_url))
    url = Layout(to_url).stations
    found = _joined([find_station_files(place) for place in urls])
    done = {} if redo else finished(found.tasks, rules, url)
    receipts = dict(done)
    waiting = [task for task in found.tasks if task not in done]
    if found.tasks:
        receipts |= _run(waiting, rules, url, client, listener)
    ordered = [receipts[task] for task in found.tasks]
    rows, doubles = _without_doubles(ordered)
    broken = tuple(sorted({*found.broken, *doubles, *(b for r in ordered for b in r.broken)}))
    named = ", ".join(urls)
    _tell(broken, listener)
    if not rows and (needs_moisture or not found.rain):
        first = f"; the first: {broken[0].reason}" if broken else ""
        raise UserError(
            f"no soil moisture series below {named} can be used: {len(broken)} files are "
            f"malformed, {found.other_variables} hold other variables{first}"
        )
    rain = _rain(found.rain, url, client, listener, redo=redo)
    stations = write_table(rows, url) if rows else pd.DataFrame(columns=[*COLUMNS])
    for task, receipt in receipts.items():
        if task not in done and not receipt.rows:
            write_receipt(task, rules, receipt, url)
    remove_others(found.tasks, rules, url)
    summary = _summary(named, found, ordered, stations, broken, len(done), started)
    return replace(summary, rain=rain)


def _joined(parts: Sequence[FoundFiles]) -> FoundFiles:
    """Return what several archives hold."""
    return FoundFiles(
        tuple(task for part in parts for task in part.tasks),
        tuple(file for part in parts for file in part.rain),
        tuple(name for part in parts for name in part.others),
        sum(part.other_variables for part in parts),
        tuple(bad for part in parts for bad in part.broken),
    )


def _rain(
    files: Sequence[RainFile],
    url: str,
    client: Client | None,
    listener: Listener,
    *,
    redo: bool,
) -> RainSummary | None:
    """Bring files of precipitation to one table; None without any."""
    done = {} if redo else finished_rain(files, url)
    waiting = [file for file in files if file not in done]
    found = dict(done)
    if waiting:
        listener.begin("ingest rain", len(waiting), "files")
    named = {f"ingest-rain-p{number:04d}": file for number, file in enumerate(waiting)}

    def on_done(task: Task[RainReceipt], receipt: RainReceipt) -> None:
        found[named[task.key]] = receipt
        listener.advance()

    try:
        run_tasks(
            client,
            (Task(key, ingest_rain_file, (file, url)) for key, file in named.items()),
            window=2 * worker_threads(client) if client else 1,
            on_done=on_done,
            listener=listener,
        )
    finally:
        if waiting:
            listener.end()
    summary = write_rain(found, url)
    _tell(summary.broken, listener)
    return replace(summary, files_skipped=len(done)) if files else None


def _run(
    tasks: Sequence[StationFiles],
    rules: StationRules,
    url: str,
    client: Client | None,
    listener: Listener,
) -> dict[StationFiles, StationReceipt]:
    """Return the receipts of tasks, which have stored their daily means below `url`."""
    named = {f"ingest-ismn-p{number:04d}": task for number, task in enumerate(tasks)}
    receipts: dict[StationFiles, StationReceipt] = {}
    sensors = 0
    listener.begin("ingest ismn", len(tasks), "tasks")

    def on_done(task: Task[StationReceipt], receipt: StationReceipt) -> None:
        nonlocal sensors
        receipts[named[task.key]] = receipt
        sensors += len(receipt.rows)
        listener.advance(sensors=sensors)

    try:
        run_tasks(
            client,
            (Task(key, ingest_station_files, (task, rules, url)) for key, task in named.items()),
            window=2 * worker_threads(client) if client else 1,
            on_done=on_done,
            listener=listener,
        )
    finally:
        listener.end()
    return receipts


def _without_doubles(
    receipts: Iterable[StationReceipt],
) -> tuple[list[Row], list[BadGranule]]:
    """Return the rows of all receipts, and the sensors that a task before had had already.

    Files are put together by their names; a sensor in two tasks has files whose names disagree
    with what is in them.
    """
    rows: dict[str, Row] = {}
    doubles = []
    for receipt in receipts:
        for row in receipt.rows:
            name = str(row["station_id"])
            if name in rows:
                doubles.append(
                    BadGranule(name, "found in files that name two stations; the first counts")
                )
            else:
                rows[name] = row
    return list(rows.values()), doubles


def _tell(broken: Sequence[BadGranule], listener: Listener) -> None:
    for bad in broken[:NAMES_TOLD]:
        listener.warn(f"station file left out: {bad}")
    if len(broken) > NAMES_TOLD:
        listener.warn(f"{counted(len(broken) - NAMES_TOLD, 'more station files')} left out")


def _summary(
    from_url: str,
    found: FoundFiles,
    receipts: Sequence[StationReceipt],
    stations: pd.DataFrame,
    broken: tuple[BadGranule, ...],
    skipped: int,
    started: float,
) -> StationsSummary:
    flags: Counter[str] = Counter()
    for text in stations["flags"]:
        flags.update(json.loads(text))
    return StationsSummary(
        archive=from_url,
        networks=int(stations["network"].nunique()),
        stations=len(stations[["network", "station"]].drop_duplicates()),
        sensors=len(stations),
        days=int(stations["days"].sum()),
        flags=dict(sorted(flags.items())),
        broken=broken,
        others=len(found.others),
        other_variables=found.other_variables,
        seconds=round(time.perf_counter() - started, 2),
        files=sum(receipt.files for receipt in receipts),
        copies=sum(receipt.copies for receipt in receipts),
        idle=tuple(stations.loc[stations["days"] == 0, "station_id"].tolist()),
        tasks=len(found.tasks),
        tasks_skipped=skipped,
    )
