"""Pictures of scores as PNG bytes: density of pairs, series of stations, intervals, months.

Colours are from the Okabe-Ito set and from sequential maps with even lightness, so that they are
told apart with any colour vision and in print.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from smcloud.cube.schema import Days
from smcloud.validation.collocation import DENSITY_EDGES
from smcloud.validation.metrics import all_scores
from smcloud.validation.pairs import PairStats

INK, MUTED, RULE = "#1f2933", "#5f6b76", "#d5dbe1"
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
RAIN = "#9ecae1"
DOTS_PER_INCH = 144
MOISTURE_LABEL = "soil moisture, m³ m⁻³"

Floats32 = NDArray[np.float32]


@dataclass(frozen=True)
class StationSeries:
    """One station's year: what the product says and what was measured, per day, m3 m-3."""

    name: str
    days: Days
    estimate: Floats32
    measured: Floats32
    baseline: Floats32 | None = None
    rain: Floats32 | None = None
    """Precipitation of the day, mm; drawn from the top."""


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches that needs no display."""
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
    figure.set_facecolor("white")
    return figure


def png_bytes(figure: Figure) -> bytes:
    """Return the figure as PNG; equal figures give equal bytes (no clock, no version inside)."""
    buffer = io.BytesIO()
    # The canvas draws once; `savefig` would draw everything a second time for the layout.
    canvas = FigureCanvasAgg(figure)
    canvas.print_png(buffer, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def tidy(axes: Axes) -> None:
    """Take away what carries no information: upper and right frame, dark ticks."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(RULE)
    axes.tick_params(colors=MUTED, labelsize=9)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(INK)
        label.set_fontsize(10)


def density_picture(density: NDArray[np.int64], pairs: PairStats, reference: str) -> bytes:
    """Return the density of (reference, estimate) pairs, log-coloured, with the 1:1 line."""
    figure = new_figure(4.9, 4.3)
    axes = figure.subplots()
    counts = np.ma.masked_equal(density, 0)
    mesh = axes.pcolormesh(
        DENSITY_EDGES,
        DENSITY_EDGES,
        counts,
        cmap="viridis",
        norm=LogNorm(1, max(2, int(density.max()))),
        rasterized=True,
    )
    top = _occupied(density)
    axes.plot([0, top], [0, top], color=INK, linewidth=1, linestyle=(0, (4, 3)))
    axes.set(xlim=(0, top), ylim=(0, top), aspect="equal")
    axes.set_xlabel(f"{reference}, m³ m⁻³")
    axes.set_ylabel("product, m³ m⁻³")
    bar = figure.colorbar(mesh, ax=axes, shrink=0.85, pad=0.02)
    bar.set_label("pairs per bin of 0.01", color=MUTED, size=9)
    bar.ax.tick_params(colors=MUTED, labelsize=8)
    bar.outline.set_visible(False)
    tidy(axes)
    _write_scores(axes, pairs)
    return png_bytes(figure)


def series_picture(stations: Sequence[StationSeries], baseline: str) -> bytes:
    """Return the year of a few stations, one panel each: measured, product, baseline."""
    figure = new_figure(9.2, 1.75 * len(stations) + 0.5)
    panels = figure.subplots(len(stations), 1, sharex=True, squeeze=False)[:, 0]
    for axes, station in zip(panels, stations, strict=True):
        if station.baseline is not None:
            axes.plot(station.days, station.baseline, color=GREEN, linewidth=0.9, label=baseline)
        axes.plot(station.days, station.estimate, color=BLUE, linewidth=1.5, label="product")
        axes.plot(
            station.days,
            station.measured,
            color=ORANGE,
            linestyle="none",
            marker="o",
            markersize=2,
            label="measured",
        )
        scores = all_scores(PairStats.of(station.estimate, station.measured))
        axes.set_title(
            f"{station.name}    R {scores['R']:.2f}   ubRMSE {scores['ubRMSE']:.3f}   "
            f"bias {scores['bias']:+.3f}",
            loc="left",
            fontsize=9.5,
            color=INK,
        )
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color=RULE, linewidth=0.6)
        tidy(axes)
        if station.rain is not None:
            _draw_rain(axes, station.days, station.rain)
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    panels[-1].xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    panels[-1].xaxis.set_major_formatter(formatter)
    figure.supylabel(MOISTURE_LABEL, fontsize=10, color=INK)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3, frameon=False, fontsize=9)
    return png_bytes(figure)


def _draw_rain(axes: Axes, days: Days, rain: Floats32) -> None:
    """Draw the rain from the upper edge down, on an axis of its own, behind the series."""
    above = axes.twinx()
    above.bar(days, rain, width=1.0, color=RAIN, linewidth=0)
    top = float(np.nanmax(rain, initial=10.0))
    above.set_ylim(2.6 * top, 0)
    above.set_yticks([0, float(np.floor(top))], ["0", f"{np.floor(top):.0f} mm"])
    above.tick_params(colors=MUTED, labelsize=7.5, length=2)
    above.spines[:].set_visible(False)
    axes.set_ylim(top=1.25 * axes.get_ylim()[1])  # room for the rain
    axes.set_zorder(above.get_zorder() + 1)
    axes.patch.set_visible(False)


