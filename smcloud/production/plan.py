"""What a run has to do, what it needs, and whether it fits; nothing is written here."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from smcloud.core.errors import PlanError, UserError
from smcloud.core.listener import counted
from smcloud.core.objects import open_objects
from smcloud.features.sink import FloatSink
from smcloud.features.spec import split_input
from smcloud.grids.tiles import TileYear, parse_window, window_text
from smcloud.models.base import ModelCard
from smcloud.production.block import (
    BlockTask,
    land_points,
    read_receipt,
    receipt_key,
)
from smcloud.production.downscalers import held_bytes
from smcloud.production.estimators import row_bytes
from smcloud.production.judgement import judgement_bytes
from smcloud.production.ledger import Ledger, Record, combined_hash
from smcloud.production.pass_plan import YearPasses, speeds_of, year_passes
from smcloud.production.planned import (
    PROCESS_BYTES,
    BlockMemory,
    Estimate,
    PlannedBlock,
    State,
    TilePlan,
    YearPlan,
)
from smcloud.production.recipe import (
    Recipe,
    ingest_records,
    input_hashes,
    require_drivers,
)
from smcloud.production.versions import Pointer, read_pointer

MODEL_FACTOR = 3
"""A booster in memory against its UBJSON file, its prediction buffers included."""
ROOM = 0.8
"""Share of a worker's limit that a block may take: at 0.8 Dask pauses the worker."""
ROWS_PER_CORE_SECOND = 100_000.0
"""Pixel-days per core and second, until receipts of this product say what it really is."""
SMALLEST_BLOCK = 150
"""Least side of a block that `produce.block_pixels` takes."""
METADATA_REQUESTS = 3
"""Requests to open one cube: its group and what is read of its coordinates."""


def plan_year(recipe: Recipe, year: int, *, anew: bool = False) -> YearPlan:
    """Return what one year of a run has to do; reads the ledger, the receipts and the pointer.

    Parameters
    ----------
    anew
        Plan a new revision of the published version: everything is done again, beside it.

    Raises
    ------
    NotFoundError, CubeError
        If a driver cube is absent or is not what its schema says.
    UserError
        If a tile has no land in the part that the run produces, or the run leaves out a tile that
        is published, or a part of one: readers would lose it.
    """
    config, layout = recipe.config, recipe.config.layout
    pointer = read_pointer(layout, recipe.product.name, year)
    stage = Ledger(config.store.root, f"produce/{recipe.product.name}")
    if pointer is not None:
        _check_tiles(config.produced_tiles, pointer)
        _check_parts(recipe, stage.records(year, pointer.version), pointer)
    records = ingest_records(config.store.root)
    keys = [TileYear(recipe.schema.grid, tile, year) for tile in sorted(set(config.produced_tiles))]
    for key in keys:
        require_drivers(recipe, key)
    hashes = input_hashes(recipe, keys, records)
    version = _version(hashes, pointer, anew=anew)
    # Of this version first: another one may have been half made after it.
    ledger = {**stage.records(year), **stage.records(year, version)}
    receipts = layout.receipts(recipe.product.name, year, version)
    stored = {info.key for info in open_objects(receipts).list()}
    tiles = tuple(
        _tile_plan(recipe, key, hashes[key], version, ledger.get(key), receipts, stored, anew=anew)
        for key in keys
    )
    memory = block_memory(recipe, year, _most_land(tiles))
    measured = list(ledger.values()) or _of_other_years(stage, config.produced_years)
    passes = YearPasses((), 0)
    if recipe.product.downscaling is not None:
        speeds = speeds_of(measured, recipe.product.downscaling.kind)
        passes = year_passes(recipe, year, tiles, memory, version, speeds)
    estimate = _estimate(recipe, tiles, measured, year, passes)
    return YearPlan(year, version, tiles, pointer, memory, estimate, receipts, passes.passes)


