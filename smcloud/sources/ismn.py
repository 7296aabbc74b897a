"""Station files of the International Soil Moisture Network (ISMN), read strictly and fast.

Two formats exist. *Header and values*: the first line names network, station, place, depths and
sensor; the others hold time, value, flag and the provider's own flag. *CEOP, separate files*: every
line repeats two times, network, station, place and depths, and only the file name has the sensor.
Real files (trap T8) end lines with LF, CR LF or CR alone, write missing values as -9999 or -999.99,
combine flags ("D01,D03"), and use names with spaces, brackets and '#'. Flags are returned as they
are: which of them to accept is decided where days are averaged.
"""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import GranuleError
from smcloud.sources.station_rows import (
    FINE,
    MOST_FLAGS,
    NO_NUMBER,
    NO_VALUE,
    OTHER_PLACE,
    STAMP_BYTES,
    TOO_MANY_FLAGS,
    Rows,
    read_rows,
)

HEADER_FORMAT, CEOP_FORMAT = "header_values", "ceop_sep"
SOIL_MOISTURE = "sm"
MISSING_BELOW = -900.0
"""-9999 and -999.99 mean missing; no quantity of a soil station reaches so low."""
YEARS = (1950, 2100)
"""Rows of other years, the second excluded, are damaged: ISMN's oldest series begin in 1952."""
NAME_TOLERANCE_M = 0.006
"""Headers round depths to the centimetre; file names have them to the micrometre."""

_STAMP = rb"\d{4}/\d{2}/\d{2} \d{2}:\d{2}"
_HEADER = re.compile(
    r"(?P<network>\S+)\s+(?P<second>\S+)\s+(?P<station>\S.*?)\s+(?P<latitude>-?\d+\.\d+)\s+"
    r"(?P<longitude>-?\d+\.\d+)\s+(?P<elevation>-?\d+\.\d+)\s+(?P<depth_from>-?\d+\.\d+)\s+"
    r"(?P<depth_to>-?\d+\.\d+)\s*(?P<sensor>.*?)\s*"
)
_NAME = re.compile(
    r"(?P<network>[^_]+)_[^_]+_(?P<station>.+?)_(?P<variable>[a-z0-9]+)_"
    r"(?P<depth_from>-?\d+\.\d+)_(?P<depth_to>-?\d+\.\d+)_(?P<sensor>.+)_"
    r"(?P<first>\d{8})_(?P<last>\d{8})\.stm"
)
_FIRST_LINE = re.compile(rb"[ \r\n]*([^\r\n]{0,1000})")
"""Longer first lines are none of ISMN's, and would keep the patterns below busy for hours."""
_STATIC_NAME = re.compile(
    r"(?P<network>[^_]+)_[^_]+_(?P<station>.+?)_static_variables\.csv", re.IGNORECASE
)
_SECONDS = np.array([f"{year}-01-01" for year in YEARS], "datetime64[s]").astype(np.int64)

Times = NDArray[np.datetime64]


@dataclass(frozen=True)
class StationSeries:
    """One probe's series as a file has it.

    Attributes
    ----------
    network, station, sensor : str
        As written in the file; the sensor of CEOP files comes from the file name.
    variable : str
        ``sm`` is soil moisture, m3 m-3; others (``ts``, ``p``) have their own units.
    latitude, longitude : float
        Degrees.
    elevation : float
        Metres; NaN where the file has none.
    depth_from, depth_to : float
        Metres below the surface.
    times : datetime64[s] (n,)
        UTC.
    values : float32 (n,)
        NaN where the file says missing.
    flag_names : tuple of str
        The kinds of ISMN quality flags as written, such as ``G`` or ``D01,D03``.
    flag_codes : int16 (n,)
        Which of `flag_names` each value has.
    file : str
        Name, for messages.
    """

    network: str
    station: str
    sensor: str
    variable: str
    latitude: float
    longitude: float
    elevation: float
    depth_from: float
    depth_to: float
    times: Times
    values: NDArray[np.float32]
    flag_names: tuple[str, ...]
    flag_codes: NDArray[np.int16]
    file: str

    @property
    def flags(self) -> NDArray[np.str_]:
        """Return the flag of each value (n,), as written."""
        flags: NDArray[np.str_] = np.array(self.flag_names)[self.flag_codes]
        return flags


def variable_of(name: str) -> str:
    """Return the variable that a file name says, such as ``sm``; empty for other names."""
    found = _NAME.fullmatch(PurePosixPath(name).name)
    return found["variable"] if found else ""


