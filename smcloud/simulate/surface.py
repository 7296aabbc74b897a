"""The ground of the simulated Earth: terrain, soil, land use, and how it looks to optics.

Hydraulic properties follow Cosby et al. 1984 (Water Resour. Res. 20, 682-690) as written in the
technical note of CLM 4.5 (Oleson et al. 2013, section 7.4.1), organic matter included; water
contents at -33 and -1500 kPa follow from the retention curve of Clapp and Hornberger 1978.
"""

import numpy as np

from smcloud.simulate.climate import Normals
from smcloud.simulate.noise import (
    EARTH_RADIUS_KM,
    Doubles,
    Floats,
    fractal,
    pixel_hash,
    pixel_keys,
    sphere,
    stream,
    uniform_of,
)
from smcloud.simulate.records import Ground, SoilMap

_FIELD_SUCTION_MM = 3365.0
_WILTING_SUCTION_MM = 152_960.0
SLOPE_STEP_M = 463.3
"""Half the distance over which slopes are taken: they are those of a 1 km pixel."""

DRY_SOIL = np.array([0.19, 0.27, 0.10, 0.15, 0.32, 0.36, 0.31], np.float32)
SOIL_DARKENING = np.array([0.55, 0.50, 0.50, 0.55, 0.55, 0.65, 0.75], np.float32)
"""Fraction of the reflectance that saturation takes away: water absorbs most in bands 6 and 7
(shape after Lobell and Asner 2002, Soil Sci. Soc. Am. J. 66, 722-727)."""
GREEN_LEAVES = np.array([0.04, 0.44, 0.025, 0.07, 0.38, 0.21, 0.09], np.float32)
SNOW = np.array([0.90, 0.84, 0.92, 0.90, 0.45, 0.10, 0.08], np.float32)


class Surface:
    """Terrain, soil and land use of one seed, at any places."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def _noise(
        self,
        name: str,
        points: Doubles,
        scale_km: float,
        octaves: int = 1,
        persistence: float = 0.5,
    ) -> Floats:
        return fractal(stream(self.seed, name), points, scale_km, octaves, persistence)

    def elevation(self, lon: Doubles, lat: Doubles) -> Floats:
        """Return the height above the sea (metres, never below 1) of places (degrees)."""
        points = sphere(lon, lat)
        plain = self._noise("plain", points, 2200.0, 3)
        mountains = self._noise("mountains", points, 900.0, 3)
        rough = self._noise("relief", points, 160.0, 7, 0.52)
        relief = 60.0 + 620.0 * np.clip(mountains - 0.1, 0.0, 3.0)
        height = 330.0 + 160.0 * plain + 0.9 * relief + relief * rough
        low = 30.0 * np.exp((np.minimum(height, 30.0) - 30.0) / 120.0)
        above_sea: Floats = np.where(height > 30.0, height, low).astype(np.float32)
        return above_sea

    def slope(self, lon: Doubles, lat: Doubles, elevation: Floats) -> Floats:
        """Return the steepness (degrees) of places, from forward differences eastward and north."""
        step = np.rad2deg(2.0 * SLOPE_STEP_M / 1000.0 / EARTH_RADIUS_KM)
        east = self.elevation(lon + step / np.maximum(np.cos(np.deg2rad(lat)), 0.02), lat)
        north = self.elevation(lon, lat - step)
        rise = np.hypot(east - elevation, north - elevation) / (2.0 * SLOPE_STEP_M)
        steepness: Floats = np.rad2deg(np.arctan(rise)).astype(np.float32)
        return steepness

    def soil_map(self, lon: Doubles, lat: Doubles, normals: Normals) -> SoilMap:
        """Return the soil as a global map has it: no detail below 60 km, and errors of its own."""
        points = sphere(lon, lat)
        sand_index = self._noise("sand", points, 700.0, 3) + 0.55 * self._noise(
            "map1", points, 60.0, 3
        )
        clay_index = self._noise("clay", points, 500.0, 3) + 0.55 * self._noise(
            "map2", points, 60.0, 3
        )
        carbon = _carbon(normals, 0.3 * self._noise("map3", points, 60.0, 2))
        sand, silt, clay = _texture(sand_index, clay_index)
        density = 2.65 * (1.0 - _porosity(sand, carbon))
        return SoilMap(sand, silt, clay, density.astype(np.float32), carbon)

    def ground(self, lon: Doubles, lat: Doubles, normals: Normals) -> Ground:
        """Return the true ground of places (degrees)."""
        points = sphere(lon, lat)
        elevation = self.elevation(lon, lat)
        slope = self.slope(lon, lat, elevation)
        sand, silt, clay = _texture(
            self._noise("sand", points, 700.0, 3) + 0.55 * self._noise("sand2", points, 40.0, 4),
            self._noise("clay", points, 500.0, 3) + 0.55 * self._noise("clay2", points, 40.0, 4),
        )
        carbon = _carbon(normals, 0.35 * self._noise("carbon", points, 40.0, 3))
        structure = self._noise("structure", points, 9.0, 3, 0.8)
        retention = self._noise("retention", points, 9.0, 3, 0.8)
        porosity, capacity, wilting, pore = _hydraulics(sand, clay, carbon)
        porosity = np.clip(porosity * np.exp(0.07 * structure), 0.30, 0.75)
        capacity = np.minimum(capacity * np.exp(0.22 * retention), 0.82 * porosity)
        wilting = np.minimum(wilting * np.exp(0.22 * retention), 0.65 * capacity)
        depth = 650.0 * np.exp(0.45 * self._noise("depth", points, 12.0, 3, 0.7) - 0.02 * slope)
        fields = uniform_of(pixel_hash(pixel_keys(lon, lat), stream(self.seed, "fields")))
        thirst = np.clip(1.3 - normals.aridity, 0.0, 1.0) * (normals.mean_temperature_c > 5)
        irrigated = self._noise("irrigation", points, 25.0, 2) > 2.2 - 1.3 * thirst
        leaves = self._noise("land-use", points, 45.0, 5, 0.7)
        return Ground(
            elevation_m=elevation,
            slope_degree=slope,
            sand_percent=sand,
            silt_percent=silt,
            clay_percent=clay,
            bulk_density_g_cm3=(2.65 * (1.0 - porosity)).astype(np.float32),
            organic_carbon_g_kg=carbon,
            porosity=porosity.astype(np.float32),
            field_capacity=capacity.astype(np.float32),
            wilting_point=wilting.astype(np.float32),
            conductivity_mm_day=(609.6 * 10.0 ** (-0.884 + 0.0153 * sand)).astype(np.float32),
            pore_index=pore,
            root_depth_mm=np.clip(depth, 150.0, 1600.0).astype(np.float32),
            is_irrigated=irrigated & (slope < 4.0) & (fields < 0.8),
            rain_factor=np.exp(0.13 * self._noise("lee", points, 30.0, 3)).astype(np.float32),
            soil_brightness=np.exp(0.16 * self._noise("bright", points, 80.0, 5, 0.7)).astype("f4"),
            rain_scatter=np.zeros(elevation.size, np.float32),
            leaf_density=(0.2 + 0.8 / (1.0 + np.exp(-1.4 * leaves))).astype(np.float32),
        )


def _texture(sand_index: Floats, clay_index: Floats) -> tuple[Floats, Floats, Floats]:
    """Return sand, silt and clay (per cent, sum 100) of two standard normal indices."""
    sand = np.clip(44.0 + 16.0 * sand_index, 4.0, 92.0)
    clay = np.clip((24.0 + 9.0 * clay_index) * (1.15 - sand / 200.0), 3.0, 60.0)
    clay = np.minimum(clay, 97.0 - sand)
    return sand.astype("f4"), (100.0 - sand - clay).astype("f4"), clay.astype("f4")


def _carbon(normals: Normals, index: Floats) -> Floats:
    """Return organic carbon (g kg-1): more where it is cool and wet."""
    climate = 0.6 * np.log(np.clip(normals.aridity, 0.1, 3.0)) - 0.03 * normals.mean_temperature_c
    return np.clip(19.0 * np.exp(climate + index), 1.0, 120.0).astype(np.float32)


def _porosity(sand: Floats, carbon: Floats) -> Floats:
    """Return saturated water content (m3 m-3), Cosby with the organic part of CLM 4.5."""
    organic = np.clip(carbon * 1.724 * 1.3 / 130.0, 0.0, 1.0)
    mixed: Floats = (1.0 - organic) * (0.489 - 0.00126 * sand) + organic * 0.9
    return mixed.astype(np.float32)


def _hydraulics(
    sand: Floats, clay: Floats, carbon: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return porosity, water content at -33 kPa and at -1500 kPa (m3 m-3), and b."""
    porosity, pore = _porosity(sand, carbon), 2.91 + 0.159 * clay
    suction = 10.0 * 10.0 ** (1.88 - 0.0131 * sand)
    capacity = porosity * (suction / _FIELD_SUCTION_MM) ** (1.0 / pore)
    wilting = porosity * (suction / _WILTING_SUCTION_MM) ** (1.0 / pore)
    return porosity, capacity.astype("f4"), wilting.astype("f4"), pore.astype(np.float32)