def _of_other_years(stage: Ledger, years: Iterable[int]) -> list[Record]:
    """Return the records of the years of a run, which tell its speed before this one's do."""
    return [record for year in sorted(set(years)) for record in stage.records(year).values()]


def block_task(
    recipe: Recipe,
    plan: YearPlan,
    tile: TilePlan,
    block: PlannedBlock,
    expected: Mapping[str, str] | None = None,
) -> BlockTask:
    """Return the task that produces one block; `expected` binds a repair to these hashes."""
    layout = recipe.config.layout
    return BlockTask(
        key=tile.key,
        number=block.number,
        window=block.window,
        part=recipe.part(tile.key.tile),
        reader=recipe.reader,
        models=recipe.models,
        model=recipe.config.model_name,
        model_sha256=recipe.card.whole_sha256,
        schema=recipe.schema,
        target=recipe.product.target.column,
        no_estimate_where=recipe.product.no_estimate_where,
        step_days=recipe.config.produce.step_days,
        read_ahead=recipe.config.read_ahead,
        store=layout.store(recipe.product.name, plan.year, plan.version),
        receipts=plan.receipts,
        input_hash=tile.input_hash,
        expected=expected or {},
    )


def check_fits(plan: YearPlan, worker_bytes: int, threads: int = 1) -> None:
    """Raise PlanError, with the numbers, unless a block of each thread fits into a worker.

    Parameters
    ----------
    worker_bytes
        Memory limit of the smallest worker; 0 where none is set.
    threads
        Blocks that a worker computes side by side.
    """
    room = int(ROOM * worker_bytes)
    if not worker_bytes:
        return
    if plan.memory.total(threads) > room:
        raise PlanError(_too_large(plan, threads, worker_bytes))
    for one in plan.passes:
        if one.total(threads) > room:
            advice = "" if one.name != "anchor" else ", or produce fewer tiles in a run"
            raise PlanError(
                f"{counted(threads, 'tasks')} of the pass `{one.name}` of {plan.year} at a time "
                f"{'needs' if threads == 1 else 'need'} {_mb(one.total(threads))} (process "
                f"{_mb(PROCESS_BYTES)}, model {_mb(one.shared_bytes)}, each task "
                f"{_mb(one.task_bytes)}) and a worker of {_mb(worker_bytes)} leaves {_mb(room)}: "
                f"give workers more memory{advice}"
            )


def _too_large(plan: YearPlan, threads: int, worker_bytes: int) -> str:
    """Return why blocks do not fit a worker, term by term, and what helps."""
    memory = plan.memory
    side = plan.tiles[0].blocks[0].window.shape[0]
    blocks = "produce.block_pixels or " if side > SMALLEST_BLOCK else ""
    ahead = "set produce.read_ahead = false, " if memory.ahead else ""
    return (
        f"making {counted(threads, 'blocks')} of {plan.year} at a time needs "
        f"{_mb(memory.total(threads))} "
        f"(process {_mb(memory.process)}, model {_mb(memory.model)}, and for each block inputs "
        f"and features {_mb(memory.inputs)}, outputs {_mb(memory.outputs)}, encoding "
        f"{_mb(memory.encoding)}, blocks read and written meanwhile {_mb(memory.meanwhile)}) "
        f"and a worker of {_mb(worker_bytes)} leaves {_mb(int(ROOM * worker_bytes))}: give "
        f"workers more memory, {ahead}or lower {blocks}produce.step_days"
    )


