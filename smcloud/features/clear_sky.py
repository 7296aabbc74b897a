"""The clear-sky year of each pixel: annual and semi-annual harmonics of its clear looks.

A pixel's five coefficients are a ridge regression that shrinks towards those of its neighbourhood,
in which all clear looks of the pixels around count together: a pixel with many looks keeps its own
year, one with none takes that of its neighbours at its own elevation. Sums are kept instead of
days, so that pixels pool by adding; each pixel is summed day by day, whatever other pixels are
computed with it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smcloud.core.compiled import compiled
from smcloud.cube.schema import Variable
from smcloud.features.spec import Days
from smcloud.grids.grid import Floats

DAYS_A_YEAR = 365.25
TERMS = 5
"""1, and cosine and sine of one and of two turns a year."""
MOMENTS = TERMS * (TERMS + 1) // 2 + TERMS
"""Upper triangle of the normal equations row by row, then their right-hand side."""
LANE = 32
"""Pixels summed together: their sums stay in the nearest cache."""

Stored = NDArray[np.uint16]


@dataclass(frozen=True)
class Packing:
    """How looks are stored: physical = stored * scale + offset, `fill` unknown.

    `least` and `greatest` are the stored values of the valid range.
    """

    scale: float
    offset: float
    fill: int
    least: int
    greatest: int

    @classmethod
    def of(cls, variable: Variable) -> "Packing":
        """Return the packing of a variable of a cube."""
        low, high = (round((bound - variable.offset) / variable.scale) for bound in variable.valid)
        return cls(variable.scale, variable.offset, variable.fill_value, low, high)


@dataclass(frozen=True)
class HarmonicRidge:
    """How strongly a pixel is drawn to its neighbourhood, and that to nothing.

    Attributes
    ----------
    level, annual, semiannual : float
        Clear looks that weigh as much as the neighbourhood's coefficient.
    pooled : float
        Looks against annual and semi-annual terms of a neighbourhood, which are drawn to those of
        the reanalysis: an amplitude that few days of one season suggest is not believed.
    lapse_k_km : float
        Change with elevation (K km-1) that a neighbourhood has unless its looks say otherwise.
    lapse_weight : float
        Evidence for it, looks of a pixel times km2.
    """

    level: float = 6.0
    annual: float = 15.0
    semiannual: float = 25.0
    pooled: float = 3.0
    lapse_k_km: float = -5.5
    lapse_weight: float = 0.1

    @property
    def of_pixel(self) -> Floats:
        """Return the ridge of each term."""
        return np.array([self.level, *[self.annual] * 2, *[self.semiannual] * 2])


def harmonics(days: Days) -> Floats:
    """Return the terms of each day (days, 5)."""
    angle = 2 * np.pi * days.astype("datetime64[D]").astype(np.float64) / DAYS_A_YEAR
    waves = (np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle))
    return np.ascontiguousarray(np.stack([np.ones(len(days)), *waves], axis=1))


def pixel_moments(stored: Stored, packing: Packing, terms: Floats) -> Floats:
    """Return the normal equations (n, 20) of the known looks of each pixel (days, n), K."""
    sums = np.zeros((stored.shape[1], MOMENTS))
    scale, offset = packing.scale, packing.offset
    _add_looks(stored, scale, offset, packing.fill, _products(terms), terms, sums)
    return sums


def weighted_moments(values: Floats, weights: Floats, terms: Floats) -> Floats:
    """Return the normal equations (n, 20) of values (days, n) with weights; NaN counts nothing."""
    sums = np.zeros((values.shape[1], MOMENTS))
    _add_weighted(values, weights, _products(terms), terms, sums)
    return sums


def _products(terms: Floats) -> Floats:
    """Return the products of each pair of terms (days, 15), as the moments hold them."""
    first, second = np.triu_indices(TERMS)
    return np.ascontiguousarray(terms[:, first] * terms[:, second])


def with_elevation(moments: Floats, elevation_km: Floats) -> Floats:
    """Return the normal equations (n, 27) of the five terms and elevation, which is constant.

    Pixels of unknown elevation count for nothing.
    """
    z = elevation_km[:, None]
    rows = np.concatenate(
        [moments, z * moments[:, :TERMS], z**2 * moments[:, :1], z * moments[:, 15:16]], axis=1
    )
    rows[np.isnan(elevation_km)] = 0.0
    return rows


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """What the looks around each node say together.

    Attributes
    ----------
    terms : (5, nodes)
        Coefficients at sea level, K; NaN where no look was clear.
    lapse : (nodes,)
        K km-1.
    elevation_km : (nodes,)
        Mean of the looks.
    """

    terms: Floats
    lapse: Floats
    elevation_km: Floats

    @property
    def fields(self) -> Floats:
        """Return all of them (7, nodes)."""
        return np.concatenate([self.terms, self.lapse[None], self.elevation_km[None]])


def neighbourhoods(pooled: Floats, usual: Floats, ridge: HarmonicRidge) -> Neighbourhood:
    """Return the common clear-sky year of each node from its pooled equations (nodes, 27).

    The equations are those of one pixel: means over the pixels around. Waves are drawn to those of
    `usual` (nodes, 5), which says what the seasons without a clear look are like.
    """
    size = TERMS + 1
    left = np.zeros((len(pooled), size, size))
    upper = np.triu_indices(TERMS)
    left[:, upper[0], upper[1]] = pooled[:, :15]
    left[:, :TERMS, TERMS] = pooled[:, 20:25]
    left[:, TERMS, TERMS] = pooled[:, 25]
    right = np.concatenate([pooled[:, 15:20], pooled[:, 26:27]], axis=1)
    count = pooled[:, 0]
    penalty = np.array([0.0, *[ridge.pooled] * (TERMS - 1), ridge.lapse_weight])
    left[:, range(size), range(size)] += penalty
    right[:, 1:TERMS] += ridge.pooled * usual[:, 1:]
    right[:, TERMS] += ridge.lapse_weight * ridge.lapse_k_km
    left[count == 0, 0, 0] = 1.0
    found = np.zeros((len(pooled), size))
    _solve(left, right, found)
    found[count == 0] = np.nan
    mean = np.divide(pooled[:, 20], count, out=np.full(len(count), np.nan), where=count > 0)
    return Neighbourhood(found[:, :TERMS].T.copy(), found[:, TERMS].copy(), mean)


def drawn_to(moments: Floats, prior: Floats, ridge: Floats) -> Floats:
    """Return coefficients (n, 5) of pixels, shrunk towards `prior` (n, 5); NaN where that is."""
    left = np.zeros((len(moments), TERMS, TERMS))
    upper = np.triu_indices(TERMS)
    left[:, upper[0], upper[1]] = moments[:, :15]
    left[:, range(TERMS), range(TERMS)] += ridge
    right = moments[:, 15:] + ridge * np.nan_to_num(prior)
    found = np.zeros((len(moments), TERMS))
    _solve(left, right, found)
    found[np.isnan(prior).any(axis=1)] = np.nan
    return found


@compiled
def _add_looks(
    stored: Stored,
    scale: float,
    offset: float,
    fill: int,
    products: Floats,
    terms: Floats,
    sums: Floats,
) -> None:
    """Add the normal equations of each pixel's known days, in order of days."""
    n_days, n = stored.shape
    pairs = products.shape[1]
    for first in range(0, n, LANE):
        last = min(first + LANE, n)
        for day in range(n_days):
            for pixel in range(first, last):
                if stored[day, pixel] == fill:
                    continue
                value = stored[day, pixel] * scale + offset
                for pair in range(pairs):
                    sums[pixel, pair] += products[day, pair]
                for term in range(TERMS):
                    sums[pixel, pairs + term] += terms[day, term] * value


