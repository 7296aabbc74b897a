"""Satellites that sense soil moisture: radiometers and a radar, with their gaps and their errors.

A radiometer measures the mean emission of a footprint (`emission`), and its retrieval believes in
leaves and temperatures that are not quite those of the Earth: so its error grows with vegetation,
follows the seasons and lasts for weeks, besides noise and interference. The radar measures
backscatter, which grows with the saturation of the soil, and relates it to its own driest and
wettest state (change detection: Wagner et al. 1999, Remote Sens. Environ. 70, 191-207; its units
are per cent). Leaves weaken and add to it, and in deserts echoes from below the dry surface turn
it upside down (Wagner et al. 2022, Hydrol. Earth Syst. Sci. 26, 3785-3807).

Nothing sees the moisture of the truth but through these models. Bits of the surface flag are those
of SPL3SMP (NSIDC data fields).
"""

from dataclasses import dataclass

import numpy as np

from smcloud.simulate.emission import FROZEN_MOISTURE, Channel, brightness, retrieve
from smcloud.simulate.footprints import Footprints
from smcloud.simulate.noise import Floats, fractal, sphere
from smcloud.simulate.records import Bools, WaterDay
from smcloud.simulate.sensors import Sensor
from smcloud.simulate.swath import Orbit, Swath
from smcloud.simulate.world import Earth

Words = np.typing.NDArray[np.uint16]

STATIC_WATER, COAST, URBAN, RAIN, SNOW = 1 << 0, 1 << 2, 1 << 3, 1 << 4, 1 << 5
FROZEN_MODEL, FROZEN_SEEN, MOUNTAIN, DENSE = 1 << 7, 1 << 8, 1 << 9, 1 << 10
DENSE_LEAF_WATER = np.float32(5.0)
"""kg m-2 above which retrievals are not recommended (SMAP)."""
LEAF_WATER_PER_AREA = np.float32(0.45)
"""kg m-2 of water for each unit of leaf area."""
STEM_WATER = np.float32(9.0)
"""kg m-2 of water in the wood of the densest forests."""
SNOW_MM = np.float32(5.0)
STEEP_DEGREE = np.float32(6.0)
INTERFERENCE_K = 14.0
"""Mean of the brightness that radio interference adds where it is heard."""


@dataclass(frozen=True)
class Pass:
    """One of the two daily passes of an instrument: its name, orbit and direction."""

    name: str
    orbit: Orbit
    is_ascending: bool

    @property
    def hour(self) -> float:
        """Return the local solar time of the pass."""
        orbit = self.orbit
        return orbit.ascending_hour if self.is_ascending else orbit.descending_hour


@dataclass(frozen=True)
class MicrowaveView:
    """What a sensor delivers of one pass; one value a cell."""

    soil_moisture: Floats
    """m3 m-3, or per cent of saturation from a radar; NaN where not retrieved."""
    surface: Words
    """Bits as in SPL3SMP; meaningful where seen."""
    is_seen: Bools
    """Within a swath."""
    is_attempted: Bools
    """Seen, and neither frozen, snowed in nor water."""
    leaf_water: Floats
    """kg m-2, as the retrieval believes."""


class FootprintSensor(Sensor):
    """What radiometers and radars have in common: cells, and the ground below."""

    def __init__(self, earth: Earth, name: str, cells: Footprints) -> None:
        super().__init__(earth.seed, cells.lon, cells.lat, name)
        self.cells = cells
        self.points = sphere(cells.lon, cells.lat)
        self.ground = earth.ground(cells.place_lon, cells.place_lat)
        aridity = earth.normals(cells.place_lon, cells.place_lat).aridity
        self.aridity: Floats = cells.mean(aridity)
        woods = self.ground.leaf_density * (1 - np.exp(np.float32(-1.3) * aridity))
        self.stems: Floats = STEM_WATER * np.clip((woods - np.float32(0.62)) / 0.3, 0, 1)
        steep = cells.mean(self.ground.slope_degree) > STEEP_DEGREE
        self.is_urban: Bools = self.pattern("urban", 30.0) > 2.2
        self._fixed = (
            (cells.land_share < np.float32(0.95)) * STATIC_WATER
            | (cells.land_share < 1) * COAST
            | self.is_urban * URBAN
            | steep * MOUNTAIN
        ).astype(np.uint16)
        self._swaths: dict[Pass, Swath] = {}
        self._utc: dict[float, Floats] = {}

    def drifting(self, name: str, scale_km: float, day: int, lifetime: float) -> Floats:
        """Return standard normal noise at the cells that lasts for about `lifetime` days."""
        return fractal(self.key(name), self.points, scale_km, 1, time=day, lifetime=lifetime)

    def seen(self, one: Pass, day: int) -> Bools:
        """Return which cells lie within the swath of a pass."""
        if one not in self._swaths:
            self._swaths[one] = Swath(self.cells.lon, self.cells.lat, one.orbit)
        angle = self._swaths[one].look(day, one.is_ascending).angle_degree
        return ~np.isnan(angle) & (self.cells.land_share > 0)

    def moisture(self, state: WaterDay, hour: float) -> Floats:
        """Return the moisture of the places (m3 m-3) at a local solar hour of a UTC day."""
        if hour not in self._utc:
            utc = (hour - self.cells.place_lon / 15.0) % 24.0
            self._utc[hour] = utc.astype(np.float32)
        return moisture_at(state, self._utc[hour])

    def surface_flag(self, state: WaterDay, leaf_water: Floats, day: int) -> Words:
        """Return the surface bits of a day; one frozen footprint in ten is not recognised."""
        cells = self.cells
        ice = cells.mean(state.is_frozen.astype(np.float32)) > 0.2
        told = self.uniform("frost", day)
        snow = cells.mean(state.snow_water_mm) > SNOW_MM
        wet = cells.mean(state.rain_mm) > 15
        bits = (
            self._fixed
            | snow * SNOW
            | wet * RAIN
            | (ice & (told > 0.1)) * FROZEN_MODEL
            | (ice & (told < 0.7)) * FROZEN_SEEN
            | (leaf_water > DENSE_LEAF_WATER) * DENSE
        )
        return bits.astype(np.uint16)


