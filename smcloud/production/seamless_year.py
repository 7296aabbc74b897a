"""The produce stage of seamless: segments of time are filled, then each block of a year is written.

Days are filled one after the other over the whole region, so the work is cut along time: a segment
begins some days before those it keeps, by which time the recursion has forgotten its start, and
lies below ``work/`` until the year is published. Blocks put what was observed and what was filled
together.
"""

import logging
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
from dask.utils import parse_bytes
from distributed import Client
from numpy.typing import NDArray

from smcloud.core.config import RunConfig
from smcloud.core.errors import ModelError, PlanError, StoreError
from smcloud.core.layout import join, year_store
from smcloud.core.listener import Listener, counted
from smcloud.core.memory import peak_bytes
from smcloud.core.objects import open_objects
from smcloud.cube.schema import Array, CubeSchema, shard_index
from smcloud.cube.store import create_store, encode_shard, hash_values, open_cube, shard_key
from smcloud.features.derived import schema_named
from smcloud.grids.grid import Window
from smcloud.ingest.plan import PROCESS_BYTES
from smcloud.models.gap_reasons import GapReason
from smcloud.models.seamless_files import SeamlessCard, load_net, load_net_card, require_torch
from smcloud.models.seamless_rules import Device, SeamlessShape, segments
from smcloud.production.block import BlockReceipt, Clock, read_receipt, write_receipt
from smcloud.production.cluster import refuse_memory_urls, smallest_worker_bytes, worker_threads
from smcloud.production.coarse_year import (
    CoarseSummary,
    CoarseYear,
    Groundwork,
    Redo,
    Target,
    YearPlan,
    waiting_blocks,
    write_block,
)
from smcloud.production.lease import hold
from smcloud.production.ledger import combined_hash
from smcloud.production.runner import Task, run_tasks
from smcloud.production.seamless_inputs import (
    DAY,
    GapFields,
    Region,
    RunInputs,
    inputs_of,
    year_normals,
)
from smcloud.products.base import Product
from smcloud.products.seamless import GAPS, MOISTURE, REASON, SCHEMA

if TYPE_CHECKING:
    from smcloud.models.seamless import SeamlessNet

log = logging.getLogger(__name__)

FORMAT = 2
"""Raised when equal fields and networks give other stored values."""
SLAB_DAYS = SCHEMA.chunks[0]
"""The shortest segment."""
TILE = 96
"""Cells along the side of what the network sees at once."""
BYTES_A_CELL_DAY = 26
"""Moisture as read, twice as filled, rain, the weight of each value, and a cube's values while they
are read."""
BYTES_A_CELL = 600
"""Stacks of a day, and what the network makes of a tile of it."""
MASKED = {
    "swath": GapReason.SWATH,
    "failed": GapReason.FAILED,
    "frozen": GapReason.FROZEN,
    "dense": GapReason.DENSE,
    "outage": GapReason.OUTAGE,
    "unknown": GapReason.UNKNOWN,
}
"""Words of a run file."""


@dataclass(frozen=True)
class FillTask:
    """One segment of days to fill: URLs, keys and records, never data.

    Attributes
    ----------
    read : (datetime64, datetime64)
        First and last day that are filled, spin-up and days ahead included.
    days : slice
        Steps of the year that are kept.
    folder : str
        Below which the segments of this year lie.
    """

    fields: GapFields
    region: Region
    schema: CubeSchema
    year: int
    slab: int
    days: slice
    read: tuple[np.datetime64, np.datetime64]
    folder: str
    models: str
    model: str
    model_sha256: str
    device: Device
    input_hash: str

    @property
    def name(self) -> str:
        """Return the readable key, as ``fill-2015-s03``."""
        return f"fill-{self.year}-s{self.slab:02d}"

    @property
    def store(self) -> str:
        """Return the URL of the store of the filled days."""
        return join(self.folder, "filled.zarr")

    @property
    def receipts(self) -> str:
        """Return the prefix of the receipts."""
        return join(self.folder, "receipts")

    @property
    def receipt_key(self) -> str:
        """Return the key of the receipt."""
        return f"{self.name}.json"


@dataclass(frozen=True)
class WriteTask:
    """One block of a year to write: URLs, keys and records, never data."""

    target: Target
    region: Region
    moisture: str
    filled: str
    schema: CubeSchema
    masked: tuple[int, ...]