def block_memory(recipe: Recipe, year: int, land_pixels: int) -> BlockMemory:
    """Return the peak bytes of the block with most land."""
    schema, days = recipe.schema, len(recipe.schema.times(year))
    pixels = schema.shards[1] * schema.shards[2]
    sizes = [np.dtype(variable.dtype).itemsize for variable in schema.variables]
    shard = int(np.prod(schema.shards)) * max(sizes)
    columns, slab_days = len(recipe.reader.names), recipe.config.produce.step_days
    ahead, card = recipe.config.read_ahead, recipe.card
    if isinstance(card, ModelCard):
        held = row_bytes(card, columns)
        judged = judgement_bytes(columns, slab_days, land_pixels)
    else:  # floats for any model, its estimates and flags; nothing is judged
        held, judged = (columns + 2) * FloatSink.bytes_per_value, 0
    return BlockMemory(
        process=PROCESS_BYTES,
        inputs=recipe.reader.estimate_bytes(
            days,
            land_pixels,
            slab_days=slab_days,
            window_pixels=pixels,
            row_bytes=held,
        )
        + judged,
        outputs=days * pixels * sum(sizes),
        encoding=2 * shard,
        ahead=recipe.reader.read_bytes(days, land_pixels, pixels) if ahead else 0,
        model=_model_bytes(recipe),
    )


def _model_bytes(recipe: Recipe) -> int:
    """Return the bytes of a model in memory: its trees, those of its spread, its area."""
    card, name, models = recipe.card, recipe.config.model_name, open_objects(recipe.models)
    if not isinstance(card, ModelCard):
        return held_bytes(models, card)
    files = [f"{card.sha256}.ubj"]
    files += [f"{card.spread.sha256}.spread.ubj"] if card.spread else []
    files += [f"{card.area.sha256}.area.npy"] if card.area else []
    return MODEL_FACTOR * sum(models.head(f"{name}/{file}").size for file in files)


def _check_tiles(tiles: Iterable[str], pointer: Pointer) -> None:
    lost = sorted(set(pointer.tiles) - set(tiles))
    if lost:
        raise UserError(
            f"{pointer.product} {pointer.year} is published with {counted(len(lost), 'tiles')} "
            f"that this run leaves out, such as {lost[0]}: readers would lose them; add them to "
            "`tiles` or `produce.tiles`, or give the run a `store.root` of its own"
        )


def _check_parts(recipe: Recipe, published: Mapping[TileYear, Record], pointer: Pointer) -> None:
    """Raise unless the run makes every land pixel that readers have now."""
    for key, record in published.items():
        if not record.part:  # written by a smcloud that did not note it
            continue
        old, new = parse_window(record.part, key.tile), recipe.part(key.tile)
        if old.intersect(new) == old:
            continue
        lost = len(land_points(old, old)) - len(land_points(old, new))
        if lost:
            raise UserError(
                f"{pointer.product} {pointer.year} is published with the part {record.part} of "
                f"{key.tile}, and this run would publish {window_text(new, key.tile)}, which "
                f"leaves out {counted(lost, 'land pixels')}: readers would lose them; widen "
                "`produce.window`, or give the run a `store.root` of its own"
            )


def _version(hashes: Mapping[TileYear, str], pointer: Pointer | None, *, anew: bool) -> str:
    """Return the version of a year's inputs; a published revision of the same inputs is kept."""
    base = "v" + combined_hash({str(key): value for key, value in hashes.items()})[:12]
    if pointer is None or pointer.version.partition("-r")[0] != base:
        return base
    revision = int(pointer.version.partition("-r")[2] or 0)
    return f"{base}-r{revision + 1}" if anew else pointer.version


def _tile_plan(
    recipe: Recipe,
    key: TileYear,
    inputs: str,
    version: str,
    record: Record | None,
    receipts: str,
    stored: set[str],
    *,
    anew: bool,
) -> TilePlan:
    blocks = tuple(_blocks(recipe, key))
    if not blocks:
        raise UserError(f"no land in {key} where the run produces: leave the tile out")
    unchanged = record is not None and record.input_hash == inputs
    if unchanged and record is not None and record.version == version:
        return TilePlan(key, inputs, blocks, State.DONE, record)
    blocks = tuple(_with_receipt(block, key, inputs, receipts, stored) for block in blocks)
    if unchanged and not anew and _covers(record, blocks):
        return TilePlan(key, inputs, blocks, State.COPY, record)
    return TilePlan(key, inputs, blocks, State.REDO if record else State.NEW, record)


