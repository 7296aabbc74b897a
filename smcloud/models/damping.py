"""How much of a fine pattern to believe: the first guess scaled before it is anchored.

A model that learned from the means of cells is asked about pixels, whose features are noisier and
range wider; its pattern within cells is then right in part, and too strong. Of all multiples of the
pattern p, the nearest to the truth t is (regression calibration; Carroll et al. 2006, Measurement
Error in Nonlinear Models, chapter 4)

    factor = covariance(p, t) / variance(p)

of which nothing coarse knows the covariance. It is put together from two things that are known.
What the patterns of two days share that lie `LAG_DAYS` apart, longer than any composite and with
models fitted to other days, is no noise of features nor of fits: covariance(p, p later). And how
far the truth follows what is shared: the slope of the target on the estimates between cells of a
group, on cells that the fit did not see. So

    factor = slope * covariance(p, p later) / variance(p)

Soil moisture changes in so many days too, so that the factor is rather too small; errors that last,
as of a wrong coefficient of the soil's texture, pass for signal, but for what the slope says of
them. A factor near 0 leaves the smooth coarse field, which is anchored all the same, and 1 the
model's own pattern.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from smcloud.grids.cells import totals
from smcloud.grids.grid import Grid, Window, grid_named
from smcloud.models.cell_sums import Links, around, packed, places

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]

LEAST_PIXELS = 100
"""Known pixels of a cell below which it tells nothing of the pattern within cells."""
LAG_DAYS = 32
"""Between days whose patterns are compared: twice the longest composite."""
WINDOW_DAYS = 31
"""Days that are taken together: a day under cloud knows few pixels."""
HELD = 32
"""Sums of blocks that are in memory together."""
LEAST = 0.01
"""Factors are not below: what is left tells anchoring the means that the model said of cells."""
DECIMALS = 3
"""Factors are rounded, so that they do not hang on the order in which blocks are summed."""


@dataclass(frozen=True, eq=False)
class Spread:
    """Sums over the first guess in each cell, float64 (days, rows, cols) each.

    Cells lie across blocks: sums of blocks add up, and only the whole cell has a mean to depart
    from.

    Attributes
    ----------
    grid : Grid
        The coarse grid.
    window : Window
        Its cells; columns may run past the last one of the grid.
    pixels, total, squares
        Known pixels, the sum of their values, and of their squares.
    pairs, now, then, products
        Pixels known on the day and `LAG_DAYS` before, the sums of both days' values over them, and
        of their products; 0 on the first days.
    """

    grid: Grid
    window: Window
    pixels: Floats
    total: Floats
    squares: Floats
    pairs: Floats
    now: Floats
    then: Floats
    products: Floats

    def to_bytes(self) -> bytes:
        """Return the sums as an NPZ file; equal sums give equal bytes."""
        place = {"grid": np.array(self.grid.name), "window": np.array(astuple(self.window))}
        return packed(**place, **{name: getattr(self, name) for name in SUMS})

    @classmethod
    def from_bytes(cls, data: bytes) -> "Spread":
        """Return the sums that `to_bytes` wrote."""
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            grid, window = grid_named(str(found["grid"])), Window(*found["window"].tolist())
            return cls(grid, window, *(found[name] for name in SUMS))


SUMS = ("pixels", "total", "squares", "pairs", "now", "then", "products")


def spread_of(now: Floats32, then: Floats32, where: Links) -> Spread:
    """Return the sums of consecutive days.

    Parameters
    ----------
    now
        (days, n_points) first guess, NaN for unknown.
    then
        The days `LAG_DAYS` before the last ones of `now`; fewer at the beginning of the record.
    where
        How the points hang on the coarse grid.
    """
    rows, cols = where.window.shape
    cell_of = where.cell.astype(np.int64)

    def summed(values: Floats32) -> tuple[Floats, Floats]:
        total, known = totals(values, cell_of, rows * cols)
        return total, known.astype(np.float64)

    total, pixels = summed(now)
    squares, _ = summed(now * now)
    without = len(now) - len(then)
    late = now[without:]
    both = np.isfinite(late) & np.isfinite(then)
    late, early = (np.where(both, v, np.float32(np.nan)) for v in (late, then))
    of_now, pairs = summed(late)
    of_then, products = summed(early)[0], summed(late * early)[0]
    head = np.zeros((without, rows * cols))
    padded = (np.concatenate([head, one]) for one in (pairs, of_now, of_then, products))
    sums = (pixels, total, squares, *padded)
    return Spread(where.grid, where.window, *(one.reshape(-1, rows, cols) for one in sums))


def merged(parts: Iterable[Spread]) -> Spread:
    """Return the sums over blocks, in their order, on the least window that holds all.

    Some are in memory at a time, and what they add up to.
    """
    held: list[Spread] = []
    for part in parts:
        held.append(part)
        if len(held) > HELD:
            held = [_sum(held)]
    return _sum(held)


def _sum(parts: Sequence[Spread]) -> Spread:
    grid = parts[0].grid
    window = around(grid, [part.window for part in parts])
    found = {name: np.zeros((len(parts[0].pixels), *window.shape)) for name in SUMS}
    for part in parts:
        rows, cols = places(grid, window, part.window)
        for name, whole in found.items():
            whole[:, rows, cols] += getattr(part, name)
    return Spread(grid, window, **found)


def merged_in_time(parts: Sequence[Spread]) -> Spread:
    """Return the sums of consecutive slabs of days as one."""
    sums = (np.concatenate([getattr(part, name) for part in parts]) for name in SUMS)
    return Spread(parts[0].grid, parts[0].window, *sums)


def _departures(product: Floats, one: Floats, other: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Return sums of products of departures from the means of cells, and pixels less one, (days,).

    Cells of few pixels count for nothing.
    """
    enough = n >= LEAST_PIXELS
    away = product - one * other / np.maximum(n, 1.0)
    sums = np.where(enough, away, 0.0), np.where(enough, n - 1.0, 0.0)
    return sums[0].sum(axis=(1, 2)), sums[1].sum(axis=(1, 2))