@dataclass(frozen=True)
class GapPlan:
    """What a run of the stage would do for one year."""

    year: int
    blocks: int
    waiting: int
    segments: int
    """Segments of time that are not filled yet."""
    rows: int
    """Cell-days of the waiting blocks."""
    bytes: int
    """Memory that a segment takes at most."""


def run_produce(
    config: RunConfig,
    product: Product,
    client: Client | None,
    listener: Listener,
    *,
    redo: Redo = "missing",
) -> CoarseSummary:
    """Fill the years of a run and publish each when it is complete and verified.

    Raises
    ------
    BusyError
        If another run holds the lease of the product.
    MissingExtraError
        If torch is not installed.
    CubeError, NotFoundError, ModelError
        If a cube or the network is not what it must be.
    PlanError
        If a segment cannot fit a worker.
    IntegrityError
        If what was written does not read back as it was, or damage cannot be restored.
    """
    refuse_memory_urls(client, (config.store.root, *config.ingest.cubes.values()))
    card = _card(config)
    inputs = inputs_of(config, client, listener)
    check_memory(config, inputs.region, client)
    years = []
    with hold(config.store.root, product.name, config.produce.heartbeat_seconds, listener) as lease:
        for year in sorted(set(config.produced_years)):
            tasks = fill_tasks(config, inputs, card, year)
            plan = _year_plan(config, product, inputs, tasks)
            writer = _Writer(inputs, tasks[0], config.seamless.masked)
            before = Groundwork(partial(_fill, tasks, client, listener), partial(_receipts, tasks))
            made = CoarseYear(config, plan, writer.task, lease, client, listener, before=before)
            years.append(made.produce(redo))
            _tidy(config, year)
    return CoarseSummary(product.name, tuple(years))


def plan_seamless(config: RunConfig, product: Product, listener: Listener) -> tuple[GapPlan, ...]:
    """Return what `run_produce` would do, after refusing what cannot fit a worker."""
    card, inputs = _card(config), inputs_of(config, None, listener)
    check_memory(config, inputs.region, None)
    found = []
    for year in sorted(set(config.produced_years)):
        tasks = fill_tasks(config, inputs, card, year)
        plan = _year_plan(config, product, inputs, tasks)
        waiting = waiting_blocks(config, plan)
        cells = sum(int(inputs.region.land_in(block.window).sum()) for block in waiting)
        rows = cells * len(SCHEMA.times(year))
        left = len(_waiting(tasks)) if waiting else 0
        needed = segment_bytes(config, inputs.region)
        found.append(GapPlan(year, len(plan.blocks), len(waiting), left, rows, needed))
    return tuple(found)


def segment_bytes(config: RunConfig, region: Region) -> int:
    """Return the peak bytes of one segment, generously."""
    shape, said = SeamlessShape(), config.seamless
    days = said.segment_days + said.spin_up_days + shape.days
    rows, cols = region.window.shape
    return rows * cols * (days * BYTES_A_CELL_DAY + BYTES_A_CELL)


def check_memory(config: RunConfig, region: Region, client: Client | None) -> None:
    """Raise `PlanError` if a segment cannot fit the smallest worker that a run has or will have."""
    needed = segment_bytes(config, region) + PROCESS_BYTES
    room = smallest_worker_bytes(client) if client else int(parse_bytes(config.cluster.memory))
    if room and needed > room:
        said = config.seamless
        lower = "segment_days" if said.segment_days > SLAB_DAYS else "spin_up_days"
        raise PlanError(
            f"a segment of {said.segment_days} days with {said.spin_up_days} days before it needs "
            f"{needed / 1e9:.1f} GB, but the smallest worker has {room / 1e9:.1f} GB: lower "
            f"seamless.{lower}, or start fewer workers, each with more memory"
        )


def _card(config: RunConfig) -> SeamlessCard:
    return load_net_card(open_objects(config.layout.model("")), config.model_name)


