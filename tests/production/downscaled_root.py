"""A small product root of maps that came down from coarse cells, with everything but their making.

The truth is that of `product_root`; the maps know its pattern by half, the coarse cells not at all.
"""

import numpy as np
import pandas as pd

from smcloud.core.config import RunConfig, StoreConfig
from smcloud.core.layout import join, year_store
from smcloud.core.listener import Silent
from smcloud.core.objects import open_objects
from smcloud.cube.schema import shard_index
from smcloud.cube.store import create_store, write_shard
from smcloud.grids.grid import SIN1KM
from smcloud.models.periods import BEST, SCORES, PeriodEntry, PeriodsCard, to_parquet
from smcloud.production.stations_stage import ingest_named_stations
from smcloud.production.versions import Pointer, write_pointer
from smcloud.products.downscaled import MEAN_NOT_MET, NO_COARSE_VALUE
from smcloud.products.registry import product_named
from smcloud.simulate.truth import SOIL_MOISTURE, TRUTH_SCHEMA, truth_url
from smcloud.sources.registry import SOURCES
from tests.production import product_root
from tests.production.product_root import BLOCKS, DAYS, TILE, VERSION, WINDOW, YEAR

NAME = "smap-downscaling"
PRODUCT = product_named(NAME)
FAMILIES = ("mlr", "svr", "ann", "rf", "xgb")
GAP = "too few samples: more than 100 are needed"
HILLS = 0.08
SILENT = slice(100, 110)
"""Days without a coarse value."""


def level(day):
    """The moisture of a whole cell: a wet winter, and showers that dry out."""
    storms = np.random.default_rng(5).random(DAYS.size) < 0.12
    wet = np.zeros(DAYS.size)
    for number in range(1, DAYS.size):
        wet[number] = wet[number - 1] * 0.9 + 0.05 * storms[number]
    return (0.2 + 0.03 * np.cos(2 * np.pi * np.arange(DAYS.size) / 365) + wet)[day]


def pattern(rows, cols):
    """Hills of a few kilometres, which no coarse cell sees."""
    return HILLS * np.sin(rows / 2.0) * np.cos(cols / 3.0)


def truth_at(rows, cols):
    """The truth (days, n) of global pixels."""
    return level(slice(None))[:, None] + pattern(rows, cols)[None]


def maps_at(share):
    """Return maps (days, n) that know this share of the pattern."""

    def values(rows, cols):
        return level(slice(None))[:, None] + share * pattern(rows, cols)[None]

    return values


def build(folder, share=0.5):
    """Write everything below `folder` and return the run's configuration."""
    config = RunConfig(
        product=NAME,
        years=(YEAR,),
        tiles=(TILE,),
        store=StoreConfig(root=str(folder / "root"), truth=str(folder / "truth")),
        produce={"window": WINDOW},
    )
    _write_maps(config, folder, share)
    _write_coarse(join(config.cube_prefix("smap_l3"), year_store(YEAR)))
    product_root._write_stations(config.layout)
    _write_model(config)
    return config


def _write_maps(config, folder, share):
    schema, layout = PRODUCT.schema, config.layout
    url, truth = layout.store(NAME, YEAR, VERSION), truth_url(str(folder), YEAR)
    create_store(url, schema, YEAR)
    create_store(truth, TRUTH_SCHEMA, YEAR)
    for block in BLOCKS:
        values = product_root.block_values(block, maps_at(share))
        flag = np.zeros(values.shape, np.uint16)
        flag[SILENT] = NO_COARSE_VALUE
        flag[50] = MEAN_NOT_MET
        index = shard_index(schema, block, 0)
        write_shard(url, schema, "soil_moisture", index, schema.variables[0].pack(values))
        write_shard(url, schema, "quality_flag", index, flag)
        stored = SOIL_MOISTURE.pack(product_root.block_values(block, truth_at))
        write_shard(truth, TRUTH_SCHEMA, "soil_moisture", index, stored)
    write_pointer(layout, Pointer(NAME, YEAR, VERSION, f"{VERSION}.zarr", "ab" * 32, (TILE,)))


