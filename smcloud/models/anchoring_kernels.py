"""The loops of `anchoring`: sums over points by cell, and nodes that give the cells their means.

Sums are integers (values times `UNIT`, rounded point by point), so that they do not depend on the
order of points or blocks; the solver takes one day at a time in a fixed order. Both give the same
bits wherever and in however many pieces they run.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from smcloud.core.compiled import compiled

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Counts = NDArray[np.int32]
Fixed = NDArray[np.int64]
Bools = NDArray[np.bool_]

UNIT = 2.0**30
"""Steps of the integer sums in one unit of the target: a point is summed to 5e-10 of it."""
AROUND = 9
"""A cell and its eight neighbours, row by row: the nodes that its points hang on."""
ROUGHNESS = 1e-3
"""Weight of a step between neighbouring nodes beside that of a cell's mean."""
MOST_ROUNDS, MOST_STEPS = 12, 400
"""Bounds of the two loops of the solver; reached only by cells that contradict each other."""
STEP_DONE = 1e-7
"""Change of a node, in units of the target, below which the inner loop stops."""


@compiled
def value_at(first: Any, shares: Floats32, nodes: Floats32, corner: int, width: int) -> Any:
    """Return the corrected value of a point, not clamped; always the same four products."""
    east, south = corner + 1, corner + width
    added = shares[0] * nodes[corner] + shares[1] * nodes[east]
    return first + (added + (shares[2] * nodes[south] + shares[3] * nodes[south + 1]))


@compiled
def sum_points(
    first_guess: Floats32,
    nodes: Floats32,
    corner: Counts,
    cell: Counts,
    width: int,
    shares: Floats32,
    ceiling: Floats32,
    is_clamped: bool,
    known: Counts,
    total: Fixed,
    capacity: Fixed,
    moves: Fixed,
    lowest: Floats32,
    room: Floats32,
) -> None:
    """Add points (days, n) to the sums of their cells (days, cells, ...).

    `nodes` (days, cells) are what corrects the first guess; with `is_clamped` a value is clamped
    to 0 and the ceiling, and only points strictly between count in `moves`.
    """
    zero = np.float32(0.0)
    weights = np.empty(shares.shape, np.int64)
    for point in range(shares.shape[0]):
        for k in range(4):
            weights[point, k] = np.int64(np.floor(shares[point, k] * UNIT + 0.5))
    for day in range(first_guess.shape[0]):
        for point in range(first_guess.shape[1]):
            first = first_guess[day, point]
            if not np.isfinite(first):
                continue
            value = value_at(first, shares[point], nodes[day], corner[point], width)
            top, at = ceiling[point], cell[point]
            lowest[day, at] = min(lowest[day, at], value)
            room[day, at] = min(room[day, at], top - value)
            is_free = not is_clamped or (value > zero and value < top)
            if is_clamped:
                value = min(max(value, zero), top)
            known[day, at] += 1
            total[day, at] += np.int64(np.floor(np.float64(value) * UNIT + 0.5))
            capacity[day, at] += np.int64(np.floor(np.float64(top) * UNIT + 0.5))
            if is_free:
                # The north-west node of a point lies in the row of its cell or the one before.
                down = corner[point] // width - at // width + 1
                across = corner[point] % width - at % width + 1
                slot = 3 * down + across
                moves[day, at, slot] += weights[point, 0]
                moves[day, at, slot + 1] += weights[point, 1]
                moves[day, at, slot + 3] += weights[point, 2]
                moves[day, at, slot + 4] += weights[point, 3]


@compiled
def correct_points(
    first_guess: Floats32,
    nodes: Floats32,
    corner: Counts,
    width: int,
    shares: Floats32,
    ceiling: Floats32,
    out: Floats32,
) -> None:
    """Write the corrected, clamped values of points (days, n); an unknown first guess stays so."""
    zero = np.float32(0.0)
    for day in range(first_guess.shape[0]):
        for point in range(first_guess.shape[1]):
            first = first_guess[day, point]
            if np.isfinite(first):
                value = value_at(first, shares[point], nodes[day], corner[point], width)
                out[day, point] = min(max(value, zero), ceiling[point])
            else:
                out[day, point] = np.nan


