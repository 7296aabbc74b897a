"""What intervals promise and hold on stations of the simulated Earth, and what they cost a block.

Four ways to make intervals about one model's estimates, scored on stations in spatial blocks that
no model saw, every station once, against the station (a point) and the pixel's truth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xgboost
from numpy.typing import NDArray

from benchmarks import ours
from benchmarks.features import BLOCK, DAYS, block_window, glass_reader, write_cubes
from benchmarks.glass import N_DAYS, trained
from benchmarks.timing import interleave, taken
from benchmarks.workload import LAND_SHARE
from benchmarks.workload import SCALES as BLOCKS
from smcloud.features.blockwise import FeatureReader
from smcloud.grids.land import is_land
from smcloud.models.applicability import Area, fit_area
from smcloud.models.base import SpreadNote
from smcloud.models.boosting import StoredSpread, forest_of
from smcloud.models.checkpoints import Trained
from smcloud.models.parameters import BoostingParams
from smcloud.models.samples import TableColumns, TrainingTable, training_table
from smcloud.models.training import train_boosting
from smcloud.models.uncertainty import SPREAD_TREES, conformal_factor, fit_spread
from smcloud.production.block import make_block
from smcloud.products.glass_sm import GLASS_SM
from smcloud.simulate.station_days import COLUMNS, station_days
from smcloud.simulate.stations import place_stations
from smcloud.simulate.world import Earth
from smcloud.validation.coverage import NOMINAL, Coverage, coverage
from smcloud.validation.splits import Samples, Split, SplitRules, split_samples

Floats = NDArray[np.float32]
Index = NDArray[np.int64]
Halves = dict[float, Floats]

SCALED, CONSTANT, QUANTILES, CQR = (
    "spread, conformal by station",
    "constant, conformal by station",
    "quantile regression",
    "quantile regression, conformal",
)
TRUTH = "truth"
OUTSIDE = 0.4
"""Share of the block's pixels that the benchmarked area leaves out, at least: they cost most."""


@dataclass(frozen=True)
class Scale:
    """Stations of the simulated Earth, years, trees, and folds that are trained."""

    stations: int
    years: tuple[int, int]
    trees: int
    folds: int


SCALES = {
    "tiny": Scale(120, (2019, 2019), 20, 1),
    "small": Scale(200, (2018, 2019), 150, 5),
    "large": Scale(600, (2017, 2019), 300, 5),
}


