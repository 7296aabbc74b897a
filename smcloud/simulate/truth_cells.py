"""The truth of cells of 0.25 degree as a cube: what gap-free coarse moisture is held against."""

from collections.abc import Iterator, Mapping

import numpy as np

from smcloud.core.layout import join, year_store
from smcloud.cube.schema import YEAR_STEPS, Array, CubeSchema, Variable
from smcloud.cube.store import create_store, shard_key, write_shard
from smcloud.grids.grid import GLOBAL025
from smcloud.simulate.footprints import Footprints
from smcloud.simulate.noise import Floats
from smcloud.simulate.records import WaterDay
from smcloud.simulate.truth import SOIL_MOISTURE

SHARD_CELLS = 180
FOLDER = "truth-025"
CELL_TRUTH = CubeSchema(
    "truth_025",
    GLOBAL025.name,
    (
        SOIL_MOISTURE,
        Variable(
            "precipitation",
            "uint16",
            "mm day-1",
            "true precipitation of the UTC day of the simulated Earth, rain and snow",
            valid=(0.0, 1300.0),
            scale=0.02,
            fill=65535,
            standard_name="lwe_precipitation_rate",
        ),
        Variable(
            "frozen_share",
            "uint8",
            "1",
            "share of the land of a cell whose soil is frozen on the simulated Earth",
            valid=(0.0, 1.0),
            scale=0.01,
            fill=255,
        ),
    ),
    step_days=1,
    chunks=(46, 30, 30),
    shards=(YEAR_STEPS, SHARD_CELLS, SHARD_CELLS),
    title="Truth of the simulated Earth on cells of 0.25 degree, means over land",
)


def cell_truth_url(out: str, year: int) -> str:
    """Return the URL of one year's truth."""
    return join(out, FOLDER, year_store(year))


def truth_of(cells: Footprints, state: WaterDay) -> dict[str, Array]:
    """Return one day of the truth by variable, (n,) as stored; `state` is that of the places."""
    means: dict[str, Floats] = {
        "soil_moisture": cells.mean(state.soil_moisture),
        "precipitation": cells.mean(state.rain_mm),
        "frozen_share": cells.mean(state.is_frozen.astype(np.float32)),
    }
    return {name: CELL_TRUTH.variable(name).pack(values) for name, values in means.items()}


def truth_keys(cells: Footprints, year: int) -> list[str]:
    """Return the keys below the output URL of the shards that hold the cells."""
    return [
        join(FOLDER, year_store(year), shard_key(variable.name, (0, *shard)))
        for variable in CELL_TRUTH.variables
        for shard in _shards(cells)
    ]


def write_truth(
    out: str, year: int, cells: Footprints, stored: Mapping[str, Array]
) -> Iterator[tuple[str, int]]:
    """Write the store of a year from values (days, n) as stored; yield key and bytes of shards."""
    url = cell_truth_url(out, year)
    create_store(url, CELL_TRUTH, year)
    for variable in CELL_TRUTH.variables:
        values = stored[variable.name]
        for row, col in _shards(cells):
            inside = (cells.rows // SHARD_CELLS == row) & (cells.cols // SHARD_CELLS == col)
            shape = len(values), SHARD_CELLS, SHARD_CELLS
            block = np.full(shape, variable.fill_value, variable.dtype)
            at = cells.rows[inside] % SHARD_CELLS, cells.cols[inside] % SHARD_CELLS
            block[:, at[0], at[1]] = values[:, inside]
            record = write_shard(url, CELL_TRUTH, variable.name, (0, row, col), block)
            yield join(FOLDER, year_store(year), record.key), record.stored_bytes


def _shards(cells: Footprints) -> list[tuple[int, int]]:
    """Return (row, column) of the shards that hold the cells, sorted."""
    pairs = zip(cells.rows // SHARD_CELLS, cells.cols // SHARD_CELLS, strict=True)
    return sorted({(int(row), int(col)) for row, col in pairs})
