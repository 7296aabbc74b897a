"""What downscaling gains over its own coarse input, against the truth at every pixel.

A downscaler that does not beat the bilinear interpolation of what it was given has failed, and so
has one that beats it only because the coarse field is right: hence the scores within cells, where
the mean of each cell and day is taken out of all fields. Three things that know no pixel stand
beside the product: its input interpolated, its input constant in each cell, and the smooth
correction that it is anchored with, without any pattern. Edges of cells must not show: steps
between neighbouring pixels across an edge are held against those inside cells.

Without a truth there are no scores; states, flags, coverage and edges are counted all the same.
Everything here works on one block and gives back sums that add up over any set of blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import reduce
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from smcloud.cube.schema import Days
from smcloud.cube.store import open_cube
from smcloud.grids.cells import totals
from smcloud.grids.grid import SIN1KM, Window
from smcloud.grids.land import land_mask
from smcloud.grids.regrid import nearest
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
from smcloud.validation.gain_squares import SquareSums, squares_of
from smcloud.validation.pairs import PairStats

PRODUCT, COARSE, CONSTANT, SMOOTH = "product", "coarse", "constant", "smooth"
ESTIMATES = (PRODUCT, COARSE, CONSTANT, SMOOTH)
"""The maps; their coarse input, bilinear between the centres of cells; the same, constant in each
cell; the smooth correction of nothing, which is what the maps are without their pattern."""

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


class Smooth(Protocol):
    """The smooth correction alone, at the pixels of a block; travels in tasks."""

    def at_points(self, steps: slice, window: Window, points: Indices) -> Floats32:
        """Return the values of some days (days, points); NaN where the product has none."""
        ...


@dataclass(frozen=True)
class PixelState:
    """What a pixel-day may be.

    Attributes
    ----------
    name : str
    mask : int
        Bits of the product's flag, one of which puts a pixel-day here; 0 takes every one.
    origin : int
        Or what the coarse cube's own flag says of the cell; below 0 nothing does.
    """

    name: str
    mask: int = 0
    origin: int = -1


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
    states : tuple of PixelState
        A pixel-day is in the first state that applies, else in the last one.
    origin : Layer or None
        Flag of the coarse cube; None where no state asks for it.
    smooth : Smooth or None
        The smooth correction alone; where nobody has it, it is unknown everywhere.
    step : int
        Days read at once, which bounds memory.
    """

    product: Layer
    truth: Layer | None
    coarse: Layer
    flag: str
    states: tuple[PixelState, ...]
    origin: Layer | None = None
    smooth: Smooth | None = None
    step: int = 46


@dataclass(frozen=True, eq=False)
class Gain:
    """Sums of one block, or of many.

    Attributes
    ----------
    pixels, within : PairStats (estimates, days)
        `ESTIMATES` against the truth on the same pixel-days, as they are and with the mean of each
        cell and day removed.
    by_state : PairStats (estimates, states)
        The same pixel-days by state.
    states : PairStats (states,)
        The product against the truth by state, wherever both are known.
    squares, squares_within : SquareSums
        As `pixels` and `within`, by square of cells and month.
    steps : int64 (2, bins)
        Steps between neighbours inside cells, and across their edges, by size.
    known : int64 (states, days)
        Pixels with an estimate on each day, by state.
    land : int64 (days,)
        Land pixels.
    flags : int64 (16,)
        Pixel-days of land on which each bit of the flag is raised.
    """

    pixels: PairStats
    within: PairStats
    by_state: PairStats
    states: PairStats
    squares: SquareSums
    squares_within: SquareSums
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
        return bool(self.pixels.n.sum() > 0)

    def of(self, estimate: str, *, within: bool = False) -> PairStats:
        """Return the sums of one of `ESTIMATES` by day, (days,)."""
        return (self.within if within else self.pixels).at(ESTIMATES.index(estimate))

    def by_month(self, estimate: str, *, within: bool = False) -> PairStats:
        """Return the sums of one of `ESTIMATES` by month, (12,)."""
        squares = self.squares_within if within else self.squares
        return squares.sums.at(ESTIMATES.index(estimate)).total(axis=0)

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
    coarse: CoarseReader
    constant: CoarseReader
    origin: CoarseReader | None
    cells: Indices
    square: Indices
    squares: Indices
    pairs: _Neighbours
    days: Days

    @classmethod
    def of(cls, asked: GainRequest, window: Window, part: Window | None) -> _Block | None:
        """Return what the days share; None for a block without land."""
        points = _asked_points(window, part)
        coarse = coarse_reader(asked.coarse, window, points)
        if coarse is None:
            return None
        grid = asked.coarse.schema.on
        lon, lat = (values.reshape(-1)[points] for values in SIN1KM.lonlat(window))
        at_cell = nearest(grid, lon, lat)
        rows, cols = grid.pixel_of(lon, lat)
        _, cells = np.unique(rows * grid.cols + cols, return_inverse=True)
        squares, square = np.unique(squares_of(grid, rows, cols), return_inverse=True)
        return cls(
            window,
            points,
            coarse,
            CoarseReader(asked.coarse, at_cell),
            None if asked.origin is None else CoarseReader(asked.origin, at_cell),
            cells.astype(np.int64),
            square.astype(np.int64),
            squares.astype(np.int64),
            _Neighbours.of(window, points, cells.astype(np.int64)),
            asked.product.open().times,
        )


def _asked_points(window: Window, part: Window | None) -> Indices:
    """Return the land pixels, flat in the window, that the product was asked for."""
    is_asked = land_mask(window)
    if part is not None:
        inside = np.zeros_like(is_asked)
        if (cut := window.intersect(part)) is not None:
            inside[cut.within(window)] = True
        is_asked = is_asked & inside
    return np.flatnonzero(is_asked)


