"""The station-day table of the simulated Earth, straight from its sensors, without any file.

It is what the gates train on: daily means of the probes beside the satellite products and the
reanalysis at their pixels. The real road, through files, cubes and the feature catalogue, gives
the same kind of table; this one exists because the gates concern the simulator alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smcloud.simulate.climate import day_of_year
from smcloud.simulate.composites import LaiComposite, ReflectanceComposite, VegetationComposite
from smcloud.simulate.noise import Doubles, Floats
from smcloud.simulate.reanalysis import Reanalysis
from smcloud.simulate.records import DayState, Station
from smcloud.simulate.sensors import AlbedoSensor, LstSensor
from smcloud.simulate.stations import Probes, site_ground, station_pixel_centres
from smcloud.simulate.world import Earth

OPTICAL = ("lst_day", "lst_night", "albedo", "lai", "ndvi", "evi", "lswi", "ndwi", "nsdsi")
REANALYSIS = ("era5_swvl1", "era5_antecedent_rain")
STATIC = ("elevation", "slope", "sand", "silt", "clay", "bulk_density")
SEASON = ("doy_sin", "doy_cos")
COLUMNS = OPTICAL + REANALYSIS + STATIC + SEASON
GOOD_HOURS = 12
RAIN_MEMORY = np.float32(0.91)
"""Daily factor of the antecedent rain index (that of GSSM1km)."""


@dataclass(frozen=True)
class StationDays:
    """Rows of one station and one day each."""

    columns: tuple[str, ...]
    features: Floats
    """(rows, columns); NaN where a sensor delivered nothing."""
    soil_moisture: Floats
    """Mean of the good hours of the day, m3 m-3."""
    truth: Floats
    """True 0-5 cm moisture of the 1 km pixel, m3 m-3."""
    station: NDArray[np.int32]
    """Index into the stations."""
    network: NDArray[np.int32]
    day: NDArray[np.int32]
    """Days since 1970-01-01."""

    def column(self, name: str) -> Floats:
        """Return one feature."""
        return self.features[:, self.columns.index(name)]


def station_days(
    earth: Earth, stations: Sequence[Station], days: NDArray[np.datetime64]
) -> StationDays:
    """Return the table of all days on which a probe has enough good hours.

    Parameters
    ----------
    days
        Consecutive datetime64[D].
    """
    x, y = station_pixel_centres(stations)
    probes, seen, truth = _observe(earth, stations, x, y, days)
    model = reanalysis_days(earth.seed, x, y, days)
    fixed = _static(earth, x, y)
    turn = np.array([2 * np.pi * day_of_year(day) / 365.25 for day in days])
    shape = probes.shape
    season = [np.broadcast_to(wave(turn)[:, None], shape) for wave in (np.sin, np.cos)]
    static = [np.broadcast_to(value[None, :], shape) for value in fixed]
    cube = np.stack([*seen, *model, *static, *season], axis=-1).astype(np.float32)
    row, column = np.nonzero(np.isfinite(probes))
    names = {name: k for k, name in enumerate(sorted({s.network for s in stations}))}
    networks = np.array([names[s.network] for s in stations], np.int32)
    return StationDays(
        COLUMNS,
        cube[row, column],
        probes[row, column],
        truth[row, column],
        column.astype(np.int32),
        networks[column],
        days.astype("datetime64[D]").astype(np.int32)[row],
    )


def _day_mean(values: Floats, flags: NDArray[np.uint8]) -> Floats:
    """Return the mean of the good hours of a day; NaN where they are too few."""
    good = (flags == 0) & np.isfinite(values)
    count = good.sum(axis=0)
    total = np.where(good, values, np.float32(0.0)).sum(axis=0)
    enough = count >= GOOD_HOURS
    return np.where(enough, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _observe(
    earth: Earth,
    stations: Sequence[Station],
    lon: Doubles,
    lat: Doubles,
    days: NDArray[np.datetime64],
) -> tuple[Floats, list[Floats], Floats]:
    """Return daily probe means, the columns of `OPTICAL` and the pixel truth, each (days, n).

    Sites and pixels are stepped together, sites first: they share their weather.
    """
    site, count = site_ground(earth, stations), len(stations)
    probe = Probes(earth.seed, stations, site.porosity)
    thermal, white = LstSensor(earth.seed, lon, lat), AlbedoSensor(earth.seed, lon, lat)
    out: dict[str, list[Floats]] = {name: [] for name in OPTICAL}
    probes, truth = [], []
    both_lon = np.concatenate([[s.longitude for s in stations], lon])
    both_lat = np.concatenate([[s.latitude for s in stations], lat])
    ground = site.joined(earth.ground(lon, lat))
    for period in _periods(earth.run(both_lon, both_lat, days, ground=ground)):
        pixels = [state.part(slice(count, None)) for state in period]
        for state, pixel in zip(period, pixels, strict=True):
            reading, view = probe.observe(state.part(slice(0, count))), thermal.observe(pixel)
            probes.append(_day_mean(reading.values, reading.flags))
            out["lst_day"].append(view.lst_day_k)
            out["lst_night"].append(view.lst_night_k)
            out["albedo"].append(white.observe(pixel).wsa)
            truth.append(pixel.soil_moisture)
        for name, value in _composites(earth.seed, lon, lat, pixels).items():
            out[name] += [value] * len(pixels)
    return np.stack(probes), [np.stack(out[name]) for name in OPTICAL], np.stack(truth)


def _periods(states: Iterator[DayState]) -> Iterator[list[DayState]]:
    """Yield the states in the 16-day periods of the calendar year (the last one is shorter)."""
    period: list[DayState] = []
    for state in states:
        if period and day_of_year(state.day) % 16 == 1:
            yield period
            period = []
        period.append(state)
    if period:
        yield period


def _composites(
    seed: int, lon: Doubles, lat: Doubles, states: Sequence[DayState]
) -> dict[str, Floats]:
    """Return the composite columns of one period: 16 days of vegetation, 8 of the others."""
    start = states[0].day
    vegetation = VegetationComposite(seed, lon, lat, start)
    surface = ReflectanceComposite(seed, lon, lat, start)
    leaves = LaiComposite(seed, lon, lat, start)
    for state in states:
        vegetation.add(state)
    for state in states[:8]:
        surface.add(state)
        leaves.add(state)
    index, (_, nir, _, _, b5, b6, b7) = vegetation.finish(), surface.finish().reflectance
    return {
        "ndvi": index.ndvi,
        "evi": index.evi,
        "lai": leaves.finish().lai,
        "lswi": _ratio(nir, b6),
        "ndwi": _ratio(nir, b5),
        "nsdsi": _ratio(b6, b7),
    }


def _ratio(a: Floats, b: Floats) -> Floats:
    """Return the normalised difference of two reflectances."""
    index: Floats = (a - b) / np.maximum(a + b, np.float32(0.01))
    return index


def reanalysis_days(
    seed: int, lon: Doubles, lat: Doubles, days: NDArray[np.datetime64]
) -> tuple[Floats, Floats]:
    """Return daily swvl1 and antecedent rain (mm) at points, each (days, n)."""
    west, south = np.floor(lon * 10.0) / 10.0, np.floor(lat * 10.0) / 10.0
    east, up = (lon - west) * 10.0, (lat - south) * 10.0
    corners = [(0.0, 0.0), (0.1, 0.0), (0.0, 0.1), (0.1, 0.1)]
    weights = np.stack([(1 - east) * (1 - up), east * (1 - up), (1 - east) * up, east * up])
    x = np.concatenate([np.round(west + dx, 1) for dx, _ in corners])
    y = np.concatenate([np.round(south + dy, 1) for _, dy in corners])
    water, rain = [], []
    # Rain of a day is the accumulation at 00 UTC of the next: one day more is asked for.
    for hours in Reanalysis(seed).run(x, y, np.append(days, days[-1] + 1)):
        water.append(_blend(hours.swvl1.mean(axis=0), weights))
        rain.append(_blend(hours.tp[0] * np.float32(1000.0), weights))
    index, memory = [], np.zeros(lon.size, np.float32)
    for today in rain[1:]:
        memory = memory * RAIN_MEMORY + today
        index.append(memory)
    return np.stack(water[:-1]), np.stack(index)


def _blend(values: Floats, weights: Doubles) -> Floats:
    """Return corner values (4 n) blended to points."""
    blended: Floats = (values.reshape(4, -1) * weights).sum(axis=0).astype(np.float32)
    return blended


def _static(earth: Earth, lon: Doubles, lat: Doubles) -> list[Floats]:
    """Return the columns that do not change, as maps have them."""
    height = earth.elevation(lon, lat)
    soil = earth.soil_map(lon, lat)
    slope = earth.surface.slope(lon, lat, height)
    return [
        height,
        slope,
        soil.sand_percent,
        soil.silt_percent,
        soil.clay_percent,
        soil.bulk_density_g_cm3,
    ]
