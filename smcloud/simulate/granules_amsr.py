"""Native files of the radiometers at C-band: daily netCDF of LPRM and of the SMAP-taught network.

LPRM's arrays lie by longitude and latitude, 16 bit integers with a scale; names, types, fills and
attributes follow the header of a file of AMSR2 (V001) and what is documented of AMSR-E (V002). The
network's files hold latitude, longitude and soil moisture alone, and count the days of the year in
their names.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import h5py
import numpy as np

from smcloud.grids.grid import EASE2_36KM, GLOBAL025, Grid
from smcloud.simulate.amsr import AMSR2, AMSRE, MWRI, WINDSAT, LprmLooks, Satellite
from smcloud.simulate.footprints import Footprints, grid_axes
from smcloud.simulate.granules_hdf5 import CellArrays, Field, Template
from smcloud.simulate.hdf_eos import Array
from smcloud.simulate.noise import Floats

FILL = -32767
CLEAN_FREQUENCY, OTHER_FREQUENCY, NO_FREQUENCY = 69, 107, -1
"""Tenths of GHz: the lowest channel, the next one where that is disturbed, not told."""
DISTURBED = 4


@dataclass(frozen=True)
class Mission:
    """A satellite while it measured.

    Attributes
    ----------
    satellite : Satellite
    first, last : date
        Of the data records.
    """

    satellite: Satellite
    first: date
    last: date

    def days(self, year: int) -> Iterator[date]:
        """Yield the days of a year on which it measured, in order."""
        day, end = max(self.first, date(year, 1, 1)), min(self.last, date(year, 12, 31))
        while day <= end:
            yield day
            day += timedelta(days=1)


MISSIONS: Mapping[str, Mission] = {
    "AMSR_E": Mission(AMSRE, date(2002, 6, 19), date(2011, 10, 4)),
    "AMSR2": Mission(AMSR2, date(2012, 7, 2), date(2035, 12, 31)),
    "WINDSAT": Mission(WINDSAT, date(2003, 2, 1), date(2012, 7, 31)),
    "MWRI": Mission(MWRI, date(2010, 11, 18), date(2019, 8, 19)),
}


@dataclass(frozen=True)
class LprmProduct:
    """One product of LPRM: a sensor's passes by night or by day."""

    sensor: str
    overpass: str
    version: str
    ending: str
    by_night: bool

    @property
    def mission(self) -> Mission:
        """Return the satellite while it measured."""
        return MISSIONS[self.sensor]

    def file_name(self, day: date) -> str:
        """Return the name of the file of a day."""
        return (
            f"LPRM-{self.sensor}_L3_{self.overpass}_SOILM3_{self.version}_{day:%Y%m%d}000000"
            f".{self.ending}"
        )

    @property
    def fields(self) -> Mapping[str, Field]:
        """Return the arrays of a file by what they hold."""
        two = self.sensor == "AMSR2"
        band, words = ("c1", "6.9 GHz") if two else ("c", "C-band")
        error = f"soil_moisture_{band}_error" if two else f"sm_{band}_error"
        found = {
            "percent": _field(
                f"soil_moisture_{band}", f"Volumetric Soil Moisture from {words}", 1, "percent"
            ),
            "error_percent": _field(
                error, f"Uncertainty of Soil Moisture in {words}", 0.01, "percent"
            ),
            "depth": _field(f"opt_depth_{band}", f"Optical Depth from {words}", 0.01, ""),
            "temperature_k": _field("ts", "Skin Temperature (2mm)", 0.1, "Kelvin"),
            "seconds": Field("scantime", "float64", 0.0, _TIME),
        }
        if two:
            found["word"] = _field("frequency_map", "Frequency map", 0.1, "GHz", NO_FREQUENCY)
        else:
            found["word"] = Field("rfi_code", "int16", 0, {"long_name": "RFI Code"})
        return found


_TIME = {
    "long_name": "Scan time",
    "units": "seconds since 1993-01-01 00:00:00",
    "_FillValue": np.array([0.0]),
}


def _field(name: str, long_name: str, scale: float, units: str, fill: int = FILL) -> Field:
    attributes = {
        "long_name": long_name,
        "coordinates": "Longitude Latitude",
        "_FillValue": np.array([fill], np.int16),
        "scale_factor": np.array([scale], np.float32),
        "add_offset": np.array([0.0], np.float32),
    }
    return Field(name, "int16", fill, attributes | ({"units": units} if units else {}))


def _lprm(
    source: str, sensor: str, words: tuple[str, str], version: str, ending: str
) -> dict[str, LprmProduct]:
    """Return a sensor's products, by night and by day."""
    night, day = words
    return {
        source: LprmProduct(sensor, night, version, ending, by_night=True),
        f"{source}_day": LprmProduct(sensor, day, version, ending, by_night=False),
    }


