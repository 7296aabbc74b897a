"""The bytes of an HDF5 file that are looked at before the library trusts them.

A file that was cut off says how long it should be, and a wrong byte in a global heap, where text of
variable length lies, can keep the HDF5 library in a loop for ever. Layouts: HDF5 File Format
Specification 3.0, II.A (superblock) and III.E (global heap).
"""

import mmap
import struct
from pathlib import Path

from smcloud.core.errors import GranuleError
from smcloud.sources.hdf_eos import damaged

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
SUPERBLOCK_BYTES = 64
"""Enough of any version up to the address of the end of the file."""
_ADDRESS_BYTES = 8
_HEAP = b"GCOL\x01\x00\x00\x00"
"""Signature and version of a global heap, and what is reserved after them."""
_HEAP_HEADER_BYTES = _OBJECT_HEADER_BYTES = 16


def check_superblock(path: Path) -> None:
    """Raise `GranuleError` unless a file is HDF5 and as long as it says.

    Longer ones are read: writers that were stopped leave bytes behind the end, which mean nothing.
    """
    with path.open("rb") as file:
        head = file.read(SUPERBLOCK_BYTES)
    if not head.startswith(HDF5_MAGIC):
        found = f"bytes that begin {head[:8]!r}" if head else "an empty file"
        raise GranuleError(f"{path.name}: expected HDF5, found {found}")
    if len(head) < SUPERBLOCK_BYTES:
        raise damaged(path, f"it is cut off after {len(head)} bytes")
    version = head[8]
    # Sizes of an address and of a length, and where the addresses begin.
    sizes, first = (head[13:15], 24) if version < 2 else (head[9:11], 12)
    first += 4 * (version == 1)
    if version > 3 or set(sizes) != {_ADDRESS_BYTES}:
        raise damaged(path, "its first bytes are no superblock of HDF5")
    (end,) = struct.unpack_from("<Q", head, first + 2 * _ADDRESS_BYTES)
    size = path.stat().st_size
    if size < end:
        raise damaged(path, f"it is cut off, {size:,} of {end:,} bytes are there")


def check_heaps(path: Path) -> None:
    """Raise `GranuleError` unless the objects of each global heap follow each other to its end.

    The library steps from object to object by sizes that it does not check: one of zero bytes
    keeps it where it is.
    """
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image,
    ):
        at = image.find(_HEAP)
        while at >= 0:
            _check_heap(image, at, path)
            at = image.find(_HEAP, at + len(_HEAP))


def _check_heap(image: mmap.mmap, start: int, path: Path) -> None:
    header = image[start : start + _HEAP_HEADER_BYTES]
    end = start + int.from_bytes(header[len(_HEAP) :], "little")
    at = start + _HEAP_HEADER_BYTES
    if not at <= end <= len(image):
        raise damaged(path, f"the text heap at byte {start} has no such size")
    # Fewer bytes than a header are left over and belong to nobody.
    while at + _OBJECT_HEADER_BYTES <= end:
        index, length = struct.unpack_from("<H6xQ", image, at)
        # Object 0 is what is free; its size counts its header.
        step = length if index == 0 else _OBJECT_HEADER_BYTES + -(-length // 8) * 8
        if not _OBJECT_HEADER_BYTES <= step <= end - at:
            raise damaged(path, f"the text heap at byte {start} has an object of no such size")
        at += step
