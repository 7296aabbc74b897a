"""Five families of regression behind one protocol, fitted on coarse cells, applied to fine pixels.

A fitted model is a `Preparation` (which features vary, what stands in for unknown values, the
scales), an estimator and the bounds of its estimates. It is stored as plain arrays, never as a
pickle, and estimates come from those arrays and not from the library that fitted them.
`docs/design/families.md` tells the choices and the sources of the defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import ConfigError, UserError
from smcloud.models.base import Parameter

Floats32 = NDArray[np.float32]
Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]
Family = Literal["mlr", "svr", "ann", "rf", "xgb"]
Parameters = Mapping[str, Parameter]

FAMILIES: tuple[Family, ...] = get_args(Family)
TITLES: Mapping[Family, str] = {
    "mlr": "multiple linear regression",
    "svr": "support vector regression",
    "ann": "neural network",
    "rf": "random forest",
    "xgb": "XGBoost",
}
SCALED: frozenset[Family] = frozenset({"mlr", "svr", "ann"})
"""Families that see features with mean 0 and deviation 1; trees see them as they are."""
PIECE_POINTS = 16_384
"""Points that are estimated at a time: 14 features of them are 0.9 MB and stay in the cache."""
MOST_UNKNOWN = 0.5
"""A point at which a larger part of the features is unknown has no estimate."""
FLAT = 1e-6
"""A feature whose range is below this part of its largest value is constant: float32 keeps seven
digits, so that less is rounding."""
BEYOND = 0.5
"""Estimates lie within the range of the fitted target, widened by this part of it at both ends and
cut at 0: within a cell it is wetter and drier than any mean of a cell, but not without limit."""


@dataclass(frozen=True, eq=False)
class CellSamples:
    """Coarse cells to learn from.

    Attributes
    ----------
    features : float32 (n_samples, n_features)
        NaN is unknown.
    target : float64 (n_samples,)
        No NaN.
    groups : int64 (n_samples,)
        Spatial block of each cell: a group is never on both sides of a split.
    days : int64 (n_samples,)
        UTC days since 1970-01-01.
    """

    features: Floats32
    target: Floats
    groups: NDArray[np.int64]
    days: NDArray[np.int64]

    @property
    def size(self) -> int:
        """Return the number of samples."""
        return int(self.target.size)

    def at(self, rows: NDArray[Any]) -> CellSamples:
        """Return the samples of some rows (numbers or a mask)."""
        parts = (self.features, self.target, self.groups, self.days)
        return CellSamples(*(part[rows] for part in parts))


@dataclass(frozen=True, eq=False)
class Preparation:
    """What is done to features before an estimator sees them; learned from the samples it fits.

    Attributes
    ----------
    kept : int64 (n_kept,)
        Positions of the features that vary; constant and wholly unknown ones are left out.
    medians : float32 (n_kept,)
        Stand in for unknown values.
    lows, highs : float32 (n_kept,)
        Range of the fitted values; what lies beyond is taken for the end of the range.
    means, scales : float32 (n_kept,)
        Subtracted and divided by; 0 and 1 for families that take features as they are.
    n_features : int
    """

    kept: NDArray[np.int64]
    medians: Floats32
    lows: Floats32
    highs: Floats32
    means: Floats32
    scales: Floats32
    n_features: int

    @classmethod
    def of(cls, features: Floats32, *, is_scaled: bool) -> Preparation:
        """Return what features (n_samples, n_features) ask for.

        Raises
        ------
        UserError
            If no feature varies.
        """
        known = np.where(np.isfinite(features), features, np.nan).astype(np.float64)
        kept = np.flatnonzero(varying(known))
        if kept.size == 0:
            raise UserError("no feature varies")
        medians = np.nanmedian(known[:, kept], axis=0)
        filled = np.where(np.isnan(known[:, kept]), medians, known[:, kept])
        means, scales = np.zeros(kept.size), np.ones(kept.size)
        if is_scaled:
            means, scales = filled.mean(axis=0), filled.std(axis=0)
        return cls(
            kept.astype(np.int64),
            medians.astype(np.float32),
            filled.min(axis=0).astype(np.float32),
            filled.max(axis=0).astype(np.float32),
            means.astype(np.float32),
            scales.astype(np.float32),
            features.shape[1],
        )

    def ready(self, columns: Floats32) -> tuple[Floats32, NDArray[np.bool_]]:
        """Return features as the estimator takes them, and where enough of them are known.

        Parameters
        ----------
        columns
            float32 (n_features, n_points); NaN is unknown.

        Returns
        -------
        float32 (n_kept, n_points) without NaN, and bool (n_points,)
        """
        chosen = columns[self.kept]
        is_known = np.isfinite(chosen)
        enough: NDArray[np.bool_] = is_known.sum(axis=0) >= (1 - MOST_UNKNOWN) * self.kept.size
        if not is_known.all():
            chosen = np.where(is_known, chosen, self.medians[:, None])
        np.clip(chosen, self.lows[:, None], self.highs[:, None], out=chosen)
        chosen -= self.means[:, None]
        chosen /= self.scales[:, None]
        return chosen, enough

    def of_samples(self, features: Floats32) -> Floats32:
        """Return features (n_samples, n_features) as the estimator takes them, a row a sample."""
        return np.ascontiguousarray(self.ready(np.ascontiguousarray(features.T))[0].T)


def varying(features: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which features (n_samples, n_features) are known and not constant, (n_features,)."""
    known = np.isfinite(features)
    low = np.where(known, features, np.inf).min(axis=0, initial=np.inf)
    high = np.where(known, features, -np.inf).max(axis=0, initial=-np.inf)
    size = np.maximum(np.abs(low), np.abs(high))
    is_any = known.any(axis=0)
    width = np.subtract(high, low, out=np.zeros_like(size), where=is_any)
    return np.asarray(is_any & (width > FLAT * np.where(is_any, size, 1.0)))


