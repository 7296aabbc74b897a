"""Where a sun-synchronous imager looks: orbit, swath, view angle, time of view.

A circular orbit at 705 km, inclined by 98.2 degrees, 233 orbits in 16 days (Terra), scanning 55
degrees to each side (MOD11A1 user guide; Wolfe et al. 2002, Remote Sens. Environ. 83, 31-49).
Neighbouring tracks of one day are 24.7 degrees of longitude apart, 2750 km at the equator, more
than the swath of 2330 km: gaps stay open below about 30 degrees of latitude and move from day
to day.
"""

from typing import NamedTuple

import numpy as np

from smcloud.simulate.noise import EARTH_RADIUS_KM, Doubles, Floats

ORBIT_HEIGHT_KM = 705.0
INCLINATION = np.deg2rad(98.2)
ORBITS_PER_DAY = 233 / 16
GREATEST_SCAN = np.deg2rad(55.0)
TRACK_SPACING = 360.0 / ORBITS_PER_DAY
DAY_HOUR, NIGHT_HOUR = 10.5, 22.5


class Look(NamedTuple):
    """How places are seen on one day; NaN between swaths."""

    angle_degree: Floats
    """View zenith angle, negative to the east of the track."""
    hour: Floats
    """Local solar time."""


class Swath:
    """Fixed geometry of places under the orbit; `look` adds the day."""

    def __init__(self, lon: Doubles, lat: Doubles) -> None:
        phi = np.clip(np.deg2rad(lat), -1.42, 1.42)
        # Longitude between the node of the track and its point at this latitude, on the turning
        # Earth (sidereal turning of a track that climbs to the latitude in u / 2 pi orbits).
        argument = np.arcsin(np.clip(np.sin(phi) / np.sin(INCLINATION), -1.0, 1.0))
        ahead = np.arctan2(np.cos(INCLINATION) * np.sin(argument), np.cos(argument))
        along = np.rad2deg(ahead) - TRACK_SPACING * argument / (2.0 * np.pi)
        self._night = (lon - along).astype(np.float64)
        self._day = (lon + along).astype(np.float64)
        heading = np.cos(INCLINATION) / np.cos(phi)
        across = np.cos(phi) * np.sqrt(np.clip(1.0 - heading**2, 0.0, 1.0))
        self._km = (np.deg2rad(1.0) * EARTH_RADIUS_KM * across).astype(np.float32)
        self._reach, self._angle = _scan_table()

    def look(self, day: int, is_night: bool) -> Look:
        """Return how each place is seen by the nearest track of the day (days since 1970)."""
        phase = (day * ORBITS_PER_DAY % 1.0 + (0.5 if is_night else 0.0)) * TRACK_SPACING
        offset = np.mod((self._night if is_night else self._day) + phase, TRACK_SPACING)
        degrees = (offset - 0.5 * TRACK_SPACING).astype(np.float32)
        distance = np.abs(degrees) * self._km
        angle = np.interp(distance, self._reach, self._angle).astype(np.float32)
        angle = np.where(distance > self._reach[-1], np.float32(np.nan), angle)
        centre = NIGHT_HOUR if is_night else DAY_HOUR
        return Look(
            np.where(degrees > 0, -angle, angle),
            np.where(np.isnan(angle), angle, np.float32(centre) + degrees / np.float32(15.0)),
        )


def _scan_table() -> tuple[Doubles, Doubles]:
    """Return ground distances (km) from the track and the view zenith angles (degrees) there."""
    scan = np.linspace(0.0, GREATEST_SCAN, 60)
    zenith = np.arcsin(np.sin(scan) * (EARTH_RADIUS_KM + ORBIT_HEIGHT_KM) / EARTH_RADIUS_KM)
    return EARTH_RADIUS_KM * (zenith - scan), np.rad2deg(zenith)