def factors(spread: Spread, slope: Floats) -> Floats32:
    """Return the factor of each day, (days,) float32, from `LEAST` to 1.

    Days on which nothing is known of what lasts, in a record shorter than the lag, have 1 in its
    place.

    Parameters
    ----------
    spread
        Of the whole region.
    slope
        (days,) of the target on the estimates (`Downscaler.slope`); NaN where it is unknown, which
        counts as 1.
    """
    squares, pixels = _departures(spread.squares, spread.total, spread.total, spread.pixels)
    shared = _departures(spread.products, spread.now, spread.then, spread.pairs)
    variance = _ratio(_around(squares), _around(pixels))
    # A day is compared with the one before and the one after.
    products, pairs = (
        _around(values)
        + _around(np.append(values[LAG_DAYS:], np.zeros(min(LAG_DAYS, values.size))))
        for values in shared
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        lasting = np.clip(_ratio(products, pairs) / variance, 0.0, 1.0)
    followed = np.clip(slope, 0.0, 1.0)
    found = np.where(np.isfinite(lasting), lasting, 1.0)
    found = found * np.where(np.isfinite(followed), followed, 1.0)
    return np.maximum(found, LEAST).round(DECIMALS).astype(np.float32)


def _around(values: Floats) -> Floats:
    """Return the sums over the days around each."""
    cumulated = np.concatenate([[0.0], np.cumsum(values)])
    half, n_days = WINDOW_DAYS // 2, len(values)
    stop = np.minimum(np.arange(n_days) + half + 1, n_days)
    start = np.maximum(np.arange(n_days) - half, 0)
    return np.asarray(cumulated[stop] - cumulated[start])


def _ratio(total: Floats, count: Floats) -> Floats:
    found = np.full(total.shape, np.nan)
    np.divide(total, count, out=found, where=count > 0.5)
    return found


def factors_to_bytes(found: Floats32) -> bytes:
    """Return factors as an NPZ file."""
    return packed(factors=found)


def factors_from(data: bytes) -> Floats32:
    """Return the factors that `factors_to_bytes` wrote."""
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        found: Floats32 = stored["factors"]
        return found
