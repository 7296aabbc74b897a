"""How far off an estimate may be: a second, smaller set of trees, made honest on unseen stations.

The trees learn the absolute residuals of estimates at stations that the estimating trees did not
see (out of fold, folds of whole spatial blocks), so they know where the model is weak. Their
scale is not trusted: factors from the calibrate set, whose stations neither model has seen, turn it
into half widths that hold the promised share at a new station.

The factors are conformal with stations as groups: each station has the same weight, and the new
one its own at infinity, so that a random day of a random new station is covered with at least the
nominal probability (Lee, Barber and Willett, arXiv:2306.06342, who call it hierarchical conformal
prediction; earlier Dunn, Wasserman and Ramdas, arXiv:1809.07441). What is covered is the **point**:
the value that a station measures, the difference between station and pixel included.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from smcloud.core.errors import MissingExtraError, UserError
from smcloud.models.base import Parameter, SpreadNote, content_hash
from smcloud.models.boosting import forest_of
from smcloud.models.checkpoints import Trained
from smcloud.models.forest import Forest
from smcloud.models.matrix import quantised
from smcloud.models.parameters import BoostingParams
from smcloud.models.rows import Floats, Index, Rows
from smcloud.models.samples import TrainingTable
from smcloud.models.training import ROWS_PER_THREAD, train_boosting
from smcloud.validation.coverage import Coverage, coverage
from smcloud.validation.splits import Codes, Samples, Split, SplitRules, check_leakage

try:
    import xgboost
except ImportError as err:
    raise MissingExtraError("xgboost", "cpu", "training and production") from err

SHIPPED_LEVEL = 0.68
"""Level of the half width that a product stores: that of one standard error, were errors normal."""
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.68, 0.7, 0.8, 0.9, 0.95)
FOLDS = 3
"""Parts of the spatial blocks; each part's residuals come from trees that the others grew."""
MOST_ROWS = 300_000
"""Rows of fit and stop that the spread is learned from: days of a station are so alike that
thinning costs little, and the factors make up for the rest."""
SPREAD_ROUNDS = 100
SPREAD_PATIENCE = 10
SPREAD_TREES: Mapping[str, Parameter] = {
    "objective": "reg:squarederror",
    "max_depth": 6,
    "eta": 0.1,
    "min_child_weight": 50,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "lambda": 5.0,
    "max_bin": 128,
}
"""Small trees: a third of the estimate's work, and codes of one byte."""
FLOOR_SHARE = 0.2
"""Least spread, as a share of the mean absolute residual: trees may say zero or less."""


@dataclass(frozen=True, eq=False)
class Spread:
    """Trees that say how large the error of an estimate is, and the factors that make it hold.

    Attributes
    ----------
    data : bytes
        The trees as UBJSON; empty where there is no spread.
    floor : float
        Least spread, in units of the target.
    factors : mapping
        Level to the factor that makes a half width of a spread; NaN where the calibrate set has
        too few stations for it.
    stations : int
        Groups of stations that the factors rest on.
    rounds : int
        Trees.
    why_not : str
        Why there is no spread; empty where there is one.
    """

    data: bytes = field(repr=False)
    floor: float
    factors: Mapping[float, float]
    stations: int
    rounds: int
    why_not: str = ""

    @property
    def possible(self) -> bool:
        """Return whether a half width of the shipped level can be told."""
        return not self.why_not

    @cached_property
    def forest(self) -> Forest:
        """Return the trees, ready to predict."""
        return forest_of(self.data)

    def scale(self, rows: Rows) -> Floats:
        """Return the spread (n,) of rows, before any factor, in units of the target."""
        return np.maximum(_predicted(self.forest, rows), np.float32(self.floor))

    def half_widths(self, rows: Rows, levels: Sequence[float] = LEVELS) -> dict[float, Floats]:
        """Return the half widths (n,) of the intervals of rows, by level.

        Levels for which the calibrate set has too few stations are left out.

        Raises
        ------
        UserError
            If there is no spread.
        """
        if not self.possible:
            raise UserError(f"no uncertainty: {self.why_not}")
        scale = self.scale(rows)
        known = [level for level in levels if np.isfinite(self.factors.get(level, np.nan))]
        return {level: scale * np.float32(self.factors[level]) for level in known}

    def note(self) -> SpreadNote | None:
        """Return what the model's card says of the spread; None where there is none."""
        if not self.possible:
            return None
        return SpreadNote(
            sha256=content_hash(self.data),
            floor=self.floor,
            factors={f"{k:g}": q for k, q in self.factors.items() if np.isfinite(q)},
            stations=self.stations,
            rounds=self.rounds,
        )


