"""The same job through smcloud's own block: the code that `smcloud produce` runs on a worker."""

import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import xgboost
from distributed import Client
from numpy.typing import NDArray

from benchmarks.workload import BLOCK, COLUMNS, STORED, YEAR, Scale, land
from smcloud.cube.schema import shard_index
from smcloud.cube.store import create_store, open_cube, write_shard
from smcloud.features.blockwise import FeatureReader
from smcloud.features.spec import CubeSet, Driver, Feature
from smcloud.grids.grid import Window
from smcloud.grids.tiles import blocks_of
from smcloud.models.boosting import predict_columns
from smcloud.production.block import make_block, peak_bytes
from smcloud.production.runner import Task, run_tasks
from smcloud.products.glass_sm import GLASS_SM

STEP_DAYS = 46
FEATURES = tuple(
    Feature(name, (f"bench.{name}",), "1", lambda stored: stored, long_name="as stored")
    for name in COLUMNS
)


@dataclass(frozen=True)
class BlockJob:
    """One block of the workload: URLs and records, as production's tasks carry them."""

    cubes: str
    model: str
    store: str
    window: Window
    scale: Scale
    seed: int


@dataclass(frozen=True)
class BlockDone:
    """What one block took."""

    rows: int
    seconds: dict[str, float]
    peak_bytes: int


class _Booster:
    """A model read from a file, with production's own way of predicting columns."""

    def __init__(self, path: str) -> None:
        self.booster = xgboost.Booster(model_file=path)
        self.booster.set_param({"nthread": 1})

    def predict(self, columns: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the estimate of each row of (n_features, n_rows)."""
        return predict_columns(self.booster, columns)


@lru_cache(maxsize=1)
def _model(path: str) -> _Booster:
    return _Booster(path)


def feature_reader(cubes: str) -> FeatureReader:
    """Return the reader of the workload's stored features."""
    driver = Driver("bench", to_grid="native", to_days="daily")
    return FeatureReader(FEATURES, (driver,), CubeSet({"bench": cubes}), schemas={"bench": STORED})


def run_block(job: BlockJob) -> BlockDone:
    """Produce one block and write its shards, one put each."""
    scale = job.scale
    mask = land(scale, job.seed)[job.window.within(scale.window)]
    points = np.flatnonzero(mask)
    days = STORED.times(YEAR)[: scale.days]
    made = make_block(
        feature_reader(job.cubes),
        _model(job.model),
        GLASS_SM.schema,
        "soil_moisture",
        job.window,
        points,
        days,
        STEP_DAYS,
        GLASS_SM.no_estimate_where,
    )
    seconds = dict(made.seconds)
    index = shard_index(GLASS_SM.schema, job.window, 0)
    started = time.perf_counter()
    for name, values in made.values.items():
        write_shard(job.store, GLASS_SM.schema, name, index, values)
    seconds["write"] += time.perf_counter() - started
    return BlockDone(made.rows, seconds, peak_bytes())


def run(
    cubes: str, scale: Scale, model: str, seed: int, folder: Path, client: Client | None
) -> tuple[NDArray[np.int16], list[BlockDone]]:
    """Produce all blocks through the bounded window; return stored integers and what each took."""
    store = str(folder / "ours.zarr")
    create_store(store, GLASS_SM.schema, YEAR)
    jobs = [BlockJob(cubes, model, store, w, scale, seed) for w in blocks_of(scale.window, BLOCK)]
    done: list[BlockDone] = []
    run_tasks(
        client,
        [Task(f"bench-b{number:02d}", run_block, (job,)) for number, job in enumerate(jobs)],
        window=4,
        on_done=lambda _, result: done.append(result),
    )
    cube = open_cube(store, GLASS_SM.schema, YEAR)
    stored = cube.read("soil_moisture", slice(0, scale.days), scale.window)
    return stored.astype(np.int16), done


def raw_rate(cubes: str, scale: Scale, model: str, seed: int) -> float:
    """Return rows per second of `inplace_predict` alone on one thread, on a block's land rows."""
    window = blocks_of(scale.window, BLOCK)[0]
    points = np.flatnonzero(land(scale, seed)[window.within(scale.window)])
    days = STORED.times(YEAR)[: min(scale.days, STEP_DAYS)]
    reader = feature_reader(cubes)
    columns = reader.compute(reader.read(window, days, points)).values
    rows = np.ascontiguousarray(columns.reshape(len(COLUMNS), -1).T)
    booster = _model(model).booster
    booster.inplace_predict(rows[:1000])
    started = time.perf_counter()
    booster.inplace_predict(rows)
    return len(rows) / (time.perf_counter() - started)
