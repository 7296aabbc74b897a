"""A product root as the stages before leave it: store, pointer, truth, reanalysis, stations, model.

Two blocks of tile h18v04 with coast, a product that is the truth with errors, six stations of which
three were never seen by the model.
"""

import numpy as np
import pandas as pd

from smcloud.core.config import RunConfig, StoreConfig
from smcloud.core.layout import join, year_store
from smcloud.core.objects import open_objects
from smcloud.cube.schema import shard_index
from smcloud.cube.store import create_store, write_shard
from smcloud.grids.grid import SIN1KM
from smcloud.grids.land import land_mask
from smcloud.grids.tiles import blocks_of, parse_window
from smcloud.ingest.daily_means import DailySeries
from smcloud.ingest.stations import Sensor
from smcloud.models.base import ModelCard, content_hash, save_model
from smcloud.models.scoring import SplitScores
from smcloud.production.versions import Pointer, write_pointer
from smcloud.products.registry import product_named
from smcloud.simulate.truth import SOIL_MOISTURE, TRUTH_SCHEMA, truth_url
from smcloud.sources.registry import SOURCES
from smcloud.validation.metrics import score_stations
from tests.ingest.station_archives import write_stations

TILE, YEAR, VERSION = "h18v04", 2019, "v1"
WINDOW = "150x300+750+150"
PART = parse_window(WINDOW, TILE)
BLOCKS = tuple(blocks_of(PART, 150))
DAYS = np.arange("2019-01-01", "2020-01-01", dtype="datetime64[D]")
SCHEMA = product_named("glass-sm").schema


def truth_at(rows, cols):
    """The truth (days, n) of global pixels: hills, a wet winter, showers that dry out."""
    storms = np.random.default_rng(5).random(DAYS.size) < 0.12
    wet = np.zeros(DAYS.size)
    for day in range(1, DAYS.size):
        wet[day] = wet[day - 1] * 0.9 + 0.08 * storms[day]
    hills = 0.05 * np.sin(rows / 31) * np.cos(cols / 23) + 0.02 * np.sin(rows / 7 + cols / 5)
    season = 0.07 * np.cos(2 * np.pi * np.arange(DAYS.size) / 365)
    drying = 1 + 0.3 * np.sin(cols / 40)
    return np.clip(0.16 + hills[None] + season[:, None] + wet[:, None] * drying[None], 0.02, 0.6)


