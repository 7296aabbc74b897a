"""A reanalysis of the simulated Earth: wrong in its own ways, and blind to the truth.

It shares with the truth what a weather model shares with reality, the large pattern of storms and
the run of temperature, both displaced and mixed with patterns of its own. Its soil, its
vegetation and its water balance are other code with other numbers: one texture class per
region, two layers (0-7 cm, and what is below), no irrigation, no relief finer than its grid.
Layers and conventions are those of ERA5-Land (Munoz-Sabater et al. 2021, Earth Syst. Sci. Data
13, 4349-4383); the soil classes are those of H-TESSEL (Balsamo et al. 2009, J. Hydrometeorol.
10, 623-643, table 2).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smcloud.simulate.climate import Climate, Lattice, Normals, day_of_year, sun, warmth
from smcloud.simulate.noise import Doubles, Floats, fractal, sphere, stream
from smcloud.simulate.records import ReanalysisDay
from smcloud.simulate.surface import Surface

SPIN_UP_DAYS = 245
TOP_MM = np.float32(70.0)
BELOW_MM = np.float32(700.0)
_CLASSES = np.array(
    [
        # saturation, field capacity, wilting point, m3 m-3: coarse .. very fine
        [0.403, 0.244, 0.059],
        [0.439, 0.347, 0.151],
        [0.430, 0.383, 0.133],
        [0.520, 0.448, 0.279],
        [0.614, 0.541, 0.335],
    ],
    np.float32,
)
_HOURS = np.arange(24, dtype=np.float32)[:, None]


@dataclass(frozen=True)
class _Places:
    """What does not change of the nodes."""

    lon: Doubles
    lat: Doubles
    lattice: Lattice
    normals: Normals
    height_m: Floats
    soil: Floats
    """(3, n): saturation, field capacity, wilting point."""
    leaf: Floats
    """Greatest green cover."""
    wetness: Floats
    """Ratio of its rain to the climate's."""


@dataclass
class _Soil:
    """What one day hands to the next; mm and degrees Celsius."""

    top_mm: Floats
    below_mm: Floats
    snow_mm: Floats
    ground_c: Floats


