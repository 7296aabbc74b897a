"""A run that is small and whole: a user's own cubes of a strip of land, a tiny model, a run file.

The run's window lies where four blocks meet; the strip reaches from its place in tile h18v04 (the
Apennines) to the same place in h19v04 (Romania).
"""

import tomllib
from pathlib import Path

import numpy as np
import xgboost
import zarr

from smcloud.core.config import RunConfig
from smcloud.core.listener import Silent
from smcloud.core.objects import open_objects
from smcloud.cube.schema import Variable
from smcloud.cube.store import grid_mapping_attrs
from smcloud.grids.grid import Window
from smcloud.grids.tiles import parse_window
from smcloud.models.base import ModelCard, content_hash, save_model
from smcloud.production.produce_stage import run
from smcloud.sources.registry import SOURCES
from tests.trees import tree_of

TILE, EAST, YEAR = "h18v04", "h19v04", 2019
PART, SIDE = "60x60+720+870", 60
WEST_PART, EAST_PART = parse_window(PART, TILE), parse_window(PART, EAST)
REGION = Window(WEST_PART.row0, WEST_PART.row1, WEST_PART.col0, EAST_PART.col1)
BLOCKS = 4
FEATURES = ("lst_day", "era5land_soil_moisture", "elevation", "day_of_year_sine")
UNITS = ("K", "m3 m-3", "m", "1")
USED = {"lst_day", "swvl1", "stl1", "skt", "elevation"}
MODEL = "tiny"


def make_world(folder: Path, *, trees: int = 5) -> Path:
    """Make cubes, model and run file below `folder`; return the run file."""
    for source in ("mod11a1", "era5land", "terrain"):
        make_cube(folder / "own" / source, source)
    make_model(folder, trees)
    return write_run(folder)


def write_run(
    folder: Path,
    *,
    root: str = "",
    tiles: tuple[str, ...] = (TILE,),
    workers: int = 1,
    extra: str = "",
) -> Path:
    """Write a run file whose product root is `root` (by default ``folder/out``)."""
    urls = "\n".join(f'{s} = "{folder}/own/{s}"' for s in ("mod11a1", "era5land", "terrain"))
    path = folder / "run.toml"
    path.write_text(f"""
product = "glass-sm"
years = [{YEAR}]
tiles = {list(tiles)}
[store]
root = "{root or folder / "out"}"
[ingest.cubes]
{urls}
[train]
model = "{MODEL}"
features = {list(FEATURES)}
[produce]
window = "{PART}"
heartbeat_seconds = 0.5
[cluster]
workers = {workers}
memory = "2GiB"
""")
    return path


def config_of(path: Path, **produce) -> RunConfig:
    """Return the run of a file, with changes to its section `produce`."""
    config = RunConfig.model_validate(tomllib.loads(path.read_text()))
    return config.model_copy(update={"produce": config.produce.model_copy(update=produce)})


def make_cube(folder: Path, source: str, shift: float = 0.0) -> None:
    """Write a store of a region as a user has it: chunks without shards, the region's pixels."""
    schema = SOURCES[source].schema
    grid = schema.on
    window = REGION if grid.is_fine else Window(430, 480, 50, 300)
    rows, cols = window.slices
    name = "static.zarr" if schema.is_static else f"{YEAR}.zarr"
    root = zarr.create_group(str(folder / name), overwrite=True)
    for dim, values in zip(grid.dims, (grid.y[rows], grid.x[cols]), strict=True):
        root.create_array(dim, data=values, dimension_names=(dim,))
    root.create_array("spatial_ref", data=np.array(0), attributes=grid_mapping_attrs(grid))
    days = len(schema.times(YEAR)) if not schema.is_static else 0
    if days:
        root.create_array(
            "time",
            data=schema.times(YEAR).astype(np.int64).astype(np.int32),
            attributes={"units": "days since 1970-01-01"},
        )
    for variable in schema.variables:
        array = root.create_array(
            variable.name,
            shape=(*([days] if days else []), *window.shape),
            chunks=(*([46] if days else []), SIDE, SIDE),
            dtype=variable.dtype,
            fill_value=variable.fill_value,
            attributes={**variable.cf_attrs(), "grid_mapping": "spatial_ref"},
            dimension_names=schema.dims,
        )
        if variable.name in USED:
            array[...] = stored_values(variable, array.shape, shift)


def stored_values(variable: Variable, shape: tuple[int, ...], shift: float):
    """Return smooth packed values inside the variable's range, the same in each square."""
    low, high = (275.0, 310.0) if variable.units == "K" else variable.valid
    across = np.linspace(0.0, 0.3, SIDE)
    values = low + (high - low) * (across[:, None] + across + shift)
    if len(shape) == 3:
        season = 0.05 * (high - low) * np.sin(np.arange(shape[0]) / 20)
        values = values + season[:, None, None]
        if variable.name == "lst_day":
            values[::7, ::5] = np.nan
    packed = variable.pack(values.astype(np.float32))
    squares = [-(-size // SIDE) for size in shape[-2:]]
    tiled = np.tile(packed, (*[1] * (len(shape) - 2), *squares))
    return tiled[..., : shape[-2], : shape[-1]]


def make_model(folder: Path, trees: int = 5, seed: int = 0) -> str:
    """Store a tiny model of the small world's features; return its sha256."""
    rng = np.random.default_rng(seed)
    columns = rng.uniform([270, 0, 0, -1], [310, 0.5, 2000, 1], (500, 4)).astype(np.float32)
    target = 0.1 + 0.5 * columns[:, 1] + 0.02 * columns[:, 3]
    booster = xgboost.train(
        {"max_depth": 3, "seed": seed, "nthread": 1},
        xgboost.QuantileDMatrix(columns, target),
        num_boost_round=trees,
    )
    data = bytes(booster.save_raw("ubj"))
    card = ModelCard(
        name=MODEL,
        target="soil_moisture",
        target_units="m3 m-3",
        columns=FEATURES,
        units=UNITS,
        training_keys=("2019",),
        sets={},
        scores={},
        params={},
        versions={},
        seed=seed,
        rounds=trees,
        input_hash="",
        resumed=False,
        distributed=False,
        sha256=content_hash(data),
    )
    save_model(open_objects(str(folder / "out" / "models")), MODEL, data, card)
    return card.sha256


def beside(world: Path, folder: Path) -> Path:
    """Give a new folder the granules and cubes of a world and a model of its own; return it."""
    (folder / "own").symlink_to(world / "own")
    make_model(folder)
    return folder


def undisturbed(folder: Path) -> dict[str, bytes]:
    """Return the product that one process makes below a folder, file by file."""
    run(config_of(write_run(folder)), None, Silent())
    return tree_of(folder / "out" / "products")
