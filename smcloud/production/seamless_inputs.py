"""What the stages of seamless read: the cells of a run, fields of any days, states of the cubes."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from distributed import Client
from numpy.typing import NDArray

from smcloud.core.config import RunConfig
from smcloud.core.errors import CubeError, NotFoundError, UserError
from smcloud.core.layout import join, year_store
from smcloud.core.listener import Listener
from smcloud.core.objects import open_objects
from smcloud.cube.schema import Days
from smcloud.cube.store import open_cube, shard_key
from smcloud.features.derived import schema_named
from smcloud.grids.grid import GLOBAL025, Window
from smcloud.grids.tiles import GLOBE, TileYear
from smcloud.models.base import content_hash
from smcloud.models.gap_normals import Normals
from smcloud.models.gap_reasons import GapReason
from smcloud.production.block_map import run_listed
from smcloud.production.coarse_year import CoarseBlock, shard_blocks
from smcloud.production.cube_states import states_of
from smcloud.production.ledger import Ledger, combined_hash
from smcloud.production.runner import Task
from smcloud.products.seamless import GAPS, MOISTURE, RAIN, REASON, SCHEMA

Bools = NDArray[np.bool_]
Fields = NDArray[np.float32]
Shards = frozenset[tuple[int, int]]
PRECIPITATION = "precipitation"
DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Region:
    """The land cells of a run that were ever observed in its years, in their bounding window.

    Attributes
    ----------
    window : Window
        Of the grid of 0.25 degree.
    url, key : str
        Where the mask (rows, cols) of the window lies.
    sha256 : str
        Of the mask's bytes.
    """

    window: Window
    url: str
    key: str
    sha256: str

    @property
    def circular(self) -> bool:
        """Say whether the last column lies beside the first, around the globe."""
        return self.window.shape[1] == GLOBAL025.cols

    def land(self) -> Bools:
        """Return the mask (rows, cols) of the window."""
        return _mask(self.url, self.key)

    def land_in(self, window: Window) -> Bools:
        """Return the mask (rows, cols) of any window; False outside the region's own."""
        found = np.zeros(window.shape, np.bool_)
        inside = window.intersect(self.window)
        if inside is not None:
            found[inside.within(window)] = self.land()[inside.within(self.window)]
        return found

    def blocks(self) -> tuple[CoarseBlock, ...]:
        """Return the shards of the product that hold a cell of the region."""
        rows, cols = np.nonzero(self.land())
        height, width = SCHEMA.shards[1:]
        down = (rows + self.window.row0) // height
        across = (cols + self.window.col0) // width
        shards = sorted(set(zip(down.tolist(), across.tolist(), strict=True)))
        return tuple(shard_blocks(SCHEMA, shards))


@lru_cache(maxsize=4)
def _mask(url: str, key: str) -> Bools:
    with np.load(io.BytesIO(open_objects(url).get(key)), allow_pickle=False) as found:
        return np.asarray(found["land"])


@dataclass(frozen=True)
class GapFields:
    """Where the fields of a run lie: URLs and years, never data.

    Attributes
    ----------
    moisture, rain : str
        Prefixes of the cubes of soil moisture with gaps, and of precipitation.
    years, wet_years : tuple of int
        Years that each of them has.
    """

    moisture: str
    rain: str
    years: tuple[int, ...]
    wet_years: tuple[int, ...]

    def span(self, year: int, before: int, behind: int) -> tuple[np.datetime64, np.datetime64]:
        """Return the first and the last day of a year, widened as far as there are cubes."""
        first, last = year, year
        while first - 1 in self.years and before > 0:
            first, before = first - 1, before - len(SCHEMA.times(first - 1))
        while last + 1 in self.years and behind > 0:
            last, behind = last + 1, behind - len(SCHEMA.times(last + 1))
        return SCHEMA.times(first)[0], SCHEMA.times(last)[-1]

    def observed(self, days: Days, window: Window) -> Fields:
        """Return soil moisture (days, rows, cols), m3 m-3, NaN unknown."""
        return self._physical(self.moisture, GAPS, MOISTURE, days, window, self.years)

    def wetted(self, days: Days, window: Window) -> Fields:
        """Return precipitation (days, rows, cols), mm per day; NaN in years without a cube."""
        return self._physical(self.rain, RAIN, PRECIPITATION, days, window, self.wet_years)

    def reasons(self, days: Days, window: Window) -> NDArray[np.uint8]:
        """Return `GapReason` (days, rows, cols)."""
        found = np.full((len(days), *window.shape), GapReason.UNKNOWN, np.uint8)
        for year, here, steps in _by_year(days, self.years):
            cube = open_cube(join(self.moisture, year_store(year)), schema_named(GAPS), year)
            found[here] = cube.read(REASON, steps, window, required=False)
        return found

    def _physical(
        self,
        url: str,
        source: str,
        name: str,
        days: Days,
        window: Window,
        years: tuple[int, ...],
    ) -> Fields:
        found = np.full((len(days), *window.shape), np.nan, np.float32)
        for year, here, steps in _by_year(days, years):
            cube = open_cube(join(url, year_store(year)), schema_named(source), year)
            found[here] = cube.read_physical(name, steps, window, required=False)
        return found


