"""Radiometers at C-band over some cells as instruments: the files of each day of their missions."""

from datetime import date

from smcloud.simulate.amsr import LprmRadiometer, NetworkRadiometer
from smcloud.simulate.footprints import Footprints
from smcloud.simulate.granules_amsr import (
    LPRM_PRODUCTS,
    NNSM_PRODUCTS,
    LprmFiles,
    NnsmFiles,
    days_of,
)
from smcloud.simulate.instruments import Files, Instrument, key_of
from smcloud.simulate.records import DayState
from smcloud.simulate.world import Earth


def lprm_instrument(
    earth: Earth, sources: tuple[str, ...], cells: Footprints, year: int
) -> Instrument:
    """Return what writes the asked products of LPRM over cells of 0.25 degree in a year."""
    sensors = {
        product.sensor: LprmRadiometer(earth, product.mission.satellite, cells)
        for product in map(LPRM_PRODUCTS.__getitem__, sources)
    }
    made = {source: LprmFiles(LPRM_PRODUCTS[source], cells) for source in sources}
    due = {source: frozenset(days_of(source, year)) for source in sources}

    def files(parts: list[DayState]) -> Files:
        day: date = parts[0].day.astype(object)
        for source in sources:
            product = LPRM_PRODUCTS[source]
            if day in due[source]:
                looks = sensors[product.sensor].observe(parts[0], by_night=product.by_night)
                yield key_of(source, year, product.file_name(day)), made[source].file(looks)

    return Instrument((cells,), files)


def nnsm_instrument(
    earth: Earth, sources: tuple[str, ...], cells: Footprints, year: int
) -> Instrument:
    """Return what writes the asked products of the network over cells of 36 km in a year."""
    missions = {
        mission.satellite.word: mission
        for source in sources
        for mission in NNSM_PRODUCTS[source].missions
    }
    sensors = {
        word: NetworkRadiometer(earth, mission.satellite, cells)
        for word, mission in missions.items()
    }
    made = NnsmFiles(cells)

    def files(parts: list[DayState]) -> Files:
        day: date = parts[0].day.astype(object)
        for source in sources:
            product = NNSM_PRODUCTS[source]
            mission = product.mission_on(day)
            if mission is not None:
                value = sensors[mission.satellite.word].observe(parts[0])
                yield key_of(source, year, product.file_name(day)), made.file(value)

    return Instrument((cells,), files)
