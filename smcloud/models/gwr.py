"""Geographically weighted regression: a linear relation of its own at each coarse cell and day.

At a node i the moisture of the cells j of one day is regressed on their predictors with weights
w_ij = exp(-d_ij^2 / 2 b^2), d the great-circle distance and b the bandwidth (Brunsdon, Fotheringham
and Charlton 1996, doi:10.1111/j.1538-4632.1996.tb00936.x). Weights depend on places alone: they are
computed once, as one sparse matrix, and all sums that the regressions of all nodes and days need
are products with it. Slopes may be shared by neighbouring days, each about its own level, and a
ridge holds them back. docs/design/all-weather.md has the mathematics and the fall-backs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from smcloud.core.errors import UserError
from smcloud.cube.schema import Days
from smcloud.grids.grid import EARTH_RADIUS_M, Floats, Grid, Window
from smcloud.grids.regrid import FloatArray, Weights

States = NDArray[np.uint8]
Bools = NDArray[np.bool_]
Indices = NDArray[np.intp]

REACH_BANDWIDTHS = 3.0
"""Cells further away weigh less than 1.1 % and are left out."""
CONSTANT = 1e-10
"""Share of a predictor's variance over all cells below which it does not vary around a node."""
NODES_AT_ONCE = 512
"""Rows of the dense distances that are looked at together while weights are made."""


class State(IntEnum):
    """How the coefficients of a node were found."""

    LOCAL = 0
    RIDGE = 1
    """As local, with a ridge, or without a predictor that is constant around the node."""
    MEAN = 2
    """Intercept alone, the weighted mean around the node: no predictor varies."""
    GLOBAL = 3
    """The regression over all cells of the day: too little is known around the node."""
    NONE = 4
    """Not modelled: the day has too few cells."""


@dataclass(frozen=True)
class LocalRule:
    """What makes a regression local, and when it is none."""

    bandwidth_km: float
    minimum_cells: int = 30
    """Known cells of a day below which it is not modelled."""
    minimum_support: float = 8.0
    """Sum of weights below which a node takes the regression of the whole day."""
    condition: float = 900.0
    """Largest condition number of the correlations of the predictors; a ridge keeps to it. Its
    root is the index of 30 above which Belsley, Kuh and Welsch (1980) speak of harm."""
    ridge: float = 0.0
    """Least ridge, added to the diagonal of the correlations."""
    days_around: int = 0
    """Days to either side whose cells have a say in a day's slopes, each about its own level."""

    def __post_init__(self) -> None:
        if not self.bandwidth_km > 0:
            raise UserError(f"a bandwidth must be above 0 km, found {self.bandwidth_km}")
        if not self.condition > 1 or self.ridge < 0 or self.minimum_cells < 2:
            raise UserError(
                "local regression needs a condition number above 1, a ridge of at least 0 and at "
                f"least 2 cells, found {self.condition}, {self.ridge}, {self.minimum_cells}"
            )
        if self.days_around < 0:
            raise UserError(f"days_around must be at least 0, found {self.days_around}")


@dataclass(frozen=True, eq=False)
class CoarseDays:
    """Predictors and target of coarse cells over some days; NaN unknown.

    Attributes
    ----------
    lon, lat : (cells,)
        Centres, degrees.
    days : (days,) datetime64[D]
    predictors : (days, features, cells)
        In their own units.
    target : (days, cells)
        Soil moisture, m3 m-3.
    """

    lon: Floats
    lat: Floats
    days: Days
    predictors: Floats
    target: Floats

    @property
    def known(self) -> Bools:
        """Return which cells take part in the regressions of which day, (days, cells)."""
        return np.asarray(np.isfinite(self.target) & np.isfinite(self.predictors).all(axis=1))

    def at(self, days: slice | NDArray[np.intp]) -> CoarseDays:
        """Return some of the days."""
        parts = self.days[days], self.predictors[days], self.target[days]
        return CoarseDays(self.lon, self.lat, *parts)

    @classmethod
    def from_table(
        cls, table: pd.DataFrame, grid: Grid, features: Sequence[str], target: str = "soil_moisture"
    ) -> CoarseDays:
        """Return the days and cells of a table with columns row, col and time, one row for each.

        Cells are sorted by row and column, days by date; a cell and day without a row is unknown.

        Raises
        ------
        UserError
            If a column is missing, there are no rows, or a cell and day has two rows.
        """
        missing = [n for n in ("row", "col", "time", *features, target) if n not in table.columns]
        if missing or table.empty:
            what = f"has no column {', '.join(missing)}" if missing else "has no rows"
            raise UserError(f"the coarse table {what}: make it again")
        flat = table["row"].to_numpy(np.int64) * grid.cols + table["col"].to_numpy(np.int64)
        cells, at = np.unique(flat, return_inverse=True)
        days, when = np.unique(table["time"].to_numpy("datetime64[D]"), return_inverse=True)
        if np.unique(when * cells.size + at).size != len(table):
            raise UserError("the coarse table has two rows for one cell and day: make it again")
        values = np.full((days.size, len(features) + 1, cells.size), np.nan)
        values[when, :, at] = table[[*features, target]].to_numpy(np.float64)
        lon, lat = centres(grid, *np.divmod(cells, grid.cols))
        return cls(lon, lat, days, values[:, :-1], values[:, -1])


