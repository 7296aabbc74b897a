"""A year with half widths and an area: the same estimates, the same bytes in every layout."""

from dataclasses import replace

import numpy as np
import pytest
import xgboost
from distributed import Client

from smcloud.core.errors import ModelError
from smcloud.core.listener import Silent
from smcloud.core.objects import open_objects
from smcloud.cube.store import open_cube
from smcloud.grids.land import land_mask
from smcloud.models.applicability import Area
from smcloud.models.base import SpreadNote, content_hash, load_bytes, save_model
from smcloud.models.boosting import booster_of
from smcloud.models.forest import Forest
from smcloud.production.estimators import FloatEstimator
from smcloud.production.plan import block_memory, plan_year
from smcloud.production.produce_stage import run
from smcloud.production.recipe import recipe_of
from smcloud.production.store_year import published_year
from smcloud.production.verify import verify
from smcloud.products.base import NO_ESTIMATE, OUTSIDE_AREA
from smcloud.products.glass_sm import GLASS_SM, UNCERTAINTY
from smcloud.products.registry import PRODUCTS
from tests.production.small_world import (
    BLOCKS,
    MODEL,
    WEST_PART,
    YEAR,
    beside,
    config_of,
    make_model,
    tree_of,
    undisturbed,
    write_run,
)

FLOOR, FACTOR = 0.004, 1.25
NAME = UNCERTAINTY.name


def add_spread(folder, factor=FACTOR):
    """Give the stored model trees for its errors and an area that leaves some pixels out."""
    models = open_objects(str(folder / "out" / "models"))
    data, card = load_bytes(models, MODEL)
    rng = np.random.default_rng(5)
    columns = rng.uniform([270, 0, 0, -1], [310, 0.5, 2000, 1], (800, 4)).astype(np.float32)
    booster = xgboost.train(
        {"max_depth": 4, "nthread": 1, "max_bin": 64},
        xgboost.QuantileDMatrix(columns, np.abs(columns[:, 1] - 0.2) / 3, max_bin=64),
        num_boost_round=8,
    )
    spread = bytes(booster.save_raw("ubj"))
    scales = (0.8 / columns.std(axis=0)).astype(np.float32)
    weights = np.full(4, 0.25, np.float32)
    rows = (columns[:50] - columns.mean(axis=0)) * scales
    area = Area(columns.mean(axis=0), scales, weights, rows, 2.0, 0.55)
    note = SpreadNote(
        sha256=content_hash(spread), floor=FLOOR, factors={"0.68": factor}, stations=9, rounds=8
    )
    whole = card.model_copy(update={"spread": note, "area": area.note()})
    save_model(models, MODEL, data, whole, spread=spread, area=area.data)
    return booster, area


@pytest.fixture
def config(world):
    add_spread(world)
    return config_of(world / "run.toml")


@pytest.fixture(scope="module")
def unbroken(world_once, tmp_path_factory):
    folder = beside(world_once, tmp_path_factory.mktemp("uncertain"))
    add_spread(folder)
    return undisturbed(folder)


def stored(config):
    """Every variable of the published year on the run's window, by name."""
    year = published_year(config, YEAR)
    cube = open_cube(year.store_url, year.schema, YEAR)
    steps = slice(0, len(cube.times))
    return {v.name: cube.read(v.name, steps, WEST_PART) for v in year.schema.variables}


def test_half_widths_and_area_are_those_of_the_library_and_of_floats(world, config):
    run(config, None, Silent())
    booster, area = add_spread(world)
    found, recipe = stored(config), recipe_of(config)
    days = recipe.schema.times(YEAR)
    points = np.flatnonzero(land_mask(WEST_PART))
    columns = recipe.reader.compute(recipe.reader.read(WEST_PART, days, points))
    rows = np.ascontiguousarray(columns.values.reshape(4, -1).T)
    spread = booster.inplace_predict(rows).reshape(len(days), -1)
    half = np.maximum(spread, np.float32(FLOOR)) * np.float32(FACTOR)
    refused = found["quality_flag"].reshape(len(days), -1)[:, points] & NO_ESTIMATE
    expected = np.where(refused, UNCERTAINTY.fill, UNCERTAINTY.pack(half))
    widths = found[NAME].reshape(len(days), -1)
    np.testing.assert_array_equal(widths[:, points], expected)
    assert (np.delete(widths, points, axis=1) == UNCERTAINTY.fill).all()
    assert len(np.unique(expected)) > 15
    months = days.astype("datetime64[M]")
    outside = found["quality_flag"].reshape(len(days), -1)[:, points] & OUTSIDE_AREA > 0
    for month in np.unique(months):
        day = int(np.flatnonzero(days == month.astype("datetime64[D]") + 14)[0])
        same = area.outside(np.ascontiguousarray(columns.values[:, day]))
        assert (outside[months == month] == same).all()
    assert 0.05 < outside.mean() < 0.95


