"""Nanoseconds a row of each glass-sm feature and of all together, on one block of a tile, one core.

A row is a land pixel and day. Inputs are random, which is the worst case for branches: two fifths
of the pixels and composites are unknown, scattered like noise, and every twentieth coarse cell is.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.timing import interleave
from smcloud.cube.schema import Array, CubeSchema, Variable, shard_index
from smcloud.cube.store import create_store, write_shard
from smcloud.features.blockwise import FeatureReader
from smcloud.features.catalogue import features_named
from smcloud.features.inputs import BlockInputs
from smcloud.features.sink import FloatSink
from smcloud.features.spec import CubeSet, Feature, Floats32
from smcloud.grids.grid import SIN1KM, Window
from smcloud.grids.tiles import tile_window
from smcloud.products.glass_sm import GLASS_SM
from smcloud.sources.registry import SOURCES

YEAR = 2019
BLOCK = 150
SLAB_DAYS = 46
FIRST_DAY = 138
"""The slab that is timed lies within the year, so that composites reach both ways."""
UNKNOWN_SHARE = 0.4
UNKNOWN_CELLS = 0.05
DAYS = np.arange(f"{YEAR}-01-01", f"{YEAR + 1}-01-01", dtype="datetime64[D]")
REPEATS = {"tiny": 1, "small": 7, "large": 21}


class Nowhere:
    """A sink that takes everything and keeps nothing: what is left is the features' own cost."""

    def put(self, column: int, days: slice, values: Floats32) -> None:
        """Forget physical values."""

    def put_static(self, column: int, values: Floats32) -> None:
        """Forget physical values."""

    def put_stored(self, column: int, days: slice, stored: Array, variable: Variable) -> None:
        """Forget stored integers."""


def block_window() -> Window:
    """Return a block in the middle of tile h18v04: one coarse shard covers it."""
    tile = tile_window(SIN1KM, "h18v04")
    row, col = tile.row0 + 4 * BLOCK, tile.col0 + 4 * BLOCK
    return Window(row, row + BLOCK, col, col + BLOCK)


def schema_of(source: str) -> CubeSchema:
    """Return a source's schema; on the fine grid with one block a shard, to write no more."""
    schema = SOURCES[source].schema
    if not schema.on.is_fine:
        return schema
    return replace(schema, shards=(schema.shards[0], BLOCK, BLOCK))


def shard_window(schema: CubeSchema) -> Window:
    """Return the shard that holds the block: itself, or the coarse cells around it."""
    block = block_window()
    if schema.on.is_fine:
        return block
    lon, lat = (float(values.mean()) for values in SIN1KM.lonlat(block))
    row, col = schema.on.pixel_of(np.array([lon]), np.array([lat]))
    rows, cols = schema.shards[1:]
    row0, col0 = int(row[0]) // rows * rows, int(col[0]) // cols * cols
    return Window(row0, row0 + rows, col0, col0 + cols)


def random_values(variable: Variable, schema: CubeSchema, steps: int, seed: int) -> Array:
    """Return stored integers over the whole valid range, some unknown, (steps, rows, cols)."""
    rng = np.random.default_rng([seed, len(variable.name), steps])
    shape = (*([] if schema.is_static else [steps]), *shard_window(schema).shape)
    low, high = variable.valid
    values = rng.uniform(max(low, 0.0) if variable.units == "1" else low, high, shape)
    if schema.on.is_fine:
        values[rng.random(shape) < (0.0 if schema.is_static else UNKNOWN_SHARE)] = np.nan
    else:
        values[..., rng.random(shape[1:]) < UNKNOWN_CELLS] = np.nan
    return variable.pack(values)


