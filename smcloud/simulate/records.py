"""What the simulated Earth hands out: plain records of arrays, one value per pixel.

Arrays are one-dimensional over the pixels asked for, float32 unless said otherwise. In records of
the true state there is no NaN; in records of what an instrument delivers NaN means "not
delivered" and nothing else.
"""

from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Ground:
    """The true static properties of pixels; what no sensor sees is marked unseen."""

    elevation_m: Floats
    slope_degree: Floats
    sand_percent: Floats
    silt_percent: Floats
    clay_percent: Floats
    bulk_density_g_cm3: Floats
    organic_carbon_g_kg: Floats
    porosity: Floats
    """Saturated water content, m3 m-3, the unseen local structure of the soil included."""
    field_capacity: Floats
    """Water content at -33 kPa, m3 m-3."""
    wilting_point: Floats
    """Water content at -1500 kPa, m3 m-3."""
    conductivity_mm_day: Floats
    """Saturated hydraulic conductivity."""
    pore_index: Floats
    """Clapp and Hornberger's b."""
    root_depth_mm: Floats
    """Depth of the layer below 0-5 cm; unseen."""
    is_irrigated: Bools
    """Irrigated in the growing season; unseen."""
    rain_factor: Floats
    """Local ratio of rain to that of the weather lattice (slopes, lee sides); unseen."""
    soil_brightness: Floats
    """Dry soil albedo relative to that of its texture."""
    leaf_density: Floats
    """Ratio of the greatest leaf area to that which the climate supports (land use)."""
    rain_scatter: Floats
    """Spread (of the logarithm) of a place's daily rain about that of its pixel: 0 for pixels,
    positive under a probe; unseen."""

    def joined(self, other: "Ground") -> "Ground":
        """Return the ground of these places followed by that of others."""
        pairs = {f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(self)}
        return Ground(**{name: np.concatenate(pair) for name, pair in pairs.items()})


@dataclass(frozen=True)
class WaterDay:
    """Water, frost and leaves of one day (UTC) at every pixel: all that microwaves go by."""

    day: np.datetime64
    """datetime64[D]."""
    soil_moisture: Floats
    """Mean of the day of the water in 0-5 cm, m3 m-3, ice included."""
    soil_moisture_start: Floats
    """At 00 UTC."""
    soil_moisture_end: Floats
    """At 24 UTC."""
    rain_hour: Floats
    """Hour (UTC) about which the rain of the day falls; meaningless where there is none."""
    root_moisture: Floats
    """Water of the root layer at the end of the day, m3 m-3."""
    rain_mm: Floats
    """Rain and snow of the day, water equivalent."""
    snow_water_mm: Floats
    soil_temperature_k: Floats
    is_frozen: Bools
    """Soil below -0.5 degree Celsius."""
    lai: Floats
    """Leaf area index, m2 m-2."""

    def part(self, pixels: slice) -> Self:
        """Return the state of some of the pixels."""
        names = [field.name for field in fields(self) if field.name != "day"]
        return replace(self, **{name: getattr(self, name)[..., pixels] for name in names})


@dataclass(frozen=True)
class DayState(WaterDay):
    """The true state of one day (UTC) at every pixel."""

    irrigation_mm: Floats
    evaporation_mm: Floats
    air_temperature_k: Floats
    """Mean of the day, 2 m."""
    temperature_range_k: Floats
    """Greatest minus smallest air temperature of the day."""
    lst_day_k: Floats
    """True skin temperature at 10:30 local solar time, under cloud too."""
    lst_night_k: Floats
    """True skin temperature at 22:30 local solar time, under cloud too."""
    albedo_wsa: Floats
    """White-sky shortwave albedo."""
    albedo_bsa: Floats
    """Black-sky shortwave albedo at local noon."""
    reflectance: Floats
    """(7, n): surface reflectance of MODIS bands 1 to 7."""
    cloud_day: Bools
    cloud_night: Bools


@dataclass(frozen=True)
class SoilMap:
    """Soil as a global map sees it: smoother than the truth and wrong in places."""

    sand_percent: Floats
    silt_percent: Floats
    clay_percent: Floats
    bulk_density_g_cm3: Floats
    organic_carbon_g_kg: Floats


