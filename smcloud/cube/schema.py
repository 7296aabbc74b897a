"""What a cube holds: variables with units, packing and ranges; times, chunks and shards."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from smcloud.core.errors import CubeError
from smcloud.grids.grid import Grid, Window, grid_named
from smcloud.grids.tiles import TileYear

Array = NDArray[np.generic]
Days = NDArray[np.datetime64]
EPOCH = np.datetime64("1970-01-01", "D")
YEAR_STEPS = 368
"""A time axis rounded up: one shard of 8 x 46 days holds any year, leap years too."""


@dataclass(frozen=True)
class Variable:
    """One variable of a cube and how its physical values are packed.

    Attributes
    ----------
    name, units, long_name, standard_name : str
        CF names; `standard_name` may be empty.
    dtype : str
        Stored type, such as ``int16``.
    scale, offset : float
        physical = stored * scale + offset.
    fill : int | None
        Stored value of unknown; None for flags, which are always known.
    valid : (float, float)
        Physical range; packed values outside it become unknown, and `check` refuses them.
    attrs : mapping
        Further CF attributes (flag_masks, cell_methods, ancillary_variables).
    """

    name: str
    dtype: str
    units: str
    long_name: str
    valid: tuple[float, float]
    scale: float = 1.0
    offset: float = 0.0
    fill: int | None = None
    standard_name: str = ""
    attrs: Mapping[str, object] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((self.name, self.dtype, self.units, self.scale, self.offset, self.fill))

    @property
    def fill_value(self) -> int:
        """Return the stored fill; flags are filled with 0."""
        return 0 if self.fill is None else self.fill

    def pack(self, values: NDArray[np.floating]) -> Array:
        """Return stored integers of physical values, any shape; NaN and out of range become fill.

        Values are rounded half to even. A flag variable (no fill) must not be NaN.
        """
        info = np.iinfo(self.dtype)
        scaled = np.rint((np.asarray(values, np.float64) - self.offset) / self.scale)
        low, high = self.valid
        known = (values >= low) & (values <= high) & (scaled >= info.min) & (scaled <= info.max)
        packed: Array = np.where(known, scaled, self.fill_value).astype(self.dtype)
        return packed

    def unpack(self, stored: Array) -> NDArray[np.float32]:
        """Return physical float32 values of stored integers; fill becomes NaN.

        Computed in double and rounded once, so that they are the values that xarray decodes.
        """
        values = (stored.astype(np.float64) * self.scale + self.offset).astype(np.float32)
        if self.fill is not None:
            values[stored == self.fill] = np.nan
        return values

    def cf_attrs(self) -> dict[str, object]:
        """Return the attributes that CF readers decode by; sorted by the caller's writer."""
        attrs: dict[str, object] = {"units": self.units, "long_name": self.long_name}
        if self.standard_name:
            attrs["standard_name"] = self.standard_name
        if self.scale != 1.0 or self.offset:
            attrs |= {"scale_factor": self.scale, "add_offset": self.offset}
        if self.fill is not None:
            attrs["_FillValue"] = self.fill
            low, high = ((bound - self.offset) / self.scale for bound in self.valid)
            info = np.iinfo(self.dtype)
            attrs["valid_range"] = [max(round(low), info.min), min(round(high), info.max)]
        return attrs | dict(self.attrs)


