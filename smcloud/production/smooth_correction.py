"""What downscaled maps are without their pattern: the smooth correction of nothing.

A first guess of zero at every pixel that the maps know, anchored as the maps are: the smoothest
field with the coarse means, which is what a damping of 0 would leave. It knows no pixel, except
which ones the maps have. Maps that do not beat it have gained by smoothing alone.
"""

import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
from distributed import Client
from numpy.typing import NDArray

from smcloud.core.config import RunConfig
from smcloud.core.errors import StoreError
from smcloud.core.layout import join
from smcloud.core.listener import Listener, Silent
from smcloud.core.objects import open_objects
from smcloud.features.inputs import Points
from smcloud.features.spec import Floats32
from smcloud.grids.grid import Window, grid_named
from smcloud.grids.tiles import TileYear
from smcloud.models.anchor_nodes import Nodes
from smcloud.models.anchoring import AnchorRules, corrected
from smcloud.models.cell_sums import links
from smcloud.models.damping import factors_to_bytes
from smcloud.production.anchor_pass import CoarseField
from smcloud.production.anchor_passes import AnchorPasses
from smcloud.production.block_map import run_listed
from smcloud.production.first_guess import SLAB_DAYS, FineBlock, Work, lonlat_of
from smcloud.production.runner import Task
from smcloud.production.store_year import StoreYear
from smcloud.products.registry import product_of
from smcloud.validation.collocation import Layer
from smcloud.validation.collocation import at_points as read_at

log = logging.getLogger(__name__)

T = TypeVar("T")
SETTLED = "nodes/settled/"
HIGHEST = 0.7
"""Porosity is known by pixel; the correction alone must do without."""


@dataclass(frozen=True)
class EvenBlock(FineBlock):
    """A block whose first guess is zero wherever the product has a value."""

    product: Layer

    def guesses(self, steps: slice, points: Points) -> Floats32:
        """Return zeros (days, n_points), NaN where the product is unknown."""
        return _even(read_at(self.product, steps, self.window, np.asarray(points, np.int64)))


@dataclass(frozen=True)
class SmoothCorrection:
    """The smooth correction of one published year, read block by block.

    Attributes
    ----------
    work : Work
        Holds the settled nodes of every slab of days.
    product : Layer
    cells : str
        Name of the coarse grid.
    """

    work: Work
    product: Layer
    cells: str

    def at_points(
        self, steps: slice, window: Window, points: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the values of some days (days, points); NaN where the product has none."""
        even = _even(read_at(self.product, steps, window, points))
        where = links(grid_named(self.cells), *lonlat_of(window, points.astype(np.intp)))
        found, stored = np.empty_like(even), open_objects(self.work.url)
        for slab in range(steps.start // SLAB_DAYS, (steps.stop - 1) // SLAB_DAYS + 1):
            nodes = Nodes.from_bytes(stored.get(self.work.settled_key(slab)))
            first = slab * SLAB_DAYS
            own = slice(max(first, steps.start), min(first + len(nodes.values), steps.stop))
            there = slice(own.start - steps.start, own.stop - steps.start)
            days = slice(own.start - first, own.stop - first)
            own_nodes = replace(nodes, values=nodes.values[days])
            found[there] = corrected(even[there], own_nodes, where, HIGHEST)
        return found


def smooth_correction(
    config: RunConfig, year: StoreYear, coarse: Layer, client: Client | None, listener: Listener
) -> SmoothCorrection:
    """Return the smooth correction of a published year; its nodes are found on the cluster.

    They lie below the reports of the year by its version, and are found once.
    """
    folder = join(config.layout.reports(year.schema.name), str(year.year), "smooth", year.version)
    work = Work(folder)
    whole = np.ones(len(year.schema.times(year.year)), np.float32)
    open_objects(work.url).put(work.damping_key, factors_to_bytes(whole))
    valid = product_of(config).target.valid
    passes = AnchorPasses(
        year.year,
        _blocks(year, coarse.schema.grid, work),
        CoarseField(coarse.url, coarse.schema, coarse.variable, coarse.year, valid),
        work,
        AnchorRules(minimum_share=config.downscale.minimum_share),
        partial(_over, client=client, listener=listener),
    )
    passes.settle()
    _tidy(work)
    return SmoothCorrection(work, year.layer, coarse.schema.grid)


def _blocks(year: StoreYear, cells: str, work: Work) -> list[EvenBlock]:
    return [
        EvenBlock(
            key=TileYear(year.schema.grid, tile, year.year),
            number=number,
            window=block,
            part=year.part_of(block),
            schema=year.schema,
            cells=cells,
            ceiling=None,
            highest=HIGHEST,
            work=work,
            input_hash="",
            product=year.layer,
        )
        for tile in sorted(year.tiles)
        for number, block in enumerate(year.tiles[tile])
    ]


def _over(
    tasks: list[Task[T]], stage: str, unit: str, *, client: Client | None, listener: Listener
) -> list[T]:
    # What follows the first sums takes seconds: rounds upon rounds of it tell nobody anything.
    heard = listener if stage == "sum" else Silent()
    return run_listed(tasks, "smooth correction", unit, client, heard)


def _tidy(work: Work) -> None:
    """Delete the sums and the nodes on the way, where the credentials may; keep the settled."""
    store = open_objects(work.url)
    try:
        for info in store.list():
            if not info.key.startswith(SETTLED):
                store.delete(info.key)
    except StoreError as err:
        log.warning("sums of cells stay at %s: %s", work.url, err)


def _even(values: Floats32) -> Floats32:
    return np.where(np.isfinite(values), np.float32(0.0), np.float32(np.nan))
