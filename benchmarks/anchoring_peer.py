"""The same anchoring with whole arrays: numpy, and scipy's sparse direct solver, day by day.

What a careful person writes in a notebook: the operator from nodes to pixels as one sparse matrix,
each day's means of cells as another, the smoothest nodes with the wanted means by Lagrange's
multipliers, and Newton's steps where pixels are clamped.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve

from smcloud.models.anchor_nodes import TOLERANCE, State
from smcloud.models.anchoring import Anchors
from smcloud.models.cell_sums import Links, cell_sums

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Matrix = sparse.csr_matrix
ROUNDS, LEAST_SHARE = 6, 1e-6


@dataclass(frozen=True, eq=False)
class WholeArrays:
    """What does not depend on the day.

    Attributes
    ----------
    to_points : sparse (points, nodes)
        Bilinear weights; nodes have a margin of one around the cells.
    roughness : sparse (nodes, nodes)
        Of which d' Q d is least.
    cell : (points,)
        Flat index of the cell of each point.
    shape : (rows, cols)
        Of the cells.
    """

    to_points: Matrix
    roughness: sparse.csc_matrix
    cell: NDArray[np.int64]
    shape: tuple[int, int]


def prepare(where: Links, decay_cells: float) -> WholeArrays:
    """Return the operators of a region."""
    rows, cols = where.window.shape
    wide = cols + 2
    north_west = (where.weights.corner // cols + 1) * wide + where.weights.corner % cols + 1
    nodes = np.stack([north_west, north_west + 1, north_west + wide, north_west + wide + 1])
    points = np.broadcast_to(np.arange(nodes.shape[1]), nodes.shape)
    shares = where.weights.shares.T.astype(np.float64)
    n_nodes = (rows + 2) * wide
    to_points = Matrix(
        (shares.ravel(), (points.ravel(), nodes.ravel())), shape=(nodes.shape[1], n_nodes)
    )
    steps = sparse.vstack(
        [
            sparse.kron(_steps(rows + 2), sparse.identity(wide)),
            sparse.kron(sparse.identity(rows + 2), _steps(wide)),
        ]
    )
    roughness = steps.T @ steps + sparse.identity(n_nodes) / decay_cells**2
    return WholeArrays(to_points, roughness.tocsc(), where.cell.astype(np.int64), (rows, cols))


def _steps(size: int) -> Matrix:
    return sparse.diags([-np.ones(size - 1), np.ones(size - 1)], [0, 1], shape=(size - 1, size))


def anchor_whole(
    first_guess: Floats32, whole: WholeArrays, where: Links, anchors: Anchors, ceiling: float
) -> Floats32:
    """Return the corrected values of points, (days, points), as `models.anchoring.anchor` does."""
    sums = cell_sums(first_guess, where, ceiling)
    asked, states = anchors.asked(sums), anchors.states(sums)
    found = np.empty_like(first_guess)
    for day, guess in enumerate(first_guess):
        is_anchored = (states[day] == State.ANCHORED).ravel()
        found[day] = _day(guess.astype(np.float64), whole, asked[day].ravel(), is_anchored, ceiling)
    return found


def _day(
    guess: Floats, whole: WholeArrays, asked: Floats, is_anchored: NDArray[np.bool_], ceiling: float
) -> Floats:
    known = np.isfinite(guess)
    cells = whole.cell[known]
    count = np.maximum(np.bincount(cells, minlength=asked.size), 1)
    operator = whole.to_points[known]
    values = guess[known]
    missing = asked - np.bincount(cells, values, asked.size) / count
    nodes = _smoothest(whole, _means(operator, cells, count), missing, is_anchored)
    for _ in range(ROUNDS):
        moved = values + operator @ nodes
        clamped = np.clip(moved, 0.0, ceiling)
        error = asked - np.bincount(cells, clamped, asked.size) / count
        if np.abs(error[is_anchored]).max(initial=0.0) <= TOLERANCE:
            break
        is_free = ((moved > 0.0) & (moved < ceiling)).astype(np.float64)
        share = np.bincount(cells, is_free, asked.size) / count
        means = _means(sparse.diags(is_free) @ operator, cells, count * np.maximum(share, 1e-6))
        nodes = _smoothest(
            whole, means, means @ nodes + error / np.maximum(share, 1e-6), is_anchored
        )
    result = np.full(guess.shape, np.nan)
    result[known] = np.clip(values + operator @ nodes, 0.0, ceiling)
    return result


def _means(operator: sparse.csr_matrix, cells: NDArray[np.int64], count: Floats) -> Matrix:
    """Return how the mean of each cell moves with each node."""
    picks = (1.0 / count[cells], (cells, np.arange(cells.size)))
    return Matrix(picks, shape=(count.size, cells.size)) @ operator


def _smoothest(
    whole: WholeArrays, means: Matrix, wanted: Floats, is_anchored: NDArray[np.bool_]
) -> Floats:
    """Return the smoothest nodes under which the anchored cells have the wanted means."""
    asked = means[is_anchored]
    if not asked.shape[0]:
        return np.zeros(whole.roughness.shape[0])
    system = sparse.bmat([[whole.roughness, asked.T], [asked, None]], format="csc")
    right = np.concatenate([np.zeros(whole.roughness.shape[0]), wanted[is_anchored]])
    return np.asarray(spsolve(system, right)[: whole.roughness.shape[0]])
