"""What a model knows of stations and years that it never saw: one training per split, scored once.

The headline is the split that is like production: new stations in new years, or new stations where
there is only one year. The random split is printed beside it as a reference and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from smcloud.core.errors import UserError
from smcloud.models.boosting import forest_of
from smcloud.models.checkpoints import Trained
from smcloud.models.parameters import BoostingParams
from smcloud.models.samples import TrainingTable
from smcloud.models.training import train_boosting
from smcloud.validation.metrics import score_stations
from smcloud.validation.splits import Split, SplitKind, SplitRules, split_samples

MEANINGS: Mapping[SplitKind, str] = {
    "station_year": "new stations in new years",
    "station": "new stations",
    "year": "known stations in new years",
    "random": "random days",
}
"""What the test set of each split holds, the headline first."""
WHY_NOT_RANDOM = (
    "such a test flatters by overfitting, in the words of the paper that published R 0.941 with it "
    "(ESSD 15, 2055, 2023)"
)
MIN_TEST_ROWS = 5
"""A station with fewer test rows is not scored: a month of days, one in five, gives six."""


@dataclass(frozen=True)
class SplitScores:
    """How well one split's test set was met, or why it could not be made.

    Attributes
    ----------
    kind : str
    counts : mapping
        Rows, stations and blocks of each set; empty when the split is not possible.
    rounds : int
        Trees of this split's model.
    overall, median : mapping
        Score name to value, low and high of its 95 % interval: over all test pairs, and of the
        median over test stations; in units of the target, R without.
    why_not : str
        Why the split is not possible; empty when it is.
    """

    kind: SplitKind
    counts: Mapping[str, Mapping[str, int]]
    rounds: int
    overall: Mapping[str, Mapping[str, float]]
    median: Mapping[str, Mapping[str, float]]
    why_not: str = ""

    @property
    def possible(self) -> bool:
        """Return whether the table allows this split."""
        return not self.why_not

    def for_card(self) -> dict[str, float]:
        """Return the values alone, medians over stations as ``median_R`` and so on."""
        values = {name: found["value"] for name, found in self.overall.items()}
        values |= {f"median_{name}": found["value"] for name, found in self.median.items()}
        return {name: float(f"{value:.6g}") for name, value in values.items()}

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; null for scores that cannot be known."""
        return {
            "kind": self.kind,
            "meaning": MEANINGS[self.kind],
            "counts": {name: dict(found) for name, found in self.counts.items()},
            "rounds": self.rounds,
            "overall": _plain(self.overall),
            "median": _plain(self.median),
            "why_not": self.why_not,
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> SplitScores:
        """Return the scores that `to_json` wrote."""
        return cls(
            body["kind"],
            body["counts"],
            body["rounds"],
            _from_plain(body["overall"]),
            _from_plain(body["median"]),
            body["why_not"],
        )


@dataclass(frozen=True, eq=False)
class Scored:
    """The scores of a split and the estimates behind them.

    Attributes
    ----------
    scores : SplitScores
    table : DataFrame or None
        One row per test sample: station, time, block, estimate and the target under its own
        name; None when the split is not possible.
    """

    scores: SplitScores
    table: pd.DataFrame | None


def headline(scores: Mapping[SplitKind, SplitScores]) -> SplitKind:
    """Return the possible split that is most like production."""
    order: tuple[SplitKind, ...] = ("station_year", "station")
    return next(kind for kind in order if kind in scores and scores[kind].possible)


def fit_and_score(
    table: TrainingTable,
    kind: SplitKind,
    rules: SplitRules,
    params: BoostingParams,
    *,
    fold: int = 0,
) -> Scored:
    """Return the test scores of a model of its own, trained in this process.

    A table of one year gives, for the splits by year, a result that says why there is none.

    Raises
    ------
    UserError
        If a split that needs no second year cannot be made.
    """
    try:
        split = split_samples(table.samples(rules.block_degrees), kind, rules, fold=fold)
    except UserError as err:
        if kind not in ("year", "station_year"):
            raise
        return Scored(SplitScores(kind, {}, 0, {}, {}, why_not=str(err)), None)
    trained = train_boosting(table.rows(split.fit), table.rows(split.stop), params, route="local")
    return score_test_set(table, split, rules, trained)


def score_test_set(
    table: TrainingTable, split: Split, rules: SplitRules, trained: Trained
) -> Scored:
    """Return how a finished training meets the test set of its split.

    Intervals come from a bootstrap over spatial blocks: stations of one block are not independent.
    """
    samples = table.samples(rules.block_degrees)
    forest = forest_of(trained.data)
    rows = table.rows(split.test)
    estimates = [forest.predict(np.ascontiguousarray(part)) for part, _ in rows.batches()]
    pairs = table.frame(split.test).set_axis(["station", "time"], axis="columns")
    target = table.columns.target
    pairs["block"] = samples.blocks[split.test].astype(str)
    pairs["estimate"] = np.concatenate(estimates)
    pairs[target] = rows.target
    found = score_stations(
        pairs, reference=target, block="block", min_pairs=MIN_TEST_ROWS, seed=rules.seed
    )
    scores = SplitScores(
        split.kind,
        split.counts(samples),
        trained.rounds,
        _values(found.overall),
        _values(found.median),
    )
    return Scored(scores, pairs)


def _values(frame: pd.DataFrame) -> dict[str, dict[str, float]]:
    return {
        str(name): {end: float(row[end]) for end in ("value", "low", "high")}
        for name, row in frame.iterrows()
    }


def _plain(scores: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    return {
        name: {
            end: float(f"{value:.6g}") if np.isfinite(value) else None
            for end, value in found.items()
        }
        for name, found in scores.items()
    }


def _from_plain(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    return {
        name: {end: float("nan") if value is None else value for end, value in found.items()}
        for name, found in scores.items()
    }
