"""State of the ground by SMOS: level 3 freeze and thaw of the Finnish Meteorological Institute.

Daily netCDF-4 on EASE-Grid 2.0 North, 720 x 720 cells of 25 km, since 2010-07-01. The layer `L3FT`
has thaw, partly frozen and frozen as 0, 1, 2 by the service's page and 1, 2, 3 by the metadata of
version 2.00 (`flag_values`); 255 is no value. A file's own `flag_values` or `valid_range` decide,
and one that has neither is read as 0, 1, 2. The service uses air temperature of ECMWF and snow
cover of IMS, so that it is no measurement alone. Version 2.00 has descending orbits alone, as its
attribute `orbits_included` says, which tells the passes here; files of ascending passes, at 6 local
solar time, are taken to be laid out in the same way and named by a further word. No real file was
at hand: the layer and its attributes follow the listing of the data set in the Deep Earth System
Data Lab, and the name, ``W_XX-ESA,SMOS,NH_25KM_EASE2_<day>_o_v200_01_l3soilft.nc``, is from memory.
"""

import re
from datetime import date
from enum import IntEnum
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from smcloud.core.errors import GranuleError
from smcloud.cube.schema import Variable
from smcloud.grids.grid import EASE2_NORTH_25KM
from smcloud.grids.tiles import GLOBE
from smcloud.sources.base import Granule, Outage, day_of
from smcloud.sources.coarse_files import check_axis, daily_schema
from smcloud.sources.day_files import DayFile, Floats, LazyLayer, Window2, lazy
from smcloud.sources.global_days import GlobalDays
from smcloud.sources.swath_cells import ASCENDING, DESCENDING

LAYER = "L3FT"
NO_VALUE = 255
AXIS_TOLERANCE_M = 1.0
_NAME = re.compile(
    r"W_XX-ESA,SMOS,NH_25KM_EASE2_(?P<day>\d{8})_(?P<stream>[a-z])_v(?P<version>\d{3})_"
    r"(?P<number>\d{2})_l3soilft(?:_(?P<orbits>asc|desc))?\.nc"
)


class GroundState(IntEnum):
    """What the ground of a cell is."""

    THAWED = 0
    PARTLY_FROZEN = 1
    FROZEN = 2
    UNKNOWN = 255


def state_variable(name: str, long_name: str, states: tuple[GroundState, ...]) -> Variable:
    """Return a cube variable of the state of the ground."""
    return Variable(
        name,
        "uint8",
        "1",
        long_name,
        (float(min(states)), float(max(states))),
        fill=int(GroundState.UNKNOWN),
        attrs={
            "flag_values": [int(state) for state in states],
            "flag_meanings": " ".join(state.name.lower() for state in states),
        },
    )


class _LazyState(LazyLayer):
    """`GroundState` of a day, NaN unknown; classes of a file count from its lowest one."""

    def __init__(self, file: DayFile, layer: h5py.Dataset, lowest: int) -> None:
        self._file, self._layer, self._lowest = file, layer, lowest
        super().__init__(layer.shape[-2:], np.float32)

    def _read(self, window: Window2) -> Floats:
        stored = self._file.cells(self._layer, window)
        state = stored.astype(np.float32) - np.float32(self._lowest)
        known = (state >= GroundState.THAWED) & (state <= GroundState.FROZEN)
        outside = ~known & (stored != NO_VALUE)
        # Version 2.00 counts from 1 and may leave 0 where its processing mask says sea.
        if (outside & (stored > 0)).any():
            code = stored[outside & (stored > 0)][0]
            raise GranuleError(
                f"{self._file.path.name}: expected {LAYER} of three classes from {self._lowest} "
                f"on, or {NO_VALUE}, found {code}"
            )
        return np.where(known, state, np.float32(np.nan))


class SmosFreezeThaw(GlobalDays):
    """Reader of the daily states."""

    def identify(self, name: str) -> Granule | None:
        """Return what ``W_XX-ESA,SMOS,NH_25KM_EASE2_<day>_o_v200_01_l3soilft.nc`` says."""
        found = _NAME.fullmatch(name)
        day = day_of(found["day"]) if found else None
        if found is None or day is None:
            return None
        produced = f"v{found['version']}-{found['number']}-{found['stream']}"
        return Granule(self.name, GLOBE, day, day, produced, name, found["orbits"] or "daily")

    def _fields(self, file: DayFile, granule: Granule, rule: str) -> dict[str, xr.Variable]:
        """Return the state by the passes that the file has; the other one is unknown."""
        del granule, rule
        layer = file.layer(LAYER, "iu")
        _check_axes(file)
        lowest = _lowest_class(file, layer)
        mine = _direction(file)
        found = {}
        for direction in (ASCENDING, DESCENDING):
            source = _LazyState(file, layer, lowest) if direction == mine else _Nothing()
            found[f"state_{direction}"] = lazy(source, self.schema.dims, {"units": "1"})
        return found


class _Nothing(LazyLayer):
    """A layer in which nothing is known."""

    def __init__(self) -> None:
        super().__init__((EASE2_NORTH_25KM.rows, EASE2_NORTH_25KM.cols), np.float32)

    def _read(self, window: Window2) -> Floats:
        shape = (len(range(*axis.indices(EASE2_NORTH_25KM.rows))) for axis in window)
        return np.full(tuple(shape), np.nan, np.float32)


def _lowest_class(file: DayFile, layer: h5py.Dataset) -> int:
    """Return which code means thawed: the first of `flag_values`, or of `valid_range`."""
    for name in ("flag_values", "valid_range"):
        if name in layer.attrs:
            codes: NDArray[Any] = np.ravel(layer.attrs[name])
            lowest, highest = int(codes[0]), int(codes[-1])
            if (lowest, highest) not in ((0, 2), (1, 3)):
                raise GranuleError(
                    f"{file.path.name}: expected {LAYER} of classes 0 to 2 or 1 to 3, found "
                    f"{name} of {lowest} to {highest}"
                )
            return lowest
    return 0


def _direction(file: DayFile) -> str:
    """Return the passes of a file, or raise `GranuleError` where it does not tell them."""
    told = file.attribute("/", "orbits_included").lower()
    # "ascending" is no part of "descending", but both may be named.
    found = [
        d for d, word in ((ASCENDING, "ascending"), (DESCENDING, "descending")) if word in told
    ]
    if len(found) != 1:
        raise GranuleError(
            f"{file.path.name}: expected orbits_included to name ascending or descending orbits, "
            f"found {told or 'nothing'!r}"
        )
    return found[0]


def _check_axes(file: DayFile) -> None:
    """Raise `GranuleError` where a file has axes (m) that are not the grid's, north up."""
    for name, centres in (("x", EASE2_NORTH_25KM.x), ("y", EASE2_NORTH_25KM.y)):
        if file.has(name):
            check_axis(file, name, centres, AXIS_TOLERANCE_M, " m")


_THREE = (GroundState.THAWED, GroundState.PARTLY_FROZEN, GroundState.FROZEN)
SMOS_FT = SmosFreezeThaw(
    "L3FT",
    daily_schema(
        "smos_ft",
        EASE2_NORTH_25KM,
        (
            state_variable("state_asc", "state of the ground, SMOS at 6 local solar time", _THREE),
            state_variable(
                "state_desc", "state of the ground, SMOS at 18 local solar time", _THREE
            ),
        ),
        (40, 360),
        "SMOS freeze and thaw, daily, 25 km",
    ),
    (Outage(date(1970, 1, 1), date(2010, 6, 30), "the service begins on 2010-07-01"),),
    quality_rules=(),
)
