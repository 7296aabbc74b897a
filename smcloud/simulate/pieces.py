"""Pieces of work beside those on a tile's own pixels: reanalysis, soil, elevation, stations.

Each names the keys it is to write, can be narrowed to those that are missing, and writes them: in
a temporary folder first, then with one put each.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np

from smcloud.core.objects import open_objects
from smcloud.simulate.coarse_files import (
    HoursFile,
    fraction_names,
    hours_files,
    sheets_around,
    soil_names,
    write_china_soil,
    write_hours,
    write_sheet,
    write_soil,
)
from smcloud.simulate.granules_ismn import CEOP, HEADER, download_name, write_folder, write_zip
from smcloud.simulate.granules_rasters import sheet_name
from smcloud.simulate.hdf_eos import TilePixels
from smcloud.simulate.pool import Report
from smcloud.simulate.records import SoilMap, Station, StationSeries
from smcloud.simulate.request import FOLDERS
from smcloud.simulate.station_truth import (
    DAYS_KEY,
    STATIONS_KEY,
    station_day_table,
    station_table,
)
from smcloud.simulate.stations import Record, hourly_series, observe_all
from smcloud.simulate.tile_files import store_file
from smcloud.simulate.world import Earth
from smcloud.simulate.year_pieces import days_of_years

Keys = frozenset[str]


@dataclass(frozen=True)
class HoursPiece:
    """ERA5-Land around the pixels of a tile in one year."""

    out: str
    seed: int
    pixels: TilePixels
    year: int
    next_year_follows: bool
    missing: Keys = frozenset()

    def _files(self) -> dict[str, HoursFile]:
        folder = f"granules/{FOLDERS['era5land']}"
        return {
            f"{folder}/{file.first.year}/{file.name(self.pixels.tile)}": file
            for file in hours_files(self.year, self.next_year_follows)
        }

    def keys(self) -> list[str]:
        """Return the keys of all files of this piece."""
        return list(self._files())

    def only(self, missing: Keys) -> "HoursPiece":
        """Return the piece that writes only these keys."""
        return replace(self, missing=missing)

    def run(self, report: Report) -> None:
        """Write the missing files."""
        wanted = {key: file for key, file in self._files().items() if key in self.missing}
        objects = open_objects(self.out)
        with tempfile.TemporaryDirectory(prefix="smcloud-") as folder:
            paths = write_hours(Path(folder), self.seed, self.pixels, list(wanted.values()))
            for key, path in zip(wanted, paths, strict=True):
                store_file(objects, key, path, report)


@dataclass(frozen=True)
class SoilPiece:
    """The soil maps around the pixels of a tile."""

    out: str
    seed: int
    pixels: TilePixels
    missing: Keys = frozenset()

    def keys(self) -> list[str]:
        """Return the keys of all files of this piece."""
        return [f"granules/{FOLDERS['soilgrids']}/{name}" for name in soil_names(self.pixels.tile)]

    def only(self, missing: Keys) -> "SoilPiece":
        """Return the piece that writes only these keys."""
        return replace(self, missing=missing)

    def run(self, report: Report) -> None:
        """Write the missing files."""
        objects = open_objects(self.out)
        with tempfile.TemporaryDirectory(prefix="smcloud-") as folder:
            paths = write_soil(Path(folder), self.seed, self.pixels)
            for key, path in zip(self.keys(), paths, strict=True):
                if key in self.missing:
                    store_file(objects, key, path, report)


@dataclass(frozen=True)
class ChinaSoilPiece:
    """The maps of the China data set around the pixels of a tile."""

    out: str
    seed: int
    pixels: TilePixels
    missing: Keys = frozenset()

    def keys(self) -> list[str]:
        """Return the keys of all files of this piece."""
        folder = f"granules/{FOLDERS['china_soil']}"
        return [f"{folder}/{name}" for name in fraction_names(self.pixels.tile)]

    def only(self, missing: Keys) -> "ChinaSoilPiece":
        """Return the piece that writes only these keys."""
        return replace(self, missing=missing)

    def run(self, report: Report) -> None:
        """Write the missing files."""
        objects = open_objects(self.out)
        with tempfile.TemporaryDirectory(prefix="smcloud-") as folder:
            paths = write_china_soil(Path(folder), self.seed, self.pixels)
            for key, path in zip(self.keys(), paths, strict=True):
                if key in self.missing:
                    store_file(objects, key, path, report)


def sheet_corners(areas: Sequence[TilePixels]) -> list[tuple[int, int]]:
    """Return the lower left corners of the elevation sheets that some tiles need, sorted."""
    return sorted({corner for pixels in areas for corner in sheets_around(pixels)})


@dataclass(frozen=True)
class SheetPiece:
    """One elevation sheet; tiles that share it are all served."""

    out: str
    seed: int
    areas: tuple[TilePixels, ...]
    corner: tuple[int, int]

    def keys(self) -> list[str]:
        """Return the key of the sheet."""
        return [f"granules/{FOLDERS['terrain']}/{sheet_name(*self.corner)}"]

    def only(self, missing: Keys) -> "SheetPiece":
        """Return this piece: it has one key."""
        return self

    def run(self, report: Report) -> None:
        """Write the sheet."""
        with tempfile.TemporaryDirectory(prefix="smcloud-") as folder:
            path = write_sheet(Path(folder), self.seed, list(self.areas), self.corner)
            store_file(open_objects(self.out), self.keys()[0], path, report)


@dataclass(frozen=True)
class StationsPiece:
    """All stations, in two downloads: even networks a folder, odd networks a zip.

    The folder has the format of header and values, the zip that of CEOP; no station is in both.
    With `with_truth` the truth about the stations is written too: it comes out of the same run. A
    network that is written as plain CSV elsewhere is in no download, but in the truth.
    """

    out: str
    seed: int
    stations: tuple[Station, ...]
    years: tuple[int, ...]
    with_truth: bool = False
    plain_network: str = ""

    def _layouts(self) -> dict[str, tuple[str, ...]]:
        """Return the networks of each download; a lone network has a folder and no zip."""
        networks = sorted({station.network for station in self.stations} - {self.plain_network})
        layouts = {HEADER: tuple(networks[::2]), CEOP: tuple(networks[1::2])}
        return {layout: own for layout, own in layouts.items() if own}

    def _name(self, layout: str) -> str:
        first = np.datetime64(date(self.years[0], 1, 1))
        return download_name(layout, first, np.datetime64(date(self.years[-1], 12, 31)))

    def keys(self) -> list[str]:
        """Return one key per download (its zip, or the last file of its folder) and table."""
        ends = {HEADER: "/Metadata.xml", CEOP: ".zip"}
        downloads = [
            f"granules/{FOLDERS['ismn']}/{self._name(layout)}{ends[layout]}"
            for layout in self._layouts()
        ]
        return downloads + ([STATIONS_KEY, DAYS_KEY] if self.with_truth else [])

    def only(self, missing: Keys) -> "StationsPiece":
        """Return this piece: a download is written whole."""
        return self

    def run(self, report: Report) -> None:
        """Measure and write every download and table; each counts as one file."""
        earth, record = Earth(self.seed), self._observed()
        for layout, networks in self._layouts().items():
            own = [k for k, one in enumerate(self.stations) if one.network in networks]
            with tempfile.TemporaryDirectory(prefix="smcloud-") as folder:
                write = write_zip if layout == CEOP else write_folder
                write(Path(folder), self._name(layout), layout, self._measured(earth, record, own))
                report(1, self._store(Path(folder)))
        if self.with_truth:
            self._write_truth(record, report)

    def _write_truth(self, record: Record, report: Report) -> None:
        objects = open_objects(self.out)
        tables = {
            STATIONS_KEY: station_table(self.stations, record),
            DAYS_KEY: station_day_table(self.stations, record),
        }
        for key, table in tables.items():
            data = table.to_parquet(index=False, compression="zstd")
            objects.put(key, data)
            report(1, len(data))

    def _store(self, folder: Path) -> int:
        """Put all files of a folder, its ``Metadata.xml`` last; return their bytes."""
        objects, total = open_objects(self.out), 0
        files = (path for path in folder.rglob("*") if path.is_file())
        for path in sorted(files, key=lambda path: (path.name == "Metadata.xml", path)):
            data = path.read_bytes()
            name = path.relative_to(folder).as_posix()
            objects.put(f"granules/{FOLDERS['ismn']}/{name}", data)
            total += len(data)
        return total

    def _observed(self) -> Record:
        return observe_all(Earth(self.seed), self.stations, days_of_years(self.years))

    def _measured(
        self, earth: Earth, record: Record, own: list[int]
    ) -> list[tuple[StationSeries, SoilMap]]:
        """Return the series of some of the stations, each with the mapped soil of its place."""
        stations = [self.stations[k] for k in own]
        lon = np.array([station.longitude for station in stations])
        lat = np.array([station.latitude for station in stations])
        soil = vars(earth.soil_map(lon, lat))
        each = [
            SoilMap(**{name: value[k : k + 1] for name, value in soil.items()})
            for k in range(len(stations))
        ]
        return list(zip(hourly_series(record.of(own), stations), each, strict=True))
