"""Maps as PNG bytes: sinusoidal overviews drawn on longitude and latitude, with coast and grid."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from smcloud.grids.grid import EARTH_RADIUS_M, Floats
from smcloud.grids.land import is_land
from smcloud.validation.figures import DOTS_PER_INCH, INK, MUTED, new_figure, png_bytes
from smcloud.validation.overview import SEASONS, Overview

OCEAN, LAND_ELSEWHERE, GAP = "#e9eff5", "#efede8", "#a8a6a1"
"""Below the values: sea, land that was not asked for, land of the product without a value."""
MOISTURE_COLOURS = LinearSegmentedColormap.from_list(
    "moisture",
    ["#f6e8c3", "#dfc27d", "#b8c48f", "#63b1a3", "#2a8a9e", "#1f5f96", "#1b2f6b"],
)
"""From sand to deep water with even steps of lightness; readable with any colour vision."""

FROST_COLOURS = LinearSegmentedColormap.from_list(
    "frost", ["#f6e8c3", "#cfd8dc", "#8fb7dc", "#3f7fbf", "#12305f"]
)
"""From bare earth to deep ice, as evenly."""


@dataclass(frozen=True)
class Style:
    """How values become colours, and what the bar says."""

    label: str
    low: float
    high: float
    colours: Colormap | str
    extend: str = "neither"

    @property
    def norm(self) -> Normalize:
        """Return the linear scale from `low` to `high`."""
        return Normalize(self.low, self.high)


@dataclass(frozen=True, eq=False)
class Panel:
    """One map: cell values of an overview's mosaic, with a title."""

    title: str
    values: NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class View:
    """The longitudes and latitudes (degrees) of a picture's pixel centres, 1-D, north to south."""

    lon: Floats
    lat: Floats

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """West, east, south, north edge in degrees."""
        across, down = (self.lon[1] - self.lon[0]) / 2, (self.lat[0] - self.lat[1]) / 2
        return (
            float(self.lon[0] - across),
            float(self.lon[-1] + across),
            float(self.lat[-1] - down),
            float(self.lat[0] + down),
        )

    @property
    def aspect(self) -> float:
        """Width over height on the ground, at the middle latitude."""
        west, east, south, north = self.edges
        return float((east - west) * np.cos(np.radians((south + north) / 2)) / (north - south))


def view_of(overview: Overview, longest: int = 900) -> View:
    """Return the view that shows all land of the overview, clipped to the globe."""
    west, east, south, north = _extent_of_land(overview)
    lat = np.degrees(np.linspace(north, south, 200) / EARTH_RADIUS_M)
    shrink = np.maximum(np.cos(np.radians(lat)), 1e-6)
    lon = np.degrees(np.array([[west], [east]]) / EARTH_RADIUS_M) / shrink
    first, last = max(-180.0, float(lon.min())), min(180.0, float(lon.max()))
    top, bottom = float(lat[0]), float(lat[-1])
    true_width = (last - first) * np.cos(np.radians((top + bottom) / 2))
    scale = longest / max(true_width, top - bottom)
    across, down = max(2, round(true_width * scale)), max(2, round((top - bottom) * scale))
    step_x, step_y = (last - first) / across, (top - bottom) / down
    return View(first + step_x * (np.arange(across) + 0.5), top - step_y * (np.arange(down) + 0.5))


def _extent_of_land(overview: Overview) -> tuple[float, float, float, float]:
    """Return west, east, south, north (m) of the cells with land that was asked for."""
    west, east, south, north = overview.extent
    asked = overview.land_days > 0
    if not asked.any():
        return west, east, south, north
    rows, cols = np.flatnonzero(asked.any(axis=1)), np.flatnonzero(asked.any(axis=0))
    step_y, step_x = (north - south) / asked.shape[0], (east - west) / asked.shape[1]
    return (
        west + step_x * int(cols[0]),
        west + step_x * (int(cols[-1]) + 1),
        north - step_y * (int(rows[-1]) + 1),
        north - step_y * int(rows[0]),
    )


def reproject(overview: Overview, values: NDArray[np.floating], view: View) -> Floats:
    """Return `values` of the overview's cells at the pixels of `view`, nearest cell, NaN outside.

    Nearest and not averaged: the cells are already means, and gaps must stay gaps.
    """
    lon, lat = np.radians(view.lon)[None, :], np.radians(view.lat)[:, None]
    x, y = EARTH_RADIUS_M * lon * np.cos(lat), EARTH_RADIUS_M * lat
    west, east, south, north = overview.extent
    rows, cols = values.shape
    col = np.floor((x - west) / (east - west) * cols).astype(np.int64)
    row = np.floor((north - y) / (north - south) * rows).astype(np.int64)
    row = np.broadcast_to(row, col.shape)
    inside = (col >= 0) & (col < cols) & (row >= 0) & (row < rows)
    found = np.asarray(values, np.float64)[np.clip(row, 0, rows - 1), np.clip(col, 0, cols - 1)]
    return np.where(inside, found, np.nan)


def map_picture(
    overview: Overview,
    panels: Sequence[Panel],
    style: Style,
    *,
    columns: int = 2,
    inches: float = 9.2,
) -> bytes:
    """Return the panels side by side above one colour bar; `inches` is the picture's width."""
    columns = min(columns, len(panels))
    view = view_of(overview, longest=round(inches * DOTS_PER_INCH / columns))
    asked = reproject(overview, overview.land_days, view) > 0
    drawn = [Panel(panel.title, reproject(overview, panel.values, view)) for panel in panels]
    return view_picture(view, asked, drawn, style, columns=columns, inches=inches)


