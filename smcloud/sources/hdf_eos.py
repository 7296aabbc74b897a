"""HDF-EOS2 grid tiles (HDF4), opened strictly: structure, product, grid and layers are checked.

Damaged files are found before the HDF4 library sees them: the data descriptors at the head of an
HDF4 file say where every element lies, so that a truncated file names itself. What the library
itself rejects becomes a `GranuleError` that names the file.
"""

import ctypes
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import GranuleError, MissingExtraError
from smcloud.grids.grid import EARTH_RADIUS_M, SIN1KM, TILE_PIXELS, TILE_SIZE_M, Window
from smcloud.grids.tiles import tile_window

Array = NDArray[Any]
Floats = NDArray[np.float32]

HDF4_MAGIC = b"\x0e\x03\x13\x01"
DESCRIPTOR_BYTES = 12
MAX_DESCRIPTOR_BLOCKS = 100_000
"""A cycle of descriptor blocks in a damaged file must end."""
NO_DATA_LENGTH = 0xFFFFFFFF
"""Offset and length of a descriptor that points at nothing yet."""
CORNER_TOLERANCE_PIXELS = 0.01
SCALE_TOLERANCE = 1e-6

LAYER_ATTRIBUTES = ("scale_factor", "add_offset", "units", "valid_range", "_FillValue")
"""What a reader must know of a layer; real layers carry kilobytes of legends beside these."""

_NUMBER = r"\s*([-+0-9.eE]+)\s*"
_CORNER = r"{}=\(" + _NUMBER + "," + _NUMBER + r"\)"


@dataclass(frozen=True)
class Layer:
    """How one layer of a product must look, and what it means.

    Attributes
    ----------
    name : str
        Name of the layer in the file.
    dtypes : tuple of str
        Stored types that are accepted.
    scale : float
        Physical value of one stored unit; the file's own attribute must say so, as a factor
        (0.0001) or as the divisor that some products write (10000).
    fill : int
        Stored value that means unknown, whether or not the file declares it.
    valid : (int, int)
        Stored values outside are unknown; the file's ``valid_range`` may narrow it.
    units : tuple of str
        Units that the file may declare; empty where makers write free text.
    """

    name: str
    dtypes: tuple[str, ...]
    scale: float
    fill: int
    valid: tuple[int, int]
    units: tuple[str, ...] = ()


@dataclass(frozen=True)
class Word:
    """A layer of codes or bit fields: never scaled, never masked by a fill value (trap T4)."""

    name: str
    dtypes: tuple[str, ...]


