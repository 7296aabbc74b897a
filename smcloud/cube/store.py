"""Chunked stores: creating them, writing whole shards, opening and reading them.

zarr-python's own shard write first reads the old shard (so a damaged one cannot be rewritten) and
deletes a shard that is all fill (so a loss cannot be told from an empty region). Here a shard is
encoded in memory by zarr's codecs and its bytes are put in one request: no read, no delete, and
every shard that was written exists as an object.
"""

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError
from zarr.codecs import ZstdCodec
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore, ObjectStore

from smcloud.core.errors import CubeError, NotFoundError
from smcloud.core.objects import Objects, open_objects
from smcloud.cube.schema import EPOCH, Array, CubeSchema, Days, Variable
from smcloud.grids.grid import Grid, Window, sinusoidal_wkt

TIME_UNITS = "days since 1970-01-01"
CONVENTIONS = "CF-1.11, ACDD-1.3"
GEOZARR = "0.4"
GRID_MAPPING = "spatial_ref"
COMPRESSOR = ZstdCodec(level=1, checksum=True)


@dataclass(frozen=True)
class ShardRecord:
    """What was written: the key below the store, the sha256 of its decoded values, its bytes."""

    key: str
    sha256: str
    stored_bytes: int


def shard_key(variable: str, index: tuple[int, ...]) -> str:
    """Return the key of one shard below its store."""
    return "/".join([variable, "c", *map(str, index)])


def hash_values(values: Array) -> str:
    """Return the sha256 of an array's dtype, shape and values (little endian, C order)."""
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{little.dtype.str}{little.shape}".encode())
    digest.update(little.data)
    return digest.hexdigest()


def create_store(
    url: str, schema: CubeSchema, year: int | None, attrs: Mapping[str, str] | None = None
) -> None:
    """Write the metadata and coordinates of a store; running it again writes the same bytes.

    Parameters
    ----------
    url : str
        The store, such as ``s3://bucket/cubes/mod11a1/2019.zarr``.
    attrs : mapping, optional
        Further global attributes. No clock and no host belongs here: stores are compared by byte.
    """
    target = open_objects(url)
    for key, data in _metadata(schema, year, dict(attrs or {})).items():
        target.put(key, data)


def _metadata(schema: CubeSchema, year: int | None, attrs: dict[str, str]) -> dict[str, bytes]:
    """Return every metadata and coordinate object of an empty store."""
    memory: dict[str, Buffer] = {}
    store = MemoryStore(memory)
    root = zarr.create_group(
        store,
        attributes={
            "Conventions": CONVENTIONS,
            "geozarr_version": GEOZARR,
            "title": schema.title,
            "schema": f"{schema.name}/{schema.version}",
            **dict(sorted(attrs.items())),
        },
    )
    _create_coordinates(root, schema, year)
    for variable in schema.variables:
        _create_variable(root, schema, variable, schema.shape(year))
    with warnings.catch_warnings():
        # Saves a reader one request per array; zarr-python, xarray and GDAL read it.
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        zarr.consolidate_metadata(store)
    return {key: value.to_bytes() for key, value in sorted(memory.items())}


def _create_coordinates(root: zarr.Group, schema: CubeSchema, year: int | None) -> None:
    grid = schema.on
    rows, cols = grid.dims
    for name, values in ((rows, grid.y), (cols, grid.x)):
        root.create_array(
            name,
            data=values,
            chunks=values.shape,
            dimension_names=(name,),
            attributes=_axis_attrs(grid, name),
        )
    if not schema.is_static:
        days = (schema.times(year) - EPOCH).astype(np.int32)
        root.create_array(
            "time",
            data=days,
            chunks=days.shape,
            dimension_names=("time",),
            attributes={
                "units": TIME_UNITS,
                "calendar": "proleptic_gregorian",
                "standard_name": "time",
                "axis": "T",
                "long_name": "UTC day, or the first day of a composite",
            },
        )
    root.create_array(GRID_MAPPING, data=np.array(0, np.int32), attributes=grid_mapping_attrs(grid))


