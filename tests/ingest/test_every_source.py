"""One source of each kind, from native sample files to the shards of its cube."""

import numpy as np
import pytest

from smcloud.cube.store import create_store, open_cube
from smcloud.grids.grid import Window
from smcloud.grids.tiles import GLOBE, TileYear
from smcloud.ingest.cubes import ingest_slab
from smcloud.ingest.index import index_granules, list_bucket
from smcloud.ingest.plan import keys_of, plan_ingest
from smcloud.simulate.samples import (
    SAMPLE_COL,
    SAMPLE_ROW,
    SAMPLE_SIZE,
    SAMPLE_TILE,
    write_sample,
)
from smcloud.sources.registry import SOURCES


def first_task(name, folder):
    source = SOURCES[name]
    write_sample(name, folder / "in")
    index = index_granules(source, str(folder / "in"), list_bucket(str(folder / "in")))
    keys = keys_of(source, [SAMPLE_TILE], [2019], index)
    task = plan_ingest(source, index, str(folder / "out"), keys)[0]
    create_store(task.cube_url, source.schema, task.key.year)
    return task


def sample_pixels(task):
    """Return the pixels of the sample, and as many next to it that no file covers."""
    home = task.key.window
    row, col = home.row0 + SAMPLE_ROW, home.col0 + SAMPLE_COL
    return Window(row, row + SAMPLE_SIZE, col, col + SAMPLE_SIZE)


ONE_OF_A_KIND = ("glass_lai", "mod13a2", "mcd43d58", "era5land", "terrain", "soilgrids")
"""Tiles, a globe of fine cells, coarse hours, sheets in degrees, and Homolosine maps."""
NOT_IN_SAMPLES = {"upstream_area"}


@pytest.mark.parametrize("name", ONE_OF_A_KIND)
def test_a_sample_reaches_the_cube_of_its_source(name, tmp_path):
    pytest.importorskip("pyhdf")
    source = SOURCES[name]
    task = first_task(name, tmp_path)
    receipt = ingest_slab(task)
    assert receipt.damaged == ()
    assert receipt.granules_read == len(task.granules) > 0
    cube = open_cube(task.cube_url, source.schema, task.key.year)
    if task.key.tile == GLOBE:
        (shard,) = {tuple(map(int, key.split("/")[-2:])) for key in receipt.shards}
        rows, cols = source.schema.shards[1:]
        window = Window(
            shard[0] * rows, shard[0] * rows + rows, shard[1] * cols, shard[1] * cols + cols
        )
    else:
        window = sample_pixels(task)
    for variable in source.schema.variables:
        values = cube.read_physical(variable.name, slice(0, 2), window)
        known = values[np.isfinite(values)]
        assert (known.size > 50) == (variable.name not in NOT_IN_SAMPLES), variable.name
        assert ((known >= variable.valid[0]) & (known <= variable.valid[1])).all()


def test_keys_name_every_sources_own_grid():
    grids = {name: source.schema.grid for name, source in SOURCES.items()}
    assert {name for name, grid in grids.items() if grid == "era5land"} == {"era5land"}
    assert TileYear("era5land", GLOBE, 2019).window.shape == (1801, 3600)
