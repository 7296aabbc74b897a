"""Every feature that smcloud knows. Adding one is one record here and its function.

A name may have several records that differ in their source (LAI from MODIS or from GLASS): the
drivers of the product decide which is meant, the first record whose sources they hold.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence

from smcloud.core.errors import UserError
from smcloud.features import spectral, temporal, terrain
from smcloud.features.spec import Driver, Feature, FeatureFunction, Halo, as_stored


def _plain(
    name: str, variable: str, units: str, long_name: str, *sources: str
) -> tuple[Feature, ...]:
    """Return records of one variable as it is, one for each source that has it."""
    return tuple(
        Feature(name, (f"{source}.{variable}",), units, as_stored, long_name=long_name)
        for source in sources
    )


def _bands(*names: str) -> tuple[str, ...]:
    return tuple(f"mod09a1.{name}" for name in names)


WHITE_SKY = ("mcd43a3", "glass_albedo", "mcd43d61")
BLACK_SKY = ("mcd43a3", "glass_albedo", "mcd43d51")

VEGETATION = (
    *_plain("ndvi", "ndvi", "1", "normalised difference vegetation index", "mod13a2"),
    *_plain("evi", "evi", "1", "enhanced vegetation index", "mod13a2"),
    Feature("ndvi", _bands("red", "nir"), "1", spectral.ndvi, long_name="NDVI of reflectance"),
    Feature("evi", _bands("red", "nir", "blue"), "1", spectral.evi, long_name="EVI of reflectance"),
    Feature("ndwi", _bands("nir", "swir1"), "1", spectral.ndwi_gao, long_name="NDWI after Gao"),
    Feature(
        "ndwi_mcfeeters",
        _bands("green", "nir"),
        "1",
        spectral.ndwi_mcfeeters,
        long_name="NDWI of open water after McFeeters",
    ),
    Feature("lswi", _bands("nir", "swir2"), "1", spectral.lswi, long_name="surface water index"),
    Feature("nsdsi1", _bands("swir2", "swir3"), "1", spectral.nsdsi1, long_name="soil index 1"),
    Feature("nsdsi2", _bands("swir2", "swir3"), "1", spectral.nsdsi2, long_name="soil index 2"),
    Feature("nsdsi3", _bands("swir2", "swir3"), "1", spectral.nsdsi3, long_name="soil index 3"),
    *_plain("lai", "lai", "m2 m-2", "leaf area index", "mod15a2h", "glass_lai"),
)


def _day_and_night(
    name: str, function: FeatureFunction, long_name: str, *sources: str
) -> tuple[Feature, ...]:
    """Return records of a function of both overpasses, one for each source that has them."""
    return tuple(
        Feature(
            name, (f"{source}.lst_day", f"{source}.lst_night"), "K", function, long_name=long_name
        )
        for source in sources
    )


LST_SOURCES = ("mod11a1", "lst_filled")
"""A product names the one or the other: looks alone, or looks and what fills the gaps."""

TEMPERATURE = (
    *_plain("lst_day", "lst_day", "K", "land surface temperature by day", *LST_SOURCES),
    *_plain("lst_night", "lst_night", "K", "land surface temperature by night", *LST_SOURCES),
    *_day_and_night(
        "lst_mean", temporal.lst_mean, "mean of the LST by day and by night", *LST_SOURCES
    ),
    *_day_and_night("lst_range", temporal.lst_range, "LST by day minus LST by night", *LST_SOURCES),
    *_plain("lst_mean", "lst_mean", "K", "daily mean LST", "glass_lst"),
)

ALBEDO = (
    *_plain("albedo_white_sky", "albedo_wsa_shortwave", "1", "white-sky shortwave", *WHITE_SKY),
    *_plain("albedo_black_sky", "albedo_bsa_shortwave", "1", "black-sky shortwave", *BLACK_SKY),
    *_plain(
        "albedo_white_sky_band7", "albedo_wsa_band7", "1", "white-sky, 2105-2155 nm", "mcd43d58"
    ),
)

COLDEST = Feature(
    "era5land_coldest_temperature",
    ("era5land.stl1", "era5land.skt"),
    "K",
    temporal.coldest,
    long_name="lower one of soil and skin temperature of ERA5-Land",
)

REANALYSIS = (
    *_plain("era5land_soil_moisture", "swvl1", "m3 m-3", "ERA5-Land 0-7 cm", "era5land"),
    *_plain("era5land_soil_temperature", "stl1", "K", "ERA5-Land 0-7 cm", "era5land"),
    *_plain("era5land_skin_temperature", "skt", "K", "ERA5-Land skin temperature", "era5land"),
    *_plain("era5land_air_temperature", "t2m", "K", "ERA5-Land at 2 m", "era5land"),
    *_plain("era5land_precipitation", "tp", "mm day-1", "ERA5-Land daily total", "era5land"),
    COLDEST,
    Feature(
        "antecedent_precipitation",
        ("era5land.tp",),
        "mm",
        temporal.antecedent_precipitation,
        Halo(days_before=temporal.API_DAYS - 1),
        "antecedent precipitation index of 34 days",
    ),
)

_ELEVATION_ON_GRID = ("terrain.elevation", "position.longitude", "position.latitude")

TERRAIN = (
    *_plain("elevation", "elevation", "m", "elevation", "terrain"),
    *_plain("slope", "slope", "degree", "slope of the fine elevation model", "terrain"),
    *_plain("aspect_sine", "aspect_sin", "1", "sine of aspect, east 1", "terrain"),
    *_plain("aspect_cosine", "aspect_cos", "1", "cosine of aspect, north 1", "terrain"),
    Feature(
        "slope_at_1km",
        _ELEVATION_ON_GRID,
        "degree",
        terrain.slope_sinusoidal,
        Halo(pixels=1),
        "slope of the 1 km elevation, shear corrected",
    ),
    Feature(
        "aspect_sine_at_1km",
        _ELEVATION_ON_GRID,
        "1",
        terrain.aspect_sin_sinusoidal,
        Halo(pixels=1),
        "sine of aspect of the 1 km elevation, shear corrected",
    ),
    Feature(
        "aspect_cosine_at_1km",
        _ELEVATION_ON_GRID,
        "1",
        terrain.aspect_cos_sinusoidal,
        Halo(pixels=1),
        "cosine of aspect of the 1 km elevation, shear corrected",
    ),
    Feature(
        "topographic_position",
        _ELEVATION_ON_GRID,
        "m",
        terrain.topographic_position,
        Halo(pixels=terrain.POSITION_HALO_PIXELS),
        "elevation above its surroundings within 4.6 km",
    ),
    Feature(
        "topographic_wetness",
        ("terrain.upstream_area", "terrain.slope"),
        "1",
        terrain.topographic_wetness,
        long_name="topographic wetness index",
    ),
)

SOIL = (
    *_plain("sand", "sand", "%", "sand, 0-5 cm", "soilgrids"),
    *_plain("silt", "silt", "%", "silt, 0-5 cm", "soilgrids"),
    *_plain("clay", "clay", "%", "clay, 0-5 cm", "soilgrids"),
    *_plain("sand", "sand", "%", "sand, topsoil of China", "china_soil"),
    *_plain("silt", "silt", "%", "silt, topsoil of China", "china_soil"),
    *_plain("clay", "clay", "%", "clay, topsoil of China", "china_soil"),
    *_plain("bulk_density", "bulk_density", "g cm-3", "bulk density, 0-5 cm", "soilgrids"),
    *_plain("organic_carbon", "organic_carbon", "g kg-1", "organic carbon, 0-5 cm", "soilgrids"),
    Feature(
        "porosity",
        ("soilgrids.bulk_density",),
        "m3 m-3",
        terrain.porosity,
        long_name="porosity from bulk density",
    ),
    Feature(
        "porosity",
        ("china_soil.sand",),
        "m3 m-3",
        terrain.porosity_of_sand,
        long_name="porosity from sand",
    ),
)

WHEN_AND_WHERE = (
    Feature(
        "day_of_year_sine",
        ("calendar.day_of_year",),
        "1",
        temporal.day_of_year_sin,
        long_name="sine of the day of year",
    ),
    Feature(
        "day_of_year_cosine",
        ("calendar.day_of_year",),
        "1",
        temporal.day_of_year_cos,
        long_name="cosine of the day of year",
    ),
    *_plain("pixel_longitude", "longitude", "degree", "longitude", "position"),
    *_plain("pixel_latitude", "latitude", "degree", "latitude", "position"),
)
"""Position is in no product's list: it overfits and leaves artefacts (Meyer 2019)."""


