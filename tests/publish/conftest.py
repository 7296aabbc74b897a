"""A small product year in the folder store, written through the cube layer as production does."""

import numpy as np
import pytest

from smcloud.cube.schema import CubeSchema, Variable, shard_index
from smcloud.cube.store import create_store, write_shard
from smcloud.grids.grid import SIN1KM, Window
from smcloud.grids.land import land_mask
from smcloud.grids.tiles import tile_window

YEAR, TILE = 2019, "h18v04"
SCHEMA = CubeSchema(
    name="glass-sm",
    grid="sin1km",
    variables=(
        Variable(
            "soil_moisture",
            "int16",
            "m3 m-3",
            "volumetric soil moisture, 0 to 5 cm",
            (0.0, 1.0),
            scale=0.0001,
            fill=-9999,
            standard_name="volume_fraction_of_condensed_water_in_soil",
            attrs={"ancillary_variables": "quality_flag"},
        ),
        Variable("quality_flag", "uint8", "1", "quality", (0, 255)),
    ),
    step_days=1,
    chunks=(46, 150, 150),
    shards=(368, 150, 150),
    title="A product",
)


def block_at(row, col):
    """The block of 150 pixels at this position inside the tile."""
    tile = tile_window(SIN1KM, TILE)
    top, left = tile.row0 + 150 * row, tile.col0 + 150 * col
    return Window(top, top + 150, left, left + 150)


BLOCKS = (block_at(5, 1), block_at(5, 2))  # the Gulf of Lion: coast in both


def moisture(window):
    """A year of soil moisture (days, rows, cols): a wave in time on a slope in space."""
    rows, cols = window.shape
    season = 0.05 * np.cos(2 * np.pi * np.arange(365) / 365)
    slope = np.linspace(0.1, 0.4, cols)[None, :] + np.zeros((rows, 1))
    values = (slope[None] + season[:, None, None]).astype(np.float32)
    values[:, ~land_mask(window)] = np.nan
    values[40:50, :20] = np.nan
    return values


@pytest.fixture(scope="session")
def product_store(tmp_path_factory):
    url = str(tmp_path_factory.mktemp("product") / "2019.zarr")
    create_store(url, SCHEMA, YEAR, {"institution": "nobody"})
    for block in BLOCKS:
        values = moisture(block)
        index = shard_index(SCHEMA, block, 0)
        write_shard(url, SCHEMA, "soil_moisture", index, SCHEMA.variables[0].pack(values))
        flags = np.isnan(values).astype(np.uint8)
        write_shard(url, SCHEMA, "quality_flag", index, flags)
    return url
