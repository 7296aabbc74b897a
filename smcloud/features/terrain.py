"""Terrain and soil features; pure functions of arrays.

The sinusoidal grid is sheared away from its central meridian: a step of one row north at fixed x
moves east or west on the ground. With lambda the longitude in radians and phi the latitude, a
pixel step (dx, dy) with y north is dx + lambda sin(phi) dy metres east and dy metres north.
Everything here that needs directions or distances corrects for it.
"""

import math

import numpy as np
from numpy.typing import NDArray

from smcloud.features.spec import Floats32
from smcloud.grids.grid import PIXEL_M

Floats = NDArray[np.float64]

POSITION_RADIUS_PIXELS = 5
POSITION_HALO_PIXELS = 4 * POSITION_RADIUS_PIXELS
"""The shear is at most pi, so a disc of 5 pixels reaches 16 columns to a side at the poles."""
MIN_TANGENT = 0.001
MINERAL_DENSITY = 2.65


def slope_aspect_sinusoidal(
    elevation: NDArray[np.floating], lon: NDArray[np.floating], lat: NDArray[np.floating]
) -> tuple[Floats, Floats]:
    """Return slope and aspect of an elevation model that lies on the 1 km sinusoidal grid.

    Parameters
    ----------
    elevation
        Metres (rows + 2, cols + 2), rows north to south, one pixel of halo.
    lon, lat
        Degrees, the same shape.

    Returns
    -------
    slope, aspect : (rows, cols) float64
        Degrees from the horizontal; degrees clockwise from north of the direction that the
        slope faces (downhill). NaN where one of the 3 x 3 elevations is unknown.

    Notes
    -----
    Horn's 3 x 3 gradients along the pixel axes, then gE = dz/dx and
    gN = dz/dy - lambda sin(phi) dz/dx (derived from x = R lambda cos(phi), y = R phi);
    slope = atan(hypot(gE, gN)), aspect = atan2(-gE, -gN). Slopes at 1 km are much gentler than
    those of a fine elevation model averaged to 1 km, which the terrain cube holds.
    """
    z = np.asarray(elevation, np.float64)
    north, middle, south = z[:-2], z[1:-1], z[2:]
    column = north + 2.0 * middle + south
    per_x = (column[:, 2:] - column[:, :-2]) / (8.0 * PIXEL_M)
    row_north = north[:, :-2] + 2.0 * north[:, 1:-1] + north[:, 2:]
    row_south = south[:, :-2] + 2.0 * south[:, 1:-1] + south[:, 2:]
    per_y = (row_north - row_south) / (8.0 * PIXEL_M)
    east = per_x
    north_gradient = per_y - shear(lon, lat)[1:-1, 1:-1] * per_x
    slope = np.degrees(np.arctan(np.hypot(east, north_gradient)))
    aspect = np.degrees(np.arctan2(-east, -north_gradient)) % 360.0
    return slope, aspect


def slope_sinusoidal(
    elevation: NDArray[np.floating], lon: NDArray[np.floating], lat: NDArray[np.floating]
) -> Floats32:
    """Return the slope of `slope_aspect_sinusoidal`, degrees (rows, cols)."""
    return slope_aspect_sinusoidal(elevation, lon, lat)[0].astype(np.float32)


def aspect_sin_sinusoidal(
    elevation: NDArray[np.floating], lon: NDArray[np.floating], lat: NDArray[np.floating]
) -> Floats32:
    """Return the sine of the aspect of `slope_aspect_sinusoidal` (rows, cols): east is 1."""
    return np.sin(np.radians(slope_aspect_sinusoidal(elevation, lon, lat)[1])).astype(np.float32)


def aspect_cos_sinusoidal(
    elevation: NDArray[np.floating], lon: NDArray[np.floating], lat: NDArray[np.floating]
) -> Floats32:
    """Return the cosine of the aspect of `slope_aspect_sinusoidal` (rows, cols): north is 1."""
    return np.cos(np.radians(slope_aspect_sinusoidal(elevation, lon, lat)[1])).astype(np.float32)