def snow_cover(snow_water_mm: Floats) -> Floats:
    """Return the fraction of a pixel that its snow hides."""
    fraction: Floats = snow_water_mm / (snow_water_mm + np.float32(12.0))
    return fraction


def white_sky_albedo(
    ground: Ground, saturation: Floats, green_cover: Floats, snow_water_mm: Floats
) -> Floats:
    """Return shortwave white-sky albedo: soil darkened by water, leaves, snow on top.

    Wet soil has about half the albedo of dry soil (Idso et al. 1975, J. Appl. Meteorol. 14, 109).
    """
    soil = np.float32(0.27) * ground.soil_brightness * (1 - np.float32(0.5) * saturation)
    bare = soil + green_cover * (np.float32(0.18) - soil)
    white = np.float32(0.75) - np.float32(0.2) * green_cover
    albedo: Floats = (bare + snow_cover(snow_water_mm) * (white - bare)).astype(np.float32)
    return albedo


def reflectances(
    ground: Ground, saturation: Floats, green_cover: Floats, vigour: Floats, snow_water_mm: Floats
) -> Floats:
    """Return surface reflectance of MODIS bands 1 to 7, (7, n).

    A linear mixture of soil, leaves and snow; `vigour` (0 to 1) is the water of the leaves, whose
    want brightens bands 5 to 7.
    """
    snow = snow_cover(snow_water_mm) * (1 - np.float32(0.3) * green_cover)
    bare, leaf, thirst = (1 - green_cover) * (1 - snow), green_cover * (1 - snow), 1 - vigour
    soil = bare * ground.soil_brightness
    wet_soil = soil * saturation
    dry_leaf = leaf * thirst
    out = np.empty((7, saturation.size), np.float32)
    thirst_gain = np.array([0.03, -0.06, 0.015, 0.02, 0.02, 0.07, 0.07], np.float32)
    for band in range(7):
        out[band] = DRY_SOIL[band] * soil - (DRY_SOIL[band] * SOIL_DARKENING[band]) * wet_soil
        out[band] += GREEN_LEAVES[band] * leaf + thirst_gain[band] * dry_leaf + SNOW[band] * snow
    return out
