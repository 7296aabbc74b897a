"""Departures of a series from its own slow course: the season, or the weeks around each day.

Two products may agree on summer and winter and on nothing else. What is left without the slow part
tells whether they see the same rain.
"""

import math

import numpy as np
import numpy.typing as npt

from smcloud.core.errors import UserError
from smcloud.cube.schema import Days
from smcloud.validation.collocation import Floats32
from smcloud.validation.collocation_sums import SlotWindow, window_means
from smcloud.validation.pairs import Floats, PairStats

WINDOW_DAYS = 35
LEAP_YEAR_DAYS = 366


def anomalies(
    values: npt.ArrayLike,
    days: npt.NDArray[np.datetime64],
    *,
    window_days: int = WINDOW_DAYS,
    climatology: bool = True,
    minimum: int = 5,
) -> Floats:
    """Return each series less its own slow part; same shape, NaN where there is none.

    Parameters
    ----------
    values
        (..., n_times), NaN unknown.
    days
        (n_times,), ascending; several values of a day are allowed.
    window_days
        The slow part is the mean over this many days about each day (an even number reaches as
        far as the next odd one). Default as in pytesmo.
    climatology
        True: over those days of the year in all years, the mean annual cycle, which leaves
        what is unusual for the season. False: over those very days, a moving average,
        which leaves the short term alone.
    minimum
        A mean of fewer values is unknown: a lone value would be its own climatology. [M]

    Raises
    ------
    UserError
        When there are not as many days as times, or they do not ascend, or the window is empty.
    """
    series = np.array(values, np.float64, order="C")
    when = np.asarray(days).astype("datetime64[D]")
    _check_days(when, series.shape[-1:], window_days)
    slot, n_slots = _slots(when, climatology)
    flat = series.reshape(math.prod(series.shape[:-1]), when.size)
    half = min(window_days // 2, (n_slots - 1) // 2) if climatology else window_days // 2
    slow = window_means(flat, slot, SlotWindow(half, n_slots, climatology, minimum))
    for row, mean in zip(flat, slow, strict=True):
        row -= mean[slot]
    return series


def anomaly_pairs(
    estimate: Floats32 | Floats,
    reference: Floats32 | Floats,
    days: Days,
    window_days: int = WINDOW_DAYS,
) -> PairStats:
    """Return the sums over pairs of anomalies, departures from the moving mean of each series.

    Only days known to both enter either mean: a gap of one must not look like a departure.

    Parameters
    ----------
    estimate, reference : (..., days)
        Daily values, NaN unknown; units may differ.
    days : (days,)
    window_days
        Days of the moving mean; at the ends of the series it is cut.
    """
    both = np.isfinite(estimate) & np.isfinite(reference)
    x, y = (
        anomalies(np.where(both, values, np.nan), days, window_days=window_days, climatology=False)
        for values in (estimate, reference)
    )
    return PairStats.along(x, y, axis=-1)


def _check_days(days: npt.NDArray[np.datetime64], shape: tuple[int, ...], window: int) -> None:
    if days.shape != shape:
        raise UserError(f"expected a day for each of {shape} times, found {days.shape}")
    if days.size and (np.isnat(days).any() or (np.diff(days) < np.timedelta64(0, "D")).any()):
        raise UserError("expected days in ascending order, found some earlier than the one before")
    if window < 1:
        raise UserError(f"expected a window of 1 day or more, found window_days={window}")


def _slots(
    days: npt.NDArray[np.datetime64], climatology: bool
) -> tuple[npt.NDArray[np.int64], int]:
    """Return where each day lies on its line, and how long the line is.

    The line is a leap year, 29 February included, for a climatology; else the calendar.
    """
    if not climatology:
        since = (days - days[:1]).astype(np.int64)
        return since, int(since[-1]) + 1 if since.size else 0
    months = days.astype("datetime64[M]")
    leap_months = np.arange("2000-01", "2001-01", dtype="datetime64[M]").astype("datetime64[D]")
    before = (leap_months - leap_months[0]).astype(np.int64)
    in_month = (days - months.astype("datetime64[D]")).astype(np.int64)
    return before[months.astype(np.int64) % 12] + in_month, LEAP_YEAR_DAYS
