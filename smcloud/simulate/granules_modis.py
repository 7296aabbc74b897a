"""MODIS tile products: their layers, scale factors, fill values and quality words.

MOD11A1 and MOD09A1 were read off real files (collection 6; 6.1 has the same layers). MOD13A2,
MOD15A2H and MCD43A3 follow the makers' file specifications (ladsweb.modaps.eosdis.nasa.gov/filespec
MODIS/6) and the LP DAAC tables. Scale factors are written as each product writes them: MOD13A2
says 10000 and means a divisor, MOD09A1 says 0.0001 and means a factor.

Quality words come from the simulated sensors; layers that no product of ours reads may be left to
fill. A further product is one more `GridProduct`.
"""

from collections.abc import Iterator

from smcloud.grids.grid import TILE_PIXELS
from smcloud.simulate.hdf_eos import GridProduct, Layer

COLLECTION = "061"
LST_NOT_PRODUCED = 3
"""Mandatory bits 0-1 of the QC of MOD11A1: no retrieval, for other reasons than cloud."""


def _lst_layers(time: str, title: str) -> Iterator[Layer]:
    number16, number8 = ("Number Type", "uint16"), ("Number Type", "uint8")
    view = f"of {title} Land-surface Temperature"
    yield Layer(
        f"LST_{time}_1km",
        "uint16",
        f"Daily {title} 1km grid Land-surface Temperature",
        units="K",
        fill=0,
        scale=0.02,
        valid=(7500, 65535),
        extra=(number16, ("LST", "LST data * scale_factor")),
    )
    # Trap T4: zero is the best quality and the real file declares no fill value here.
    yield Layer(
        f"QC_{time}",
        "uint8",
        f"Quality control for {title} LST and emissivity",
        background=LST_NOT_PRODUCED,
        valid=(0, 255),
        extra=(number8,),
    )
    yield Layer(
        f"{time}_view_time",
        "uint8",
        f"Time of {title} Land-surface Temperature observation",
        units="hrs",
        fill=255,
        scale=0.1,
        valid=(0, 240),
        extra=(number8, ("View_time", "View_time data * scale_factor")),
    )
    yield Layer(
        f"{time}_view_angl",
        "uint8",
        f"View zenith angle {view}",
        units="deg",
        fill=255,
        scale=1.0,
        offset=-65.0,
        valid=(0, 130),
        extra=(number8, ("View_angle", "View_angle data * scale_factor + add_offset")),
    )


def _emissivity(band: int) -> Layer:
    return Layer(
        f"Emis_{band}",
        "uint8",
        f"Band {band} emissivity",
        fill=0,
        scale=0.002,
        offset=0.49,
        valid=(1, 255),
        extra=(
            ("Number Type", "uint8"),
            (f"Emis_{band}", f"Emis_{band} data * scale_factor + add_offset"),
        ),
    )


def _clear_coverage(time: str) -> Layer:
    return Layer(
        f"Clear_{time}_cov",
        "uint16",
        f"{time} clear-sky coverage",
        fill=0,
        scale=0.0005,
        valid=(1, 65535),
        extra=(("Number Type", "uint16"),),
    )


MOD11A1 = GridProduct(
    "MOD11A1",
    COLLECTION,
    "MODIS_Grid_Daily_1km_LST",
    "MODIS/Terra Land Surface Temperature/Emissivity Daily L3 Global 1km SIN Grid",
    TILE_PIXELS,
    1,
    (
        *_lst_layers("Day", "daytime"),
        *_lst_layers("Night", "nighttime"),
        _emissivity(31),
        _emissivity(32),
        _clear_coverage("day"),
        _clear_coverage("night"),
    ),
)


def _index(name: str) -> Layer:
    return Layer(
        f"1 km 16 days {name}",
        "int16",
        f"1 km 16 days {name}",
        units=name,
        fill=-3000,
        scale=0.0001,
        offset=0.0,
        declared_scale=10000.0,
        valid=(-2000, 10000),
    )


def _composite_reflectance(name: str) -> Layer:
    return Layer(
        f"1 km 16 days {name} reflectance",
        "int16",
        f"1 km 16 days {name} reflectance",
        units="reflectance",
        fill=-1000,
        scale=0.0001,
        offset=0.0,
        declared_scale=10000.0,
        valid=(0, 10000),
    )


def _composite_angle(name: str, fill: int, low: int) -> Layer:
    return Layer(
        f"1 km 16 days {name} angle",
        "int16",
        f"1 km 16 days {name} angle",
        units="degrees",
        fill=fill,
        scale=0.01,
        offset=0.0,
        declared_scale=100.0,
        valid=(low, 18000),
    )


