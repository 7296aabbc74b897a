"""Pictures of downscaled maps as PNG bytes: coverage by state, families by period, rain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from smcloud.cube.schema import Days
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
from smcloud.validation.precipitation import LAGS, RainResponse

STATE_COLOURS = ("#b5bcc3", "#cc79a7", "#e69f00", "#009e73", "#9ecae1", BLUE)
"""Of the states of a pixel-day, the last one being the best."""
MEAN_DAYS = 8
"""Days that are drawn as one."""
SERIES = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (MUTED, "D"))
BEST_SCORE, CONSTANT = "chosen family", "mean of the fitted cells"

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PeriodStrip:
    """The families chosen in the periods of a year, in the order of time.

    Attributes
    ----------
    starts : datetime64[D] (n,)
    days : int64 (n,)
    chosen : tuple of str
        Title of the family of each; empty where the period has no model.
    test, constant : float64 (n,)
        RMSE of the chosen family and of a constant on held-out cells, NaN without a model.
    """

    starts: Days
    days: NDArray[np.int64]
    chosen: tuple[str, ...]
    test: Floats
    constant: Floats


def coverage_picture(days: Days, shares: Floats, names: Sequence[str]) -> bytes:
    """Return the share of land with an estimate, stacked by state (states, days): means of days."""
    figure = new_figure(9.2, 3.1)
    axes = figure.subplots()
    starts = np.arange(0, len(days), MEAN_DAYS)
    counts = np.diff(np.append(starts, len(days)))
    means = np.add.reduceat(shares, starts, axis=1) / counts
    bottom = np.zeros(len(starts))
    for number in reversed(range(len(names))):
        if not shares[number].any():
            continue
        axes.bar(
            _number(days[starts]),
            means[number],
            counts,
            bottom,
            align="edge",
            color=STATE_COLOURS[number % len(STATE_COLOURS)],
            linewidth=0,
            label=names[number],
        )
        bottom = bottom + means[number]
    axes.step(_number(days) + 0.5, shares.sum(axis=0), where="mid", color=INK, linewidth=0.7)
    axes.set_ylim(0, 1.005)
    first, last = _number(days[[0, -1]])
    axes.set_xlim(first, last + 1.0)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylabel("land with a value")
    tidy(axes)
    _dates(axes)
    if shares.any():
        figure.legend(loc="outside upper right", ncols=3, frameon=False, fontsize=9)
    return png_bytes(figure)


def families_picture(strip: PeriodStrip, families: Sequence[str]) -> bytes:
    """Return which family each period has, and its RMSE on cells that were held out."""
    figure = new_figure(9.2, 4.4)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 4))
    rows = {name: number for number, name in enumerate(reversed(families))}
    width = strip.days.astype(float)
    for name, row in rows.items():
        mine = np.array([chosen == name for chosen in strip.chosen])
        above.barh(
            np.full(mine.sum(), row), width[mine], 0.7, left=_number(strip.starts[mine]), color=BLUE
        )
    gaps = np.array([not chosen for chosen in strip.chosen])
    for axes in (above, below):
        for start, days in zip(_number(strip.starts[gaps]), width[gaps], strict=True):
            axes.axvspan(start, start + days, color=RULE, linewidth=0, zorder=0)
    above.set_yticks(list(rows.values()), list(rows))
    above.set_ylim(-0.6, len(rows) - 0.4)
    above.set_title("family of each period; grey: no model", loc="left", fontsize=10, color=INK)
    middle = strip.starts + (strip.days // 2).astype("timedelta64[D]")
    below.plot(middle, strip.constant, color=MUTED, linewidth=1.1, label=CONSTANT)
    below.plot(
        middle, strip.test, color=BLUE, linewidth=1.3, marker="o", markersize=3, label=BEST_SCORE
    )
    below.set_ylim(bottom=0)
    below.set_title("RMSE on held-out cells, m³ m⁻³", loc="left", fontsize=10, color=INK)
    below.grid(axis="y", color=RULE, linewidth=0.6)
    below.legend(frameon=False, fontsize=9)
    for axes in (above, below):
        tidy(axes)
    below.set_xlim(*_number(strip.starts)[[0, -1]] + [0.0, width[-1]])
    above.tick_params(axis="y", length=0, labelcolor=INK)
    _dates(below)
    return png_bytes(figure)


def rain_picture(found: Mapping[str, RainResponse]) -> bytes:
    """Return the correlation of change with rain by lag, and the response by days after events."""
    figure = new_figure(9.2, 3.1)
    left, right = figure.subplots(1, 2)
    for (name, one), (colour, marker) in zip(found.items(), SERIES, strict=False):
        style = {"color": colour, "marker": marker, "markersize": 4, "linewidth": 1.3}
        left.plot(LAGS, one.correlations, label=name, **style)
        right.plot(np.arange(one.response.size), one.response, **style)
    for axes in (left, right):
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.grid(axis="y", color=RULE, linewidth=0.6)
        tidy(axes)
    left.axvspan(LAGS[0] - 0.5, -0.5, color=RULE, alpha=0.5, linewidth=0, zorder=0)
    left.set_xlim(LAGS[0] - 0.5, LAGS[-1] + 0.5)
    left.set_title("R of daily change and rain", loc="left", fontsize=10, color=INK)
    left.set_xlabel("days since the rain (grey: before it)")
    right.set_title("rise above the day before, m³ m⁻³", loc="left", fontsize=10, color=INK)
    right.set_xlabel("days since the event began")
    figure.legend(loc="outside upper right", ncols=4, frameon=False, fontsize=9)
    return png_bytes(figure)


def _number(days: Days) -> Floats:
    """Return days as matplotlib counts them: since 1970."""
    return days.astype("datetime64[D]").astype(np.float64)


def _dates(axes: Axes) -> None:
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(formatter)
