"""Coarse to fine (bilinear, nearest cell), fine to coarse (area means); weights computed once."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smcloud.core.compiled import compiled
from smcloud.core.errors import ConfigError
from smcloud.grids.grid import GEOGRAPHIC, Floats, Grid, Ints, Window

FloatArray = NDArray[np.float32]


LANE_POINTS = 16
"""Points whose days are computed before they are written: a line of the cache by day."""


@dataclass(frozen=True)
class Weights:
    """Weights from cells of a coarse grid to n points, bilinear or of the nearest cell alone.

    Attributes
    ----------
    window : Window
        The cells that the points need, in global indices. Columns may run past the last one of
        the grid where the points lie across the seam of longitude; `columns` wraps them.
    corner : (n,) int32
        Flat index into the window of the north-west cell of each point; the others lie one
        column east, one row south, and both.
    shares : (n, 4) float32
        Weights of the north-west, north-east, south-west and south-east cells; they sum to one.
    columns : (cols,) int64
        Global column of each column of the window.
    """

    window: Window
    corner: NDArray[np.int32]
    shares: FloatArray
    columns: NDArray[np.int64]

    @property
    def nbytes(self) -> int:
        """Return the bytes held."""
        return self.corner.nbytes + self.shares.nbytes + self.columns.nbytes

    def apply(self, values: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """Return (..., n) from (..., rows, cols) of the window, float32; best many at once.

        Unknown (NaN, infinite) corners are left out and the others weighted up; a point all of
        whose corners are unknown is NaN. Each point is a sum of four products in fixed order, so
        the result does not depend on which other points or days are asked for.

        Parameters
        ----------
        values
            Values of the cells.
        out
            Where to write, C-contiguous; a new array by default.
        """
        fields, points = math.prod(values.shape[:-2]), len(self.corner)
        if out is None:
            out = np.empty((*values.shape[:-2], points), np.float32)
        by_cell = np.ascontiguousarray(values.reshape(fields, -1).T, np.float32)
        always = np.logical_and.reduce(np.isfinite(by_cell), axis=1)
        flat = out.reshape(fields, points)
        _interpolate(by_cell, always, self.corner, values.shape[-1], self.shares, flat)
        return out


@compiled
def _interpolate(
    by_cell: FloatArray,
    always: NDArray[np.bool_],
    corner: NDArray[np.int32],
    width: int,
    shares: FloatArray,
    out: FloatArray,
) -> None:
    """Fill `out` (days, n) from cells (cells, days), `always` known or not.

    Days are the inner axis, for there a point's four cells lie in sequence and need no gathering.
    """
    zero, unknown = np.float32(0.0), np.float32(np.nan)
    n_days = by_cell.shape[1]
    lane = np.empty((LANE_POINTS, n_days), np.float32)
    for first in range(0, corner.size, LANE_POINTS):
        count = min(LANE_POINTS, corner.size - first)
        for point in range(count):
            nw = corner[first + point]
            ne, sw, se = nw + 1, nw + width, nw + width + 1
            a, b = shares[first + point, 0], shares[first + point, 1]
            c, d = shares[first + point, 2], shares[first + point, 3]
            if always[nw] & always[ne] & always[sw] & always[se]:
                for day in range(n_days):
                    total = zero + by_cell[nw, day] * a + by_cell[ne, day] * b
                    lane[point, day] = total + by_cell[sw, day] * c + by_cell[se, day] * d
                continue
            for day in range(n_days):
                p, q = by_cell[nw, day], by_cell[ne, day]
                r, s = by_cell[sw, day], by_cell[se, day]
                # Only finite values differ from themselves by zero.
                has_p, has_q = p - p == zero, q - q == zero
                has_r, has_s = r - r == zero, s - s == zero
                total = zero + (p * a if has_p else zero) + (q * b if has_q else zero)
                total = total + (r * c if has_r else zero) + (s * d if has_s else zero)
                share = zero + (a if has_p else zero) + (b if has_q else zero)
                share = share + (c if has_r else zero) + (d if has_s else zero)
                mean = total / share if share > zero else unknown
                lane[point, day] = total if has_p & has_q & has_r & has_s else mean
        for day in range(n_days):
            for point in range(count):
                out[day, first + point] = lane[point, day]


def bilinear(grid: Grid, lon: Floats, lat: Floats) -> Weights:
    """Return the weights that interpolate a coarse grid to points (n,), degrees.

    Columns go around the globe where the grid does; beyond its edges the nearest cell is held.

    Raises
    ------
    ConfigError
        If the grid is the fine one or a coordinate is NaN.
    """
    row, col = _position(grid, lon, lat)
    whole = np.floor(col)
    if not grid.goes_around:
        whole = np.minimum(whole, grid.cols - 2.0)
    east_share = col - whole  # before unwrapping, which would round it differently at the seam
    west = _unwrapped(whole.astype(np.int64), grid)
    north = np.minimum(np.floor(row).astype(np.int64), grid.rows - 2)
    return _weights(grid, north, west, row - north, east_share)


def nearest(grid: Grid, lon: Floats, lat: Floats) -> Weights:
    """Return the weights that give points (n,), degrees, the value of the cell they lie in.

    A point whose cell is unknown is unknown, whatever its neighbours know.

    Raises
    ------
    ConfigError
        If the grid is the fine one or a coordinate is NaN.
    """
    _position(grid, lon, lat)
    row, col = grid.pixel_of(lon, lat)
    north = np.minimum(row, grid.rows - 2)
    south_share = (row - north).astype(np.float64)
    if grid.goes_around:
        return _weights(grid, north, _unwrapped(col, grid), south_share, np.zeros(len(row)))
    west = np.minimum(col, grid.cols - 2)
    return _weights(grid, north, west, south_share, (col - west).astype(np.float64))


def _position(grid: Grid, lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    """Return the points in rows and columns of the grid, counted from cell centres."""
    if grid.is_fine:
        raise ConfigError(f"weights from cells need a coarse grid, not {grid.name}")
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        raise ConfigError("weights from cells need known coordinates: leave off-globe pixels out")
    x, y = grid.xy(lon, lat)
    row = np.clip((grid.y_first - y) / grid.step, 0.0, grid.rows - 1.0)
    col = (x - grid.x_first) / grid.step
    return row, col % grid.cols if grid.goes_around else np.clip(col, 0.0, grid.cols - 1.0)


def _weights(
    grid: Grid,
    north: NDArray[np.int64],
    west: NDArray[np.int64],
    south_share: Floats,
    east_share: Floats,
) -> Weights:
    """Return the weights of the four cells of each point, of which (north, west) is the first."""
    window = Window(int(north.min()), int(north.max()) + 2, int(west.min()), int(west.max()) + 2)
    width = window.shape[1]
    corner = (north - window.row0) * width + (west - window.col0)
    return Weights(
        window,
        corner.astype(np.int32),
        np.stack(
            [
                (1 - south_share) * (1 - east_share),
                (1 - south_share) * east_share,
                south_share * (1 - east_share),
                south_share * east_share,
            ],
            axis=1,
        ).astype(np.float32),
        np.arange(window.col0, window.col1) % grid.cols,
    )


def _unwrapped(col: NDArray[np.int64], grid: Grid) -> NDArray[np.int64]:
    """Return columns without a jump where the points lie on both sides of the seam."""
    half = grid.cols / 2
    crosses = grid.goes_around and col.size > 0 and col.max() - col.min() > half
    return np.where(col < half, col + grid.cols, col) if crosses else col


def block_mean(values: FloatArray, size: int, min_fraction: float = 0.25) -> FloatArray:
    """Return the mean over the known values of each `size` x `size` block of the last two axes.

    NaN where less than `min_fraction` of a block is known. On the nested MODIS grids (500 m in
    1 km) this is the exact area mean, since sinusoidal pixels have equal areas.

    Raises
    ------
    ConfigError
        If the blocks do not tile the array.
    """
    rows, cols = values.shape[-2:]
    if rows % size or cols % size:
        raise ConfigError(f"blocks of {size} do not tile an array of {rows} x {cols}")
    total = np.zeros((*values.shape[:-2], rows // size, cols // size), np.float32)
    count = np.zeros(total.shape, np.int16)
    for row in range(size):
        for col in range(size):
            part = values[..., row::size, col::size]
            known = np.isfinite(part)
            total += np.where(known, part, np.float32(0))
            count += known
    enough = count >= max(1, int(np.ceil(min_fraction * size * size)))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(enough, total / count, np.float32(np.nan))


ROUNDING = 1e-9
"""Degrees, and share of a cell: edges that lie nearer are one, sums that lie nearer are equal."""


@dataclass(frozen=True)
class _Overlaps:
    """How the cells of one axis overlap those of another.

    Attributes
    ----------
    index : (n, k) int64
        For each coarse cell the fine cells that it overlaps, in the window of fine cells.
    size : (n, k) float64
        Size of each overlap, 0 where a coarse cell has fewer of them.
    whole : (n,) float64
        Size of the coarse cell, in the same measure.
    """

    index: Ints
    size: Floats
    whole: Floats

    @classmethod
    def of(cls, fine: Floats, coarse: Floats) -> "_Overlaps":
        """Return the overlaps between ascending edges of fine and coarse cells."""
        n = len(fine) - 1
        first = np.clip(np.searchsorted(fine, coarse[:-1], side="right") - 1, 0, n - 1)
        last = np.clip(np.searchsorted(fine, coarse[1:], side="left") - 1, 0, n - 1)
        count = max(int((last - first).max(initial=0)) + 1, 1)
        wanted = first[:, None] + np.arange(count)
        index = np.minimum(wanted, n - 1)
        low = np.maximum(fine[index], coarse[:-1, None])
        high = np.minimum(fine[index + 1], coarse[1:, None])
        size = np.where(wanted <= last[:, None], np.maximum(high - low, 0.0), 0.0)
        return cls(index, size, np.diff(coarse))


@dataclass(frozen=True)
class AreaWeights:
    """Shares that cells of one grid have in larger cells of another, exact on the sphere.

    Both grids are geographic, so the area of an overlap is the difference in longitude times that
    of the sine of latitude, and the shares of rows and of columns are kept apart.

    Attributes
    ----------
    window : Window
        The fine cells that are needed. Columns may run past the last one of the grid where the
        coarse cells lie across its seam; `columns` wraps them.
    columns : (cols,) int64
        Global column of each column of the window.
    rows, cols : _Overlaps
    """

    window: Window
    columns: Ints
    rows: _Overlaps
    cols: _Overlaps

    def apply(self, values: FloatArray, min_share: float = 0.5) -> FloatArray:
        """Return the means (..., coarse rows, coarse cols) of (..., rows, cols) of the window.

        Means are over the known part of a cell, NaN where less than `min_share` of its area is
        known. Where all is known the total is kept: the sum of area times mean.
        """
        known = np.isfinite(values)
        total = self._summed(np.where(known, values, 0.0).astype(np.float64, copy=False))
        area = self._summed(known.astype(np.float64))
        whole = self.rows.whole[:, None] * self.cols.whole
        enough = (area > 0) & (area >= (min_share - ROUNDING) * whole)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(enough, total / area, np.nan).astype(np.float32)

    def _summed(self, values: Floats) -> Floats:
        """Return the sums of values times area over each coarse cell."""
        rows, cols = self.rows, self.cols
        by_row = np.zeros((*values.shape[:-2], len(rows.whole), values.shape[-1]))
        for k in range(rows.index.shape[1]):
            by_row += rows.size[:, k, None] * values[..., rows.index[:, k], :]
        total = np.zeros((*by_row.shape[:-1], len(cols.whole)))
        for k in range(cols.index.shape[1]):
            total += cols.size[:, k] * by_row[..., cols.index[:, k]]
        return total


def area_weights(fine: Grid, coarse: Grid, window: Window) -> AreaWeights:
    """Return the weights that bring fine cells to a window of a coarse grid, whatever the ratio.

    What a coarse cell has beyond the fine grid is unknown.

    Raises
    ------
    ConfigError
        If one of the grids is not geographic.
    """
    for grid in (fine, coarse):
        if grid.projection != GEOGRAPHIC:
            raise ConfigError(f"exact area weights need latitudes and longitudes, not {grid.name}")
    # Ascending from north to south, in a measure of area.
    fine_rows, coarse_rows = (-np.sin(np.radians(_row_edges(grid))) for grid in (fine, coarse))
    rows = _Overlaps.of(fine_rows, coarse_rows[window.row0 : window.row1 + 1])
    row0, row1 = int(rows.index.min()), int(rows.index.max()) + 1
    coarse_cols = _col_edges(coarse, window.col0, window.col1)
    west = fine.x_first - fine.step / 2
    coarse_cols = coarse_cols - 360.0 * np.floor((coarse_cols[0] - west) / 360.0 + ROUNDING)
    col0 = int(np.floor((coarse_cols[0] - west) / fine.step + ROUNDING))
    col1 = int(np.ceil((coarse_cols[-1] - west) / fine.step - ROUNDING))
    cols = _Overlaps.of(_col_edges(fine, col0, col1), coarse_cols)
    return AreaWeights(
        Window(row0, row1, col0, col1),
        np.arange(col0, col1) % fine.cols,
        _Overlaps(rows.index - row0, rows.size, rows.whole),
        cols,
    )


def _row_edges(grid: Grid) -> Floats:
    """Return the latitudes (rows + 1,) between rows, north to south, none beyond the poles."""
    edges = grid.y_first + grid.step * (0.5 - np.arange(grid.rows + 1))
    return np.clip(np.round(edges, 9), -90.0, 90.0)


def _col_edges(grid: Grid, col0: int, col1: int) -> Floats:
    """Return the longitudes between columns of a window and at its ends, unwrapped."""
    edges: Floats = np.round(grid.x_first + grid.step * (np.arange(col0, col1 + 1) - 0.5), 9)
    return edges
