"""`smcloud.open` leads a reader to what is published, and to nothing else."""

import numpy as np
import pytest

import smcloud
from smcloud.core.errors import ConfigError, NotFoundError
from smcloud.core.listener import Silent
from smcloud.cube.store import open_cube
from smcloud.grids.tiles import parse_window
from smcloud.production.produce_stage import run
from smcloud.production.versions import published_store
from smcloud.products.glass_sm import GLASS_SM
from tests.production.small_world import config_of


def test_the_published_year_opens_by_shard(world):
    config = config_of(world / "run.toml")
    run(config, None, Silent())
    root, year = config.store.root, config.years[0]
    ds = smcloud.open(root, "glass-sm", year, tile=config.tiles[0])
    assert ds.soil_moisture.chunks[0] == (365,)
    assert ds.sizes == {"time": 365, "y": 1200, "x": 1200}
    url = published_store(config.layout, "glass-sm", year)
    cube = open_cube(url, GLASS_SM.schema, year)
    part = ds.soil_moisture[3, 700:800, 850:950].values
    window = parse_window("100x100+700+850", config.tiles[0])
    expected = cube.read_physical("soil_moisture", slice(3, 4), window, required=False)[0]
    np.testing.assert_allclose(part, expected, atol=1e-6)
    assert np.isfinite(part).any()


def test_what_is_not_published_is_named(tmp_path):
    with pytest.raises(NotFoundError, match="nothing of glass-sm 2019 is published"):
        smcloud.open(str(tmp_path), "glass-sm", 2019)
    with pytest.raises(ConfigError, match="unknown product"):
        smcloud.open(str(tmp_path), "nothing", 2019)