def fill_tasks(
    config: RunConfig, inputs: RunInputs, card: SeamlessCard, year: int
) -> list[FillTask]:
    """Return the segments of a year, filled or not."""
    said, shape = config.seamless, SeamlessShape(**card.shape)
    days = SCHEMA.times(year)
    start, end = inputs.fields.span(year, said.spin_up_days, shape.days)
    reach = range(int(str(start)[:4]), int(str(end)[:4]) + 1)
    shaping = [FORMAT, inputs.states_in(reach), inputs.region.sha256, card.sha256]
    input_hash = combined_hash(
        [*shaping, said.segment_days, said.spin_up_days, config.train.device]
    )
    found = []
    for slab, segment in enumerate(segments(len(days), said.segment_days, 0, 0)):
        kept = segment.read
        first = max(days[kept.start] - said.spin_up_days * DAY, start)
        last = min(days[kept.stop - 1] + shape.days * DAY, end)
        found.append(
            FillTask(
                inputs.fields,
                inputs.region,
                fillings_schema(said.segment_days),
                year,
                slab,
                kept,
                (first, last),
                config.layout.work("seamless", year, f"fill-{input_hash[:12]}"),
                config.layout.model(""),
                card.name,
                card.sha256,
                config.train.device,
                input_hash,
            )
        )
    return found


def fillings_schema(segment_days: int) -> CubeSchema:
    """Return the store that segments leave to blocks: a shard of each is written by one task."""
    side = SCHEMA.shards[1]
    return replace(
        SCHEMA,
        name="seamless_fillings",
        variables=(replace(SCHEMA.variable(MOISTURE), attrs={}),),
        shards=(segment_days, side, side),
        title="Fields with all gaps filled, before they are masked",
        codec="lz4",
    )


def _year_plan(
    config: RunConfig, product: Product, inputs: RunInputs, tasks: list[FillTask]
) -> YearPlan:
    """Return what a year is to be."""
    year, task = tasks[0].year, tasks[0]
    shaping = [FORMAT, product.version, product.schema.version, task.input_hash]
    masked = sorted(set(config.seamless.masked))
    dry = () if year in inputs.fields.wet_years else (f"{year}: filled without precipitation",)
    return YearPlan(
        product.name,
        product.schema,
        year,
        inputs.region.blocks(),
        combined_hash([*shaping, masked, inputs.states_in((year,))]),
        {"references": product.reference, "source": f"model {task.model} {task.model_sha256}"},
        dry,
    )


def _waiting(tasks: list[FillTask]) -> list[FillTask]:
    """Return the segments that are not filled yet."""
    done = {receipt.block for receipt in _receipts(tasks)}
    return [task for task in tasks if task.name not in done]


def _receipts(tasks: list[FillTask]) -> list[BlockReceipt]:
    """Return the receipts of the segments that are filled of the same inputs."""
    stored = {info.key for info in open_objects(tasks[0].receipts).list()}
    there = [task for task in tasks if task.receipt_key in stored]
    found = [read_receipt(task.receipts, task.receipt_key) for task in there]
    known = tasks[0].input_hash
    return [one for one in found if one is not None and one.input_hash == known]


def _tidy(config: RunConfig, year: int) -> None:
    """Delete the fillings of a published year; without the right to, they stay.

    Damage that is found later is restored from fillings that are made anew.
    """
    work = open_objects(config.layout.work("seamless", year, ""))
    try:
        for info in work.list():
            work.delete(info.key)
    except StoreError as err:
        log.warning("fillings stay at %s: %s", work.url, err)


def _fill(tasks: list[FillTask], client: Client | None, listener: Listener) -> None:
    """Fill the segments that are not filled yet."""
    require_torch()
    waiting = _waiting(tasks)
    if not waiting:
        return
    create_store(tasks[0].store, tasks[0].schema, tasks[0].year)
    if len(waiting) < len(tasks):
        done = f"{len(tasks) - len(waiting)} of {counted(len(tasks), 'segments')}"
        listener.note(f"{tasks[0].year}: {done} filled by an earlier run")

    def keep(task: Task[BlockReceipt], receipt: BlockReceipt) -> None:
        listener.advance(1, last=task.key)

    listener.begin(f"fill {tasks[0].year}", len(waiting), "segments")
    try:
        run_tasks(
            client,
            (Task(task.name, fill_segment, (task,)) for task in waiting),
            window=worker_threads(client) if client else 1,
            on_done=keep,
            listener=listener,
        )
    finally:
        listener.end()


