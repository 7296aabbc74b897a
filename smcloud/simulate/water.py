"""The surface water balance: snow, two soil layers, vegetation, from one day to the next.

One explicit daily step on arrays; amounts are mm of water, temperatures degree Celsius.

- Snow: degree-day melt, 3 mm per degree and day (Hock 2003, J. Hydrol. 282, 104-115).
- Potential evaporation: Priestley and Taylor 1972 (Mon. Weather Rev. 100, 81-92) with FAO-56
  net radiation in round figures.
- Leaves shade the ground by Beer's law; soil evaporation falls with the square of the wetness of
  0-5 cm (after Lee and Pielke 1992, J. Appl. Meteorol. 31, 480-484), transpiration linearly with
  that of the root layer below a threshold (FAO-56, equation 84).
- Runoff grows with the wetness of the ground as in Xinanjiang and VIC (Liang et al. 1994); water
  above field capacity drains at a rate that conductivity limits; the layers exchange water down
  the gradient of their relative wetness.
- Leaf area follows warmth and root water with a lag of weeks.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from smcloud.simulate.noise import Floats
from smcloud.simulate.records import Ground

SURFACE_MM = np.float32(50.0)
"""Thickness of the layer that is the truth: 0 to 5 cm."""
MELT_MM = np.float32(3.0)
SNOW_LIMIT_MM = np.float32(500.0)
IRRIGATION_MM = np.float32(28.0)
IRRIGATION_DAYS = 8


@dataclass
class WaterState:
    """What one day hands to the next (changed in place by `step`)."""

    surface_mm: Floats
    root_mm: Floats
    snow_mm: Floats
    soil_c: Floats
    """Soil temperature of 0-5 cm."""
    season_c: Floats
    """Air temperature smoothed over two weeks: what plants respond to."""
    lai: Floats


class Forcing(NamedTuple):
    """Weather of one day at the pixels themselves."""

    rain_mm: Floats
    temperature_c: Floats
    shortwave_mj: Floats
    cover: Floats
    albedo: Floats
    is_watering_day: np.ndarray
    """Whether an irrigated pixel has its turn today."""


class Fluxes(NamedTuple):
    """What happened within the day."""

    irrigation_mm: Floats
    evaporation_mm: Floats
    evaporative_fraction: Floats
    """Actual over potential evaporation, 0 to 1."""
    green_cover: Floats
    is_frozen: np.ndarray


@dataclass(frozen=True)
class Limits:
    """Water contents of the layers at the marks of the retention curve, and the leaf range."""

    surface_dry: Floats
    surface_wilting: Floats
    surface_field: Floats
    surface_full: Floats
    root_wilting: Floats
    root_field: Floats
    root_full: Floats
    drainage: Floats
    """Fraction of the surplus above field capacity that leaves 0-5 cm within a day."""
    runoff_slope: Floats
    lai_least: Floats
    lai_most: Floats

    @classmethod
    def of(cls, ground: Ground, aridity: Floats, warmth_c: Floats) -> "Limits":
        """Return the limits of pixels from their ground and climate."""
        depth = ground.root_depth_mm
        most = 6.2 * (1.0 - np.exp(-1.3 * aridity)) * ground.leaf_density
        most = np.where(ground.is_irrigated, np.maximum(most, 3.5), most) + 0.1
        return cls(
            surface_dry=SURFACE_MM * 0.3 * ground.wilting_point,
            surface_wilting=SURFACE_MM * ground.wilting_point,
            surface_field=SURFACE_MM * ground.field_capacity,
            surface_full=SURFACE_MM * ground.porosity,
            root_wilting=depth * ground.wilting_point,
            root_field=depth * ground.field_capacity,
            root_full=depth * ground.porosity,
            drainage=np.clip(ground.conductivity_mm_day / 400.0, 0.25, 0.9).astype(np.float32),
            runoff_slope=np.clip(0.02 * ground.slope_degree, 0.0, 0.5).astype(np.float32),
            lai_least=np.where(warmth_c > 18.0, 0.35 * most, 0.12 * most).astype(np.float32),
            lai_most=most.astype(np.float32),
        )


def first_state(limits: Limits, aridity: Floats, temperature_c: Floats) -> WaterState:
    """Return the state from which a spin-up starts: near what the climate leads to."""
    wet = np.clip(0.15 + 0.45 * aridity, 0.1, 0.9).astype(np.float32)
    root = limits.root_wilting + wet * (limits.root_field - limits.root_wilting)
    surface = limits.surface_dry + wet * (limits.surface_field - limits.surface_dry)
    warm = np.clip((temperature_c - 3.0) / 12.0, 0.0, 1.0)
    lai = limits.lai_least + warm * wet * (limits.lai_most - limits.lai_least)
    snow = np.where(temperature_c < -15.0, np.float32(60.0), np.float32(0.0))
    cold = np.minimum(temperature_c, 40.0).astype(np.float32)
    return WaterState(surface, root, snow, cold.copy(), cold, lai.astype(np.float32))


def potential_evaporation(forcing: Forcing) -> Floats:
    """Return potential evaporation (mm day-1), Priestley-Taylor with coefficient 1.26."""
    net = (1 - forcing.albedo) * forcing.shortwave_mj - (
        np.float32(7.0) - np.float32(5.0) * forcing.cover
    )
    share = np.clip(np.float32(0.40) + np.float32(0.0135) * forcing.temperature_c, 0.10, 0.85)
    demand: Floats = np.float32(1.26 / 2.45) * share * np.maximum(net, np.float32(0.4))
    return demand


def step(state: WaterState, limits: Limits, ground: Ground, forcing: Forcing) -> Fluxes:
    """Advance the state by one day and return what happened."""
    liquid = _snow(state, forcing)
    _warm(state, forcing)
    frozen = state.soil_c < np.float32(-0.5)
    green = 1 - np.exp(np.float32(-0.55) * state.lai)
    held = np.minimum(liquid, np.float32(0.2) * state.lai)
    irrigation = _irrigate(state, limits, ground, forcing)
    _infiltrate(state, limits, liquid - held + irrigation, frozen)
    demand = potential_evaporation(forcing)
    left = np.maximum(demand - held, 0)
    evaporation = _evaporate(state, limits, left, green, frozen)
    _exchange(state, limits, frozen)
    _grow(state, limits)
    actual = evaporation + np.minimum(held, demand)
    fraction = np.minimum(actual / demand, np.float32(1.0))
    return Fluxes(irrigation, actual, fraction, green, frozen)


def _snow(state: WaterState, forcing: Forcing) -> Floats:
    """Update the snow and return the liquid water (mm) that reaches leaves and ground."""
    cold = np.clip((np.float32(1.8) - forcing.temperature_c) / np.float32(3.0), 0, 1)
    fall = forcing.rain_mm * cold
    pack = state.snow_mm + fall
    melt = np.minimum(pack, MELT_MM * np.maximum(forcing.temperature_c - np.float32(0.3), 0))
    state.snow_mm = np.minimum(pack - melt, SNOW_LIMIT_MM)
    liquid: Floats = forcing.rain_mm - fall + melt
    return liquid


def _warm(state: WaterState, forcing: Forcing) -> None:
    """Let soil (slower under snow) and plants follow the air temperature."""
    rate = np.float32(0.30) / (1 + np.float32(0.05) * state.snow_mm)
    state.soil_c = state.soil_c + rate * (forcing.temperature_c + np.float32(1.0) - state.soil_c)
    state.season_c = state.season_c + (forcing.temperature_c - state.season_c) / np.float32(14.0)


def _irrigate(state: WaterState, limits: Limits, ground: Ground, forcing: Forcing) -> Floats:
    """Return irrigation (mm): on turn days of the warm season, where the root layer is dry."""
    span = limits.root_field - limits.root_wilting
    dry = state.root_mm < limits.root_wilting + np.float32(0.65) * span
    turn = ground.is_irrigated & forcing.is_watering_day & dry & (state.season_c > np.float32(11.0))
    return np.where(turn, IRRIGATION_MM, np.float32(0.0))


def _infiltrate(state: WaterState, limits: Limits, water: Floats, frozen: np.ndarray) -> None:
    """Put water into the layers; what runs off is lost."""
    wetness = state.surface_mm / limits.surface_full
    runs_off = np.minimum(
        wetness * wetness * wetness * (np.float32(0.5) + limits.runoff_slope)
        + limits.runoff_slope * np.float32(0.3),
        np.float32(0.9),
    )
    enters = water * (1 - np.where(frozen, np.float32(0.85), runs_off))
    total = state.surface_mm + enters
    surplus = np.maximum(total - limits.surface_field, 0)
    passes = limits.drainage * surplus
    total = total - passes
    spill = np.maximum(total - limits.surface_full, 0)
    state.surface_mm = total - spill
    root = state.root_mm + passes + spill
    drained = np.float32(0.12) * np.maximum(root - limits.root_field, 0)
    state.root_mm = np.minimum(root - drained, limits.root_full)


def _evaporate(
    state: WaterState, limits: Limits, demand: Floats, green: Floats, frozen: np.ndarray
) -> Floats:
    """Take soil evaporation and transpiration (mm) from the layers and return their sum."""
    thawed = np.where(frozen, np.float32(0.05), np.float32(1.0))
    top = np.clip(
        (state.surface_mm - limits.surface_dry) / (limits.surface_field - limits.surface_dry), 0, 1
    )
    from_soil = thawed * demand * (1 - np.float32(0.9) * green) * top * top
    span = limits.root_field - limits.root_wilting
    stress = np.clip((state.root_mm - limits.root_wilting) / (np.float32(0.6) * span), 0, 1)
    from_roots = thawed * demand * green * stress
    reach = np.clip(
        (state.surface_mm - limits.surface_wilting)
        / (limits.surface_field - limits.surface_wilting),
        0,
        1,
    )
    from_top = np.float32(0.2) * from_roots * reach
    taken = np.minimum(
        from_soil + from_top, np.float32(0.7) * (state.surface_mm - limits.surface_dry)
    )
    taken = np.maximum(taken, 0)
    state.surface_mm = state.surface_mm - taken
    below = np.minimum(from_roots - from_top, np.maximum(state.root_mm - limits.root_wilting, 0))
    state.root_mm = state.root_mm - below
    total: Floats = taken + below
    return total


def _exchange(state: WaterState, limits: Limits, frozen: np.ndarray) -> None:
    """Move water between the layers down the gradient of relative wetness (at most 2 mm)."""
    top = (state.surface_mm - limits.surface_dry) / (limits.surface_field - limits.surface_dry)
    root = (state.root_mm - limits.root_wilting) / (limits.root_field - limits.root_wilting)
    up = np.clip(np.float32(0.9) * (np.minimum(root, 1) - top), -2, 2)
    up = np.where(frozen, np.float32(0.0), np.where(up > 0, np.float32(0.8) * up, up))
    up = np.minimum(up, np.float32(0.02) * state.root_mm)
    state.surface_mm = state.surface_mm + up
    state.root_mm = state.root_mm - up - np.float32(0.0008) * (state.root_mm - limits.root_wilting)


def _grow(state: WaterState, limits: Limits) -> None:
    """Let leaf area follow warmth and root water: a month up, three weeks down."""
    span = limits.root_field - limits.root_wilting
    water = np.clip((state.root_mm - limits.root_wilting) / (np.float32(0.7) * span), 0, 1)
    warm = np.clip((state.season_c - np.float32(3.0)) / np.float32(12.0), 0, 1)
    aim = limits.lai_least + warm * (np.float32(0.15) + np.float32(0.85) * water) * (
        limits.lai_most - limits.lai_least
    )
    pull = aim - state.lai
    state.lai = state.lai + pull * np.where(pull > 0, np.float32(1 / 28), np.float32(1 / 20))
