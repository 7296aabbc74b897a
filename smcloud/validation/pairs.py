"""Mergeable sums over pairs of an estimate and a reference: every score is a function of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from functools import reduce
from operator import add
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from smcloud.validation.pair_kernels import sum_groups

Floats: TypeAlias = npt.NDArray[np.float64]
PIECE_PAIRS = 2**16
"""Pairs that are summed at once where groups are many: ten arrays of so many fit a cache."""


@dataclass(frozen=True, eq=False)
class PairStats:
    """Sums over pairs (x, y), x the estimate and y the reference; all fields share one shape.

    The shape is that of the groups: () for one set of pairs, (stations,) for one set per
    station, (y, x) for one per pixel. Adding two merges the sets group by group; it is
    associative and commutative, and `zero` is neutral. A pair counts only where both
    values are known (not NaN). Units are those of the series, their squares, or none.

    Moments are kept about the means and merged by the parallel update of Chan, Golub and
    LeVeque (1979), so that nothing cancels for series with a large mean. The moment of
    the difference d = x - y is kept too: taken from the other sums it would lose its digits
    just where the estimate is good.
    """

    n: Floats
    mean_x: Floats
    mean_y: Floats
    m2_x: Floats
    """Sum of squares of x about its mean."""
    m2_y: Floats
    c_xy: Floats
    """Sum of products of x and y about their means."""
    m2_d: Floats
    """Sum of squares of d about its mean."""
    mean_d: Floats
    sum_abs_d: Floats

    @classmethod
    def zero(cls, shape: tuple[int, ...] = ()) -> PairStats:
        """Return the sums over no pair at all, for groups of `shape`."""
        return cls(*(np.zeros(shape) for _ in fields(cls)))

    @classmethod
    def of(cls, estimate: npt.ArrayLike, reference: npt.ArrayLike) -> PairStats:
        """Return the sums over all pairs of two arrays of one shape, as a single group."""
        return cls.along(np.ravel(estimate), np.ravel(reference))

    @classmethod
    def along(
        cls, estimate: npt.ArrayLike, reference: npt.ArrayLike, axis: int | tuple[int, ...] = 0
    ) -> PairStats:
        """Return the sums over `axis`; the other axes are the groups.

        With (time, y, x) blocks and axis 0 this gives the sums behind an error map. Large arrays
        are summed in pieces of whole groups, which bounds memory and stays in the cache.
        """
        x, y = np.asarray(estimate), np.asarray(reference)
        sides = _widest_kept(x, axis)
        if sides is None or x.shape != y.shape:
            return cls._along(x, y, axis)
        side, place = sides
        at_once = max(2, PIECE_PAIRS * x.shape[side] // x.size)
        cuts = range(at_once, x.shape[side], at_once)
        pieces = zip(np.split(x, cuts, side), np.split(y, cuts, side), strict=True)
        parts = [cls._along(*piece, axis) for piece in pieces]
        return cls(
            *(np.concatenate([getattr(p, f.name) for p in parts], place) for f in fields(cls))
        )

    @classmethod
    def _along(
        cls, estimate: npt.ArrayLike, reference: npt.ArrayLike, axis: int | tuple[int, ...]
    ) -> PairStats:
        x, y = _pairs(estimate, reference)
        known = np.isfinite(x) & np.isfinite(y)
        n = known.sum(axis=axis, dtype=np.float64)
        return _moments(x, y, known, n, lambda v: v.sum(axis=axis), lambda v: _spread(v, axis))

    @classmethod
    def grouped(
        cls,
        estimate: npt.ArrayLike,
        reference: npt.ArrayLike,
        groups: npt.ArrayLike,
        n_groups: int,
    ) -> PairStats:
        """Return the sums of each group; `groups` holds the group number of every pair.

        Raises
        ------
        ValueError
            When a group number lies outside 0 to n_groups - 1.
        """
        x, y = _pairs(estimate, reference)
        index = np.asarray(groups)
        if index.shape != x.shape:
            raise ValueError(f"expected a group number per pair, {x.shape}, found {index.shape}")
        if index.size and not (0 <= index.min() and index.max() < n_groups):
            raise ValueError(
                f"expected group numbers from 0 to {n_groups - 1}, "
                f"found {index.min()} to {index.max()}"
            )
        sums = np.zeros((len(fields(cls)), n_groups))
        flat = np.ascontiguousarray(index.ravel(), np.int64)
        sum_groups(x.ravel(), y.ravel(), flat, sums)
        return cls(*sums)

    @classmethod
    def stacked(cls, parts: Sequence[PairStats]) -> PairStats:
        """Return the groups of several sums of one shape along a new first axis."""
        return cls(
            *(np.stack([getattr(part, field.name) for part in parts]) for field in fields(cls))
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the groups."""
        return self.n.shape

    def __add__(self, other: PairStats) -> PairStats:
        """Merge group by group: the sums over the union of both sets of pairs."""
        n = self.n + other.n
        share = np.divide(other.n, n, out=np.zeros_like(n), where=n > 0)
        between = self.n * share
        step_x = other.mean_x - self.mean_x
        step_y = other.mean_y - self.mean_y
        step_d = other.mean_d - self.mean_d
        return PairStats(
            n=n,
            mean_x=self.mean_x + step_x * share,
            mean_y=self.mean_y + step_y * share,
            m2_x=self.m2_x + other.m2_x + step_x**2 * between,
            m2_y=self.m2_y + other.m2_y + step_y**2 * between,
            c_xy=self.c_xy + other.c_xy + step_x * step_y * between,
            m2_d=self.m2_d + other.m2_d + step_d**2 * between,
            mean_d=self.mean_d + step_d * share,
            sum_abs_d=self.sum_abs_d + other.sum_abs_d,
        )

    def total(self, axis: int | tuple[int, ...] | None = None) -> PairStats:
        """Return all groups along `axis` merged into one; None merges everything."""
        n = self.n.sum(axis=axis)

        def mean_of(means: Floats) -> tuple[Floats, Floats]:
            weighted = (means * self.n).sum(axis=axis)
            mean = np.divide(weighted, n, out=np.zeros_like(weighted), where=n > 0)
            return mean, means - _spread(mean, axis)

        mean_x, step_x = mean_of(self.mean_x)
        mean_y, step_y = mean_of(self.mean_y)
        mean_d, step_d = mean_of(self.mean_d)
        return PairStats(
            n=n,
            mean_x=mean_x,
            mean_y=mean_y,
            m2_x=(self.m2_x + self.n * step_x**2).sum(axis=axis),
            m2_y=(self.m2_y + self.n * step_y**2).sum(axis=axis),
            c_xy=(self.c_xy + self.n * step_x * step_y).sum(axis=axis),
            m2_d=(self.m2_d + self.n * step_d**2).sum(axis=axis),
            mean_d=mean_d,
            sum_abs_d=self.sum_abs_d.sum(axis=axis),
        )

    def weighted(self, weights: npt.ArrayLike) -> PairStats:
        """Return the sums with every group counted `weights` times (a bootstrap draw)."""
        times = np.asarray(weights, dtype=np.float64)
        sums = {"n", "m2_x", "m2_y", "c_xy", "m2_d", "sum_abs_d"}
        return self._each(
            lambda name, value: (
                value * times if name in sums else np.broadcast_to(value, np.shape(self.n * times))
            )
        )

    def reshaped(self, *shape: int) -> PairStats:
        """Return the same groups in another shape."""
        return self._each(lambda _, value: value.reshape(shape))

    def at(self, index: Any) -> PairStats:
        """Return the groups that `index` selects, as NumPy would index each field."""
        return self._each(lambda _, value: np.asarray(value[index]))

    def _each(self, change: Callable[[str, Floats], Floats]) -> PairStats:
        return PairStats(
            **{field.name: change(field.name, getattr(self, field.name)) for field in fields(self)}
        )


