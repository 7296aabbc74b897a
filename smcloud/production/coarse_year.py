"""A year of a product on a coarse grid: blocks on the cluster, one ledger record, one pointer.

A coarse grid has the single tile ``globe``. Each block is a whole shard made by one task, which
leaves a receipt; what has a receipt of the same inputs is not made again. The year is verified
against the ledger before readers see it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.errors import IntegrityError
from smcloud.core.layout import Layout
from smcloud.core.listener import Listener, counted
from smcloud.core.memory import peak_bytes
from smcloud.core.objects import open_objects
from smcloud.cube.schema import Array, CubeSchema, shard_index
from smcloud.cube.store import create_store, encode_shard, hash_values, shard_key
from smcloud.grids.grid import Window
from smcloud.grids.tiles import GLOBE, TileYear
from smcloud.production.block import (
    STEPS,
    BlockReceipt,
    Clock,
    check_repair,
    read_receipt,
    receipt_key,
    write_receipt,
)
from smcloud.production.block_map import run_listed
from smcloud.production.lease import Lease
from smcloud.production.ledger import Ledger, Record, combined_hash
from smcloud.production.runner import Task
from smcloud.production.verify import NO_BLOCK, Damage, verify_records
from smcloud.production.versions import Pointer, read_pointer, write_pointer

Redo = Literal["missing", "damaged", "all"]
DAMAGES_TOLD = 5


@dataclass(frozen=True)
class CoarseBlock:
    """One whole shard of a year.

    Attributes
    ----------
    number : int
        Counted row by row from the north-west of the grid.
    window : Window
    """

    number: int
    window: Window


@dataclass(frozen=True)
class Target:
    """Where a block is written, and what its receipt says.

    Attributes
    ----------
    key : TileYear
    block : CoarseBlock
    store, receipts : str
        URLs.
    input_hash : str
    expected : mapping
        Hash by shard that a repair must reproduce; empty for a first production.
    """

    key: TileYear
    block: CoarseBlock
    store: str
    receipts: str
    input_hash: str
    expected: Mapping[str, str]

    @property
    def name(self) -> str:
        """Return the readable key, as ``produce-globe-2015-b117``."""
        return f"produce-{self.key.tile}-{self.key.year}-b{self.block.number:02d}"

    @property
    def receipt_key(self) -> str:
        """Return the key of the block's receipt below `receipts`."""
        return receipt_key(self.key.tile, self.block.number)


@dataclass(frozen=True)
class YearPlan:
    """What a year is to be.

    Attributes
    ----------
    product : str
    schema : CubeSchema
    year : int
    blocks : tuple of CoarseBlock
    input_hash : str
        Of everything that the values depend on.
    attrs : mapping
        Global attributes of the store.
    problems : tuple of str
        Kept in the ledger record.
    """

    product: str
    schema: CubeSchema
    year: int
    blocks: tuple[CoarseBlock, ...]
    input_hash: str
    attrs: Mapping[str, str]
    problems: tuple[str, ...] = ()

    @property
    def key(self) -> TileYear:
        """Return the only tile-year."""
        return TileYear(self.schema.grid, GLOBE, self.year)


@dataclass(frozen=True)
class CoarseYearSummary:
    """What a run did for one year."""

    year: int
    version: str
    store: str
    blocks: int
    made: int
    kept: int
    """Blocks that an earlier run had finished."""
    repaired: int
    rows: int
    """Cell-days made by this run."""
    seconds: Mapping[str, float]
    """Core-seconds of this run in each step."""
    peak_bytes: int


@dataclass(frozen=True)
class CoarseSummary:
    """What a run of the produce stage did."""

    product: str
    years: tuple[CoarseYearSummary, ...]


