"""Daily soil moisture of C3S (the operational ESA CCI) as netCDF: active, passive, combined.

Names, dimensions, types, fill values and attributes follow real files of C3S v201801 and the flag
table of the CCI product user guide: ``sm`` (float32, -9999), ``sm_uncertainty``, ``flag`` (int8,
127 where nothing was observed), on (time 1, lat 720, lon 1440), latitude descending.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import h5py
import numpy as np

from smcloud.grids.grid import Grid
from smcloud.simulate.footprints import grid_axes
from smcloud.simulate.granules_hdf5 import CellArrays, Field, Template
from smcloud.simulate.hdf_eos import Array

SNOW_OR_FROZEN, DENSE_VEGETATION, NO_CONVERGENCE, BEYOND_LIMITS = 1, 2, 4, 8
NOT_OBSERVED = 127
FILL = -9999.0
_VERSION = "v202212.0.0"
_AXES = "time lat lon"


@dataclass(frozen=True)
class CciProduct:
    """One of the three products.

    Attributes
    ----------
    word : str
        ``ACTIVE``, ``PASSIVE`` or ``COMBINED``.
    variable : str
        ``SSMS`` (saturation) or ``SSMV`` (volume) in file names.
    units : str
        Of ``sm``.
    greatest : float
        End of the valid range; the start is 0.
    long_name : str
        Of ``sm``.
    """

    word: str
    variable: str
    units: str
    greatest: float
    long_name: str

    def file_name(self, day: date) -> str:
        """Return the name of the file of a day."""
        return (
            f"C3S-SOILMOISTURE-L3S-{self.variable}-{self.word}-DAILY-{day:%Y%m%d}000000-TCDR-"
            f"{_VERSION}.nc"
        )

    @property
    def fields(self) -> Mapping[str, Field]:
        """Return the arrays of a file by name."""
        moisture = {
            "long_name": self.long_name,
            "units": self.units,
            "valid_range": np.array([0.0, self.greatest], np.float32),
            "_CoordinateAxes": _AXES,
            "_FillValue": np.array([FILL], np.float32),
        }
        error = {
            "long_name": f"{self.long_name} Uncertainty",
            "units": self.units,
            "_FillValue": np.array([FILL], np.float32),
            "_CoordinateAxes": _AXES,
        }
        flag = {
            "long_name": "Flag",
            "_FillValue": np.array([NOT_OBSERVED], np.int8),
            "flag_values": np.array([0, 1, 2, 4, 8, 127], np.int8),
            "flag_meanings": "no_data_inconsistency_detected snow_coverage_or_temperature_below_0 "
            "dense_vegetation others_no_convergence_in_the_model_thus_no_valid_sm_estimates "
            "soil_moisture_value_exceeds_physical_boundary not_available",
            "_CoordinateAxes": _AXES,
        }
        return {
            "sm": Field("sm", "float32", FILL, moisture),
            "sm_uncertainty": Field("sm_uncertainty", "float32", FILL, error),
            "flag": Field("flag", "int8", NOT_OBSERVED, flag),
        }


ACTIVE = CciProduct("ACTIVE", "SSMS", "percent", 100.0, "Percent of Saturation Soil Moisture")
PASSIVE = CciProduct("PASSIVE", "SSMV", "m3 m-3", 1.0, "Volumetric Soil Moisture")
COMBINED = CciProduct("COMBINED", "SSMV", "m3 m-3", 1.0, "Volumetric Soil Moisture")


class CciFiles:
    """Makes the daily files of one product over some cells."""

    def __init__(self, product: CciProduct, grid: Grid, cells: CellArrays) -> None:
        self._product, self._grid, self._cells = product, grid, cells
        self._template = Template(self._build)

    def _build(self, file: h5py.File) -> None:
        _axes(file, self._grid)
        for field in self._product.fields.values():
            dataset = self._cells.create(file, field, steps=True)
            for axis, name in enumerate(_AXES.split()):
                dataset.dims[axis].attach_scale(file[name])
        file.attrs["title"] = f"C3S Surface Soil Moisture merged {self._product.word} Product"
        file.attrs["product_version"] = _VERSION
        file.attrs["Conventions"] = "CF-1.6"
        file.attrs["history"] = "written by smcloud simulate: not C3S data"

    def file(self, day: date, soil_moisture: Array, uncertainty: Array, flag: Array) -> bytes:
        """Return the content of the file of a day.

        Parameters
        ----------
        soil_moisture, uncertainty
            (n,) at the cells, in the units of the product; NaN where not retrieved.
        flag
            (n,) int8; `NOT_OBSERVED` where no instrument looked.
        """

        def fill(file: h5py.File) -> None:
            file["time"][0] = (day - date(1970, 1, 1)).days
            self._cells.store(file["sm"], soil_moisture, ~np.isnan(soil_moisture))
            self._cells.store(file["sm_uncertainty"], uncertainty, ~np.isnan(uncertainty))
            self._cells.store(file["flag"], flag, flag != NOT_OBSERVED)

        return self._template.copy(fill)


def _axes(file: h5py.File, grid: Grid) -> None:
    """Write time (the day is filled in), latitude and longitude with their attributes."""
    lon, lat = grid_axes(grid)
    axes = (
        ("time", np.zeros(1), "days since 1970-01-01 00:00:00 UTC", "time"),
        ("lat", lat, "degrees_north", "latitude"),
        ("lon", (lon + 180.0) % 360.0 - 180.0, "degrees_east", "longitude"),
    )
    for name, values, units, standard in axes:
        dataset = file.create_dataset(name, data=values)
        dataset.make_scale(name)
        dataset.attrs["units"] = units
        dataset.attrs["standard_name"] = standard
