"""One published year of a product as readers need it: its store, its schema, its blocks."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from smcloud.core.config import RunConfig
from smcloud.core.errors import UserError
from smcloud.core.objects import open_objects
from smcloud.cube.schema import CubeSchema
from smcloud.grids.grid import SIN1KM, Window
from smcloud.grids.land import land_mask
from smcloud.grids.tiles import blocks_of, parse_window, tile_at, tile_window
from smcloud.production.versions import published_store, read_pointer
from smcloud.products.registry import product_of
from smcloud.validation.collocation import Layer


@dataclass(frozen=True)
class StoreYear:
    """What one year's pointer leads to, and the part of it that a run is about.

    Attributes
    ----------
    store_url : str
        The Zarr store of the published version.
    schema : CubeSchema
        With the run's block size as its shard.
    tiles : mapping
        Tile to the blocks with land that the run produced, in global pixels, row by row.
    """

    year: int
    version: str
    store_url: str
    schema: CubeSchema
    variable: str
    tiles: dict[str, tuple[Window, ...]]
    parts: dict[str, Window]
    """What the run produces of each tile."""

    @property
    def blocks(self) -> tuple[Window, ...]:
        """Return the blocks of all tiles."""
        return tuple(block for tile in sorted(self.tiles) for block in self.tiles[tile])

    def part_of(self, block: Window) -> Window:
        """Return what the run produces of the tile that holds a block."""
        return self.parts[tile_at(block.row0, block.col0)]

    @property
    def layer(self) -> Layer:
        """Return the product's variable, for tasks."""
        return Layer(self.store_url, self.schema, self.year, self.variable)

    def holds(self, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which global pixels lie in a produced block."""
        inside = np.zeros(rows.shape, bool)
        for block in self.blocks:
            inside |= (
                (rows >= block.row0)
                & (rows < block.row1)
                & (cols >= block.col0)
                & (cols < block.col1)
            )
        return inside


def published_year(config: RunConfig, year: int) -> StoreYear:
    """Return the published year of a run's product, cut to the run's tiles and window.

    Raises
    ------
    NotFoundError
        If the year is not published.
    UserError
        If none of the run's tiles is in what is published.
    """
    product = product_of(config)
    url = published_store(config.layout, product.name, year)
    pointer = read_pointer(config.layout, product.name, year)
    published = () if pointer is None else pointer.tiles
    size = config.produce.block_pixels
    has_spread = product.uncertainty is not None and open_objects(url).exists(
        f"{product.uncertainty.name}/zarr.json"
    )
    schema = product.schema_for(has_spread=has_spread)
    schema = replace(schema, shards=(schema.shards[0], size, size))
    asked = config.produced_tiles
    parts = {tile: _part(tile, config.produce.window) for tile in asked if tile in published}
    tiles = {tile: produced_blocks(tile, part, size) for tile, part in parts.items()}
    if not any(tiles.values()):
        raise UserError(
            f"{product.name} {year} is published for {', '.join(published) or 'no tile'}, not for "
            f"{', '.join(asked)}: run `smcloud produce` for these tiles"
        )
    version = "" if pointer is None else pointer.version
    return StoreYear(year, version, url, schema, product.target.column, tiles, parts)


def produced_blocks(tile: str, part: Window, size: int) -> tuple[Window, ...]:
    """Return the blocks of a tile that a run writes: those with land in the part it produces."""
    inside = [(b, b.intersect(part)) for b in blocks_of(tile_window(SIN1KM, tile), size)]
    return tuple(block for block, cut in inside if cut is not None and land_mask(cut).any())


def _part(tile: str, window: str) -> Window:
    return parse_window(window, tile) if window else tile_window(SIN1KM, tile)
