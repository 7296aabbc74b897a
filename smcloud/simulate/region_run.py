"""A region of 0.25 degree cells as files: what is missing is planned, and processes write it."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import NamedTuple

from smcloud.core.listener import Listener
from smcloud.core.objects import Objects
from smcloud.simulate.footprints import Footprints
from smcloud.simulate.granules_amsr import LPRM_PRODUCTS
from smcloud.simulate.passport import stamp
from smcloud.simulate.pieces import StationsPiece
from smcloud.simulate.pool import Piece, run_pieces
from smcloud.simulate.records import Station
from smcloud.simulate.region import Region, land_cells, region_stations
from smcloud.simulate.region_pieces import (
    IMERG,
    CellTruthPiece,
    ImergPiece,
    LprmPiece,
    StripPiece,
    keys_by_day,
    scratch_of,
    strips_of,
)
from smcloud.simulate.request import PLAIN, TRUTH_025, SimulateRequest
from smcloud.simulate.sites import varied
from smcloud.simulate.truth_cells import truth_keys
from smcloud.simulate.world import Earth
from smcloud.simulate.year_pieces import days_in

STRIP_CELLS = 3200
"""Cells that are stepped together: many enough that calls and the weather about them cost little,
few enough that a year of a continent makes pieces for several processes."""
PART_DAYS = 61
"""Days of a source that one process writes at a time."""


class RegionDone(NamedTuple):
    """How much was simulated and written, as `run.Summary` has it."""

    stations: int
    cells: int
    written: int
    kept: int
    bytes_written: int


def write_region(request: SimulateRequest, objects: Objects, listener: Listener) -> RegionDone:
    """Write what is missing of a region, and return what was done.

    Raises
    ------
    ConfigError
        If the region has no land or too little for the stations, or another Earth lies there.
    StoreError
        If the store refuses or is full; what was written stays, and the next call continues.
    """
    region = Region.parse(request.region)
    cells = land_cells(region)
    stations = region_stations(request.seed, request.stations, region, cells)
    if request.sites != PLAIN:
        stations = varied(Earth(request.seed), stations)
    stamp(objects, request, ())
    have = {info.key for info in objects.list()}
    total: Counter[str] = Counter()

    def report(files: int, size: int) -> None:
        total.update(files=files, size=size)
        listener.advance(files, MB=total["size"] / 1e6)

    workers = 1 if objects.url.startswith("memory://") else request.workers
    with tempfile.TemporaryDirectory(prefix="smcloud-") as folder:
        work = _RegionWork(request, cells, Path(folder), have)
        work.plan(stations)
        for name, count, unit, pieces in (
            ("step", len(work.strips), "strips", work.strips),
            ("simulate", work.files, "files", work.writers),
        ):
            if pieces:
                total.clear()
                listener.begin(name, count, unit)
                for _ in run_pieces(pieces, workers, report):
                    pass
                listener.end()
    return RegionDone(len(stations), len(cells.rows), work.files, work.kept, total["size"])


@dataclass
class _RegionWork:
    """What there is to do: strips to step first, and then files to write.

    Attributes
    ----------
    request, cells, folder, have
        What is asked, on which cells, where scratch files go, which keys exist.
    strips, writers : list of pieces
    files, kept : int
        Files to be written, and those that exist.
    """

    request: SimulateRequest
    cells: Footprints
    folder: Path
    have: set[str]
    strips: list[Piece] = field(default_factory=list)
    writers: list[Piece] = field(default_factory=list)
    files: int = 0
    kept: int = 0

    def plan(self, stations: tuple[Station, ...]) -> None:
        """Find what is missing; longest pieces come first."""
        years = tuple(sorted(self.request.years))
        if "ismn" in self.request.sources and stations:
            with_truth = TRUTH_025 in self.request.sources
            piece = StationsPiece(self.request.out, self.request.seed, stations, years, with_truth)
            if self._missing(piece.keys()):
                self.writers.append(piece)
        for year in years:
            self._plan_year(year)

    def _plan_year(self, year: int) -> None:
        request, cells = self.request, self.cells
        wanted: dict[str, frozenset[date]] = {}
        shards = truth_keys(cells, year) if TRUTH_025 in request.sources else []
        if missing := self._missing(shards):
            wanted[TRUTH_025] = frozenset(days_in(year).astype(object))
            scratch = scratch_of(TRUTH_025, self.folder, year, len(cells.rows))
            truth = CellTruthPiece(request.out, year, missing, cells.lon, cells.lat, scratch)
            self.writers.append(truth)
        for source in (one for one in request.sources if one == IMERG or one in LPRM_PRODUCTS):
            keys = keys_by_day(source, year)
            missing = self._missing(keys.values())
            lacking = {day: key for day, key in keys.items() if key in missing}
            if source != IMERG and lacking:
                wanted[source] = frozenset(lacking)
            self.writers += self._files(source, year, lacking)
        if wanted:
            self._plan_strips(year, wanted)

    def _files(self, source: str, year: int, keys: Mapping[date, str]) -> Iterator[Piece]:
        """Yield the pieces that write days of a source."""
        request, cells = self.request, self.cells
        days = list(keys)
        for start in range(0, len(days), PART_DAYS):
            part = {day: keys[day] for day in days[start : start + PART_DAYS]}
            if source == IMERG:
                yield ImergPiece(request.out, request.seed, part, cells.lon, cells.lat)
            else:
                scratch = scratch_of(source, self.folder, year, len(cells.rows))
                yield LprmPiece(request.out, source, part, cells.lon, cells.lat, scratch)

    def _plan_strips(self, year: int, wanted: Mapping[str, frozenset[date]]) -> None:
        cells = self.cells
        scratch = {one: scratch_of(one, self.folder, year, len(cells.rows)) for one in wanted}
        for one in scratch.values():
            one.create()
        for part in strips_of(cells, STRIP_CELLS):
            lon, lat = cells.lon[part], cells.lat[part]
            self.strips.append(
                StripPiece(self.request.seed, year, lon, lat, part.start, wanted, scratch)
            )

    def _missing(self, keys: Iterable[str]) -> frozenset[str]:
        wanted = frozenset(keys)
        missing = wanted - self.have
        self.files += len(missing)
        self.kept += len(wanted) - len(missing)
        return missing