def shear(lon: NDArray[np.floating], lat: NDArray[np.floating]) -> Floats:
    """Return lambda sin(phi), metres east for each metre along y at fixed x; degrees in."""
    lean: Floats = np.radians(lon, dtype=np.float64) * np.sin(np.radians(lat, dtype=np.float64))
    return lean


def topographic_position(
    elevation: NDArray[np.floating], lon: NDArray[np.floating], lat: NDArray[np.floating]
) -> Floats32:
    """Return elevation minus the mean elevation within 5 pixels (4.6 km) on the ground, m.

    Parameters
    ----------
    elevation
        Metres (rows + 2 h, cols + 2 h) with h = `POSITION_HALO_PIXELS`, rows north to south.
    lon, lat
        Degrees, the same shape.

    Returns
    -------
    (rows, cols) float32; NaN where the pixel itself or half of its neighbours are unknown.

    Notes
    -----
    Weiss 2001. The neighbourhood is a disc on the ground, hence a sheared ellipse of pixels; the
    radius is ours [M].
    """
    halo, radius = POSITION_HALO_PIXELS, POSITION_RADIUS_PIXELS
    core = (slice(halo, -halo), slice(halo, -halo))
    lean = np.nan_to_num(shear(lon[core], lat[core]))
    cols = elevation.shape[1]
    here = np.arange(elevation.size).reshape(elevation.shape)[core]
    flat = np.asarray(elevation, np.float64).ravel()
    total, count = np.zeros(here.shape), np.zeros(here.shape)
    offsets = 0
    for north in range(-radius, radius + 1):
        start = here - north * cols - np.rint(lean * north).astype(np.intp)
        reach = math.isqrt(radius**2 - north**2)
        for east in range(-reach, reach + 1):
            value = flat[start + east]
            known = np.isfinite(value)
            total += np.where(known, value, 0.0)
            count += known
            offsets += 1
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(count >= offsets / 2, total / count, np.nan)
    return (flat[here] - mean).astype(np.float32)


def topographic_wetness(upstream_area: Floats32, slope: Floats32) -> Floats32:
    """Return the topographic wetness index ln(a / tan b), a in m2 per m of contour.

    Parameters
    ----------
    upstream_area
        Area that drains through the pixel, km2; a is that area per pixel width (926.6 m).
    slope
        Degrees; tan b is at least 0.001 [M], for flat land has no finite index.

    Notes
    -----
    Beven and Kirkby 1979. The area is not local: it is an input layer (MERIT Hydro, say).
    """
    per_contour = np.asarray(upstream_area, np.float64) * 1e6 / PIXEL_M
    tangent = np.maximum(np.tan(np.radians(slope, dtype=np.float64)), MIN_TANGENT)
    with np.errstate(divide="ignore", invalid="ignore"):
        index = np.where(per_contour > 0, np.log(per_contour / tangent), np.nan)
    return index.astype(np.float32)


def porosity(bulk_density: Floats32) -> Floats32:
    """Return 1 - bulk density / 2.65, m3 m-3; NaN outside 0 to 1.

    `bulk_density` in g cm-3; 2.65 is the density of quartz. Source: Han et al. 2023 (GSSM1km).
    """
    share = np.float32(1.0) - bulk_density / np.float32(MINERAL_DENSITY)
    return np.where((share >= 0) & (share <= 1), share, np.float32(np.nan))


def porosity_of_sand(sand: Floats32) -> Floats32:
    """Return 0.489 - 0.00126 sand, m3 m-3: the regression of Cosby et al. 1984 on texture alone.

    `sand` in per cent by mass; NaN where it is unknown. For maps without a bulk density.
    Water Resources Research 20, 682-690, doi:10.1029/WR020i006p00682; in the form that land surface
    models use.
    """
    return np.float32(0.489) - np.float32(0.00126) * sand
