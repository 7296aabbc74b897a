"""Pictures of a study as PNG bytes: strategies, stations by kind, importance, search, intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from smcloud.validation.figures import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    RULE,
    new_figure,
    png_bytes,
    tidy,
)

Floats = NDArray[np.float64]
SCORE_LABELS = {"R": "R", "ubRMSE": "ubRMSE, m³ m⁻³"}
CROWD = 150
"""Stations beyond which dots are drawn fainter."""
MARKERS = ("o", "s", "^", "D")
COLOURS = (BLUE, ORANGE, GREEN, MUTED)


@dataclass(frozen=True, eq=False)
class Group:
    """Scores of the stations of one kind: each of `scores` (n,), NaN where a station has none."""

    label: str
    scores: Mapping[str, Floats]
    is_headline: bool = False

    @property
    def n(self) -> int:
        """Return how many stations have a score."""
        return max((int(np.isfinite(v).sum()) for v in self.scores.values()), default=0)


@dataclass(frozen=True, eq=False)
class Line:
    """One curve: a label and its points."""

    label: str
    x: Floats
    y: Floats


@dataclass(frozen=True)
class Worth:
    """What one feature is worth by one or several measures; NaN where it was not measured."""

    label: str
    values: tuple[float, ...]
    spreads: tuple[float, ...] = ()


def groups_picture(groups: Sequence[Group], scores: Sequence[str] = ("R", "ubRMSE")) -> bytes:
    """Return, for each kind of station, every station, the middle half and the median."""
    figure = new_figure(9.2, 0.9 + 0.44 * max(len(groups), 1))
    panels = figure.subplots(1, len(scores), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, scores, strict=True):
        for row, group in enumerate(reversed(groups)):
            _strip(axes, row, group.scores[name], BLUE if group.is_headline else MUTED)
        labels = [f"{group.label}  (n {group.n})" for group in reversed(groups)]
        axes.set_yticks(range(len(groups)), labels)
        axes.set_ylim(-0.6, len(groups) - 0.4)
        axes.set_title(SCORE_LABELS.get(name, name), loc="left", fontsize=10, color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.grid(axis="x", color=RULE, linewidth=0.6)
        tidy(axes)
        axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=9.5)
    return png_bytes(figure)


def _strip(axes: Axes, row: int, values: Floats, colour: str) -> None:
    known = np.sort(values[np.isfinite(values)])
    if known.size == 0:
        return
    # A fixed pattern of heights instead of random jitter: equal data give equal pictures.
    height = row + 0.26 * np.sin(np.arange(known.size) * 2.4)
    alpha = 0.4 if known.size <= CROWD else 0.2
    axes.plot(
        known, height, linestyle="none", marker="o", markersize=2.6, color=colour, alpha=alpha
    )
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
    axes.hlines(row, low, high, color=colour, linewidth=5, alpha=0.55)
    axes.plot(middle, row, marker="o", markersize=7, color=colour, markeredgecolor="white")
    axes.annotate(
        f"{middle:.3f}",
        (middle, row),
        xytext=(0, 8),
        textcoords="offset points",
        ha="center",
        fontsize=8.5,
        color=colour,
        path_effects=[withStroke(linewidth=3, foreground="white")],
    )


def pairs_picture(
    without: Mapping[str, Floats], with_selection: Mapping[str, Floats], kept: NDArray[np.bool_]
) -> bytes:
    """Return each test station's score without (x) and with selection (y), with the 1:1 line.

    All arrays are (n,), one value a station; `kept` are stations that pass the rule themselves.
    """
    figure = new_figure(9.2, 4.4)
    for axes, name in zip(figure.subplots(1, 2), ("R", "ubRMSE"), strict=True):
        x, y = without[name], with_selection[name]
        both = np.concatenate([x, y])
        known = both[np.isfinite(both)]
        low, high = (known.min(), known.max()) if known.size else (0.0, 1.0)
        pad = 0.04 * max(high - low, 0.02)
        axes.plot([low - pad, high + pad], [low - pad, high + pad], color=RULE, linewidth=1.2)
        for is_kept, colour, label in (
            (False, ORANGE, "dropped by the rule"),
            (True, BLUE, "kept"),
        ):
            at = kept == is_kept
            axes.plot(
                x[at],
                y[at],
                linestyle="none",
                marker="o",
                markersize=4,
                alpha=0.7,
                color=colour,
                label=f"{label} ({int(at.sum())})",
            )
        axes.set(xlim=(low - pad, high + pad), ylim=(low - pad, high + pad), aspect="equal")
        axes.set_xlabel(f"{SCORE_LABELS[name]}, model of all stations")
        axes.set_ylabel("model of selected stations")
        tidy(axes)
    figure.axes[0].legend(frameon=False, fontsize=9, title="test stations", title_fontsize=9)
    return png_bytes(figure)


def worth_picture(measures: Sequence[str], rows: Sequence[Worth]) -> bytes:
    """Return bars of what features are worth, one panel per measure, in the order given."""
    figure = new_figure(9.2, 0.9 + 0.24 * max(len(rows), 1))
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    position = np.arange(len(rows))
    for number, (axes, title) in enumerate(zip(panels, measures, strict=True)):
        values = np.array([row.values[number] for row in reversed(rows)], float)
        spread = np.array(
            [row.spreads[number] if row.spreads else np.nan for row in reversed(rows)], float
        )
        colours = [BLUE if value > 0 else ORANGE for value in values]
        axes.barh(position, np.nan_to_num(values), color=colours, height=0.62, alpha=0.85)
        axes.hlines(position, values - spread, values + spread, color=INK, linewidth=1.1)
        axes.axvline(0, color=MUTED, linewidth=0.8)
        axes.set_yticks(position, [row.label for row in reversed(rows)])
        axes.set_title(title, loc="left", fontsize=10, color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        tidy(axes)
        axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=9)
    return png_bytes(figure)


def search_picture(trials: Sequence[Line], chosen: int, score: str) -> bytes:
    """Return the score of every trial after each rung it reached; the chosen one stands out."""
    figure = new_figure(6.4, 3.2)
    axes = figure.subplots()
    for number, trial in enumerate(trials):
        is_chosen = number == chosen
        axes.plot(
            trial.x,
            trial.y,
            marker="o",
            markersize=5 if is_chosen else 3.2,
            linewidth=2 if is_chosen else 0.9,
            color=BLUE if is_chosen else MUTED,
            alpha=1 if is_chosen else 0.5,
            zorder=3 if is_chosen else 2,
            label=f"chosen: {trial.label}" if is_chosen else None,
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("rung (each with more days than the one before)")
    axes.set_ylabel(f"inner {score}")
    tidy(axes)
    if trials:
        axes.legend(frameon=False, fontsize=9)
    return png_bytes(figure)


def threshold_picture(thresholds: pd.DataFrame) -> bytes:
    """Return what each threshold keeps: stations, and precision and recall where they are known.

    `thresholds` is `verdicts.by_threshold`; a dashed line marks the rule's own.
    """
    x = thresholds["minimum_r"].to_numpy(float)
    is_known = bool(thresholds["recall"].notna().any())
    figure = new_figure(9.2 if is_known else 5.0, 3.2)
    left, *right = figure.subplots(1, 1 + is_known, squeeze=False)[0]
    left.plot(x, thresholds["kept"], marker="o", markersize=4, color=BLUE, label="stations kept")
    left.set_ylim(0, 1.08 * max(1.0, float(thresholds["kept"].max())))
    left.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    left.set_ylabel("stations kept")
    for axes in right:
        for name, colour, marker in (("precision", GREEN, "^"), ("recall", ORANGE, "s")):
            values = thresholds[name].to_numpy(float)
            axes.plot(x, values, marker=marker, markersize=4, color=colour, label=name)
        axes.set_ylim(0, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    for axes in (left, *right):
        for chosen in x[thresholds["is_chosen"].to_numpy(bool)]:
            axes.axvline(chosen, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="the rule")
        axes.set_xlabel("least TC correlation")
        axes.grid(axis="y", color=RULE, linewidth=0.6)
        axes.legend(frameon=False, fontsize=9, loc="lower left")
        tidy(axes)
    return png_bytes(figure)


def reliability_picture(
    curves: Sequence[Line], bins: Sequence[tuple[str, Sequence[Line]]]
) -> bytes:
    """Return covered against promised shares, and the shares covered in each moisture bin.

    Parameters
    ----------
    curves
        One per test set: x the nominal level, y the covered share.
    bins
        Label of each moisture bin with one line per nominal level: label, x the level, y the share.
    """
    figure = new_figure(9.2, 3.9)
    axes, right = figure.subplots(1, 2)
    axes.plot([0, 1], [0, 1], color=RULE, linewidth=1.4)
    for number, curve in enumerate(curves):
        axes.plot(
            curve.x,
            curve.y,
            marker=MARKERS[number % len(MARKERS)],
            color=COLOURS[number % len(COLOURS)],
            label=curve.label,
            markersize=4,
            clip_on=False,
        )
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("share that the intervals promise")
    axes.set_ylabel("share of days inside, mean over stations")
    tidy(axes)
    if curves:
        axes.legend(frameon=False, fontsize=8.5, loc="lower right")
    _moisture_bins(right, bins)
    return png_bytes(figure)


def _moisture_bins(axes: Axes, bins: Sequence[tuple[str, Sequence[Line]]]) -> None:
    levels = sorted({float(line.x[0]) for _, lines in bins for line in lines})
    for number, level in enumerate(levels):
        shares = [
            next((float(line.y[0]) for line in lines if float(line.x[0]) == level), np.nan)
            for _, lines in bins
        ]
        colour = COLOURS[number % len(COLOURS)]
        axes.axhline(level, color=colour, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.plot(
            range(len(bins)),
            shares,
            marker=MARKERS[number % len(MARKERS)],
            color=colour,
            label=f"promised {level:.0%}",
            clip_on=False,
        )
    axes.set_xticks(range(len(bins)), [label for label, _ in bins])
    axes.set_xlabel("estimated soil moisture, m³ m⁻³")
    axes.set_ylabel("share of days inside")
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    tidy(axes)
    if levels:
        axes.legend(frameon=False, fontsize=9, loc="lower left")
