"""What the threshold of the selection is worth, and whether it can be chosen without the truth.

`python -m benchmarks.thresholds RUNFILE [SPLIT]` reads the tables that `smcloud train RUNFILE`
left, and trains, for new stations in new years (the split station_year), models of all stations and
of those that each threshold keeps. All are scored on the same test stations, kept or not, and on
the truth of their pixels.

Then the threshold is chosen inside each fold, as a search would choose it: models of two thirds of
its blocks, selected, are scored on the other third, unselected. No test station, no test year and
no truth has a part in that choice; the last line is what it gives on the test stations.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.timing import progress
from smcloud.core.errors import UserError
from smcloud.features.table import read_table
from smcloud.models.fold_jobs import FoldJob, TrainingData, score_job
from smcloud.models.folds import StationSelection, Variant
from smcloud.models.parameters import BoostingParams
from smcloud.models.samples import training_table
from smcloud.models.scoring import POINT, TRUTH, FoldScores, merged, summary
from smcloud.production.references_stage import references_name, rules_of
from smcloud.production.run_file import read_run
from smcloud.production.train_request import request_of
from smcloud.production.train_stage import with_truth
from smcloud.products.registry import product_of
from smcloud.validation.metrics import all_scores, draw_weights, weighted_median
from smcloud.validation.nested_splits import InnerFold
from smcloud.validation.splits import SplitKind

THRESHOLDS = (None, 0.5, 0.7, 0.8, 0.9)
"""None takes all stations."""
FOLDS = INNER_FOLDS = 3
Threshold = float | None
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    """How models are made: of which rows, by which rules, with which parameters."""

    data: TrainingData
    params: BoostingParams
    kind: SplitKind = "station_year"

    def fold(self, fold: int, threshold: Threshold, inner: int | None = None) -> FoldScores:
        """Return the scores of one fold, or of one inner fold, of one threshold."""
        progress(f"{self.kind}, fold {fold}, inner {inner}, from R {threshold}")
        data = self.data
        variant: Variant = "all" if threshold is None else "selected"
        if threshold is not None:
            known = data.needed_selection()
            rules = replace(known.rules, minimum_r=threshold)
            data = replace(data, selection=replace(known, rules=rules), _selected={})
        part = None if inner is None else InnerFold(inner, INNER_FOLDS)
        job = FoldJob("", self.kind, fold, variant, self.params, inner=part)
        return score_job(data, job)[0]


@dataclass(frozen=True)
class Row:
    """Scores of the folds together, and what each station gains against all stations."""

    label: str
    taught: int
    """Stations that a fold fits, mean of the folds."""
    rmse: float
    medians: Mapping[str, tuple[float, float]]
    """Median R and ubRMSE, of the stations' values and of the truth."""
    gains: Mapping[str, tuple[float, float, float]]
    """Median difference of R with its 95 % interval, likewise; NaN for all stations."""


def row_of(label: str, folds: Sequence[FoldScores], whole: Sequence[FoldScores]) -> Row:
    """Return the scores of some folds beside those of models of all stations."""
    medians, gains = {}, {}
    for against in _known(folds):
        _, blocks, sums = merged([fold.stations for fold in folds], against)
        _, _, others = merged([fold.stations for fold in whole], against)
        median = summary(sums, blocks, 0)[1]
        medians[against] = median["R"]["value"], median["ubRMSE"]["value"]
        gains[against] = _gain(all_scores(sums)["R"] - all_scores(others)["R"], blocks)
    _, blocks, sums = merged([fold.stations for fold in folds])
    taught = round(np.mean([fold.counts["fit"]["stations"] for fold in folds]))
    return Row(label, taught, summary(sums, blocks, 0)[0]["RMSE"]["value"], medians, gains)


def inner_rmse(trial: Trial, fold: int, threshold: Threshold) -> float:
    """Return the RMSE of a threshold at the stations inside a fold, in turn left out, m3 m-3.

    Infinity where too few stations are left to learn from: such a threshold is never chosen.
    """
    try:
        parts = [trial.fold(fold, threshold, inner).stations for inner in range(INNER_FOLDS)]
    except UserError:
        return float("inf")
    _, blocks, sums = merged(parts)
    return summary(sums, blocks, 0)[0]["RMSE"]["value"]


def measure(trial: Trial, thresholds: Sequence[Threshold] = THRESHOLDS) -> str:
    """Return every threshold's scores, the choice inside each fold, and what it gives."""
    outer = {t: [trial.fold(fold, t) for fold in range(FOLDS)] for t in thresholds}
    rows = [row_of(_words(t), outer[t], outer[None]) for t in thresholds]
    lines, chosen = [], []
    for fold in range(FOLDS):
        errors = {t: inner_rmse(trial, fold, t) for t in thresholds}
        best = min(thresholds, key=lambda t: errors[t])
        chosen.append(outer[best][fold])
        told = ", ".join(f"{_words(t)} {error:.4f}" for t, error in errors.items())
        lines.append(f"inner RMSE of fold {fold}: {told}; chosen: {_words(best)}")
    rows.append(row_of("chosen inside each fold", chosen, outer[None]))
    head = f"{'kept from R':<26}{'taught':>7}{'RMSE':>8}"
    head += "".join(
        f"{against + ' R':>9}{'ubRMSE':>8}{'gain in R':>29}" for against in rows[0].medians
    )
    return "\n".join([head, *map(_line, rows), *lines])


def _gain(difference: Floats, blocks: NDArray[np.str_]) -> tuple[float, float, float]:
    drawn = weighted_median(difference, draw_weights(blocks, seed=0))
    low, high = np.quantile(drawn, [0.025, 0.975]) if drawn.size else (np.nan, np.nan)
    return float(np.nanmedian(difference)), float(low), float(high)


def _known(folds: Sequence[FoldScores]) -> list[str]:
    return [name for name in (POINT, TRUTH) if all(f"{name}_n" in f.stations for f in folds)]


def _words(threshold: Threshold) -> str:
    return "all stations" if threshold is None else f"{threshold:g}"


def _line(row: Row) -> str:
    text = f"{row.label:<26}{row.taught:>7}{row.rmse:>8.4f}"
    for against, (r, ubrmse) in row.medians.items():
        middle, low, high = row.gains[against]
        gain = f"{middle:+.3f} ({low:+.3f} to {high:+.3f})" if row.label != _words(None) else ""
        text += f"{r:>9.3f}{ubrmse:>8.4f}{gain:>29}"
    return text


def trial_of(run_file: str) -> Trial:
    """Return what a run file's training reads, from the tables that it left."""
    config = read_run(run_file)
    product = product_of(config)
    name = config.model_name
    rows, has_truth = with_truth(read_table(config.layout.table(name)), config.store.truth)
    references = read_table(config.layout.table(references_name(name)))
    request = request_of(config, product, has_truth=has_truth)
    rules = replace(rules_of(config.selection, config.train.seed), bootstrap_draws=0)
    table = training_table(rows, request.columns)
    data = TrainingData(table, request.rules, StationSelection(references, rules))
    return Trial(data, replace(request.ruled, threads=1))


if __name__ == "__main__":
    file, *kind = sys.argv[1:]
    chosen = trial_of(file)
    print(measure(replace(chosen, kind=kind[0]) if kind else chosen))