@dataclass(frozen=True)
class LstView:
    """One day of an MOD11A1-like sensor."""

    lst_day_k: Floats
    """NaN where not produced (cloud, between swaths)."""
    lst_night_k: Floats
    qc_day: Bytes
    """MOD11A1 quality byte: bits 0-1 mandatory, 2-3 data, 4-5 emissivity, 6-7 LST error."""
    qc_night: Bytes
    view_angle_day_degree: Floats
    """Signed view zenith angle; NaN between swaths."""
    view_angle_night_degree: Floats
    view_time_day_hour: Floats
    """Local solar time; NaN between swaths."""
    view_time_night_hour: Floats
    emis_31: Floats
    emis_32: Floats


@dataclass(frozen=True)
class AlbedoView:
    """One day of an MCD43-like albedo (16-day inversion)."""

    wsa: Floats
    """NaN where not produced."""
    bsa: Floats
    wsa_band7: Floats
    quality: Bytes
    """MCD43 collection 6.1: 0, 1 full inversion; 2, 3 magnitude; 4 not produced."""


@dataclass(frozen=True)
class ReflectanceView:
    """One 8-day composite like MOD09A1."""

    reflectance: Floats
    """(7, n); NaN where nothing was seen."""
    state_flags: NDArray[np.uint16]
    qc_flags: NDArray[np.uint32]
    day_of_year: NDArray[np.uint16]
    """Day of year of the observation kept."""


@dataclass(frozen=True)
class VegetationView:
    """One 16-day composite like MOD13A2."""

    ndvi: Floats
    evi: Floats
    quality: NDArray[np.uint16]
    reliability: NDArray[np.int8]
    day_of_year: NDArray[np.int16]


@dataclass(frozen=True)
class LaiView:
    """One 8-day composite like MOD15A2H."""

    lai: Floats
    fpar: Floats
    quality: Bytes
    extra: Bytes


@dataclass(frozen=True)
class ReanalysisDay:
    """Hours 00 to 23 UTC of one day at reanalysis nodes; every field but snow is (24, n)."""

    day: np.datetime64
    swvl1: Floats
    """Water of 0-7 cm, m3 m-3."""
    stl1: Floats
    """Soil temperature of 0-7 cm, K."""
    skt: Floats
    """Skin temperature, K."""
    t2m: Floats
    """Air temperature at 2 m, K."""
    tp: Floats
    """Metres of rain since 00 UTC; the value at hour 0 is the total of the day before."""
    snow_mm: Floats
    """Water in snow at the end of the day, (n,)."""


@dataclass(frozen=True, order=True)
class Site:
    """What sets the site and the make of one probe apart from others; unseen.

    Attributes
    ----------
    gain, offset : float
        Calibration that the whole network shares: factor, and m3 m-3.
    depth_share : float
        How far the probe follows the layer below in place of 0-5 cm: 0 to 1.
    unrest : float
        Standard deviation (m3 m-3) of an error that lasts for weeks: poor contact, cracks, roots.
    rain_scatter : float
        Spread of the rain about that of the pixel beyond the usual.
    is_watered : bool
        Irrigated where its pixel is not.
    land_cover, land_cover_name, climate, climate_name : str
        As the static variables of the network tell them: class of ESA CCI, and Koeppen's.
    """

    gain: float = 1.0
    offset: float = 0.0
    depth_share: float = 0.0
    unrest: float = 0.0
    rain_scatter: float = 0.0
    is_watered: bool = False
    land_cover: str = "130"
    land_cover_name: str = "Grassland"
    climate: str = "Cfa"
    climate_name: str = "Temperate"


@dataclass(frozen=True, order=True)
class Station:
    """One in situ probe, and the unseen truth about its site."""

    network: str
    name: str
    longitude: float
    latitude: float
    elevation_m: float
    depth_from: float
    """Metres."""
    depth_to: float
    sensor: str
    style: str
    """`new`: flags G, C.., D.., M; `old`: U instead of G, no M (downloads before 2013)."""
    is_representative: bool
    """Whether its site resembles its 1 km pixel; unseen."""
    site: Site = Site()


@dataclass(frozen=True)
class StationSeries:
    """The hourly record of one probe as the network delivers it."""

    station: Station
    times: NDArray[np.datetime64]
    """datetime64[h], UTC."""
    values: Floats
    """m3 m-3; NaN where the network wrote its missing value (flag M)."""
    flags: NDArray[np.str_]
    """ISMN flags, several joined by commas."""
