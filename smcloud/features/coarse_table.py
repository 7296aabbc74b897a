"""The table of coarse cells: one row a cell and day, features as values of whole cells.

Features are those of production, made by the same reader at 1 km, and then brought to the cell by
its land pixels. One task holds the cells whose centre lies in one square of the output grid, for a
whole year: a cell belongs to one square, whatever pixels it needs, and nothing of 1 km size leaves
the task.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from smcloud.cube.schema import CubeSchema, Days
from smcloud.cube.store import open_cube
from smcloud.features.blockwise import Columns, FeatureReader
from smcloud.features.spec import CubeSet, Floats32
from smcloud.features.table import TARGET
from smcloud.grids.cells import (
    AREA_PIXELS,
    Aggregation,
    Cells,
    Indices,
    cells_in,
    land_in,
    means,
    reach,
    sampled,
    totals,
)
from smcloud.grids.grid import PIXEL_M, Floats, Grid, Window

BLOCK_PIXELS = 150
"""Side of the blocks that are read: the inner chunk of the fine driver cubes."""
SHARE = "valid_share"
CELL_COLUMNS = ("row", "col", "latitude", "longitude", "time", SHARE)
DEGREE_PIXELS = 120
"""Pixels of the output grid in a degree of latitude."""
SUM_BYTES = 12
"""Bytes of the sum and the count of one feature of a cell and day."""


@dataclass(frozen=True)
class CoarseTarget:
    """The coarse field that is learned: one variable of a cube on a coarse grid.

    Attributes
    ----------
    cubes : CubeSet
        Where it lies.
    schema : CubeSchema
        Of its source; daily.
    variable : str
    valid : (float, float)
        Values outside are taken for unknown.
    """

    cubes: CubeSet
    schema: CubeSchema
    variable: str
    valid: tuple[float, float] = (-math.inf, math.inf)


@dataclass(frozen=True)
class AreaTask:
    """The cells of one square and a year: what one task computes.

    Attributes
    ----------
    reader : FeatureReader
    target : CoarseTarget
    aggregation : Aggregation
    area : Window
        The square; a cell belongs to it by its centre.
    blocks : tuple of Window
        Windows of the output grid with driver cubes, which do not overlap, near the square. Pixels
        of a cell in none of them are unknown.
    year : int
    step_days : int
        Days whose features are in memory at once.
    """

    reader: FeatureReader
    target: CoarseTarget
    aggregation: Aggregation
    area: Window
    blocks: tuple[Window, ...]
    year: int
    step_days: int = 46


def near(area: Window, blocks: tuple[Window, ...], target: CoarseTarget) -> tuple[Window, ...]:
    """Return the blocks that may hold pixels of the cells of a square."""
    cells = cells_in(target.schema.on, area)
    if cells.rows.size == 0:
        return ()
    around = reach(cells, area)
    return tuple(block for block in blocks if block.intersect(around) is not None)


def area_rows(task: AreaTask) -> pd.DataFrame:
    """Return the rows of the cells of one square in one year.

    A row is a cell and day of which the target and at least one feature are known. A feature is the
    mean over the cell's pixels that know it, where these are `minimum_share` of the cell's land
    pixels, wherever those lie; or the value of the pixel at the centre.

    Returns
    -------
    row, col (int32, of the coarse grid), latitude, longitude (degrees, centre), time (UTC day),
    valid_share (float32: land pixels that know every feature, of all land pixels of the cell; 0 or
    1 for the nearest pixel), one float32 column a feature (NaN for unknown), soil_moisture
    (float32, the target in its own units); sorted by cell and time.

    Raises
    ------
    CubeError, NotFoundError
        As `FeatureReader.read`; if the cube of the target is not there.
    """
    cells, target = _with_target(task)
    if cells.rows.size == 0:
        return _table(task, cells, *_nothing(task))
    land = land_in(cells, reach(cells, task.area))
    sums = _Sums.empty(len(task.reader.names), len(target), cells)
    days = _days(task)
    for block in task.blocks:
        points, cell_of = sampled(cells, block, task.aggregation)
        if points.size == 0:
            continue
        inputs = task.reader.read(block, days, points)
        for steps in _slabs(len(days), task.step_days):
            sums.add(task.reader.compute(inputs, steps), steps, cell_of)
    features = means(sums.total, sums.known, task.aggregation.needed(land))
    whole = np.ones_like(land) if task.aggregation.rule == "nearest" else np.maximum(land, 1)
    return _table(task, cells, target, features, (sums.complete / whole).astype(np.float32))


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums over the pixels of each cell: (features, days, cells), and (days, cells) of all."""

    total: Floats
    known: Indices
    complete: Indices

    @classmethod
    def empty(cls, n_features: int, n_days: int, cells: Cells) -> "_Sums":
        shape = (n_features, n_days, cells.rows.size)
        return cls(np.zeros(shape), np.zeros(shape, np.int32), np.zeros(shape[1:], np.int32))

    def add(self, columns: Columns, steps: slice, cell_of: Indices) -> None:
        """Add the pixels of one block on some days."""
        n_cells = self.complete.shape[-1]
        total, known = totals(columns.values, cell_of, n_cells)
        self.total[:, steps] += total
        self.known[:, steps] += known
        lacks = np.isnan(columns.values).any(axis=0)
        complete = np.where(lacks, np.float32(np.nan), np.float32(1.0))
        self.complete[steps] += totals(complete, cell_of, n_cells)[1]