def test_estimates_and_other_bits_are_those_of_the_model_alone(world, config):
    run(config, None, Silent())
    both = stored(config)
    make_model(world)
    run(config_of(write_run(world)), None, Silent())
    alone = stored(config)
    assert set(both) - set(alone) == {NAME}
    np.testing.assert_array_equal(both["soil_moisture"], alone["soil_moisture"])
    np.testing.assert_array_equal(
        both["quality_flag"] & np.uint16(65535 - OUTSIDE_AREA), alone["quality_flag"]
    )


@pytest.mark.parametrize("step_days", [1, 13, 100])
def test_slabs_do_not_change_the_bytes(world, config, unbroken, step_days):
    changed = config_of(world / "run.toml", step_days=step_days)
    run(changed, None, Silent())
    assert tree_of(world / "out" / "products") == unbroken


def test_overlapping_blocks_have_the_same_bytes(world, config, unbroken):
    ahead = config_of(world / "run.toml", read_ahead=True)
    with Client(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as client:
        run(ahead, client, Silent())
    assert tree_of(world / "out" / "products") == unbroken


def test_larger_blocks_hold_the_same_values(world, config):
    run(config, None, Silent())
    small = stored(config)
    large = config_of(world / "run.toml", block_pixels=300)
    run(large, None, Silent())
    for name, values in stored(large).items():
        np.testing.assert_array_equal(values, small[name], err_msg=name)


def test_codes_give_the_bytes_of_floats(world, config, unbroken, monkeypatch):
    forest = Forest.from_xgboost(booster_of(load_bytes(recipe_models(config), MODEL)[0]))
    assert not forest.fallback
    monkeypatch.setattr("smcloud.production.estimators.CodeEstimator", FloatsInstead)
    run(config, None, Silent())
    assert tree_of(world / "out" / "products") == unbroken


def recipe_models(config):
    return open_objects(config.layout.model(""))


class FloatsInstead:
    """The code estimator's place, taken by floats."""

    def __new__(cls, forest, most_days, n_points):
        return FloatEstimator(forest, forest.n_features, n_points)


def test_a_damaged_half_width_is_found_and_restored(world, config, unbroken):
    (year,) = run(config, None, Silent()).years
    objects = open_objects(year.store)
    key = next(i.key for i in objects.list() if i.key.startswith(f"{NAME}/c/"))
    objects.put(key, b"nonsense")
    open_cube.cache_clear()
    (damage,) = verify(config, None, Silent()).damages
    assert damage.object == key
    (year,) = run(config, None, Silent(), redo="damaged").years
    assert year.repaired == 1
    assert tree_of(world / "out" / "products") == unbroken


def test_a_year_without_half_widths_is_verified_beside_one_with_them(world, config):
    make_model(world)
    run(config, None, Silent())
    add_spread(world)
    open_cube.cache_clear()
    (year,) = run(config, None, Silent()).years
    found = verify(config, None, Silent())
    assert found.damages == ()
    assert found.shards == 3 * BLOCKS
    assert year.made == BLOCKS


def test_other_factors_make_another_version(world, config):
    (old,) = run(config, None, Silent()).years
    add_spread(world, factor=2.0)
    (new,) = run(config, None, Silent()).years
    assert new.version != old.version
    assert new.made == BLOCKS


def test_the_plan_holds_the_second_model_and_its_variable(world, config):
    recipe = recipe_of(config)
    plan, whole = plan_year(recipe, YEAR), block_memory(recipe, YEAR, 150 * 150)
    make_model(world)
    recipe = recipe_of(config)
    alone, less = plan_year(recipe, YEAR), block_memory(recipe, YEAR, 150 * 150)
    codes = (4 * 1 + 4) * 46 * 150 * 150
    assert whole.inputs - less.inputs >= codes
    assert plan.memory.model > alone.memory.model
    assert plan.memory.outputs - alone.memory.outputs == 365 * 150 * 150 * 2
    assert plan.estimate.bytes_written == 1.5 * alone.estimate.bytes_written


@pytest.mark.parametrize("end", ["spread.ubj", "area.npy"])
def test_a_damaged_part_of_the_model_stops_the_run_before_it_writes(world, config, end):
    (path,) = (world / "out" / "models" / MODEL).glob(f"*.{end}")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(ModelError, match=f"{end} is damaged"):
        run(config, None, Silent())
    path.unlink()
    with pytest.raises(ModelError, match="is not there"):
        run(config, None, Silent())
    assert not (world / "out" / "products").exists()


def test_a_year_whose_flags_have_one_byte_is_verified_and_opened(world, config, monkeypatch):
    """Stores of schema version 1 stay what they were."""
    make_model(world)
    flag = replace(GLASS_SM.schema.variable("quality_flag"), dtype="uint8")
    variables = (GLASS_SM.schema.variables[0], flag)
    old = replace(GLASS_SM, schema=replace(GLASS_SM.schema, variables=variables, version=1))
    with monkeypatch.context() as patch:
        patch.setitem(PRODUCTS, "glass-sm", old)
        run(config, None, Silent())
    assert verify(config, None, Silent()).damages == ()
    assert stored(config)["quality_flag"].dtype == np.uint8
