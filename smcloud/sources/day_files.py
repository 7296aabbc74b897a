"""Global files of one day on a coarse grid (HDF5 and netCDF-4): opened strictly, read when used.

A file is judged when it is opened: its format, the layers it must have, their shape, type and
units. Values are read when a block of the cube asks for them, since a slab of days of a 9 km grid
does not fit in memory; small layers, which makers store as one compressed chunk, are read once and
kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from smcloud.core.errors import GranuleError
from smcloud.cube.schema import CubeSchema
from smcloud.grids.grid import Grid, Window
from smcloud.grids.tiles import TileYear
from smcloud.sources.hdf_eos import damaged
from smcloud.sources.quality import Condition, kept

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
KEPT_BYTES = 8 * 2**20
"""A decoded layer up to this size is read once and kept while its file is open."""
MOST_OUTSIDE, ENOUGH_VALUES = 0.5, 100
"""Share of a layer's values outside the physical range that only other units can explain, and how
many values it takes to say so."""
NAMES_TOLD = 8
"""How many names an error shows of what lies beside an absent layer."""
UNREADABLE = (OSError, RuntimeError, KeyError, ValueError)
"""What the HDF5 library raises on damage."""

Floats = NDArray[np.float32]
Window2 = tuple[slice, slice]


@dataclass(frozen=True)
class Amount:
    """How a layer of physical values must look.

    Attributes
    ----------
    path : str
        Group and name in the file.
    units : tuple of str
        Units that makers write, all of which mean the same.
    valid : (float, float)
        Physical range; the file's own range may narrow it, values outside are unknown.
    fill : float
        Stored value of unknown, whether or not the file declares it.
    """

    path: str
    units: tuple[str, ...]
    valid: tuple[float, float]
    fill: float = -9999.0


class DayFile:
    """An open HDF5 file of one day.

    Parameters
    ----------
    path : Path
    shape : (rows, cols)
        What every layer must have; a leading dimension of one day is allowed.

    Raises
    ------
    GranuleError
        If the file is no HDF5, or damaged.
    """

    def __init__(self, path: Path, shape: tuple[int, int] | None = None) -> None:
        self.path = path
        self._shape = shape
        with path.open("rb") as file:
            head = file.read(len(HDF5_MAGIC))
        if head != HDF5_MAGIC:
            found = f"bytes that begin {head!r}" if head else "an empty file"
            raise GranuleError(f"{path.name}: expected HDF5, found {found}")
        try:
            self._file = h5py.File(path, "r")
        except UNREADABLE as err:
            raise damaged(path, _one_line(err)) from err

    def close(self) -> None:
        """Close the file; layers that were not read are lost."""
        self._file.close()

    def expect(self, shape: tuple[int, int]) -> None:
        """Refuse layers of another shape from now on: a scene sets it by its first layer."""
        self._shape = shape

    def attribute(self, path: str, name: str) -> str:
        """Return a text attribute of a group or layer; empty where there is none."""
        try:
            return _text(self._file[path].attrs[name])
        except KeyError:
            return ""
        except UNREADABLE as err:
            raise damaged(self.path, _one_line(err)) from err

    def layer(self, path: str, kinds: str) -> h5py.Dataset:
        """Return a layer after checking that it is there, its shape and its kind of numbers.

        Raises
        ------
        GranuleError
            If it is not as expected.
        """
        try:
            found = self._file.get(path)
            if not isinstance(found, h5py.Dataset):
                raise GranuleError(
                    f"{self.path.name}: expected a layer {path}, found {self._beside(path)}"
                )
            shape, kind = found.shape, found.dtype.kind
        except UNREADABLE as err:
            raise damaged(self.path, _one_line(err)) from err
        if self._shape is not None and shape not in (self._shape, (1, *self._shape)):
            raise GranuleError(
                f"{self.path.name}: expected {path} of {self._shape[0]} x {self._shape[1]} cells, "
                f"found {' x '.join(map(str, shape))}"
            )
        if kind not in kinds:
            expected = "float" if kinds == "f" else "integer"
            raise GranuleError(
                f"{self.path.name}: expected {path} as {expected}, found {found.dtype}"
            )
        return found

    def values(self, path: str, size: int) -> NDArray[np.float64]:
        """Return a layer of one axis, (size,).

        Raises
        ------
        GranuleError
            If it is absent, damaged or of another length.
        """
        try:
            found = self._file.get(path)
            is_axis = isinstance(found, h5py.Dataset) and found.shape == (size,)
            if not is_axis or found.dtype.kind not in "fiu":
                raise GranuleError(
                    f"{self.path.name}: expected {size} values of {path}, found "
                    + (str(getattr(found, "shape", "")) or self._beside(path))
                )
            return np.asarray(found[...], np.float64)
        except UNREADABLE as err:
            raise damaged(self.path, _one_line(err)) from err

    def amount(self, what: Amount) -> tuple[h5py.Dataset, tuple[float, float]]:
        """Return a layer of physical values, and the range that it and the file allow.

        Raises
        ------
        GranuleError
            If it is absent, of another shape or type, or in other units.
        """
        found = self.layer(what.path, "f")
        units = self.attribute(what.path, "units")
        if units not in what.units:
            raise GranuleError(
                f"{self.path.name}: expected {what.path} in {what.units[0]}, found {units!r}"
            )
        try:
            return found, _narrowed(what.valid, found.attrs)
        except (*UNREADABLE, TypeError) as err:
            raise damaged(self.path, _one_line(err)) from err

    def cells(self, layer: h5py.Dataset, window: Window2) -> NDArray[Any]:
        """Return a window of a layer as stored, or raise `GranuleError` on damage."""
        try:
            return _cells(layer, window)
        except UNREADABLE as err:
            raise damaged(self.path, _one_line(err)) from err

    def _beside(self, path: str) -> str:
        """Return what lies in the deepest group of a path that there is, for an error."""
        group, inside = self._file, ""
        for part in path.split("/")[:-1]:
            if not isinstance(group.get(part), h5py.Group):
                break
            group, inside = group[part], f"{inside}{part}/"
        names = sorted(map(str, group))[:NAMES_TOLD]
        return f"in /{inside} " + (", ".join(names) or "nothing")


class LazyAmount(BackendArray):
    """One layer of a day as physical values (1, rows, cols), read when indexed.

    Parameters
    ----------
    file : DayFile
    what : Amount
    words : mapping of str to layer
        The quality words that the conditions name.
    conditions : tuple of Condition
        All of which a cell must meet; others are unknown.
    """

    def __init__(
        self,
        file: DayFile,
        what: Amount,
        words: Mapping[str, h5py.Dataset],
        conditions: tuple[Condition, ...],
    ) -> None:
        self._name, self._what = file.path.name, what
        self._values, self._valid = file.amount(what)
        self._words = {one.word: words[one.word] for one in conditions}
        self._conditions = conditions
        self._kept: Floats | None = None
        self.shape = (1, *self._values.shape[-2:])
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Return the values of an index; xarray brings any to slices and integers."""
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._basic
        )

    def _basic(self, key: tuple[int | slice, ...]) -> Floats:
        day, rows, cols = key
        if 4 * self.shape[1] * self.shape[2] <= KEPT_BYTES:
            if self._kept is None:
                self._kept = self._read((slice(None), slice(None)))
            part = self._kept[rows, cols]
        else:
            part = self._read((rows, cols))  # type: ignore[arg-type]
        whole: Floats = part[None][day]
        return whole

    def _read(self, window: Window2) -> Floats:
        """Return the physical values of a window, NaN where unknown or refused by the quality.

        Raises
        ------
        GranuleError
            If the file is damaged, or most values lie outside the physical range.
        """
        low, high = self._valid
        try:
            stored = _cells(self._values, window)
            words = {name: unsigned(_cells(word, window)) for name, word in self._words.items()}
        except UNREADABLE as err:
            raise damaged(self._name, _one_line(err)) from err
        # Most of the globe is ocean, or under no swath: the rest is looked at alone.
        at = np.flatnonzero(stored != stored.dtype.type(self._what.fill))
        found = stored.ravel()[at].astype(np.float32)
        inside = (found >= np.float32(low)) & (found <= np.float32(high))
        known = int(np.isfinite(found).sum())
        outside = known - int(inside.sum())
        if known >= ENOUGH_VALUES and outside > MOST_OUTSIDE * known:
            raise GranuleError(
                f"{self._name}: expected {self._what.path} of {low:g} to {high:g} "
                f"{self._what.units[0]}, found {outside} of {known} values outside"
            )
        if self._conditions:
            words = {name: word.ravel()[at] for name, word in words.items()}
            inside &= kept(words, self._conditions)
        values = np.full(stored.shape, np.nan, np.float32)
        values.reshape(-1)[at[inside]] = found[inside]
        return values


