"""The ingest stage: one listing, plans, one pool of tasks on the cluster, receipts, summaries.

The tasks of all sources go through one window, so that no worker idles while the last task of a
source runs; plans, receipts, ledger and summaries stay those of each source.
"""

import json
import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.errors import NotFoundError, PlanError, UserError
from smcloud.core.layout import Layout, join
from smcloud.core.listener import Listener, counted
from smcloud.core.objects import ObjectInfo, normalise_url, open_objects
from smcloud.cube.store import create_store
from smcloud.features.derived import DERIVED
from smcloud.features.spec import Driver
from smcloud.grids.grid import SIN1KM, TILE_PIXELS, Floats, Window
from smcloud.grids.tiles import GLOBE, TileYear, parse_window
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
from smcloud.ingest.stations import station_points
from smcloud.production.cluster import refuse_memory_urls, smallest_worker_bytes, worker_threads
from smcloud.production.derived_stage import DerivedSummary, run_derived
from smcloud.production.drivers import drivers_of, extent_of, is_bridge, is_for_maps
from smcloud.production.ingest_book import ReceiptBook
from smcloud.production.ledger import Ledger
from smcloud.production.runner import Task, run_tasks
from smcloud.production.stations_stage import StationsSummary, ingest_named_stations
from smcloud.sources.base import KnowsItsDays, Source
from smcloud.sources.registry import SOURCES

log = logging.getLogger(__name__)

NAMES_TOLD = 5
"""How many names a warning shows; all of them are in the summary file."""
WITHOUT_BRIDGE = (
    "; or set downscale.bridge = 'climatology' or 'none' in the run file: the sensors that it "
    "stands between are joined without it"
)
LATTICE_PIXELS = 5
"""Steps between the points that stand for a window: less than a cell of the finest coarse grid."""


Points = tuple[tuple[float, float], ...]
"""Longitude and latitude of each, degrees."""


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
    parts : tuple of Window
        Beside `points`: windows of the output grid whose shards are written too.
    redo : bool
        Run tasks again even where a receipt says that nothing changed.
    advice : str
        What else may be done where no granule is there; the end of that error's line.
    """

    source: str
    from_url: str
    to_url: str
    tiles: tuple[str, ...] = ()
    years: tuple[int, ...] = ()
    quality: str = ""
    points: Points | None = None
    parts: tuple[Window, ...] = ()
    redo: bool = False
    advice: str = ""


@dataclass(frozen=True)
class IngestSummary:
    """What an ingest of one source did, the finished tasks of earlier runs included.

    `missing` and `damaged` name tile and day or file; `duplicates` name the replaced files.
    `seconds` are those that workers spent on the tasks of this run.
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
    """What the ingest of a run did.

    Summaries of each source, of the stations if it read any, of each cube made of other cubes.
    """

    sources: tuple[IngestSummary, ...]
    stations: StationsSummary | None
    derived: tuple[DerivedSummary, ...] = ()


def run(
    config: RunConfig, client: Client | None, listener: Listener, *, redo: bool = False
) -> IngestResult:
    """Bring what a run's features and references need to cubes, and its stations to tables.

    The bucket is listed once for all sources. Sources whose cubes the run file names are left
    alone. With ``at = "stations"`` only the shards that hold stations are written, in the run's
    tiles, and those of the tiles or window that ``[produce]`` names.

    Raises
    ------
    As `ingest_sources` and `ingest_named_stations`; ConfigError if the product or a feature is
    unknown.
    """
    root = config.store.root
    drivers = drivers_of(config)
    stations = ingest_named_stations(config, client, listener, redo=redo)
    points = station_points(Layout(root).stations) if config.ingest.at == "stations" else None
    requests, derived = [], []
    for driver in drivers:
        if driver.source in config.ingest.cubes:
            listener.note(
                f"{driver.source}: cubes at {config.ingest.cubes[driver.source]} are used"
            )
        elif driver.source in DERIVED:
            derived.append(driver.source)
        else:
            requests.append(replace(_request(config, driver, points), redo=redo))
    if derived and points is not None:
        raise UserError(
            f"{derived[0]} is made of whole tiles, and ingest.at = 'stations' leaves most of them "
            "out: take that key out of the run file"
        )
    compared = {one.source for one in requests if is_for_maps(config, one.source)}
    done = ingest_sources(requests, client, listener, optional=compared)
    return IngestResult(done, stations, run_derived(config, derived, client, listener, redo=redo))


def _request(config: RunConfig, driver: Driver, points: Points | None) -> IngestRequest:
    """Return what a run needs of one source; `points` are its stations, if only those are."""
    tiles, years = extent_of(config, driver.source)
    parts = _named_parts(config)
    if parts and points is not None and is_for_maps(config, driver.source):
        points = ()
    return IngestRequest(
        source=driver.source,
        from_url=config.store.granules,
        to_url=config.store.root,
        tiles=tiles,
        years=years,
        quality=config.ingest.quality.get(driver.source, driver.quality),
        points=points,
        parts=parts,
        advice=WITHOUT_BRIDGE if is_bridge(driver.source) else "",
    )


