"""A small world with gaps that is hard to fill: noise, rain that is off, and causes nobody sees."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from smcloud.cube.schema import Days
from smcloud.grids.grid import Floats

FIRST = np.datetime64("2015-01-01", "D")
Bools = NDArray[np.bool_]
Fields = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class GapWorld:
    """Fields (days, rows, cols) over land (rows, cols); moisture in m3 m-3."""

    days: Days
    land: Bools
    truth: Floats
    whole: Fields
    """What the sensor would say everywhere: truth, noise, and errors that a day has in common."""
    missed: Bools
    """Where no orbit looked."""
    observed: Fields
    """What the sensor says: NaN off land, where no orbit looked, and where the retrieval failed."""
    rain: Fields
    """mm per day as a satellite tells it: off by a factor, a tenth of it missed."""


def gap_world(
    seed: int,
    n_days: int = 60,
    rows: int = 64,
    cols: int = 96,
    *,
    noise: float = 0.03,
    period: int = 40,
    width: int = 12,
) -> GapWorld:
    """Return a world of buckets that dry by their own soil and are wetted by storms.

    Fields of 4 x 4 cells are now and then irrigated, which no rain shows. `period` and `width` of
    the bands between orbits are in cells.
    """
    rng = np.random.default_rng(seed)
    capacity = 0.30 + 0.12 * _smooth(rng, (rows, cols), 6)
    drying = 0.06 * np.exp(0.5 * _smooth(rng, (rows, cols), 8))
    moisture = 0.4 * capacity
    truth, rain = np.empty((2, n_days, rows, cols))
    for day in range(n_days):
        storm = np.maximum(_smooth(rng, (rows, cols), 5) - 0.9, 0) * rng.uniform(0, 40)
        irrigated = rng.random((rows // 4 + 1, cols // 4 + 1)) < 0.01
        unseen = 12.0 * irrigated.repeat(4, 0).repeat(4, 1)[:rows, :cols]
        wetted = moisture + (capacity - moisture) * (1 - np.exp(-(storm + unseen) / 20))
        moisture = wetted - drying * (wetted - 0.05)
        truth[day], rain[day] = moisture, storm
    errors = noise * rng.standard_normal(truth.shape)
    of_day = np.stack([0.4 * noise * _smooth(rng, (rows, cols), 10) for _ in range(n_days)])
    whole = np.clip(truth + errors + of_day, 0.01, 0.6).astype(np.float32)
    told = rain * np.exp(0.5 * rng.standard_normal(rain.shape)) * (rng.random(rain.shape) < 0.9)
    land = _smooth(rng, (rows, cols), 12) > -1.2
    missed = bands(n_days, rows, cols, period, width)
    failed = np.stack([_smooth(rng, (rows, cols), 3) > 2.0 for _ in range(n_days)])
    observed = np.where(missed | failed | ~land, np.float32(np.nan), whole)
    days = FIRST + np.arange(n_days)
    return GapWorld(days, land, truth, whole, missed, observed, told.astype(np.float32))


def bands(n_days: int, rows: int, cols: int, period: int, width: int) -> Bools:
    """Return slanted bands that no orbit sees, and that move from day to day."""
    day, row, col = np.ogrid[:n_days, :rows, :cols]
    return np.asarray((col + row // 4 + day * (width + 2)) % period < width)


def _smooth(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Floats:
    """Return a field of mean 0 and standard deviation 1 that is correlated over `scale` cells."""
    field = gaussian_filter(rng.standard_normal(shape), scale, mode="wrap")
    return np.asarray((field - field.mean()) / field.std())
