"""Soil columns: weather brought to pixels, and pixels stepped through the days of a year."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from smcloud.simulate.climate import (
    TEXTURES,
    Climate,
    Lattice,
    Normals,
    Sky,
    Weather,
    day_of_year,
    warmth,
)
from smcloud.simulate.noise import (
    BLOCK,
    Doubles,
    Floats,
    Hashes,
    fractal,
    normal_of,
    pixel_hash,
    pixel_keys,
    sphere,
    stream,
)
from smcloud.simulate.records import Bools, DayState, Ground, WaterDay
from smcloud.simulate.surface import reflectances, white_sky_albedo
from smcloud.simulate.water import (
    IRRIGATION_DAYS,
    SURFACE_MM,
    Fluxes,
    Forcing,
    Limits,
    WaterState,
    first_state,
    step,
)

SPIN_UP_DAYS = 245
LAPSE_K_PER_M = np.float32(0.0065)
ZERO_C = np.float32(273.15)
State = TypeVar("State", bound=WaterDay)


@dataclass
class _Block:
    """Pixels stepped together: as many as fit the cache."""

    part: slice
    lattice: Lattice
    ground: Ground
    limits: Limits
    aridity: Floats
    sin_lat: Floats
    cos_lat: Floats
    textures: Floats
    """(TEXTURES, n) fixed kilometre-scale patterns."""
    turn: NDArray[np.uint32]
    """Day of the irrigation cycle on which a pixel is watered."""
    keys: Hashes
    scatter_key: int
    """Stream of the rain that a probe gets and its pixel does not."""


class Columns:
    """The soil columns of a set of pixels, stepped through a year."""

    def __init__(self, climate: Climate, lon: Doubles, lat: Doubles, ground: Ground) -> None:
        self.climate = climate
        self.lattice = Lattice.about(lon, lat)
        self.normals = climate.normals(self.lattice.lon, self.lattice.lat)
        self.size = lon.size
        local = Normals(*self.lattice.to_pixels(np.stack(self.normals)))
        starts = range(0, lon.size, BLOCK)
        parts = [slice(start, min(start + BLOCK, lon.size)) for start in starts]
        self.blocks = [
            _block(climate.seed, self.lattice, lon[p], lat[p], p, ground, local) for p in parts
        ]

    def year(self, wanted: NDArray[np.datetime64]) -> Iterator[DayState]:
        """Yield the wanted days, all of one calendar year, from its own anchor."""
        yield from self._days(wanted, DayState, _describe)

    def water(self, wanted: NDArray[np.datetime64]) -> Iterator[WaterDay]:
        """Yield the same days without what optics would see: in less time."""
        yield from self._days(wanted, WaterDay, _water)

    def _days(
        self,
        wanted: NDArray[np.datetime64],
        kind: type[State],
        describe: "Callable[[_Moment], State]",
    ) -> Iterator[State]:
        first = wanted[0].astype("datetime64[Y]").astype("datetime64[D]")
        anchor = first - np.timedelta64(SPIN_UP_DAYS, "D")
        states = self._start(anchor)
        asked = set(wanted.astype(int).tolist())
        for day in np.arange(anchor, wanted[-1] + 1):
            weather, sky = map(np.stack, self.climate.weather(self.lattice, self.normals, day))
            is_asked = int(day.astype(int)) in asked
            out = _empty(kind, day, self.size) if is_asked else None
            for block, state in zip(self.blocks, states, strict=True):
                local = Weather(*block.lattice.to_pixels(weather))
                change = _advance(block, state, local, day)
                if out is not None:
                    above = Sky(*block.lattice.to_pixels(sky))
                    moment = _Moment(block, state, local, above, change, day)
                    _insert(out, block.part, describe(moment))
            if out is not None:
                yield out

    def _start(self, anchor: np.datetime64) -> list[WaterState]:
        """Return the states of all blocks at the anchor of a year."""
        phase = warmth(self.lattice.lat, day_of_year(anchor)).astype(np.float32)
        at_sea = self.normals.mean_temperature_c + self.normals.temperature_swing_c * phase
        states = []
        for block in self.blocks:
            (sea,) = block.lattice.to_pixels(at_sea[None].astype(np.float32))
            temperature = sea - LAPSE_K_PER_M * block.ground.elevation_m
            states.append(first_state(block.limits, block.aridity, temperature))
        return states


def _block(
    seed: int,
    lattice: Lattice,
    lon: Doubles,
    lat: Doubles,
    part: slice,
    ground: Ground,
    normals: Normals,
) -> _Block:
    """Return what does not change of the pixels of one block."""
    mine = Ground(**{field.name: getattr(ground, field.name)[part] for field in fields(Ground)})
    points = sphere(lon, lat)
    patterns = [
        fractal(stream(seed, f"texture-{k}"), points, 11.0, 2, 0.7) for k in range(TEXTURES)
    ]
    warm = normals.mean_temperature_c[part] - LAPSE_K_PER_M * mine.elevation_m
    turns = pixel_hash(pixel_keys(np.round(lon, 1), np.round(lat, 1)), stream(seed, "turn"))
    return _Block(
        part,
        lattice.part(part),
        mine,
        Limits.of(mine, normals.aridity[part], warm),
        normals.aridity[part],
        np.sin(np.deg2rad(lat)).astype(np.float32),
        np.cos(np.deg2rad(lat)).astype(np.float32),
        np.stack(patterns),
        turns % np.uint32(IRRIGATION_DAYS),
        pixel_keys(lon, lat),
        stream(seed, "scatter"),
    )


class _Change(NamedTuple):
    """What a step of the balance leaves for the description of the day."""

    forcing: Forcing
    fluxes: Fluxes
    before_mm: Floats
    """Water of 0-5 cm at 00 UTC."""
    cells: Floats
    """The kilometre-scale pattern of the day, standard normal."""


def _advance(block: _Block, state: WaterState, weather: Weather, day: np.datetime64) -> _Change:
    """Step the columns of a block by a day."""
    ground = block.ground
    cells = weather.texture_0 * block.textures[0] + weather.texture_1 * block.textures[1]
    cells += weather.texture_2 * block.textures[2] + weather.texture_3 * block.textures[3]
    local = ground.rain_factor * np.exp(np.float32(0.45) * cells - np.float32(0.10))
    if ground.rain_scatter.any():
        drops = normal_of(pixel_hash(block.keys, block.scatter_key, int(day.astype(int))))
        local = local * np.exp(ground.rain_scatter * (drops - ground.rain_scatter / 2))
    before = state.surface_mm
    green = 1 - np.exp(np.float32(-0.55) * state.lai)
    saturation = before / block.limits.surface_full
    forcing = Forcing(
        rain_mm=weather.rain_mm * local,
        temperature_c=weather.temperature_c - LAPSE_K_PER_M * ground.elevation_m,
        shortwave_mj=weather.shortwave_mj,
        cover=weather.cover_day,
        albedo=white_sky_albedo(ground, saturation, green, state.snow_mm),
        is_watering_day=block.turn == np.uint32(int(day.astype(int)) % IRRIGATION_DAYS),
    )
    return _Change(forcing, step(state, block.limits, ground, forcing), before, cells)


class _Moment(NamedTuple):
    """What the description of a day rests on: pixels of a block, and the step of their balance."""

    block: _Block
    state: WaterState
    weather: Weather
    sky: Sky
    change: _Change
    day: np.datetime64


def _water(now: _Moment) -> WaterDay:
    """Return water, frost and leaves of a day."""
    state, change, ground = now.state, now.change, now.block.ground
    start, end = change.before_mm / SURFACE_MM, state.surface_mm / SURFACE_MM
    # The day's change is complete by its end, and on a wet day falls about the hour of the rain.
    late = (np.float32(23.5) - now.sky.rain_hour) / np.float32(24)
    share = np.where(change.forcing.rain_mm > 0.5, late, np.float32(0.5))
    return WaterDay(
        day=now.day,
        soil_moisture=start + (end - start) * share,
        soil_moisture_start=start,
        soil_moisture_end=end,
        rain_hour=now.sky.rain_hour,
        root_moisture=state.root_mm / ground.root_depth_mm,
        rain_mm=change.forcing.rain_mm,
        snow_water_mm=state.snow_mm,
        soil_temperature_k=state.soil_c + ZERO_C,
        is_frozen=change.fluxes.is_frozen,
        lai=state.lai,
    )


def _describe(now: _Moment) -> DayState:
    """Return the full state of a day from the balance and its fluxes."""
    water, state, sky, change = _water(now), now.state, now.sky, now.change
    ground, forcing, fluxes = now.block.ground, change.forcing, change.fluxes
    saturation = water.soil_moisture / ground.porosity
    wsa = white_sky_albedo(ground, saturation, fluxes.green_cover, state.snow_mm)
    lst_day, lst_night = _skin(state, sky, change, saturation)
    span = ground.field_capacity - ground.wilting_point
    vigour = np.clip((water.root_moisture - ground.wilting_point) / span, 0, 1)
    cloud_cells = np.float32(0.22) * change.cells
    noon = _noon(now.block, now.day)
    return DayState(
        **vars(water),
        irrigation_mm=fluxes.irrigation_mm,
        evaporation_mm=fluxes.evaporation_mm,
        air_temperature_k=forcing.temperature_c + ZERO_C,
        temperature_range_k=sky.temperature_range_k,
        lst_day_k=lst_day,
        lst_night_k=lst_night,
        albedo_wsa=wsa,
        albedo_bsa=wsa * (np.float32(1.08) - np.float32(0.14) * noon),
        reflectance=reflectances(ground, saturation, fluxes.green_cover, vigour, state.snow_mm),
        cloud_day=now.weather.cover_day + cloud_cells > np.float32(0.5),
        cloud_night=sky.cover_night + cloud_cells > np.float32(0.5),
    )


def _skin(
    state: WaterState, sky: Sky, change: _Change, saturation: Floats
) -> tuple[Floats, Floats]:
    """Return the true skin temperature (K) by day and by night.

    By day a linear surface energy balance: the part of the net radiation that does not evaporate
    water warms the skin against a conductance that leaves and wind increase. By night clear sky
    cools it below the air, the less the wetter (hence inert) the soil.
    """
    forcing, fluxes = change.forcing, change.fluxes
    air, spread = forcing.temperature_c, sky.temperature_range_k
    gust = np.exp(np.float32(0.18) * sky.wind + np.float32(0.10) * change.cells)
    noon_watts = np.float32(24.0) * (1 - forcing.albedo) * forcing.shortwave_mj
    sensible = noon_watts * (1 - np.float32(0.75) * fluxes.evaporative_fraction) - np.float32(25.0)
    conductance = (np.float32(19.0) + np.float32(26.0) * fluxes.green_cover) * gust
    day = air + np.float32(0.22) * spread + np.maximum(sensible, -40) / conductance
    clear = 1 - sky.cover_night
    inertia = np.float32(0.6) + np.float32(0.7) * saturation
    night = air - np.float32(0.30) * spread - np.float32(3.0) * clear / (inertia * gust)
    melting = np.float32(0.5)
    is_white = state.snow_mm > 8
    day = np.where(is_white, np.minimum(day, melting), day)
    night = np.where(is_white, np.minimum(night, melting), night)
    return day + ZERO_C, night + ZERO_C


def _noon(block: _Block, day: np.datetime64) -> Floats:
    """Return the cosine of the solar zenith angle at local noon."""
    declination = 0.409 * np.sin(2.0 * np.pi * day_of_year(day) / 365.0 - 1.39)
    sine, cosine = np.float32(np.sin(declination)), np.float32(np.cos(declination))
    return np.clip(sine * block.sin_lat + cosine * block.cos_lat, 0, 1)


def _empty(kind: type[State], day: np.datetime64, size: int) -> State:
    """Return a record to be filled block by block."""
    values: dict[str, Any] = {"day": day}
    for field in fields(kind):
        if field.name not in values:
            dtype = np.bool_ if field.type == "Bools" or field.type is Bools else np.float32
            bands = (7,) if field.name == "reflectance" else ()
            values[field.name] = np.empty((*bands, size), dtype)
    return kind(**values)


def _insert(out: State, part: slice, block: State) -> None:
    """Copy the state of a block into its place."""
    for field in fields(out):
        if field.name != "day":
            getattr(out, field.name)[..., part] = getattr(block, field.name)
