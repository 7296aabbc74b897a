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
    "bench",
    "sin1km",
    VARIABLES,
    1,
    (46, BLOCK, BLOCK),
    (46, 2 * BLOCK, 2 * BLOCK),
    "Benchmark",
    codec="lz4",
)


@dataclass(frozen=True)
class Scale:
    """How much of a tile and of a year is worked on, the model's size, and how often."""

    name: str
    blocks: int
    days: int
    trees: int
    more_trees: int
    """Of a second model, without the peers: its evaluation weighs more beside the reading."""
    depth: int
    train_rows: int
    rounds: int
    """How often each route is run, turn by turn."""
    with_peers: bool = True
    """Run the routes that take minutes as well."""

    @property
    def window(self) -> Window:
        """Return the pixels: a row of blocks from the tile's north-west corner."""
        tile = tile_window(SIN1KM, TILE)
        return replace(tile, row1=tile.row0 + BLOCK, col1=tile.col0 + self.blocks * BLOCK)


SCALES = {
    "tiny": Scale("tiny", 1, 4, 20, 30, 4, 2_000, rounds=1),
    "small": Scale("small", 4, 92, 300, 1000, 8, 50_000, rounds=2),
    "large": Scale("large", 8, 365, 300, 1000, 8, 50_000, rounds=3, with_peers=False),
}
"""tiny: 90,000 pixel-days, for tests. small: 8.3 million, 2.4 million of them land. large: 65.7
million, 19 million of them land, one row of blocks through a tile and a year."""


def land(scale: Scale, seed: int) -> NDArray[np.bool_]:
    """Return a coast of the wanted land share, (rows, cols)."""
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.normal(size=scale.window.shape), 12)
    return np.asarray(field > np.quantile(field, 1 - LAND_SHARE))


def write_cube(url: str, scale: Scale, seed: int) -> None:
    """Write the stored features of the workload's blocks: smooth in space, noisy, 5 % gaps."""
    create_store(url, STORED, YEAR)
    tile = tile_window(SIN1KM, TILE)
    for number, variable in enumerate(VARIABLES):
        for slab in range(-(-scale.days // STORED.shards[0])):
            for area in blocks_of(tile, STORED.shards[1])[: -(-scale.blocks // 2)]:
                values = _field((seed, number, slab, area.col0))
                index = shard_index(STORED, area, slab)
                write_shard(url, STORED, variable.name, index, variable.pack(values))


def _field(seed: tuple[int, ...]) -> NDArray[np.float32]:
    """Return one shard of a feature (days, rows, cols); 0.05 of noise is 500 stored steps."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(STORED.shards, np.float32) * np.float32(0.05)
    values += gaussian_filter(rng.standard_normal(STORED.shards[1:], np.float32), 6) * 8
    values[rng.random(STORED.shards, np.float32) < 0.05] = np.nan
    return values


def read_bytes(scale: Scale) -> int:
    """Return the bytes of the decoded chunks that the job has to read: all pixels, all features."""
    rows, cols = scale.window.shape
    return 2 * len(VARIABLES) * scale.days * rows * cols


def training_rows(n_rows: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return features (n_rows, n_features), rounded as a cube stores them, and a noisy target."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(scale=0.6, size=(n_rows, len(COLUMNS)))
    rows[rng.random(rows.shape) < 0.05] = np.nan
    filled = np.nan_to_num(rows)
    target = 0.25 + 0.1 * np.tanh(filled[:, :6].sum(1)) * np.cos(filled[:, 6])
    target += rng.normal(scale=0.03, size=n_rows)
    return VARIABLES[0].unpack(VARIABLES[0].pack(rows)), target


def train(n_rows: int, trees: int, depth: int, seed: int, max_bin: int = 256) -> xgboost.Booster:
    """Return a model whose trees reach the wanted depth, for most of the target is noise."""
    rows, target = training_rows(n_rows, seed)
    matrix = xgboost.QuantileDMatrix(rows, target, feature_names=list(COLUMNS), max_bin=max_bin)
    params = {"max_depth": depth, "eta": 0.1, "max_bin": max_bin, "seed": seed, "nthread": 2}
    return xgboost.train(params, matrix, num_boost_round=trees)


def prepare(folder: Path, scale: Scale, seed: int) -> tuple[str, xgboost.Booster]:
    """Return the URL prefix of the feature cube and the longer model, made once per folder."""
    url = f"file://{(folder / f'bench-{scale.name}').absolute()}"
    if not (folder / f"bench-{scale.name}" / f"{YEAR}.zarr" / "zarr.json").exists():
        write_cube(f"{url}/{YEAR}.zarr", scale, seed)
    model = folder / f"model-{scale.name}-{seed}.ubj"
    if not model.exists():
        train(scale.train_rows, scale.more_trees, scale.depth, seed).save_model(model)
    return url, xgboost.Booster(model_file=model)
