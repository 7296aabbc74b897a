"""What scores of frozen ground are broken down by: season, elevation, state, months of transition.

A cell that is frozen all January and thawed all July is easy: whoever knows the month knows the
state. What is hard are the months in which it changes, so they are scored apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]
Days = NDArray[np.datetime64]
SEASONS = ("winter", "spring", "summer", "autumn")
ELEVATION_EDGES_M = (1000.0, 3000.0, 4000.0, 5000.0)
"""Bands of the plateau and of the land around it."""
TRANSITION = ("months of one state", "months of transition")
TRANSITION_SHARES = (0.1, 0.9)
"""A calendar month of a cell is one of transition if its frozen share lies between these."""
NOT_KNOWN = -1


@dataclass(frozen=True, eq=False)
class Stratum:
    """One way to break rows down.

    Attributes
    ----------
    name : str
    classes : tuple of str
    codes : int64 (n_rows,)
        Number of the class of each row, `NOT_KNOWN` where it is in none.
    """

    name: str
    classes: tuple[str, ...]
    codes: Codes


def by_season(days: Days, latitude: NDArray[Any]) -> Stratum:
    """Return the meteorological season of each row on its own side of the equator.

    Winter is December to February in the north and June to August in the south.
    """
    months = months_of(days)
    northern = (months % 12) // 3
    is_south = np.asarray(latitude) < 0.0
    return Stratum("season", SEASONS, np.where(is_south, (northern + 2) % 4, northern))


def by_elevation(elevation: NDArray[Any], edges: Sequence[float] = ELEVATION_EDGES_M) -> Stratum:
    """Return the elevation band of each row.

    Parameters
    ----------
    elevation
        m; NaN is in no band.
    edges
        m, ascending; a band holds its lower edge.
    """
    height = np.asarray(elevation, np.float64)
    codes = np.searchsorted(np.asarray(edges), np.nan_to_num(height), side="right")
    inner = [f"{low:g} to {high:g} m" for low, high in pairwise(edges)]
    names = (f"below {edges[0]:g} m", *inner, f"from {edges[-1]:g} m")
    return Stratum("elevation", names, np.where(np.isfinite(height), codes, NOT_KNOWN))


def by_transition(is_frozen: NDArray[np.bool_], days: Days, cells: Codes) -> Stratum:
    """Return whether the cell of each row changes its state in that month of the year.

    Parameters
    ----------
    is_frozen
        bool (n_rows,), as the reference says.
    days
        UTC days (n_rows,).
    cells
        Number of the cell of each row, from 0. All years of a cell count together.
    """
    place = cells.astype(np.int64) * 12 + months_of(days) - 1
    n = np.bincount(place)
    share = np.bincount(place, is_frozen.astype(np.float64)) / np.maximum(n, 1)
    low, high = TRANSITION_SHARES
    changes = (share > low) & (share < high)
    return Stratum("transition", TRANSITION, changes[place].astype(np.int64))


def by_state(labels: NDArray[Any], words: Sequence[str]) -> Stratum:
    """Return the state that the reference itself names, before classes are mapped."""
    return Stratum("state", tuple(words), np.asarray(labels).astype(np.int64))


def months_of(days: Days) -> Codes:
    """Return the month of the year of UTC days, 1 to 12."""
    return days.astype("datetime64[M]").astype(np.int64) % 12 + 1
