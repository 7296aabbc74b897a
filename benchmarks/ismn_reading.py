"""Reading station archives, beside the `ismn` package: hourly series, and on to daily means.

*Hourly*: one process reads every series of an archive. The package first looks through all files
for its list of sensors; once that list is stored it reads series alone, which is measured too.
*Daily*: two workers turn the archive into a Parquet data set of daily means. The package has no
such step, so the same workers read files with it and pandas makes the means.
"""

import contextlib
import io
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from distributed import Client

from benchmarks.ismn_archive import Archive, real_folder, write_archive
from benchmarks.record import BenchmarkError
from benchmarks.timing import Taken, progress, taken
from smcloud.core.listener import Silent
from smcloud.ingest.daily_means import StationRules, is_accepted, needed_by_day
from smcloud.ingest.stations import read_stations
from smcloud.production.cluster import ClusterRequest, connect
from smcloud.production.stations_stage import ingest_stations
from smcloud.sources.ismn import MISSING_BELOW, read_stm

SENSORS = {"tiny": 12, "small": 36, "large": 300}
YEARS = {"tiny": 0.2, "small": 5.0, "large": 3.0}
ROUNDS = {"tiny": 1, "small": 3, "large": 1}
WORKERS = 2
FILES_A_TASK = 4
RULES = StationRules()
OURS, THEIRS, KNOWN = "smcloud", "ismn", "ismn, list stored"
PANDAS = "ismn and pandas"
VARIABLE, FLAG = "soil_moisture", "soil_moisture_flag"

