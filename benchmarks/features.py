"""Nanoseconds a row of each glass-sm feature and of all together, on one block of a tile, one core.

A row is a land pixel and day. Inputs are random, which is the worst case for branches: two fifths
of the pixels and composites are unknown, scattered like noise, and every twentieth coarse cell is.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
FRESH_REPEATS = 7


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
    if not schema.on.projected:
        return schema
    return replace(schema, shards=(schema.shards[0], BLOCK, BLOCK))


def shard_window(schema: CubeSchema) -> Window:
    """Return the shard that holds the block: itself, or the coarse cells around it."""
    block = block_window()
    if schema.on.projected:
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
    if schema.on.projected:
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


def best_ns(work: Callable[[], object], rows: int) -> float:
    """Return nanoseconds a row of the fastest of several runs; the first one compiles."""
    work()
    seconds = []
    for _ in range(FRESH_REPEATS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds) / rows * 1e9


def time_slab(reader: FeatureReader, inputs: BlockInputs) -> dict[str, float]:
    """Return ns a row of a slab: features alone, and with float columns filled."""
    slab = slice(FIRST_DAY, FIRST_DAY + SLAB_DAYS)
    shape = len(reader.features), SLAB_DAYS, len(inputs.points)
    kept = FloatSink(*shape)
    rows = shape[1] * shape[2]
    return {
        "alone": best_ns(lambda: reader.compute_into(inputs, slab, Nowhere()), rows),
        "float": best_ns(lambda: reader.compute_into(inputs, slab, kept), rows),
        "fresh": best_ns(lambda: reader.compute(inputs, slab), rows),
    }


def measure(seed: int) -> dict[str, object]:
    """Return nanoseconds a row: each feature with its flags, all features, and reading.

    A feature that is timed alone pays for what it would share with others (dates of composites,
    unpacked inputs), and those of the reanalysis for the frost flag, which has a row of its own.
    """
    names = GLASS_SM.features
    features = features_named(names, GLASS_SM.drivers)
    points: NDArray[np.intp] = np.arange(BLOCK * BLOCK)
    with tempfile.TemporaryDirectory(prefix="smcloud-bench-") as folder:
        cubes = write_cubes(Path(folder), seed)
        whole = reader_of(features, cubes, {driver.source for driver in GLASS_SM.drivers})
        whole.read(block_window(), DAYS, points)
        started = time.perf_counter()
        inputs = whole.read(block_window(), DAYS, points)
        read_ns = (time.perf_counter() - started) / (len(DAYS) * len(points)) * 1e9
        each = {
            feature.name: time_slab(reader_of((feature,), cubes, set(feature.sources)), inputs)
            for feature in features
        }
        each["frost flag"] = time_slab(reader_of((), cubes, {"era5land"}), inputs)
    return {"read": read_ns, "all": time_slab(whole, inputs), "each": each}


def main() -> None:
    """Print the table that docs/design/features.md quotes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.features")
    parser.add_argument("--seed", type=int, default=0)
    found = measure(parser.parse_args().seed)
    print(f"{'ns a row':<28}{'alone':>8}{'to floats':>11}{'fresh floats':>14}")
    rows = {**found["each"], f"all {len(GLASS_SM.features)}": found["all"]}  # type: ignore[dict-item]
    for name, cost in rows.items():
        print(f"{name:<28}{cost['alone']:>8.2f}{cost['float']:>11.2f}{cost['fresh']:>14.2f}")
    print(f"reading and decoding{found['read']:>16.2f}")


if __name__ == "__main__":
    main()
