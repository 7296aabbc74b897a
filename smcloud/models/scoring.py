"""What a model knows of stations and years that it never saw: one training per fold, scored once.

A fold's scores are kept as sums per test station, which merge: a station that several folds test
counts once, with all its days. The headline is the split that is like production: new stations in
new years, or new stations where there is only one year. The random split is printed beside it as a
reference and says so.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from smcloud.models.boosting import forest_of
from smcloud.models.folds import Variant
from smcloud.models.rows import Floats, Index
from smcloud.models.samples import TrainingTable
from smcloud.validation.metrics import (
    Interval,
    draw_weights,
    median_interval,
    overall_interval,
)
from smcloud.validation.pairs import PairStats
from smcloud.validation.splits import Split, SplitKind, SplitRules

MEANINGS: Mapping[SplitKind, str] = {
    "station_year": "new stations in new years",
    "station": "new stations",
    "year": "known stations in new years",
    "network": "networks held out whole",
    "random": "random days",
}
"""What the test set of each split holds, the headline first."""
WHY_NOT_RANDOM = (
    "such a test flatters by overfitting, in the words of the paper that published R 0.941 with it "
    "(ESSD 15, 2055, 2023)"
)
MIN_TEST_ROWS = 5
"""A station with fewer test rows is not scored: a month of days, one in five, gives six."""
SUMS = tuple(field.name for field in fields(PairStats))
POINT, TRUTH = "point", "truth"
"""What estimates are paired with: the station's values, or the truth of its pixel."""
_META = b"smcloud"

Numbers = dict[str, dict[str, float]]


@dataclass(frozen=True)
class SplitScores:
    """How well one split's test sets were met, or why they could not be made.

    Attributes
    ----------
    kind : str
    counts : mapping
        Rows, stations and blocks of each set: fit, stop and calibrate of the first fold, test of
        all folds together; empty when the split is not possible.
    rounds : int
        Trees of the first fold's model.
    overall, median : mapping
        Score name to value, low and high of its 95 % interval: over all test pairs, and of the
        median over test stations; in units of the target, R without.
    why_not : str
        Why the split is not possible; empty when it is.
    folds : int
        Folds behind the scores.
    """

    kind: SplitKind
    counts: Mapping[str, Mapping[str, int]]
    rounds: int
    overall: Mapping[str, Mapping[str, float]]
    median: Mapping[str, Mapping[str, float]]
    why_not: str = ""
    folds: int = 1

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
            "folds": self.folds,
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
            body.get("folds", 1),
        )


@dataclass(frozen=True, eq=False)
class FoldScores:
    """The test set of one fold, station by station, as sums that merge.

    Attributes
    ----------
    kind, fold, variant
        Which fold of which split, and whether it was fitted on selected stations.
    counts : mapping
        Rows, stations and blocks of each set.
    rounds : int
        Trees.
    stations : DataFrame
        One row per test station (and repeat, where estimates are drawn): station, block, and the
        fields of `PairStats` after ``point_`` and, where there is a truth, after ``truth_``.
    why_not : str
        Why the fold is not possible; empty when it is.
    figures : mapping
        What else was found, as plain JSON values.
    """

    kind: SplitKind
    fold: int
    variant: Variant
    counts: Mapping[str, Mapping[str, int]]
    rounds: int
    stations: pd.DataFrame
    why_not: str = ""
    figures: Mapping[str, Any] | None = None

    @property
    def possible(self) -> bool:
        """Return whether there are scores."""
        return not self.why_not

    def to_parquet(self) -> bytes:
        """Return the rows as Parquet, the rest in its metadata: equal scores, equal bytes."""
        names = ("kind", "fold", "variant", "counts", "rounds", "why_not", "figures")
        meta = json.dumps({name: getattr(self, name) for name in names}, sort_keys=True)
        table = pa.Table.from_pandas(self.stations, preserve_index=False)
        buffer = io.BytesIO()
        pq.write_table(table.replace_schema_metadata({_META: meta.encode()}), buffer)
        return buffer.getvalue()

    @classmethod
    def from_parquet(cls, data: bytes) -> FoldScores:
        """Return the scores that `to_parquet` wrote."""
        table = pq.read_table(pa.BufferReader(data))
        meta = json.loads(table.schema.metadata[_META])
        return cls(stations=table.to_pandas(), **meta)


def headline(scores: Mapping[SplitKind, SplitScores]) -> SplitKind:
    """Return the possible split that is most like production."""
    order: tuple[SplitKind, ...] = ("station_year", "station")
    return next(kind for kind in order if kind in scores and scores[kind].possible)


