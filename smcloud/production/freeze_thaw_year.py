"""The produce stage of freeze-thaw: blocks of cells, each a year long, made by one task each."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from distributed import Client
from numpy.typing import NDArray

from smcloud.core.config import RunConfig
from smcloud.core.errors import ModelError
from smcloud.core.listener import Listener
from smcloud.core.objects import open_objects
from smcloud.cube.schema import Array, CubeSchema
from smcloud.features.ground_columns import BRIGHTNESS, OVERPASSES, Floats32, GroundReader
from smcloud.models.freeze_thaw import NO_STATE, FreezeThawModel
from smcloud.models.freeze_thaw_files import (
    FreezeThawCard,
    load_freeze_thaw,
    load_freeze_thaw_card,
)
from smcloud.production.block import BlockReceipt, Clock
from smcloud.production.cluster import refuse_memory_urls
from smcloud.production.coarse_year import (
    CoarseSummary,
    CoarseYear,
    Redo,
    Target,
    YearPlan,
    waiting_blocks,
    write_block,
)
from smcloud.production.cube_states import states_of
from smcloud.production.freeze_thaw_inputs import (
    Region,
    block_bytes,
    check_memory,
    reader_of,
    region_of,
)
from smcloud.production.lease import hold
from smcloud.production.ledger import combined_hash
from smcloud.production.runner import Task
from smcloud.products.base import Product
from smcloud.products.freeze_thaw import (
    DRIVER_UNKNOWN,
    FLAG,
    NO_OVERPASS,
    OTHER_OVERPASS,
    PROBABILITY,
    STATE,
    UNDECIDED,
)

FORMAT = 2
"""Raised when equal columns and models give other stored values."""
CLEAR = 0.6
"""A state whose share of what decides is less is told as undecided."""
STEP_DAYS = 92
"""Days that are estimated at once: a quarter of a year."""


@dataclass(frozen=True)
class GroundTask:
    """One block to produce: URLs, keys and records, never data.

    Attributes
    ----------
    target : Target
    region : Region
    reader : GroundReader
    overpasses : tuple of str
        In the order in which they are preferred.
    models, model, model_sha256 : str
        Prefix of all models, name, and hash of the trees.
    """

    target: Target
    region: Region
    reader: GroundReader
    overpasses: tuple[str, ...]
    models: str
    model: str
    model_sha256: str


@dataclass(frozen=True)
class GroundPlan:
    """What a run of the stage would do for one year."""

    year: int
    blocks: int
    waiting: int
    rows: int
    """Cell-days of the waiting blocks."""
    bytes: int
    """Memory that a block takes at most."""


def run_produce(
    config: RunConfig,
    product: Product,
    client: Client | None,
    listener: Listener,
    *,
    redo: Redo = "missing",
) -> CoarseSummary:
    """Produce the years of a run and publish each when it is complete and verified.

    Raises
    ------
    BusyError
        If another run holds the lease of the product.
    CubeError, NotFoundError, ModelError
        If a driver or the model is not what it must be.
    IntegrityError
        If what was written does not read back as it was, or damage cannot be restored.
    """
    refuse_memory_urls(client, (config.store.root, *config.ingest.cubes.values()))
    check_memory(config, product, client)
    region = region_of(config, product.schema, config.produced_tiles)
    reader, models = reader_of(config, product), config.layout.model("")
    card = load_freeze_thaw_card(open_objects(models), config.model_name)

    def make(target: Target) -> Task[BlockReceipt]:
        overpasses = config.ground.overpasses
        task = GroundTask(target, region, reader, overpasses, models, card.name, card.sha256)
        return Task(target.name, run_block, (task,))

    with hold(config.store.root, product.name, config.produce.heartbeat_seconds, listener) as lease:
        years = tuple(
            CoarseYear(config, plan, make, lease, client, listener).produce(redo)
            for plan in _plans(config, product, card)
        )
    return CoarseSummary(product.name, years)


def plan_freeze_thaw(config: RunConfig, product: Product) -> tuple[GroundPlan, ...]:
    """Return what `run_produce` would do, after refusing what cannot fit a worker.

    Raises
    ------
    NotFoundError
        If there is no model yet.
    PlanError
        If a block cannot fit a worker.
    """
    check_memory(config, product, None)
    card = load_freeze_thaw_card(open_objects(config.layout.model("")), config.model_name)
    region = region_of(config, product.schema, config.produced_tiles)
    needed = block_bytes(reader_of(config, product), product.schema, config.ground.overpasses)
    found = []
    for plan in _plans(config, product, card):
        waiting = waiting_blocks(config, plan)
        cells = sum(region.points(block.window).size for block in waiting)
        rows = cells * len(product.schema.times(plan.year))
        found.append(GroundPlan(plan.year, len(plan.blocks), len(waiting), rows, needed))
    return tuple(found)


def _plans(config: RunConfig, product: Product, card: FreezeThawCard) -> list[YearPlan]:
    """Return what each year of a run is to be."""
    region = region_of(config, product.schema, config.produced_tiles)
    names, blocks = reader_of(config, product).sources.names, region.blocks()
    found = []
    for year in sorted(set(config.produced_years)):
        states = states_of(config, names, (year,))
        shaping = [FORMAT, product.version, product.schema.version, list(config.ground.overpasses)]
        found.append(
            YearPlan(
                product.name,
                product.schema,
                year,
                blocks,
                combined_hash([*shaping, states, card.sha256, repr(region.parts)]),
                {"references": product.reference, "source": f"model {card.name} {card.sha256}"},
            )
        )
    return found


def run_block(task: GroundTask) -> BlockReceipt:
    """Produce one block on a worker: write its shards, then its receipt.

    Raises
    ------
    IntegrityError
        If a repair comes to other values than those in the ledger; nothing is written then.
    """
    target, clock = task.target, Clock()
    window, schema = target.block.window, task.region.schema
    year = target.key.year or 0
    points = task.region.points(window)
    with clock.step("read"):
        overpasses = [OVERPASSES[name] for name in task.overpasses]
        columns = task.reader.read(window, points, year, overpasses)
    model = _model(task.models, task.model, task.model_sha256)
    with clock.step("predict"):
        cells = estimated([columns[name] for name in task.overpasses], model)
    values = {
        name: _on_shard(schema, name, cells[name], points, window.shape)
        for name in (variable.name for variable in schema.variables)
    }
    return write_block(target, schema, values, int(cells[STATE].size), clock)


def estimated(
    overpasses: Sequence[Floats32], model: FreezeThawModel
) -> dict[str, NDArray[np.generic]]:
    """Return state, probability of frozen ground and flag of cells and days.

    Parameters
    ----------
    overpasses
        Columns (columns, days, cells) of each overpass, the preferred one first. A day takes the
        first that saw the cell.

    Returns
    -------
    dict
        By variable, (days, cells): states as they are stored, float32 probabilities (NaN unknown),
        and flags.
    """
    shape = overpasses[0].shape[1:]
    states = np.full(shape, NO_STATE, np.uint8)
    stated = np.full(shape, np.nan, np.float32)
    flags = np.full(shape, NO_OVERPASS, np.uint8)
    for start in range(0, shape[0], STEP_DAYS):
        days = slice(start, start + STEP_DAYS)
        chosen, which = _chosen([columns[:, days] for columns in overpasses])
        seen = which >= 0
        found = model.probabilities(np.ascontiguousarray(chosen[:, seen]))
        classes = model.decided(found)
        states[days][seen] = model.stored_states(classes)
        stated[days][seen] = found[:, model.frozen_class]
        own = np.where(which[seen] > 0, OTHER_OVERPASS, 0)
        own |= np.where(np.isfinite(chosen[:, seen]).all(axis=0), 0, DRIVER_UNKNOWN)
        own |= np.where(_clear(found, model), 0, UNDECIDED)
        own = np.where(classes >= 0, own, NO_OVERPASS)
        flags[days][seen] = own.astype(np.uint8)
    return {STATE: states, PROBABILITY: stated, FLAG: flags}


def _chosen(overpasses: Sequence[Floats32]) -> tuple[Floats32, NDArray[np.int8]]:
    """Return the columns of the first overpass that saw each cell, and its number, -1 for none."""
    chosen = overpasses[0].copy()
    which = np.full(chosen.shape[1:], -1, np.int8)
    for number, columns in enumerate(overpasses):
        is_new = (which < 0) & np.isfinite(columns[: len(BRIGHTNESS)]).any(axis=0)
        chosen[:, is_new] = columns[:, is_new]
        which[is_new] = number
    return chosen, which


def _clear(found: NDArray[np.float64], model: FreezeThawModel) -> NDArray[np.bool_]:
    """Return where the state that is decided has most of what decides."""
    weighed = found * model.odds
    total = weighed.sum(axis=1)
    return np.asarray(weighed.max(axis=1) >= CLEAR * total)


def _on_shard(
    schema: CubeSchema,
    name: str,
    cells: NDArray[np.generic],
    points: NDArray[np.intp],
    shape: tuple[int, int],
) -> Array:
    """Return stored values of a whole shard (days, rows, cols); unknown outside the region."""
    variable = schema.variable(name)
    whole = np.full((len(cells), shape[0] * shape[1]), variable.fill_value, variable.dtype)
    packed = variable.pack(cells.astype(np.float32)) if cells.dtype.kind == "f" else cells
    whole[:, points] = packed
    return whole.reshape(len(cells), *shape)


@lru_cache(maxsize=2)
def _model(models: str, name: str, sha256: str) -> FreezeThawModel:
    """Load a forest once per process; the hash is part of the key, so another is loaded anew."""
    model, card = load_freeze_thaw(open_objects(models), name)
    if card.sha256 != sha256:
        raise ModelError(
            f"model {name!r} was replaced while the run was going on: expected sha256 "
            f"{sha256[:12]}, found {card.sha256[:12]}; run the same command again"
        )
    return model
