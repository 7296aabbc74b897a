"""A station archive of any size whose rows are those of real files, repeated hour after hour.

Values, flags and line ends come from the samples that `SMCLOUD_REALDATA` holds; where it is absent,
from made-up ones of the same form. Only the times are new, so that every series has its years.
"""

import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BESIDE = Path(__file__).parents[2] / "shared" / "realdata"
FIRST = np.datetime64("2001-01-01T00", "m")
HOURS_A_YEAR = 8766
GAP_SHARE = 0.02
"""Of the hours: rows that are not there."""
_STAMP = re.compile(rb"^\d{4}/\d{2}/\d{2} \d{2}:\d{2}")
_DEPTHS = re.compile(r"_sm_(-?\d+\.\d+)_(-?\d+\.\d+)_(.+)_\d{8}_\d{8}\.stm")
MADE_UP_ROWS = 5000


@dataclass(frozen=True)
class Pattern:
    """What the rows of one file hold after their time.

    Attributes
    ----------
    network, sensor : str
    depths : tuple of str
        From and to, metres, as file names have them.
    place : bytes
        What every row repeats (CEOP); empty for files with a header.
    tails : list of bytes
        Value, flag and the provider's own flag of each row.
    end : bytes
        Of a line.
    """

    network: str
    sensor: str
    depths: tuple[str, str]
    place: bytes
    tails: list[bytes]
    end: bytes


def real_folder() -> Path | None:
    """Return the folder of real station files; None where there is none."""
    folder = Path(os.environ.get("SMCLOUD_REALDATA") or BESIDE) / "ismn"
    return folder if folder.is_dir() else None


def patterns(seed: int) -> list[Pattern]:
    """Return the patterns of the real files, or one that is made up."""
    folder = real_folder()
    paths = sorted(folder.rglob("*_sm_*.stm")) if folder else []
    return [_pattern(path) for path in paths] or [_made_up(seed)]


def _pattern(path: Path) -> Pattern:
    content = path.read_bytes()
    end = b"\r\n" if b"\r\n" in content else b"\r" if b"\r" in content else b"\n"
    lines = [line for line in content.split(end) if line.strip()]
    named = _DEPTHS.search(path.name)
    if named is None:
        raise ValueError(f"{path.name} is not named as a station file")
    depths, sensor, network = (named[1], named[2]), named[3], path.name.split("_")[0]
    if _STAMP.match(lines[0]) is None:
        return Pattern(network, sensor, depths, b"", [line[17:] for line in lines[1:]], end)
    place = re.match(rb".{34}\S+\s+\S+\s+\S+((\s+-?\d+\.\d+){5})", lines[0])
    if place is None:
        raise ValueError(f"{path.name} is not in CEOP format")
    tails = [line[place.end() :].lstrip() for line in lines]
    return Pattern(network, sensor, depths, place[1], tails, end)


def _made_up(seed: int) -> Pattern:
    rng = np.random.default_rng(seed)
    values = 0.25 + 0.1 * np.sin(np.arange(MADE_UP_ROWS) / 300) + rng.normal(0, 0.01, MADE_UP_ROWS)
    flags = rng.choice(
        ["G", "U", "D01,D03", "C03", "M"], MADE_UP_ROWS, p=[0.7, 0.1, 0.1, 0.05, 0.05]
    )
    values[flags == "M"] = -9999.0
    tails = [f"{value:8.4f} {flag} M".encode() for value, flag in zip(values, flags, strict=True)]
    return Pattern("MADE", "Probe-X", ("0.050000", "0.050000"), b"", tails, b"\r\n")


@dataclass(frozen=True)
class Archive:
    """What was written: a folder and a zip of the same files."""

    folder: Path
    package: Path
    names: tuple[str, ...]
    rows: int
    text_bytes: int


def write_archive(folder: Path, sensors: int, years: float, seed: int) -> Archive:
    """Write `sensors` series of `years` years as a folder and as a zip; one sensor a station."""
    held, root, package = patterns(seed), folder / "archive", folder / "archive.zip"
    rng = np.random.default_rng(seed)
    hours = FIRST + np.arange(int(years * HOURS_A_YEAR)) * np.timedelta64(60, "m")
    spelled = np.datetime_as_string(hours)
    stamps = [one.replace("-", "/").replace("T", " ").encode() for one in spelled.tolist()]
    names, rows, size = [], 0, 0
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for number in range(sensors):
            pattern = held[number % len(held)]
            kept = np.flatnonzero(rng.random(len(stamps)) >= GAP_SHARE).tolist()
            name, content = _series(pattern, number, stamps, kept)
            path = root / name
            path.parent.mkdir(parents=True)
            path.write_bytes(content)
            packed.writestr(name, content)
            names.append(name)
            rows, size = rows + len(kept), size + len(content)
    return Archive(root, package, tuple(sorted(names)), rows, size)


def _series(
    pattern: Pattern, number: int, stamps: list[bytes], kept: list[int]
) -> tuple[str, bytes]:
    """Return name and content of one file; the pattern's rows begin anew where they end."""
    network, station = pattern.network, f"S{number:04d}"
    start, stop = pattern.depths
    tails, size = pattern.tails, len(pattern.tails)
    place = f"{network:<10} {network:<15} {station:<15}"
    if pattern.place:
        text = place.encode() + pattern.place
        lines = [b"%b %b %b %b" % (stamps[h], stamps[h], text, tails[h % size]) for h in kept]
    else:
        latitude, longitude = 20 + number % 50, -120 + number % 240
        header = (
            f"{place} {latitude:10.5f} {longitude:11.5f} {100.0:7.2f} {float(start):7.2f} "
            f"{float(stop):7.2f} {pattern.sensor}"
        )
        lines = [header.encode(), *(b"%b %b" % (stamps[h], tails[h % size]) for h in kept)]
    first, last = (stamps[h][:10].replace(b"/", b"").decode() for h in (kept[0], kept[-1]))
    stem = f"{network}_{network}_{station}_sm_{start}_{stop}_{pattern.sensor}_{first}_{last}.stm"
    return f"{network}/{station}/{stem}", pattern.end.join([*lines, b""])
