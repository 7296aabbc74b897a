"""A search for the parameters of the trees: successive halving on stations inside fit and stop.

Candidates are drawn once, from a seed. In the first rung each is trained on every ninth day (with
three rungs and one in three kept); the better third goes on to every third day, and the best of
those to all days. Days are the budget because those of one station repeat each other: fewer days
rank candidates nearly as all days do, and fewer stations would not, for what a model lacks are
stations. Every candidate is scored on whole spatial blocks that it did not see (the same inner
folds for all), and none of these is in the calibrate or test set of the outer split.
(Jamieson and Talwalkar 2016, arXiv:1502.07943, for successive halving.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np

from smcloud.core.errors import ConfigError
from smcloud.models.base import Parameter
from smcloud.models.fold_jobs import FoldJob
from smcloud.models.folds import Variant
from smcloud.models.parameters import DEFAULT_TREES, BoostingParams
from smcloud.models.scoring import FoldScores, merged, summary
from smcloud.validation.nested_splits import InnerFold
from smcloud.validation.splits import SplitKind

Score = Literal["RMSE", "ubRMSE", "median_RMSE", "median_ubRMSE", "median_R"]
SPACE: Mapping[str, tuple[float, float]] = {
    "max_depth": (4, 12),
    "eta": (0.05, 0.3),
    "subsample": (0.6, 0.8),
    "colsample_bytree": (0.6, 0.8),
    "min_child_weight": (7, 60),
    "gamma": (0.0001, 0.1),
    "alpha": (0.1, 5.0),
    "lambda": (1.0, 5.0),
}
"""Lowest and highest value searched. From the space of an open soil moisture model (depth 6 to 12,
min_child_weight 7 to 20, gamma 0.1 to 1), with shallower trees and larger leaves added, which new
stations ask for, and gamma in the units of m3 m-3 squared."""
LOGARITHMIC = frozenset({"eta", "gamma", "alpha", "lambda", "min_child_weight"})
WHOLE = frozenset({"max_depth", "max_leaves", "max_bin"})

RunJobs = Callable[[Sequence[FoldJob]], Sequence[FoldScores]]


@dataclass(frozen=True)
class TuningRules:
    """How the search goes.

    Attributes
    ----------
    candidates : int
        Sets of parameters in the first rung; number 0 is the one that was stated.
    keep_one_in : int
        One in so many goes on, with so many times the days.
    rungs : int
    inner_folds : int
    score : str
        What is made best.
    every_fold : bool
        Search inside every outer fold, else inside the stored model's alone.
    seed : int
    space : mapping
        Parameter to lowest and highest value; `SPACE` by default.

    Raises
    ------
    ConfigError
        If a number is out of range, or a bound of the space is no number or above the other.
    """

    candidates: int = 18
    keep_one_in: int = 3
    rungs: int = 3
    inner_folds: int = 3
    score: Score = "RMSE"
    every_fold: bool = False
    seed: int = 0
    space: Mapping[str, tuple[float, float]] = field(default_factory=lambda: dict(SPACE))

    def __post_init__(self) -> None:
        if self.score not in get_args(Score):
            raise ConfigError(
                f"tune.score is {self.score!r}: expected {', '.join(get_args(Score))}"
            )
        if min(self.candidates, self.keep_one_in, self.inner_folds) < 2 or self.rungs < 1:
            raise ConfigError(
                "tune needs 2 or more candidates, keep_one_in and inner_folds and 1 or more rungs, "
                f"found {self.candidates}, {self.keep_one_in}, {self.inner_folds}, {self.rungs}"
            )
        for name, (low, high) in self.space.items():
            known = {*DEFAULT_TREES, *SPACE, "max_leaves", "colsample_bylevel", "colsample_bynode"}
            if name not in known - {"objective", "max_bin"}:
                raise ConfigError(
                    f"tune.space names {name!r}, which is not searched: expected one of "
                    f"{', '.join(sorted(known - {'objective', 'max_bin'}))}"
                )
            if not low <= high or (name in LOGARITHMIC and low <= 0.0):
                raise ConfigError(f"tune.space.{name} is {low:g} to {high:g}: expected low to high")

    def to_json(self) -> dict[str, Any]:
        """Return what shapes the search, as plain JSON values."""
        return {
            name: getattr(self, name) for name in self.__dataclass_fields__ if name != "space"
        } | {"space": {name: list(ends) for name, ends in sorted(self.space.items())}}


@dataclass(frozen=True)
class Trial:
    """One set of parameters in the search.

    Attributes
    ----------
    number : int
        0 is the parameters that the run stated.
    parameters : mapping
        XGBoost's names to the values tried.
    scores : tuple of float
        Inner score after each rung that the trial reached.
    rounds : int
        Median number of trees over the inner folds of its last rung.
    """

    number: int
    parameters: Mapping[str, Parameter]
    scores: tuple[float, ...] = ()
    rounds: int = 0


@dataclass(frozen=True)
class TuningResult:
    """The search inside fit and stop of one outer fold.

    Attributes
    ----------
    split, fold, variant
        The outer fold whose calibrate and test sets no trial saw.
    score : str
        What was made best.
    chosen : int
        Number of the trial whose parameters are taken.
    trials : tuple of Trial
        By number.
    """

    split: SplitKind
    fold: int
    variant: Variant
    score: Score
    chosen: int
    trials: tuple[Trial, ...]

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """Return the parameters that the search chose."""
        return self.trials[self.chosen].parameters

    def tuned(self, params: BoostingParams) -> BoostingParams:
        """Return `params` with what the search chose."""
        return replace(params, trees={**params.trees, **self.parameters})


def candidates(rules: TuningRules, params: BoostingParams) -> list[Trial]:
    """Return the trials of the first rung: the stated parameters, then draws from the space."""
    stated = {**DEFAULT_TREES, **params.trees}
    own = {name: stated[name] for name in sorted(rules.space) if name in stated}
    rng = np.random.default_rng([rules.seed, 7])
    found = [Trial(0, own)]
    for number in range(1, rules.candidates):
        drawn = {name: _drawn(rng, name, *rules.space[name]) for name in sorted(rules.space)}
        found.append(Trial(number, drawn))
    return found


def search(
    fold: tuple[SplitKind, int, Variant],
    params: BoostingParams,
    rules: TuningRules,
    run: RunJobs,
) -> TuningResult:
    """Return the search inside one outer fold.

    Parameters
    ----------
    fold
        Split, number of the fold, variant.
    params
        The stated parameters; rounds, early stopping and seed are those of every trial.
    run
        Trains and scores jobs, wherever; results come in the order of the jobs.
    """
    trials = {trial.number: trial for trial in candidates(rules, params)}
    running = sorted(trials)
    for rung in range(rules.rungs):
        every = rules.keep_one_in ** (rules.rungs - 1 - rung)
        jobs = [
            _job(fold, trials[number], params, rules, rung, every, inner)
            for number in running
            for inner in range(rules.inner_folds)
        ]
        found = run(jobs)
        for place, number in enumerate(running):
            start = place * rules.inner_folds
            parts = found[start : start + rules.inner_folds]
            trials[number] = _scored(trials[number], parts, rules)
        # Equal scores keep the earlier candidate: the stated parameters are never left for nothing.
        running.sort(key=lambda number: (_cost(trials[number], rules.score), number))
        if rung < rules.rungs - 1:
            kept = running[: max(1, -(-len(running) // rules.keep_one_in))]
            # The stated parameters stay to the end: they are what the others must beat.
            running = kept if 0 in kept else [*kept, 0]
    return TuningResult(
        *fold, rules.score, running[0], tuple(trials[number] for number in sorted(trials))
    )


def _job(
    fold: tuple[SplitKind, int, Variant],
    trial: Trial,
    params: BoostingParams,
    rules: TuningRules,
    rung: int,
    every: int,
    inner: int,
) -> FoldJob:
    kind, number, variant = fold
    return FoldJob(
        f"tune-{kind}-{number}-{variant}-rung{rung}-c{trial.number:02d}-f{inner}",
        kind,
        number,
        variant,
        replace(params, trees={**params.trees, **trial.parameters}),
        inner=InnerFold(inner, rules.inner_folds, rules.seed),
        every=every,
    )


def _scored(trial: Trial, parts: Sequence[FoldScores], rules: TuningRules) -> Trial:
    _, blocks, sums = merged([part.stations for part in parts])
    overall, median = summary(sums, blocks, rules.seed)
    name = rules.score.removeprefix("median_")
    found = (median if rules.score.startswith("median_") else overall)[name]["value"]
    rounds = int(np.median([part.rounds for part in parts]))
    return replace(trial, scores=(*trial.scores, found), rounds=rounds)


def _cost(trial: Trial, score: Score) -> float:
    """Return what is to be made small; infinity where there is no score."""
    value = trial.scores[-1]
    if np.isnan(value):
        return float("inf")
    return -value if score == "median_R" else value


def _drawn(rng: np.random.Generator, name: str, low: float, high: float) -> Parameter:
    if name in WHOLE:
        return int(rng.integers(round(low), round(high) + 1))
    if name in LOGARITHMIC:
        return float(f"{np.exp(rng.uniform(np.log(low), np.log(high))):.6g}")
    return float(f"{rng.uniform(low, high):.6g}")
