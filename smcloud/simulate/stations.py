"""In situ networks of the simulated Earth: where they stand, what their probes deliver.

A probe measures the column under it, not its pixel. Most sites resemble their pixel; the others
have another soil, another depth, irrigation of their own or the rain of another slope. On top come
the faults of probes: gain and offset, noise, drift, heat, outages, spikes, readings that freeze,
and the flags with which ISMN marks some of them (Dorigo et al. 2013, Vadose Zone J. 12;
Dorigo et al. 2021, Hydrol. Earth Syst. Sci. 25, 5749-5804).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from smcloud.grids.grid import EARTH_RADIUS_M, SIN1KM
from smcloud.simulate.noise import (
    Doubles,
    Floats,
    Hashes,
    fractal,
    mix,
    normal_of,
    pixel_hash,
    pixel_keys,
    sphere,
    stream,
    uniform_of,
)
from smcloud.simulate.records import Bools, DayState, Ground, Station, StationSeries
from smcloud.simulate.world import Earth

Accept = Callable[[Doubles, Doubles], NDArray[np.bool_]]
Bounds = tuple[float, float, float, float]
"""West, south, east, north in degrees."""

GLOBE: Bounds = (-180.0, -38.0, 180.0, 62.0)
"""Where networks stand by default."""
FLAGS = ("C01", "C02", "C03", "D01", "D06", "D09", "M")
"""Names of the flag bits, lowest first."""
BELOW_ZERO, ABOVE_60, ABOVE_FULL, FROZEN, SPIKE, STUCK, MISSING = (1 << k for k in range(7))
UNREPRESENTATIVE_SHARE = 0.35
_SITE_DRAWS = ("keep", "pore", "root", "slope", "leaf")
_NAMES = ("ARDEN", "BOREAL", "CALDERA", "DELTA", "ESTEPA", "FJELL", "GARUA", "HAMADA")
PROBES = ("ThetaProbe-ML2X", "Hydraprobe-II-Sdi-12", "5TM", "CS616-A")


def place_stations(
    seed: int,
    count: int,
    accept: Accept,
    *,
    bounds: Bounds | None = None,
    per_network: int = 10,
    reach_degrees: float = 1.2,
) -> tuple[Station, ...]:
    """Return `count` stations on accepted places, in networks about common centres.

    Parameters
    ----------
    accept
        Says for longitudes and latitudes (degrees) whether a station may stand there: land.
    bounds
        West, south, east, north; the inhabited globe by default.
    per_network, reach_degrees
        Stations of a network, and how far they lie from its centre at most.

    Raises
    ------
    ValueError
        If too few places are accepted within the bounds.
    """
    west, south, east, north = bounds or GLOBE
    rng = np.random.Generator(np.random.PCG64(stream(seed, "stations")))
    limit = np.sin(np.deg2rad([south, north]))
    stations: list[Station] = []
    for attempt in range(200 + 40 * count):
        lat = np.rad2deg(np.arcsin(rng.uniform(limit[0], limit[1])))
        lon = rng.uniform(west, east)
        # Drawn within the bounds, not clipped to them: clipping heaps stations up in the corners.
        share = rng.uniform(0.0, 1.0, (2, 4 * per_network))
        lons = _between(max(west, lon - reach_degrees), min(east, lon + reach_degrees), share[0])
        lats = _between(max(south, lat - reach_degrees), min(north, lat + reach_degrees), share[1])
        wanted = min(per_network, count - len(stations))
        good = np.flatnonzero(accept(lons, lats))[:wanted]
        if good.size < wanted:
            continue
        stations += _network(seed, attempt, len(stations) // per_network, lons[good], lats[good])
        if len(stations) == count:
            return tuple(stations)
    raise ValueError(
        f"expected {count} stations within {bounds or GLOBE}, found accepted places for "
        f"{len(stations)}: widen the bounds or ask for fewer"
    )


def _between(low: float, high: float, share: Doubles) -> Doubles:
    return low + (high - low) * share


def _network(seed: int, salt: int, index: int, lon: Doubles, lat: Doubles) -> list[Station]:
    """Return the stations of one network."""
    luck = mix(np.array([stream(seed, "networks") ^ salt], np.uint32))
    name = f"{_NAMES[index % len(_NAMES)]}{index // len(_NAMES) + 1:02d}"
    style = "old" if index % 5 == 2 else "new"
    probe = PROBES[int(luck[0]) % len(PROBES)]
    depths = (0.05, 0.05) if int(luck[0]) & 64 else (0.0, 0.05)
    lon = np.round(np.mod(lon + 180.0, 360.0) - 180.0, 5)
    lat = np.round(lat, 5)
    heights = Earth(seed).elevation(lon, lat)
    odd = _uniform(seed, "representative", lon, lat) < UNREPRESENTATIVE_SHARE
    return [
        Station(
            name,
            f"{name.title()}-{k + 1:02d}",
            float(lon[k]),
            float(lat[k]),
            round(float(heights[k]), 1),
            *depths,
            probe,
            style,
            not bool(odd[k]),
        )
        for k in range(lon.size)
    ]


def _uniform(seed: int, name: str, lon: Doubles, lat: Doubles) -> Floats:
    return uniform_of(pixel_hash(pixel_keys(lon, lat), stream(seed, f"station-{name}")))


def _normal(seed: int, name: str, lon: Doubles, lat: Doubles) -> Floats:
    return normal_of(pixel_hash(pixel_keys(lon, lat), stream(seed, f"station-{name}")))


def site_ground(earth: Earth, stations: Sequence[Station]) -> Ground:
    """Return the true ground under each probe."""
    lon = np.array([s.longitude for s in stations])
    lat = np.array([s.latitude for s in stations])
    ground = earth.ground(lon, lat)
    is_odd = np.array([not s.is_representative for s in stations])
    draw = {name: _normal(earth.seed, name, lon, lat) for name in _SITE_DRAWS}
    size = np.where(is_odd, np.float32(1.0), np.float32(0.2))
    keep = np.exp(np.float32(0.30) * size * draw["keep"])
    pore = np.exp(np.float32(0.10) * size * draw["pore"])
    porosity = np.clip(ground.porosity * pore, 0.28, 0.75)
    capacity = np.minimum(ground.field_capacity * keep, np.float32(0.85) * porosity)
    wilting = np.minimum(ground.wilting_point * keep, np.float32(0.65) * capacity)
    root = ground.root_depth_mm * np.exp(np.float32(0.5) * size * draw["root"])
    rain = ground.rain_factor * np.exp(np.float32(0.2) * size * draw["slope"])
    scatter = np.float32(0.35) + np.float32(0.5) * is_odd + _of_sites(stations, "rain_scatter")
    leaves = ground.leaf_density * np.exp(np.float32(0.5) * size * draw["leaf"])
    watered = _uniform(earth.seed, "watered", lon, lat)
    gardens = np.array([s.site.is_watered for s in stations])
    flips = is_odd & (watered < np.float32(0.12))
    return replace(
        ground,
        porosity=porosity.astype(np.float32),
        field_capacity=capacity.astype(np.float32),
        wilting_point=wilting.astype(np.float32),
        root_depth_mm=np.clip(root, 150.0, 2000.0).astype(np.float32),
        rain_factor=rain.astype(np.float32),
        rain_scatter=scatter.astype(np.float32),
        leaf_density=np.clip(leaves, 0.05, 1.5).astype(np.float32),
        is_irrigated=(ground.is_irrigated ^ flips) | gardens,
    )


def _of_sites(stations: Sequence[Station], name: str) -> Floats:
    return np.array([getattr(station.site, name) for station in stations], np.float32)


class ProbeDay(NamedTuple):
    """What all probes deliver of one day."""

    day: np.datetime64
    values: Floats
    """(24, n) m3 m-3, also where flagged; NaN where missing."""
    flags: NDArray[np.uint8]
    """(24, n) bits in the order of `FLAGS`; 0 is good."""


class Probes:
    """The probes of some stations, with their lasting faults."""

    def __init__(self, seed: int, stations: Sequence[Station], porosity: Floats) -> None:
        lon = np.array([s.longitude for s in stations])
        lat = np.array([s.latitude for s in stations])
        self.seed = seed
        self.keys = pixel_keys(lon, lat)
        self._porosity = porosity
        self._gain = 1 + np.float32(0.07) * _normal(seed, "gain", lon, lat)
        self._gain = self._gain * _of_sites(stations, "gain")
        self._offset = np.float32(0.016) * _normal(seed, "offset", lon, lat)
        self._offset = self._offset + _of_sites(stations, "offset")
        self._depth_share = _of_sites(stations, "depth_share")
        self._unrest = _of_sites(stations, "unrest")
        self._points = sphere(lon, lat)
        self._noise = np.float32(0.004) + np.float32(0.004) * _uniform(seed, "noise", lon, lat)
        drifts = _uniform(seed, "drifts", lon, lat) < 0.2
        self._drift = np.where(drifts, np.float32(0.012), 0) * _normal(seed, "drift", lon, lat)

    def _hourly(self, name: str, number: int) -> Hashes:
        hours = np.arange(24, dtype=np.uint32)[:, None] * np.uint32(0x9E3779B1)
        today = pixel_hash(self.keys, stream(self.seed, f"probe-{name}"), number)
        return mix(today[None, :] ^ hours)

    def observe(self, state: DayState) -> ProbeDay:
        """Return the hourly readings and flags of a day."""
        number = int(state.day.astype(int))
        truth = hourly_moisture(state)
        truth = truth + self._depth_share * (state.root_moisture - truth)
        years = np.float32((number - 17167) / 365.25)  # 2017-01-01: drift counts from there
        heat = np.sin(np.arange(24, dtype=np.float32) * np.float32(np.pi / 12) - 2)[:, None]
        hashes = self._hourly("noise", number)
        value = self._gain * truth + self._offset + self._drift * years
        value = value + self._noise * normal_of(hashes) + np.float32(0.003) * heat
        value = value + self._unrest * self._restless(number)
        cold = state.is_frozen
        value = np.where(cold, np.float32(0.35) * value, value)
        flags = np.where(cold, np.uint8(FROZEN), np.uint8(0)) + np.zeros_like(value, np.uint8)
        value, flags = self._faults(value, flags, number)
        flags = flags | (value < 0) * np.uint8(BELOW_ZERO)
        flags = flags | (value > 0.6) * np.uint8(ABOVE_60)
        flags = flags | (value > self._porosity) * np.uint8(ABOVE_FULL)
        gone = self._is_missing(number)
        return ProbeDay(
            state.day,
            np.where(gone, np.float32(np.nan), value).astype(np.float32),
            np.where(gone, np.uint8(MISSING), flags).astype(np.uint8),
        )

    def _restless(self, number: int) -> Floats:
        """Return standard normal noise (n,) that lasts for about three weeks."""
        key = stream(self.seed, "probe-unrest")
        return fractal(key, self._points, 2.0, 1, time=number, lifetime=20.0)

    def _faults(
        self, value: Floats, flags: NDArray[np.uint8], number: int
    ) -> tuple[Floats, NDArray[np.uint8]]:
        """Return readings with spikes (four in five flagged) and stuck days put in."""
        luck = uniform_of(self._hourly("spike", number))
        spikes = luck < np.float32(8e-4)
        value = value + np.where(spikes, (luck * np.float32(2500.0) - 1) * np.float32(0.25), 0)
        flags = flags | (spikes & (luck > np.float32(1.6e-4))) * np.uint8(SPIKE)
        stuck = self._spell("stuck", number, 11) < np.float32(0.004)
        value = np.where(stuck, value[:1], value)
        return value, flags | stuck * np.uint8(STUCK)

    def _is_missing(self, number: int) -> Bools:
        """Return True where nothing was recorded: outages of days and weeks, and single hours."""
        long = self._spell("outage", number, 45) < np.float32(0.06)
        short = self._spell("outage-short", number, 4) < np.float32(0.03)
        hours = uniform_of(self._hourly("lost", number)) < np.float32(0.01)
        return hours | long | short

    def _spell(self, name: str, number: int, days: int) -> Floats:
        """Return uniform numbers that stay for `days` days; every probe changes on its own day."""
        own = self.keys % np.uint32(days)
        spell = (np.int64(number) + own.astype(np.int64)) // days
        key = stream(self.seed, f"probe-{name}")
        return uniform_of(mix(pixel_hash(self.keys, key) ^ mix(spell.astype(np.uint32))))


def hourly_moisture(state: DayState) -> Floats:
    """Return the true 0-5 cm moisture at 00 to 23 UTC of a day, (24, n).

    It runs from the start to the end of the day: steadily when dry, within two hours about
    `rain_hour` on a wet day.
    """
    hour = np.arange(24, dtype=np.float32)[:, None]
    rise = np.clip((hour - state.rain_hour) / np.float32(2.0) + np.float32(0.5), 0, 1)
    share = np.where(state.rain_mm > 0.5, rise, (hour + np.float32(0.5)) / np.float32(24.0))
    change = state.soil_moisture_end - state.soil_moisture_start
    return state.soil_moisture_start + change * share


@dataclass(frozen=True)
class Record:
    """What all probes of some stations delivered, and the truth of their pixels.

    Attributes
    ----------
    days : datetime64[D] array (days,)
    values : float array (24 * days, n)
        m3 m-3, also where flagged; NaN where missing.
    flags : uint8 array (24 * days, n)
        Bits in the order of `FLAGS`; 0 is good.
    pixel : float array (days, n)
        True mean of the day in the 1 km pixel, m3 m-3.
    """

    days: NDArray[np.datetime64]
    values: Floats
    flags: NDArray[np.uint8]
    pixel: Floats

    def of(self, stations: Sequence[int]) -> "Record":
        """Return the record of some of the stations, by their numbers."""
        own = np.asarray(stations, np.intp)
        return Record(self.days, self.values[:, own], self.flags[:, own], self.pixel[:, own])


def observe_daily(
    earth: Earth, stations: Sequence[Station], days: NDArray[np.datetime64]
) -> Iterator[ProbeDay]:
    """Yield what all probes deliver, day by day."""
    for day, _ in _observe(earth, stations, days):
        yield day


def observe_all(earth: Earth, stations: Sequence[Station], days: NDArray[np.datetime64]) -> Record:
    """Return what all probes deliver in some days, and the truth of their pixels."""
    pairs = list(_observe(earth, stations, days))
    return Record(
        np.asarray(days).astype("datetime64[D]"),
        np.concatenate([day.values for day, _ in pairs]),
        np.concatenate([day.flags for day, _ in pairs]),
        np.stack([pixel for _, pixel in pairs]),
    )


def _observe(
    earth: Earth, stations: Sequence[Station], days: NDArray[np.datetime64]
) -> Iterator[tuple[ProbeDay, Floats]]:
    """Yield readings and pixel truth (n,); sites and pixels are stepped together."""
    site, count = site_ground(earth, stations), len(stations)
    probes = Probes(earth.seed, stations, site.porosity)
    lon, lat = station_pixel_centres(stations)
    both_lon = np.concatenate([[s.longitude for s in stations], lon])
    both_lat = np.concatenate([[s.latitude for s in stations], lat])
    ground = site.joined(earth.ground(lon, lat))
    for state in earth.run(both_lon, both_lat, days, ground=ground):
        yield probes.observe(state.part(slice(0, count))), state.soil_moisture[count:]


def station_pixel_centres(stations: Sequence[Station]) -> tuple[Doubles, Doubles]:
    """Return longitude and latitude of the centres of the stations' 1 km pixels, degrees."""
    lon = np.array([s.longitude for s in stations])
    lat = np.array([s.latitude for s in stations])
    row, column = SIN1KM.pixel_of(lon, lat)
    phi = SIN1KM.y[row] / EARTH_RADIUS_M
    return np.rad2deg(SIN1KM.x[column] / (EARTH_RADIUS_M * np.cos(phi))), np.rad2deg(phi)


