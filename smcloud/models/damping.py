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
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from smcloud.grids.cells import totals
from smcloud.models.cell_sums import packed

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Indices = NDArray[np.int64]

LEAST_PIXELS = 100
"""Known pixels of a cell in a block below which it tells nothing of the pattern within cells."""
LAG_DAYS = 32
"""Between days whose patterns are compared: twice the longest composite."""
WINDOW_DAYS = 31
"""Days that are taken together: a day under cloud knows few pixels."""
LEAST = 0.01
"""Factors are not below: what is left tells anchoring the means that the model said of cells."""
DECIMALS = 3
"""Factors are rounded, so that they do not hang on the order in which blocks are summed."""


@dataclass(frozen=True, eq=False)
class Spread:
    """Sums over the departures of a first guess from the means of its cells, (days,) each.

    Attributes
    ----------
    squares, pixels : float64
        Squared departures, and pixels less one for each cell.
    products, pairs : float64
        Departures times those of `LAG_DAYS` before, over pixels known on both, and those pixels
        less one for each cell; 0 on the first days.
    """

    squares: Floats
    pixels: Floats
    products: Floats
    pairs: Floats

    def to_bytes(self) -> bytes:
        """Return the sums as an NPZ file; equal sums give equal bytes."""
        return packed(**{part.name: getattr(self, part.name) for part in fields(self)})

    @classmethod
    def from_bytes(cls, data: bytes) -> "Spread":
        """Return the sums that `to_bytes` wrote."""
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            return cls(*(found[part.name] for part in fields(cls)))


def spread_of(now: Floats32, then: Floats32, cell_of: Indices) -> Spread:
    """Return the sums of consecutive days.

    Parameters
    ----------
    now
        (days, n_points) first guess, NaN for unknown.
    then
        The days `LAG_DAYS` before the last ones of `now`; fewer at the beginning of the record.
    cell_of
        (n_points,) cell of each.
    """
    squares, pixels = _products(now, now, cell_of)
    without = len(now) - len(then)
    products, pairs = np.zeros(len(now)), np.zeros(len(now))
    if len(then):
        products[without:], pairs[without:] = _products(now[without:], then, cell_of)
    return Spread(squares, pixels, products, pairs)


def _products(one: Floats32, other: Floats32, cell_of: Indices) -> tuple[Floats, Floats]:
    """Return the sums over cells of products of departures, and of pixels, of each day."""
    both = np.isfinite(one) & np.isfinite(other)
    one, other = (np.where(both, values, np.nan).astype(np.float32) for values in (one, other))
    n_cells = int(cell_of.max(initial=-1)) + 1
    sum_one, known = totals(one, cell_of, n_cells)
    sum_other, _ = totals(other, cell_of, n_cells)
    product, _ = totals(one * other, cell_of, n_cells)
    enough = known >= LEAST_PIXELS
    away = product - sum_one * sum_other / np.maximum(known, 1)
    return np.where(enough, away, 0.0).sum(axis=1), np.where(enough, known - 1.0, 0.0).sum(axis=1)


def merged(parts: Sequence[Spread]) -> Spread:
    """Return the sums over blocks, in their order."""
    names = [part.name for part in fields(Spread)]
    return Spread(*(np.sum([getattr(part, name) for part in parts], axis=0) for name in names))


def merged_in_time(parts: Sequence[Spread]) -> Spread:
    """Return the sums of consecutive slabs of days as one."""
    names = [part.name for part in fields(Spread)]
    return Spread(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


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
    variance = _ratio(_around(spread.squares), _around(spread.pixels))
    # A day is compared with the one before and the one after.
    products, pairs = (
        _around(values)
        + _around(np.append(values[LAG_DAYS:], np.zeros(min(LAG_DAYS, values.size))))
        for values in (spread.products, spread.pairs)
    )
    shared = _ratio(products, pairs)
    with np.errstate(divide="ignore", invalid="ignore"):
        lasting = np.clip(shared / variance, 0.0, 1.0)
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
