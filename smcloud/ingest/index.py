"""The granule index: what lies in a bucket, found with one listing and kept as Parquet.

Names alone decide what a file is (`Source.identify`); nothing is opened. Of several files for one
tile and the same days the newest production stamp wins, and the others stay in the index beside
the name that replaced them, so that nobody wonders where a file went.
"""

import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq

from smcloud.core.errors import NotFoundError, UserError
from smcloud.core.objects import ObjectInfo, open_objects
from smcloud.grids.tiles import GLOBE
from smcloud.sources.base import Granule, Source

EXAMPLES = 3
"""How many names an error message shows of a long list."""

_SCHEMA = pa.schema(
    [
        ("tile", pa.string()),
        ("start", pa.date32()),
        ("end", pa.date32()),
        ("produced", pa.string()),
        ("name", pa.string()),
        ("key", pa.string()),
        ("size", pa.int64()),
        ("etag", pa.string()),
        ("superseded_by", pa.string()),
        ("scene", pa.string()),
    ]
)


@dataclass(frozen=True, order=True)
class IndexedGranule:
    """One file of a source: what its name says, and where it lies.

    Attributes
    ----------
    granule : Granule
        Tile, days and production stamp, from the name.
    key : str
        Key below the URL of the index.
    size : int
        Bytes.
    etag : str
        The store's mark of the content; empty for folders, whose marks are modification times.
    superseded_by : str
        Key of the file that replaces this one; empty for a granule in use.
    """

    granule: Granule
    key: str
    size: int
    etag: str = ""
    superseded_by: str = ""


@dataclass(frozen=True)
class GranuleIndex:
    """All files of one source below one URL.

    Attributes
    ----------
    source : str
        Name of the source.
    url : str
        Where the keys lie.
    granules : tuple of IndexedGranule
        Those in use, sorted by tile and first day.
    duplicates : tuple of IndexedGranule
        Those that a newer file replaces.
    """

    source: str
    url: str
    granules: tuple[IndexedGranule, ...]
    duplicates: tuple[IndexedGranule, ...]

    @property
    def tiles(self) -> tuple[str, ...]:
        """Return the tiles that have a granule of their own, sorted."""
        return tuple(sorted({entry.granule.tile for entry in self.granules} - {GLOBE}))


def list_bucket(url: str) -> list[ObjectInfo]:
    """Return every object below `url`, sorted by key: the one listing of a run.

    Raises
    ------
    NotFoundError
        If nothing lies there: an absent bucket or folder, or an empty one.
    StoreError
        If the store refuses.
    """
    found = open_objects(url).list()
    if not found:
        raise NotFoundError(
            f"nothing lies below {url}: the bucket or folder is absent or empty; "
            "check the URL given as --from (or the run file's `granules`)"
        )
    return found


def index_granules(source: Source, url: str, listing: Iterable[ObjectInfo]) -> GranuleIndex:
    """Return the index of `source` in a listing of `url`, duplicates set apart."""
    objects = open_objects(url)
    marks_content = not objects.url.startswith(("file://", "memory://"))
    rivals: dict[tuple[str, ...], list[IndexedGranule]] = defaultdict(list)
    for info in listing:
        granule = source.identify(info.key.rsplit("/", 1)[-1])
        if granule is not None:
            etag = info.etag if marks_content else ""
            rivals[_identity(granule)].append(IndexedGranule(granule, info.key, info.size, etag))
    used: list[IndexedGranule] = []
    duplicates: list[IndexedGranule] = []
    for candidates in rivals.values():
        newest, *older = sorted(candidates, key=_by_production, reverse=True)
        used.append(newest)
        duplicates += [
            IndexedGranule(entry.granule, entry.key, entry.size, entry.etag, newest.key)
            for entry in older
        ]
    return GranuleIndex(source.name, objects.url, tuple(sorted(used)), tuple(sorted(duplicates)))