def _axis_attrs(grid: Grid, name: str) -> dict[str, Any]:
    is_row = name == grid.dims[0]
    if grid.projected:
        axis = "y" if is_row else "x"
        return {
            "units": "m",
            "standard_name": f"projection_{axis}_coordinate",
            "long_name": f"{axis} coordinate of the pixel centre",
            "axis": axis.upper(),
        }
    return {
        "units": "degrees_north" if is_row else "degrees_east",
        "standard_name": name,
        "long_name": f"{name} of the cell centre",
        "axis": "Y" if is_row else "X",
    }


def grid_mapping_attrs(grid: Grid) -> dict[str, Any]:
    """Return the CF grid mapping of a grid, with its CRS as WKT2."""
    wkt = sinusoidal_wkt() if grid.projected else grid.crs.to_wkt("WKT2_2019")
    attrs: dict[str, Any] = dict(grid.crs.to_cf())
    half = grid.step / 2
    attrs["crs_wkt"] = wkt
    attrs["spatial_ref"] = wkt
    attrs["GeoTransform"] = (
        f"{grid.x_first - half!r} {grid.step!r} 0.0 {grid.y_first + half!r} 0.0 {-grid.step!r}"
    )
    return attrs


def _create_variable(
    root: zarr.Group, schema: CubeSchema, variable: Variable, shape: tuple[int, ...]
) -> None:
    root.create_array(
        variable.name,
        shape=shape,
        dtype=variable.dtype,
        chunks=schema.chunk_shape(),
        shards=schema.shard_shape(),
        fill_value=variable.fill_value,
        compressors=COMPRESSOR,
        dimension_names=schema.dims,
        attributes=_sorted_attrs(variable),
    )


def _sorted_attrs(variable: Variable) -> dict[str, Any]:
    return dict(sorted(variable.cf_attrs().items())) | {"grid_mapping": GRID_MAPPING}


def encode_shard(schema: CubeSchema, variable: Variable, values: Array) -> bytes:
    """Return the bytes of one shard; `values` (stored dtype) may be short at the array's end.

    Inner chunks that are all fill take no space; a shard that is all fill still has bytes.
    """
    shape = schema.shard_shape()
    if any(have > room for have, room in zip(values.shape, shape, strict=True)):
        raise CubeError(f"{schema.name} {variable.name}: {values.shape} exceeds a shard {shape}")
    if values.shape != shape:
        whole = np.full(shape, variable.fill_value, variable.dtype)
        whole[tuple(slice(0, n) for n in values.shape)] = values
        values = whole
    return _encode(schema, variable, values, write_empty=False) or _encode(
        schema, variable, values, write_empty=True
    )


def _encode(schema: CubeSchema, variable: Variable, values: Array, *, write_empty: bool) -> bytes:
    memory: dict[str, Buffer] = {}
    array = zarr.create_array(
        MemoryStore(memory),
        shape=values.shape,
        dtype=variable.dtype,
        chunks=schema.chunk_shape(),
        shards=values.shape,
        fill_value=variable.fill_value,
        compressors=COMPRESSOR,
        config={"write_empty_chunks": write_empty},
    )
    array[...] = values
    shard = memory.get("c/" + "/".join("0" for _ in values.shape))
    return b"" if shard is None else shard.to_bytes()


def write_shard(
    url: str, schema: CubeSchema, name: str, index: tuple[int, ...], values: Array
) -> ShardRecord:
    """Write one whole shard of stored integers in one put and return what was written.

    Parameters
    ----------
    values : array of the variable's stored dtype, (time, row, col) or (row, col)
        The whole shard; shorter only at the end of the array.

    Raises
    ------
    CubeError
        If the dtype or the shape is not that of the shard.
    StoreError
        If the store refuses or is full; the old object, if any, is untouched.
    """
    variable = schema.variable(name)
    if values.dtype != np.dtype(variable.dtype):
        raise CubeError(
            f"{schema.name} {name}: expected stored {variable.dtype}, found {values.dtype}"
        )
    data = encode_shard(schema, variable, values)
    key = shard_key(name, index)
    open_objects(url).put(key, data)
    return ShardRecord(key, hash_values(values), len(data))


