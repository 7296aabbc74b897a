"""Maps of stations and of coarse cells as PNG bytes, on the ground of `publish.map`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from smcloud.grids.grid import EASE2_NORTH_25KM, Floats, Grid, Window
from smcloud.publish.map import (
    Panel,
    Style,
    View,
    draw_map,
    ground_of,
    view_picture,
)
from smcloud.validation.figures import INK, new_figure, png_bytes

REGION_GAP_DEGREES = 12.0
"""Stations that no chain of shorter steps links lie in different regions."""
MOST_REGIONS, PANEL_COLUMNS = 9, 3
TURNED_HALF_CELL = 0.25
"""Degrees around cells whose sides are turned against the meridians."""
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
    """Return a map of stations, or one of each region where they lie in a few that are far apart.

    Kinds that come later lie above the others.
    """
    lon, lat = (np.concatenate([getattr(kind, name) for kind in kinds]) for name in ("lon", "lat"))
    regions = _regions(lon, lat)
    columns = min(len(regions), PANEL_COLUMNS)
    rows = -(-len(regions) // columns)
    height = inches / columns if len(regions) > 1 else _height(_view_of(lon, lat), inches)
    figure = new_figure(inches, rows * height + 0.6)
    panels = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for axes in panels[len(regions) :]:
        axes.set_visible(False)
    for axes, region in zip(panels, regions, strict=False):
        _draw_stations(axes, _view_of(lon[region], lat[region]), kinds)
    handles, labels = panels[0].get_legend_handles_labels()
    legend = figure.legend(
        handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9.5
    )
    for text in legend.get_texts():
        text.set_color(INK)
    return png_bytes(figure)


def _draw_stations(axes: Axes, view: View, kinds: Sequence[Points]) -> None:
    west, east, south, north = view.edges
    unknown = np.full((view.lat.size, view.lon.size), np.nan)
    nowhere = np.zeros(unknown.shape, bool)
    draw_map(axes, view, ground_of(view, nowhere), unknown, Style("", 0.0, 1.0, "viridis"))
    for kind in kinds:
        axes.plot(
            kind.lon,
            kind.lat,
            linestyle="none",
            marker=kind.marker,
            markersize=6,
            color=kind.colour,
            markeredgecolor="white",
            markeredgewidth=0.4,
            label=f"{kind.label} ({kind.lon.size})",
        )
    axes.set_xlim(west, east)
    axes.set_ylim(south, north)


def _regions(lon: Floats, lat: Floats) -> list[NDArray[np.bool_]]:
    """Return the stations of each region, west to east; all as one where regions are many."""
    near = np.hypot(lon[:, None] - lon, lat[:, None] - lat) < REGION_GAP_DEGREES
    _, label = connected_components(near, directed=False)
    found = [label == number for number in np.unique(label)]
    if len(found) > MOST_REGIONS:
        return [np.ones(lon.size, bool)]
    return sorted(found, key=lambda region: float(lon[region].min()))


def _view_of(lon: Floats, lat: Floats) -> View:
    edges = float(lon.min()), float(lon.max()), float(lat.min()), float(lat.max())
    return _view_around(edges, MARGIN_DEGREES)


def _height(view: View, inches: float) -> float:
    return float(np.clip(inches / view.aspect, 2.4, 8.0))


def cell_map(
    grid: Grid,
    window: Window,
    panels: Sequence[Panel],
    style: Style,
    *,
    asked: NDArray[np.bool_] | None = None,
    columns: int = 2,
    inches: float = 9.2,
) -> bytes:
    """Return maps of cell values (rows, cols) of `window` of a coarse grid; NaN is a gap.

    `asked` (rows, cols) tells which cells could have a value: the pictures show these. By default
    those that have one in any panel.
    """
    known = np.any([np.isfinite(panel.values) for panel in panels], axis=0)
    known = known if asked is None else asked
    lon, lat = grid.lonlat(window)
    lon = (lon + 180.0) % 360.0 - 180.0  # some grids count from Greenwich eastwards
    shown = (known if known.any() else np.ones(known.shape, bool)) & np.isfinite(lon)
    half = TURNED_HALF_CELL if grid.name == EASE2_NORTH_25KM.name else _half_cell(lon, lat)
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