REFERENCES = (
    *_plain("smap_l3_soil_moisture", "soil_moisture_am", "m3 m-3", "SMAP 36 km, 6 h", "smap_l3"),
    *_plain(
        "smap_l3_soil_moisture_pm", "soil_moisture_pm", "m3 m-3", "SMAP 36 km, 18 h", "smap_l3"
    ),
    *_plain("smap_l3e_soil_moisture", "soil_moisture_am", "m3 m-3", "SMAP 9 km, 6 h", "smap_l3e"),
    *_plain(
        "smap_l3e_soil_moisture_pm", "soil_moisture_pm", "m3 m-3", "SMAP 9 km, 18 h", "smap_l3e"
    ),
    *_plain("smap_sentinel_soil_moisture", "soil_moisture", "m3 m-3", "1 km", "smap_sentinel"),
    *_plain("cci_active_soil_moisture", "soil_moisture", "%", "scatterometers", "cci_active"),
    *_plain("cci_passive_soil_moisture", "soil_moisture", "m3 m-3", "radiometers", "cci_passive"),
    *_plain("cci_combined_soil_moisture", "soil_moisture", "m3 m-3", "merged", "cci_combined"),
    *_plain("amsre_soil_moisture", "soil_moisture", "m3 m-3", "AMSR-E by LPRM", "amsre_lprm"),
    *_plain("amsr2_soil_moisture", "soil_moisture", "m3 m-3", "AMSR2 by LPRM", "amsr2_lprm"),
    *_plain("windsat_soil_moisture", "soil_moisture", "m3 m-3", "WindSat by LPRM", "windsat_lprm"),
    *_plain("amsr_nnsm_soil_moisture", "soil_moisture", "m3 m-3", "AMSR by NNsm", "amsr_nnsm"),
    *_plain("mwri_nnsm_soil_moisture", "soil_moisture", "m3 m-3", "MWRI by NNsm", "mwri_nnsm"),
)
"""Soil moisture of others, to compare with: in no product's list, and no product has its driver."""


