"""GLASS leaf area index, albedo and land surface temperature on 1 km sinusoidal tiles.

No real GLASS file could be had. Layouts follow NASA's Land Information System, whose readers name
the grids GLASS01... and GLASS02A06 and the fields LAI, ABD_BSA_shortwave and ABD_WSA_shortwave
(NASA-LIS/LISF, readGLASSlaiObs and readGLASSalbedoObs), the GLASS pages of the University of
Maryland (albedo 0 to 10000 by 0.0001, -1 unknown), and public notes of users of the archive (names
of files, QA bits of albedo, LST 20000 to 35000 by 0.01 K). Inferred: the fill values of LAI (255)
and LST (0). Readers are strict, so that a file that differs says how.
"""

from smcloud.grids.grid import TILE_PIXELS
from smcloud.sources.hdf_eos import Layer, Word
from smcloud.sources.modis import albedo_variables, lai_variable, lst_variable, tile_schema
from smcloud.sources.quality import GLASS_ALBEDO_QA, RULES, keep_all, keep_glass_albedo
from smcloud.sources.tile_files import TileSource


def _pattern(short_name: str) -> str:
    return (
        rf"{short_name}\.(?P<collection>V\d{{2}})\.A(?P<start>\d{{7}})\.(?P<tile>h\d{{2}}v\d{{2}})"
        r"\.(?P<produced>\d{7})\.hdf"
    )


GLASS_LAI = TileSource(
    name="glass_lai",
    title="GLASS leaf area index, 8 days, 1 km",
    schema=tile_schema("glass_lai", "GLASS leaf area index, 8 days, 1 km", (lai_variable(),), 8),
    short_name="GLASS01E01",
    collections=("V50", "V60"),
    pattern=_pattern("GLASS01E01"),
    grid_prefix="GLASS01E01",
    pixels=TILE_PIXELS,
    days=8,
    layers={"lai": Layer("LAI", ("uint8",), 0.1, 255, (0, 100))},
    words={},
    keep=keep_all,
    quality_rules=("all",),
    has_core_metadata=False,
)

GLASS_ALBEDO = TileSource(
    name="glass_albedo",
    title="GLASS shortwave albedo, 8 days, 1 km",
    schema=tile_schema(
        "glass_albedo", "GLASS shortwave albedo, 8 days, 1 km", albedo_variables(), 8
    ),
    short_name="GLASS02A06",
    collections=("V40", "V50"),
    pattern=_pattern("GLASS02A06"),
    grid_prefix="GLASS02A06",
    pixels=TILE_PIXELS,
    days=8,
    layers={
        f"albedo_{sky}_shortwave": Layer(
            f"ABD_{sky.upper()}_shortwave", ("int16",), 0.0001, -1, (0, 10000)
        )
        for sky in ("wsa", "bsa")
    },
    words={"albedo_quality": (Word("ABD_QA_shortwave", ("uint16",)), GLASS_ALBEDO_QA)},
    keep=keep_glass_albedo,
    quality_rules=RULES,
    has_core_metadata=False,
)

GLASS_LST = TileSource(
    name="glass_lst",
    title="GLASS all-weather land surface temperature, daily mean, 1 km",
    schema=tile_schema(
        "glass_lst",
        "GLASS all-weather land surface temperature, daily mean, 1 km",
        (lst_variable("lst_mean", "daily mean land surface temperature", scale=0.01),),
        1,
    ),
    short_name="GLASS06A01",
    collections=("V01",),
    pattern=_pattern("GLASS06A01"),
    grid_prefix="GLASS06A01",
    pixels=TILE_PIXELS,
    days=1,
    layers={"lst_mean": Layer("LST", ("uint16",), 0.01, 0, (20000, 35000), ("K",))},
    words={},
    keep=keep_all,
    quality_rules=("all",),
    has_core_metadata=False,
)
