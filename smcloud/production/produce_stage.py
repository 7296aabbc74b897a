"""The produce stage: blocks on the cluster, receipts into the ledger, one pointer at the end."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from dask.utils import parse_bytes
from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.errors import IntegrityError
from smcloud.core.listener import Listener, counted
from smcloud.cube.store import create_store
from smcloud.grids.tiles import window_text
from smcloud.production.block import STEPS, BlockReceipt, copy_block, receipt_key
from smcloud.production.cluster import (
    most_threads,
    refuse_memory_urls,
    smallest_worker_bytes,
    worker_threads,
)
from smcloud.production.downscaled_year import Place
from smcloud.production.lease import Lease, hold
from smcloud.production.ledger import Ledger, Record, combined_hash
from smcloud.production.making import making_of
from smcloud.production.passes import seconds_of
from smcloud.production.plan import check_fits, plan_year
from smcloud.production.planned import PlannedBlock, State, TilePlan, YearPlan
from smcloud.production.recipe import Recipe, recipe_of
from smcloud.production.runner import Task, run_tasks
from smcloud.production.verify import NO_BLOCK, Damage, verify_records
from smcloud.production.versions import Pointer, read_pointer, write_pointer

log = logging.getLogger(__name__)

Redo = Literal["missing", "damaged", "all"]
DAMAGES_TOLD = 5


@dataclass(frozen=True)
class YearSummary:
    """What a run did for one year; counts are of this run unless they say otherwise."""

    year: int
    version: str
    store: str
    tiles: int
    blocks: int
    """Blocks of the year with land, whoever made them."""
    made: int
    copied: int
    kept: int
    """Blocks that an earlier run had finished."""
    repaired: int
    rows: int
    """Land pixel-days made by this run."""
    wall_seconds: float
    seconds: dict[str, float]
    """Core-seconds of this run in each step: read, features, predict, encode, write."""
    peak_bytes: int
    passes: dict[str, float]
    """Core-seconds of this run in each pass before the blocks; empty where there is none."""


@dataclass(frozen=True)
class ProduceSummary:
    """What a run of the produce stage did."""

    product: str
    years: tuple[YearSummary, ...]


def run(
    config: RunConfig, client: Client | None, listener: Listener, *, redo: Redo = "missing"
) -> ProduceSummary:
    """Produce the years of a run and publish each when it is complete and verified.

    Only what is missing is done. A killed run is continued by the same call, and its store is
    byte for byte that of an unbroken run.

    Parameters
    ----------
    client
        Cluster to run on; None runs everything in this process.
    redo
        ``damaged`` verifies first and restores what is damaged; ``all`` writes a new revision
        beside the published one.

    Raises
    ------
    BusyError
        If another run holds the lease of the product.
    PlanError
        If a block cannot fit a worker.
    CubeError, NotFoundError, ModelError
        If a driver or the model is not what it must be.
    StoreFullError, StoreError
        If the store is full or refuses; what is finished stays, nothing is half written.
    IntegrityError
        If what was written does not read back as it was, or damage cannot be restored.
    """
    refuse_memory_urls(client, (config.store.root, *config.ingest.cubes.values()))
    recipe = recipe_of(config)
    beat = config.produce.heartbeat_seconds
    years = []
    with hold(config.store.root, recipe.product.name, beat, listener) as lease:
        for year in sorted(set(config.produced_years)):
            plan = plan_year(recipe, year, anew=redo == "all")
            threads = config.cluster.threads if client is None else most_threads(client)
            check_fits(plan, worker_bytes(config, client), threads)
            work = _Year(recipe, plan, lease, client, listener)
            if redo == "damaged":
                work.repair()
            years.append(work.produce())
    return ProduceSummary(recipe.product.name, tuple(years))


def worker_bytes(config: RunConfig, client: Client | None) -> int:
    """Return the memory limit of the smallest worker that a run has, or will have, in bytes."""
    if client is not None:
        return smallest_worker_bytes(client)
    return int(parse_bytes(config.cluster.memory))


@dataclass
class _Tally:
    """What came in from the workers during this run."""

    made: int = 0
    copied: int = 0
    repaired: int = 0
    rows: int = 0
    retries: float | str = 0
    peak_bytes: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STEPS, 0.0))
    started: float = field(default_factory=time.perf_counter)
    begun: float = field(default_factory=time.perf_counter)
    """When the first of the blocks that are counted was handed out."""

    def count(self, receipt: BlockReceipt) -> None:
        self.rows += receipt.rows
        self.peak_bytes = max(self.peak_bytes, receipt.peak_bytes)
        for step, seconds in receipt.seconds.items():
            self.seconds[step] += seconds

    def figures(self) -> dict[str, float | str]:
        """Return what is shown beside the progress bar."""
        elapsed = max(time.perf_counter() - self.begun, 1e-6)
        shown: dict[str, float | str] = {"land_rows_per_s": self.rows / elapsed}
        return shown | ({"retries": self.retries} if self.retries else {})


class _Retelling:
    """A listener that keeps the count of retries in sight of every later step."""

    def __init__(self, tally: _Tally, listener: Listener) -> None:
        self._tally, self._listener = tally, listener

    def begin(self, stage: str, total: int, unit: str) -> None:
        self._listener.begin(stage, total, unit)

    def advance(self, steps: int = 1, **figures: float | str) -> None:
        self._tally.retries = figures.get("retries", self._tally.retries)
        self._listener.advance(steps, **self._tally.figures())

    def note(self, text: str) -> None:
        self._listener.note(text)

    def warn(self, text: str) -> None:
        self._listener.warn(text)

    def end(self) -> None:
        self._listener.end()


class _Year:
    """The work on one year: it owns the ledger while it lasts, workers own nothing."""

    def __init__(
        self,
        recipe: Recipe,
        plan: YearPlan,
        lease: Lease,
        client: Client | None,
        listener: Listener,
    ) -> None:
        self.recipe, self.plan, self.lease = recipe, plan, lease
        self.client, self.listener = client, listener
        self.layout = recipe.config.layout
        self.product = recipe.product.name
        self.store = self.layout.store(self.product, plan.year, plan.version)
        root = recipe.config.store.root
        self.ledger = Ledger(root, f"produce/{self.product}", lease.check)
        self.tally = _Tally()
        self.making = making_of(recipe, plan, client, listener)
        self.receipts = {
            tile.key.tile: {b.number: b.receipt for b in tile.blocks if b.receipt is not None}
            for tile in plan.tiles
        }

    def produce(self) -> YearSummary:
        """Do what is missing, fold it into the ledger, verify and publish."""
        waiting = [tile for tile in self.plan.tiles if tile.state is not State.DONE]
        if waiting and self.plan.is_published:
            raise IntegrityError(
                f"the ledger lost the records of {waiting[0].key}, which {self.plan.version} "
                "publishes: run `smcloud produce --redo all` to write a new version"
            )
        if waiting:
            self._create()
        for tile in waiting:
            self._fold_if_whole(tile)
        self._run([task for tile in waiting for task in self._tasks(tile)], "produce")
        if not waiting:
            self.listener.note(f"{self.product} {self.plan.year}: every block is done")
        if not self.plan.is_published:
            self._publish()
        return self._summary()

    def repair(self) -> None:
        """Restore damaged shards of finished tiles to the values that the ledger holds."""
        done = [tile for tile in self.plan.tiles if tile.state is State.DONE]
        damages = self._verify(done)
        if not damages:
            self.listener.note(f"{self.product} {self.plan.year}: nothing is damaged")
            return
        if any(damage.block == NO_BLOCK for damage in damages):
            self._create()
            damages = self._verify(done)
        self._run(list(self._repairs(done, damages)), "repair")
        if self.plan.is_published:
            self.making.tidy()
        left = self._verify(done)
        if left:
            raise _damage_error("still damaged after the repair", left)
        self.tally.repaired, self.tally.made = self.tally.made, 0
        self.listener.note(
            f"{self.product} {self.plan.year}: restored {counted(len(damages), 'objects')}"
        )

    def _create(self) -> None:
        card = self.recipe.card
        attrs = {
            "references": self.recipe.product.reference,
            "product_version": self.plan.version,
            "source": f"model {card.name} {card.whole_sha256}",
            "input_hash": combined_hash({str(t.key): t.input_hash for t in self.plan.tiles}),
        }
        create_store(self.store, self.recipe.schema, self.plan.year, attrs)

    def _tasks(self, tile: TilePlan) -> Iterator[Task[BlockReceipt]]:
        for block in tile.waiting:
            if tile.state is State.COPY and tile.record is not None:
                yield self._copy(tile, tile.record, block)
            else:
                yield self.making.task(tile, block)

    def _copy(self, tile: TilePlan, record: Record, block: PlannedBlock) -> Task[BlockReceipt]:
        source = self.layout.store(self.product, self.plan.year, record.version)
        shards = _shards_of(record, self.recipe, block)
        name = f"copy-{tile.key.tile}-{tile.key.year}-b{block.number:02d}"
        receipt = BlockReceipt(name, tile.input_hash, shards, 0, 0, dict.fromkeys(STEPS, 0.0), 0)
        key = receipt_key(tile.key.tile, block.number)
        return Task(name, copy_block, (source, self.store, self.plan.receipts, key, receipt))

    def _repairs(
        self, done: Iterable[TilePlan], damages: Iterable[Damage]
    ) -> Iterator[Task[BlockReceipt]]:
        wanted = {(damage.key, damage.block) for damage in damages}
        for tile in done:
            for block in tile.blocks:
                if tile.record is not None and (tile.key, block.number) in wanted:
                    expected = _shards_of(tile.record, self.recipe, block)
                    yield self.making.task(tile, block, expected)

    def _run(self, tasks: list[Task[BlockReceipt]], verb: str) -> None:
        if not tasks:
            return
        tiles = {tile.key.tile: tile for tile in self.plan.tiles}
        telling = _Retelling(self.tally, self.listener)

        def on_done(task: Task[BlockReceipt], receipt: BlockReceipt) -> None:
            tile, number = _place(task.key)
            self.receipts[tile][number] = receipt
            self.tally.count(receipt)
            if task.function is copy_block:
                self.tally.copied += 1
            else:
                self.tally.made += 1
            self._fold_if_whole(tiles[tile])
            telling.advance()

        wanted = {_place(task.key) for task in tasks if task.function is not copy_block}
        if wanted:
            self.making.prepare(wanted)
        ahead = self.recipe.config.produce.tasks_per_worker
        self.tally.begun = time.perf_counter()
        telling.begin(f"{verb} {self.product} {self.plan.year}", len(tasks), "blocks")
        try:
            run_tasks(
                self.client,
                tasks,
                window=ahead * worker_threads(self.client) if self.client else 1,
                on_done=on_done,
                listener=telling,
            )
        finally:
            telling.end()

    def _fold_if_whole(self, tile: TilePlan) -> None:
        """Write the ledger record of a tile once every block has its receipt."""
        receipts = self.receipts[tile.key.tile]
        if tile.state is State.DONE or len(receipts) < len(tile.blocks):
            return
        record = fold(
            self.recipe, self.plan, tile, receipts, self.making.figures(tile), self.lease.epoch
        )
        self.ledger.write(replace(record, problems=self.making.problems()))

    def _verify(self, tiles: Iterable[TilePlan]) -> list[Damage]:
        keys = {tile.key for tile in tiles}
        records = self.ledger.records(self.plan.year, self.plan.version)
        chosen = [record for key, record in records.items() if key in keys]
        schema = self.recipe.product.whole_schema
        found = verify_records(self.layout, schema, chosen, self.client, self.listener)
        return list(found.damages)

    def _publish(self) -> None:
        damages = self._verify(self.plan.tiles)
        if damages:
            raise _damage_error("not published", damages)
        records = self.ledger.records(self.plan.year, self.plan.version)
        outputs = {str(t.key): records[t.key].output_hash for t in self.plan.tiles}
        old = read_pointer(self.layout, self.product, self.plan.year)
        self.ledger.snapshot(self.plan.year)
        self.lease.check()
        write_pointer(
            self.layout,
            Pointer(
                self.product,
                self.plan.year,
                self.plan.version,
                f"{self.plan.version}.zarr",
                combined_hash(outputs),
                tuple(tile.key.tile for tile in self.plan.tiles),
                (*old.history, old.version) if old else (),
            ),
        )
        self.listener.note(f"published {self.product} {self.plan.year}: {self.store}")
        self.making.tidy()

    def _summary(self) -> YearSummary:
        blocks = sum(len(tile.blocks) for tile in self.plan.tiles)
        tally, spent = self.tally, self.making.spent()
        return YearSummary(
            year=self.plan.year,
            version=self.plan.version,
            store=self.store,
            tiles=len(self.plan.tiles),
            blocks=blocks,
            made=tally.made,
            copied=tally.copied,
            kept=blocks - tally.made - tally.copied,
            repaired=tally.repaired,
            rows=tally.rows,
            wall_seconds=time.perf_counter() - tally.started,
            seconds=dict(tally.seconds),
            peak_bytes=max([tally.peak_bytes, *(one.peak_bytes for one in spent)]),
            passes=seconds_of(spent) if spent else {},
        )


def fold(
    recipe: Recipe,
    plan: YearPlan,
    tile: TilePlan,
    receipts: Mapping[int, BlockReceipt],
    before: Mapping[str, float],
    epoch: int,
) -> Record:
    """Return the ledger record of a tile-year from the receipts of its blocks.

    `before` holds core-seconds (``seconds_...``) and peak bytes of what was done before them, and
    other figures that are kept as they are.
    """
    ordered = [receipts[number] for number in sorted(receipts)]
    shards = {key: sha256 for receipt in ordered for key, sha256 in receipt.shards.items()}
    split = {f"seconds_{s}": sum(r.seconds[s] for r in ordered) for s in STEPS}
    others = {name: value for name, value in before.items() if name != "peak_bytes"}
    spent = sum(value for name, value in others.items() if name.startswith("seconds_"))
    peaks = [before.get("peak_bytes", 0.0), *(receipt.peak_bytes for receipt in ordered)]
    figures = {
        "blocks": float(len(ordered)),
        "block_pixels": float(recipe.schema.shards[1]),
        "rows": float(sum(receipt.rows for receipt in ordered)),
        "stored_bytes": float(sum(receipt.stored_bytes for receipt in ordered)),
        "peak_bytes": float(max(peaks)),
        "seconds": sum(split.values()) + spent,
        **split,
        **others,
    }
    return Record(
        stage=f"produce/{recipe.product.name}",
        key=tile.key,
        input_hash=tile.input_hash,
        shards=dict(sorted(shards.items())),
        version=plan.version,
        epoch=epoch,
        figures=figures,
        part=window_text(recipe.part(tile.key.tile), tile.key.tile),
    )


def _place(task: str) -> Place:
    """Return tile and number of the block that a task is of, from its name."""
    _, tile, _, block = task.split("-")
    return tile, int(block[1:])


def _shards_of(record: Record, recipe: Recipe, block: PlannedBlock) -> dict[str, str]:
    """Return the record's shards that lie in one block."""
    size = recipe.schema.shards[1]
    place = f"/{block.window.row0 // size}/{block.window.col0 // size}"
    return {key: sha256 for key, sha256 in record.shards.items() if key.endswith(place)}


def _damage_error(what: str, damages: Sequence[Damage]) -> IntegrityError:
    shown = "; ".join(str(damage) for damage in damages[:DAMAGES_TOLD])
    more = f" and {len(damages) - DAMAGES_TOLD} more" if len(damages) > DAMAGES_TOLD else ""
    return IntegrityError(f"{what}: {shown}{more}; `smcloud produce --redo damaged` restores them")
