"""The first half of `train` for products that learn from coarse cells: their sample table.

Each task writes its rows as one Parquet file and then a receipt, so that a run that was killed goes
on where it stopped; a task whose driver cubes, features and rules are those of its receipt is not
run again. Below the table's prefix lie ``<year>/<area>.parquet``, ``<year>/<area>.json`` and, last
of all, the list of the files that count.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache

import pandas as pd
from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.errors import NotFoundError, PlanError, UserError
from smcloud.core.listener import Listener, counted
from smcloud.core.objects import open_objects
from smcloud.features.blockwise import FeatureReader
from smcloud.features.coarse_table import (
    BLOCK_PIXELS,
    AreaTask,
    CoarseTarget,
    area_rows,
    near,
    task_bytes,
)
from smcloud.features.derived import DERIVED, schema_named
from smcloud.features.spec import CubeSet, split_input
from smcloud.features.table import PARTS
from smcloud.grids.cells import Aggregation, areas_of
from smcloud.grids.grid import SIN1KM, Window
from smcloud.grids.tiles import TileYear, blocks_of, parse_window, tile_at, tile_window
from smcloud.production.cluster import refuse_memory_urls, smallest_worker_bytes, worker_threads
from smcloud.production.ledger import combined_hash
from smcloud.production.recipe import Inputs, driver_states, ingest_records
from smcloud.production.runner import Task, run_tasks
from smcloud.production.samples_stage import features_of
from smcloud.products.base import Product

FORMAT = 1
READERS = 16
"""Threads that fetch receipts and files: each is one request, mostly waiting."""


@dataclass(frozen=True)
class Receipt:
    """What one task wrote.

    Attributes
    ----------
    key : str
        Of its file, below the table.
    input_hash : str
        Of everything that its rows depend on.
    rows : int
    sha256 : str
        Of the file.
    """

    key: str
    input_hash: str
    rows: int
    sha256: str


@dataclass(frozen=True)
class CoarseRequest:
    """What the table of a run needs to know.

    Attributes
    ----------
    url : str
        Prefix of the table.
    inputs : Inputs
        The driver cubes, that of the target among them.
    target : CoarseTarget
    aggregation : Aggregation
    blocks : tuple of Window
        Where the driver cubes were ingested, in windows that do not overlap.
    years : tuple of int
    """

    url: str
    inputs: Inputs
    target: CoarseTarget
    aggregation: Aggregation
    blocks: tuple[Window, ...]
    years: tuple[int, ...]


def coarse_name(model: str) -> str:
    """Return the name of the table of coarse cells of a model (`Layout.table`)."""
    return f"{model}-coarse"


def request_of(config: RunConfig, product: Product) -> CoarseRequest:
    """Return the table that a run file asks for, of its tiles and training years.

    Raises
    ------
    UserError
        If the product does not learn from coarse cells.
    """
    if product.downscaling is None:
        raise UserError(f"{product.name} learns from stations: it has no table of coarse cells")
    source, variable = split_input(product.downscaling.coarse)
    cubes = CubeSet(
        {driver.source: config.cube_prefix(driver.source) for driver in product.drivers}
    )
    reader = FeatureReader(features_of(config, product), product.drivers, cubes)
    blocks = (_blocks_of(config, reader, tile) for tile in sorted(config.tiles))
    return CoarseRequest(
        config.layout.table(coarse_name(config.model_name)),
        Inputs(config, reader, tuple(dict.fromkeys((*reader.sources, source)))),
        CoarseTarget(cubes, schema_named(source), variable, product.target.valid),
        Aggregation(config.downscale.aggregation, config.downscale.minimum_share),
        tuple(block for blocks_in_tile in blocks for block in blocks_in_tile),
        tuple(sorted(config.training_years)),
    )


def _blocks_of(config: RunConfig, reader: FeatureReader, tile: str) -> list[Window]:
    """Return the blocks of a tile where all cubes are: derived ones only where a run produces."""
    blocks = blocks_of(tile_window(SIN1KM, tile), BLOCK_PIXELS)
    if not (config.produce.window and DERIVED.keys() & set(reader.sources)):
        return blocks
    part = parse_window(config.produce.window, tile)
    return [block for block in blocks if block.intersect(part) is not None]


def build_coarse_table(
    config: RunConfig, product: Product, client: Client | None, listener: Listener
) -> pd.DataFrame:
    """Return the table of coarse cells of a run and store it; columns as `area_rows`.

    Raises
    ------
    NotFoundError
        If a driver cube of the years is not there.
    UserError
        If no cell has both a target and a feature.
    """
    request = request_of(config, product)
    refuse_memory_urls(client, [request.url, *request.target.cubes.urls.values()])
    write_coarse_table(request, client, listener)
    return read_coarse_table(request.url)


def write_coarse_table(
    request: CoarseRequest, client: Client | None, listener: Listener
) -> tuple[Receipt, ...]:
    """Write the files of a table that are not there yet, and the list of all; return the receipts.

    Raises
    ------
    PlanError
        If a task cannot fit the smallest worker.
    UserError
        If no cell of any task has a row.
    """
    _check_memory(request, client)
    planned = _planned(request)
    done = _finished(request.url, planned)
    if done:
        listener.note(f"coarse cells: {len(done)} of {counted(len(planned), 'tasks')} done before")
    receipts = dict(done)
    tasks = [
        Task(_task_name(key), write_area, (task, request.url, key, input_hash))
        for key, (task, input_hash) in planned.items()
        if key not in done
    ]
    listener.begin("coarse cells", len(tasks), "areas and years")

    def keep(task: Task[Receipt], receipt: Receipt) -> None:
        receipts[receipt.key] = receipt
        listener.advance(1, rows=sum(found.rows for found in receipts.values()))

    try:
        window = 2 * worker_threads(client) if client else 1
        run_tasks(client, tasks, window=window, on_done=keep, listener=listener)
    finally:
        listener.end()
    found = tuple(receipts[key] for key in planned)
    if not any(receipt.rows for receipt in found):
        raise UserError(_why_empty(request))
    keys = [receipt.key for receipt in found if receipt.rows]
    open_objects(request.url).put(PARTS, json.dumps(keys).encode())
    return found


def write_area(task: AreaTask, url: str, key: str, input_hash: str) -> Receipt:
    """Write the rows of one task and then its receipt, which is returned."""
    rows = area_rows(task)
    data: bytes = rows.to_parquet(index=False, compression="zstd")
    receipt = Receipt(key, input_hash, len(rows), hashlib.sha256(data).hexdigest())
    target = open_objects(url)
    target.put(key, data)
    body = {"format": FORMAT, **asdict(receipt)}
    target.put(_receipt_key(key), json.dumps(body, sort_keys=True).encode())
    return receipt


def read_coarse_table(url: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the table that `write_coarse_table` stored below `url`, by cell and time.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    source = open_objects(url)
    keys: list[str] = json.loads(source.get(PARTS))
    wanted = None if columns is None else list(columns)
    with ThreadPoolExecutor(READERS) as pool:
        parts = list(
            pool.map(lambda key: pd.read_parquet(io.BytesIO(source.get(key)), columns=wanted), keys)
        )
    rows = pd.concat(parts, ignore_index=True)
    order = [name for name in ("row", "col", "time") if name in rows]
    return rows.sort_values(order, kind="stable", ignore_index=True) if order else rows


def _planned(request: CoarseRequest) -> dict[str, tuple[AreaTask, str]]:
    """Return the task of each file with the hash of its inputs, in the order of keys."""
    records = ingest_records(request.inputs.config.store.root)

    @cache
    def states(tile: str, year: int) -> tuple[tuple[str, str], ...]:
        key = TileYear(SIN1KM.name, tile, year)
        return tuple(sorted(driver_states(request.inputs, key, records)))

    planned = {}
    for year in request.years:
        for area in areas_of(request.blocks):
            blocks = near(area, request.blocks, request.target)
            task = AreaTask(
                request.inputs.reader, request.target, request.aggregation, area, blocks, year
            )
            tiles = sorted({tile_at(block.row0, block.col0) for block in blocks})
            drivers = {tile: states(tile, year) for tile in tiles}
            planned[_key(task)] = (task, _input_hash(task, drivers))
    return dict(sorted(planned.items()))


def _input_hash(task: AreaTask, drivers: object) -> str:
    """Return the hash of everything that the rows of a task depend on."""
    return combined_hash(
        {
            "format": FORMAT,
            "area": str(task.area),
            "blocks": [str(block) for block in task.blocks],
            "year": task.year,
            "features": [[feature.name, feature.version] for feature in task.reader.features],
            "target": [
                task.target.schema.name,
                task.target.schema.version,
                task.target.variable,
                task.target.valid,
            ],
            "aggregation": asdict(task.aggregation),
            "drivers": drivers,
        }
    )


def _finished(url: str, planned: dict[str, tuple[AreaTask, str]]) -> dict[str, Receipt]:
    """Return the receipts of the files that need not be made again."""
    stored = {info.key for info in open_objects(url).list()}
    with ThreadPoolExecutor(READERS) as pool:
        found = list(pool.map(lambda key: _read_receipt(url, key), planned))
    return {
        receipt.key: receipt
        for receipt in found
        if receipt is not None
        and receipt.key in stored
        and receipt.input_hash == planned[receipt.key][1]
    }


def _read_receipt(url: str, key: str) -> Receipt | None:
    """Return the receipt of a file; None if there is none of this format."""
    try:
        body = json.loads(open_objects(url).get(_receipt_key(key)))
    except (NotFoundError, json.JSONDecodeError):
        return None
    if not isinstance(body, dict) or body.pop("format", None) != FORMAT:
        return None
    return Receipt(**body)


def _key(task: AreaTask) -> str:
    return f"{task.year:04d}/r{task.area.row0:05d}-c{task.area.col0:05d}.parquet"


def _receipt_key(key: str) -> str:
    return key.removesuffix(".parquet") + ".json"


def _task_name(key: str) -> str:
    return "coarse-" + key.removesuffix(".parquet").replace("/", "-")


def _check_memory(request: CoarseRequest, client: Client | None) -> None:
    room = smallest_worker_bytes(client) if client else 0
    needed = task_bytes(request.inputs.reader, request.target.schema.on, AreaTask.step_days)
    if room and needed > room:
        raise PlanError(
            f"a task of the table of coarse cells needs {needed / 1e9:.1f} GB, but the smallest "
            f"worker has {room / 1e9:.1f} GB: start fewer workers, each with more memory"
        )


def _why_empty(request: CoarseRequest) -> str:
    tiles = sorted({tile_at(block.row0, block.col0) for block in request.blocks})
    years = ", ".join(map(str, request.years))
    layer = f"{request.target.schema.name}.{request.target.variable}"
    return (
        f"no coarse cell of {', '.join(tiles)} in {years} has both a value of {layer} and enough "
        f"known pixels (minimum_share {request.aggregation.minimum_share:g}): look at what was "
        "ingested, or name other tiles and years"
    )
