"""What the passes of a downscaled year will take: tasks that wait, memory of each, core-hours.

The tasks between first guesses and blocks hold no drivers. Those of the anchors hold sums of coarse
cells: of all blocks of the region for one slab of days, and what solving for the nodes needs.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from smcloud.core.objects import open_objects
from smcloud.features.blockwise import ALLOCATOR_FACTOR, STORE_BYTES
from smcloud.features.spec import split_input
from smcloud.grids.grid import SIN1KM, Grid, Window
from smcloud.models.cell_sums import around
from smcloud.production.anchor_pass import DAYS_AT_ONCE
from smcloud.production.block import STEPS, receipt_key
from smcloud.production.first_guess import SLAB_DAYS, Work, slabs_of
from smcloud.production.ledger import Record
from smcloud.production.passes import PASSES, SETTLED, figure_of
from smcloud.production.planned import BlockMemory, PassPlan, State, TilePlan
from smcloud.production.recipe import Recipe

FINISH = "finish"
SUMS_BYTES = 100
"""Of a cell and day: its count, total, ceiling, nine moves, lowest value and least room."""
PARTS = 2
"""Sums of a block are held twice: of its first guess, and as clamped."""
SOLVER_BYTES = 800
"""Of a cell of the region and day that is solved: stencils of nine float64, some times over; 763
were measured with merged sums."""
POINT_BYTES = 24
"""Of a pixel and day of a slab that is summed or corrected: the first guess as stored and as
floats, what is made of it, flags and states; 12 were measured of a visit."""
LINK_BYTES = 140
"""Of a pixel that is hung on its cells: coordinates, weights, cells; 132 were measured."""
GUESS_RATES: Mapping[str, float] = {"periods": 500_000.0, "local": 2_500_000.0}
RATES: Mapping[str, float] = {
    "sum": 9_000_000.0,
    "anchor": 6_000_000.0,
    "visit": 2_000_000.0,
    FINISH: 5_000_000.0,
}
"""Pixel-days per core and second of each pass, and of first guesses by kind of model, until
receipts of the product say what it is: round figures of `python -m benchmarks run --only
downscaling`."""


@dataclass(frozen=True)
class YearPasses:
    """The passes of a year, and what they leave each other.

    Attributes
    ----------
    passes : tuple of PassPlan
        In their order, the blocks last.
    work_bytes : int
        What will lie below the work of the version until it is published, uncompressed: first
        guesses, flags, and the sums of all blocks twice; 0 where nothing waits.
    """

    passes: tuple[PassPlan, ...]
    work_bytes: int

    @property
    def core_hours(self) -> float:
        """Return those of all passes."""
        return sum(one.core_hours for one in self.passes)


def year_passes(
    recipe: Recipe,
    year: int,
    tiles: Sequence[TilePlan],
    memory: BlockMemory,
    version: str,
    speeds: Mapping[str, float],
) -> YearPasses:
    """Return what the passes of a year will take.

    Parameters
    ----------
    memory
        Of the first guess of a block.
    version
        Of the year: its work tells what an earlier run left.
    speeds
        Pixel-days per core and second of each pass (`speeds_of`).
    """
    work = Work(recipe.config.layout.work(recipe.product.name, year, version))
    region = _Region.of(recipe, year, tiles)
    left = _left(work, region, tiles)
    task_bytes = _task_bytes(recipe, region, memory)
    passes = tuple(
        PassPlan(
            name,
            tasks,
            "slabs of days" if name == "anchor" else "blocks",
            rows,
            task_bytes[name],
            memory.model if name == "first guess" else 0,
            rows / speeds[name] / 3600,
        )
        for name, (tasks, rows) in left.items()
    )
    pixels = recipe.schema.shards[1] * recipe.schema.shards[2]
    of_guesses = 4 * pixels * region.blocks
    of_sums = PARTS * SUMS_BYTES * region.cells_of_blocks
    is_waiting = any(one.rows for one in passes)
    return YearPasses(passes, region.days * (of_guesses + of_sums) if is_waiting else 0)


def speeds_of(records: Iterable[Record], kind: str) -> dict[str, float]:
    """Return the pixel-days per core and second of each pass, as records say, or a round figure.

    Visits count by the pixel-days of the year, not by those that they saw.

    Parameters
    ----------
    kind
        Of the models (`Downscaling.kind`).
    """
    found = {"first guess": GUESS_RATES[kind], **RATES}
    known = [record.figures for record in records if record.figures.get("rows")]
    having = [figures for figures in known if figure_of("first guess") in figures]
    for name in found:
        keys = [figure_of(name)] if name in PASSES else [f"seconds_{step}" for step in STEPS]
        seconds = sum(figures.get(key, 0.0) for figures in having for key in keys)
        rows = sum(figures["rows"] for figures in having)
        if rows:
            # A pass that took no time at all, as visits where nothing is clamped, costs nothing.
            found[name] = rows / seconds if seconds else math.inf
    return found


@dataclass(frozen=True)
class _Region:
    """How large the region of a year is, in pixels and in coarse cells."""

    days: int
    blocks: int
    rows: int
    """Pixel-days of its land."""
    most_land: int
    """Land pixels of a block."""
    cells: int
    """Coarse cells in the window around the region."""
    cells_of_blocks: int
    """Coarse cells of all blocks, which overlap."""

    @classmethod
    def of(cls, recipe: Recipe, year: int, tiles: Sequence[TilePlan]) -> "_Region":
        """Return that of a plan."""
        how = recipe.product.downscaling
        grid = recipe.schema_of(split_input(how.coarse)[0]).on if how else SIN1KM
        days = len(recipe.schema.times(year))
        blocks = [block for tile in tiles for block in tile.blocks]
        windows = [_cells_around(grid, block.window) for block in blocks]
        whole = around(grid, windows)
        return cls(
            days,
            len(blocks),
            days * sum(block.land_pixels for block in blocks),
            max(block.land_pixels for block in blocks),
            int(np.prod(whole.shape)),
            sum(int(np.prod(window.shape)) for window in windows),
        )


def _cells_around(grid: Grid, window: Window) -> Window:
    """Return cells that hold those of all pixels of a block, and one around them.

    Latitude depends on the row alone and longitude grows with the column, so that the corners tell;
    a block that is cut by the edge of the globe may have corners off it.
    """
    rows, cols = (window.row0, window.row1 - 1), (window.col0, window.col1 - 1)
    corners = [SIN1KM.lonlat(Window(r, r + 1, c, c + 1)) for r in rows for c in cols]
    lon, lat = (np.array([one[axis].item() for one in corners]) for axis in (0, 1))
    known = np.isfinite(lon) & np.isfinite(lat)
    if not known.any():
        return Window(0, 1, 0, 1)
    row, col = grid.pixel_of(lon[known], lat[known])
    return Window(
        max(int(row.min()) - 1, 0),
        min(int(row.max()) + 2, grid.rows),
        int(col.min()) - 1,
        int(col.max()) + 2,
    )


def _left(work: Work, region: _Region, tiles: Sequence[TilePlan]) -> dict[str, tuple[int, int]]:
    """Return tasks and pixel-days that wait in each pass."""
    waiting = [b for tile in tiles if tile.state is not State.COPY for b in tile.waiting]
    found: dict[str, tuple[int, int]] = dict.fromkeys((*PASSES, FINISH), (0, 0))
    if not waiting:
        return found
    slabs = slabs_of(region.days, SLAB_DAYS)
    settled = {info.key for info in open_objects(work.url).list(SETTLED)}
    unsettled = [n for n in range(len(slabs)) if work.settled_key(n) not in settled]
    guessed = {info.key for info in open_objects(work.receipts).list()}
    places = [(tile.key.tile, block) for tile in tiles for block in tile.blocks]
    guesses = [block for tile, block in places if receipt_key(tile, block.number) not in guessed]
    if not unsettled:
        guesses = [block for block in guesses if block in waiting]
    rows = region.rows * sum(slabs[n].stop - slabs[n].start for n in unsettled) // region.days
    found["first guess"] = len(guesses), region.days * sum(b.land_pixels for b in guesses)
    found["sum"] = (region.blocks if unsettled else 0), rows
    found["anchor"] = len(unsettled), rows
    found["visit"] = 0, rows
    found[FINISH] = len(waiting), region.days * sum(b.land_pixels for b in waiting)
    return found


def _task_bytes(recipe: Recipe, region: _Region, memory: BlockMemory) -> dict[str, int]:
    """Return the peak bytes of one task of each pass, beside its process."""
    days, land = min(SLAB_DAYS, region.days), region.most_land
    slab = POINT_BYTES * days * land + LINK_BYTES * land
    of_block = SUMS_BYTES * days * math.ceil(region.cells_of_blocks / region.blocks)
    sums = SUMS_BYTES * (PARTS * region.cells_of_blocks + 2 * region.cells)
    solving = SOLVER_BYTES * region.cells * min(days, DAYS_AT_ONCE)
    found: dict[str, int] = {
        "first guess": memory.block,
        "sum": STORE_BYTES + math.ceil(ALLOCATOR_FACTOR * (slab + of_block)),
        "anchor": STORE_BYTES + math.ceil(ALLOCATOR_FACTOR * (days * sums + solving)),
        FINISH: STORE_BYTES
        + math.ceil(ALLOCATOR_FACTOR * (memory.outputs + max(slab, memory.encoding))),
    }
    return {name: found.get(name, found["sum"]) for name in (*PASSES, FINISH)}
