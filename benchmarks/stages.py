"""Core-seconds that each stage of the main job takes for a year of a tile that is all land.

Everything is measured in this process on part of a simulated Earth and scaled by the count of what
a tile-year has of it: granules, slabs, pixels, station-years, rows. What bounds a stage is read off
a profile in processor time. Stations and training do not grow with tiles: they have their own unit.
"""

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.granules import (
    FIRST_COL,
    FIRST_ROW,
    TILE,
    WHOLE_TILE,
    YEAR,
    Area,
    link_granules,
    states,
    write_fields,
    write_granules,
)
from benchmarks.profiles import Taken, profiled
from smcloud.core.config import RunConfig
from smcloud.core.listener import Silent
from smcloud.cube.store import create_store
from smcloud.grids.grid import TILE_PIXELS
from smcloud.ingest.cubes import ingest_slab
from smcloud.ingest.daily_means import StationRules
from smcloud.ingest.index import index_granules, list_bucket
from smcloud.ingest.plan import keys_of, plan_ingest
from smcloud.ingest.receipts import IngestReceipt
from smcloud.production import (
    ingest_stage,
    produce_stage,
    publish_stage,
    train_stage,
    validate_stage,
)
from smcloud.production.run_file import read_run
from smcloud.production.samples_stage import build_samples
from smcloud.production.stations_stage import ingest_stations
from smcloud.products.registry import product_of
from smcloud.simulate.columns import SPIN_UP_DAYS
from smcloud.simulate.request import SimulateRequest, land_pixels
from smcloud.simulate.run import simulate
from smcloud.simulate.tile_files import PARTS, WARM_UP_DAYS
from smcloud.simulate.world import Earth
from smcloud.sources.registry import SOURCES

DAYS = 365
PIXELS = TILE_PIXELS**2
TILE_YEAR, STATION_YEAR, ONE_RUN = "tile-year", "station-year", "run"
SHOWN_BOUNDS = 3
BY_PIXEL = (
    "water balance",
    "weather to pixels",
    "describing days",
    "scoring pairs",
    "overview",
    "encoding GeoTIFF",
    "encoding netCDF",
)


@dataclass(frozen=True)
class Scale:
    """How much is measured: the side of the simulated window, days, files, products, stations.

    Attributes
    ----------
    side, days : int
        Pixels along each side of the window whose physics is timed, and its described days.
    area : Area
        Pixels of the tile that the granules hold.
    raster_side : int
        Pixels along each side of the area that soil and elevation cover.
    files : int
        Different granules a product; one slab is filled with links to them.
    sources : tuple of str
        Tile products.
    job : str
        Window of the small Earth that goes through all stages; none of them where empty.
    stations : int
        Stations of that Earth.
    """

    side: int
    days: int
    area: Area
    raster_side: int
    files: int
    sources: tuple[str, ...]
    job: str = ""
    stations: int = 0


_PRODUCTS = ("mod09a1", "mod11a1", "mod13a2", "glass_albedo", "glass_lai")
SCALES = {
    "tiny": Scale(6, 92, Area(6), 6, 1, ("glass_lai",)),
    "small": Scale(300, 16, WHOLE_TILE, 600, 2, _PRODUCTS, f"150x150+{FIRST_ROW}+{FIRST_COL}", 24),
}
SCALES["large"] = replace(SCALES["small"], side=400, files=4, job="300x300+600+750", stations=60)


@dataclass(frozen=True)
class Cost:
    """What one unit of a stage costs.

    Attributes
    ----------
    stage : str
    core_seconds : float
        For one `unit`.
    unit : str
    measured : str
        What was measured, in words.
    bounds : mapping
        Share of the core-seconds by what they went to.
    """

    stage: str
    core_seconds: float
    unit: str
    measured: str
    bounds: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, stage: str, took: Taken, times: float, unit: str, measured: str) -> "Cost":
        """Return what a unit costs that is `times` what was measured."""
        whole = took.core_seconds
        bounds = {name: part / whole for name, part in took.parts.items()}
        return cls(stage, whole * times, unit, measured, bounds)


