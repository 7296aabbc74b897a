"""A window of a year as a NetCDF-4 file for tools that know neither Zarr nor its projection.

CF-1.11; the stored integers with their packing, and on projected grids two-dimensional longitude
and latitude, which the cube leaves out because they follow from x and y.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np

from smcloud.core.layout import join
from smcloud.core.objects import open_objects
from smcloud.cube.opening import GRID_MAPPING
from smcloud.cube.schema import EPOCH, CubeSchema, Variable
from smcloud.cube.store import TIME_UNITS, Cube, axis_attrs, grid_mapping_attrs, open_cube
from smcloud.grids.grid import Window

CHUNK_PIXELS = 150
DEFLATE_LEVEL = 1


@dataclass(frozen=True)
class NetcdfTask:
    """One file to write: a tile of a year's store and the produced blocks inside it."""

    store_url: str
    schema: CubeSchema
    year: int
    tile: str
    window: Window
    blocks: tuple[Window, ...]
    folder: str
    """URL that the file is put below."""

    @property
    def name(self) -> str:
        """Return the name of the file, such as ``glass-sm.h18v04.2019.nc``."""
        return f"{self.schema.name}.{self.tile}.{self.year}.nc"


def write_netcdf(task: NetcdfTask) -> str:
    """Copy one tile-year from the cube into a NetCDF file, block by block, and return its URL.

    Memory is that of one block; the file passes through a temporary folder because HDF5 seeks.

    Raises
    ------
    CubeError
        If a produced block is absent or damaged.
    """
    cube = open_cube(task.store_url, task.schema, task.year)
    with tempfile.TemporaryDirectory(prefix="smcloud-") as folder:
        path = Path(folder, task.name)
        with h5netcdf.File(path, "w") as file:
            _write_frame(file, task)
            for variable in task.schema.variables:
                _write_variable(file, cube, variable, task)
        open_objects(task.folder).put(task.name, path.read_bytes())
    return join(task.folder, task.name)


def _write_frame(file: h5netcdf.File, task: NetcdfTask) -> None:
    """Write dimensions, coordinates, grid mapping and global attributes."""
    grid = task.schema.on
    rows, cols = task.window.slices
    days = (task.schema.times(task.year) - EPOCH).astype(np.int32)
    down, across = grid.dims
    file.dimensions = dict(
        zip(("time", down, across), (days.size, *task.window.shape), strict=True)
    )
    _put(file, "time", ("time",), days, {
        "units": TIME_UNITS, "calendar": "proleptic_gregorian", "standard_name": "time",
        "long_name": "UTC day", "axis": "T", "units_metadata": "leap_seconds: none",
    })  # fmt: skip
    for name, values in ((down, grid.y[rows]), (across, grid.x[cols])):
        _put(file, name, (name,), values, axis_attrs(grid, name))
    if grid.projected:
        lon, lat = grid.lonlat(task.window)
        for name, units, values in (("lon", "degrees_east", lon), ("lat", "degrees_north", lat)):
            long_name = {"lon": "longitude", "lat": "latitude"}[name]
            _put(file, name, (down, across), values, {
                "units": units, "standard_name": long_name, "long_name": long_name,
            })  # fmt: skip
    _put(file, GRID_MAPPING, (), np.int32(0), grid_mapping_attrs(grid))
    file.attrs["Conventions"] = "CF-1.11"
    file.attrs["title"] = f"{task.schema.title}, tile {task.tile}, {task.year}"
    file.attrs["history"] = f"copied by smcloud from version {Path(task.store_url).stem}"


def _put(
    file: h5netcdf.File, name: str, dims: Sequence[str], values: Any, attrs: Mapping[str, Any]
) -> None:
    options = {"compression": "gzip", "compression_opts": DEFLATE_LEVEL} if len(dims) > 1 else {}
    variable = file.create_variable(name, tuple(dims), np.asarray(values).dtype, **options)
    variable[...] = values
    variable.attrs.update(attrs)


def _write_variable(file: h5netcdf.File, cube: Cube, variable: Variable, task: NetcdfTask) -> None:
    days = len(cube.times)
    side = min(CHUNK_PIXELS, *task.window.shape)
    target = file.create_variable(
        variable.name,
        ("time", *task.schema.on.dims),
        variable.dtype,
        chunks=(min(task.schema.chunks[0], days), side, side),
        # A flag is always known: a fill value would make readers turn it into floats.
        fillvalue=None if variable.fill is None else np.dtype(variable.dtype).type(variable.fill),
        compression="gzip",
        compression_opts=DEFLATE_LEVEL,
        shuffle=True,
    )
    attrs = {name: v for name, v in variable.cf_attrs().items() if name != "_FillValue"}
    kind = np.dtype(variable.dtype)
    for name in ("valid_range", "flag_masks", "flag_values"):
        if name in attrs:  # CF: of the type of the packed values
            attrs[name] = np.asarray(attrs[name], kind)
    if task.schema.on.projected:
        attrs["coordinates"] = "lat lon"
    target.attrs.update(attrs | {"grid_mapping": GRID_MAPPING})
    for block in task.blocks:
        if (inside := block.intersect(task.window)) is not None:
            target[(slice(0, days), *inside.within(task.window))] = cube.read(
                variable.name, slice(0, days), inside
            )
