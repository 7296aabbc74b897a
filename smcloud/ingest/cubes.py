"""Granules to whole shards of a driver cube: the work of one ingest task.

A tile file is opened once and goes layer by layer into the slab's integers; files that must be
joined (hours, rasters) come as physical values on the cube's grid and are packed from there. A slab
holds every variable packed; shards are encoded and put one after another. A file that is damaged or
gone is recorded by name, its pixels stay unknown, and the task goes on.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from smcloud.core.errors import GranuleError, NotFoundError
from smcloud.core.memory import peak_bytes
from smcloud.core.objects import open_objects
from smcloud.cube.schema import Array, CubeSchema, Days, shard_index
from smcloud.cube.store import ShardRecord, write_shard
from smcloud.grids.grid import Grid, Window
from smcloud.ingest.index import IndexedGranule
from smcloud.ingest.plan import IngestTask
from smcloud.ingest.receipts import BadGranule, IngestReceipt, write_receipt
from smcloud.sources.base import PacksGranules, Source
from smcloud.sources.registry import SOURCES

log = logging.getLogger(__name__)

UNREADABLE = (GranuleError, OSError, RuntimeError)
"""What readers raise on damage; the libraries below them raise the latter two."""
CENTRE_TOLERANCE = 0.01
"""How far a coordinate may lie from a pixel centre of the grid, in pixels."""


Opened = tuple[IndexedGranule, xr.Dataset]


@dataclass
class _Reading:
    """What was read so far and what could not be."""

    granules: int = 0
    stored_bytes: int = 0
    damaged: set[BadGranule] = field(default_factory=set)

    def skip(self, entry: IndexedGranule, error: Exception) -> None:
        """Record a file that cannot be used."""
        # The runner tells people: the receipt carries name and reason to it.
        log.info("skipped %s: %s", entry.granule.name, error)
        reason = " ".join(str(error).split()) or type(error).__name__
        self.damaged.add(BadGranule(entry.granule.name, reason))

    def drop(self, entry: IndexedGranule, error: Exception) -> None:
        """Record a file that could be opened, but not read to its end."""
        if entry.granule.name not in {bad.name for bad in self.damaged}:
            self.granules -= 1
            self.skip(entry, error)


@dataclass(frozen=True)
class Block:
    """Packed values of every variable over one window and one slab.

    Attributes
    ----------
    window : Window
        Pixels covered, in the whole grid.
    days : datetime64[D] (steps,)
        First days of the steps; empty for static layers.
    arrays : dict
        Stored integers by variable, (steps, rows, cols) or (rows, cols); unknown is fill.
    """

    window: Window
    days: Days
    arrays: dict[str, Array]

    @classmethod
    def unknown(cls, schema: CubeSchema, window: Window, days: Days) -> "Block":
        """Return a block in which nothing is known yet."""
        head = () if schema.is_static else (len(days),)
        return cls(
            window,
            days,
            {
                v.name: np.full((*head, *window.shape), v.fill_value, v.dtype)
                for v in schema.variables
            },
        )

    def step(self, schema: CubeSchema, day: date) -> dict[str, Array]:
        """Return the stored integers (rows, cols) of every variable at the step of a day.

        Raises
        ------
        GranuleError
            If no step begins on that day.
        """
        at = np.flatnonzero(self.days == np.datetime64(day, "D"))
        if at.size == 0:
            raise GranuleError(f"{schema.name}: no step of the cube begins on {day.isoformat()}")
        return {name: array[at[0]] for name, array in self.arrays.items()}

    def place(self, schema: CubeSchema, found: xr.Dataset) -> None:
        """Pack what `found` (physical values on the grid) has inside this block.

        Steps and pixels outside the block are left alone; so are pixels that `found` does not
        know, so that pieces which share a window add up.

        Raises
        ------
        GranuleError
            If `found` has coordinates that are not the grid's, or a variable with other units.
        """
        covered = window_of(schema.on, found)
        inside = covered.intersect(self.window)
        if inside is None:
            return
        theirs, ours = inside.within(covered), inside.within(self.window)
        for variable in schema.variables:
            if variable.name not in found:
                continue
            _check_units(found[variable.name], variable.units, schema.name)
            physical = found[variable.name].values
            for step_there, step_here in self._steps(schema, found):
                there: tuple[int | slice, ...] = (*step_there, *theirs)
                here: tuple[int | slice, ...] = (*step_here, *ours)
                values = physical[there]
                if (box := known_box(values)) is not None:
                    packed = variable.pack(values[box])
                    known = packed != variable.fill_value
                    np.copyto(self.arrays[variable.name][here][box], packed, where=known)

    def _steps(
        self, schema: CubeSchema, found: xr.Dataset
    ) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Yield index pairs (in `found`, here) of the steps that both have."""
        if schema.is_static:
            yield (), ()
            return
        here = {day: number for number, day in enumerate(self.days.tolist())}
        for number, day in enumerate(found["time"].values.astype("datetime64[D]").tolist()):
            if day in here:
                yield (number,), (here[day],)


