"""The simulated Earth as files: `simulate` plans what is missing, and processes write it.

Below the output URL lie ``granules/<product>/...`` as a user's bucket would hold them, and
``truth/<year>.zarr``, which no user has. Giving the same request again writes only what is missing.
"""

import logging
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from smcloud.core.listener import Listener
from smcloud.core.objects import open_objects
from smcloud.simulate.frozen_pieces import FrozenGroundPiece, GldasPiece
from smcloud.simulate.global_albedo import AlbedoPiece
from smcloud.simulate.hdf_eos import TilePixels
from smcloud.simulate.passport import stamp
from smcloud.simulate.pieces import (
    ChinaSoilPiece,
    HoursPiece,
    SheetPiece,
    SoilPiece,
    StationsPiece,
    sheet_corners,
)
from smcloud.simulate.pool import Piece, run_pieces
from smcloud.simulate.records import Station
from smcloud.simulate.references import ReferencesPiece
from smcloud.simulate.region_run import write_region
from smcloud.simulate.request import (
    TRUTH,
    TRUTH_FROZEN,
    SimulateRequest,
    pixels_of,
    stations_of,
)
from smcloud.simulate.station_csv import CsvPiece
from smcloud.simulate.station_temperature import TemperaturePiece
from smcloud.simulate.tile_files import PARTS, TILE_SOURCES, TilePart, tile_keys
from smcloud.simulate.truth import TRUTHS, Scratch
from smcloud.simulate.truth_frozen import FrozenTruthPiece

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Summary:
    """What a call of `simulate` did.

    Attributes
    ----------
    out : str
        URL below which everything lies.
    tiles, stations, pixels : int
        How many of each were simulated; over a region there are no tiles, and pixels are cells.
    written, kept : int
        Files written, and files that were there already.
    bytes_written : int
    seconds : float
    """

    out: str
    tiles: int
    stations: int
    pixels: int
    written: int
    kept: int
    bytes_written: int
    seconds: float


def simulate(request: SimulateRequest, listener: Listener) -> Summary:
    """Write the asked part of a simulated Earth as native files and return what was done.

    Raises
    ------
    ConfigError
        If the window has no land or too little for the stations, or if another Earth (another
        seed, window or number of stations) lies below the same URL.
    StoreError
        If the store refuses or is full; what was written stays, and the next call continues.
    """
    began = time.perf_counter()
    objects = open_objects(request.out)
    if request.region:
        done = write_region(request, objects, listener)
        return Summary(objects.url, 0, *done, time.perf_counter() - began)
    stations = stations_of(request)
    tiles = sorted({*stations, *request.map_tiles})
    areas = [pixels_of(request, tile, stations.get(tile, ())) for tile in tiles]
    stamp(objects, request, [pixels.tile for pixels in areas])
    have = {info.key for info in objects.list()}
    total: Counter[str] = Counter()

    def report(files: int, size: int) -> None:
        total.update(files=files, size=size)
        listener.advance(files, MB=total["size"] / 1e6)

    with tempfile.TemporaryDirectory(prefix="smcloud-") as folder:
        work = _Work.plan(request, areas, stations, have, Path(folder))
        listener.begin("simulate", work.files, "files")
        in_process = objects.url.startswith("memory://")
        workers = 1 if in_process else request.workers
        for piece in run_pieces(work.pieces, workers, report):
            work.finish(piece, request.out)
        listener.end()
    return Summary(
        objects.url,
        len(areas),
        sum(len(own) for own in stations.values()),
        sum(len(pixels.rows) for pixels in areas),
        total["files"],
        work.kept,
        total["size"],
        time.perf_counter() - began,
    )


CoarsePiece = (
    HoursPiece
    | SoilPiece
    | ChinaSoilPiece
    | SheetPiece
    | StationsPiece
    | CsvPiece
    | ReferencesPiece
    | AlbedoPiece
    | FrozenGroundPiece
    | GldasPiece
    | FrozenTruthPiece
    | TemperaturePiece
)


def _coarse_pieces(
    request: SimulateRequest,
    areas: list[TilePixels],
    stations: Mapping[str, tuple[Station, ...]],
) -> Iterator[CoarsePiece]:
    """Yield all that is not on the tiles' own pixels, longest first."""
    out, seed = request.out, request.seed
    if request.references:
        for year in request.years:
            yield ReferencesPiece(
                out, seed, year, tuple(areas), request.references, request.shared_error
            )
    if request.global_albedo:
        for year in request.years:
            yield AlbedoPiece(out, seed, year, tuple(areas), request.global_albedo)
    yield from _frozen_pieces(request, areas)
    everyone = tuple(station for tile in sorted(stations) for station in stations[tile])
    if "ismn_temperature" in request.sources and everyone:
        yield TemperaturePiece(out, seed, everyone, tuple(sorted(request.years)))
    if "ismn" in request.sources and everyone:
        years, with_truth = tuple(sorted(request.years)), TRUTH in request.sources
        yield StationsPiece(
            out, seed, everyone, years, with_truth, _plain_network(request, everyone)
        )
    if everyone:
        yield from _csv_pieces(request, everyone)
    yield from _map_pieces(request, areas)


