"""Hourly station files to one table of stations and one of daily means.

Each file is read by a pure function, so that files are spread over workers; what comes back is a
few kilobytes a sensor. A file that cannot be read is named and left out, and the rest goes on.
"""

import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smcloud.core.errors import GranuleError, UserError
from smcloud.core.objects import open_objects

HOURS_A_DAY = 24.0
DEFAULT_INTERVAL_HOURS = 1.0
SURFACE_DEPTH_M = 0.05
DEPTH_TOLERANCE_M = 0.001
"""SCAN writes its two-inch probes as 0.0508 m; the table of stations takes them as 0-5 cm."""

Days = NDArray[np.datetime64]
Times = NDArray[np.datetime64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class StationRules:
    """What makes a value usable and a day known.

    Attributes
    ----------
    accepted_flags : tuple of str
        ISMN quality flags that are kept. Files from before 2013 carry no G at all, their good
        values are U, so both are accepted; of combined flags ("D01,D03") every part must be.
    minimum_hours : float
        Hours of a day that must be covered by accepted values; in terms of counts, 12 values of
        hourly series, 24 of half-hourly ones, 4 of three-hourly ones.
    lowest, highest : float
        Range of usable values, m3 m-3: the bounds of ISMN's own flags C01 and C02.
    """

    accepted_flags: tuple[str, ...] = ("G", "U")
    minimum_hours: float = 12.0
    lowest: float = 0.0
    highest: float = 0.60

    def __post_init__(self) -> None:
        if not self.accepted_flags:
            raise UserError("no station flag is accepted: name at least one, such as G,U")
        if not 0.0 < self.minimum_hours <= HOURS_A_DAY:
            raise UserError(f"minimum hours of a day is {self.minimum_hours}: expected 0 to 24")


@dataclass(frozen=True)
class DailySeries:
    """Daily means of one sensor and what was left out of them.

    Attributes
    ----------
    days : datetime64[D] (n,)
        UTC days that are known, ascending; a day with too few values is absent.
    means : float32 (n,)
        Volumetric soil moisture, m3 m-3.
    counts : int16 (n,)
        Values in each mean.
    flags : dict
        How often each flag, as written, occurs in the file.
    out_of_range, repeated : int
        Accepted values outside the range, and values at a time that had been seen already.
    """

    days: Days
    means: Floats
    counts: NDArray[np.int16]
    flags: Mapping[str, int]
    out_of_range: int
    repeated: int


def daily_means(
    times: Times,
    values: Floats | NDArray[np.float64],
    flags: NDArray[np.str_],
    rules: StationRules,
) -> DailySeries:
    """Return the UTC day means of one sensor's accepted values.

    Parameters
    ----------
    times
        UTC instants (n,), in any order; of equal ones the first counts.
    values
        Volumetric soil moisture (n,), m3 m-3; NaN where the file has no value.
    flags
        Quality flag of each value (n,), as written.
    rules
        Flags, minimum cover of a day and range.
    """
    flag_names, flag_of, flag_counts = np.unique(flags, return_inverse=True, return_counts=True)
    first_at = np.unique(times, return_index=True)[1]
    is_first = np.zeros(times.shape, dtype=bool)
    is_first[first_at] = True
    accepted = np.array([is_accepted(str(name), rules) for name in flag_names], dtype=bool)
    usable = is_first & accepted[flag_of] & np.isfinite(values)
    in_range = (values >= rules.lowest) & (values <= rules.highest)
    keep = usable & in_range
    needed = values_needed(times[is_first], rules)
    days, means, counts = _means_by_day(times[keep], values[keep], needed)
    return DailySeries(
        days,
        means,
        counts,
        {str(name): int(n) for name, n in zip(flag_names, flag_counts, strict=True)},
        out_of_range=int((usable & ~in_range).sum()),
        repeated=int(times.size - first_at.size),
    )


def is_accepted(flag: str, rules: StationRules) -> bool:
    """Say whether every part of a flag ("D01,D03") is an accepted one; no flag is not."""
    parts = [part.strip() for part in flag.split(",")]
    return all(part in rules.accepted_flags for part in parts)


def values_needed(times: Times, rules: StationRules) -> int:
    """Return how many values make a day known, from the usual step between `times` (sorted or not).

    The step is the median one, so gaps do not count; a file of one value is taken as hourly.
    """
    steps = np.diff(np.sort(times)).astype("timedelta64[s]").astype(np.int64) / 3600.0
    hours = float(np.median(steps)) if steps.size else DEFAULT_INTERVAL_HOURS
    return max(1, math.ceil(rules.minimum_hours / min(hours, HOURS_A_DAY) - 1e-9))


def _means_by_day(
    times: Times, values: Floats | NDArray[np.float64], needed: int
) -> tuple[Days, Floats, NDArray[np.int16]]:
    days, day_of, counts = np.unique(
        times.astype("datetime64[D]"), return_inverse=True, return_counts=True
    )
    sums = np.bincount(day_of, weights=values, minlength=days.size)
    known = counts >= needed
    means = (sums[known] / counts[known]).astype(np.float32)
    return days[known], means, counts[known].astype(np.int16)
