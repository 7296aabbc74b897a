"""A piece of northern China with made-up drivers, as a user has it: cubes, models, a run file.

Values are smooth in space with noise on top; two fifths of a daily driver are unknown. The coarse
field differs from cell to cell, a tenth of its days are missing, and some cells are dry enough for
pixels to be clamped.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import zarr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from benchmarks.record import BenchmarkError
from smcloud.core.config import RunConfig, StoreConfig
from smcloud.cube.schema import CubeSchema, Variable
from smcloud.cube.store import grid_mapping_attrs
from smcloud.features.blockwise import FeatureReader
from smcloud.features.catalogue import features_named
from smcloud.features.derived import schema_named
from smcloud.features.spec import CubeSet, split_input
from smcloud.grids.grid import SIN1KM, Window
from smcloud.grids.tiles import parse_window
from smcloud.models.families import Family
from smcloud.models.family_search import SearchRules
from smcloud.models.period_fits import PeriodRules
from smcloud.production.local_tasks import LocalRequest, train_local
from smcloud.production.period_samples import PeriodsRequest
from smcloud.production.period_tasks import train_periods
from smcloud.products.base import Product

TILE, YEAR, CORNER = "h25v05", 2019, "+300+600"
MARGIN = 6
"""Coarse cells around the region that have values too."""
UNKNOWN, SILENT_DAYS = 0.4, 10
SAMPLED_CELLS, SAMPLED_DAYS, PERIOD_DAYS = 81, 8, 61
"""Cells and days that a period is learned from: 648 samples, as the example run has."""
BANDWIDTH_KM = 150.0
LEVELS = {"K": (285.0, 305.0), "1": (0.15, 0.35), "m": (900.0, 1400.0), "degree": (0.0, 12.0)}
"""Range of most values by unit; others lie in the middle of their physical range."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class RegionJob:
    """A product and the part of the tile that is made.

    Attributes
    ----------
    product : Product
    side : int
        Pixels along each side.
    seed : int
    folder : Path
        Cubes lie below ``own``, what a run writes in a folder of its model's name.
    """

    product: Product
    side: int
    seed: int
    folder: Path

    @property
    def window(self) -> str:
        """Return the part of the tile, as a run file has it."""
        return f"{self.side}x{self.side}{CORNER}"

    @property
    def layers(self) -> tuple[str, ...]:
        """Return every layer that production reads."""
        how, drivers = self.product.downscaling, self.product.drivers
        names = [*self.product.features, *([how.ceiling] if how and how.ceiling else [])]
        inputs = [name for one in features_named(names, drivers) for name in one.inputs]
        if how is not None and how.filled:
            inputs.append(f"{split_input(how.coarse)[0]}.{how.filled}")
        return tuple(dict.fromkeys([*inputs, *self.product.anchors]))

    @property
    def cells(self) -> Window:
        """Return the coarse cells of the region and around it."""
        how = self.product.downscaling
        if how is None:
            raise BenchmarkError(f"{self.product.name} does not come down from coarse cells")
        grid = schema_named(split_input(how.coarse)[0]).on
        lon, lat = SIN1KM.lonlat(parse_window(self.window, TILE))
        rows, cols = grid.pixel_of(lon.ravel(), lat.ravel())
        return Window(
            int(rows.min()) - MARGIN,
            int(rows.max()) + 1 + MARGIN,
            int(cols.min()) - MARGIN,
            int(cols.max()) + 1 + MARGIN,
        )

    def config(self, model: str) -> RunConfig:
        """Return the run that produces a year with a model."""
        own = {one.source: str(self.folder / "own" / one.source) for one in self.product.drivers}
        return RunConfig(
            product=self.product.name,
            years=(YEAR,),
            tiles=(TILE,),
            store=StoreConfig(root=str(self.folder / model)),
            ingest={"cubes": own},
            produce={"window": self.window},
        )


def write_cubes(job: RegionJob) -> None:
    """Write the cubes of every driver: region, chunks and nothing else, without shards."""
    of_source: dict[str, set[str]] = {}
    for layer in job.layers:
        source, variable = split_input(layer)
        of_source.setdefault(source, set()).add(variable)
    for number, driver in enumerate(job.product.drivers):
        schema, used = schema_named(driver.source), of_source.get(driver.source, set())
        _write_cube(job, schema, driver.source, used | {"composite_day"}, number)


def _write_cube(
    job: RegionJob, schema: CubeSchema, source: str, used: set[str], number: int
) -> None:
    window = parse_window(job.window, TILE) if schema.on.is_fine else job.cells
    arrays = new_cube(job.folder / "own" / source, schema, window, YEAR)
    for variable in schema.variables:
        if variable.name in used:
            rng = np.random.default_rng([job.seed, number, len(variable.name)])
            _fill(arrays[variable.name], variable, schema, rng)


def new_cube(
    folder: Path, schema: CubeSchema, window: Window, year: int
) -> Mapping[str, zarr.Array]:
    """Return the empty arrays of a cube as a user has it: a region, chunks, no shards."""
    grid = schema.on
    rows, cols = window.slices
    name = "static.zarr" if schema.is_static else f"{year}.zarr"
    root = zarr.create_group(str(folder / name), overwrite=True)
    for dim, values in zip(grid.dims, (grid.y[rows], grid.x[cols]), strict=True):
        root.create_array(dim, data=values, dimension_names=(dim,))
    root.create_array("spatial_ref", data=np.array(0), attributes=grid_mapping_attrs(grid))
    times = None if schema.is_static else schema.times(year)
    if times is not None:
        root.create_array(
            "time",
            data=times.astype(np.int64).astype(np.int32),
            attributes={"units": "days since 1970-01-01"},
        )
    steps = [] if times is None else [len(times)]
    return {
        variable.name: root.create_array(
            variable.name,
            shape=(*steps, *window.shape),
            chunks=(*[46] * len(steps), *(min(150, side) for side in window.shape)),
            dtype=variable.dtype,
            fill_value=variable.fill_value,
            attributes={**variable.cf_attrs(), "grid_mapping": "spatial_ref"},
            dimension_names=schema.dims,
        )
        for variable in schema.variables
    }