@dataclass(frozen=True)
class CubeSchema:
    """The shape of a store: grid, variables, time steps, chunks and shards.

    Attributes
    ----------
    name : str
        Source or product, such as ``mod11a1``.
    grid : str
        Name of the grid whose whole extent the arrays span.
    variables : tuple of Variable
    step_days : int | None
        1 daily, 8 or 16 composites that restart each 1 January, None static.
    chunks, shards : (time, row, col)
        Inner chunks and the objects they are packed in; static stores ignore the first number.
    title : str
        One line for people.
    version : int
        Raised when the meaning of stored values changes; part of every input hash.
    codec : str
        How new stores are encoded: ``zstd`` is small, ``lz4`` fast to read (`cube.codecs`).
    """

    name: str
    grid: str
    variables: tuple[Variable, ...]
    step_days: int | None
    chunks: tuple[int, int, int]
    shards: tuple[int, int, int]
    title: str
    version: int = 1
    codec: str = "zstd"

    @property
    def on(self) -> Grid:
        """Return the grid."""
        return grid_named(self.grid)

    @property
    def is_static(self) -> bool:
        """Say whether the store has no time axis."""
        return self.step_days is None

    @property
    def dims(self) -> tuple[str, ...]:
        """Return the dimension names of every variable."""
        return self.on.dims if self.is_static else ("time", *self.on.dims)

    def variable(self, name: str) -> Variable:
        """Return one variable, or raise `CubeError` naming those that exist."""
        for variable in self.variables:
            if variable.name == name:
                return variable
        names = ", ".join(variable.name for variable in self.variables)
        raise CubeError(f"{self.name} has no variable {name!r}: expected one of {names}")

    def times(self, year: int | None) -> Days:
        """Return the first day of each step of a year; empty for a static store."""
        if self.step_days is None or year is None:
            return np.array([], "datetime64[D]")
        first = np.datetime64(f"{year:04d}-01-01", "D")
        last = np.datetime64(f"{year + 1:04d}-01-01", "D")
        return np.arange(first, last, self.step_days)

    def shape(self, year: int | None) -> tuple[int, ...]:
        """Return the shape of every variable in the store of `year`."""
        rows, cols = self.on.rows, self.on.cols
        return (rows, cols) if self.is_static else (len(self.times(year)), rows, cols)

    def chunk_shape(self) -> tuple[int, ...]:
        """Return the inner chunk of every variable."""
        return self.chunks[1:] if self.is_static else self.chunks

    def shard_shape(self) -> tuple[int, ...]:
        """Return the shard of every variable."""
        return self.shards[1:] if self.is_static else self.shards

    def slabs(self, year: int | None) -> list[slice]:
        """Return the time steps of each shard along time; one empty slice for a static store."""
        if self.is_static:
            return [slice(0, 0)]
        steps, size = len(self.times(year)), self.shards[0]
        return [slice(start, min(start + size, steps)) for start in range(0, steps, size)]

    def template(self, year: int | None) -> xr.Dataset:
        """Return the store's coordinates and attributes; variables are listed, not allocated."""
        grid = self.on
        rows, cols = grid.dims
        coords: dict[str, tuple[str, Array]] = {rows: (rows, grid.y), cols: (cols, grid.x)}
        if not self.is_static:
            coords["time"] = ("time", (self.times(year) - EPOCH).astype(np.int32))
        return xr.Dataset(coords=coords, attrs={"title": self.title})

    def check(self, block: xr.Dataset, key: TileYear) -> None:
        """Raise `CubeError` unless a block holds every variable with its dims, units and range.

        `block` has physical values, NaN for unknown, on this schema's grid.
        """
        for variable in self.variables:
            if variable.name not in block:
                raise CubeError(
                    f"{self.name} {key}: the block lacks {variable.name!r}; it has "
                    + (", ".join(sorted(map(str, block.data_vars))) or "nothing")
                )
            _check_variable(block[variable.name], variable, self, key)


def _check_variable(
    found: xr.DataArray, variable: Variable, schema: CubeSchema, key: TileYear
) -> None:
    where = f"{schema.name} {key} {variable.name}"
    if found.dims != schema.dims:
        raise CubeError(f"{where}: expected dims {schema.dims}, found {found.dims}")
    units = found.attrs.get("units")
    if units != variable.units:
        raise CubeError(f"{where}: expected units {variable.units!r}, found {units!r}")
    values = found.values
    low, high = variable.valid
    with np.errstate(invalid="ignore"):
        outside = int(((values < low) | (values > high)).sum())
    if outside:
        raise CubeError(
            f"{where}: {outside} values outside {low:g} to {high:g} {variable.units}, "
            f"such as {values[(values < low) | (values > high)][0]:g}"
        )


def shard_index(schema: CubeSchema, window: Window, slab: int) -> tuple[int, ...]:
    """Return the index of the one shard that covers `window` exactly in time slab `slab`.

    Raises
    ------
    CubeError
        If the window is not a whole shard: writing part of one would corrupt its neighbours.
    """
    rows, cols = schema.shards[1:]
    grid = schema.on.window
    row, col = window.row0 // rows, window.col0 // cols
    whole = Window(
        row * rows,
        min((row + 1) * rows, grid.row1),
        col * cols,
        min((col + 1) * cols, grid.col1),
    )
    if window != whole:
        raise CubeError(f"{schema.name}: {window} is not a whole shard; the shard there is {whole}")
    return (row, col) if schema.is_static else (slab, row, col)
