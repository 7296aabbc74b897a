"""Station files of the International Soil Moisture Network (ISMN), read strictly and fast.

Two formats exist. *Header and values*: the first line names network, station, place, depths and
sensor; the others hold time, value, flag and the provider's own flag. *CEOP, separate files*: every
line repeats two times, network, station, place and depths, and only the file name has the sensor.
Real files (trap T8) end lines with LF, CR LF or CR alone, write missing values as -9999 or -999.99,
combine flags ("D01,D03"), and use names with spaces, brackets and '#'. Flags are returned as they
are: which of them to accept is decided where days are averaged.
"""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smcloud.core.errors import GranuleError

HEADER_FORMAT, CEOP_FORMAT = "header_values", "ceop_sep"
SOIL_MOISTURE = "sm"
STAMP_BYTES = 16
"""Length of ``YYYY/MM/DD HH:MM``."""
MISSING_BELOW = -900.0
"""-9999 and -999.99 mean missing; no quantity of a soil station reaches so low."""
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
_DIGITS = (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15)
_SEPARATORS = {4: ord("/"), 7: ord("/"), 10: ord(" "), 13: ord(":")}

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]
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
    flags : str array (n,)
        ISMN quality flags as written, such as ``G`` or ``D01,D03``.
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
    flags: NDArray[np.str_]
    file: str


def variable_of(name: str) -> str:
    """Return the variable that a file name says, such as ``sm``; empty for other names."""
    found = _NAME.fullmatch(PurePosixPath(name).name)
    return found["variable"] if found else ""


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
    lines = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").strip(b" \n")
    head, _, rest = lines.partition(b"\n")
    layout = _layout(head, name)
    body = rest if layout == HEADER_FORMAT else lines
    place = _place(head, layout, name)
    named = _named(name, place)
    return StationSeries(
        network=place["network"],
        station=place["station"],
        sensor=place["sensor"] or named["sensor"],
        variable=named["variable"],
        latitude=_within(place["latitude"], 90.0, "latitude", name),
        longitude=_within(place["longitude"], 180.0, "longitude", name),
        elevation=_elevation(place["elevation"]),
        depth_from=float(named["depth_from"]),
        depth_to=float(named["depth_to"]),
        file=name,
        **_columns(body, layout, head, name),
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


def _columns(body: bytes, layout: str, head: bytes, name: str) -> dict[str, Any]:
    """Return times, values and flags of all rows."""
    raw = np.frombuffer(body + b"\n", np.uint8)
    starts = _row_starts(raw)
    if starts.size == 0:
        raise GranuleError(f"{name}: expected rows of time, value and flag, found none")
    times = _times(raw, starts, name)
    if layout == CEOP_FORMAT:
        _check_one_place(raw, starts, head, name)
    column = 2 if layout == HEADER_FORMAT else _ceop_value_column(head)
    values, flags = _values(body, column, len(starts), name)
    missing = ~(values > MISSING_BELOW)
    return {
        "times": times,
        "values": np.where(missing, np.nan, values).astype(np.float32),
        "flags": flags,
    }


def _row_starts(raw: Bytes) -> Offsets:
    """Return where the rows begin, blank ones left out."""
    ends = np.flatnonzero(raw == ord("\n"))
    starts = np.concatenate([[0], ends[:-1] + 1])
    blank = (ends - starts < STAMP_BYTES) & _is_blank(raw, starts, ends)
    rows: Offsets = starts[~blank]
    return rows


def _is_blank(raw: Bytes, starts: Offsets, ends: Offsets) -> NDArray[np.bool_]:
    """Say which rows hold spaces alone."""
    inked = np.concatenate([[0], np.cumsum((raw != ord(" ")) & (raw != ord("\n")))])
    blank: NDArray[np.bool_] = inked[ends] == inked[starts]
    return blank


def _times(raw: Bytes, starts: Offsets, name: str) -> Times:
    """Return the instants at the head of each row, read digit by digit for all rows at once."""
    inside = np.minimum(starts[:, None] + np.arange(STAMP_BYTES), raw.size - 1)
    stamp = raw[inside]
    digits = stamp.astype(np.int16) - ord("0")
    right = np.ones(len(starts), bool)
    for column in _DIGITS:
        right &= (digits[:, column] >= 0) & (digits[:, column] <= 9)
    for column, separator in _SEPARATORS.items():
        right &= stamp[:, column] == separator

    def number(*columns: int) -> NDArray[np.int64]:
        total: Offsets = np.zeros(len(starts), np.int64)
        for column in columns:
            total = total * 10 + digits[:, column]
        return total

    year, month, day = number(0, 1, 2, 3), number(5, 6), number(8, 9)
    hour, minute = number(11, 12), number(14, 15)
    right &= (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31) & (hour <= 24) & (minute < 60)
    if not right.all():
        at = int(np.argmin(right))
        found = bytes(raw[starts[at] : starts[at] + 40]).split(b"\n")[0]
        raise GranuleError(
            f"{name}: expected YYYY/MM/DD HH:MM at row {at + 1}, found {_text(found)!r}"
        )
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    dates = months.astype("datetime64[D]") + (day - 1)
    times: Times = dates.astype("datetime64[s]") + (hour * 3600 + minute * 60)
    return times


def _values(
    body: bytes, column: int, rows: int, name: str
) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Return the value and the flag of each row."""
    try:
        frame = pd.read_csv(
            io.BytesIO(body),
            sep=r"\s+",
            header=None,
            names=[*map(str, range(column)), "value", "flag"],
            usecols=["value", "flag"],
            dtype={"value": "float64", "flag": "category"},
            index_col=False,
            keep_default_na=False,
            quoting=csv.QUOTE_NONE,
            encoding="latin-1",
        )
    except (ValueError, pd.errors.ParserError) as err:
        reason = " ".join(str(err).split())
        raise GranuleError(f"{name}: expected a number and a flag in each row: {reason}") from err
    flags = frame["flag"]
    if len(frame) != rows or bool(flags.isna().any()) or "" in flags.cat.categories:
        raise GranuleError(
            f"{name}: expected a value and a flag in each of {rows} rows, found rows without; "
            "the file may be cut off"
        )
    words = np.array([str(word) for word in flags.cat.categories])
    return frame["value"].to_numpy(), words[flags.cat.codes.to_numpy()]


def _ceop_value_column(head: bytes) -> int:
    """Return the column of the value: four of times, then the place, whose station may have spaces.

    Seven columns from the latitude on: latitude, longitude, elevation, two depths, value, flag.
    """
    words = _text(head).split()
    first = next(at for at in range(6, len(words)) if _is_number(words[at], words[at + 1]))
    return first + 5


def _is_number(*words: str) -> bool:
    return all(re.fullmatch(r"-?\d+\.\d+", word) for word in words)


def _check_one_place(raw: Bytes, starts: Offsets, head: bytes, name: str) -> None:
    """Raise `GranuleError` unless every row repeats the first one's station, place and depths."""
    first, last = 2 * (STAMP_BYTES + 1), _place_end(head)
    inside = np.minimum(starts[:, None] + np.arange(first, last), raw.size - 1)
    same = (raw[inside] == np.frombuffer(head[first:last], np.uint8)).all(axis=1)
    if not same.all():
        at = int(np.argmin(same))
        raise GranuleError(
            f"{name}: expected one station and depth in the file, found another at row {at + 1}"
        )


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
