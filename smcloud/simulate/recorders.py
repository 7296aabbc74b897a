"""Recorders: simulated sensors as the layers of product files.

A recorder is made for the pixels of a tile, is fed the true state of every day, and hands out the
layers of a period when its last day has been fed. MODIS layers are what the sensors of `sensors`
and `composites` deliver. GLASS is made of the same looks as its makers make it of MODIS: leaf area
without gaps, albedo as the mean of eight days, temperature under cloud as well.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from typing import Protocol, TypeVar

import numpy as np

from smcloud.simulate.composites import LaiComposite, ReflectanceComposite, VegetationComposite
from smcloud.simulate.granules_glass import QA_ACCEPTABLE, QA_BAD, QA_GOOD, albedo_quality
from smcloud.simulate.hdf_eos import Array
from smcloud.simulate.records import AlbedoView, DayState, LstView
from smcloud.simulate.sensors import AlbedoSensor, LstSensor

View = TypeVar("View")
Layers = Mapping[str, Array]
FULL_INVERSION, MAGNITUDE_INVERSION, NOT_PRODUCED = 0, 1, 255
"""Mandatory quality of MCD43A3."""
CLASSES_OF_FULL_INVERSION = 2
"""Band qualities 0 and 1 of MCD43A2 are full inversions, 2 and 3 magnitude, 4 is fill."""


class Recorder(Protocol):
    """What turns daily states into the layers of one product."""

    def observe(self, state: DayState) -> None:
        """Take the next day into account; days come in order."""

    def layers(self, start: date) -> Layers:
        """Return the layers of the period that began on `start` and forget its looks."""


RecorderType = Callable[[int, Array, Array], Recorder]
"""Made of seed, longitude and latitude (n,)."""


class LstRecorder:
    """MOD11A1."""

    def __init__(self, seed: int, lon: Array, lat: Array) -> None:
        self._sensor = LstSensor(seed, lon, lat)
        self._view: LstView | None = None

    def observe(self, state: DayState) -> None:
        """Look at the day."""
        self._view = self._sensor.observe(state)

    def layers(self, start: date) -> Layers:
        """Return temperatures (K), QC bytes, view angles and times; emissivities stay fill."""
        view = _seen(self._view, start)
        return {
            "LST_Day_1km": view.lst_day_k,
            "QC_Day": view.qc_day,
            "Day_view_time": view.view_time_day_hour,
            "Day_view_angl": view.view_angle_day_degree,
            "LST_Night_1km": view.lst_night_k,
            "QC_Night": view.qc_night,
            "Night_view_time": view.view_time_night_hour,
            "Night_view_angl": view.view_angle_night_degree,
        }


class VegetationRecorder:
    """MOD13A2."""

    def __init__(self, seed: int, lon: Array, lat: Array) -> None:
        self._place = seed, lon, lat
        self._composite: VegetationComposite | None = None

    def observe(self, state: DayState) -> None:
        """Add the day to the composite."""
        if self._composite is None:
            self._composite = VegetationComposite(*self._place, state.day)
        self._composite.add(state)

    def layers(self, start: date) -> Layers:
        """Return NDVI, EVI, quality word, day of year and reliability."""
        view = _seen(self._composite, start).finish()
        self._composite = None
        return {
            "1 km 16 days NDVI": view.ndvi,
            "1 km 16 days EVI": view.evi,
            "1 km 16 days VI Quality": view.quality,
            "1 km 16 days composite day of the year": view.day_of_year,
            "1 km 16 days pixel reliability": view.reliability,
        }


class ReflectanceRecorder:
    """MOD09A1; the four half-kilometre parts of a pixel are alike."""

    def __init__(self, seed: int, lon: Array, lat: Array) -> None:
        self._place = seed, lon, lat
        self._composite: ReflectanceComposite | None = None

    def observe(self, state: DayState) -> None:
        """Add the day to the composite."""
        if self._composite is None:
            self._composite = ReflectanceComposite(*self._place, state.day)
        self._composite.add(state)

    def layers(self, start: date) -> Layers:
        """Return seven bands, state and quality words, day of year."""
        view = _seen(self._composite, start).finish()
        self._composite = None
        bands = {f"sur_refl_b{band:02d}": view.reflectance[band - 1] for band in range(1, 8)}
        return {
            **bands,
            "sur_refl_qc_500m": view.qc_flags,
            "sur_refl_state_500m": view.state_flags,
            "sur_refl_day_of_year": view.day_of_year,
        }


class LaiRecorder:
    """MOD15A2H; the four half-kilometre parts of a pixel are alike."""

    def __init__(self, seed: int, lon: Array, lat: Array) -> None:
        self._place = seed, lon, lat
        self._composite: LaiComposite | None = None

    def observe(self, state: DayState) -> None:
        """Add the day to the composite."""
        if self._composite is None:
            self._composite = LaiComposite(*self._place, state.day)
        self._composite.add(state)

    def layers(self, start: date) -> Layers:
        """Return leaf area, absorbed fraction and both quality bytes."""
        view = _seen(self._composite, start).finish()
        self._composite = None
        return {
            "Lai_500m": view.lai,
            "Fpar_500m": view.fpar,
            "FparLai_QC": view.quality,
            "FparExtra_QC": view.extra,
        }


class GlassLaiRecorder(LaiRecorder):
    """GLASS LAI: the same looks without quality, on whole pixels."""

    def layers(self, start: date) -> Layers:
        """Return leaf area."""
        return {"LAI": super().layers(start)["Lai_500m"]}


class AlbedoRecorder:
    """MCD43A3; the four half-kilometre parts of a pixel are alike."""

    def __init__(self, seed: int, lon: Array, lat: Array) -> None:
        self._sensor = AlbedoSensor(seed, lon, lat)
        self._view: AlbedoView | None = None

    def observe(self, state: DayState) -> None:
        """Look at the day."""
        self._view = self._sensor.observe(state)

    def layers(self, start: date) -> Layers:
        """Return shortwave albedos and their mandatory quality."""
        view = _seen(self._view, start)
        is_full = view.quality < CLASSES_OF_FULL_INVERSION
        quality = np.where(is_full, FULL_INVERSION, MAGNITUDE_INVERSION)
        quality = np.where(np.isnan(view.wsa), NOT_PRODUCED, quality)
        return {
            "Albedo_WSA_shortwave": view.wsa,
            "Albedo_BSA_shortwave": view.bsa,
            "BRDF_Albedo_Band_Mandatory_Quality_shortwave": quality.astype(np.uint8),
        }


class GlassAlbedoRecorder:
    """GLASS albedo: the mean of the days of a period that were delivered."""

    def __init__(self, seed: int, lon: Array, lat: Array) -> None:
        self._sensor = AlbedoSensor(seed, lon, lat)
        self._views: list[AlbedoView] = []

    def observe(self, state: DayState) -> None:
        """Look at the day."""
        self._views.append(self._sensor.observe(state))

    def layers(self, start: date) -> Layers:
        """Return shortwave albedos and their QA word; NaN where no day was delivered."""
        views, self._views = self._views, []
        is_full = np.stack([view.quality < CLASSES_OF_FULL_INVERSION for view in views]).mean(0)
        wsa = _mean_of_known(np.stack([view.wsa for view in views]))
        bsa = _mean_of_known(np.stack([view.bsa for view in views]))
        overall = np.where(is_full >= 0.5, QA_GOOD, QA_ACCEPTABLE)
        overall = np.where(np.isnan(wsa), QA_BAD, overall)
        land = np.full(wsa.shape, 100)
        good = np.rint(100 * is_full)
        return {
            "ABD_WSA_shortwave": wsa,
            "ABD_BSA_shortwave": bsa,
            "ABD_QA_shortwave": albedo_quality(overall, land, good),
        }


class GlassLstRecorder:
    """GLASS LST: the mean of day and night, delivered under cloud too."""

    def __init__(self, seed: int, lon: Array, lat: Array) -> None:
        self._sensor = LstSensor(seed, lon, lat)
        self._view: LstView | None = None

    def observe(self, state: DayState) -> None:
        """Look at the day as if no cloud hid it."""
        clear = np.zeros(state.cloud_day.shape, bool)
        self._view = self._sensor.observe(replace(state, cloud_day=clear, cloud_night=clear))

    def layers(self, start: date) -> Layers:
        """Return the temperature (K)."""
        view = _seen(self._view, start)
        return {"LST": _mean_of_known(np.stack([view.lst_day_k, view.lst_night_k]))}


def _mean_of_known(values: Array) -> Array:
    """Return the mean over the first axis of what is not NaN; NaN where nothing is known."""
    known = ~np.isnan(values)
    count = known.sum(0)
    total = np.where(known, values, 0.0).sum(0)
    mean: Array = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean


def _seen(view: View | None, start: date) -> View:
    """Return what was seen, or raise if no day was fed."""
    if view is None:
        raise ValueError(f"no day was fed to the period of {start}: feed its days first")
    return view
