"""Spectral indices of surface reflectance (1, usually 0 to 1; NaN unknown), elementwise.

Bands are those of MODIS: red b1 (620-670 nm), near infrared b2 (841-876), blue b3 (459-479), green
b4 (545-565), and the short-wave infrared b5 (1230-1250), b6 (1628-1652), b7 (2105-2155). Every
index is float32 of the shape of its bands and NaN where a band is unknown or the denominator is
zero. Residual cloud and noise can push reflectances below zero and ratios out of all bounds, so
each index is unknown outside the range that its own docstring gives.
"""

import numpy as np

from smcloud.features.spec import Floats32


def ndvi(red: Floats32, nir: Floats32) -> Floats32:
    """Return the normalised difference vegetation index (nir - red) / (nir + red), -1 to 1.

    Source: Rouse et al. 1974; the definition of MOD13.
    """
    return _normalised_difference(nir, red)


def evi(red: Floats32, nir: Floats32, blue: Floats32) -> Floats32:
    """Return the enhanced vegetation index 2.5 (nir - red) / (nir + 6 red - 7.5 blue + 1), -2 to 2.

    Source: Huete et al. 2002; the definition of MOD13.
    """
    above = np.float32(2.5) * (nir - red)
    below = nir + np.float32(6.0) * red - np.float32(7.5) * blue + np.float32(1.0)
    return _ratio(above, below, limit=2.0)


def ndwi_gao(nir: Floats32, swir1: Floats32) -> Floats32:
    """Return Gao's water index of canopies (nir - swir1) / (nir + swir1), -1 to 1.

    Source: Gao 1996 with the band at 1240 nm (b5).
    """
    return _normalised_difference(nir, swir1)


def ndwi_mcfeeters(green: Floats32, nir: Floats32) -> Floats32:
    """Return McFeeters' index of open water (green - nir) / (green + nir), -1 to 1.

    Source: McFeeters 1996 (b4 and b2).
    """
    return _normalised_difference(green, nir)


def lswi(nir: Floats32, swir2: Floats32) -> Floats32:
    """Return the land surface water index (nir - swir2) / (nir + swir2), -1 to 1.

    Source: Xiao et al. 2002; the same formula as NDII6 (b2 and b6).
    """
    return _normalised_difference(nir, swir2)


def nsdsi1(swir2: Floats32, swir3: Floats32) -> Floats32:
    """Return the first shortwave difference soil index (swir2 - swir3) / swir2, -10 to 10.

    Source: Yue et al. 2019, as defined by the ESA SNAP toolbox (b6 and b7).
    """
    return _ratio(swir2 - swir3, swir2, limit=10.0)


def nsdsi2(swir2: Floats32, swir3: Floats32) -> Floats32:
    """Return the second index (swir2 - swir3) / swir3, -10 to 10; source as `nsdsi1`."""
    return _ratio(swir2 - swir3, swir3, limit=10.0)


def nsdsi3(swir2: Floats32, swir3: Floats32) -> Floats32:
    """Return the third index (swir2 - swir3) / (swir2 + swir3), -1 to 1; source as `nsdsi1`."""
    return _normalised_difference(swir2, swir3)


def _normalised_difference(first: Floats32, second: Floats32) -> Floats32:
    return _ratio(first - second, first + second, limit=1.0)


def _ratio(above: Floats32, below: Floats32, limit: float) -> Floats32:
    """Return above / below, NaN where the quotient is not within plus or minus `limit`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = above / below
        np.copyto(quotient, np.float32(np.nan), where=np.abs(quotient) > np.float32(limit))
    return quotient
