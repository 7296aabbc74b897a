"""Daily netCDF of IMERG version 07: (time, lon, lat), latitude from the south, unknown -9999.9.

Names, dimensions, units and counts follow the documentation of GPM_3IMERGDF 07 (Goddard DISC) and
what readers of other projects find in its files.
"""

from datetime import date

import h5py
import numpy as np

from smcloud.grids.grid import GLOBAL025, IMERG
from smcloud.simulate.footprints import Footprints, Ints
from smcloud.simulate.granules_hdf5 import CellArrays, Field, Template
from smcloud.simulate.noise import Doubles, Floats

FILL = -9999.9
HALVES = 48
FIRST_YEAR = 1998
_EPOCH = date(1980, 1, 6)
_FIELDS = {
    "precipitation": Field(
        "precipitation",
        "float32",
        FILL,
        {
            "units": "mm/day",
            "long_name": "Daily mean precipitation rate (combined microwave-IR) estimate",
            "_FillValue": np.array([FILL], np.float32),
        },
    ),
    "count": Field(
        "precipitation_cnt",
        "int16",
        0,
        {"units": "count", "long_name": "Count of all valid half-hourly retrievals of the day"},
    ),
}


def file_name(day: date) -> str:
    """Return the name of the file of a day."""
    return f"3B-DAY.MS.MRG.3IMERG.{day:%Y%m%d}-S000000-E235959.V07B.nc4"


def cells_within(coarse: Footprints) -> tuple[Ints, Ints]:
    """Return rows and columns of all cells of 0.1 degree that some of 0.25 degree overlap."""
    if coarse.grid is not GLOBAL025:
        raise ValueError(f"expected cells of {GLOBAL025.name}, found {coarse.grid.name}")
    # 2.5 cells of the one grid make a cell of the other, and both begin at one corner.
    down, right = (step.ravel() for step in np.indices((3, 3)))
    rows = (coarse.rows[:, None] * 5 // 2 + down).ravel()
    cols = (coarse.cols[:, None] * 5 // 2 + right).ravel()
    flat = np.unique(rows * IMERG.cols + cols)
    return flat // IMERG.cols, flat % IMERG.cols


def centres_of(rows: Ints, cols: Ints) -> tuple[Doubles, Doubles]:
    """Return longitude and latitude of the centres of cells of 0.1 degree."""
    return IMERG.x[cols], IMERG.y[rows]


class ImergFiles:
    """Makes the daily files over some cells of 0.1 degree."""

    def __init__(self, rows: Ints, cols: Ints) -> None:
        self._cells = CellArrays((IMERG.cols, IMERG.rows), cols, IMERG.rows - 1 - rows)
        self._counts = np.full(len(rows), HALVES, np.int16)
        self._all = np.ones(len(rows), np.bool_)
        self._template = Template(self._build)

    def _build(self, file: h5py.File) -> None:
        axes = (
            ("time", np.zeros(1), f"days since {_EPOCH} 00:00:00Z"),
            ("lon", IMERG.x.astype(np.float32), "degrees_east"),
            ("lat", IMERG.y[::-1].astype(np.float32), "degrees_north"),
        )
        for name, values, units in axes:
            axis = file.create_dataset(name, data=values)
            axis.make_scale(name)
            axis.attrs["units"] = units
        for field in _FIELDS.values():
            layer = self._cells.create(file, field, steps=True)
            for number, (name, _, _) in enumerate(axes):
                layer.dims[number].attach_scale(file[name])
        file.attrs["history"] = "written by smcloud simulate: not GPM data"

    def file(self, day: date, rain_mm: Floats) -> bytes:
        """Return the content of the file of a day, (n,) mm at the cells."""

        def fill(file: h5py.File) -> None:
            file["time"][0] = (day - _EPOCH).days
            self._cells.store(file["precipitation"], rain_mm, self._all)
            self._cells.store(file["precipitation_cnt"], self._counts, self._all)

        return self._template.copy(fill)
