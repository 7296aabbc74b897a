"""Gain over the coarse input, in worlds whose answer is known, and blocks that add up."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from smcloud.cube.schema import CubeSchema, Variable, shard_index
from smcloud.cube.store import create_store, write_shard
from smcloud.grids.grid import SIN1KM, Window, grid_named
from smcloud.grids.land import land_mask
from smcloud.grids.tiles import tile_window
from smcloud.validation.collocation import Layer, at_points
from smcloud.validation.gain import (
    COARSE,
    CONSTANT,
    ESTIMATES,
    PRODUCT,
    SMOOTH,
    GainRequest,
    PixelState,
    gain_of_block,
    total,
)
from smcloud.validation.metrics import all_scores

YEAR, DAYS, SIDE = 2019, 365, 50
MOISTURE = Variable(
    "soil_moisture", "int16", "m3 m-3", "soil moisture", (0.0, 0.7), scale=0.0001, fill=-9999
)
FLAG = Variable("quality_flag", "uint16", "1", "flag", (0.0, 65535.0))
FINE = CubeSchema("fine", "sin1km", (MOISTURE, FLAG), 1, (46, 50, 50), (368, 50, 50), "Fine")
CELLS = CubeSchema("coarse", "ease2_36km", (MOISTURE,), 1, (46, 100, 100), (46, 100, 100), "Coarse")
STATES = (PixelState("filled", 1), PixelState("clear"))
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
    create_store(url, CELLS, YEAR, {})
    side = CELLS.shards[1]
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
                write_shard(url, CELLS, "soil_moisture", (slab, row, col), part)
    layers["coarse"] = Layer(url, CELLS, YEAR, "soil_moisture", required=False)
    return layers


def asked(world, **changes):
    request = GainRequest(world["product"], world["truth"], world["coarse"], "quality_flag", STATES)
    return replace(request, **changes)


def test_a_product_that_knows_the_pattern_beats_its_input_within_cells(world):
    found = gain_of_block(asked(world), WINDOW)
    product, coarse = (
        all_scores(found.of(PRODUCT, within=True).total()),
        all_scores(found.of(COARSE, within=True).total()),
    )
    assert product["R"] > 0.85
    assert abs(coarse["R"]) < 0.1
    assert product["ubRMSE"] < 0.75 * coarse["ubRMSE"]


def test_the_input_shifted_by_a_constant_gains_nothing_within_cells(world):
    same = replace(asked(world), product=world["truth"])
    found = gain_of_block(same, WINDOW)
    assert all_scores(found.of(PRODUCT, within=True).total())["ubRMSE"] == pytest.approx(
        0.0, abs=1e-6
    )


def test_blocks_add_up_to_the_region_in_any_slabs(world):
    halves = [
        Window(WINDOW.row0, WINDOW.row0 + 50, WINDOW.col0, WINDOW.col1),
        Window(WINDOW.row0 + 50, WINDOW.row1, WINDOW.col0, WINDOW.col1),
    ]
    whole = gain_of_block(asked(world), WINDOW)
    parts = total([gain_of_block(asked(world, step=31), half) for half in halves])
    for name in ("pixels", "by_state"):  # a cell that is cut has a mean of its own in each part
        one, other = (getattr(found, name).total(axis=1).at(slice(3)) for found in (whole, parts))
        for score, value in all_scores(one).items():
            np.testing.assert_allclose(all_scores(other)[score], value, rtol=1e-9)
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


def test_months_and_squares_hold_the_sums_of_their_days(world):
    found = gain_of_block(asked(world), WINDOW)
    january = found.of(PRODUCT).at(slice(0, 31)).total()
    np.testing.assert_allclose(found.by_month(PRODUCT).n[0], january.n)
    np.testing.assert_allclose(found.by_month(PRODUCT).m2_d[0], january.m2_d)
    for whole, squares in ((found.pixels, found.squares), (found.within, found.squares_within)):
        one, other = whole.total(axis=1), squares.blocks().total(axis=1)
        np.testing.assert_allclose(other.n, one.n)
        np.testing.assert_allclose(other.m2_d, one.m2_d, rtol=1e-9)


def test_the_input_constant_in_each_cell_has_no_pattern_within_it(world):
    found = gain_of_block(asked(world), WINDOW)
    inner = all_scores(found.of(CONSTANT, within=True).total())
    assert inner["ubRMSE"] == pytest.approx(0.03, rel=0.05)  # the whole pattern of the truth
    overall = {name: all_scores(found.of(name).total())["RMSE"] for name in (COARSE, CONSTANT)}
    assert overall[CONSTANT] < 0.8 * overall[COARSE]  # cells of this world are constant but for it


@dataclass(frozen=True)
class Nowhere:
    """A smooth correction that is the truth, known on the first ten days only."""

    layer: Layer

    def at_points(self, steps, window, points):
        values = at_points(self.layer, steps, window, points)
        values[np.arange(steps.start, steps.stop) >= 10] = np.nan
        return values


def test_all_estimates_are_scored_on_the_pixel_days_that_all_of_them_know(world):
    found = gain_of_block(asked(world, smooth=Nowhere(world["truth"])), WINDOW)
    counts = found.pixels.n
    assert (counts[:, :10] > 0).all()
    assert (counts[:, 10:] == 0).all()
    assert (counts == counts[0]).all()
    assert all_scores(found.of(SMOOTH).total())["RMSE"] == pytest.approx(0.0, abs=1e-9)
    assert len(ESTIMATES) == len(counts)


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
