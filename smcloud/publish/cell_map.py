"""Maps of cells on coarse grids as PNG bytes, drawn on longitude and latitude."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from smcloud.grids.grid import Floats, Grid, Window
from smcloud.publish.map import Panel, Style, View, view_picture
from smcloud.validation.figures import DOTS_PER_INCH


def cell_picture(
    grid: Grid,
    window: Window,
    asked: NDArray[np.bool_],
    panels: Sequence[Panel],
    style: Style,
    *,
    columns: int = 2,
    inches: float = 9.2,
) -> bytes:
    """Return panels of cells side by side above one colour bar; `inches` is the picture's width.

    Parameters
    ----------
    window
        Cells of `grid` that the values are of.
    asked : bool (rows, cols)
        Cells that could have a value, one at least: the picture shows their surroundings.
    panels
        Values (rows, cols) of the window, NaN unknown.
    """
    columns = min(columns, len(panels))
    view = _view_of(grid, window, asked, round(inches * DOTS_PER_INCH / columns))
    at = _cells_at(grid, window, view)
    drawn = [Panel(panel.title, _seen(np.asarray(panel.values), at)) for panel in panels]
    is_asked = _seen(asked.astype(np.float64), at) > 0
    return view_picture(view, is_asked, drawn, style, columns=columns, inches=inches)


def _view_of(grid: Grid, window: Window, asked: NDArray[np.bool_], longest: int) -> View:
    """Return the view that holds all cells asked for, and half a cell more."""
    lon, lat = (one[asked] for one in grid.lonlat(window))
    known = np.isfinite(lon) & np.isfinite(lat)
    lon, lat = lon[known], lat[known]
    margin = grid.step if not grid.projected else 0.25
    west, east = max(float(lon.min()) - margin, -180.0), min(float(lon.max()) + margin, 180.0)
    south, north = max(float(lat.min()) - margin, -90.0), min(float(lat.max()) + margin, 90.0)
    width = (east - west) * max(float(np.cos(np.radians((south + north) / 2))), 0.05)
    scale = longest / max(width, north - south)
    across, down = max(2, round(width * scale)), max(2, round((north - south) * scale))
    step_x, step_y = (east - west) / across, (north - south) / down
    lon_of = west + step_x * (np.arange(across, dtype=np.float64) + 0.5)
    return View(lon_of, north - step_y * (np.arange(down, dtype=np.float64) + 0.5))


def _cells_at(grid: Grid, window: Window, view: View) -> NDArray[np.int64]:
    """Return the flat cell of the window under each pixel of a view, -1 outside of it."""
    lon, lat = np.meshgrid(view.lon, view.lat)
    row, col = grid.pixel_of(lon, lat)
    row, col = row - window.row0, col - window.col0
    height, width = window.shape
    inside = (row >= 0) & (row < height) & (col >= 0) & (col < width)
    return np.where(inside, row * width + col, -1)


def _seen(values: NDArray[np.floating], at: NDArray[np.int64]) -> Floats:
    """Return the value of the cell under each pixel, NaN outside of the window."""
    return np.append(values.ravel().astype(np.float64), np.nan)[at]
