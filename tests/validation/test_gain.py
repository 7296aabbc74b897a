"""Gain over the coarse input, in worlds whose answer is known, and blocks that add up."""

from dataclasses import replace

import numpy as np
import pytest

from smcloud.cube.schema import CubeSchema, Variable, shard_index
from smcloud.cube.store import create_store, write_shard
from smcloud.grids.grid import SIN1KM, Window, grid_named
from smcloud.grids.land import land_mask
from smcloud.grids.tiles import tile_window
from smcloud.validation.collocation import Layer
from smcloud.validation.gain import GainRequest, gain_of_block, total
from smcloud.validation.metrics import all_scores

YEAR, DAYS, SIDE = 2019, 365, 50
MOISTURE = Variable(
    "soil_moisture", "int16", "m3 m-3", "soil moisture", (0.0, 0.7), scale=0.0001, fill=-9999
)
FLAG = Variable("quality_flag", "uint16", "1", "flag", (0.0, 65535.0))
FINE = CubeSchema("fine", "sin1km", (MOISTURE, FLAG), 1, (46, 50, 50), (368, 50, 50), "Fine")
COARSE = CubeSchema(
    "coarse", "ease2_36km", (MOISTURE,), 1, (46, 100, 100), (46, 100, 100), "Coarse"
)
STATES = (("filled", 1), ("clear", 0))
TILE = tile_window(SIN1KM, "h18v04")
WINDOW = Window(TILE.row0 + 600, TILE.row0 + 700, TILE.col0 + 750, TILE.col0 + 850)


def coarse_of(rng):
    """A smooth coarse field around the window, and its window."""
    grid = grid_named("ease2_36km")
    lon, lat = SIN1KM.lonlat(WINDOW)
    rows, cols = grid.pixel_of(lon.ravel(), lat.ravel())
    window = Window(rows.min() - 2, rows.max() + 3, cols.min() - 2, cols.max() + 3)
    return window, 0.25 + 0.05 * rng.normal(size=(DAYS, *window.shape))


def written(url, schema, blocks):
    create_store(url, schema, YEAR, {})
    for window, values in blocks:
        for variable in schema.variables:
            shard = shard_index(schema, window, 0)
            write_shard(url, schema, variable.name, shard, values[variable.name])
    return Layer(url, schema, YEAR, "soil_moisture")


