"""What has to be ingested: one task for each tile, source and slab of time steps.

A task is small and picklable: URLs, keys and names, never data. Its input hash covers everything
its output depends on (granule names, sizes and content marks, the quality rule, the version of the
cube's schema), and no modification time, so that a second run can tell what is already there.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import UserError
from smcloud.core.layout import Layout, join, year_store
from smcloud.cube.schema import CubeSchema
from smcloud.grids.tiles import GLOBE, STATIC, TileYear, tiles_of
from smcloud.ingest.index import GranuleIndex, IndexedGranule
from smcloud.sources.area_means import HELD_CELLS
from smcloud.sources.base import KnowsItsDays, KnowsItsMemory, PairsFiles, Source
from smcloud.sources.day_files import KEPT_BYTES
from smcloud.sources.era5_land import BLOCK_BYTES

FLOAT32_BYTES = 4
NATIVE_PIXELS = 4
"""Pixels of the finest files (500 m) in a pixel of 1 km."""
GRANULE_BYTES = 8
"""Bytes a native pixel while a layer is packed: quality words (6 at most) and the layer's code."""
STRIP_BYTES = 4 * FLOAT32_BYTES * HELD_CELLS
"""Cells around a strip of a raster while they are read and masked (`sources.area_means`)."""
HOURS_BYTES = 2 * BLOCK_BYTES
"""Hours of a coarse file as stored and clipped (`sources.era5_land`)."""
PROCESS_BYTES = 400_000_000
"""A worker with its libraries before its first task."""
Days = NDArray[np.datetime64]


@dataclass(frozen=True)
class IngestTask:
    """One tile and one slab of time steps of one source.

    Attributes
    ----------
    source : str
        Name of the source in the registry.
    key : TileYear
        Tile and year of the cube; a coarse grid has the one tile ``globe``.
    slab : int
        Number of the slab along time; 0 for a static store.
    from_url, to_url : str
        Where the granules lie, and the root that the cubes lie below.
    granules : tuple of IndexedGranule
        Files to open, each once.
    missing : tuple of str
        First days (ISO) of the steps that no granule covers.
    quality : str
        Quality rule of the source.
    schema_version : int
        Version of the cube's schema.
    only_shards : tuple of (row, col) | None
        Spatial shards to write; None for all that the granules reach.
    """

    source: str
    key: TileYear
    slab: int
    from_url: str
    to_url: str
    granules: tuple[IndexedGranule, ...]
    missing: tuple[str, ...] = ()
    quality: str = ""
    schema_version: int = 1
    only_shards: tuple[tuple[int, int], ...] | None = None

    @property
    def name(self) -> str:
        """Return the readable name that operators see, ``ingest-mod11a1-h18v04-2019-s03``."""
        return f"ingest-{self.source}-{self.key.tile}-{_year_word(self.key)}-s{self.slab:02d}"

    @property
    def cube_url(self) -> str:
        """Return the URL of the store that the task writes to."""
        return join(Layout(self.to_url).cubes(self.source), year_store(self.key.year))

    @property
    def receipt_key(self) -> str:
        """Return the key of the receipt below `receipts_url`."""
        return f"{self.key.tile}-s{self.slab:02d}.json"

    @property
    def receipts_url(self) -> str:
        """Return the prefix of the receipts of this source and year."""
        return receipts_url(self.to_url, self.source, self.key)

    @property
    def input_hash(self) -> str:
        """Return the sha256 of all that the output depends on."""
        inputs = {
            "granules": [[g.granule.name, g.key, g.size, g.etag] for g in self.granules],
            "from": self.from_url,
            "quality": self.quality,
            "schema": [self.source, self.schema_version],
            "shards": self.only_shards,
        }
        return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class SlabChoice:
    """Which granules a slab needs, and which of its steps have none."""

    granules: tuple[IndexedGranule, ...]
    missing: tuple[str, ...]


def receipts_url(root: str, source: str, key: TileYear) -> str:
    """Return the prefix of the ingest receipts of one source and year."""
    return join(root, "receipts", "ingest", source, _year_word(key))


