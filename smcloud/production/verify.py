"""Does a store still hold what the ledger says? Every shard is read back and hashed.

Zarr reads a missing or emptied object as fill without a word, so only the ledger can tell.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.errors import CubeError, NotFoundError
from smcloud.core.layout import Layout
from smcloud.core.listener import Listener
from smcloud.core.objects import open_objects
from smcloud.cube.schema import CubeSchema
from smcloud.cube.store import Cube, hash_values, open_cube
from smcloud.grids.grid import Window
from smcloud.grids.tiles import TileYear
from smcloud.production.cluster import worker_threads
from smcloud.production.ledger import Ledger, Record
from smcloud.production.runner import Task, run_tasks
from smcloud.products.registry import product_of

log = logging.getLogger(__name__)

METADATA = "zarr.json"
NO_BLOCK = -1


@dataclass(frozen=True, order=True)
class Damage:
    """One object that is not what the ledger says."""

    key: TileYear
    block: int
    """Number of the block in its tile; -1 for the metadata of the store."""
    object: str
    fault: str
    """missing, emptied, damaged (cannot be decoded) or changed (other values)."""

    def __str__(self) -> str:
        where = "metadata" if self.block == NO_BLOCK else f"block b{self.block:02d}"
        return f"{self.key} {where} {self.object}: {self.fault}"


@dataclass(frozen=True)
class VerifyTask:
    """The shards of one block, and the hashes that they must have."""

    key: TileYear
    block: int
    window: Window
    store: str
    schema: CubeSchema
    shards: Mapping[str, str]

    @property
    def name(self) -> str:
        """Return the readable key, as ``verify-h25v05-2019-b07``."""
        return f"verify-{self.key.tile}-{self.key.year}-b{self.block:02d}"


@dataclass(frozen=True)
class Verification:
    """What was checked and what was found."""

    tile_years: int
    shards: int
    damages: tuple[Damage, ...]


def verify(config: RunConfig, client: Client | None, listener: Listener) -> Verification:
    """Return what the stores of a run hold against its ledger; years without records are skipped.

    Raises
    ------
    NotFoundError
        If the ledger knows nothing of this product and these years.
    StoreError
        If the store refuses.
    """
    product = product_of(config)
    ledger = Ledger(config.store.root, f"produce/{product.name}")
    records = [record for year in config.produced_years for record in ledger.records(year).values()]
    if not records:
        raise NotFoundError(
            f"the ledger below {config.store.root} holds nothing of {product.name} "
            f"{', '.join(map(str, config.produced_years))}: run `smcloud produce` first"
        )
    return verify_records(config.layout, product.whole_schema, records, client, listener)


def verify_records(
    layout: Layout,
    schema: CubeSchema,
    records: Iterable[Record],
    client: Client | None,
    listener: Listener,
) -> Verification:
    """Return what the stores hold against these records, in the order of tiles and blocks.

    `schema` holds every variable that a store of the product may have; a record says which.
    """
    records = list(records)
    damages = [damage for record in records for damage in _metadata_damage(layout, schema, record)]
    broken = {damage.key for damage in damages}
    tasks = [
        task
        for record in records
        if record.key not in broken
        for task in verify_tasks(layout, schema, record)
    ]
    damages += _run(tasks, client, listener)
    return Verification(len(records), sum(len(r.shards) for r in records), tuple(sorted(damages)))


def verify_tasks(layout: Layout, schema: CubeSchema, record: Record) -> Iterator[VerifyTask]:
    """Yield a task for each block of a record."""
    size = int(record.figures["block_pixels"])
    schema = replace(_schema_of(schema, record), shards=(schema.shards[0], size, size))
    blocks: dict[tuple[int, int], dict[str, str]] = {}
    for key, sha256 in record.shards.items():
        row, col = (int(part) for part in key.split("/")[-2:])
        blocks.setdefault((row, col), {})[key] = sha256
    tile = record.key.window
    across = -(-tile.shape[1] // size)
    for (row, col), shards in sorted(blocks.items()):
        top, left = row * size, col * size
        window = Window(top, min(top + size, tile.row1), left, min(left + size, tile.col1))
        number = (window.row0 - tile.row0) // size * across + (window.col0 - tile.col0) // size
        yield VerifyTask(record.key, number, window, _store(layout, record), schema, shards)


def _schema_of(schema: CubeSchema, record: Record) -> CubeSchema:
    """Return the schema with the variables that a record has shards of."""
    names = {key.partition("/")[0] for key in record.shards}
    return replace(schema, variables=tuple(v for v in schema.variables if v.name in names))


def verify_block(task: VerifyTask) -> tuple[Damage, ...]:
    """Return what is wrong with the shards of one block; empty if nothing is."""
    return tuple(
        Damage(task.key, task.block, key, fault)
        for key, sha256 in sorted(task.shards.items())
        if (fault := _fault(task, key, sha256))
    )


def _fault(task: VerifyTask, key: str, sha256: str) -> str:
    try:
        if open_objects(task.store).head(key).size == 0:
            return "emptied"
    except NotFoundError:
        return "missing"
    cube = open_cube(task.store, task.schema, task.key.year)
    name = key.partition("/")[0]
    try:
        values = cube.read(name, slice(0, len(cube.times)), task.window)
    except CubeError as err:
        log.info("%s %s: %s", task.store, key, err)
        return "damaged"
    # Of the store, not the schema: flags of earlier releases have one byte.
    stored = np.dtype(cube.variables[name].dtype)
    return "" if hash_values(values.astype(stored, copy=False)) == sha256 else "changed"


def _metadata_damage(layout: Layout, schema: CubeSchema, record: Record) -> list[Damage]:
    url = _store(layout, record)
    try:
        # Not `open_cube`, which remembers what it opened before the damage.
        Cube(url, _schema_of(schema, record), record.key.year)
    except NotFoundError:
        return [Damage(record.key, NO_BLOCK, METADATA, "missing")]
    except CubeError as err:
        log.info("%s: %s", url, err)
        return [Damage(record.key, NO_BLOCK, METADATA, "damaged")]
    return []


def _store(layout: Layout, record: Record) -> str:
    if record.key.year is None:
        raise ValueError(f"{record.key} is static; products have years")
    return layout.store(record.stage.partition("/")[2], record.key.year, record.version)


def _run(tasks: list[VerifyTask], client: Client | None, listener: Listener) -> list[Damage]:
    found: list[Damage] = []

    def on_done(task: Task[tuple[Damage, ...]], damages: tuple[Damage, ...]) -> None:
        found.extend(damages)
        listener.advance(damaged=len(found))

    listener.begin("verify", len(tasks), "blocks")
    try:
        run_tasks(
            client,
            (Task(task.name, verify_block, (task,)) for task in tasks),
            window=2 * worker_threads(client) if client else 1,
            on_done=on_done,
            listener=listener,
        )
    finally:
        listener.end()
    return found
