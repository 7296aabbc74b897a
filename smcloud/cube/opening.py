"""Opening a store: its metadata are held against a schema before anything is read."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
import zarr
from pyproj import CRS
from pyproj.exceptions import CRSError
from zarr.storage import ObjectStore

from smcloud.core.errors import CubeError, NotFoundError
from smcloud.core.objects import Objects
from smcloud.cube.schema import CubeSchema, Variable
from smcloud.grids.grid import Grid, Window

GRID_MAPPING = "spatial_ref"


def open_group(objects: Objects) -> zarr.Group:
    """Return the group at a URL, or raise `NotFoundError`, or `CubeError` if it is unreadable."""
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


def checked_window(group: zarr.Group, schema: CubeSchema, url: str) -> Window:
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
    keys = (
        "grid_mapping_name",
        "semi_major_axis",
        "longitude_of_projection_origin",
        "longitude_of_central_meridian",
        "standard_parallel",
    )
    return all(have.get(key) == expected.get(key) for key in keys)


def check_times(group: zarr.Group, schema: CubeSchema, year: int | None, url: str) -> None:
    """Raise `CubeError` unless the time axis has the steps of the year, in order."""
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


def found_variable(group: zarr.Group, schema: CubeSchema, variable: Variable, url: str) -> Variable:
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
