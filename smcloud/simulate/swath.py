"""Where a sun-synchronous instrument looks: orbit, swath, view angle, time of view.

Circular orbits that a satellite keeps over the turning Earth; scans reach to both sides of the
track. Terra (MOD11A1 user guide; Wolfe et al. 2002, Remote Sens. Environ. 83, 31-49): 705 km,
inclined by 98.2 degrees, 233 orbits in 16 days, 55 degrees to each side. Its neighbouring tracks of
one day are 24.7 degrees of longitude apart, 2750 km at the equator, more than the swath of 2330 km:
gaps stay open below about 30 degrees of latitude and move from day to day. The swaths of the
microwave instruments are narrower (handbooks of SMAP, ASCAT on Metop, AMSR2 and SMOS; 1445 km for
AMSR-E on Aqua, 1025 km for WindSat on Coriolis, 1400 km for MWRI on FengYun-3B), so that their gaps
reach far poleward.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from smcloud.simulate.noise import EARTH_RADIUS_KM, Doubles, Floats


@dataclass(frozen=True)
class Orbit:
    """A circular orbit and the scan of an instrument on it.

    Attributes
    ----------
    height_km, inclination_degree, orbits_per_day : float
    greatest_scan_degree : float
        How far from the nadir the instrument scans, seen from the satellite.
    descending_hour, ascending_hour : float
        Local solar time of the two passes.
    nearest_km : float
        What lies nearer to the track is not seen: the gap between a radar's two swaths.
    phase : float
        Share of an orbit by which this satellite is ahead of another one on the same orbit.
    """

    height_km: float
    inclination_degree: float
    orbits_per_day: float
    greatest_scan_degree: float
    descending_hour: float
    ascending_hour: float
    nearest_km: float = 0.0
    phase: float = 0.0

    @property
    def track_spacing(self) -> float:
        """Return the degrees of longitude between neighbouring tracks of a day."""
        return 360.0 / self.orbits_per_day


TERRA = Orbit(705.0, 98.2, 233 / 16, 55.0, 10.5, 22.5)
SMAP = Orbit(685.0, 98.12, 117 / 8, 35.5, 6.0, 18.0)
METOP_A = Orbit(817.0, 98.7, 412 / 29, 45.1, 9.5, 21.5, nearest_km=336.0)
METOP_B = Orbit(817.0, 98.7, 412 / 29, 45.1, 9.5, 21.5, nearest_km=336.0, phase=0.43)
GCOM_W = Orbit(700.0, 98.2, 233 / 16, 44.3, 1.5, 13.5, phase=0.21)
SMOS = Orbit(755.0, 98.4, 2148 / 149, 34.0, 18.0, 6.0, phase=0.67)
AQUA = Orbit(705.0, 98.2, 233 / 16, 44.2, 1.5, 13.5, phase=0.55)
CORIOLIS = Orbit(830.0, 98.7, 14.19, 30.9, 6.0, 18.0, phase=0.38)
FENGYUN_3B = Orbit(836.0, 98.75, 14.17, 38.9, 1.6, 13.6, phase=0.12)


class Look(NamedTuple):
    """How places are seen on one day; NaN between swaths."""

    angle_degree: Floats
    """View zenith angle, negative to the east of the track."""
    hour: Floats
    """Local solar time."""


class Swath:
    """Fixed geometry of places under an orbit; `look` adds the day."""

    def __init__(self, lon: Doubles, lat: Doubles, orbit: Orbit = TERRA) -> None:
        self.orbit = orbit
        inclination = np.deg2rad(orbit.inclination_degree)
        phi = np.clip(np.deg2rad(lat), -1.42, 1.42)
        # Longitude between the node of the track and its point at this latitude, on the turning
        # Earth (sidereal turning of a track that climbs to the latitude in u / 2 pi orbits).
        argument = np.arcsin(np.clip(np.sin(phi) / np.sin(inclination), -1.0, 1.0))
        ahead = np.arctan2(np.cos(inclination) * np.sin(argument), np.cos(argument))
        along = np.rad2deg(ahead) - orbit.track_spacing * argument / (2.0 * np.pi)
        self._ascending = (lon - along).astype(np.float64)
        self._descending = (lon + along).astype(np.float64)
        heading = np.cos(inclination) / np.cos(phi)
        across = np.cos(phi) * np.sqrt(np.clip(1.0 - heading**2, 0.0, 1.0))
        self._km = (np.deg2rad(1.0) * EARTH_RADIUS_KM * across).astype(np.float32)
        self._reach, self._angle = _scan_table(orbit)

    def look(self, day: int, is_ascending: bool) -> Look:
        """Return how each place is seen by the nearest track of the day (days since 1970)."""
        orbit = self.orbit
        share = day * orbit.orbits_per_day % 1.0 + (0.5 if is_ascending else 0.0) + orbit.phase
        place = self._ascending if is_ascending else self._descending
        offset = np.mod(place + share * orbit.track_spacing, orbit.track_spacing)
        degrees = (offset - 0.5 * orbit.track_spacing).astype(np.float32)
        distance = np.abs(degrees) * self._km
        angle = np.interp(distance, self._reach, self._angle).astype(np.float32)
        is_out = (distance > self._reach[-1]) | (distance < orbit.nearest_km)
        angle = np.where(is_out, np.float32(np.nan), angle)
        centre = orbit.ascending_hour if is_ascending else orbit.descending_hour
        return Look(
            np.where(degrees > 0, -angle, angle),
            np.where(np.isnan(angle), angle, np.float32(centre) + degrees / np.float32(15.0)),
        )


def _scan_table(orbit: Orbit) -> tuple[Doubles, Doubles]:
    """Return ground distances (km) from the track and the view zenith angles (degrees) there."""
    scan = np.linspace(0.0, np.deg2rad(orbit.greatest_scan_degree), 60)
    zenith = np.arcsin(np.sin(scan) * (EARTH_RADIUS_KM + orbit.height_km) / EARTH_RADIUS_KM)
    return EARTH_RADIUS_KM * (zenith - scan), np.rad2deg(zenith)
