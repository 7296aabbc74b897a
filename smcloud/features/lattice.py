"""Nodes 15 pixels apart on the output grid: pixels summed to them, kernels between them, and back.

Nodes are those of one global lattice, and kernels reach a fixed number of nodes: what a node gets
does not depend on the block that it is asked for with.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from smcloud.grids.grid import EARTH_RADIUS_M, SIN1KM, Floats, Window

NODE_PIXELS = 15
"""Pixels between nodes: 14 km, about a cell of ERA5-Land."""
SAMPLE_STEP = 3
"""Of the pixels of a node, every third of every third row stands for all."""
SAMPLES_ACROSS = NODE_PIXELS // SAMPLE_STEP
SAMPLES = SAMPLES_ACROSS**2

Ints = NDArray[np.int64]


def nodes_of(window: Window) -> Window:
    """Return the nodes whose squares of pixels meet a window, in global node indices."""
    return Window(
        window.row0 // NODE_PIXELS,
        -(-window.row1 // NODE_PIXELS),
        window.col0 // NODE_PIXELS,
        -(-window.col1 // NODE_PIXELS),
    )


def pixels_of(nodes: Window) -> Window:
    """Return the pixels of some nodes; they may lie outside the grid."""
    return Window(
        *(index * NODE_PIXELS for index in (nodes.row0, nodes.row1, nodes.col0, nodes.col1))
    )


def samples_of(nodes: Window) -> tuple[Ints, Ints]:
    """Return global rows and columns of the sampled pixels of nodes; samples are their product."""
    pixels = pixels_of(nodes)
    first = SAMPLE_STEP // 2
    return (
        np.arange(pixels.row0 + first, pixels.row1, SAMPLE_STEP),
        np.arange(pixels.col0 + first, pixels.col1, SAMPLE_STEP),
    )


def centres(nodes: Window) -> tuple[Floats, Floats]:
    """Return x and y (rows, cols) of nodes on the map, m."""
    half = (NODE_PIXELS - 1) / 2
    cols = np.arange(nodes.col0, nodes.col1) * NODE_PIXELS + half
    rows = np.arange(nodes.row0, nodes.row1) * NODE_PIXELS + half
    x, y = SIN1KM.x_first + SIN1KM.step * cols, SIN1KM.y_first - SIN1KM.step * rows
    shape = len(rows), len(cols)
    return np.broadcast_to(x, shape), np.broadcast_to(y[:, None], shape)


def lonlat(nodes: Window) -> tuple[Floats, Floats]:
    """Return longitude and latitude (rows, cols) of nodes, degrees; NaN off the globe."""
    x, y = centres(nodes)
    with np.errstate(divide="ignore", invalid="ignore"):
        lon = np.degrees(x / (EARTH_RADIUS_M * np.cos(y / EARTH_RADIUS_M)))
    lat = np.degrees(y / EARTH_RADIUS_M)
    on_globe = (np.abs(lon) <= 180.0) & (np.abs(lat) <= 90.0)
    return np.where(on_globe, lon, np.nan), np.where(on_globe, lat, np.nan)


@dataclass(frozen=True)
class Kernel:
    """Weights that fall with the distance on the ground, as a sum of Gaussians.

    Attributes
    ----------
    reach : int
        Nodes to each side; beyond, weights are zero.
    sizes : tuple of (weight, standard deviation)
        Of each Gaussian; standard deviations in nodes.
    """

    reach: int
    sizes: tuple[tuple[float, float], ...]

    def matrix(self, targets: Window) -> csr_matrix:
        """Return the weights (targets, nodes within reach of them).

        The sinusoidal grid is sheared away from Greenwich: distances are those on the sphere,
        east = dx + lambda sin(phi) dy to first order, at the target.
        """
        sources = widened(targets, self.reach)
        steps = np.arange(-self.reach, self.reach + 1)
        down, across = (grid.ravel() for grid in np.meshgrid(steps, steps, indexing="ij"))
        rows, cols = (grid.ravel() for grid in np.indices(targets.shape))
        width = sources.shape[1]
        at = (rows[:, None] + self.reach + down) * width + cols[:, None] + self.reach + across
        east = across + _shear(targets).ravel()[:, None] * -down
        squared = east**2 + down**2
        weights = np.zeros(at.shape)
        for weight, size in self.sizes:
            weights += weight * np.exp(-squared / (2 * size**2))
        starts = np.arange(0, at.size + 1, at.shape[1])
        shape = rows.size, width * sources.shape[0]
        return csr_matrix((weights.ravel(), at.ravel(), starts), shape=shape)


def widened(nodes: Window, reach: int) -> Window:
    """Return nodes with `reach` more on each side."""
    return Window(nodes.row0 - reach, nodes.row1 + reach, nodes.col0 - reach, nodes.col1 + reach)


def _shear(nodes: Window) -> Floats:
    """Return lambda sin(phi) of nodes (rows, cols); 0 off the globe, where nothing is known."""
    lon, lat = lonlat(nodes)
    return np.asarray(np.nan_to_num(np.radians(lon) * np.sin(np.radians(lat))))


@dataclass(frozen=True, eq=False)
class ToPixels:
    """Bilinear weights from nodes to pixels.

    Attributes
    ----------
    corner : int64 (n,)
        Flat index of the north-west node; the others are one east, one south, and both.
    width : int
        Nodes of a row.
    shares : (n, 4)
        Weights of the north-west, north-east, south-west and south-east nodes; sum one.
    """

    corner: Ints
    width: int
    shares: Floats

    @classmethod
    def of(cls, rows: Ints, cols: Ints, nodes: Window) -> "ToPixels":
        """Return the weights to the product of global pixel rows and columns, row by row."""
        row, south = _position(rows, nodes.row0)
        col, east = _position(cols, nodes.col0)
        width = nodes.shape[1]
        corner = (row[:, None] * width + col).ravel()
        south, east = (one.ravel() for one in np.broadcast_arrays(south[:, None], east))
        shares = [(1 - south) * (1 - east), (1 - south) * east, south * (1 - east), south * east]
        return cls(corner, width, np.stack(shares, axis=1))

    def apply(self, values: Floats) -> Floats:
        """Return values (k, nodes) at the pixels (k, n); unknown nodes count for nothing."""
        corners = [self.corner + step for step in (0, 1, self.width, self.width + 1)]
        total: Floats = np.zeros((len(values), self.corner.size))
        known = np.zeros(total.shape)
        for number, corner in enumerate(corners):
            found = values[:, corner]
            share = self.shares[:, number] * np.isfinite(found)
            total += share * np.nan_to_num(found)
            known += share
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.where(known > 0, total / known, np.nan))


def _position(pixels: Ints, first_node: int) -> tuple[Ints, Floats]:
    """Return the node before each pixel, from `first_node`, and the share of the next one."""
    place = (pixels - (NODE_PIXELS - 1) / 2) / NODE_PIXELS
    before = np.floor(place).astype(np.int64)
    return before - first_node, place - before
