"""GLASS leaf area index, albedo and land surface temperature tiles (HDF4, 1 km sinusoidal).

No real GLASS file could be had. Where each fact comes from:

* LAI: data field ``LAI`` in a grid named like the product (NASA-LIS/LISF readGLASSlaiObs.F90:
  grid ``GLASS01B01``, one byte, factor 0.1 for the MODIS period); file name
  ``GLASS01E01.V50.A2002001.h25v04.2020323.hdf`` and factor 0.1 in public download scripts. Fill 255
  follows MOD15 [inferred].
* Albedo: fields ``ABD_BSA_shortwave``, ``ABD_WSA_shortwave`` (and ``_VIS``, ``_NIR``) in grid
  ``GLASS02A06`` (NASA-LIS/LISF readGLASSalbedoObs.F90); 0 to 10000 with factor 0.0001, -1 for no
  data (glcf.umd.edu/data/abd); ``ABD_QA_shortwave`` uint16, fill 65535, bits 0-1 overall quality,
  2-8 percent of land, 9-15 percent of good pixels (public script for V50 files); name
  ``GLASS02A06.V40.A2019001.h23v05.2020323.hdf``.
* LST: one field ``LST`` without a QC layer, stored 20000 to 35000 (so 0.01 K), name
  ``GLASS06A01.V01.A2000055.h08v05.2022021.hdf`` (public notes of people who opened files of
  the archive). Fill 0 [inferred].
"""

import numpy as np

from smcloud.grids.grid import TILE_PIXELS
from smcloud.simulate.hdf_eos import Array, GridProduct, Layer

_NAME = "{short_name}.{version}.A{start:%Y%j}.{tile}.{produced:%Y%j}.hdf"
QA_GOOD, QA_ACCEPTABLE, QA_BAD = 0, 1, 2


def _albedo(name: str, sky: str, band: str) -> Layer:
    return Layer(
        name,
        "int16",
        f"{sky} albedo, {band}",
        fill=-1,
        scale=0.0001,
        offset=0.0,
        valid=(0, 10000),
    )


GLASS_LAI = GridProduct(
    "GLASS01E01",
    "V50",
    "GLASS01E01",
    "GLASS leaf area index 8-day 1 km sinusoidal",
    TILE_PIXELS,
    8,
    (
        Layer(
            "LAI",
            "uint8",
            "Leaf Area Index",
            units="m^2/m^2",
            fill=255,
            scale=0.1,
            offset=0.0,
            valid=(0, 100),
        ),
    ),
    _NAME,
)

GLASS_ALBEDO = GridProduct(
    "GLASS02A06",
    "V40",
    "GLASS02A06",
    "GLASS broadband albedo 8-day 1 km sinusoidal",
    TILE_PIXELS,
    8,
    (
        _albedo("ABD_BSA_VIS", "Black-sky", "visible"),
        _albedo("ABD_WSA_VIS", "White-sky", "visible"),
        _albedo("ABD_BSA_NIR", "Black-sky", "near infrared"),
        _albedo("ABD_WSA_NIR", "White-sky", "near infrared"),
        _albedo("ABD_BSA_shortwave", "Black-sky", "shortwave"),
        _albedo("ABD_WSA_shortwave", "White-sky", "shortwave"),
        Layer("ABD_QA_shortwave", "uint16", "Quality of shortwave albedo", fill=65535),
    ),
    _NAME,
)

GLASS_LST = GridProduct(
    "GLASS06A01",
    "V01",
    "GLASS06A01",
    "GLASS land surface temperature daily 1 km sinusoidal",
    TILE_PIXELS,
    1,
    (
        Layer(
            "LST",
            "uint16",
            "Land Surface Temperature",
            units="K",
            fill=0,
            scale=0.01,
            offset=0.0,
            valid=(20000, 35000),
        ),
    ),
    _NAME,
)


def albedo_quality(overall: Array, land_percent: Array, good_percent: Array) -> Array:
    """Return the QA word of GLASS albedo, uint16: overall (0 to 3), land and good in percent."""
    word = overall.astype(np.uint16)
    word |= land_percent.astype(np.uint16) << 2
    word |= good_percent.astype(np.uint16) << 9
    return word
