"""Radiometers over freezing ground, and what SMOS and SMAP say of its state.

Brightness temperatures are of places 12.5 km apart, seen through the footprint of each frequency,
so that the low ones mix what lies beside one another. The states that SMOS and SMAP tell rest on an
L-band that sees the same ground, with errors of their own, which no channel of the radiometers
shows: a mean over past days that comes late, wet snow that looks thawed, dry soil that hardly
changes when it freezes, transmitters, and the temperature of a model that overrules what was seen.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter

from smcloud.simulate.footprints import Footprints
from smcloud.simulate.frozen_emission import (
    BANDS,
    Band,
    GroundView,
    brightness,
    is_wet_snow,
)
from smcloud.simulate.microwave import LEAF_WATER_PER_AREA, FootprintSensor, Pass
from smcloud.simulate.noise import Doubles, Floats
from smcloud.simulate.records import Bools, DayState
from smcloud.simulate.sensors import Sensor
from smcloud.simulate.swath import AQUA, FENGYUN_3B, GCOM_W, SMAP, SMOS, Orbit
from smcloud.simulate.world import Earth

Bytes = np.typing.NDArray[np.uint8]

ACROSS = 2
"""Places along each side of a cell of 25 km."""
PLACE_KM = 12.5
FROZEN_C = np.float32(-0.3)
ZERO_C = np.float32(273.15)
THAWED, PARTLY, FROZEN, NO_STATE = 0, 1, 2, 255
NO_SMAP_STATE = 254
RFI_K = 25.0
"""Mean of what transmitters add at 10.65 and 18.7 GHz where they are heard."""
FULL_WIDTH = 2.3548
"""Full width at half maximum of a bell, in standard deviations."""


class GroundHour(NamedTuple):
    """Temperatures of places at a local hour, (n,) degrees Celsius."""

    ground_c: Floats
    surface_c: Floats


def ground_at(state: DayState, local_hour: float | Doubles) -> GroundHour:
    """Return the temperatures of 0-5 cm and of the surface at a local solar hour of a day.

    The hour is one for all places, or one for each (n,). The soil follows the day's wave less and
    later than the surface, and under snow hardly at all.
    """
    half = np.float32(0.5) * state.temperature_range_k
    hour = np.asarray(local_hour, np.float64)
    surface_wave = (0.9 * np.cos((hour - 14.0) * np.pi / 12)).astype(np.float32)
    ground_wave = (0.45 * np.cos((hour - 16.5) * np.pi / 12)).astype(np.float32)
    cover = np.float32(1.0) / (1 + np.float32(0.15) * state.snow_water_mm)
    ground: Floats = state.soil_temperature_k - ZERO_C + ground_wave * half * cover
    surface: Floats = state.air_temperature_k - ZERO_C + surface_wave * half
    is_white = state.snow_water_mm > np.float32(5.0)
    return GroundHour(ground, np.where(is_white, np.minimum(surface, 0), surface))


def frozen_share(cells: Footprints, state: DayState, local_hour: float) -> Floats:
    """Return the share of the land of each cell (n,) that is frozen at a local hour: the truth."""
    frozen = ground_at(state, local_hour).ground_c < FROZEN_C
    return cells.mean(frozen.astype(np.float32))


@dataclass(frozen=True)
class Imager:
    """A radiometer of several frequencies: its orbit and what sets its calibration apart.

    Attributes
    ----------
    word : str
    orbit : Orbit
    scale, offset_k : float
        Measured = scale * true + offset: what intercalibration leaves.
    noise_factor : float
    """

    word: str
    orbit: Orbit
    scale: float
    offset_k: float
    noise_factor: float

    def overpass(self, *, is_ascending: bool) -> Pass:
        """Return one of its two daily passes."""
        return Pass(f"{self.word}-{'asc' if is_ascending else 'desc'}", self.orbit, is_ascending)


AMSRE_IMAGER = Imager("amsre-tb", AQUA, 1.0, 0.2, 1.1)
AMSR2_IMAGER = Imager("amsr2-tb", GCOM_W, 1.0, 0.0, 1.0)
MWRI_IMAGER = Imager("mwri-tb", FENGYUN_3B, 0.985, 3.0, 1.4)


class Measured(NamedTuple):
    """What a radiometer measures of one pass at the places, (m,) each."""

    places: np.typing.NDArray[np.int64]
    """Numbers of the places that were seen, in the order of the lattice."""
    brightness_k: dict[str, Floats]
    """(m, 2) by the word of the band."""
    is_disturbed: Bools
    """Recognised as spoilt by transmitters, at the two lowest frequencies."""


class Lattice:
    """The places of cells as a picture, to be smoothed by footprints."""

    def __init__(self, cells: Footprints) -> None:
        side = ACROSS
        down, right = np.divmod(np.arange(side * side), side)
        rows = (cells.rows[:, None] - cells.rows.min()) * side + down
        cols = (cells.cols[:, None] - cells.cols.min()) * side + right
        self._at = rows.ravel(), cols.ravel()
        self._shape = int(rows.max()) + 1, int(cols.max()) + 1
        self._shares: dict[float, Floats] = {}

    def smoothed(self, values: Floats, width_km: float) -> Floats:
        """Return values (n,) at the places as a footprint of some width sees them."""
        sigma = width_km / FULL_WIDTH / PLACE_KM
        if sigma not in self._shares:
            self._shares[sigma] = gaussian_filter(self._picture(1.0), sigma, mode="constant")
        picture = gaussian_filter(self._picture(values), sigma, mode="constant")
        seen: Floats = (picture / np.maximum(self._shares[sigma], 1e-6))[self._at]
        return seen.astype(np.float32)

    def _picture(self, values: Floats | float) -> Floats:
        picture = np.zeros(self._shape, np.float32)
        picture[self._at] = values
        return picture


class GroundSensor(FootprintSensor):
    """What all these instruments have in common: places, their lattice and their roughness."""

    def __init__(self, earth: Earth, name: str, cells: Footprints) -> None:
        super().__init__(earth, name, cells)
        self.lattice = Lattice(cells)
        self.places = Sensor(earth.seed, cells.place_lon, cells.place_lat, name)
        # The ground is one, whoever looks: its roughness does not depend on the instrument.
        ground = Sensor(earth.seed, cells.place_lon, cells.place_lat, "ground")
        rough = np.float32(0.3) * ground.pattern("roughness", 60.0)
        self._roughness = (np.float32(0.3) * np.exp(rough)).astype(np.float32)

    def view(self, state: DayState, local_hour: float) -> GroundView:
        """Return the places (n,) as they are at a local hour."""
        now = ground_at(state, local_hour)
        return GroundView(
            self.moisture(state, local_hour),
            now.ground_c,
            now.surface_c,
            state.snow_water_mm,
            LEAF_WATER_PER_AREA * state.lai + self.stems,
            self._roughness,
            self.ground.elevation_m,
        )


class ImagingRadiometer(GroundSensor):
    """A radiometer at 10.65 to 89 GHz."""

    def __init__(self, earth: Earth, imager: Imager, cells: Footprints) -> None:
        super().__init__(earth, imager.word, cells)
        self.imager = imager
        self._loud = self.pattern("interference", 120.0) > 1.6

    def observe(self, state: DayState, *, is_ascending: bool) -> Measured:
        """Return what is measured of a pass of a day; `state` is that of the places."""
        one = self.imager.overpass(is_ascending=is_ascending)
        number = int(state.day.astype(int))
        seen = np.repeat(self.seen(one, number), self.cells.per_cell)
        seen &= self.cells.on_land.ravel()
        places = np.flatnonzero(seen)
        ground = self.view(state, one.hour)
        added = self._interference(one, number)
        measured = {}
        for band in BANDS:
            field = self._band(band, brightness(band, ground), one, number)
            if band.ghz < 20:
                field = field + (added / np.float32(band.ghz / 10.65))[:, None]
            measured[band.word] = field[places]
        return Measured(places, measured, (added > np.float32(10.0))[places])

    def _band(self, band: Band, emitted: Floats, one: Pass, day: int) -> Floats:
        """Return brightness (n, 2) through the footprint, with calibration and noise."""
        imager, fields = self.imager, []
        weather = self.cells.repeated(
            self.drifting(f"cloud-{band.word}-{one.name}", 150.0, day, 1.0)
        )
        for number, polarisation in enumerate("vh"):
            seen = self.lattice.smoothed(emitted[:, number], band.footprint_km)
            name = f"noise-{band.word}{polarisation}-{one.name}"
            noise = np.float32(band.noise_k) * self.places.normal(name, day)
            # Cloud and rain emit above cold ground: by far most at the highest frequency.
            cloud = np.float32(14.0 * band.air_opacity) * np.maximum(weather, 0)
            field = np.float32(imager.scale) * (seen + cloud) + np.float32(imager.offset_k)
            fields.append(field + np.float32(imager.noise_factor) * noise)
        return np.stack(fields, axis=1)

    def _interference(self, one: Pass, day: int) -> Floats:
        """Return the kelvins that transmitters add at 10.65 GHz, at the places."""
        chance = np.where(self._loud, np.float32(0.10), np.float32(0.001))
        luck = self.uniform(f"loud-{one.name}", day)
        drawn = -np.log(np.maximum(self.uniform(f"strength-{one.name}", day), 1e-4))
        added = np.where(luck < chance, np.float32(RFI_K) * drawn, 0).astype(np.float32)
        return self.cells.repeated(added)


class SmosLabel(GroundSensor):
    """The service's state of the ground by SMOS, day after day: days must be given in order."""

    MEMORY = np.float32(0.70)
    """Share of yesterday's signal in today's: a change is told days late."""
    PARTLY_FROM, FROZEN_FROM = np.float32(0.35), np.float32(0.65)
    WARM_C, COLD_C = np.float32(3.0), np.float32(-8.0)
    """Air of the weather model above which nothing is frozen and below which nothing is thawed."""

    def __init__(self, earth: Earth, cells: Footprints, *, is_ascending: bool) -> None:
        word = "asc" if is_ascending else "desc"
        super().__init__(earth, f"smos-ft-{word}", cells)
        self.overpass = Pass(f"smos-ft-{word}", SMOS, is_ascending)
        self._loud = self.pattern("interference", 150.0) > 1.3
        self._bias = np.float32(0.08) * self.pattern("bias", 200.0)
        self._signal: Floats | None = None

    def observe(self, state: DayState) -> Bytes:
        """Return the state of each cell (n,): 0 thawed, 1 partly, 2 frozen, 255 none."""
        number = int(state.day.astype(int))
        seen = self.seen(self.overpass, number) & self._is_heard(number)
        today = self._looks_frozen(state, number)
        before = today if self._signal is None else self._signal
        mixed = self.MEMORY * before + (1 - self.MEMORY) * today
        self._signal = np.where(seen, mixed, before).astype(np.float32)
        told = np.where(self._signal >= self.FROZEN_FROM, FROZEN, PARTLY)
        told = np.where(self._signal < self.PARTLY_FROM, THAWED, told)
        air = self._believed_air(state, number)
        told = np.where(air > self.WARM_C, THAWED, told)
        told = np.where((air < self.COLD_C) & (told == THAWED), PARTLY, told)
        return np.where(seen, told, NO_STATE).astype(np.uint8)

    def _looks_frozen(self, state: DayState, day: int) -> Floats:
        """Return how frozen a cell looks at L-band, about 0 to 1."""
        ground = self.view(state, self.overpass.hour)
        frozen = (ground.ground_c < FROZEN_C).astype(np.float32)
        # Wet snow emits as thawed ground does.
        looks = frozen * (1 - np.float32(0.9) * is_wet_snow(ground))
        # The antenna sees 40 km, more than a cell.
        share = self.cells.mean(self.lattice.smoothed(looks, 40.0))
        wetness = self.cells.mean(ground.moisture)
        noise = np.float32(0.10) + np.float32(0.45) * np.exp(-wetness / np.float32(0.05))
        error = self.drifting("error", 60.0, day, 3.0) * noise
        looks_so: Floats = (share + self._bias + error).astype(np.float32)
        return looks_so

    def _is_heard(self, day: int) -> Bools:
        """Return False where transmitters hide the signal."""
        luck = self.uniform("loud", day)
        heard: Bools = luck >= np.where(self._loud, np.float32(0.35), np.float32(0.01))
        return heard

    def _believed_air(self, state: DayState, day: int) -> Floats:
        """Return the air temperature (degrees Celsius) that the service takes from a model."""
        air = self.cells.mean(state.air_temperature_k) - ZERO_C
        return air + np.float32(1.8) * self.drifting("air", 400.0, day, 3.0)


