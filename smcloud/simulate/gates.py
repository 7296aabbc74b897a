"""Is the simulated Earth as hard as the real one? Figures, and the bands they must fall into.

A plain XGBoost is trained on the station-day table of the simulator, split at random and split
by network, and its scores must look like those that the literature reports from real stations:
good in a random split, markedly worse on unseen stations, not carried by any one sensor, beside a
reanalysis that correlates only moderately. The bands are about the simulator; neither they nor
the learner are to be tuned to pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import MissingExtraError
from smcloud.core.listener import Listener, Silent
from smcloud.grids.land import is_land
from smcloud.simulate.noise import Floats
from smcloud.simulate.reference_days import judge_references
from smcloud.simulate.station_days import OPTICAL, StationDays, station_days
from smcloud.simulate.stations import place_stations
from smcloud.simulate.world import Earth

Band = tuple[float, float]

BANDS: Mapping[str, Band] = MappingProxyType(
    {
        "reanalysis_median_r": (0.55, 0.75),
        "random_minus_unseen_r": (0.08, 1.0),
        "unseen_median_r": (0.60, 0.85),
        "unseen_median_ubrmse": (0.04, 0.07),
        "worst_optical_share": (-1.0, 0.5),
        "smap_median_r": (0.50, 0.70),
        "smap_minus_active_r": (0.03, 0.40),
        "odd_sites_lost_r": (0.10, 0.60),
    }
)
"""Name of a gate to its least and greatest value (science of the project, simulated Earth)."""

FOLDS = 4
LEAST_DAYS = 60
"""Days that a station must have to be scored by itself."""
BINS = 64
LEARNER: Mapping[str, object] = MappingProxyType(
    {
        "tree_method": "hist",
        "objective": "reg:squarederror",
        "max_depth": 7,
        "eta": 0.1,
        "subsample": 0.8,
        "colsample_bytree": 0.8,
        "min_child_weight": 10,
        "max_bin": BINS,
    }
)
ROUNDS = 100


@dataclass(frozen=True)
class Gate:
    """One figure and the band it must fall into."""

    name: str
    value: float
    least: float
    greatest: float

    @property
    def is_passed(self) -> bool:
        """Whether the value lies within the band, ends included."""
        return self.least <= self.value <= self.greatest


@dataclass(frozen=True)
class GateReport:
    """The gates of one seed, and figures that help to read them."""

    seed: int
    stations: int
    station_days: int
    gates: tuple[Gate, ...]
    figures: Mapping[str, float] = field(default_factory=dict)
    """Pooled scores of both splits, and the share of skill that each optical column carries."""

    @property
    def is_passed(self) -> bool:
        """Whether every gate is passed."""
        return all(gate.is_passed for gate in self.gates)

    def lines(self) -> list[str]:
        """Return the report as lines of text, gates first."""
        head = f"seed {self.seed}: {self.stations} stations, {self.station_days} station-days"
        gates = [
            f"{'pass' if g.is_passed else 'FAIL'}  {g.name:<24} {g.value:7.3f}"
            f"   band {g.least:g} to {g.greatest:g}"
            for g in self.gates
        ]
        return [head, *gates, *(f"      {k:<24} {v:7.3f}" for k, v in self.figures.items())]


def run_gates(
    seed: int,
    stations: int = 200,
    years: Sequence[int] = (2018, 2019),
    *,
    bands: Mapping[str, Band] = BANDS,
    threads: int = 1,
    listener: Listener | None = None,
) -> GateReport:
    """Return the gates of a seed over simulated stations and years.

    Parameters
    ----------
    years
        Consecutive calendar years.
    bands
        Bands in place of the default ones, by the same names.
    threads
        Threads of the learner.

    Raises
    ------
    MissingExtraError
        If XGBoost is not installed.
    """
    listener = listener or Silent()
    listener.begin("gates", 3, "steps")
    earth = Earth(seed)
    days = np.arange(f"{min(years)}-01-01", f"{max(years) + 1}-01-01", dtype="datetime64[D]")
    placed = place_stations(seed, stations, is_land)
    table = station_days(earth, placed, days)
    listener.advance()
    gates, figures = judge(table, bands, seed, threads)
    listener.advance()
    more, shown = judge_references(earth, placed, days[days >= days[-1].astype("datetime64[Y]")])
    listener.advance()
    listener.end()
    checked = tuple(Gate(name, value, *bands[name]) for name, value in more.items())
    return GateReport(seed, stations, table.day.size, gates + checked, {**figures, **shown})


def judge(
    table: StationDays, bands: Mapping[str, Band], seed: int, threads: int
) -> tuple[tuple[Gate, ...], Mapping[str, float]]:
    """Return gates and figures of a station-day table."""
    rng = np.random.Generator(np.random.PCG64(seed))
    by_row = rng.permutation(table.day.size) % FOLDS
    is_test = by_row == 0
    random = _Fit.on(table, ~is_test, seed, threads).predict(table.features[is_test])
    unseen, costs = _unseen(table, rng, seed, threads)
    target = table.soil_moisture
    random_r, unseen_r = _r(random, target[is_test]), _r(unseen, target)
    r, ubrmse = per_station(unseen, target, table.station)
    pixel_r, _ = per_station(table.truth, target, table.station)
    model_r, _ = per_station(table.column("era5_swvl1"), target, table.station)
    values = {
        "reanalysis_median_r": float(np.median(model_r)),
        "random_minus_unseen_r": random_r - unseen_r,
        "unseen_median_r": float(np.median(r)),
        "unseen_median_ubrmse": float(np.median(ubrmse)),
        "worst_optical_share": max(costs.values()),
    }
    figures = {
        "random_r": random_r,
        "random_rmse": _rmse(random, target[is_test]),
        "unseen_r": unseen_r,
        "unseen_rmse": _rmse(unseen, target),
        "pixel_truth_median_r": float(np.median(pixel_r)),
        **{f"share_{name}": cost for name, cost in costs.items()},
    }
    return tuple(Gate(name, value, *bands[name]) for name, value in values.items()), figures


def _unseen(
    table: StationDays, rng: np.random.Generator, seed: int, threads: int
) -> tuple[Floats, dict[str, float]]:
    """Return predictions at stations of networks left out, and what each optical column carries.

    A column carries the share of the skill (squared correlation) that is lost when its values
    change places among the rows of the left-out networks.
    """
    count = int(table.network.max()) + 1
    fold_of = rng.permutation(count) % min(FOLDS, count)
    folds = fold_of[table.network]
    predicted = np.empty(table.day.size, np.float32)
    shuffled = {name: np.full(table.day.size, np.nan, np.float32) for name in OPTICAL}
    for fold in range(int(fold_of.max()) + 1):
        rows = np.flatnonzero(folds == fold)
        fit = _Fit.on(table, folds != fold, seed, threads)
        predicted[rows] = fit.predict(table.features[rows])
        # Every third row is enough to weigh a column, and saves most of the time of the gates.
        features = table.features[rows[::3]].copy()
        for name in OPTICAL:
            column = table.columns.index(name)
            kept = features[:, column].copy()
            features[:, column] = rng.permutation(kept)
            shuffled[name][rows[::3]] = fit.predict(features)
            features[:, column] = kept
    weighed = np.isfinite(shuffled[OPTICAL[0]])
    target = table.soil_moisture[weighed]
    skill = _r(predicted[weighed], target) ** 2
    left = {name: _r(values[weighed], target) ** 2 for name, values in shuffled.items()}
    return predicted, {name: 1.0 - value / skill for name, value in left.items()}


@dataclass(frozen=True)
class _Fit:
    """A plain booster."""

    booster: object
    xgboost: ModuleType

    @classmethod
    def on(cls, table: StationDays, rows: NDArray[np.bool_], seed: int, threads: int) -> "_Fit":
        """Return a booster trained on some rows of the table."""
        xgboost = _xgboost()
        data = xgboost.QuantileDMatrix(
            table.features[rows], table.soil_moisture[rows], nthread=threads, max_bin=BINS
        )
        parameters = {**LEARNER, "seed": seed, "nthread": threads}
        return cls(xgboost.train(parameters, data, num_boost_round=ROUNDS), xgboost)

    def predict(self, features: Floats) -> Floats:
        """Return predictions of rows."""
        values: Floats = self.booster.inplace_predict(features)  # type: ignore[attr-defined]
        return values


def _xgboost() -> ModuleType:
    """Return the module, or say what installs it."""
    try:
        import xgboost
    except ImportError as err:
        raise MissingExtraError("xgboost", "cpu", "the gates of the simulated Earth") from err
    module: ModuleType = xgboost
    return module


def per_station(
    estimate: Floats, reference: Floats, station: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return R and ubRMSE (m3 m-3) of every station that has `LEAST_DAYS` days."""
    scores = []
    for number in np.unique(station):
        rows = station == number
        if rows.sum() >= LEAST_DAYS and estimate[rows].std() > 0:
            error = estimate[rows] - reference[rows]
            scores.append((_r(estimate[rows], reference[rows]), float(error.std())))
    r, ubrmse = np.array(scores, np.float64).reshape(-1, 2).T
    return r, ubrmse


def _r(a: Floats, b: Floats) -> float:
    """Return the correlation of two series."""
    return float(np.corrcoef(a, b)[0, 1])


def _rmse(a: Floats, b: Floats) -> float:
    """Return the root mean square difference of two series."""
    return float(np.sqrt(np.mean((a - b) ** 2)))
