"""Confusion counts of classes that can be merged, and the scores that are functions of them.

Rows are true classes, columns estimated ones. The scores are the usual ones of maps (Congalton
1991, doi:10.1016/0034-4257(91)90048-B); kappa is Cohen's (1960, doi:10.1177/001316446002000104).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import UserError

Floats = NDArray[np.float64]
Codes = NDArray[Any]
TRUE_AXIS, ESTIMATED_AXIS = -2, -1
UNKNOWN = -1
"""Code of a class that is not known; such pairs do not count."""


@dataclass(frozen=True, eq=False)
class Confusion:
    """How often each true class was estimated as each class.

    Adding two merges them group by group: associative and commutative, and `zero` is neutral.

    Attributes
    ----------
    classes : tuple of str
        Names, in the order of the codes.
    counts : int64 (..., n_classes, n_classes)
        True class by estimated class; leading axes are groups.
    """

    classes: tuple[str, ...]
    counts: NDArray[np.int64]

    @classmethod
    def zero(cls, classes: Sequence[str], shape: tuple[int, ...] = ()) -> Confusion:
        """Return the counts of no pair at all, for groups of `shape`."""
        n_classes = len(classes)
        return cls(tuple(classes), np.zeros((*shape, n_classes, n_classes), np.int64))

    @classmethod
    def of(cls, true: Codes, estimated: Codes, classes: Sequence[str]) -> Confusion:
        """Return the counts over all pairs of two arrays of one shape, as a single group.

        Parameters
        ----------
        true, estimated
            Codes from 0; below 0 is unknown.
        """
        return cls.grouped(true, estimated, np.zeros(np.shape(true), np.int64), 1, classes).at(0)

    @classmethod
    def grouped(
        cls,
        true: Codes,
        estimated: Codes,
        groups: Codes,
        n_groups: int,
        classes: Sequence[str],
    ) -> Confusion:
        """Return the counts of each group, (n_groups, n_classes, n_classes).

        Parameters
        ----------
        groups
            Number of the group of each pair, from 0; below 0 is in none.

        Raises
        ------
        UserError
            If shapes differ, or a code or group lies beyond the last one.
        """
        n_classes = len(classes)
        parts = [np.asarray(one).ravel().astype(np.int64) for one in (true, estimated, groups)]
        if len({part.size for part in parts}) > 1:
            sizes = ", ".join(str(part.size) for part in parts)
            raise UserError(f"expected true, estimated and groups of one size, found {sizes}")
        limits = (("true class", n_classes), ("estimated class", n_classes), ("group", n_groups))
        for part, (noun, limit) in zip(parts, limits, strict=True):
            if part.max(initial=UNKNOWN) >= limit:
                raise UserError(f"expected a {noun} from 0 to {limit - 1}, found {part.max()}")
        known = np.logical_and.reduce([part >= 0 for part in parts])
        real, found, group = (part[known] for part in parts)
        flat = (group * n_classes + real) * n_classes + found
        counts = np.bincount(flat, minlength=n_groups * n_classes * n_classes)
        return cls(tuple(classes), counts.reshape(n_groups, n_classes, n_classes))

    @property
    def n(self) -> NDArray[np.int64]:
        """Return the pairs of each group."""
        return np.asarray(self.counts.sum(axis=(TRUE_AXIS, ESTIMATED_AXIS)))

    def __add__(self, other: Confusion) -> Confusion:
        """Merge group by group; raises `UserError` if the classes are others."""
        if self.classes != other.classes:
            raise UserError(
                f"confusion counts of {', '.join(self.classes)} cannot be added to those of "
                f"{', '.join(other.classes)}"
            )
        return Confusion(self.classes, self.counts + other.counts)

    def at(self, index: Any) -> Confusion:
        """Return the groups that `index` selects, as NumPy would index their axes."""
        return Confusion(self.classes, np.asarray(self.counts[index]))

    def total(self) -> Confusion:
        """Return all groups merged into one."""
        leading = tuple(range(self.counts.ndim - 2))
        return Confusion(self.classes, np.asarray(self.counts.sum(axis=leading)))

    def to_lists(self) -> list[Any]:
        """Return the counts as JSON can hold them."""
        found: list[Any] = self.counts.tolist()
        return found


def merged(parts: Iterable[Confusion], classes: Sequence[str]) -> Confusion:
    """Return the sum of all parts of one shape; nothing counted when there is none."""
    return reduce(add, parts, Confusion.zero(classes))


def overall_accuracy(found: Confusion) -> Floats:
    """Return the share of pairs that agree, per group; NaN without a pair."""
    return _ratio(_agreeing(found).sum(axis=-1), found.n)


def kappa(found: Confusion) -> Floats:
    """Return Cohen's kappa per group: (po - pe) / (1 - pe), po the share that agrees.

    pe is the agreement of two that draw at random with the same shares of classes. NaN where there
    is no pair, or where both know one class only.
    """
    n = found.n.astype(np.float64)
    true, estimated = _true(found).astype(np.float64), _estimated(found).astype(np.float64)
    by_chance = _ratio((true * estimated).sum(axis=-1), n**2)
    return _ratio(overall_accuracy(found) - by_chance, 1.0 - by_chance)


def producers_accuracy(found: Confusion) -> Floats:
    """Return the share of each true class that was found, (..., n_classes): 1 - omission error."""
    return _ratio(_agreeing(found), _true(found))


def users_accuracy(found: Confusion) -> Floats:
    """Return the share of each estimated class that is true, (..., n_classes): 1 - commission."""
    return _ratio(_agreeing(found), _estimated(found))


def f1(found: Confusion) -> Floats:
    """Return F1 of each class, (..., n_classes): 2 both / (true + estimated).

    That is the harmonic mean of producer's and user's accuracy. NaN where the class is neither
    true nor estimated; 0 where it is one of the two and never both.
    """
    return _ratio(2.0 * _agreeing(found), _true(found) + _estimated(found))


def balanced_accuracy(found: Confusion) -> Floats:
    """Return the mean of the producer's accuracies of the classes that are there, per group.

    A guess of the commonest class alone has one divided by the number of classes.
    """
    each = producers_accuracy(found)
    known = np.isfinite(each)
    return _ratio(np.where(known, each, 0.0).sum(axis=-1), known.sum(axis=-1))


WHOLE_SCORES: Mapping[str, Callable[[Confusion], Floats]] = {
    "overall_accuracy": overall_accuracy,
    "kappa": kappa,
    "balanced_accuracy": balanced_accuracy,
}
CLASS_SCORES: Mapping[str, Callable[[Confusion], Floats]] = {
    "F1": f1,
    "producers_accuracy": producers_accuracy,
    "users_accuracy": users_accuracy,
}


def all_scores(found: Confusion) -> dict[str, float]:
    """Return every score of a single group by name, those of a class as ``F1 frozen``; and n."""
    scores = {name: float(score(found)) for name, score in WHOLE_SCORES.items()}
    for name, score in CLASS_SCORES.items():
        each = score(found)
        scores |= {f"{name} {word}": float(each[k]) for k, word in enumerate(found.classes)}
    return scores | {"n": float(found.n)}


class Ends(NamedTuple):
    """A score and the ends of its interval; NaN ends where there is none."""

    value: float
    low: float
    high: float


def interval(
    blocks: Confusion,
    score: Callable[[Confusion], Floats],
    *,
    level: float = 0.95,
    draws: int = 500,
    seed: int = 0,
) -> Ends:
    """Return a score over all groups with its interval by a bootstrap of whole groups.

    Days and cells next to each other are not independent: the groups are to be spatial blocks.

    Parameters
    ----------
    blocks
        Counts (n_blocks, n_classes, n_classes); with fewer than two of them there are no ends.
    score
        One of `WHOLE_SCORES`.
    """
    return _bootstrapped((blocks,), lambda ways: score(ways[0]), level, draws, seed)


def gain_interval(
    blocks: Confusion,
    others: Confusion,
    score: Callable[[Confusion], Floats],
    *,
    level: float = 0.95,
    draws: int = 500,
    seed: int = 0,
) -> Ends:
    """Return by how much a score is larger than another way's on the same pairs, as `interval`.

    Both ways are drawn by the same blocks, so that what makes a block hard for both cancels out.
    """
    return _bootstrapped(
        (blocks, others), lambda ways: score(ways[0]) - score(ways[1]), level, draws, seed
    )


def _bootstrapped(
    ways: tuple[Confusion, ...],
    score: Callable[[Sequence[Confusion]], Floats],
    level: float,
    draws: int,
    seed: int,
) -> Ends:
    value = float(score([way.total() for way in ways]))
    used = np.any([way.n > 0 for way in ways], axis=0)
    n_blocks = int(used.sum())
    if n_blocks < 2:
        return Ends(value, np.nan, np.nan)
    rng = np.random.default_rng([seed, 7])
    times = rng.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), size=draws)
    drawn = score(
        [Confusion(way.classes, np.tensordot(times, way.counts[used], axes=1)) for way in ways]
    )
    low, high = np.nanquantile(drawn, [0.5 - level / 2, 0.5 + level / 2])
    return Ends(value, float(low), float(high))


def _agreeing(found: Confusion) -> NDArray[np.int64]:
    return np.diagonal(found.counts, axis1=TRUE_AXIS, axis2=ESTIMATED_AXIS)


def _true(found: Confusion) -> NDArray[np.int64]:
    return np.asarray(found.counts.sum(axis=ESTIMATED_AXIS))


def _estimated(found: Confusion) -> NDArray[np.int64]:
    return np.asarray(found.counts.sum(axis=TRUE_AXIS))


def _ratio(above: NDArray[Any], below: NDArray[Any]) -> Floats:
    """Return a quotient, NaN where the divisor is 0 or unknown."""
    top, bottom = np.asarray(above, np.float64), np.asarray(below, np.float64)
    shape = np.broadcast_shapes(top.shape, bottom.shape)
    return np.asarray(np.divide(top, bottom, out=np.full(shape, np.nan), where=bottom != 0))
