"""A product year seen from far away: means, chosen days and coverage on cells of many pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import ConfigError
from smcloud.grids.grid import PIXEL_M, SIN1KM, Floats, Window, bounding_window
from smcloud.grids.land import land_mask
from smcloud.validation.collocation import MONTHS, Layer, month_of

SEASONS = {
    "December to February": (11, 0, 1),
    "March to May": (2, 3, 4),
    "June to August": (5, 6, 7),
    "September to November": (8, 9, 10),
}
"""Months (0 is January) of each season of the calendar year; December is that of the same year."""


@dataclass(frozen=True, eq=False)
class Overview:
    """Sums of one window on cells of `cell` x `cell` pixels; windows are put together by `mosaic`.

    Attributes
    ----------
    total, known : float64 (12, rows, cols)
        Sum of the values and number of known values per month and cell.
    land_days : float64 (rows, cols)
        Land pixels times days of the year: how many values there could be.
    days : dict
        Cell means of the days asked for, NaN where nothing is known.
    """

    window: Window
    cell: int
    total: Floats
    known: Floats
    land_days: Floats
    days: dict[np.datetime64, NDArray[np.float32]]

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """West, east, south, north edge in metres of the sinusoidal grid."""
        half = PIXEL_M / 2
        west, east = SIN1KM.x[self.window.col0] - half, SIN1KM.x[self.window.col1 - 1] + half
        south, north = SIN1KM.y[self.window.row1 - 1] - half, SIN1KM.y[self.window.row0] + half
        return float(west), float(east), float(south), float(north)

    def mean(self, months: Iterable[int] = range(MONTHS)) -> Floats:
        """Return the mean of the known values of these months per cell; NaN where none is."""
        chosen = list(months)
        return _ratio(self.total[chosen].sum(axis=0), self.known[chosen].sum(axis=0))

    def coverage(self) -> Floats:
        """Return the share of land pixels and days that have a value; NaN where no land is."""
        return _ratio(self.known.sum(axis=0), self.land_days)

    def with_day(self, preferred: Sequence[np.datetime64]) -> Overview:
        """Return the same with one day: the first of these with a known value, or the first."""
        known = [day for day in preferred if np.isfinite(self.days[day]).any()]
        day = known[0] if known else preferred[0]
        return replace(self, days={day: self.days[day]})


def summarise_block(
    layer: Layer,
    window: Window,
    part: Window,
    cell: int,
    chosen: tuple[np.datetime64, ...],
    step: int = 46,
) -> Overview:
    """Return the overview of one block of the product.

    `part` is what the product was asked for: land of the block outside it is no gap.
    """
    days = layer.open().times
    rows, cols = (side // cell for side in window.shape)
    total, known = np.zeros((2, MONTHS, rows, cols))
    pictures: dict[np.datetime64, NDArray[np.float32]] = {}
    for start in range(0, len(days), step):
        steps = slice(start, min(start + step, len(days)))
        values = layer.read(steps, window)
        sums, counts = _cell_sums(values, cell)
        for number, month in enumerate(month_of(days[steps])):
            total[month] += sums[number]
            known[month] += counts[number]
        for day in chosen:
            at = int((day - days[start]).astype(int))
            if 0 <= at < len(values):
                pictures[day] = _ratio(sums[at], counts[at]).astype(np.float32)
    asked = np.zeros(window.shape, np.float32)
    if (inside := window.intersect(part)) is not None:
        asked[inside.within(window)] = land_mask(inside)
    land = _cell_sums(asked[None], cell)[0][0]
    return Overview(window, cell, total, known, land * len(days), pictures)


def mosaic(parts: Sequence[Overview]) -> Overview:
    """Return one overview of the rectangle around all parts; between them nothing is known.

    Raises
    ------
    ConfigError
        If there is no part, or their cells differ.
    """
    if not parts or len({part.cell for part in parts}) != 1:
        raise ConfigError("an overview needs at least one block, all with cells of one size")
    window, cell = bounding_window([part.window for part in parts]), parts[0].cell
    shape = tuple(side // cell for side in window.shape)
    days = sorted({day for part in parts for day in part.days})
    whole = Overview(
        window,
        cell,
        np.zeros((MONTHS, *shape)),
        np.zeros((MONTHS, *shape)),
        np.zeros(shape),
        {day: np.full(shape, np.nan, np.float32) for day in days},
    )
    for part in parts:
        target = cells_of(part.window, window, cell)
        whole.total[(..., *target)] = part.total
        whole.known[(..., *target)] = part.known
        whole.land_days[target] = part.land_days
        for day, values in part.days.items():
            whole.days[day][target] = values
    return whole


def cells_of(part: Window, whole: Window, cell: int) -> tuple[slice, slice]:
    """Return where the cells of `part` lie among the cells of `whole`."""
    rows, cols = part.within(whole)
    return (
        slice(rows.start // cell, rows.stop // cell),
        slice(cols.start // cell, cols.stop // cell),
    )


def cell_size(block: int, windows: Sequence[Window], most_cells: int = 600) -> int:
    """Return the smallest divisor of the block side that keeps a picture within `most_cells`."""
    longest = max(bounding_window(windows).shape)
    divisors = [size for size in range(1, block + 1) if block % size == 0]
    return next((size for size in divisors if longest <= most_cells * size), block)


def _cell_sums(values: NDArray[np.float32], cell: int) -> tuple[Floats, Floats]:
    """Return sum and number of the known values per cell, (steps, rows, cols)."""
    steps, rows, cols = values.shape
    cells = values.reshape(steps, rows // cell, cell, cols // cell, cell)
    known = np.isfinite(cells)
    sums = np.where(known, cells, np.float32(0)).sum(axis=(2, 4), dtype=np.float64)
    return sums, known.sum(axis=(2, 4), dtype=np.float64)


def _ratio(total: Floats, count: Floats) -> Floats:
    return np.asarray(total / np.where(count > 0, count, np.nan))