def plan_ingest(
    source: Source,
    index: GranuleIndex,
    to_url: str,
    keys: Iterable[TileYear],
    *,
    quality: str = "",
    only_shards: Sequence[tuple[int, int]] | None = None,
) -> list[IngestTask]:
    """Return one task for each slab of each tile-year that has a granule, in the order of the keys.

    On the fine grid the slabs without any granule are tasks too: they write shards in which nothing
    is known, so that an absent object always means loss. How far a coarse grid's files reach is
    not known before they are opened, so there such a slab has no task.

    Parameters
    ----------
    source, index
        What to read and where it lies.
    to_url
        Root that the cubes lie below.
    keys
        Tile-years wanted; `keys_of` makes them.
    quality, only_shards
        Quality rule, empty for the default; spatial shards (row, col) of a coarse grid to write.

    Raises
    ------
    UserError
        If the source has no such quality rule.
    """
    rule = _quality_rule(source, quality)
    shards = tuple(sorted(only_shards)) if only_shards is not None else None
    return [
        IngestTask(
            source=source.name,
            key=key,
            slab=slab,
            from_url=index.url,
            to_url=to_url,
            granules=choice.granules,
            missing=choice.missing,
            quality=rule,
            schema_version=source.schema.version,
            only_shards=shards,
        )
        for key in keys
        for slab, choice in _slabs_to_write(source, index, key, rule)
    ]


def _slabs_to_write(
    source: Source, index: GranuleIndex, key: TileYear, rule: str
) -> list[tuple[int, SlabChoice]]:
    """Return the slabs of a tile-year that have a task, by number."""
    choices = _slab_choices(source, index, key, rule)
    is_held = any(choice.granules for choice in choices)
    return [
        (slab, choice)
        for slab, choice in enumerate(choices)
        if choice.granules or (is_held and source.schema.on.is_fine)
    ]


def _slab_choices(
    source: Source, index: GranuleIndex, key: TileYear, rule: str
) -> list[SlabChoice]:
    entries = [entry for entry in index.granules if source.covers(entry.granule, key)]
    days = source.schema.times(key.year)
    return [
        choose_granules(source, entries, days[steps], rule)
        for steps in source.schema.slabs(key.year)
    ]


def keys_of(
    source: Source, tiles: Iterable[str], years: Iterable[int], index: GranuleIndex
) -> list[TileYear]:
    """Return the tile-years of a source's cube, sorted.

    No tile named means all that the index has. A coarse grid has the one tile ``globe`` whatever
    tiles are named, a static source the one year ``static``.

    Raises
    ------
    ConfigError
        If a tile or year does not exist.
    UserError
        If the source has time steps and no year is named.
    """
    wanted = sorted(set(tiles))
    grid = source.schema.grid
    for tile in wanted:
        TileYear("sin1km", tile, None)
    if source.schema.on.is_fine:
        places = wanted or list(index.tiles)
        if not places and index.granules:
            raise UserError(f"{source.name} is not cut along tiles: name some, as --tiles h25v05")
    else:
        places = [GLOBE]
    when: list[int | None] = [None] if source.schema.is_static else [*sorted(set(years))]
    if not when:
        raise UserError(f"{source.name} has a cube for each year: name one, such as --year 2019")
    return [TileYear(grid, tile, year) for tile in places for year in when]


def choose_granules(
    source: Source, entries: Sequence[IndexedGranule], days: Days, quality: str = ""
) -> SlabChoice:
    """Return the granules of one tile that a slab needs, and the steps without any.

    A composite belongs to the step of its first day alone; a file that spans many days belongs to
    every slab that it overlaps, and accumulated values need `lookahead_days` beyond the slab. Where
    the quality of a day lies in a file of its own, a step without that lacks its granule too.
    """
    scenes = source.scenes(quality) if isinstance(source, PairsFiles) else ()
    entries = [e for e in entries if not scenes or e.granule.scene in scenes]
    if source.schema.step_days is None:
        return SlabChoice(tuple(entries), ())
    step = source.schema.step_days
    first = _as_date(days[0])
    last = _as_date(days[-1]) + timedelta(days=step - 1)
    # The last composite of a year is cut short: what begins in January is the next year's first.
    last = min(last, date(_as_date(days[-1]).year, 12, 31))
    if source.joins_granules:
        until = last + timedelta(days=source.lookahead_days)
        chosen = [e for e in entries if e.granule.start <= until and e.granule.end >= first]
        if all(e.granule.start > last for e in chosen):
            chosen = []
    else:
        chosen = [e for e in entries if first <= e.granule.start <= last]
    groups = [[e for e in chosen if e.granule.scene == scene] for scene in scenes] or [chosen]
    lacking = {day for group in groups for day in _uncovered(source, group, days)}
    return SlabChoice(tuple(chosen), tuple(sorted(lacking)))


