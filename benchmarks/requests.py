"""How many requests a reader needs: the year of a point, and a day of one tile."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.storage import LocalStore, WrapperStore

from smcloud.cube.schema import shard_index
from smcloud.cube.store import create_store, write_shard
from smcloud.grids.grid import SIN1KM
from smcloud.grids.tiles import blocks_of, tile_window
from smcloud.products.glass_sm import GLASS_SM

POINT_YEAR_BUDGET = 10
TILE_DAY_BUDGET = 200
TILE, YEAR = "h18v04", 2019


class CountingStore(WrapperStore[LocalStore]):
    """A store that counts the requests that an object store would be asked."""

    def __init__(self, store: LocalStore) -> None:
        super().__init__(store)
        self.requests = 0

    async def get(self, *args: Any, **kwargs: Any) -> Any:
        """Count one request and pass it on."""
        self.requests += 1
        return await super().get(*args, **kwargs)

    async def get_partial_values(self, prototype: Any, key_ranges: Iterable[Any]) -> Any:
        """Count one request a range: object stores answer one range at a time."""
        ranges = list(key_ranges)
        self.requests += len(ranges)
        return await super().get_partial_values(prototype, ranges)


@dataclass(frozen=True)
class Requests:
    """Requests after the store was opened."""

    open_store: int
    point_year: int
    tile_day: int


def write_year(folder: Path, seed: int) -> None:
    """Write one tile-year of the product: smooth land values, packed as production packs them."""
    schema = GLASS_SM.schema
    url = str(folder / f"{YEAR}.zarr")
    create_store(url, schema, YEAR)
    rng = np.random.default_rng(seed)
    values = rng.integers(500, 4500, (365, *schema.shards[1:]), dtype=np.int16)
    for window in blocks_of(tile_window(SIN1KM, TILE), schema.shards[1]):
        write_shard(url, schema, "soil_moisture", shard_index(schema, window, 0), values)


def count(folder: Path) -> Requests:
    """Count the requests of opening the store, of a point's year and of a tile's day."""
    store = CountingStore(LocalStore(folder / f"{YEAR}.zarr", read_only=True))
    zarr.open_group(store, mode="r")
    tile = tile_window(SIN1KM, TILE)
    rows, cols = tile.slices
    opened = store.requests
    with xr.open_zarr(store, chunks=None) as ds:
        opened = store.requests - opened
        before = store.requests
        np.asarray(ds.soil_moisture[:, tile.row0 + 7, tile.col0 + 7])
        point = store.requests - before
        before = store.requests
        np.asarray(ds.soil_moisture[200, rows, cols])
        day = store.requests - before
    return Requests(opened, point, day)
