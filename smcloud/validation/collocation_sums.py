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
    common, ends = np.empty((members, n_times)), np.empty(sums.shape[1], np.int64)
    for series in range(n_series):
        _gather(values[series], cell, common, ends, is_present[series])
        _sum_cells(common, ends, means[series], sums[series])
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
def _gather(values: Series, cell: int, common: Floats, ends: Indices, is_present: Flags) -> None:
    """Write the common samples one after another, `common` (3, n_times), and where cells end.

    Unknown values come anywhere, so that a branch on them would be mispredicted: each sample is
    written, and the next one over it unless all three of its members are known.
    """
    x, y, z = values[0], values[1], values[2]
    count = 0
    has_x, has_y, has_z = False, False, False
    for number in range(ends.size):
        for time in range(number * cell, min((number + 1) * cell, x.size)):
            is_x, is_y, is_z = np.isfinite(x[time]), np.isfinite(y[time]), np.isfinite(z[time])
            has_x, has_y, has_z = has_x | is_x, has_y | is_y, has_z | is_z
            common[0, count], common[1, count], common[2, count] = x[time], y[time], z[time]
            count += is_x & is_y & is_z
        ends[number] = count
    is_present[0], is_present[1], is_present[2] = has_x, has_y, has_z


@compiled
def _sum_cells(common: Floats, ends: Indices, means: Floats, out: Floats) -> None:
    """Write the means of all common samples, and the sums over each cell about them."""
    n_common = ends[-1] if ends.size else 0
    total_x, total_y, total_z = 0.0, 0.0, 0.0
    for sample in range(n_common):
        total_x += common[0, sample]
        total_y += common[1, sample]
        total_z += common[2, sample]
    known = float(n_common) if n_common > 0 else np.nan
    means[0], means[1], means[2] = total_x / known, total_y / known, total_z / known
    first = 0
    for number in range(ends.size):
        _sum_cell(common, first, ends[number], means, out[number])
        first = ends[number]


@compiled
def _sum_cell(common: Floats, first: int, end: int, means: Floats, row: Floats) -> None:
    """Write the sums of the samples `first` to `end`, in the order of N_SUMS."""
    x, y, z = common[0], common[1], common[2]
    mean_x, mean_y, mean_z = means[0], means[1], means[2]
    sx, sy, sz = 0.0, 0.0, 0.0
    xx, yy, zz, xy, xz, yz = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for sample in range(first, end):
        a, b, c = x[sample] - mean_x, y[sample] - mean_y, z[sample] - mean_z
        sx, sy, sz = sx + a, sy + b, sz + c
        xx, yy, zz = xx + a * a, yy + b * b, zz + c * c
        xy, xz, yz = xy + a * b, xz + a * c, yz + b * c
    row[0], row[1], row[2], row[3] = end - first, sx, sy, sz
    row[4], row[5], row[6] = xx, yy, zz
    row[7], row[8], row[9] = xy, xz, yz


@compiled
def _draw(cells: Floats, length: int, chances: Floats, out: Floats) -> None:
    """Write the sums of each draw, `out` (draws, N_SUMS), from occupied cells on a circle."""
    n_cells = len(cells)
    whole = n_cells // length
    blocks, ends = np.zeros(cells.shape), np.zeros(cells.shape)
    _add_neighbours(cells, length, blocks)
    _add_neighbours(cells, n_cells % length, ends)
    starts = np.empty(whole, np.int64)
    for draw in range(len(out)):
        # Rounding may bring a chance just below one to the cell after the last.
        for block in range(whole):
            starts[block] = min(int(chances[draw, block] * n_cells), n_cells - 1)
        last = min(int(chances[draw, whole] * n_cells), n_cells - 1)
        _add_blocks(blocks, starts, ends[last], out[draw])


@compiled
def _add_neighbours(cells: Floats, length: int, out: Floats) -> None:
    """Add to each row the sums of the `length` cells that begin there, around the circle."""
    for start in range(len(cells)):
        for step in range(length):
            cell = cells[(start + step) % len(cells)]
            for which in range(cell.size):
                out[start, which] += cell[which]


@compiled
def _add_blocks(blocks: Floats, starts: Indices, last: Floats, row: Floats) -> None:
    """Write the sums of one draw: of the blocks at `starts` and of the last, shorter one.

    Ten variables stay in registers, a row of an array would be stored after every block.
    """
    n, sx, sy, sz = last[0], last[1], last[2], last[3]
    xx, yy, zz, xy, xz, yz = last[4], last[5], last[6], last[7], last[8], last[9]
    for start in starts:
        one = blocks[start]
        n, sx, sy, sz = n + one[0], sx + one[1], sy + one[2], sz + one[3]
        xx, yy, zz = xx + one[4], yy + one[5], zz + one[6]
        xy, xz, yz = xy + one[7], xz + one[8], yz + one[9]
    row[0], row[1], row[2], row[3] = n, sx, sy, sz
    row[4], row[5], row[6] = xx, yy, zz
    row[7], row[8], row[9] = xy, xz, yz


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
