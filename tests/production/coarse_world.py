"""A coarse field over the strip of the small world, and the product that learns from it."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from smcloud.core.config import RunConfig
from smcloud.core.layout import year_store
from smcloud.cube.store import create_store, write_shard
from smcloud.features.spec import Driver
from smcloud.grids.grid import Window
from smcloud.production.coarse_table_stage import CoarseRequest, request_of
from smcloud.products.base import Downscaling
from smcloud.products.glass_sm import GLASS_SM
from smcloud.sources.registry import SOURCES
from tests.production.small_world import EAST, REGION, SIDE, TILE, YEAR, config_of, write_run

SMAP = SOURCES["smap_l3"].schema
PRODUCT = replace(
    GLASS_SM,
    drivers=(*GLASS_SM.drivers, Driver("smap_l3", to_grid="nearest")),
    downscaling=Downscaling("smap_l3.soil_moisture_am", "periods"),
)
DAYS = 46
"""Days with a coarse field: the first slab."""


def coarse_config(folder: Path) -> RunConfig:
    """Return a run of both tiles of the small world in `folder`, with a coarse field written."""
    config = config_of(write_run(folder, tiles=(TILE, EAST)))
    write_field(config)
    return config


def write_field(config: RunConfig, shift: float = 0.0) -> None:
    """Write the field of the first slab around the strip; cells and days can be told apart."""
    url = f"{config.cube_prefix('smap_l3')}/{year_store(YEAR)}"
    create_store(url, SMAP, YEAR)
    height, width = SMAP.shards[1:]
    row, days = 59, np.arange(DAYS)[:, None, None]
    for first_col in range(500 // width * width, 560, width):
        first_row = row // height * height
        rows, cols = np.mgrid[first_row : first_row + height, first_col : first_col + width]
        values = 0.1 + shift + 0.002 * days + 0.01 * (rows % 7) + 0.001 * (cols % 50)
        index = (0, first_row // height, first_col // width)
        for variable in SMAP.variables:
            write_shard(url, SMAP, variable.name, index, variable.pack(values))


def coarse_request(config: RunConfig) -> CoarseRequest:
    """Return the table of the middle of the strip, one of whose blocks lies across two tiles."""
    request = request_of(config, PRODUCT)
    blocks = tuple(
        Window(REGION.row0, REGION.row1, col, col + SIDE)
        for col in range(REGION.col0 + SIDE, REGION.col0 + 11 * SIDE, SIDE)
    )
    return replace(request, blocks=blocks)
