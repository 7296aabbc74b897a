"""Sums over the common samples of three series, cut into cells of time; compiled.

Everything here adds up one series after another in a fixed order, so that the result of a series
has the same bits whatever other series were asked for together, on whichever machine of a cluster.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from smcloud.core.compiled import compiled
from smcloud.validation.pairs import Floats

N_SUMS = 10
"""n, x, y, z, xx, yy, zz, xy, xz, yz: what the covariances of three members are made of."""

Series = npt.NDArray[np.floating[Any]]
Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]


class SlotWindow(NamedTuple):
    """What a mean about each slot of a line is taken of."""

    half: int
    """Slots to either side."""
    n_slots: int
    is_circle: bool
    """Whether the last slot is followed by the first."""
    minimum: int
    """Fewer values have no mean."""


def common_sums(values: Series, cell: int) -> tuple[Floats, Floats, Flags]:
    """Return the sums of each series over each cell of `cell` time steps.

    Parameters
    ----------
    values
        (n_series, 3, n_times), float32 or float64, C-contiguous. A time counts where all three
        members are finite.
    cell
        Time steps of a cell; the last cell takes what remains.

    Returns
    -------
    tuple
        Sums (n_series, n_cells, N_SUMS), of deviations from the means and of their products, so
        that nothing cancels for series with a large mean; the means over common samples
        (n_series, 3), NaN without any; and whether each member has any finite value at all.
    """
    n_series, members, n_times = values.shape
    sums = np.empty((n_series, -(-n_times // cell), N_SUMS))
    means = np.empty((n_series, members))
    is_present = np.empty((n_series, members), np.bool_)
    for series in range(n_series):
        _common_means(values[series], means[series], is_present[series])
        _sum_cells(values[series], means[series], cell, sums[series])
    return sums, means, is_present


def draw_blocks(sums: Floats, length: int, chances: Floats) -> Floats:
    """Return the sums of each draw of a circular block bootstrap, (n_series, draws, N_SUMS).

    Cells without a common sample are left out and those that remain joined to a circle, from
    which blocks of `length` cells are drawn until there are as many cells as before; the last
    block is cut short. A series of fewer than two blocks gives NaN: drawing one block
    again and again would make an interval of no width.

    Parameters
    ----------
    sums
        (n_series, n_cells, N_SUMS), from `common_sums`.
    chances
        (draws, at least n_cells // length + 1), uniform in [0, 1): where each block starts.
    """
    out = np.full((len(sums), len(chances), N_SUMS), np.nan)
    for series, cells in enumerate(sums):
        occupied = np.ascontiguousarray(cells[cells[:, 0] > 0])
        if len(occupied) >= 2 * length:
            _draw(occupied, length, chances, out[series])
    return out


def window_means(values: Floats, slot: Indices, window: SlotWindow) -> Floats:
    """Return the mean of each series about each slot of its line, (n_series, n_slots).

    Parameters
    ----------
    values
        (n_series, n_times), NaN unknown.
    slot
        (n_times,): the place of each time on the line, 0 to n_slots - 1.
    window
        How far the mean reaches on which line, and how many values it needs.
    """
    half, n_slots, is_circle, minimum = window
    out = np.empty((len(values), n_slots))
    for series in range(len(values)):
        _mean_about_slots(values[series], slot, half, is_circle, minimum, out[series])
    return out


@compiled
def _common_means(values: Series, means: Floats, is_present: Flags) -> None:
    """Write the mean of each member over the common samples and whether it has any value."""
    x, y, z = values[0], values[1], values[2]
    total_x, total_y, total_z, count = 0.0, 0.0, 0.0, 0
    has_x, has_y, has_z = False, False, False
    for time in range(x.size):
        is_x, is_y, is_z = np.isfinite(x[time]), np.isfinite(y[time]), np.isfinite(z[time])
        has_x, has_y, has_z = has_x or is_x, has_y or is_y, has_z or is_z
        if is_x and is_y and is_z:
            total_x += x[time]
            total_y += y[time]
            total_z += z[time]
            count += 1
    known = float(count) if count > 0 else np.nan
    means[0], means[1], means[2] = total_x / known, total_y / known, total_z / known
    is_present[0], is_present[1], is_present[2] = has_x, has_y, has_z


@compiled
def _sum_cells(values: Series, means: Floats, cell: int, out: Floats) -> None:
    """Write the sums of one series over each cell, `out` (n_cells, N_SUMS)."""
    x, y, z = values[0], values[1], values[2]
    mean_x, mean_y, mean_z = means[0], means[1], means[2]
    for number in range(len(out)):
        n, sx, sy, sz = 0.0, 0.0, 0.0, 0.0
        xx, yy, zz, xy, xz, yz = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for time in range(number * cell, min((number + 1) * cell, x.size)):
            a, b, c = x[time] - mean_x, y[time] - mean_y, z[time] - mean_z
            if np.isfinite(a) and np.isfinite(b) and np.isfinite(c):
                n += 1.0
                sx, sy, sz = sx + a, sy + b, sz + c
                xx, yy, zz = xx + a * a, yy + b * b, zz + c * c
                xy, xz, yz = xy + a * b, xz + a * c, yz + b * c
        row = out[number]
        row[0], row[1], row[2], row[3] = n, sx, sy, sz
        row[4], row[5], row[6] = xx, yy, zz
        row[7], row[8], row[9] = xy, xz, yz


@compiled
def _draw(cells: Floats, length: int, chances: Floats, out: Floats) -> None:
    """Write the sums of each draw, `out` (draws, N_SUMS), from occupied cells on a circle."""
    n_cells, n_sums = cells.shape
    whole, left = n_cells // length, n_cells % length
    blocks, ends = np.zeros((n_cells, n_sums)), np.zeros((n_cells, n_sums))
    for start in range(n_cells):
        for step in range(length):
            cell = cells[(start + step) % n_cells]
            for which in range(n_sums):
                blocks[start, which] += cell[which]
                if step < left:
                    ends[start, which] += cell[which]
    for draw in range(len(out)):
        row = out[draw]
        # Rounding may bring a chance just below one to the cell after the last.
        start = min(int(chances[draw, whole] * n_cells), n_cells - 1)
        for which in range(n_sums):
            row[which] = ends[start, which]
        for block in range(whole):
            start = min(int(chances[draw, block] * n_cells), n_cells - 1)
            for which in range(n_sums):
                row[which] += blocks[start, which]


@compiled
def _mean_about_slots(
    values: Floats, slot: Indices, half: int, is_circle: bool, minimum: int, out: Floats
) -> None:
    """Write the mean of all values within `half` slots of each slot, NaN below `minimum`."""
    n_slots = out.size
    total, count = np.zeros(n_slots), np.zeros(n_slots)
    for time in range(values.size):
        if np.isfinite(values[time]):
            total[slot[time]] += values[time]
            count[slot[time]] += 1.0
    for centre in range(n_slots):
        in_window, known = 0.0, 0.0
        for place in range(centre - half, centre + half + 1):
            if is_circle or 0 <= place < n_slots:
                in_window += total[place % n_slots]
                known += count[place % n_slots]
        out[centre] = in_window / known if known >= minimum else np.nan
