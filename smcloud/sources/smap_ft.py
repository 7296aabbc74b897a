"""State of the ground by SMAP's radiometer: SPL3FTP (36 km) and SPL3FTP_E (9 km), daily, HDF5.

Layers are (2, rows, cols): the pass at 6 in the morning, then the one at 18 (NSIDC, data fields:
"AMPM_LatCell_LonCell_Array"). Of the two groups the global one is read, on the cylinder of
EASE-Grid 2.0; the polar one begins at 45 N and misses the Qinghai-Tibet plateau. `freeze_thaw` is
0 thawed, 1 frozen, 254 unknown; bits of `retrieval_qual_flag` are taken to be those of soil
moisture (0 not recommended, 1 not attempted, 2 failed). Masks of false alarms use AMSR and the air
temperature of a model, so that SMAP is a second opinion and no independent check. No real file was
at hand.
"""

import re

import h5py
import numpy as np
import xarray as xr

from smcloud.core.errors import GranuleError
from smcloud.cube.schema import CubeSchema
from smcloud.grids.grid import EASE2_9KM, EASE2_36KM, Grid
from smcloud.grids.tiles import GLOBE
from smcloud.sources.base import Granule, day_of
from smcloud.sources.day_files import DayFile, Floats, LazyLayer, Window2, lazy, unsigned
from smcloud.sources.global_days import GlobalDays
from smcloud.sources.quality import ALL, RECOMMENDED
from smcloud.sources.smap import OUTAGES, check_short_name
from smcloud.sources.smos_ft import GroundState, state_variable

GROUP = "Freeze_Thaw_Retrieval_Data_Global"
STATE, QUALITY = f"{GROUP}/freeze_thaw", f"{GROUP}/retrieval_qual_flag"
NO_STATE = 254
THAWED, FROZEN = 0, 1
CODES = {THAWED: GroundState.THAWED, FROZEN: GroundState.FROZEN}
HALVES = ("am", "pm")
NOT_RECOMMENDED, NOT_ATTEMPTED, FAILED = 1, 2, 4
_NAME = re.compile(
    r"SMAP_L3_FT_P(?P<enhanced>_E)?_(?P<day>\d{8})_(?P<release>[RT]\d{5})_(?P<version>\d{3})\.h5"
)


class _LazyHalf(LazyLayer):
    """`GroundState` of one half of a day, NaN unknown or refused by the quality."""

    def __init__(
        self, file: DayFile, layers: tuple[h5py.Dataset, h5py.Dataset], half: int, refused: int
    ) -> None:
        self._file, self._layers, self._half, self._refused = file, layers, half, refused
        super().__init__(layers[0].shape[-2:], np.float32)

    def _read(self, window: Window2) -> Floats:
        stored, words = (self._file.cells(one, window, self._half) for one in self._layers)
        others = (stored != NO_STATE) & ~np.isin(stored, list(CODES))
        if others.any():
            raise GranuleError(
                f"{self._file.path.name}: expected {STATE} of 0, 1 or {NO_STATE}, found "
                f"{stored[others][0]}"
            )
        state = np.full(stored.shape, np.nan, np.float32)
        kept = (unsigned(words) & self._refused) == 0
        for code, meaning in CODES.items():
            state[(stored == code) & kept] = meaning
        return state


class SmapFreezeThaw(GlobalDays):
    """Reader of one of the two daily products, by NSIDC's short name."""

    def identify(self, name: str) -> Granule | None:
        """Return what a name ``SMAP_L3_FT_P_<day>_<release>_<version>.h5`` says."""
        found = _NAME.fullmatch(name)
        if found is None or bool(found["enhanced"]) != self.product.endswith("_E"):
            return None
        day = day_of(found["day"])
        if day is None:
            return None
        produced = f"{found['release']}_{found['version']}"
        return Granule(self.name, GLOBE, day, day, produced, name, "daily")

    def _fields(self, file: DayFile, granule: Granule, rule: str) -> dict[str, xr.Variable]:
        """Return the state of the ground by half of the day."""
        del granule
        check_short_name(file, self.product)
        layers = file.layer(STATE, "iu", len(HALVES)), file.layer(QUALITY, "iu", len(HALVES))
        refused = refused_bits(rule)
        return {
            f"state_{half}": lazy(
                _LazyHalf(file, layers, number, refused), self.schema.dims, {"units": "1"}
            )
            for number, half in enumerate(HALVES)
        }


def refused_bits(rule: str) -> int:
    """Return the bits of `retrieval_qual_flag` that make a state unknown by a quality rule."""
    if rule == ALL:
        return 0
    return NOT_ATTEMPTED | FAILED | (NOT_RECOMMENDED if rule == RECOMMENDED else 0)


_TWO = (GroundState.THAWED, GroundState.FROZEN)


def _schema(name: str, grid: Grid, chunk: int, shard: int, title: str) -> CubeSchema:
    return CubeSchema(
        name,
        grid.name,
        (
            state_variable("state_am", "state of the ground, SMAP at 6 local solar time", _TWO),
            state_variable("state_pm", "state of the ground, SMAP at 18 local solar time", _TWO),
        ),
        1,
        (46, chunk, chunk),
        (46, shard, shard),
        title,
        codec="lz4",
    )


SMAP_FT = SmapFreezeThaw(
    "SPL3FTP",
    _schema("smap_ft", EASE2_36KM, 20, 100, "SMAP SPL3FTP freeze and thaw, daily, 36 km"),
    OUTAGES,
)
SMAP_FT_E = SmapFreezeThaw(
    "SPL3FTP_E",
    _schema("smap_ft_e", EASE2_9KM, 50, 200, "SMAP SPL3FTP_E freeze and thaw, daily, 9 km"),
    OUTAGES,
)
