"""Pixels and the cells of coarse grids that hold them: membership, and values by cell.

A pixel belongs to the cell that holds its centre, and to no other, so that sums over the pixels of
cells add up over any cut of the globe into windows. Pixels of the sinusoidal grid have equal areas,
as those of EASE-Grid 2.0 have: the plain mean over the pixels of a cell is its area mean. On the
nested EASE-Grid (1 km in 9 or 36 km) it is exact; on the sinusoidal one the edge of a cell is
drawn along whole pixels, which of a cell of 36 km moves about 1 % of the area at each side.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from smcloud.core.compiled import compiled
from smcloud.core.errors import ConfigError
from smcloud.grids.grid import SIN1KM, Floats, Grid, Window
from smcloud.grids.land import is_land

Indices = NDArray[np.int64]
Floats32 = NDArray[np.float32]
Counts = NDArray[np.integer[Any]]
Rule = Literal["mean", "nearest"]

AREA_PIXELS = 600
"""Side of the squares that tasks take: few blocks are read by two tasks, and a tile has four."""
GROUP_CELLS = 8
"""Side of the groups of cells whose land is counted at once, which bounds memory."""
SHEAR_PIXELS = 500
"""More than lies between the columns of a cell's centre and its neighbours' anywhere below 84
degrees: the sinusoidal grid is sheared."""
AROUND = np.array([-1, 0, 1])


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells of a coarse grid, one per entry, sorted by row and column."""

    grid: Grid
    rows: Indices
    cols: Indices

    @property
    def lonlat(self) -> tuple[Floats, Floats]:
        """Return longitude and latitude of the centres, degrees, each (n,)."""
        return _centres(self.grid, self.rows, self.cols)

    @property
    def flat(self) -> Indices:
        """Return the flat index of each cell in its grid, increasing."""
        return np.asarray(self.rows * self.grid.cols + self.cols)


@dataclass(frozen=True)
class Aggregation:
    """How the pixels of a cell become one value.

    Attributes
    ----------
    rule : "mean" or "nearest"
        The mean over the known land pixels, or the value of the pixel that holds the cell's centre
        (the nearest one on the pixels' own map), which is unknown where that pixel is.
    minimum_share : float
        Least share of a cell's land pixels that must be known for a mean; one pixel at least.

    Raises
    ------
    ConfigError
        If the rule does not exist or the share does not lie within 0 to 1.
    """

    rule: Rule = "mean"
    minimum_share: float = 0.5

    def __post_init__(self) -> None:
        if self.rule not in ("mean", "nearest"):
            raise ConfigError(f"aggregation {self.rule!r}: expected mean or nearest")
        if not 0.0 <= self.minimum_share <= 1.0:
            raise ConfigError(f"minimum_share = {self.minimum_share:g}: expected 0 to 1")

    def needed(self, land_pixels: Counts) -> Floats:
        """Return the known pixels that each cell needs, given its land pixels (n_cells,)."""
        share = self.minimum_share if self.rule == "mean" else 0.0
        return np.maximum(share * np.asarray(land_pixels, np.float64), 1.0)