def _by_year(days: Days, years: Iterable[int]) -> list[tuple[int, slice, slice]]:
    """Return the years of consecutive days that have a cube: where they lie, and their steps."""
    found = []
    for year in years:
        own = SCHEMA.times(year)
        first, last = max(days[0], own[0]), min(days[-1], own[-1])
        if first > last:
            continue
        here = slice(int((first - days[0]) / DAY), int((last - days[0]) / DAY) + 1)
        steps = slice(int((first - own[0]) / DAY), int((last - own[0]) / DAY) + 1)
        found.append((year, here, steps))
    return found


@dataclass(frozen=True)
class RunInputs:
    """What a run has to go by.

    Attributes
    ----------
    fields : GapFields
    region : Region
    states : mapping
        Hash of each cube by source and year.
    """

    fields: GapFields
    region: Region
    states: dict[str, str]

    def states_in(self, years: Iterable[int]) -> dict[str, str]:
        """Return the hashes of the cubes of some years."""
        words = {f"{year:04d}" for year in years}
        return {name: one for name, one in self.states.items() if name[-4:] in words}


def inputs_of(config: RunConfig, client: Client | None, listener: Listener) -> RunInputs:
    """Return fields, region and states of a run.

    Raises
    ------
    NotFoundError
        If a year of the run has no cube of soil moisture.
    UserError
        If no cell was observed on any day.
    CubeError
        If shards of a cube are lost.
    """
    own = config.ingested_years
    around = sorted({year + step for year in own for step in (-1, 0, 1)})
    found = {name: states_of(config, (name,), around) for name in (GAPS, RAIN)}
    years, wet = (tuple(y for y in around if _has(found[name], y)) for name in (GAPS, RAIN))
    missing = [str(year) for year in own if year not in years]
    if missing:
        raise NotFoundError(
            f"no cube of {GAPS} for {', '.join(missing)} below {config.cube_prefix(GAPS)}: run "
            "`smcloud ingest` first"
        )
    dry = [str(year) for year in own if year not in wet]
    if dry:
        listener.warn(
            f"no precipitation for {', '.join(dry)}: gaps are filled without it, as if it were "
            "unknown"
        )
    fields = GapFields(config.cube_prefix(GAPS), config.cube_prefix(RAIN), years, wet)
    states = {k: v for one in found.values() for k, v in one.items() if v != "absent"}
    region = _region_of(config, fields, found[GAPS], client, listener)
    return RunInputs(fields, region, states)


def year_normals(fields: GapFields, region: Region, year: int) -> Normals:
    """Return what the cells of a region usually have in a calendar year.

    Few days are in memory at a time. Segments, slabs and parts of a year all get the same.
    """
    land, days = region.land(), SCHEMA.times(year)
    total, count = np.zeros(land.shape), np.zeros(land.shape)
    step = SCHEMA.chunks[0]
    for first in range(0, len(days), step):
        part = fields.observed(days[first : first + step], region.window)
        known = np.isfinite(part) & land
        count += known.sum(axis=0)
        total += np.where(known, part, np.float32(0)).sum(axis=0, dtype=np.float64)
    return Normals.of_sums(total, count, circular=region.circular)


def _has(states: dict[str, str], year: int) -> bool:
    return any(one != "absent" for name, one in states.items() if name.endswith(f"{year:04d}"))


