"""Climate and daily weather on a quarter-degree lattice, and its interpolation to any pixel.

Weather lives at the nodes of one global lattice, as a function of (seed, node, day) alone; pixels
interpolate bilinearly between their four nodes. So two pixels of one place agree whatever else
was asked for with them, and there is no seam at tiles or at the dateline.

Storms are noise that turns with the sphere as a solid body (eastward in middle latitudes,
westward in the tropics; a shear would wind the pattern up over the years) and changes with time.
It rains where the noise exceeds the quantile that the wet-day frequency of place and season
sets, and the amount is the exponential quantile above it (exponential daily amounts: Richardson
1981, Water Resour. Res. 17, 182-190). Cloud is the same noise with a lower threshold.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import ndtr, ndtri

from smcloud.simulate.noise import Doubles, Floats, fractal, sphere, stream

NODE_DEGREES = 0.25
_COLUMNS = int(360 / NODE_DEGREES)
_ROWS = int(180 / NODE_DEGREES) + 1
TEXTURES = 4
"""Number of fixed kilometre-scale patterns that daily weights blend into cloud and rain cells."""

_RAIN_LATITUDES = [0, 8, 15, 22, 30, 38, 46, 55, 65, 75, 90]
_RAIN_MM_YEAR = [2000, 1700, 1050, 620, 520, 700, 850, 750, 480, 260, 120]


class Normals(NamedTuple):
    """Climate of places: what does not change from year to year (one value per place)."""

    mean_temperature_c: Floats
    """Annual mean at sea level."""
    temperature_swing_c: Floats
    """Half the range between the warmest and the coldest month."""
    rain_mm_year: Floats
    rain_season: Floats
    """-1 (all in the cold half of the year) to 1 (all in the warm half)."""
    aridity: Floats
    """Annual rain over annual potential evaporation."""


class Weather(NamedTuple):
    """Weather of one day at places; temperatures are those of sea level."""

    rain_mm: Floats
    temperature_c: Floats
    shortwave_mj: Floats
    """Surface solar radiation, MJ m-2 day-1."""
    cover_day: Floats
    """Cloud cover at the morning overpass, 0 to 1."""
    texture_0: Floats
    """Weights of the kilometre-scale patterns of the day, together of unit variance."""
    texture_1: Floats
    texture_2: Floats
    texture_3: Floats


class Sky(NamedTuple):
    """The rest of the weather of a day: what the water balance does not need."""

    temperature_range_k: Floats
    cover_night: Floats
    rain_hour: Floats
    wind: Floats
    """Standard normal; strong wind brings skin and air temperature together."""


@dataclass(frozen=True)
class Lattice:
    """The nodes about some pixels, and the weights that bring node values to the pixels."""

    lon: Doubles
    lat: Doubles
    weights: csr_matrix

    @classmethod
    def about(cls, lon: Doubles, lat: Doubles) -> "Lattice":
        """Return the lattice nodes that pixels at `lon`, `lat` (degrees) need."""
        x = np.mod(np.asarray(lon, np.float64) + 180.0, 360.0) / NODE_DEGREES
        y = (90.0 - np.asarray(lat, np.float64)) / NODE_DEGREES
        column = np.floor(x).astype(np.int64)
        row = np.minimum(np.floor(y).astype(np.int64), _ROWS - 2)
        fx, fy = (x - column).astype(np.float32), (y - row).astype(np.float32)
        east = (column + 1) % _COLUMNS
        corners = [row * _COLUMNS + column, row * _COLUMNS + east]
        corners += [corner + _COLUMNS for corner in corners]
        parts = [(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy]
        nodes, local = np.unique(np.stack(corners, axis=1), return_inverse=True)
        starts = np.arange(0, 4 * x.size + 1, 4, dtype=np.int32)
        weights = csr_matrix(
            (np.stack(parts, axis=1).ravel(), local.ravel().astype(np.int32), starts),
            shape=(x.size, nodes.size),
        )
        node_row, node_column = np.divmod(nodes, _COLUMNS)
        return cls(node_column * NODE_DEGREES - 180.0, 90.0 - node_row * NODE_DEGREES, weights)

    def part(self, part: slice) -> "Lattice":
        """Return the lattice of some of the pixels."""
        return Lattice(self.lon, self.lat, self.weights[part])

    def to_pixels(self, fields: Floats) -> Floats:
        """Return node fields (k, nodes) at the pixels: (k, n) float32, contiguous."""
        return np.ascontiguousarray((self.weights @ np.ascontiguousarray(fields.T)).T)


def day_of_year(day: np.datetime64) -> int:
    """Return the day of the year of a datetime64[D], from 1."""
    return int((day - day.astype("datetime64[Y]").astype("datetime64[D]")).astype(int)) + 1


def sun(lat: Doubles, doy: int) -> tuple[Doubles, Doubles]:
    """Return extraterrestrial radiation (MJ m-2 day-1) and cosine of the noon zenith angle.

    FAO Irrigation and Drainage Paper 56 (Allen et al. 1998), equations 21 to 25.
    """
    phi = np.deg2rad(lat)
    angle = 2.0 * np.pi * doy / 365.0
    declination = 0.409 * np.sin(angle - 1.39)
    half_day = np.arccos(np.clip(-np.tan(phi * 0.99999) * np.tan(declination), -1.0, 1.0))
    vertical = np.sin(phi) * np.sin(declination)
    level = np.cos(phi) * np.cos(declination)
    daily = (
        37.586 * (1.0 + 0.033 * np.cos(angle)) * (half_day * vertical + level * np.sin(half_day))
    )
    return np.maximum(daily, 0.0), np.clip(vertical + level, 0.0, 1.0)


def warmth(lat: Doubles, doy: int) -> Doubles:
    """Return the phase of the year: 1 at the warmest, -1 at the coldest time of the hemisphere."""
    phase: Doubles = np.tanh(np.asarray(lat) / 8.0) * np.cos(2.0 * np.pi * (doy - 201) / 365.25)
    return phase


class Climate:
    """Climate normals and daily weather of one seed, at any places."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def _noise(
        self, name: str, points: Doubles, scale_km: float, octaves: int = 1, **more: float
    ) -> Floats:
        return fractal(stream(self.seed, name), points, scale_km, octaves, **more)

    def normals(self, lon: Doubles, lat: Doubles) -> Normals:
        """Return the climate normals of places (degrees)."""
        points, north = sphere(lon, lat), np.abs(lat)
        continental = self._noise("continental", points, 2500.0, 2)
        mean = 26.5 - 0.0081 * north**2 + 1.5 * self._noise("warm", points, 2000.0, 2)
        hemisphere = np.where(np.asarray(lat) < 0, 0.65, 1.0)
        swing = (1.0 + 0.26 * north * hemisphere) * np.exp(0.2 * continental)
        zonal = np.interp(north, _RAIN_LATITUDES, _RAIN_MM_YEAR)
        rain = zonal * np.exp(0.55 * self._noise("rainy", points, 1800.0, 3) - 0.15)
        rain = np.clip(rain, 40.0, 3500.0)
        tropics = np.exp(-((north / 24.0) ** 4))
        season = 0.75 * tropics + (1 - tropics) * (0.15 + 0.4 * continental)
        radiation = 0.55 * sum(sun(lat, doy)[0] for doy in range(15, 365, 61)) / 6.0
        demand = 365.0 * np.clip(0.4 + 0.013 * mean, 0.1, 0.8) * 0.6 * radiation / 2.45
        return Normals(
            mean.astype(np.float32),
            swing.astype(np.float32),
            rain.astype(np.float32),
            np.clip(season, -0.8, 0.9).astype(np.float32),
            (rain / np.maximum(demand, 60.0)).astype(np.float32),
        )

    def normals_at(self, lon: Doubles, lat: Doubles) -> Normals:
        """Return the climate normals of pixels, interpolated from the nodes as weather is."""
        lattice = Lattice.about(lon, lat)
        at_nodes = np.stack(self.normals(lattice.lon, lattice.lat))
        return Normals(*lattice.to_pixels(at_nodes))

    def storm(self, lon: Doubles, lat: Doubles, day: float, octaves: int = 4) -> Floats:
        """Return the standard normal storm index of places; high is wet and cloudy."""
        tropics = np.clip((32.0 - np.abs(lat)) / 14.0, 0.0, 1.0).astype(np.float32)
        out = np.zeros(np.size(lon), np.float32)
        for name, share, drift in (("mid", 1.0 - tropics, 7.5), ("tropic", tropics, -4.5)):
            where = share > 0
            turned = sphere(lon[where] - drift * day, lat[where])
            moving = self._noise(
                f"storm-{name}", turned, 1100.0, octaves, persistence=0.62, time=day, lifetime=3.0
            )
            out[where] += np.sqrt(share[where]) * moving
        spell = self._noise("spell", sphere(lon, lat), 1700.0, time=day, lifetime=30.0)
        return np.float32(0.88) * out + np.float32(0.475) * spell

    def rain(
        self, storm: Floats, normals: Normals, lat: Doubles, doy: int
    ) -> tuple[Floats, Floats]:
        """Return rain (mm day-1) and the storm index above which it rains."""
        phase = warmth(lat, doy)
        mean = normals.rain_mm_year / 365.0 * (1.0 + normals.rain_season * phase)
        temperature = normals.mean_temperature_c + normals.temperature_swing_c * phase
        intensity = 3.0 + 9.0 / (1.0 + np.exp(-(temperature - 14.0) / 6.0))
        wet = np.clip(mean / intensity, 0.004, 0.7)
        exceed = np.maximum(ndtr(-storm.astype(np.float64)), 1e-6)
        amount = mean / wet * np.maximum(np.log(wet / exceed), 0.0)
        return np.minimum(amount, 150.0).astype(np.float32), (-ndtri(wet)).astype(np.float32)

    def temperature(
        self, lon: Doubles, lat: Doubles, normals: Normals, day: int, doy: int
    ) -> Floats:
        """Return the mean air temperature (degree Celsius, sea level) of a day."""
        north = np.abs(lat)
        anomaly = self._noise(
            "air", sphere(lon - 6.0 * day, lat), 1300.0, 2, time=day, lifetime=4.0
        )
        spread = 1.2 + 3.8 * np.clip((north - 12.0) / 30.0, 0.0, 1.0)
        season = normals.temperature_swing_c * warmth(lat, doy)
        return (normals.mean_temperature_c + season + spread * anomaly).astype(np.float32)

    def weather(
        self, lattice: Lattice, normals: Normals, day: np.datetime64
    ) -> tuple[Weather, Sky]:
        """Return the weather of one day at the nodes of a lattice."""
        number, doy = int(day.astype(int)), day_of_year(day)
        lon, lat, points = lattice.lon, lattice.lat, sphere(lattice.lon, lattice.lat)
        storm = self.storm(lon, lat, number)
        rain, threshold = self.rain(storm, normals, lat, doy)
        cover = _cover(storm, threshold)
        change = self._noise("night", points, 500.0, time=number)
        night = _cover(np.float32(0.85) * storm + np.float32(0.53) * change, threshold)
        dry = 1.0 / (1.0 + normals.aridity)
        temperature = self.temperature(lon, lat, normals, number, doy)
        temperature += np.where(temperature > 5.0, -2.5, 1.5).astype(np.float32) * (cover - 0.5)
        hour = 12.0 + 5.0 * self._noise("hour", points, 500.0, time=number)
        # Convection peaks near 16 h local time; the further poleward, the less it matters.
        local = np.mod(16.0 - lon / 15.0, 24.0)
        hour = np.where(np.abs(lat) < 30.0, local + 0.4 * (hour - 12.0), hour)
        textures = [
            self._noise(f"cell-{k}", points, 350.0, time=number) / np.sqrt(TEXTURES)
            for k in range(TEXTURES)
        ]
        shortwave = sun(lat, doy)[0] * (0.76 - 0.54 * cover)
        spread = (5.0 + 8.0 * (1.0 - cover)) * (0.7 + 0.8 * dry)
        wind = self._noise("wind", points, 700.0, time=number)
        return (
            Weather(rain, temperature, shortwave.astype(np.float32), cover, *textures),
            Sky(spread.astype("f4"), night, np.clip(hour, 1.0, 23.0).astype("f4"), wind),
        )


def _cover(storm: Floats, threshold: Floats) -> Floats:
    """Return cloud cover, 0 to 1: overcast where it rains, thinning out over 1.6 units below."""
    excess = storm - np.float32(0.55) * threshold
    return (1.0 / (1.0 + np.exp(-3.2 * excess))).astype(np.float32)