@dataclass(frozen=True, eq=False)
class LocalFit:
    """Coefficients at nodes.

    Attributes
    ----------
    days : (days,)
    coefficients : float64 (days, 1 + features, nodes)
        Intercept, then slopes in units of the target per unit of each predictor; NaN on days that
        are not modelled.
    state : uint8 (days, nodes)
        `State` of each.
    cells : int32 (days,)
        Known cells of each day.
    """

    days: Days
    coefficients: Floats
    state: States
    cells: NDArray[np.int32]

    def estimate(self, predictors: Floats) -> Floats:
        """Return the estimate at the nodes, (days, nodes), from predictors (days, k, nodes).

        NaN where a predictor or the day's model is.
        """
        slopes = self.coefficients[:, 1:] * predictors
        return np.asarray(self.coefficients[:, 0] + slopes.sum(axis=1))


def centres(grid: Grid, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return longitude and latitude of cells, degrees."""
    row0, col0 = int(rows.min()), int(cols.min())
    lon, lat = grid.lonlat(Window(row0, int(rows.max()) + 1, col0, int(cols.max()) + 1))
    return np.asarray(lon[rows - row0, cols - col0]), np.asarray(lat[rows - row0, cols - col0])


def kernel(
    nodes: tuple[Floats, Floats],
    cells: tuple[Floats, Floats],
    bandwidth_km: float,
    exclusion_km: float = 0.0,
) -> csr_array:
    """Return the weights (nodes, cells) of cells around nodes, each given as (lon, lat), degrees.

    Parameters
    ----------
    bandwidth_km
        Infinity gives all cells the weight 1.
    exclusion_km
        Cells nearer than this are left out, and weights are those at this distance or more, as
        shares of the weight there: what is judged at a node must not have been seen. 0 leaves out
        nothing.
    """
    here, there = _unit_vectors(*nodes), _unit_vectors(*cells)
    parts = [
        _weights_of(here[start : start + NODES_AT_ONCE], there, bandwidth_km, exclusion_km)
        for start in range(0, len(here), NODES_AT_ONCE)
    ]
    return csr_array(vstack(parts, format="csr"))


def fit_days(
    series: CoarseDays, weights: csr_array, rule: LocalRule, wanted: Indices | None = None
) -> LocalFit:
    """Return the coefficients of days at the nodes (rows) of `weights`.

    A day hangs on the days around it that the rule names, and on no others: fits of parts of the
    days, given with those around, are the fit of all to the bit. Memory grows with the days: about
    8 bytes for each day, cell and 14 sums (three predictors).

    Parameters
    ----------
    wanted : (n,)
        Positions of the days whose coefficients are asked for; None for all.
    """
    known = series.known
    days = np.arange(len(series.days)) if wanted is None else wanted
    scaling = Scaling.of(series, known)
    products = _products(series, scaling, known)
    nodes, n_days = weights.shape[0], len(series.days)
    sums = (weights @ products.reshape(products.shape[0], -1)).reshape(nodes, -1, n_days)
    near = _around(series.days, days, rule.days_around)
    slopes, intercept, state = _solved(np.moveaxis(sums, 1, -1), scaling, near, rule)
    over_all = _solved(products.sum(axis=0).T[None], scaling, near, rule)
    is_thin = sums[:, 0, days] < rule.minimum_support
    slopes = np.where(is_thin[..., None], over_all[0], slopes)
    intercept = np.where(is_thin, over_all[1], intercept)
    state = np.where(is_thin, np.uint8(State.GLOBAL), state)
    cells = known[days].sum(axis=1).astype(np.int32)
    is_modelled = cells >= rule.minimum_cells
    state = np.where(is_modelled, state, np.uint8(State.NONE))
    coefficients = np.concatenate([intercept[..., None], slopes], axis=-1)
    coefficients[:, ~is_modelled] = np.nan
    return LocalFit(series.days[days], np.moveaxis(coefficients, 0, -1), state.T.copy(), cells)


def evaluate(coefficients: FloatArray, weights: Weights, columns: FloatArray) -> FloatArray:
    """Return the estimate at points (n,), float32, from predictors (features, n).

    Parameters
    ----------
    coefficients : (1 + features, rows, cols)
        At the nodes of the weights' window. They are interpolated, so that each estimate is the
        mean of four planes by the weights of their cells; NaN where all four are unknown or a
        predictor is.
    """
    fields = weights.apply(coefficients)
    found: FloatArray = fields[0]
    for slope, values in zip(fields[1:], columns, strict=True):
        found += slope * values
    return found


@dataclass(frozen=True, eq=False)
class Scaling:
    """Means and spreads over all known cells of a day, which keep sums of squares exact.

    Attributes
    ----------
    mean, spread : (days, features + 1)
        Of the predictors and, last, of the target, whose spread is 1.
    """

    mean: Floats
    spread: Floats

    @classmethod
    def of(cls, series: CoarseDays, known: Bools) -> Scaling:
        """Return the scaling of each day; 0 and 1 where nothing is known."""
        values = np.concatenate([series.predictors, series.target[:, None]], axis=1)
        count = np.maximum(known.sum(axis=1), 1)[:, None]
        mean = np.where(known[:, None], values, 0.0).sum(axis=2) / count
        from_mean = np.where(known[:, None], values - mean[..., None], 0.0)
        spread = np.sqrt((from_mean**2).sum(axis=2) / count)
        # A constant leaves rounding noise about its mean; it is no spread to divide by.
        spread[spread <= 1e-12 * np.abs(mean)] = 1.0
        spread[:, -1] = 1.0
        return cls(mean, np.where(spread > 0, spread, 1.0))


def _products(series: CoarseDays, scaling: Scaling, known: Bools) -> Floats:
    """Return what is summed, (cells, sums, days): 1, z, then z_a z_b for a <= b.

    z are the scaled predictors and, last, the target; unknown cells give zeros.
    """
    values = np.concatenate([series.predictors, series.target[:, None]], axis=1)
    scaled = (values - scaling.mean[..., None]) / scaling.spread[..., None]
    z = np.where(known[:, None], scaled, 0.0).transpose(2, 1, 0)
    first, second = _pairs(z.shape[1] - 1)
    return np.concatenate([known.T[:, None].astype(np.float64), z, z[:, first] * z[:, second]], 1)


def _pairs(n_features: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pairs a <= b of predictors and target; target with itself is never needed."""
    first, second = np.triu_indices(n_features + 1)
    return first[:-1], second[:-1]


Near = Sequence[tuple[Indices, Indices]]
"""For each lag in days: positions among the wanted days, and among all, of days so far apart."""


def _around(days: Days, wanted: Indices, reach: int) -> Near:
    """Return which days have a say in the wanted ones, lag by lag."""
    found = []
    for lag in range(-reach, reach + 1):
        _, here, there = np.intersect1d(days[wanted] + lag, days, return_indices=True)
        found.append((here, there))
    return found


def _pooled(values: Floats, near: Near, n_wanted: int) -> Floats:
    """Return the sums over the days around of values (..., days, k), (..., wanted days, k).

    They are summed lag by lag: the last bits do not hang on which other days there are.
    """
    found = np.zeros((*values.shape[:-2], n_wanted, values.shape[-1]))
    for here, there in near:
        found[..., here, :] += values[..., there, :]
    return found


def _solved(
    sums: Floats, scaling: Scaling, near: Near, rule: LocalRule
) -> tuple[Floats, Floats, States]:
    """Return slopes (nodes, wanted days, features), intercepts and states (nodes, wanted days).

    Weighted sums are (nodes, days, sums). Each day's products are taken about its own weighted
    means, so that days may be put together whatever their levels. Correlations, not covariances,
    are solved, so that a ridge weighs alike on all predictors.
    """
    n_features = scaling.mean.shape[1] - 1
    (now, then), n_wanted = near[len(near) // 2], near[len(near) // 2][0].size
    days = then[np.argsort(now)]
    total = np.maximum(sums[..., :1], np.finfo(float).tiny)
    mean = sums[..., 1 : n_features + 2] / total
    first, second = _pairs(n_features)
    unit = scaling.spread[:, first] * scaling.spread[:, second]
    about = sums[..., n_features + 2 :] - total * mean[..., first] * mean[..., second]
    weight = np.maximum(_pooled(sums[..., :1], near, n_wanted), np.finfo(float).tiny)
    products = _pooled(about * unit, near, n_wanted) / weight
    joint = np.zeros((*products.shape[:-1], n_features + 1, n_features + 1))
    joint[..., first, second] = joint[..., second, first] = products
    variance = np.diagonal(joint, axis1=-2, axis2=-1)[..., :-1]
    varies = variance > CONSTANT * _largest(scaling.spread[:, :-1] ** 2, near, n_wanted)
    slopes, is_ridged = _slopes(joint, variance, varies, rule)
    own = scaling.mean[days] + scaling.spread[days] * mean[:, days]
    intercept = own[..., -1] - (slopes * own[..., :-1]).sum(axis=-1)
    state = np.where(is_ridged | ~varies.all(axis=-1), np.uint8(State.RIDGE), np.uint8(State.LOCAL))
    state = np.where(varies.any(axis=-1), state, np.uint8(State.MEAN))
    return slopes, intercept, state


def _largest(values: Floats, near: Near, n_wanted: int) -> Floats:
    """Return the largest of values (days, k) over the days around, (wanted days, k)."""
    found = np.zeros((n_wanted, values.shape[1]))
    for here, there in near:
        found[here] = np.maximum(found[here], values[there])
    return found


def _slopes(
    joint: Floats, variance: Floats, varies: Bools, rule: LocalRule
) -> tuple[Floats, Bools]:
    """Return slopes in units of target and predictors, 0 where one does not vary, and ridges."""
    spread = np.sqrt(np.where(varies, variance, 1.0))
    with_target = np.where(varies, joint[..., :-1, -1] / spread, 0.0)
    both = varies[..., :, None] & varies[..., None, :]
    correlation = joint[..., :-1, :-1] / (spread[..., :, None] * spread[..., None, :])
    correlation = np.where(both, correlation, np.eye(spread.shape[-1]))
    scaled, is_ridged = _ridged(correlation, with_target, rule)
    return np.where(varies, scaled / spread, 0.0), is_ridged


def _ridged(correlation: Floats, with_target: Floats, rule: LocalRule) -> tuple[Floats, Bools]:
    """Return the standardised slopes and where a ridge was needed.

    The ridge is the least one that brings the condition number (e_max + r) / (e_min + r) down to
    the rule's: none at all in most places, and it grows steadily where predictors become alike.
    """
    values, vectors = np.linalg.eigh(correlation)
    values = np.maximum(values, 0.0)
    least = (values[..., -1] - rule.condition * values[..., 0]) / (rule.condition - 1.0)
    ridge = np.maximum(least, rule.ridge)[..., None]
    along = (vectors * with_target[..., :, None]).sum(axis=-2) / (values + ridge)
    return (vectors * along[..., None, :]).sum(axis=-1), np.asarray(least > rule.ridge)


def _weights_of(
    nodes: Floats, cells: Floats, bandwidth_km: float, exclusion_km: float
) -> csr_array:
    """Return the weights of cells (n, 3) around nodes (m, 3), both unit vectors."""
    km = EARTH_RADIUS_M / 1000.0
    nearest = exclusion_km / km
    reach = min(math.pi, math.hypot(nearest, REACH_BANDWIDTHS * bandwidth_km / km))
    cosine = nodes @ cells.T
    taken = cosine >= math.cos(reach) - 1e-15
    if exclusion_km > 0:
        taken &= cosine <= math.cos(nearest)
    row, col = np.nonzero(taken)
    # Half the chord, from the difference of the vectors: the cosine of a small angle says little.
    chord = 0.5 * np.sqrt(((nodes[row] - cells[col]) ** 2).sum(axis=1))
    angle = 2.0 * np.arcsin(np.minimum(chord, 1.0))
    weight = np.exp(-0.5 * (angle**2 - nearest**2) * (km / bandwidth_km) ** 2)
    return csr_array((weight, (row, col)), shape=cosine.shape)


def _unit_vectors(lon: Floats, lat: Floats) -> Floats:
    """Return points (degrees) as unit vectors (n, 3) of the sphere."""
    east, north = np.radians(lon), np.radians(lat)
    level = np.cos(north)
    return np.stack([level * np.cos(east), level * np.sin(east), np.sin(north)], axis=1)
