"""What anchoring must know of the fine pixels of each coarse cell: sums that add up over blocks.

A first guess at fine points is corrected by values on the centres of coarse cells, bilinear between
them. The mean of a cell after the correction depends on its points through a few sums alone: their
number, the sum of their first guess, and the sums of their weights toward the cell's own node and
the eight around it. Sums are integers, so that they are the same to the bit however the globe was
cut into blocks and in whatever order the blocks came.
"""

import io
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import UserError
from smcloud.grids.grid import Grid, Window, grid_named
from smcloud.grids.regrid import Weights, bilinear
from smcloud.models.anchoring_kernels import AROUND, UNIT, sum_points

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Indices = NDArray[np.int64]
LAYERS = ("known", "total", "capacity", "moves", "lowest", "room")


@dataclass(frozen=True, eq=False)
class Links:
    """How n points hang on the cells of a coarse grid and on the nodes at their centres.

    Attributes
    ----------
    grid : Grid
        The coarse grid.
    weights : Weights
        Bilinear weights of the nodes around each point; its window holds cells and nodes alike.
    cell : int32 (n,)
        Flat index, in the window of `weights`, of the cell that holds each point.
    """

    grid: Grid
    weights: Weights
    cell: NDArray[np.int32]

    @property
    def window(self) -> Window:
        """Return the cells and nodes that the points touch; columns may pass the grid's last."""
        return self.weights.window


@dataclass(frozen=True, eq=False)
class CellSums:
    """Sums over the known points of each cell, of consecutive days.

    Attributes
    ----------
    grid : Grid
        The coarse grid.
    window : Window
        Its cells; columns may run past the last one of the grid.
    known : int32 (days, rows, cols)
        Points with a first guess.
    total : int64 (days, rows, cols)
        Sum of their values, in steps of 1 / `UNIT`.
    capacity : int64 (days, rows, cols)
        Sum of their ceilings, in the same steps.
    moves : int64 (days, rows, cols, 9)
        Sums of the weights toward the nodes around, row by row, of the points that are not clamped.
    lowest, room : float32 (days, rows, cols)
        The lowest value, and the least distance of a value to its ceiling; inf without points.
    """

    grid: Grid
    window: Window
    known: NDArray[np.int32]
    total: NDArray[np.int64]
    capacity: NDArray[np.int64]
    moves: NDArray[np.int64]
    lowest: Floats32
    room: Floats32

    @property
    def means(self) -> Floats:
        """Return the mean value of each cell's points, float64; NaN without points."""
        return self._by_point(self.total)

    @property
    def ceilings(self) -> Floats:
        """Return the mean ceiling of each cell's points: no mean can be higher."""
        return self._by_point(self.capacity)

    @property
    def stencils(self) -> Floats:
        """Return how far the mean of each cell moves with each node, (days, rows, cols, 9)."""
        number = np.maximum(self.known, 1).astype(np.float64)
        return np.asarray(self.moves / (UNIT * number)[..., None])

    def _by_point(self, total: NDArray[np.int64]) -> Floats:
        mean = np.full(total.shape, np.nan)
        np.divide(total, self.known * UNIT, out=mean, where=self.known > 0)
        return mean

    def of(self, days: NDArray[np.intp]) -> "CellSums":
        """Return the sums of some of the days."""
        return replace(self, **{name: getattr(self, name)[days] for name in LAYERS})

    def to_bytes(self) -> bytes:
        """Return the sums as a compressed NPZ file; equal sums give equal bytes."""
        arrays = {name: getattr(self, name) for name in LAYERS}
        place = np.array(astuple(self.window))
        return packed(grid=np.array(self.grid.name), window=place, **arrays)

    @classmethod
    def from_bytes(cls, data: bytes) -> "CellSums":
        """Return the sums that `to_bytes` wrote."""
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            arrays = {name: found[name] for name in LAYERS}
            return cls(grid_named(str(found["grid"])), Window(*found["window"].tolist()), **arrays)


def links(grid: Grid, lon: Floats, lat: Floats) -> Links:
    """Return how points (n,), degrees, hang on a coarse grid.

    Raises
    ------
    ConfigError
        If the grid is the fine one, or a coordinate is NaN.
    """
    weights = bilinear(grid, lon, lat)
    rows, cols = grid.pixel_of(lon, lat)
    width = weights.window.shape[1]
    # The cell of a point is one of the four that its weights name.
    across = (cols - weights.window.col0) % grid.cols
    west = weights.corner % width
    across = np.where(across > west, west + 1, west)
    down = rows - weights.window.row0
    return Links(grid, weights, (down * width + across).astype(np.int32))


