"""Maps of frozen ground held against soil temperature at stations: the independent check."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from smcloud.core.config import RunConfig
from smcloud.core.errors import NotFoundError
from smcloud.core.listener import Listener, counted
from smcloud.cube.store import open_cube
from smcloud.features.ground_columns import LAND_MODEL, OVERPASSES, Points
from smcloud.grids.grid import Window
from smcloud.ingest.station_temperature import at_overpass, read_soil_temperature
from smcloud.models.freeze_thaw import Classes, classes_of, frozen_by_temperature, words_of
from smcloud.production.freeze_thaw_inputs import reader_of, region_of
from smcloud.production.versions import published_store
from smcloud.products.base import Product
from smcloud.products.freeze_thaw import STATE
from smcloud.validation.confusion import Confusion
from smcloud.validation.frost_strata import SEASONS, TRANSITION, by_season, by_transition

WORDS = words_of("frozen")
FREEZING_C = 0.0
SHOWN_FILES = 3


@dataclass(frozen=True, eq=False)
class StationFinding:
    """Counts over stations and days of a year, frozen being below 0 degrees Celsius.

    Attributes
    ----------
    stations : int
    maps, rule : Confusion
        The maps, and the plain rule on the land model, on the days on which both tell a state.
    labels : Confusion
        What the forest learned from, on the days on which the maps tell a state.
    seasons, transition : Confusion
        The maps by season, and by months in which the ground at the station changes its state.
    """

    stations: int
    maps: Confusion
    rule: Confusion
    labels: Confusion
    seasons: Confusion
    transition: Confusion


def against_stations(
    config: RunConfig, product: Product, year: int, listener: Listener
) -> StationFinding | None:
    """Return how a published year does at stations; None where none measured in its region.

    Nothing learns from stations. The mean within an hour of the preferred overpass counts.
    """
    overpass = OVERPASSES[config.ground.overpasses[0]]
    if not config.station_temperature:
        return None
    try:
        table, broken = read_soil_temperature(config.station_temperature)
    except NotFoundError:
        listener.note(f"no soil temperature of stations at {config.station_temperature}")
        return None
    for bad in broken[:SHOWN_FILES]:
        listener.warn(f"left out: {bad}")
    if table.empty:
        return None
    rows = at_overpass(table, overpass.local_hour)
    region = region_of(config, product.schema, config.produced_tiles)
    is_near = region.holds(rows["longitude"].to_numpy(), rows["latitude"].to_numpy())
    rows = rows[is_near & (rows["day"].dt.year == year).to_numpy()].reset_index(drop=True)
    if rows.empty:
        return None
    return _counted(config, product, year, rows, listener)


def _counted(
    config: RunConfig, product: Product, year: int, rows: pd.DataFrame, listener: Listener
) -> StationFinding | None:
    """Return the counts over rows of stations and days; None where no map tells of one."""
    grid = product.schema.on
    row, col = grid.pixel_of(rows["longitude"].to_numpy(), rows["latitude"].to_numpy())
    window = Window(int(row.min()), int(row.max()) + 1, int(col.min()), int(col.max()) + 1)
    flat = (row - window.row0) * window.shape[1] + col - window.col0
    points, cell = np.unique(flat, return_inverse=True)
    days = rows["day"].to_numpy().astype("datetime64[D]")
    number = (days - np.datetime64(f"{year:04d}-01-01", "D")).astype(np.int64)
    cube = open_cube(published_store(config.layout, product.name, year), product.schema, year)
    steps = slice(0, len(cube.times))
    state = cube.read_points(STATE, steps, window, points, required=False)[number, cell]
    told = classes_of(state.astype(np.uint8), "frozen")
    rule = _rule(config, product, year, window, points)[number, cell]
    taught = _labels(config, product, year, window, points)[number, cell]
    true = (rows["temperature"].to_numpy() < FREEZING_C).astype(np.int64)
    names = (rows["network"] + "/" + rows["station"]).to_numpy(str)
    station = np.unique(names, return_inverse=True)[1]
    known = told >= 0
    if not known.any():
        return None
    count = np.unique(station[known]).size
    listener.note(f"{year}: soil temperature of {counted(count, 'stations')}")
    season = by_season(days, rows["latitude"].to_numpy()).codes
    changes = by_transition(true == 1, days, station).codes
    has_rule = rule >= 0
    return StationFinding(
        count,
        Confusion.of(true, np.where(has_rule | ~has_rule.any(), told, -1), WORDS),
        Confusion.of(true, np.where(known, rule, -1), WORDS),
        Confusion.of(true, np.where(known, taught, -1), WORDS),
        Confusion.grouped(true, told, season, len(SEASONS), WORDS),
        Confusion.grouped(true, told, changes, len(TRANSITION), WORDS),
    )


def _rule(
    config: RunConfig, product: Product, year: int, window: Window, points: Points
) -> Classes:
    """Return the class by the plain rule of cells and days; unknown without a land model."""
    reader = reader_of(config, product)
    overpass = OVERPASSES[config.ground.overpasses[0]]
    columns = reader.read(window, points, year, (overpass,))[overpass.name]
    name = f"{LAND_MODEL}soil_temperature"
    if name not in reader.sources.columns:
        return np.full(columns.shape[1:], -1, np.int8)
    return frozen_by_temperature(columns[reader.sources.columns.index(name)], "frozen")


def _labels(
    config: RunConfig, product: Product, year: int, window: Window, points: Points
) -> Classes:
    """Return the class of the label of cells and days, partly frozen being frozen."""
    overpass = OVERPASSES[config.ground.overpasses[0]]
    reader = reader_of(config, product)
    return classes_of(reader.labels(product.label, window, points, year, overpass), "frozen")