def moisture_at(state: WaterDay, hour: Floats) -> Floats:
    """Return the true 0-5 cm moisture (m3 m-3) at an hour (UTC) of a day, each place its own.

    It runs from the start to the end of the day: steadily when dry, within two hours about
    `rain_hour` on a wet day.
    """
    rise = np.clip((hour - state.rain_hour) / np.float32(2.0) + np.float32(0.5), 0, 1)
    share = np.where(state.rain_mm > 0.5, rise, hour / np.float32(24.0))
    change = state.soil_moisture_end - state.soil_moisture_start
    value: Floats = state.soil_moisture_start + change * share
    return value


@dataclass(frozen=True)
class Beliefs:
    """How wrong the ancillary data of a retrieval are: standard deviations.

    Attributes
    ----------
    leaf_fixed, leaf_slow : float
        Of the logarithm of leaf water: a lasting part, and one that lasts for about 45 days.
    temperature_k : float
        Of the soil temperature; lasts for about 5 days.
    roughness : float
        Of the logarithm of the true roughness about the assumed one; lasting.
    """

    leaf_fixed: float
    leaf_slow: float
    temperature_k: float
    roughness: float


class Radiometer(FootprintSensor):
    """A microwave radiometer and its retrieval."""

    def __init__(
        self, earth: Earth, name: str, cells: Footprints, channel: Channel, beliefs: Beliefs
    ) -> None:
        super().__init__(earth, name, cells)
        self.channel, self.beliefs = channel, beliefs
        rough = np.exp(np.float32(beliefs.roughness) * self.pattern("roughness", 80.0))
        self._roughness = cells.repeated((np.float32(channel.roughness) * rough).astype("f4"))
        self._leaf_bias = np.float32(beliefs.leaf_fixed) * self.pattern("leaves", 150.0)
        self._loud = self.pattern("interference", 120.0) > 1.7

    def observe(self, state: WaterDay, one: Pass) -> MicrowaveView:
        """Return what is retrieved of one pass of a day; `state` is that of the places."""
        number, cells, channel = int(state.day.astype(int)), self.cells, self.channel
        moisture = np.where(state.is_frozen, FROZEN_MOISTURE, self.moisture(state, one.hour))
        leaves = LEAF_WATER_PER_AREA * state.lai + self.stems
        emitted = brightness(moisture, state.soil_temperature_k, leaves, self._roughness, channel)
        noise = np.float32(channel.noise_k) * self.drifting(f"noise-{one.name}", 45.0, number, 1.0)
        measured = cells.mean(emitted) + noise + self._interference(one, number)
        slow = np.float32(self.beliefs.leaf_slow) * self.drifting("slow", 300.0, number, 45.0)
        believed = cells.mean(leaves) * np.exp(self._leaf_bias + slow)
        warmth = np.float32(self.beliefs.temperature_k) * self.drifting(
            f"warmth-{one.name}", 400.0, number, 5.0
        )
        bits = self.surface_flag(state, believed, number)
        seen = self.seen(one, number)
        attempted = seen & ((bits & (SNOW | FROZEN_MODEL | FROZEN_SEEN)) == 0)
        attempted &= cells.land_share > 0.5
        found = retrieve(measured, cells.mean(state.soil_temperature_k) + warmth, believed, channel)
        return MicrowaveView(
            np.where(attempted, found, np.float32(np.nan)).astype(np.float32),
            bits,
            seen,
            attempted,
            believed.astype(np.float32),
        )

    def _interference(self, one: Pass, day: int) -> Floats:
        """Return the kelvins that transmitters add: often near some, hardly ever elsewhere."""
        chance = np.where(self._loud, np.float32(0.15), np.float32(0.002))
        luck = self.uniform(f"loud-{one.name}", day)
        drawn = -np.log(np.maximum(self.uniform(f"strength-{one.name}", day), 1e-4))
        added: Floats = np.where(luck < chance, INTERFERENCE_K * drawn, 0.0).astype(np.float32)
        return added


