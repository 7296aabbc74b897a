"""Maps of stations and of coarse cells as PNG bytes, on the ground of `publish.map`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smcloud.grids.grid import Floats, Grid, Window
from smcloud.publish.map import (
    Panel,
    Style,
    View,
    draw_map,
    ground_of,
    view_picture,
)
from smcloud.validation.figures import INK, new_figure, png_bytes

MARGIN_DEGREES = 1.5
"""Room around the outermost stations, so that their coast can be recognised."""


@dataclass(frozen=True, eq=False)
class Points:
    """Stations of one kind: where they are (degrees) and how they are drawn."""

    label: str
    lon: Floats
    lat: Floats
    colour: str
    marker: str = "o"


def station_map(kinds: Sequence[Points], *, inches: float = 9.2) -> bytes:
    """Return a map of stations; kinds that come later lie above the others."""
    lon = np.concatenate([kind.lon for kind in kinds])
    lat = np.concatenate([kind.lat for kind in kinds])
    view = _view_around(
        (float(lon.min()), float(lon.max()), float(lat.min()), float(lat.max())), MARGIN_DEGREES
    )
    west, east, south, north = view.edges
    aspect = (east - west) * np.cos(np.radians((south + north) / 2)) / (north - south)
    figure = new_figure(inches, float(np.clip(inches / aspect, 2.4, 8.0)) + 0.6)
    axes = figure.subplots()
    unknown = np.full((view.lat.size, view.lon.size), np.nan)
    nowhere = np.zeros(unknown.shape, bool)
    draw_map(axes, view, ground_of(view, nowhere), unknown, Style("", 0.0, 1.0, "viridis"))
    for kind in kinds:
        axes.plot(
            kind.lon,
            kind.lat,
            linestyle="none",
            marker=kind.marker,
            markersize=5,
            color=kind.colour,
            markeredgecolor="white",
            markeredgewidth=0.4,
            label=f"{kind.label} ({kind.lon.size})",
        )
    axes.set_xlim(west, east)
    axes.set_ylim(south, north)
    legend = figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9.5)
    for text in legend.get_texts():
        text.set_color(INK)
    return png_bytes(figure)


def cell_map(
    grid: Grid,
    window: Window,
    panels: Sequence[Panel],
    style: Style,
    *,
    columns: int = 2,
    inches: float = 9.2,
) -> bytes:
    """Return maps of cell values (rows, cols) of `window` of a coarse grid; NaN is a gap."""
    known = np.any([np.isfinite(panel.values) for panel in panels], axis=0)
    lon, lat = grid.lonlat(window)
    lon = (lon + 180.0) % 360.0 - 180.0  # some grids count from Greenwich eastwards
    shown = known if known.any() else np.ones(known.shape, bool)
    half = _half_cell(lon, lat)
    edges = (
        float(lon[shown].min() - half),
        float(lon[shown].max() + half),
        float(lat[shown].min() - half),
        float(lat[shown].max() + half),
    )
    view = _view_around(edges, 0.0)
    drawn = [Panel(panel.title, _at_view(grid, window, panel.values, view)) for panel in panels]
    asked = np.isfinite(_at_view(grid, window, np.where(known, 1.0, np.nan), view))
    return view_picture(view, asked, drawn, style, columns=columns, inches=inches)


def _half_cell(lon: Floats, lat: Floats) -> float:
    steps = [abs(float(np.diff(values, axis=axis).flat[0])) for values, axis in ((lon, 1), (lat, 0))
             if values.shape[axis] > 1]  # fmt: skip
    return max(steps, default=0.25) / 2


def _at_view(grid: Grid, window: Window, values: np.ndarray, view: View) -> Floats:
    """Return the value of the cell that holds each pixel of a view, NaN outside the window."""
    lon, lat = np.meshgrid(view.lon, view.lat)
    row, col = grid.pixel_of(lon, lat)
    rows, cols = window.shape
    row, col = row - window.row0, col - window.col0
    inside = (row >= 0) & (row < rows) & (col >= 0) & (col < cols)
    found = np.asarray(values, np.float64)[np.clip(row, 0, rows - 1), np.clip(col, 0, cols - 1)]
    return np.where(inside, found, np.nan)


def _view_around(edges: tuple[float, float, float, float], margin: float) -> View:
    """Return a view of about 900 pixels around west, east, south, north (degrees)."""
    west, east = max(edges[0] - margin, -180.0), min(edges[1] + margin, 180.0)
    south, north = max(edges[2] - margin, -90.0), min(edges[3] + margin, 90.0)
    shrink = max(0.1, float(np.cos(np.radians((south + north) / 2))))
    scale = 900 / max((east - west) * shrink, north - south)
    across = max(2, round((east - west) * shrink * scale))
    down = max(2, round((north - south) * scale))
    step_x, step_y = (east - west) / across, (north - south) / down
    lon = west + step_x * (np.arange(across, dtype=np.float64) + 0.5)
    lat = north - step_y * (np.arange(down, dtype=np.float64) + 0.5)
    return View(lon, lat)