@compiled
def _add_weighted(
    values: Floats, weights: Floats, products: Floats, terms: Floats, sums: Floats
) -> None:
    """Add the normal equations of each column's known days with their weights."""
    n_days, n = values.shape
    pairs = products.shape[1]
    for day in range(n_days):
        for column in range(n):
            value, weight = values[day, column], weights[day, column]
            if np.isnan(value):
                continue
            for pair in range(pairs):
                sums[column, pair] += weight * products[day, pair]
            for term in range(TERMS):
                sums[column, pairs + term] += weight * terms[day, term] * value


@compiled
def _solve(left: Floats, right: Floats, out: Floats) -> None:
    """Solve positive definite systems (n, k, k), of which the upper half is read, by Cholesky."""
    n, size = right.shape
    root = np.zeros((size, size))
    for item in range(n):
        for j in range(size):
            for i in range(j, size):
                total = left[item, j, i]
                for k in range(j):
                    total -= root[i, k] * root[j, k]
                root[i, j] = np.sqrt(total) if i == j else total / root[j, j]
        for i in range(size):
            total = right[item, i]
            for k in range(i):
                total -= root[i, k] * out[item, k]
            out[item, i] = total / root[i, i]
        for back in range(size):
            i = size - 1 - back
            total = out[item, i]
            for k in range(i + 1, size):
                total -= root[k, i] * out[item, k]
            out[item, i] = total / root[i, i]
