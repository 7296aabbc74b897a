"""From cells to pixels: what the relation adds inside cells, on a nested grid with known truth."""

import numpy as np
import pytest

from benchmarks.coarse_world import field
from smcloud.grids.grid import EASE2_1KM, EASE2_36KM, Window
from smcloud.grids.regrid import FloatArray, bilinear
from smcloud.models.gwr import CoarseDays, LocalRule, evaluate, fit_days, kernel

CELLS = Window(90, 102, 750, 764)
SIZE = 36
RULE = LocalRule(140.0)


def block_means(values):
    rows, cols = CELLS.shape
    return values.reshape(-1, rows, SIZE, cols, SIZE).mean(axis=(2, 4))


@pytest.fixture(scope="module")
def world():
    """Return pixels' places, predictors and moisture, and what the satellite sees of cells.

    Predictors vary from field to field and from region to region; slopes differ in space; causes
    that no predictor sees are half as large as what predictors explain.
    """
    rng = np.random.default_rng(0)
    pixels = Window(*(SIZE * n for n in (CELLS.row0, CELLS.row1, CELLS.col0, CELLS.col1)))
    shape = (3, *pixels.shape)
    predictors = 0.5 * field(rng, shape, 4) + 0.5 * field(rng, shape, 80)
    slopes = np.array([-0.03, 0.02, 0.02])[:, None, None] * (1 + 0.4 * field(rng, shape, 250))
    unseen = 0.005 * field(rng, pixels.shape, 6) + 0.01 * field(rng, pixels.shape, 120)
    truth = 0.22 + (slopes * predictors).sum(axis=0) + unseen
    seen = block_means(truth)[0] + rng.normal(0, 0.01, CELLS.shape)
    lon, lat = (values.reshape(-1) for values in EASE2_1KM.lonlat(pixels))
    return lon, lat, predictors.reshape(3, -1).astype(np.float32), truth, seen


def on_nodes(weights, nodes) -> FloatArray:
    """Return fields (k, rows, cols) of the cells on the window of the weights, NaN outside."""
    outer = weights.window
    found = np.full((len(nodes), *outer.shape), np.nan, np.float32)
    found[(slice(None), *CELLS.within(outer))] = nodes
    return found


def inside_cells(values):
    """Return values with the mean of each cell taken off."""
    means = block_means(values)[0]
    return values - np.repeat(np.repeat(means, SIZE, axis=0), SIZE, axis=1)


@pytest.fixture(scope="module")
def fitted(world):
    """Return the coarse series, its fit and the weights of the pixels."""
    lon, lat, predictors, _, seen = world
    coarse = block_means(predictors).reshape(1, 3, -1)
    places = tuple(values.reshape(-1) for values in EASE2_36KM.lonlat(CELLS))
    day = np.array(["2015-06-01"], "datetime64[D]")
    series = CoarseDays(*places, day, coarse, seen.reshape(1, -1))
    fit = fit_days(series, kernel(places, places, RULE.bandwidth_km), RULE)
    return series, fit, bilinear(EASE2_36KM, lon, lat)


def test_the_relation_tells_pixels_apart_where_interpolation_cannot(world, fitted):
    _, _, predictors, truth, seen = world
    series, fit, weights = fitted
    nodes = fit.coefficients[0].reshape(4, *CELLS.shape)
    guess = evaluate(on_nodes(weights, nodes), weights, predictors)
    residual = (series.target - fit.estimate(series.predictors)).reshape(1, *CELLS.shape)
    estimate = guess + weights.apply(on_nodes(weights, residual))[0]
    interpolated = weights.apply(on_nodes(weights, seen[None]))[0]
    found = {}
    for name, values in (("estimate", estimate), ("bilinear", interpolated)):
        field_ = values.reshape(truth.shape)
        within = np.corrcoef(inside_cells(field_).ravel(), inside_cells(truth).ravel())[0, 1]
        found[name] = within, np.sqrt(np.mean((field_ - truth) ** 2))
    assert found["estimate"][0] > 0.8
    assert found["bilinear"][0] < 0.5
    assert found["estimate"][1] < 0.75 * found["bilinear"][1]


def test_no_edge_of_a_cell_shows(world, fitted):
    predictors = world[2]
    _, fit, weights = fitted
    nodes = on_nodes(weights, fit.coefficients[0].reshape(4, *CELLS.shape))
    pixels = tuple(SIZE * n for n in CELLS.shape)
    # Constant predictors leave the coefficients alone to make steps.
    flat = np.ones_like(predictors) * np.array([[1.0], [-1.0], [0.5]], np.float32)
    steps = np.abs(np.diff(evaluate(nodes, weights, flat).reshape(pixels), axis=1))
    at_edge = np.arange(1, pixels[1]) % SIZE == 0
    assert np.median(steps[:, at_edge]) <= 1.2 * np.median(steps[:, ~at_edge])
