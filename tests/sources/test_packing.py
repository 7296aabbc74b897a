"""Packing in one pass gives the bits of masks, physical values, means and packing one by one."""

import numpy as np
import pytest

from smcloud.cube.schema import Variable
from smcloud.grids.regrid import block_mean
from smcloud.sources.hdf_eos import Layer, every_code, to_physical
from smcloud.sources.packing import Coded, pack_means
from smcloud.sources.quality import Condition, kept

REFLECTANCE = Variable("red", "int16", "1", "red", (-0.01, 1.6), scale=0.0001, fill=-32768)
LEAVES = Variable("lai", "uint8", "m2 m-2", "leaf area", (0.0, 10.0), scale=0.1, fill=255)
HEAT = Variable("t", "uint16", "K", "heat", (150.0, 400.0), scale=0.02, offset=0.5, fill=0)
CASES = [
    (REFLECTANCE, Layer("red", ("int16",), 0.0001, -28672, (-100, 16000)), 2),
    (LEAVES, Layer("lai", ("uint8",), 0.1, 255, (0, 100)), 2),
    (HEAT, Layer("t", ("uint16",), 0.02, 0, (7500, 20000)), 1),
    (HEAT, Layer("t", ("uint16",), 0.02, 0, (7500, 65535)), 3),
]


@pytest.mark.parametrize(("variable", "layer", "factor"), CASES)
@pytest.mark.parametrize("conditions", [0, 1, 2])
@pytest.mark.parametrize("least_known", [1, 2])
def test_one_pass_equals_the_steps_one_by_one(variable, layer, factor, conditions, least_known):
    rng, least_known = np.random.default_rng(7), min(least_known, factor**2)
    shape, fine = (12, 17), (12 * factor, 17 * factor)
    stored = rng.choice(every_code(np.dtype(layer.dtypes[0])), fine)
    words = {
        "state": rng.integers(0, 1 << 16, fine, np.uint16),
        "bands": rng.integers(0, 1 << 32, fine, np.uint32),
    }
    met = (
        Condition("state", 0, rng.random(1 << 16) < 0.7),
        Condition("bands", 28, rng.random(1 << 4) < 0.7),
    )[:conditions]
    attributes = {"scale_factor": layer.scale}
    coded = Coded(stored, to_physical(every_code(stored.dtype), layer, attributes), layer.fill)
    np.testing.assert_array_equal(coded.physical(), to_physical(stored, layer, attributes))
    physical = np.where(kept(words, met), coded.physical(), np.float32(np.nan))
    means = block_mean(physical, factor, least_known / factor**2)
    expected = variable.pack(means)
    assert 0 < (expected == variable.fill_value).sum() < expected.size

    out = np.full(shape, variable.fill_value, variable.dtype)
    pack_means(coded, words, met, variable, least_known, out)
    np.testing.assert_array_equal(out, expected)


def test_pixels_that_a_layer_does_not_know_are_left_alone():
    stored = np.array([[0, 300], [100, 20]], np.int16)
    layer = Layer("red", ("int16",), 0.0001, -28672, (-100, 16000))
    meanings = to_physical(every_code(stored.dtype), layer, {"scale_factor": 0.0001})
    coded = Coded(stored, meanings, layer.fill)
    word = {"state": np.array([[0, 1], [0, 0]], np.uint16)}
    out = np.full((2, 2), 7, np.int16)
    pack_means(coded, word, (Condition("state", 0, np.array([True, False])),), REFLECTANCE, 1, out)
    assert out.tolist() == [[0, 7], [100, 20]]
