"""What an ingest task leaves behind: a receipt that says what it read, skipped and wrote."""

import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from smcloud.core.errors import NotFoundError
from smcloud.core.objects import open_objects
from smcloud.ingest.plan import IngestTask

FORMAT = 1
READERS = 16
"""Threads that fetch receipts: each is one small request, mostly waiting."""


@dataclass(frozen=True, order=True)
class BadGranule:
    """A file that was listed but could not be used, and why."""

    name: str
    reason: str

    def __str__(self) -> str:
        """Return both in one line; a reason that names the file says it alone."""
        return self.reason if self.name in self.reason else f"{self.name}: {self.reason}"


@dataclass(frozen=True)
class IngestReceipt:
    """What one task did.

    Attributes
    ----------
    task : str
        Name of the task, ``ingest-mod11a1-h18v04-2019-s03``.
    source, key, slab
        What it belongs to; `key` is the TileYear as text.
    input_hash : str
        `IngestTask.input_hash` of the task that wrote it.
    shards : mapping
        Object key of each shard below the store, with the sha256 of its decoded values (the stored
        integers, little-endian, in C order).
    granules_read : int
        Files that were opened and used.
    missing : tuple of str
        First days of the steps without any granule; their pixels are unknown.
    damaged : tuple of BadGranule
        Files that could not be used; their pixels are unknown.
    bytes_read, bytes_written : int
    seconds : float
    peak_bytes : int
        Peak resident memory of the process that ran the task, up to its end.
    """

    task: str
    source: str
    key: str
    slab: int
    input_hash: str
    shards: Mapping[str, str]
    granules_read: int
    missing: tuple[str, ...]
    damaged: tuple[BadGranule, ...]
    bytes_read: int
    bytes_written: int
    seconds: float
    peak_bytes: int


def write_receipt(task: IngestTask, receipt: IngestReceipt) -> None:
    """Store the receipt of a task: the last thing it does."""
    body = {"format": FORMAT, **asdict(receipt), "shards": dict(receipt.shards)}
    text = json.dumps(body, sort_keys=True, indent=1)
    open_objects(task.receipts_url).put(task.receipt_key, text.encode())


def read_receipt(task: IngestTask) -> IngestReceipt | None:
    """Return the receipt that lies where the task would put its own; None if there is none.

    A receipt of another format is none: the task runs again.
    """
    try:
        body = json.loads(open_objects(task.receipts_url).get(task.receipt_key))
    except (NotFoundError, json.JSONDecodeError):
        return None
    if not isinstance(body, dict) or body.pop("format", None) != FORMAT:
        return None
    body["missing"] = tuple(body["missing"])
    body["damaged"] = tuple(BadGranule(**bad) for bad in body["damaged"])
    return IngestReceipt(**body)


def finished(tasks: Iterable[IngestTask], stored: Mapping[str, set[str]]) -> list[IngestReceipt]:
    """Return the receipts of the tasks that need not run again.

    Parameters
    ----------
    tasks
        The plan.
    stored
        Object keys that lie in each store, by the store's URL: a receipt whose shards are gone
        does not count.
    """
    with ThreadPoolExecutor(READERS) as pool:
        pairs = [*zip(tasks := list(tasks), pool.map(read_receipt, tasks), strict=True)]
    return [
        receipt
        for task, receipt in pairs
        if receipt is not None
        and receipt.input_hash == task.input_hash
        and set(receipt.shards) <= stored.get(task.cube_url, set())
    ]