def fit_spread(
    table: TrainingTable, split: Split, rules: SplitRules, trained: Trained, params: BoostingParams
) -> Spread:
    """Return the spread of a trained model; one that says why not where there are too few places.

    Parameters
    ----------
    split
        The sets that the model was trained with: residuals come from fit and stop, factors from
        calibrate. Stations of calibrate must not have been selected by any rule that new stations
        need not meet, or the promise holds for such stations only.
    trained, params
        The model, and how it was grown: the folds grow as many trees.

    Raises
    ------
    ModelError
        If the calibrate set shares stations, pixels or blocks with another set; the random split
        excepted, which draws days.
    """
    samples = table.samples(rules.block_degrees)
    check_leakage(split, samples)
    every = -(-(split.fit.size + split.stop.size) // MOST_ROWS)
    fit, stop = split.fit[::every], split.stop[::every]
    learned = np.concatenate([fit, stop])
    parts = _parts(samples, learned, rules.seed)
    if parts is None:
        return _none(f"out-of-fold residuals need {FOLDS} spatial blocks at least in fit and stop")
    residual = _residuals(table, learned, parts, trained.rounds, params)
    trees = _grown(table, fit, stop, residual, params)
    floor = FLOOR_SHARE * float(residual.mean())
    found = Spread(trees.data, floor, {}, 0, trees.rounds)
    scores = conformity(found, table, split.calibrate, trained)
    places = samples.pixels[split.calibrate]
    factors = {level: conformal_factor(scores, places, level) for level in LEVELS}
    stations = int(np.unique(places).size)
    if not np.isfinite(factors[SHIPPED_LEVEL]):
        return _none(
            f"the calibrate set has {stations} stations, too few for a level of {SHIPPED_LEVEL:g}"
        )
    return replace(found, factors=factors, stations=stations)


def conformity(spread: Spread, table: TrainingTable, index: Index, trained: Trained) -> Floats:
    """Return |target - estimate| / spread of some rows (n,): what the factors are quantiles of."""
    rows = table.rows(index)
    error = np.abs(rows.target - _predicted(forest_of(trained.data), rows))
    return np.asarray(error / spread.scale(rows), np.float32)


def conformal_factor(scores: npt.NDArray[Any], groups: Codes, level: float) -> float:
    """Return the least q that covers a random row of a new group with probability `level`.

    Each of K groups has weight 1 / (K + 1), shared evenly by its rows, and infinity the weight
    of the new group (Lee, Barber and Willett, arXiv:2306.06342, section 3).

    Returns
    -------
    float
        NaN where `level` exceeds K / (K + 1): so few groups bound nothing.
    """
    numbers = np.unique(groups, return_inverse=True)[1]
    count = np.bincount(numbers)
    order = np.argsort(scores, kind="stable")
    mass = np.cumsum(1.0 / count[numbers[order]]) / (count.size + 1)
    if level > count.size / (count.size + 1):
        return float("nan")
    # The last sum may miss K / (K + 1) by rounding.
    at = min(int(np.searchsorted(mass, level - 1e-12)), scores.size - 1)
    return float(scores[order[at]])


def coverage_on(
    spread: Spread, table: TrainingTable, index: Index, estimates: Floats, **options: Any
) -> Coverage:
    """Return the coverage of some rows of a table, such as a test set, by all levels.

    Parameters
    ----------
    estimates
        (n,) of the model, in the order of `index`.
    options
        `networks`, `nominal` of `validation.coverage.coverage`.
    """
    rows = table.rows(index)
    stations = table.frame(index)[table.columns.station].to_numpy()
    return coverage(spread.half_widths(rows), estimates, rows.target, stations, **options)


def _none(why: str) -> Spread:
    return Spread(b"", 0.0, {}, 0, 0, why)


def _predicted(forest: Forest, rows: Rows) -> Floats:
    parts = [forest.predict(np.ascontiguousarray(part)) for part, _ in rows.batches()]
    return np.concatenate(parts).astype(np.float32, copy=False)


def _parts(samples: Samples, index: Index, seed: int) -> Codes | None:
    """Return the fold of each row: whole blocks, dealt in a drawn order; None if too few."""
    blocks, of_row = np.unique(samples.blocks[index], return_inverse=True)
    if blocks.size < FOLDS:
        return None
    drawn = np.random.default_rng([seed, 5]).permutation(blocks.size)
    return np.asarray((drawn % FOLDS)[of_row], np.int64)


def _residuals(
    table: TrainingTable, index: Index, parts: Codes, rounds: int, params: BoostingParams
) -> Floats:
    """Return |target - estimate| (n,) of rows, each estimated by trees that saw not its block."""
    residual = np.empty(index.size, np.float32)
    for part in range(FOLDS):
        held_out = parts == part
        learn, judged = table.rows(index[~held_out]), table.rows(index[held_out])
        threads = params.threads or _threads_for(learn)
        booster = xgboost.train(
            {**params.for_xgboost(0), "nthread": threads},
            quantised(learn, max_bin=params.max_bin, threads=threads),
            rounds,
            verbose_eval=False,
        )
        forest = Forest.from_xgboost(booster, links_by_library=True)
        residual[held_out] = np.abs(judged.target - _predicted(forest, judged))
    return residual


def _threads_for(rows: Rows) -> int:
    return max(1, min(os.cpu_count() or 1, rows.size // ROWS_PER_THREAD))


def _grown(
    table: TrainingTable, fit: Index, stop: Index, residual: Floats, params: BoostingParams
) -> Trained:
    """Return trees that learn the residuals of fit, and stop growing by those of stop."""
    learn, judge = (
        replace(table.rows(index), target=found)
        for index, found in ((fit, residual[: fit.size]), (stop, residual[fit.size :]))
    )
    small = replace(
        params, rounds=SPREAD_ROUNDS, early_stopping=SPREAD_PATIENCE, trees=dict(SPREAD_TREES)
    )
    return train_boosting(learn, judge, small, route="local")
