"""Blocks of joined coarse moisture: what the sensors saw is read, joined, filled and packed.

What leaves its seams open (`gappy_blocks`) reads and joins them with the same functions.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smcloud.cube.schema import Array, Days
from smcloud.features.coarse_cubes import (
    CALIBRATION_YEARS,
    FIRST_DAY_OF_AMSR2,
    JOINED,
    LAST_DAY_OF_AMSRE,
    REANALYSIS,
    Joined,
)
from smcloud.features.derived import DERIVED
from smcloud.features.derived_cubes import DerivedBlock
from smcloud.features.inputs import unwrapped_windows
from smcloud.grids.grid import ERA5LAND, Floats, Grid, Ints, Window
from smcloud.models.coarse_moisture import (
    Bridge,
    CoarseYear,
    Scales,
    Sensed,
    SensorOfDay,
    Sensors,
    SourceFlag,
    between_known,
    coarse_year,
    not_seen,
    scales_of,
)
from smcloud.models.seams import SeamRule
from smcloud.sources.amsr import RetrievalState
from smcloud.sources.base import KnowsItsDays
from smcloud.sources.registry import SOURCES
from smcloud.validation.sensor_join import SensorRecord

MARGIN_DAYS = 8
"""Days of the years beside by which a year is filled: more than seams look to either side."""
RULE = SeamRule()
Span = tuple[np.datetime64, np.datetime64]
_EVER, _NEVER = np.datetime64("1970-01-01", "D"), np.datetime64("9999-12-31", "D")
SPANS: Mapping[SensorOfDay, Span] = {
    SensorOfDay.EARLIER: (_EVER, np.datetime64(LAST_DAY_OF_AMSRE, "D")),
    SensorOfDay.LATER: (np.datetime64(FIRST_DAY_OF_AMSR2, "D"), _NEVER),
    SensorOfDay.BRIDGE: (_EVER, _NEVER),
}
"""Days of each sensor: where one product holds both, they tell which is which."""


def joined_block(block: DerivedBlock, name: str) -> Mapping[str, Array]:
    """Return the stored arrays (days, rows, cols) of a joined cube in a block and its year."""
    schema = DERIVED[name].schema
    days = schema.times(block.year)
    year = joined_days(block, name, days)
    shape = (len(days), *block.window.shape)
    moisture = schema.variable("soil_moisture").pack(year.values)
    return {"soil_moisture": moisture.reshape(shape), "source_flag": year.flag.reshape(shape)}


def joined_days(block: DerivedBlock, name: str, days: Days) -> CoarseYear:
    """Return the joined series of a block on consecutive days of its year, (days, cells)."""
    found = history_of(block, JOINED[name])
    if found is None:
        unknown = np.full((len(days), block.window.shape[0] * block.window.shape[1]), np.nan)
        return CoarseYear(unknown, np.full(unknown.shape, SourceFlag.UNKNOWN, np.uint8))
    wide, kept = widened_days(days)
    predictors = skin_temperature(block, DERIVED[name].schema.on, wide)
    year = coarse_year(found.sensors, wide, found.scales, predictors, RULE)
    return CoarseYear(year.values[kept], year.flag[kept])


@dataclass(frozen=True, eq=False)
class History:
    """What sensors saw of a block in the years of the calibration and around its own.

    Attributes
    ----------
    sensors : Sensors
        The bridge only where the run file wants it.
    scales : Scales
        To the scale of the later sensor; of every year the same.
    """

    sensors: Sensors
    scales: Scales


def history_of(block: DerivedBlock, made_of: Joined) -> History | None:
    """Return the sensors of a block and their scales; None where nothing of any is at hand."""
    bridge = Bridge(str(block.settings["bridge"]))
    around = {block.year - 1, block.year, block.year + 1}
    sensors = sensors_of(block, made_of, {*CALIBRATION_YEARS, *around})
    if bridge != Bridge.SENSOR:
        sensors = Sensors(sensors.earlier, sensors.later)
    if all(one is None for one in (sensors.earlier, sensors.later, sensors.bridge)):
        return None
    return History(sensors, scales_of(of_years(sensors, CALIBRATION_YEARS), bridge))


def widened_days(days: Days) -> tuple[Days, slice]:
    """Return consecutive days with a margin on either side, and where they lie in them."""
    wide = np.arange(days[0] - MARGIN_DAYS, days[-1] + MARGIN_DAYS + 1)
    return wide, slice(MARGIN_DAYS, MARGIN_DAYS + len(days))


def sensors_of(block: DerivedBlock, made_of: Joined, years: Iterable[int]) -> Sensors:
    """Return what each sensor of a joined cube saw of a block in those years that there are."""
    wanted = sorted(years)
    return Sensors(
        _sensed(block, made_of.earlier, wanted, SPANS[SensorOfDay.EARLIER]),
        _sensed(block, made_of.later, wanted, SPANS[SensorOfDay.LATER]),
        _sensed(block, made_of.bridge, wanted, SPANS[SensorOfDay.BRIDGE]),
    )


def of_years(sensors: Sensors, years: Iterable[int]) -> Sensors:
    """Return the sensors on the days of some years."""
    wanted = np.array(sorted(years))

    def cut(sensed: Sensed | None) -> Sensed | None:
        if sensed is None:
            return None
        kept = np.isin(_year(sensed.record.days), wanted)
        if not kept.any():
            return None
        record = SensorRecord(sensed.record.days[kept], sensed.record.values[kept])
        return Sensed(record, sensed.missed[kept])

    return Sensors(cut(sensors.earlier), cut(sensors.later), cut(sensors.bridge))


def _sensed(block: DerivedBlock, source: str, years: list[int], span: Span) -> Sensed | None:
    """Return what a sensor saw on the days of a span, None without any."""
    days, moisture = series_of(block, source, "soil_moisture", years)
    kept = days_measured(source, days, span)
    if not kept.any():
        return None
    if any(one.name == "retrieval_state" for one in block.schemas[source].variables):
        _, states = series_of(block, source, "retrieval_state", years)
        missed = not_seen(states.astype(np.float64), RetrievalState.FROZEN, RULE.days)
    else:
        missed = between_known(moisture.astype(np.float64), RULE.days)
    return Sensed(SensorRecord(days[kept], moisture[kept].astype(np.float64)), missed[kept])


def series_of(
    block: DerivedBlock, source: str, name: str, years: list[int]
) -> tuple[Days, NDArray[np.float32]]:
    """Return days and values (days, cells) of the years that there are; NaN unknown."""
    cells = block.window.shape[0] * block.window.shape[1]
    days, values = [np.zeros(0, "datetime64[D]")], [np.zeros((0, cells), np.float32)]
    for year in years:
        cube = block.open(source, year)
        if cube is not None:
            steps = slice(0, len(cube.times))
            found = cube.read_physical(name, steps, block.window, required=False)
            days.append(cube.times)
            values.append(found.reshape(len(found), cells))
    return np.concatenate(days), np.concatenate(values)


def days_measured(source: str, days: Days, span: Span) -> NDArray[np.bool_]:
    """Say on which days of a span a source measured."""
    inside = (days >= span[0]) & (days <= span[1])
    reader = SOURCES[source]
    if isinstance(reader, KnowsItsDays):
        inside &= np.array([reader.expects(day) for day in days.astype(object)], np.bool_)
    return inside


def skin_temperature(block: DerivedBlock, grid: Grid, days: Days) -> Floats | None:
    """Return the reanalysis at the node nearest to each cell, (1, days, cells), K.

    NaN on days and nodes without it; None where there is none at all.
    """
    source, name = REANALYSIS
    rows, cols = _nodes(grid, block.window)
    reach = Window(int(rows.min()), int(rows.max()) + 1, int(cols.min()), int(cols.max()) + 1)
    at = (rows - reach.row0) * reach.shape[1] + (cols - reach.col0)
    found = np.full((len(days), rows.size), np.nan)
    for year in np.unique(_year(days)):
        cube = block.open(source, int(year))
        if cube is not None:
            here, there = np.intersect1d(days, cube.times, return_indices=True)[1:]
            steps = slice(int(there[0]), int(there[-1]) + 1)
            parts = [
                cube.read_physical(name, steps, part, required=False)
                for part in unwrapped_windows(reach, ERA5LAND)
            ]
            found[here] = np.concatenate(parts, axis=-1).reshape(len(here), -1)[:, at]
    return found[None] if np.isfinite(found).any() else None


def _nodes(grid: Grid, window: Window) -> tuple[Ints, Ints]:
    """Return row and column of the nearest node of each cell (cells,); columns may pass the seam.

    Cells of one window are at most half way around the globe from each other.
    """
    lon, lat = (axis.ravel() for axis in grid.lonlat(window))
    rows, cols = ERA5LAND.pixel_of(lon, lat)
    half = ERA5LAND.cols // 2
    if np.ptp(cols) > half:
        cols = np.where(cols < half, cols + ERA5LAND.cols, cols)
    return rows, cols


def _year(days: Days) -> NDArray[np.int64]:
    return days.astype("datetime64[Y]").astype(np.int64) + 1970
