"""What the products that come down from coarse cells have in common: variables and quality bits."""

from collections.abc import Mapping
from dataclasses import replace

from smcloud.cube.schema import YEAR_STEPS, CubeSchema
from smcloud.features.spec import QUALITY_MEANINGS, Driver
from smcloud.products.base import ESTIMATE_CLIPPED, NO_ESTIMATE, Option
from smcloud.products.glass_sm import QUALITY_FLAG as STATION_FLAG
from smcloud.products.glass_sm import SOIL_MOISTURE

SOIL = tuple(Option(Driver(name, to_days="static")) for name in ("soilgrids", "china_soil"))
"""Soil maps of which a run file may choose one."""
NO_COARSE_VALUE = 128
MEAN_NOT_MET = 256
COARSE_FILLED = 512
LST_FILLED = 1024
NOT_MODELLED = 2048
IN_SITU = "mean ubRMSE of stations"
"""What papers call their score at stations; the name of such a figure begins with it."""
DOWNSCALED_FLAGS: Mapping[int, str] = {
    **QUALITY_MEANINGS,
    ESTIMATE_CLIPPED: "estimate_at_an_end_of_its_physical_range",
    NO_ESTIMATE: "no_estimate",
    NO_COARSE_VALUE: "coarse_value_unknown_mean_of_the_model",
    MEAN_NOT_MET: "mean_of_the_coarse_cell_not_met",
    COARSE_FILLED: "coarse_value_filled_between_swaths",
    LST_FILLED: "land_surface_temperature_filled_under_cloud",
    NOT_MODELLED: "no_model_for_this_day",
}
"""Bits of the quality flag: those of the features, and those that the passes of production add."""
QUALITY_FLAG = replace(
    STATION_FLAG,
    attrs={
        "flag_masks": list(DOWNSCALED_FLAGS),
        "flag_meanings": " ".join(DOWNSCALED_FLAGS.values()),
    },
)


def downscaled_schema(name: str, how: str) -> CubeSchema:
    """Return the store of one year of a product; `how` ends its title."""
    return CubeSchema(
        name,
        "sin1km",
        (SOIL_MOISTURE, QUALITY_FLAG),
        step_days=1,
        chunks=(46, 150, 150),
        shards=(YEAR_STEPS, 150, 150),
        title=f"smcloud {name}: daily 1 km soil moisture of the top 5 cm, {how}",
    )