def _covers(record: Record | None, blocks: tuple[PlannedBlock, ...]) -> bool:
    return record is not None and record.figures.get("blocks") == len(blocks)


def _blocks(recipe: Recipe, key: TileYear) -> Iterator[PlannedBlock]:
    """Yield the blocks of a tile that hold land in the part that the run produces."""
    part = recipe.part(key.tile)
    for number, window in enumerate(recipe.blocks(key.tile)):
        land = len(land_points(window, part))
        if land:
            yield PlannedBlock(number, window, land)


def _with_receipt(
    block: PlannedBlock, key: TileYear, inputs: str, receipts: str, stored: set[str]
) -> PlannedBlock:
    name = receipt_key(key.tile, block.number)
    receipt = read_receipt(receipts, name) if name in stored else None
    if receipt is None or receipt.input_hash != inputs:
        return block
    return PlannedBlock(block.number, block.window, block.land_pixels, receipt)


def _most_land(tiles: tuple[TilePlan, ...]) -> int:
    return max(block.land_pixels for tile in tiles for block in tile.blocks)


def _estimate(
    recipe: Recipe,
    tiles: tuple[TilePlan, ...],
    measured: Sequence[Record],
    year: int,
    passes: YearPasses,
) -> Estimate:
    waiting = [b for tile in tiles if tile.state is not State.COPY for b in tile.waiting]
    days = len(recipe.schema.times(year))
    pixels = recipe.schema.shards[1] * recipe.schema.shards[2]
    size = sum(np.dtype(variable.dtype).itemsize for variable in recipe.schema.variables)
    read, requests = _reading(recipe, year, pixels)
    rows = days * sum(block.land_pixels for block in waiting)
    rate, is_measured = _rate(recipe, measured)
    hours = passes.core_hours if passes.passes else rows / rate / 3600
    return Estimate(
        rows=rows,
        bytes_read=len(waiting) * read,
        bytes_written=len(waiting) * days * pixels * size,
        requests=len(waiting) * (requests + len(recipe.schema.variables) + 1),
        core_hours=hours,
        cost=hours * recipe.config.produce.core_hour_price,
        rows_per_core_second=rate,
        is_measured=is_measured,
        work_bytes=passes.work_bytes,
    )


def _reading(recipe: Recipe, year: int, pixels: int) -> tuple[int, int]:
    """Return the bytes and the requests of one block's drivers: an index and a chunk a shard."""
    reader = recipe.reader
    read, requests = 0, METADATA_REQUESTS * len(reader.sources)
    names = {name for feature in reader.features for name in feature.inputs}
    for name in sorted(names):
        source, variable = split_input(name)
        if source not in reader.schemas:
            continue
        schema = reader.schemas[source]
        steps = 1 if schema.is_static else len(schema.times(year))
        cells = pixels if schema.on.is_fine else 64
        read += np.dtype(schema.variable(variable).dtype).itemsize * steps * cells
        halo_slabs = 0 if schema.is_static else sum(n > 0 for n in reader.halo_days(source))
        requests += 2 * (len(schema.slabs(year)) + halo_slabs)
    return read, requests


def _rate(recipe: Recipe, measured: Sequence[Record]) -> tuple[float, bool]:
    """Return pixel-days per core-second, all passes together, and whether receipts say so."""
    rows = sum(record.figures.get("rows", 0.0) for record in measured)
    seconds = sum(record.figures.get("seconds", 0.0) for record in measured)
    if rows and seconds:
        return rows / seconds, True
    how = recipe.product.downscaling
    if how is None:
        return ROWS_PER_CORE_SECOND, False
    return 1.0 / sum(1.0 / speed for speed in speeds_of((), how.kind).values()), False


def _mb(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
