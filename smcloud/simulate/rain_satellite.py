"""Precipitation as satellites see it: of the simulated Earth's storms, with errors of its own.

A merged product such as IMERG misses light rain and most snow, sees rain in clouds that give none,
and is wrong by a factor where it is right about the day (Tian et al. 2009, J. Geophys. Res. 114,
D24101, part such errors into hits, misses and false alarms). Besides there is a lasting bias of
the region. The figures are ours, chosen so that days of rain are found and amounts agree about as
they do against gauges: three wet days in four, a correlation of daily amounts of 0.5 to 0.8.
"""

import numpy as np
from scipy.special import ndtr

from smcloud.simulate.climate import Climate, Lattice, Normals, day_of_year
from smcloud.simulate.columns import LAPSE_K_PER_M
from smcloud.simulate.noise import Doubles, Floats, fractal, sphere, stream
from smcloud.simulate.records import Bools
from smcloud.simulate.world import Earth

WET_MM = np.float32(0.1)
"""Less is no rain, in truth and product alike."""
LASTING_BIAS, DAILY_ERROR = np.float32(0.18), np.float32(0.50)
"""Standard deviations of the logarithm of the factor between product and truth."""
SEEN_SHARE, LIGHT_MM = np.float32(0.96), np.float32(1.6)
"""Chance that heavy rain is seen, and the amount that has two thirds of it."""
FALSE_SHARE, FALSE_MM = np.float32(0.30), np.float32(2.2)
"""Chance of rain from an overcast sky without any, and its mean amount."""
SNOW_C = np.float32(1.0)
SNOW_SEEN, SNOW_CAUGHT = np.float32(0.35), np.float32(0.6)
"""What snow leaves of the chance, and of the amount."""


class RainSatellite:
    """A merged satellite product of daily precipitation at some places."""

    def __init__(self, seed: int, lon: Doubles, lat: Doubles) -> None:
        self.seed, self.climate = seed, Climate(seed)
        self.lattice = Lattice.about(lon, lat)
        self.normals: Normals = self.climate.normals(self.lattice.lon, self.lattice.lat)
        self._points = sphere(self.lattice.lon, self.lattice.lat)
        self._cooler = LAPSE_K_PER_M * Earth(seed).elevation(lon, lat)
        self._lasting = LASTING_BIAS * self._noise("bias", 900.0)

    def _noise(self, name: str, scale_km: float, day: int = 0) -> Floats:
        """Return standard normal noise at the nodes of the lattice, new each day."""
        return fractal(stream(self.seed, f"imerg-{name}"), self._points, scale_km, 1, time=day)

    def observe(self, day: np.datetime64) -> Floats:
        """Return the precipitation of a UTC day (mm, n), rain and snow."""
        return self.observed_and_true(day)[0]

    def observed_and_true(self, day: np.datetime64) -> tuple[Floats, Floats]:
        """Return what is seen and what falls on average about each place (mm, n)."""
        number, doy = int(day.astype(int)), day_of_year(day)
        lon, lat = self.lattice.lon, self.lattice.lat
        storm = self.climate.storm(lon, lat, number)
        rain, threshold = self.climate.rain(storm, self.normals, lat, doy)
        air = self.climate.temperature(lon, lat, self.normals, number, doy)
        # How far the storm is from giving rain: clouds that look like rain are near it.
        excess = (storm - threshold).astype(np.float32)
        factor = self._lasting + DAILY_ERROR * self._noise("factor", 180.0, number)
        lucks = self._noise("missed", 60.0, number), self._noise("false", 60.0, number)
        fields = self.lattice.to_pixels(np.stack([rain, air, excess, factor, *lucks]))
        fallen, air, excess, factor, missed, false = fields
        is_snow = air - self._cooler < SNOW_C
        seen = _hits(fallen, missed, factor, is_snow)
        alarms = _alarms(excess, false)
        seen = np.where(fallen < WET_MM, alarms, seen)
        return np.where(seen < WET_MM, np.float32(0), seen).astype(np.float32), fallen


def _hits(fallen: Floats, luck: Floats, factor: Floats, is_snow: Bools) -> Floats:
    """Return what is seen of rain and snow that falls."""
    chance = SEEN_SHARE * (1 - np.exp(-fallen / LIGHT_MM))
    chance = np.where(is_snow, SNOW_SEEN * chance, chance)
    spread = (LASTING_BIAS**2 + DAILY_ERROR**2) / 2
    amount = fallen * np.exp(factor - spread)
    amount = np.where(is_snow, SNOW_CAUGHT * amount, amount)
    seen: Floats = np.where(ndtr(luck) < chance, amount, np.float32(0))
    return seen


def _alarms(excess: Floats, luck: Floats) -> Floats:
    """Return rain that is seen where none falls, the likelier the nearer the storm is to it."""
    chance = FALSE_SHARE * np.exp(np.float32(1.2) * np.minimum(excess, 0))
    share = ndtr(luck) / np.maximum(chance, np.float32(1e-6))
    amount: Floats = -FALSE_MM * np.log(np.clip(share, np.float32(1e-4), np.float32(1)))
    return amount
