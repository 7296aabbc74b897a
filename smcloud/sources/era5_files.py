"""ERA5-Land hourly netCDF files, opened strictly; hours are read when they are asked for.

Files come from the Climate Data Store in several shapes: dimension ``time`` or ``valid_time``,
longitudes from -180 or from 0, final and preliminary values beside each other along a dimension
``expver``, packed as int16 (whose rounding leaves tiny negatives, trap T11) or float32, netCDF-3 or
-4. Accumulated fields count from 00 UTC. Upward fluxes such as evaporation are negative there; none
is read here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.conventions import decode_cf_variable
from xarray.core import indexing

from smcloud.core.compiled import compiled
from smcloud.core.errors import GranuleError
from smcloud.grids.grid import ERA5LAND
from smcloud.sources.hdf5_structure import check_superblock
from smcloud.sources.hdf_eos import damaged

DIMS = ("time", "latitude", "longitude")
STORED = "stored"
"""Coordinate that says of which cells a file stores anything."""
NODE_TOLERANCE_DEGREES = 0.005
HDF5_MAGIC, NETCDF3_MAGIC, ZIP_MAGIC = b"\x89HDF", b"CDF", b"PK"
AXES = ("time", "valid_time", "latitude", "lat", "longitude", "lon")
ATTRIBUTES = (
    "units",
    "long_name",
    "calendar",
    "scale_factor",
    "add_offset",
    "_FillValue",
    "missing_value",
)
UNREADABLE = (OSError, RuntimeError, ValueError, KeyError)
"""What libraries raise on damage."""

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class HourlyField:
    """What an hourly variable is and how it becomes daily.

    Attributes
    ----------
    units : tuple of str
        Units that files write for it.
    valid : (float, float)
        Physical range, in those units; values outside are unknown.
    slack : float
        How far below the range packing may round; such values are the lower bound.
    is_accumulated : bool
        True where hours add up from 00 UTC.
    factor : float
        Cube units per file unit.
    """

    units: tuple[str, ...]
    valid: tuple[float, float]
    slack: float = 0.0
    is_accumulated: bool = False
    factor: float = 1.0


_KELVIN = HourlyField(("K",), (150.0, 400.0))
FIELDS: Mapping[str, HourlyField] = {
    "swvl1": HourlyField(("m**3 m**-3", "m3 m-3"), (0.0, 1.0), slack=0.01),
    "stl1": _KELVIN,
    "skt": _KELVIN,
    "t2m": _KELVIN,
    "tp": HourlyField(("m",), (0.0, 2.0), slack=1e-5, is_accumulated=True, factor=1000.0),
}
"""Total precipitation: metres of water in files, millimetres in the cube."""


def open_file(path: Path) -> xr.Dataset:
    """Return the file as xarray decodes it, by the library of its format.

    Raises
    ------
    GranuleError
        If it is no netCDF, or damaged.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4)
        if head.startswith(ZIP_MAGIC):
            raise GranuleError(f"{path.name}: expected netCDF, found a zip: unpack it first")
        if head.startswith(NETCDF3_MAGIC):
            return xr.open_dataset(path, engine="scipy")
        if not head.startswith(HDF5_MAGIC):
            raise GranuleError(f"{path.name}: expected netCDF, found bytes that begin {head!r}")
        check_superblock(path)
        found = _known_layers(path)
        return xr.open_dataset(path, engine="h5netcdf") if found is None else found
    except (*UNREADABLE, TypeError, EOFError) as err:
        raise damaged(path, " ".join(str(err).split()) or type(err).__name__) from err


def _known_layers(path: Path) -> xr.Dataset | None:
    """Return the fields and axes of a netCDF-4 file; None where that takes more than HDF5 tells.

    netCDF libraries look at every object of a file, and again at each read: for a few blocks of a
    month that costs more than their values.
    """
    file = h5py.File(path, "r")
    try:
        layers = {name: file[name] for name in (*AXES, *FIELDS) if name in file}
        if any(_dims(layer) is None for layer in layers.values()) or layers.keys() <= {*AXES}:
            file.close()
            return None
        dataset = xr.Dataset(
            {
                name: decode_cf_variable(name, _variable(layer), decode_timedelta=False)
                for name, layer in layers.items()
            }
        )
    except BaseException:
        file.close()
        raise
    dataset.set_close(file.close)
    return dataset


