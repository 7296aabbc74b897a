"""The same job through smcloud's own block: the code that `smcloud produce` runs on a worker.

The block takes any predictor, so that the same pipeline with XGBoost's own shows what the
evaluator alone brings, and what the pipeline around it.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import xgboost
from distributed import Client
from numpy.typing import NDArray

from benchmarks.workload import BLOCK, COLUMNS, STORED, YEAR, Scale, land
from smcloud.core.config import ProduceConfig
from smcloud.core.memory import peak_bytes
from smcloud.cube.schema import Days, shard_index
from smcloud.cube.store import create_store, open_cube, write_shard
from smcloud.features.blockwise import FeatureReader
from smcloud.features.spec import CubeSet, Driver, Feature, as_stored
from smcloud.grids.grid import Window
from smcloud.grids.tiles import blocks_of
from smcloud.models.forest import Forest
from smcloud.production.block import BlockArrays, Clock, make_block
from smcloud.production.cluster import worker_threads
from smcloud.production.estimators import Predictor
from smcloud.production.lanes import Turn, take_turn
from smcloud.production.runner import Task, run_tasks
from smcloud.products.glass_sm import GLASS_SM

STEP_DAYS = ProduceConfig().step_days
TASKS_PER_WORKER = ProduceConfig().tasks_per_worker
FEATURES = tuple(
    Feature(name, (f"bench.{name}",), "1", as_stored, long_name="as stored") for name in COLUMNS
)
NO_LANES = Turn(None)
PIECE_ROWS = 32_768
"""Rows that are turned over for XGBoost at a time: they stay in the cache."""


@dataclass(frozen=True)
class BlockJob:
    """One block of the workload: URLs and records, as production's tasks carry them."""

    cubes: str
    model: str
    is_library: bool
    """Predict with XGBoost's `inplace_predict` instead of smcloud's evaluator."""
    store: str
    window: Window
    scale: Scale
    seed: int
    read_ahead: bool = False


@dataclass(frozen=True)
class BlockDone:
    """What one block took."""

    rows: int
    seconds: dict[str, float]
    peak_bytes: int
    """Peak resident memory of its worker so far."""


class LibraryPredictor:
    """XGBoost's `inplace_predict` on one thread, fed as well as it can be from columns."""

    def __init__(self, booster: xgboost.Booster) -> None:
        self.booster = booster
        self.booster.set_param({"nthread": 1})

    def predict(self, columns: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the estimate of each row of (n_features, n_rows)."""
        found = np.empty(columns.shape[1], np.float32)
        for start in range(0, len(found), PIECE_ROWS):
            rows = np.ascontiguousarray(columns[:, start : start + PIECE_ROWS].T)
            found[start : start + PIECE_ROWS] = self.booster.inplace_predict(rows)
        return found


@lru_cache(maxsize=2)
def predictor(path: str, is_library: bool) -> Forest | Predictor:
    """Return the model of a file, loaded once per process."""
    booster = xgboost.Booster(model_file=path)
    return LibraryPredictor(booster) if is_library else Forest.from_xgboost(booster)


def warm_up(path: str, is_library: bool) -> None:
    """Import, load and compile on a worker what its first block would otherwise pay for."""
    model = predictor(path, is_library)
    if isinstance(model, Forest):
        model.warm_up()


def feature_reader(cubes: str) -> FeatureReader:
    """Return the reader of the workload's stored features."""
    driver = Driver("bench", to_grid="native", to_days="daily")
    return FeatureReader(FEATURES, (driver,), CubeSet({"bench": cubes}), schemas={"bench": STORED})


def make(
    reader: FeatureReader,
    model: Forest | Predictor,
    window: Window,
    points: NDArray[np.intp],
    days: Days,
    turn: Turn = NO_LANES,
) -> BlockArrays:
    """Return the product of one block as production makes it, the seconds of reading included."""
    clock = Clock()
    with clock.step("read"):
        inputs = reader.read(window, days, points)
    turn.compute()
    made = make_block(
        reader,
        inputs,
        model,
        GLASS_SM.schema,
        "soil_moisture",
        STEP_DAYS,
        GLASS_SM.no_estimate_where,
    )
    clock.add(made.seconds)
    return replace(made, seconds=clock.seconds)


def run_block(job: BlockJob) -> BlockDone:
    """Produce one block and write its shards, one put each, as production's task does."""
    scale = job.scale
    mask = land(scale, job.seed)[job.window.within(scale.window)]
    with take_turn(overlap=job.read_ahead) as turn:
        made = make(
            feature_reader(job.cubes),
            predictor(job.model, job.is_library),
            job.window,
            np.flatnonzero(mask),
            STORED.times(YEAR)[: scale.days],
            turn,
        )
        turn.write()
        clock = Clock()
        index = shard_index(GLASS_SM.schema, job.window, 0)
        with clock.step("write"):
            for name, values in made.values.items():
                write_shard(job.store, GLASS_SM.schema, name, index, values)
    clock.add(made.seconds)
    return BlockDone(made.rows, clock.seconds, peak_bytes())


def run(
    client: Client | None,
    cubes: str,
    scale: Scale,
    model: str,
    seed: int,
    store: Path,
    *,
    is_library: bool = False,
    read_ahead: bool = False,
) -> list[BlockDone]:
    """Produce all blocks through the bounded window into `store`; return what each took."""
    create_store(str(store), GLASS_SM.schema, YEAR)
    jobs = [
        BlockJob(cubes, model, is_library, str(store), window, scale, seed, read_ahead)
        for window in blocks_of(scale.window, BLOCK)
    ]
    done: list[BlockDone] = []
    run_tasks(
        client,
        [Task(f"bench-b{number:02d}", run_block, (job,)) for number, job in enumerate(jobs)],
        window=worker_threads(client) * TASKS_PER_WORKER if client else 1,
        on_done=lambda _, result: done.append(result),
    )
    return done


def read_back(store: Path, scale: Scale) -> NDArray[np.int16]:
    """Return the stored integers of the workload, (days, rows, cols)."""
    cube = open_cube(str(store), GLASS_SM.schema, YEAR)
    stored = cube.read("soil_moisture", slice(0, scale.days), scale.window)
    return stored.astype(np.int16)


def block_columns(cubes: str, scale: Scale, seed: int) -> NDArray[np.float32]:
    """Return the features (n_features, n_rows) of the first block's land, one slab of days."""
    window = blocks_of(scale.window, BLOCK)[0]
    points = np.flatnonzero(land(scale, seed)[window.within(scale.window)])
    days = STORED.times(YEAR)[: min(scale.days, STEP_DAYS)]
    reader = feature_reader(cubes)
    columns = reader.compute(reader.read(window, days, points)).values
    return columns.reshape(len(COLUMNS), -1)
