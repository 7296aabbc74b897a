"""The table of frozen ground: a row for each cell, overpass and day with a label near in time.

Tasks are blocks and years. What a task finds is a Parquet file whose key is a hash of all that its
rows depend on, so that a run that was stopped, or has one more year, does only what is missing.
"""

import io
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from distributed import Client
from numpy.typing import NDArray

from smcloud.core.config import RunConfig
from smcloud.core.errors import StoreError, UserError
from smcloud.core.listener import Listener, counted
from smcloud.core.objects import open_objects
from smcloud.features.ground_columns import BRIGHTNESS, NO_LABEL, OVERPASSES, GroundReader
from smcloud.grids.grid import Window
from smcloud.models.freeze_thaw_rows import TableColumns
from smcloud.production.block_map import run_listed
from smcloud.production.cluster import refuse_memory_urls
from smcloud.production.cube_states import states_of
from smcloud.production.freeze_thaw_inputs import (
    Region,
    check_memory,
    reader_of,
    region_of,
)
from smcloud.production.ledger import combined_hash
from smcloud.production.runner import Task
from smcloud.products.base import Product

log = logging.getLogger(__name__)

FORMAT = 1
"""Raised when equal cubes give other rows."""
COLUMNS = TableColumns(elevation="elevation", soil_temperature="land_model_soil_temperature")
END = ".parquet"


@dataclass(frozen=True)
class RowsTask:
    """The rows of one block and year: names and URLs, never data.

    Attributes
    ----------
    name : str
        As an operator sees it.
    region : Region
    window : Window
    year : int
    reader : GroundReader
    label : str
        Source of the labels.
    overpasses : tuple of str
    most_rows : int
        Rows that are kept at most, drawn with `seed`.
    url, key : str
        Where the rows go.
    """

    name: str
    region: Region
    window: Window
    year: int
    reader: GroundReader
    label: str
    overpasses: tuple[str, ...]
    most_rows: int
    seed: int
    url: str
    key: str


def build_freeze_thaw_table(
    config: RunConfig, product: Product, client: Client | None, listener: Listener
) -> pd.DataFrame:
    """Return the table of a run's training years and tiles, stored below ``tables/``.

    Raises
    ------
    NotFoundError
        If a cube was never ingested.
    UserError
        If no row has a label.
    """
    url = config.layout.table(product.name)
    refuse_memory_urls(client, (config.store.root, *config.ingest.cubes.values()))
    check_memory(config, product, client)
    tasks = _tasks(config, product, url)
    stored = {info.key for info in open_objects(url).list()}
    waiting = [task for task in tasks if task.key not in stored]
    if len(waiting) < len(tasks):
        done = len(tasks) - len(waiting)
        listener.note(f"rows: {done} of {counted(len(tasks), 'tasks')} done by an earlier run")
    _run(waiting, client, listener)
    source = open_objects(url)
    parts = [pd.read_parquet(io.BytesIO(source.get(task.key))) for task in tasks]
    _tidy(url, {task.key for task in tasks})
    table = pd.concat(parts, ignore_index=True)
    if table.empty:
        raise UserError(
            f"no cell of this run has a label of {product.label} within hours of an overpass of "
            f"{reader_of(config, product).sources.radiometer}: see whether both were ingested for "
            f"{', '.join(map(str, config.training_years))}"
        )
    return table


def _tasks(config: RunConfig, product: Product, url: str) -> list[RowsTask]:
    region = region_of(config, product.schema, config.tiles)
    reader, blocks = reader_of(config, product), region.blocks()
    years = sorted(set(config.training_years))
    ground = config.ground
    share = max(1, ground.most_rows // (len(years) * len(blocks)))
    found = []
    for year in years:
        around = (year - 1, year, year + 1)
        states = states_of(config, (*reader.sources.names, product.label), around)
        for block in blocks:
            shaping = [FORMAT, product.version, states, repr(region), repr(block.window), year]
            shaping += [list(ground.overpasses), share, config.train.seed]
            found.append(
                RowsTask(
                    f"rows-{year}-b{block.number:02d}",
                    region,
                    block.window,
                    year,
                    reader,
                    product.label,
                    ground.overpasses,
                    share,
                    config.train.seed,
                    url,
                    combined_hash(shaping)[:32] + END,
                )
            )
    return found


def _run(tasks: Sequence[RowsTask], client: Client | None, listener: Listener) -> None:
    named = [Task(task.name, write_rows, (task,)) for task in tasks]
    run_listed(named, "rows", "blocks and years", client, listener)


def write_rows(task: RowsTask) -> int:
    """Write the rows of one task and return how many there are: the task of a worker."""
    rows = rows_of(task)
    data: bytes = rows.to_parquet(index=False, compression="zstd")
    open_objects(task.url).put(task.key, data)
    return len(rows)


def rows_of(task: RowsTask) -> pd.DataFrame:
    """Return the rows of one block and year: those with a label and any brightness."""
    points = task.region.points(task.window)
    overpasses = [OVERPASSES[name] for name in task.overpasses]
    columns = task.reader.read(task.window, points, task.year, overpasses)
    parts = []
    for number, overpass in enumerate(overpasses):
        label = task.reader.labels(task.label, task.window, points, task.year, overpass)
        values = columns.pop(overpass.name)
        seen = np.isfinite(values[: len(BRIGHTNESS)]).any(axis=0)
        day, cell = np.nonzero(seen & (label != NO_LABEL))
        row = _places(task, points[cell], day)
        row[COLUMNS.overpass] = np.full(day.size, number, np.int8)
        row[COLUMNS.label] = label[day, cell]
        known = zip(task.reader.sources.columns, values[:, day, cell], strict=True)
        parts.append(pd.DataFrame(row | dict(known)))
    return thinned(pd.concat(parts, ignore_index=True), task.most_rows, task.seed)


def _places(
    task: RowsTask, points: NDArray[np.intp], day: NDArray[np.intp]
) -> dict[str, NDArray[Any]]:
    """Return where and when rows are, by column."""
    lon, lat = (one.ravel()[points] for one in task.region.schema.on.lonlat(task.window))
    row, col = np.divmod(points, task.window.shape[1])
    days = task.region.schema.times(task.year)[day]
    return {
        COLUMNS.row: (row + task.window.row0).astype(np.int32),
        COLUMNS.col: (col + task.window.col0).astype(np.int32),
        COLUMNS.time: days.astype("datetime64[ms]"),
        COLUMNS.latitude: lat,
        COLUMNS.longitude: lon,
    }


def thinned(rows: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    """Return so many rows at the most, drawn at random and in their order."""
    if len(rows) <= most:
        return rows
    drawn = np.random.default_rng([seed, 9]).choice(len(rows), most, replace=False)
    return rows.iloc[np.sort(drawn)].reset_index(drop=True)


def _tidy(url: str, kept: Collection[str]) -> None:
    """Delete rows of other inputs, where the credentials may."""
    target = open_objects(url)
    try:
        for info in target.list():
            if info.key.endswith(END) and info.key not in kept:
                target.delete(info.key)
    except StoreError as err:
        log.warning("rows of earlier trainings stay at %s: %s", url, err)
