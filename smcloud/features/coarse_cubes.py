"""Coarse soil moisture joined from sensors: what its cubes hold, and what they are made of.

In some of them seams between swaths are filled; others keep every gap and say why it is there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from smcloud.cube.schema import YEAR_STEPS, CubeSchema, Variable
from smcloud.features.derived_cubes import Derived
from smcloud.grids.grid import EASE2_36KM, GLOBAL025, Grid
from smcloud.sources.smap import volumetric

UNKNOWN = 255
LAST_DAY_OF_AMSRE, FIRST_DAY_OF_AMSR2 = date(2011, 10, 4), date(2012, 7, 2)
CALIBRATION_YEARS = tuple(range(2006, 2018))
"""Years on either side of the join from which sensors are matched: all blocks and years have one
scale, and later years do not change it."""
YEARS_AROUND = 25
"""So that each year knows the calibration years."""
BLOCK_BYTES = 600_000_000
"""Three sensors over the calibration years, and what matching them takes."""
REANALYSIS = ("era5land", "skt")
"""What seams go by beside their neighbours in time: skin temperature, which dry ground raises. Not
the reanalysis's own moisture or rain, by which a fill could not be judged."""


@dataclass(frozen=True)
class Joined:
    """What a joined cube is made of.

    Attributes
    ----------
    earlier, later : str
        Sources; one and the same where a product holds both sensors.
    bridge : str
        Source of the sensor that overlaps both.
    has_seams : bool
        Whether what orbits missed is left unknown, with the reason of each gap, or is filled.
    """

    earlier: str
    later: str
    bridge: str
    has_seams: bool = False


def _flag() -> Variable:
    return Variable(
        "source_flag",
        "uint8",
        "1",
        "what the soil moisture rests on",
        (0.0, 254.0),
        fill=UNKNOWN,
        attrs={
            "flag_values": [0, 1, 2, UNKNOWN],
            "flag_meanings": "observed seam_filled bridge_sensor unknown",
        },
    )


def _reason() -> Variable:
    return Variable(
        "gap_reason",
        "uint8",
        "1",
        "why there is no soil moisture",
        (0.0, 254.0),
        fill=UNKNOWN,
        attrs={
            "flag_values": [0, 1, 2, 3, 4, 5, 254, UNKNOWN],
            "flag_meanings": "observed swath failed frozen dense outage not_land unknown",
        },
    )


SEAMS_VERSION = 2
"""Raised when the same inputs give other values in seams."""


def _derived(name: str, grid: Grid, side: int, made_of: Joined, words: str) -> Derived:
    schema = CubeSchema(
        name,
        grid.name,
        (
            volumetric("soil_moisture", f"soil moisture of {words}, on one scale"),
            _reason() if made_of.has_seams else _flag(),
        ),
        1,
        (46, side, side),
        (YEAR_STEPS, side, side),
        f"Soil moisture of {words}, joined, "
        + ("gaps left, with their reasons" if made_of.has_seams else "seams between swaths filled"),
        codec="lz4",
    )
    inputs = [made_of.earlier, made_of.later, made_of.bridge]
    if not made_of.has_seams:
        inputs.append(REANALYSIS[0])
    return Derived(
        name,
        schema.title,
        schema,
        tuple(dict.fromkeys(inputs)),
        None,
        BLOCK_BYTES,
        ("bridge",),
        years_around=YEARS_AROUND,
        version=1 if made_of.has_seams else SEAMS_VERSION,
    )


JOINED: Mapping[str, Joined] = {
    "coarse_moisture": Joined("amsre_lprm", "amsr2_lprm", "windsat_lprm"),
    "coarse_moisture_36km": Joined("amsr_nnsm", "amsr_nnsm", "mwri_nnsm"),
    "gappy_moisture": Joined("amsre_lprm", "amsr2_lprm", "windsat_lprm", has_seams=True),
}
COARSE_MOISTURE = _derived(
    "coarse_moisture", GLOBAL025, 25, JOINED["coarse_moisture"], "AMSR-E and AMSR2 by LPRM"
)
COARSE_MOISTURE_36KM = _derived(
    "coarse_moisture_36km", EASE2_36KM, 20, JOINED["coarse_moisture_36km"], "AMSR-E and AMSR2"
)
GAPPY_MOISTURE = _derived(
    "gappy_moisture", GLOBAL025, 25, JOINED["gappy_moisture"], "AMSR-E and AMSR2 by LPRM"
)
