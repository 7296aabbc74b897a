"""Satellite products of the simulated Earth: forward model, noise, gaps, quality words.

Each sensor is made once for a set of pixels and fed the true states day by day. What it returns
is what the product would hold, in physical units; the writers turn it into files. Nothing here
is a function of soil moisture: sensors see skin temperature, reflectance, leaf area and albedo.

Bits of the quality words are those of `smcloud.sources` readers: MOD11A1 QC, MCD43 band quality,
MOD09A1 state and QC, MOD13A2 VI quality and reliability, MOD15A2H FparLai_QC and FparExtra_QC.
Sizes of the errors: MOD11A1 1 K where clear (Wan 2014, Remote Sens. Environ. 140, 36-45); LAI
0.3 plus 15 per cent (Yan et al. 2016, Remote Sens. 8, 460); albedo 0.02; reflectance 0.005 plus
5 per cent (Vermote et al. 2002, Remote Sens. Environ. 83, 97-111).
"""

import numpy as np
from numpy.typing import ArrayLike

from smcloud.simulate.climate import day_of_year
from smcloud.simulate.noise import (
    Doubles,
    Floats,
    Hashes,
    fractal,
    normal_of,
    pixel_hash,
    pixel_keys,
    sphere,
    stream,
    uniform_of,
)
from smcloud.simulate.records import AlbedoView, Bools, Bytes, DayState, LstView
from smcloud.simulate.swath import Look, Swath

MISSED_CLOUD = np.float32(0.06)
"""Share of cloudy pixels that the cloud mask takes for clear; some are flagged as doubtful."""


class Sensor:
    """The pixels that an instrument sees, and their random numbers, which its name sets apart."""

    def __init__(self, seed: int, lon: ArrayLike, lat: ArrayLike, name: str = "sensor") -> None:
        self.seed, self.name = seed, name
        self.lon: Doubles = np.atleast_1d(np.asarray(lon, np.float64))
        self.lat: Doubles = np.atleast_1d(np.asarray(lat, np.float64))
        self.keys = pixel_keys(self.lon, self.lat)

    def key(self, name: str) -> int:
        """Return the key of the stream of random numbers for one purpose."""
        return stream(self.seed, f"{self.name}-{name}")

    def hashes(self, name: str, day: int) -> Hashes:
        """Return fresh hashes of every pixel for one purpose and day."""
        return pixel_hash(self.keys, self.key(name), day)

    def normal(self, name: str, day: int) -> Floats:
        """Return fresh standard normal numbers."""
        return normal_of(self.hashes(name, day))

    def uniform(self, name: str, day: int) -> Floats:
        """Return fresh uniform numbers in [0, 1)."""
        return uniform_of(self.hashes(name, day))

    def pattern(self, name: str, scale_km: float, octaves: int = 2) -> Floats:
        """Return a fixed standard normal pattern of the product's own errors."""
        return fractal(self.key(name), sphere(self.lon, self.lat), scale_km, octaves)