def _uncovered(source: Source, chosen: Sequence[IndexedGranule], days: Days) -> tuple[str, ...]:
    """Return the first days of the steps that lack a granule which is to be expected."""
    spans = [(e.granule.start, e.granule.end) for e in chosen]
    starts = {start for start, _ in spans}
    uncovered = []
    for stamp in days:
        day = _as_date(stamp)
        if source.joins_granules:
            covered = any(start <= day <= end for start, end in spans)
        else:
            covered = day in starts
        if not covered and (not isinstance(source, KnowsItsDays) or source.expects(day)):
            uncovered.append(day.isoformat())
    return tuple(uncovered)


def station_shards(
    schema: CubeSchema, lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> list[tuple[int, int]]:
    """Return the spatial shards (row, col) that hold the points, sorted.

    On a coarse grid the neighbouring cells count too: values are interpolated between them.
    """
    grid = schema.on
    row, col = grid.pixel_of(lon, lat)
    reach = (0,) if grid.is_fine else (-1, 0, 1)
    rows, cols = schema.shards[1:]
    found = set()
    for down in reach:
        for across in reach:
            at_row = np.clip(row + down, 0, grid.rows - 1) // rows
            at_col = (col + across) % grid.cols // cols
            found |= set(zip(at_row.tolist(), at_col.tolist(), strict=True))
    return sorted(found)


def station_tiles(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> list[str]:
    """Return the sinusoidal tiles that hold the points (degrees), sorted."""
    return sorted(set(tiles_of(lon, lat)))


def task_bytes(source: Source, task: IngestTask) -> int:
    """Return the peak bytes of the process of a task, estimated from above.

    All variables of a shard packed, one of them encoded, the process itself, and what reading
    takes.
    """
    schema = source.schema
    layers = 1 if schema.is_static else schema.shards[0]
    pixels = layers * schema.shards[1] * schema.shards[2]
    packed = [np.dtype(v.dtype).itemsize * pixels for v in schema.variables]
    reading = _tile_bytes(source) if schema.on.is_fine else _coarse_bytes(source, task)
    return sum(packed) + max(packed) + reading + PROCESS_BYTES


def _tile_bytes(source: Source) -> int:
    """Return the bytes of reading files of the fine grid.

    A granule's quality words and one layer as stored; for a source that joins granules the joined
    steps in float32, for a static store all variables in float32 with as much again.
    """
    schema = source.schema
    steps, rows, cols = schema.shards
    if schema.is_static:
        return 2 * FLOAT32_BYTES * rows * cols * len(schema.variables) + STRIP_BYTES
    granule = GRANULE_BYTES * NATIVE_PIXELS * rows * cols
    if source.joins_granules:
        granule += FLOAT32_BYTES * steps * rows * cols * len(schema.variables)
    return granule


def _coarse_bytes(source: Source, task: IngestTask) -> int:
    """Return the bytes of reading files of a coarse grid, all of a task open at once.

    The joined steps of a shard in float32, the small layers that each file keeps, and blocks of
    hours.
    """
    schema = source.schema
    steps, rows, cols = schema.shards
    layer = FLOAT32_BYTES * schema.on.rows * schema.on.cols
    held = len(task.granules) * len(schema.variables) * layer if layer <= KEPT_BYTES else 0
    if isinstance(source, KnowsItsMemory):
        held = source.kept_bytes(len(task.granules), task.quality)
    joined = FLOAT32_BYTES * steps * rows * cols * len(schema.variables)
    return joined + held + HOURS_BYTES


def _quality_rule(source: Source, quality: str) -> str:
    rules = source.quality_rules
    if not quality:
        return rules[0] if rules else ""
    if quality not in rules:
        known = ", ".join(rules) or "none: leave it out"
        raise UserError(f"{source.name} has no quality rule {quality!r}: expected {known}")
    return quality


def _as_date(stamp: np.datetime64) -> date:
    day: date = stamp.astype("datetime64[D]").item()
    return day


def _year_word(key: TileYear) -> str:
    return STATIC if key.year is None else f"{key.year:04d}"