@compiled
def solve_days(
    weights: Floats, wanted: Floats, scale: Floats, decay: float, done: float, nodes: Floats
) -> None:
    """Fill `nodes` (days, rows, cols) so that the cells have the wanted means.

    Parameters
    ----------
    weights
        (days, rows, cols, 9) mean weights of each cell's points toward the nodes around, which sum
        to one; all zero where nothing is wanted. Cells at the edge of the array want nothing.
    wanted
        (days, rows, cols) means of the correction.
    scale
        (days, rows, cols) what an error of a wanted mean is worth in the cell's mean.
    decay
        Cells over which the correction falls to a third where nothing is wanted.
    done
        Error of a cell's mean at which a day is done.
    nodes
        Where a day starts from, and what is found.
    """
    days, rows, cols = wanted.shape
    planes = np.empty((AROUND, rows, cols))
    for day in range(days):
        anything = False
        for slot in range(AROUND):
            for row in range(rows):
                for col in range(cols):
                    planes[slot, row, col] = weights[day, row, col, slot]
                    anything |= planes[slot, row, col] != 0.0
        if anything:
            _solve_day(planes, wanted[day], scale[day], decay, done, nodes[day])
        else:
            nodes[day] = 0.0


@compiled
def _solve_day(
    planes: Floats, wanted: Floats, scale: Floats, decay: float, done: float, nodes: Floats
) -> None:
    """Least roughness under the cells' means, by iterated Tikhonov regularisation.

    Each round solves (A'A + Q) d = A'b by conjugate gradients and adds to b what is missing: the
    rounds converge to the smoothest d with A d = b, well determined parts first.
    """
    rows, cols = wanted.shape
    asked = wanted.copy()
    missing = np.empty((rows, cols))
    diagonal = _diagonal(planes, decay)
    right = np.empty((rows, cols))
    for _ in range(MOST_ROUNDS):
        _gather(planes, asked, right)
        _conjugate_gradients(planes, right, diagonal, decay, nodes)
        _means(planes, nodes, missing)
        worst = 0.0
        for row in range(1, rows - 1):
            for col in range(1, cols - 1):
                missing[row, col] = wanted[row, col] - missing[row, col]
                if planes[4, row, col] != 0.0:
                    worst = max(worst, abs(missing[row, col]) * scale[row, col])
        if worst <= done:
            return
        for row in range(1, rows - 1):
            for col in range(1, cols - 1):
                asked[row, col] += missing[row, col]


@compiled
def _conjugate_gradients(
    planes: Floats, right: Floats, diagonal: Floats, decay: float, nodes: Floats
) -> None:
    """Solve (A'A + Q) d = right from the `nodes` given, preconditioned by the diagonal."""
    rows, cols = right.shape
    product, means = np.empty((rows, cols)), np.empty((rows, cols))
    left, ahead, along = np.empty((rows, cols)), np.empty((rows, cols)), np.zeros((rows, cols))
    _apply(planes, nodes, decay, means, product)
    for row in range(rows):
        for col in range(cols):
            left[row, col] = right[row, col] - product[row, col]
    before = 1.0
    for _ in range(MOST_STEPS):
        power, largest = _precondition(left, diagonal, ahead)
        if largest <= STEP_DONE:
            return
        _advance(ahead, power / before, along)
        before = power
        _apply(planes, along, decay, means, product)
        _step(along, product, power, nodes, left)


@compiled
def _precondition(left: Floats, diagonal: Floats, ahead: Floats) -> tuple[float, float]:
    """Write left / diagonal; return its product with `left`, and its greatest size."""
    rows, cols = left.shape
    power, largest = 0.0, 0.0
    for row in range(rows):
        for col in range(cols):
            ahead[row, col] = left[row, col] / diagonal[row, col]
            power += left[row, col] * ahead[row, col]
            largest = max(largest, abs(ahead[row, col]))
    return power, largest


