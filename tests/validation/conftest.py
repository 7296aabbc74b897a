"""A truth and a product of two blocks, written through the cube layer, and an ERA5-Land beside."""

from dataclasses import replace

import numpy as np
import pytest

from smcloud.cube.schema import CubeSchema, Variable, shard_index
from smcloud.cube.store import create_store, write_shard
from smcloud.grids.grid import SIN1KM, Window
from smcloud.grids.land import land_mask
from smcloud.grids.tiles import tile_window
from smcloud.validation.collocation import Layer

YEAR = 2019
MOISTURE = Variable(
    "soil_moisture", "int16", "m3 m-3", "soil moisture", (0.0, 0.7), scale=0.0001, fill=-9999
)
PRODUCT = CubeSchema("glass-sm", "sin1km", (MOISTURE,), 1, (46, 50, 50), (368, 50, 50), "A product")
COARSE = CubeSchema(
    "era5land",
    "era5land",
    (replace(MOISTURE, name="swvl1"),),
    1,
    (46, 100, 100),
    (46, 100, 100),
    "A reanalysis",
)


def block_at(row, col, side=50):
    """The block of 50 pixels at this position of tile h18v04: land, sea and the coast between."""
    tile = tile_window(SIN1KM, "h18v04")
    top, left = tile.row0 + side * row, tile.col0 + side * col
    return Window(top, top + side, left, left + side)


BLOCKS = (block_at(16, 4), block_at(16, 5))


def truth_of(window):
    """A year of the truth on a window, a function of global pixels and days."""
    rows, cols = np.arange(window.row0, window.row1), np.arange(window.col0, window.col1)
    pattern = np.sin(rows / 9)[:, None] + np.cos(cols / 7)[None, :]
    season = np.sin(np.arange(365) / 58)
    values = 0.25 + 0.04 * pattern[None] + 0.06 * season[:, None, None]
    values[:, ~land_mask(window)] = np.nan
    return values


def product_of(window):
    """The truth with noise, a bias and gaps: another value for every pixel and day."""
    rng = np.random.default_rng(window.col0)
    values = truth_of(window) + 0.02 + rng.normal(0, 0.03, (365, *window.shape))
    values[rng.random(values.shape) < 0.2] = np.nan
    return np.clip(values, 0, 0.7)


@pytest.fixture(scope="session")
def layers(tmp_path_factory):
    """(product, truth, coarse) layers of one year."""
    root = tmp_path_factory.mktemp("cubes")
    found = []
    for name, field in (("product", product_of), ("truth", truth_of)):
        url = str(root / f"{name}.zarr")
        create_store(url, PRODUCT, YEAR)
        for block in BLOCKS:
            stored = MOISTURE.pack(field(block))
            write_shard(url, PRODUCT, "soil_moisture", shard_index(PRODUCT, block, 0), stored)
        found.append(Layer(url, PRODUCT, YEAR, "soil_moisture", required=name == "product"))
    url = str(root / "era5land.zarr")
    create_store(url, COARSE, YEAR)
    days = np.arange(365)
    for slab, steps in enumerate(COARSE.slabs(YEAR)):
        season = (0.3 + 0.05 * np.sin(days[steps] / 58)).astype(np.float32)
        stored = COARSE.variables[0].pack(
            np.broadcast_to(season[:, None, None], (season.size, 100, 100))
        )
        if slab < 2:  # the rest of the year was never ingested: it stays unknown
            write_shard(url, COARSE, "swvl1", (slab, 4, 0), stored)  # 50 to 40 N, 0 to 10 E
    found.append(Layer(url, COARSE, YEAR, "swvl1", required=False))
    return tuple(found)
