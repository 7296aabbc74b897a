"""Passes of two satellites matched by time, whatever UTC day each of them is filed under.

Sun-synchronous satellites pass at the same local solar time everywhere, so the UTC hour of a pass
follows from longitude, and two passes a few hours apart may lie on two UTC days. Over the plateau,
at 90 E, a radiometer that passes at 1:30 does so at 19:30 UTC, and a label of 6:00 is one of
midnight UTC of the next day.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
DAY_HOURS = 24.0
DEGREES_AN_HOUR = 15.0
MOST_HOURS = 6.0
"""Passes further apart are no pair: the ground thaws and freezes within a day."""


def utc_hours(local_hour: float, longitude: NDArray[Any]) -> Floats:
    """Return the UTC hours, 0 up to 24, of a local solar time at longitudes (degrees)."""
    return np.asarray((local_hour - np.asarray(longitude, np.float64) / DEGREES_AN_HOUR) % 24.0)


def days_later(own_hours: Floats, others_local_hour: float, longitude: NDArray[Any]) -> Floats:
    """Return how many UTC days later the other satellite's nearest pass is: -1, 0 or 1.

    Parameters
    ----------
    own_hours
        UTC hours of passes since 00 UTC of their day, (..., cells); NaN is unknown.
    others_local_hour
        Local solar time of the other satellite's passes.
    longitude
        Degrees, (cells,).

    Returns
    -------
    float64 (..., cells)
        NaN where no pass of the other lies within `MOST_HOURS`, and for unknown hours.
    """
    apart = utc_hours(others_local_hour, longitude) - own_hours
    later = -np.rint(apart / DAY_HOURS)
    return np.where(np.abs(apart + DAY_HOURS * later) <= MOST_HOURS, later, np.nan)


def with_labels_of(
    labels: Mapping[int, NDArray[np.uint8]], later: Floats, unknown: int
) -> NDArray[np.uint8]:
    """Return the label of each pass (days, cells), from those of the day it is matched with.

    Parameters
    ----------
    labels
        uint8 (days, cells) of the days before (-1), of the same days (0) and of those after (1).
    later
        (days, cells), as `days_later`.
    unknown
        What stands for no label.
    """
    found = np.full(later.shape, unknown, np.uint8)
    for shift, values in labels.items():
        found = np.where(later == shift, values, found)
    return found
