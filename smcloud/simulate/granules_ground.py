"""Native files of frozen ground: SMOS and SMAP freeze and thaw, and three-hourly GLDAS Noah."""

from collections.abc import Mapping
from datetime import date

import h5py
import numpy as np

from smcloud.grids.grid import EASE2_36KM, EASE2_NORTH_25KM, GLOBAL025
from smcloud.simulate.footprints import Footprints
from smcloud.simulate.granules_hdf5 import CellArrays, Field, Template
from smcloud.simulate.hdf_eos import Array
from smcloud.simulate.noise import Floats

SMOS_NO_VALUE, SMAP_NO_STATE, SMAP_NO_WORD = 255, 254, 65534
GLDAS_ROWS = 600
GLDAS_FILL = np.float32(-9999.0)
GLDAS_LAYERS: Mapping[str, tuple[str, str, str]] = {
    "Tair_f_inst": ("K", "air_temperature", "Air temperature"),
    "SoilTMP0_10cm_inst": ("K", "soil_temperature", "Soil temperature"),
    "SoilMoi0_10cm_inst": ("kg m-2", "soil_moisture_content", "Soil moisture"),
    "SWE_inst": ("kg m-2", "liquid_water_content_of_surface_snow", "Snow water equivalent"),
}
"""Units, CF name and long name of each layer."""


def smos_name(day: date, *, is_ascending: bool) -> str:
    """Return the name of the file of a day and of one direction of passes."""
    orbits = "_asc" if is_ascending else ""
    return f"W_XX-ESA,SMOS,NH_25KM_EASE2_{day:%Y%m%d}_o_v200_01_l3soilft{orbits}.nc"


class SmosFiles:
    """Makes the daily files of one direction over some cells; classes count from 1."""

    def __init__(self, cells: Footprints, *, is_ascending: bool) -> None:
        grid = EASE2_NORTH_25KM
        self._cells = CellArrays((grid.rows, grid.cols), cells.rows, cells.cols)
        self._orbits = "ascending" if is_ascending else "descending"
        self._template = Template(self._build)

    def _build(self, file: h5py.File) -> None:
        file["x"], file["y"] = EASE2_NORTH_25KM.x, EASE2_NORTH_25KM.y
        attributes = {
            "long_name": "SMOS Level 3 Freeze Thaw Estimates",
            "flag_values": np.array([1, 2, 3], np.uint8),
            "flag_meanings": "Thaw Partial Frozen",
            "valid_range": np.array([1, 3], np.uint8),
        }
        self._cells.create(file, Field("L3FT", "uint8", SMOS_NO_VALUE, attributes))
        file.attrs["orbits_included"] = np.bytes_(f"Currently only {self._orbits} orbits used")
        file.attrs["title"] = np.bytes_("written by smcloud simulate: not SMOS data")

    def file(self, state: Array) -> bytes:
        """Return the content of the file of a day from states (n,), 255 unknown."""

        def fill(file: h5py.File) -> None:
            self._cells.store(file["L3FT"], state + np.uint8(1), state != SMOS_NO_VALUE)

        return self._template.copy(fill)


def smap_ft_name(day: date) -> str:
    """Return the name of the file of a day."""
    return f"SMAP_L3_FT_P_{day:%Y%m%d}_R18290_001.h5"


class SmapFiles:
    """Makes the daily files of SPL3FTP over some cells of 36 km: morning, then evening."""

    GROUP = "Freeze_Thaw_Retrieval_Data_Global"

    def __init__(self, cells: Footprints) -> None:
        grid = EASE2_36KM
        self._cells = CellArrays((grid.rows, grid.cols), cells.rows, cells.cols)
        self._template = Template(self._build)

    def _build(self, file: h5py.File) -> None:
        told = file.create_group("Metadata/DatasetIdentification")
        told.attrs["shortName"] = "SPL3FTP"
        told.attrs["abstract"] = "written by smcloud simulate: not SMAP data"
        group = file.create_group(self.GROUP)
        state = {"_FillValue": np.uint8(SMAP_NO_STATE), "valid_max": np.uint8(1)}
        word = {"_FillValue": np.uint16(SMAP_NO_WORD)}
        self._cells.create(group, Field("freeze_thaw", "uint8", SMAP_NO_STATE, state), halves=2)
        self._cells.create(
            group, Field("retrieval_qual_flag", "uint16", SMAP_NO_WORD, word), halves=2
        )

    def file(self, morning: Array, evening: Array) -> bytes:
        """Return the content of the file of a day from states (n,), 254 unknown."""

        def fill(file: h5py.File) -> None:
            for number, state in enumerate((morning, evening)):
                known = state != SMAP_NO_STATE
                group = file[self.GROUP]
                self._cells.store(group["freeze_thaw"], state, known, number)
                words = np.zeros(state.shape, np.uint16)
                self._cells.store(group["retrieval_qual_flag"], words, known, number)

        return self._template.copy(fill)


def gldas_name(day: date, hour: int) -> str:
    """Return the name of the file of an hour of a day."""
    return f"GLDAS_NOAH025_3H.A{day:%Y%m%d}.{hour:02d}00.021.nc4"


class GldasFiles:
    """Makes the three-hourly files over some cells of 0.25 degree; rows run from south to north."""

    def __init__(self, cells: Footprints) -> None:
        south_up = GLDAS_ROWS - 1 - cells.rows
        self._cells = CellArrays((GLDAS_ROWS, GLOBAL025.cols), south_up, cells.cols)
        self._template = Template(self._build)

    def _build(self, file: h5py.File) -> None:
        axes = (
            ("lat", GLOBAL025.y[:GLDAS_ROWS][::-1], "degrees_north"),
            ("lon", GLOBAL025.x, "degrees_east"),
        )
        for name, values, units in axes:
            axis = file.create_dataset(name, data=values.astype(np.float32))
            axis.attrs["units"] = np.bytes_(units)
        time = file.create_dataset("time", (1,), "float64")
        time.attrs["units"] = np.bytes_(" minutes since 2000-01-01 03:00:00")
        for name, (units, standard_name, long_name) in GLDAS_LAYERS.items():
            attributes = {
                "units": np.bytes_(units),
                "standard_name": np.bytes_(standard_name),
                "long_name": np.bytes_(long_name),
                "_FillValue": np.array([GLDAS_FILL]),
                "scale_factor": np.array([1.0], np.float32),
                "add_offset": np.array([0.0], np.float32),
            }
            field = Field(name, "float32", float(GLDAS_FILL), attributes)
            self._cells.create(file, field, steps=True)
        file.attrs["title"] = np.bytes_("written by smcloud simulate: not GLDAS data")

    def file(self, day: date, hour: int, layers: Mapping[str, Floats]) -> bytes:
        """Return the content of the file of an hour from layers (n,), NaN unknown."""

        def fill(file: h5py.File) -> None:
            file["time"][0] = (day - date(2000, 1, 1)).days * 1440.0 + 60.0 * hour - 180.0
            for name, values in layers.items():
                self._cells.store(file[name], values.astype(np.float32), np.isfinite(values))

        return self._template.copy(fill)