def _slab(asked: GainRequest, block: _Block, steps: slice) -> Gain:
    estimate = at_points(asked.product, steps, block.window, block.points)
    flags = _flags(asked, steps, block)
    state = states_of(asked.states, flags, block.origin.read(steps) if block.origin else None)
    known = np.isfinite(estimate)
    found = _nothing(len(asked.states), len(block.days))
    for number in range(len(asked.states)):
        found.known[number, steps] = (known & (state == number)).sum(axis=1)
    found.land[steps] = len(block.points)
    found.flags[:] = [np.count_nonzero(flags & (1 << bit)) for bit in range(FLAG_BITS)]
    found.steps[:] = block.pairs.steps(estimate)
    if asked.truth is None:
        return found
    truth = at_points(asked.truth, steps, block.window, block.points)
    found = replace(found, states=PairStats.grouped(estimate, truth, state, len(asked.states)))
    values = [estimate, block.coarse.read(steps), block.constant.read(steps)]
    if asked.smooth is not None:
        values.append(asked.smooth.at_points(steps, block.window, block.points))
    return _with_scores(found, values, truth, state, block, steps)


def _with_scores(
    found: Gain,
    values: list[Floats32],
    truth: Floats32,
    state: Indices,
    block: _Block,
    steps: slice,
) -> Gain:
    """Return what was counted of a slab with the scores of its estimates against the truth."""
    unpaired = np.isnan(truth)
    for one in values:
        unpaired |= np.isnan(one)
    for one in (*values, truth):
        one[unpaired] = np.nan
    n_states, n_squares = len(found.known), block.squares.size
    n_days = steps.stop - steps.start
    place = np.arange(n_days)[:, None] * n_squares + block.square[None, :]
    shape = n_days, n_squares, n_states
    whole = _grouped(values, truth, place * n_states + state, shape)
    inner_truth = _within(truth, block.cells)
    inner = [_within(one, block.cells) for one in values]
    within = _grouped(inner, inner_truth, place, shape[:2])
    month = month_of(block.days[steps])
    by_square = whole.total(axis=3)
    return replace(
        found,
        pixels=_in_year(by_square.total(axis=2), steps, len(block.days)),
        within=_in_year(within.total(axis=2), steps, len(block.days)),
        by_state=whole.total(axis=(1, 2)),
        squares=SquareSums(block.squares, _by_month(by_square, month)),
        squares_within=SquareSums(block.squares, _by_month(within, month)),
    )


def _grouped(
    values: list[Floats32], truth: Floats32, groups: Indices, shape: tuple[int, ...]
) -> PairStats:
    """Return the sums (estimates, *shape) by group; of estimates that nobody has there are none."""
    size = int(np.prod(shape))
    parts = [PairStats.grouped(one, truth, groups, size).reshaped(*shape) for one in values]
    parts += [PairStats.zero(shape)] * (len(ESTIMATES) - len(values))
    return PairStats.stacked(parts)


def _in_year(sums: PairStats, steps: slice, n_days: int) -> PairStats:
    """Return sums (estimates, days of a slab) as those of the year's days."""
    place = np.clip(np.arange(n_days) - steps.start, 0, steps.stop - steps.start - 1)
    inside = np.zeros(n_days)
    inside[steps] = 1.0
    return sums.at((slice(None), place)).weighted(inside)


def _by_month(sums: PairStats, month: Indices) -> PairStats:
    """Return sums (estimates, days, squares) as (estimates, squares, 12)."""
    months = [sums.at((slice(None), month == number)).total(axis=1) for number in range(MONTHS)]
    estimates, squares = months[0].shape
    each = np.ix_(range(estimates), range(squares), range(MONTHS))
    return PairStats.stacked(months).at((each[2], each[0], each[1]))


def _nothing(n_states: int, n_days: int) -> Gain:
    number = len(ESTIMATES)
    return Gain(
        PairStats.zero((number, n_days)),
        PairStats.zero((number, n_days)),
        PairStats.zero((number, n_states)),
        PairStats.zero((n_states,)),
        SquareSums.zero(number),
        SquareSums.zero(number),
        np.zeros((2, STEP_BINS), np.int64),
        np.zeros((n_states, n_days), np.int64),
        np.zeros(n_days, np.int64),
        np.zeros(FLAG_BITS, np.int64),
    )


def _within(values: Floats32, cells: Indices) -> Floats32:
    """Return departures (days, points) from the mean of each day over the known points of a cell.

    NaN where a cell has fewer than `LEAST_PIXELS` known points.
    """
    total, count = totals(values, cells, int(cells.max()) + 1)
    mean = np.full(total.shape, np.nan)
    np.divide(total, count, out=mean, where=count >= LEAST_PIXELS)
    return np.asarray(values - mean[:, cells].astype(np.float32), np.float32)


def _flags(asked: GainRequest, steps: slice, block: _Block) -> NDArray[np.int64]:
    layer = asked.product
    cube = open_cube(layer.url, layer.schema, layer.year)
    stored = cube.read_points(asked.flag, steps, block.window, block.points.astype(np.intp))
    return stored.astype(np.int64)


def states_of(
    states: tuple[PixelState, ...], flags: NDArray[np.int64], origin: Floats32 | None
) -> Indices:
    """Return the number of the state of each day and point: the first that applies.

    Parameters
    ----------
    flags
        (days, points), of the product.
    origin
        (days, points), flag of the coarse cell; None where nobody keeps one.
    """
    found = np.full(flags.shape, len(states) - 1, np.int64)
    for number in reversed(range(len(states) - 1)):
        one = states[number]
        applies = (flags & one.mask) != 0
        if origin is not None and one.origin >= 0:
            applies |= origin == one.origin
        np.putmask(found, applies, number)
    return found


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
