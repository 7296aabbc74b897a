"""seamless: daily soil moisture of the globe at 0.25 degree without gaps.

The data set that it follows: SGD-SM 1.0 and 2.0 (Zhang et al., ESSD 13, 1385, 2021; 14, 4473,
2022), gaps of AMSR-E, WindSat and AMSR2 filled by a network that sees the days around and
precipitation.
Ours keeps what was observed bit for bit and four digits of it, tells the reason of every gap, and
leaves frozen ground unknown unless a run file says otherwise.
"""

from dataclasses import replace

from smcloud.cube.schema import YEAR_STEPS, CubeSchema
from smcloud.features.coarse_cubes import GAPPY_MOISTURE
from smcloud.features.spec import Driver
from smcloud.grids.grid import GLOBAL025
from smcloud.products.base import Product, Published, Target

MOISTURE, REASON = "soil_moisture", "gap_reason"
GAPS, RAIN = GAPPY_MOISTURE.name, "imerg_025"
_SIDE = GAPPY_MOISTURE.schema.shards[1]
_FIRST, _SECOND = "ESSD 13, 1385, 2021", "ESSD 14, 4473, 2022"

SCHEMA = CubeSchema(
    "seamless",
    GLOBAL025.name,
    (
        replace(
            GAPPY_MOISTURE.schema.variable(MOISTURE),
            long_name="soil moisture, observed or filled",
            attrs={"ancillary_variables": REASON},
        ),
        replace(
            GAPPY_MOISTURE.schema.variable(REASON),
            long_name="why soil moisture was not observed",
        ),
    ),
    step_days=1,
    chunks=(46, _SIDE, _SIDE),
    shards=(YEAR_STEPS, _SIDE, _SIDE),
    title="smcloud seamless: daily soil moisture without gaps, 0.25 degree",
)

SEAMLESS = Product(
    name="seamless",
    title="Daily soil moisture without gaps at 0.25 degree",
    reference=f"after SGD-SM 2.0 (Zhang et al., {_SECOND})",
    drivers=(Driver(GAPS, to_grid="nearest"), Driver(RAIN, to_grid="nearest")),
    features=(),
    target=Target(
        MOISTURE,
        "m3 m-3",
        valid=(0.0, 1.0),
        rule="values of complete squares, hidden under gaps of real swaths",
    ),
    parameters={},
    schema=SCHEMA,
    gaps=GAPS,
    published=(
        Published("R at 124 stations", "0.672", f"SGD-SM 2.0, {_SECOND}"),
        Published("RMSE at 124 stations", "0.096 m³ m⁻³", f"SGD-SM 2.0, {_SECOND}"),
        Published("R of simulated gaps", "0.963 to 0.974", f"SGD-SM 1.0, {_FIRST}"),
        Published("RMSE of simulated gaps", "0.065 to 0.073 m³ m⁻³", f"SGD-SM 1.0, {_FIRST}"),
    ),
)
