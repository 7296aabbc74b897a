"""What a task of the station ingest does and leaves behind: a part, and a receipt that says so.

The receipt's name is the hash of all that the part depends on, so a later run finds it, or runs the
task again because a file or a rule has changed.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from smcloud.core.errors import NotFoundError
from smcloud.core.objects import open_objects
from smcloud.ingest.daily_means import StationRules
from smcloud.ingest.receipts import READERS, BadGranule
from smcloud.ingest.station_files import StationFiles, read_station_files
from smcloud.ingest.stations import DAILY, Row, SensorFiles, daily_part, sensor_files, write_part

RECEIPTS = "receipts"


@dataclass(frozen=True)
class StationReceipt:
    """What one task made of its files.

    Attributes
    ----------
    part : str
        Key of the daily means; empty where no sensor has a known day.
    rows : tuple of Row
        Of the table of sensors.
    files : int
        Series that the task was given.
    copies : int
        Of these, files that another one repeats.
    broken : tuple of BadGranule
        Files that are malformed, or that stand elsewhere than the sensor whose name they bear.
    """

    part: str
    rows: tuple[Row, ...]
    files: int
    copies: int
    broken: tuple[BadGranule, ...]


def ingest_station_files(task: StationFiles, rules: StationRules, url: str) -> StationReceipt:
    """Store the daily means of a task's files below `url`, and return its receipt.

    The receipt is stored last, and only beside at least one sensor: an archive of which nothing can
    be used leaves nothing behind.
    """
    read = read_station_files(task, rules)
    sensors = sensor_files(read.sensors)
    part = daily_part(sensors)
    broken = (*read.broken, *(bad for files in sensors for bad in _elsewhere(files)))
    copies = sum(files.copies for files in sensors)
    receipt = StationReceipt(part.key, part.rows, len(task.series), copies, broken)
    if part.rows:
        write_part(part, url)
        write_receipt(task, rules, receipt, url)
    return receipt


def write_receipt(
    task: StationFiles, rules: StationRules, receipt: StationReceipt, url: str
) -> None:
    """Store the receipt of a task below `url`."""
    body = vars(receipt) | {"broken": [vars(bad) for bad in receipt.broken]}
    text = json.dumps(body, sort_keys=True)
    open_objects(url).put(_key(task, rules), text.encode())


def _elsewhere(files: SensorFiles) -> list[BadGranule]:
    first = files.first
    return [
        BadGranule(
            other.file,
            f"expected the place of {first.file}, which names the same sensor "
            f"{first.station_id}: {first.latitude}, {first.longitude}; found {other.latitude}, "
            f"{other.longitude}",
        )
        for other in files.elsewhere
    ]


def _key(task: StationFiles, rules: StationRules) -> str:
    return f"{RECEIPTS}/{task.input_hash(rules)[:32]}.json"


def finished(
    tasks: Sequence[StationFiles], rules: StationRules, url: str
) -> dict[StationFiles, StationReceipt]:
    """Return the receipts below `url` of tasks that need not run again: their parts lie there."""
    target = open_objects(url)
    receipts = {info.key for info in target.list(RECEIPTS)}
    parts = {info.key for info in target.list(DAILY)} | {""}
    held = [task for task in tasks if _key(task, rules) in receipts]
    with ThreadPoolExecutor(READERS) as pool:
        found = pool.map(partial(_read, url), (_key(task, rules) for task in held))
        return {
            task: receipt
            for task, receipt in zip(held, found, strict=True)
            if receipt is not None and receipt.part in parts
        }


def _read(url: str, key: str) -> StationReceipt | None:
    """Return a receipt; None for one that is gone or damaged: its task runs again."""
    try:
        body = json.loads(open_objects(url).get(key))
        broken = tuple(BadGranule(**bad) for bad in body["broken"])
        return StationReceipt(**body | {"broken": broken, "rows": tuple(body["rows"])})
    except (NotFoundError, ValueError, KeyError, TypeError):
        return None


def remove_others(tasks: Sequence[StationFiles], rules: StationRules, url: str) -> None:
    """Remove the receipts below `url` of tasks that the archive no longer has."""
    target = open_objects(url)
    kept = {_key(task, rules) for task in tasks}
    for info in target.list(RECEIPTS):
        if info.key not in kept:
            target.delete(info.key)