class Reanalysis:
    """Hourly fields of a reanalysis of one seed, at any nodes of its 0.1 degree grid.

    Models of different words make different errors: another soil, rain and air of their own.
    """

    def __init__(self, seed: int, word: str = "reanalysis") -> None:
        self.seed, self.word = seed, word
        self.climate = Climate(seed)

    def _noise(self, name: str, points: Doubles, scale_km: float, **more: float) -> Floats:
        return fractal(stream(self.seed, f"{self.word}-{name}"), points, scale_km, 2, **more)

    def run(
        self, lon: ArrayLike, lat: ArrayLike, days: NDArray[np.datetime64]
    ) -> Iterator[ReanalysisDay]:
        """Yield the hourly fields of each asked day at nodes (degrees, 1-D), in order.

        As the truth does, every calendar year starts `SPIN_UP_DAYS` before 1 January.
        """
        wanted = np.asarray(days).astype("datetime64[D]")
        places = self._places(np.asarray(lon, np.float64), np.asarray(lat, np.float64))
        years = wanted.astype("datetime64[Y]")
        for year in np.unique(years):
            yield from self._year(places, wanted[years == year])

    def _places(self, lon: Doubles, lat: Doubles) -> _Places:
        """Return the static fields of the model at nodes."""
        points, lattice = sphere(lon, lat), Lattice.about(lon, lat)
        nodes = self.climate.normals(lattice.lon, lattice.lat)
        pick = np.clip(np.floor(1.6 + 1.0 * self._noise("soil", points, 400.0)), 0, 4).astype(int)
        # Its relief is that of its grid box: five points stand for the mean of 0.1 degree.
        surface = Surface(self.seed)
        shifts = ((0, 0), (0.03, 0.03), (0.03, -0.03), (-0.03, 0.03), (-0.03, -0.03))
        height = sum(surface.elevation(lon + dx, lat + dy) for dx, dy in shifts) / np.float32(5.0)
        normals = Normals(*lattice.to_pixels(np.stack(nodes)))
        leaf = np.clip(1 - np.exp(-1.1 * normals.aridity), 0.05, 0.9).astype(np.float32)
        wetness = np.exp(0.08 + 0.18 * self._noise("wetness", points, 500.0)).astype(np.float32)
        soil = np.ascontiguousarray(_CLASSES[pick].T)
        return _Places(lon, lat, lattice, nodes, height.astype("f4"), soil, leaf, wetness)

    def _year(self, places: _Places, wanted: NDArray[np.datetime64]) -> Iterator[ReanalysisDay]:
        """Yield the wanted days of one calendar year, from its own anchor."""
        first = wanted[0].astype("datetime64[Y]").astype("datetime64[D]")
        anchor = first - np.timedelta64(SPIN_UP_DAYS, "D")
        asked = set(wanted.astype(int).tolist())
        normals = Normals(*places.lattice.to_pixels(np.stack(places.normals)))
        wet = np.clip(0.2 + 0.4 * normals.aridity, 0.1, 0.95).astype(np.float32)
        mark = places.soil[2] + wet * (places.soil[1] - places.soil[2])
        cold = normals.mean_temperature_c - np.float32(0.0065) * places.height_m
        state = _Soil(TOP_MM * mark, BELOW_MM * mark, np.zeros_like(mark), cold)
        rain_before = np.zeros_like(mark)
        for day in np.arange(anchor, wanted[-1] + 1):
            rain, air, sky = self._weather(places, day)
            before = _Soil(state.top_mm, state.below_mm, state.snow_mm, state.ground_c)
            _balance(state, places, rain, air, sky, day)
            if int(day.astype(int)) in asked:
                yield _hours(places, before, state, rain, rain_before, air, sky, day)
            rain_before = rain

    def _weather(self, places: _Places, day: np.datetime64) -> tuple[Floats, Floats, Floats]:
        """Return rain (mm), mean air temperature (degree Celsius) and cloud cover of a day.

        The storm pattern is that of the truth without its finest octave, seen up to some 40 km
        away, and mixed with errors that belong to the model.
        """
        lattice, number, doy = places.lattice, int(day.astype(int)), day_of_year(day)
        points = sphere(lattice.lon, lattice.lat)
        shift = np.float32(0.30) * self._noise("shift", points, 900.0, time=number, lifetime=6.0)
        storm = self.climate.storm(lattice.lon + shift, lattice.lat - shift, number, octaves=3)
        own = self._noise("storm", points, 700.0, time=number, lifetime=2.0)
        storm = np.float32(0.80) * storm + np.float32(0.60) * own
        # Models drizzle: rain comes on more days than in reality, and less at a time.
        rain, threshold = self.climate.rain(storm, places.normals, lattice.lat, doy)
        drizzle = np.float32(1.2) * np.maximum(storm - threshold + np.float32(0.3), 0)
        air = self.climate.temperature(lattice.lon, lattice.lat, places.normals, number, doy)
        air += np.float32(0.6) + np.float32(0.9) * self._noise("air", points, 900.0, time=number)
        cover = 1.0 / (1.0 + np.exp(-3.0 * (storm - np.float32(0.55) * threshold)))
        fields = np.stack([np.float32(0.85) * rain + drizzle, air, cover.astype(np.float32)])
        rain, air, cover = lattice.to_pixels(fields)
        return rain * places.wetness, air - np.float32(0.0065) * places.height_m, cover


