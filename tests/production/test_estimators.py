"""Codes instead of floats change no estimate, and estimates are stored as `Variable.pack` does."""

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from smcloud.cube.schema import Variable
from smcloud.models.forest import Forest
from smcloud.production.estimators import (
    CodeEstimator,
    FloatEstimator,
    encoding_of,
    estimator_of,
    put_estimates,
)
from smcloud.products.base import ESTIMATE_CLIPPED, NO_ESTIMATE
from smcloud.products.glass_sm import SOIL_MOISTURE

REFUSE = 8
STORED = Variable("lst_day", "uint16", "K", "LST", (200.0, 350.0), 0.02, 0.0, 0)


def put(found, flags, points, pixels, variable=SOIL_MOISTURE):
    stored = np.full((len(found), pixels), variable.fill_value, variable.dtype)
    raised = np.zeros((len(found), pixels), np.uint8)
    put_estimates(found, flags, points, encoding_of(variable, REFUSE), stored, raised)
    return stored, raised


def test_estimates_out_of_range_are_clipped_and_unknown_drivers_get_none():
    found = np.array([[0.25, 0.9, -0.1, 0.3, np.nan]], np.float32)
    flags = np.array([[1, 0, 2, 8, 0]], np.uint8)
    stored, raised = put(found, flags, np.array([1, 2, 4, 5, 6]), 7)
    assert stored.tolist() == [[-9999, 2500, 7000, -9999, 0, -9999, -9999]]
    clipped = ESTIMATE_CLIPPED
    assert raised.tolist() == [[0, 1, clipped, 0, 2 | clipped, 8 | NO_ESTIMATE, NO_ESTIMATE]]


@settings(deadline=None, max_examples=60)
@given(hnp.arrays(np.float32, 64, elements=st.floats(-0.125, 0.8125, width=32)))
def test_known_estimates_are_packed_as_the_variable_packs_them(found):
    stored, _ = put(found[None], np.zeros((1, 64), np.uint8), np.arange(64), 64)
    np.testing.assert_array_equal(stored[0], SOIL_MOISTURE.pack(np.clip(found, 0.0, 0.7)))


def test_halves_are_rounded_to_even():
    halves = Variable("x", "int16", "1", "halves", (0.0, 10.0), scale=0.5, fill=-1)
    found = np.array([[0.25, 0.75, 1.25, 1.75]], np.float32)
    stored, _ = put(found, np.zeros((1, 4), np.uint8), np.arange(4), 4, halves)
    assert stored.tolist() == [[0, 2, 2, 4]]


@pytest.fixture(scope="module")
def booster():
    rng = np.random.default_rng(3)
    rows = rng.normal(280, 20, (3000, 3)).astype(np.float32)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    target = np.nan_to_num(rows).sum(axis=1) / 3000
    return xgboost.train({"max_depth": 6}, xgboost.DMatrix(rows, target), 12)


def feed(estimator, n_days, n_points, seed):
    """Return the estimates of a slab whose columns come as floats, as static and as stored."""
    rng = np.random.default_rng(seed)
    sink = estimator.begin(n_days)
    for days in (slice(0, 1), slice(1, n_days)):
        size = (days.stop - days.start, n_points)
        values = rng.normal(280, 20, size).astype(np.float32)
        values[rng.random(size) < 0.1] = np.nan
        sink.put(0, days, values)
        stored = rng.integers(0, 17_500, size, dtype=np.uint16)
        sink.put_stored(2, days, stored * (rng.random(size) > 0.2), STORED)
    sink.put_static(1, rng.normal(280, 20, n_points).astype(np.float32))
    return estimator.estimates()


def test_codes_give_the_bits_of_floats_slab_after_slab(booster):
    forest = Forest.from_xgboost(booster)
    by_codes = estimator_of(forest, 3, 5, 700)
    assert isinstance(by_codes, CodeEstimator)
    by_floats = FloatEstimator(forest, 3, 700)
    for n_days, seed in ((5, 1), (5, 2), (3, 3)):
        found = feed(by_codes, n_days, 700, seed)
        assert len(np.unique(found)) > 100
        np.testing.assert_array_equal(found, feed(by_floats, n_days, 700, seed))


def test_a_model_that_its_library_predicts_gets_floats(booster):
    deep = xgboost.train(
        {"max_depth": 14, "min_child_weight": 0},
        xgboost.DMatrix(np.arange(9000.0)[:, None], np.random.default_rng(0).random(9000)),
        1,
    )
    forest = Forest.from_xgboost(deep)
    assert forest.fallback
    assert isinstance(estimator_of(forest, 1, 5, 700), FloatEstimator)
