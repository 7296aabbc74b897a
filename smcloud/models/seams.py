"""Coarse cells that the day's orbits missed, estimated from the days around and today's predictors.

A day t of a cell is estimated as what lies between its nearest known neighbours in time, corrected
by a ridge regression on how far each of the known neighbours t - n .. t + n is from that, on how
far that is from the cell's own mean, and on today's predictors as departures from their mean over
the same days. Which neighbours are known decides which regression applies: there is one for each
pattern that occurs, fitted over all cells on days that were observed and whose neighbours of the
pattern were too. Without enough such days it shrinks to the line between the nearest. Rain is no
predictor unless the caller passes it: a fill that has seen the rain could not be judged by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import UserError
from smcloud.grids.grid import Floats

Bools = NDArray[np.bool_]
Patterns = NDArray[np.int64]

CELLS_AT_ONCE = 512
"""Cells of a year that are worked on together: some tens of megabytes."""


class SeamState(IntEnum):
    """Where a value comes from."""

    OBSERVED = 0
    FILLED = 1
    UNKNOWN = 255


@dataclass(frozen=True)
class SeamRule:
    """How seams are filled."""

    days: int = 3
    """n: neighbours to either side in time. Orbits of AMSR leave a cell unseen two days at most."""
    ridge: float = 100.0
    """Rows of evidence against every coefficient, in standard units."""
    minimum_days: int = 10
    """Known days below which a cell is not filled: its mean and spread say nothing."""

    def __post_init__(self) -> None:
        if self.days < 1 or self.ridge <= 0 or self.minimum_days < 2:
            raise UserError(
                "seams need at least 1 day to either side, a ridge above 0 and at least 2 known "
                f"days of a cell, found {self.days}, {self.ridge}, {self.minimum_days}"
            )

    @property
    def lags(self) -> tuple[int, ...]:
        """Return the neighbours in days from the estimated one."""
        return tuple(lag for lag in range(-self.days, self.days + 1) if lag)


@dataclass(frozen=True, eq=False)
class SeamSums:
    """Normal equations of each pattern; those of parts of the cells add up to those of all.

    Attributes
    ----------
    patterns : int64 (patterns,)
        Bit b is set where neighbour b of the rule's lags is known, the next one where predictors
        are.
    squares : (patterns, q, q)
    products : (patterns, q)
        Sums over rows; q columns: 1, what lies between the nearest neighbours, how far each
        neighbour is from that, each predictor.
    rows : (patterns,)
    """

    patterns: Patterns
    squares: Floats
    products: Floats
    rows: Floats

    def __add__(self, other: SeamSums) -> SeamSums:
        if not np.array_equal(self.patterns, other.patterns):
            raise UserError("sums over seams add up only if they are over the same patterns")
        return SeamSums(
            self.patterns,
            self.squares + other.squares,
            self.products + other.products,
            self.rows + other.rows,
        )


@dataclass(frozen=True, eq=False)
class SeamModel:
    """One ridge regression per pattern.

    Attributes
    ----------
    rule : SeamRule
    patterns : int64 (patterns,)
    coefficients : (patterns, q)
        In standard units of the cell, on top of what lies between the nearest known neighbours.
    rows : (patterns,)
        Rows that each was fitted on.
    """

    rule: SeamRule
    patterns: Patterns
    coefficients: Floats
    rows: Floats


@dataclass(frozen=True, eq=False)
class SeamFill:
    """A series without seams.

    Attributes
    ----------
    values : (days, cells)
        Observed, else estimated, m3 m-3 and never below 0; NaN unknown.
    state : uint8 (days, cells)
        `SeamState` of each.
    model : SeamModel
    """

    values: Floats
    state: NDArray[np.uint8]
    model: SeamModel


def fill_seams(
    moisture: Floats, missed: Bools, predictors: Floats | None = None, rule: SeamRule | None = None
) -> SeamFill:
    """Return the series with seams filled where a neighbour in time is known.

    Parameters
    ----------
    moisture : (days, cells)
        Consecutive days; NaN unknown. Days that should only lend their values to others (the ends
        of the years beside) are part of it, as never missed.
    missed : (days, cells)
        What is to be estimated: cells that no orbit saw. Retrievals that failed (frozen ground,
        interference) are no seams and should be False.
    predictors : (predictors, days, cells)
        Of the same days, filled under clouds; where one is NaN, none is used. None: neighbours
        alone.
    """
    rule = rule or SeamRule()
    given = _given(moisture, predictors)
    patterns = seam_patterns(moisture, missed, given, rule)
    model = solve_seams(seam_sums(moisture, given, patterns, rule), rule)
    return apply_seams(model, moisture, missed, given)


def seam_patterns(moisture: Floats, missed: Bools, predictors: Floats, rule: SeamRule) -> Patterns:
    """Return the patterns that occur at missed cells, sorted; those of parts unite to the whole."""
    found = [
        np.unique(part.pattern[missed[:, cells] & part.is_usable])
        for cells, part in _parts(moisture, predictors, rule)
    ]
    return np.unique(np.concatenate([*found, np.zeros(0, np.int64)])).astype(np.int64)


def seam_sums(moisture: Floats, predictors: Floats, patterns: Patterns, rule: SeamRule) -> SeamSums:
    """Return the normal equations of each pattern over observed days with these neighbours."""
    size = 2 + len(rule.lags) + len(predictors)
    squares = np.zeros((patterns.size, size, size))
    products, rows = np.zeros((patterns.size, size)), np.zeros(patterns.size)
    for _, part in _parts(moisture, predictors, rule):
        observed = np.isfinite(part.today)
        for number, pattern in enumerate(patterns):
            at = observed & ((part.pattern & pattern) == pattern)
            design, base = part.design(int(pattern), at)
            squares[number] += design @ design.T
            products[number] += design @ (part.today[at] - base)
            rows[number] += base.size
    return SeamSums(patterns, squares, products, rows)


def solve_seams(sums: SeamSums, rule: SeamRule) -> SeamModel:
    """Return the regressions; one without rows has zeros, the line between the nearest days."""
    size = sums.products.shape[1]
    penalised = sums.squares + rule.ridge * np.eye(size)
    coefficients = np.linalg.solve(penalised, sums.products[..., None])[..., 0]
    return SeamModel(rule, sums.patterns, np.asarray(coefficients, np.float64), sums.rows)


def apply_seams(model: SeamModel, moisture: Floats, missed: Bools, predictors: Floats) -> SeamFill:
    """Return the series with missed cells estimated; a pattern the model lacks is left unknown."""
    values = moisture.astype(np.float64)
    wanted = missed & ~np.isfinite(values)
    for cells, part in _parts(moisture, predictors, model.rule):
        for number, pattern in enumerate(model.patterns):
            at = wanted[:, cells] & part.is_usable & (part.pattern == pattern)
            design, base = part.design(int(pattern), at)
            standard = base + model.coefficients[number] @ design
            of_cell = np.nonzero(at)[1]
            estimate = part.mean[of_cell] + part.spread[of_cell] * standard
            values[:, cells][at] = np.maximum(estimate, 0.0)
    state = np.where(np.isfinite(moisture), SeamState.OBSERVED, SeamState.UNKNOWN)
    state = np.where(wanted & np.isfinite(values), SeamState.FILLED, state).astype(np.uint8)
    return SeamFill(values, state, model)


@dataclass(frozen=True, eq=False)
class _Part:
    """Some cells in standard units.

    Attributes
    ----------
    today : (days, cells)
    neighbours : (lags, days, cells)
    predictors : (predictors, days, cells)
        Departures from the mean over the days around.
    pattern : int64 (days, cells)
    is_usable : (days, cells)
        Whether an estimate can be made: a neighbour is known, and the cell's mean and spread.
    mean, spread : (cells,)
    lags : tuple of int
    """

    today: Floats
    neighbours: Floats
    predictors: Floats
    pattern: Patterns
    is_usable: Bools
    mean: Floats
    spread: Floats
    lags: tuple[int, ...]

    def design(self, pattern: int, at: Bools) -> tuple[Floats, Floats]:
        """Return the columns (q, rows) and what lies between the nearest neighbours (rows,)."""
        lags = len(self.neighbours)
        columns = np.zeros((2 + lags + len(self.predictors), int(at.sum())))
        taken = [lag for lag in range(lags) if pattern >> lag & 1]
        values = self.neighbours[taken][:, at]
        base = _between([self.lags[lag] for lag in taken]) @ values
        columns[0], columns[1] = 1.0, base
        columns[[2 + lag for lag in taken]] = values - base
        if pattern >> lags & 1:
            columns[2 + lags :] = self.predictors[:, at]
        return columns, base


def _parts(moisture: Floats, predictors: Floats, rule: SeamRule) -> Iterator[tuple[slice, _Part]]:
    """Yield groups of cells in standard units: nothing of a cell depends on its group."""
    for start in range(0, moisture.shape[1], CELLS_AT_ONCE):
        cells = slice(start, min(start + CELLS_AT_ONCE, moisture.shape[1]))
        yield cells, _part(moisture[:, cells].astype(np.float64), predictors[:, :, cells], rule)


def _part(moisture: Floats, predictors: Floats, rule: SeamRule) -> _Part:
    mean, spread = _moments(moisture, rule.minimum_days)
    # A cell that never varies is estimated as its mean, whatever others do.
    today = (moisture - mean) / np.where(spread > 0, spread, 1.0)
    neighbours = np.stack([_shifted(today, lag) for lag in rule.lags])
    found = [_departure(one, rule) for one in predictors.astype(np.float64)]
    departures = np.array(found).reshape(predictors.shape)
    bits = np.isfinite(neighbours)
    pattern = (bits * (1 << np.arange(len(bits)))[:, None, None]).sum(axis=0)
    has_neighbour = pattern > 0
    if len(departures):
        pattern = pattern + (np.isfinite(departures).all(axis=0) << len(bits))
    # The cell's own mean is unknown exactly where all its values in standard units are.
    return _Part(today, neighbours, departures, pattern, has_neighbour, mean, spread, rule.lags)


def _between(lags: Sequence[int]) -> Floats:
    """Return the weights of neighbours under which they give the line between the nearest two.

    Where there are none on one side of the day, the nearest one has all the weight.
    """
    before, after = [lag for lag in lags if lag < 0], [lag for lag in lags if lag > 0]
    weights = np.zeros(len(lags))
    if before and after:
        first, last = max(before), min(after)
        weights[lags.index(first)] = last / (last - first)
        weights[lags.index(last)] = -first / (last - first)
    else:
        weights[lags.index(max(before) if before else min(after))] = 1.0
    return weights


def _moments(values: Floats, minimum_days: int) -> tuple[Floats, Floats]:
    """Return mean and spread of each cell, NaN where too few days are known."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    enough = count >= minimum_days
    total = np.where(known, values, 0.0).sum(axis=0)
    mean = np.divide(total, count, out=np.full(count.shape, np.nan), where=enough)
    squares = (np.where(known, values - mean, 0.0) ** 2).sum(axis=0)
    spread = np.sqrt(np.divide(squares, count, out=np.full(count.shape, np.nan), where=enough))
    # Equal values leave rounding noise about their mean.
    return mean, np.where(spread <= 1e-9 * np.abs(mean), 0.0, spread)