def _balance(
    state: _Soil, places: _Places, rain: Floats, air: Floats, cover: Floats, day: np.datetime64
) -> None:
    """Advance the model's own two layers by a day."""
    full, field, wilting = places.soil
    is_cold = air < 0.5
    fall = np.where(is_cold, rain, np.float32(0.0))
    melt = np.minimum(state.snow_mm, np.float32(4.0) * np.maximum(air, 0))
    state.snow_mm = np.minimum(state.snow_mm + fall - melt, np.float32(600.0))
    state.ground_c = state.ground_c + np.float32(0.25) / (1 + np.float32(0.04) * state.snow_mm) * (
        air + np.float32(0.5) - state.ground_c
    )
    doy = day_of_year(day)
    shine = sun(places.lat, doy)[0].astype(np.float32) * (
        np.float32(0.75) - np.float32(0.5) * cover
    )
    # Hargreaves-like demand: radiation times temperature (FAO-56, equation 52, in one constant).
    demand = np.float32(0.0135 / 2.45) * shine * np.maximum(air + np.float32(17.8), 0)
    demand = np.where(state.ground_c < 0, np.float32(0.1) * demand, demand)
    season = np.float32(0.65) + np.float32(0.35) * warmth(places.lat, doy).astype(np.float32)
    green = places.leaf * season
    theta, deep = state.top_mm / TOP_MM, state.below_mm / BELOW_MM
    ease = np.clip((theta - np.float32(0.5) * wilting) / (field - np.float32(0.5) * wilting), 0, 1)
    stress = np.clip((deep - wilting) / (field - wilting), 0, 1)
    top_loss = demand * ((1 - green) * ease + np.float32(0.25) * green * stress * ease)
    deep_loss = np.float32(0.75) * demand * green * stress
    water = (rain - fall + melt) * (1 - np.float32(0.35) * np.minimum(theta / full, 1))
    top = state.top_mm + water - np.minimum(top_loss, np.float32(0.4) * state.top_mm)
    surplus = np.float32(0.45) * np.maximum(top - TOP_MM * field, 0)
    spill = np.maximum(top - surplus - TOP_MM * full, 0)
    climb = np.float32(0.06) * (deep - theta) * TOP_MM
    state.top_mm = np.maximum(top - surplus - spill + climb, np.float32(1.0))
    below = state.below_mm + surplus + spill - climb - deep_loss
    below -= np.float32(0.06) * np.maximum(below - BELOW_MM * field, 0)
    state.below_mm = np.clip(below, np.float32(0.02) * BELOW_MM, BELOW_MM * full)


def _hours(
    places: _Places,
    before: _Soil,
    after: _Soil,
    rain: Floats,
    rain_before: Floats,
    air: Floats,
    cover: Floats,
    day: np.datetime64,
) -> ReanalysisDay:
    """Return the 24 hourly fields of a day from its two ends."""
    local = _HOURS + (places.lon / 15.0).astype(np.float32)[None, :]
    wave = np.cos((local - np.float32(15.0)) * np.float32(np.pi / 12.0))
    spread = np.float32(5.5) * (1 - np.float32(0.6) * cover)
    sunlit = np.maximum(np.cos((local - np.float32(13.0)) * np.float32(np.pi / 12.0)), 0)
    ease = np.clip(after.top_mm / (TOP_MM * places.soil[1]), 0, 1)
    shine = sun(places.lat, day_of_year(day))[0].astype(np.float32) * (1 - np.float32(0.65) * cover)
    warm = np.float32(0.45) * shine * (1 - np.float32(0.6) * ease) * sunlit
    t2m = air + spread * wave + np.float32(273.15)
    share = (_HOURS + 1) / np.float32(24.0)
    top = before.top_mm + (after.top_mm - before.top_mm) * share
    ground = before.ground_c + (after.ground_c - before.ground_c) * share
    # Rain falls evenly over the model day; the accumulation at 00 UTC is that of the day before.
    total = rain * (_HOURS / np.float32(24.0))
    total[0] = rain_before
    return ReanalysisDay(
        day=day,
        swvl1=(top / TOP_MM).astype(np.float32),
        stl1=ground + np.float32(0.4) * spread * np.roll(wave, 3, axis=0) + np.float32(273.15),
        skt=(t2m + warm - np.where(sunlit > 0, np.float32(0.0), 1.5 * (1 - cover))).astype("f4"),
        t2m=t2m.astype(np.float32),
        tp=(total / np.float32(1000.0)).astype(np.float32),
        snow_mm=after.snow_mm.astype(np.float32),
    )
