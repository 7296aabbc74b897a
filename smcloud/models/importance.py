"""What features are worth to a model: gain, permutation on unseen stations, and doing without.

Gain says what the trees used, and flatters what they could learn by heart. Permutation says what
the stored model loses on test stations when a feature's values are dealt among their rows; features
that stand for each other hide each other there, so the features of one driver are permuted together
too. Doing without trains a model that never had them: only that says whether a driver is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from smcloud.models.boosting import booster_of
from smcloud.models.constraints import Constraints
from smcloud.models.fold_jobs import FoldJob, TrainingData
from smcloud.models.folds import Variant
from smcloud.models.forest import Forest
from smcloud.models.parameters import BoostingParams
from smcloud.models.rows import Floats
from smcloud.models.scoring import FoldScores, SplitScores, merged, station_sums
from smcloud.validation.metrics import all_scores
from smcloud.validation.splits import SplitKind

MOST_ROWS = 100_000
"""Test rows that are permuted: more would only make the same number slower."""
REPEAT = "repeat"


@dataclass(frozen=True)
class Importance:
    """What one feature, or all features of a driver, are worth to the stored model.

    Attributes
    ----------
    name : str
        The feature, or the driver.
    features : tuple of str
    gain : float
        Part of the total gain of all splits that they made, 0 to 1.
    rmse_rise, rmse_spread : float
        Rise of the RMSE over all test rows when their values are permuted together, mean and
        standard deviation over the repeats, in the target's units; NaN where it was left out.
    r_fall : float
        Fall of the median R over test stations, mean over the repeats.
    """

    name: str
    features: tuple[str, ...]
    gain: float
    rmse_rise: float = float("nan")
    rmse_spread: float = float("nan")
    r_fall: float = float("nan")


@dataclass(frozen=True)
class Ablation:
    """A model trained without the features of one driver, on the test stations of the stored one.

    ``rmse_rise`` and ``median_ubrmse_rise`` in the target's units, ``median_r_fall`` without:
    above 0 the features helped. ``why_not`` says why there is no such model.
    """

    name: str
    features: tuple[str, ...]
    rmse_rise: float
    median_ubrmse_rise: float
    median_r_fall: float
    why_not: str = ""


@dataclass(frozen=True)
class PermuteJob:
    """One group of features, permuted together on the test set of a fold.

    Attributes
    ----------
    name : str
        What an operator sees on the dashboard.
    kind, fold, variant
        The fold whose model is asked.
    features : tuple of str
        Permuted together; none gives the scores to compare with.
    repeats, seed : int
    model : str
        SHA-256 of the model's bytes.
    """

    name: str
    kind: SplitKind
    fold: int
    variant: Variant
    features: tuple[str, ...]
    repeats: int
    seed: int
    model: str

    def identity(self) -> str:
        """Return everything that shapes the result, as one line."""
        shaping = (self.kind, self.fold, self.variant, self.features, self.repeats, self.seed)
        return repr((*shaping, self.model))


def gains(model: bytes, features: Sequence[str]) -> dict[str, float]:
    """Return each feature's part of the total gain of all splits, 0 to 1, in order."""
    scores = booster_of(model).get_score(importance_type="total_gain")
    found = {name: float(np.sum(gain)) for name, gain in scores.items()}
    total = sum(found.values()) or 1.0
    return {name: found.get(f"f{n}", 0.0) / total for n, name in enumerate(features)}


def permuted_scores(data: TrainingData, job: PermuteJob, forest: Forest) -> FoldScores:
    """Return the sums per test station with the job's features permuted, a set of rows a repeat.

    A permutation deals the values of whole rows among all test rows: those of one group stay
    together, and so keep what they tell of each other.
    """
    table = data.table
    split = data.split(job.kind, job.fold)
    samples = table.samples(data.rules.block_degrees)
    test = split.test[:: -(-split.test.size // MOST_ROWS)]
    columns = _matrix(data, test)
    chosen = [table.columns.features.index(name) for name in job.features]
    parts = []
    for repeat in range(job.repeats if chosen else 1):
        order = np.random.default_rng([job.seed, 8, repeat]).permutation(test.size)
        mixed = columns.copy()
        mixed[chosen] = columns[chosen][:, order]
        sums = station_sums(table, test, forest.predict(mixed), samples.blocks)
        parts.append(sums.assign(**{REPEAT: repeat}))
    rows = pd.concat(parts, ignore_index=True)
    return FoldScores(job.kind, job.fold, job.variant, split.counts(samples), 0, rows)


def importances(
    groups: Mapping[str, Sequence[str]],
    gain: Mapping[str, float],
    permuted: Mapping[str, FoldScores],
) -> tuple[Importance, ...]:
    """Return what each group of features is worth, in the order of `groups`.

    Parameters
    ----------
    groups
        Name to features; a feature of its own is a group of one.
    gain
        Of each feature (`gains`).
    permuted
        Scores by group, and under the empty name those with nothing permuted; empty leaves
        permutation out.
    """
    found = []
    for name, features in groups.items():
        share = float(sum(gain[feature] for feature in features))
        if not permuted:
            found.append(Importance(name, tuple(features), share))
            continue
        ((rmse, r),) = _by_repeat(permuted[""])
        drawn = np.array(_by_repeat(permuted[name]))
        rise = drawn[:, 0] - rmse
        fall = r - float(drawn[:, 1].mean())
        found.append(
            Importance(name, tuple(features), share, float(rise.mean()), float(rise.std()), fall)
        )
    return tuple(found)


def ablation_jobs(
    fold: tuple[SplitKind, int, Variant],
    groups: Mapping[str, Sequence[str]],
    features: Sequence[str],
    params: BoostingParams,
    constraints: Constraints,
) -> list[FoldJob]:
    """Return a job for each group that leaves a feature over, with the parameters of the model."""
    jobs = []
    for name, group in groups.items():
        left = [feature for feature in features if feature not in group]
        if left:
            ruled = constraints.among(params, left)
            jobs.append(FoldJob(f"without-{name}", *fold, ruled, without=tuple(group)))
    return jobs


def ablation_of(
    name: str, features: Sequence[str], whole: SplitScores, without: SplitScores
) -> Ablation:
    """Return what a model without the features lost against the whole one, on the same rows."""
    if not without.possible:
        nan = float("nan")
        return Ablation(name, tuple(features), nan, nan, nan, without.why_not)

    def change(of: str, score: str) -> float:
        one, other = (getattr(scores, of)[score]["value"] for scores in (whole, without))
        return float(other - one)

    return Ablation(
        name,
        tuple(features),
        change("overall", "RMSE"),
        change("median", "ubRMSE"),
        -change("median", "R"),
    )


def _matrix(data: TrainingData, test: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Floats:
    """Return the features (n_features, n) of some rows."""
    parts = [features.copy() for features, _ in data.table.rows(test).batches()]
    return np.ascontiguousarray(np.concatenate(parts, axis=1))


def _by_repeat(found: FoldScores) -> list[tuple[float, float]]:
    """Return RMSE over all rows and median R over stations of each repeat."""
    scores = []
    for _, rows in found.stations.groupby(REPEAT, sort=True):
        _, _, sums = merged([rows.reset_index(drop=True)])
        overall = float(all_scores(sums.total())["RMSE"])
        r = all_scores(sums)["R"]
        scores.append((overall, float(np.nanmedian(r)) if np.isfinite(r).any() else np.nan))
    return scores