def site_of(name: str) -> str:
    """Return ``network/station`` as the name of a series or of static variables says.

    Empty for other names. Case and the choice of '-' or '_' make no difference.
    """
    file_name = PurePosixPath(name).name
    found = _NAME.fullmatch(file_name) or _STATIC_NAME.fullmatch(file_name)
    if found is None:
        return ""
    return f"{found['network']}/{found['station']}".replace("_", "-").lower()


def read_stm(content: bytes | Path, name: str = "") -> StationSeries:
    """Return the series of one ``.stm`` file.

    Parameters
    ----------
    content
        The bytes, or the path of the file.
    name
        Name of the file, with or without folders; needed with bytes, since it holds variable,
        depths and sensor.

    Raises
    ------
    GranuleError
        If the file is in neither format, cut off, or disagrees with its name.
    """
    if isinstance(content, Path):
        name = name or content.name
        try:
            content = content.read_bytes()
        except OSError as err:
            raise GranuleError(f"{name}: cannot be read: {err}") from err
    name = PurePosixPath(name).name
    first = _FIRST_LINE.match(content)
    head, begin = (first[1], first.start(1)) if first else (b"", 0)
    layout = _layout(head, name)
    place = _place(head, layout, name)
    named = _named(name, place)
    latitude = _within(place["latitude"], 90.0, "latitude", name)
    longitude = _within(place["longitude"], 180.0, "longitude", name)
    if layout == HEADER_FORMAT:
        begin += len(head)
    rows = _rows(content, begin, layout, head, name)
    return StationSeries(
        network=place["network"],
        station=place["station"],
        sensor=place["sensor"] or named["sensor"],
        variable=named["variable"],
        latitude=latitude,
        longitude=longitude,
        elevation=_elevation(place["elevation"]),
        depth_from=float(named["depth_from"]),
        depth_to=float(named["depth_to"]),
        times=rows.seconds.view("datetime64[s]"),
        values=np.where(rows.values > MISSING_BELOW, rows.values, np.nan).astype(np.float32),
        flag_names=rows.flag_names,
        flag_codes=rows.flag_codes,
        file=name,
    )


def _layout(head: bytes, name: str) -> str:
    """Return the format that the first line shows."""
    stamps = rb"^" + _STAMP + rb"\s+" + _STAMP + rb"\s"
    if re.match(stamps, head):
        if len(head.split()) < 14 or re.search(rb"\s-\s", head):
            raise GranuleError(
                f"{name}: expected ISMN's header-and-values or CEOP format with one file for each "
                "sensor, found CEOP with all depths in one file; order the data as separate files"
            )
        return CEOP_FORMAT
    if _HEADER.fullmatch(_text(head)):
        return HEADER_FORMAT
    raise GranuleError(
        f"{name}: expected an ISMN station file (a header of network, station, place and depths, "
        f"or CEOP rows), found {_text(head[:40])!r}"
    )


def _place(head: bytes, layout: str, name: str) -> dict[str, str]:
    """Return network, station, latitude, longitude, elevation, depths and sensor as written."""
    text = _text(head)
    if layout == CEOP_FORMAT:
        # Value, flag and the provider's flag end the line; both times begin it.
        text = text[2 * (STAMP_BYTES + 1) :]
        found = re.match(_HEADER.pattern.replace(r"(?P<sensor>.*?)\s*", r"(?P<sensor>)\s"), text)
    else:
        found = _HEADER.fullmatch(text)
    if found is None:
        raise GranuleError(
            f"{name}: expected network, station, latitude, longitude, elevation and two depths, "
            f"found {text[:80]!r}"
        )
    return found.groupdict()


