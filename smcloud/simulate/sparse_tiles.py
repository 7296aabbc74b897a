"""Tile files of which few pixels are known, put together without the HDF4 library.

Writing a whole tile of fill costs the library a second for half-kilometre products, and a study of
scattered stations has thousands of such files. Here the library writes one file of a product and
tile with nothing known; every other file is that one with its names and dates replaced, and with
layers whose deflate streams are joined from parts: the runs of fill between known pixels, which
are compressed once, and the known pixels as stored blocks (RFC 1951, 3.2.4). The checksum of a
stream follows from that of the fill (RFC 1950, section 9: it is linear in the bytes).

Readers see the same file: the same objects, attributes and values (a test compares both for every
product). What is relied upon of HDF4 is the list of data descriptors at the start of a file (HDF
Specification and Developer's Guide 4.2, chapter 1), and that a compressed layer is one element with
the tag `COMPRESSED`.
"""

import struct
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from smcloud.grids.grid import TILE_PIXELS
from smcloud.simulate.footprints import Ints
from smcloud.simulate.hdf_eos import (
    Array,
    GridProduct,
    Layer,
    TilePixels,
    core_metadata,
    write_grid_file,
)

FEW_PIXELS = TILE_PIXELS * TILE_PIXELS // 100
"""Tiles with fewer known pixels are put together here; the library writes the others."""
COMPRESSED = 40
_NO_ELEMENT = 1
_MAGIC = bytes.fromhex("0e031301")
_NOWHERE = 0xFFFFFFFF
"""Tag of compressed elements, tag of free descriptors, first bytes of a file, and the offset of
elements without data."""
_START = b"\x78\x01"
"""Header of a zlib stream of the fastest level."""
_END = b"\x03\x00"
"""An empty final block."""
_PRIME = 65521
_GREATEST_STORED = 65535


@dataclass(frozen=True)
class _Skeleton:
    """A file without its layers.

    Attributes
    ----------
    data : bytes
    descriptors : tuple of int
        Where offset and length of each stored layer are written, in the order of the layers.
    name, metadata : bytes
        What has to be replaced.
    """

    data: bytes
    descriptors: tuple[int, ...]
    name: bytes
    metadata: bytes


class SparseTile:
    """The files of one product over some pixels of one tile.

    Parameters
    ----------
    product, pixels
        As for `hdf_eos.write_grid_file`.
    """

    def __init__(self, product: GridProduct, pixels: TilePixels) -> None:
        self.product, self.pixels = product, pixels
        self._skeletons: dict[tuple[str, ...], _Skeleton] = {}
        self._runs: dict[tuple[str, int], _Runs] = {}
        factor = product.pixels // TILE_PIXELS
        parts = [divmod(part, factor) for part in range(factor * factor)]
        flat = [
            (pixels.rows * factor + down) * product.pixels + pixels.cols * factor + across
            for down, across in parts
        ]
        self._order = np.argsort(np.stack(flat, 1).ravel(), kind="stable")
        self._flat = np.stack(flat, 1).ravel()[self._order]
        self._parts = len(parts)

    def file(self, start: date, values: Mapping[str, Array]) -> bytes:
        """Return the content of the file of a period; `values` as for `write_grid_file`."""
        stored = [one for one in self.product.layers if one.name in values or one.empty != one.fill]
        skeleton = self._skeleton(start, tuple(sorted(values)), len(stored))
        metadata = core_metadata(self.product, self.pixels.tile, start).encode("latin-1")
        name = self.product.file_name(self.pixels.tile, start).encode()
        data = skeleton.data.replace(skeleton.metadata, metadata).replace(skeleton.name, name)
        if len(data) != len(skeleton.data):
            raise ValueError(f"{name.decode()}: names and dates of a product have one length")
        streams = [self._stream(layer, values.get(layer.name)) for layer in stored]
        head, at = bytearray(data), len(data)
        for place, stream in zip(skeleton.descriptors, streams, strict=True):
            struct.pack_into(">II", head, place, at, len(stream))
            at += len(stream)
        return b"".join([bytes(head), *streams])

    def _skeleton(self, start: date, given: tuple[str, ...], layers: int) -> _Skeleton:
        if given not in self._skeletons:
            nothing = np.empty(0, np.int64)
            empty = replace(self.pixels, rows=nothing, cols=nothing)
            with tempfile.TemporaryDirectory(prefix="smcloud-") as folder:
                values = {name: np.empty(0, np.float32) for name in given}
                path = write_grid_file(Path(folder), self.product, empty, start, values)
                data, descriptors = without_layers(path.read_bytes())
            if len(descriptors) != layers:
                raise ValueError(
                    f"{path.name}: expected {layers} compressed layers, found {len(descriptors)}"
                )
            metadata = core_metadata(self.product, self.pixels.tile, start).encode("latin-1")
            self._skeletons[given] = _Skeleton(data, descriptors, path.name.encode(), metadata)
        return self._skeletons[given]

    def _stream(self, layer: Layer, values: Array | None) -> bytes:
        key = layer.dtype, layer.empty
        if key not in self._runs:
            size = self.product.pixels * self.product.pixels
            self._runs[key] = _Runs.between(self._flat, size, layer)
        if values is None:
            stored = np.full(self._flat.size, layer.empty, layer.dtype)
        else:
            packed = layer.pack(np.asarray(values))
            if packed.ndim == 1:
                packed = np.repeat(packed[:, None], self._parts, axis=1)
            stored = packed.ravel()[self._order]
        return self._runs[key].stream(stored)