class SmapLabel(GroundSensor):
    """SMAP's state of the ground: no memory, two classes, false alarms masked by temperature."""

    def __init__(self, earth: Earth, cells: Footprints, *, is_ascending: bool) -> None:
        word = "pm" if is_ascending else "am"
        super().__init__(earth, f"smap-ft-{word}", cells)
        self.overpass = Pass(f"smap-ft-{word}", SMAP, is_ascending)

    def observe(self, state: DayState) -> Bytes:
        """Return the state of each cell (n,): 0 thawed, 1 frozen, 254 none."""
        number = int(state.day.astype(int))
        ground = self.view(state, self.overpass.hour)
        frozen = (ground.ground_c < FROZEN_C).astype(np.float32)
        share = self.cells.mean(frozen * (1 - np.float32(0.8) * is_wet_snow(ground)))
        wetness = self.cells.mean(ground.moisture)
        noise = np.float32(0.15) + np.float32(0.4) * np.exp(-wetness / np.float32(0.05))
        looks = share + noise * self.normal("error", number)
        air = self.cells.mean(state.air_temperature_k) - ZERO_C
        air = air + np.float32(1.5) * self.drifting("air", 400.0, number, 3.0)
        told = (looks > np.float32(0.5)) & (air < np.float32(5.0))
        seen = self.seen(self.overpass, number)
        return np.where(seen, told.astype(np.uint8), NO_SMAP_STATE).astype(np.uint8)
