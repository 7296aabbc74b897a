"""MODIS land products on the sinusoidal grid: surface temperature, vegetation, reflectance, albedo.

Layers, scale factors and fill values of MOD11A1 and MOD09A1 were read off real files; those of
MOD13A2, MOD15A2H and MCD43A3 follow the makers' file specifications
(ladsweb.modaps.eosdis.nasa.gov/filespec/MODIS/6) and LP DAAC's tables.
"""

from smcloud.cube.schema import CubeSchema, Variable
from smcloud.grids.grid import SIN1KM, TILE_PIXELS
from smcloud.sources.hdf_eos import Layer, Word
from smcloud.sources.quality import (
    MCD43_QUALITY,
    MOD09_QC,
    MOD09_STATE,
    MOD11_QC,
    MOD13_QUALITY,
    MOD15_QC,
    REFLECTANCE_BANDS,
    RULES,
    keep_mcd43,
    keep_mod09,
    keep_mod11,
    keep_mod13,
    keep_mod15,
)
from smcloud.sources.tile_files import DayLayer, TileSource

COLLECTIONS = ("061", "006")
UNKNOWN_INT16 = -32768
SLAB_STEPS = 46
CHUNK_PIXELS = 150


def tile_schema(
    name: str,
    title: str,
    variables: tuple[Variable, ...],
    step_days: int | None,
    slab: int = SLAB_STEPS,
) -> CubeSchema:
    """Return the schema of a cube on the 1 km grid: one shard a tile and slab."""
    chunks = (slab, CHUNK_PIXELS, CHUNK_PIXELS)
    shards = (slab, TILE_PIXELS, TILE_PIXELS)
    return CubeSchema(name, SIN1KM.name, variables, step_days, chunks, shards, title, codec="lz4")


def lst_variable(name: str, long_name: str, scale: float = 0.02) -> Variable:
    """Return a land surface temperature, kelvin, packed as the products pack it."""
    return Variable(
        name,
        "uint16",
        "K",
        long_name,
        (150.0, 400.0),
        scale=scale,
        fill=0,
        standard_name="surface_temperature",
    )


def lai_variable() -> Variable:
    """Return leaf area index, m2 of leaf per m2 of ground, packed as the products pack it."""
    return Variable(
        "lai",
        "uint8",
        "m2 m-2",
        "leaf area index",
        (0.0, 10.0),
        scale=0.1,
        fill=255,
        standard_name="leaf_area_index",
    )


def albedo_variables() -> tuple[Variable, ...]:
    """Return white-sky and black-sky shortwave albedo."""
    return tuple(
        Variable(
            f"albedo_{sky}_shortwave",
            "int16",
            "1",
            f"{word}-sky shortwave albedo",
            (0.0, 1.0),
            scale=0.0001,
            fill=UNKNOWN_INT16,
            standard_name="surface_albedo",
        )
        for sky, word in (("wsa", "white"), ("bsa", "black"))
    )


def _day_variable(days: int) -> Variable:
    return Variable(
        "composite_day",
        "int16",
        "days",
        "days from the start of the composite to the observation",
        (0.0, days - 1.0),
        fill=UNKNOWN_INT16,
    )


def _pattern(short_name: str) -> str:
    return (
        rf"{short_name}\.A(?P<start>\d{{7}})\.(?P<tile>h\d{{2}}v\d{{2}})\.(?P<collection>\d{{3}})"
        r"(?:\.(?P<produced>\d{13}))?\.hdf"
    )


def _lst_layer(time: str) -> Layer:
    return Layer(f"LST_{time}_1km", ("uint16",), 0.02, 0, (7500, 65535), ("K",))


MOD11A1 = TileSource(
    name="mod11a1",
    title="MODIS/Terra land surface temperature, daily, 1 km",
    schema=tile_schema(
        "mod11a1",
        "MODIS/Terra land surface temperature, daily, 1 km",
        (
            lst_variable("lst_day", "land surface temperature by day"),
            lst_variable("lst_night", "land surface temperature by night"),
        ),
        1,
    ),
    short_name="MOD11A1",
    collections=COLLECTIONS,
    pattern=_pattern("MOD11A1"),
    grid_prefix="MODIS_Grid_Daily_1km_LST",
    pixels=TILE_PIXELS,
    days=1,
    layers={"lst_day": _lst_layer("Day"), "lst_night": _lst_layer("Night")},
    words={
        "qc_day": (Word("QC_Day", ("uint8",)), MOD11_QC),
        "qc_night": (Word("QC_Night", ("uint8",)), MOD11_QC),
    },
    keep=keep_mod11,
    quality_rules=RULES,
)


def _index_variable(name: str, long_name: str, standard_name: str = "") -> Variable:
    return Variable(
        name,
        "int16",
        "1",
        long_name,
        (-0.2, 1.0),
        scale=0.0001,
        fill=UNKNOWN_INT16,
        standard_name=standard_name,
    )


