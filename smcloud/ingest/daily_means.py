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
YEAR_VALUES = 24
"""A calendar year of fewer values tells no step of its own."""
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
        hourly series, 24 of half-hourly ones, 4 of three-hourly ones (`needed_by_day`).
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
    flag_names: Sequence[str],
    flag_codes: Codes,
    rules: StationRules,
) -> DailySeries:
    """Return the UTC day means of one sensor's accepted values.

    Parameters
    ----------
    times
        UTC instants (n,), in any order; of equal ones the first counts.
    values
        Volumetric soil moisture (n,), m3 m-3; NaN where the file has no value.
    flag_names, flag_codes
        Quality flags as written, and which of them each value has (n,).
    rules
        Flags, minimum cover of a day and range.
    """
    if (np.diff(times) < _NO_STEP).any():
        order = np.argsort(times, kind="stable")  # of equal times the first stays the first
        times, values, flag_codes = times[order], values[order], flag_codes[order]
    is_first = _is_new(times)
    accepted = np.array([is_accepted(name, rules) for name in flag_names], dtype=bool)
    usable = is_first & accepted[flag_codes] & np.isfinite(values)
    keep = usable & (values >= rules.lowest) & (values <= rules.highest)
    day = times.astype("datetime64[D]")
    starts = np.flatnonzero(_is_new(day))
    days = day[starts]
    counts = np.add.reduceat(keep, starts, dtype=np.int64)
    known = counts >= needed_by_day(times[is_first], days, rules)
    sums = np.add.reduceat(np.where(keep, values, 0), starts, dtype=np.float64)
    occurring = np.bincount(flag_codes, minlength=len(flag_names)).tolist()
    return DailySeries(
        days[known],
        (sums[known] / counts[known]).astype(np.float32),
        counts[known].astype(np.int16),
        dict(sorted(zip(flag_names, occurring, strict=True))),
        out_of_range=int(usable.sum() - keep.sum()),
        repeated=int(times.size - is_first.sum()),
        day_flags=_flags_by_day(flag_names, flag_codes, starts, known),
    )


def _is_new(ordered: Times) -> NDArray[np.bool_]:
    """Say of each of some instants in order whether it differs from the one before."""
    is_new = np.ones(ordered.shape, bool)
    np.not_equal(ordered[1:], ordered[:-1], out=is_new[1:])
    return is_new


def _flags_by_day(
    names: Sequence[str], codes: Codes, starts: NDArray[np.intp], known: NDArray[np.bool_]
) -> NDArray[np.object_]:
    """Return the flags that occur on each known day, as one text a day.

    Parameters
    ----------
    names, codes
        Flags of values in order of time.
    starts
        The first value of each day.
    known
        Which days are wanted.
    """
    if not known.any():
        return _no_texts()
    occurs = np.zeros((known.size, len(names)), bool)
    occurs[np.repeat(np.arange(known.size), np.diff(starts, append=codes.size)), codes] = True
    sets = np.packbits(occurs[known], axis=1)
    # As texts of bytes they are compared at once: by rows, numpy takes ten times as long.
    _, first, row_of = np.unique(
        sets.view(f"S{sets.shape[1]}").ravel(), return_index=True, return_inverse=True
    )
    texts = [
        " ".join(sorted(name for name, is_there in zip(names, row, strict=True) if is_there))
        for row in occurs[known][first].tolist()
    ]
    found: NDArray[np.object_] = np.array(texts, object)[row_of]
    return found


def is_accepted(flag: str, rules: StationRules) -> bool:
    """Say whether every part of a flag ("D01,D03") is an accepted one; no flag is not."""
    parts = [part.strip() for part in flag.split(",")]
    return all(part in rules.accepted_flags for part in parts)


def needed_by_day(times: Times, days: Days, rules: StationRules) -> NDArray[np.int64]:
    """Return how many values make each day known (n_days,), by the usual step of its calendar year.

    Networks come to measure more often over the years: under one step for all of them, the early
    ones would be lost. A year of fewer than `YEAR_VALUES` has the step of the whole series.

    Parameters
    ----------
    times
        Each instant once, sorted or not.
    days
        UTC days that hold them.
    """
    ordered = times if (np.diff(times) >= _NO_STEP).all() else np.sort(times)
    year_of_day = days.astype("datetime64[Y]")
    years = np.unique(year_of_day)
    needed = np.zeros(days.size, np.int64)
    ends = (np.searchsorted(ordered, edge.astype(ordered.dtype)) for edge in (years, years + 1))
    for year, start, stop in zip(years, *ends, strict=True):
        own = ordered[start:stop] if stop - start >= YEAR_VALUES else ordered
        needed[year_of_day == year] = values_needed(own, rules)
    return needed


def values_needed(times: Times, rules: StationRules) -> int:
    """Return how many values make a day known, from the usual step between `times` (sorted or not).

    The step is the median one, so gaps do not count; a file of one value is taken as hourly.
    """
    steps = np.diff(times).astype("timedelta64[s]").astype(np.int64)
    if (steps < 0).any():
        steps = np.diff(np.sort(times)).astype("timedelta64[s]").astype(np.int64)
    hours = _median(steps) / 3600.0 if steps.size else DEFAULT_INTERVAL_HOURS
    return max(1, math.ceil(rules.minimum_hours / min(hours, HOURS_A_DAY) - 1e-9))


def _median(steps: NDArray[np.int64]) -> float:
    """Return the median of at least one step; most series have one step nearly everywhere."""
    shortest = steps.min()
    if 2 * np.count_nonzero(steps == shortest) > steps.size:
        return float(shortest)
    return float(np.median(steps))
