"""Emission of frozen and thawed ground at 10.65 to 89 GHz, under leaves, snow and air.

Frozen soil keeps some liquid water (a power of the frost, as measured of silt: Anderson and Tice
1972, Highway Research Record 393, 12-18), and only liquid water has a large permittivity, the
larger the lower the frequency (Debye's relaxation, at about 9 GHz near 0 degrees Celsius). The
permittivity of the mixture adds refractive indices (Birchak et al. 1974, Proc. IEEE 62, 93-98);
Fresnel's reflection is mixed and weakened by roughness (Wang and Choudhury 1981, J. Geophys. Res.
86, 5277-5282), leaves and air emit and weaken as in `emission`. Dry snow scatters, and the more the
higher the frequency (Chang et al. 1987, Ann. Glaciol. 9, 39-44); wet snow hides the ground and
emits like a black body. Constants are of the right size, not those of a place.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from smcloud.simulate.noise import Floats

ANGLE_DEGREE = 55.0
RELAXATION_GHZ = 9.0
WATER_LOW, WATER_HIGH, DRY_SOIL, ICE = 80.0, 4.9, 3.0, 3.15
"""Relative permittivity of water below and far above its relaxation, of dry soil and of ice."""
FREEZING_C = np.float32(-0.2)
LEAST_LIQUID = np.float32(0.05)
LEAF_SCATTERING = np.float32(0.06)
SNOW_OWN = np.float32(0.55)
"""Share of a black body's emission that thick dry snow has."""
WET_SNOW = (np.float32(0.96), np.float32(0.90))
"""Emissivity of wet snow, vertical and horizontal."""
WET_SNOW_MM = np.float32(15.0)
"""Water in snow that hides the ground where it is wet."""
AIR_SCALE_M = np.float32(2500.0)
ZERO_C = np.float32(273.15)
_COSINE = np.float32(np.cos(np.deg2rad(ANGLE_DEGREE)))


@dataclass(frozen=True)
class Band:
    """A frequency of a radiometer.

    Attributes
    ----------
    word : str
        Whole GHz, as cubes have it.
    ghz : float
    depth_share : float
        Share of the emission of soil that comes from 0-5 cm; the rest is of its skin.
    leaf_opacity : float
        At nadir, for each kg m-2 of water in leaves.
    snow_loss : float
        Of dry snow at nadir, for each mm of its water.
    air_opacity : float
        At nadir from sea level.
    footprint_km : float
        Width of a footprint, the mean of both axes.
    noise_k : float
    """

    word: str
    ghz: float
    depth_share: float
    leaf_opacity: float
    snow_loss: float
    air_opacity: float
    footprint_km: float
    noise_k: float


BANDS = (
    Band("10", 10.65, 0.75, 0.22, 0.0004, 0.010, 33.0, 0.7),
    Band("18", 18.7, 0.55, 0.32, 0.0016, 0.025, 18.0, 0.7),
    Band("23", 23.8, 0.50, 0.38, 0.0024, 0.070, 20.0, 0.7),
    Band("36", 36.5, 0.35, 0.50, 0.0060, 0.050, 9.5, 0.7),
    Band("89", 89.0, 0.15, 0.80, 0.0200, 0.130, 4.0, 1.2),
)


class GroundView(NamedTuple):
    """Places at the hour of an overpass, (n,) each."""

    moisture: Floats
    """Water of 0-5 cm, ice included, m3 m-3."""
    ground_c: Floats
    """Temperature of 0-5 cm, degrees Celsius."""
    surface_c: Floats
    snow_mm: Floats
    leaf_water: Floats
    """kg m-2."""
    roughness: Floats
    height_m: Floats


def unfrozen_share(ground_c: Floats) -> Floats:
    """Return the share of the soil's water that is liquid at a temperature (degrees Celsius)."""
    frost = np.minimum(ground_c, FREEZING_C)
    share = (FREEZING_C / frost) ** np.float32(0.6)
    return np.maximum(share, LEAST_LIQUID).astype(np.float32)