def estimates_of(table: TrainingTable, rows: Index, model: bytes) -> Floats:
    """Return the estimates (n,) of a model, UBJSON, at some rows; in units of the target."""
    forest = forest_of(model)
    chosen = table.rows(rows)
    parts = [forest.predict(np.ascontiguousarray(part)) for part, _ in chosen.batches()]
    return np.concatenate(parts)


def fold_scores(
    table: TrainingTable,
    split: Split,
    rules: SplitRules,
    estimates: Floats,
    rounds: int,
    variant: Variant = "all",
) -> FoldScores:
    """Return the sums per test station of estimates at `split.test`."""
    samples = table.samples(rules.block_degrees)
    stations = station_sums(table, split.test, estimates, samples.blocks)
    return FoldScores(split.kind, split.fold, variant, split.counts(samples), rounds, stations)


def rows_tested(
    table: TrainingTable, split: Split, rules: SplitRules, estimates: Floats
) -> pd.DataFrame:
    """Return one row per test sample: station, time, block, estimate and the target by name."""
    found = table.frame(split.test).set_axis(["station", "time"], axis="columns")
    found["block"] = table.samples(rules.block_degrees).blocks[split.test].astype(str)
    found["estimate"] = estimates
    found[table.columns.target] = table.rows(split.test).target
    return found


def station_sums(
    table: TrainingTable, rows: Index, estimates: Floats, blocks: Index
) -> pd.DataFrame:
    """Return one row per station of `rows`, names ascending: block and sums over its pairs.

    Parameters
    ----------
    estimates : float (n,)
        At `rows`, in units of the target.
    blocks : int64 (n_table,)
        Spatial block of every row of the table.
    """
    numbers, codes = np.unique(table.codes[rows], return_inverse=True)
    found: dict[str, Any] = {"station": table.names[numbers]}
    first = np.full(numbers.size, rows.size)
    np.minimum.at(first, codes, np.arange(rows.size))
    found["block"] = blocks[rows][first].astype(str)
    references: dict[str, np.ndarray[Any, Any]] = {POINT: table.rows(rows).target}
    truth = table.truth_at(rows)
    if truth is not None:
        references[TRUTH] = truth
    for name, reference in references.items():
        sums = PairStats.grouped(estimates, reference, codes, numbers.size)
        found |= {f"{name}_{field}": getattr(sums, field) for field in SUMS}
    return pd.DataFrame(found)


def pooled(folds: Sequence[FoldScores], seed: int) -> SplitScores:
    """Return the scores of several folds of one split together.

    A fold that was not possible takes no part; where none was, the reason of the first is told.
    """
    possible = [fold for fold in folds if fold.possible]
    first = (possible or list(folds))[0]
    if not possible:
        return SplitScores(first.kind, {}, 0, {}, {}, why_not=first.why_not)
    names, blocks, sums = merged([fold.stations for fold in possible])
    overall, median = summary(sums, blocks, seed)
    counts = {name: dict(found) for name, found in first.counts.items()}
    if len(possible) > 1:
        counts["test"] = {
            "rows": sum(fold.counts["test"]["rows"] for fold in possible),
            "stations": int(names.size),
            "blocks": int(np.unique(blocks).size),
        }
    return SplitScores(first.kind, counts, first.rounds, overall, median, folds=len(possible))


def merged(
    parts: Sequence[pd.DataFrame], against: str = POINT
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], PairStats]:
    """Return names, blocks and sums of the stations of several folds, each station once."""
    rows = pd.concat(parts, ignore_index=True)
    names, codes = np.unique(rows["station"].to_numpy(str), return_inverse=True)
    blocks = rows["block"].groupby(codes).first().to_numpy(str)
    total = PairStats.zero((names.size,))
    start = 0
    for part in parts:
        at = codes[start : start + len(part)]
        start += len(part)
        sums = np.zeros((len(SUMS), names.size))
        sums[:, at] = part[[f"{against}_{field}" for field in SUMS]].to_numpy(np.float64).T
        total = total + PairStats(*sums)
    return names, blocks, total


def summary(sums: PairStats, blocks: np.ndarray[Any, Any], seed: int) -> tuple[Numbers, Numbers]:
    """Return the scores over all pairs, and of the median over stations, with their intervals.

    Stations with fewer than `MIN_TEST_ROWS` pairs take no part; blocks are drawn whole.
    """
    takes_part = sums.n >= MIN_TEST_ROWS
    weights = draw_weights(blocks[takes_part], seed=seed)
    chosen = sums.at(takes_part)
    return _values(overall_interval(chosen, weights)), _values(median_interval(chosen, weights))


def _values(found: Mapping[str, Interval]) -> Numbers:
    return {
        name: {
            "value": float(interval.value),
            "low": float(interval.low),
            "high": float(interval.high),
        }
        for name, interval in found.items()
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