def measure(scale: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return the costs of all stages, the dearest first.

    Parameters
    ----------
    scale
        A name in `SCALES`.
    seed
        Of the simulated Earth.
    folder
        Existing folder to work in; the scale small takes 0.5 GB of it.
    """
    chosen = SCALES[scale]
    costs = [
        *_physics(chosen, seed),
        *_tiles(chosen, seed, folder),
        *_fields(chosen, seed, folder),
    ]
    if chosen.job:
        costs += _job(chosen, seed, folder / "job")
    ordered = sorted(costs, key=lambda cost: (cost.unit != TILE_YEAR, -cost.core_seconds))
    return {"scale": asdict(chosen), "stages": [asdict(cost) for cost in ordered]}


def _physics(scale: Scale, seed: int) -> Iterator[Cost]:
    """Yield the cost of stepping and describing the days of a tile, as its two parts do."""
    lonlat = Area(scale.side).lonlat
    days = np.datetime64(f"{YEAR}-01-01", "D") + np.arange(scale.days)

    def run(asked: int) -> Taken:
        earth = Earth(seed)
        took = profiled(lambda: [None for _ in earth.run(*lonlat, days[:asked])])[1]
        return _whole_tile(took, PIXELS / scale.side**2)

    run(1)  # so that nothing is compiled or read for the first time below
    begun, whole = run(1), run(scale.days)
    described = (whole.core_seconds - begun.core_seconds) / (scale.days - 1)
    stepped = begun.core_seconds / (SPIN_UP_DAYS + 1)
    # Each part of a year begins at the anchor; sensors are warmed up before the second.
    steps = 2 * SPIN_UP_DAYS + PARTS[1] - WARM_UP_DAYS
    seconds = stepped * steps + described * (DAYS + WARM_UP_DAYS)
    measured = f"{scale.side**2:,} pixels, {SPIN_UP_DAYS} days of spin-up and {scale.days} days"
    yield Cost.of("simulate physics", whole, seconds / whole.core_seconds, TILE_YEAR, measured)


def _tiles(scale: Scale, seed: int, folder: Path) -> Iterator[Cost]:
    """Yield the costs of writing the granules of each tile product, and of ingesting them."""
    longest = max(SOURCES[source].schema.step_days or 1 for source in scale.sources)
    seen = states(seed, Area(min(scale.side, 60)), longest)
    for source in scale.sources:
        own = folder / source
        own.mkdir()
        schema = SOURCES[source].schema
        year = len(schema.times(YEAR))
        written = list(write_granules(source, own, scale.area, seen, seed, scale.files))
        best = min(written, key=lambda took: took.core_seconds)
        measured = f"{scale.files} granules of {scale.area.side} x {scale.area.side} pixels"
        yield Cost.of(f"simulate {source}", best, year, TILE_YEAR, measured)
        slab = schema.shards[0] if scale.job else scale.files
        link_granules(source, own, min(slab, year))
        yield _ingest(source, own, folder / "cubes", year)


def _ingest(source: str, granules: Path, out: Path, year: int) -> Cost:
    """Return the cost of bringing a year of granules to the cube, from its first slab."""
    receipt, took = _first_slab(source, granules, out)
    count = receipt.granules_read
    return Cost.of(f"ingest {source}", took, year / count, TILE_YEAR, f"a slab of {count} granules")


def _first_slab(source: str, granules: Path, out: Path) -> tuple[IngestReceipt, Taken]:
    """Return the receipt of the first task of a source, and what it took when all was warm."""
    reader = SOURCES[source]
    index = index_granules(reader, str(granules), list_bucket(str(granules)))
    task = plan_ingest(reader, index, str(out), keys_of(reader, [TILE], [YEAR], index))[0]
    create_store(task.cube_url, reader.schema, task.key.year)
    ingest_slab(task)  # so that nothing is compiled or read for the first time below
    return profiled(lambda: ingest_slab(task))


def _fields(scale: Scale, seed: int, folder: Path) -> Iterator[Cost]:
    """Yield the costs of ingesting what is not on the tile's pixels."""
    for source in ("era5land", "soilgrids", "terrain"):
        area = scale.area if source == "era5land" else Area(scale.raster_side)
        own = folder / source
        own.mkdir()
        write_fields(source, own, area, seed)
        receipt, took = _first_slab(source, own, folder / "cubes")
        measured = f"{receipt.granules_read} files for {area.side} x {area.side} pixels"
        slabs = len(SOURCES[source].schema.slabs(YEAR))
        times = slabs * PIXELS / area.side**2
        yield Cost.of(f"ingest {source}", took, times, TILE_YEAR, measured)


def _job(scale: Scale, seed: int, folder: Path) -> Iterator[Cost]:
    """Yield the costs of the other stages, from a small Earth that goes through all of them."""
    request = SimulateRequest(
        str(folder), (TILE,), (YEAR,), seed, window=scale.job, stations=scale.stations
    )
    simulate(request, Silent())
    config = _config(scale, folder)
    land = land_pixels(request.window, TILE).rows.size
    window = f"{land:,} land pixels"
    rules = StationRules(config.stations.flags, config.stations.minimum_hours)
    read, took = profiled(
        lambda: ingest_stations(config.station_archive, config.store.root, rules, None, Silent())
    )
    yield Cost.of(
        "stations", took, 1 / read.stations, STATION_YEAR, f"{read.stations} station-years"
    )
    ingest_stage.run(config, None, Silent())
    yield from _products(config, land, window)


def _products(config: RunConfig, land: int, window: str) -> Iterator[Cost]:
    """Yield the costs of the stages behind ingest."""
    product = product_of(config)
    table, took = profiled(lambda: build_samples(config, product, None, Silent()))
    rows = f"{len(table):,} rows"
    yield Cost.of("sample table", took, 1, ONE_RUN, rows)
    _, took = profiled(lambda: train_stage.run(config, None, Silent()))
    yield Cost.of("train", took, 1, ONE_RUN, f"{rows}, all splits")
    grows = PIXELS / land
    produce_stage.run(config, None, Silent())  # so that nothing is compiled below
    _, took = profiled(lambda: produce_stage.run(config, None, Silent(), redo="all"))
    yield Cost.of("produce", took, grows, TILE_YEAR, window)
    _, took = profiled(lambda: validate_stage.run(config, None, Silent()))
    yield Cost.of("validate", _whole_tile(took, grows), 1, TILE_YEAR, window)
    _, took = profiled(lambda: publish_stage.run(config, None, Silent(), netcdf=True))
    yield Cost.of("publish", _whole_tile(took, grows), 1, TILE_YEAR, window)


def _whole_tile(took: Taken, times: float) -> Taken:
    """Return what a whole tile takes from what some of its pixels took.

    What is named in `BY_PIXEL` grows with the pixels. The rest (pictures of a report, weather on
    its own lattice) is the same for a window and for a tile.
    """
    parts = {name: part * (times if name in BY_PIXEL else 1) for name, part in took.parts.items()}
    more = sum(parts[name] - part for name, part in took.parts.items())
    return Taken(took.core_seconds + more, parts)


def _config(scale: Scale, folder: Path) -> RunConfig:
    """Return the run file of the small Earth."""
    path = folder / "run.toml"
    path.write_text(
        f"""
product = "glass-sm"
tiles = ["{TILE}"]
years = [{YEAR}]
[store]
granules = "{folder / "granules"}"
root = "{folder / "root"}"
truth = "{folder / "truth"}"
[train]
block_degrees = 0.25
[produce]
window = "{scale.job}"
"""
    )
    return read_run(str(path))


def show(found: Mapping[str, Any]) -> str:
    """Return the table of stages, a line each."""
    lines = [f"{'stage':<24}{'core-seconds':>13}  {'a':<14}{'bound by':<74}measured on"]
    for cost in found["stages"]:
        bounds = sorted(cost["bounds"].items(), key=lambda pair: -pair[1])[:SHOWN_BOUNDS]
        told = ", ".join(f"{name} {share:.0%}" for name, share in bounds)
        lines.append(
            f"{cost['stage']:<24}{cost['core_seconds']:>13,.2f}  {cost['unit']:<14}{told:<74}"
            f"{cost['measured']}"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure a scale and print its table."""
    chosen = argparse.ArgumentParser(prog="python -m benchmarks.stages", description=__doc__)
    chosen.add_argument("--scale", choices=sorted(SCALES), default="small")
    chosen.add_argument("--seed", type=int, default=0)
    words = chosen.parse_args()
    with tempfile.TemporaryDirectory(prefix="smcloud-bench-") as folder:
        print(show(measure(words.scale, words.seed, Path(folder))))


if __name__ == "__main__":
    main()