def known_box(values: NDArray[np.floating]) -> tuple[slice, slice] | None:
    """Return the smallest rectangle of (rows, cols) that holds all known values; None without any.

    A cut-out, a coast or the edge of the globe leaves much of a tile unknown: packing that is work
    for nothing.
    """
    known = np.isfinite(values)
    rows, cols = np.flatnonzero(known.any(axis=1)), np.flatnonzero(known.any(axis=0))
    if rows.size == 0:
        return None
    return slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)


def window_of(grid: Grid, found: xr.Dataset) -> Window:
    """Return the pixels of `grid` that a dataset covers, from its coordinates.

    Raises
    ------
    GranuleError
        If the coordinates are not consecutive pixel centres of the grid.
    """
    spans = []
    for name, first, sign in zip(grid.dims, (grid.y_first, grid.x_first), (-1.0, 1.0), strict=True):
        centres = np.asarray(found[name].values, np.float64)
        position = (centres - first) * sign / grid.step
        start = round(float(position[0]))
        expected = np.arange(start, start + len(centres))
        if np.abs(position - expected).max() > CENTRE_TOLERANCE:
            raise GranuleError(
                f"{name} runs from {centres[0]:g} to {centres[-1]:g} in {len(centres)} steps: "
                f"expected consecutive pixel centres of the grid {grid.name}"
            )
        spans += [start, start + len(centres)]
    return Window(*spans)


def ingest_slab(task: IngestTask) -> IngestReceipt:
    """Read the granules of one task, write its shards, leave its receipt and return it.

    Running it again writes the same bytes. Damaged and vanished files are in the receipt.

    Raises
    ------
    StoreError
        If the store refuses or is full; no receipt is written then.
    """
    started = time.perf_counter()
    source = SOURCES[task.source]
    reading = _Reading()
    records = [
        record
        for block in _blocks(task, source, reading)
        for record in _write_block(task, source.schema, block)
    ]
    receipt = IngestReceipt(
        task=task.name,
        source=task.source,
        key=str(task.key),
        slab=task.slab,
        input_hash=task.input_hash,
        shards={record.key: record.sha256 for record in records},
        granules_read=reading.granules,
        missing=task.missing,
        damaged=tuple(sorted(reading.damaged)),
        bytes_read=reading.stored_bytes,
        bytes_written=sum(record.stored_bytes for record in records),
        seconds=round(time.perf_counter() - started, 3),
        peak_bytes=peak_bytes(),
    )
    write_receipt(task, receipt)
    return receipt


def _blocks(task: IngestTask, source: Source, reading: _Reading) -> Iterator[Block]:
    """Yield the blocks of whole shards that the task writes."""
    days = source.schema.times(task.key.year)
    if not source.schema.is_static:
        days = days[source.schema.slabs(task.key.year)[task.slab]]
    if source.schema.on.is_fine:
        yield _tile_block(task, source, days, reading)
    else:
        yield from _coarse_blocks(task, source, days, reading)


def _tile_block(task: IngestTask, source: Source, days: Days, reading: _Reading) -> Block:
    """Return the block of one tile of the fine grid, filled file by file where that works."""
    block = Block.unknown(source.schema, task.key.window, days)
    if isinstance(source, PacksGranules):
        for entry in task.granules:
            _pack(block, source, task, entry, reading)
        return block
    with ExitStack() as files:
        _fill(block, source, task, _open(task, source, task.granules, files, reading), reading)
    return block


def _pack(
    block: Block,
    source: PacksGranules,
    task: IngestTask,
    entry: IndexedGranule,
    reading: _Reading,
) -> None:
    """Pack one tile file into its step of the block; a damaged or absent one is recorded."""
    into: dict[str, Array] = {}
    try:
        into = block.step(source.schema, entry.granule.start)
        with open_objects(task.from_url).fetch(entry.key) as path:
            source.pack_into(path, into, quality=task.quality)
    except (GranuleError, NotFoundError) as err:
        reading.skip(entry, err)
        for name, values in into.items():  # damage deep in a file shows when half of it is packed
            values[...] = source.schema.variable(name).fill_value
        return
    reading.granules += 1
    reading.stored_bytes += entry.size