def fill_segment(task: FillTask) -> BlockReceipt:
    """Fill the days of one segment and store those that are kept: the task of a worker."""
    from smcloud.models.seamless import fill_days

    clock, window, land = Clock(), task.region.window, task.region.land()
    days = np.arange(task.read[0], task.read[1] + DAY)
    with clock.step("read"):
        observed = task.fields.observed(days, window)
        rain = task.fields.wetted(days, window)
        normal = year_normals(task.fields, task.region, task.year).field()
    with clock.step("predict"):
        observed[:, ~land] = np.nan
        if np.isfinite(observed).any():  # else nothing is known around: these days stay unknown
            net = _net(task.models, task.model, task.model_sha256, task.device)
            observed = fill_days(
                net, observed, land, rain, normal=normal, tile=TILE,
                circular=task.region.circular, device=task.device,
            )  # fmt: skip
    first = int((SCHEMA.times(task.year)[task.days.start] - days[0]) / DAY)
    kept = observed[first : first + task.days.stop - task.days.start]
    packed = task.schema.variable(MOISTURE).pack(kept)
    hashes, stored_bytes = {}, 0
    for block in task.region.blocks():
        values = _cut_out(packed, window, block.window, task.schema.variable(MOISTURE).fill_value)
        key = shard_key(MOISTURE, shard_index(task.schema, block.window, task.slab))
        hashes[key] = hash_values(values)
        with clock.step("encode"):
            data = encode_shard(task.schema, task.schema.variable(MOISTURE), values)
        with clock.step("write"):
            open_objects(task.store).put(key, data)
        stored_bytes += len(data)
    rows = int(land.sum()) * len(kept)
    seconds = clock.rounded()
    receipt = BlockReceipt(
        task.name, task.input_hash, hashes, rows, stored_bytes, seconds, peak_bytes()
    )
    write_receipt(task.receipts, task.receipt_key, receipt)
    return receipt


def _cut_out(values: Array, window: Window, wanted: Window, fill: int) -> Array:
    """Return stored values (days, rows, cols) of a window; fill outside what is known."""
    found = np.full((len(values), *wanted.shape), fill, values.dtype)
    inside = wanted.intersect(window)
    if inside is not None:
        found[(slice(None), *inside.within(wanted))] = values[(slice(None), *inside.within(window))]
    return found


@dataclass(frozen=True)
class _Writer:
    """Makes the tasks of the blocks of a year."""

    inputs: RunInputs
    fill: FillTask
    masked: tuple[str, ...]

    def task(self, target: Target) -> Task[BlockReceipt]:
        """Return the task of one block."""
        task = WriteTask(
            target,
            self.inputs.region,
            self.inputs.fields.moisture,
            self.fill.store,
            self.fill.schema,
            tuple(int(MASKED[word]) for word in sorted(set(self.masked))),
        )
        return Task(target.name, write_filled, (task,))


def write_filled(task: WriteTask) -> BlockReceipt:
    """Write one block of a year, then its receipt: the task of a worker.

    Raises
    ------
    IntegrityError
        If a repair comes to other values than those in the ledger; nothing is written then.
    """
    target, clock = task.target, Clock()
    window, year = target.block.window, target.key.year or 0
    land, steps = task.region.land_in(window), slice(0, len(SCHEMA.times(year)))
    with clock.step("read"):
        cube = open_cube(join(task.moisture, year_store(year)), schema_named(GAPS), year)
        observed, reason = (
            cube.read(one, steps, window, required=False) for one in (MOISTURE, REASON)
        )
        filled = open_cube(task.filled, task.schema, year).read(MOISTURE, steps, window)
    values = {
        MOISTURE: put_together(observed, filled, reason, land, task.masked),
        REASON: reason,
    }
    return write_block(target, SCHEMA, values, int(land.sum()) * steps.stop, clock)


def put_together(
    observed: Array,
    filled: Array,
    reason: Array,
    land: NDArray[np.bool_],
    masked: tuple[int, ...],
) -> Array:
    """Return stored soil moisture (days, rows, cols): as observed, filled, or unknown.

    Parameters
    ----------
    observed, filled, reason
        As stored, (days, rows, cols).
    land
        The region (rows, cols): nothing is filled elsewhere.
    masked
        Reasons whose gaps stay unknown.
    """
    fill = SCHEMA.variable(MOISTURE).fill_value
    is_gap = observed == fill
    wanted = is_gap & land & ~np.isin(reason, masked)
    return np.where(wanted, filled, observed)


@lru_cache(maxsize=1)
def _net(models: str, name: str, sha256: str, device: Device) -> "SeamlessNet":
    """Load a network once per process; the hash is part of the key, so another is loaded anew."""
    net, card = load_net(open_objects(models), name, device)
    if card.sha256 != sha256:
        raise ModelError(
            f"model {name!r} was replaced while the run was going on: expected sha256 "
            f"{sha256[:12]}, found {card.sha256[:12]}; run the same command again"
        )
    return net
