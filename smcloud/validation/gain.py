"""What downscaling gains over its own coarse input, against the truth at every pixel.

A downscaler that does not beat the bilinear interpolation of what it was given has failed, and so
has one that beats it only because the coarse field is right: hence the scores within cells, where
the mean of each cell and day is taken out of all three fields. Edges of cells must not show: steps
between neighbouring pixels across an edge are held against those inside cells.

Without a truth there are no scores; states, flags, coverage and edges are counted all the same.
Everything here works on one block and gives back sums that add up over any set of blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from smcloud.cube.schema import Days
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

STEP_WIDTH = 1e-4
"""Width of the bins of the step between two neighbours, m3 m-3: what products are stored with.
Bins are centred on its multiples."""
STEP_BINS = 1001
"""The last one takes every step from 0.1 up."""
LEAST_PIXELS = 100
"""Known pixels of a cell in a block below which the cell is left out of the scores within cells: a
mean of few pixels takes away what is to be judged."""
INSIDE, ACROSS = 0, 1
FLAG_BITS = 16
LARGEST_RATIO = 1.2
"""Median step across edges over that inside from which the edges of cells begin to show."""


@dataclass(frozen=True)
class GainRequest:
    """What is compared.

    Attributes
    ----------
    product : Layer
        On the output grid.
    truth : Layer or None
        On the output grid; None where nobody knows it.
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
    truth: Layer | None
    coarse: Layer
    flag: str
    states: tuple[tuple[str, int], ...]
    step: int = 46


@dataclass(frozen=True, eq=False)
class Gain:
    """Sums of one block, or of many.

    Attributes
    ----------
    product, coarse : PairStats (days,)
        Estimate and interpolated coarse value against the truth, on the same pixel-days, by day.
    within_product, within_coarse : PairStats (days,)
        The same with the mean of each cell and day removed.
    states : PairStats (states,)
        The product against the truth by state, wherever both are known.
    steps : int64 (2, bins)
        Steps between neighbours inside cells, and across their edges, by size.
    known : int64 (states, days)
        Pixels with an estimate on each day, by state.
    land : int64 (days,)
        Land pixels.
    flags : int64 (16,)
        Pixel-days of land on which each bit of the flag is raised.
    """

    product: PairStats
    coarse: PairStats
    within_product: PairStats
    within_coarse: PairStats
    states: PairStats
    steps: NDArray[np.int64]
    known: NDArray[np.int64]
    land: NDArray[np.int64]
    flags: NDArray[np.int64]

    def __add__(self, other: Gain) -> Gain:
        """Return the sums over the union of both."""
        names = [part.name for part in fields(self)]
        return Gain(*(getattr(self, name) + getattr(other, name) for name in names))

    @property
    def has_truth(self) -> bool:
        """Return whether any pixel-day has estimate, coarse value and truth."""
        return bool(self.product.n.sum() > 0)

    def by_month(self, days: Days) -> tuple[PairStats, PairStats]:
        """Return the sums of product and coarse input by month, (12,), given the days."""
        months = [month_of(days) == month for month in range(MONTHS)]
        product, coarse = (
            PairStats.stacked([sums.at(month).total() for month in months])
            for sums in (self.product, self.coarse)
        )
        return product, coarse

    @property
    def edge_ratio(self) -> float:
        """Return the median step across edges over the median step inside; NaN without both."""
        inside, across = (_median(counts) for counts in self.steps)
        return across / inside if inside > 0.0 else float("nan")

    @property
    def coverage(self) -> NDArray[np.float64]:
        """Return the share of land with an estimate in each state on each day, (states, days)."""
        return np.asarray(self.known / np.maximum(self.land, 1))


def total(parts: list[Gain]) -> Gain:
    """Return the sums over all blocks; there must be one."""
    return reduce(lambda one, other: one + other, parts)


def gain_of_block(asked: GainRequest, window: Window, part: Window | None = None) -> Gain:
    """Return the sums of one block of pixels over all days of the year.

    `part` is what the product was asked for: land of the block outside it is no gap.
    """
    block = _Block.of(asked, window, part)
    days = asked.product.open().times
    found = _nothing(len(asked.states), len(days))
    if block is None:
        return found
    for start in range(0, len(days), asked.step):
        found = found + _slab(asked, block, slice(start, min(start + asked.step, len(days))))
    return found


