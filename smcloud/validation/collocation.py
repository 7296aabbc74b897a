"""Pairs of a product cube with what it is compared to: blocks of the truth, and stations.

Every function here works on one block of pixels and gives back sums or a few series, so that
blocks run anywhere and nothing of 1 km size reaches the client.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smcloud.cube.schema import CubeSchema, Days
from smcloud.cube.store import Cube, open_cube
from smcloud.grids.grid import SIN1KM, Window
from smcloud.grids.land import land_mask
from smcloud.grids.regrid import Weights, bilinear
from smcloud.validation.pairs import PairStats

MONTHS = 12
DENSITY_EDGES = np.linspace(0.0, 0.6, 61)
"""Bins of the scatter picture, m3 m-3: 0.01 wide, beyond the wettest soil that stations report."""

Floats32 = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Layer:
    """One variable of one year's store: where it lies and how it is packed. Travels in tasks."""

    url: str
    schema: CubeSchema
    year: int
    variable: str
    required: bool = True
    """Whether an absent object is an error (the product) or unknown values (a reference)."""

    def open(self) -> Cube:
        """Return the store, opened once per process."""
        return open_cube(self.url, self.schema, self.year)

    def read(self, steps: slice, window: Window) -> Floats32:
        """Return physical values (steps, rows, cols), NaN for unknown."""
        return self.open().read_physical(self.variable, steps, window, required=self.required)


@dataclass(frozen=True)
class Comparison:
    """What a product is scored against, pixel by pixel."""

    product: Layer
    reference: Layer
    baseline: Layer | None
    """A coarse layer interpolated to the same pixels and scored on the same pairs."""
    cell: int
    """Side of the cells of the error maps, in pixels."""
    step: int = 46
    """Days read at once, which bounds memory."""


@dataclass(frozen=True, eq=False)
class BlockScores:
    """Sums of one block against the reference; they add up over any set of blocks.

    `product` and `baseline` have shape (12 months, rows of cells, columns of cells); `density`
    counts the pairs per bin of (estimate, reference).
    """

    window: Window
    product: PairStats
    baseline: PairStats
    density: NDArray[np.int64]


def score_block(comparison: Comparison, window: Window) -> BlockScores:
    """Return the sums of one block of pixels over all days of the year.

    A pair counts where product and reference are both known; the baseline is scored on those
    pairs alone, so that the two can be compared.
    """
    rows, cols = (side // comparison.cell for side in window.shape)
    n_groups = MONTHS * rows * cols
    product, baseline = PairStats.zero((n_groups,)), PairStats.zero((n_groups,))
    density = np.zeros((len(DENSITY_EDGES) - 1,) * 2, np.int64)
    points = np.flatnonzero(land_mask(window))
    coarse = coarse_reader(comparison.baseline, window, points)
    days = comparison.product.open().times
    for start in range(0, len(days) if points.size else 0, comparison.step):
        steps = slice(start, min(start + comparison.step, len(days)))
        estimate = at_points(comparison.product, steps, window, points)
        reference = at_points(comparison.reference, steps, window, points)
        estimate[np.isnan(reference)] = np.nan
        reference[np.isnan(estimate)] = np.nan
        groups = _groups(days[steps], points, window, comparison.cell)
        product += PairStats.grouped(estimate, reference, groups, n_groups)
        density += bin_pairs(estimate, reference)
        if coarse is not None:
            baseline += PairStats.grouped(coarse.read(steps), reference, groups, n_groups)
    shape = (MONTHS, rows, cols)
    return BlockScores(window, product.reshaped(*shape), baseline.reshaped(*shape), density)


def bin_pairs(estimate: Floats32, reference: Floats32) -> NDArray[np.int64]:
    """Return how many pairs fall in each bin of (estimate, reference); unknown pairs do not."""
    known = np.isfinite(estimate) & np.isfinite(reference)
    low, high = DENSITY_EDGES[0], np.nextafter(DENSITY_EDGES[-1], 0)
    found, *_ = np.histogram2d(
        np.clip(estimate[known], low, high),
        np.clip(reference[known], low, high),
        bins=[DENSITY_EDGES, DENSITY_EDGES],
    )
    return found.astype(np.int64)


def month_of(days: Days) -> Indices:
    """Return the month of each day, 0 for January."""
    return days.astype("datetime64[M]").astype(np.int64) % MONTHS


def station_series(layer: Layer, rows: Indices, cols: Indices) -> Floats32:
    """Return the year of each station's pixel, (days, stations), physical values.

    `rows` and `cols` are global pixels; stations of one shard belong in one call, since the same
    few objects serve them all.
    """
    whole_year = slice(0, len(layer.open().times))
    series = [
        layer.read(whole_year, Window(row, row + 1, col, col + 1)).reshape(-1)
        for row, col in zip(rows.tolist(), cols.tolist(), strict=True)
    ]
    return np.stack(series, axis=1) if series else np.empty((whole_year.stop, 0), np.float32)


def coarse_series(layer: Layer, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> Floats32:
    """Return the year of a coarse layer interpolated to points (degrees), (days, points)."""
    whole_year = slice(0, len(layer.open().times))
    series = [
        CoarseReader(layer, bilinear(layer.schema.on, lon[i : i + 1], lat[i : i + 1])).read(
            whole_year
        )[:, 0]
        for i in range(lon.size)
    ]
    return np.stack(series, axis=1) if series else np.empty((whole_year.stop, 0), np.float32)


@dataclass(frozen=True)
class CoarseReader:
    """A coarse layer brought to fixed points."""

    layer: Layer
    weights: Weights

    def read(self, steps: slice) -> Floats32:
        """Return (steps, points)."""
        window, grid = self.weights.window, self.layer.schema.on
        inside = self.layer.read(
            steps, Window(window.row0, window.row1, window.col0, min(window.col1, grid.cols))
        )
        if window.col1 > grid.cols:  # the cells run on beyond the seam of longitude
            beyond = Window(window.row0, window.row1, 0, window.col1 - grid.cols)
            inside = np.concatenate([inside, self.layer.read(steps, beyond)], axis=2)
        return self.weights.apply(inside)


def coarse_reader(layer: Layer | None, window: Window, points: Indices) -> CoarseReader | None:
    """Return what interpolates a coarse layer to points of a window; None without either."""
    if layer is None or points.size == 0:
        return None
    lon, lat = (values.reshape(-1)[points] for values in SIN1KM.lonlat(window))
    return CoarseReader(layer, bilinear(layer.schema.on, lon, lat))


def at_points(layer: Layer, steps: slice, window: Window, points: Indices) -> Floats32:
    """Return a fine layer at points (flat in the window), (steps, points)."""
    values = layer.read(steps, window)
    return values.reshape(len(values), -1)[:, points]


def _groups(days: Days, points: Indices, window: Window, cell: int) -> Indices:
    """Return the group (month, row of cells, column of cells) of every day and point."""
    rows, cols = window.shape
    row, col = points // cols // cell, points % cols // cell
    cells = row * (cols // cell) + col
    per_month = (rows // cell) * (cols // cell)
    return np.asarray(month_of(days)[:, None] * per_month + cells[None, :])