@dataclass(frozen=True)
class _Runs:
    """The fill between the known pixels of a layer, compressed.

    Attributes
    ----------
    gaps : tuple of bytes
        Deflate blocks of the fill before, between and after the known runs.
    ends : tuple of int
        Where each known run ends, counted in known bytes.
    weights : int array
        For each known byte how often it counts in the second sum of the checksum.
    fill : int array
        The byte of fill in the place of each known byte.
    sums : (int, int)
        Both sums of the checksum of a layer of fill.
    dtype : dtype
        Of stored values: big-endian.
    """

    gaps: tuple[bytes, ...]
    ends: tuple[int, ...]
    weights: Ints
    fill: Ints
    sums: tuple[int, int]
    dtype: np.dtype[Any]

    @classmethod
    def between(cls, flat: Ints, size: int, layer: Layer) -> "_Runs":
        """Return the runs of a layer of `size` pixels with known pixels `flat`, ascending."""
        dtype = np.dtype(layer.dtype).newbyteorder(">")
        pixel = np.array([layer.empty]).astype(dtype).tobytes()
        last = np.flatnonzero(np.diff(flat) > 1)
        starts, ends = np.append(0, last + 1), np.append(last + 1, flat.size)
        before = np.append(-1, flat[last])
        counts = [*(flat[starts] - before - 1).tolist(), size - int(flat[-1]) - 1]
        place = (flat[:, None] * dtype.itemsize + np.arange(dtype.itemsize)).ravel()
        total = zlib.adler32(pixel * size)
        return cls(
            tuple(_compressed_fill(pixel, count) for count in counts),
            tuple((ends * dtype.itemsize).tolist()),
            size * dtype.itemsize - place,
            np.tile(np.frombuffer(pixel, np.uint8), flat.size).astype(np.int64),
            (total & 0xFFFF, total >> 16),
            dtype,
        )

    def stream(self, stored: Array) -> bytes:
        """Return the zlib stream of the layer with these values at its known pixels."""
        data = stored.astype(self.dtype).tobytes()
        parts, start = [_START], 0
        for gap, end in zip(self.gaps, self.ends, strict=False):
            parts += [gap, *_stored_blocks(data[start:end])]
            start = end
        change = np.frombuffer(data, np.uint8).astype(np.int64) - self.fill
        low = (self.sums[0] + int(change.sum())) % _PRIME
        high = (self.sums[1] + int((change * self.weights).sum())) % _PRIME
        return b"".join([*parts, self.gaps[-1], _END, struct.pack(">HH", high, low)])


@lru_cache(maxsize=4096)
def _compressed_fill(pixel: bytes, count: int) -> bytes:
    """Return deflate blocks of so many equal pixels, ending at a byte, joinable with others."""
    if not count:
        return b""
    # Done once for thousands of files, so the best level: a quarter of the bytes of the fastest.
    deflate = zlib.compressobj(zlib.Z_BEST_COMPRESSION, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflate.compress(pixel * count) + deflate.flush(zlib.Z_FULL_FLUSH)


def _stored_blocks(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _GREATEST_STORED):
        part = data[start : start + _GREATEST_STORED]
        yield struct.pack("<BHH", 0, len(part), len(part) ^ 0xFFFF)
        yield part


def without_layers(data: bytes) -> tuple[bytes, tuple[int, ...]]:
    """Return an HDF4 file without its compressed elements, and where their descriptors point.

    Returns
    -------
    The shortened file, whose other elements have moved up; and for each compressed element, in the
    order in which they were written, the place of its offset (the length follows).
    """
    tables, descriptors = _descriptors(data)
    # Layers that were never written have a descriptor too, but no element.
    layers = sorted((d for d in descriptors if d.is_layer), key=lambda d: d.offset)

    def moved(offset: int) -> int:
        return offset - sum(one.length for one in layers if one.offset < offset)

    changed = bytearray(data)
    for place, following in tables:
        if following:
            struct.pack_into(">I", changed, place, moved(following))
    for one in descriptors:
        if not one.is_layer and one.tag != _NO_ELEMENT and one.offset != _NOWHERE:
            struct.pack_into(">I", changed, one.place, moved(one.offset))
    kept, start = [], 0
    for one in layers:
        kept.append(changed[start : one.offset])
        start = one.offset + one.length
    return b"".join([*kept, changed[start:]]), tuple(moved(one.place) for one in layers)


class _Descriptor(NamedTuple):
    """One data descriptor: the place of its offset in the file, and what it says."""

    place: int
    tag: int
    offset: int
    length: int

    @property
    def is_layer(self) -> bool:
        """Whether it leads to a compressed layer that was written."""
        return self.tag == COMPRESSED and self.offset != _NOWHERE and self.length > 0


def _descriptors(data: bytes) -> tuple[list[tuple[int, int]], list[_Descriptor]]:
    """Return the links between the tables of descriptors (place, target), and all descriptors."""
    links, found, at = [], [], len(_MAGIC)
    if not data.startswith(_MAGIC):
        raise ValueError("no HDF4 file: it starts otherwise")
    while at:
        count, following = struct.unpack_from(">HI", data, at)
        for k in range(count):
            place = at + 6 + 12 * k
            tag, _, offset, length = struct.unpack_from(">HHII", data, place)
            found.append(_Descriptor(place + 4, tag, offset, length))
        links.append((at + 2, following))
        at = following
    return links, found