def _identity(granule: Granule) -> tuple[str, ...]:
    """Return what two versions of one granule share.

    A tile has one granule for its days, and a scene too. Other files (reanalysis months of
    several areas, elevation sheets) lie beside each other: only an equal name makes two rivals.
    """
    days = (granule.tile, granule.start.isoformat(), granule.end.isoformat())
    return (*days, granule.scene or granule.name) if granule.tile == GLOBE else days


def _by_production(entry: IndexedGranule) -> tuple[str, str, str]:
    return entry.granule.produced, entry.granule.name, entry.key


def write_index(index: GranuleIndex, url: str) -> None:
    """Store the index as one Parquet object at `url`."""
    entries = sorted([*index.granules, *index.duplicates])
    table = pa.table(
        {
            "tile": [entry.granule.tile for entry in entries],
            "start": [entry.granule.start for entry in entries],
            "end": [entry.granule.end for entry in entries],
            "produced": [entry.granule.produced for entry in entries],
            "name": [entry.granule.name for entry in entries],
            "key": [entry.key for entry in entries],
            "size": [entry.size for entry in entries],
            "etag": [entry.etag for entry in entries],
            "superseded_by": [entry.superseded_by for entry in entries],
            "scene": [entry.granule.scene for entry in entries],
        },
        schema=_SCHEMA.with_metadata({"source": index.source, "url": index.url}),
    )
    folder, name = url.rsplit("/", 1)
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    open_objects(folder).put(name, sink.getvalue())


def read_index(url: str) -> GranuleIndex:
    """Return the index stored at `url`.

    Raises
    ------
    NotFoundError
        If there is none: list the bucket first.
    """
    folder, name = url.rsplit("/", 1)
    table = pq.read_table(pa.BufferReader(open_objects(folder).get(name)))
    metadata = table.schema.metadata
    source = metadata[b"source"].decode()
    entries = [_entry(source, row) for row in table.to_pylist()]
    return GranuleIndex(
        source,
        metadata[b"url"].decode(),
        tuple(entry for entry in entries if not entry.superseded_by),
        tuple(entry for entry in entries if entry.superseded_by),
    )


def _entry(source: str, row: Mapping[str, str | int | date]) -> IndexedGranule:
    start, end, size = row["start"], row["end"], row["size"]
    if not (isinstance(start, date) and isinstance(end, date) and isinstance(size, int)):
        raise UserError(
            f"the granule index of {source} has a row without dates or size: list the bucket anew"
        )
    tile, produced, name = str(row["tile"]), str(row["produced"]), str(row["name"])
    return IndexedGranule(
        Granule(source, tile, start, end, produced, name, str(row.get("scene", ""))),
        str(row["key"]),
        size,
        str(row["etag"]),
        str(row["superseded_by"]),
    )


def what_was_found(
    index: GranuleIndex, listing: Sequence[ObjectInfo], sources: Iterable[Source]
) -> str:
    """Return a sentence about what a bucket holds, for a run that found nothing it wanted."""
    if index.granules:
        first = min(entry.granule.start for entry in index.granules)
        last = max(entry.granule.end for entry in index.granules)
        tiles = _some(index.tiles) or "the globe"
        return f"found {len(index.granules)} of {index.source} for {tiles}, {first} to {last}"
    kinds: Counter[str] = Counter()
    strangers = []
    for info in listing:
        name = info.key.rsplit("/", 1)[-1]
        kind = next((source.name for source in sources if source.identify(name)), None)
        if kind is None:
            strangers.append(name)
        else:
            kinds[kind] += 1
    told = [f"{count} of {kind}" for kind, count in sorted(kinds.items())]
    if strangers:
        told.append(f"{len(strangers)} of no known source ({_some(strangers)})")
    return "found " + ", ".join(told)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:EXAMPLES])
    return shown if len(names) <= EXAMPLES else f"{shown}, ... ({len(names)} in all)"
