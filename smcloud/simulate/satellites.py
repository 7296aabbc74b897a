"""Reference satellites of the simulated Earth: what their products say of a day.

- SMAP: one radiometer at L-band, morning and evening; its 9 km product sees no more detail than 33
  km, as the interpolated original.
- CCI: a radar on two Metop satellites (active), radiometers of two others at C-band (passive), and
  both brought to the range of a model's soil and averaged (combined).
- SMAP/Sentinel-1: the morning retrieval of SMAP with the contrast that a radar sees at 1 km.

`shared_error` lets SMAP lean on the reanalysis, so that the errors of both are correlated: the case
in which triple collocation is known to be biased (Gruber et al. 2016, Int. J. Appl. Earth Obs. 45,
200-211).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from smcloud.grids.grid import Grid, grid_named
from smcloud.simulate.emission import C_BAND, L_BAND
from smcloud.simulate.footprints import Footprints
from smcloud.simulate.granules_cci import (
    BEYOND_LIMITS,
    DENSE_VEGETATION,
    NO_CONVERGENCE,
    NOT_OBSERVED,
    SNOW_OR_FROZEN,
)
from smcloud.simulate.granules_smap import (
    GREATEST,
    GREATEST_1KM,
    LEAST,
    NOT_ATTEMPTED,
    NOT_RECOMMENDED,
    NOT_SUCCESSFUL,
    Retrievals,
)
from smcloud.simulate.hdf_eos import Array
from smcloud.simulate.microwave import (
    DENSE,
    FROZEN_MODEL,
    FROZEN_SEEN,
    SNOW,
    Beliefs,
    FootprintSensor,
    MicrowaveView,
    Pass,
    Radiometer,
    Scatterometer,
)
from smcloud.simulate.noise import Doubles, Floats
from smcloud.simulate.records import DayState
from smcloud.simulate.swath import GCOM_W, METOP_A, METOP_B, SMAP, SMOS
from smcloud.simulate.world import Earth

MORNING, EVENING = Pass("am", SMAP, False), Pass("pm", SMAP, True)
PASSIVE_PASSES = (Pass("amsr2", GCOM_W, False), Pass("smos", SMOS, True))
ACTIVE_PASSES = (
    Pass("metop-a-desc", METOP_A, False),
    Pass("metop-b-desc", METOP_B, False),
    Pass("metop-a-asc", METOP_A, True),
    Pass("metop-b-asc", METOP_B, True),
)
SMAP_BELIEFS = Beliefs(leaf_fixed=0.25, leaf_slow=0.75, temperature_k=6.0, roughness=0.35)
C_BAND_BELIEFS = Beliefs(leaf_fixed=0.25, leaf_slow=0.60, temperature_k=6.0, roughness=0.35)

GRIDS: Mapping[str, str] = {
    "smap_l3": "ease2_36km",
    "smap_l3e": "ease2_9km",
    "cci": "global025",
    "smap_sentinel": "ease2_1km",
    "lprm": "global025",
    "nnsm": "ease2_36km",
}


def footprints(name: str, lon: Doubles, lat: Doubles) -> Footprints:
    """Return the footprints of one of `GRIDS` about points (degrees)."""
    grid: Grid = grid_named(GRIDS[name])
    across, reach = {
        "smap_l3": (4, 1.0),
        "smap_l3e": (4, 33.0 / 9.0),
        "cci": (3, 1.0),
        "smap_sentinel": (1, 1.0),
        "lprm": (3, 1.0),
        "nnsm": (4, 1.0),
    }[name]
    return Footprints.holding(grid, lon, lat, across, reach)


class SmapRadiometer:
    """SMAP on the cells of one of its products."""

    def __init__(self, earth: Earth, cells: Footprints, shared_error: float = 0.0) -> None:
        self.cells, self.shared_error = cells, shared_error
        self.sensor = Radiometer(earth, "smap", cells, L_BAND, SMAP_BELIEFS)

    def observe(self, state: DayState, one: Pass, reanalysis: Floats | None = None) -> Retrievals:
        """Return what one pass delivers; `reanalysis` is its moisture (n,) at the cells."""
        view = self.sensor.observe(state, one)
        moisture = view.soil_moisture
        if reanalysis is not None:
            share = np.float32(self.shared_error)
            moisture = (1 - share) * moisture + share * reanalysis
        return retrievals(view, moisture)


def retrievals(view: MicrowaveView, moisture: Floats) -> Retrievals:
    """Return moisture with the quality word of SPL3SMP.

    What lies below the least value becomes the least; above the greatest the retrieval has failed.
    """
    is_found = moisture <= np.float32(GREATEST)
    moisture = np.where(is_found, moisture, np.float32(np.nan))
    quality = np.where(view.surface != 0, NOT_RECOMMENDED, 0)
    quality = np.where(is_found, quality, NOT_RECOMMENDED | NOT_SUCCESSFUL)
    quality = np.where(view.is_attempted, quality, NOT_RECOMMENDED | NOT_ATTEMPTED)
    return Retrievals(
        np.maximum(moisture, np.float32(LEAST)),
        quality.astype(np.uint16),
        view.surface,
        view.is_seen,
    )


class CciDay(NamedTuple):
    """One day of one CCI product: (n,) each."""

    soil_moisture: Floats
    uncertainty: Floats
    flag: Array


class CciSatellites:
    """The three CCI products on cells of 0.25 degree."""

    def __init__(self, earth: Earth, cells: Footprints) -> None:
        self.cells = cells
        self._radar = Scatterometer(earth, "metop", cells)
        self._radiometer = Radiometer(earth, "c-band", cells, C_BAND, C_BAND_BELIEFS)
        soil = earth.soil_map(cells.lon, cells.lat)
        full = 1 - soil.bulk_density_g_cm3 / np.float32(2.65)
        # The range of the model that the combined product is scaled to: its own soil, not the map.
        wet = np.float32(0.40) + np.float32(0.04) * self._radar.pattern("model-wet", 500.0)
        dry = np.float32(0.09) + np.float32(0.025) * self._radar.pattern("model-dry", 500.0)
        self._model = dry.astype(np.float32), (wet - dry).astype(np.float32)
        self._full = full.astype(np.float32)

    def observe(self, state: DayState) -> dict[str, CciDay]:
        """Return active, passive and combined of a day by source name."""
        active = self._radar.observe(state, ACTIVE_PASSES)
        views = [self._radiometer.observe(state, one) for one in PASSIVE_PASSES]
        passive = _first_seen(*views)
        return {
            "cci_active": _cci_day(active, 100.0, 6 + 3 * active.leaf_water),
            "cci_passive": _cci_day(passive, 1.0, 0.02 + 0.012 * passive.leaf_water),
            "cci_combined": _cci_day(self._combined(active, passive), 1.0, None),
        }

    def _combined(self, active: MicrowaveView, passive: MicrowaveView) -> MicrowaveView:
        """Return the mean of both in the model's range; radar has more weight under leaves."""
        dry, span = self._model
        wetness = passive.soil_moisture / (np.float32(0.7) * self._full)
        of_passive = dry + span * np.clip(wetness, 0, 1.2)
        of_active = dry + span * active.soil_moisture / 100
        weight = np.clip(0.25 + 0.12 * active.leaf_water, 0, 0.7).astype(np.float32)
        weight = np.where(np.isnan(of_passive), 1, np.where(np.isnan(of_active), 0, weight))
        both = weight * np.nan_to_num(of_active) + (1 - weight) * np.nan_to_num(of_passive)
        is_known = ~(np.isnan(of_active) & np.isnan(of_passive))
        return MicrowaveView(
            np.where(is_known, both, np.nan).astype(np.float32),
            active.surface,
            active.is_seen | passive.is_seen,
            active.is_attempted | passive.is_attempted,
            active.leaf_water,
        )