def merge(parts: Iterable[PairStats], shape: tuple[int, ...] = ()) -> PairStats:
    """Return the sum of all `parts`; the zero of `shape` when there is none."""
    return reduce(add, parts, PairStats.zero(shape))


def _pairs(estimate: npt.ArrayLike, reference: npt.ArrayLike) -> tuple[Floats, Floats]:
    x = np.asarray(estimate, dtype=np.float64)
    y = np.asarray(reference, dtype=np.float64)
    if x.shape != y.shape:
        raise ValueError(
            f"expected estimate and reference of one shape, found {x.shape}, {y.shape}"
        )
    return x, y


def _widest_kept(values: npt.NDArray[Any], axis: int | tuple[int, ...]) -> tuple[int, int] | None:
    """Return the longest axis that is not summed, and its place among the groups.

    None where there is none, or nothing to gain from pieces.
    """
    summed = {one % values.ndim for one in np.atleast_1d(axis).tolist()} if values.ndim else {0}
    kept = [one for one in range(values.ndim) if one not in summed]
    if not kept or values.size <= PIECE_PAIRS:
        return None
    side = max(kept, key=lambda one: values.shape[one])
    return side, kept.index(side)


def _spread(reduced: Floats, axis: int | tuple[int, ...] | None) -> Floats:
    return np.asarray(reduced) if axis is None else np.expand_dims(reduced, axis)


def _moments(
    x: Floats,
    y: Floats,
    known: npt.NDArray[np.bool_],
    n: Floats,
    total: Callable[[Floats], Floats],
    spread: Callable[[Floats], Floats],
) -> PairStats:
    """Return the sums by the two-pass formula, given how to sum and how to spread means."""
    difference = x - y

    def centred(values: Floats) -> tuple[Floats, Floats]:
        sums = total(np.where(known, values, 0.0))
        mean = np.divide(sums, n, out=np.zeros_like(sums), where=n > 0)
        return mean, np.where(known, values - spread(mean), 0.0)

    mean_x, from_mean_x = centred(x)
    mean_y, from_mean_y = centred(y)
    mean_d, from_mean_d = centred(difference)
    return PairStats(
        n=n,
        mean_x=mean_x,
        mean_y=mean_y,
        m2_x=total(from_mean_x**2),
        m2_y=total(from_mean_y**2),
        c_xy=total(from_mean_x * from_mean_y),
        m2_d=total(from_mean_d**2),
        mean_d=mean_d,
        sum_abs_d=total(np.where(known, np.abs(difference), 0.0)),
    )