def view_picture(
    view: View,
    asked: NDArray[np.bool_],
    panels: Sequence[Panel],
    style: Style,
    *,
    columns: int = 2,
    inches: float = 9.2,
) -> bytes:
    """Return panels whose values lie at the pixels of `view`, above one colour bar.

    `asked` says where there could be values: land there without one is a gap.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    width = inches / columns
    height = float(np.clip(width / view.aspect, 1.4, 7.0))
    figure = new_figure(inches, rows * (height + 0.45) + 0.55)
    ground = ground_of(view, asked)
    axes_grid = figure.subplots(rows, columns, squeeze=False)
    for axes in axes_grid.reshape(-1)[len(panels) :]:
        axes.set_visible(False)
    for axes, panel in zip(axes_grid.reshape(-1), panels, strict=False):
        draw_map(axes, view, ground, np.asarray(panel.values, np.float64), style)
        axes.set_title(panel.title, loc="left", fontsize=10.5, color=INK)
    _colour_bar(figure, axes_grid, style)
    return png_bytes(figure)


def season_panels(overview: Overview) -> list[Panel]:
    """Return one panel per season of the calendar year."""
    return [Panel(name, overview.mean(months)) for name, months in SEASONS.items()]


def day_panels(overview: Overview) -> list[Panel]:
    """Return one panel per day that the overview holds."""
    return [
        Panel(pd.Timestamp(day).strftime("%-d %B %Y"), values)
        for day, values in sorted(overview.days.items())
    ]


def year_map(overview: Overview, year: int) -> bytes:
    """Return the map of a year: its mean, the days that the overview holds, the four seasons."""
    panels = [Panel(f"Mean of {year}", overview.mean()), *day_panels(overview)]
    panels += season_panels(overview)
    return map_picture(overview, panels, moisture_style(overview), columns=3, inches=11.0)


def moisture_style(overview: Overview) -> Style:
    """Return the colours of soil moisture from 0 to a round value above nearly all cell means."""
    mean = overview.mean()
    known = mean[np.isfinite(mean)]
    top = float(np.quantile(known, 0.995)) if known.size else 0.4
    high = float(np.clip(np.ceil(top * 20 + 1) / 20, 0.2, 0.6))
    return Style("volumetric soil moisture, m³ m⁻³", 0.0, high, MOISTURE_COLOURS, extend="max")


@dataclass(frozen=True, eq=False)
class Ground:
    """What lies below the values: the coast and its colours (rows, cols, 3)."""

    land: NDArray[np.bool_]
    colours: NDArray[np.uint8]


def ground_of(view: View, asked: NDArray[np.bool_]) -> Ground:
    """Return coast and colours of a view; `asked` is where the product could have values."""
    land = is_land(*np.meshgrid(view.lon, view.lat))
    below = np.where(land[..., None], _rgb(LAND_ELSEWHERE), _rgb(OCEAN))
    return Ground(land, np.where((asked & land)[..., None], _rgb(GAP), below))


def draw_map(axes: Axes, view: View, ground: Ground, values: Floats, style: Style) -> None:
    """Draw values at the pixels of a view (NaN shows the ground), coast and graticule."""
    west, east, south, north = view.edges
    colours = ScalarMappable(style.norm, style.colours).to_rgba(values, bytes=True)[..., :3]
    picture = np.where(np.isnan(values)[..., None], ground.colours, colours)
    axes.imshow(picture, extent=view.edges, origin="upper", interpolation="nearest")
    if ground.land.any() and not ground.land.all():
        axes.contour(view.lon, view.lat, ground.land, levels=[0.5], colors=[INK], linewidths=0.6)
    axes.set_aspect(1 / max(0.1, float(np.cos(np.radians((south + north) / 2)))))
    axes.set_xticks(*_graticule(west, east, "E", "W"))
    axes.set_yticks(*_graticule(south, north, "N", "S"))
    axes.grid(color=INK, alpha=0.18, linewidth=0.5)
    axes.tick_params(colors=MUTED, labelsize=8, length=2)
    axes.spines[:].set_color("#9aa5b1")
    axes.spines[:].set_linewidth(0.6)


def _graticule(low: float, high: float, positive: str, negative: str) -> tuple[Floats, list[str]]:
    """Return at most six round degrees in (low, high) and their labels."""
    steps = (0.1, 0.2, 0.25, 0.5, 1, 2, 5, 10, 15, 20, 30, 45, 60)
    step = next((s for s in steps if (high - low) / s <= 5.5), 60)
    ticks = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    labels = [
        f"{abs(tick):g}°{'' if tick == 0 else positive if tick > 0 else negative}" for tick in ticks
    ]
    return ticks, labels


def _colour_bar(figure: Figure, axes: NDArray[np.object_], style: Style) -> None:
    scale = ScalarMappable(style.norm, style.colours)
    bar = figure.colorbar(
        scale,
        ax=axes.reshape(-1).tolist(),
        location="bottom",
        fraction=0.05,
        aspect=45 if figure.get_figwidth() > 7 else 30,
        shrink=0.7 if figure.get_figwidth() > 7 else 0.9,
        extend=style.extend,
    )
    bar.set_label(style.label, color=INK, size=10)
    bar.ax.tick_params(colors=MUTED, labelsize=8.5)
    bar.outline.set_visible(False)


def _rgb(colour: str) -> NDArray[np.uint8]:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.uint8)
