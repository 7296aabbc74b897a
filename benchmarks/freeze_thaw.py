"""Frozen ground at 25 km: growing the forest, its estimates beside the library's, a produced year.

Cubes are made up and read as a user's own; a run of freeze-thaw makes its table, forest and year of
them in this process. The library is scikit-learn, on the same rows, with the same settings, on one
thread.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier

from benchmarks.record import BenchmarkError
from benchmarks.region import new_cube
from benchmarks.timing import interleave, progress
from smcloud.core.config import RunConfig, StoreConfig
from smcloud.core.listener import Silent
from smcloud.cube.schema import CubeSchema
from smcloud.features.derived import schema_named
from smcloud.features.ground_columns import BRIGHTNESS
from smcloud.grids.grid import SIN1KM, Window
from smcloud.grids.land import land_cells
from smcloud.grids.tiles import parse_window
from smcloud.models.forest_trees import sklearn_ensemble
from smcloud.models.freeze_thaw import ForestRules, fit_freeze_thaw, prepared
from smcloud.models.freeze_thaw_rows import labelled_rows
from smcloud.models.tree_sums import TreeSums
from smcloud.production.freeze_thaw_table import COLUMNS, build_freeze_thaw_table
from smcloud.production.freeze_thaw_tasks import train_freeze_thaw
from smcloud.production.freeze_thaw_train import request_of
from smcloud.production.freeze_thaw_year import run_produce
from smcloud.products.freeze_thaw import FREEZE_THAW

TILE, CORNER, YEARS, DAYS = "h25v05", "+0+0", (2014, 2015), 365
MARGIN = 2
"""Cells around the region that have values too."""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    side: int
    """Pixels along each side of the region."""
    rows: int
    """Of the table."""
    trees: int
    predicted: int
    """Rows that are estimated."""
    rounds: int


SIZES = {
    "tiny": Size(150, 2_000, 4, 5_000, 1),
    "small": Size(1200, 50_000, 100, 200_000, 3),
    "large": Size(1200, 200_000, 100, 1_000_000, 5),
}
"""small: all land of a tile."""


def measure(scale: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return seconds of growing and estimating beside scikit-learn, and the speed of a year.

    Raises
    ------
    BenchmarkError
        If estimates differ from scikit-learn's in any bit.
    """
    size = SIZES[scale]
    progress("cubes")
    config = _run(size, seed, folder)
    progress("table")
    table = build_freeze_thaw_table(config, FREEZE_THAW, None, Silent())
    request = request_of(config, FREEZE_THAW)
    rows = labelled_rows(table, request.features, COLUMNS, "frozen", block_degrees=2.0)
    rules = replace(request.forest, balanced=False)
    progress("forests")
    grown = _grown(rows.features, rows.labels, request.features, rules, size)
    progress("a year")
    train_freeze_thaw(table, replace(request, folds=1))
    (year,) = run_produce(config, FREEZE_THAW, None, Silent()).years
    core_seconds = sum(year.seconds.values())
    northern = int(land_cells(FREEZE_THAW.schema.on, FREEZE_THAW.schema.on.window).sum())
    return {
        **grown,
        "year": {
            "cell_days": year.rows,
            "core_seconds": dict(year.seconds),
            "cell_days_per_core_second": year.rows / core_seconds,
            "northern_land_cells": northern,
            "northern_year_core_minutes": northern * DAYS / (year.rows / core_seconds) / 60,
        },
    }


def _grown(
    features: np.ndarray,
    labels: np.ndarray,
    names: tuple[str, ...],
    rules: ForestRules,
    size: Size,
) -> dict[str, Any]:
    """Return seconds of growing a forest and of its estimates, here and by scikit-learn."""
    ready = prepared(features, labels, "frozen", rules)
    peer = ExtraTreesClassifier(
        rules.trees,
        max_depth=rules.max_depth,
        min_samples_leaf=rules.min_samples_leaf,
        max_features=rules.max_features,
        random_state=rules.seed,
        n_jobs=1,
    )
    growing = interleave(
        {
            "smcloud": partial(fit_freeze_thaw, features, labels, names, "frozen", rules),
            "scikit-learn": partial(peer.fit, ready.ready, ready.classes),
        },
        1,
    )
    rng = np.random.default_rng(size.predicted)
    points = ready.ready[rng.integers(0, len(ready.ready), size.predicted)]
    points = points + rng.normal(0.0, 0.1, points.shape).astype(np.float32)
    columns = np.ascontiguousarray(points.T)
    sums = TreeSums(sklearn_ensemble(peer))
    _require_equal(sums(columns), peer.predict_proba(points))
    works: dict[str, Callable[[], object]] = {
        "smcloud": lambda: sums(columns),
        "scikit-learn": lambda: peer.predict_proba(points),
    }
    estimating = interleave(works, size.rounds)
    return {
        "features": int(points.shape[1]),
        "growing": {
            "rows": len(ready.ready),
            "trees": rules.trees,
            "seconds": {name: one.best for name, one in growing.items()},
        },
        "estimating": {
            "rows": size.predicted,
            "rows_per_second": {
                name: size.predicted / one.best for name, one in estimating.items()
            },
            "rows_per_second_worst": {
                name: size.predicted / one.worst for name, one in estimating.items()
            },
            "ratio": estimating["scikit-learn"].best / estimating["smcloud"].best,
        },
    }


