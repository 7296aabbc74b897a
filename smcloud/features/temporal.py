"""Features of temperature, rain and season along time; pure functions of arrays."""

import numpy as np
from numpy.typing import NDArray

from smcloud.features.spec import Floats32

API_DAYS = 34
API_DECAY = 0.91
API_MIN_KNOWN = 0.75
DAYS_A_YEAR = 365.25

_DAY_ANGLE = 2.0 * np.pi * np.arange(367) / DAYS_A_YEAR
_SIN_OF_DAY = np.sin(_DAY_ANGLE).astype(np.float32)
_COS_OF_DAY = np.cos(_DAY_ANGLE).astype(np.float32)


def lst_mean(day: Floats32, night: Floats32) -> Floats32:
    """Return (day + night) / 2 in K; NaN unless both are known.

    Source: Han et al. 2023 (GSSM1km).
    """
    return (day + night) * np.float32(0.5)


def lst_range(day: Floats32, night: Floats32) -> Floats32:
    """Return day - night in K, the diurnal range; NaN unless both are known.

    Source: Han et al. 2023 (GSSM1km).
    """
    return day - night


def coldest(first: Floats32, second: Floats32) -> Floats32:
    """Return the lower of two temperatures (K); where one is unknown, the other."""
    return np.fmin(first, second)


def antecedent_precipitation(
    precipitation: Floats32,
    days: int = API_DAYS,
    decay: float = API_DECAY,
    min_known: float = API_MIN_KNOWN,
) -> Floats32:
    """Return the antecedent precipitation index sum_i decay**i P(t - i), i = 0 .. days - 1, in mm.

    Parameters
    ----------
    precipitation
        Daily totals (n + days - 1, cells), mm day-1, the first `days - 1` of them the halo.
    days, decay
        34 and 0.91. Source: Han et al. 2023 (GSSM1km; there with evaporation).
    min_known
        A day of unknown rain is left out and the sum of the others is weighted up, as long as
        the known lags carry this share of the whole weight [M]; else the index is NaN. At the
        start of a record this leaves the first 13 days unknown.

    Returns
    -------
    (n, cells) float32, mm.
    """
    n = len(precipitation) - (days - 1)
    total = np.zeros((n, *precipitation.shape[1:]))
    known_weight = np.zeros_like(total)
    whole = 0.0
    for lag in range(days):
        weight = decay**lag
        rain = precipitation[days - 1 - lag : days - 1 - lag + n]
        known = np.isfinite(rain)
        total += weight * np.where(known, rain, np.float32(0))
        known_weight += weight * known
        whole += weight
    enough = known_weight >= min_known * whole
    with np.errstate(divide="ignore", invalid="ignore"):
        index = np.where(enough, total * (whole / known_weight), np.nan)
    result: Floats32 = index.astype(np.float32)
    return result


def day_of_year_sin(day_of_year: NDArray[np.floating]) -> Floats32:
    """Return sin(2 pi doy / 365.25), 1 January being day 1; the convention is ours [M]."""
    sine: Floats32 = _SIN_OF_DAY[day_of_year.astype(np.intp)]
    return sine


def day_of_year_cos(day_of_year: NDArray[np.floating]) -> Floats32:
    """Return cos(2 pi doy / 365.25), 1 January being day 1; the convention is ours [M]."""
    cosine: Floats32 = _COS_OF_DAY[day_of_year.astype(np.intp)]
    return cosine
