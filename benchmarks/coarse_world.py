"""Coarse cells whose moisture follows their predictors by slopes that are known, with gaps."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.signal import lfilter

from smcloud.cube.schema import Days
from smcloud.grids.grid import EASE2_36KM, Floats, Window
from smcloud.models.gwr import CoarseDays
from smcloud.simulate.swath import GCOM_W, Swath

Bools = NDArray[np.bool_]

AREA = Window(80, 104, 740, 770)
"""24 x 30 cells in central Asia."""


@dataclass(frozen=True, eq=False)
class CoarseWorld:
    """What is seen, and what is behind it."""

    series: CoarseDays
    slopes: Floats
    """(1 + features, cells) of every day."""
    truth: Floats
    """(days, cells), without noise."""
    missed: Bools
    """(days, cells), where the orbits did not look."""
    area: Window

    @property
    def places(self) -> tuple[Floats, Floats]:
        """Return longitude and latitude of the cells."""
        return self.series.lon, self.series.lat


def coarse_world(
    seed: int = 0,
    days: int = 12,
    area: Window = AREA,
    *,
    noise: float = 0.0,
    noise_cells: float = 0.0,
    varying: float = 0.0,
    hidden: float = 0.0,
    alike: float = 0.0,
) -> CoarseWorld:
    """Return a world.

    noise: standard deviation of the retrievals' errors and, alike, of what no predictor sees, both
    correlated over `noise_cells`; varying: how far slopes differ in space, as a share of
    themselves; hidden: share of cells without a value, beside those that the orbits missed; alike:
    correlation of the three predictors from cell to cell through one climate, which is also in the
    errors: the part of them that goes with it is as large as the rest.
    """
    rng = np.random.default_rng(seed)
    lon, lat = (values.reshape(-1) for values in EASE2_36KM.lonlat(area))
    rows, cols = area.shape
    dates = np.arange(np.datetime64("2015-06-01"), np.datetime64("2015-06-01") + days)
    lst = 300 + 6 * field(rng, (days, rows, cols), 2.5)
    ndvi = 0.4 + 0.15 * (0.7 * field(rng, (1, rows, cols), 2) + 0.3 * field(rng, lst.shape, 1))
    swir = 0.1 + 0.8 * (ndvi - 0.4) + 0.05 * field(rng, lst.shape, 1.5)
    predictors = np.stack([lst, ndvi, swir], axis=1).reshape(days, 3, -1)
    climate = field(rng, (1, rows, cols), 2.5).reshape(1, -1) if alike else np.zeros((1, lon.size))
    if alike:
        predictors = _alike(predictors, climate, alike)
    base = np.array([1.7, -0.005, 0.1, 0.2])
    change = 1 + varying * np.stack([field(rng, (rows, cols), 6) for _ in base[1:]])
    slopes = np.empty((4, lon.size))
    slopes[1:] = base[1:, None] * change.reshape(3, -1)
    # The planes turn about a point amid the data, or a change of slope would be one of level.
    slopes[0] = 0.2 - (slopes[1:] * np.array([300, 0.4, 0.1])[:, None]).sum(axis=0)
    truth = slopes[0] + (slopes[1:] * predictors).sum(axis=1)
    errors = noise * field(rng, (days, rows, cols), noise_cells).reshape(days, -1)
    causes = noise * (field(rng, (days, rows, cols), 1.5).reshape(days, -1) + climate)
    missed = missed_by_orbits(lon, lat, dates)
    is_hidden = rng.random(truth.shape) < hidden
    seen = np.where(missed | is_hidden if hidden else False, np.nan, truth + errors + causes)
    series = CoarseDays(lon, lat, dates, predictors, seen)
    return CoarseWorld(series, slopes, truth, missed, area)


def _alike(predictors: Floats, climate: Floats, alike: float) -> Floats:
    """Return predictors (days, 3, cells) that one climate (1, cells) makes go together."""
    mean, spread = predictors.mean(axis=2, keepdims=True), predictors.std(axis=2, keepdims=True)
    own = (predictors - mean) / spread
    sign = np.array([-1.0, 1.0, 1.0])[:, None]
    return mean + spread * (np.sqrt(alike) * sign * climate[:, None] + np.sqrt(1 - alike) * own)


def missed_by_orbits(lon: Floats, lat: Floats, dates: Days) -> Bools:
    """Return where the night pass of AMSR2 does not look, (days, cells)."""
    swath = Swath(lon, lat, GCOM_W)
    numbers = dates.astype("datetime64[D]").astype(int)
    return np.stack([np.isnan(swath.look(int(day), False).angle_degree) for day in numbers])


def field(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> Floats:
    """Return fields of mean 0 and spread 1, smooth over `scale` pixels of the last two axes."""
    made = rng.normal(size=shape)
    if scale > 0:
        made = gaussian_filter(made, (0,) * (len(shape) - 2) + (scale, scale), mode="wrap")
    made -= made.mean(axis=(-2, -1), keepdims=True)
    return made / made.std(axis=(-2, -1), keepdims=True)


@dataclass(frozen=True, eq=False)
class DryingWorld:
    """Cells that rain wets and days dry, seen by a satellite that misses some of them each day.

    Attributes
    ----------
    days : (days,)
    truth, seen : (days, cells)
    missed : (days, cells)
        Where the orbits did not look.
    predictors : (1, days, cells)
        A temperature that falls as moisture rises, with noise of its own.
    """

    days: Days
    truth: Floats
    seen: Floats
    missed: Bools
    predictors: Floats


def drying_world(
    seed: int = 0, days: int = 240, cells: int = 60, noise: float = 0.015
) -> DryingWorld:
    """Return a world; `noise` is the standard deviation of the retrievals' errors."""
    rng = np.random.default_rng(seed)
    rain = np.where(rng.random((days, cells)) < 0.12, rng.exponential(0.06, (days, cells)), 0.0)
    truth = 0.08 + lfilter([1.0], [1.0, -0.85], rain, axis=0)
    cooler = 300 - 40 * (truth - truth.mean()) + rng.normal(0, 1.0, truth.shape)
    dates = np.arange(np.datetime64("2015-03-01"), np.datetime64("2015-03-01") + days)
    places = np.random.default_rng(seed)
    missed = missed_by_orbits(places.uniform(80, 120, cells), places.uniform(25, 48, cells), dates)
    seen = np.where(missed, np.nan, np.maximum(truth + rng.normal(0, noise, truth.shape), 0))
    return DryingWorld(dates, truth, seen, missed, cooler[None])