def cell_sums(
    first_guess: Floats32, where: Links, ceiling: float | Floats32, nodes: Floats32 | None = None
) -> CellSums:
    """Return the sums of a first guess, or of its corrected and clamped values given nodes.

    Parameters
    ----------
    first_guess
        (days, n_points) float32, NaN for unknown.
    where
        How the points hang on the coarse grid.
    ceiling
        Highest value that may be: one for all, or (n_points,). The lowest is 0.
    nodes
        (days, rows, cols) corrections on the window of `where`. Then values are clamped, and
        points at 0 or at their ceiling do not count in `moves`.
    """
    days, (rows, cols) = len(first_guess), where.window.shape
    shape = (days, rows * cols)
    sums = _empty(shape)
    given = np.zeros(shape, np.float32) if nodes is None else nodes
    sum_points(
        np.ascontiguousarray(first_guess, np.float32),
        np.ascontiguousarray(given, np.float32).reshape(shape),
        where.weights.corner,
        where.cell,
        cols,
        where.weights.shares,
        ceilings_of(ceiling, first_guess.shape[1]),
        nodes is not None,
        *(sums[name] for name in LAYERS),
    )
    layers = {
        name: values.reshape(days, rows, cols, *values.shape[2:]) for name, values in sums.items()
    }
    return CellSums(where.grid, where.window, **layers)


def _empty(shape: tuple[int, ...]) -> dict[str, NDArray[Any]]:
    """Return the layers of sums of no point."""
    return {
        "known": np.zeros(shape, np.int32),
        "total": np.zeros(shape, np.int64),
        "capacity": np.zeros(shape, np.int64),
        "moves": np.zeros((*shape, AROUND), np.int64),
        "lowest": np.full(shape, np.inf, np.float32),
        "room": np.full(shape, np.inf, np.float32),
    }


def ceilings_of(ceiling: float | Floats32, n_points: int) -> Floats32:
    """Return the ceiling of each point, (n_points,) float32."""
    whole = np.broadcast_to(np.asarray(ceiling, np.float32), (n_points,))
    return np.ascontiguousarray(whole)


def merged(parts: Sequence[CellSums], window: Window | None = None) -> CellSums:
    """Return the sums of blocks that do not overlap, on one window; the same in any order.

    Parameters
    ----------
    parts
        Sums of the same days and grid.
    window
        Cells of the result, which must hold those of all parts; the least such by default.

    Raises
    ------
    UserError
        If there is no part, the parts are of other grids or days, or the window is too small.
    """
    if not parts or len({(part.grid.name, len(part.known)) for part in parts}) != 1:
        raise UserError("sums of cells can be put together of one grid and the same days only")
    grid, days = parts[0].grid, len(parts[0].known)
    window = window or around(grid, [part.window for part in parts])
    layers = _empty((days, *window.shape))
    for part in parts:
        rows, cols = places(grid, window, part.window)
        for name, whole in layers.items():
            inside = whole[:, rows]
            own = getattr(part, name)
            join = np.minimum if whole.dtype.kind == "f" else np.add
            inside[:, :, cols] = join(inside[:, :, cols], own)
    return CellSums(grid, window, **layers)


def around(grid: Grid, windows: Sequence[Window]) -> Window:
    """Return the least window that holds windows of a grid whose columns go around the globe."""
    row0, row1 = min(w.row0 for w in windows), max(w.row1 for w in windows)
    taken = np.zeros(grid.cols, np.bool_)
    for window in windows:
        taken[np.arange(window.col0, window.col1) % grid.cols] = True
    cols = np.flatnonzero(taken)
    # The widest gap between taken columns, the one across the seam included, is left out.
    gaps = np.diff(cols, append=cols[0] + grid.cols)
    last = int(np.argmax(gaps[::-1]))  # of equal gaps the one across the seam
    last = len(gaps) - 1 - last
    first = int(cols[(last + 1) % len(cols)])
    return Window(row0, row1, first, first + grid.cols - int(gaps[last]) + 1)


def places(grid: Grid, outer: Window, inner: Window) -> tuple[slice, Indices]:
    """Return the rows and columns of a window inside an array of another, across the seam or not.

    Raises
    ------
    UserError
        If it does not lie inside.
    """
    cols = (np.arange(inner.col0, inner.col1) - outer.col0) % grid.cols
    rows = slice(inner.row0 - outer.row0, inner.row1 - outer.row0)
    if rows.start < 0 or inner.row1 > outer.row1 or (cols >= outer.shape[1]).any():
        raise UserError(f"cells {inner} of {grid.name} do not lie inside {outer}")
    return rows, cols


def packed(**arrays: NDArray[np.generic]) -> bytes:
    """Return arrays as a compressed NPZ file without any clock in it."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
