"""Scores at stations on the days of one state: clear, under cloud, between swaths."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smcloud.validation.metrics import correlation, unbiased_rmse
from smcloud.validation.pairs import PairStats

Floats32 = NDArray[np.float32]
Indices = NDArray[np.int64]
LEAST_DAYS = 30
"""Days of a station in a state below which it is left out there."""


@dataclass(frozen=True)
class StationState:
    """How an estimate does at stations on the days of one state.

    Attributes
    ----------
    stations, days : int
        Stations with enough days, and all of their days together.
    ubrmse, r : float
        Mean over these stations of each one's own, m3 m-3 and 1; NaN without a station.
    """

    stations: int
    days: int
    ubrmse: float
    r: float


def by_state(
    estimate: Floats32, measured: Floats32, state: Indices, n_states: int
) -> tuple[StationState, ...]:
    """Return the scores of each state, and of all days last.

    Parameters
    ----------
    estimate, measured : (days, stations)
        m3 m-3, NaN for unknown.
    state : (days, stations)
        Number of the state, from 0.
    """
    n_stations = estimate.shape[1]
    groups = np.arange(n_stations)[None, :] * n_states + state
    pairs = PairStats.grouped(estimate, measured, groups, n_stations * n_states)
    sums = pairs.reshaped(n_stations, n_states)
    each = [sums.at((slice(None), number)) for number in range(n_states)]
    return tuple(_mean(one) for one in (*each, sums.total(axis=1)))


def _mean(sums: PairStats) -> StationState:
    enough = sums.at(sums.n >= LEAST_DAYS)
    if not enough.n.size:
        return StationState(0, 0, np.nan, np.nan)
    return StationState(
        enough.n.size,
        int(enough.n.sum()),
        float(np.mean(unbiased_rmse(enough))),
        float(np.nanmean(correlation(enough))),
    )
