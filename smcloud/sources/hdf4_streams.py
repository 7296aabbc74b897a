"""Layers of HDF4 files that are one deflate stream, inflated without the library.

The library inflates such a layer through a buffer of its own and looks at no checksum. Layers that
are stored otherwise, in chunks above all, are left to it. Objects: HDF Specification and
Developer's Guide 4.2, chapters 2 (descriptors), 9 (numeric data groups) and 10 (extended tags).
"""

import struct
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smcloud.sources.inflate import inflate

HDF4_MAGIC = b"\x0e\x03\x13\x01"
DESCRIPTOR_BYTES = 12
NO_DATA_LENGTH = 0xFFFFFFFF
"""Offset and length of a descriptor that points at nothing yet."""
DATA, GROUP, STREAM = 702, 720, 40
"""Tags of a layer's data, of the group that a layer is, and of compressed bytes."""
EXTENDED = 0x4000
"""Bit of a tag whose element says how the data are stored."""
COMPRESSED, PLAIN_MODEL, DEFLATE = 3, 0, 4
_EXTENSION = struct.Struct(">HHIHHH")
"""Kind of extension, version, bytes when inflated, reference of the stream, model, coder."""
_TYPES = {20: ">i1", 21: ">u1", 22: ">i2", 23: ">u2", 24: ">i4", 25: ">u4"}
"""Number types of HDF4 as they are stored."""

Place = tuple[int, int]


class Streams:
    """The deflate streams of a file that is complete (`hdf_eos.check_complete`)."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def layer(self, layer: Any) -> NDArray[Any] | None:
        """Return the values of an open layer of pyhdf; None where the library has to read it.

        Raises
        ------
        ValueError
            If its stream is damaged.
        """
        _, _, shape, number, _ = layer.info()
        stored = _TYPES.get(number)
        if stored is None or np.ndim(shape) == 0:
            return None
        dtype = np.dtype(stored)
        size = int(np.prod(shape)) * dtype.itemsize
        stream = self._stream(layer.ref(), size)
        if stream is None:
            return None
        values = inflate(stream, size).view(dtype).reshape(shape)
        return values.astype(dtype.newbyteorder("="))

    def _stream(self, group: int, size: int) -> bytes | None:
        """Return the stream of a layer by its reference; None unless it is one of this size."""
        members = self._element((GROUP, group)) or b""
        pairs = [struct.unpack_from(">HH", members, at) for at in range(0, len(members) - 3, 4)]
        data = next((reference for tag, reference in pairs if tag == DATA), None)
        header = None if data is None else self._element((DATA | EXTENDED, data))
        if header is None or len(header) < _EXTENSION.size:
            return None
        kind, _, length, stream, model, coder = _EXTENSION.unpack_from(header)
        if (kind, model, coder, length) != (COMPRESSED, PLAIN_MODEL, DEFLATE, size):
            return None
        return self._element((STREAM, stream))

    def _element(self, name: Place) -> bytes | None:
        """Return the bytes of an element by tag and reference; None where there are none."""
        place = self._places.get(name)
        if place is None or NO_DATA_LENGTH in place:
            return None
        with self._path.open("rb") as file:
            file.seek(place[0])
            return file.read(place[1])

    @cached_property
    def _places(self) -> dict[Place, Place]:
        """Return offset and length of every element by tag and reference."""
        places: dict[Place, Place] = {}
        wanted = (GROUP, DATA | EXTENDED, STREAM)
        with self._path.open("rb") as file:
            following = len(HDF4_MAGIC)
            while following:
                file.seek(following)
                count, following = struct.unpack(">HI", file.read(6))
                block = file.read(count * DESCRIPTOR_BYTES)
                for tag, reference, at, size in struct.iter_unpack(">HHII", block):
                    if tag in wanted:
                        places[tag, reference] = at, size
        return places
