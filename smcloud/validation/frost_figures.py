"""Pictures of states and their probabilities as PNG bytes."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import PercentFormatter
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
from smcloud.validation.reliability import Reliability

COLOURS = (BLUE, ORANGE, GREEN, MUTED)
STATE_COLOURS = ("#d8b365", "#7fb8c9", BLUE, RULE)
"""Of thawed, partly frozen and frozen ground, and of none."""
FEWEST = 10
"""Bins of fewer pairs are not drawn: their frequency is chance."""


def probability_picture(curves: Mapping[str, Reliability]) -> bytes:
    """Return how often the event happened by the probability stated, and how often that was.

    Parameters
    ----------
    curves
        By label; the first one's counts are drawn too.
    """
    figure = new_figure(9.2, 4.2)
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color=MUTED, linewidth=1.0, linestyle="--")
    for colour, (label, found) in zip(COLOURS, curves.items(), strict=False):
        drawn = found.n >= FEWEST
        left.plot(
            found.stated[drawn],
            found.observed[drawn],
            "o-",
            color=colour,
            markersize=4,
            label=label,
        )
    left.set_xlabel("probability stated", color=INK)
    left.set_ylabel("how often it was frozen", color=INK)
    left.legend(frameon=False, fontsize=8.5, loc="upper left")
    counts = next(iter(curves.values())).n
    edges = np.linspace(0.0, 1.0, counts.size + 1)
    share = counts / max(counts.sum(), 1.0)
    right.bar(edges[:-1], share, width=np.diff(edges), align="edge", color=BLUE, edgecolor="white")
    right.set_xlabel("probability stated", color=INK)
    right.set_ylabel("share of rows", color=INK)
    right.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    for axes in (left, right):
        axes.set_xlim(0.0, 1.0)
        axes.grid(color=RULE, linewidth=0.6)
        tidy(axes)
    left.set_ylim(0.0, 1.0)
    return png_bytes(figure)


def months_picture(counts: NDArray[np.int64], words: Sequence[str]) -> bytes:
    """Return the share of each state by month.

    Parameters
    ----------
    counts
        (12, states): cell-days of each state in each month.
    """
    figure = new_figure(6.6, 3.3)
    axes = figure.subplots()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    below = np.zeros(12)
    for colour, word, column in zip(STATE_COLOURS, words, share.T, strict=True):
        if not column.any():
            continue
        axes.bar(np.arange(1, 13), column, bottom=below, color=colour, label=word, width=0.85)
        below += column
    axes.set_xticks(range(1, 13))
    axes.set_xlabel("month", color=INK)
    axes.set_ylabel("share of cell-days", color=INK)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.legend(
        frameon=False, fontsize=8.5, ncols=len(words), loc="lower center", bbox_to_anchor=(0.5, 1.0)
    )
    tidy(axes)
    return png_bytes(figure)
