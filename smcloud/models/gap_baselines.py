"""Plain ways to fill the gaps of daily fields: in time, in space, in both, and by climatology.

Each is a `Filler` once its own settings are bound (`baseline_fillers`): from fields (days, rows,
cols), NaN unknown, and land (rows, cols), the fields with land filled where the way has an answer.
What was observed comes back bit for bit, and nothing beside land is filled. What is local in time
(`inverse_distance`) or in space (`temporal_linear`, `climatology`) does not depend on what else is
passed along; `dct_smooth` works on segments of days, and differs a little with them.

* `dct_smooth`: penalised least squares through the discrete cosine transform (Garcia 2010,
  doi:10.1016/j.csda.2009.09.020), as used to fill satellite soil moisture in three dimensions by
  Wang et al. 2012, doi:10.1016/j.envsoft.2011.10.015.
* `inverse_distance`: as in doi:10.1145/800186.810616 (1968), with distances on the sphere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
from scipy.fft import dctn, idctn
from scipy.ndimage import distance_transform_edt
from scipy.optimize import minimize_scalar
from scipy.spatial import cKDTree

from smcloud.core.errors import UserError
from smcloud.cube.schema import Days
from smcloud.grids.grid import Floats
from smcloud.validation.hidden_swaths import linear_in_time, monthly_climatology
from smcloud.validation.simulated_gaps import Bools, Fields, Filler

CELLS_AT_ONCE = 4096
"""Series that are worked on together: a year of them takes some tens of megabytes."""
EARTH_RADIUS_KM = 6371.0
REACH_DAYS = 30
"""How far interpolation in time looks for a value."""


def baseline_fillers(days: Days, latitude: Floats, longitude: Floats) -> Mapping[str, Filler]:
    """Return every baseline by the name that tables print, bound to days and places of fields.

    Parameters
    ----------
    days : (days,) datetime64[D]
    latitude, longitude : (rows,) and (cols,), degrees
    """
    return MappingProxyType(
        {
            "linear in time": temporal_linear,
            "inverse distance": partial(inverse_distance, latitude=latitude, longitude=longitude),
            "cosine smoother": dct_smooth,
            "climatology": partial(climatology, days=days),
        }
    )


def temporal_linear(moisture: Fields, land: Bools, *, reach_days: int = REACH_DAYS) -> Fields:
    """Return fields with gaps interpolated in time between the nearest known days of a cell.

    Where only one side is known within `reach_days`, its value is held; NaN where neither is.
    """
    return _by_cells(moisture, land, partial(linear_in_time, reach_days=reach_days))


def climatology(moisture: Fields, land: Bools, *, days: Days) -> Fields:
    """Return fields with gaps filled by the mean of the cell over the known days of its month.

    A month without any takes the mean over all known days of the cell. Months of several years
    are taken together.
    """
    if len(days) != len(moisture):
        raise UserError(f"climatology needs a day per field: {len(moisture)}, found {len(days)}")

    def of_cells(values: Floats) -> Floats:
        monthly = monthly_climatology(values, days)
        overall = monthly_climatology(values, np.repeat(days[:1], len(days)))
        return np.where(np.isfinite(monthly), monthly, overall)

    return _by_cells(moisture, land, of_cells)


def inverse_distance(
    moisture: Fields,
    land: Bools,
    *,
    latitude: Floats,
    longitude: Floats,
    neighbours: int = 12,
    power: float = 2.0,
    reach_km: float = 2000.0,
) -> Fields:
    """Return fields with gaps filled by the mean of the nearest cells known on the same day.

    Weights are distance ** -power; distances are those of great circles, so that longitude goes
    round. NaN where no cell within `reach_km` is known.
    """
    places = _on_sphere(latitude, longitude)
    chord = 2 * np.sin(min(reach_km / EARTH_RADIUS_KM, np.pi) / 2)
    found = moisture.copy()
    for day, field in enumerate(moisture):
        known, gap = np.isfinite(field), np.isnan(field) & land
        if not known.any() or not gap.any():
            continue
        tree, values = cKDTree(places[known]), field[known].astype(np.float64)
        count = min(neighbours, values.size)
        apart, at = tree.query(places[gap], k=count, distance_upper_bound=chord)
        apart, at = apart.reshape(-1, count), at.reshape(-1, count)
        is_near = np.isfinite(apart)
        arc = 2 * np.arcsin(np.clip(np.where(is_near, apart, 1.0) / 2, 0.0, 1.0))
        weight = np.where(is_near, arc, np.inf) ** -power
        near = values[np.where(is_near, at, 0)]
        total = weight.sum(axis=1)
        mean = np.full(total.shape, np.nan)
        np.divide((weight * near).sum(axis=1), total, out=mean, where=total > 0)
        found[day][gap] = mean
    return found


@dataclass(frozen=True)
class CosineRule:
    """How the cosine smoother works.

    Attributes
    ----------
    smoothing : float or None
        Weight of the roughness against the misfit; None: by generalised cross-validation.
    most_rounds : int
        Rounds at most; each fills the gaps with what the last one made of them.
    tolerance : float
        Change of the fields between rounds, relative to them, below which it is done.
    relaxation : float
        Of rounds, 1 to 2: above 1 they take larger steps (1.75 in Garcia 2010).
    most_values : int
        Values smoothed together, which bounds memory: some ten arrays of 4 bytes each, 1 GB. Longer
        records are cut into segments of days; one of the globe has 29.
    overlap_days : int
        Days on either side of a segment that are smoothed with it and not kept.
    """

    smoothing: float | None = None
    most_rounds: int = 100
    tolerance: float = 1e-3
    relaxation: float = 1.75
    most_values: int = 24_000_000
    overlap_days: int = 8

    def __post_init__(self) -> None:
        has_smoothing = self.smoothing is None or self.smoothing > 0
        if not (has_smoothing and self.most_rounds > 0 and 1 <= self.relaxation < 2):
            raise UserError(
                "the cosine smoother needs a smoothing above 0, a round at least and a relaxation "
                f"of 1 to 2, found {self.smoothing}, {self.most_rounds}, {self.relaxation}"
            )
        if self.most_values < 1 or self.overlap_days < 0:
            raise UserError(
                "the cosine smoother needs a value at least and no negative overlap, found "
                f"{self.most_values} values and {self.overlap_days} days of overlap"
            )


def dct_smooth(moisture: Fields, land: Bools, *, rule: CosineRule | None = None) -> Fields:
    """Return fields with gaps filled by the smoothest surface near what is known.

    z minimises sum over known (y - z)^2 + s |Laplacian of z|^2 over days, rows and columns, in
    steps of a day and a cell, with mirrored ends: longitude does not go round. Solved by rounds of
    z <- IDCT(DCT(W (y - z) + z) / (1 + s L^2)), W 1 where known, L the eigenvalues of the Laplacian
    (Garcia 2010, equations 12 to 15, without robust weights). Filled values stay between the least
    and the greatest known one. NaN where a segment of days knows nothing.
    """
    rule = rule or CosineRule()
    found = moisture.copy()
    rows, cols = _box(land)
    for kept, wide in _segments(moisture[:, rows, cols].shape, rule):
        part = moisture[wide, rows, cols]
        gap = np.isnan(part) & land[rows, cols]
        if not np.isfinite(part).any() or not gap.any():
            continue
        smooth = _smoothed(part, rule)
        filled = np.where(gap, smooth, part)
        found[kept, rows, cols] = filled[kept.start - wide.start :][: kept.stop - kept.start]
    return found


def _smoothed(part: Fields, rule: CosineRule) -> Fields:
    """Return the smooth surface of one segment (days, rows, cols), known everywhere."""
    known = np.isfinite(part)
    centre = float(part[known].mean(dtype=np.float64))
    # Single precision and departures from the mean: half the memory, and no digits are lost.
    y = np.where(known, part - np.float32(centre), np.float32(0)).astype(np.float32)
    penalty = _penalty(part.shape)
    z = _nearest(y, known)
    smoothing = rule.smoothing
    for number in range(rule.most_rounds):
        spectrum = dctn(np.where(known, y, z), norm="ortho")
        if rule.smoothing is None and _is_power_of_two(number + 1):
            smoothing = _cross_validated(spectrum, penalty, y, known)
        new = idctn(spectrum / (1 + np.float32(smoothing) * penalty), norm="ortho")
        new = np.float32(rule.relaxation) * new + np.float32(1 - rule.relaxation) * z
        change = float(np.linalg.norm(new - z)) / max(float(np.linalg.norm(new)), 1e-12)
        z = new
        if change < rule.tolerance:
            break
    low, high = y[known].min(), y[known].max()
    return np.clip(z, low, high) + np.float32(centre)


def _cross_validated(spectrum: Fields, penalty: Fields, y: Fields, known: Bools) -> float:
    """Return the smoothing with the least generalised cross-validation score.

    GCV(s) = (RSS(s) / n) / (1 - trace / N)^2, RSS over the n known values, the trace being the sum
    of 1 / (1 + s L^2) over all N elements.
    """
    count = int(known.sum())

    def score(log_smoothing: float) -> float:
        shrink = 1 / (1 + np.float32(10**log_smoothing) * penalty)
        misfit = (y - idctn(spectrum * shrink, norm="ortho"))[known]
        squares = float(np.square(misfit, dtype=np.float64).sum())
        trace = float(shrink.sum(dtype=np.float64)) / shrink.size
        return squares / count / (1 - trace) ** 2

    best = minimize_scalar(score, bounds=(-4.0, 4.0), method="bounded", options={"xatol": 0.1})
    return float(10.0**best.x)


def _penalty(shape: tuple[int, ...]) -> Fields:
    """Return L^2, L the eigenvalues of the discrete Laplacian: the sum of 2 - 2 cos(pi k / n)."""
    total = np.zeros(shape, np.float32)
    for axis, size in enumerate(shape):
        values = 2 - 2 * np.cos(np.pi * np.arange(size) / size)
        total += values.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
    return np.square(total)


def _nearest(y: Fields, known: Bools) -> Fields:
    """Return each value, or the nearest known one in days and cells: where rounds start."""
    at = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return np.asarray(y[tuple(at)])


def _segments(shape: tuple[int, ...], rule: CosineRule) -> Iterator[tuple[slice, slice]]:
    """Yield the days that a segment keeps and, around them, those that it looks at."""
    n_days, cells = shape[0], max(shape[1] * shape[2], 1)
    at_once = rule.most_values // cells
    step = max(n_days if n_days <= at_once else at_once - 2 * rule.overlap_days, 1)
    for first in range(0, n_days, step):
        last = min(first + step, n_days)
        low, high = max(first - rule.overlap_days, 0), min(last + rule.overlap_days, n_days)
        yield slice(first, last), slice(low, high)


def _box(land: Bools) -> tuple[slice, slice]:
    """Return the rows and columns that hold all land."""
    if not land.any():
        return slice(0, 0), slice(0, 0)
    rows, cols = (np.flatnonzero(land.any(axis=axis)) for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0


def _on_sphere(latitude: Floats, longitude: Floats) -> Floats:
    """Return the points of a grid on the unit sphere (rows, cols, 3)."""
    phi, lam = np.radians(latitude)[:, None], np.radians(longitude)[None, :]
    height = np.broadcast_to(np.sin(phi), (phi.size, lam.size))
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), height], axis=-1)


def _by_cells(moisture: Fields, land: Bools, of_cells: Callable[[Floats], Floats]) -> Fields:
    """Return fields with the gaps on land filled from each cell's own series."""
    found = moisture.reshape(len(moisture), -1).copy()
    chosen = np.flatnonzero(land.ravel() & np.isnan(found).any(axis=0))
    for start in range(0, chosen.size, CELLS_AT_ONCE):
        cells = chosen[start : start + CELLS_AT_ONCE]
        values = found[:, cells]
        estimate = of_cells(values.astype(np.float64))
        found[:, cells] = np.where(np.isnan(values), estimate, values)
    return found.reshape(moisture.shape)
