"""One block of glass-sm as it is produced, in this process: its own 24 features, from drivers.

The tile job reads 24 features that are stored as they are used, so that its peers can do the same;
here most of them are computed: composites brought to days, indices, the reanalysis interpolated.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from benchmarks import ours
from benchmarks.features import BLOCK, DAYS, block_window, glass_reader, write_cubes
from benchmarks.record import BenchmarkError
from benchmarks.tile import FOREST, INPLACE
from benchmarks.timing import interleave
from benchmarks.workload import LAND_SHARE, SCALES, Scale
from smcloud.features.blockwise import FeatureReader
from smcloud.production.block import BlockArrays
from smcloud.products.glass_sm import GLASS_SM

ROUNDS = {"tiny": 1, "small": 2, "large": 3}
N_DAYS = {"tiny": 10, "small": 184, "large": 365}
SAMPLE_DAYS = 16
"""Days of the block that the model is trained on."""


def measure(scale: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return land rows per second of one block with the evaluator, and with XGBoost's predictor.

    Raises
    ------
    BenchmarkError
        If the two give other integers.
    """
    reader = glass_reader(write_cubes(folder, seed))
    rng = np.random.default_rng(seed)
    points = np.sort(rng.choice(BLOCK * BLOCK, int(LAND_SHARE * BLOCK * BLOCK), replace=False))
    path = folder / "glass.ubj"
    trained(reader, points, SCALES[scale], seed).save_model(path)
    days = DAYS[: N_DAYS[scale]]
    made: dict[str, BlockArrays] = {}

    def work(engine: str) -> None:
        model = ours.predictor(str(path), engine == INPLACE)
        found = ours.make(reader, model, block_window(), points, days)
        if engine not in made or _seconds(found) < _seconds(made[engine]):
            made[engine] = found

    ours.warm_up(str(path), is_library=False)
    works = {engine: partial(work, engine) for engine in (FOREST, INPLACE)}
    spreads = interleave(works, ROUNDS[scale])
    _check(made)
    rows = made[FOREST].rows
    return {
        "land_rows": rows,
        "routes": [
            {
                "route": name,
                "seconds": spread.best,
                "seconds_worst": spread.worst,
                "land_rows_per_second": rows / spread.best,
                "steps": dict(made[name].seconds),
            }
            for name, spread in spreads.items()
        ],
    }


def trained(
    reader: FeatureReader, points: NDArray[np.intp], scale: Scale, seed: int
) -> xgboost.Booster:
    """Return a model on features of the block itself; its target is mostly noise."""
    columns = reader.compute(reader.read(block_window(), DAYS[:SAMPLE_DAYS], points)).values
    rows = columns.reshape(len(columns), -1).T[: scale.train_rows]
    rng = np.random.default_rng(seed)
    target = rng.normal(0.25, 0.05, len(rows)) + 0.1 * np.nan_to_num(rows[:, 0] > 290.0)
    matrix = xgboost.QuantileDMatrix(rows, target)
    params = {"max_depth": scale.depth, "eta": 0.1, "seed": seed, "nthread": 2}
    return xgboost.train(params, matrix, num_boost_round=scale.trees)


def _seconds(made: BlockArrays) -> float:
    return sum(made.seconds.values())


def _check(made: Mapping[str, BlockArrays]) -> None:
    for name, values in made[FOREST].values.items():
        if not np.array_equal(values, made[INPLACE].values[name]):
            raise BenchmarkError(f"{GLASS_SM.name}: {name} differs between {FOREST} and {INPLACE}")


def show(found: Mapping[str, Any]) -> str:
    """Return both routes with their seconds by step."""
    ours_, library = found["routes"]
    times = ours_["land_rows_per_second"] / library["land_rows_per_second"]
    lines = [f"one block of {GLASS_SM.name}, {found['land_rows']:,} land rows, one process"]
    for row in found["routes"]:
        steps = ", ".join(f"{step} {value:.2f}" for step, value in row["steps"].items())
        lines.append(
            f"{row['route']:<26}{row['seconds']:>8.2f} s (worst {row['seconds_worst']:.2f})"
            f"{row['land_rows_per_second']:>13,.0f} land rows/s: {steps}"
        )
    return "\n".join([*lines, f"smcloud is {times:.1f}x"])