@dataclass(frozen=True)
class Echo:
    """Constants of the radar: decibels, unless said otherwise.

    Attributes
    ----------
    sensitivity : float
        From the driest to the wettest state of bare ground.
    leaves : float
        What dense leaves add.
    opacity : float
        Weakening (not in decibels) for each kg m-2 of leaf water.
    noise : float
        Standard deviation of a gridded measurement.
    buried : float
        What rocks and layers below a dry desert surface add.
    leaf_fixed, leaf_slow : float
        Standard deviations of the logarithm of believed leaf water.
    """

    sensitivity: float = 7.0
    leaves: float = 3.0
    opacity: float = 0.16
    noise: float = 1.3
    buried: float = 2.0
    leaf_fixed: float = 0.25
    leaf_slow: float = 0.60


class Scatterometer(FootprintSensor):
    """A C-band radar with change detection: moisture in per cent of saturation."""

    def __init__(self, earth: Earth, name: str, cells: Footprints, echo: Echo = Echo()) -> None:
        super().__init__(earth, name, cells)
        self.echo = echo
        self._dry = np.float32(0.3) * self.ground.wilting_point
        self._span = np.float32(0.9) * self.ground.porosity - self._dry
        self._desert = np.clip(1 - self.aridity / np.float32(0.45), 0, 1)
        self._reference_error = np.float32(0.35) * self.pattern("reference", 100.0)
        self._leaf_bias = np.float32(echo.leaf_fixed) * self.pattern("leaves", 150.0)
        # One slope for all seasons, as the change detection of the operational product has it.
        self._slope = np.float32(echo.sensitivity) * np.exp(
            np.float32(0.15) * self.pattern("slope", 200.0)
        )

    def observe(self, state: WaterDay, passes: tuple[Pass, ...]) -> MicrowaveView:
        """Return the product of a day: the first of some passes that saw a cell."""
        number, cells = int(state.day.astype(int)), self.cells
        leaves = LEAF_WATER_PER_AREA * state.lai + self.stems
        slow = np.float32(self.echo.leaf_slow) * self.drifting("slow", 300.0, number, 45.0)
        believed = cells.mean(leaves) * np.exp(self._leaf_bias + slow)
        bits = self.surface_flag(state, believed, number)
        value = np.full(len(cells.rows), np.nan, np.float32)
        seen = np.zeros(len(cells.rows), bool)
        for one in passes:
            new = self.seen(one, number) & ~seen
            value[new] = self._degree(state, one, leaves, believed, number)[new]
            seen |= new
        attempted = seen & (cells.land_share > 0.5)
        return MicrowaveView(
            np.where(attempted, value, np.float32(np.nan)),
            bits,
            seen,
            attempted,
            believed.astype(np.float32),
        )

    def _degree(
        self, state: WaterDay, one: Pass, leaves: Floats, believed: Floats, day: int
    ) -> Floats:
        """Return the retrieved degree of saturation (per cent) of one pass."""
        echo, cells = self.echo, self.cells
        moisture = np.where(state.is_frozen, FROZEN_MOISTURE, self.moisture(state, one.hour))
        wetness = np.clip((moisture - self._dry) / self._span, 0, 1)
        through = np.exp(np.float32(-echo.opacity) * leaves)
        echoed = np.float32(echo.sensitivity) * wetness * through
        echoed = echoed + np.float32(echo.leaves) * (1 - through)
        desert = cells.mean(np.exp(-wetness / np.float32(0.08))) * self._desert
        noise = np.float32(echo.noise) * self.normal(f"noise-{one.name}", day)
        measured = cells.mean(echoed) + np.float32(echo.buried) * desert + noise
        assumed = np.exp(np.float32(-echo.opacity) * believed)
        dry = np.float32(echo.leaves) * (1 - assumed) + self._reference_error
        degree: Floats = 100 * (measured - dry) / (self._slope * np.maximum(assumed, 0.25))
        return np.clip(degree, 0, 100).astype(np.float32)