def _coarse_blocks(
    task: IngestTask, source: Source, days: Days, reading: _Reading
) -> Iterator[Block]:
    """Yield one block for each shard of a coarse grid that the files reach.

    Files stay open and are read shard by shard, so that a global month is never held at once.
    """
    with ExitStack() as files:
        opened = [
            (entry, _cut_to(dataset, days, source.lookahead_days))
            for entry, dataset in _open(task, source, task.granules, files, reading)
        ]
        reached = [shards_reached(source.schema, dataset) for _, dataset in opened]
        for shard in sorted(set().union(*reached)):
            if task.only_shards is not None and shard not in task.only_shards:
                continue
            block = Block.unknown(source.schema, shard_window(source.schema, shard), days)
            near = [pair for pair, shards in zip(opened, reached, strict=True) if shard in shards]
            _fill(block, source, task, near, reading)
            yield block


def _cut_to(dataset: xr.Dataset, days: Days, lookahead_days: int) -> xr.Dataset:
    """Return the instants of a slab's days and of those after it that its totals need."""
    stop = days[-1] + np.timedelta64(1 + lookahead_days, "D")
    instants = dataset["time"].values
    at = np.flatnonzero((instants >= days[0]) & (instants < stop))
    if at.size and at[-1] - at[0] == at.size - 1:
        return dataset.isel(time=slice(int(at[0]), int(at[-1]) + 1))
    return dataset.isel(time=at)


def shards_reached(schema: CubeSchema, dataset: xr.Dataset) -> set[tuple[int, int]]:
    """Return the spatial shards (row, col) of a coarse grid in which a file has cells.

    Longitudes count around the globe, so a file across Greenwich reaches both ends of the grid.
    """
    grid = schema.on
    rows, cols = (np.asarray(dataset[dim].values, np.float64) for dim in grid.dims)
    row = np.rint((grid.y_first - rows) / grid.step).astype(np.int64)
    col = np.rint((cols - grid.x_first) / grid.step).astype(np.int64) % grid.cols
    return {
        (int(down), int(across))
        for down in np.unique(row // schema.shards[1])
        for across in np.unique(col // schema.shards[2])
    }


def shard_window(schema: CubeSchema, shard: tuple[int, int]) -> Window:
    """Return the pixels of one spatial shard; the last ones may be cut off by the grid's end."""
    (row, col), (rows, cols) = shard, schema.shards[1:]
    grid = schema.on
    return Window(
        row * rows, min((row + 1) * rows, grid.rows), col * cols, min((col + 1) * cols, grid.cols)
    )


def _open(
    task: IngestTask,
    source: Source,
    entries: Sequence[IndexedGranule],
    files: ExitStack,
    reading: _Reading,
) -> list[Opened]:
    """Return the datasets of the files that can be opened; the others are recorded."""
    objects = open_objects(task.from_url)
    opened = []
    for entry in entries:
        try:
            path = files.enter_context(objects.fetch(entry.key))
            dataset = source.read(path, quality=task.quality)
        except (GranuleError, NotFoundError) as err:
            reading.skip(entry, err)
            continue
        files.callback(dataset.close)
        reading.granules += 1
        reading.stored_bytes += entry.size
        opened.append((entry, dataset))
    return opened


def _fill(
    block: Block, source: Source, task: IngestTask, opened: Sequence[Opened], reading: _Reading
) -> None:
    """Pack the datasets into the block; a file whose content is damaged is recorded and left out.

    Readers may leave content to be read here (a month of hours does not fit in memory), so damage
    deep in a file shows only now. One bad file of several is found by trying each alone.
    """
    sound = list(opened)
    while sound:
        try:
            datasets = [dataset for _, dataset in sound]
            found = source.steps(datasets, task.key, within=block.window)
            block.place(source.schema, found)
        except UNREADABLE as err:
            faults = [_fault(source, task, dataset, block.window) for dataset in datasets]
            if not any(faults):
                faults = [err] * len(sound)
            for (entry, _), fault in zip(sound, faults, strict=True):
                if fault is not None:
                    reading.drop(entry, fault)
            sound = [pair for pair, fault in zip(sound, faults, strict=True) if fault is None]
        else:
            return


def _fault(
    source: Source, task: IngestTask, dataset: xr.Dataset, window: Window
) -> Exception | None:
    """Return what is wrong with the content of one file; None if nothing is."""
    try:
        source.steps([dataset], task.key, within=window)
    except UNREADABLE as err:
        return err
    return None


def _write_block(task: IngestTask, schema: CubeSchema, block: Block) -> Iterator[ShardRecord]:
    """Write every variable of a block, one put each, freeing it when it is stored."""
    index = shard_index(schema, block.window, task.slab)
    for variable in schema.variables:
        values = block.arrays.pop(variable.name)
        yield write_shard(task.cube_url, schema, variable.name, index, values)


def _check_units(found: xr.DataArray, expected: str, source: str) -> None:
    units = found.attrs.get("units")
    if units != expected:
        raise GranuleError(f"{source} {found.name}: expected units {expected!r}, found {units!r}")