def _with_target(task: AreaTask) -> tuple[Cells, Floats32]:
    """Return the cells of the square whose target is known on some day, and it, (days, cells)."""
    cells = cells_in(task.target.schema.on, task.area)
    if cells.rows.size == 0:
        return cells, np.empty((len(_days(task)), 0), np.float32)
    url = task.target.cubes.url(task.target.schema.name, task.year)
    cube = open_cube(url, task.target.schema, task.year)
    rows, cols = cells.rows, cells.cols
    window = Window(int(rows.min()), int(rows.max()) + 1, int(cols.min()), int(cols.max()) + 1)
    points = ((rows - window.row0) * window.shape[1] + cols - window.col0).astype(np.intp)
    stored = cube.read_points(
        task.target.variable, slice(0, len(cube.times)), window, points, required=False
    )
    values = within(cube.variables[task.target.variable].unpack(stored), task.target.valid)
    kept = np.isfinite(values).any(axis=0)
    return Cells(cells.grid, rows[kept], cols[kept]), values[:, kept]


def within(values: Floats32, valid: tuple[float, float]) -> Floats32:
    """Return the values that lie in the valid range, ends included; NaN for others."""
    inside = (values >= valid[0]) & (values <= valid[1])
    return np.where(inside, values, np.float32(np.nan))


def _days(task: AreaTask) -> Days:
    return np.asarray(task.target.schema.times(task.year), "datetime64[D]")


def _slabs(n_days: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + step, n_days)) for start in range(0, n_days, step))


def _nothing(task: AreaTask) -> tuple[Floats32, Floats32, Floats32]:
    days = len(_days(task))
    none = np.empty((days, 0), np.float32)
    return none, np.empty((len(task.reader.names), days, 0), np.float32), none


def _table(
    task: AreaTask, cells: Cells, target: Floats32, features: Floats32, share: Floats32
) -> pd.DataFrame:
    """Return the rows whose target and some feature are known, by cell and day."""
    is_kept = np.isfinite(target) & np.isfinite(features).any(axis=0)
    cell, day = np.nonzero(is_kept.T)
    lon, lat = cells.lonlat
    return pd.DataFrame(
        {
            "row": cells.rows[cell].astype(np.int32),
            "col": cells.cols[cell].astype(np.int32),
            "latitude": lat[cell],
            "longitude": lon[cell],
            "time": _days(task)[day].astype("datetime64[ms]"),
            SHARE: share[day, cell],
            **dict(zip(task.reader.names, features[:, day, cell], strict=True)),
            TARGET: target[day, cell],
        }
    )


def task_bytes(reader: FeatureReader, grid: Grid, step_days: int) -> int:
    """Return the peak bytes of a task on the cells of a coarse grid, generously."""
    reading = reader.estimate_bytes(366, BLOCK_PIXELS**2, slab_days=step_days)
    # Cells of a geographic grid are half as wide at 60 degrees.
    side = grid.step / PIXEL_M if grid.projected else DEGREE_PIXELS * grid.step / 2
    cells = (AREA_PIXELS / side + 2) ** 2
    return int(reading + SUM_BYTES * len(reader.names) * 366 * cells)
