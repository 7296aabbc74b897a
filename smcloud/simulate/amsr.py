"""Radiometers at C-band of the simulated Earth, each with an orbit and a calibration of its own.

AMSR-E ended in October 2011 and AMSR2 began in July 2012; WindSat overlaps the one for years and
the other for a month. What they retrieve differs in range, offset and noise, so that the join of
two of them shows. Two retrievals are simulated: LPRM's, which tells temperature, optical depth and
error beside the moisture, and that of a network which learnt from SMAP and tells moisture alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from smcloud.simulate.emission import C_BAND, GREATEST_MOISTURE, Channel, transmissivity
from smcloud.simulate.footprints import Footprints
from smcloud.simulate.microwave import SNOW, Beliefs, Pass, Radiometer
from smcloud.simulate.noise import Doubles, Floats
from smcloud.simulate.records import Bools, WaterDay
from smcloud.simulate.swath import AQUA, CORIOLIS, FENGYUN_3B, GCOM_W, Orbit
from smcloud.simulate.world import Earth

EPOCH = np.datetime64("1993-01-01", "D")
"""From which LPRM counts the seconds of scans."""
TOLD_FROM_K = 8.0
"""Kelvins of interference from which it is recognised."""
TEMPERATURE_ERROR_K = np.float32(1.5)
SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Satellite:
    """A radiometer at C-band.

    Attributes
    ----------
    word : str
        Sets its random numbers apart.
    orbit : Orbit
    channel : Channel
    scale, offset : float
        Retrieved moisture = scale * moisture by the model + offset (m3 m-3).
    """

    word: str
    orbit: Orbit
    channel: Channel
    scale: float
    offset: float

    def passes(self, *, by_night: bool) -> Pass:
        """Return its pass by night or by day: all of them descend by night."""
        return Pass(f"{self.word}-{'night' if by_night else 'day'}", self.orbit, not by_night)


AMSRE = Satellite("amsr-e", AQUA, replace(C_BAND, noise_k=3.2), 0.85, 0.045)
AMSR2 = Satellite("amsr2", GCOM_W, replace(C_BAND, noise_k=2.6), 1.0, 0.0)
WINDSAT = Satellite("windsat", CORIOLIS, replace(C_BAND, noise_k=3.6), 1.10, -0.02)
MWRI = Satellite("mwri", FENGYUN_3B, replace(C_BAND, noise_k=4.0), 0.95, 0.01)
LPRM_BELIEFS = Beliefs(leaf_fixed=0.25, leaf_slow=0.60, temperature_k=6.0, roughness=0.35)
NETWORK_BELIEFS = Beliefs(leaf_fixed=0.20, leaf_slow=0.45, temperature_k=4.0, roughness=0.30)
NETWORK_SCALES: Mapping[str, tuple[float, float]] = {
    "amsr-e": (0.96, 0.012),
    "amsr2": (1.0, 0.0),
    "mwri": (0.92, 0.02),
}
"""One network for all radiometers leaves less of a difference between them."""


BARE_MOISTURE, COVERED_MOISTURE = np.float32(0.09), np.float32(0.33)
"""What SMAP says on average where nothing grows and under the densest leaves (m3 m-3): what a
network tells where it sees nothing of the soil."""
COVERED_LEAF_WATER = np.float32(1.5)
"""kg m-2 at which the average is two thirds of the way from the one to the other."""
SIGNAL_K = np.float32(15.0)
"""What the usual spread of moisture does to the brightness of bare soil at C-band."""
OTHER_K = np.float32(3.0)
"""What the soil's temperature and roughness do to it, as far as no channel tells."""
LEAVES_K = np.float32(50.0)
"""What leaves do to it that are believed to be half as many again (`NETWORK_BELIEFS`), for each
unit of the soil's emission that they stop: 12 K for 1 kg m-2 of their water."""


class LprmLooks(NamedTuple):
    """What LPRM delivers of a pass, (n,) each; NaN unknown."""

    percent: Floats
    """Soil moisture, per cent."""
    error_percent: Floats
    depth: Floats
    """Optical depth of leaves."""
    temperature_k: Floats
    seconds: Doubles
    """Since `EPOCH`; NaN where nothing was seen."""
    is_disturbed: Bools
    """Recognised as spoilt by transmitters."""
    is_seen: Bools


