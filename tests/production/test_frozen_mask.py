"""Frozen ground of the coarse product raises a bit of the 1 km one, where it is published."""

import numpy as np
import pytest

from smcloud.core.listener import Silent
from smcloud.cube.store import create_store, open_cube, write_shard
from smcloud.features.spec import Quality
from smcloud.grids.grid import SIN1KM
from smcloud.production.coarse_year import shard_blocks
from smcloud.production.produce_stage import run
from smcloud.production.recipe import recipe_of
from smcloud.production.store_year import published_year
from smcloud.production.versions import Pointer, write_pointer
from smcloud.products.freeze_thaw import SCHEMA, STATE
from tests.production.small_world import WEST_PART, YEAR, beside, config_of, make_world, write_run

FROZEN_DAYS = slice(0, 60)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masked")
    make_world(folder)
    return folder


def publish_ground(config) -> None:
    """Publish a year whose ground is frozen for sixty days, in the shards around the run."""
    lon, lat = SIN1KM.lonlat(WEST_PART)
    row, col = SCHEMA.on.pixel_of(lon, lat)
    store = config.layout.store("freeze-thaw", YEAR, "v1")
    create_store(store, SCHEMA, YEAR)
    places = sorted(
        set(zip((row // 45).ravel().tolist(), (col // 45).ravel().tolist(), strict=True))
    )
    for place, block in zip(places, shard_blocks(SCHEMA, places), strict=True):
        state = np.zeros((365, *block.window.shape), np.uint8)
        state[FROZEN_DAYS] = 2
        state[:, ::2] = 255  # every other row was never told
        write_shard(store, SCHEMA, STATE, (0, *place), state)
    pointer = Pointer("freeze-thaw", YEAR, "v1", "v1.zarr", "hash", ("globe",))
    write_pointer(config.layout, pointer)


def flags_of(config):
    """Return the flags of the run's year over its part, (days, rows, cols)."""
    year = published_year(config, YEAR)
    cube = open_cube(year.store_url, year.schema, YEAR)
    return cube.read("quality_flag", slice(0, 365), WEST_PART)


def moisture_of(config):
    """Return the stored moisture of the run's year over its part, (days, rows, cols)."""
    year = published_year(config, YEAR)
    cube = open_cube(year.store_url, year.schema, YEAR)
    return cube.read("soil_moisture", slice(0, 365), WEST_PART)


def test_the_bit_is_raised_in_cells_that_are_frozen(world, tmp_path) -> None:
    config = config_of(write_run(beside(world, tmp_path)))
    run(config, None, Silent())
    before = flags_of(config)
    publish_ground(config)
    masked = recipe_of(config)
    run(config, None, Silent())
    after = flags_of(config)
    bit = np.uint16(Quality.FROZEN_OR_SNOW)
    row, _ = SCHEMA.on.pixel_of(*SIN1KM.lonlat(WEST_PART))
    told = (row % 45) % 2 == 1
    np.testing.assert_array_equal(after & ~bit, before & ~bit)
    land = (before[0] != 0) | (after[0] != 0)
    assert (after[FROZEN_DAYS][:, told & land] & bit).all()
    np.testing.assert_array_equal(after[60:], before[60:])
    np.testing.assert_array_equal(after[:, ~told], before[:, ~told])
    assert type(masked.reader).__name__ == "MaskedReader"


def test_a_downscaled_product_has_the_bit_and_the_same_estimates(downscaling, downscaled) -> None:
    before, moisture = flags_of(downscaled), moisture_of(downscaled)
    publish_ground(downscaling)
    run(downscaling, None, Silent())
    after = flags_of(downscaling)
    bit = np.uint16(Quality.FROZEN_OR_SNOW)
    np.testing.assert_array_equal(after & ~bit, before & ~bit)
    np.testing.assert_array_equal(moisture_of(downscaling), moisture)
    row, _ = SCHEMA.on.pixel_of(*SIN1KM.lonlat(WEST_PART))
    told = ((row % 45) % 2 == 1) & ((before[0] != 0) | (after[0] != 0))
    assert (after[FROZEN_DAYS][:, told] & bit).all()
    np.testing.assert_array_equal(after[60:], before[60:])


def test_it_is_left_out_where_it_is_not_wanted_or_not_published(world, tmp_path) -> None:
    config = config_of(write_run(beside(world, tmp_path)))
    plain = recipe_of(config)
    publish_ground(config)
    unwanted = config_of(write_run(tmp_path), frozen_mask=False)
    for recipe in (plain, recipe_of(unwanted)):
        assert type(recipe.reader).__name__ == "FeatureReader"
    two = config.model_copy(update={"years": (YEAR, YEAR + 1)})
    assert type(recipe_of(two).reader).__name__ == "FeatureReader"
