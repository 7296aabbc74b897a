"""freeze-thaw: whether the ground is frozen, daily on cells of 25 km.

The data set that it follows: state of the ground of the Qinghai-Tibet plateau, 2011 to 2020 (Hu,
TPDC, 2025): extremely randomised trees on brightness temperatures of AMSR and MWRI, terrain, soil
and GLDAS, learned from the states that SMOS tells. AMSR-E ended before AMSR2 began; each radiometer
has a forest of its own that learns from SMOS, which saw them all, so that none must be brought to
the scale of another: a run chooses one.
"""

from collections.abc import Mapping
from dataclasses import replace

from smcloud.cube.schema import YEAR_STEPS, CubeSchema, Variable
from smcloud.features.ground_columns import GroundSources
from smcloud.features.spec import Driver
from smcloud.grids.grid import EASE2_NORTH_25KM
from smcloud.products.base import Option, Product, Published, Target
from smcloud.sources.smos_ft import GroundState, state_variable

STATE, PROBABILITY, FLAG = "freeze_thaw_state", "frozen_probability", "quality_flag"
NO_OVERPASS, OTHER_OVERPASS, DRIVER_UNKNOWN, UNDECIDED = 1, 2, 4, 8
FLAGS: Mapping[int, str] = {
    NO_OVERPASS: "no_estimate_because_no_overpass_saw_the_cell",
    OTHER_OVERPASS: "overpass_of_second_choice",
    DRIVER_UNKNOWN: "a_driver_is_unknown_and_was_taken_for_its_median",
    UNDECIDED: "states_nearly_as_likely_as_each_other",
}
"""Bits of the quality flag; a day without bits had everything and a clear answer."""
FROZEN_STATES = (int(GroundState.FROZEN),)
"""States under which soil moisture of other products is flagged."""
RADIOMETERS = ("amsr2_tb", "mwri_tb", "amsre_tb")
LABEL, LAND_MODEL, TERRAIN, SOIL = "smos_ft", "gldas", "terrain", "soilgrids"
SECOND = "smap_ft"
_SOURCE = "TPDC, 2025, Qinghai-Tibet plateau"
_CHUNK = 45

_STATE = state_variable(
    STATE,
    "state of the ground",
    (GroundState.THAWED, GroundState.PARTLY_FROZEN, GroundState.FROZEN),
)

SCHEMA = CubeSchema(
    "freeze-thaw",
    EASE2_NORTH_25KM.name,
    (
        replace(_STATE, attrs={**_STATE.attrs, "ancillary_variables": f"{PROBABILITY} {FLAG}"}),
        Variable(
            PROBABILITY,
            "int16",
            "1",
            "probability that the ground is frozen",
            (0.0, 1.0),
            scale=0.0001,
            fill=-9999,
        ),
        Variable(
            FLAG,
            "uint8",
            "1",
            "quality of the state of the ground",
            (0.0, 255.0),
            standard_name="quality_flag",
            attrs={"flag_masks": list(FLAGS), "flag_meanings": " ".join(FLAGS.values())},
        ),
    ),
    step_days=1,
    chunks=(46, _CHUNK, _CHUNK),
    shards=(YEAR_STEPS, _CHUNK, _CHUNK),
    title="smcloud freeze-thaw: daily state of the ground, 25 km",
)

FREEZE_THAW = Product(
    name="freeze-thaw",
    title="Daily state of the ground, frozen or thawed, at 25 km",
    reference=f"after the state of the ground of the Qinghai-Tibet plateau ({_SOURCE})",
    drivers=(
        Driver(RADIOMETERS[0], to_grid="nearest"),
        Driver(LAND_MODEL, to_grid="bilinear"),
        Driver(TERRAIN, to_days="static"),
        Driver(SOIL, to_days="static"),
        Driver(LABEL, to_grid="nearest"),
    ),
    choices={"radiometer": tuple(Option(Driver(name, to_grid="nearest")) for name in RADIOMETERS)},
    references=(Driver(SECOND, to_grid="nearest"),),
    features=(),
    target=Target(
        STATE,
        "1",
        valid=(0.0, 2.0),
        rule="state that SMOS tells within six hours of an overpass of the radiometer",
    ),
    parameters={},
    schema=SCHEMA,
    label=LABEL,
    published=(
        Published("overall accuracy of fitted, validation and test rows", "0.86 or more", _SOURCE),
    ),
)


def ground_sources(product: Product) -> GroundSources:
    """Return where the columns of a product that tells states of the ground come from."""
    names = {driver.source for driver in product.drivers}
    radiometer = next(driver.source for driver in product.drivers if driver.source in RADIOMETERS)

    def there(name: str) -> str:
        return name if name in names else ""

    return GroundSources(radiometer, there(LAND_MODEL), there(TERRAIN), there(SOIL))