def _require_equal(ours: np.ndarray, theirs: np.ndarray) -> None:
    if not np.array_equal(ours, theirs):
        apart = float(np.abs(ours - theirs).max())
        raise BenchmarkError(f"estimates differ from scikit-learn's by {apart:.2g}")


def _run(size: Size, seed: int, folder: Path) -> RunConfig:
    """Write all cubes, and return the run that reads them."""
    window = f"{size.side}x{size.side}{CORNER}"
    drivers = FREEZE_THAW.drivers
    for driver in drivers:
        schema = schema_named(driver.source)
        for year in (YEARS[0],) if schema.is_static else YEARS:
            place = _around(schema, parse_window(window, TILE))
            arrays = new_cube(folder / "own" / driver.source, schema, place, year)
            for name, values in _values(driver.source, schema, place, year, seed).items():
                variable = schema.variable(name)
                packed = variable.pack(np.asarray(values, np.float32))
                arrays[name][...] = np.broadcast_to(packed, arrays[name].shape)
    return RunConfig(
        product=FREEZE_THAW.name,
        years=YEARS,
        tiles=(TILE,),
        store=StoreConfig(root=str(folder / "out")),
        ingest={"cubes": {one.source: str(folder / "own" / one.source) for one in drivers}},
        ground={"trees": size.trees, "most_rows": size.rows, "temperature": ""},
        produce={"window": window, "years": YEARS[-1:]},
    )


def _around(schema: CubeSchema, pixels: Window) -> Window:
    """Return the cells of a grid that hold some pixels, and a few around them."""
    grid = schema.on
    if grid.is_fine:
        return pixels
    lon, lat = SIN1KM.lonlat(pixels)
    rows, cols = grid.pixel_of(lon.ravel(), lat.ravel())
    return Window(
        int(rows.min()) - MARGIN,
        int(rows.max()) + 1 + MARGIN,
        int(cols.min()) - MARGIN,
        int(cols.max()) + 1 + MARGIN,
    )


def _values(
    source: str, schema: CubeSchema, window: Window, year: int, seed: int
) -> Mapping[str, Any]:
    """Return the physical values of a source by variable; those of a year have days first."""
    rng = np.random.default_rng([seed, year, len(source)])
    lon, lat = schema.on.lonlat(window)
    height = 4300.0 + 700.0 * np.sin(1.7 * lon) + 500.0 * np.cos(2.3 * lat)
    if source == "terrain":
        return {"elevation": height, "slope": 3.0}
    if source == "soilgrids":
        return {name: 33.0 + 5.0 * np.sin(lon) for name in ("sand", "silt", "clay")}
    days = len(schema.times(year))
    weather = np.random.default_rng([seed, year]).normal(0.0, 5.0, days)
    season = -12.0 * np.cos(2 * np.pi * (np.arange(days) - 20) / days) + weather
    soil = season[:, None, None] + (22.0 - 0.0047 * height)

    def noisy(spread: float) -> np.ndarray:
        return np.asarray(soil + spread * rng.standard_normal(soil.shape))

    if source == "smos_ft":
        state = np.where(soil < -1.5, 2.0, np.where(soil < 0.5, 1.0, 0.0))
        return {"state_asc": state, "state_desc": state}
    if source == "gldas":
        modelled = {name: 273.15 + noisy(3.0) for name in ("soil_temperature", "air_temperature")}
        return {**modelled, "soil_moisture": 0.2, "snow_water": 1.0}
    found = {}
    for direction, hour in (("desc", 19.5), ("asc", 7.5)):
        for number, name in enumerate(BRIGHTNESS):
            emissivity = 0.95 - 0.05 * (number % 2)
            found[f"{name}_{direction}"] = emissivity * (270.0 + 0.8 * noisy(2.0))
        found[f"hour_{direction}"] = np.full(soil.shape, hour)
    return found


def show(found: Mapping[str, Any]) -> str:
    """Return the table of growing and estimating, and the line of a year."""
    growing, estimating, year = found["growing"], found["estimating"], found["year"]
    seconds, rates = growing["seconds"], estimating["rows_per_second"]
    worst = estimating["rows_per_second_worst"]
    steps = ", ".join(f"{name} {took:.1f}" for name, took in year["core_seconds"].items())
    lines = [
        f"{growing['trees']} trees, {found['features']} features, one thread",
        f"{'':<16}{'grown on ' + format(growing['rows'], ',') + ' rows':>26}"
        f"{'estimates a second':>22}{'(worst)':>14}",
    ]
    lines += [
        f"{name:<16}{seconds[name]:>24.1f} s{rates[name]:>22,.0f}{worst[name]:>14,.0f}"
        for name in seconds
    ]
    return "\n".join(
        [
            *lines,
            f"estimates: {estimating['ratio']:.1f} times scikit-learn's rate, equal in every bit",
            f"a year of {year['cell_days']:,} cell-days: {steps} core-s, "
            f"{year['cell_days_per_core_second']:,.0f} cell-days a core-second",
            f"a year of all {year['northern_land_cells']:,} land cells of the grid: "
            f"{year['northern_year_core_minutes']:.1f} core-minutes",
        ]
    )
