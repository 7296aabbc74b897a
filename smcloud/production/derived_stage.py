"""The second half of the stage `ingest`: cubes made of the cubes that were just ingested."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.errors import PlanError, UserError
from smcloud.core.layout import join, year_store
from smcloud.core.listener import Listener, Silent, counted
from smcloud.core.memory import peak_bytes
from smcloud.core.objects import open_objects
from smcloud.cube.schema import shard_index
from smcloud.cube.store import create_store, encode_shard, hash_values, shard_key
from smcloud.features.derived import DERIVED, schema_named
from smcloud.features.derived_cubes import Derived, DerivedBlock, Setting
from smcloud.features.spec import CubeSet
from smcloud.grids.grid import SIN1KM, Window
from smcloud.grids.land import land_mask
from smcloud.grids.tiles import (
    GLOBE,
    TileYear,
    blocks_of,
    parse_window,
    tile_window,
    tiles_around,
)
from smcloud.ingest.plan import station_shards
from smcloud.production.block import BlockReceipt, Clock, read_receipt, receipt_key, write_receipt
from smcloud.production.block_map import run_listed
from smcloud.production.cluster import smallest_worker_bytes
from smcloud.production.coarse_report import JoinFigures
from smcloud.production.derived_makers import MAKERS, REPORTS
from smcloud.production.ledger import Ledger, Record, combined_hash
from smcloud.production.recipe import fingerprint
from smcloud.production.runner import Task, run_tasks

STRIDE = 10
"""Pixels between the points of a tile by which its coarse cells are found: none is smaller."""


@dataclass(frozen=True)
class DerivedSummary:
    """What was made of one derived cube; `tasks_skipped` were done by an earlier run.

    `seconds` are those that workers spent, and `bytes_written` what they stored, in this run.
    `told` are lines on how well it was made; all figures are below `report_url`, if there are any.
    """

    name: str
    tasks: int
    tasks_skipped: int
    bytes_written: int
    seconds: float
    told: tuple[str, ...] = ()
    report_url: str = ""


@dataclass(frozen=True)
class DerivedTask:
    """One block of a derived cube: names and URLs, never data."""

    name: str
    key: TileYear
    number: int
    block: DerivedBlock
    store: str
    receipts: str
    input_hash: str

    @property
    def task_name(self) -> str:
        """Return the readable key, as ``ingest-lst_filled-h25v05-2019-b07``."""
        return f"ingest-{self.name}-{self.key.tile}-{self.key.year}-b{self.number:02d}"


def make_derived(task: DerivedTask) -> BlockReceipt:
    """Make one block of a derived cube on a worker: its shards, then its receipt."""
    derived, clock = DERIVED[task.name], Clock()
    with clock.step("features"):
        values = MAKERS[task.name](task.block)
    hashes, stored_bytes = {}, 0
    for name in (variable.name for variable in derived.schema.variables):
        key = shard_key(name, shard_index(derived.schema, task.block.window, 0))
        hashes[key] = hash_values(values[name])
        with clock.step("encode"):
            data = encode_shard(derived.schema, derived.schema.variable(name), values[name])
        with clock.step("write"):
            open_objects(task.store).put(key, data)
        stored_bytes += len(data)
    any_variable = next(iter(values.values()))
    receipt = BlockReceipt(
        task.task_name,
        task.input_hash,
        hashes,
        int(np.prod(any_variable.shape)),
        stored_bytes,
        clock.rounded(),
        peak_bytes(),
    )
    write_receipt(task.receipts, receipt_key(task.key.tile, task.number), receipt)
    return receipt


def run_derived(
    config: RunConfig,
    names: Sequence[str],
    client: Client | None,
    listener: Listener,
    *,
    redo: bool = False,
) -> tuple[DerivedSummary, ...]:
    """Make the derived cubes of a run, in the order of `names`, and note them in the ledger.

    A block whose inputs have not changed since its receipt is not made again, unless `redo`.

    Raises
    ------
    UserError
        If no block of the run holds land.
    NotFoundError, CubeError
        If a cube that one is made of is not there, or is not what its schema says.
    PlanError
        If a block cannot fit the smallest worker.
    """
    return tuple(_Making(config, DERIVED[name], client, listener).run(redo=redo) for name in names)


def derived_tasks(config: RunConfig, name: str, year: int) -> list[DerivedTask]:
    """Return the blocks of one year of a derived cube of a run, whether they are made or not."""
    return list(_Making(config, DERIVED[name], None, Silent()).tasks(year))


class _Making:
    """The work on one derived cube."""

    def __init__(
        self, config: RunConfig, derived: Derived, client: Client | None, listener: Listener
    ) -> None:
        self._config, self._derived = config, derived
        self._client, self._listener = client, listener
        self._cubes = CubeSet({name: config.cube_prefix(name) for name in derived.sources})
        self._ledger = Ledger(config.store.root, f"ingest/{derived.name}")
        self._listings: dict[str, set[str]] = {}
        self._ingested: dict[tuple[str, int | None], dict[TileYear, str]] = {}

    def run(self, *, redo: bool) -> DerivedSummary:
        """Make what is missing, year by year."""
        tasks = [task for year in self._config.ingested_years for task in self.tasks(year)]
        if not tasks:
            raise UserError(
                f"no land for {self._derived.name} in {', '.join(self._config.tiles)}: name other "
                "tiles, or another produce.window"
            )
        self._check_memory()
        for year in self._config.ingested_years:
            store = join(self._config.layout.cubes(self._derived.name), year_store(year))
            create_store(store, self._derived.schema, year)
        found = {} if redo else {task.task_name: self._known(task) for task in tasks}
        known = {name: receipt for name, receipt in found.items() if receipt is not None}
        waiting = [task for task in tasks if task.task_name not in known]
        if known:
            count = f"{len(known)} of {counted(len(tasks), 'blocks')}"
            self._listener.note(f"{self._derived.name}: {count} done by an earlier run")
        made = self._made(waiting)
        self._note(tasks, known | made)
        seconds = sum(sum(receipt.seconds.values()) for receipt in made.values())
        stored = sum(receipt.stored_bytes for receipt in made.values())
        name = self._derived.name
        told, url = self._reported(tasks) if name in REPORTS else ((), "")
        return DerivedSummary(name, len(tasks), len(known), stored, round(seconds, 2), told, url)

    def _reported(self, tasks: list[DerivedTask]) -> tuple[tuple[str, ...], str]:
        """Return what is to be said of the cube, and where all its figures are stored."""
        last = max(task.key.year or 0 for task in tasks)
        blocks = [task.block for task in tasks if task.key.year == last]
        name = self._derived.name
        found: list[JoinFigures] = []
        run_tasks(
            self._client,
            [Task(f"report-{name}-{last}", REPORTS[name], (blocks,))],
            window=1,
            on_done=lambda _, figures: found.append(figures),
            listener=self._listener,
        )
        folder = self._config.layout.reports("ingest")
        text = json.dumps(asdict(found[0]), sort_keys=True, indent=1) + "\n"
        open_objects(folder).put(f"{name}.json", text.encode())
        return found[0].lines, join(folder, f"{name}.json")

    def _check_memory(self) -> None:
        room = smallest_worker_bytes(self._client) if self._client else 0
        if room and self._derived.block_bytes > room:
            raise PlanError(
                f"a block of {self._derived.name} needs {self._derived.block_bytes / 1e9:.1f} GB, "
                f"but the smallest worker has {room / 1e9:.1f} GB: start fewer workers, each with "
                "more memory"
            )

    def _made(self, tasks: list[DerivedTask]) -> dict[str, BlockReceipt]:
        made = run_listed(
            [Task(task.task_name, make_derived, (task,)) for task in tasks],
            f"ingest {self._derived.name}",
            "blocks",
            self._client,
            self._listener,
        )
        return {task.task_name: receipt for task, receipt in zip(tasks, made, strict=True)}

    def tasks(self, year: int) -> Iterator[DerivedTask]:
        """Yield the task of every block that a year needs."""
        derived, config = self._derived, self._config
        layout, states = config.layout, self._states(year)
        settings = self._settings()
        schemas = {name: schema_named(name) for name in derived.sources}
        for key, number, window, part in self._windows(year):
            yield DerivedTask(
                derived.name,
                key,
                number,
                DerivedBlock(year, window, part, self._cubes, schemas, settings),
                join(layout.cubes(derived.name), year_store(year)),
                join(layout.root, "receipts", "ingest", derived.name, f"{year:04d}"),
                self._input_hash(key, states, [settings, repr(window), repr(part)]),
            )

    def _settings(self) -> dict[str, Setting]:
        """Return what the run file says of the keys that the cube depends on."""
        said = self._config.downscale.model_dump(mode="json")
        return {name: said[name] for name in self._derived.settings}

    def _windows(self, year: int) -> Iterator[tuple[TileYear, int, Window, Window]]:
        """Yield key, number, whole shard and part of every block that a year needs."""
        schema, config = self._derived.schema, self._config
        if not schema.on.is_fine:
            key = TileYear(schema.grid, GLOBE, year)
            for number, window in enumerate(self._coarse_windows):
                yield key, number, window, window
            return
        for tile in config.tiles:
            whole = tile_window(schema.on, tile)
            asked = parse_window(config.produce.window, tile) if config.produce.window else whole
            for number, window in enumerate(blocks_of(whole, schema.shards[1])):
                part = window.intersect(asked)
                if part is not None and land_mask(part).any():
                    yield TileYear(schema.grid, tile, year), number, window, part

    @cached_property
    def _coarse_windows(self) -> list[Window]:
        """Return the shards of a coarse grid that hold a cell of the run's tiles, or beside it."""
        schema = self._derived.schema
        rows, cols = schema.shards[1:]
        found = []
        for tile in self._config.tiles:  # thinned one by one: hundreds of tiles are 7 GB
            place = SIN1KM.lonlat(tile_window(SIN1KM, tile))
            found.append(np.stack([axis[::STRIDE, ::STRIDE].ravel() for axis in place]))
        lon, lat = np.concatenate(found, axis=1)
        known = np.isfinite(lon)
        return [
            Window(
                row * rows,
                min((row + 1) * rows, schema.on.rows),
                col * cols,
                min((col + 1) * cols, schema.on.cols),
            )
            for row, col in station_shards(schema, lon[known], lat[known])
        ]

    def _states(self, year: int) -> dict[tuple[str, TileYear], str]:
        """Return a hash of each tile-year of the inputs, years around included.

        It is that of the ingest's ledger; a user's own cubes are hashed from the ends of their
        objects, in the tiles of the run.
        """
        derived, config = self._derived, self._config
        around = range(year - derived.years_around, year + derived.years_around + 1)
        found = {}
        for source in derived.sources:
            schema = schema_named(source)
            for when in (None,) if schema.is_static else around:
                if source in config.ingest.cubes:
                    url = join(config.cube_prefix(source), year_store(when))
                    for tile in config.tiles if schema.on.is_fine else (GLOBE,):
                        key = TileYear(schema.grid, tile, when)
                        found[source, key] = fingerprint(url, schema, key)
                    continue
                found |= {(source, key): state for key, state in self._hashes(source, when).items()}
        return found

    def _hashes(self, source: str, year: int | None) -> dict[TileYear, str]:
        """Return the hash of each tile of a source in a year; listed once for all years around."""
        if (source, year) not in self._ingested:
            records = Ledger(self._config.store.root, f"ingest/{source}").records(year)
            found = {key: record.output_hash for key, record in records.items()}
            self._ingested[source, year] = found
        return self._ingested[source, year]

    def _input_hash(
        self, key: TileYear, states: Mapping[tuple[str, TileYear], str], rest: list[object]
    ) -> str:
        """Return a hash of all that a block's values depend on: of fine inputs, the tiles around.

        No cube is made with a halo wider than a tile.
        """
        derived, schema = self._derived, self._derived.schema
        near = {GLOBE, *(tiles_around(key.tile) if key.tile != GLOBE else ())}
        used = {
            f"{source} {of}": state
            for (source, of), state in states.items()
            if key.tile == GLOBE or of.tile in near
        }
        known = dict(sorted(used.items()))
        return combined_hash(
            [derived.name, derived.version, schema.name, schema.version, known, *rest]
        )

    def _known(self, task: DerivedTask) -> BlockReceipt | None:
        """Return the receipt of an earlier run, if inputs are the same and its shards are there."""
        stored = self._stored(task.receipts)
        key = receipt_key(task.key.tile, task.number)
        receipt = read_receipt(task.receipts, key) if key in stored else None
        if receipt is None or receipt.input_hash != task.input_hash:
            return None
        return receipt if set(receipt.shards) <= self._stored(task.store) else None

    def _stored(self, url: str) -> set[str]:
        if url not in self._listings:
            self._listings[url] = {info.key for info in open_objects(url).list()}
        return self._listings[url]

    def _note(self, tasks: list[DerivedTask], receipts: Mapping[str, BlockReceipt]) -> None:
        """Write the ledger record of each tile-year that changed."""
        for key in dict.fromkeys(task.key for task in tasks):
            own = [receipts[task.task_name] for task in tasks if task.key == key]
            shards = {name: sha for receipt in own for name, sha in sorted(receipt.shards.items())}
            inputs = combined_hash([receipt.input_hash for receipt in own])
            known = self._ledger.records(key.year).get(key)
            if known is not None and (known.input_hash, known.shards) == (inputs, shards):
                continue
            figures = {
                "blocks": float(len(own)),
                "seconds": round(sum(sum(receipt.seconds.values()) for receipt in own), 3),
                "bytes_written": float(sum(receipt.stored_bytes for receipt in own)),
                "peak_bytes": float(max(receipt.peak_bytes for receipt in own)),
            }
            self._ledger.write(Record(self._ledger.stage, key, inputs, shards, figures=figures))
