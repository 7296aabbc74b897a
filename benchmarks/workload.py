"""One piece of a tile with 24 stored features, 29 % land, and a boosted model of 300 x 8 trees.

The features are stored as they are used, so that every peer reads the same bytes and nobody is
charged for computing them; smcloud's own derived features are timed by the workload `glass_sm`.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xgboost
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from smcloud.cube.schema import CubeSchema, Variable, shard_index
from smcloud.cube.store import create_store, write_shard
from smcloud.grids.grid import SIN1KM, Window
from smcloud.grids.tiles import blocks_of, tile_window

TILE = "h18v04"
YEAR = 2019
BLOCK = 150
LAND_SHARE = 0.29
COLUMNS = tuple(f"feature_{number:02d}" for number in range(24))
VARIABLES = tuple(
    Variable(name, "int16", "1", "a smooth field with gaps", (-3.2, 3.2), 0.0001, 0.0, -32768)
    for name in COLUMNS
)
STORED = CubeSchema(
    "bench", "sin1km", VARIABLES, 1, (46, BLOCK, BLOCK), (46, 2 * BLOCK, 2 * BLOCK), "Benchmark"
)


@dataclass(frozen=True)
class Scale:
    """How much of a tile and of a year is worked on, and the model's size."""

    name: str
    blocks: int
    days: int
    trees: int
    depth: int
    train_rows: int

    @property
    def window(self) -> Window:
        """Return the pixels: a row of blocks from the tile's north-west corner."""
        tile = tile_window(SIN1KM, TILE)
        return replace(tile, row1=tile.row0 + BLOCK, col1=tile.col0 + self.blocks * BLOCK)


SCALES = {
    "tiny": Scale("tiny", 1, 4, 20, 4, 2_000),
    "small": Scale("small", 4, 92, 300, 8, 200_000),
}
"""tiny: 90,000 pixel-days, for tests. small: 8.3 million pixel-days, 2.4 million of them land."""


def land(scale: Scale, seed: int) -> NDArray[np.bool_]:
    """Return a coast of the wanted land share, (rows, cols)."""
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.normal(size=scale.window.shape), 12)
    return np.asarray(field > np.quantile(field, 1 - LAND_SHARE))


def write_cube(url: str, scale: Scale, seed: int) -> None:
    """Write the stored features of the workload's blocks: smooth in space and time, 5 % gaps."""
    create_store(url, STORED, YEAR)
    tile = tile_window(SIN1KM, TILE)
    steps = STORED.shards[0]
    shape = (steps, *STORED.shards[1:])
    for number, variable in enumerate(VARIABLES):
        for slab in range(-(-scale.days // steps)):
            for area in blocks_of(tile, STORED.shards[1])[: -(-scale.blocks // 2)]:
                rng = np.random.default_rng((seed, number, slab, area.col0))
                base = gaussian_filter(rng.normal(size=shape[1:]), 6) * 8
                values = base + rng.normal(scale=0.05, size=shape)
                values[rng.random(shape) < 0.05] = np.nan
                index = shard_index(STORED, area, slab)
                write_shard(url, STORED, variable.name, index, variable.pack(values))


def train(scale: Scale, seed: int) -> xgboost.Booster:
    """Return a model whose trees reach the wanted depth, on noise with some structure."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(scale=0.6, size=(scale.train_rows, len(COLUMNS))).astype(np.float32)
    rows[rng.random(rows.shape) < 0.05] = np.nan
    filled = np.nan_to_num(rows)
    target = 0.25 + 0.1 * np.tanh(filled[:, :6].sum(1)) * np.cos(filled[:, 6])
    target += rng.normal(scale=0.03, size=scale.train_rows)
    matrix = xgboost.QuantileDMatrix(rows, target, feature_names=list(COLUMNS), max_bin=256)
    params = {"max_depth": scale.depth, "eta": 0.1, "max_bin": 256, "seed": seed, "nthread": 2}
    return xgboost.train(params, matrix, num_boost_round=scale.trees)


def prepare(folder: Path, scale: Scale, seed: int) -> tuple[str, xgboost.Booster]:
    """Return the URL prefix of the feature cube and the model, made once per folder."""
    url = f"file://{(folder / f'bench-{scale.name}').absolute()}"
    if not (folder / f"bench-{scale.name}" / f"{YEAR}.zarr" / "zarr.json").exists():
        write_cube(f"{url}/{YEAR}.zarr", scale, seed)
    return url, train(scale, seed)