MOD13A2 = GridProduct(
    "MOD13A2",
    COLLECTION,
    "MODIS_Grid_16DAY_1km_VI",
    "MODIS/Terra Vegetation Indices 16-Day L3 Global 1km SIN Grid",
    TILE_PIXELS,
    16,
    (
        _index("NDVI"),
        _index("EVI"),
        Layer(
            "1 km 16 days VI Quality",
            "uint16",
            "1 km 16 days VI Quality",
            units="bit field",
            fill=65535,
            valid=(0, 65534),
        ),
        *(_composite_reflectance(name) for name in ("red", "NIR", "blue", "MIR")),
        _composite_angle("view zenith", -10000, 0),
        _composite_angle("sun zenith", -10000, 0),
        _composite_angle("relative azimuth", -20000, -18000),
        Layer(
            "1 km 16 days composite day of the year",
            "int16",
            "1 km 16 days composite day of the year",
            units="Julian day of the year",
            fill=-1,
            valid=(1, 366),
        ),
        Layer(
            "1 km 16 days pixel reliability",
            "int8",
            "1 km 16 days pixel reliability",
            units="rank",
            fill=-1,
            valid=(0, 3),
        ),
    ),
)


def _fraction_layer(name: str, long_name: str, units: str, scale: float) -> Layer:
    return Layer(
        name, "uint8", long_name, units=units, fill=255, scale=scale, offset=0.0, valid=(0, 100)
    )


def _quality_byte(name: str, long_name: str) -> Layer:
    return Layer(name, "uint8", long_name, units="class-flag", fill=255, valid=(0, 254))


MOD15A2H = GridProduct(
    "MOD15A2H",
    COLLECTION,
    "MOD_Grid_MOD15A2H",
    "MODIS/Terra Leaf Area Index/FPAR 8-Day L4 Global 500m SIN Grid",
    2 * TILE_PIXELS,
    8,
    (
        _fraction_layer(
            "Fpar_500m", "MOD15A2H MODIS/Terra FPAR (8-day composite)", "Percent", 0.01
        ),
        _fraction_layer("Lai_500m", "MOD15A2H MODIS/Terra LAI (8-day composite)", "m^2/m^2", 0.1),
        _quality_byte("FparLai_QC", "MOD15A2H MODIS/Terra QC for FPAR and LAI"),
        _quality_byte("FparExtra_QC", "MOD15A2H MODIS/Terra pass-through QC for FPAR and LAI"),
        _fraction_layer("FparStdDev_500m", "MOD15A2H standard deviation of FPAR", "Percent", 0.01),
        _fraction_layer("LaiStdDev_500m", "MOD15A2H standard deviation of LAI", "m^2/m^2", 0.1),
    ),
)


def _band_reflectance(band: int) -> Layer:
    return Layer(
        f"sur_refl_b{band:02d}",
        "int16",
        f"Surface_reflectance_for_band_{band}",
        units="reflectance",
        fill=-28672,
        scale=0.0001,
        offset=0.0,
        valid=(-100, 16000),
    )


def _reflectance_angle(name: str, long_name: str, low: int) -> Layer:
    return Layer(
        name,
        "int16",
        long_name,
        units="degree",
        fill=0,
        scale=0.01,
        offset=0.0,
        valid=(low, 18000),
    )


MOD09A1 = GridProduct(
    "MOD09A1",
    COLLECTION,
    "MOD_Grid_500m_Surface_Reflectance",
    "MODIS/Terra Surface Reflectance 8-Day L3 Global 500m SIN Grid",
    2 * TILE_PIXELS,
    8,
    (
        *(_band_reflectance(band) for band in range(1, 8)),
        Layer(
            "sur_refl_qc_500m",
            "uint32",
            "Surface_reflectance_500m_quality_control_flags",
            units="bit field",
            fill=4294967295,
            valid=(0, 4294966531),
        ),
        _reflectance_angle("sur_refl_szen", "Solar_zenith", 0),
        _reflectance_angle("sur_refl_vzen", "View_zenith", 0),
        _reflectance_angle("sur_refl_raz", "Relative_azimuth", -18000),
        Layer(
            "sur_refl_state_500m",
            "uint16",
            "Surface_reflectance_500m_state_flags",
            units="bit field",
            fill=65535,
            valid=(0, 57343),
        ),
        Layer(
            "sur_refl_day_of_year",
            "uint16",
            "Surface_reflectance_day_of_year",
            units="Julian day",
            fill=65535,
            valid=(1, 366),
        ),
    ),
)

_ALBEDO_BANDS = (*(f"Band{band}" for band in range(1, 8)), "vis", "nir", "shortwave")


def _albedo(sky: str, band: str) -> Layer:
    return Layer(
        f"Albedo_{sky}_{band}",
        "int16",
        f"Albedo_{sky}_{band}",
        units="albedo, no units",
        fill=32767,
        scale=0.001,
        offset=0.0,
        valid=(0, 32766),
    )


def _albedo_quality(band: str) -> Layer:
    name = f"BRDF_Albedo_Band_Mandatory_Quality_{band}"
    return Layer(name, "uint8", name, units="bit field", fill=255, valid=(0, 254))


MCD43A3 = GridProduct(
    "MCD43A3",
    COLLECTION,
    "MOD_Grid_BRDF",
    "MODIS/Terra+Aqua BRDF/Albedo Albedo Daily L3 Global - 500m",
    2 * TILE_PIXELS,
    1,
    (
        *(_albedo("BSA", band) for band in _ALBEDO_BANDS),
        *(_albedo("WSA", band) for band in _ALBEDO_BANDS),
        *(_albedo_quality(band) for band in _ALBEDO_BANDS),
    ),
)