def _named_parts(config: RunConfig) -> tuple[Window, ...]:
    """Return what a run produces, where its run file says so; a study of stations says nothing."""
    if not config.produce.tiles and not config.produce.window:
        return ()
    whole = f"{TILE_PIXELS}x{TILE_PIXELS}"
    return tuple(parse_window(config.produce.window or whole, t) for t in config.produced_tiles)


def ingest_sources(
    requests: Sequence[IngestRequest],
    client: Client | None,
    listener: Listener,
    *,
    optional: Collection[str] = (),
) -> tuple[IngestSummary, ...]:
    """Bring the granules of some sources to their cubes and return what was done, in their order.

    Nothing is read or written before all sources are planned.

    Parameters
    ----------
    requests
        What to ingest, one a source; each bucket is listed once.
    client
        Cluster to run on; None runs the tasks in this process.
    listener
        Is told of progress, and of missing, damaged and duplicate granules by name.
    optional
        Sources that maps are compared with: one without a granule is told in a line and left out.

    Raises
    ------
    UserError
        If a source, tile, year or quality rule does not exist.
    NotFoundError
        If the bucket is absent, or no granule in it matches (the message says what was found).
    PlanError
        If a task cannot fit the smallest worker.
    StoreError
        If the target refuses.
    """
    listings: dict[str, list[ObjectInfo]] = {}
    jobs = []
    for asked in requests:
        request = replace(asked, to_url=normalise_url(asked.to_url))
        refuse_memory_urls(client, (request.from_url, request.to_url))
        source = source_named(request.source)
        if request.from_url not in listings:
            listings[request.from_url] = list_bucket(request.from_url)
        try:
            jobs.append(_Job.planned(source, request, listings[request.from_url]))
        except NotFoundError as err:
            if request.source not in optional:
                raise NotFoundError(f"{err}{request.advice}") from err
            listener.warn(f"{request.source}: the maps are not compared with it: {err}")
            continue
        _check_memory(source, jobs[-1].tasks, client)
    for job in jobs:
        job.prepare(listener)
    if jobs:
        _run(jobs, client, listener)
    return tuple(_reported(job, listener) for job in jobs)


def source_named(name: str) -> Source:
    """Return a source of the registry, or raise `UserError` listing the names."""
    if name in DERIVED:
        raise UserError(
            f"{name} has no granules, it is made of {', '.join(DERIVED[name].sources)}: ingest it "
            "with a run file whose product needs it"
        )
    if name not in SOURCES:
        raise UserError(
            f"unknown source {name!r}: expected one of {', '.join(sorted(SOURCES))}, or ismn"
        )
    return SOURCES[name]


@dataclass
class _Job:
    """One source of an ingest.

    Attributes
    ----------
    request, source, index
        What is asked, its reader, and the granules that were found.
    tasks : list of IngestTask
        The plan; there is at least one.
    done, fresh : list of IngestReceipt
        Those of earlier runs that still hold, and those of this run.
    """

    request: IngestRequest
    source: Source
    index: GranuleIndex
    tasks: list[IngestTask]
    done: list[IngestReceipt] = field(default_factory=list)
    fresh: list[IngestReceipt] = field(default_factory=list)

    @classmethod
    def planned(
        cls, source: Source, request: IngestRequest, listing: Sequence[ObjectInfo]
    ) -> "_Job":
        """Return the plan of a request; nothing is written yet."""
        index = index_granules(source, request.from_url, listing)
        return cls(request, source, index, _planned(source, request, index, listing))

    def prepare(self, listener: Listener) -> None:
        """Write index and empty stores, and find what an earlier run has done."""
        write_index(self.index, Layout(self.request.to_url).index(self.source.name))
        stores = {(task.cube_url, task.key.year) for task in self.tasks}
        for store, year in sorted(stores, key=str):
            create_store(store, self.source.schema, year)
        self.done = [] if self.request.redo else _finished(self.tasks)
        _tell_missing(self.tasks, listener)
        _tell_outages(self.source, self.tasks, listener)
        if self.done:
            count = f"{len(self.done)} of {counted(len(self.tasks), 'tasks')}"
            listener.note(f"{self.source.name}: {count} done by an earlier run")

    @property
    def waiting(self) -> list[IngestTask]:
        """Return the tasks that are not done."""
        names = {receipt.task for receipt in self.done}
        return [task for task in self.tasks if task.name not in names]

    @property
    def bytes_a_task(self) -> float:
        """Return the mean size of what a task reads."""
        sizes = (entry.size for task in self.tasks for entry in task.granules)
        return sum(sizes) / len(self.tasks)