def _first_seen(first: MicrowaveView, second: MicrowaveView) -> MicrowaveView:
    """Return what the first instrument saw, and elsewhere what the second saw."""
    pairs = zip(vars(first).values(), vars(second).values(), strict=True)
    return MicrowaveView(*(np.where(first.is_seen, a, b) for a, b in pairs))


def _cci_day(view: MicrowaveView, greatest: float, uncertainty: Floats | None) -> CciDay:
    """Return a day of a product: values, their uncertainty and the flag of CCI."""
    value = view.soil_moisture
    cold = (view.surface & (SNOW | FROZEN_MODEL | FROZEN_SEEN)) != 0
    flag = np.where(cold, SNOW_OR_FROZEN, 0) | np.where(view.surface & DENSE, DENSE_VEGETATION, 0)
    is_beyond = ~np.isnan(value) & (value > greatest)
    flag = np.where(is_beyond, flag | BEYOND_LIMITS, flag)
    flag = np.where(view.is_attempted & np.isnan(value), flag | NO_CONVERGENCE, flag)
    flag = np.where(view.is_seen, flag, NOT_OBSERVED).astype(np.int8)
    held = np.where(view.is_seen & ~is_beyond, value, np.nan).astype(np.float32)
    spread = np.full(held.shape, 0.03, np.float32) if uncertainty is None else uncertainty
    return CciDay(held, np.where(np.isnan(held), np.nan, spread).astype(np.float32), flag)


class SentinelRadar:
    """SMAP/Sentinel-1: SMAP's morning retrieval spread over 1 km cells by a radar."""

    CONTRAST = np.float32(0.8)
    """Share of the difference from the footprint's mean that bare ground shows."""
    SPECKLE = np.float32(0.045)
    """m3 m-3, of a 1 km cell."""

    def __init__(self, earth: Earth, cells: Footprints) -> None:
        self.cells = cells
        self.coarse = footprints("smap_l3", cells.lon, cells.lat)
        self._smap = SmapRadiometer(earth, self.coarse)
        self._radar = FootprintSensor(earth, "sentinel", cells)
        row, col = self.coarse.grid.pixel_of(cells.lon, cells.lat)
        flat = self.coarse.rows * self.coarse.grid.cols + self.coarse.cols
        self._in = np.searchsorted(flat, row * self.coarse.grid.cols + col)
        self._bias = np.float32(0.025) * self._radar.pattern("ground", 6.0)

    def observe(self, fine: DayState, coarse: DayState) -> Retrievals:
        """Return one day from the states of the 1 km cells and of the coarse footprints' places."""
        number = int(fine.day.astype(int))
        below = self._smap.observe(coarse, MORNING)
        mean = self.coarse.mean(self._smap.sensor.moisture(coarse, MORNING.hour))
        own = self._radar.moisture(fine, MORNING.hour)
        leaves = np.exp(np.float32(-0.07) * fine.lai)
        speckle = self.SPECKLE * self._radar.normal("speckle", number)
        contrast = self.CONTRAST * leaves * (own - mean[self._in]) + speckle + self._bias
        return Retrievals(
            np.clip(below.soil_moisture[self._in] + contrast, LEAST, GREATEST_1KM),
            below.quality[self._in],
            below.surface[self._in],
            below.is_seen[self._in],
        )