@dataclass(frozen=True, eq=False)
class _Block:
    """What all days of a block share."""

    window: Window
    points: Indices
    reader: CoarseReader
    cells: Indices
    pairs: _Neighbours
    n_days: int

    @classmethod
    def of(cls, asked: GainRequest, window: Window, part: Window | None) -> _Block | None:
        """Return what the days share; None for a block without land."""
        is_asked = land_mask(window)
        if part is not None:
            inside = np.zeros_like(is_asked)
            if (cut := window.intersect(part)) is not None:
                inside[cut.within(window)] = True
            is_asked = is_asked & inside
        points = np.flatnonzero(is_asked)
        reader = coarse_reader(asked.coarse, window, points)
        if reader is None:
            return None
        cells = _cell_numbers(asked.coarse, window, points)
        pairs = _Neighbours.of(window, points, cells)
        return cls(window, points, reader, cells, pairs, len(asked.product.open().times))


def _slab(asked: GainRequest, block: _Block, steps: slice) -> Gain:
    estimate = at_points(asked.product, steps, block.window, block.points)
    flags = _flags(asked, steps, block)
    state = _states(asked, flags)
    known = np.isfinite(estimate)
    found = _nothing(len(asked.states), block.n_days)
    for number in range(len(asked.states)):
        found.known[number, steps] = (known & (state == number)).sum(axis=1)
    found.land[steps] = len(block.points)
    found.flags[:] = [np.count_nonzero(flags & (1 << bit)) for bit in range(FLAG_BITS)]
    found.steps[:] = block.pairs.steps(estimate)
    if asked.truth is None:
        return found
    truth = at_points(asked.truth, steps, block.window, block.points)
    return _with_scores(found, (estimate, block.reader.read(steps), truth), state, block, steps)


def _with_scores(
    found: Gain,
    values: tuple[Floats32, Floats32, Floats32],
    state: Indices,
    block: _Block,
    steps: slice,
) -> Gain:
    """Return what was counted of a slab with the scores of its estimate, coarse value and truth."""
    estimate, coarse, truth = values
    states = PairStats.grouped(estimate, truth, state, len(found.known))
    unpaired = np.isnan(truth) | np.isnan(estimate) | np.isnan(coarse)
    for one in values:
        one[unpaired] = np.nan
    inner = [_within(one, block.cells) for one in values]
    day = np.broadcast_to(np.arange(steps.start, steps.stop)[:, None], estimate.shape)

    def by_day(one: NDArray[np.floating], other: NDArray[np.floating]) -> PairStats:
        return PairStats.grouped(one, other, day, block.n_days)

    return replace(
        found,
        product=by_day(estimate, truth),
        coarse=by_day(coarse, truth),
        within_product=by_day(inner[0], inner[2]),
        within_coarse=by_day(inner[1], inner[2]),
        states=states,
    )


def _nothing(n_states: int, n_days: int) -> Gain:
    return Gain(
        PairStats.zero((n_days,)),
        PairStats.zero((n_days,)),
        PairStats.zero((n_days,)),
        PairStats.zero((n_days,)),
        PairStats.zero((n_states,)),
        np.zeros((2, STEP_BINS), np.int64),
        np.zeros((n_states, n_days), np.int64),
        np.zeros(n_days, np.int64),
        np.zeros(FLAG_BITS, np.int64),
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


def _flags(asked: GainRequest, steps: slice, block: _Block) -> NDArray[np.int64]:
    layer = asked.product
    cube = open_cube(layer.url, layer.schema, layer.year)
    stored = cube.read_points(asked.flag, steps, block.window, block.points.astype(np.intp))
    return stored.astype(np.int64)


def _states(asked: GainRequest, flags: NDArray[np.int64]) -> Indices:
    """Return the state of each day and point, by the first mask that its flag meets."""
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
        found = np.zeros((2, STEP_BINS), np.int64)
        for kind, chosen in ((INSIDE, ~self.is_across), (ACROSS, self.is_across)):
            step = np.abs(values[:, self.first[chosen]] - values[:, self.second[chosen]])
            sizes = np.rint(step[np.isfinite(step)] / np.float32(STEP_WIDTH)).astype(np.int64)
            found[kind] = np.bincount(np.minimum(sizes, STEP_BINS - 1), minlength=STEP_BINS)
        return found


def _median(counts: NDArray[np.int64]) -> float:
    """Return the median of binned steps, interpolated within its bin; NaN without any."""
    cumulated = np.cumsum(counts)
    if cumulated[-1] == 0:
        return float("nan")
    half = cumulated[-1] / 2.0
    at = int(np.searchsorted(cumulated, half))
    share = (half - (cumulated[at] - counts[at])) / counts[at]
    return float(max(at - 0.5 + share, 0.0) * STEP_WIDTH)