def blocks_of(fields, side=SIDE):
    for row in range(0, WINDOW.shape[0], side):
        for col in range(0, WINDOW.shape[1], side):
            inside = np.s_[:, row : row + side, col : col + side]
            top, left = WINDOW.row0 + row, WINDOW.col0 + col
            window = Window(top, top + side, left, left + side)
            yield window, {name: values[inside] for name, values in fields.items()}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Truth of cells and a fine pattern; a product that knows half of the pattern."""
    folder, rng = tmp_path_factory.mktemp("gain"), np.random.default_rng(4)
    window, coarse = coarse_of(rng)
    grid = grid_named("ease2_36km")
    stored = np.full((DAYS, *WINDOW.shape), -9999, np.int16)
    lon, lat = SIN1KM.lonlat(WINDOW)
    rows, cols = grid.pixel_of(lon, lat)
    level = coarse[:, rows - window.row0, cols - window.col0]
    pattern = 0.03 * rng.normal(size=WINDOW.shape)
    land = land_mask(WINDOW)
    truth = np.where(land, level + pattern, np.nan)
    product = np.where(land, level + 0.5 * pattern + 0.005 * rng.normal(size=level.shape), np.nan)
    flag = np.zeros(stored.shape, np.uint16)
    flag[100:] = 1
    layers = {}
    for name, field in (("truth", truth), ("product", product)):
        fields = {"soil_moisture": MOISTURE.pack(field), "quality_flag": flag}
        layers[name] = written(f"{folder}/{name}.zarr", FINE, blocks_of(fields))
    url = f"{folder}/coarse.zarr"
    create_store(url, COARSE, YEAR, {})
    side = COARSE.shards[1]
    whole = np.full((DAYS, grid.rows, grid.cols), -9999, np.int16)
    whole[:, window.row0 : window.row1, window.col0 : window.col1] = MOISTURE.pack(coarse)
    for row in range(window.row0 // side, (window.row1 - 1) // side + 1):
        for col in range(window.col0 // side, (window.col1 - 1) // side + 1):
            for slab in range(-(-DAYS // 46)):
                part = whole[
                    slab * 46 : slab * 46 + 46,
                    row * side : (row + 1) * side,
                    col * side : (col + 1) * side,
                ]
                write_shard(url, COARSE, "soil_moisture", (slab, row, col), part)
    layers["coarse"] = Layer(url, COARSE, YEAR, "soil_moisture", required=False)
    return layers


def asked(world, **changes):
    request = GainRequest(world["product"], world["truth"], world["coarse"], "quality_flag", STATES)
    return replace(request, **changes)


def test_a_product_that_knows_the_pattern_beats_its_input_within_cells(world):
    found = gain_of_block(asked(world), WINDOW)
    product, coarse = (
        all_scores(found.within_product.total()),
        all_scores(found.within_coarse.total()),
    )
    assert product["R"] > 0.85
    assert abs(coarse["R"]) < 0.1
    assert product["ubRMSE"] < 0.75 * coarse["ubRMSE"]


def test_the_input_shifted_by_a_constant_gains_nothing_within_cells(world):
    same = replace(asked(world), product=world["truth"])
    found = gain_of_block(same, WINDOW)
    assert all_scores(found.within_product.total())["ubRMSE"] == pytest.approx(0.0, abs=1e-6)


def test_blocks_add_up_to_the_region_in_any_slabs(world):
    halves = [
        Window(WINDOW.row0, WINDOW.row0 + 50, WINDOW.col0, WINDOW.col1),
        Window(WINDOW.row0 + 50, WINDOW.row1, WINDOW.col0, WINDOW.col1),
    ]
    whole = gain_of_block(asked(world), WINDOW)
    parts = total([gain_of_block(asked(world, step=31), half) for half in halves])
    for score, value in all_scores(whole.product.total()).items():
        np.testing.assert_allclose(all_scores(parts.product.total())[score], value, rtol=1e-9)
    np.testing.assert_array_equal(parts.known, whole.known)
    np.testing.assert_array_equal(parts.states.n, whole.states.n)


def test_states_follow_the_flag(world):
    found = gain_of_block(asked(world), WINDOW)
    pixels = int(land_mask(WINDOW).sum())
    # A few values of the noise lie below zero and are stored as unknown.
    np.testing.assert_allclose(found.states.n, [265 * pixels, 100 * pixels], rtol=1e-4)
    np.testing.assert_allclose(found.coverage.sum(axis=0), np.ones(DAYS), atol=0.01)


def test_a_field_that_prints_its_cells_has_larger_steps_across_edges(world):
    found = gain_of_block(asked(world), WINDOW)
    assert found.edge_ratio > 1.5  # the truth of this world itself jumps at the edges of cells


def test_months_hold_the_sums_of_their_days(world):
    found = gain_of_block(asked(world), WINDOW)
    days = world["product"].open().times
    product, coarse = found.by_month(days)
    january = found.product.at(slice(0, 31)).total()
    np.testing.assert_allclose(product.n[0], january.n)
    np.testing.assert_allclose(product.m2_d[0], january.m2_d)
    assert coarse.n.sum() == found.coarse.n.sum() > 0


def test_without_a_truth_everything_but_scores_is_counted(world):
    known = gain_of_block(asked(world), WINDOW)
    found = gain_of_block(asked(world, truth=None), WINDOW)
    assert known.has_truth
    assert not found.has_truth
    for name in ("steps", "known", "land", "flags"):
        np.testing.assert_array_equal(getattr(found, name), getattr(known, name))


def test_land_that_was_not_asked_for_is_no_gap(world):
    part = Window(WINDOW.row0, WINDOW.row0 + 50, WINDOW.col0, WINDOW.col1)
    found = gain_of_block(asked(world, truth=None), WINDOW, part)
    assert found.land[0] == land_mask(part).sum()
    assert found.coverage.sum(axis=0)[0] == pytest.approx(1.0, abs=0.01)


def test_flags_are_counted_bit_by_bit(world):
    found = gain_of_block(asked(world, truth=None), WINDOW)
    assert found.flags[0] == 265 * land_mask(WINDOW).sum()
    assert found.flags[1:].sum() == 0