MOD13A2 = TileSource(
    name="mod13a2",
    title="MODIS/Terra vegetation indices, 16 days, 1 km",
    schema=tile_schema(
        "mod13a2",
        "MODIS/Terra vegetation indices, 16 days, 1 km",
        (
            _index_variable(
                "ndvi",
                "normalized difference vegetation index",
                "normalized_difference_vegetation_index",
            ),
            _index_variable("evi", "enhanced vegetation index"),
            _day_variable(16),
        ),
        16,
        slab=23,
    ),
    short_name="MOD13A2",
    collections=COLLECTIONS,
    pattern=_pattern("MOD13A2"),
    grid_prefix="MODIS_Grid_16DAY_1km_VI",
    pixels=TILE_PIXELS,
    days=16,
    layers={
        name: Layer(f"1 km 16 days {name.upper()}", ("int16",), 0.0001, -3000, (-2000, 10000))
        for name in ("ndvi", "evi")
    },
    words={"vi_quality": (Word("1 km 16 days VI Quality", ("uint16",)), MOD13_QUALITY)},
    keep=keep_mod13,
    quality_rules=RULES,
    day_layer=DayLayer(Word("1 km 16 days composite day of the year", ("int16",)), -1),
)

MOD15A2H = TileSource(
    name="mod15a2h",
    title="MODIS/Terra leaf area index, 8 days, 500 m",
    schema=tile_schema(
        "mod15a2h", "MODIS/Terra leaf area index, 8 days, 1 km", (lai_variable(),), 8
    ),
    short_name="MOD15A2H",
    collections=COLLECTIONS,
    pattern=_pattern("MOD15A2H"),
    grid_prefix="MOD_Grid_MOD15A2H",
    pixels=2 * TILE_PIXELS,
    days=8,
    layers={"lai": Layer("Lai_500m", ("uint8",), 0.1, 255, (0, 100))},
    words={"fpar_lai_qc": (Word("FparLai_QC", ("uint8",)), MOD15_QC)},
    keep=keep_mod15,
    quality_rules=RULES,
)

_BAND_NAMES = {
    "red": "620-670 nm",
    "nir": "841-876 nm",
    "blue": "459-479 nm",
    "green": "545-565 nm",
    "swir1": "1230-1250 nm",
    "swir2": "1628-1652 nm",
    "swir3": "2105-2155 nm",
}

MOD09A1 = TileSource(
    name="mod09a1",
    title="MODIS/Terra surface reflectance, 8 days, 500 m",
    schema=tile_schema(
        "mod09a1",
        "MODIS/Terra surface reflectance, 8 days, 1 km",
        (
            *(
                Variable(
                    name,
                    "int16",
                    "1",
                    f"surface reflectance at {_BAND_NAMES[name]} (band {band})",
                    (-0.01, 1.6),
                    scale=0.0001,
                    fill=UNKNOWN_INT16,
                    standard_name="surface_bidirectional_reflectance",
                )
                for name, band in REFLECTANCE_BANDS.items()
            ),
            _day_variable(8),
        ),
        8,
        slab=23,  # eight variables of a slab are packed in memory at once: 0.5 GB
    ),
    short_name="MOD09A1",
    collections=COLLECTIONS,
    pattern=_pattern("MOD09A1"),
    grid_prefix="MOD_Grid_500m_Surface_Reflectance",
    pixels=2 * TILE_PIXELS,
    days=8,
    layers={
        name: Layer(f"sur_refl_b{band:02d}", ("int16",), 0.0001, -28672, (-100, 16000))
        for name, band in REFLECTANCE_BANDS.items()
    },
    words={
        "state": (Word("sur_refl_state_500m", ("uint16",)), MOD09_STATE),
        "band_quality": (Word("sur_refl_qc_500m", ("uint32",)), MOD09_QC),
    },
    keep=keep_mod09,
    quality_rules=RULES,
    day_layer=DayLayer(Word("sur_refl_day_of_year", ("uint16",)), 65535),
)

MCD43A3 = TileSource(
    name="mcd43a3",
    title="MODIS shortwave albedo, daily, 500 m",
    schema=tile_schema("mcd43a3", "MODIS shortwave albedo, daily, 1 km", albedo_variables(), 1),
    short_name="MCD43A3",
    collections=COLLECTIONS,
    pattern=_pattern("MCD43A3"),
    grid_prefix="MOD_Grid_BRDF",
    pixels=2 * TILE_PIXELS,
    days=1,
    layers={
        f"albedo_{sky}_shortwave": Layer(
            f"Albedo_{sky.upper()}_shortwave", ("int16", "uint16"), 0.001, 32767, (0, 1000)
        )
        for sky in ("wsa", "bsa")
    },
    words={
        "albedo_quality": (
            Word("BRDF_Albedo_Band_Mandatory_Quality_shortwave", ("uint8",)),
            MCD43_QUALITY,
        )
    },
    keep=keep_mcd43,
    quality_rules=RULES,
)