def _named(name: str, place: Mapping[str, str]) -> dict[str, str]:
    """Return variable, sensor and exact depths from the file name, checked against the content."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise GranuleError(
            f"{name}: expected a name like NETWORK_NETWORK_STATION_sm_0.050000_0.050000_SENSOR_"
            "20190101_20191231.stm, found another"
        )
    for depth in ("depth_from", "depth_to"):
        if abs(float(found[depth]) - float(place[depth])) > NAME_TOLERANCE_M:
            raise GranuleError(
                f"{name}: expected the depth of its name, {found[depth]} m, found {place[depth]} m"
            )
    return found.groupdict()


def _rows(content: bytes, begin: int, layout: str, head: bytes, name: str) -> Rows:
    """Return times, values and flags of all rows, or raise `GranuleError` for the first bad one."""
    place_at = 2 * (STAMP_BYTES + 1) if layout == CEOP_FORMAT else 0
    place = head[place_at : _place_end(head)] if layout == CEOP_FORMAT else b""
    rows = read_rows(content, begin, place, place_at)
    if rows.problem != FINE:
        raise GranuleError(f"{name}: {_what_is_wrong(rows)}")
    if rows.seconds.size == 0:
        raise GranuleError(f"{name}: expected rows of time, value and flag, found none")
    outside = (rows.seconds < _SECONDS[0]) | (rows.seconds >= _SECONDS[1])
    if outside.any():
        at = int(np.argmax(outside))
        raise GranuleError(
            f"{name}: expected dates from {YEARS[0]} to {YEARS[1] - 1}, found "
            f"{rows.seconds[at].astype('datetime64[s]')} at row {at + 1}"
        )
    return rows


def _what_is_wrong(rows: Rows) -> str:
    """Return what was expected of the row that stopped the reading, and what was found."""
    row, found = rows.seconds.size + 1, repr(_text(rows.line[:80]))
    if rows.problem == OTHER_PLACE:
        return f"expected one station and depth in the file, found another at row {row}"
    if rows.problem == NO_VALUE:
        return (
            f"expected a value and a flag in each row, found rows without, such as {found} at row "
            f"{row}; the file may be cut off"
        )
    if rows.problem == NO_NUMBER:
        return f"expected a number and a flag in each row, found {found} at row {row}"
    if rows.problem == TOO_MANY_FLAGS:
        return f"expected ISMN's quality flags, found more than {MOST_FLAGS:,} kinds by row {row}"
    return f"expected YYYY/MM/DD HH:MM at row {row}, found {found}"


def _place_end(head: bytes) -> int:
    """Return where the columns of the place end in a CEOP row."""
    found = re.match(
        _STAMP + rb"\s+" + _STAMP + rb"\s+\S+\s+\S+\s+\S.*?(\s+-?\d+\.\d+){5}(?=\s)", head
    )
    return found.end() if found else len(head)


def _within(text: str, limit: float, what: str, name: str) -> float:
    value = float(text)
    if abs(value) > limit:
        raise GranuleError(f"{name}: expected a {what} within {limit:g} degrees, found {value}")
    return value


def _elevation(text: str) -> float:
    """Return metres; the missing numbers of the formats become NaN."""
    value = float(text)
    return value if value > MISSING_BELOW else float("nan")


def _text(line: bytes) -> str:
    return line.decode("latin-1").strip()


@dataclass(frozen=True)
class StaticValue:
    """One row of a ``static_variables.csv``.

    Attributes
    ----------
    name, unit, source : str
        Such as ``clay fraction``, ``% weight``, ``HWSD``.
    depth_from, depth_to : float
        Metres; NaN where the row has none.
    value : str
        A number or a class, as written.
    """

    name: str
    unit: str
    source: str
    depth_from: float
    depth_to: float
    value: str


_STATIC_COLUMNS = (
    "quantity_name",
    "unit",
    "depth_from[m]",
    "depth_to[m]",
    "value",
    "quantity_source_name",
)


def read_static(content: bytes | Path, name: str = "") -> list[StaticValue]:
    """Return the rows of a ``static_variables.csv`` (soil, land cover, climate of a station).

    Raises
    ------
    GranuleError
        If the columns are not ISMN's.
    """
    if isinstance(content, Path):
        name = name or content.name
        content = content.read_bytes()
    lines = content.decode("utf-8", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    # Values hold a bare '"' (30" is half a minute), so quotes have no meaning here.
    reader = csv.DictReader(lines.splitlines(), delimiter=";", quoting=csv.QUOTE_NONE)
    missing = [column for column in _STATIC_COLUMNS if column not in (reader.fieldnames or ())]
    if missing:
        raise GranuleError(
            f"{PurePosixPath(name).name}: expected the column {missing[0]!r} of ISMN's static "
            f"variables, found {', '.join(reader.fieldnames or ()) or 'nothing'}"
        )
    return [
        StaticValue(
            row["quantity_name"],
            row["unit"] or "",
            row["quantity_source_name"] or "",
            _depth(row["depth_from[m]"]),
            _depth(row["depth_to[m]"]),
            row["value"] or "",
        )
        for row in reader
        if row["quantity_name"]
    ]


def _depth(text: str | None) -> float:
    try:
        depth = float(text or "nan")
    except ValueError:
        return float("nan")
    return depth if depth >= 0 else float("nan")
