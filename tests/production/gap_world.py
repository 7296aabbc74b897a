"""A run of seamless that is small and whole: a user's own cubes of 24 x 24 cells and 60 days."""

import tomllib
from pathlib import Path

import numpy as np

from smcloud.core.config import RunConfig
from smcloud.cube.schema import CubeSchema
from smcloud.cube.store import create_store, write_shard
from smcloud.features.coarse_cubes import GAPPY_MOISTURE
from smcloud.grids.grid import Window
from smcloud.models.gap_reasons import GapReason
from smcloud.sources.imerg import SCHEMA as IMERG

YEARS = (2014, 2015)
DAYS = 60
CELLS = Window(212, 236, 912, 936)
"""In four shards of the cube."""
LAKE = (slice(3, 5), slice(3, 5))
FROZEN = (slice(10, 14), slice(0, 6), slice(0, 6))
"""Days and cells that are frozen."""
DARK_DAY = 40
"""A day on which nothing was observed."""


def fields_of(year: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return true moisture, precipitation and reasons (days, rows, cols) of the days at hand."""
    rng = np.random.default_rng(year)
    rows, cols = np.indices(CELLS.shape)
    rain = np.where(rng.random((DAYS, 1, 1)) < 0.25, rng.gamma(2.0, 6.0, (DAYS, 1, 1)), 0.0)
    rain = rain * (1 + 0.5 * np.sin(cols / 5 + np.arange(DAYS)[:, None, None]))
    truth = np.empty(rain.shape)
    state = 0.2 + 0.05 * np.sin(rows / 6)
    for day, wet in enumerate(rain):
        state = 0.12 + 0.9 * (state - 0.12) + 0.006 * wet
        truth[day] = np.clip(state, 0.02, 0.6)
    reason = np.zeros(rain.shape, np.uint8)
    day = np.arange(DAYS)[:, None, None]
    reason[(cols + 7 * day + rows // 4) % 28 < 6] = GapReason.SWATH
    reason[FROZEN] = GapReason.FROZEN
    reason[DARK_DAY] = GapReason.OUTAGE
    reason[:, *LAKE] = GapReason.NOT_LAND
    return truth, rain, reason


def make_gap_world(folder: Path, *, wet_years=YEARS) -> Path:
    """Make cubes and a run file below `folder`; return the run file."""
    for year in YEARS:
        truth, rain, reason = fields_of(year)
        moisture = np.where(reason == GapReason.OBSERVED, truth, np.nan)
        stored = GAPPY_MOISTURE.schema.variable("soil_moisture").pack(moisture)
        url = f"{folder}/own/gappy_moisture/{year}.zarr"
        _write(url, GAPPY_MOISTURE.schema, year, {"soil_moisture": stored, "gap_reason": reason})
        if year in wet_years:
            wet = IMERG.variable("precipitation").pack(rain)
            _write(f"{folder}/own/imerg_025/{year}.zarr", IMERG, year, {"precipitation": wet})
    return write_gap_run(folder)


def _write(url: str, schema: CubeSchema, year: int, values: dict[str, np.ndarray]) -> None:
    """Store values of the first days in every shard that holds a cell; the rest is unknown."""
    create_store(url, schema, year)
    steps, height, width = schema.shards
    n_days = len(schema.times(year))
    for name, part in values.items():
        fill = schema.variable(name).fill_value
        whole = np.full((n_days, *part.shape[1:]), fill, part.dtype)
        whole[:DAYS] = part
        for slab in range(-(-n_days // steps)):
            for row in range(CELLS.row0 // height, (CELLS.row1 - 1) // height + 1):
                for col in range(CELLS.col0 // width, (CELLS.col1 - 1) // width + 1):
                    shard = Window(row * height, (row + 1) * height, col * width, (col + 1) * width)
                    inside = shard.intersect(CELLS)
                    own = whole[slab * steps : (slab + 1) * steps]
                    block = np.full((len(own), *shard.shape), fill, part.dtype)
                    block[(slice(None), *inside.within(shard))] = own[
                        (slice(None), *inside.within(CELLS))
                    ]
                    write_shard(url, schema, name, (slab, row, col), block)


def write_gap_run(folder: Path, *, root: str = "", extra: str = "") -> Path:
    """Write a run file whose product root is `root` (by default ``folder/out``)."""
    path = folder / "run.toml"
    path.write_text(f"""
product = "seamless"
years = {list(YEARS)}
tiles = ["h18v05"]
stages = ["train", "produce", "validate", "publish"]
[store]
root = "{root or folder / "out"}"
[ingest.cubes]
gappy_moisture = "{folder}/own/gappy_moisture"
imerg_025 = "{folder}/own/imerg_025"
[seamless]
channels = 4
mid_layers = 2
lstm_hidden = 3
patch_cells = 8
patch_stride = 4
complete_share = 0.8
epochs = 2
steps = 4
batch = 16
spin_up_days = 12
hiding_rounds = 1
{extra}
[produce]
years = [{YEARS[-1]}]
heartbeat_seconds = 0.5
[cluster]
workers = 1
memory = "2GiB"
""")
    return path


def gap_config(path: Path, **changes) -> RunConfig:
    """Return the run of a file, with changes to its section `seamless`."""
    config = RunConfig.model_validate(tomllib.loads(path.read_text()))
    return config.model_copy(update={"seamless": config.seamless.model_copy(update=changes)})