def _write_coarse(url):
    """Write cells that know the day and nothing else."""
    schema = SOURCES["smap_l3"].schema
    variable = schema.variable("soil_moisture_am")
    create_store(url, schema, YEAR)
    height, width = schema.shards[1:]
    corners = {corner for block in BLOCKS for corner in _cells_around(schema.on, block)}
    values = level(slice(None)).copy()
    values[SILENT] = np.nan
    for row, col in sorted({(row // height, col // width) for row, col in corners}):
        for slab, steps in enumerate(schema.slabs(YEAR)):
            whole = np.broadcast_to(
                values[steps, None, None], (steps.stop - steps.start, height, width)
            )
            write_shard(url, schema, variable.name, (slab, row, col), variable.pack(whole))


def _cells_around(grid, block):
    lon, lat = SIN1KM.lonlat(block)
    rows, cols = grid.pixel_of(lon.ravel(), lat.ravel())
    yield from ((rows.min() - 1, cols.min() - 1), (rows.max() + 1, cols.max() + 1))
    yield from ((rows.min() - 1, cols.max() + 1), (rows.max() + 1, cols.min() - 1))


def write_rain(config):
    """Write ERA5-Land's rain: 12 mm on the days on which the truth is wetted."""
    schema = SOURCES["era5land"].schema
    url = join(config.cube_prefix("era5land"), year_store(YEAR))
    create_store(url, schema, YEAR)
    rain = 12.0 * (np.random.default_rng(5).random(DAYS.size) < 0.12)
    _, rows, cols = schema.shards
    lon, lat = SIN1KM.lonlat(BLOCKS[0])
    row, col = schema.on.pixel_of(lon.ravel(), lat.ravel())
    for slab, steps in enumerate(schema.slabs(YEAR)):
        whole = np.broadcast_to(rain[steps, None, None], (steps.stop - steps.start, rows, cols))
        for place in {(int(r) // rows, int(c) // cols) for r, c in zip(row, col, strict=True)}:
            write_shard(url, schema, "tp", (slab, *place), schema.variable("tp").pack(whole))


def with_gauges(config, folder):
    """Ingest a gauge inside the maps, with the rain of `write_rain`, one elsewhere, a broken file.

    Returns the run that names them.
    """
    lon, lat = (values[75, 75] for values in SIN1KM.lonlat(BLOCKS[0]))
    rain = 12.0 * (np.random.default_rng(5).random(DAYS.size) < 0.12)
    rows = ["network,station,lat,lon,depth,time,value"]
    rows += [f"CMA,in,{lat},{lon},,{day},{mm}" for day, mm in zip(DAYS, rain, strict=True)]
    rows += [f"CMA,out,-20.0,30.0,,{day},1.0" for day in DAYS]
    (folder / "gauges").mkdir()
    (folder / "gauges" / "cma_precipitation.csv").write_text("\n".join(rows) + "\n")
    (folder / "gauges" / "broken_precipitation.csv").write_text("nothing\n")
    stations = {"archive": "", "csv": f"file://{folder}/gauges"}
    named = RunConfig.model_validate(config.model_dump() | {"stations": stations})
    ingest_named_stations(named, None, Silent())
    return named


def _write_model(config):
    models = open_objects(config.layout.model(""))
    starts = np.arange(DAYS[0], DAYS[-1] + 1, 8)
    entries, rows = [], []
    for number, start in enumerate(starts):
        days = int(min(8, (DAYS[-1] - start).astype(int) + 1))
        best = "" if number == 0 else FAMILIES[number % 5]
        entries.append(
            PeriodEntry(
                start=start.item(),
                days=days,
                samples=200 if best else 14,
                family=best or None,
                sha256="ab" * 32 if best else "",
                why_not="" if best else GAP,
            )
        )
        rows += [
            {"start": np.datetime64(start, "ms"), "days": days, "family": family,
             "is_best": family == best, "RMSE": 0.04, "constant_RMSE": 0.05, "why_not": ""}
            for family in FAMILIES
            if best
        ]  # fmt: skip
    scores = {"R": 0.8, "RMSE": 0.041, "ubRMSE": 0.04, "bias": 0.0, "random_RMSE": 0.03,
              "constant_RMSE": 0.05, "periods": 45, "chosen": 9}  # fmt: skip
    card = PeriodsCard(
        name=NAME, target="soil_moisture", target_units="m3 m-3", columns=("ndvi",), units=("1",),
        rules={}, versions={}, input_hash="cd" * 32, scores_sha256="ef" * 32,
        scores=dict.fromkeys((*FAMILIES, BEST), scores), periods=tuple(entries),
    )  # fmt: skip
    models.put(f"{NAME}/{SCORES}", to_parquet(pd.DataFrame(rows)))
    models.put(f"{NAME}/card.json", card.to_json())
