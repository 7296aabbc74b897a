"""Values of a station's hours to means of its UTC days: flags, range, and how much of a day counts.

Pure functions on the arrays of one series.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import UserError

HOURS_A_DAY = 24.0
DEFAULT_INTERVAL_HOURS = 1.0
_NO_STEP = np.timedelta64(0, "s")

Days = NDArray[np.datetime64]
Times = NDArray[np.datetime64]
Floats = NDArray[np.float32]
Codes = NDArray[np.integer]


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


def _no_texts() -> NDArray[np.object_]:
    return np.empty(0, object)


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
    day_flags : str array (n,)
        Every flag that occurs on the day, accepted or not, as written, sorted, with spaces
        between: ``D01,D03 G``. Empty (0,) where nobody noted them.
    """

    days: Days
    means: Floats
    counts: NDArray[np.int16]
    flags: Mapping[str, int]
    out_of_range: int
    repeated: int
    day_flags: NDArray[np.object_] = field(default_factory=_no_texts)


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
    names, codes = np.unique(flags, return_inverse=True)
    return coded_daily_means(times, values, [str(name) for name in names], codes, rules)


def coded_daily_means(
    times: Times,
    values: Floats | NDArray[np.float64],
    flag_names: Sequence[str],
    flag_codes: Codes,
    rules: StationRules,
) -> DailySeries:
    """Return what `daily_means` does, of flags that are given as indices into their names."""
    accepted = np.array([is_accepted(name, rules) for name in flag_names], dtype=bool)
    is_first = _first_of_equal(times)
    usable = is_first & accepted[flag_codes] & np.isfinite(values)
    in_range = (values >= rules.lowest) & (values <= rules.highest)
    keep = usable & in_range
    needed = values_needed(times[is_first], rules)
    days, day_of = _days_of(times)
    counts = np.bincount(day_of[keep], minlength=days.size)
    known = counts >= needed
    sums = np.bincount(day_of[keep], weights=values[keep], minlength=days.size)
    occurring = np.bincount(flag_codes, minlength=len(flag_names)).tolist()
    return DailySeries(
        days[known],
        (sums[known] / counts[known]).astype(np.float32),
        counts[known].astype(np.int16),
        dict(sorted(zip(flag_names, occurring, strict=True))),
        out_of_range=int((usable & ~in_range).sum()),
        repeated=int(times.size - is_first.sum()),
        day_flags=_flags_by_day(flag_names, flag_codes, day_of, known),
    )


def _first_of_equal(times: Times) -> NDArray[np.bool_]:
    """Say of each instant whether it is the first of those equal to it, in the order given."""
    if (np.diff(times) > _NO_STEP).all():
        return np.ones(times.shape, bool)
    is_first = np.zeros(times.shape, bool)
    is_first[np.unique(times, return_index=True)[1]] = True
    return is_first


def _days_of(times: Times) -> tuple[Days, NDArray[np.intp]]:
    """Return the days that occur, ascending, and which of them each instant belongs to."""
    day = times.astype("datetime64[D]")
    steps = np.diff(day) > np.timedelta64(0, "D")
    if day.size and (np.diff(day) >= np.timedelta64(0, "D")).all():
        is_new = np.concatenate([[True], steps])
        return day[is_new], np.cumsum(is_new) - 1
    days, day_of = np.unique(day, return_inverse=True)
    return days, day_of


def _flags_by_day(
    names: Sequence[str], codes: Codes, day_of: NDArray[np.intp], known: NDArray[np.bool_]
) -> NDArray[np.object_]:
    """Return the flags that occur on each known day, as one text a day."""
    if not known.any():
        return _no_texts()
    occurs = np.zeros((known.size, len(names)), bool)
    occurs[day_of, codes] = True
    rows, row_of = np.unique(np.packbits(occurs[known], axis=1), axis=0, return_inverse=True)
    bits = np.unpackbits(rows, axis=1, count=len(names)).astype(bool)
    texts = [" ".join(sorted(np.array(names, object)[row].tolist())) for row in bits]
    found: NDArray[np.object_] = np.array(texts, object)[row_of.reshape(-1)]
    return found


def is_accepted(flag: str, rules: StationRules) -> bool:
    """Say whether every part of a flag ("D01,D03") is an accepted one; no flag is not."""
    parts = [part.strip() for part in flag.split(",")]
    return all(part in rules.accepted_flags for part in parts)


def values_needed(times: Times, rules: StationRules) -> int:
    """Return how many values make a day known, from the usual step between `times` (sorted or not).

    The step is the median one, so gaps do not count; a file of one value is taken as hourly.
    """
    steps = np.diff(times).astype("timedelta64[s]").astype(np.int64)
    if (steps < 0).any():
        steps = np.diff(np.sort(times)).astype("timedelta64[s]").astype(np.int64)
    hours = float(np.median(steps)) / 3600.0 if steps.size else DEFAULT_INTERVAL_HOURS
    return max(1, math.ceil(rules.minimum_hours / min(hours, HOURS_A_DAY) - 1e-9))
