"""Finding and reading the files of a station archive: a folder, a zip, or a folder of zips."""

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import PurePosixPath

from smcloud.core.errors import GranuleError, NotFoundError, UserError
from smcloud.core.objects import ObjectInfo, open_objects
from smcloud.ingest.daily_means import StationRules, daily_means
from smcloud.ingest.receipts import BadGranule
from smcloud.ingest.stations import Sensor
from smcloud.sources.archive import LIMITS, Zip, list_zip, read_member
from smcloud.sources.ismn import (
    SOIL_MOISTURE,
    StaticValue,
    StationSeries,
    read_static,
    read_stm,
    site_of,
    variable_of,
)
from smcloud.sources.station_csv import PRECIPITATION, csv_variable, read_station_csv

log = logging.getLogger(__name__)

SERIES, STATIC_VARIABLES, ZIP = ".stm", "static_variables.csv", ".zip"
STATIONS_A_TASK = 8
BYTES_A_TASK = 64 * 1024 * 1024
"""Text that one task reads, about a second's work; a station is never cut."""
FORMAT = 2
"""Of what a task makes of its files: another number makes every task run again."""


@dataclass(frozen=True)
class StationFile:
    """One file of an archive, plain or inside a zip.

    Attributes
    ----------
    name : str
        With its folders, below the archive's URL or within the zip.
    size : int
        Bytes, unpacked.
    version : str
        Differs as soon as the content does.
    archive : Zip, optional
        The zip that holds it.
    """

    name: str
    size: int
    version: str
    archive: Zip | None = None

    @property
    def folder(self) -> tuple[str, str]:
        """Return the zip's name, empty for none, and the folder in it."""
        return self.archive.key if self.archive else "", str(PurePosixPath(self.name).parent)


