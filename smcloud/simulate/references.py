"""Files of the reference satellites: global days, so all tiles of a request in one piece a year."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from smcloud.core.objects import open_objects
from smcloud.simulate.footprints import Footprints
from smcloud.simulate.granules_amsr import LPRM_PRODUCTS, NNSM_PRODUCTS, days_of
from smcloud.simulate.granules_cci import ACTIVE, COMBINED, PASSIVE, CciFiles, CciProduct
from smcloud.simulate.granules_smap import (
    SPL3SMP,
    SPL3SMP_E,
    DailyFiles,
    DailyProduct,
    SceneFiles,
)
from smcloud.simulate.instruments import Files, Instrument, arrays_of, key_of
from smcloud.simulate.noise import Floats
from smcloud.simulate.pool import Report
from smcloud.simulate.radiometer_files import lprm_instrument, nnsm_instrument
from smcloud.simulate.reanalysis import Reanalysis
from smcloud.simulate.records import DayState
from smcloud.simulate.satellites import (
    EVENING,
    MORNING,
    CciSatellites,
    SentinelRadar,
    SmapRadiometer,
    footprints,
)
from smcloud.simulate.scenes import scenes_of, smap_days, visits
from smcloud.simulate.world import Earth
from smcloud.simulate.year_pieces import YearPiece, days_in, lonlat_of_all

CCI_PRODUCTS: Mapping[str, CciProduct] = {
    "cci_active": ACTIVE,
    "cci_passive": PASSIVE,
    "cci_combined": COMBINED,
}
SMAP_PRODUCTS: Mapping[str, DailyProduct] = {"smap_l3": SPL3SMP, "smap_l3e": SPL3SMP_E}


@dataclass(frozen=True)
class ReferencesPiece(YearPiece):
    """The files of reference satellites over the cells of some tiles' pixels in one year.

    Attributes
    ----------
    sources : tuple of str
        Keys of REFERENCES and RADIOMETERS.
    shared_error : float
        Share of SMAP's moisture that is the reanalysis's.
    """

    sources: tuple[str, ...]
    shared_error: float = 0.0

    def keys(self) -> list[str]:
        """Return the keys of all files of this piece."""
        return [key for keys in self._keys_by_day().values() for key in keys]

    def _keys_by_day(self) -> dict[date, list[str]]:
        found: dict[date, list[str]] = {}
        every = days_in(self.year)
        for source in self.sources:
            if source in CCI_PRODUCTS:
                named = [(CCI_PRODUCTS[source].file_name(day), day) for day in every.astype(object)]
            elif source in SMAP_PRODUCTS:
                days = smap_days(self.year).astype(object)
                named = [(SMAP_PRODUCTS[source].file_name(day), day) for day in days]
            elif product := LPRM_PRODUCTS.get(source) or NNSM_PRODUCTS.get(source):
                named = [(product.file_name(day), day) for day in days_of(source, self.year)]
            else:
                scenes = scenes_of(self.seed, footprints(source, *lonlat_of_all(self.areas)))
                named = [(name, day) for name, day, _ in visits(scenes, self.year)]
            for name, day in named:
                found.setdefault(day, []).append(key_of(source, self.year, name))
        return found

    def run(self, report: Report) -> None:
        """Simulate the days up to the last that misses a file, and write what is missing."""
        by_day = self._keys_by_day()
        wanted = sorted(day for day, keys in by_day.items() if self.missing.intersection(keys))
        if not wanted:
            return
        days = np.array(wanted, "datetime64[D]")
        objects = open_objects(self.out)
        for key, data in self._files(days):
            if key in self.missing:
                objects.put(key, data)
                report(1, len(data))

    def _files(self, days: np.typing.NDArray[np.datetime64]) -> Files:
        """Yield the files of some days; the places of all instruments are stepped together."""
        earth = Earth(self.seed)
        instruments = self._instruments(earth)
        lon = np.concatenate([cells.place_lon for one in instruments for cells in one.cells])
        lat = np.concatenate([cells.place_lat for one in instruments for cells in one.cells])
        for state in earth.run(lon, lat, days):
            start = 0
            for one in instruments:
                parts = []
                for cells in one.cells:
                    parts.append(state.part(slice(start, start + cells.place_lon.size)))
                    start += cells.place_lon.size
                yield from one.files(parts)

    def _instruments(self, earth: Earth) -> list["Instrument"]:
        lon, lat = lonlat_of_all(self.areas)
        found: list[Instrument] = []
        for source in sorted(SMAP_PRODUCTS.keys() & set(self.sources)):
            cells = footprints(source, lon, lat)
            found.append(_smap(earth, source, cells, self.year, self.shared_error))
        asked = tuple(source for source in CCI_PRODUCTS if source in self.sources)
        if asked:
            found.append(_cci(earth, asked, footprints("cci", lon, lat), self.year))
        if lprm := tuple(source for source in LPRM_PRODUCTS if source in self.sources):
            found.append(lprm_instrument(earth, lprm, footprints("lprm", lon, lat), self.year))
        if nnsm := tuple(source for source in NNSM_PRODUCTS if source in self.sources):
            found.append(nnsm_instrument(earth, nnsm, footprints("nnsm", lon, lat), self.year))
        if "smap_sentinel" in self.sources:
            found.append(_sentinel(earth, footprints("smap_sentinel", lon, lat), self.year))
        return found


def _smap(
    earth: Earth, source: str, cells: Footprints, year: int, shared_error: float
) -> Instrument:
    product = SMAP_PRODUCTS[source]
    made = DailyFiles(product, arrays_of(cells), cells.lon, cells.lat)
    sensor = SmapRadiometer(earth, cells, shared_error)
    leaning = _MorningAndEvening(earth.seed, cells, year) if shared_error > 0 else None
    delivered = set(smap_days(year).tolist())

    def files(parts: list[DayState]) -> Files:
        day: date = parts[0].day.astype(object)
        if day not in delivered:
            return
        model = leaning.on(parts[0].day) if leaning else {}
        halves = {
            half: sensor.observe(parts[0], one, model.get(half))
            for half, one in (("AM", MORNING), ("PM", EVENING))
        }
        yield key_of(source, year, product.file_name(day)), made.file(halves)

    return Instrument((cells,), files)


class _MorningAndEvening:
    """The moisture of the reanalysis at cells when SMAP passes."""

    def __init__(self, seed: int, cells: Footprints, year: int) -> None:
        lon, lat = np.round(cells.lon, 1), np.round(cells.lat, 1)
        self._days = Reanalysis(seed).run(lon, lat, days_in(year))
        self._hours = {
            half: ((one.hour - cells.lon / 15.0) % 24.0).astype(np.int64)
            for half, one in (("AM", MORNING), ("PM", EVENING))
        }

    def on(self, day: np.datetime64) -> dict[str, Floats]:
        """Return moisture (n,), m3 m-3, by half; days must be asked for in order."""
        for state in self._days:
            if state.day == day:
                cells = np.arange(state.swvl1.shape[1])
                return {half: state.swvl1[hour, cells] for half, hour in self._hours.items()}
        raise ValueError(f"the reanalysis has passed {day}: ask for days in order")


def _cci(earth: Earth, asked: tuple[str, ...], cells: Footprints, year: int) -> Instrument:
    satellites, arrays = CciSatellites(earth, cells), arrays_of(cells)
    made = {source: CciFiles(CCI_PRODUCTS[source], cells.grid, arrays) for source in asked}

    def files(parts: list[DayState]) -> Files:
        day: date = parts[0].day.astype(object)
        products = satellites.observe(parts[0])
        for source in asked:
            name = CCI_PRODUCTS[source].file_name(day)
            yield key_of(source, year, name), made[source].file(day, *products[source])

    return Instrument((cells,), files)


def _sentinel(earth: Earth, cells: Footprints, year: int) -> Instrument:
    radar, scenes = SentinelRadar(earth, cells), scenes_of(earth.seed, cells)
    made = [SceneFiles(one.scene, one.arrays) for one in scenes]
    due: dict[date, list[tuple[str, int]]] = {}
    for name, day, which in visits(scenes, year):
        due.setdefault(day, []).append((name, which))

    def files(parts: list[DayState]) -> Files:
        fine, coarse = parts
        here = due.get(fine.day.astype(object), [])
        held = radar.observe(fine, coarse) if here else None
        for name, which in here:
            if held is not None:
                data = made[which].file(held.of(scenes[which].index))
                yield key_of("smap_sentinel", year, name), data

    return Instrument((cells, radar.coarse), files)
