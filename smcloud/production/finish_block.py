"""Third pass of a downscaled year: first guess and nodes in, shards of the product out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from smcloud.core.memory import peak_bytes
from smcloud.core.objects import open_objects
from smcloud.cube.schema import Array, CubeSchema, shard_index
from smcloud.cube.store import encode_shard, hash_values, open_cube, shard_key
from smcloud.features.inputs import Points
from smcloud.features.spec import Floats32
from smcloud.models.anchor_nodes import Nodes, State
from smcloud.models.anchoring import corrected
from smcloud.models.cell_sums import Links
from smcloud.production.anchor_pass import CoarseField
from smcloud.production.block import (
    BlockReceipt,
    Clock,
    check_repair,
    receipt_key,
    write_receipt,
)
from smcloud.production.first_guess import SLAB_DAYS, FineBlock, slabs_of
from smcloud.products.base import ESTIMATE_CLIPPED, NO_ESTIMATE
from smcloud.products.downscaled import COARSE_FILLED, MEAN_NOT_MET, NO_COARSE_VALUE


@dataclass(frozen=True)
class FlagLayer:
    """Stored integers of a fine cube that raise a bit of the product's flag.

    Attributes
    ----------
    url, schema, variable
        The cube of the year.
    values : tuple of int
        Stored values under which the bit is raised.
    bit : int
    """

    url: str
    schema: CubeSchema
    variable: str
    values: tuple[int, ...]
    bit: int


@dataclass(frozen=True)
class FinishTask:
    """The third pass of one block; the name and the receipt are those of the year's blocks."""

    block: FineBlock
    schema: CubeSchema
    """Of the product."""
    target: str
    coarse: CoarseField
    filled: str
    """Variable of the coarse cube that is not 0 where a value was filled; empty for none."""
    layers: tuple[FlagLayer, ...]
    store: str
    receipts: str
    expected: Mapping[str, str] = field(default_factory=dict)
    """Hash by shard that a repair must reproduce; empty for a first production."""

    @property
    def name(self) -> str:
        """Return the readable key, as ``produce-h25v05-2019-b07``."""
        return f"produce-{self.block.key.tile}-{self.block.key.year}-b{self.block.number:02d}"

    @property
    def receipt_key(self) -> str:
        """Return the key of the receipt below `receipts`."""
        return receipt_key(self.block.key.tile, self.block.number)


def finish_block(task: FinishTask) -> BlockReceipt:
    """Correct, flag and pack one block on a worker: write its shards, then its receipt.

    Raises
    ------
    NotFoundError, CubeError
        If the first guess or the nodes are not there: the passes before were not made.
    IntegrityError
        If a repair comes to other values than those in the ledger; nothing is written then.
    StoreError
        If the store refuses or is full.
    """
    block, clock = task.block, Clock()
    points, days = block.points, block.schema.times(block.key.year)
    where, ceilings = block.links(points), block.ceilings(points)
    flat = {v.name: _filled(task, v.name, len(days)) for v in task.schema.variables}
    for slab, steps in enumerate(slabs_of(len(days), SLAB_DAYS)):
        with clock.step("read"):
            nodes = Nodes.from_bytes(open_objects(block.work.url).get(block.work.settled_key(slab)))
            guesses = block.guesses(steps, points)
            flags = block.flags(steps, points) | _layers(task, steps, points)
        with clock.step("predict"):
            found = corrected(guesses, nodes, where, ceilings)
            flags |= _raised(task, found, ceilings, nodes, where, steps)
        with clock.step("encode"):
            flat[task.target][steps, points] = task.schema.variable(task.target).pack(found)
            flat["quality_flag"][steps, points] = flags
    return _written(task, flat, len(days) * len(points), clock)


def _filled(task: FinishTask, name: str, n_days: int) -> Array:
    variable = task.schema.variable(name)
    pixels = task.block.window.shape[0] * task.block.window.shape[1]
    return np.full((n_days, pixels), variable.fill_value, variable.dtype)


def _raised(
    task: FinishTask,
    found: Floats32,
    ceilings: Floats32,
    nodes: Nodes,
    where: Links,
    steps: slice,
) -> NDArray[np.uint16]:
    """Return the bits (days, n_points) that the correction raises."""
    states = nodes.state_at(where)
    unknown = np.isnan(found)
    raised = np.where(unknown, NO_ESTIMATE, 0).astype(np.uint16)
    without = np.isin(states, (State.NO_TARGET, State.TOO_FEW, State.MODELLED))
    raised[without & ~unknown] |= NO_COARSE_VALUE
    raised[(states == State.NOT_REACHED) & ~unknown] |= MEAN_NOT_MET
    at_end = (found <= 0.0) | (found >= ceilings)
    raised[at_end & ~unknown] |= ESTIMATE_CLIPPED
    if task.filled:
        cells = task.coarse.stored(task.filled, steps, where.window)
        at_points = cells.reshape(len(cells), -1)[:, where.cell]
        variable = task.coarse.schema.variable(task.filled)
        raised[(at_points != 0) & (at_points != variable.fill_value)] |= COARSE_FILLED
    return raised


def _layers(task: FinishTask, steps: slice, points: Points) -> NDArray[np.uint16]:
    """Return the bits that other cubes raise, (days, n_points)."""
    raised = np.zeros((steps.stop - steps.start, len(points)), np.uint16)
    for layer in task.layers:
        cube = open_cube(layer.url, layer.schema, task.block.key.year)
        stored = cube.read_points(layer.variable, steps, task.block.window, points)
        raised[np.isin(stored, layer.values)] |= layer.bit
    return raised


def _written(task: FinishTask, flat: Mapping[str, Array], rows: int, clock: Clock) -> BlockReceipt:
    """Store shards and receipt of a block, and return the receipt."""
    block = task.block
    index = shard_index(task.schema, block.window, 0)
    whole = {n: values.reshape(len(values), *block.window.shape) for n, values in flat.items()}
    hashes = {shard_key(name, index): hash_values(values) for name, values in whole.items()}
    check_repair(task.name, task.expected, hashes)
    stored_bytes = 0
    for name, values in whole.items():
        with clock.step("encode"):
            data = encode_shard(task.schema, task.schema.variable(name), values)
        with clock.step("write"):
            open_objects(task.store).put(shard_key(name, index), data)
        stored_bytes += len(data)
    receipt = BlockReceipt(
        task.name, block.input_hash, hashes, rows, stored_bytes, clock.rounded(), peak_bytes()
    )
    write_receipt(task.receipts, task.receipt_key, receipt)
    return receipt