class Cube:
    """One open store: reads stored integers or physical values of any window.

    A store may cover only a part of its grid (a user's own region); windows are always given in
    global pixels. Its variables may be packed otherwise than the schema says: `variables` holds
    the packing found.
    """

    def __init__(self, url: str, schema: CubeSchema, year: int | None) -> None:
        self.url = url
        self.schema = schema
        self.year = year
        self.objects = open_objects(url)
        self._group = _open_group(self.objects)
        self.window = _checked_window(self._group, schema, url)
        _check_times(self._group, schema, year, url)
        self.variables = {
            variable.name: _found_variable(self._group, schema, variable, url)
            for variable in schema.variables
        }
        self._seen: set[str] = set()

    @property
    def times(self) -> Days:
        """Return the first day of each step."""
        return self.schema.times(self.year)

    def shards_of(self, name: str, steps: slice, window: Window) -> list[str]:
        """Return the keys of the objects that hold these steps and pixels."""
        array = self._array(name)
        sizes = array.shards or array.chunks
        rows, cols = window.within(self.window)
        spans = [rows, cols] if self.schema.is_static else [steps, rows, cols]
        ranges = [
            range(span.start // size, (span.stop - 1) // size + 1)
            for span, size in zip(spans, sizes, strict=True)
        ]
        return [
            shard_key(name, tuple(int(i) for i in index))
            for index in np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, len(ranges))
        ]

    def require(self, name: str, steps: slice, window: Window) -> None:
        """Raise `CubeError` if an object is absent: Zarr would read it as fill without a word."""
        for key in self.shards_of(name, steps, window):
            if key not in self._seen:
                if not self.objects.exists(key):
                    raise CubeError(
                        f"{self.url} lacks the object {key}: it was not ingested, or it was lost; "
                        "ingest this tile and year again"
                    )
                self._seen.add(key)

    def read(self, name: str, steps: slice, window: Window, *, required: bool = True) -> Array:
        """Return stored values (steps, rows, cols), or (rows, cols) of a static store.

        Pixels outside the store are fill. With `required`, an absent object raises; without, it
        is unknown (fill), as for halos that reach beyond what was ingested.

        Raises
        ------
        CubeError
            If an object is absent or damaged.
        """
        variable = self.variables[name]
        inside = window.intersect(self.window)
        head = () if self.schema.is_static else (steps.stop - steps.start,)
        values = np.full((*head, *window.shape), variable.fill_value, variable.dtype)
        if inside is None:
            return values
        if required:
            self.require(name, steps, inside)
        selection = inside.within(self.window)
        if not self.schema.is_static:
            selection = (steps, *selection)  # type: ignore[assignment]
        target = (..., *inside.within(window))
        try:
            values[target] = self._array(name)[selection]
        except (ValueError, RuntimeError, OSError) as err:
            raise CubeError(
                f"{self.url} {name}: the objects of {window} cannot be decoded ({err}); "
                "verify names them, and the stage that wrote them restores them"
            ) from err
        return values

    def read_physical(
        self, name: str, steps: slice, window: Window, *, required: bool = True
    ) -> NDArray[np.float32]:
        """Return physical float32 values, NaN for unknown; shape as `read`."""
        return self.variables[name].unpack(self.read(name, steps, window, required=required))

    def _array(self, name: str) -> zarr.Array[Any]:
        array = self._group[name]
        if not isinstance(array, zarr.Array):
            raise CubeError(f"{self.url}: {name} is a group, expected an array")
        return array


@lru_cache(maxsize=64)
def open_cube(url: str, schema: CubeSchema, year: int | None) -> Cube:
    """Return the store at `url`, checked against `schema`; opened once per process.

    Raises
    ------
    CubeError
        If a variable, its units or dtype, the CRS, the grid or a day differs from the schema.
    NotFoundError
        If there is no store.
    """
    return Cube(url, schema, year)


def _open_group(objects: Objects) -> zarr.Group:
    try:
        return zarr.open_group(
            ObjectStore(objects.bucket, read_only=True), path=objects.prefix, mode="r"
        )
    except (FileNotFoundError, KeyError) as err:
        raise NotFoundError(
            f"no Zarr store at {objects.url}: run the stage that writes it, or mend the URL"
        ) from err
    except (json.JSONDecodeError, ValueError) as err:
        raise CubeError(f"{objects.url} has unreadable Zarr metadata: {err}") from err