class LprmRadiometer:
    """A radiometer and the retrieval of LPRM from it."""

    def __init__(self, earth: Earth, satellite: Satellite, cells: Footprints) -> None:
        self.satellite, self.cells = satellite, cells
        self.sensor = _Heard(
            earth, f"lprm-{satellite.word}", cells, satellite.channel, LPRM_BELIEFS
        )

    def observe(self, state: WaterDay, *, by_night: bool = True) -> LprmLooks:
        """Return what a pass of a day delivers; `state` is that of the cells' places."""
        one = self.satellite.passes(by_night=by_night)
        view = self.sensor.observe(state, one)
        number = int(state.day.astype(int))
        error = TEMPERATURE_ERROR_K * self.sensor.normal(f"ts-{one.name}", number)
        temperature = self.cells.mean(state.soil_temperature_k) + error
        known = view.is_seen & ((view.surface & SNOW) == 0)
        moisture = np.float32(self.satellite.scale) * view.soil_moisture
        percent = 100 * (moisture + np.float32(self.satellite.offset))
        utc = (one.hour - self.cells.lon / 15.0) % 24.0
        day = (state.day - EPOCH).astype(int)
        seconds = (day * 24 + utc) * SECONDS_PER_HOUR
        return LprmLooks(
            np.where(view.is_seen, np.clip(percent, 0, 100), np.float32(np.nan)),
            _where_seen(view.is_attempted, 3 + np.float32(1.5) * view.leaf_water),
            _where_seen(view.is_attempted, self.sensor.channel.opacity * view.leaf_water),
            _where_seen(known, temperature),
            np.where(view.is_seen, seconds, np.nan),
            view.is_seen & (self.sensor.interference(one, number) > TOLD_FROM_K),
            view.is_seen,
        )


class NetworkRadiometer:
    """A radiometer and the network that learnt from SMAP.

    What is trained by least squares tells the mean of all that a measurement may mean: it varies
    less than what it learnt from, and the less the more leaves hide the soil. An inversion, which
    explains each measurement in full, varies more.
    """

    def __init__(self, earth: Earth, satellite: Satellite, cells: Footprints) -> None:
        self.satellite = satellite
        self.sensor = Radiometer(
            earth, f"network-{satellite.word}", cells, satellite.channel, NETWORK_BELIEFS
        )

    def observe(self, state: WaterDay) -> Floats:
        """Return soil moisture (m3 m-3, n) of the pass by night; NaN where there is none."""
        view = self.sensor.observe(state, self.satellite.passes(by_night=True))
        expected = usual_moisture(view.leaf_water)
        # Colder than the wettest soil: an inversion fails there, a network does not.
        inverted = np.where(np.isnan(view.soil_moisture), GREATEST_MOISTURE, view.soil_moisture)
        trust = trust_in_brightness(view.leaf_water, self.satellite.channel)
        scale, offset = NETWORK_SCALES[self.satellite.word]
        value = np.float32(scale) * (expected + trust * (inverted - expected)) + np.float32(offset)
        return np.where(view.is_attempted, np.clip(value, 0, 0.6), np.float32(np.nan))


def usual_moisture(leaf_water: Floats) -> Floats:
    """Return what SMAP tells on average (m3 m-3) where leaves hold so much water (kg m-2)."""
    covered = 1 - np.exp(-leaf_water / COVERED_LEAF_WATER)
    value: Floats = BARE_MOISTURE + (COVERED_MOISTURE - BARE_MOISTURE) * covered
    return value


def trust_in_brightness(leaf_water: Floats, channel: Channel) -> Floats:
    """Return the share of a departure from the usual that least squares believes, 0 to 1.

    It is the variance that moisture gives the brightness over all of its variance, where leaves
    of so much water (kg m-2) weaken the one and add to the other.
    """
    through = transmissivity(leaf_water, channel)
    own = np.float32(1 - channel.scattering) * (1 - through)
    signal = (SIGNAL_K * through * (1 - own)) ** 2
    other = np.float32(channel.noise_k) ** 2 + OTHER_K**2 + (LEAVES_K * (1 - through)) ** 2
    value: Floats = signal / (signal + other)
    return value


class _Heard(Radiometer):
    """A radiometer whose interference can be asked for."""

    def interference(self, one: Pass, day: int) -> Floats:
        """Return the kelvins that transmitters added to a pass of a day, (n,)."""
        return self._interference(one, day)


def _where_seen(seen: Bools, values: Floats) -> Floats:
    return np.where(seen, values, np.float32(np.nan)).astype(np.float32)
