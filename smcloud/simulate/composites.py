"""Composite products of the simulated Earth: the best look of 8 or 16 days, cloud left in some.

A composite is made for a set of pixels and the first day of its period, fed the true states of
the days, and finished once. The look kept is a clear one if there was any; otherwise a cloudy one
is kept, contaminated and flagged (most times: some cloud passes the mask unseen).
"""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike

from smcloud.simulate.climate import day_of_year
from smcloud.simulate.noise import Floats, normal_of
from smcloud.simulate.records import Bools, DayState, LaiView, ReflectanceView, VegetationView
from smcloud.simulate.sensors import Sensor

CLOUD_SPECTRUM = np.array([0.50, 0.52, 0.52, 0.50, 0.48, 0.38, 0.28], np.float32)
UNFLAGGED = np.float32(0.12)
"""Share of contaminated looks whose flags say clear."""
THIN_CLOUD = np.float32(0.05)
"""Share of clear looks that carry thin cloud."""


class Composite(Sensor, ABC):
    """The best look at every pixel so far; a product says what of it is kept."""

    def __init__(self, seed: int, lon: ArrayLike, lat: ArrayLike, start: np.datetime64) -> None:
        super().__init__(seed, lon, lat)
        self.start = start.astype("datetime64[D]")
        size = self.lon.size
        self._score = np.full(size, np.inf, np.float32)
        self._day = np.zeros(size, np.int16)
        self._is_cloudy = np.ones(size, bool)
        self._snow = np.zeros(size, np.float32)

    def add(self, state: DayState) -> None:
        """Take one day of the period into account."""
        luck = self.uniform("luck", int(state.day.astype(int)))
        score = luck + np.float32(2.0) * state.cloud_day
        better = score < self._score
        np.copyto(self._score, score, where=better)
        np.copyto(self._is_cloudy, state.cloud_day, where=better)
        np.copyto(self._snow, state.snow_water_mm, where=better)
        np.copyto(self._day, np.int16(day_of_year(state.day)), where=better)
        self._keep(state, better)

    @abstractmethod
    def _keep(self, state: DayState, better: Bools) -> None:
        """Keep what the product shows where the look of this day is the better one."""

    def _contamination(self, name: str) -> tuple[Floats, Bools]:
        """Return the cloud fraction left in each look, and whether the flags admit it."""
        hashes = self.hashes(f"{name}-cloud", int(self.start.astype(int)))
        chance = (hashes & np.uint32(0xFFFF)).astype(np.float32) * np.float32(2.0**-16)
        thick = np.float32(0.15) + np.float32(0.6) * chance
        thin = np.where(chance < THIN_CLOUD, chance * np.float32(4.0), np.float32(0.0))
        fraction = np.where(self._is_cloudy, thick, thin)
        return fraction, self._is_cloudy & (chance > UNFLAGGED)

    def _observed(self, truth: Floats, fraction: Floats, name: str) -> Floats:
        """Return reflectances (bands, n) with cloud, view geometry and noise in them."""
        number = int(self.start.astype(int))
        geometry = 1 + np.float32(0.05) * self.normal(f"{name}-view", number)
        out = np.empty_like(truth)
        for band in range(truth.shape[0]):
            seen = truth[band] * geometry + fraction * (CLOUD_SPECTRUM[band] - truth[band])
            noise = self.normal(f"{name}-{band}", number)
            out[band] = seen + noise * (np.float32(0.004) + np.float32(0.03) * truth[band])
        return np.clip(out, -0.01, 1.6, out=out)

    def _aerosol(self, name: str) -> np.ndarray:
        """Return aerosol classes 1 low, 2 average, 3 high (uint8)."""
        chance = self.uniform(f"{name}-aerosol", int(self.start.astype(int)))
        return (1 + (chance > 0.6).astype(np.uint8) + (chance > 0.93)).astype(np.uint8)


class ReflectanceComposite(Composite):
    """Eight days like MOD09A1: bands 1 to 7, state and quality words."""

    def __init__(self, seed: int, lon: ArrayLike, lat: ArrayLike, start: np.datetime64) -> None:
        super().__init__(seed, lon, lat, start)
        self._reflectance = np.full((7, self.lon.size), np.nan, np.float32)

    def _keep(self, state: DayState, better: Bools) -> None:
        np.copyto(self._reflectance, state.reflectance, where=better)

    def finish(self) -> ReflectanceView:
        """Return the composite; NaN and day 65535 where no day was fed."""
        fraction, admitted = self._contamination("reflectance")
        is_snow = self._snow > 10
        flags = np.uint16(1 << 3) | self._aerosol("reflectance").astype(np.uint16) << np.uint16(6)
        flags = flags | admitted.astype(np.uint16) | (admitted.astype(np.uint16) << np.uint16(10))
        flags = flags | is_snow * np.uint16(1 << 12) | is_snow * np.uint16(1 << 15)
        words = np.where(admitted, np.uint32(1 | 1 << 30), np.uint32(1 << 30))
        day = np.where(np.isinf(self._score), 65535, self._day).astype(np.uint16)
        seen = self._observed(self._reflectance, fraction, "reflectance")
        return ReflectanceView(seen, flags.astype(np.uint16), words.astype(np.uint32), day)


