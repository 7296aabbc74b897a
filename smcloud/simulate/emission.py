"""Microwave emission of moist soil under leaves, and its inversion: what radiometers go by.

The zero-order model of Mo et al. 1982 (J. Geophys. Res. 87, 11229-11237), known as tau-omega:
soil emits by its dielectric constant (Topp et al. 1980, Water Resour. Res. 16, 574-582) and
Fresnel's equations, roughness takes part of its reflection (Choudhury et al. 1979, J. Geophys.
Res. 84, 5699-5706), leaves weaken what comes from below and emit themselves, the more the more
water they hold (Jackson and Schmugge 1991, Remote Sens. Environ. 36, 203-212). Constants of the
L-band retrieval are those of the SMAP single channel algorithm (O'Neill et al., SMAP ATBD, level 2
and 3 passive soil moisture); those of the C-band are larger, as its waves reach less deep.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from smcloud.simulate.noise import Doubles, Floats

GREATEST_MOISTURE = 0.75
FROZEN_MOISTURE = np.float32(0.03)
"""Ice hardly slows waves: frozen ground emits like nearly dry ground."""


@dataclass(frozen=True)
class Channel:
    """A radiometer channel and the constants of the retrieval from it.

    Attributes
    ----------
    angle_degree : float
        Incidence.
    is_vertical : bool
        Polarisation: vertical or horizontal.
    opacity : float
        Optical depth of leaves at nadir per kg m-2 of their water.
    scattering : float
        Single scattering albedo of leaves.
    roughness : float
        Choudhury's h.
    noise_k : float
        Standard deviation of a gridded brightness temperature about that of the model: the
        instrument's own 1 to 1.5 K, and what footprints of the Earth hold and these do not (rivers,
        towns, tilled fields, dew). It sets how far a satellite agrees with stations (`gates`).
    """

    angle_degree: float
    is_vertical: bool
    opacity: float
    scattering: float
    roughness: float
    noise_k: float

    @property
    def slant(self) -> float:
        """Return the cosine of the incidence angle."""
        return float(np.cos(np.deg2rad(self.angle_degree)))


L_BAND = Channel(40.0, True, 0.11, 0.05, 0.15, 4.0)
C_BAND = Channel(55.0, False, 0.16, 0.05, 0.20, 3.0)


def dielectric(moisture: Floats) -> Floats:
    """Return the relative permittivity of soil of a volumetric moisture (Topp et al. 1980)."""
    linear = np.float32(9.3) * moisture
    value: Floats = np.float32(3.03) + linear + moisture**2 * (146.0 - 76.7 * moisture)
    return value


def reflectivity(permittivity: Floats, channel: Channel) -> Floats:
    """Return the reflectivity of a smooth surface (Fresnel, loss neglected)."""
    cosine = np.float32(channel.slant)
    root = np.sqrt(permittivity - (1 - cosine * cosine))
    front = permittivity * cosine if channel.is_vertical else cosine
    value: Floats = (((front - root) / (front + root)) ** 2).astype(np.float32)
    return value


def transmissivity(leaf_water: Floats, channel: Channel) -> Floats:
    """Return the share of emission that leaves (water in kg m-2) let through."""
    value: Floats = np.exp(np.float32(-channel.opacity / channel.slant) * leaf_water)
    return value


def brightness(
    moisture: Floats,
    temperature_k: Floats,
    leaf_water: Floats,
    roughness: Floats,
    channel: Channel,
) -> Floats:
    """Return the brightness temperature (K) of places; soil and leaves are equally warm."""
    smooth = reflectivity(dielectric(moisture), channel)
    rough = smooth * np.exp(-roughness * np.float32(channel.slant**2))
    through = transmissivity(leaf_water, channel)
    leaves = np.float32(1 - channel.scattering) * (1 - through) * (1 + rough * through)
    value: Floats = temperature_k * ((1 - rough) * through + leaves)
    return value


def retrieve(
    brightness_k: Floats, temperature_k: Floats, leaf_water: Floats, channel: Channel
) -> Floats:
    """Return the moisture (m3 m-3) that explains a brightness temperature (K).

    0 where the ground emits more than dry ground, NaN where less than at `GREATEST_MOISTURE`.
    `leaf_water` and `temperature_k` are what the retrieval believes, its roughness is that of the
    channel.
    """
    through = transmissivity(leaf_water, channel)
    own = np.float32(1 - channel.scattering) * (1 - through)
    emissivity = brightness_k / temperature_k
    # e = (1 - r) g + own (1 + r g) = g + own - r g (1 - own): linear in the reflectivity r.
    rough = (through + own - emissivity) / np.maximum(through * (1 - own), 1e-3)
    smooth = rough * np.float32(np.exp(channel.roughness * channel.slant**2))
    levels, reflections = _inverse(channel)
    value: Floats = np.interp(smooth, reflections, levels, left=0.0, right=np.nan).astype("f4")
    return value


@lru_cache
def _inverse(channel: Channel) -> tuple[Doubles, Doubles]:
    """Return moistures and their reflectivities, both ascending."""
    levels = np.linspace(0.0, GREATEST_MOISTURE, 400)
    return levels, reflectivity(dielectric(levels.astype(np.float32)), channel).astype(np.float64)
