"""What a plan says: tile-years and where they stand, memory, passes, estimates; records alone."""

from dataclasses import dataclass, field
from enum import Enum

from smcloud.grids.grid import Window
from smcloud.grids.tiles import TileYear
from smcloud.production.block import BlockReceipt
from smcloud.production.ledger import Record
from smcloud.production.versions import Pointer

PROCESS_BYTES = 430 * 2**20
"""A worker process before its first block: Python, Dask, XGBoost, numba, zarr, the land mask."""


class State(Enum):
    """Where a tile-year or a block stands."""

    NEW = "new"
    DONE = "done"
    REDO = "redo"
    COPY = "copy"


@dataclass(frozen=True)
class BlockMemory:
    """Peak bytes of one block on a worker, term by term."""

    process: int
    inputs: int
    """Stored drivers with their halos, the features of one slab of days, as codes for the trees of
    the estimate and of its spread, and as floats for its judged days."""
    outputs: int
    """All variables of the block for the whole year."""
    encoding: int
    """One variable padded to its shard, and its encoded bytes."""
    ahead: int
    """Stored drivers of the block that is read meanwhile; 0 without reading ahead."""
    model: int

    def total(self, at_once: int = 1) -> int:
        """Return the sum in bytes for a worker that computes `at_once` blocks side by side."""
        return self.process + self.model + at_once * self.block

    @property
    def block(self) -> int:
        """Return the bytes for each block that is computed, with its neighbours in other lanes."""
        if not self.ahead:  # inputs are let go before anything is encoded
            return self.outputs + max(self.inputs, self.encoding)
        return self.inputs + self.outputs + self.meanwhile

    @property
    def meanwhile(self) -> int:
        """Return the bytes of a block that is read, and of one that is written, meanwhile."""
        return self.ahead + self.outputs + self.encoding if self.ahead else 0


@dataclass(frozen=True)
class PlannedBlock:
    """One block with land, and what an earlier run left of it."""

    number: int
    window: Window
    land_pixels: int
    receipt: BlockReceipt | None = None


@dataclass(frozen=True)
class TilePlan:
    """One tile-year of a version."""

    key: TileYear
    input_hash: str
    blocks: tuple[PlannedBlock, ...]
    state: State
    record: Record | None = None
    """The ledger's record: of this version when done, of another one when it can be copied."""

    @property
    def waiting(self) -> tuple[PlannedBlock, ...]:
        """Return the blocks without a receipt."""
        done = self.state is State.DONE
        return () if done else tuple(block for block in self.blocks if block.receipt is None)


@dataclass(frozen=True)
class PassPlan:
    """One pass over a year that is made in several: what waits, and what it takes."""

    name: str
    tasks: int
    """That wait; of visits, none is known before the first nodes are."""
    unit: str
    """What a task is: ``blocks`` or ``slabs of days``."""
    rows: int
    """Pixel-days of the waiting tasks."""
    task_bytes: int
    """Peak bytes of one task, beside the process and what it holds for all of them."""
    shared_bytes: int
    """Bytes that all tasks of a process share: its model."""
    core_hours: float

    def total(self, at_once: int = 1) -> int:
        """Return the peak bytes of a worker that has `at_once` tasks of this pass side by side."""
        return PROCESS_BYTES + self.shared_bytes + at_once * self.task_bytes


@dataclass(frozen=True)
class Estimate:
    """What the waiting blocks will take."""

    rows: int
    """Pixel-days."""
    bytes_read: int
    """Stored drivers, uncompressed."""
    bytes_written: int
    """Product, uncompressed."""
    requests: int
    core_hours: float
    cost: float
    """In the currency of `produce.core_hour_price`."""
    rows_per_core_second: float
    """The speed behind the core-hours: that of receipts, where there are any."""
    is_measured: bool
    """Whether receipts of this product say the speed, on whatever machine they were made."""
    work_bytes: int = 0
    """What the passes leave each other until the year is published, uncompressed."""

    def hours_of(self, rows: float) -> float:
        """Return the core-hours of so many pixel-days at this speed."""
        return rows / self.rows_per_core_second / 3600


@dataclass(frozen=True)
class YearPlan:
    """One year of a product: its version, its tiles, what is published now."""

    year: int
    version: str
    tiles: tuple[TilePlan, ...]
    pointer: Pointer | None
    memory: BlockMemory
    estimate: Estimate
    receipts: str = field(repr=False, default="")
    passes: tuple[PassPlan, ...] = ()
    """Of a product whose year is made in several passes, in their order; the last one's tasks are
    the blocks of the plan itself."""

    @property
    def is_published(self) -> bool:
        """Say whether readers see this version already."""
        return self.pointer is not None and self.pointer.version == self.version

    def count(self, state: State) -> int:
        """Return how many tile-years are in a state."""
        return sum(tile.state is state for tile in self.tiles)
