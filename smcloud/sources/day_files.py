"""Global files of one day on a coarse grid (HDF5 and netCDF-4): opened strictly, read when used.

A file is judged when it is opened: its format, the layers it must have, their shape, type and
units. Values are read when a block of the cube asks for them, since a slab of days of a 9 km grid
does not fit in memory; small layers, which makers store as one compressed chunk, are read once and
kept.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import DTypeLike, NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from smcloud.core.errors import GranuleError
from smcloud.sources.hdf5_structure import check_heaps, check_superblock
from smcloud.sources.hdf_eos import damaged
from smcloud.sources.quality import Condition, kept

KEPT_BYTES = 8 * 2**20
"""A decoded layer up to this size is read once and kept while its file is open."""
CHUNK_CACHE_BYTES = 0
"""What HDF5 may keep of each layer of each open file. By its default of 8 MiB (version 2) a slab
of 128 files of four global layers keeps 1.8 GB; what is read twice is kept here (`KEPT_BYTES`)."""
MOST_OUTSIDE, ENOUGH_VALUES = 0.5, 100
"""Share of a layer's values outside the physical range that only other units can explain, and how
many values it takes to say so."""
NAMES_TOLD = 8
"""How many names an error shows of what lies beside an absent layer."""
UNREADABLE = (OSError, RuntimeError, KeyError, ValueError, TypeError)
"""What the HDF5 library raises on damage; `TypeError` of types that numpy has not."""

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


@dataclass(frozen=True)
class Packed:
    """How a layer of packed integers must look.

    Attributes
    ----------
    path : str
        Group and name in the file.
    units : str
        Those of the unpacked values; empty where makers write none.
    scale : float
        What a stored one is worth; the offset is 0.
    """

    path: str
    units: str
    scale: float


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
        check_superblock(path)
        self._has_sound_heaps = False
        try:
            self._file = h5py.File(path, "r", rdcc_nbytes=CHUNK_CACHE_BYTES)
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
            attributes = self._file[path].attrs
            self._check_text(attributes.get_id(name).dtype)
            return _text(attributes[name])
        except KeyError:
            return ""
        except UNREADABLE as err:
            raise damaged(self.path, _one_line(err)) from err

    def number(self, path: str, name: str) -> float:
        """Return a number of a group or layer, the first of several; NaN where there is none."""
        try:
            return float(np.ravel(self._file[path].attrs[name])[0])
        except KeyError:
            return float("nan")
        except UNREADABLE as err:
            raise damaged(self.path, _one_line(err)) from err

    def _check_text(self, dtype: np.dtype[Any]) -> None:
        """Look at the heaps of the file before the first text of variable length is read."""
        kind = h5py.check_string_dtype(dtype)
        if kind is not None and kind.length is None and not self._has_sound_heaps:
            check_heaps(self.path)
            self._has_sound_heaps = True

    def layer(self, path: str, kinds: str, lead: int = 1) -> h5py.Dataset:
        """Return a layer after checking that it is there, its shape and its kind of numbers.

        With a `lead` above 1 its first dimension must have that length, such as 2 for two halves of
        a day.

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
        if self._shape is not None and shape not in self._allowed(lead):
            raise GranuleError(
                f"{self.path.name}: expected {path} of "
                f"{' x '.join(map(str, self._allowed(lead)[0]))} cells, "
                f"found {' x '.join(map(str, shape))}"
            )
        if kind not in kinds:
            expected = "float" if kinds == "f" else "integer"
            raise GranuleError(
                f"{self.path.name}: expected {path} as {expected}, found {found.dtype}"
            )
        return found

    def _allowed(self, lead: int) -> list[tuple[int, ...]]:
        """Return the shapes that a layer may have."""
        whole = self._shape or ()
        return [(lead, *whole)] if lead > 1 else [whole, (1, *whole)]

    def values(self, path: str, size: int) -> NDArray[np.float64]:
        """Return a layer of one axis, (size,); it may be stored as a single row or column.

        Raises
        ------
        GranuleError
            If it is absent, damaged or of another length.
        """
        try:
            found = self._file.get(path)
            is_axis = isinstance(found, h5py.Dataset) and found.size == max(found.shape) == size
            if not is_axis or found.dtype.kind not in "fiu":
                raise GranuleError(
                    f"{self.path.name}: expected {size} values of {path}, found "
                    + (str(getattr(found, "shape", "")) or self._beside(path))
                )
            return np.asarray(found[...], np.float64).ravel()
        except UNREADABLE as err:
            raise damaged(self.path, _one_line(err)) from err

    def amount(self, what: Amount) -> tuple[h5py.Dataset, tuple[float, float]]:
        """Return a layer of physical values, and the range that it and the file allow.

        Raises
        ------
        GranuleError
            If it is absent, of another shape or type, in other units, or packed.
        """
        found = self.layer(what.path, "f")
        units = self.attribute(what.path, "units")
        if units not in what.units:
            raise GranuleError(
                f"{self.path.name}: expected {what.path} in {what.units[0]}, found {units!r}"
            )
        try:
            packing = _packing(found.attrs)
            valid = _narrowed(what.valid, found.attrs)
        except UNREADABLE as err:
            raise damaged(self.path, _one_line(err)) from err
        if packing != (1.0, 0.0):
            raise GranuleError(
                f"{self.path.name}: expected physical values in {what.path}, found a scale of "
                f"{packing[0]:g} and an offset of {packing[1]:g}"
            )
        return found, valid

    def has(self, path: str) -> bool:
        """Say whether there is a layer or group."""
        return path in self._file

    def shape_of(self, path: str) -> tuple[int, ...]:
        """Return the shape of a layer; empty where there is none."""
        found = self._file.get(path)
        return tuple(found.shape) if isinstance(found, h5py.Dataset) else ()

    def integers(self, what: Packed) -> tuple[h5py.Dataset, int]:
        """Return a layer of packed integers, and the one that means unknown.

        Raises
        ------
        GranuleError
            If it is absent, of another shape or type, in other units, or packed otherwise.
        """
        found = self.layer(what.path, "i")
        units = self.attribute(what.path, "units")
        if what.units and units != what.units:
            raise GranuleError(
                f"{self.path.name}: expected {what.path} in {what.units}, found {units!r}"
            )
        try:
            scale, offset = _packing(found.attrs)
            fill = int(np.ravel(found.attrs.get("_FillValue", found.fillvalue))[0])
        except UNREADABLE as err:
            raise damaged(self.path, _one_line(err)) from err
        if not np.isclose(scale, what.scale, rtol=1e-5) or offset != 0.0:
            raise GranuleError(
                f"{self.path.name}: expected {what.path} with a scale of {what.scale:g} and an "
                f"offset of 0, found {scale:g} and {offset:g}"
            )
        return found, fill

    def array(self, path: str, kinds: str, shape: tuple[int, ...] | None = None) -> NDArray[Any]:
        """Return a whole layer as stored, of any number of dimensions unless a shape is given.

        Raises
        ------
        GranuleError
            If it is absent, of other numbers or of another shape, or damaged.
        """
        layer = self.layer(path, kinds)
        if shape is not None and layer.shape != shape:
            raise GranuleError(
                f"{self.path.name}: expected {path} of {' x '.join(map(str, shape))}, found "
                + (" x ".join(map(str, layer.shape)) or "one number")
            )
        try:
            found: NDArray[Any] = layer[...]
        except UNREADABLE as err:
            raise damaged(self.path, _one_line(err)) from err
        return np.ascontiguousarray(found, found.dtype.newbyteorder("="))

    def cells(self, layer: h5py.Dataset, window: Window2, number: int = 0) -> NDArray[Any]:
        """Return a window of a layer as stored, or raise `GranuleError` on damage.

        `number` counts along the leading dimension, where there is one.
        """
        try:
            return _cells(layer, window, number)
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