class Estimator(Protocol):
    """The fitted part of a family, as arrays."""

    def __call__(self, ready: Floats32) -> NDArray[Any]:
        """Return the estimates (n_points,) of features (n_kept, n_points) without NaN."""

    def arrays(self) -> Arrays:
        """Return everything that the estimator is made of, by name."""

    @property
    def nbytes(self) -> int:
        """Return about how much memory it takes when it has been used."""


@dataclass(frozen=True, eq=False)
class FittedFamily:
    """A fitted model of one family.

    Attributes
    ----------
    family : str
    preparation : Preparation
    estimator : Estimator
    bounds : (float, float)
        Least and largest estimate.
    """

    family: Family
    preparation: Preparation
    estimator: Estimator
    bounds: tuple[float, float]

    def predict(self, columns: Floats32) -> Floats32:
        """Return the estimates of points.

        Parameters
        ----------
        columns
            float32 (n_features, n_points); NaN is unknown and taken for the feature's median.

        Returns
        -------
        float32 (n_points,)
            In the target's units, within the bounds; NaN where more than half of the features
            that the model uses are unknown.

        Raises
        ------
        UserError
            If the number of features is another.
        """
        wanted = self.preparation.n_features
        if columns.ndim != 2 or len(columns) != wanted:
            raise UserError(
                f"this model takes features ({wanted}, n_points), found {columns.shape}"
            )
        found = np.empty(columns.shape[1], np.float32)
        for start in range(0, found.size, PIECE_POINTS):
            piece = slice(start, start + PIECE_POINTS)
            ready, enough = self.preparation.ready(columns[:, piece])
            estimates = np.clip(self.estimator(ready), *self.bounds)
            found[piece] = np.where(enough, estimates, np.nan)
        return found


def bounds_of(target: Floats) -> tuple[float, float]:
    """Return the least and the largest estimate that a fitted target allows."""
    low, high = float(target.min()), float(target.max())
    more = BEYOND * (high - low)
    return max(low - more, min(low, 0.0)), high + more


def known_families(names: tuple[str, ...]) -> tuple[Family, ...]:
    """Return families by name, in the order given.

    Raises
    ------
    ConfigError
        If there is none of a name, or one is named twice, or none at all.
    """
    unknown = [name for name in names if name not in FAMILIES]
    if unknown or not names or len(set(names)) < len(names):
        raise ConfigError(
            f"families is {', '.join(names) or 'empty'}: expected some of "
            f"{', '.join(FAMILIES)}, each once"
        )
    return tuple(name for one in names for name in FAMILIES if name == one)
