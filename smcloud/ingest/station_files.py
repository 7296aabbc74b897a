"""Finding and reading the files of a station archive: a folder, a zip, or a folder of zips."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import PurePosixPath

from smcloud.core.errors import GranuleError, NotFoundError, UserError
from smcloud.core.objects import open_objects
from smcloud.ingest.receipts import BadGranule
from smcloud.ingest.stations import Sensor, StationRules, daily_means
from smcloud.sources.archive import Member, open_archive
from smcloud.sources.ismn import (
    SOIL_MOISTURE,
    StaticValue,
    read_static,
    read_stm,
    variable_of,
)

log = logging.getLogger(__name__)

SERIES, STATIC_VARIABLES, ZIP = ".stm", "static_variables.csv", ".zip"
STATIONS_A_TASK = 8
TASKS_A_ZIP = 8
"""A task fetches its whole zip when that lies in a bucket, so a zip is cut into few tasks."""


@dataclass(frozen=True)
class StationFiles:
    """The files of some stations: the arguments of one task.

    Attributes
    ----------
    url : str
        Folder that the names, or the zip, lie in.
    archive : str
        Name of the zip; empty for plain files.
    names : tuple of str
        Series and static variables, with their folders.
    """

    url: str
    archive: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class FoundFiles:
    """What an archive holds.

    Attributes
    ----------
    tasks : tuple of StationFiles
    others : tuple of str
        Files that are neither series nor static variables; nobody reads them.
    broken : tuple of BadGranule
        Zips that cannot be opened.
    """

    tasks: tuple[StationFiles, ...]
    others: tuple[str, ...]
    broken: tuple[BadGranule, ...]


@dataclass(frozen=True)
class StationsRead:
    """What one task made of its files.

    Attributes
    ----------
    sensors : tuple of Sensor
    broken : tuple of BadGranule
        Files that are malformed, and why.
    other_variables : int
        Series of soil temperature, rain and so on, left alone.
    """

    sensors: tuple[Sensor, ...]
    broken: tuple[BadGranule, ...]
    other_variables: int


def find_station_files(url: str) -> FoundFiles:
    """Return the tasks of a station archive: a folder, a zip, or a folder that holds zips.

    Raises
    ------
    NotFoundError
        If nothing lies there.
    UserError
        If a zip is unsafe, or there is no series (the message says what was found).
    """
    tasks: list[StationFiles] = []
    others: list[str] = []
    broken: list[BadGranule] = []
    if url.lower().endswith(ZIP):
        url, archive = url.rsplit("/", 1) if "/" in url else (".", url)
        plain, zips = [], [archive]
    else:
        keys = [info.key for info in open_objects(url).list()]
        plain = [key for key in keys if not key.lower().endswith(ZIP)]
        zips = [key for key in keys if key.lower().endswith(ZIP)]
    tasks += _cut(url, "", plain, others)
    for archive in zips:
        try:
            with open_objects(url).fetch(archive) as path:
                members = [member.name for member in open_archive(path)]
        except GranuleError as err:
            broken.append(BadGranule(archive, str(err)))
            continue
        tasks += _cut(url, archive, members, others)
    if not tasks:
        _refuse_empty(url, others, broken)
    return FoundFiles(tuple(tasks), tuple(sorted(others)), tuple(broken))


def _refuse_empty(url: str, others: Sequence[str], broken: Sequence[BadGranule]) -> None:
    if broken:
        raise UserError(f"no station series below {url}: {broken[0]}")
    if others:
        raise UserError(
            f"no station series (*{SERIES}) below {url}: found {len(others)} other files, "
            f"such as {others[0]}"
        )
    raise NotFoundError(
        f"nothing lies below {url}: the folder or bucket is absent or empty; "
        "give the folder or zip of an ISMN download"
    )


def _cut(url: str, archive: str, names: Sequence[str], others: list[str]) -> list[StationFiles]:
    """Return tasks of whole station folders; names that nobody reads are added to `others`."""
    folders: dict[str, list[str]] = {}
    for name in sorted(names):
        if name.lower().endswith((SERIES, STATIC_VARIABLES)):
            folders.setdefault(str(PurePosixPath(name).parent), []).append(name)
        else:
            others.append(name)
    held = [files for files in folders.values() if any(map(_is_series, files))]
    size = max(STATIONS_A_TASK, -(-len(held) // TASKS_A_ZIP) if archive else 0)
    return [
        StationFiles(url, archive, tuple(name for files in held[at : at + size] for name in files))
        for at in range(0, len(held), size)
    ]


def _is_series(name: str) -> bool:
    return name.lower().endswith(SERIES)


def read_station_files(task: StationFiles, rules: StationRules) -> StationsRead:
    """Return the daily means of every soil moisture probe in the task's files.

    Files that are malformed are named in the result; the others are read all the same.
    """
    sensors: list[Sensor] = []
    broken: list[BadGranule] = []
    left_alone = 0
    with _contents(task) as contents:
        static = _static_by_folder(task, contents, broken)
        for name in filter(_is_series, task.names):
            if variable_of(name) not in ("", SOIL_MOISTURE):
                left_alone += 1
                continue
            try:
                found = static.get(str(PurePosixPath(name).parent), {})
                sensors.append(_sensor(contents.read(name), name, found, rules))
            except (GranuleError, NotFoundError) as err:
                log.info("left out %s: %s", name, err)
                broken.append(BadGranule(name, str(err)))
    return StationsRead(tuple(sensors), tuple(broken), left_alone)


@dataclass(frozen=True)
class _Contents:
    """Reads files by name, from a zip on disk or from objects."""

    url: str
    members: Mapping[str, Member] | None = None

    def read(self, name: str) -> bytes:
        if self.members is None:
            return open_objects(self.url).get(name)
        member = self.members.get(name)
        if member is None:
            raise GranuleError(f"{name}: it was in the archive when that was listed, now it is not")
        return member.read()


@contextmanager
def _contents(task: StationFiles) -> Iterator[_Contents]:
    if not task.archive:
        yield _Contents(task.url)
        return
    with open_objects(task.url).fetch(task.archive) as path:
        yield _Contents(task.url, {member.name: member for member in open_archive(path)})


def _static_by_folder(
    task: StationFiles, contents: _Contents, broken: list[BadGranule]
) -> dict[str, dict[str, str]]:
    """Return the static variables of each station folder that has them."""
    found = {}
    for name in task.names:
        if not _is_series(name):
            try:
                rows = read_static(contents.read(name), name)
            except (GranuleError, NotFoundError) as err:
                broken.append(BadGranule(name, str(err)))
                continue
            found[str(PurePosixPath(name).parent)] = {_column(row): row.value for row in rows}
    return found


def _column(row: StaticValue) -> str:
    """Return the column of a static variable, ``clay_fraction_0.00_0.30_hwsd``."""
    depth = f" {row.depth_from:.2f} {row.depth_to:.2f}" if isfinite(row.depth_to) else ""
    return re.sub(r"[^a-z0-9.]+", "_", f"{row.name}{depth} {row.source}".lower()).strip("_")


def _sensor(content: bytes, name: str, static: Mapping[str, str], rules: StationRules) -> Sensor:
    found = read_stm(content, name)
    return Sensor(
        network=found.network,
        station=found.station,
        sensor=found.sensor,
        latitude=found.latitude,
        longitude=found.longitude,
        elevation=found.elevation,
        depth_from=found.depth_from,
        depth_to=found.depth_to,
        values=int(found.times.size),
        series=daily_means(found.times, found.values, found.flags, rules),
        static=static,
        file=name,
    )