@compiled
def _advance(ahead: Floats, share: float, along: Floats) -> None:
    """Make the next direction; the first one is `ahead`, since `along` is zero then."""
    rows, cols = ahead.shape
    for row in range(rows):
        for col in range(cols):
            along[row, col] = ahead[row, col] + share * along[row, col]


@compiled
def _step(along: Floats, product: Floats, power: float, nodes: Floats, left: Floats) -> None:
    """Go along a direction as far as it helps."""
    rows, cols = along.shape
    curve = 0.0
    for row in range(rows):
        for col in range(cols):
            curve += along[row, col] * product[row, col]
    step = power / curve
    for row in range(rows):
        for col in range(cols):
            nodes[row, col] += step * along[row, col]
            left[row, col] -= step * product[row, col]


@compiled
def _apply(planes: Floats, nodes: Floats, decay: float, means: Floats, out: Floats) -> None:
    """Write (A'A + Q) d: what the cells ask for, and the roughness."""
    _means(planes, nodes, means)
    _gather(planes, means, out)
    _add_roughness(nodes, decay, out)


@compiled
def _means(planes: Floats, nodes: Floats, out: Floats) -> None:
    """Write A d: the mean correction of each cell; 0 at the edge."""
    rows, cols = nodes.shape
    out[:] = 0.0
    for row in range(1, rows - 1):
        for slot in range(AROUND):
            down, west = slot // 3 - 1, slot % 3
            along = nodes[row + down, west : west + cols - 2]
            _add_product(planes[slot, row, 1 : cols - 1], along, out[row, 1 : cols - 1])


@compiled
def _gather(planes: Floats, cells: Floats, out: Floats) -> None:
    """Write A'c: what the cells want of each node."""
    rows, cols = cells.shape
    out[:] = 0.0
    for row in range(1, rows - 1):
        for slot in range(AROUND):
            down, west = slot // 3 - 1, slot % 3
            along = out[row + down, west : west + cols - 2]
            _add_product(planes[slot, row, 1 : cols - 1], cells[row, 1 : cols - 1], along)


@compiled
def _add_product(one: Floats, other: Floats, out: Floats) -> None:
    """Add products along a row: slices of their own let the compiler take four at a time."""
    for place in range(out.size):
        out[place] += one[place] * other[place]


@compiled
def _add_roughness(nodes: Floats, decay: float, out: Floats) -> None:
    """Add Q d: steps between neighbours, and the pull to zero that makes them decay."""
    rows, cols = nodes.shape
    pull = ROUGHNESS / (decay * decay)
    for row in range(rows):
        here, to = nodes[row], out[row]
        for col in range(cols):
            to[col] += pull * here[col]
        _add_steps(here[:-1], here[1:], to[:-1])
        _add_steps(here[1:], here[:-1], to[1:])
        if row > 0:
            _add_steps(here, nodes[row - 1], to)
        if row + 1 < rows:
            _add_steps(here, nodes[row + 1], to)


@compiled
def _add_steps(here: Floats, there: Floats, out: Floats) -> None:
    for place in range(out.size):
        out[place] += ROUGHNESS * (here[place] - there[place])


@compiled
def _diagonal(planes: Floats, decay: float) -> Floats:
    """Return the diagonal of A'A + Q."""
    rows, cols = planes.shape[1:]
    diagonal = np.full((rows, cols), ROUGHNESS * (4.0 + 1.0 / (decay * decay)))
    for slot in range(AROUND):
        down, across = slot // 3 - 1, slot % 3 - 1
        for row in range(1, rows - 1):
            for col in range(1, cols - 1):
                diagonal[row + down, col + across] += planes[slot, row, col] ** 2
    return diagonal