def _checked_window(group: zarr.Group, schema: CubeSchema, url: str) -> Window:
    """Return the pixels of the grid that a store covers, after checking its CRS."""
    grid = schema.on
    _check_crs(group, schema, url)
    starts, lengths = [], []
    for dim, whole in zip(grid.dims, (grid.y, grid.x), strict=True):
        if dim not in group:
            raise CubeError(f"{url}: expected a coordinate {dim!r}, found none")
        found = np.asarray(group[dim][:], np.float64)  # type: ignore[index]
        start = int(np.argmin(np.abs(whole - found[0])))
        expected = whole[start : start + len(found)]
        if len(expected) != len(found) or np.abs(expected - found).max() > 0.01 * grid.step:
            raise CubeError(
                f"{url}: {dim} starts at {found[0]!r} with {len(found)} values, which are not "
                f"pixel centres of the grid {grid.name}: put the cube on that grid first"
            )
        starts.append(start)
        lengths.append(len(found))
    return Window(starts[0], starts[0] + lengths[0], starts[1], starts[1] + lengths[1])


def _check_crs(group: zarr.Group, schema: CubeSchema, url: str) -> None:
    first = group.get(schema.variables[0].name)
    mapping = GRID_MAPPING if first is None else str(first.attrs.get("grid_mapping", GRID_MAPPING))
    if mapping not in group:
        raise CubeError(f"{url}: no grid mapping variable {mapping!r}, so its CRS is unknown")
    wkt = group[mapping].attrs.get("crs_wkt") or group[mapping].attrs.get("spatial_ref")
    try:
        found = CRS.from_wkt(str(wkt))
    except CRSError as err:
        raise CubeError(f"{url}: {mapping} holds no readable crs_wkt") from err
    if not _same_crs(found, schema.on):
        raise CubeError(f"{url}: expected the CRS of {schema.grid}, found {found.name!r}")


def _same_crs(found: CRS, grid: Grid) -> bool:
    if not grid.projected:
        return bool(found.is_geographic)
    expected, have = grid.crs.to_cf(), found.to_cf()
    keys = ("grid_mapping_name", "semi_major_axis", "longitude_of_projection_origin")
    return all(have.get(key) == expected.get(key) for key in keys)


def _check_times(group: zarr.Group, schema: CubeSchema, year: int | None, url: str) -> None:
    if schema.is_static:
        return
    if "time" not in group:
        raise CubeError(f"{url}: expected a time axis of year {year}, found none")
    expected = schema.times(year)
    axis = group["time"]
    units = str(axis.attrs.get("units", ""))
    decoded = xr.coding.times.decode_cf_datetime(np.asarray(axis[:]), units)  # type: ignore[index]
    found = np.asarray(decoded).astype("datetime64[D]")
    missing = np.setdiff1d(expected, found)
    if len(missing):
        raise CubeError(
            f"{url}: {len(missing)} of {len(expected)} time steps are missing, such as "
            f"{missing[0]}: every step of {year} must be on the axis"
        )
    if not np.array_equal(expected, found):
        raise CubeError(f"{url}: the time axis has steps that are not those of {year}, in order")


def _found_variable(
    group: zarr.Group, schema: CubeSchema, variable: Variable, url: str
) -> Variable:
    """Return the variable with the packing that the store has, after checking its units."""
    where = f"{url} {variable.name}"
    array = group.get(variable.name)
    if not isinstance(array, zarr.Array):
        raise CubeError(f"{where}: no such array; the store has {', '.join(sorted(group))}")
    if array.dtype.kind not in "iuf":
        raise CubeError(
            f"{where}: expected integers or floats (such as {variable.dtype}), found {array.dtype}"
        )
    attrs: dict[str, Any] = dict(array.attrs)
    units = attrs.get("units")
    if units != variable.units:
        raise CubeError(f"{where}: expected units {variable.units!r}, found {units!r}")
    if array.ndim != len(schema.dims):
        raise CubeError(f"{where}: expected dims {schema.dims}, found {array.ndim} dimensions")
    fill = attrs.get("_FillValue", array.fill_value if variable.fill is not None else None)
    return replace(
        variable,
        dtype=array.dtype.str,
        scale=float(attrs.get("scale_factor", 1.0)),
        offset=float(attrs.get("add_offset", 0.0)),
        fill=None if fill is None or array.dtype.kind == "f" else int(fill),
    )