def measure(
    earth: Earth, stations: Sequence[Station], days: NDArray[np.datetime64]
) -> Iterator[StationSeries]:
    """Yield the hourly record of each station, in the order given."""
    yield from hourly_series(observe_all(earth, stations, days), stations)


def hourly_series(record: Record, stations: Sequence[Station]) -> Iterator[StationSeries]:
    """Yield the hourly record of each station, in the order given, as its network delivers it.

    In the old style good values carry U and missing hours have no row; in the new style good
    values carry G and missing hours are rows of NaN with flag M.
    """
    hours = (record.days.astype("datetime64[h]")[:, None] + np.arange(24)).ravel()
    for k, station in enumerate(stations):
        flags = record.flags[:, k]
        keep = flags != MISSING if station.style == "old" else np.ones(hours.size, bool)
        # Words of this series alone: the width of a text array is that of its longest word.
        codes, which = np.unique(flags[keep], return_inverse=True)
        words = _flag_words("U" if station.style == "old" else "G")[codes].tolist()
        yield StationSeries(station, hours[keep], record.values[keep, k], np.array(words)[which])


def _flag_words(good: str) -> NDArray[np.str_]:
    """Return the text of every combination of flag bits."""
    texts = [",".join(n for bit, n in enumerate(FLAGS) if code >> bit & 1) for code in range(128)]
    texts[0] = good
    return np.array(texts)