def _by_name(records: Iterable[Feature]) -> dict[str, tuple[Feature, ...]]:
    found: dict[str, tuple[Feature, ...]] = {}
    for record in records:
        found[record.name] = (*found.get(record.name, ()), record)
    return found


FEATURES: Mapping[str, tuple[Feature, ...]] = _by_name(
    (
        *VEGETATION,
        *TEMPERATURE,
        *ALBEDO,
        *REANALYSIS,
        *TERRAIN,
        *SOIL,
        *WHEN_AND_WHERE,
        *REFERENCES,
    )
)
"""Name to its records, in order of preference."""


def features_named(names: Sequence[str], drivers: Sequence[Driver]) -> tuple[Feature, ...]:
    """Return the features of these names in this order, from the sources that the drivers hold.

    Raises
    ------
    UserError
        If a name is unknown (the message lists near ones), is given twice, or needs a source
        that is not among the drivers.
    """
    repeated = sorted({name for name in names if list(names).count(name) > 1})
    if repeated:
        raise UserError(f"features are given twice: {', '.join(repeated)}")
    sources = {driver.source for driver in drivers}
    return tuple(_feature_named(name, sources) for name in names)


def _feature_named(name: str, sources: set[str]) -> Feature:
    if name not in FEATURES:
        near = difflib.get_close_matches(name, FEATURES, n=3, cutoff=0.5)
        hint = f"near ones are {', '.join(near)}" if near else f"known are {', '.join(FEATURES)}"
        raise UserError(f"unknown feature {name!r}: {hint}")
    for record in FEATURES[name]:
        if sources.issuperset(record.sources):
            return record
    needs = " or ".join(" with ".join(record.sources) for record in FEATURES[name])
    raise UserError(
        f"feature {name!r} needs the driver {needs}; the drivers are "
        f"{', '.join(sorted(sources)) or 'none'}: add one or leave the feature out"
    )