def _frozen_pieces(
    request: SimulateRequest, areas: list[TilePixels]
) -> Iterator[FrozenGroundPiece | GldasPiece | FrozenTruthPiece]:
    """Yield the satellites of frozen ground, GLDAS, and the truth."""
    for year in request.years:
        if request.frozen_ground:
            yield FrozenGroundPiece(
                request.out, request.seed, year, tuple(areas), request.frozen_ground
            )
        if "gldas" in request.sources:
            yield GldasPiece(request.out, request.seed, year, tuple(areas))
        if TRUTH_FROZEN in request.sources:
            yield FrozenTruthPiece(request.out, request.seed, year, tuple(areas))


def _csv_pieces(request: SimulateRequest, everyone: tuple[Station, ...]) -> Iterator[CsvPiece]:
    """Yield plain CSV: one network where an archive holds the others; rain of all stations."""
    years = tuple(sorted(request.years))
    moist = everyone
    if "ismn" in request.sources:
        plain = _plain_network(request, everyone)
        moist = tuple(station for station in everyone if station.network == plain)
    for source, stations in (("station_csv", moist), ("precipitation_csv", everyone)):
        if source in request.sources and stations:
            yield CsvPiece(request.out, request.seed, stations, years, source)


def _plain_network(request: SimulateRequest, everyone: tuple[Station, ...]) -> str:
    """Return the network that is CSV and in no archive; none where there is but one, or no CSV."""
    networks = sorted({station.network for station in everyone})
    both = {"ismn", "station_csv"} <= set(request.sources)
    return networks[-1] if both and len(networks) > 1 else ""


def _map_pieces(request: SimulateRequest, areas: list[TilePixels]) -> Iterator[CoarsePiece]:
    """Yield reanalysis, soil and elevation."""
    out, seed = request.out, request.seed
    if "era5land" in request.sources:
        for pixels in areas:
            for year in request.years:
                yield HoursPiece(out, seed, pixels, year, year + 1 in request.years)
    if "soilgrids" in request.sources:
        for pixels in areas:
            yield SoilPiece(out, seed, pixels)
    if "china_soil" in request.sources:
        for pixels in areas:
            yield ChinaSoilPiece(out, seed, pixels)
    if "terrain" in request.sources:
        for corner in sheet_corners(areas):
            yield SheetPiece(out, seed, tuple(areas), corner)


@dataclass
class _Work:
    """Pieces to run, and the truth that is complete when its parts are.

    Attributes
    ----------
    pieces : list
        Longest first, so that no process is left alone at the end.
    files, kept : int
        Files to be written, and those that exist.
    truth : dict
        Scratch files by (tile, year).
    parts_left : Counter
        Parts that have not run by (tile, year).
    """

    pieces: list[Piece]
    files: int
    kept: int
    truth: dict[tuple[str, int], tuple[Scratch, ...]]
    parts_left: Counter[tuple[str, int]]

    @classmethod
    def plan(
        cls,
        request: SimulateRequest,
        areas: list[TilePixels],
        stations: Mapping[str, tuple[Station, ...]],
        have: set[str],
        folder: Path,
    ) -> "_Work":
        """Return the work that brings what exists to what is asked."""
        work = cls([], 0, 0, {}, Counter())
        for pixels in areas:
            for year in request.years:
                work._plan_tile_year(request, pixels, year, have, folder)
        for piece in _coarse_pieces(request, areas, stations):
            work._add(piece, have)
        return work

    def _add(self, piece: CoarsePiece, have: set[str]) -> None:
        missing = self._missing(piece.keys(), have)
        if missing:
            self.pieces.append(piece.only(missing))

    def _missing(self, keys: Iterable[str], have: set[str]) -> frozenset[str]:
        wanted = frozenset(keys)
        missing = wanted - have
        self.files += len(missing)
        self.kept += len(wanted) - len(missing)
        return missing

    def _plan_tile_year(
        self, request: SimulateRequest, pixels: TilePixels, year: int, have: set[str], folder: Path
    ) -> None:
        keys = [
            key
            for source in request.sources
            if source in TILE_SOURCES
            for key in tile_keys(source, pixels.tile, year)
        ]
        missing = self._missing(keys, have)
        truth = tuple(
            Scratch(word, folder, pixels, year)
            for word, cube in TRUTHS.items()
            if word in request.sources and set(cube.shard_keys(pixels, year)) - have
        )
        for scratch in truth:
            scratch.create()
        self.truth[pixels.tile, year] = truth
        for part in range(len(PARTS)):
            piece = TilePart(request.out, request.seed, pixels, year, part, missing, truth)
            if truth or piece.keys:
                self.pieces.append(piece)
                self.parts_left[pixels.tile, year] += 1

    def finish(self, piece: Piece, out: str) -> None:
        """Cut the truth of a tile-year into shards once its last part has run."""
        if not isinstance(piece, TilePart):
            return
        key = piece.pixels.tile, piece.year
        self.parts_left[key] -= 1
        if self.parts_left[key] == 0:
            for scratch in self.truth.pop(key):
                scratch.finish(out)
