"""How well frozen ground is told: counts of tested rows that merge over folds and tasks.

Each set of tested rows is broken down by spatial block (for intervals), by season, elevation, state
and months of transition; beside the forest stands the plain rule on the very same rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from smcloud.models.families import Floats, Floats32
from smcloud.models.freeze_thaw import (
    Classes,
    Decision,
    ForestRules,
    FreezeThawModel,
    Labels,
    Partly,
    classes_of,
    decided,
    grown,
    odds_of,
    prepared,
    words_of,
)
from smcloud.validation.confusion import Confusion, all_scores
from smcloud.validation.frost_strata import Stratum
from smcloud.validation.random_shares import random_shares
from smcloud.validation.reliability import (
    Reliability,
    brier_score,
    brier_skill,
    calibration_error,
)
from smcloud.validation.splits import Rows, Samples, SplitKind, SplitRules, split_samples

Variant = Literal["all", "without GLDAS", "GLDAS alone"]
"""Which features a forest sees."""
VARIANTS: tuple[Variant, ...] = ("all", "without GLDAS", "GLDAS alone")
RANDOM_SETS = ("random: fitted", "random: validation", "random: test")
"""The three sets of the published split, each scored: a reference, never a result."""
HEADLINES: tuple[SplitKind, ...] = ("station_year", "station", "year")
"""Splits by what they tell, the hardest first: new regions in new years."""
SET_WORDS: Mapping[SplitKind, str] = {
    "station_year": "unseen regions in unseen years",
    "station": "unseen regions",
    "year": "unseen years",
}


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """A table of cells and days with what a satellite says of their state.

    Attributes
    ----------
    columns : tuple of str
        Features.
    features : float32 (n_rows, n_features)
        NaN is unknown.
    labels : uint8 (n_rows,)
        0 thawed, 1 partly frozen, 2 frozen, 255 unknown.
    samples : Samples
        Cell (as station), block and day of each row.
    strata : tuple of Stratum
    rule : int8 (n_rows,)
        Class by the plain rule, -1 where the temperature is unknown.
    """

    columns: tuple[str, ...]
    features: Floats32
    labels: Labels
    samples: Samples
    strata: tuple[Stratum, ...]
    rule: Classes


@dataclass(frozen=True, eq=False)
class StateScores:
    """Counts over tested rows; adding two merges them.

    Attributes
    ----------
    blocks : Confusion (n_blocks, ...)
        By spatial block of the table.
    strata, rule_strata : mapping of str to Confusion
        By the classes of each stratum: the forest, and the plain rule on the rows that both tell.
    otherwise : Confusion
        States decided the other way: by probability times class weight where the most probable one
        is taken, and the reverse.
    beside_blocks, rule_blocks : Confusion (n_blocks, ...)
        The forest and the plain rule, on the rows for which the rule has an answer.
    reliability : Reliability
        Of the probability of frozen ground.
    """

    blocks: Confusion
    strata: Mapping[str, Confusion]
    rule_strata: Mapping[str, Confusion]
    otherwise: Confusion
    beside_blocks: Confusion
    rule_blocks: Confusion
    reliability: Reliability

    def __add__(self, other: StateScores) -> StateScores:
        """Merge the counts of two sets of tested rows of one table."""
        return StateScores(
            self.blocks + other.blocks,
            {name: found + other.strata[name] for name, found in self.strata.items()},
            {name: found + other.rule_strata[name] for name, found in self.rule_strata.items()},
            self.otherwise + other.otherwise,
            self.beside_blocks + other.beside_blocks,
            self.rule_blocks + other.rule_blocks,
            self.reliability + other.reliability,
        )

    @property
    def whole(self) -> Confusion:
        """Return the counts over all rows."""
        return self.blocks.total()

    @property
    def beside_rule(self) -> Confusion:
        """Return the counts of the forest over all rows for which the rule has an answer."""
        return self.beside_blocks.total()

    @property
    def rule(self) -> Confusion:
        """Return the counts of the plain rule over all rows."""
        return self.rule_blocks.total()

    def summary(self) -> dict[str, float]:
        """Return every score over all rows by name; those of the plain rule after ``rule ``."""
        found = all_scores(self.whole)
        found |= {"brier": brier_score(self.reliability)}
        found |= {"brier_skill": brier_skill(self.reliability)}
        found |= {"calibration_error": calibration_error(self.reliability)}
        for word, counts in (("beside rule", self.beside_rule), ("rule", self.rule)):
            found |= {f"{word} {name}": score for name, score in all_scores(counts).items()}
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON can hold them."""
        parts = ("blocks", "otherwise", "beside_blocks", "rule_blocks")
        found: dict[str, Any] = {name: getattr(self, name).to_lists() for name in parts}
        for parts_of in ("strata", "rule_strata"):
            counts = getattr(self, parts_of)
            found[parts_of] = {name: one.to_lists() for name, one in counts.items()}
        found["reliability"] = self.reliability.to_lists()
        return found | {"classes": list(self.blocks.classes)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> StateScores:
        """Return what `to_json` gave."""
        words = tuple(found["classes"])

        def counts(part: Any) -> Confusion:
            return Confusion(words, np.array(part, np.int64))

        return cls(
            counts(found["blocks"]),
            {name: counts(part) for name, part in found["strata"].items()},
            {name: counts(part) for name, part in found["rule_strata"].items()},
            counts(found["otherwise"]),
            counts(found["beside_blocks"]),
            counts(found["rule_blocks"]),
            Reliability.from_lists(found["reliability"]),
        )


def score_rows(
    table: LabelledRows,
    rows: Rows,
    probabilities: Floats,
    odds: tuple[Floats, Floats],
    partly: Partly,
) -> StateScores:
    """Return the counts over some rows of a table.

    Parameters
    ----------
    rows
        Their numbers; those without a class or an estimate do not count.
    probabilities
        (n_tested, n_classes), in the order of `rows`.
    odds
        (n_classes,) each: as `FreezeThawModel.odds`, and of the other way to decide.
    """
    words = words_of(partly)
    true = classes_of(table.labels[rows], partly)
    found, otherwise = (decided(probabilities, one) for one in odds)
    rule = table.rule[rows]
    blocks = table.samples.ranks["blocks"]
    n_blocks = int(blocks.max(initial=-1)) + 1
    has_rule = np.where(rule >= 0, found, -1)
    rule = np.where(found >= 0, rule, -1)

    def by_blocks(told: Classes) -> Confusion:
        return Confusion.grouped(true, told, blocks[rows], n_blocks, words)

    def by_strata(told: Classes) -> dict[str, Confusion]:
        return {
            one.name: Confusion.grouped(true, told, one.codes[rows], len(one.classes), words)
            for one in table.strata
        }

    frozen = probabilities[:, words.index("frozen")]
    stated = np.where(true >= 0, frozen, np.nan)
    return StateScores(
        by_blocks(found),
        by_strata(found),
        by_strata(rule),
        Confusion.of(true, otherwise, words),
        by_blocks(has_rule),
        by_blocks(rule),
        Reliability.of(stated, true == words.index("frozen")),
    )


def learned_and_tested(
    samples: Samples, kind: SplitKind, rules: SplitRules, fold: int
) -> tuple[Rows, dict[str, Rows]]:
    """Return the rows that a forest learns from, and those that it is tested on, by name.

    Trees need no rows to stop on: but in the random split they learn from all that the split keeps
    apart from its test.

    Raises
    ------
    UserError
        If the table has too few years or blocks for the split.
    """
    if kind == "random":
        sets = random_shares(samples, seed=rules.seed)
        return sets[0], dict(zip(RANDOM_SETS, sets, strict=True))
    split = split_samples(samples, kind, rules, fold=fold)
    learned = np.sort(np.concatenate([split.fit, split.stop, split.calibrate]))
    return learned, {SET_WORDS[kind]: split.test}


def columns_of(variant: Variant, columns: Sequence[str], gldas: Sequence[str]) -> tuple[int, ...]:
    """Return the positions of the features that a variant sees."""
    if variant == "all":
        return tuple(range(len(columns)))
    wanted = variant == "GLDAS alone"
    return tuple(at for at, name in enumerate(columns) if (name in gldas) == wanted)


def assessed(
    table: LabelledRows,
    learned: Rows,
    tested: Mapping[str, Rows],
    seen: Sequence[int],
    partly: Partly,
    rules: ForestRules,
) -> dict[str, StateScores]:
    """Return the counts over each tested set of a forest that learned from other rows.

    Parameters
    ----------
    seen
        Positions of the features that it sees.

    Raises
    ------
    UserError
        If a state has no row among the learned ones.
    """
    features = np.ascontiguousarray(table.features[:, list(seen)])
    names = [table.columns[at] for at in seen]
    ready = prepared(features[learned], table.labels[learned], partly, rules)
    model = grown(ready, names, partly, rules)
    other: Decision = "likeliest" if rules.decision == "balanced" else "balanced"
    odds = model.odds, odds_of(other, ready.even)
    return {
        name: score_rows(table, rows, _of(model, features[rows]), odds, partly)
        for name, rows in tested.items()
    }


def _of(model: FreezeThawModel, features: Floats32) -> Floats:
    return model.probabilities(np.ascontiguousarray(features.T))


def scores_to_bytes(
    scores: Mapping[str, Mapping[str, StateScores]], strata: Sequence[Stratum]
) -> bytes:
    """Return all counts of a training as JSON: equal counts are equal bytes.

    Parameters
    ----------
    scores
        Tested set to variant to counts.
    strata
        Their names and classes are kept beside.
    """
    body = {
        "strata": {one.name: list(one.classes) for one in strata},
        "scores": {
            name: {variant: found.to_json() for variant, found in variants.items()}
            for name, variants in scores.items()
        },
    }
    return json.dumps(body, sort_keys=True).encode()


@dataclass(frozen=True, eq=False)
class AllScores:
    """Everything that a training counted: what `scores_to_bytes` stored."""

    strata: Mapping[str, tuple[str, ...]]
    scores: Mapping[str, Mapping[str, StateScores]]

    @classmethod
    def from_bytes(cls, data: bytes) -> AllScores:
        """Return what `scores_to_bytes` gave."""
        body = json.loads(data)
        return cls(
            {name: tuple(classes) for name, classes in body["strata"].items()},
            {
                name: {
                    key: StateScores.from_json(variants[key]) for key in VARIANTS if key in variants
                }
                for name, variants in body["scores"].items()
            },
        )


def subset(table: LabelledRows, rows: NDArray[np.int64]) -> LabelledRows:
    """Return some rows of a table."""
    of = table.samples
    samples = Samples(of.stations[rows], of.pixels[rows], of.blocks[rows], of.days[rows])
    return replace(
        table,
        features=table.features[rows],
        labels=table.labels[rows],
        samples=samples,
        strata=tuple(replace(one, codes=one.codes[rows]) for one in table.strata),
        rule=table.rule[rows],
    )