@dataclass(frozen=True)
class StationFiles:
    """Some stations' series of soil moisture: the argument of one task.

    Attributes
    ----------
    url : str
        The archive, or the folder of its zip.
    series : tuple of (StationFile, StationFile | None)
        Each series with the static variables of its station, if there are any.
    """

    url: str
    series: tuple[tuple[StationFile, StationFile | None], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the series."""
        return tuple(series.name for series, _ in self.series)

    def input_hash(self, rules: StationRules) -> str:
        """Return the sha256 of all that the task's output depends on."""
        files = [
            [[one.name, one.size, one.version] if one else None for one in pair]
            for pair in self.series
        ]
        inputs = {"format": FORMAT, "rules": asdict(rules), "files": files}
        return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class RainFile:
    """A file of precipitation: the argument of one task.

    Attributes
    ----------
    url : str
        The archive, or the folder of its zip.
    file : StationFile
    """

    url: str
    file: StationFile

    @property
    def input_hash(self) -> str:
        """Return the sha256 of all that the task's output depends on."""
        inputs = [FORMAT, self.file.name, self.file.size, self.file.version]
        return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()

    def content(self) -> bytes:
        """Return the bytes of the file."""
        return _content(self.url, self.file)


@dataclass(frozen=True)
class FoundFiles:
    """What an archive holds.

    Attributes
    ----------
    tasks : tuple of StationFiles
        By network and station; the same whether the files are plain or in zips.
    rain : tuple of RainFile
        By name.
    others : tuple of str
        Files that are no series, static variables or rain; nobody reads them.
    other_variables : int
        Series of soil temperature, rain and so on, left alone.
    broken : tuple of BadGranule
        Zips that cannot be opened, zips within zips, and files too large to be a series.
    """

    tasks: tuple[StationFiles, ...]
    rain: tuple[RainFile, ...]
    others: tuple[str, ...]
    other_variables: int
    broken: tuple[BadGranule, ...]


@dataclass(frozen=True)
class StationsRead:
    """What one task made of its files.

    Attributes
    ----------
    sensors : tuple of Sensor
    broken : tuple of BadGranule
        Files that are malformed, and why.
    """

    sensors: tuple[Sensor, ...]
    broken: tuple[BadGranule, ...]


def find_station_files(url: str) -> FoundFiles:
    """Return the tasks of a station archive: a folder, a zip, or a folder that holds zips.

    Files are put together by the network and the station that their names say, wherever they lie:
    a download may be split by year into several zips.

    Raises
    ------
    NotFoundError
        If nothing lies there.
    UserError
        If a zip is unsafe, or there is no series of soil moisture and no precipitation (the message
        says what was found).
    """
    given = url
    url, files, broken = _archive(given)
    series = [file for file in files if file.name.lower().endswith(SERIES)]
    wanted = [file for file in series if variable_of(file.name) in ("", SOIL_MOISTURE)]
    plain = [file for file in files if csv_variable(file.name) == SOIL_MOISTURE]
    wanted, series = [*wanted, *plain], [*series, *plain]
    rain = [file for file in files if csv_variable(file.name) == PRECIPITATION]
    static = [file for file in files if file.name.lower().endswith(STATIC_VARIABLES)]
    named = {file.name for file in (*series, *static, *rain)}
    others = sorted({file.name for file in files} - named)
    if not wanted and not rain:
        _refuse_empty(given, len(series), others, broken)
    tasks = tuple(StationFiles(url, group) for group in _cut(_with_static(wanted, static)))
    gauges = (RainFile(url, file) for file in sorted(rain, key=lambda one: (one.name, one.folder)))
    other_variables = len(series) - len(wanted)
    return FoundFiles(tasks, tuple(gauges), tuple(others), other_variables, tuple(broken))


def series_of(url: str, variable: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of each series of a variable in an archive, by network and station.

    Parameters
    ----------
    url
        As of `find_station_files`.
    variable
        ISMN's word, such as ``ts`` of soil temperature.

    Raises
    ------
    NotFoundError
        If nothing lies there, or no series of the variable.
    """
    base, files, _ = _archive(url)
    wanted = [file for file in files if variable_of(file.name) == variable]
    if not wanted:
        raise NotFoundError(
            f"no series of {variable} (*_{variable}_*{SERIES}) below {url}: found {len(files)} "
            "other files; give the folder or zip of an ISMN download with that variable"
        )
    for file in sorted(wanted, key=lambda one: (one.name, one.folder)):
        yield file.name, _content(base, file)


def _archive(url: str) -> tuple[str, list[StationFile], list[BadGranule]]:
    """Return where the files of an archive lie, the files, and what cannot be one."""
    if url.lower().endswith(ZIP):
        url, name = url.rsplit("/", 1) if "/" in url else (".", url)
        infos = [open_objects(url).head(name)]
    else:
        infos = open_objects(url).list()
    return url, *_files(url, infos)


def _files(url: str, infos: Iterable[ObjectInfo]) -> tuple[list[StationFile], list[BadGranule]]:
    """Return the files that lie below `url` or in zips there, and what cannot be one."""
    files: list[StationFile] = []
    broken: list[BadGranule] = []
    for info in infos:
        version = info.etag or info.modified.isoformat()
        if info.key.lower().endswith(ZIP):
            package = Zip(url, info.key, info.size, version)
            try:
                members = list_zip(package)
            except GranuleError as err:
                broken.append(BadGranule(info.key, str(err)))
                continue
            files += [StationFile(m.name, m.size, m.checksum, package) for m in members]
        else:
            files.append(StationFile(info.key, info.size, version))
    inner = [file for file in files if file.archive and file.name.lower().endswith(ZIP)]
    broken += [
        BadGranule(
            f"{file.folder[0]}/{file.name}",
            "expected station files, found a zip inside a zip: unpack it beside the other",
        )
        for file in inner
    ]
    large = [file for file in files if file.size > LIMITS.member_bytes and file not in inner]
    broken += [
        BadGranule(file.name, f"has {file.size:,} bytes, expected at most {LIMITS.member_bytes:,}")
        for file in large
    ]
    left_out = {*inner, *large}
    return [file for file in files if file not in left_out], broken


def _refuse_empty(
    url: str, other_variables: int, others: Sequence[str], broken: Sequence[BadGranule]
) -> None:
    if broken:
        raise UserError(f"no station series below {url}: {broken[0]}")
    if other_variables:
        raise UserError(
            f"no soil moisture series below {url} can be used: 0 files are malformed, "
            f"{other_variables} hold other variables"
        )
    if others:
        raise UserError(
            f"no station series (*{SERIES} or *soil_moisture.csv) below {url}: found "
            f"{len(others)} other files, such as {others[0]}"
        )
    raise NotFoundError(
        f"nothing lies below {url}: the folder or bucket is absent or empty, or the zip is; "
        "give the folder or zip of an ISMN download, or one with *soil_moisture.csv or "
        "*precipitation.csv"
    )


Pair = tuple[StationFile, StationFile | None]


def _with_static(series: Iterable[StationFile], static: Iterable[StationFile]) -> list[Pair]:
    """Return each series with the static variables of its station.

    These name the same station, in the same folder if they are there several times; of another
    name, they must be the only ones in the folder.
    """
    by_site: dict[str, list[StationFile]] = {}
    by_folder: dict[tuple[str, str], list[StationFile]] = {}
    for file in sorted(static, key=lambda file: (file.name, file.folder)):
        by_site.setdefault(site_of(file.name), []).append(file)
        by_folder.setdefault(file.folder, []).append(file)

    def of(one: StationFile) -> StationFile | None:
        site, near = site_of(one.name), by_folder.get(one.folder, [])
        named = by_site.get(site, []) if site else []
        if not named:
            return near[0] if len(near) == 1 else None
        return next((file for file in named if file.folder == one.folder), named[0])

    return [(one, of(one)) for one in series]


def _cut(pairs: Iterable[Pair]) -> Iterator[tuple[Pair, ...]]:
    """Yield whole stations, several of one network while they are few and small.

    Where files lie makes no difference, but for files whose names say no station.
    """
    sites: dict[str, list[Pair]] = {}
    for pair in sorted(pairs, key=lambda pair: (pair[0].name, pair[0].folder)):
        sites.setdefault(site_of(pair[0].name) or "/".join(pair[0].folder), []).append(pair)
    held: list[Pair] = []
    stations, network = 0, ""
    for site, files in sorted(sites.items()):
        size = sum(series.size for series, _ in (*held, *files))
        is_full = stations == STATIONS_A_TASK or size > BYTES_A_TASK
        if held and (is_full or site.partition("/")[0] != network):
            yield tuple(held)
            held, stations = [], 0
        held += files
        stations, network = stations + 1, site.partition("/")[0]
    if held:
        yield tuple(held)


def read_station_files(task: StationFiles, rules: StationRules) -> StationsRead:
    """Return the daily means of every soil moisture probe in the task's files.

    One file is held at a time. Files that are malformed are named in the result; the others are
    read all the same.
    """
    sensors: list[Sensor] = []
    broken: list[BadGranule] = []
    static = _static_columns(task, broken)
    for series, variables in task.series:
        found = static.get(variables, {}) if variables else {}
        try:
            sensors += _sensors(_content(task.url, series), series.name, found, rules)
        except (GranuleError, NotFoundError) as err:
            log.info("left out %s: %s", series.name, err)
            broken.append(BadGranule(series.name, str(err)))
    return StationsRead(tuple(sensors), tuple(broken))


def _content(url: str, file: StationFile) -> bytes:
    if file.archive is None:
        return open_objects(url).get(file.name)
    return read_member(file.archive, file.name, file.size)


def _static_columns(
    task: StationFiles, broken: list[BadGranule]
) -> dict[StationFile, dict[str, str]]:
    """Return the static variables by their file; malformed files are added to `broken`."""
    found = {}
    for file in sorted({static for _, static in task.series if static}, key=lambda one: one.name):
        try:
            rows = read_static(_content(task.url, file), file.name)
        except (GranuleError, NotFoundError) as err:
            broken.append(BadGranule(file.name, str(err)))
            continue
        found[file] = {_column(row): row.value for row in rows}
    return found


def _column(row: StaticValue) -> str:
    """Return the column of a static variable, ``clay_fraction_0.00_0.30_hwsd``."""
    depth = f" {row.depth_from:.2f} {row.depth_to:.2f}" if isfinite(row.depth_to) else ""
    return re.sub(r"[^a-z0-9.]+", "_", f"{row.name}{depth} {row.source}".lower()).strip("_")


def _sensors(
    content: bytes, name: str, static: Mapping[str, str], rules: StationRules
) -> list[Sensor]:
    """Return the probes of a file: one of ISMN's, any number of a CSV file."""
    series = read_station_csv(content, name) if csv_variable(name) else (read_stm(content, name),)
    return [_sensor(found, name, static, rules) for found in series]


def _sensor(
    found: StationSeries, name: str, static: Mapping[str, str], rules: StationRules
) -> Sensor:
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
        series=daily_means(found.times, found.values, found.flag_names, found.flag_codes, rules),
        static=static,
        file=name,
    )