def shard_blocks(schema: CubeSchema, shards: Sequence[tuple[int, int]]) -> list[CoarseBlock]:
    """Return the blocks of some shards (row, col) of a grid."""
    rows, cols = schema.shards[1:]
    grid = schema.on
    across = -(-grid.cols // cols)
    return [
        CoarseBlock(
            row * across + col,
            Window(
                row * rows,
                min((row + 1) * rows, grid.rows),
                col * cols,
                min((col + 1) * cols, grid.cols),
            ),
        )
        for row, col in shards
    ]


def write_block(
    target: Target, schema: CubeSchema, values: Mapping[str, Array], rows: int, clock: Clock
) -> BlockReceipt:
    """Store the shards of a block, then its receipt: how the task of a worker ends.

    Parameters
    ----------
    values
        As they are stored, (days, rows, cols) by variable.
    rows
        Cell-days of the block.
    clock
        Of the task; encoding and writing are added.

    Raises
    ------
    IntegrityError
        If a repair comes to other values than those in the ledger; nothing is written then.
    """
    index = shard_index(schema, target.block.window, 0)
    keys = {name: shard_key(name, index) for name in values}
    hashes = {keys[name]: hash_values(found) for name, found in values.items()}
    check_repair(target.name, target.expected, hashes)
    stored_bytes = 0
    for name, found in values.items():
        with clock.step("encode"):
            data = encode_shard(schema, schema.variable(name), found)
        with clock.step("write"):
            open_objects(target.store).put(keys[name], data)
        stored_bytes += len(data)
    seconds = clock.rounded()
    receipt = BlockReceipt(
        target.name, target.input_hash, hashes, rows, stored_bytes, seconds, peak_bytes()
    )
    write_receipt(target.receipts, target.receipt_key, receipt)
    return receipt


@dataclass(frozen=True)
class Groundwork:
    """What has to be done before blocks are made or restored.

    Attributes
    ----------
    do
        Does what is missing; not called where no block is to be made.
    receipts
        Returns the receipts of all of it, whose seconds and memory are the year's too.
    """

    do: Callable[[], None]
    receipts: Callable[[], list[BlockReceipt]]


class CoarseYear:
    """The work on one year: it owns the ledger while it lasts, workers own nothing.

    Parameters
    ----------
    make
        From a target to the task that makes the block.
    before
        What comes before the blocks, if anything does.
    """

    def __init__(
        self,
        config: RunConfig,
        plan: YearPlan,
        make: Callable[[Target], Task[BlockReceipt]],
        lease: Lease,
        client: Client | None,
        listener: Listener,
        *,
        before: Groundwork | None = None,
    ) -> None:
        self._plan, self._make, self._lease = plan, make, lease
        self._before, self._prepared = before, list[BlockReceipt]()
        self._client, self._listener = client, listener
        self._layout = config.layout
        self._ledger = Ledger(config.store.root, f"produce/{plan.product}", lease.check)
        self._pointer = read_pointer(self._layout, plan.product, plan.year)
        self._made: dict[int, BlockReceipt] = {}
        self._kept = self._repaired = 0

    def produce(self, redo: Redo = "missing") -> CoarseYearSummary:
        """Do what is missing, verify and publish; a second call does nothing.

        Raises
        ------
        IntegrityError
            If what was written does not read back as it was, or damage cannot be restored.
        """
        plan = self._plan
        version = _version(plan.input_hash, self._pointer, anew=redo == "all")
        record = self._ledger.records(plan.year, version).get(plan.key)
        is_published = self._pointer is not None and self._pointer.version == version
        if record is None and is_published:
            raise IntegrityError(
                f"the ledger lost the record of {plan.key}, which {version} publishes: run "
                "`smcloud produce --redo all` to write a new version"
            )
        if record is not None and redo == "damaged":
            self._repair(record)
        if record is None:
            record = self._written(version)
        else:
            self._kept = len(plan.blocks) - len(self._made)
            self._listener.note(f"{plan.product} {plan.year}: every block is done")
        if not is_published:
            self._publish(record)
        return self._summary(version)

    def _written(self, version: str) -> Record:
        """Make the blocks that have no receipt, and return the record of all."""
        plan = self._plan
        store = self._layout.store(plan.product, plan.year, version)
        attrs = {**plan.attrs, "product_version": version, "input_hash": plan.input_hash}
        create_store(store, plan.schema, plan.year, attrs)
        receipts = done_blocks(self._layout, plan, version)
        self._kept = len(receipts)
        waiting = [block for block in plan.blocks if block.number not in receipts]
        self._run([self._target(version, block) for block in waiting], "produce")
        record = self._record(version, receipts | self._made)
        self._ledger.write(record)
        return record

    def _target(
        self, version: str, block: CoarseBlock, expected: Mapping[str, str] | None = None
    ) -> Target:
        plan, layout = self._plan, self._layout
        return Target(
            plan.key,
            block,
            layout.store(plan.product, plan.year, version),
            layout.receipts(plan.product, plan.year, version),
            plan.input_hash,
            expected or {},
        )

    def _run(self, targets: Sequence[Target], verb: str) -> None:
        if targets and self._before is not None:
            self._before.do()
            self._prepared = self._before.receipts()
        title = f"{verb} {self._plan.product} {self._plan.year}"
        tasks = [self._make(target) for target in targets]
        made = run_listed(tasks, title, "blocks", self._client, self._listener)
        numbers = (target.block.number for target in targets)
        self._made.update(zip(numbers, made, strict=True))

    def _record(self, version: str, receipts: Mapping[int, BlockReceipt]) -> Record:
        plan = self._plan
        ordered = [receipts[number] for number in sorted(receipts)]
        shards = {key: sha256 for one in ordered for key, sha256 in one.shards.items()}
        work = [*ordered, *(self._before.receipts() if self._before else ())]
        split = {f"seconds_{step}": sum(one.seconds[step] for one in work) for step in STEPS}
        figures = {
            "blocks": float(len(ordered)),
            "block_pixels": float(plan.schema.shards[1]),
            "rows": float(sum(one.rows for one in ordered)),
            "stored_bytes": float(sum(one.stored_bytes for one in ordered)),
            "peak_bytes": float(max(one.peak_bytes for one in work)),
            "seconds": sum(split.values()),
            **split,
        }
        return Record(
            stage=f"produce/{plan.product}",
            key=plan.key,
            input_hash=plan.input_hash,
            shards=dict(sorted(shards.items())),
            version=version,
            epoch=self._lease.epoch,
            figures=figures,
            problems=plan.problems,
        )

    def _repair(self, record: Record) -> None:
        """Restore damaged shards to the values that the ledger holds."""
        plan = self._plan
        damages = self._damages(record)
        if any(damage.block == NO_BLOCK for damage in damages):
            store = self._layout.store(plan.product, plan.year, record.version)
            attrs = {"product_version": record.version, "input_hash": record.input_hash}
            create_store(store, plan.schema, plan.year, {**plan.attrs, **attrs})
            damages = self._damages(record)
        size = plan.schema.shards[1]
        targets = []
        for block in plan.blocks:
            if block.number in {damage.block for damage in damages}:
                place = f"/{block.window.row0 // size}/{block.window.col0 // size}"
                own = {key: sha for key, sha in record.shards.items() if key.endswith(place)}
                targets.append(self._target(record.version, block, own))
        if targets:
            self._run(targets, "repair")
        self._repaired = len(targets)
        self._require_whole(record, "still damaged after the repair")
        self._listener.note(
            f"{plan.product} {plan.year}: restored {counted(len(damages), 'objects')}"
        )

    def _damages(self, record: Record) -> Sequence[Damage]:
        schema = self._plan.schema
        found = verify_records(self._layout, schema, [record], self._client, self._listener)
        return found.damages

    def _require_whole(self, record: Record, what: str) -> None:
        damages = self._damages(record)
        if damages:
            shown = "; ".join(str(damage) for damage in damages[:DAMAGES_TOLD])
            raise IntegrityError(f"{what}: {shown}; `smcloud produce --redo damaged` restores them")

    def _publish(self, record: Record) -> None:
        plan, old = self._plan, self._pointer
        self._require_whole(record, "not published")
        self._ledger.snapshot(plan.year)
        self._lease.check()
        pointer = Pointer(
            plan.product,
            plan.year,
            record.version,
            f"{record.version}.zarr",
            combined_hash({str(plan.key): record.output_hash}),
            (plan.key.tile,),
            (*old.history, old.version) if old else (),
        )
        write_pointer(self._layout, pointer)
        self._listener.note(f"published {plan.product} {plan.year}, version {record.version}")

    def _summary(self, version: str) -> CoarseYearSummary:
        plan, made = self._plan, list(self._made.values())
        work = [*made, *self._prepared]
        return CoarseYearSummary(
            year=plan.year,
            version=version,
            store=self._layout.store(plan.product, plan.year, version),
            blocks=len(plan.blocks),
            made=len(made) - self._repaired,
            kept=self._kept,
            repaired=self._repaired,
            rows=sum(one.rows for one in made),
            seconds={step: sum(one.seconds[step] for one in work) for step in STEPS},
            peak_bytes=max((one.peak_bytes for one in work), default=0),
        )


def _version(input_hash: str, pointer: Pointer | None, *, anew: bool) -> str:
    """Return the version of a year's inputs; a published revision of the same inputs is kept."""
    base = f"v{input_hash[:12]}"
    if pointer is None or pointer.version.partition("-r")[0] != base:
        return base
    revision = int(pointer.version.partition("-r")[2] or 0)
    return f"{base}-r{revision + 1}" if anew else pointer.version


def done_blocks(layout: Layout, plan: YearPlan, version: str) -> dict[int, BlockReceipt]:
    """Return the receipts, by number, of blocks that an earlier run made of the same inputs."""
    url = layout.receipts(plan.product, plan.year, version)
    stored = {info.key for info in open_objects(url).list()}
    found = {}
    for block in plan.blocks:
        name = receipt_key(plan.key.tile, block.number)
        receipt = read_receipt(url, name) if name in stored else None
        if receipt is not None and receipt.input_hash == plan.input_hash:
            found[block.number] = receipt
    return found


def waiting_blocks(config: RunConfig, plan: YearPlan) -> tuple[CoarseBlock, ...]:
    """Return the blocks that a run would make; none of a year that the ledger knows as it is."""
    pointer = read_pointer(config.layout, plan.product, plan.year)
    version = _version(plan.input_hash, pointer, anew=False)
    if plan.key in Ledger(config.store.root, f"produce/{plan.product}").records(plan.year, version):
        return ()
    done = done_blocks(config.layout, plan, version)
    return tuple(block for block in plan.blocks if block.number not in done)
