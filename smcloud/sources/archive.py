"""Members of a folder or a zip, read with limits: an archive is somebody else's data.

A zip may name members outside its folder, hold more of them than a disk can, or unpack a kilobyte
to a terabyte. Nothing is unpacked to disk; names, counts, sizes and ratios are checked before the
first byte is read, and what a member yields is counted again while it is read.
"""

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from smcloud.core.errors import GranuleError, UserError

MEGABYTE = 1024 * 1024


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
class Member:
    """One file inside a folder or a zip.

    Attributes
    ----------
    archive : Path
        The folder or zip.
    name : str
        Path within it, with forward slashes.
    size : int
        Unpacked bytes.
    """

    archive: Path
    name: str
    size: int

    @property
    def file_name(self) -> str:
        """Return the name without folders."""
        return PurePosixPath(self.name).name

    def read(self) -> bytes:
        """Return the content.

        Raises
        ------
        GranuleError
            If it cannot be read, or unpacks to more than the archive declared.
        """
        try:
            if self.archive.is_dir():
                return (self.archive / self.name).read_bytes()
            with _package(*_version(self.archive)).open(self.name) as file:
                content = file.read(self.size + 1)
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as err:
            raise GranuleError(
                f"{self.archive.name}: {self.name} is damaged: {err}; download it again"
            ) from err
        if len(content) != self.size:
            raise GranuleError(
                f"{self.archive.name}: {self.name} was declared with {self.size} bytes and unpacks "
                f"to {'more' if len(content) > self.size else len(content)}; download it again"
            )
        return content


def _version(path: Path) -> tuple[Path, int, int]:
    """Return the path and what changes when the file does."""
    state = path.stat()
    return path, state.st_size, state.st_mtime_ns


@lru_cache(maxsize=2)
def _package(path: Path, size: int, changed_ns: int) -> zipfile.ZipFile:
    """Return an open zip; reading the list of 60,000 members anew for each would take hours."""
    del size, changed_ns
    return zipfile.ZipFile(path)


def open_archive(
    path: Path, *, suffixes: tuple[str, ...] = (), limits: ArchiveLimits = LIMITS
) -> list[Member]:
    """Return the files of a folder or zip, sorted by name, without reading any.

    Parameters
    ----------
    path
        A folder, or a file that is a zip.
    suffixes
        Endings (".stm") of the files wanted; empty for all. Limits count every member.
    limits
        What the archive may hold.

    Raises
    ------
    UserError
        If there is nothing at `path`, or a zip is unsafe: a member outside its folder, too many,
        too large, or packed too well to be honest.
    GranuleError
        If the zip is damaged or locked with a password.
    """
    if path.is_dir():
        members = _folder_members(path, limits)
    elif path.is_file():
        members = _zip_members(path, limits)
    else:
        raise UserError(f"{path}: expected a folder or a zip file, found nothing; check the path")
    wanted = [m for m in members if not suffixes or m.name.lower().endswith(suffixes)]
    return sorted(wanted, key=lambda member: member.name)


def _folder_members(folder: Path, limits: ArchiveLimits) -> list[Member]:
    """Return the files below a folder; links are left alone, so nothing outside is read."""
    members = []
    for file in _walk(folder):
        members.append(Member(folder, file.relative_to(folder).as_posix(), file.stat().st_size))
        _check_count(len(members), folder, limits)
        _check_size(members[-1], limits)
    return members


def _walk(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.is_symlink():
            continue
        if entry.is_dir():
            yield from _walk(entry)
        elif entry.is_file():
            yield entry


def _zip_members(path: Path, limits: ArchiveLimits) -> list[Member]:
    try:
        with zipfile.ZipFile(path) as package:
            entries = package.infolist()
    except (OSError, zipfile.BadZipFile, ValueError) as err:
        raise GranuleError(
            f"{path.name}: expected a zip file, found one that is damaged: {err}; download it again"
        ) from err
    _check_count(len(entries), path, limits)
    members, total, seen = [], 0, set()
    for entry in entries:
        _check_name(entry, path)
        if entry.is_dir():
            continue
        if entry.filename in seen:
            raise UserError(f"{path.name} is unsafe: it holds {entry.filename!r} twice")
        seen.add(entry.filename)
        member = Member(path, entry.filename, entry.file_size)
        _check_size(member, limits)
        _check_ratio(entry, path, limits)
        total += entry.file_size
        members.append(member)
    if total > limits.total_bytes:
        raise UserError(
            f"{path.name} is unsafe: it unpacks to {total:,} bytes, expected at most "
            f"{limits.total_bytes:,}"
        )
    return members


def _check_name(entry: zipfile.ZipInfo, path: Path) -> None:
    name = entry.orig_filename
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or ".." in parts or name.startswith(("/", "\\")) or ":" in parts[0]:
        raise UserError(
            f"{path.name} is unsafe: its member {name!r} lies outside its folder; "
            "expected relative paths without '..'"
        )
    if entry.flag_bits & 1:
        raise GranuleError(f"{path.name}: member {name!r} is locked with a password")


def _check_count(count: int, path: Path, limits: ArchiveLimits) -> None:
    if count > limits.members:
        raise UserError(
            f"{path.name} is unsafe: it holds more than the {limits.members:,} files expected"
        )


def _check_size(member: Member, limits: ArchiveLimits) -> None:
    if member.size > limits.member_bytes:
        raise UserError(
            f"{member.archive.name} is unsafe: its member {member.name!r} has {member.size:,} "
            f"bytes, expected at most {limits.member_bytes:,}"
        )


def _check_ratio(entry: zipfile.ZipInfo, path: Path, limits: ArchiveLimits) -> None:
    ratio = entry.file_size / max(entry.compress_size, 1)
    if entry.file_size > limits.small_bytes and ratio > limits.ratio:
        raise UserError(
            f"{path.name} is unsafe: its member {entry.filename!r} unpacks {ratio:,.0f} fold, "
            f"expected at most {limits.ratio:,.0f} fold"
        )
