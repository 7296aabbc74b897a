"""EASE-Grid 2.0: the global cylinder of the SMAP products and the northern map of freeze and thaw.

Both keep areas, on the WGS 84 ellipsoid. Formulas: Snyder, Map Projections: A Working Manual
(1987), equations 3-12 and 3-16; 10-14 to 10-17 of the cylinder, EPSG:6933, true to scale at 30
degrees; 24-23 and 21-30, 21-31 of the polar map, EPSG:6931, about the north pole with Greenwich
downwards. Cell sizes and the size of the grids: Brodzik et al., ISPRS Int. J. Geo-Inf. 1, 32-45
(2012) and its correction (2014), and NSIDC's grid parameter definitions: the north-west corner of
the cylinder is (-17367530.4451615, 7314540.8306386) m, that of the polar map (-9000000, 9000000).
"""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

EQUATORIAL_RADIUS_M = 6378137.0
FLATTENING = 1.0 / 298.257223563
TRUE_SCALE_DEGREES = 30.0

CELL_36KM_M = 36032.220840584
CELL_9KM_M = 9008.055210146
CELL_1KM_M = 1000.89502334956
SHAPE_36KM, SHAPE_9KM, SHAPE_1KM = (406, 964), (1624, 3856), (14616, 34704)
"""(rows, columns) of the global grids, which end at latitudes of 85.0445664 degrees."""
CELL_NORTH_25KM_M = 25000.0
SHAPE_NORTH_25KM = (720, 720)
"""(rows, columns) about the north pole; the equator touches the middles of the edges."""

NEWTON_STEPS = 6
"""From the sine of the authalic latitude to full double precision, everywhere on the grids."""

_E2 = FLATTENING * (2.0 - FLATTENING)
_E = math.sqrt(_E2)
_SIN_TRUE = math.sin(math.radians(TRUE_SCALE_DEGREES))
_K0 = math.cos(math.radians(TRUE_SCALE_DEGREES)) / math.sqrt(1.0 - _E2 * _SIN_TRUE**2)


def to_map(lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    """Return x and y (m) of points given in degrees; any shape, longitudes are not wrapped."""
    x = EQUATORIAL_RADIUS_M * _K0 * np.radians(lon)
    return x, EQUATORIAL_RADIUS_M * _authalic(np.sin(np.radians(lat))) / (2.0 * _K0)


def to_degrees(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return longitude and latitude (degrees) of points of the map (m); any shape.

    The latitude is found by Newton's method on its sine, in a fixed number of steps.
    """
    wanted = 2.0 * _K0 * np.asarray(y, np.float64) / EQUATORIAL_RADIUS_M
    lon = np.degrees(np.asarray(x, np.float64) / (EQUATORIAL_RADIUS_M * _K0))
    return lon, _latitude(wanted)


def to_north_map(lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    """Return x and y (m) on the northern map of points given in degrees; any shape."""
    q = _authalic(np.sin(np.radians(lat)))
    radius = EQUATORIAL_RADIUS_M * np.sqrt(np.maximum(_Q_POLE - q, 0.0))
    return radius * np.sin(np.radians(lon)), -radius * np.cos(np.radians(lon))


def north_to_degrees(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return longitude and latitude (degrees) of points of the northern map (m); any shape.

    NaN beyond the circle of 12,742,014 m that is the south pole.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    wanted = _Q_POLE - (x * x + y * y) / EQUATORIAL_RADIUS_M**2
    is_on_globe = wanted >= -_Q_POLE
    lat = _latitude(np.where(is_on_globe, wanted, 0.0))
    lon = np.degrees(np.arctan2(x, -y))
    return np.where(is_on_globe, lon, np.nan), np.where(is_on_globe, lat, np.nan)


def _latitude(wanted: Floats) -> Floats:
    """Return the geodetic latitude (degrees) of values of Snyder's q."""
    sine = wanted / _Q_POLE
    for _ in range(NEWTON_STEPS):
        slope = 2.0 * (1.0 - _E2) / (1.0 - _E2 * sine**2) ** 2
        sine = np.clip(sine - (_authalic(sine) - wanted) / slope, -1.0, 1.0)
    lat: Floats = np.degrees(np.arcsin(sine))
    return lat


def _authalic(sine: Floats | np.float64) -> Floats:
    """Return Snyder's q (equation 3-12) of the sine of a geodetic latitude."""
    ratio = np.log((1.0 - _E * sine) / (1.0 + _E * sine)) / (2.0 * _E)
    q: Floats = (1.0 - _E2) * (sine / (1.0 - _E2 * sine**2) - ratio)
    return q


_Q_POLE = float(_authalic(np.float64(1.0)))
