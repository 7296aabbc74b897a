"""The ingest stage: one listing, a plan, tasks on the cluster, receipts, a summary."""

import json
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.errors import NotFoundError, PlanError, UserError
from smcloud.core.layout import Layout, join
from smcloud.core.listener import Listener, counted
from smcloud.core.objects import ObjectInfo, normalise_url, open_objects
from smcloud.cube.store import create_store
from smcloud.features.blockwise import FeatureReader
from smcloud.features.catalogue import features_named
from smcloud.features.spec import CubeSet, Driver
from smcloud.grids.tiles import GLOBE, TileYear
from smcloud.ingest.cubes import ingest_slab
from smcloud.ingest.index import (
    GranuleIndex,
    index_granules,
    list_bucket,
    what_was_found,
    write_index,
)
from smcloud.ingest.plan import (
    IngestTask,
    keys_of,
    plan_ingest,
    station_shards,
    station_tiles,
    task_bytes,
)
from smcloud.ingest.receipts import BadGranule, IngestReceipt, finished
from smcloud.ingest.stations import StationRules, station_points
from smcloud.production.cluster import refuse_memory_urls, smallest_worker_bytes, worker_threads
from smcloud.production.ingest_book import ReceiptBook
from smcloud.production.ledger import Ledger
from smcloud.production.runner import Task, run_tasks
from smcloud.production.stations_stage import StationsSummary, ingest_stations
from smcloud.products.registry import product_named
from smcloud.sources.base import Source
from smcloud.sources.registry import SOURCES

log = logging.getLogger(__name__)

NAMES_TOLD = 5
"""How many names a warning shows; all of them are in the summary file."""


@dataclass(frozen=True)
class IngestRequest:
    """One source to bring to cubes.

    Attributes
    ----------
    source : str
        Name in the registry, such as ``mod11a1``.
    from_url, to_url : str
        Where the granules lie, and the root that cubes, receipts and reports lie below.
    tiles : tuple of str
        Sinusoidal tiles; empty for all that have granules (or stations).
    years : tuple of int
        Years; static sources need none.
    quality : str
        Quality rule; empty for the source's default.
    points : tuple of (longitude, latitude) | None
        Restrict the work to shards that hold these points (degrees).
    redo : bool
        Run tasks again even where a receipt says that nothing changed.
    """

    source: str
    from_url: str
    to_url: str
    tiles: tuple[str, ...] = ()
    years: tuple[int, ...] = ()
    quality: str = ""
    points: tuple[tuple[float, float], ...] | None = None
    redo: bool = False


@dataclass(frozen=True)
class IngestSummary:
    """What an ingest of one source did, the finished tasks of earlier runs included.

    `missing` and `damaged` name tile and day or file; `duplicates` name the replaced files.
    """

    source: str
    tasks: int
    tasks_skipped: int
    granules_read: int
    missing: tuple[str, ...]
    damaged: tuple[BadGranule, ...]
    duplicates: tuple[str, ...]
    bytes_read: int
    bytes_written: int
    seconds: float
    report_url: str = ""


@dataclass(frozen=True)
class IngestResult:
    """What the ingest of a run did: a summary a source, and that of the stations if it read any."""

    sources: tuple[IngestSummary, ...]
    stations: StationsSummary | None


def run(
    config: RunConfig, client: Client | None, listener: Listener, *, redo: bool = False
) -> IngestResult:
    """Bring everything that a run's features need to cubes, and its stations to tables.

    The bucket is listed once for all sources. Sources whose cubes the run file names are left
    alone. With ``at = "stations"`` only the shards that hold stations are written, in the run's
    tiles.

    Raises
    ------
    As `ingest_source` and `ingest_stations`; ConfigError if the product or a feature is unknown.
    """
    root = config.store.root
    drivers = drivers_of(config)
    stations = _stations(config, client, listener)
    points = station_points(Layout(root).stations) if config.ingest.at == "stations" else None
    summaries = []
    listing: list[ObjectInfo] | None = None
    for driver in drivers:
        if driver.source in config.ingest.cubes:
            listener.note(
                f"{driver.source}: cubes at {config.ingest.cubes[driver.source]} are used"
            )
            continue
        listing = list_bucket(config.store.granules) if listing is None else listing
        request = IngestRequest(
            source=driver.source,
            from_url=config.store.granules,
            to_url=root,
            tiles=config.tiles,
            years=tuple(sorted({*config.years, *config.training_years})),
            quality=config.ingest.quality.get(driver.source, driver.quality),
            points=points,
            redo=redo,
        )
        summaries.append(ingest_source(request, client, listener, listing))
    return IngestResult(tuple(summaries), stations)