Series = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Times, values (float32, NaN unknown) and flags."""


@dataclass(frozen=True)
class Line:
    """One route of one task, in the best of its rounds."""

    task: str
    route: str
    seconds: float
    seconds_worst: float
    core_seconds: float
    """Processor time of this process and the workers; a busy machine changes it little."""
    rows_per_second: float
    peak_bytes: int


def measure(scale: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return the seconds of both tasks by every route, after a look that all give the same.

    Raises
    ------
    BenchmarkError
        If two routes give different values, or the package is not installed.
    """
    if find_spec("ismn") is None:
        raise BenchmarkError("the package ismn is not installed: pip install 'smcloud[test]'")
    progress(f"writing {SENSORS[scale]} series of {YEARS[scale]} years")
    archive = write_archive(folder, SENSORS[scale], YEARS[scale], seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package's own, of pandas' and numpy's versions
        lines = [*_hourly(archive, folder, ROUNDS[scale])]
        with connect(ClusterRequest(workers=WORKERS)) as client:
            lines += _daily(archive, folder, ROUNDS[scale], client)
    return {
        "archive": {
            "series": len(archive.names),
            "rows": archive.rows,
            "text_bytes": archive.text_bytes,
            "zip_bytes": archive.package.stat().st_size,
            "patterns": "real files" if real_folder() else "made up",
        },
        "workers": WORKERS,
        "routes": [asdict(line) for line in lines],
    }


def _lines(
    task: str, works: Mapping[str, Callable[[], None]], rounds: int, rows: int, pids: Iterable[int]
) -> Iterator[Line]:
    """Measure the routes of a task in turn: A B C A B C."""
    found: dict[str, list[Taken]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            found[name].append(taken(work, pids)[1])
    for name, every in found.items():
        seconds = [one.seconds for one in every]
        core = min(one.core_seconds for one in every)
        peak = max(one.peak_bytes for one in every)
        yield Line(task, name, min(seconds), max(seconds), core, rows / min(seconds), peak)


def _hourly(archive: Archive, folder: Path, rounds: int) -> Iterator[Line]:
    """Measure one process that reads every series, each round with a list of sensors made anew."""
    progress("hourly series, one process")
    lists = (folder / f"list-{number}" for number in range(10_000))
    stored = folder / "stored"
    same_series(read_by_us(archive), read_by_package(archive.folder, stored))
    works = {
        OURS: lambda: _consume(read_by_us(archive)),
        THEIRS: lambda: _consume(read_by_package(archive.folder, next(lists))),
        KNOWN: lambda: _consume(read_by_package(archive.folder, stored)),
    }
    yield from _lines("hourly", works, rounds, archive.rows, ())


def _consume(series: Iterable[object]) -> None:
    deque(series, maxlen=0)


def read_by_us(archive: Archive) -> Iterator[tuple[str, Series]]:
    """Yield network/station and the times, values and flags of every file in the folder."""
    for name in archive.names:
        series = read_stm(archive.folder / name)
        yield f"{series.network}/{series.station}", (series.times, series.values, series.flags)


def read_by_package(folder: Path, lists: Path) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield network/station and the frame of every series, as the package's documentation reads."""
    from ismn.interface import ISMN_Interface

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        archive = ISMN_Interface(folder, meta_path=lists)
    for number in archive.get_dataset_ids(VARIABLE, -1.0, 10.0):
        frame, meta = archive.read_ts(number, return_meta=True)
        yield f"{meta['network']['val']}/{meta['station']['val']}", frame


def same_series(
    ours: Iterable[tuple[str, Series]], theirs: Iterable[tuple[str, pd.DataFrame]]
) -> None:
    """Raise `BenchmarkError` unless both read the same times, values and flags."""
    for (site, series), (other, frame) in zip(ours, theirs, strict=True):
        values = frame[VARIABLE].where(frame[VARIABLE] > MISSING_BELOW).to_numpy(np.float32)
        is_same = (
            site == other
            and np.array_equal(series[0], frame.index.to_numpy())
            and np.array_equal(series[1], values, equal_nan=True)
            and series[2].tolist() == frame[FLAG].tolist()
        )
        if not is_same:
            raise BenchmarkError(f"{site}: smcloud and ismn (there {other}) read different values")


def _daily(archive: Archive, folder: Path, rounds: int, client: Client) -> Iterator[Line]:
    """Measure folder and zip to daily means on two workers, and compare all days."""
    pids = list(client.run(os.getpid).values())
    client.run(warm_up, archive.folder, archive.names[0], folder)
    for task, path in (("folder to daily", archive.folder), ("zip to daily", archive.package)):
        progress(f"{task} means, {WORKERS} workers")
        ours, theirs = folder / f"{task} ours", folder / f"{task} theirs"
        works = {
            OURS: partial(_ingest, path, ours, client),
            PANDAS: partial(ingest_by_package, path, archive.names, theirs, client),
        }
        yield from _lines(task, works, rounds, archive.rows, pids)
        _same_days(ours, theirs)


def warm_up(folder: Path, name: str, out: Path) -> None:
    """Import and compile what both routes need, by reading one file."""
    ingest_stations(str((folder / name).parent), str(out / "warm"), RULES, None, Silent())
    daily_by_package(folder, [name], out / f"warm-{os.getpid()}.parquet")


def _ingest(path: Path, out: Path, client: Client) -> None:
    ingest_stations(str(path), str(out), RULES, client, Silent(), redo=True)


def ingest_by_package(path: Path, names: Sequence[str], out: Path, client: Client) -> None:
    """Write daily means of all files as Parquet, some files a task."""
    out.mkdir(exist_ok=True)
    groups = [names[at : at + FILES_A_TASK] for at in range(0, len(names), FILES_A_TASK)]
    futures = [
        client.submit(daily_by_package, path, group, out / f"{number:04d}.parquet", pure=False)
        for number, group in enumerate(groups)
    ]
    client.gather(futures)


def daily_by_package(path: Path, names: Sequence[str], out: Path) -> None:
    """Write the daily means of some files: read by the package, averaged by pandas."""
    from ismn.base import IsmnRoot
    from ismn.filehandlers import DataFile

    root = IsmnRoot(path)
    frames = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            file = DataFile(root, name)
            means = daily_by_pandas(file.read_data())
            site = f"{file.metadata['network'].val}/{file.metadata['station'].val}"
            frames.append(means.assign(site=site))
    root.close()
    pd.concat(frames).to_parquet(out, compression="zstd")


def daily_by_pandas(frame: pd.DataFrame) -> pd.DataFrame:
    """Return mean and count of the accepted values of each day that is known."""
    frame = frame[~frame.index.duplicated()]
    accepted = {flag for flag in frame[FLAG].unique() if is_accepted(flag, RULES)}
    good = frame[frame[FLAG].isin(accepted) & frame[VARIABLE].between(0.0, RULES.highest)]
    values = good[VARIABLE]
    days = values.groupby(values.index.normalize()).agg(["mean", "size"])
    times, which = (one.index.to_numpy().astype("datetime64[s]") for one in (frame, days))
    needed = needed_by_day(times, which.astype("datetime64[D]"), RULES)
    return days[days["size"] >= needed].rename_axis("day").reset_index()


def _same_days(ours: Path, theirs: Path) -> None:
    """Raise `BenchmarkError` unless both data sets hold the same days, counts and means."""
    stations, daily = read_stations(str(ours / "stations"))
    sites = stations.set_index("station_id")[["network", "station"]].agg("/".join, axis=1)
    mine = daily.assign(site=daily["station_id"].astype(object).map(sites))
    mine = mine.sort_values(["site", "day"])
    other = pd.concat([pd.read_parquet(path) for path in sorted(theirs.glob("*.parquet"))])
    other = other.sort_values(["site", "day"])
    days = (frame["day"].to_numpy().astype("datetime64[D]") for frame in (mine, other))
    is_same = (
        mine["site"].tolist() == other["site"].tolist()
        and np.array_equal(*days)
        and np.array_equal(mine["count"], other["size"])
        and np.allclose(mine["soil_moisture"], other["mean"], rtol=1e-6, atol=0)
    )
    if not is_same or mine.empty:
        raise BenchmarkError(f"{len(mine)} daily means differ from the {len(other)} of pandas")


def show(found: Mapping[str, Any]) -> str:
    """Return what each route took, and how many times as fast we are by the clock and by cores."""
    held = found["archive"]
    lines = [
        f"{held['series']} series of {held['patterns']}, {held['rows']:,} rows, "
        f"{held['text_bytes'] / 1e6:,.0f} MB of text, {held['zip_bytes'] / 1e6:,.0f} MB as a zip; "
        f"daily means on {found['workers']} workers"
    ]
    ours: dict[str, Mapping[str, Any]] = {}
    for row in found["routes"]:
        best = ours.setdefault(row["task"], row)
        lines.append(
            f"{row['task']:<16}{row['route']:<23}{row['seconds']:>7.2f} s (worst "
            f"{row['seconds_worst']:.2f}){row['core_seconds']:>8.2f} core-s"
            f"{row['rows_per_second']:>12,.0f} rows/s{row['peak_bytes'] / 2**20:>7,.0f} MiB; "
            f"smcloud {row['seconds'] / best['seconds']:.1f}x, by cores "
            f"{row['core_seconds'] / max(best['core_seconds'], 0.01):.1f}x"
        )
    return "\n".join(lines)