@dataclass(frozen=True)
class TileGrid:
    """Where a file lies on its own grid.

    Attributes
    ----------
    name : str
        Name of the HDF-EOS grid.
    tile : str
        Sinusoidal tile.
    window : Window
        Pixels of the file within the whole globe at its own resolution.
    pixel_m : float
        Pixel size, metres.
    """

    name: str
    tile: str
    window: Window
    pixel_m: float

    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return y (rows,) and x (cols,) of the pixel centres, metres on the sphere."""
        west = SIN1KM.x_first - SIN1KM.step / 2
        north = SIN1KM.y_first + SIN1KM.step / 2
        rows = np.arange(self.window.row0, self.window.row1, dtype=np.float64)
        cols = np.arange(self.window.col0, self.window.col1, dtype=np.float64)
        return north - (rows + 0.5) * self.pixel_m, west + (cols + 0.5) * self.pixel_m


class GridFile:
    """An open HDF-EOS grid file; only the layers and attributes that are asked for are read."""

    def __init__(self, path: Path, file: Any) -> None:
        self.path = path
        self._file = file

    def metadata(self, name: str) -> str:
        """Return a metadata text such as ``StructMetadata.0``.

        Subsetting tools keep the original as ``OldCoreMetadata.0``; empty where neither is there.
        """
        for key in (name, f"Old{name}"):
            text = self._attribute(self._file, key)
            if isinstance(text, str):
                return text.replace("\x00", "")
        return ""

    def layers(self) -> list[str]:
        """Return the names of all layers, sorted."""
        try:
            return sorted(self._file.datasets())
        except Exception as err:
            raise damaged(self.path, "its list of layers cannot be read") from err

    def words(self, word: Word, shape: tuple[int, int], window: Window | None = None) -> Array:
        """Return a layer of codes as stored (rows, cols), or of a large one a window alone."""
        values, _ = self._stored(word.name, word.dtypes, shape, window)
        return values

    def codes(
        self, layer: Layer, shape: tuple[int, int], window: Window | None = None
    ) -> tuple[Array, Floats]:
        """Return a layer as stored (rows, cols), and what each code means in this file.

        Meanings are physical values, float32, of `every_code` of the stored type; NaN unknown. Of a
        large layer a window alone may be read.
        """
        stored, attributes = self._stored(layer.name, layer.dtypes, shape, window)
        try:
            return stored, to_physical(every_code(stored.dtype), layer, attributes)
        except GranuleError as err:
            raise GranuleError(f"{self.path.name}: {err}") from err

    def _stored(
        self,
        name: str,
        dtypes: tuple[str, ...],
        shape: tuple[int, int],
        window: Window | None = None,
    ) -> tuple[Array, Mapping[str, Any]]:
        layer = self._select(name)
        try:
            _, _, declared, _, _ = layer.info()
        except Exception as err:
            raise damaged(self.path, f"layer {name} cannot be read") from err
        declared = tuple(np.atleast_1d(declared).tolist())
        if declared != shape:
            raise GranuleError(
                f"{self.path.name}: layer {name} is {_by(declared)}, expected {_by(shape)}"
            )
        try:
            attributes = {key: self._attribute(layer, key) for key in LAYER_ATTRIBUTES}
            part = () if window is None else ((window.row0, window.col0), window.shape)
            values = np.asarray(layer.get(*part))
            layer.endaccess()
        except Exception as err:
            raise damaged(self.path, f"layer {name} cannot be read") from err
        if values.dtype.name not in dtypes:
            raise GranuleError(
                f"{self.path.name}: layer {name} is {values.dtype.name}, expected "
                + " or ".join(dtypes)
            )
        return values, {key: value for key, value in attributes.items() if value is not None}

    def _select(self, name: str) -> Any:
        """Return the open layer of a name, or raise `GranuleError` telling which there are."""
        from pyhdf.error import HDF4Error

        try:
            return self._file.select(name)
        except HDF4Error as absent:
            layers = self.layers()
            if name in layers:
                raise damaged(self.path, f"layer {name} cannot be read") from absent
            raise GranuleError(
                f"{self.path.name}: expected a layer {name!r}, found "
                + (", ".join(layers[:6]) or "none")
            ) from absent

    def _attribute(self, owner: Any, name: str) -> Any:
        """Return an attribute of the file or of a layer; None where there is none.

        Text is copied whole: pyhdf itself puts it together character by character, which for the
        metadata of one real file takes longer than the decoding of its layers.
        """
        from pyhdf import hdfext
        from pyhdf.error import HDF4Error
        from pyhdf.SD import SDC

        attribute = owner.attr(name)
        try:
            index = attribute.index()
        except HDF4Error:
            return None
        try:
            _, kind, length = attribute.info()
            if kind != SDC.CHAR8:
                return attribute.get()
            buffer = hdfext.array_byte(length)
            if hdfext.SDreadattr(owner._id, index, buffer) < 0:
                raise HDF4Error(f"attribute {name} cannot be read")
        except Exception as err:
            raise damaged(self.path, "its attributes cannot be read") from err
        return ctypes.string_at(int(buffer.cast()), length).decode("latin-1")


@contextmanager
def open_grid_file(path: Path) -> Iterator[GridFile]:
    """Open a file after checking that all of it is there.

    Raises
    ------
    GranuleError
        If it is no HDF4 file, truncated or unreadable.
    MissingExtraError
        If pyhdf is not installed.
    """
    try:
        from pyhdf.SD import SD, SDC
    except ImportError as err:
        raise MissingExtraError("pyhdf", "hdf4", "reading HDF4 granules") from err
    check_complete(path)
    try:
        file = SD(str(path), SDC.READ)
    except Exception as err:
        raise damaged(path, "the HDF4 library cannot open it") from err
    try:
        yield GridFile(path, file)
    finally:
        file.end()


def check_complete(path: Path) -> None:
    """Raise `GranuleError` unless the file holds every element that its descriptors name.

    The layout of descriptor blocks is that of the HDF4 specification: a count, the offset of the
    next block, then 12 bytes for each element (tag, reference, offset, length), big-endian.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if file.read(len(HDF4_MAGIC)) != HDF4_MAGIC:
                raise GranuleError(f"{path.name}: expected an HDF4 file, found {_looks_like(path)}")
            end = _last_byte(file, path)
    except OSError as err:
        raise damaged(path, str(err)) from err
    if end > size:
        raise GranuleError(
            f"{path.name} is truncated: expected at least {end} bytes, found {size}; "
            "download it again"
        )