class LazyLayer(BackendArray, ABC):
    """A layer of a day, (1, rows, cols), of which a window is read when it is indexed.

    Parameters
    ----------
    shape : (rows, cols)
    dtype : dtype
        Of the values handed out.
    """

    def __init__(self, shape: tuple[int, int], dtype: DTypeLike) -> None:
        self.shape = (1, *shape)
        self.dtype = np.dtype(dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Return the values of an index; xarray brings any to slices and integers."""
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._basic
        )

    def _basic(self, key: tuple[int | slice, ...]) -> Any:
        """Return the values of slices, and of integers, which drop their axis."""
        day, rows, cols = key
        part = self._read((_as_slice(rows), _as_slice(cols)))
        inside = (slice(None) if isinstance(axis, slice) else 0 for axis in (rows, cols))
        return part[None][(day, *inside)]

    @abstractmethod
    def _read(self, window: Window2) -> NDArray[Any]:
        """Return a window of the layer (rows, cols), or raise `GranuleError` on damage."""


def _as_slice(index: int | slice) -> slice:
    """Return an index as a slice: an integer, negative ones too, as one of length 1."""
    return index if isinstance(index, slice) else slice(index, index + 1 or None)


class LazyAmount(LazyLayer):
    """One layer of a day as physical values, NaN where unknown or refused by the quality.

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
        super().__init__(self._values.shape[-2:], np.float32)

    def _read(self, window: Window2) -> Floats:
        if 4 * self.shape[1] * self.shape[2] > KEPT_BYTES:
            return self.physical(window)
        if self._kept is None:
            self._kept = self.physical((slice(None), slice(None)))
        return self._kept[window]

    def physical(self, window: Window2) -> Floats:
        """Return the values of a window, read anew.

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


class LazyWords(LazyLayer):
    """A layer of quality words of a day as stored, unsigned."""

    def __init__(self, file: DayFile, layer: h5py.Dataset) -> None:
        self._name, self._layer = file.path.name, layer
        self._kept: NDArray[Any] | None = None
        super().__init__(layer.shape[-2:], f"u{layer.dtype.itemsize}")

    def _read(self, window: Window2) -> NDArray[Any]:
        if self._layer.nbytes > KEPT_BYTES:
            return self._stored(window)
        if self._kept is None:
            self._kept = self._stored((slice(None), slice(None)))
        return self._kept[window]

    def _stored(self, window: Window2) -> NDArray[Any]:
        try:
            return unsigned(_cells(self._layer, window))
        except UNREADABLE as err:
            raise damaged(self._name, _one_line(err)) from err


def lazy(
    array: BackendArray, dims: tuple[str, ...], attrs: Mapping[str, str] | None = None
) -> xr.Variable:
    """Return a variable whose values are read when they are used."""
    return xr.Variable(dims, indexing.LazilyIndexedArray(array), attrs)


def unsigned(words: NDArray[Any]) -> NDArray[np.unsignedinteger[Any]]:
    """Return the bits of integers as unsigned ones of the same size."""
    return words.view(f"u{words.dtype.itemsize}")


def _cells(layer: h5py.Dataset, window: Window2, number: int = 0) -> NDArray[Any]:
    """Return a window of a layer with or without a leading day, in the machine's byte order."""
    found: NDArray[Any] = layer[(number, *window)] if layer.ndim == 3 else layer[window]
    return np.ascontiguousarray(found, found.dtype.newbyteorder("="))


def _packing(attrs: Mapping[str, Any]) -> tuple[float, float]:
    """Return the scale and the offset that a layer declares; 1 and 0 where it has none."""
    given = attrs.get("scale_factor", 1.0), attrs.get("add_offset", 0.0)
    scale, offset = (float(np.ravel(value)[0]) for value in given)
    return scale, offset


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
