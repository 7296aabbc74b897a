"""Sums of several estimates by square of cells and month, and how far estimates differ for certain.

Errors of neighbouring cells and of days that follow each other are alike: a bootstrap that drew
pixels would make intervals of no width. Here whole squares of cells in whole months are drawn, the
same ones for all estimates, so that the difference of two estimates has an interval of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smcloud.grids.grid import Grid
from smcloud.validation.collocation import MONTHS
from smcloud.validation.metrics import SCORES, Interval, all_scores
from smcloud.validation.pairs import Floats, PairStats

SQUARE_CELLS = 3
"""Cells on the side of a square: with 36 km, the squares that models are held out by."""
DRAWS, DRAWS_AT_ONCE = 1000, 50
LEVEL = 0.95
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SquareSums:
    """Sums by square and month; those of blocks add up, though a square lies across blocks.

    Attributes
    ----------
    squares : int64 (n,)
        Numbers of the squares, ascending.
    sums : PairStats (estimates, n, 12)
    """

    squares: Indices
    sums: PairStats

    @classmethod
    def zero(cls, n_estimates: int) -> SquareSums:
        """Return the sums over nothing."""
        return cls(np.zeros(0, np.int64), PairStats.zero((n_estimates, 0, MONTHS)))

    def __add__(self, other: SquareSums) -> SquareSums:
        """Return the sums over the union of both."""
        squares = np.union1d(self.squares, other.squares)
        if squares.size == self.squares.size == other.squares.size:
            return SquareSums(squares, self.sums + other.sums)
        return SquareSums(squares, self._on(squares) + other._on(squares))

    def _on(self, squares: Indices) -> PairStats:
        """Return the sums on more squares, nothing where there was none."""
        if not self.squares.size:
            return PairStats.zero((self.sums.shape[0], squares.size, MONTHS))
        place = np.searchsorted(self.squares, squares).clip(max=self.squares.size - 1)
        found = self.sums.at((slice(None), place))
        is_own = (self.squares[place] == squares)[None, :, None]
        return found.weighted(is_own.astype(np.float64))

    def blocks(self) -> PairStats:
        """Return the sums (estimates, blocks) of the squares and months with any pair."""
        flat = self.sums.reshaped(self.sums.shape[0], -1)
        return flat.at((slice(None), flat.n[0] > 0))


def squares_of(grid: Grid, rows: Indices, cols: Indices) -> Indices:
    """Return the number of the square that holds each cell of a coarse grid."""
    across = -(-grid.cols // SQUARE_CELLS)
    return np.asarray(rows // SQUARE_CELLS * across + cols // SQUARE_CELLS)


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of several estimates on the same pairs.

    Attributes
    ----------
    values : tuple of mapping
        Every score of each estimate, with its interval.
    less : tuple of mapping
        The first estimate's score less that of each, with the interval of the difference; the
        first one is 0 throughout.
    blocks : int
        Squares and months that the bootstrap drew from; intervals are NaN with fewer than two.
    """

    values: tuple[Mapping[str, Interval], ...]
    less: tuple[Mapping[str, Interval], ...]
    blocks: int


def scored(sums: SquareSums, *, seed: int) -> Scored:
    """Return the scores over all squares and months, with bootstrap intervals."""
    blocks = sums.blocks()
    number = blocks.shape[1]
    value = all_scores(blocks.total(axis=1))
    drawn = _drawn(blocks, seed) if number > 1 else {}
    values, less = [], []
    for estimate in range(blocks.shape[0]):
        found, differ = {}, {}
        for name in SCORES:
            draws = drawn.get(name, np.zeros((blocks.shape[0], 0)))
            found[name] = _interval(value[name][estimate], draws[estimate])
            gap = value[name][0] - value[name][estimate]
            differ[name] = _interval(gap, draws[0] - draws[estimate])
        values.append(found)
        less.append(differ)
    return Scored(tuple(values), tuple(less), number)


def _drawn(blocks: PairStats, seed: int) -> dict[str, Floats]:
    """Return each score of each estimate in each draw, (estimates, draws)."""
    number, rng = blocks.shape[1], np.random.default_rng(seed)
    parts: list[dict[str, Floats]] = []
    for _ in range(0, DRAWS, DRAWS_AT_ONCE):
        times = rng.multinomial(number, np.full(number, 1 / number), size=DRAWS_AT_ONCE)
        one = blocks.at((slice(None), None)).weighted(times[None].astype(np.float64))
        parts.append(all_scores(one.total(axis=2)))
    return {name: np.concatenate([part[name] for part in parts], axis=1) for name in SCORES}


def _interval(value: float, draws: Floats) -> Interval:
    known = draws[np.isfinite(draws)]
    ends = np.full(2, np.nan)
    if known.size:
        ends = np.quantile(known, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return Interval(np.asarray(value), np.asarray(ends[0]), np.asarray(ends[1]))
