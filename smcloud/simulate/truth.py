"""The truth of the simulated Earth as a cube: what every estimate is held against.

The cube is packed and chunked as the soil moisture of a product, so that the same code reads both.
Days are simulated in any order and by several processes: each writes its rows of a scratch file
that all of them map, and when all days are there whole shards are cut from it.
"""

from pathlib import Path

import numpy as np

from smcloud.core.layout import join, year_store
from smcloud.cube.schema import YEAR_STEPS, CubeSchema, Variable
from smcloud.cube.store import create_store, shard_key, write_shard
from smcloud.grids.grid import SIN1KM
from smcloud.grids.tiles import tile_window
from smcloud.simulate.hdf_eos import Array, TilePixels

SHARD_PIXELS = 150
SOIL_MOISTURE = Variable(
    "soil_moisture",
    "int16",
    "m3 m-3",
    "true volumetric soil moisture of the top 5 cm of the simulated Earth",
    valid=(0.0, 0.7),
    scale=0.0001,
    fill=-9999,
    standard_name="volume_fraction_of_condensed_water_in_soil",
)
TRUTH_SCHEMA = CubeSchema(
    "truth",
    SIN1KM.name,
    (SOIL_MOISTURE,),
    step_days=1,
    chunks=(46, SHARD_PIXELS, SHARD_PIXELS),
    shards=(YEAR_STEPS, SHARD_PIXELS, SHARD_PIXELS),
    title="Truth of the simulated Earth",
)


def truth_url(out: str, year: int) -> str:
    """Return the URL of one year's truth store."""
    return join(out, "truth", year_store(year))


def create_scratch(path: Path, year: int, pixels: TilePixels) -> None:
    """Make an empty scratch file of a year (days, n) of stored values."""
    np.memmap(path, np.int16, "w+", shape=(len(TRUTH_SCHEMA.times(year)), len(pixels.rows)))


def keep_day(path: Path, year: int, day: np.datetime64, soil_moisture: Array) -> None:
    """Put one day's values (n,), m3 m-3, into the scratch file."""
    days = TRUTH_SCHEMA.times(year)
    scratch = np.memmap(path, np.int16, "r+", shape=(len(days), len(soil_moisture)))
    scratch[int((day - days[0]).astype(int))] = SOIL_MOISTURE.pack(soil_moisture)


def shard_blocks(pixels: TilePixels) -> list[tuple[int, int]]:
    """Return (row, column) of the shards in the global grid that hold the pixels, sorted."""
    outer = tile_window(SIN1KM, pixels.tile)
    rows = (pixels.rows + outer.row0) // SHARD_PIXELS
    cols = (pixels.cols + outer.col0) // SHARD_PIXELS
    return sorted({(int(row), int(col)) for row, col in zip(rows, cols, strict=True)})


def shard_keys(pixels: TilePixels, year: int) -> list[str]:
    """Return the keys below the output URL of the shards that hold the pixels."""
    return [
        join("truth", year_store(year), shard_key(SOIL_MOISTURE.name, (0, *block)))
        for block in shard_blocks(pixels)
    ]


def write_truth(out: str, year: int, pixels: TilePixels, scratch_path: Path) -> int:
    """Cut a year's scratch file into shards of the truth store; return how many were written."""
    url = truth_url(out, year)
    create_store(url, TRUTH_SCHEMA, year)
    days = len(TRUTH_SCHEMA.times(year))
    scratch = np.memmap(scratch_path, np.int16, "r", shape=(days, len(pixels.rows)))
    outer = tile_window(SIN1KM, pixels.tile)
    rows, cols = pixels.rows + outer.row0, pixels.cols + outer.col0
    blocks = shard_blocks(pixels)
    for row, col in blocks:
        inside = (rows // SHARD_PIXELS == row) & (cols // SHARD_PIXELS == col)
        block = np.full((days, SHARD_PIXELS, SHARD_PIXELS), SOIL_MOISTURE.fill_value, np.int16)
        block[:, rows[inside] % SHARD_PIXELS, cols[inside] % SHARD_PIXELS] = scratch[:, inside]
        write_shard(url, TRUTH_SCHEMA, SOIL_MOISTURE.name, (0, row, col), block)
    return len(blocks)
