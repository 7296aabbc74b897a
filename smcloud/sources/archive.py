"""Members of a zip that lies anywhere, read by ranges and with limits.

A zip is somebody else's data: it may name members outside its folder, hold more of them than a
disk can, or unpack a kilobyte to a terabyte. Names, counts, sizes and ratios are checked before
the first member is read, and what a member yields is counted again while it is read. Nothing is
fetched whole or unpacked to disk: a download of the whole ISMN is one zip of many gigabytes, and
each task wants a few of its members.
"""

import io
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from smcloud.core.errors import GranuleError, UserError
from smcloud.core.objects import Objects, open_objects

MEGABYTE = 1024 * 1024
READ_BYTES = 4 * MEGABYTE
"""Asked of the store at a time: twenty years of one probe are packed in about one megabyte."""
OPEN_ZIPS = 4
"""Zips whose list of members a process keeps: some ten megabytes for the whole ISMN."""


@dataclass(frozen=True)
class ArchiveLimits:
    """How much an archive may hold.

    Attributes
    ----------
    members : int
        Entries in all; the whole ISMN has some 60,000 files.
    member_bytes, total_bytes : int
        Unpacked size of one member and of all.
    ratio : float
        Unpacked over packed size of a member beyond `small_bytes`; station text packs 5 to 40 fold.
    small_bytes : int
        Members up to this size are not asked for their ratio.
    """

    members: int = 500_000
    member_bytes: int = 512 * MEGABYTE
    total_bytes: int = 200 * 1024 * MEGABYTE
    ratio: float = 300.0
    small_bytes: int = MEGABYTE


LIMITS = ArchiveLimits()


@dataclass(frozen=True)
class Zip:
    """A zip in a folder or a bucket, in one version.

    Attributes
    ----------
    url, key : str
        Where it lies.
    size : int
        Bytes.
    version : str
        As a listing has it: differs as soon as the zip has been written again.
    """

    url: str
    key: str
    size: int
    version: str

    @property
    def name(self) -> str:
        """Return the name without folders."""
        return self.key.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Member:
    """One file inside a zip.

    Attributes
    ----------
    name : str
        Path within the zip, with forward slashes.
    size : int
        Unpacked bytes.
    checksum : str
        The CRC-32 that the zip has of it.
    """

    name: str
    size: int
    checksum: str


def list_zip(package: Zip, limits: ArchiveLimits = LIMITS) -> list[Member]:
    """Return the files of a zip, sorted by name, without reading any.

    Raises
    ------
    UserError
        If the zip is unsafe: a member outside its folder or there twice, too many, too large, or
        packed too well to be honest.
    GranuleError
        If it is damaged or locked with a password.
    """
    entries = _opened(package).infolist()
    _check_count(len(entries), package.name, limits)
    files, total, seen = [], 0, set()
    for entry in entries:
        _check_name(entry, package.name)
        if entry.is_dir():
            continue
        if entry.filename in seen:
            raise UserError(f"{package.name} is unsafe: it holds {entry.filename!r} twice")
        seen.add(entry.filename)
        _check_size(entry, package.name, limits)
        _check_ratio(entry, package.name, limits)
        total += entry.file_size
        files.append(Member(entry.filename, entry.file_size, f"{entry.CRC:08x}"))
    if total > limits.total_bytes:
        raise UserError(
            f"{package.name} is unsafe: it unpacks to {total:,} bytes, expected at most "
            f"{limits.total_bytes:,}"
        )
    return sorted(files, key=lambda member: member.name)


def read_member(package: Zip, name: str, size: int) -> bytes:
    """Return the content of one member, whose unpacked size is `size`.

    Raises
    ------
    GranuleError
        If it is not there, cannot be read, or unpacks to another size.
    """
    try:
        with _opened(package).open(name) as file:
            content = file.read(size + 1)
    except KeyError as err:
        raise GranuleError(f"{package.name}: {name} is no longer in it; list it anew") from err
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as err:
        raise GranuleError(f"{package.name}: {name} is damaged: {err}; download it again") from err
    if len(content) != size:
        raise GranuleError(
            f"{package.name}: {name} was declared with {size} bytes and unpacks to "
            f"{'more' if len(content) > size else len(content)}; download it again"
        )
    return content


class _ObjectFile(io.RawIOBase):
    """An object as a file that can be read from any place."""

    def __init__(self, objects: Objects, key: str, size: int) -> None:
        self._objects, self._key, self._size, self._at = objects, key, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError(f"seek to {base + offset}, before the first byte")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self._size - self._at)
        if length <= 0:
            return 0
        data = self._objects.get_range(self._key, self._at, length)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


@lru_cache(maxsize=OPEN_ZIPS)
def _opened(package: Zip) -> zipfile.ZipFile:
    """Return an open zip; its list of 60,000 members is read once in a process."""
    file = _ObjectFile(open_objects(package.url), package.key, package.size)
    try:
        return zipfile.ZipFile(io.BufferedReader(file, READ_BYTES))
    except (OSError, zipfile.BadZipFile, ValueError) as err:
        raise GranuleError(
            f"{package.name}: expected a zip file, found one that is damaged: {err}; "
            "download it again"
        ) from err


def _check_name(entry: zipfile.ZipInfo, archive: str) -> None:
    name = entry.orig_filename
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or ".." in parts or name.startswith(("/", "\\")) or ":" in parts[0]:
        raise UserError(
            f"{archive} is unsafe: its member {name!r} lies outside its folder; "
            "expected relative paths without '..'"
        )
    if entry.flag_bits & 1:
        raise GranuleError(f"{archive}: member {name!r} is locked with a password")


def _check_count(count: int, archive: str, limits: ArchiveLimits) -> None:
    if count > limits.members:
        raise UserError(
            f"{archive} is unsafe: it holds more than the {limits.members:,} files expected"
        )


def _check_size(entry: zipfile.ZipInfo, archive: str, limits: ArchiveLimits) -> None:
    if entry.file_size > limits.member_bytes:
        raise UserError(
            f"{archive} is unsafe: its member {entry.filename!r} has {entry.file_size:,} "
            f"bytes, expected at most {limits.member_bytes:,}"
        )


def _check_ratio(entry: zipfile.ZipInfo, archive: str, limits: ArchiveLimits) -> None:
    ratio = entry.file_size / max(entry.compress_size, 1)
    if entry.file_size > limits.small_bytes and ratio > limits.ratio:
        raise UserError(
            f"{archive} is unsafe: its member {entry.filename!r} unpacks {ratio:,.0f} fold, "
            f"expected at most {limits.ratio:,.0f} fold"
        )