def product_at(rows, cols):
    """The product (days, n): the truth damped and biased, with noise and gaps."""
    noise = np.random.default_rng(rows.size).normal(0, 0.015, (DAYS.size, rows.size))
    estimate = 0.06 + 0.75 * truth_at(rows, cols) + noise
    rows_in_cloud = (np.arange(DAYS.size)[:, None] // 9 + rows[None] // 30) % 8 == 0
    estimate[rows_in_cloud] = np.nan
    return estimate


def block_values(block, field):
    """The field on a block (days, rows, cols), NaN on the sea."""
    row, col = np.mgrid[block.row0 : block.row1, block.col0 : block.col1]
    values = field(row.ravel(), col.ravel()).reshape(DAYS.size, *block.shape)
    values[:, ~land_mask(block)] = np.nan
    return values


def build(folder):
    """Write everything below `folder` and return the run's configuration."""
    config = RunConfig(
        product="glass-sm",
        years=(YEAR,),
        tiles=(TILE,),
        store=StoreConfig(root=str(folder / "root"), truth=str(folder / "truth")),
        produce={"window": WINDOW},
    )
    _write_cubes(config, folder)
    stations = _write_stations(config.layout)
    _write_model(config, stations)
    return config


def _write_cubes(config, folder):
    layout = config.layout
    url = layout.store("glass-sm", YEAR, VERSION)
    create_store(url, SCHEMA, YEAR)
    create_store(truth_url(str(folder), YEAR), TRUTH_SCHEMA, YEAR)
    for block in BLOCKS:
        values = block_values(block, product_at)
        index = shard_index(SCHEMA, block, 0)
        write_shard(url, SCHEMA, "soil_moisture", index, SCHEMA.variables[0].pack(values))
        write_shard(url, SCHEMA, "quality_flag", index, np.isnan(values).astype(np.uint16))
        stored = SOIL_MOISTURE.pack(block_values(block, truth_at))
        write_shard(truth_url(str(folder), YEAR), TRUTH_SCHEMA, "soil_moisture", index, stored)
    write_pointer(layout, Pointer("glass-sm", YEAR, VERSION, f"{VERSION}.zarr", "ab" * 32, (TILE,)))
    _write_reanalysis(join(config.cube_prefix("era5land"), year_store(YEAR)))


def _write_reanalysis(url):
    schema = SOURCES["era5land"].schema
    variable = schema.variable("swvl1")
    create_store(url, schema, YEAR)
    lat = 43.0
    rows, cols = SIN1KM.pixel_of(np.array([2.0]), np.array([lat]))
    season = 0.1 + 0.6 * truth_at(rows, cols)[:, 0]
    _, shard_rows, shard_cols = schema.shards
    row, col = int((90 - lat) / 0.1) // shard_rows, 20 // shard_cols
    for slab, steps in enumerate(schema.slabs(YEAR)):
        shape = (steps.stop - steps.start, shard_rows, shard_cols)
        shape = tuple(
            min(a, b) for a, b in zip(shape, (*shape[:1], *schema.shape(YEAR)[1:]), strict=True)
        )
        values = np.broadcast_to(season[steps, None, None], shape)
        write_shard(url, schema, "swvl1", (slab, row, col), variable.pack(values))


def _pixels_of_stations():
    rng = np.random.default_rng(3)
    found = []
    for block in BLOCKS:
        land = np.argwhere(land_mask(block))
        for row, col in land[rng.choice(len(land), 3, replace=False)]:
            found.append((block.row0 + int(row), block.col0 + int(col)))
    return found


def _write_stations(layout):
    """Six stations; returns (name, unseen, row, col) of each."""
    rng = np.random.default_rng(9)
    sensors, listed = [], []
    for number, (row, col) in enumerate(_pixels_of_stations()):
        rows, cols = np.array([row]), np.array([col])
        measured = truth_at(rows, cols)[:, 0] + rng.normal(0.01 * number - 0.02, 0.02, DAYS.size)
        keep = rng.random(DAYS.size) > 0.1
        lon = np.degrees(SIN1KM.x[col] / 6371007.181 / np.cos(SIN1KM.y[row] / 6371007.181))
        series = DailySeries(
            DAYS[keep],
            np.clip(measured[keep], 0, 0.6).astype(np.float32),
            np.full(keep.sum(), 24, np.int16),
            {"G": int(keep.sum()) * 24},
            0,
            0,
        )
        sensor = Sensor(
            "GULF", f"site{number}", "probe", float(np.degrees(SIN1KM.y[row] / 6371007.181)),
            float(lon), 100.0, 0.0, 0.05, 8760, series,
        )  # fmt: skip
        sensors.append(sensor)
        listed.append((f"GULF/site{number}", number % 2 == 0, row, col))
    write_stations(sensors, layout.stations)
    return listed


def _write_model(config, stations):
    reports = open_objects(config.layout.reports("glass-sm"))
    tables, scores = {}, {}
    for kind, spread in (("random", 0.01), ("station", 0.03)):
        tables[kind] = _test_table(stations, spread)
        found = score_stations(tables[kind], block="block", min_pairs=30)
        counts = {"test": {"rows": len(tables[kind]), "stations": 3, "blocks": 3}}
        scores[kind] = SplitScores(kind, counts, 10, *map(_values, (found.overall, found.median)))
    for kind in ("year", "station_year"):
        scores[kind] = SplitScores(kind, {}, 0, {}, {}, f"split {kind!r} is not possible: one year")
    for kind, table in tables.items():
        reports.put(f"splits/{kind}.parquet", table.to_parquet(index=False))
    data = b"a booster"
    card = ModelCard(
        name="glass-sm", target="soil_moisture", target_units="m3 m-3", columns=("ndvi",),
        units=("1",), training_keys=("sin1km/h18v04/2019",), sets={}, scores={},
        params={"max_depth": 8}, versions={"smcloud": "0"}, seed=0, rounds=10, resumed=False,
        distributed=False, input_hash="cd" * 32, sha256=content_hash(data),
    )  # fmt: skip
    models = open_objects(config.layout.model(""))
    save_model(models, "glass-sm", data, card)
    body = {"splits": [scores[kind].to_json() for kind in scores]}
    models.put("glass-sm/scores.json", pd.io.json.ujson_dumps(body).encode())


def _test_table(stations, spread):
    rng = np.random.default_rng(1)
    frames = []
    for number, (name, is_unseen, row, col) in enumerate(stations):
        if is_unseen:
            truth = truth_at(np.array([row]), np.array([col]))[:, 0]
            frames.append(
                pd.DataFrame(
                    {
                        "station": name,
                        "time": DAYS.astype("datetime64[s]"),
                        "block": str(number),
                        "estimate": (0.06 + 0.75 * truth + rng.normal(0, spread, DAYS.size)).astype(
                            "f4"
                        ),
                        "soil_moisture": truth + rng.normal(0, 0.02, DAYS.size),
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def _values(frame):
    return {
        str(name): {end: float(row[end]) for end in ("value", "low", "high")}
        for name, row in frame.iterrows()
    }


def without_truth(config):
    """The same run on a real Earth, where nobody knows the truth."""
    return config.model_copy(update={"store": replace_truth(config.store, "")})


def replace_truth(store, truth):
    """The store section with another truth."""
    return store.model_copy(update={"truth": truth})
