"""Anchoring: a fine first guess is given the means of a coarse field, smoothly.

A residual spread evenly over its coarse cell prints the cell on the map. Here the correction lives
on nodes at the centres of the cells and is bilinear between them, so that it has no edges; the
nodes are those of least roughness under which the mean of the corrected, clamped pixels of each
cell is the coarse value. Where the coarse field is unknown a cell is given the mean that the model
says of it, corrected as the cells around are, which decays over a few cells. The order of work, in
which only sums of cells leave the blocks:

1. `cell_sums` of each block, `merged`; `modelled` gives means to cells that have no coarse value,
   `solve` the nodes.
2. Where a value may leave the range (`may_clamp`): `cell_sums` again with those nodes, `merged`,
   and `refined` nodes; until no cell misses its mean, or for some rounds.
3. `corrected` in each block.

The mathematics and what was measured: docs/design/anchoring.md.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from smcloud.core.errors import ConfigError, UserError
from smcloud.grids.grid import Window
from smcloud.models.anchor_nodes import TOLERANCE, Bools, Nodes, State, States, Value
from smcloud.models.anchoring_kernels import AROUND, correct_points, solve_days
from smcloud.models.cell_sums import (
    CellSums,
    Floats,
    Floats32,
    Indices,
    Links,
    ceilings_of,
    cell_sums,
    places,
)

_MARGIN = ((0, 0), (1, 1), (1, 1))
ANCHORING = 3
"""Raised when equal first guesses and coarse values give other maps, by damping too."""
MOST_STEP = 0.25
"""Most that a round moves the mean of a clamped cell, as a share of its mean ceiling."""


FULL = 0.98
"""What is asked of a cell whose coarse value its pixels cannot hold, as a share of their mean
ceiling: all of it would take corrections that its neighbours cannot bear."""


@dataclass(frozen=True)
class AnchorRules:
    """When a cell is anchored, and how well.

    Attributes
    ----------
    minimum_share : float
        Least share of a cell's land pixels with a first guess.
    tolerance : float
        Largest error of a cell's mean, in units of the target.
    rounds : int
        Most rounds of clamping and solving.
    decay_cells : float
        Cells over which the correction falls to a third beyond the last known coarse value.

    Raises
    ------
    ConfigError
        If a figure is out of range.
    """

    minimum_share: float = 0.5
    tolerance: float = TOLERANCE
    rounds: int = 6
    decay_cells: float = 3.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.minimum_share <= 1.0:
            raise ConfigError(f"minimum_share = {self.minimum_share:g}: expected 0 to 1")
        if min(self.tolerance, self.decay_cells) <= 0.0 or self.rounds < 1:
            raise ConfigError(
                f"tolerance {self.tolerance:g}, decay_cells {self.decay_cells:g} and rounds "
                f"{self.rounds} of anchoring must be above zero"
            )


@dataclass(frozen=True, eq=False)
class Anchors:
    """What cells are to be anchored to, on the window of their sums.

    Attributes
    ----------
    target : float32 (days, rows, cols)
        Coarse values, NaN for unknown.
    land : (rows, cols)
        Land pixels of each whole cell, produced or not (`grids.cells.land_pixels`).
    rules : AnchorRules
    own : float64 (days, rows, cols) or None
        What stands in for an unknown coarse value, NaN for nothing (`modelled`).
    """

    target: Floats32
    land: NDArray[np.int64]
    rules: AnchorRules = AnchorRules()
    own: Floats | None = None

    def asked(self, sums: CellSums) -> Floats:
        """Return the mean that each cell is given: its coarse value, if its pixels can hold it.

        Where the coarse value lies above that, it is the share `FULL` of their mean ceiling.
        """
        wanted: Floats = self.target.astype(np.float64)
        if self.own is not None:
            wanted = np.where(np.isfinite(wanted), wanted, np.maximum(self.own, 0.0))
        return np.asarray(np.minimum(wanted, FULL * sums.ceilings))

    def of(self, days: NDArray[np.intp]) -> "Anchors":
        """Return those of some of the days."""
        own = None if self.own is None else self.own[days]
        return replace(self, target=self.target[days], own=own)

    def states(self, sums: CellSums) -> States:
        """Return the state that each cell is to have, clamped or not, (days, rows, cols)."""
        if self.target.shape != sums.known.shape or self.land.shape != sums.window.shape:
            raise UserError(
                f"expected coarse values {sums.known.shape} and land {sums.window.shape} for these "
                f"sums, found {self.target.shape} and {self.land.shape}"
            )
        needed = np.maximum(self.rules.minimum_share * self.land, 1.0)
        enough = sums.known >= needed
        state = np.where(enough, State.ANCHORED, State.TOO_FEW)
        state = np.where(np.isfinite(self.target), state, State.NO_TARGET)
        if self.own is not None:
            has_own = (state == State.NO_TARGET) & enough & np.isfinite(self.own)
            state = np.where(has_own, State.MODELLED, state)
        return state.astype(np.uint8)


def modelled(sums: CellSums, anchors: Anchors, factors: Floats32) -> Anchors:
    """Return the anchors with a mean for cells that have no coarse value.

    Damping takes a first guess to a small part of itself, its mean too. The mean of an anchored
    cell is put back by its coarse value; that of another cell by this: what the model said of it,
    and the correction that the anchored cells around would have given it.

    Parameters
    ----------
    sums
        Of the damped first guess, all blocks merged.
    factors
        (days,) by which it was damped, above 0.
    """
    total = sums.total / factors.astype(np.float64)[:, None, None]
    whole = replace(sums, total=total.round().astype(np.int64))
    means = _moved(whole, solve(whole, anchors)).means
    return replace(anchors, own=np.where(np.isfinite(anchors.target), np.nan, means))


def solve(sums: CellSums, anchors: Anchors) -> Nodes:
    """Return the nodes that give each anchored cell its coarse mean, nothing being clamped.

    Parameters
    ----------
    sums
        Of the first guess, all blocks merged.
    anchors
        What the cells are anchored to.
    """
    state = anchors.states(sums)
    is_anchored = _is_held(state)
    missing = np.where(is_anchored, anchors.asked(sums) - sums.means, 0.0)
    stencils = _normal(sums.stencils)
    zero = np.zeros((len(state), sums.window.shape[0] + 2, sums.window.shape[1] + 2))
    values = _solved(stencils, missing, np.ones(state.shape), is_anchored, anchors.rules, zero)
    unjudged = np.full(values.shape, np.nan, np.float32)
    made = Nodes(sums.grid, _widened(sums.window), values, np.pad(state, _MARGIN), unjudged)
    return _judged(made, _moved(sums, made), sums, anchors)


def may_clamp(sums: CellSums, nodes: Nodes) -> Bools:
    """Say which cells may hold a pixel that leaves the range, (days, rows, cols) of the sums.

    The bounds are the lowest and highest first guess and the nodes around: a cell that is left out
    holds none for certain, one that is named may hold none.
    """
    nearby = sliding_window_view(nodes.values, (3, 3), axis=(1, 2))
    low, high = nearby.min(axis=(-1, -2)), nearby.max(axis=(-1, -2))
    return np.asarray((sums.lowest + low < 0.0) | (sums.room - high < 0.0))


def judged(nodes: Nodes, sums: CellSums, clamped: CellSums, anchors: Anchors) -> Nodes:
    """Return the nodes with the state and the error that sums after clamping give their cells.

    Parameters
    ----------
    nodes
        As given to `cell_sums` for `clamped`.
    sums
        Of the first guess, all blocks.
    clamped
        Of the corrected and clamped values, of all blocks that hold a pixel of a cell that
        `may_clamp`; a cell of which they hold fewer pixels than `sums` is taken as not clamped.
    anchors
        What the cells are anchored to.
    """
    return _judged(nodes, _after(nodes, sums, clamped), sums, anchors)


def refined(nodes: Nodes, sums: CellSums, clamped: CellSums, anchors: Anchors) -> Nodes:
    """Return better nodes for the days on which a cell misses its mean; others are left alone.

    Parameters as for `judged`. State and error are those of the nodes given: what the new ones
    give is known after summing again. A step of Newton's method: pixels that are clamped do not
    move, the others do.
    """
    after = _after(nodes, sums, clamped)
    found = _judged(nodes, after, sums, anchors)
    again = np.flatnonzero(found.missed(anchors.rules.tolerance))
    if again.size == 0:
        return found
    values = found.values.copy()
    part = anchors.of(again)
    values[again] = _stepped(values[again], after.of(again), sums.of(again), part)
    return replace(found, values=values)


def corrected(
    first_guess: Floats32, nodes: Nodes, where: Links, ceiling: float | Floats32
) -> Floats32:
    """Return the corrected values of points, (days, n_points) float32, within 0 and the ceiling.

    Parameters
    ----------
    first_guess
        (days, n_points) float32, NaN for unknown, which stays unknown.
    nodes
        Of the same days; their window holds that of `where`.
    where
        How the points hang on the coarse grid.
    ceiling
        Highest value that may be: one for all, or (n_points,).
    """
    first_guess = np.ascontiguousarray(first_guess, np.float32)
    out = np.empty_like(first_guess)
    given = nodes.on(where.window)
    correct_points(
        first_guess,
        given.reshape(len(given), -1),
        where.weights.corner,
        where.window.shape[1],
        where.weights.shares,
        ceilings_of(ceiling, first_guess.shape[1]),
        out,
    )
    return out


def anchor(
    first_guess: Floats32, where: Links, anchors: Anchors, ceiling: float | Floats32
) -> tuple[Floats32, Nodes]:
    """Return the corrected values of points that lie in one piece, and their nodes.

    What the blocks of a region do in turn, for points that fit into memory; target and land of
    `anchors` are on the window of `where`.
    """
    sums = cell_sums(first_guess, where, ceiling)
    nodes = solve(sums, anchors)
    if may_clamp(sums, nodes).any():
        for _ in range(anchors.rules.rounds):
            clamped = cell_sums(first_guess, where, ceiling, nodes.on(where.window))
            better = refined(nodes, sums, clamped, anchors)
            if not better.missed(anchors.rules.tolerance).any():
                return corrected(first_guess, better, where, ceiling), better
            nodes = better
        clamped = cell_sums(first_guess, where, ceiling, nodes.on(where.window))
        nodes = judged(nodes, sums, clamped, anchors)
    return corrected(first_guess, nodes, where, ceiling), nodes


@dataclass(frozen=True, eq=False)
class _After:
    """Cells after the correction: their means, and how they move with the nodes.

    `means` (days, rows, cols); `stencils` (..., 9) sum to the share of pixels that are free.
    """

    means: Floats
    stencils: Floats
    is_clamped: Bools

    def of(self, days: NDArray[np.intp]) -> "_After":
        """Return some of the days."""
        return _After(self.means[days], self.stencils[days], self.is_clamped[days])


def _after(nodes: Nodes, sums: CellSums, clamped: CellSums) -> _After:
    """Return the cells after correction; where no sum was taken again, as the nodes move them."""
    found = _moved(sums, nodes)
    rows, cols = places(sums.grid, sums.window, clamped.window)
    inside = np.zeros(sums.known.shape, np.bool_)
    whole = np.zeros(sums.known.shape, np.int32)
    _put(inside, rows, cols, np.ones(clamped.known.shape, np.bool_))
    _put(whole, rows, cols, clamped.known)
    is_known = inside & (whole == sums.known) & (sums.known > 0)
    means, stencils = found.means.copy(), found.stencils.copy()
    of_clamped = np.zeros_like(means), np.zeros_like(stencils)
    _put(of_clamped[0], rows, cols, clamped.means)
    _put(of_clamped[1], rows, cols, clamped.stencils)
    means[is_known] = of_clamped[0][is_known]
    stencils[is_known] = of_clamped[1][is_known]
    free = _put(np.zeros(sums.known.shape, np.int64), rows, cols, clamped.moves.sum(axis=-1))
    return _After(means, stencils, is_known & (free < sums.moves.sum(axis=-1)))


def _moved(sums: CellSums, nodes: Nodes) -> _After:
    stencils = sums.stencils
    means = sums.means + _along(stencils, nodes.values)
    return _After(means, stencils, np.zeros(means.shape, np.bool_))


def _judged(nodes: Nodes, after: _After, sums: CellSums, anchors: Anchors) -> Nodes:
    state = anchors.states(sums)
    is_anchored = state == State.ANCHORED
    state[is_anchored & after.is_clamped] = State.CLAMPED
    is_far = ~(np.abs(after.means - anchors.target) <= anchors.rules.tolerance)
    state[is_anchored & is_far] = State.NOT_REACHED
    error = np.where(is_anchored, after.means - anchors.asked(sums), np.nan).astype(np.float32)
    return replace(
        nodes,
        state=np.pad(state, _MARGIN),
        error=np.pad(error, _MARGIN, constant_values=np.nan),
    )


def _is_held(state: States) -> Bools:
    """Say which cells the nodes are found for."""
    return np.asarray((state == State.ANCHORED) | (state == State.MODELLED))


def _stepped(values: Floats32, after: _After, sums: CellSums, anchors: Anchors) -> Floats32:
    """Return the nodes that bring the cells to their means if the clamped pixels stay clamped."""
    is_anchored = _is_held(anchors.states(sums))
    free = after.stencils.sum(axis=-1)
    stuck = free <= 0.0
    # A cell without a free pixel is moved as if all were: else nothing could ever free one.
    stencils = np.where(stuck[..., None], sums.stencils, after.stencils)
    stencils = _normal(stencils)
    missing = np.where(is_anchored, anchors.asked(sums) - after.means, 0.0)
    step = missing / np.where(stuck, 1.0, free)
    most = MOST_STEP * np.nan_to_num(sums.ceilings)
    wanted = _along(stencils, values) + np.clip(step, -most, most)
    return _solved(stencils, wanted, free, is_anchored, anchors.rules, values)


def _solved(
    stencils: Floats,
    wanted: Floats,
    scale: Floats,
    is_anchored: Bools,
    rules: AnchorRules,
    start: Floats32 | Floats,
) -> Floats32:
    """Return the nodes (with their margin) under which cells have the wanted mean corrections."""
    nodes = np.array(start, np.float64)
    solve_days(
        np.pad(np.where(is_anchored[..., None], stencils, 0.0), (*_MARGIN, (0, 0))),
        np.pad(np.where(is_anchored, wanted, 0.0), _MARGIN),
        np.pad(np.where(is_anchored, scale, 0.0), _MARGIN),
        rules.decay_cells,
        0.1 * rules.tolerance,
        nodes,
    )
    return nodes.astype(np.float32)


def _normal(stencils: Floats) -> Floats:
    """Return stencils whose weights sum to one; those without any weight stay zero."""
    whole = stencils.sum(axis=-1, keepdims=True)
    return np.asarray(stencils / np.where(whole > 0.0, whole, 1.0))


def _along(stencils: Floats, values: Floats32) -> Floats:
    """Return what nodes (with a margin of one) do to each cell; summed in a fixed order."""
    rows, cols = stencils.shape[1:3]
    found = np.zeros(stencils.shape[:-1])
    for slot in range(AROUND):
        down, across = divmod(slot, 3)
        found += stencils[..., slot] * values[:, down : down + rows, across : across + cols]
    return found


def _put(whole: NDArray[Value], rows: slice, cols: Indices, part: NDArray[Value]) -> NDArray[Value]:
    """Write a part (days, rows, cols, ...) into the whole, and return the whole."""
    inside = whole[:, rows]
    inside[:, :, cols] = part
    return whole


def _widened(window: Window) -> Window:
    return Window(window.row0 - 1, window.row1 + 1, window.col0 - 1, window.col1 + 1)
