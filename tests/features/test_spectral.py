"""Indices against values worked by hand from their published formulas."""

import numpy as np
import pytest

from smcloud.features import spectral

BANDS = {
    "red": 0.1,
    "nir": 0.4,
    "blue": 0.05,
    "green": 0.08,
    "swir1": 0.35,
    "swir2": 0.25,
    "swir3": 0.15,
}

BY_HAND = {
    spectral.ndvi: (("red", "nir"), 0.3 / 0.5),
    spectral.evi: (("red", "nir", "blue"), 2.5 * 0.3 / (0.4 + 0.6 - 0.375 + 1)),
    spectral.ndwi_gao: (("nir", "swir1"), 0.05 / 0.75),
    spectral.ndwi_mcfeeters: (("green", "nir"), -0.32 / 0.48),
    spectral.lswi: (("nir", "swir2"), 0.15 / 0.65),
    spectral.nsdsi1: (("swir2", "swir3"), 0.1 / 0.25),
    spectral.nsdsi2: (("swir2", "swir3"), 0.1 / 0.15),
    spectral.nsdsi3: (("swir2", "swir3"), 0.1 / 0.4),
}


@pytest.mark.parametrize("index", BY_HAND, ids=lambda index: index.__name__)
def test_index_equals_its_formula(index):
    bands, expected = BY_HAND[index]
    found = index(*(np.full((2, 3), BANDS[band], np.float32) for band in bands))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.full((2, 3), expected), rtol=1e-6)


@pytest.mark.parametrize("index", BY_HAND, ids=lambda index: index.__name__)
def test_unknown_band_makes_an_unknown_index(index):
    bands, _ = BY_HAND[index]
    for missing in bands:
        values = [np.float32([np.nan if band == missing else BANDS[band]]) for band in bands]
        assert np.isnan(index(*values)).all()


def test_zero_denominator_and_impossible_ratios_are_unknown():
    zero, small, negative = np.float32([0.0]), np.float32([0.01]), np.float32([-0.011])
    assert np.isnan(spectral.ndvi(zero, zero))
    assert np.isnan(spectral.ndvi(small, negative))
    assert np.isnan(spectral.nsdsi1(zero, small))
    assert np.isnan(spectral.nsdsi2(np.float32([0.5]), small))