def water_permittivity(ghz: float) -> float:
    """Return the real relative permittivity of water near 0 degrees Celsius."""
    return WATER_HIGH + (WATER_LOW - WATER_HIGH) / (1.0 + (ghz / RELAXATION_GHZ) ** 2)


def permittivity(liquid: Floats, ice: Floats, ghz: float) -> Floats:
    """Return the relative permittivity of soil that holds liquid water and ice (m3 m-3)."""
    index = np.sqrt(np.float32(DRY_SOIL)) + ice * np.float32(np.sqrt(ICE) - 1.0)
    index = index + liquid * np.float32(np.sqrt(water_permittivity(ghz)) - 1.0)
    value: Floats = (index * index).astype(np.float32)
    return value


def reflectivities(epsilon: Floats, roughness: Floats) -> tuple[Floats, Floats]:
    """Return the reflectivity of rough ground, vertical and horizontal, at `ANGLE_DEGREE`."""
    root = np.sqrt(epsilon - (1 - _COSINE * _COSINE))
    vertical = ((epsilon * _COSINE - root) / (epsilon * _COSINE + root)) ** 2
    horizontal = ((_COSINE - root) / (_COSINE + root)) ** 2
    mixed = np.minimum(np.float32(0.35) * roughness, np.float32(0.5))
    weaker = np.exp(-roughness * _COSINE)
    return (
        ((1 - mixed) * vertical + mixed * horizontal) * weaker,
        ((1 - mixed) * horizontal + mixed * vertical) * weaker,
    )


def brightness(band: Band, ground: GroundView) -> Floats:
    """Return brightness temperatures (n, 2), K: vertical and horizontal, above the air."""
    liquid = ground.moisture * unfrozen_share(ground.ground_c)
    epsilon = permittivity(liquid, ground.moisture - liquid, band.ghz)
    share = np.float32(band.depth_share)
    soil_k = ZERO_C + share * ground.ground_c + (1 - share) * ground.surface_c
    surface_k = ZERO_C + ground.surface_c
    through = np.exp(np.float32(-band.leaf_opacity) * ground.leaf_water / _COSINE)
    found = []
    for rough, wet in zip(reflectivities(epsilon, ground.roughness), WET_SNOW, strict=True):
        leaves = (1 - LEAF_SCATTERING) * (1 - through) * (1 + rough * through)
        bare = soil_k * (1 - rough) * through + surface_k * leaves
        found.append(_above_air(_above_snow(bare, wet, band, ground), band, ground))
    return np.stack(found, axis=1).astype(np.float32)


def is_wet_snow(ground: GroundView) -> Floats:
    """Return how far wet snow hides the ground, 0 to 1: it thaws where the surface is at 0."""
    thaws = ground.surface_c > np.float32(-0.5)
    hidden: Floats = thaws * np.clip(ground.snow_mm / WET_SNOW_MM, 0, 1)
    return hidden


def _above_snow(bare: Floats, wet: np.float32, band: Band, ground: GroundView) -> Floats:
    passes = np.exp(np.float32(-band.snow_loss) * ground.snow_mm / _COSINE)
    cold = np.minimum(ground.surface_c, 0) + ZERO_C
    dry = bare * passes + SNOW_OWN * cold * (1 - passes)
    hidden = is_wet_snow(ground)
    value: Floats = dry + hidden * (wet * ZERO_C - dry)
    return value


def _above_air(below: Floats, band: Band, ground: GroundView) -> Floats:
    """Return what is left above the air, which holds the more vapour the warmer and lower it is."""
    vapour = np.exp(np.float32(0.045) * np.clip(ground.surface_c, -30, 30))
    depth = np.float32(band.air_opacity) * vapour * np.exp(-ground.height_m / AIR_SCALE_M)
    through = np.exp(-depth / _COSINE)
    own = ZERO_C + ground.surface_c - np.float32(15.0)
    value: Floats = below * through + own * (1 - through)
    return value