def _fill(
    array: zarr.Array, variable: Variable, schema: CubeSchema, rng: np.random.Generator
) -> None:
    """Write values a slab of steps at a time, which bounds memory."""
    if variable.units == "" or (variable.dtype == "uint8" and variable.scale == 1.0):
        array[...] = 1  # states and flags
        return
    shape = array.shape[-2:]
    low, high = _levels(variable, schema)
    pattern = gaussian_filter(rng.standard_normal(shape), 1.0 if not schema.on.is_fine else 8.0)
    base = low + (high - low) * np.clip(0.5 + 0.25 * pattern / pattern.std(), 0.02, 1.0)
    if array.ndim == 2:
        array[...] = variable.pack(base.astype(np.float32))
        return
    for start in range(0, array.shape[0], 46):
        steps = np.arange(start, min(start + 46, array.shape[0]))
        noise = rng.standard_normal((steps.size, *shape), np.float32)
        season = 0.2 * np.sin(2 * np.pi * steps / array.shape[0])[:, None, None]
        values = base + (high - low) * (season + 0.05 * noise)
        if schema.on.is_fine:
            if schema.step_days == 1 and schema.name != "lst_filled":
                values[rng.random(values.shape, np.float32) < UNKNOWN] = np.nan
        else:
            values[steps % SILENT_DAYS == 0] = np.nan
        array[start : start + steps.size] = variable.pack(values.astype(np.float32))


def _levels(variable: Variable, schema: CubeSchema) -> tuple[float, float]:
    if not schema.on.is_fine:
        return 0.01, 0.25
    if variable.name == "composite_day":
        return 0.0, float((schema.step_days or 1) - 1)
    low, high = variable.valid
    middle = (0.7 * low + 0.3 * high, 0.5 * low + 0.5 * high)
    return LEVELS.get(variable.units, middle)


def train(job: RegionJob, family: Family | None) -> None:
    """Train models of one family, or local regressions, below the folder of the model's name."""
    how, name = job.product.downscaling, family or "local"
    request = {
        "root": str(job.folder / name),
        "name": job.product.name,
        "features": job.product.features,
        "units": tuple("1" for _ in job.product.features),
    }
    if how is not None and how.kind == "local":
        grid = schema_named(split_input(how.coarse)[0]).grid
        train_local(
            _table(job, job.cells, np.arange(365)),
            LocalRequest(grid=grid, bandwidth_km=BANDWIDTH_KM, **request),
        )
        return
    side = int(np.sqrt(SAMPLED_CELLS))
    days = np.arange(0, 365, PERIOD_DAYS / SAMPLED_DAYS).astype(int)
    rules = PeriodRules(
        families=(family or "mlr",),
        period_days=PERIOD_DAYS,
        search=SearchRules(candidates=1, folds=2),
    )
    cells = Window(job.cells.row0, job.cells.row0 + side, job.cells.col0, job.cells.col0 + side)
    train_periods(
        _table(job, cells, days),
        PeriodsRequest(rules=rules, **request),
    )


def _table(job: RegionJob, cells: Window, days: NDArray[np.int64]) -> pd.DataFrame:
    """Return a row a cell and day: features of pixels of the region, a target that follows them."""
    rng = np.random.default_rng([job.seed, 9])
    dates = np.datetime64(f"{YEAR}-01-01") + days
    rows, cols = (
        part.ravel() for part in np.mgrid[cells.row0 : cells.row1, cells.col0 : cells.col1]
    )
    columns = _features(job, rng, rows.size, dates)
    found = {
        "row": np.tile(rows, days.size).astype(np.int32),
        "col": np.tile(cols, days.size).astype(np.int32),
        "time": np.repeat(dates, rows.size).astype("datetime64[s]"),
    }
    target = np.full(rows.size * days.size, 0.12)
    for number, name in enumerate(job.product.features):
        found[name] = columns[number].reshape(-1)
        known = np.nan_to_num(found[name] - np.nanmean(found[name]))
        target += 0.02 * rng.uniform(-1, 1) * np.tanh(known / max(known.std(), 1e-6))
    found["soil_moisture"] = target + rng.normal(0.0, 0.01, target.size)
    return pd.DataFrame(found).astype(
        dict.fromkeys([*job.product.features, "soil_moisture"], np.float32)
    )


def _features(
    job: RegionJob, rng: np.random.Generator, cells: int, dates: NDArray[np.datetime64]
) -> Floats:
    """Return features (features, days, cells) of as many pixels of the region, drawn anew a day."""
    drivers = job.product.drivers
    own = {one.source: str(job.folder / "own" / one.source) for one in drivers}
    reader = FeatureReader(features_named(job.product.features, drivers), drivers, CubeSet(own))
    whole = parse_window(job.window, TILE)
    side = min(job.side, 150)
    window = Window(whole.row0, whole.row0 + side, whole.col0, whole.col0 + side)
    points = np.sort(rng.choice(side * side, min(4 * cells, side * side), replace=False))
    every = np.arange(dates[0], dates[-1] + 1)
    inputs = reader.read(window, every, points)
    found = np.empty((len(reader.names), dates.size, cells), np.float32)
    for number, date in enumerate(dates):
        step = int((date - every[0]).astype(int))
        values = reader.compute(inputs, slice(step, step + 1)).values[:, 0]
        found[:, number] = values[:, rng.integers(0, points.size, cells)]
    return found
