"""Chunked stores: creating them, writing whole shards, opening and reading them.

zarr-python's own shard write first reads the old shard (so a damaged one cannot be rewritten) and
deletes a shard that is all fill (so a loss cannot be told from an empty region). Here a shard is
encoded in memory by zarr's codecs and its bytes are put in one request: no read, no delete, and
every shard that was written exists as an object. Metadata are zarr's, and so is the reading of
arrays that `sharded` does not know: a user's own, unsharded or of other codecs.
"""

import hashlib
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore

from smcloud.core.errors import CubeError, NotFoundError
from smcloud.core.objects import Objects, open_objects
from smcloud.cube.codecs import COMPRESSORS
from smcloud.cube.opening import (
    GRID_MAPPING,
    check_times,
    checked_window,
    found_variable,
    open_group,
)
from smcloud.cube.patches import Patch, Points, rectangles, scatters
from smcloud.cube.schema import EPOCH, Array, CubeSchema, Days, Variable
from smcloud.cube.sharded import Batch, ShardedArray, ShardLayout, lacks, layout_of
from smcloud.grids.grid import Grid, Window

TIME_UNITS = "days since 1970-01-01"
CONVENTIONS = "CF-1.11, ACDD-1.3"
GEOZARR = "0.4"


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

    Raises
    ------
    CubeError
        If a store lies there that is encoded otherwise, by an earlier release or another block
        size: its shards and new ones cannot lie side by side.
    """
    target = open_objects(url)
    objects = _metadata(schema, year, dict(attrs or {}))
    for variable in schema.variables:
        _check_encoding(target, f"{variable.name}/zarr.json", objects)
    for key, data in objects.items():
        target.put(key, data)


def _check_encoding(target: Objects, key: str, objects: Mapping[str, bytes]) -> None:
    try:
        found = json.loads(target.get(key))
    except (NotFoundError, ValueError):
        return  # nothing is there, or what is there is damaged and about to be mended
    expected = json.loads(objects[key])
    for name in ("data_type", "chunk_grid", "codecs"):
        if found.get(name) != expected[name]:
            raise CubeError(
                f"{target.url}/{key} has other {name} than this release writes; the store can be "
                "read but not added to: delete it, or write to another place"
            )


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
            attributes=axis_attrs(grid, name),
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


def axis_attrs(grid: Grid, name: str) -> dict[str, Any]:
    """Return the CF attributes of the coordinates along one of the two axes of a grid."""
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
    wkt = str(grid.crs.to_wkt("WKT2_2019"))
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
        compressors=COMPRESSORS[schema.codec],
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
    if schema.is_static:
        values = values[None]
    return _layout(schema, variable.dtype).encode(values, variable.fill_value)


@lru_cache(maxsize=64)
def _layout(schema: CubeSchema, dtype: str) -> ShardLayout:
    """Return the layout that zarr gives to new arrays of a schema."""
    array = zarr.create_array(
        MemoryStore(),
        shape=schema.shard_shape(),
        dtype=dtype,
        chunks=schema.chunk_shape(),
        shards=schema.shard_shape(),
        compressors=COMPRESSORS[schema.codec],
    )
    layout = layout_of(array)
    assert layout is not None, f"codec {schema.codec} is not known to layout_of"
    return layout


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
        self._group = open_group(self.objects)
        self.window = checked_window(self._group, schema, url)
        check_times(self._group, schema, year, url)
        self.variables = {
            variable.name: found_variable(self._group, schema, variable, url)
            for variable in schema.variables
        }
        self._arrays = {name: self._array(name) for name in self.variables}
        self._sharded = {
            name: ShardedArray(self.objects, name, array, layout)
            for name, array in self._arrays.items()
            if (layout := layout_of(array)) is not None
        }
        self._seen: set[str] = set()

    @property
    def times(self) -> Days:
        """Return the first day of each step."""
        return self.schema.times(self.year)

    def shards_of(self, name: str, steps: slice, window: Window) -> list[str]:
        """Return the keys of the objects that hold these steps and pixels."""
        array = self._arrays[name]
        sizes = array.shards or array.chunks
        rows, cols = window.within(self.window)
        spans = [rows, cols] if self.schema.is_static else [steps, rows, cols]
        ranges = [
            range(span.start // size, (span.stop - 1) // size + 1)
            for span, size in zip(spans, sizes, strict=True)
        ]
        encode = array.metadata.encode_chunk_key
        return [
            f"{name}/{encode(tuple(int(i) for i in index))}"
            for index in np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, len(ranges))
        ]

    def require(self, name: str, steps: slice, window: Window, batch: Batch | None = None) -> None:
        """Raise `CubeError` if an object is absent: Zarr would read it as fill without a word.

        With a batch, its completion raises.
        """
        keys = self.shards_of(name, steps, window)
        if name in self._sharded:
            with _completed(batch) as reads:
                reads.require(self._sharded[name], keys)
            return
        for key in keys:
            if key not in self._seen:
                if not self.objects.exists(key):
                    raise lacks(self.objects, key)
                self._seen.add(key)

    def read(
        self,
        name: str,
        steps: slice,
        window: Window,
        *,
        required: bool = True,
        out: Array | None = None,
        batch: Batch | None = None,
    ) -> Array:
        """Return stored values (steps, rows, cols), or (rows, cols) of a static store.

        Pixels outside the store are fill. With `required`, an absent object raises; without, it
        is unknown (fill), as for halos that reach beyond what was ingested.

        Parameters
        ----------
        out : array (steps, rows, cols), optional
            Of the variable's dtype; receives the values.
        batch : Batch, optional
            Reads in it wait for the store together: the values are there once it is completed.

        Raises
        ------
        CubeError
            If an object is absent or damaged.
        """
        steps, inside = self._asked(name, steps, window, batch, required=required)
        if out is None:
            shape = steps.stop - steps.start, *window.shape
            out = np.empty(shape, self.variables[name].dtype)
        if name not in self._sharded and inside is not None:
            self._read_by_zarr(name, steps, window, inside, out)
            return self._without_time(out)
        patches: Iterable[Patch] = ()
        if inside is not None:
            chunk = self._sharded[name].layout.codec.shape[1:]
            patches = rectangles(window, inside, self.window, chunk)
        return self._without_time(self._gathered(name, steps, patches, out, batch))

    def read_points(
        self,
        name: str,
        steps: slice,
        window: Window,
        points: Points,
        *,
        required: bool = True,
        batch: Batch | None = None,
    ) -> Array:
        """Return stored values (steps, n_points), or (n_points,) of a static store.

        As `read`, but only inner chunks in which a point lies are fetched and decoded, and no
        array of the whole window is made.

        Parameters
        ----------
        points : (n_points,)
            Flat indices within the window, in any order. Those outside the store are fill.
        required : bool
            Whether every object of the window must exist, with points in it or not.
        batch : Batch, optional
            Reads in it wait for the store together: the values are there once it is completed.

        Raises
        ------
        CubeError
            If an object is absent or damaged.
        """
        steps, inside = self._asked(name, steps, window, batch, required=required)
        n_steps = steps.stop - steps.start
        if name not in self._sharded and inside is not None:
            whole = np.empty((n_steps, *window.shape), self.variables[name].dtype)
            self._read_by_zarr(name, steps, window, inside, whole)
            return self._without_time(np.take(whole.reshape(n_steps, -1), points, axis=1))
        out = np.empty((n_steps, len(points)), self.variables[name].dtype)
        patches: Iterable[Patch] = ()
        if inside is not None:
            chunk = self._sharded[name].layout.codec.shape[1:]
            patches = scatters(window, points, self.window, chunk)
        return self._without_time(self._gathered(name, steps, patches, out, batch))

    def _asked(
        self, name: str, steps: slice, window: Window, batch: Batch | None, *, required: bool
    ) -> tuple[slice, Window | None]:
        """Return the steps, one for a static store, and the part of a window that the store has."""
        inside = window.intersect(self.window)
        if required and inside is not None:
            self.require(name, steps, inside, batch)
        return slice(0, 1) if self.schema.is_static else steps, inside

    def _without_time(self, values: Array) -> Array:
        return values[0] if self.schema.is_static else values

    def _unknown(self, name: str) -> np.generic:
        """Return what stands for unknown in one variable; floats of a user's own store are NaN."""
        variable = self.variables[name]
        dtype = np.dtype(variable.dtype)
        unknown: np.generic = dtype.type(np.nan if dtype.kind == "f" else variable.fill_value)
        return unknown

    def _gathered(
        self, name: str, steps: slice, patches: Iterable[Patch], out: Array, batch: Batch | None
    ) -> Array:
        if name in self._sharded:
            with _completed(batch) as reads:
                reads.add(self._sharded[name], steps, patches, out, self._unknown(name))
        else:
            out[...] = self._unknown(name)
        return out

    def _read_by_zarr(
        self, name: str, steps: slice, window: Window, inside: Window, out: Array
    ) -> None:
        """Read (steps, rows, cols) of an array whose layout is not known here."""
        out[...] = self._unknown(name)
        selection = inside.within(self.window)
        try:
            found = self._arrays[name][selection if self.schema.is_static else (steps, *selection)]
        except (ValueError, RuntimeError, OSError) as err:
            raise CubeError(
                f"{self.url} {name}: the objects of {window} cannot be decoded ({err}); "
                "verify names them, and the stage that wrote them restores them"
            ) from err
        out[..., *inside.within(window)] = found

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


@contextmanager
def _completed(batch: Batch | None) -> Iterator[Batch]:
    """Yield `batch` as it is, or a new one that is completed in the end."""
    if batch is not None:
        yield batch
        return
    alone = Batch()
    yield alone
    alone.complete()


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