def write_cubes(folder: Path, seed: int) -> CubeSet:
    """Write a year of every driver of glass-sm for one block."""
    for driver in GLASS_SM.drivers:
        schema = schema_of(driver.source)
        year = None if schema.is_static else YEAR
        name = "static" if year is None else str(year)
        url = str(folder / driver.source / f"{name}.zarr")
        create_store(url, schema, year)
        for variable in schema.variables:
            for slab, steps in enumerate(schema.slabs(year)):
                values = random_values(variable, schema, steps.stop - steps.start, seed + slab)
                index = shard_index(schema, shard_window(schema), slab)
                write_shard(url, schema, variable.name, index, values)
    return CubeSet({driver.source: str(folder / driver.source) for driver in GLASS_SM.drivers})


def reader_of(features: tuple[Feature, ...], cubes: CubeSet, sources: set[str]) -> FeatureReader:
    """Return a reader of these features with the drivers of these sources alone."""
    drivers = [driver for driver in GLASS_SM.drivers if driver.source in sources]
    schemas = {driver.source: schema_of(driver.source) for driver in drivers}
    return FeatureReader(features, drivers, cubes, schemas=schemas)


def glass_reader(cubes: CubeSet) -> FeatureReader:
    """Return the reader of all features of glass-sm."""
    features = features_named(GLASS_SM.features, GLASS_SM.drivers)
    return reader_of(features, cubes, {driver.source for driver in GLASS_SM.drivers})


def best_of(work: Callable[[], object], repeats: int) -> float:
    """Return the seconds of the fastest of several runs; the first one compiles."""
    work()
    return interleave({"": work}, repeats)[""].best


def time_slab(reader: FeatureReader, inputs: BlockInputs, repeats: int) -> dict[str, float]:
    """Return nanoseconds a row of a slab: features alone, and with float columns filled."""
    slab = slice(FIRST_DAY, FIRST_DAY + SLAB_DAYS)
    shape = len(reader.features), SLAB_DAYS, len(inputs.points)
    kept = FloatSink(*shape)
    works: dict[str, Callable[[], object]] = {
        "alone_nanoseconds": lambda: reader.compute_into(inputs, slab, Nowhere()),
        "floats_nanoseconds": lambda: reader.compute_into(inputs, slab, kept),
        "fresh_floats_nanoseconds": lambda: reader.compute(inputs, slab),
    }
    rows = shape[1] * shape[2]
    return {name: best_of(work, repeats) / rows * 1e9 for name, work in works.items()}


def measure(scale: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return nanoseconds a row: each feature with its flags, all features, and reading.

    A feature that is timed alone pays for what it would share with others (dates of composites,
    unpacked inputs), and those of the reanalysis for the frost flag, which has a row of its own.
    """
    repeats = REPEATS[scale]
    points: NDArray[np.intp] = np.arange(BLOCK * BLOCK)
    cubes = write_cubes(folder, seed)
    whole = glass_reader(cubes)
    inputs = whole.read(block_window(), DAYS, points)
    reading = best_of(lambda: whole.read(block_window(), DAYS, points), repeats)
    readers = {one.name: reader_of((one,), cubes, set(one.sources)) for one in whole.features}
    readers |= {"frost flag": reader_of((), cubes, {"era5land"}), f"all {len(readers)}": whole}
    return {
        "features": [
            {"feature": name, **time_slab(reader, inputs, repeats)}
            for name, reader in readers.items()
        ],
        "reading_nanoseconds": reading / (len(DAYS) * len(points)) * 1e9,
    }


def show(found: Mapping[str, Any]) -> str:
    """Return the table that docs/design/features.md quotes."""
    lines = [f"{'ns a row':<28}{'alone':>8}{'to floats':>11}{'fresh floats':>14}"]
    lines += [
        f"{row['feature']:<28}{row['alone_nanoseconds']:>8.2f}{row['floats_nanoseconds']:>11.2f}"
        f"{row['fresh_floats_nanoseconds']:>14.2f}"
        for row in found["features"]
    ]
    return "\n".join([*lines, f"{'reading and decoding':<28}{found['reading_nanoseconds']:>8.2f}"])