def _last_byte(file: Any, path: Path) -> int:
    """Return the end of the last element that the descriptor blocks name."""
    end, position = 0, len(HDF4_MAGIC)
    for _ in range(MAX_DESCRIPTOR_BLOCKS):
        file.seek(position)
        head = file.read(6)
        if len(head) < 6:
            raise damaged(path, "its list of contents is cut off")
        count, following = struct.unpack(">HI", head)
        block = file.read(count * DESCRIPTOR_BYTES)
        if len(block) < count * DESCRIPTOR_BYTES:
            raise damaged(path, "its list of contents is cut off")
        entries = np.frombuffer(block, np.dtype([("kind", ">u4"), ("at", ">u4"), ("size", ">u4")]))
        stored = entries[(entries["at"] != NO_DATA_LENGTH) & (entries["size"] != NO_DATA_LENGTH)]
        if stored.size:
            end = max(end, int((stored["at"].astype(np.int64) + stored["size"]).max()))
        if following == 0:
            return end
        position = following
    raise damaged(path, "its list of contents never ends")


def read_grid(file: GridFile, tile: str, name_prefix: str, pixels: int) -> TileGrid:
    """Return where the file lies, checked against the tile in its name.

    Parameters
    ----------
    file : GridFile
        An open file.
    tile : str
        Tile that the file name says.
    name_prefix : str
        How the name of the HDF-EOS grid must begin.
    pixels : int
        Pixels across a whole tile: 1200 or 2400. A cut-out with the same pixels is accepted.

    Raises
    ------
    GranuleError
        If the file has another grid, projection, pixel size or place.
    """
    text = file.metadata("StructMetadata.0")
    where = file.path.name
    found = re.search(r'GridName="([^"]*)"', text)
    if found is None or not found[1].startswith(name_prefix):
        raise GranuleError(
            f"{where}: expected the grid {name_prefix!r}, found {found[1] if found else 'none'!r}"
        )
    radius = re.search(r"ProjParams=\(" + _NUMBER, text)
    if "Projection=GCTP_SNSOID" not in text or radius is None:
        raise GranuleError(f"{where}: expected the sinusoidal projection, found another")
    if abs(float(radius[1]) - EARTH_RADIUS_M) > 1.0:
        raise GranuleError(f"{where}: expected a sphere of {EARTH_RADIUS_M} m, found {radius[1]} m")
    pixel_m = TILE_SIZE_M / pixels
    window = _window(text, pixel_m, where)
    factor = pixels // TILE_PIXELS
    home = tile_window(SIN1KM, tile)
    whole = Window(*(edge * factor for edge in (home.row0, home.row1, home.col0, home.col1)))
    if window.intersect(whole) != window:
        raise GranuleError(
            f"{where}: expected pixels of tile {tile}, found rows {window.row0}-{window.row1} and "
            f"columns {window.col0}-{window.col1} of the globe"
        )
    return TileGrid(found[1], tile, window, pixel_m)


def _window(text: str, pixel_m: float, where: str) -> Window:
    """Return the pixels between the corners that the metadata name."""
    sizes = [re.search(rf"{name}=(\d+)", text) for name in ("YDim", "XDim")]
    corners = [
        re.search(_CORNER.format(name), text) for name in ("UpperLeftPointMtrs", "LowerRightMtrs")
    ]
    if None in sizes or None in corners:
        raise GranuleError(f"{where}: expected the corners of a grid, found none")
    rows, cols = (int(size[1]) for size in sizes if size)
    (west, north), (east, south) = ((float(c[1]), float(c[2])) for c in corners if c)
    left, top = SIN1KM.x_first - SIN1KM.step / 2, SIN1KM.y_first + SIN1KM.step / 2
    edges = np.array([top - north, top - south, west - left, east - left]) / pixel_m
    whole = np.rint(edges).astype(int)
    window = Window(*whole.tolist())
    if np.abs(edges - whole).max() > CORNER_TOLERANCE_PIXELS or window.shape != (rows, cols):
        raise GranuleError(
            f"{where}: expected pixels of {pixel_m:.3f} m on the sinusoidal grid, found {rows} x "
            f"{cols} pixels between ({west:.1f}, {north:.1f}) and ({east:.1f}, {south:.1f})"
        )
    return window


