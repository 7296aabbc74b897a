"""`smcloud train --table` on a user's own table: the command as a user gives it, by size of table.

Each command is a process of its own, from start to end: reading, the split, every training, the
uncertainty, permutation, and the files. Memory is the most that the process held at once.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.record import BenchmarkError
from benchmarks.timing import progress

STATIONS = 500
FEATURES = 15
STATIC = 4
"""Features that never change at a station, as soil and terrain."""
UNKNOWN = 0.08
"""Share of a feature's values that are missing."""
NO_TARGET = 0.02
"""Share of rows whose target is missing."""
LAST_DAY = np.datetime64("2024-12-31")
LEAST_YEARS = 4
"""Few days a station are spread over so many years, that years can be held out."""
PIECE_STATIONS = 10
BYTES_OF_MAXRSS = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Table:
    """One table: its rows and the end of its file."""

    rows: int
    end: str = "parquet"


@dataclass(frozen=True)
class Used:
    """What a command took: seconds, those of all cores together, and the most memory it held."""

    seconds: float
    core_seconds: float
    peak_bytes: int

    @classmethod
    def of(cls, seconds: float, used: resource.struct_rusage) -> Self:
        """Return the figures of a finished process."""
        cores = used.ru_utime + used.ru_stime
        return cls(seconds, cores, used.ru_maxrss * BYTES_OF_MAXRSS)


SCALES = {
    "tiny": (Table(6_000, "csv"),),
    "small": (Table(10_000, "csv"), Table(10_000), Table(1_000_000)),
    "large": (Table(10_000), Table(1_000_000, "csv"), Table(1_000_000), Table(10_000_000)),
}


def measure(scale: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return seconds and memory of the command for every table of a scale."""
    return {
        "stations": STATIONS,
        "features": FEATURES,
        "cores": os.cpu_count(),
        "tables": [_measured(table, seed, folder) for table in SCALES[scale]],
    }


def _measured(table: Table, seed: int, folder: Path) -> dict[str, Any]:
    progress(f"a table of {table.rows:,} rows, {table.end}")
    path = write_table(folder / f"t{table.rows}.{table.end}", table, seed)
    out = folder / f"out-{table.rows}-{table.end}"
    used = used_by(command_of(path, out), folder / "said")
    found = json.loads(next(out.glob("models/*/assessment.json")).read_text())
    headline = next(part for part in found["scores"] if part["split"] == found["headline"])
    size = path.stat().st_size
    path.unlink()
    return {
        **asdict(table),
        "file_bytes": size,
        **asdict(used),
        "values_bytes": table.rows * FEATURES * 4,
        "parts": found["seconds"],
        "headline": found["headline"],
        "median_r": headline["median"]["R"]["value"],
    }


def used_by(command: list[str], said: Path) -> Used:
    """Return what a command took, run as a process of its own whose words go to a file."""
    started = time.perf_counter()
    with said.open("w") as words:
        process = subprocess.Popen(command, stdout=words, stderr=words)
        _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise BenchmarkError(f"{' '.join(command)} failed: {said.read_text()}")
    return Used.of(seconds, used)


def command_of(path: Path, out: Path) -> list[str]:
    """Return the command as a user gives it: what is what, and nothing else."""
    named = {"target": "soil_moisture", "group": "station", "time": "day"}
    named |= {"lat": "latitude", "lon": "longitude", "units": "m3 m-3", "out": str(out)}
    said = [word for name, value in named.items() for word in (f"--{name}", value)]
    return [sys.executable, "-m", "smcloud.cli.main", "train", "--table", str(path), *said]


def write_table(path: Path, table: Table, seed: int) -> Path:
    """Write a table of `STATIONS` stations with gaps, a few stations at a time."""
    n_days = -(-table.rows // STATIONS)
    step = max(1, LEAST_YEARS * 365 // n_days)
    days = LAST_DAY - np.arange(n_days)[::-1] * step
    pieces = (
        _piece(range(first, first + PIECE_STATIONS), days, seed)
        for first in range(0, STATIONS, PIECE_STATIONS)
    )
    first = next(pieces)
    with _writer(path, table.end, first.schema) as writer:
        writer.write_table(first)
        for piece in pieces:
            writer.write_table(piece)
    return path


def _writer(path: Path, end: str, schema: pa.Schema) -> Any:
    if end == "csv":
        return pyarrow.csv.CSVWriter(path, schema)
    return pq.ParquetWriter(path, schema)


def _piece(numbers: range, days: NDArray[np.datetime64], seed: int) -> pa.Table:
    return pa.concat_tables([_station(number, days, seed) for number in numbers])


def _station(number: int, days: NDArray[np.datetime64], seed: int) -> pa.Table:
    """Return the rows of one station: its level is nearly told by what never changes there."""
    rng = np.random.default_rng([seed, number])
    n = days.size
    features = rng.standard_normal((FEATURES, n), dtype=np.float32)
    features[:STATIC] = rng.standard_normal((STATIC, 1), dtype=np.float32)
    season = np.sin(2 * np.pi * days.astype(np.int64) / 365.25).astype(np.float32)
    features[STATIC] += 2 * season
    level = 0.22 + 0.04 * np.tanh(features[0] + features[1] * features[2])
    target = level + 0.03 * season + 0.02 * features[STATIC + 1] * features[STATIC + 2]
    target += 0.02 * np.maximum(features[STATIC + 3], 0) + rng.normal(0, 0.02)
    target += np.float32(0.02) * rng.standard_normal(n, dtype=np.float32)
    target = np.clip(target, 0.01, 0.6).astype(np.float32)
    features[rng.random((FEATURES, n), dtype=np.float32) < UNKNOWN] = np.nan
    target[rng.random(n) < NO_TARGET] = np.nan
    latitude, longitude = rng.uniform(30, 60), rng.uniform(-10, 40)
    columns: dict[str, Any] = {
        "station": pa.array(np.full(n, f"NET{number % 7}/S{number:04d}")),
        "day": pa.array(days.astype("datetime64[D]")),
        "latitude": np.full(n, latitude, np.float32),
        "longitude": np.full(n, longitude, np.float32),
        **{f"feature_{k:02d}": pa.array(features[k], from_pandas=True) for k in range(FEATURES)},
        "soil_moisture": pa.array(target, from_pandas=True),
    }
    return pa.table(columns)


def show(found: Mapping[str, Any]) -> str:
    """Return one line for each table, and below it what took longest."""
    lines = [
        f"{found['stations']} stations, {found['features']} features, gaps, {found['cores']} cores"
        ": smcloud train --table, defaults",
        f"{'rows':>12} {'file':>8} {'MB':>7} {'seconds':>9} {'core s':>8} {'peak GB':>8} "
        f"{'x float32':>9}  median R",
    ]
    for row in found["tables"]:
        lines.append(
            f"{row['rows']:>12,} {row['end']:>8} {row['file_bytes'] / 1e6:>7.0f} "
            f"{row['seconds']:>9.1f} {row['core_seconds']:>8.1f} {row['peak_bytes'] / 1e9:>8.2f} "
            f"{row['peak_bytes'] / row['values_bytes']:>9.1f}  {_shown(row['median_r'])}"
        )
        parts = ", ".join(f"{name} {taken:.1f} s" for name, taken in row["parts"].items() if taken)
        lines.append(f"{'':>13}{parts}")
    return "\n".join(lines)


def _shown(score: float | None) -> str:
    return "unknown" if score is None else f"{score:.3f}"