def _planned(
    source: Source, request: IngestRequest, index: GranuleIndex, listing: Sequence[ObjectInfo]
) -> list[IngestTask]:
    """Return the tasks of a request; there is at least one."""
    tiles: Iterable[str] = request.tiles
    shards = None
    if request.points is not None:
        lon, lat = _places(request.points, request.parts)
        held = station_tiles(lon, lat)
        tiles = [tile for tile in held if tile in request.tiles] if request.tiles else held
        shards = None if source.schema.on.is_fine else station_shards(source.schema, lon, lat)
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


def _places(points: Points, parts: Sequence[Window]) -> tuple[Floats, Floats]:
    """Return longitude and latitude (n,) of points, and of a lattice over windows."""
    found = [np.array(points, np.float64).reshape(-1, 2)]
    for part in parts:
        lon, lat = SIN1KM.lonlat(part)
        lattice = np.ix_(*(np.unique(np.r_[0:n:LATTICE_PIXELS, n - 1]) for n in part.shape))
        found.append(np.stack([lon[lattice], lat[lattice]], -1).reshape(-1, 2))
    places = np.concatenate(found)
    places = places[np.isfinite(places).all(axis=1)]
    return places[:, 0], places[:, 1]


def _check_memory(source: Source, tasks: Sequence[IngestTask], client: Client | None) -> None:
    if client is None:
        return
    room = smallest_worker_bytes(client)
    needed = max(task_bytes(source, task) for task in tasks)
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


def _run(jobs: Sequence[_Job], client: Client | None, listener: Listener) -> None:
    """Run the tasks that are not done, of all sources together; a tile is entered when full."""
    books = {job.source.name: _book_of(job) for job in jobs}
    by_source = {job.source.name: job for job in jobs}
    # The sources with the longest tasks first: short ones fill the gaps at the end.
    ordered = sorted(jobs, key=lambda job: -job.bytes_a_task)
    waiting = [task for job in ordered for task in job.waiting]
    what = jobs[0].source.name if len(jobs) == 1 else f"{len(jobs)} sources"
    listener.begin(f"ingest {what}", len(waiting), "tasks")

    def on_done(task: Task[IngestReceipt], receipt: IngestReceipt) -> None:
        by_source[receipt.source].fresh.append(receipt)
        for bad in receipt.damaged:
            listener.warn(f"damaged granule, its pixels stay unknown: {bad}")
        books[receipt.source].add(receipt)
        read = (done.granules_read for job in jobs for done in job.fresh)
        listener.advance(granules=sum(read))

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
    for book in books.values():
        book.close()


def _book_of(job: _Job) -> ReceiptBook:
    """Return the receipt book of a source with the receipts of earlier runs in it."""
    ledger = Ledger(job.request.to_url, f"ingest/{job.source.name}")
    book = ReceiptBook(ledger, job.tasks)
    for receipt in job.done:
        book.add(receipt)
    return book


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


def _tell_outages(source: Source, tasks: Sequence[IngestTask], listener: Listener) -> None:
    """Name the periods of the planned years in which nothing was produced: nothing is missing."""
    if not isinstance(source, KnowsItsDays):
        return
    years = {task.key.year for task in tasks}
    for outage in source.outages:
        if years.intersection(range(outage.first.year, outage.last.year + 1)):
            listener.note(
                f"{source.name}: not produced from {outage.first} to {outage.last}: {outage.reason}"
            )


def _summary(job: _Job) -> IngestSummary:
    tiles = {task.key.tile for task in job.tasks} | {GLOBE}
    receipts = [*job.done, *job.fresh]
    return IngestSummary(
        source=job.source.name,
        tasks=len(job.tasks),
        tasks_skipped=len(job.done),
        granules_read=sum(receipt.granules_read for receipt in receipts),
        missing=tuple(f"{task.key.tile} {day}" for task in job.tasks for day in task.missing),
        damaged=tuple(sorted({bad for receipt in receipts for bad in receipt.damaged})),
        duplicates=tuple(
            entry.granule.name for entry in job.index.duplicates if entry.granule.tile in tiles
        ),
        bytes_read=sum(receipt.bytes_read for receipt in receipts),
        bytes_written=sum(receipt.bytes_written for receipt in receipts),
        seconds=round(sum(receipt.seconds for receipt in job.fresh), 2),
    )


def _reported(job: _Job, listener: Listener) -> IngestSummary:
    """Store the summary as JSON and return it with the URL of that file."""
    summary = _summary(job)
    if summary.duplicates:
        files = counted(len(summary.duplicates), "files")
        listener.warn(
            f"{files} of {summary.source} left out: a newer "
            f"production of the same days is there, such as {summary.duplicates[0]}"
        )
    folder = Layout(job.request.to_url).reports("ingest")
    summary = replace(summary, report_url=join(folder, f"{summary.source}.json"))
    text = json.dumps(asdict(summary), sort_keys=True, indent=1) + "\n"
    open_objects(folder).put(f"{summary.source}.json", text.encode())
    return summary
