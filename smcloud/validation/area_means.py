"""A product of 1 km pixels beside one of coarse cells: area means, scores and collocation by cell.

One task holds the cells whose centre lies in one square of the output grid, for a whole year. It
reads the product block by block and keeps one series a cell, so that memory is bounded by cells and
nothing of 1 km size leaves the task. A cell belongs to one square only, whatever pixels it needs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smcloud.grids.cells import Aggregation, Cells, cells_in, land_in, means, members, reach, totals
from smcloud.grids.grid import Floats, Window
from smcloud.validation.anomalies import WINDOW_DAYS, anomaly_pairs
from smcloud.validation.collocation import MONTHS, Floats32, Layer, bin_pairs, month_of
from smcloud.validation.metrics import correlation
from smcloud.validation.pairs import PairStats
from smcloud.validation.triple_collocation import TripleCollocation, triple_collocation

MEMBERS = ("product", "reference", "third")


@dataclass(frozen=True)
class CoarseComparison:
    """What is compared, cell by cell of the reference's grid."""

    product: Layer
    reference: Layer
    third: Layer | None = None
    """Third member of the triple collocation, taken in the cell that holds the centre."""
    truth: Layer | None = None
    """A simulated Earth's own moisture, on the product's pixels."""
    minimum_share: float = 0.5
    """Least share of a cell's land pixels with a value for its mean to be known."""
    window_days: int = WINDOW_DAYS
    """Days of the moving mean that anomalies leave out."""
    step: int = 46
    """Days of one block read at once, which bounds memory."""


@dataclass(frozen=True, eq=False)
class TrueErrors:
    """What a simulated Earth says of the members of a triple collocation, on their common days.

    Attributes
    ----------
    r : float64 (n, 3)
        Correlation of each member with the true mean of its cell.
    error_std : float64 (n, 3)
        Standard deviation of what a straight line on the truth leaves of each member, in its own
        units: what triple collocation estimates without knowing the truth.

    NaN where fewer than three days are common.
    """

    r: Floats
    error_std: Floats


@dataclass(frozen=True, eq=False)
class CellScores:
    """What was found in the cells of one area.

    Attributes
    ----------
    cells : Cells
    pairs, anomalies : PairStats (n,)
        Sums over the year: values, and departures from the moving mean.
    months : PairStats (12,)
        Sums over the cells by month.
    known : float64 (3, n)
        Days known to the product's area mean, to the reference, and to both.
    days : int
        Days of the year.
    density : int64 (bins, bins)
        Pairs per bin of (product, reference).
    collocation : TripleCollocation or None
        Members in the order of `MEMBERS`; None without a third.
    truth : TrueErrors or None
        The same figures from the truth; None without a truth or a third.
    """

    cells: Cells
    pairs: PairStats
    anomalies: PairStats
    months: PairStats
    known: Floats
    days: int
    density: NDArray[np.int64]
    collocation: TripleCollocation | None
    truth: TrueErrors | None = None


def compare_area(
    comparison: CoarseComparison, area: Window, blocks: tuple[Window, ...]
) -> CellScores | None:
    """Return the scores of the cells whose centre lies in `area`; None where there are none.

    `blocks` are the product's blocks that may hold pixels of these cells. Cells of which too little
    was produced for a mean on any day are left out: they are no gaps of the product.
    """
    cells = cells_in(comparison.reference.schema.on, area)
    if cells.rows.size == 0:
        return None
    needed = Aggregation("mean", comparison.minimum_share).needed(
        land_in(cells, reach(cells, area))
    )
    enough = sum(land_in(cells, block) for block in blocks) >= needed
    if not enough.any():
        return None
    where = Cells(cells.grid, cells.rows[enough], cells.cols[enough])
    needed = needed[enough]
    ours = area_means(comparison.product, where, needed, blocks, comparison.step)
    theirs = cell_series(comparison.reference, *where.lonlat)
    days = comparison.product.open().times
    collocation, true_errors = _collocated(comparison, where, ours, theirs, needed, blocks)
    return CellScores(
        where,
        PairStats.along(ours, theirs, axis=1),
        anomaly_pairs(ours, theirs, days, comparison.window_days),
        PairStats.grouped(ours, theirs, np.broadcast_to(month_of(days)[None], ours.shape), MONTHS),
        np.stack([np.isfinite(v).sum(axis=1) for v in (ours, theirs, ours + theirs)]).astype(float),
        len(days),
        bin_pairs(ours, theirs),
        collocation,
        true_errors,
    )


def _collocated(
    comparison: CoarseComparison,
    cells: Cells,
    ours: Floats32,
    theirs: Floats32,
    needed: Floats,
    blocks: Sequence[Window],
) -> tuple[TripleCollocation | None, TrueErrors | None]:
    """Return the triple collocation of the cells, and what is true of it where that is known."""
    if comparison.third is None:
        return None, None
    third = cell_series(comparison.third, *cells.lonlat)
    members = np.stack([ours, theirs, third], axis=1)
    found = triple_collocation(members.astype(np.float64))
    if comparison.truth is None:
        return found, None
    truth = area_means(comparison.truth, cells, needed, blocks, comparison.step)
    return found, true_errors_of(members, truth)


def true_errors_of(members: Floats32, truth: Floats32) -> TrueErrors:
    """Return what the truth (n, days) says of members (n, 3, days) on days known to all."""
    common = np.isfinite(members).all(axis=1, keepdims=True)
    known = np.where(common, members, np.nan)
    pairs = PairStats.along(known, np.broadcast_to(truth[:, None], members.shape), axis=2)
    r = correlation(pairs)
    variance = pairs.m2_x / np.maximum(pairs.n - 1, 1)
    return TrueErrors(r, np.asarray(np.sqrt(variance * (1 - r**2))))


def area_means(
    layer: Layer, cells: Cells, needed: Floats, blocks: Sequence[Window], step: int = 46
) -> Floats32:
    """Return a layer's mean over each cell and day, (cells, days); NaN where too few pixels.

    Pixels of the output grid have equal areas, so that their plain mean is the area mean. A cell
    is known on a day on which at least `needed` (cells,) of its pixels are. `step` days are read at
    once.
    """
    n_days = len(layer.open().times)
    shape = (n_days, cells.rows.size)
    total, known = np.zeros(shape), np.zeros(shape, np.int32)
    for block in blocks:
        points, cell_of = members(cells, block)
        for steps in _slabs(n_days, step) if points.size else ():
            values = layer.read(steps, block)
            chosen = values.reshape(len(values), -1)[:, points]
            more = totals(chosen, cell_of, cells.rows.size)
            total[steps] += more[0]
            known[steps] += more[1]
    return np.ascontiguousarray(means(total, known, needed).T)


def cell_series(layer: Layer, lon: Floats, lat: Floats) -> Floats32:
    """Return the year of the cells of a coarse layer that contain the points, (points, days)."""
    rows, cols = layer.schema.on.pixel_of(lon, lat)
    window = Window(int(rows.min()), int(rows.max()) + 1, int(cols.min()), int(cols.max()) + 1)
    n_days = len(layer.open().times)
    found = np.empty((rows.size, n_days), np.float32)
    for steps in _slabs(n_days):
        found[:, steps] = layer.read(steps, window)[:, rows - window.row0, cols - window.col0].T
    return found


def _slabs(n_days: int, step: int = 46) -> Iterator[slice]:
    return (slice(start, min(start + step, n_days)) for start in range(0, n_days, step))
