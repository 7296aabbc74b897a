"""State of the ground by SMAP's radiometer: SPL3FTP (36 km) and SPL3FTP_E (9 km), daily, HDF5.

Layers are (2, rows, cols): the pass at 6 in the morning, then the one at 18 (NSIDC, data fields:
"AMPM_LatCell_LonCell_Array"). Of the two groups the global one is read, on the cylinder of
EASE-Grid 2.0; the polar one begins at 45 N and misses the Qinghai-Tibet plateau. `freeze_thaw` is
0 thawed, 1 frozen, 254 unknown; bits of `retrieval_qual_flag` are taken to be those of soil
moisture (0 not recommended, 1 not attempted, 2 failed). Masks of false alarms use AMSR and the air
temperature of a model, so that SMAP is a second opinion and no independent check. No real file was
at hand.
"""

import h5py
import numpy as np
import xarray as xr

from smcloud.core.errors import GranuleError
from smcloud.grids.grid import EASE2_9KM, EASE2_36KM
from smcloud.sources.base import Granule
from smcloud.sources.coarse_files import daily_schema
from smcloud.sources.day_files import DayFile, Floats, LazyLayer, Window2, lazy, unsigned
from smcloud.sources.quality import ALL, RECOMMENDED
from smcloud.sources.smap import CELLS_9KM, CELLS_36KM, OUTAGES, SmapDays, check_short_name
from smcloud.sources.smos_ft import GroundState, state_variable

GROUP = "Freeze_Thaw_Retrieval_Data_Global"
STATE, QUALITY = f"{GROUP}/freeze_thaw", f"{GROUP}/retrieval_qual_flag"
NO_STATE = 254
THAWED, FROZEN = 0, 1
CODES = {THAWED: GroundState.THAWED, FROZEN: GroundState.FROZEN}
HALVES = ("am", "pm")
NOT_RECOMMENDED, NOT_ATTEMPTED, FAILED = 1, 2, 4


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


class SmapFreezeThaw(SmapDays):
    """Reader of the state of the ground in both halves of a day."""

    topic = "FT"

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
_BOTH = (
    state_variable("state_am", "state of the ground, SMAP at 6 local solar time", _TWO),
    state_variable("state_pm", "state of the ground, SMAP at 18 local solar time", _TWO),
)
SMAP_FT = SmapFreezeThaw(
    "SPL3FTP",
    daily_schema(
        "smap_ft", EASE2_36KM, _BOTH, CELLS_36KM, "SMAP SPL3FTP freeze and thaw, daily, 36 km"
    ),
    OUTAGES,
)
SMAP_FT_E = SmapFreezeThaw(
    "SPL3FTP_E",
    daily_schema(
        "smap_ft_e", EASE2_9KM, _BOTH, CELLS_9KM, "SMAP SPL3FTP_E freeze and thaw, daily, 9 km"
    ),
    OUTAGES,
)