LPRM_PRODUCTS: Mapping[str, LprmProduct] = {
    **_lprm("amsre_lprm", "AMSR_E", ("D", "A"), "V002", "nc"),
    **_lprm("amsr2_lprm", "AMSR2", ("D", "A"), "V001", "nc4"),
    **_lprm("windsat_lprm", "WINDSAT", ("NT", "DY"), "V001", "nc4"),
}


class LprmFiles:
    """Makes the daily files of one product over some cells."""

    def __init__(self, product: LprmProduct, cells: Footprints) -> None:
        self._product = product
        self._cells = CellArrays((GLOBAL025.cols, GLOBAL025.rows), cells.cols, cells.rows)
        self._template = Template(self._build)

    def _build(self, file: h5py.File) -> None:
        lon, lat = grid_axes(GLOBAL025)
        axes = (("Longitude", lon, "degrees_east"), ("Latitude", lat, "degrees_north"))
        for name, values, units in axes:
            axis = file.create_dataset(name, data=values.astype(np.float32))
            axis.make_scale(name)
            axis.attrs["units"] = units
            axis.attrs["long_name"] = name
        for field in self._product.fields.values():
            layer = self._cells.create(file, field)
            for number, (name, _, _) in enumerate(axes):
                layer.dims[number].attach_scale(file[name])
        file.attrs["Conventions"] = "CF-1.0"
        file.attrs["history"] = "written by smcloud simulate: not LPRM data"

    def file(self, looks: LprmLooks) -> bytes:
        """Return the content of the file of a day."""
        return self.file_of(stored_layers(self._product, looks))

    def file_of(self, stored: Mapping[str, Array]) -> bytes:
        """Return the content of the file of a day from layers as `stored_layers` gives them."""

        def fill(file: h5py.File) -> None:
            for name, field in self._product.fields.items():
                self._cells.store(file[field.name], stored[name], stored[name] != field.fill)

        return self._template.copy(fill)


def stored_layers(product: LprmProduct, looks: LprmLooks) -> dict[str, Array]:
    """Return the layers of a file (n,) by what they hold: as stored, fill where unknown."""
    found: dict[str, Array] = {}
    for name, field in product.fields.items():
        if name == "word":
            found[name] = _word(looks, is_two=product.sensor == "AMSR2").astype(np.int16)
            continue
        values: Array = getattr(looks, name)
        known = np.isfinite(values)
        if field.dtype == "int16":
            scale = float(field.attributes["scale_factor"][0])
            values = np.rint(np.where(known, values, 0) / scale).clip(-32000, 32000)
        found[name] = np.where(known, values, field.fill).astype(field.dtype)
    return found


def _word(looks: LprmLooks, *, is_two: bool) -> Array:
    """Return what a file tells of transmitters, (n,) as stored."""
    if is_two:
        told = np.where(looks.is_disturbed, OTHER_FREQUENCY, CLEAN_FREQUENCY)
        return np.where(looks.is_seen, told, NO_FREQUENCY)
    return np.where(looks.is_disturbed, DISTURBED, 0)


@dataclass(frozen=True)
class NnsmProduct:
    """The product of one family of radiometers."""

    word: str
    missions: tuple[Mission, ...]

    def file_name(self, day: date) -> str:
        """Return the name of the file of a day."""
        return f"NNsm-{self.word}-{day:%Y%j}.nc"

    def mission_on(self, day: date) -> Mission | None:
        """Return the satellite that measured on a day, if there was one."""
        return next((one for one in self.missions if one.first <= day <= one.last), None)


NNSM_PRODUCTS: Mapping[str, NnsmProduct] = {
    "amsr_nnsm": NnsmProduct("AMSR", (MISSIONS["AMSR_E"], MISSIONS["AMSR2"])),
    "mwri_nnsm": NnsmProduct("FY", (MISSIONS["MWRI"],)),
}


def days_of(source: str, year: int) -> list[date]:
    """Return the days of a year that a source has files of, in order."""
    if source in LPRM_PRODUCTS:
        return list(LPRM_PRODUCTS[source].mission.days(year))
    return [day for one in NNSM_PRODUCTS[source].missions for day in one.days(year)]


_NNSM_FIELD = Field("soil_moisture", "float32", np.nan, {"units": "m3/m3"})


class NnsmFiles:
    """Makes the daily files of a product over some cells."""

    def __init__(self, cells: Footprints, grid: Grid = EASE2_36KM) -> None:
        self._grid = grid
        self._cells = CellArrays((grid.rows, grid.cols), cells.rows, cells.cols)
        self._template = Template(self._build)

    def _build(self, file: h5py.File) -> None:
        lon, lat = grid_axes(self._grid)
        file["latitude"], file["longitude"] = lat[:, None], lon[:, None]
        self._cells.create(file, _NNSM_FIELD)

    def file(self, soil_moisture: Floats) -> bytes:
        """Return the content of the file of a day, (n,) m3 m-3 at the cells, NaN unknown."""

        def fill(file: h5py.File) -> None:
            self._cells.store(file["soil_moisture"], soil_moisture, np.isfinite(soil_moisture))

        return self._template.copy(fill)