def _departure(values: Floats, rule: SeamRule) -> Floats:
    """Return a predictor (days, cells) less its mean over the neighbours in time, standardised."""
    _, spread = _moments(values, rule.minimum_days)
    around = np.stack([_shifted(values, lag) for lag in rule.lags])
    known = np.isfinite(around)
    count = known.sum(axis=0)
    total = np.where(known, around, 0.0).sum(axis=0)
    mean = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    return np.asarray((values - mean) / np.where(spread > 0, spread, 1.0))


def _shifted(values: Floats, lag: int) -> Floats:
    """Return the values `lag` days later; NaN beyond the ends."""
    found = np.full(values.shape, np.nan)
    size = len(values) - abs(lag)
    if size > 0:
        start = max(-lag, 0)
        found[start : start + size] = values[start + lag : start + lag + size]
    return found


def _given(moisture: Floats, predictors: Floats | None) -> Floats:
    """Return the predictors (predictors, days, cells), none as an array of no predictors."""
    if predictors is None:
        return np.zeros((0, *moisture.shape))
    if predictors.shape[1:] != moisture.shape:
        raise UserError(
            f"predictors of seams must be (predictors, days, cells) = (..., {moisture.shape[0]}, "
            f"{moisture.shape[1]}), found {predictors.shape}"
        )
    return predictors
