"""Second pass of a downscaled year: the nodes that give each coarse cell its mean, slab by slab.

A task holds the sums of all cells of the region over one slab of days, and nothing of 1 km size.
Where the corrected field may leave its physical range a cell's mean does not follow from its sums:
the blocks with such cells are visited again, until every mean is met or said to be out of reach.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smcloud.core.objects import open_objects
from smcloud.cube.schema import Array, CubeSchema
from smcloud.cube.store import open_cube
from smcloud.features.coarse_table import within
from smcloud.features.inputs import unwrapped_windows
from smcloud.grids.cells import land_pixels
from smcloud.grids.grid import Window, grid_named
from smcloud.models.anchor_nodes import Nodes, joined
from smcloud.models.anchoring import (
    AnchorRules,
    Anchors,
    judged,
    may_clamp,
    modelled,
    refined,
    solve,
)
from smcloud.models.cell_sums import CellSums, cell_sums, merged, places
from smcloud.production.first_guess import SLAB_DAYS, FineBlock, Work, read_damping, slabs_of

Floats32 = NDArray[np.float32]

DAYS_AT_ONCE = 8
"""Days of a slab that are solved together."""


@dataclass(frozen=True)
class CoarseField:
    """One variable of one year of a coarse cube: what the maps are anchored to."""

    url: str
    schema: CubeSchema
    variable: str
    year: int
    valid: tuple[float, float]

    def physical(self, steps: slice, window: Window) -> Floats32:
        """Return the valid values of some days, (days, rows, cols); NaN for unknown."""
        stored = self.stored(self.variable, steps, window)
        return within(self.schema.variable(self.variable).unpack(stored), self.valid)

    def stored(self, name: str, steps: slice, window: Window) -> Array:
        """Return stored values; columns of the window may run past the last one of the grid."""
        cube = open_cube(self.url, self.schema, self.year)
        parts = [
            cube.read(name, steps, part, required=False)
            for part in unwrapped_windows(window, self.schema.on)
        ]
        return np.concatenate(parts, axis=2)


@dataclass(frozen=True)
class AnchorTask:
    """One slab of days over the whole region."""

    year: int
    slab: int
    blocks: tuple[str, ...]
    """Names of all blocks, whose sums are put together."""
    visited: tuple[str, ...]
    """Names of the blocks that were visited with the last nodes."""
    visit: int
    """0 for the first nodes; then the number of visits that were made."""
    is_last: bool
    coarse: CoarseField
    work: Work
    rules: AnchorRules

    @property
    def name(self) -> str:
        """Return the readable key, as ``anchor-2019-s03-v0``."""
        return f"anchor-{self.year}-s{self.slab:02d}-v{self.visit}"

    @property
    def steps(self) -> slice:
        """Return the days of the slab, as steps of the year."""
        return slabs_of(len(self.coarse.schema.times(self.year)), SLAB_DAYS)[self.slab]


@dataclass(frozen=True)
class Anchored:
    """What a task says of its slab.

    Attributes
    ----------
    slab : int
    again : tuple of str
        Blocks to visit with the nodes just written; none once the slab is settled.
    """

    slab: int
    again: tuple[str, ...]


def anchor_slab(task: AnchorTask) -> Anchored:
    """Write the nodes of a slab, and return which blocks must be visited with them.

    Raises
    ------
    NotFoundError
        If sums of a block are not there.
    CubeError
        If the coarse cube is not what its schema says.
    """
    work = open_objects(task.work.url)
    parts = {
        name: CellSums.from_bytes(work.get(task.work.sums_key(task.slab, name)))
        for name in task.blocks
    }
    sums = merged(list(parts.values()))
    nodes = _nodes(task, sums)
    again = _blocks_in(parts, sums, may_clamp(sums, nodes)) if task.visit == 0 else task.visited
    is_settled = not again or (task.visit > 0 and not nodes.missed().any()) or task.is_last
    key = (
        task.work.settled_key(task.slab)
        if is_settled
        else task.work.nodes_key(task.slab, task.visit)
    )
    work.put(key, nodes.to_bytes())
    return Anchored(task.slab, () if is_settled else again)


def _nodes(task: AnchorTask, sums: CellSums) -> Nodes:
    """Return the nodes of a slab: the first ones, or those after the sums of the last visit.

    Days know nothing of each other; some at a time bound the memory of a large region.
    """
    target = task.coarse.physical(task.steps, sums.window)
    anchors = Anchors(target, land_pixels(sums.grid, sums.window), task.rules)
    factors = read_damping(task.work)[task.steps]
    visited = _visited(task) if task.visit else None
    found = []
    for start in range(0, len(target), DAYS_AT_ONCE):
        days = np.arange(start, min(start + DAYS_AT_ONCE, len(target)))
        part = sums.of(days)
        held = modelled(part, anchors.of(days), factors[days])
        if visited is None:
            found.append(solve(part, held))
        else:
            before, clamped = visited
            step = judged if task.is_last else refined
            found.append(step(before.of(days), part, clamped.of(days), held))
    return joined(found)


def _visited(task: AnchorTask) -> tuple[Nodes, CellSums]:
    """Return the last nodes of a slab, and the sums of the blocks that were visited with them."""
    work = open_objects(task.work.url)
    nodes = Nodes.from_bytes(work.get(task.work.nodes_key(task.slab, task.visit - 1)))
    parts = [
        CellSums.from_bytes(work.get(task.work.sums_key(task.slab, name, task.visit)))
        for name in task.visited
    ]
    return nodes, merged(parts)


def _blocks_in(
    parts: dict[str, CellSums], sums: CellSums, cells: NDArray[np.bool_]
) -> tuple[str, ...]:
    """Return the blocks that hold a pixel of a cell that is marked on any day."""
    marked: NDArray[np.bool_] = np.asarray(cells.any(axis=0))
    found = []
    for name, part in parts.items():
        rows, cols = places(sums.grid, sums.window, part.window)
        holds = (part.known > 0).any(axis=0)
        if (marked[rows][:, cols] & holds).any():
            found.append(name)
    return tuple(found)


@dataclass(frozen=True)
class VisitTask:
    """One block and some slabs whose nodes may take its pixels out of their range."""

    block: FineBlock
    slabs: tuple[int, ...]
    visit: int
    """0 sums the first guesses; from 1 on, what the nodes before make of them."""

    @property
    def name(self) -> str:
        """Return the readable key, as ``visit-h25v05-2019-b07-v1``."""
        key = self.block.key
        return f"visit-{key.tile}-{key.year}-b{self.block.number:02d}-v{self.visit}"


def visit_block(task: VisitTask) -> None:
    """Write the sums of a block for each slab asked for.

    They are those of the damped first guess, or of what the last nodes make of it, clamped.
    """
    block = task.block
    points = block.points
    where, ceilings = block.links(points), block.ceilings(points)
    work = open_objects(block.work.url)
    slabs = slabs_of(len(block.schema.times(block.key.year)), SLAB_DAYS)
    for slab in task.slabs:
        given = None
        if task.visit:
            nodes = Nodes.from_bytes(work.get(block.work.nodes_key(slab, task.visit - 1)))
            given = nodes.on(where.window)
        sums = cell_sums(block.guesses(slabs[slab], points), where, ceilings, given)
        work.put(block.work.sums_key(slab, block.name, task.visit), sums.to_bytes())


def coarse_grid(field: CoarseField) -> str:
    """Return the name of the grid whose cells are anchored."""
    return grid_named(field.schema.grid).name


def slabs_by_block(found: Sequence[Anchored]) -> dict[str, tuple[int, ...]]:
    """Return each block that must be visited, with its slabs."""
    wanted: dict[str, list[int]] = {}
    for one in found:
        for name in one.again:
            wanted.setdefault(name, []).append(one.slab)
    return {name: tuple(slabs) for name, slabs in sorted(wanted.items())}
