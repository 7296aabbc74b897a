"""What the stages of freeze-thaw read: cells of a run's region, readers, memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from dask.utils import parse_bytes
from distributed import Client
from numpy.typing import NDArray

from smcloud.core.config import RunConfig
from smcloud.core.errors import PlanError, UserError
from smcloud.cube.schema import YEAR_STEPS, CubeSchema
from smcloud.features.derived import schema_named
from smcloud.features.ground_columns import GroundReader
from smcloud.features.spec import CubeSet
from smcloud.grids.grid import SIN1KM, Floats, Window
from smcloud.grids.land import land_cells
from smcloud.grids.tiles import parse_window, tile_window
from smcloud.ingest.plan import PROCESS_BYTES, station_shards
from smcloud.production.cluster import smallest_worker_bytes
from smcloud.production.coarse_year import CoarseBlock, shard_blocks
from smcloud.products.base import Product
from smcloud.products.freeze_thaw import ground_sources

STRIDE = 10
"""Pixels between the points of a tile by which its cells are found: none is smaller."""
LEAST_LAND = 0.5
"""Share of a cell that is land from which it has a state."""
FLOAT_BYTES = 4

Points = NDArray[np.intp]


@dataclass(frozen=True)
class Region:
    """Cells of a coarse grid that a run is about.

    Attributes
    ----------
    schema : CubeSchema
        Its grid and its shards.
    parts : tuple of Window
        Pixels of the 1 km grid: a cell belongs to the region if its centre lies in one.
    """

    schema: CubeSchema
    parts: tuple[Window, ...]

    def holds(self, lon: Floats, lat: Floats) -> NDArray[np.bool_]:
        """Return which points (n,), degrees, lie in the region's parts."""
        row, col = SIN1KM.pixel_of(lon, lat)
        found = np.zeros(row.shape, np.bool_)
        for part in self.parts:
            inside = (row >= part.row0) & (row < part.row1)
            found |= inside & (col >= part.col0) & (col < part.col1)
        return found

    def points(self, window: Window) -> Points:
        """Return the flat indices within a window of the land cells of the region, ascending."""
        lon, lat = (one.ravel() for one in self.schema.on.lonlat(window))
        found = np.isfinite(lon) & np.isfinite(lat)
        found[found] = self.holds(lon[found], lat[found])
        if found.any():
            found &= land_cells(self.schema.on, window, LEAST_LAND).ravel()
        return np.flatnonzero(found)

    def blocks(self) -> tuple[CoarseBlock, ...]:
        """Return the shards that hold a cell of the region.

        Raises
        ------
        UserError
            If there is none.
        """
        places = [SIN1KM.lonlat(part) for part in self.parts]
        lon, lat = (
            np.concatenate([place[axis][::STRIDE, ::STRIDE].ravel() for place in places])
            for axis in (0, 1)
        )
        known = np.isfinite(lon)
        shards = station_shards(self.schema, lon[known], lat[known])
        held = [b for b in shard_blocks(self.schema, shards) if self.points(b.window).size]
        if not held:
            raise UserError(
                f"no land cell of {self.schema.grid} lies in the tiles and the window of this run: "
                "name other tiles, or a larger produce.window"
            )
        return tuple(held)


def region_of(config: RunConfig, schema: CubeSchema, tiles: Sequence[str]) -> Region:
    """Return the cells of some tiles of a run, within its window if it names one."""
    window = config.produce.window
    return Region(
        schema,
        tuple(
            parse_window(window, tile) if window else tile_window(SIN1KM, tile)
            for tile in sorted(set(tiles))
        ),
    )


def reader_of(config: RunConfig, product: Product) -> GroundReader:
    """Return the reader of a run's columns and labels."""
    sources = ground_sources(product)
    names = {*sources.names, product.label}
    return GroundReader(
        sources,
        CubeSet({name: config.cube_prefix(name) for name in sorted(names)}),
        {name: schema_named(name) for name in sorted(names)},
        product.schema.on,
    )


def block_bytes(reader: GroundReader, schema: CubeSchema, overpasses: Sequence[str]) -> int:
    """Return the peak bytes of one block, generously: its columns, and what is read and chosen."""
    rows, cols = schema.shards[1:]
    columns = len(reader.sources.columns)
    return FLOAT_BYTES * columns * YEAR_STEPS * rows * cols * (len(overpasses) + 2)


def check_memory(config: RunConfig, product: Product, client: Client | None) -> None:
    """Raise `PlanError` if a block cannot fit the smallest worker that a run has or will have."""
    needed = block_bytes(reader_of(config, product), product.schema, config.ground.overpasses)
    room = smallest_worker_bytes(client) if client else int(parse_bytes(config.cluster.memory))
    if room and needed + PROCESS_BYTES > room:
        raise PlanError(
            f"a block of {product.name} needs {(needed + PROCESS_BYTES) / 1e9:.1f} GB, but the "
            f"smallest worker has {room / 1e9:.1f} GB: start fewer workers, each with more memory"
        )