def check_product(file: GridFile, short_name: str, collections: tuple[str, ...]) -> None:
    """Raise `GranuleError` unless the metadata name this product and one of these collections."""
    text = file.metadata("CoreMetadata.0")
    found = odl_value(text, "SHORTNAME")
    if found != short_name:
        raise GranuleError(
            f"{file.path.name}: expected the product {short_name}, found {found or 'no name'}"
        )
    collection = odl_value(text, "VERSIONID")
    if not collection.isdigit() or int(collection) not in {_number(c) for c in collections}:
        raise GranuleError(
            f"{file.path.name}: expected collection {' or '.join(collections)}, found "
            f"{collection or 'none'}"
        )


def _number(collection: str) -> int:
    """Return the number that metadata write for a collection: "061" is 61, "V50" is 50."""
    return int(collection.lstrip("V"))


def odl_value(text: str, name: str) -> str:
    """Return the value of an object in the metadata's language, without quotes; empty if absent."""
    found = re.search(rf"OBJECT\s*=\s*{name}\b.*?VALUE\s*=\s*(\"[^\"]*\"|[^\s]+)", text, re.DOTALL)
    return found[1].strip('"').strip() if found else ""


def every_code(dtype: np.dtype[Any]) -> Array:
    """Return all integers of a type of one or two bytes, in the order of their unsigned bits."""
    codes: Array = np.arange(1 << 8 * dtype.itemsize).astype(f"u{dtype.itemsize}").view(dtype)
    return codes


def to_physical(stored: Array, layer: Layer, attributes: Mapping[str, Any]) -> Floats:
    """Return physical values of stored integers, float32, NaN where unknown.

    Whether the file's ``scale_factor`` is a factor or a divisor differs by product (trap T5:
    MOD09A1 says 0.0001, MOD09GA 10000); the layer knows the size of its unit, and the file's own
    attribute must agree with one of the two readings.

    Parameters
    ----------
    stored : integer array
    layer : Layer
        What the values mean.
    attributes : mapping
        Attributes of the layer in the file.

    Raises
    ------
    GranuleError
        If scale, offset or units are not those of the layer.
    """
    scale = attributes.get("scale_factor")
    if scale is None or not (_close(scale, layer.scale) or _close(scale, 1.0 / layer.scale)):
        raise GranuleError(
            f"layer {layer.name}: expected scale_factor {layer.scale:g} or its reciprocal "
            f"{1.0 / layer.scale:g}, found {scale}"
        )
    if offset := attributes.get("add_offset", 0.0):
        raise GranuleError(f"layer {layer.name}: expected no add_offset, found {offset}")
    units = attributes.get("units")
    if layer.units and units is not None and units not in layer.units:
        raise GranuleError(
            f"layer {layer.name}: expected units {' or '.join(layer.units)}, found {units!r}"
        )
    low, high = layer.valid
    declared = attributes.get("valid_range")
    if isinstance(declared, (list, tuple)) and len(declared) == 2:
        low, high = max(low, declared[0]), min(high, declared[1])
    known = (stored >= low) & (stored <= high) & (stored != layer.fill)
    fill = attributes.get("_FillValue")
    if fill is not None:
        known &= stored != fill
    physical: Floats = stored.astype(np.float32)
    physical *= np.float32(layer.scale)
    np.copyto(physical, np.float32(np.nan), where=~known)
    return physical


def _close(found: float, expected: float) -> bool:
    return abs(float(found) - expected) <= SCALE_TOLERANCE * expected


def damaged(path: Path | str, reason: str) -> GranuleError:
    """Return the error for a file that cannot be read."""
    return GranuleError(f"{Path(path).name} is damaged: {reason}; download it again")


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _looks_like(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(b"\x89HDF"):
        return "HDF5"
    return f"bytes that begin with {head!r}" if head else "an empty file"
