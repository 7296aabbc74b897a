"""Daily rain at stations, from plain CSV: a witness that no downscaled product learns from.

Files ``*precipitation.csv`` become one table, ``precipitation.parquet`` beside that of the sensors.
A day is the sum of its rows, if most of the rows that a day usually has are there. Each file is a
task, which leaves its days and a receipt: a later run reads only the files that have changed.
"""

import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from smcloud.core.errors import GranuleError, NotFoundError
from smcloud.core.objects import Objects, open_objects
from smcloud.ingest.receipts import BadGranule
from smcloud.ingest.station_files import RainFile
from smcloud.ingest.stations import PLACE_TOLERANCE_DEGREES
from smcloud.sources.ismn import StationSeries
from smcloud.sources.station_csv import read_station_csv

TABLE = "precipitation.parquet"
PARTS, RECEIPTS = "rain/daily", "rain/receipts"
COLUMNS = ("network", "station", "latitude", "longitude", "day", "rain")
SITE = ["network", "station"]
LEAST_SHARE = 0.8
"""Of the rows that a day of the station usually has: a sum over fewer is unknown."""
MOST_MM = 2000.0
"""More has never fallen in a day (1825 mm, La Reunion 1966): such values are no rain."""


@dataclass(frozen=True)
class RainReceipt:
    """What came of one file: the key of its days, or why it was left out."""

    part: str
    why_not: str = ""


@dataclass(frozen=True)
class RainSummary:
    """What was read: stations and days with rain known (0 too), and files left out."""

    stations: int
    days: int
    broken: tuple[BadGranule, ...] = ()
    files: int = 0
    files_skipped: int = 0


def ingest_rain_file(task: RainFile, url: str) -> RainReceipt:
    """Store the daily rain of one file below `url`, with a receipt, and return the receipt.

    A file that is malformed leaves a receipt that says why.
    """
    target = open_objects(url)
    try:
        table = daily_rain(read_station_csv(task.content(), task.file.name))
    except (GranuleError, NotFoundError) as err:
        receipt = RainReceipt("", str(err))
    else:
        content = _parquet(table)
        receipt = RainReceipt(f"{PARTS}/{hashlib.sha256(content).hexdigest()[:32]}.parquet")
        target.put(receipt.part, content)
    target.put(_key(task), json.dumps(vars(receipt), sort_keys=True).encode())
    return receipt


def finished_rain(tasks: Sequence[RainFile], url: str) -> dict[RainFile, RainReceipt]:
    """Return the receipts below `url` of files that need not be read again."""
    target = open_objects(url)
    kept = {info.key for prefix in (PARTS, RECEIPTS) for info in target.list(prefix)}
    found = {task: _read(target, _key(task)) for task in tasks if _key(task) in kept}
    return {
        task: receipt
        for task, receipt in found.items()
        if receipt is not None and (receipt.part in kept or receipt.why_not)
    }


def write_rain(receipts: Mapping[RainFile, RainReceipt], url: str) -> RainSummary:
    """Store the table of all files below `url`, remove what belongs to none, and tell what it has.

    Of a day that two files have the first by name counts. A file that puts a station somewhere else
    than one before it is left out, for that station.
    """
    target = open_objects(url)
    ordered = sorted(receipts.items(), key=lambda item: (item[0].file.name, item[0].url))
    broken = [BadGranule(task.file.name, one.why_not) for task, one in ordered if one.why_not]
    tables = [
        _table(target, one.part).assign(file=task.file.name) for task, one in ordered if one.part
    ]
    joined = pd.concat([one for one in tables if len(one)] or [_empty().assign(file="")])
    table, moved = _without_moved(joined.reset_index(drop=True))
    table = table.drop_duplicates([*SITE, "day"]).sort_values([*SITE, "day"], ignore_index=True)
    _remove_others(target, receipts)
    if receipts:
        target.put(TABLE, _parquet(table[list(COLUMNS)]))
    sites = len(table[SITE].drop_duplicates())
    return RainSummary(sites, len(table), tuple(sorted({*broken, *moved})), len(receipts))


def _without_moved(table: pd.DataFrame) -> tuple[pd.DataFrame, list[BadGranule]]:
    """Return the rows of stations at their first place, and files that name another."""
    if table.empty:
        return table, []
    places = ["latitude", "longitude"]
    first = table.groupby(SITE, sort=False)[places].transform("first")
    apart = (table[places] - first).abs().max(axis=1).to_numpy()
    is_moved = apart > PLACE_TOLERANCE_DEGREES
    named = table[is_moved].drop_duplicates([*SITE, "file"])
    bad = [
        BadGranule(
            row["file"],
            f"expected {row['network']}/{row['station']} at {before['latitude']:g}, "
            f"{before['longitude']:g} (latitude, longitude) as in the files before, found "
            f"{row['latitude']:g}, {row['longitude']:g}",
        )
        for (_, row), (_, before) in zip(
            named.iterrows(), first.loc[named.index].iterrows(), strict=True
        )
    ]
    return table[~is_moved], bad


def _remove_others(target: Objects, receipts: Mapping[RainFile, RainReceipt]) -> None:
    kept = {_key(task) for task in receipts} | {one.part for one in receipts.values()}
    if receipts:
        kept.add(TABLE)
    listed = [info.key for prefix in (PARTS, RECEIPTS) for info in target.list(prefix)]
    for key in [*listed, *([TABLE] if target.exists(TABLE) else [])]:
        if key not in kept:
            target.delete(key)


def read_rain(url: str) -> pd.DataFrame | None:
    """Return the table of daily rain (mm) below `url`; None where none was ingested."""
    try:
        return _table(open_objects(url), TABLE)
    except NotFoundError:
        return None


def daily_rain(series: Iterable[StationSeries]) -> pd.DataFrame:
    """Return one row a station and UTC day on which the sum is known.

    Columns are network, station, latitude, longitude, day (datetime64[ms]) and rain (mm). A row
    counts for the day of its time, at which its hour (or day) begins.
    """
    found = []
    for one in series:
        values = one.values.astype(np.float64)
        values[~((values >= 0) & (values <= MOST_MM))] = np.nan
        day = one.times.astype("datetime64[D]")
        days, which, rows = np.unique(day, return_inverse=True, return_counts=True)
        known = np.bincount(which, np.isfinite(values), len(days))
        total = np.bincount(which, np.nan_to_num(values), len(days))
        enough = (known > 0) & (known >= LEAST_SHARE * np.median(rows))
        table = pd.DataFrame(
            {
                "network": one.network,
                "station": one.station,
                "latitude": one.latitude,
                "longitude": one.longitude,
                "day": days[enough].astype("datetime64[ms]"),
                "rain": total[enough].astype(np.float32),
            }
        )
        found.append(table)
    return pd.concat(found, ignore_index=True) if found else _empty()


def _empty() -> pd.DataFrame:
    return pd.DataFrame(columns=list(COLUMNS))


def _key(task: RainFile) -> str:
    return f"{RECEIPTS}/{task.input_hash[:32]}.json"


def _read(target: Objects, key: str) -> RainReceipt | None:
    """Return a receipt; None for one that is gone or damaged: its file is read again."""
    try:
        return RainReceipt(**json.loads(target.get(key)))
    except (NotFoundError, ValueError, TypeError):
        return None


def _table(target: Objects, key: str) -> pd.DataFrame:
    return pd.read_parquet(io.BytesIO(target.get(key)))


def _parquet(table: pd.DataFrame) -> bytes:
    data = io.BytesIO()
    table.to_parquet(data, index=False)
    return data.getvalue()
