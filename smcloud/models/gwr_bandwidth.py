"""The bandwidth of a local regression, found by leaving out what is estimated.

Left out is the cell alone (leave-one-out), or all cells within a distance of it as well (blocks).
Errors of neighbouring cells are alike: their footprints overlap, and so do the maps behind their
retrievals. Leaving out one cell then rewards small bandwidths that reproduce its neighbours'
errors (Le Rest et al. 2014, doi:10.1111/geb.12161; Telford and Birks 2009,
doi:10.1016/j.quascirev.2008.12.020). docs/design/all-weather.md compares both on worlds whose
slopes are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import UserError
from smcloud.grids.grid import Floats
from smcloud.models.gwr import CoarseDays, LocalRule, fit_days, kernel

Indices = NDArray[np.intp]

BANDWIDTHS_KM = (50.0, 70.0, 100.0, 140.0, 200.0, 280.0, 400.0, 560.0, 800.0)
OWN_CELL_KM = 1e-3
"""Leaves out the cell itself: no two centres of a grid are that near."""
BLOCK_KM = 100.0
"""Leaves out some 24 neighbours of a 36 km cell."""


@dataclass(frozen=True, eq=False)
class BandwidthSearch:
    """What each bandwidth scores.

    Attributes
    ----------
    bandwidth_km : (candidates,)
    rmse : (candidates,)
        Over the cells and days that every candidate estimates, in units of the target.
    pairs : int
        Cells and days judged.
    exclusion_km : float
        What was left out around each.
    """

    bandwidth_km: Floats
    rmse: Floats
    pairs: int
    exclusion_km: float

    @property
    def chosen_km(self) -> float:
        """Return the bandwidth of least RMSE, the widest of equals."""
        best = np.flatnonzero(self.rmse <= self.rmse.min() * (1 + 1e-9))
        return float(self.bandwidth_km[best[-1]])


def search_bandwidth(
    series: CoarseDays,
    rule: LocalRule,
    candidates: Sequence[float] = BANDWIDTHS_KM,
    *,
    exclusion_km: float = OWN_CELL_KM,
    most_cells: int = 1000,
    most_days: int = 24,
    seed: int = 0,
) -> BandwidthSearch:
    """Return the scores of candidate bandwidths, the rule's own being ignored.

    Each cell is estimated by the whole procedure, fall-backs included, from weights that hold a
    zero for it; this is what the hat matrix gives, e / (1 - h), and holds with a ridge too.

    Parameters
    ----------
    exclusion_km
        Cells nearer than this to the estimated one are left out with it.
    most_cells, most_days
        A search over more is thinned: cells at random from `seed`, days evenly.

    Raises
    ------
    UserError
        If no cell of any day can be estimated.
    """
    widths = np.sort(np.asarray(candidates, np.float64))
    chosen = series.known.sum(axis=1) >= rule.minimum_cells
    days = _evenly(np.flatnonzero(chosen), most_days)
    part = series.at(days)
    at = _drawn(np.flatnonzero(part.known.any(axis=0)), most_cells, seed)
    errors = [_errors(part, at, replace(rule, bandwidth_km=b), exclusion_km) for b in widths]
    judged = np.isfinite(errors).all(axis=0)
    if not judged.any():
        raise UserError(
            f"no bandwidth can be judged: no day has {rule.minimum_cells} cells with moisture and "
            "all predictors; ingest more days, or lower minimum_cells"
        )
    squares = np.array([np.mean(found[judged] ** 2) for found in errors])
    return BandwidthSearch(widths, np.sqrt(squares), int(judged.sum()), exclusion_km)


def _errors(series: CoarseDays, at: Indices, rule: LocalRule, exclusion_km: float) -> Floats:
    """Return estimate minus target of some cells, (days, cells), NaN where there is none."""
    cells = series.lon, series.lat
    weights = kernel((cells[0][at], cells[1][at]), cells, rule.bandwidth_km, exclusion_km)
    fit = fit_days(series, weights, rule)
    return np.asarray(fit.estimate(series.predictors[:, :, at]) - series.target[:, at])


def _evenly(numbers: Indices, most: int) -> Indices:
    if numbers.size <= most:
        return numbers
    return numbers[np.linspace(0, numbers.size - 1, most).round().astype(np.intp)]


def _drawn(numbers: Indices, most: int, seed: int) -> Indices:
    if numbers.size <= most:
        return numbers
    return np.sort(np.random.default_rng(seed).choice(numbers, most, replace=False))
