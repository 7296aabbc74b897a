"""ERA5-Land hourly files (netCDF4) as the Climate Data Store delivers them.

Layout of the store's converter since 2024 (confluence.ecmwf.int, "GRIB to netCDF conversion on new
CDS"): dimensions ``valid_time`` (seconds since 1970), ``latitude`` (north to south) and
``longitude``, variables float32 with NaN over water, scalar ``number``, text ``expver`` per hour.
A request names an area, so a file covers a rectangle of nodes. Accumulated fields start again
each day: the value at 00 UTC is the total of the day before, so the total of the last day lies in
the next file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import h5netcdf
import h5py
import numpy as np

from smcloud.core.errors import ConfigError
from smcloud.simulate.hdf_eos import Array

HOURS_PER_CHUNK = 248
"""A month in three chunks: small enough to read one node, large enough to compress."""
DEFLATE_LEVEL = 1
FEW_NODES = 0.25
"""Share of known nodes below which a file is cut into small blocks, and those without are left out:
HDF5 reads them as fill."""
BLOCK_NODES = 32


@dataclass(frozen=True)
class HourlyField:
    """One variable of a file: its GRIB number, title, units and whether it accumulates."""

    parameter: int
    long_name: str
    units: str
    is_accumulated: bool = False


FIELDS: Mapping[str, HourlyField] = {
    "swvl1": HourlyField(39, "Volumetric soil water layer 1", "m**3 m**-3"),
    "stl1": HourlyField(139, "Soil temperature level 1", "K"),
    "skt": HourlyField(235, "Skin temperature", "K"),
    "t2m": HourlyField(167, "2 metre temperature", "K"),
    "tp": HourlyField(228, "Total precipitation", "m", is_accumulated=True),
}


_CENTRE = "European Centre for Medium-Range Weather Forecasts"
_GLOBAL_ATTRIBUTES: Mapping[str, object] = {
    "GRIB_centre": "ecmf",
    "GRIB_centreDescription": _CENTRE,
    "GRIB_subCentre": np.int64(0),
    "Conventions": "CF-1.7",
    "institution": _CENTRE,
    "history": "written by smcloud simulate: not ECMWF data",
}


def file_name(first: date, last: date, region: str) -> str:
    """Return the name of the file of these UTC days; `region` may be empty."""
    suffix = f"_{region}" if region else ""
    return f"era5_land_{first:%Y%m%d}_{last:%Y%m%d}{suffix}.nc"


def write_era5_land(
    folder: Path,
    region: str,
    times: Array,
    latitude: Array,
    longitude: Array,
    fields: Mapping[str, Array],
) -> Path:
    """Write one file and return its path.

    Parameters
    ----------
    folder : Path
        Existing folder.
    region : str
        Word for the area, part of the name.
    times : datetime64[h] array (time,)
        UTC, ascending.
    latitude, longitude : float array
        Nodes, degrees: latitude north to south, longitude -180 to 180, both multiples of 0.1.
    fields : mapping of name to array (time, latitude, longitude)
        In the units of `FIELDS`; NaN over water and outside the nodes asked for.

    Raises
    ------
    ConfigError
        If a field is not one of `FIELDS`.
    """
    if unknown := sorted(set(fields) - set(FIELDS)):
        raise ConfigError(
            f"ERA5-Land has no field {unknown[0]!r} here: expected one of {', '.join(FIELDS)}"
        )
    days = times.astype("datetime64[D]").astype(object)
    path = folder / file_name(days[0], days[-1], region)
    part = path.with_suffix(".part")
    with h5netcdf.File(part, "w") as file:
        file.dimensions = {
            "valid_time": len(times),
            "latitude": len(latitude),
            "longitude": len(longitude),
        }
        _write_coordinates(file, times, latitude, longitude)
        for name in sorted(fields):
            _write_field(file, name, np.asarray(fields[name], np.float32))
        file.attrs.update(_GLOBAL_ATTRIBUTES)
    part.replace(path)
    return path


def _write_coordinates(
    file: h5netcdf.File, times: Array, latitude: Array, longitude: Array
) -> None:
    file.create_variable("number", (), data=np.int64(0)).attrs.update(
        {
            "long_name": "ensemble member numerical id",
            "units": "1",
            "standard_name": "realization",
        }
    )
    seconds = times.astype("datetime64[s]").astype(np.int64)
    file.create_variable("valid_time", ("valid_time",), data=seconds).attrs.update(
        {
            "long_name": "time",
            "standard_name": "time",
            "units": "seconds since 1970-01-01",
            "calendar": "proleptic_gregorian",
        }
    )
    degrees = (("latitude", "degrees_north", latitude), ("longitude", "degrees_east", longitude))
    for name, units, values in degrees:
        nodes = np.round(np.asarray(values, np.float64), 1)
        attrs = {"units": units, "standard_name": name, "long_name": name}
        if name == "latitude":
            attrs["stored_direction"] = "decreasing"
        file.create_variable(name, (name,), data=nodes).attrs.update(attrs)
    versions = np.array(["0001"] * len(times), dtype=object)
    file.create_variable("expver", ("valid_time",), dtype=h5py.string_dtype(), data=versions)


def _write_field(file: h5netcdf.File, name: str, values: Array) -> None:
    field = FIELDS[name]
    hours, rows, cols = values.shape
    known = ~np.isnan(values[0])
    is_sparse = known.mean() < FEW_NODES
    block = (min(rows, BLOCK_NODES), min(cols, BLOCK_NODES)) if is_sparse else (rows, cols)
    variable = file.create_variable(
        name,
        ("valid_time", "latitude", "longitude"),
        dtype=np.float32,
        data=None if is_sparse else values,
        fillvalue=np.float32(np.nan),
        chunks=(min(hours, HOURS_PER_CHUNK), *block),
        compression="gzip",
        compression_opts=DEFLATE_LEVEL,
        shuffle=True,
    )
    if is_sparse:
        for row, col in np.unique(np.argwhere(known) // BLOCK_NODES, axis=0) * BLOCK_NODES:
            place = slice(row, row + BLOCK_NODES), slice(col, col + BLOCK_NODES)
            variable[:, *place] = values[:, *place]
    variable.attrs.update(
        {
            "GRIB_paramId": np.int64(field.parameter),
            "GRIB_dataType": "fc",
            "GRIB_numberOfPoints": np.int64(rows * cols),
            "GRIB_typeOfLevel": "surface",
            "GRIB_stepType": "accum" if field.is_accumulated else "instant",
            "GRIB_gridType": "regular_ll",
            "GRIB_shortName": name,
            "GRIB_units": field.units,
            "GRIB_missingValue": 3.4028234663852886e38,
            "long_name": field.long_name,
            "units": field.units,
            "standard_name": "unknown",
            "coordinates": "number valid_time latitude longitude expver",
        }
    )
