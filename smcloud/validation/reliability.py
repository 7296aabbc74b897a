"""Whether probabilities of an event come true: bins of a reliability diagram, and Brier's score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import UserError

Floats = NDArray[np.float64]
BINS = 10


@dataclass(frozen=True, eq=False)
class Reliability:
    """Sums over pairs of a probability and whether the event happened, by bins of probability.

    Adding two merges them: associative and commutative, and `zero` is neutral. The bins are of one
    width from 0 to 1; a probability of 1 is in the last one.

    Attributes
    ----------
    n : float64 (bins,)
        Pairs in each bin.
    probability, happened : float64 (bins,)
        Sums of the probabilities and of the events.
    square : float64 (bins,)
        Sum of (probability - event)^2.
    """

    n: Floats
    probability: Floats
    happened: Floats
    square: Floats

    @classmethod
    def zero(cls, bins: int = BINS) -> Reliability:
        """Return the sums over no pair at all."""
        return cls(*(np.zeros(bins) for _ in range(4)))

    @classmethod
    def of(cls, probability: NDArray[Any], happened: NDArray[Any], bins: int = BINS) -> Reliability:
        """Return the sums over all pairs of two arrays of one shape.

        Parameters
        ----------
        probability
            0 to 1; NaN is unknown and does not count.
        happened
            bool.

        Raises
        ------
        UserError
            If shapes differ, or a probability lies outside 0 to 1.
        """
        stated = np.asarray(probability, np.float64).ravel()
        event = np.asarray(happened, np.float64).ravel()
        if stated.size != event.size:
            raise UserError(f"expected an event per probability, found {stated.size}, {event.size}")
        known = np.isfinite(stated)
        stated, event = stated[known], event[known]
        if stated.size and (stated.min() < 0.0 or stated.max() > 1.0):
            raise UserError(
                f"expected probabilities from 0 to 1, found {stated.min():g} to {stated.max():g}"
            )
        place = np.minimum((stated * bins).astype(np.int64), bins - 1)

        def summed(values: Floats | None) -> Floats:
            return np.bincount(place, values, bins).astype(np.float64)

        return cls(summed(None), summed(stated), summed(event), summed((stated - event) ** 2))

    def __add__(self, other: Reliability) -> Reliability:
        """Merge bin by bin."""
        return Reliability(
            self.n + other.n,
            self.probability + other.probability,
            self.happened + other.happened,
            self.square + other.square,
        )

    @property
    def stated(self) -> Floats:
        """Return the mean probability of each bin; NaN in empty ones."""
        return _mean(self.probability, self.n)

    @property
    def observed(self) -> Floats:
        """Return how often the event happened in each bin; NaN in empty ones."""
        return _mean(self.happened, self.n)

    def to_lists(self) -> dict[str, list[float]]:
        """Return the sums as JSON can hold them."""
        return {name: values.tolist() for name, values in vars(self).items()}

    @classmethod
    def from_lists(cls, found: dict[str, list[float]]) -> Reliability:
        """Return what `to_lists` gave."""
        return cls(**{name: np.array(values, np.float64) for name, values in found.items()})


def brier_score(found: Reliability) -> float:
    """Return mean (probability - event)^2 (Brier 1950); 0 is perfect, NaN without a pair."""
    return float(_mean(found.square.sum(), found.n.sum()))


def brier_skill(found: Reliability) -> float:
    """Return 1 - Brier / that of the event's own frequency; NaN where it always or never happens.

    0 is a forecast that knows the frequency and nothing else.
    """
    share = _mean(found.happened.sum(), found.n.sum())
    return float(1.0 - _mean(np.float64(brier_score(found)), share * (1.0 - share)))


def calibration_error(found: Reliability) -> float:
    """Return the mean distance of stated from observed frequency, weighted by pairs in the bins."""
    away = np.where(found.n > 0, np.abs(found.stated - found.observed), 0.0)
    return float(_mean((away * found.n).sum(), found.n.sum()))


def _mean(sums: Floats | np.float64, n: Floats | np.float64) -> Floats:
    top, bottom = np.asarray(sums, np.float64), np.asarray(n, np.float64)
    return np.asarray(np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0))