class LstSensor(Sensor):
    """Land surface temperature like MOD11A1: clear sky only, within swaths, with its QC."""

    def __init__(self, seed: int, lon: ArrayLike, lat: ArrayLike) -> None:
        super().__init__(seed, lon, lat)
        self._swath = Swath(self.lon, self.lat)
        self._bias = np.float32(-0.4) + np.float32(0.7) * self.pattern("lst-bias", 120.0)
        emissivity = np.float32(0.974) + np.float32(0.006) * self.pattern("emissivity", 60.0)
        self._emissivity = np.clip(emissivity, 0.94, 0.99).astype(np.float32)

    def observe(self, state: DayState) -> LstView:
        """Return what the sensor delivers of one day."""
        number = int(state.day.astype(int))
        day, night = self._swath.look(number, False), self._swath.look(number, True)
        lst_day, qc_day = self._half(state.lst_day_k, state.cloud_day, day, "day", number)
        lst_night, qc_night = self._half(
            state.lst_night_k, state.cloud_night, night, "night", number
        )
        return LstView(
            lst_day,
            lst_night,
            qc_day,
            qc_night,
            day.angle_degree,
            night.angle_degree,
            day.hour,
            night.hour,
            self._emissivity,
            self._emissivity + np.float32(0.004),
        )

    def _half(
        self, truth: Floats, is_cloudy: Bools, look: Look, name: str, number: int
    ) -> tuple[Floats, Bytes]:
        """Return observed temperature (K) and QC of the day or the night half."""
        hashes = self.hashes(f"lst-{name}", number)
        chance = (hashes & np.uint32(0xFFFF)).astype(np.float32) * np.float32(2.0**-16)
        angle = np.abs(look.angle_degree)
        # Cloud that the mask misses cools the pixel; slanted views see less of the warm ground.
        is_missed = is_cloudy & (chance < MISSED_CLOUD)
        is_outside = np.isnan(angle)
        is_hidden = (is_cloudy & ~is_missed) | is_outside
        error = np.float32(0.9) + np.float32(0.012) * angle
        slant = np.float32(0.010 if name == "day" else 0.004) * np.maximum(angle - 20, 0)
        value = truth + self._bias - slant + error * normal_of(hashes)
        value = value - np.where(is_missed, 1 + np.float32(60.0) * chance, np.float32(0.0))
        value = np.where(is_hidden, np.float32(np.nan), value)
        is_doubtful = is_missed & (chance < 0.5 * MISSED_CLOUD) | (chance > 0.9) | (angle > 55)
        return value, _lst_quality(is_hidden, is_outside, is_doubtful, angle)


def _lst_quality(hidden: Bools, outside: Bools, doubtful: Bools, angle: Floats) -> Bytes:
    """Return the MOD11A1 QC byte: 0 is best, 2 cloud, 3 other reason, 1 look at the rest."""
    steep = (angle > 55).astype(np.uint8)
    error = np.uint8(0b01000000) + steep * np.uint8(0b01000000)
    quality = np.where(doubtful, np.uint8(0b00010001) | error, np.uint8(0))
    quality = np.where(hidden, np.uint8(2), quality)
    return np.where(outside, np.uint8(3), quality).astype(np.uint8)


class AlbedoSensor(Sensor):
    """Shortwave albedo like MCD43: a running inversion that clouds starve, with its quality."""

    def __init__(self, seed: int, lon: ArrayLike, lat: ArrayLike) -> None:
        super().__init__(seed, lon, lat)
        self._bias = np.float32(0.006) * self.pattern("albedo-bias", 150.0)
        self._seen = np.empty(0, np.float32)
        self._wsa = np.empty(0, np.float32)
        self._bsa = np.empty(0, np.float32)
        self._band7 = np.empty(0, np.float32)

    def observe(self, state: DayState) -> AlbedoView:
        """Return the albedo of one day; days must be fed in order.

        The inversion holds what clear days showed, the latest with most weight; a run of cloud
        lowers the quality until nothing is delivered. It starts anew on the first day that it is
        fed and on every 1 January, so that a year is the same made alone or after another one.
        """
        number, clear = int(state.day.astype(int)), ~state.cloud_day
        if not self._seen.size or day_of_year(state.day) == 1:
            self._seen = np.full(self.lon.size, 0.5, np.float32)
            self._wsa, self._bsa = state.albedo_wsa.copy(), state.albedo_bsa.copy()
            self._band7 = state.reflectance[6].copy()
        weight = clear * np.float32(0.4)
        self._wsa = self._wsa + weight * (state.albedo_wsa - self._wsa)
        self._bsa = self._bsa + weight * (state.albedo_bsa - self._bsa)
        self._band7 = self._band7 + weight * (state.reflectance[6] - self._band7)
        self._seen = self._seen + (clear - self._seen) * np.float32(0.12)
        noise = self._bias + np.float32(0.009) * self.normal("albedo", number)
        steps = [self._seen < np.float32(limit) for limit in (0.42, 0.27, 0.15, 0.08)]
        is_lost = steps[-1]
        quality = sum((below.astype(np.uint8) for below in steps), np.zeros_like(is_lost, np.uint8))
        lost = np.float32(np.nan)
        return AlbedoView(
            np.where(is_lost, lost, np.clip(self._wsa + noise, 0.01, 0.98)),
            np.where(is_lost, lost, np.clip(self._bsa + noise, 0.01, 0.98)),
            np.where(is_lost, lost, np.clip(self._band7 + noise, 0.01, 0.98)),
            quality,
        )
