"""Emission answers to water, warmth and leaves as physics says, and its inversion inverts it."""

import numpy as np
import pytest

from smcloud.simulate.emission import C_BAND, L_BAND, brightness, retrieve

MOISTURE = np.linspace(0.02, 0.6, 50).astype(np.float32)
WARM = np.full(50, 290.0, np.float32)


def rough(channel):
    return np.full(50, channel.roughness, np.float32)


@pytest.mark.parametrize("channel", [L_BAND, C_BAND], ids=["L", "C"])
@pytest.mark.parametrize("leaves", [0.0, 2.0])
def test_what_was_emitted_is_retrieved(channel, leaves):
    water = np.full(50, leaves, np.float32)
    seen = brightness(MOISTURE, WARM, water, rough(channel), channel)
    np.testing.assert_allclose(retrieve(seen, WARM, water, channel), MOISTURE, atol=3e-3)


@pytest.mark.parametrize("channel", [L_BAND, C_BAND], ids=["L", "C"])
def test_water_darkens_and_leaves_hide_it(channel):
    bare = brightness(MOISTURE, WARM, np.zeros(50, "f4"), rough(channel), channel)
    below = brightness(MOISTURE, WARM, np.full(50, 4.0, "f4"), rough(channel), channel)
    assert (np.diff(bare) < 0).all()
    assert 50 < bare[0] - bare[-1] < 150
    assert below[0] - below[-1] < 0.6 * (bare[0] - bare[-1])


def test_a_kelvin_is_worth_more_under_leaves():
    errors = []
    for leaves in (0.0, 2.0, 5.0):
        water = np.full(50, leaves, np.float32)
        seen = brightness(MOISTURE, WARM, water, rough(L_BAND), L_BAND)
        errors.append(np.abs(retrieve(seen + 1.0, WARM, water, L_BAND) - MOISTURE).mean())
    assert errors[0] < errors[1] < errors[2]
    assert 0.002 < errors[0] < 0.02


def test_what_no_soil_emits_is_dry_or_unknown():
    none = np.zeros(2, np.float32)
    found = retrieve(np.array([400.0, 20.0], "f4"), np.full(2, 290.0, "f4"), none, L_BAND)
    assert found[0] == 0
    assert np.isnan(found[1])