def areas_of(blocks: Sequence[Window], side: int = AREA_PIXELS) -> list[Window]:
    """Return the squares of `side` pixels of the output grid that hold a block, row by row."""
    corners = sorted({(block.row0 // side, block.col0 // side) for block in blocks})
    return [Window(r * side, (r + 1) * side, c * side, (c + 1) * side) for r, c in corners]


def cells_in(grid: Grid, area: Window) -> Cells:
    """Return the cells of a coarse grid whose centre lies in `area` of the output grid."""
    lon, lat = (values.reshape(-1) for values in SIN1KM.lonlat(area))
    known = np.isfinite(lon)
    rows, cols = grid.pixel_of(lon[known], lat[known])
    rows, cols = np.divmod(np.unique(rows * grid.cols + cols), grid.cols)
    at_row, at_col = SIN1KM.pixel_of(*_centres(grid, rows, cols))
    inside = (at_row >= area.row0) & (at_row < area.row1)
    inside &= (at_col >= area.col0) & (at_col < area.col1)
    return Cells(grid, rows[inside], cols[inside])


def reach(cells: Cells, area: Window) -> Window:
    """Return a window of the output grid that holds every pixel of the cells of an area.

    It is the rectangle around the centres of the cells and of their eight neighbours. Neighbours
    beyond the seam of longitude lie far away and hold none of the pixels.
    """
    rows = (cells.rows[:, None, None] + AROUND[:, None] + 0 * AROUND[None, :]).reshape(-1)
    cols = (cells.cols[:, None, None] + 0 * AROUND[:, None] + AROUND[None, :]).reshape(-1)
    kept = (rows >= 0) & (rows < cells.grid.rows)
    lonlat = _centres(cells.grid, rows[kept], cols[kept] % cells.grid.cols)
    row, col = SIN1KM.pixel_of(*lonlat)
    margin = area.shape[1]
    near = (col >= area.col0 - margin) & (col < area.col1 + margin)
    row0, row1 = int(row[near].min()), int(row[near].max()) + 1
    return Window(row0, row1, int(col[near].min()), int(col[near].max()) + 1)


def members(cells: Cells, window: Window, fine: Grid = SIN1KM) -> tuple[Indices, Indices]:
    """Return the land pixels of a window that lie in the cells, and the cell of each.

    Parameters
    ----------
    cells
        Cells of a coarse grid.
    window
        Pixels of the grid `fine`.
    fine
        Grid of the pixels.

    Returns
    -------
    points : (n,)
        Flat indices in the window, ascending.
    cell_of : (n,)
        Place in `cells` of the cell of each.
    """
    lon, lat = (values.reshape(-1) for values in fine.lonlat(window))
    points = np.flatnonzero(is_land(lon, lat))
    if cells.rows.size == 0:
        return points[:0], points[:0]
    rows, cols = cells.grid.pixel_of(lon[points], lat[points])
    found, wanted = rows * cells.grid.cols + cols, cells.flat
    at = np.minimum(np.searchsorted(wanted, found), wanted.size - 1)
    mine = wanted[at] == found
    return points[mine], at[mine]


def sampled(
    cells: Cells, window: Window, aggregation: Aggregation, fine: Grid = SIN1KM
) -> tuple[Indices, Indices]:
    """Return the pixels of a window that the cells are made of, and the cell of each.

    As `members`; with the rule ``nearest`` at most one pixel a cell, the one that holds its centre,
    if it is land. Where a centre lies on the corner of four pixels, as on grids nested an even
    number of times, rounding decides between them, always in the same way.
    """
    points, cell_of = members(cells, window, fine)
    if aggregation.rule == "mean" or points.size == 0:
        return points, cell_of
    row, col = fine.pixel_of(*cells.lonlat)
    centre = (row - window.row0) * window.shape[1] + col - window.col0
    is_centre = points == centre[cell_of]
    is_centre &= ((col >= window.col0) & (col < window.col1))[cell_of]
    return points[is_centre], cell_of[is_centre]


def totals(values: Floats32, cell_of: Indices, n_cells: int) -> tuple[Floats, Counts]:
    """Return the sum over the known pixels of each cell and their number, (..., n_cells).

    Totals of windows that do not overlap add up. A sum of float32 values in float64 is exact while
    the least value is above a millionth of the greatest, so that their order does not matter; where
    it is not, it is good to sixteen digits, and its mean is rounded to seven.

    Parameters
    ----------
    values
        (..., n_points) values of the pixels, NaN for unknown.
    cell_of
        (n_points,) cell of each.
    n_cells
        Number of cells.
    """
    head = values.shape[:-1]
    flat = np.ascontiguousarray(values, np.float32).reshape(math.prod(head), values.shape[-1])
    total = np.zeros((len(flat), n_cells))
    known = np.zeros((len(flat), n_cells), np.int32)
    _add(flat, cell_of, total, known)
    return total.reshape(*head, n_cells), known.reshape(*head, n_cells)


@compiled
def _add(values: Floats32, cell_of: Indices, total: Floats, known: Counts) -> None:
    for field in range(values.shape[0]):
        for point in range(values.shape[1]):
            value = values[field, point]
            if np.isfinite(value):
                total[field, cell_of[point]] += value
                known[field, cell_of[point]] += 1


def means(total: Floats, known: Counts, needed: Floats) -> Floats32:
    """Return means as float32, NaN where fewer than `needed` pixels are known.

    `total` and `known` are those of `totals`, (..., n_cells); `needed` (n_cells,) is that of
    `Aggregation.needed`.
    """
    mean = np.full(total.shape, np.nan, np.float32)
    np.divide(total, known, out=mean, where=known >= needed, casting="same_kind")
    return mean


def aggregate(
    values: Floats32,
    cell_of: Indices,
    n_cells: int,
    land_pixels: Counts,
    aggregation: Aggregation,
) -> Floats32:
    """Return the value of each cell, (..., n_cells) float32; NaN where too few pixels are known.

    Parameters
    ----------
    values
        (..., n_points) values of the pixels that `sampled` returned, NaN for unknown.
    cell_of
        (n_points,) cell of each.
    n_cells
        Number of cells.
    land_pixels
        (n_cells,) land pixels of each whole cell.
    aggregation
        The rule and the least share.
    """
    return means(*totals(values, cell_of, n_cells), aggregation.needed(land_pixels))


def land_in(cells: Cells, window: Window) -> Indices:
    """Return how many land pixels of a window of the output grid lie in each cell."""
    return np.bincount(members(cells, window)[1], minlength=cells.rows.size).astype(np.int64)


@lru_cache(maxsize=8)
def land_pixels(grid: Grid, window: Window) -> Indices:
    """Return the land pixels of every cell of a window of a coarse grid, (rows, cols).

    Columns may run past the last one of the grid, and rows beyond its ends: those cells are
    beside, or no cells at all, and have no land. A region of 10,000 cells of 36 km takes some
    seconds, so the last answers are kept.
    """
    land = np.zeros(window.shape, np.int64)
    for group in _groups(grid, window):
        rows, cols = (g.reshape(-1) for g in np.mgrid[group.slices])
        order = np.argsort(rows * grid.cols + cols % grid.cols, kind="stable")
        cells = Cells(grid, rows[order], cols[order] % grid.cols)
        at_row, at_col = SIN1KM.pixel_of(*cells.lonlat)
        centres = Window(
            int(at_row.min()), int(at_row.max()) + 1, int(at_col.min()), int(at_col.max()) + 1
        )
        wide = Window(
            centres.row0, centres.row1, centres.col0 - SHEAR_PIXELS, centres.col1 + SHEAR_PIXELS
        )
        found = land_in(cells, reach(cells, wide))
        land[rows[order] - window.row0, cols[order] - window.col0] = found
    land.setflags(write=False)  # it is shared by all who ask again
    return land


def _groups(grid: Grid, window: Window) -> Iterator[Window]:
    """Yield groups of neighbouring cells that exist; none crosses the seam of longitude."""
    seam = grid.cols * (window.col0 // grid.cols + 1)
    for row in range(max(window.row0, 0), min(window.row1, grid.rows), GROUP_CELLS):
        row1 = min(row + GROUP_CELLS, window.row1, grid.rows)
        for first, last in ((window.col0, min(seam, window.col1)), (seam, window.col1)):
            for col in range(first, last, GROUP_CELLS):
                yield Window(row, row1, col, min(col + GROUP_CELLS, last))


def _centres(grid: Grid, rows: Indices, cols: Indices) -> tuple[Floats, Floats]:
    if rows.size == 0:
        return np.zeros(0), np.zeros(0)
    window = Window(int(rows.min()), int(rows.max()) + 1, int(cols.min()), int(cols.max()) + 1)
    lon, lat = grid.lonlat(window)
    at = rows - window.row0, cols - window.col0
    return np.asarray(lon[at]), np.asarray(lat[at])
