"""Emission of frozen ground: what freezing, snow, leaves and frequency do to brightness."""

import numpy as np
import pytest

from smcloud.simulate.frozen_emission import (
    BANDS,
    GroundView,
    brightness,
    is_wet_snow,
    permittivity,
    unfrozen_share,
    water_permittivity,
)

WORDS = [band.word for band in BANDS]


def ground(**changes):
    usual = {
        "moisture": 0.25,
        "ground_c": 8.0,
        "surface_c": 8.0,
        "snow_mm": 0.0,
        "leaf_water": 0.3,
        "roughness": 0.3,
        "height_m": 4000.0,
    }
    return GroundView(*(np.array([v], np.float32) for v in (usual | changes).values()))


def seen(**changes):
    """Return (bands, 2): vertical and horizontal brightness, K."""
    return np.stack([brightness(band, ground(**changes))[0] for band in BANDS])


def test_water_weakens_with_frequency_and_ice_hardly_counts():
    values = [water_permittivity(band.ghz) for band in BANDS]
    assert values == sorted(values, reverse=True)
    assert 4.9 < values[-1] < 8 < 25 < values[0] < 50
    liquid = permittivity(np.float32([0.25]), np.float32([0.0]), 10.65)
    ice = permittivity(np.float32([0.0]), np.float32([0.25]), 10.65)
    assert ice < 5 < 8 < liquid


def test_frozen_soil_keeps_some_liquid_water():
    share = unfrozen_share(np.array([5.0, 0.0, -0.2, -1.0, -5.0, -40.0], np.float32))
    np.testing.assert_allclose(share[:3], 1.0)
    assert (np.diff(share[2:]) < 0).all()
    assert share[-1] == pytest.approx(0.05, abs=0.01)


def test_freezing_raises_emissivity_the_more_the_lower_the_frequency():
    thawed = seen(ground_c=1.0, surface_c=1.0)
    frozen = seen(ground_c=-4.0, surface_c=-4.0)
    rise = frozen[:, 1] / 269.15 - thawed[:, 1] / 274.15
    assert rise[0] > 0.06
    assert rise[0] > rise[1] > rise[3] > rise[4]
    # Horizontal polarisation knows more of water than vertical does.
    assert (frozen[0, 1] - thawed[0, 1]) > (frozen[0, 0] - thawed[0, 0])


def test_vertical_exceeds_horizontal_and_both_are_of_the_earth():
    for state in (seen(), seen(ground_c=-10.0, surface_c=-15.0), seen(snow_mm=100.0)):
        assert (state[:, 0] > state[:, 1]).all()
        assert ((state > 120) & (state < 300)).all()


def test_dry_snow_scatters_at_high_frequencies_alone():
    cold = {"ground_c": -6.0, "surface_c": -12.0}
    loss = seen(**cold) - seen(**cold, snow_mm=80.0)
    assert loss[3, 0] > 20
    assert loss[3, 0] > 2 * loss[1, 0]
    assert abs(loss[0, 0]) < 8


def test_wet_snow_hides_the_ground():
    wet = {"snow_mm": 40.0, "surface_c": 0.0}
    dry_ground = seen(moisture=0.05, **wet)
    wet_ground = seen(moisture=0.45, **wet)
    np.testing.assert_allclose(dry_ground, wet_ground)
    np.testing.assert_allclose(is_wet_snow(ground(**wet)), 1.0)
    assert is_wet_snow(ground(snow_mm=40.0, surface_c=-5.0))[0] == 0


@pytest.mark.parametrize("band", range(5), ids=WORDS)
def test_leaves_take_polarisation_away(band):
    bare, covered = seen(leaf_water=0.0)[band], seen(leaf_water=4.0)[band]
    assert covered[0] - covered[1] < 0.6 * (bare[0] - bare[1])
