"""How much of a fine pattern to believe: the first guess scaled before it is anchored.

A model that learned from the means of cells is asked about pixels, whose features are noisier and
range wider; its pattern within cells is then right in part, and too strong. Of all multiples of the
pattern, the one nearest to the truth is

    factor = covariance(pattern, truth) / variance(pattern)

(regression calibration; Carroll et al. 2006, Measurement Error in Nonlinear Models, chapter 4). The
variance is that of the first guess within coarse cells. The covariance within cells is unknown, for
nothing coarse knows the truth there; the one between the cells of a group, on cells that the model
did not see, stands for it. That is an assumption: causes that work between cells work within
them, with the same strength. A factor of 0 leaves the smooth coarse field, which is anchored all
the same, and 1 the model's own pattern.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smcloud.grids.cells import totals
from smcloud.models.cell_sums import packed

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Indices = NDArray[np.int64]

LEAST_PIXELS = 100
"""Known pixels of a cell in a block below which it tells nothing of the variance within cells."""
WINDOW_DAYS = 31
"""Days whose variances are taken together: a day under cloud knows few pixels."""
DECIMALS = 3
"""Factors are rounded, so that they do not hang on the order in which blocks are summed."""


@dataclass(frozen=True, eq=False)
class Spread:
    """How much a first guess varies within cells, each day.

    Attributes
    ----------
    squares : float64 (days,)
        Sum of squared departures from the means of their cells.
    pixels : float64 (days,)
        Pixels that were summed, one less for each cell.
    """

    squares: Floats
    pixels: Floats

    def to_bytes(self) -> bytes:
        """Return the sums as an NPZ file; equal sums give equal bytes."""
        return packed(squares=self.squares, pixels=self.pixels)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Spread":
        """Return the sums that `to_bytes` wrote."""
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            return cls(found["squares"], found["pixels"])


def within_cells(first_guess: Floats32, cell_of: Indices) -> tuple[Floats, Floats]:
    """Return squared departures and pixels of each day, as `Spread` holds them.

    Parameters
    ----------
    first_guess
        (days, n_points) float32, NaN for unknown.
    cell_of
        (n_points,) cell of each.
    """
    n_cells = int(cell_of.max(initial=-1)) + 1
    total, known = totals(first_guess, cell_of, n_cells)
    square, _ = totals(np.square(first_guess), cell_of, n_cells)
    count = np.maximum(known, 1)
    away = np.maximum(square - total**2 / count, 0.0)
    enough = known >= LEAST_PIXELS
    squares = np.where(enough, away, 0.0).sum(axis=1)
    return squares, np.where(enough, known - 1.0, 0.0).sum(axis=1)


def merged(parts: Sequence[Spread]) -> Spread:
    """Return the sums over all parts, in their order."""
    return Spread(
        np.sum([part.squares for part in parts], axis=0),
        np.sum([part.pixels for part in parts], axis=0),
    )


def factors(spread: Spread, covariance: Floats) -> Floats32:
    """Return the factor of each day, (days,) float32, from 0 to 1.

    Parameters
    ----------
    spread
        Of the whole region.
    covariance
        (days,) of estimate and truth between the cells of a group; NaN where it is unknown, which
        gives 1: nothing is known against the pattern.
    """
    window = np.ones(WINDOW_DAYS)
    squares, pixels = (np.convolve(v, window, "same") for v in (spread.squares, spread.pixels))
    variance = np.full(squares.shape, np.nan)
    np.divide(squares, pixels, out=variance, where=pixels > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.clip(covariance / variance, 0.0, 1.0)
    return np.where(np.isfinite(found), found.round(DECIMALS), 1.0).astype(np.float32)


def factors_to_bytes(found: Floats32) -> bytes:
    """Return factors as an NPZ file."""
    return packed(factors=found)


def factors_from(data: bytes) -> Floats32:
    """Return the factors that `factors_to_bytes` wrote."""
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        found: Floats32 = stored["factors"]
        return found
