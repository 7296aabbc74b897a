"""Networks and sites that differ: what a study of station selection and held-out networks needs.

Stations of `place_stations` differ from their pixel mostly in level, which no correlation notices.
Here, besides, every network has a kind of probe and a calibration of its own, the sites that do not
represent their pixel have a course of their own in time, and the static variables tell the land
cover and the climate of the place.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from smcloud.simulate.climate import Normals
from smcloud.simulate.noise import mix, normal_of, pixel_hash, pixel_keys, stream, uniform_of
from smcloud.simulate.records import Ground, Site, Station
from smcloud.simulate.stations import PROBES
from smcloud.simulate.world import Earth

NETWORK_GAIN, NETWORK_OFFSET = 0.08, 0.015
"""Standard deviations of a network's own calibration: factor, and m3 m-3."""

USUAL_SITE = Site(unrest=0.012, rain_scatter=0.25)
"""What every site has of its own, representative or not."""
ODD_SITES = (
    (0.30, Site(depth_share=0.75)),
    (0.55, Site(unrest=0.05)),
    (0.80, Site(rain_scatter=0.9, unrest=0.03)),
    (1.00, Site(is_watered=True, unrest=0.03)),
)
"""Upper end of the share of odd sites, and what is odd: seepage from below, poor contact, another
rain, a watered garden."""


def varied(earth: Earth, stations: Sequence[Station]) -> tuple[Station, ...]:
    """Return stations whose networks and odd sites differ as above; places and names stay."""
    if not stations:
        return ()
    lon = np.array([station.longitude for station in stations])
    lat = np.array([station.latitude for station in stations])
    luck = uniform_of(pixel_hash(pixel_keys(lon, lat), stream(earth.seed, "station-oddity")))
    covers = land_covers(earth.ground(lon, lat), earth.normals(lon, lat))
    climates = climate_classes(earth.normals(lon, lat))
    found = []
    for station, chance, cover, climate in zip(stations, luck, covers, climates, strict=True):
        odd = next(site for share, site in ODD_SITES if chance < share)
        site = USUAL_SITE if station.is_representative else odd
        gain, offset, probe = _network_make(earth.seed, station.network)
        site = replace(
            site,
            gain=gain,
            offset=offset,
            land_cover=cover[0],
            land_cover_name=cover[1],
            climate=climate[0],
            climate_name=climate[1],
        )
        found.append(replace(station, sensor=probe, site=site))
    return tuple(found)


def _network_make(seed: int, network: str) -> tuple[float, float, str]:
    """Return gain, offset and kind of probe of a network."""
    keys = np.array([stream(seed, f"make-{network}-{k}") for k in range(3)], np.uint32)
    draws = normal_of(mix(keys))
    gain = float(np.exp(np.float32(NETWORK_GAIN) * draws[0]))
    return gain, float(np.float32(NETWORK_OFFSET) * draws[1]), PROBES[int(keys[2]) % len(PROBES)]


def land_covers(ground: Ground, normals: Normals) -> list[tuple[str, str]]:
    """Return number and name of the ESA CCI land cover class of places."""
    leaves = ground.leaf_density * (1 - np.exp(-1.3 * normals.aridity))
    is_cold = normals.mean_temperature_c < 6
    classes = (
        (ground.is_irrigated, ("20", "Cropland, irrigated")),
        (normals.aridity < 0.15, ("200", "Bare areas")),
        (leaves < 0.18, ("150", "Sparse vegetation")),
        ((leaves > 0.6) & is_cold, ("70", "Tree cover, needleleaved, evergreen")),
        (leaves > 0.6, ("60", "Tree cover, broadleaved, deciduous")),
        (normals.aridity < 0.4, ("120", "Shrubland")),
        (leaves > 0.4, ("10", "Cropland, rainfed")),
    )
    return _first_of(classes, ("130", "Grassland"), len(leaves))


def climate_classes(normals: Normals) -> list[tuple[str, str]]:
    """Return letters and name of the Koeppen-Geiger class of places, from their normals."""
    mean, swing = normals.mean_temperature_c, normals.temperature_swing_c
    warmest, coldest = mean + swing, mean - swing
    is_hot, is_dry_summer = mean >= 18, normals.rain_season < -0.15
    classes = (
        (warmest < 10, ("ET", "Polar")),
        ((normals.aridity < 0.2) & is_hot, ("BWh", "Arid")),
        (normals.aridity < 0.2, ("BWk", "Arid")),
        ((normals.aridity < 0.45) & is_hot, ("BSh", "Arid")),
        (normals.aridity < 0.45, ("BSk", "Arid")),
        ((coldest >= 18) & (normals.rain_season > 0.3), ("Aw", "Tropical")),
        (coldest >= 18, ("Af", "Tropical")),
        ((coldest >= -3) & is_dry_summer & (warmest >= 22), ("Csa", "Temperate")),
        ((coldest >= -3) & is_dry_summer, ("Csb", "Temperate")),
        ((coldest >= -3) & (warmest >= 22), ("Cfa", "Temperate")),
        (coldest >= -3, ("Cfb", "Temperate")),
        (warmest >= 22, ("Dfa", "Cold")),
        (mean >= 2, ("Dfb", "Cold")),
    )
    return _first_of(classes, ("Dfc", "Cold"), len(mean))


def _first_of(
    classes: Sequence[tuple[np.ndarray, tuple[str, str]]], rest: tuple[str, str], size: int
) -> list[tuple[str, str]]:
    """Return for each place the first class whose condition it meets, or the rest."""
    names = [name for _, name in classes] + [rest]
    met = np.stack([condition for condition, _ in classes] + [np.ones(size, bool)])
    return [names[k] for k in np.argmax(met, axis=0)]