def _region_of(
    config: RunConfig,
    fields: GapFields,
    states: dict[str, str],
    client: Client | None,
    listener: Listener,
) -> Region:
    """Return the region of a run: found once for the same cubes."""
    own = {f"{year:04d}" for year in config.ingested_years}
    used = {name: one for name, one in states.items() if name[-4:] in own}
    url = join(config.store.root, "work", "seamless-region")
    key = f"{combined_hash([1, used])}.npz"
    objects = open_objects(url)
    if not objects.exists(key):
        whole = _observed_land(config, fields, client, listener)
        rows, cols = np.flatnonzero(whole.any(axis=1)), np.flatnonzero(whole.any(axis=0))
        if not rows.size:
            raise UserError(
                f"no cell of {GAPS} was observed on any day of "
                f"{', '.join(map(str, config.ingested_years))}: there is nothing to fill gaps from"
            )
        edges = (rows[0], rows[-1] + 1, cols[0], cols[-1] + 1)
        file = io.BytesIO()
        land = whole[edges[0] : edges[1], edges[2] : edges[3]]
        np.savez_compressed(file, land=land, edges=np.array(edges))
        objects.put(key, file.getvalue())
    data = objects.get(key)
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        window = Window(*(int(edge) for edge in found["edges"]))
        mask = np.packbits(found["land"]).tobytes()
    return Region(window, url, key, content_hash(mask + repr(window).encode()))


def _observed_land(
    config: RunConfig, fields: GapFields, client: Client | None, listener: Listener
) -> Bools:
    """Return which cells of the grid are land and were observed on a day of the run's years."""
    seen = np.zeros((GLOBAL025.rows, GLOBAL025.cols), np.bool_)
    water = np.zeros_like(seen)
    tasks, windows = [], []
    for year in config.ingested_years:
        for window in _rows_of(stored_shards(config, fields, year)):
            name = f"region-{year}-r{window.row0:03d}"
            tasks.append(Task(name, observed_cells, (fields, year, window)))
            windows.append(window)
    told = run_listed(tasks, "find the observed land", "rows of blocks", client, listener)
    for window, found in zip(windows, told, strict=True):
        flags = np.unpackbits(np.frombuffer(found, np.uint8))[: 2 * np.prod(window.shape)]
        is_seen, is_water = flags.astype(bool).reshape(2, *window.shape)
        seen[window.slices] |= is_seen
        water[window.slices] |= is_water
    return seen & ~water


def observed_cells(fields: GapFields, year: int, window: Window) -> bytes:
    """Return packed bits (2, rows, cols): observed on a day, and no land; the task of a worker."""
    reason = fields.reasons(SCHEMA.times(year), window)
    flags = [(reason == kind).any(axis=0) for kind in (GapReason.OBSERVED, GapReason.NOT_LAND)]
    return np.packbits(np.stack(flags)).tobytes()


def stored_shards(config: RunConfig, fields: GapFields, year: int) -> Shards:
    """Return the shards (row, col) of soil moisture that a year's cube has.

    Raises
    ------
    CubeError
        If the ledger knows of one that is not there.
    """
    url = join(fields.moisture, year_store(year))
    stored = {info.key for info in open_objects(url).list()}
    schema = schema_named(GAPS)
    if GAPS not in config.ingest.cubes:
        key = TileYear(schema.grid, GLOBE, year)
        known = Ledger(config.store.root, f"ingest/{GAPS}").records(year)[key].shards
        lost = sorted(set(known) - stored)
        if lost:
            raise CubeError(
                f"{url} lacks {lost[0]} (and {len(lost) - 1} more): run `smcloud ingest` again"
            )
    height, width = schema.shards[1:]
    down, across = -(-schema.on.rows // height), -(-schema.on.cols // width)
    return frozenset(
        (row, col)
        for row in range(down)
        for col in range(across)
        if shard_key(REASON, (0, row, col)) in stored
    )


def _rows_of(shards: Shards) -> list[Window]:
    """Return a window for each row of shards, from the first of them to the last."""
    blocks = shard_blocks(schema_named(GAPS), sorted(shards))
    found = []
    for top in sorted({block.window.row0 for block in blocks}):
        own = [block.window for block in blocks if block.window.row0 == top]
        left, right = min(one.col0 for one in own), max(one.col1 for one in own)
        found.append(Window(top, own[0].row1, left, right))
    return found