def measure(scale: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return the coverage of every method, and the seconds of a block with and without spread."""
    chosen = SCALES[scale]
    table = simulated_table(chosen, seed)
    rules = SplitRules(block_degrees=1.0, seed=seed)
    params = BoostingParams(rounds=chosen.trees, seed=seed)
    folds = [judged_fold(table, rules, params, fold) for fold in range(chosen.folds)]
    methods = [
        {"method": name, **_figures([fold[name] for fold in folds], table, rules)}
        for name in (SCALED, CONSTANT, QUANTILES, CQR)
    ]
    return {
        "stations": int(np.unique(table.samples(1.0).stations).size),
        "rows": int(table.order.size),
        "methods": methods,
        "training_seconds": {
            key: sum(fold[key] for fold in folds) for key in ("model", "spread", "area")
        },
        "block": block_costs(scale, seed, folder),
    }


def simulated_table(scale: Scale, seed: int) -> TrainingTable:
    """Return the station-day table of the simulated Earth, with the pixel's truth beside it."""
    stations = place_stations(seed, scale.stations, is_land)
    first, last = scale.years
    days = np.arange(f"{first}-01-01", f"{last + 1}-01-01", dtype="datetime64[D]")
    found = station_days(Earth(seed), stations, days)
    rows = pd.DataFrame(found.features, columns=list(found.columns))
    place = [(s.latitude, s.longitude) for s in stations]
    rows["latitude"], rows["longitude"] = np.array(place)[found.station].T
    rows["station"] = [f"{stations[s].network}/{s:04d}" for s in found.station]
    rows["time"] = found.day.astype("datetime64[D]").astype("datetime64[s]")
    rows["soil_moisture"], rows[TRUTH] = found.soil_moisture, found.truth
    columns = TableColumns(
        (*COLUMNS, TRUTH), "soil_moisture", "station", "time", "latitude", "longitude"
    )
    table = training_table(rows, columns)
    features = TableColumns(COLUMNS, *("soil_moisture", "station", "time", "latitude", "longitude"))
    # The truth travels with the values, but no model sees it.
    return TrainingTable(features, table.values, table.stations, table.source_days, table.order)


def judged_fold(
    table: TrainingTable, rules: SplitRules, params: BoostingParams, fold: int
) -> dict[str, Any]:
    """Return the test rows of one fold: estimates, half widths by method, and seconds."""
    split = split_samples(table.samples(rules.block_degrees), "station", rules, fold=fold)
    fit, stop = table.rows(split.fit), table.rows(split.stop)
    model, of_model = taken(partial(train_boosting, fit, stop, params, route="local"))
    spread, of_spread = taken(partial(fit_spread, table, split, rules, model, params))
    _, of_area = taken(partial(fit_area, table, split, rules, model))
    test = table.rows(split.test)
    estimates = _predicted(model, table, split.test)
    found: dict[str, Any] = {
        SCALED: (split.test, estimates, spread.half_widths(test, NOMINAL)),
        CONSTANT: (split.test, estimates, _constant(table, split, rules, model)),
        **_quantile_methods(table, split, rules, params, model),
    }
    seconds = {"model": of_model, "spread": of_spread, "area": of_area}
    return found | {name: one.seconds for name, one in seconds.items()}


def _constant(table: TrainingTable, split: Split, rules: SplitRules, model: Trained) -> Halves:
    error = np.abs(table.rows(split.calibrate).target - _predicted(model, table, split.calibrate))
    places = table.samples(rules.block_degrees).pixels[split.calibrate]
    halves = {level: conformal_factor(error, places, level) for level in NOMINAL}
    return {level: np.full(split.test.size, half, np.float32) for level, half in halves.items()}


def _quantile_methods(
    table: TrainingTable, split: Split, rules: SplitRules, params: BoostingParams, model: Trained
) -> dict[str, tuple[Index, Any, Halves]]:
    """Return intervals between regressed quantiles, as they are and made conformal by station.

    An interval that is not symmetric about the estimate is scored about its own middle.
    """
    ends = [end for level in NOMINAL for end in ((1 - level) / 2, (1 + level) / 2)]
    booster = _quantile_trees(table, split, params, ends, model.rounds)
    test, kept = (_quantiles(booster, table, rows) for rows in (split.test, split.calibrate))
    places = table.samples(rules.block_degrees).pixels[split.calibrate]
    target = table.rows(split.calibrate).target
    found = {}
    for number, level in enumerate(NOMINAL):
        low, high = test[:, 2 * number], test[:, 2 * number + 1]
        beyond = np.maximum(kept[:, 2 * number] - target, target - kept[:, 2 * number + 1])
        more = np.float32(conformal_factor(beyond, places, level))
        middle, half = (low + high) / 2, np.maximum(high - low, 0) / 2
        found[level] = middle, half, np.maximum(half + more, 0)
    middles = {level: parts[0] for level, parts in found.items()}
    return {
        name: (split.test, middles, {level: parts[place] for level, parts in found.items()})
        for name, place in ((QUANTILES, 1), (CQR, 2))
    }


def _quantile_trees(
    table: TrainingTable, split: Split, params: BoostingParams, ends: Sequence[float], rounds: int
) -> xgboost.Booster:
    matrix = xgboost.QuantileDMatrix(_matrix(table, split.fit), table.rows(split.fit).target)
    stated = {**params.for_xgboost(0), "objective": "reg:quantileerror", "quantile_alpha": ends}
    stated.pop("eval_metric")
    return xgboost.train(stated, matrix, rounds)


def _quantiles(booster: xgboost.Booster, table: TrainingTable, index: Index) -> Floats:
    return np.asarray(booster.inplace_predict(_matrix(table, index)), np.float32)


def _matrix(table: TrainingTable, index: Index) -> Floats:
    (columns,) = (part for part, _ in table.rows(index).batches(index.size))
    return np.ascontiguousarray(columns.T)


def _predicted(model: Trained, table: TrainingTable, index: Index) -> Floats:
    return forest_of(model.data).predict(np.ascontiguousarray(_matrix(table, index).T))


def _figures(
    folds: Sequence[tuple[Index, Any, Halves]], table: TrainingTable, rules: SplitRules
) -> dict[str, Any]:
    """Return coverage and width of all test rows, by level: points, and pixels."""
    samples = table.samples(rules.block_degrees)
    index = np.concatenate([fold[0] for fold in folds])
    truth = table.values[TRUTH][table.order][index]
    levels = []
    for level in NOMINAL:
        halves = {level: np.concatenate([fold[2][level] for fold in folds])}
        estimates = np.concatenate([_of_level(fold[1], level) for fold in folds])
        points = _coverage(halves, estimates, table.rows(index).target, samples, index)
        pixels = _coverage(halves, estimates, truth, samples, index)
        levels.append(
            {"nominal": level, **_told(points, level, "point"), **_told(pixels, level, "pixel")}
        )
    return {"levels": levels}


def _of_level(estimates: Any, level: float) -> Floats:
    return np.asarray(estimates[level] if isinstance(estimates, dict) else estimates)


def _coverage(
    halves: Halves, estimates: Floats, reference: Floats, samples: Samples, index: Index
) -> Coverage:
    return coverage(halves, estimates, reference, samples.stations[index].astype(str))


def _told(found: Coverage, level: float, noun: str) -> dict[str, float]:
    overall = found.overall(level)
    stations = np.array([row.covered for row in found.by("station")])
    bins = [row.covered_by_station for row in found.by("moisture") if row.stations >= 10]
    told = {
        f"{noun}_covered": overall.covered_by_station,
        f"{noun}_worst_tenth_of_stations": float(np.quantile(stations, 0.1)),
        f"{noun}_worst_moisture_bin": min(bins, default=float("nan")),
        f"{noun}_best_moisture_bin": max(bins, default=float("nan")),
    }
    return told | ({"width": overall.width} if noun == "point" else {})


def block_costs(scale: str, seed: int, folder: Path) -> list[dict[str, Any]]:
    """Return the seconds of one block of glass-sm: estimates alone, with spread, and with area."""
    reader = glass_reader(write_cubes(folder, seed))
    rng = np.random.default_rng(seed)
    points = np.sort(rng.choice(BLOCK * BLOCK, int(LAND_SHARE * BLOCK * BLOCK), replace=False))
    path = folder / "glass.ubj"
    trained(reader, points, BLOCKS[scale], seed).save_model(path)
    model = ours.predictor(str(path), is_library=False)
    columns = _block_columns(reader, points)
    spread, area = block_spread(columns, SCALES[scale].trees, seed), block_area(columns)
    days = DAYS[: N_DAYS[scale]]
    inputs = reader.read(block_window(), days, points)
    found: dict[str, Mapping[str, float]] = {}

    def work(name: str, spread: StoredSpread | None, area: Area | None) -> None:
        inputs.computed.clear()
        schema = GLASS_SM.schema_for(has_spread=spread is not None)
        made = make_block(
            reader, inputs, model, schema, "soil_moisture", ours.STEP_DAYS,
            GLASS_SM.no_estimate_where, spread=spread, area=area,
        )  # fmt: skip
        if name not in found or sum(made.seconds.values()) < sum(found[name].values()):
            found[name] = dict(made.seconds)

    parts = {
        "estimate": (None, None),
        "estimate and half width": (spread, None),
        "estimate, half width and area": (spread, area),
    }
    for name, both in parts.items():
        work(name, *both)  # compiles
    interleave({name: partial(work, name, *both) for name, both in parts.items()}, 3)
    alone = sum(found["estimate"].values())
    return [
        {"what": name, "seconds": sum(s.values()), "times": sum(s.values()) / alone, "steps": s}
        for name, s in found.items()
    ]


def _block_columns(reader: FeatureReader, points: NDArray[np.intp]) -> Floats:
    read = reader.read(block_window(), DAYS[:16], points)
    return np.ascontiguousarray(reader.compute(read).values.reshape(len(reader.names), -1))


def block_spread(columns: Floats, trees: int, seed: int) -> StoredSpread:
    """Return a spread of as many trees as production's may have, grown on noise."""
    target = np.abs(np.random.default_rng(seed).normal(0, 0.05, columns.shape[1]))
    matrix = xgboost.QuantileDMatrix(columns.T, target, max_bin=int(SPREAD_TREES["max_bin"]))
    booster = xgboost.train({**SPREAD_TREES, "min_child_weight": 1}, matrix, min(trees, 100))
    note = SpreadNote(sha256="", floor=0.01, factors={"0.68": 1.2}, stations=20, rounds=100)
    return StoredSpread(forest_of(bytes(booster.save_raw("ubj"))), note)


def block_area(columns: Floats) -> Area:
    """Return an area of 2,000 prototypes, all alike, that leaves out a share of the block."""
    known = np.nan_to_num(columns, nan=float(np.nanmean(columns)))
    means, deviations = known.mean(axis=1), known.std(axis=1) + 1e-6
    importance = 0.75 ** np.arange(len(columns))  # a few features carry most of a model
    weights = (importance**2 / (importance**2).sum()).astype(np.float32)
    scales = (np.sqrt(weights) / deviations).astype(np.float32)
    rows = ((columns[:, :2000] - means[:, None]) * scales[:, None]).T
    area = Area(means.astype("f4"), scales, weights, np.ascontiguousarray(rows, "f4"), 1.0, 1.0)
    index = area.index(np.ascontiguousarray(columns[:, ::97]))
    threshold = float(np.quantile(index[np.isfinite(index)], 1 - OUTSIDE))
    return Area(area.means, scales, weights, area.prototypes, 1.0, threshold)


def show(found: Mapping[str, Any]) -> str:
    """Return the methods and the costs as tables."""
    lines = [
        f"{found['stations']} stations of the simulated Earth, {found['rows']:,} rows; "
        "each station is a test station once",
        f"{'intervals':<32}{'level':>6}{'point':>8}{'10 % worst':>12}{'moisture bins':>16}"
        f"{'pixel':>8}{'width':>8}",
    ]
    for method in found["methods"]:
        for row in method["levels"]:
            bins = f"{row['point_worst_moisture_bin']:.2f} to {row['point_best_moisture_bin']:.2f}"
            lines.append(
                f"{method['method']:<32}{row['nominal']:>6.2f}{row['point_covered']:>8.3f}"
                f"{row['point_worst_tenth_of_stations']:>12.2f}{bins:>16}"
                f"{row['pixel_covered']:>8.3f}{row['width']:>8.3f}"
            )
    seconds = ", ".join(f"{name} {s:.1f} s" for name, s in found["training_seconds"].items())
    lines.append(f"training: {seconds}")
    for row in found["block"]:
        steps = ", ".join(f"{name} {value:.2f}" for name, value in row["steps"].items() if value)
        lines.append(f"{row['what']:<32}{row['seconds']:>7.2f} s {row['times']:>6.2f}x: {steps}")
    return "\n".join(lines)