def _stations(
    config: RunConfig, client: Client | None, listener: Listener
) -> StationsSummary | None:
    """Return what the station archive held; None for a run file that names none."""
    if not config.store.granules and "://" not in config.stations.archive:
        listener.note("no station archive is named: the stations of an earlier ingest serve")
        return None
    rules = StationRules(config.stations.flags, config.stations.minimum_hours)
    return ingest_stations(config.station_archive, config.store.root, rules, client, listener)


def drivers_of(config: RunConfig) -> tuple[Driver, ...]:
    """Return the drivers that the features of a run need, in the order of its product."""
    product = product_named(config.product)
    names = config.train.features or product.features
    cubes = CubeSet({driver.source: "" for driver in product.drivers})
    needed = FeatureReader(features_named(names, product.drivers), product.drivers, cubes).sources
    return tuple(driver for driver in product.drivers if driver.source in needed)


def ingest_source(
    request: IngestRequest,
    client: Client | None,
    listener: Listener,
    listing: Sequence[ObjectInfo] | None = None,
) -> IngestSummary:
    """Bring the granules of one source to its cubes and return what was done.

    Parameters
    ----------
    request
        What to ingest.
    client
        Cluster to run on; None runs the tasks in this process.
    listener
        Is told of progress, and of missing, damaged and duplicate granules by name.
    listing
        Objects below `from_url`, if the caller has listed them already.

    Raises
    ------
    UserError
        If the source, tile, year or quality rule does not exist.
    NotFoundError
        If the bucket is absent, or no granule in it matches (the message says what was found).
    PlanError
        If a task cannot fit the smallest worker.
    StoreError
        If the target refuses.
    """
    started = time.perf_counter()
    request = replace(request, to_url=normalise_url(request.to_url))
    refuse_memory_urls(client, (request.from_url, request.to_url))
    source = source_named(request.source)
    found = list_bucket(request.from_url) if listing is None else listing
    index = index_granules(source, request.from_url, found)
    tasks = _planned(source, request, index, found)
    _check_memory(source, tasks, client)
    write_index(index, Layout(request.to_url).index(source.name))
    for store, year in sorted({(task.cube_url, task.key.year) for task in tasks}, key=str):
        create_store(store, source.schema, year)
    done = [] if request.redo else _finished(tasks)
    _tell_missing(tasks, listener)
    fresh = _run(tasks, done, client, listener)
    summary = _summary(source, index, tasks, [*done, *fresh], len(done))
    summary = replace(summary, seconds=round(time.perf_counter() - started, 2))
    return _reported(request, summary, listener)


def source_named(name: str) -> Source:
    """Return a source of the registry, or raise `UserError` listing the names."""
    if name not in SOURCES:
        raise UserError(
            f"unknown source {name!r}: expected one of {', '.join(sorted(SOURCES))}, or ismn"
        )
    return SOURCES[name]


def _planned(
    source: Source, request: IngestRequest, index: GranuleIndex, listing: Sequence[ObjectInfo]
) -> list[IngestTask]:
    """Return the tasks of a request; there is at least one."""
    tiles: Iterable[str] = request.tiles
    shards = None
    if request.points is not None:
        lon, lat = np.array(request.points, np.float64).reshape(-1, 2).T
        held = station_tiles(lon, lat)
        tiles = [tile for tile in held if tile in request.tiles] if request.tiles else held
        shards = None if source.schema.on.projected else station_shards(source.schema, lon, lat)
        if not tiles:
            raise UserError(
                f"no station lies in {', '.join(request.tiles)}: the stations are in "
                + (", ".join(held) or "no tile at all")
            )
    keys = keys_of(source, tiles, request.years, index)
    tasks = plan_ingest(
        source, index, request.to_url, keys, quality=request.quality, only_shards=shards
    )
    if not tasks:
        wanted = ", ".join(map(str, keys[:NAMES_TOLD])) or "any tile"
        raise NotFoundError(
            f"no {source.name} granule for {wanted} below {request.from_url}: "
            + what_was_found(index, listing, SOURCES.values())
            + "; name tiles and years that are there, or another place"
        )
    return tasks