def station_picture(stations: pd.DataFrame) -> bytes:
    """Return every station's R and ubRMSE with confidence intervals, ordered by R."""
    ordered = stations.dropna(subset=["R"]).sort_values("R", kind="stable")
    position = np.arange(len(ordered))
    figure = new_figure(9.2, min(12.0, max(2.4, 0.9 + 0.16 * len(ordered))))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, name, label in zip(panels, ("R", "ubRMSE"), ("R", "ubRMSE, m³ m⁻³"), strict=True):
        axes.hlines(
            position, ordered[f"{name}_low"], ordered[f"{name}_high"], color=RULE, linewidth=2.2
        )
        axes.plot(ordered[name], position, linestyle="none", marker="o", markersize=3.6, color=BLUE)
        middle = float(ordered[name].median()) if len(ordered) else np.nan
        if np.isfinite(middle):
            axes.axvline(middle, color=ORANGE, linewidth=1.2)
            axes.set_title(f"median {middle:.3f}", loc="left", fontsize=9.5, color=ORANGE)
        axes.set_xlabel(label)
        axes.set_yticks([])
        tidy(axes)
        axes.spines["left"].set_visible(False)
    panels[0].set_xlim(right=1.0)
    panels[0].set_ylabel(f"{len(ordered)} test stations, ordered by R")
    return png_bytes(figure)


@dataclass(frozen=True)
class Bar:
    """One value with its interval, for `interval_picture`."""

    label: str
    value: float
    low: float
    high: float
    is_headline: bool = False


def interval_picture(panels: Sequence[tuple[str, Sequence[Bar]]]) -> bytes:
    """Return rows of values with intervals, one panel per score; headline rows stand out."""
    rows = len(panels[0][1])
    figure = new_figure(9.2, 0.95 + 0.42 * rows)
    for axes, (title, bars) in zip(
        figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True
    ):
        for row, bar in enumerate(reversed(bars)):
            colour = BLUE if bar.is_headline else MUTED
            axes.hlines(row, bar.low, bar.high, color=colour, alpha=0.35, linewidth=5)
            axes.plot(bar.value, row, marker="o", markersize=7, color=colour)
            axes.annotate(
                f"{bar.value:.3f}",
                (bar.value, row),
                xytext=(0, 7),
                textcoords="offset points",
                ha="center",
                fontsize=8.5,
                color=colour,
            )
        axes.set_yticks(range(rows), [bar.label for bar in reversed(bars)])
        axes.set_ylim(-0.6, rows - 0.3)
        axes.set_title(title, loc="left", fontsize=10, color=INK)
        axes.margins(x=0.12)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.grid(axis="x", color=RULE, linewidth=0.6)
        tidy(axes)
        axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=9.5)
    return png_bytes(figure)


def month_picture(
    product: PairStats, baseline: PairStats, baseline_name: str, first: str = "product"
) -> bytes:
    """Return R and ubRMSE per month of one or two estimates; both sums have shape (12,).

    The second is left out where it has no pair; an empty name for the first leaves out the legend.
    """
    figure = new_figure(9.2, 2.7)
    months = np.arange(1, 13)
    for axes, name, label in zip(
        figure.subplots(1, 2), ("R", "ubRMSE"), ("R", "ubRMSE, m³ m⁻³"), strict=True
    ):
        axes.plot(months, all_scores(product)[name], color=BLUE, marker="o", label=first)
        if baseline.n.sum() > 0:
            axes.plot(
                months, all_scores(baseline)[name], color=GREEN, marker="s", label=baseline_name
            )
        axes.set_xticks(months, list("JFMAMJJASOND"))
        axes.set_title(label, loc="left", fontsize=10, color=INK)
        axes.grid(axis="y", color=RULE, linewidth=0.6)
        tidy(axes)
    if first:
        figure.axes[1].legend(frameon=False, fontsize=9)
    return png_bytes(figure)


def _occupied(density: NDArray[np.int64]) -> float:
    """Return the upper end of an axis that shows all but the last thousandth of the pairs."""
    share = np.cumsum(density.sum(axis=0) + density.sum(axis=1)) / max(2 * density.sum(), 1)
    last = int(np.searchsorted(share, 0.999)) + 2
    return float(DENSITY_EDGES[min(last, len(DENSITY_EDGES) - 1)])


def _write_scores(axes: Axes, pairs: PairStats) -> None:
    scores = all_scores(pairs)
    axes.set_title(
        f"R {scores['R']:.3f}   RMSE {scores['RMSE']:.3f}   ubRMSE {scores['ubRMSE']:.3f}\n"
        f"bias {scores['bias']:+.3f}   n {int(pairs.n):,}",
        loc="left",
        fontsize=9.5,
        color=INK,
    )
