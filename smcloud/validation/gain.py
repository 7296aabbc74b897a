"""What downscaling gains over its own coarse input, against the truth at every pixel.

A downscaler that does not beat the bilinear interpolation of what it was given has failed, and so
has one that beats it only because the coarse field is right: hence the scores within cells, where
the mean of each cell and day is taken out of all three fields. Edges of cells must not show: steps
between neighbouring pixels across an edge are held against those inside cells.

Everything here works on one block and gives back sums that add up over any set of blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from smcloud.cube.store import open_cube
from smcloud.grids.grid import SIN1KM, Window
from smcloud.grids.land import land_mask
from smcloud.validation.collocation import (
    MONTHS,
    CoarseReader,
    Floats32,
    Indices,
    Layer,
    at_points,
    coarse_reader,
    month_of,
)
from smcloud.validation.pairs import PairStats

STEP_EDGES = np.concatenate([np.linspace(0.0, 0.1, 1001), [np.inf]])
"""Bins of the step between two neighbouring pixels, m3 m-3."""
LEAST_PIXELS = 100
"""Known pixels of a cell in a block below which the cell is left out of the scores within cells: a
mean of few pixels takes away what is to be judged."""
INSIDE, ACROSS = 0, 1


@dataclass(frozen=True)
class GainRequest:
    """What is compared.

    Attributes
    ----------
    product, truth : Layer
        On the output grid.
    coarse : Layer
        What the product was made from; interpolated to the pixels.
    flag : str
        Variable of the product's store whose bits name states.
    states : tuple of (name, mask)
        A pixel-day is in the first state whose mask its flag meets, else in the last one.
    step : int
        Days read at once, which bounds memory.
    """

    product: Layer
    truth: Layer
    coarse: Layer
    flag: str
    states: tuple[tuple[str, int], ...]
    step: int = 46


@dataclass(frozen=True, eq=False)
class Gain:
    """Sums of one block, or of many.

    Attributes
    ----------
    product, coarse : PairStats (12,)
        Estimate and interpolated coarse value against the truth, on the same pixel-days, by month.
    within_product, within_coarse : PairStats ()
        The same with the mean of each cell and day removed.
    states : PairStats (states,)
        The product against the truth by state.
    steps : int64 (2, bins)
        Steps between neighbours inside cells, and across their edges, per bin of `STEP_EDGES`.
    known, land : int64 (days,)
        Pixels with an estimate on each day, and land pixels.
    """

    product: PairStats
    coarse: PairStats
    within_product: PairStats
    within_coarse: PairStats
    states: PairStats
    steps: NDArray[np.int64]
    known: NDArray[np.int64]
    land: NDArray[np.int64]

    def __add__(self, other: Gain) -> Gain:
        """Return the sums over the union of both."""
        return Gain(
            self.product + other.product,
            self.coarse + other.coarse,
            self.within_product + other.within_product,
            self.within_coarse + other.within_coarse,
            self.states + other.states,
            self.steps + other.steps,
            self.known + other.known,
            self.land + other.land,
        )

    @property
    def edge_ratio(self) -> float:
        """Return the median step across edges over the median step inside; NaN without both."""
        inside, across = (_median(counts) for counts in self.steps)
        return across / inside if inside > 0.0 else float("nan")

    @property
    def coverage(self) -> NDArray[np.float64]:
        """Return the share of land with an estimate on each day, (days,)."""
        return np.asarray(self.known / np.maximum(self.land, 1))


def total(parts: list[Gain]) -> Gain:
    """Return the sums over all blocks; there must be one."""
    return reduce(lambda one, other: one + other, parts)


def gain_of_block(asked: GainRequest, window: Window) -> Gain:
    """Return the sums of one block of pixels over all days of the year."""
    days = asked.product.open().times
    found = _nothing(len(asked.states), len(days))
    points = np.flatnonzero(land_mask(window))
    reader = coarse_reader(asked.coarse, window, points)
    if reader is None:
        return found
    cells = _cell_numbers(asked.coarse, window, points)
    pairs = _Neighbours.of(window, points, cells)
    months = month_of(days)
    for start in range(0, len(days), asked.step):
        steps = slice(start, min(start + asked.step, len(days)))
        part = _slab(asked, window, points, reader, cells, pairs, months, steps)
        found = found + part
    return found


def _slab(
    asked: GainRequest,
    window: Window,
    points: Indices,
    reader: CoarseReader,
    cells: Indices,
    pairs: _Neighbours,
    months: Indices,
    steps: slice,
) -> Gain:
    estimate = at_points(asked.product, steps, window, points)
    coverage = np.zeros((2, len(months)), np.int64)
    coverage[0, steps], coverage[1, steps] = np.isfinite(estimate).sum(axis=1), len(points)
    jumps = pairs.steps(estimate)
    truth, coarse = at_points(asked.truth, steps, window, points), reader.read(steps)
    unpaired = np.isnan(truth) | np.isnan(estimate) | np.isnan(coarse)
    for values in (estimate, truth, coarse):
        values[unpaired] = np.nan
    month = np.broadcast_to(months[steps, None], estimate.shape)
    state = _states(asked, steps, window, points)
    inner = [_within(values, cells) for values in (estimate, coarse, truth)]
    return Gain(
        PairStats.grouped(estimate, truth, month, MONTHS),
        PairStats.grouped(coarse, truth, month, MONTHS),
        PairStats.of(inner[0], inner[2]),
        PairStats.of(inner[1], inner[2]),
        PairStats.grouped(estimate, truth, state, len(asked.states)),
        jumps,
        coverage[0],
        coverage[1],
    )


def _nothing(n_states: int, n_days: int) -> Gain:
    return Gain(
        PairStats.zero((MONTHS,)),
        PairStats.zero((MONTHS,)),
        PairStats.zero(),
        PairStats.zero(),
        PairStats.zero((n_states,)),
        np.zeros((2, len(STEP_EDGES) - 1), np.int64),
        np.zeros(n_days, np.int64),
        np.zeros(n_days, np.int64),
    )


def _cell_numbers(coarse: Layer, window: Window, points: Indices) -> Indices:
    """Return the cell of each point, numbered from 0 in the order of the coarse grid."""
    lon, lat = (values.reshape(-1)[points] for values in SIN1KM.lonlat(window))
    rows, cols = coarse.schema.on.pixel_of(lon, lat)
    _, numbers = np.unique(rows * coarse.schema.on.cols + cols, return_inverse=True)
    return np.asarray(numbers, np.int64)


def _within(values: Floats32, cells: Indices) -> NDArray[np.float64]:
    """Return departures (days, points) from the mean of each day over the known points of a cell.

    NaN where a cell has fewer than `LEAST_PIXELS` known points.
    """
    n_cells = int(cells.max()) + 1
    groups = np.arange(len(values))[:, None] * n_cells + cells[None, :]
    known = np.isfinite(values)
    count = np.bincount(groups[known], minlength=len(values) * n_cells)
    sums = np.bincount(groups[known], values[known], minlength=len(values) * n_cells)
    mean = np.full(count.shape, np.nan)
    np.divide(sums, count, out=mean, where=count >= LEAST_PIXELS)
    return np.asarray(values - mean[groups])


def _states(asked: GainRequest, steps: slice, window: Window, points: Indices) -> Indices:
    """Return the state of each day and point, by the first mask that its flag meets."""
    layer = asked.product
    cube = open_cube(layer.url, layer.schema, layer.year)
    stored = cube.read_points(asked.flag, steps, window, points.astype(np.intp))
    flags = stored.astype(np.int64)
    state = np.full(flags.shape, len(asked.states) - 1, np.int64)
    for number in reversed(range(len(asked.states) - 1)):
        np.putmask(state, (flags & asked.states[number][1]) != 0, number)
    return state


@dataclass(frozen=True, eq=False)
class _Neighbours:
    """Pairs of land pixels that touch, and whether an edge of a cell lies between them."""

    first: Indices
    second: Indices
    is_across: NDArray[np.bool_]

    @classmethod
    def of(cls, window: Window, points: Indices, cells: Indices) -> _Neighbours:
        """Return the pairs east and south of each point (places among the points)."""
        rows, cols = window.shape
        place = np.full(rows * cols, -1, np.int64)
        place[points] = np.arange(points.size)
        square = place.reshape(rows, cols)
        first = np.concatenate([square[:, :-1].ravel(), square[:-1].ravel()])
        second = np.concatenate([square[:, 1:].ravel(), square[1:].ravel()])
        both = (first >= 0) & (second >= 0)
        first, second = first[both], second[both]
        return cls(first, second, cells[first] != cells[second])

    def steps(self, values: Floats32) -> NDArray[np.int64]:
        """Return the steps between neighbours per bin: inside cells, and across edges."""
        found = np.zeros((2, len(STEP_EDGES) - 1), np.int64)
        for kind, chosen in ((INSIDE, ~self.is_across), (ACROSS, self.is_across)):
            step = np.abs(values[:, self.first[chosen]] - values[:, self.second[chosen]])
            found[kind] = np.histogram(step[np.isfinite(step)], STEP_EDGES)[0]
        return found


def _median(counts: NDArray[np.int64]) -> float:
    """Return the median of binned steps, interpolated within its bin; NaN without any."""
    cumulated = np.cumsum(counts)
    if cumulated[-1] == 0:
        return float("nan")
    half = cumulated[-1] / 2.0
    at = int(np.searchsorted(cumulated, half))
    before = cumulated[at] - counts[at]
    low, high = STEP_EDGES[at], min(STEP_EDGES[at + 1], 2.0 * STEP_EDGES[-2])
    return float(low + (high - low) * (half - before) / counts[at])
