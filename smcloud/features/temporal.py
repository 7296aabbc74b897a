"""Features of temperature, rain and season along time; pure functions of arrays."""

import numpy as np
from numpy.typing import NDArray

from smcloud.core.compiled import compiled
from smcloud.features.spec import Floats32

Floats = NDArray[np.float64]

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
    weights = np.array([decay**lag for lag in range(days)])
    rain = np.ascontiguousarray(precipitation, np.float32)
    index = np.empty((len(rain) - (days - 1), *rain.shape[1:]), np.float32)
    _weighted_sums(rain.reshape(len(rain), -1), weights, min_known, index.reshape(len(index), -1))
    return index


@compiled
def _weighted_sums(rain: Floats32, weights: Floats, min_known: float, out: Floats32) -> None:
    """Fill `out` (n, cells) with sums over the lags of `weights`, each day's from lag 0 on.

    Products are float32 and their sums double. No recurrence: the order of a day's sum would
    depend on where a block begins.
    """
    none, unknown = np.float32(0.0), np.float32(np.nan)
    whole = 0.0
    for weight in weights:
        whole += weight
    for day in range(out.shape[0]):
        total = np.zeros(out.shape[1])
        known_weight = np.zeros(out.shape[1])
        for lag in range(weights.size):
            weight, factor = weights[lag], np.float32(weights[lag])
            row = rain[day + weights.size - 1 - lag]
            for cell in range(row.size):
                is_known = row[cell] - row[cell] == none
                total[cell] += factor * row[cell] if is_known else none
                known_weight[cell] += weight if is_known else 0.0
        for cell in range(total.size):
            index = np.float32(total[cell] * (whole / known_weight[cell]))
            out[day, cell] = index if known_weight[cell] >= min_known * whole else unknown


def day_of_year_sin(day_of_year: NDArray[np.floating]) -> Floats32:
    """Return sin(2 pi doy / 365.25), 1 January being day 1; the convention is ours [M]."""
    sine: Floats32 = _SIN_OF_DAY[day_of_year.astype(np.intp)]
    return sine


def day_of_year_cos(day_of_year: NDArray[np.floating]) -> Floats32:
    """Return cos(2 pi doy / 365.25), 1 January being day 1; the convention is ours [M]."""
    cosine: Floats32 = _COS_OF_DAY[day_of_year.astype(np.intp)]
    return cosine