class VegetationComposite(Composite):
    """Sixteen days like MOD13A2: NDVI, EVI, quality word and reliability."""

    def __init__(self, seed: int, lon: ArrayLike, lat: ArrayLike, start: np.datetime64) -> None:
        super().__init__(seed, lon, lat, start)
        self._red_nir_blue = np.full((3, self.lon.size), np.nan, np.float32)

    def _keep(self, state: DayState, better: Bools) -> None:
        np.copyto(self._red_nir_blue, state.reflectance[:3], where=better)

    def finish(self) -> VegetationView:
        """Return the composite; NaN and day -1 where no day was fed."""
        fraction, admitted = self._contamination("vegetation")
        red, nir, blue = self._observed(self._red_nir_blue, fraction, "vegetation")
        ndvi = np.clip((nir - red) / np.maximum(nir + red, np.float32(0.01)), -0.2, 1.0)
        base = np.maximum(nir + 6 * red - np.float32(7.5) * blue + 1, np.float32(0.1))
        evi = np.clip(np.float32(2.5) * (nir - red) / base, -0.2, 1.0)
        is_snow = self._snow > 10
        aerosol = self._aerosol("vegetation").astype(np.uint16)
        # Usefulness 0 best .. 12 lowest: it falls with aerosol, and with cloud most of all.
        useful = np.where(admitted, np.uint16(10), aerosol - np.uint16(1))
        words = np.where(admitted, np.uint16(2), np.uint16(0)) | useful << np.uint16(2)
        words = words | aerosol << np.uint16(6) | np.uint16(1 << 11)
        words = words | admitted * np.uint16(1 << 10) | is_snow * np.uint16(1 << 14)
        rank = np.where(aerosol == 3, np.int8(1), np.int8(0))
        rank = np.where(admitted, np.int8(3), np.where(is_snow, np.int8(2), rank))
        is_empty = np.isinf(self._score)
        return VegetationView(
            ndvi,
            evi,
            words.astype(np.uint16),
            np.where(is_empty, -1, rank).astype(np.int8),
            np.where(is_empty, -1, self._day).astype(np.int16),
        )


class LaiComposite(Composite):
    """Eight days like MOD15A2H: leaf area, absorbed fraction and both quality bytes."""

    def __init__(self, seed: int, lon: ArrayLike, lat: ArrayLike, start: np.datetime64) -> None:
        super().__init__(seed, lon, lat, start)
        self._lai = np.full(self.lon.size, np.nan, np.float32)
        self._gain = np.exp(np.float32(0.12) * self.pattern("lai-gain", 50.0, 3))

    def _keep(self, state: DayState, better: Bools) -> None:
        np.copyto(self._lai, state.lai, where=better)

    def finish(self) -> LaiView:
        """Return the composite; NaN where no day was fed.

        Above 5 the signal saturates; under cloud or snow an empirical fall-back reads low and
        uncertain.
        """
        hashes = self.hashes("lai", int(self.start.astype(int)))
        is_snow = self._snow > 10
        backup = self._is_cloudy | is_snow
        spread = np.float32(0.08) + np.where(backup, np.float32(0.25), np.float32(0.12)) * self._lai
        low = np.where(backup, np.float32(0.8), np.float32(1.0))
        value = self._lai * self._gain * low + spread * normal_of(hashes)
        bent = np.minimum(value, 5 + (value - 5) * np.float32(0.3))
        lai = np.clip(bent, 0.0, 7.0)
        saturated = ~backup & (value > 5)
        scf = np.where(backup, np.uint8(3), saturated.astype(np.uint8))
        quality = backup.astype(np.uint8) | self._is_cloudy.astype(np.uint8) << np.uint8(3)
        extra = is_snow.astype(np.uint8) << np.uint8(2)
        extra = extra | self._is_cloudy.astype(np.uint8) << np.uint8(5)
        fpar = np.float32(0.95) * (1 - np.exp(np.float32(-0.5) * lai))
        return LaiView(lai, fpar, (quality | scf << np.uint8(5)).astype(np.uint8), extra)
