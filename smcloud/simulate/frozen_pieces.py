"""Files of frozen ground over the cells of some tiles: brightness, states of the ground, GLDAS.

A pass of a radiometer is a file for each day and direction on which it sees a cell; SMOS, SMAP and
GLDAS have their files on each day of their missions. States remember the days before, so a year is
always stepped from its first day.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from smcloud.core.objects import open_objects
from smcloud.grids.grid import EASE2_36KM, EASE2_NORTH_25KM, GLOBAL025
from smcloud.simulate.footprints import Footprints
from smcloud.simulate.frozen_ground import (
    ACROSS,
    AMSR2_IMAGER,
    AMSRE_IMAGER,
    MWRI_IMAGER,
    Imager,
    ImagingRadiometer,
    SmapLabel,
    SmosLabel,
)
from smcloud.simulate.granules_ground import (
    GldasFiles,
    SmapFiles,
    SmosFiles,
    gldas_name,
    smap_ft_name,
    smos_name,
)
from smcloud.simulate.granules_l1c import (
    AMSR2_L1C,
    AMSRE_L1C,
    MWRI_L1,
    OrbitProduct,
    Scans,
    pass_time,
)
from smcloud.simulate.ground_years import SMOS_FIRST, TB_MISSIONS
from smcloud.simulate.hdf_eos import TilePixels
from smcloud.simulate.instruments import Files, key_of
from smcloud.simulate.noise import Floats
from smcloud.simulate.pool import Report
from smcloud.simulate.reanalysis import Reanalysis
from smcloud.simulate.records import DayState, ReanalysisDay
from smcloud.simulate.scenes import smap_days
from smcloud.simulate.swath import Swath
from smcloud.simulate.world import Earth
from smcloud.simulate.year_pieces import Days, YearPiece, days_in, lonlat_of_all

IMAGERS: Mapping[str, tuple[Imager, OrbitProduct]] = {
    "amsre_tb": (AMSRE_IMAGER, AMSRE_L1C),
    "amsr2_tb": (AMSR2_IMAGER, AMSR2_L1C),
    "mwri_tb": (MWRI_IMAGER, MWRI_L1),
}
"""Instrument and files of each source of brightness temperatures."""
DIRECTIONS = (True, False)
"""Ascending, descending."""
GLDAS_HOURS = range(0, 24, 3)
GLDAS_LAYER_MM = 100.0
GLDAS_WORD = "gldas"


def northern_cells(areas: tuple[TilePixels, ...]) -> Footprints:
    """Return the cells of 25 km that hold pixels, each with its places."""
    return Footprints.holding(EASE2_NORTH_25KM, *lonlat_of_all(areas), ACROSS)


@dataclass(frozen=True)
class FrozenGroundPiece(YearPiece):
    """Files of brightness temperatures and of states of the ground in one year.

    Attributes
    ----------
    sources : tuple of str
        Keys of IMAGERS, ``smos_ft`` and ``smap_ft``.
    """

    sources: tuple[str, ...]

    def keys(self) -> list[str]:
        """Return the keys of all files of this piece."""
        return [key for source in self.sources for key in self._keys(source).values()]

    def _keys(self, source: str) -> dict[tuple[date, bool], str]:
        """Return the keys of a source by day and whether the pass ascends."""
        if source in IMAGERS:
            named = self._pass_names(source)
        elif source == "smos_ft":
            days = days_in(self.year)
            named = {
                (day, up): smos_name(day, is_ascending=up)
                for day in days[days >= np.datetime64(SMOS_FIRST)].astype(object)
                for up in DIRECTIONS
            }
        else:
            named = {(day, False): smap_ft_name(day) for day in smap_days(self.year).astype(object)}
        return {when: key_of(source, self.year, name) for when, name in named.items()}

    def _pass_names(self, source: str) -> dict[tuple[date, bool], str]:
        imager, product = IMAGERS[source]
        cells = northern_cells(self.areas)
        has_land = cells.land_share > 0
        swath = Swath(cells.lon[has_land], cells.lat[has_land], imager.orbit)
        named = {}
        for day in TB_MISSIONS[source].days(self.year):
            for up in DIRECTIONS:
                look = swath.look((day - date(1970, 1, 1)).days, up)
                if np.isfinite(look.angle_degree).any():
                    hour = imager.overpass(is_ascending=up).hour
                    middle = pass_time(day, hour, float(np.median(cells.lon)))
                    named[day, up] = product.file_name(middle, up)
        return named

    def run(self, report: Report) -> None:
        """Step the year up to the last day that misses a file, and write what is missing."""
        objects, earth, days = open_objects(self.out), Earth(self.seed), self._days()
        cells, coarse = northern_cells(self.areas), self._coarse()
        makers = self._makers(earth, cells, coarse)
        lon = np.concatenate([cells.place_lon, coarse.place_lon])
        lat = np.concatenate([cells.place_lat, coarse.place_lat])
        split = cells.place_lon.size
        for state in earth.run(lon, lat, days):
            parts = state.part(slice(0, split)), state.part(slice(split, None))
            for maker in makers:
                for key, data in maker.files(*parts):
                    if key in self.missing:
                        objects.put(key, data)
                        report(1, len(data))

    def _days(self) -> Days:
        """Return the days from the first of the year to the last that misses a file."""
        due = [
            day
            for source in self.sources
            for (day, _), key in self._keys(source).items()
            if key in self.missing
        ]
        days = days_in(self.year)
        return days[days <= np.datetime64(max(due), "D")] if due else days[:0]

    def _coarse(self) -> Footprints:
        """Return the cells of 36 km that SMAP sees, each with as many places."""
        return Footprints.holding(EASE2_36KM, *lonlat_of_all(self.areas), ACROSS)

    def _makers(self, earth: Earth, cells: Footprints, coarse: Footprints) -> list["_Maker"]:
        makers: list[_Maker] = []
        for source in self.sources:
            keys = self._keys(source)
            if source in IMAGERS:
                makers.append(_Orbits(earth, source, cells, keys, self.missing))
            elif source == "smos_ft":
                makers.append(_Smos(earth, cells, keys))
            else:
                makers.append(_Smap(earth, coarse, keys))
        return makers


class _Orbits:
    """Files of a radiometer."""

    def __init__(
        self,
        earth: Earth,
        source: str,
        cells: Footprints,
        keys: Mapping[tuple[date, bool], str],
        missing: frozenset[str],
    ) -> None:
        imager, self._product = IMAGERS[source]
        self._sensor, self._cells = ImagingRadiometer(earth, imager, cells), cells
        self._keys = {when: key for when, key in keys.items() if key in missing}
        self._lon = float(np.median(cells.lon))

    def files(self, state: DayState, coarse: DayState) -> Files:
        """Yield the files of a day."""
        del coarse
        day: date = state.day.astype(object)
        for up in DIRECTIONS:
            if (day, up) not in self._keys:
                continue
            measured = self._sensor.observe(state, is_ascending=up)
            if not measured.places.size:
                continue
            lon, lat = (
                axis[measured.places] for axis in (self._cells.place_lon, self._cells.place_lat)
            )
            hour = self._sensor.imager.overpass(is_ascending=up).hour
            scans = Scans.of(lat, pass_time(day, hour, self._lon), is_ascending=up)
            yield self._keys[day, up], self._product.content(measured, lon, lat, scans)


class _Smos:
    """Files of SMOS; every day is looked at, since the label remembers."""

    def __init__(
        self, earth: Earth, cells: Footprints, keys: Mapping[tuple[date, bool], str]
    ) -> None:
        self._labels = {up: SmosLabel(earth, cells, is_ascending=up) for up in DIRECTIONS}
        self._made = {up: SmosFiles(cells, is_ascending=up) for up in DIRECTIONS}
        self._keys = keys

    def files(self, state: DayState, coarse: DayState) -> Files:
        """Yield the files of a day."""
        del coarse
        day: date = state.day.astype(object)
        for up in DIRECTIONS:
            told = self._labels[up].observe(state)
            if (day, up) in self._keys:
                yield self._keys[day, up], self._made[up].file(told)


class _Smap:
    """Files of SMAP."""

    def __init__(
        self, earth: Earth, cells: Footprints, keys: Mapping[tuple[date, bool], str]
    ) -> None:
        self._labels = [SmapLabel(earth, cells, is_ascending=up) for up in (False, True)]
        self._made, self._keys = SmapFiles(cells), keys

    def files(self, state: DayState, coarse: DayState) -> Files:
        """Yield the file of a day."""
        day: date = state.day.astype(object)
        if (day, False) in self._keys:
            morning, evening = (label.observe(coarse) for label in self._labels)
            yield self._keys[day, False], self._made.file(morning, evening)


_Maker = _Orbits | _Smos | _Smap


@dataclass(frozen=True)
class GldasPiece(YearPiece):
    """Files of GLDAS around the cells of some tiles in one year."""

    def keys(self) -> list[str]:
        """Return the keys of all files of this piece."""
        return [key for _, _, key in self._hours()]

    def _hours(self) -> Iterator[tuple[date, int, str]]:
        for day in days_in(self.year).astype(object):
            for hour in GLDAS_HOURS:
                yield day, hour, key_of("gldas", self.year, gldas_name(day, hour))

    def run(self, report: Report) -> None:
        """Run the model and write the missing files."""
        objects, cells = open_objects(self.out), gldas_cells(self.areas)
        made, wanted = GldasFiles(cells), self.missing
        due = {day for day, _, key in self._hours() if key in wanted}
        days = np.array(sorted(due), "datetime64[D]")
        model = Reanalysis(self.seed, GLDAS_WORD)
        for state in model.run(cells.lon, cells.lat, days):
            day: date = state.day.astype(object)
            for hour in GLDAS_HOURS:
                key = key_of("gldas", self.year, gldas_name(day, hour))
                if key in wanted:
                    data = made.file(day, hour, _layers(cells, state, hour))
                    objects.put(key, data)
                    report(1, len(data))


def gldas_cells(areas: tuple[TilePixels, ...]) -> Footprints:
    """Return the cells of 0.25 degree that hold pixels, and those beside them."""
    near = Footprints.holding(GLOBAL025, *lonlat_of_all(areas), 1)
    steps = np.array([-GLOBAL025.step, 0.0, GLOBAL025.step])
    east, north = (step.ravel() for step in np.meshgrid(steps, steps))
    lon = (near.lon[:, None] + east + 180.0) % 360.0 - 180.0
    lat = np.clip(near.lat[:, None] + north, -59.9, 89.9)
    return Footprints.holding(GLOBAL025, lon.ravel(), lat.ravel(), 1)


def _layers(cells: Footprints, state: ReanalysisDay, hour: int) -> dict[str, Floats]:
    """Return the layers of an hour (n,), NaN over water."""
    layers = {
        "Tair_f_inst": state.t2m[hour],
        "SoilTMP0_10cm_inst": state.stl1[hour],
        "SoilMoi0_10cm_inst": np.float32(GLDAS_LAYER_MM) * state.swvl1[hour],
        "SWE_inst": state.snow_mm,
    }
    land = cells.on_land[:, 0]
    return {name: np.where(land, values, np.float32(np.nan)) for name, values in layers.items()}
