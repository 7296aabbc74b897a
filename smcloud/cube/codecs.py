"""How an inner chunk becomes bytes and back: zarr's codecs, called on whole chunks.

zarr-python runs each codec of each chunk through its event loop and a pool of threads. A block
reads hundreds of chunks whole, so here the same implementations (numcodecs, google-crc32c) are
called directly: on the thread of the caller, without the GIL while they work.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import google_crc32c
import numpy as np
from numcodecs import Blosc, Zstd
from zarr.abc.codec import BytesBytesCodec, Codec
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, ZstdCodec

from smcloud.core.errors import CubeError
from smcloud.cube.schema import Array

CRC_BYTES = 4
COMPRESSORS: Mapping[str, tuple[BytesBytesCodec, ...]] = {
    "lz4": (BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"), Crc32cCodec()),
    "zstd": (ZstdCodec(level=1, checksum=True),),
}
"""What a schema may name: fast to read, or small. Both end in a checksum of the chunk.

Figures and reasons are in docs/design/stores.md. A reader takes the codecs from the store, so this
may change without making older stores unreadable."""
_SHUFFLES = {"noshuffle": Blosc.NOSHUFFLE, "shuffle": Blosc.SHUFFLE, "bitshuffle": Blosc.BITSHUFFLE}


class BytesStep(Protocol):
    """One codec from bytes to bytes."""

    def encode(self, buf: Any) -> Any:
        """Return the encoded bytes of a buffer."""

    def decode(self, buf: Any) -> Any:
        """Return the bytes that were encoded; ValueError or RuntimeError if they are damaged."""


class Crc32c:
    """The crc32c codec of Zarr: four little-endian bytes after the data."""

    def encode(self, buf: Any) -> bytes:
        """Return the data followed by their checksum."""
        data = _bytes_of(buf)
        return b"".join((data, google_crc32c.value(data).to_bytes(CRC_BYTES, "little")))

    def decode(self, buf: Any) -> Array:
        """Return the data after comparing their checksum; ValueError if it differs."""
        data: Array = _bytes_of(buf)
        stored = int.from_bytes(data[-CRC_BYTES:].tobytes(), "little")
        if len(data) < CRC_BYTES or google_crc32c.value(data[:-CRC_BYTES]) != stored:
            raise ValueError("the checksum of the bytes is not the one stored with them")
        return data[:-CRC_BYTES]


def _bytes_of(buf: Any) -> Any:
    """Return a view of a buffer as an array of bytes; google-crc32c refuses memoryviews."""
    return np.frombuffer(buf, np.uint8)


def _blosc(codec: BloscCodec) -> Blosc:
    return Blosc(
        codec.cname.value,
        codec.clevel,
        _SHUFFLES[codec.shuffle.value],
        codec.blocksize,
        typesize=codec.typesize,
    )


_STEPS: Mapping[type[Codec], Callable[[Any], BytesStep]] = {
    ZstdCodec: lambda codec: Zstd(codec.level, codec.checksum),
    BloscCodec: _blosc,
    Crc32cCodec: lambda _: Crc32c(),
}


@dataclass(frozen=True)
class ChunkCodec:
    """The codecs of one array's inner chunks.

    Attributes
    ----------
    shape : (steps, rows, cols)
        Of every chunk, those at the array's end too.
    dtype : numpy dtype
        As stored, byte order included.
    steps : tuple
        From bytes to bytes, in the order of encoding.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    steps: tuple[BytesStep, ...]

    @property
    def nbytes(self) -> int:
        """Return the bytes of a decoded chunk."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def encode(self, values: Array) -> bytes:
        """Return the bytes of one whole chunk."""
        data: Any = np.ascontiguousarray(values, self.dtype)
        for step in self.steps:
            data = step.encode(data)
        return bytes(data)

    def decode(self, data: memoryview) -> Array:
        """Return one whole chunk; read only.

        Raises
        ------
        CubeError
            If the bytes are damaged: every chunk has a checksum.
        """
        try:
            found: Any = data
            for step in reversed(self.steps):
                found = step.decode(found)
            flat = np.frombuffer(found, self.dtype)
            return flat.reshape(self.shape)
        except (ValueError, RuntimeError, MemoryError) as err:
            raise CubeError(f"a chunk of {len(data)} bytes cannot be decoded ({err})") from err


def chunk_codec(
    shape: tuple[int, int, int], dtype: np.dtype[Any], codecs: Iterable[Codec]
) -> ChunkCodec | None:
    """Return the codecs of an array's inner chunks; None if one of them is not known here."""
    to_bytes, *rest = codecs
    if not isinstance(to_bytes, BytesCodec) or any(type(codec) not in _STEPS for codec in rest):
        return None
    is_big = getattr(to_bytes.endian, "value", "") == "big"
    steps = tuple(_STEPS[type(codec)](codec) for codec in rest)
    return ChunkCodec(shape, dtype.newbyteorder(">" if is_big else "<"), steps)
