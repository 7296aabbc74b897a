"""A small downscaled product that is whole: a user's own cubes, linear models of months, a run.

The strip of land is that of `small_world`; the coarse cells have a value on all days but ten, and
the models are fitted to made-up cells, so that a first guess is off and anchoring has to work.
"""

import tomllib
from pathlib import Path

import numpy as np
import pandas as pd

from smcloud.core.config import RunConfig
from smcloud.core.layout import join, year_store
from smcloud.cube.schema import Variable
from smcloud.cube.store import create_store, write_shard
from smcloud.grids.grid import SIN1KM
from smcloud.models.family_search import SearchRules
from smcloud.models.period_fits import PeriodRules
from smcloud.production.period_samples import PeriodsRequest
from smcloud.production.period_tasks import train_periods
from smcloud.products.registry import product_named
from smcloud.sources.registry import SOURCES
from tests.production import small_world
from tests.production.small_world import PART, REGION, TILE, YEAR

NAME = "smap-downscaling"
PRODUCT = product_named(NAME)
FEATURES = ("lst_day", "elevation")
OWN = ("mod11a1", "terrain", "soilgrids", "smap_l3")
SILENT = slice(200, 210)
"""Days without any coarse value."""
BLOCKS, SLABS = 4, 8


def make(folder: Path) -> None:
    """Write cubes and models below `folder`."""
    used = small_world.USED
    small_world.USED = used | {"bulk_density"}
    try:
        for source in ("mod11a1", "terrain", "soilgrids"):
            small_world.make_cube(folder / "own" / source, source)
    finally:
        small_world.USED = used
    make_coarse(folder)
    make_models(folder)


def write_run(folder: Path, memory: str = "2GiB") -> Path:
    """Write the run file of a folder that `make` filled."""
    urls = "\n".join(f'{source} = "{folder}/own/{source}"' for source in OWN)
    path = folder / "run.toml"
    path.write_text(f"""
product = "{NAME}"
years = [{YEAR}]
tiles = ["{TILE}"]
[store]
root = "{folder / "out"}"
[ingest.cubes]
{urls}
[train]
features = {list(FEATURES)}
[downscale]
minimum_share = 0.05 # the region cuts most of its cells
[produce]
window = "{PART}"
heartbeat_seconds = 0.5
[cluster]
workers = 1
memory = "{memory}"
""")
    return path


def config_of(folder: Path) -> RunConfig:
    """Return the run of a folder that `make` filled."""
    return RunConfig.model_validate(tomllib.loads(write_run(folder).read_text()))


def make_coarse(folder: Path) -> None:
    """Write coarse values that differ from cell to cell and from day to day."""
    schema = SOURCES["smap_l3"].schema
    variable: Variable = schema.variable("soil_moisture_am")
    url = join(str(folder / "own" / "smap_l3"), year_store(YEAR))
    create_store(url, schema, YEAR)
    _, height, width = schema.shards
    lon, lat = SIN1KM.lonlat(REGION)
    rows, cols = schema.on.pixel_of(lon.ravel(), lat.ravel())
    places = {(int(r) // height, int(c) // width) for r, c in zip(rows, cols, strict=True)}
    rng = np.random.default_rng(3)
    for row, col in sorted(places):
        pattern = np.maximum(0.13 + 0.1 * rng.standard_normal((height, width)), 0.015)
        for slab, steps in enumerate(schema.slabs(YEAR)):
            days = np.arange(steps.start, steps.stop)
            values = pattern * (1 + 0.3 * np.sin(days / 9.0))[:, None, None]
            values[(days >= SILENT.start) & (days < SILENT.stop)] = np.nan
            packed = variable.pack(values.astype(np.float32))
            write_shard(url, schema, variable.name, (slab, row, col), packed)


def make_models(folder: Path, silent: slice = slice(0)) -> None:
    """Train linear models of 61 days on cells that were made up; some days may have no target."""
    rng = np.random.default_rng(0)
    days = np.arange(np.datetime64(f"{YEAR}-01-01"), np.datetime64(f"{YEAR + 1}-01-01"), 10)
    side = 8
    cells = side**2
    elevation = np.tile(rng.uniform(0, 2000, cells), days.size)
    lst = rng.uniform(275, 310, days.size * cells)
    table = pd.DataFrame(
        {
            "row": np.tile(np.arange(cells) // side, days.size),
            "col": np.tile(np.arange(cells) % side, days.size),
            "time": np.repeat(days, cells).astype("datetime64[s]"),
            "lst_day": lst.astype(np.float32),
            "elevation": elevation.astype(np.float32),
            "soil_moisture": (0.9 - 0.0022 * lst + 0.00002 * elevation).astype(np.float32),
        }
    )
    table.loc[table["time"].isin(days[silent]), "soil_moisture"] = np.nan
    rules = PeriodRules(
        families=("mlr",), period_days=61, search=SearchRules(candidates=1, folds=2)
    )
    request = PeriodsRequest(
        root=str(folder / "out"), name=NAME, features=FEATURES, rules=rules, units=("K", "m")
    )
    train_periods(table, request)
