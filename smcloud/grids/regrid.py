"""Coarse to fine (bilinear) and fine to coarse (area mean), with weights computed once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import ConfigError
from smcloud.grids.grid import Floats, Grid, Window

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class Weights:
    """Bilinear weights from cells of a latitude-longitude grid to n points.

    Attributes
    ----------
    window : Window
        The cells that the points need, in global indices. Columns may run past the last one of
        the grid where the points lie across the seam of longitude; `columns` wraps them.
    corners : (4, n) intp
        Flat indices into the window of the north-west, north-east, south-west, south-east cells.
    weights : (4, n) float32
        Their weights, which sum to one.
    columns : (cols,) int64
        Global column of each column of the window.
    """

    window: Window
    corners: NDArray[np.intp]
    weights: FloatArray
    columns: NDArray[np.int64]

    def apply(self, values: FloatArray) -> FloatArray:
        """Return (..., n) from (..., rows, cols) of the window, float32.

        Unknown (NaN) corners are left out and the others weighted up; a point all of whose
        corners are unknown is NaN. Each point is a sum of four products in fixed order, so the
        result does not depend on which other points or days are asked for.
        """
        flat = values.reshape(*values.shape[:-2], -1)
        total = self._sum(flat)
        unknown = np.isfinite(flat).reshape(-1, flat.shape[-1]).min(axis=0) == 0
        if unknown.any():
            touched = np.flatnonzero(unknown[self.corners].any(axis=0))
            total[..., touched] = self._known_mean(flat, touched)
        return total

    def _sum(self, flat: FloatArray) -> FloatArray:
        """Return the plain weighted sums: the fast road, right where all corners are known."""
        total = np.zeros((*flat.shape[:-1], self.corners.shape[1]), np.float32)
        for corner, weight in zip(self.corners, self.weights, strict=True):
            part = np.take(flat, corner, axis=-1)
            part *= weight
            total += part
        return total

    def _known_mean(self, flat: FloatArray, points: NDArray[np.intp]) -> FloatArray:
        """Return the points that have an unknown corner at some time."""
        total = np.zeros((*flat.shape[:-1], len(points)), np.float32)
        known_weight = np.zeros_like(total)
        all_known = np.ones(total.shape, np.bool_)
        for corner, weight in zip(self.corners[:, points], self.weights[:, points], strict=True):
            picked = flat[..., corner]
            known = np.isfinite(picked)
            total += np.where(known, picked * weight, np.float32(0))
            known_weight += known * weight
            all_known &= known
        with np.errstate(invalid="ignore", divide="ignore"):
            scaled = np.where(known_weight > 0, total / known_weight, np.float32(np.nan))
        return np.where(all_known, total, scaled)


def bilinear(grid: Grid, lon: Floats, lat: Floats) -> Weights:
    """Return the weights that interpolate a latitude-longitude grid to points (n,), degrees.

    Longitude is circular; beyond the first or last row the nearest row is held.

    Raises
    ------
    ConfigError
        If the grid is projected or a coordinate is NaN.
    """
    if grid.projected:
        raise ConfigError(f"bilinear weights need a latitude-longitude grid, not {grid.name}")
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        raise ConfigError("bilinear weights need known coordinates: leave off-globe pixels out")
    col = ((lon - grid.x_first) / grid.step) % grid.cols
    row = np.clip((grid.y_first - lat) / grid.step, 0.0, grid.rows - 1.0)
    whole = np.floor(col)
    east_share = col - whole  # before unwrapping, which would round it differently at the seam
    west = _unwrapped(whole.astype(np.int64), grid.cols)
    north = np.minimum(np.floor(row).astype(np.int64), grid.rows - 2)
    window = Window(int(north.min()), int(north.max()) + 2, int(west.min()), int(west.max()) + 2)
    width = window.shape[1]
    corner = (north - window.row0) * width + (west - window.col0)
    south_share = row - north
    return Weights(
        window,
        np.stack([corner, corner + 1, corner + width, corner + width + 1]).astype(np.intp),
        np.stack(
            [
                (1 - south_share) * (1 - east_share),
                (1 - south_share) * east_share,
                south_share * (1 - east_share),
                south_share * east_share,
            ]
        ).astype(np.float32),
        np.arange(window.col0, window.col1) % grid.cols,
    )


def _unwrapped(col: NDArray[np.int64], cols: int) -> NDArray[np.int64]:
    """Return columns without a jump where the points lie on both sides of the seam."""
    crosses = col.size > 0 and col.max() - col.min() > cols / 2
    return np.where(col < cols / 2, col + cols, col) if crosses else col


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