def _dims(layer: h5py.Dataset) -> tuple[str, ...] | None:
    """Return the names of a layer's dimensions; None where one has no scale."""
    if layer.is_scale:
        return (str(layer.name).lstrip("/"),)
    if not all(len(scales) for scales in layer.dims):
        return None
    return tuple(str(scales[0].name).lstrip("/") for scales in layer.dims)


def _variable(layer: h5py.Dataset) -> xr.Variable:
    """Return a layer as stored, read when used, with the attributes that decode it."""
    attrs = {key: np.ravel(layer.attrs[key])[0] for key in ATTRIBUTES if key in layer.attrs}
    texts = {key: value.decode() for key, value in attrs.items() if isinstance(value, bytes)}
    return xr.Variable(_dims(layer), indexing.LazilyIndexedArray(_Stored(layer)), attrs | texts)


class _Stored(BackendArray):
    """A layer of an open file as stored, read when indexed."""

    def __init__(self, layer: h5py.Dataset) -> None:
        self._layer = layer
        self.shape, self.dtype = layer.shape, layer.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Return the values of an index; xarray brings any to slices and integers."""
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._layer.__getitem__
        )


def checked(raw: xr.Dataset, path: Path) -> xr.Dataset:
    """Return the known fields with uniform dims, order and units."""
    names = {"valid_time": "time", "lat": "latitude", "lon": "longitude"}
    dataset = raw.rename({old: new for old, new in names.items() if old in raw.variables})
    for dim in DIMS:
        if dim not in dataset.dims:
            raise GranuleError(
                f"{path.name}: expected a dimension {dim!r}, found "
                + ", ".join(sorted(map(str, raw.dims)))
            )
    if not np.issubdtype(dataset["time"].dtype, np.datetime64):
        raise GranuleError(f"{path.name}: expected times with units and calendar, found numbers")
    known = [name for name in FIELDS if name in dataset]
    if not known:
        raise GranuleError(
            f"{path.name}: expected one of {', '.join(FIELDS)}, found "
            + (", ".join(sorted(map(str, dataset.data_vars))) or "no variable")
        )
    _check_axis(dataset["latitude"].values, "latitude", path)
    _check_axis(dataset["longitude"].values, "longitude", path)
    stored = _stored_cells(path, [dataset[name].variable for name in known], known)
    dataset = dataset.assign_coords({STORED: (("latitude", "longitude"), stored)})
    if dataset["latitude"].values[0] < dataset["latitude"].values[-1]:
        dataset = dataset.isel(latitude=slice(None, None, -1))
    first = np.unique(dataset["time"].values, return_index=True)[1]
    if len(first) < dataset.sizes["time"]:
        dataset = dataset.isel(time=first)
    checked = xr.Dataset(
        {name: _field(dataset[name].variable, name, path) for name in known},
        coords={name: dataset[name].variable for name in (*DIMS, STORED)},
        attrs={"source": "era5land", "file": path.name},
    )
    checked.set_close(raw.close)
    return checked


def _stored_cells(path: Path, fields: Sequence[xr.Variable], names: Sequence[str]) -> Mask:
    """Return the cells (latitude, longitude) of which a file stores an hour of any field.

    HDF5 keeps no chunk that nobody wrote and reads it as fill: decoding it, clipping and averaging
    what is nowhere known would be most of the work where a file has a few nodes of a region.
    """
    sizes = fields[0].sizes
    stored = np.zeros((sizes["latitude"], sizes["longitude"]), np.bool_)
    if not h5py.is_hdf5(path):
        return ~stored
    with h5py.File(path, "r") as file:
        for field, name in zip(fields, names, strict=True):
            layer = file[name]
            chunks = _written_chunks(layer) if field.dims[-2:] == DIMS[1:] else None
            if chunks is None:
                return ~stored
            rows, cols = layer.chunks[-2:]
            for row, col in {offset[-2:] for offset in chunks}:
                stored[row : row + rows, col : col + cols] = True
    return stored


def _written_chunks(layer: h5py.Dataset) -> set[tuple[int, ...]] | None:
    """Return the offsets of the chunks that a layer has; None if all are there, or may be."""
    if layer.chunks is None:
        return None
    whole = np.prod([-(-n // size) for n, size in zip(layer.shape, layer.chunks, strict=True)])
    fill, declared = layer.fillvalue, layer.attrs.get("_FillValue")
    is_unknown = fill != fill or (declared is not None and (fill == np.ravel(declared)[0]))
    if not is_unknown or layer.id.get_num_chunks() >= whole:
        return None
    offsets: set[tuple[int, ...]] = set()
    layer.id.chunk_iter(lambda chunk: offsets.add(chunk.chunk_offset))
    return offsets


def _check_axis(degrees: NDArray[np.floating], name: str, path: Path) -> None:
    """Raise `GranuleError` unless the nodes are consecutive ones of the 0.1 degree grid."""
    steps = np.abs(np.diff(degrees.astype(np.float64)))
    off_node = np.abs(degrees / ERA5LAND.step - np.rint(degrees / ERA5LAND.step)) * ERA5LAND.step
    if off_node.max() > NODE_TOLERANCE_DEGREES or (
        steps.size and np.abs(steps - ERA5LAND.step).max() > NODE_TOLERANCE_DEGREES
    ):
        found = float(np.median(steps)) if steps.size else float(degrees[0])
        raise GranuleError(
            f"{path.name}: expected {name} nodes at multiples of {ERA5LAND.step:g} degrees, found "
            f"steps of {found:g} degrees"
        )


def _field(values: xr.Variable, name: str, path: Path) -> xr.Variable:
    """Return one hourly field, checked for units, clipped, without ``expver``."""
    field = FIELDS[name]
    units = str(values.attrs.get("units", ""))
    if units not in field.units:
        raise GranuleError(
            f"{path.name}: expected {name} in {' or '.join(field.units)}, found {units!r}"
        )
    extra = set(values.dims) - {*DIMS, "expver"}
    if extra:
        raise GranuleError(
            f"{path.name}: expected {name} by time, latitude and longitude, found also "
            + ", ".join(sorted(map(str, extra)))
        )
    versions = [values]
    if "expver" in values.dims:
        versions = [values.isel(expver=number) for number in range(values.sizes["expver"])]
    attrs = {"units": units, "long_name": str(values.attrs.get("long_name", name))}
    return xr.Variable(DIMS, indexing.LazilyIndexedArray(_Hours(versions, field, path)), attrs)


class _Hours(BackendArray):
    """One hourly field (time, latitude, longitude), clipped float32, read when indexed.

    Of several versions the first that knows an hour of a cell counts: final values (expver 1)
    before preliminary ones (5).
    """

    def __init__(self, versions: Sequence[xr.Variable], field: HourlyField, path: Path) -> None:
        self._versions, self._field, self._path = tuple(versions), field, path
        self.shape = tuple(versions[0].sizes[dim] for dim in DIMS)
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Return the values of an index; xarray brings any to slices and integers."""
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._basic
        )

    def _basic(self, key: tuple[int | slice, ...]) -> Floats:
        where = dict(zip(DIMS, key, strict=True))
        try:
            first, *others = (self._read(version, where) for version in self._versions)
        except UNREADABLE as err:
            raise damaged(self._path, " ".join(str(err).split())) from err
        for other in others:
            first = np.where(np.isnan(first), other, first)
        return clip_rounding(first, valid=self._field.valid, slack=self._field.slack)

    @staticmethod
    def _read(version: xr.Variable, where: Mapping[str, int | slice]) -> NDArray[np.floating]:
        part = version.isel(where)
        order = [part.dims.index(dim) for dim in DIMS if dim in part.dims]
        values: NDArray[np.floating] = part.values.transpose(order)
        return values


def clip_rounding(
    values: NDArray[np.floating], *, valid: tuple[float, float], slack: float
) -> Floats:
    """Return float32 values within a range; a little below it is rounding and becomes its bound.

    Packed ERA5 soil moisture reaches -0.003 (trap T11). Values further below, or above, are NaN.

    Parameters
    ----------
    values : float array
    valid : (float, float)
        Physical range.
    slack : float
        How far below the range a value may be.
    """
    kind = values.dtype.type if values.dtype in (np.float32, np.float64) else np.float64
    plain = np.ascontiguousarray(values, kind)
    low, high = valid
    clipped = np.empty(plain.shape, np.float32)
    _clip(plain.reshape(-1), kind(low - slack), kind(low), kind(high), clipped.reshape(-1))
    return clipped


@compiled
def _clip(
    values: NDArray[np.floating],
    least: np.floating,
    low: np.floating,
    high: np.floating,
    out: Floats,
) -> None:
    """Do the work of `clip_rounding` on flat arrays; bounds have the type of the values."""
    unknown = np.float32(np.nan)
    for at in range(values.size):
        value = values[at]
        is_known = (value >= least) & (value <= high)
        out[at] = np.float32(max(value, low)) if is_known else unknown
