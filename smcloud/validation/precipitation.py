"""Whether soil moisture answers to rain: correlation of its change with rain, and days after rain.

A map may score well and still be wet on dry days. Daily precipitation, which no downscaled product
learns from, is a witness: the change of soil moisture from one day to the next goes with the rain
of that day or of the day before, and with no rain to come; after an event it is high and dries.

Everything here takes series at places (pixels or stations) and gives back sums that add up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smcloud.grids.grid import Window
from smcloud.grids.land import land_mask
from smcloud.validation.collocation import Floats32, Indices, Layer, coarse_reader
from smcloud.validation.metrics import correlation
from smcloud.validation.pairs import PairStats

LAGS = (-2, -1, 0, 1, 2, 3)
"""Days from the rain to the change; below 0 the rain is still to come."""
EVENT_MM = 5.0
"""Rain of a day from which it is an event."""
DAYS_AFTER = 10
LEAST_EVENTS = 100
"""A mean response of fewer is not told: soil moisture of different places differs by more."""
EVERY = 10
"""One pixel in so many, along rows and columns, is looked at: rain has cells of 11 km."""


@dataclass(frozen=True, eq=False)
class RainResponse:
    """Sums over places and days.

    Attributes
    ----------
    lagged : PairStats (lags,)
        Change of soil moisture from the day before, against the rain `LAGS` days earlier.
    n, mean : float64 (days after + 1,)
        Events whose soil moisture is known so many days after their first, the last before the
        next event, and on the day before; and the mean difference between the two, m3 m-3.
    """

    lagged: PairStats
    n: NDArray[np.float64]
    mean: NDArray[np.float64]

    @classmethod
    def zero(cls) -> RainResponse:
        """Return the sums over nothing."""
        return cls(PairStats.zero((len(LAGS),)), np.zeros(DAYS_AFTER + 1), np.zeros(DAYS_AFTER + 1))

    def __add__(self, other: RainResponse) -> RainResponse:
        """Return the sums over the union of both."""
        n = self.n + other.n
        share = np.divide(other.n, n, out=np.zeros_like(n), where=n > 0)
        mean = self.mean + (other.mean - self.mean) * share
        return RainResponse(self.lagged + other.lagged, n, mean)

    @property
    def correlations(self) -> NDArray[np.float64]:
        """Return R of each lag, (lags,); NaN without pairs."""
        return correlation(self.lagged)

    @property
    def events(self) -> int:
        """Return how many events there are whose own day and the day before are known."""
        return int(self.n[0])

    @property
    def response(self) -> NDArray[np.float64]:
        """Return the mean difference by days after the event, (days after + 1,); NaN if few."""
        return np.where(self.n >= LEAST_EVENTS, self.mean, np.nan)


@dataclass(frozen=True)
class RainRequest:
    """What is held against the rain of the same pixels.

    Attributes
    ----------
    rain : Layer
        Daily totals, mm, on a coarse grid; interpolated.
    fine, coarse : mapping of str to Layer
        Soil moisture by name, on the output grid, and on coarse ones.
    """

    rain: Layer
    fine: Mapping[str, Layer]
    coarse: Mapping[str, Layer]


def response_to_rain(moisture: Floats32, rain: Floats32) -> RainResponse:
    """Return the sums of series at places.

    Parameters
    ----------
    moisture
        (days, places) soil moisture of consecutive days, m3 m-3; NaN is unknown.
    rain
        (days, places) daily totals, mm; NaN is unknown.
    """
    change = moisture - _earlier(moisture, 1)
    lagged = [PairStats.of(change, _earlier(rain, lag)) for lag in LAGS]
    begins = (rain >= EVENT_MM) & ~(_earlier(rain, 1) >= EVENT_MM)
    before = _earlier(moisture, 1)
    n, mean = np.zeros((2, DAYS_AFTER + 1))
    for after in range(DAYS_AFTER + 1):
        if after:
            begins &= ~(_earlier(rain, -after) >= EVENT_MM)
        difference = (_earlier(moisture, -after) - before)[begins]
        known = difference[np.isfinite(difference)]
        n[after] = known.size
        mean[after] = known.mean(dtype=np.float64) if known.size else 0.0
    return RainResponse(PairStats.stacked(lagged), n, mean)


def response_of_block(asked: RainRequest, window: Window) -> dict[str, RainResponse]:
    """Return the sums of each soil moisture at every tenth pixel of a block, over a year."""
    points = _sparse(window)
    reader = coarse_reader(asked.rain, window, points)
    names = (*asked.fine, *asked.coarse)
    if reader is None:
        return {name: RainResponse.zero() for name in names}
    whole_year = slice(0, len(asked.rain.open().times))
    rain = reader.read(whole_year)
    found = {}
    for name, layer in asked.fine.items():
        stored = layer.open().read_points(
            layer.variable, whole_year, window, points.astype(np.intp), required=layer.required
        )
        moisture = layer.schema.variable(layer.variable).unpack(stored)
        found[name] = response_to_rain(moisture, rain)
    for name, layer in asked.coarse.items():
        interpolated = coarse_reader(layer, window, points)
        if interpolated is not None:
            found[name] = response_to_rain(interpolated.read(whole_year), rain)
    return found


def added(parts: list[dict[str, RainResponse]]) -> dict[str, RainResponse]:
    """Return the sums over all blocks, by name."""
    names = parts[0] if parts else {}
    return {name: sum((part[name] for part in parts), RainResponse.zero()) for name in names}


def _sparse(window: Window) -> Indices:
    """Return the land pixels of a window whose global row and column are tenth ones, flat in it."""
    rows, cols = np.arange(window.row0, window.row1), np.arange(window.col0, window.col1)
    chosen = (rows % EVERY == 0)[:, None] & (cols % EVERY == 0)[None, :]
    return np.flatnonzero(chosen & land_mask(window))


def _earlier(values: Floats32, days: int) -> Floats32:
    """Return the values of so many days earlier (later where negative); NaN beyond the ends."""
    found = np.full_like(values, np.nan)
    if days >= len(values) or -days >= len(values):
        return found
    if days > 0:
        found[days:] = values[:-days]
    elif days < 0:
        found[:days] = values[-days:]
    else:
        found[:] = values
    return found