class LazyWords(BackendArray):
    """A layer of quality words (1, rows, cols) as stored, unsigned, read when indexed."""

    def __init__(self, file: DayFile, layer: h5py.Dataset) -> None:
        self._name, self._layer = file.path.name, layer
        self.shape = (1, *layer.shape[-2:])
        self.dtype = np.dtype(f"u{layer.dtype.itemsize}")

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Return the words of an index; xarray brings any to slices and integers."""
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._basic
        )

    def _basic(self, key: tuple[int | slice, ...]) -> Any:
        day, rows, cols = key
        try:
            return unsigned(_cells(self._layer, (rows, cols)))[None][day]  # type: ignore[arg-type]
        except UNREADABLE as err:
            raise damaged(self._name, _one_line(err)) from err


def lazy(
    array: BackendArray, dims: tuple[str, ...], attrs: Mapping[str, str] | None = None
) -> xr.Variable:
    """Return a variable whose values are read when they are used."""
    return xr.Variable(dims, indexing.LazilyIndexedArray(array), attrs)


def dataset_of_day(
    fields: Mapping[str, xr.Variable], grid: Grid, day: date, file: DayFile, source: str
) -> xr.Dataset:
    """Return the layers of a file as a dataset of one day on its grid; closing it closes both."""
    rows, cols = grid.dims
    dataset = xr.Dataset(
        dict(fields),
        coords={"time": np.array([day], "datetime64[ns]"), rows: grid.y, cols: grid.x},
        attrs={"source": source, "file": file.path.name},
    )
    dataset.set_close(file.close)
    return dataset


def days_together(
    schema: CubeSchema, datasets: Sequence[xr.Dataset], key: TileYear, within: Window | None
) -> xr.Dataset:
    """Return days of `dataset_of_day` on the steps of a cube: dims (time, rows, cols).

    Days are those of the key's year that there is a file of, in order; where two files are of one
    day, the first that knows a cell counts. The window is the whole grid, or `within`.
    """
    window, grid = within or schema.on.window, schema.on
    stamps = [dataset["time"].values.astype("datetime64[D]") for dataset in datasets]
    days = np.unique(np.concatenate([*stamps, np.array([], "datetime64[D]")]))
    days = days[days.astype("datetime64[Y]") == np.datetime64(f"{key.year:04d}", "Y")]
    inside = dict(zip(grid.dims, window.slices, strict=True))
    fields = {}
    for variable in schema.variables:
        values = np.full((len(days), *window.shape), np.nan, np.float32)
        for dataset, own_days in zip(datasets, stamps, strict=True):
            # A variable alone: indexing its coordinates too takes longer than reading it.
            part = dataset.variables[variable.name].isel(inside)
            for number, at in enumerate(np.searchsorted(days, own_days)):
                if at < len(days) and days[at] == own_days[number]:
                    here = values[at]
                    np.copyto(here, part.isel(time=number).values, where=np.isnan(here))
        attrs = {"units": variable.units, "long_name": variable.long_name}
        fields[variable.name] = (schema.dims, values, attrs)
    centres = zip(grid.dims, (grid.y, grid.x), strict=True)
    return xr.Dataset(
        fields,
        coords={"time": days.astype("datetime64[ns]")}
        | {dim: values[inside[dim]] for dim, values in centres},
    )


def unsigned(words: NDArray[Any]) -> NDArray[np.unsignedinteger[Any]]:
    """Return the bits of integers as unsigned ones of the same size."""
    return words.view(f"u{words.dtype.itemsize}")


def _cells(layer: h5py.Dataset, window: Window2) -> NDArray[Any]:
    """Return a window of a layer with or without a leading day, in the machine's byte order."""
    found: NDArray[Any] = layer[(0, *window)] if layer.ndim == 3 else layer[window]
    return np.ascontiguousarray(found, found.dtype.newbyteorder("="))


def _narrowed(valid: tuple[float, float], attrs: Mapping[str, Any]) -> tuple[float, float]:
    """Return a range within the one that a file gives its layer, as a pair or as two bounds."""
    low, high = valid
    given = attrs.get("valid_range")
    if given is not None and np.size(given) == 2:
        low, high = max(low, float(given[0])), min(high, float(given[1]))
    if "valid_min" in attrs:
        low = max(low, float(np.ravel(attrs["valid_min"])[0]))
    if "valid_max" in attrs:
        high = min(high, float(np.ravel(attrs["valid_max"])[0]))
    return low, high


def _text(value: Any) -> str:
    """Return an attribute as text; HDF5 has strings, bytes and arrays of one of either."""
    plain = np.ravel(value)[0] if isinstance(value, np.ndarray) and value.size else value
    return plain.decode(errors="replace") if isinstance(plain, bytes) else str(plain)


def _one_line(err: Exception) -> str:
    return " ".join(str(err).split()) or type(err).__name__