def _check_memory(source: Source, tasks: Sequence[IngestTask], client: Client | None) -> None:
    if client is None or not source.schema.on.projected:
        return
    room = smallest_worker_bytes(client)
    needed = max(
        task_bytes(source.schema, task.key.window, source.schema.shards[0]) for task in tasks
    )
    if room and needed > room:
        raise PlanError(
            f"an ingest task of {source.name} needs {needed / 1e9:.1f} GB, but the smallest worker "
            f"has {room / 1e9:.1f} GB: start fewer workers, each with more memory"
        )


def _finished(tasks: Sequence[IngestTask]) -> list[IngestReceipt]:
    """Return the receipts of tasks whose inputs have not changed and whose shards are there."""
    stores = sorted({task.cube_url for task in tasks})
    stored = {url: {info.key for info in open_objects(url).list()} for url in stores}
    return finished(tasks, stored)


def _run(
    tasks: Sequence[IngestTask],
    done: Sequence[IngestReceipt],
    client: Client | None,
    listener: Listener,
) -> list[IngestReceipt]:
    """Run the tasks that are not done and return their receipts; each tile is entered when full."""
    names = {receipt.task for receipt in done}
    waiting = [task for task in tasks if task.name not in names]
    book = ReceiptBook(Ledger(tasks[0].to_url, f"ingest/{tasks[0].source}"), tasks)
    receipts: list[IngestReceipt] = []
    for receipt in done:
        book.add(receipt)
    if done:
        listener.note(f"{len(done)} of {counted(len(tasks), 'tasks')} done by an earlier run")
    listener.begin(f"ingest {tasks[0].source}", len(waiting), "tasks")

    def on_done(task: Task[IngestReceipt], receipt: IngestReceipt) -> None:
        receipts.append(receipt)
        for bad in receipt.damaged:
            listener.warn(f"damaged granule, its pixels stay unknown: {bad}")
        book.add(receipt)
        listener.advance(granules=sum(r.granules_read for r in receipts))

    try:
        run_tasks(
            client,
            (Task(task.name, ingest_slab, (task,)) for task in waiting),
            window=2 * worker_threads(client) if client else 1,
            on_done=on_done,
            listener=listener,
        )
    finally:
        listener.end()
    book.close()
    return receipts


def _tell_missing(tasks: Sequence[IngestTask], listener: Listener) -> None:
    missing: dict[TileYear, list[str]] = {}
    for task in tasks:
        missing.setdefault(task.key, []).extend(task.missing)
    for key, days in sorted(missing.items()):
        if days:
            shown = ", ".join(days[:NAMES_TOLD]) + (", ..." if len(days) > NAMES_TOLD else "")
            listener.warn(
                f"{tasks[0].source} {key}: {counted(len(days), 'steps')} without a granule, left "
                f"unknown: {shown}"
            )


def _summary(
    source: Source,
    index: GranuleIndex,
    tasks: Sequence[IngestTask],
    receipts: Sequence[IngestReceipt],
    skipped: int,
) -> IngestSummary:
    tiles = {task.key.tile for task in tasks} | {GLOBE}
    return IngestSummary(
        source=source.name,
        tasks=len(tasks),
        tasks_skipped=skipped,
        granules_read=sum(receipt.granules_read for receipt in receipts),
        missing=tuple(f"{task.key.tile} {day}" for task in tasks for day in task.missing),
        damaged=tuple(sorted({bad for receipt in receipts for bad in receipt.damaged})),
        duplicates=tuple(
            entry.granule.name for entry in index.duplicates if entry.granule.tile in tiles
        ),
        bytes_read=sum(receipt.bytes_read for receipt in receipts),
        bytes_written=sum(receipt.bytes_written for receipt in receipts),
        seconds=0.0,
    )


def _reported(request: IngestRequest, summary: IngestSummary, listener: Listener) -> IngestSummary:
    """Store the summary as JSON and return it with the URL of that file."""
    if summary.duplicates:
        files = counted(len(summary.duplicates), "files")
        listener.warn(
            f"{files} of {summary.source} left out: a newer "
            f"production of the same days is there, such as {summary.duplicates[0]}"
        )
    folder = Layout(request.to_url).reports("ingest")
    summary = replace(summary, report_url=join(folder, f"{summary.source}.json"))
    text = json.dumps(asdict(summary), sort_keys=True, indent=1) + "\n"
    open_objects(folder).put(f"{summary.source}.json", text.encode())
    return summary
