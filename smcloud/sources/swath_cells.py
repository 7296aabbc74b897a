"""Swaths of a radiometer to means of grid cells: pure functions on arrays.

A footprint counts for the cell that holds its centre. Ascending and descending scans are kept
apart, since they lie twelve hours apart; a file may hold scans of two UTC days. What is kept of a
file is one row a cell: a swath covers a small part of the globe.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from smcloud.cube.schema import Variable
from smcloud.grids.grid import Grid

ASCENDING, DESCENDING = "asc", "desc"
DIRECTIONS = (ASCENDING, DESCENDING)
FREQUENCIES = ("10", "18", "23", "36", "89")
"""GHz, cut to whole ones: 10.65, 18.7, 23.8, 36.5 and 89 are common to AMSR-E, AMSR2 and MWRI."""
POLARISATIONS = ("v", "h")
TIMED = "18"
"""The frequency whose footprints tell the hour of an overpass."""
VALID_K = (50.0, 350.0)
"""Brightness temperatures of the Earth; others are instrument faults."""

Floats32 = NDArray[np.float32]
Indices = NDArray[np.int64]
Bools = NDArray[np.bool_]
Days = NDArray[np.datetime64]


class Swath(NamedTuple):
    """Footprints of one frequency: scans by pixels."""

    lon: NDArray[np.floating[Any]]
    """Degrees, (scans, pixels); NaN or anything where `is_kept` is False."""
    lat: NDArray[np.floating[Any]]
    brightness_k: Floats32
    """(scans, pixels, 2): vertical and horizontal polarisation."""
    is_kept: Bools
    """(scans, pixels): good enough by the quality rule."""
    days: Days
    """UTC day of each scan, (scans,); NaT unknown."""
    hours: NDArray[np.float64]
    """Hours since 00 UTC of that day, (scans,)."""
    rises: NDArray[np.int8]
    """(scans,): 1 on the ascending half of an orbit, -1 on the descending one, 0 unknown."""


@dataclass(frozen=True, eq=False)
class CellMeans:
    """Means of the footprints of each cell that has one.

    Attributes
    ----------
    cells : (n,)
        Flat indices in the grid, ascending.
    counts : (n,)
        Footprints.
    means : (n, k)
        Of each of k quantities.
    """

    cells: Indices
    counts: NDArray[np.uint16]
    means: Floats32


def cells_of_points(
    grid: Grid, lon: NDArray[np.floating[Any]], lat: NDArray[np.floating[Any]]
) -> Indices:
    """Return the flat index of the cell that holds each point (degrees, (n,)); -1 off the grid.

    Points that are no place on Earth (fill, NaN) are off the grid.
    """
    lon, lat = np.asarray(lon, np.float64), np.asarray(lat, np.float64)
    is_place = (np.abs(lat) <= 90.0) & (np.abs(lon) <= 360.0)
    found = np.full(lon.shape, -1, np.int64)
    x, y = grid.xy(lon[is_place], lat[is_place])
    col = np.floor((x - grid.x_first) / grid.step + 0.5).astype(np.int64)
    row = np.floor((grid.y_first - y) / grid.step + 0.5).astype(np.int64)
    if grid.goes_around:
        col %= grid.cols
    inside = (row >= 0) & (row < grid.rows) & (col >= 0) & (col < grid.cols)
    found[is_place] = np.where(inside, row * grid.cols + col, -1)
    return found


def cell_means(cells: Indices, values: Floats32) -> CellMeans:
    """Return the mean of values (n, k) over the points of each cell; cells (n,) of -1 count not.

    Sums are of doubles in the order of the points.
    """
    inside = cells >= 0
    found, at, counts = np.unique(cells[inside], return_inverse=True, return_counts=True)
    columns = values[inside].T
    sums = [np.bincount(at, weights=column, minlength=found.size) for column in columns]
    total = np.stack(sums, axis=1) if sums else np.empty((found.size, 0))
    means = (total / counts[:, None]).astype(np.float32)
    return CellMeans(found, np.minimum(counts, 65535).astype(np.uint16), means)


def swath_means(grid: Grid, swaths: Sequence[Swath]) -> dict[tuple[np.datetime64, str], CellMeans]:
    """Return the means of swaths of one frequency by UTC day and direction, those that have any.

    Means are of vertical and horizontal polarisation (K) and of the UTC hour. Several swaths are
    scans of one frequency beside each other, as both of 89 GHz are. Footprints without both
    polarisations in `VALID_K` count not, and neither do scans whose day or direction is unknown.
    """
    flat = [_flat(swath) for swath in swaths]
    lon, lat, values, days, rises = (np.concatenate(parts) for parts in zip(*flat, strict=True))
    cells = cells_of_points(grid, lon, lat)
    found = {}
    for day in np.unique(days[~np.isnat(days)]):
        for direction, sign in zip(DIRECTIONS, (1, -1), strict=True):
            chosen = (days == day) & (rises == sign) & (cells >= 0)
            if chosen.any():
                found[day, direction] = cell_means(cells[chosen], values[chosen])
    return found


def _flat(swath: Swath) -> tuple[NDArray[Any], ...]:
    """Return the usable footprints of a swath: lon, lat, values (n, 3), day, direction."""
    low, high = VALID_K
    values = swath.brightness_k
    usable = swath.is_kept & ((values >= low) & (values <= high)).all(axis=-1)
    scans = np.nonzero(usable)[0]
    hours = swath.hours[scans].astype(np.float32)
    told = np.concatenate([values[usable], hours[:, None]], axis=1)
    return swath.lon[usable], swath.lat[usable], told, swath.days[scans], swath.rises[scans]


def directions_of(latitudes: NDArray[np.floating[Any]]) -> NDArray[np.int8]:
    """Return 1 where a satellite goes north from scan to scan, -1 south, 0 where it is not known.

    Parameters
    ----------
    latitudes : (scans,)
        Of the satellite; not on Earth (fill) or NaN where unknown.
    """
    lat = np.asarray(latitudes, np.float64)
    lat = np.where(np.abs(lat) <= 90.0, lat, np.nan)
    if lat.size < 2:
        return np.zeros(lat.size, np.int8)
    steps = np.diff(lat)
    # The last scan goes where the one before it went.
    ahead = np.append(steps, steps[-1])
    back = np.insert(steps, 0, steps[0])
    known = np.where(np.isnan(ahead), back, ahead)
    rises: NDArray[np.int8] = np.sign(np.nan_to_num(known)).astype(np.int8)
    return rises


def brightness_name(frequency: str, polarisation: str, direction: str) -> str:
    """Return the name of a channel in cubes, such as ``tb_18v_asc``."""
    return f"tb_{frequency}{polarisation}_{direction}"


def hour_name(direction: str) -> str:
    """Return the name of the hour of the overpass in cubes, such as ``hour_asc``."""
    return f"hour_{direction}"


def count_name(frequency: str, direction: str) -> str:
    """Return the name of the number of footprints, such as ``footprints_18_asc``."""
    return f"footprints_{frequency}_{direction}"


def brightness_variables(hours: Mapping[str, str]) -> tuple[Variable, ...]:
    """Return the cube variables of all channels, and the hour of each direction's overpass.

    `hours` names the local time of each direction.
    """
    overpasses = tuple(
        Variable(
            hour_name(direction),
            "uint16",
            "h",
            f"hours since 00 UTC at {TIMED} GHz, {hours[direction]}",
            (0.0, 24.01),
            scale=0.001,
            fill=65535,
        )
        for direction in DIRECTIONS
    )
    return overpasses + tuple(
        Variable(
            brightness_name(frequency, polarisation, direction),
            "uint16",
            "K",
            f"brightness at {frequency} GHz, {polarisation.upper()}, {hours[direction]}",
            VALID_K,
            scale=0.01,
            fill=65535,
            standard_name="brightness_temperature",
            attrs={"cell_methods": "area: mean"},
        )
        for direction in DIRECTIONS
        for frequency in FREQUENCIES
        for polarisation in POLARISATIONS
    )
