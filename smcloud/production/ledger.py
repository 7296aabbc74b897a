"""The ledger: one record for each tile-year and stage, written by the runner alone.

Below ``ledger/<stage>/<year>/`` lie numbered records, ``000012.json``, and snapshots that
fold all records up to a number, ``snapshot-000012.json``. The newest record of a tile counts. So
`status` reads one snapshot and what came after it, a record is created once and never rewritten,
and nothing is ever deleted.
"""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from smcloud.core.errors import IntegrityError
from smcloud.core.layout import Layout, join
from smcloud.core.objects import ObjectInfo, open_objects
from smcloud.grids.tiles import STATIC, TileYear

log = logging.getLogger(__name__)

FORMAT = 1
_RECORD = re.compile(r"(\d{6})\.json")
_SNAPSHOT = re.compile(r"snapshot-(\d{6})\.json")


@dataclass(frozen=True)
class Record:
    """What one stage made of one tile-year."""

    stage: str
    """Stage and what it made: ``ingest/mod11a1``, ``produce/glass-sm``."""
    key: TileYear
    input_hash: str
    """Sha256 of everything the output depends on; never a modification time."""
    shards: Mapping[str, str]
    """Object key of each shard below its store, and the sha256 of its decoded values."""
    version: str = ""
    """Version of the product store; empty for stores without versions."""
    epoch: int = 0
    """Epoch of the lease that the writer held; 0 for stages that need none."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """Counts, bytes and seconds (``rows``, ``blocks``, ``seconds_read``, ``peak_bytes``)."""
    problems: tuple[str, ...] = ()
    """Names of inputs that were missing or damaged, or days without a model; what hangs on them is
    unknown."""
    part: str = ""
    """Part of the tile that was made, ``ROWSxCOLS+ROW+COL``; empty for driver cubes."""

    @property
    def output_hash(self) -> str:
        """Return the sha256 over the shards' hashes: equal outputs have equal hashes."""
        return combined_hash(dict(self.shards))

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON values."""
        return {**asdict(self), "format": FORMAT, "key": str(self.key)}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> "Record":
        """Return the record that `to_json` wrote.

        Raises
        ------
        IntegrityError
            If it is of another format.
        """
        found = body.get("format")
        if found != FORMAT:
            raise IntegrityError(
                f"a ledger record of format {found!r}, this smcloud reads format {FORMAT}: "
                "use the smcloud that wrote it"
            )
        values = {name: value for name, value in body.items() if name != "format"}
        values["key"] = TileYear.parse(values["key"])
        values["problems"] = tuple(values["problems"])
        return cls(**values)


def combined_hash(content: object) -> str:
    """Return the sha256 of JSON values, whatever the order of their keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _no_guard() -> None:
    """Let every write pass, for stages that hold no lease."""


class Ledger:
    """The records of one stage below a product root.

    Parameters
    ----------
    root
        URL of the product root.
    stage
        ``ingest/<source>`` or ``produce/<product>``.
    guard
        Called before each write; raises when this runner no longer holds the lease.
    """

    def __init__(self, root: str, stage: str, guard: Callable[[], None] = _no_guard) -> None:
        self.stage = stage
        self._url = join(Layout(root).ledger, stage)
        self._guard = guard

    def records(self, year: int | None, version: str | None = None) -> dict[TileYear, Record]:
        """Return the newest record of each tile of a year, sorted; empty before the first.

        With a version, the newest of that version: a later one may be half made beside it.

        Raises
        ------
        IntegrityError
            If a record cannot be read.
        """
        found = {r.key: r for r in self._stored(year) if version in (None, r.version)}
        return dict(sorted(found.items()))

    def write(self, record: Record) -> None:
        """Store a record under the next free number, after asking the guard."""
        self._guard()
        folder = open_objects(self._url).child(_year_word(record.key.year))
        listing = folder.list()
        numbers = [*_numbered(listing, _RECORD), *_numbered(listing, _SNAPSHOT)]
        data = _dump([record])
        number = max(numbers, default=0) + 1
        # Stages without a lease (ingest) may run side by side: the next number is then taken.
        while not _created(folder.url, f"{number:06d}.json", data):
            number += 1

    def snapshot(self, year: int | None) -> None:
        """Fold all records of a year into one object, if any came since the last one."""
        self._guard()
        folder = open_objects(self._url).child(_year_word(year))
        listing = folder.list()
        newest = max(_numbered(listing, _RECORD), default=0)
        if newest > max(_numbered(listing, _SNAPSHOT), default=0):
            # The newest of each tile and version, oldest first: a version that readers see must
            # not be forgotten for one that was left unpublished.
            kept: dict[tuple[TileYear, str], Record] = {}
            for record in self._stored(year):
                kept.pop((record.key, record.version), None)
                kept[record.key, record.version] = record
            records = list(kept.values())
            folder.put(f"snapshot-{newest:06d}.json", _dump(records))

    def _stored(self, year: int | None) -> Iterator[Record]:
        """Yield the newest snapshot's records, then those that came after it, oldest first."""
        folder = open_objects(self._url).child(_year_word(year))
        listing = folder.list()
        folded = 0
        snapshots = _numbered(listing, _SNAPSHOT)
        if snapshots:
            folded = max(snapshots)
            yield from map(
                Record.from_json, self._parse(folder.get(snapshots[folded]), snapshots[folded])
            )
        for number, name in sorted(_numbered(listing, _RECORD).items()):
            if number > folded:
                yield from map(Record.from_json, self._parse(folder.get(name), name))

    def _parse(self, data: bytes, name: str) -> list[dict[str, Any]]:
        try:
            bodies: list[dict[str, Any]] = json.loads(data)["records"]
        except (ValueError, KeyError, TypeError) as err:
            raise IntegrityError(
                f"the ledger object {self._url}/{name} cannot be read: restore it from a copy, or "
                "delete it and run the stage again"
            ) from err
        return bodies


def _created(url: str, name: str, data: bytes) -> bool:
    folder = open_objects(url)
    # A retried request whose first reply was lost finds its own bytes.
    return folder.create(name, data) or folder.get(name) == data


def _numbered(listing: list[ObjectInfo], pattern: re.Pattern[str]) -> dict[int, str]:
    matches = [(pattern.fullmatch(info.key), info.key) for info in listing]
    return {int(match[1]): key for match, key in matches if match}


def _dump(records: list[Record]) -> bytes:
    body = {"records": [record.to_json() for record in records]}
    return (json.dumps(body, sort_keys=True, indent=1) + "\n").encode()


def _year_word(year: int | None) -> str:
    return STATIC if year is None else f"{year:04d}"
