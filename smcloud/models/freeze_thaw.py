"""Whether the ground is frozen: extremely randomised trees on brightness temperatures and more.

The method is that of Geurts et al. (2006, doi:10.1007/s10994-006-6226-1): every tree sees all rows,
and splits at random places of a random part of the features, of which the best is taken. The trees
are scikit-learn's, one seed each, so that a forest is the same however many workers grow it. They
are stored as plain arrays, and their estimates come from those and not from the library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier

from smcloud.core.errors import ConfigError, UserError
from smcloud.models.base import Parameter
from smcloud.models.families import Floats, Floats32, Preparation
from smcloud.models.forest_layout import DEEPEST
from smcloud.models.forest_trees import Ensemble, Tree, sklearn_ensemble
from smcloud.models.tree_sums import TreeSums

Partly = Literal["frozen", "thawed", "left_out", "class"]
"""What ground that is partly frozen counts as."""
Decision = Literal["likeliest", "balanced"]
"""What a state is decided by: its probability, or that times the weight of its class."""
Labels = NDArray[np.uint8]
Classes = NDArray[np.int8]

THAWED, PARTLY_FROZEN, FROZEN, NO_STATE = 0, 1, 2, 255
"""States as SMOS codes them, and as they are stored."""
STATE_WORDS: Mapping[int, str] = {
    THAWED: "thawed",
    PARTLY_FROZEN: "partly frozen",
    FROZEN: "frozen",
}
UNKNOWN_CLASS = -1
PIECE_POINTS = 65_536


@dataclass(frozen=True)
class ForestRules:
    """How a forest is grown. No source states those of the data set: all are ours.

    Attributes
    ----------
    trees : int
    max_depth : int
        Levels of a tree; 0 for no limit. Trees of more than 12 do not fit the fast evaluator and
        are walked.
    min_samples_leaf : int
    max_features : float
        Part of the features that a split looks at.
    balanced : bool
        Rows weigh so that all classes count alike while trees are grown. Probabilities are those
        of the rows as they are, either way.
    decision : str
        `likeliest` takes the most probable state, `balanced` the one whose probability times the
        weight of its class is largest: it finds more of a rare state, and tells more that is none.
    seed : int
    """

    trees: int = 100
    max_depth: int = DEEPEST
    min_samples_leaf: int = 5
    max_features: float = 1 / 3
    balanced: bool = True
    decision: Decision = "likeliest"
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"trees": 1, "max_depth": 0, "min_samples_leaf": 1}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise ConfigError(f"{name} is {getattr(self, name)}: expected {low} or more")
        if not 0.0 < self.max_features <= 1.0:
            raise ConfigError(f"max_features is {self.max_features}: expected above 0, up to 1")
        if self.decision not in get_args(Decision):
            words = " or ".join(get_args(Decision))
            raise ConfigError(f"decision is {self.decision!r}: expected {words}")

    def to_json(self) -> dict[str, Parameter]:
        """Return the rules by name."""
        return dict(vars(self))


def states_of(partly: Partly) -> tuple[int, ...]:
    """Return the states that are told apart, as they are stored, in the order of the classes.

    Raises
    ------
    ConfigError
        If there is no such mapping of partly frozen ground.
    """
    if partly not in get_args(Partly):
        raise ConfigError(f"partly is {partly!r}: expected one of {', '.join(get_args(Partly))}")
    return tuple(STATE_WORDS) if partly == "class" else (THAWED, FROZEN)


def words_of(partly: Partly) -> tuple[str, ...]:
    """Return the states that are told apart, in words."""
    return tuple(STATE_WORDS[state] for state in states_of(partly))


def classes_of(labels: Labels, partly: Partly) -> Classes:
    """Return the class of each label, `UNKNOWN_CLASS` where there is none.

    Parameters
    ----------
    labels
        uint8, any shape: 0 thawed, 1 partly frozen, 2 frozen, 255 unknown.
    partly
        What partly frozen counts as; left out it is unknown.

    Raises
    ------
    UserError
        If a label is something else.
    """
    codes = np.full(256, UNKNOWN_CLASS, np.int8)
    codes[list(states_of(partly))] = np.arange(len(states_of(partly)))
    as_other = {"frozen": FROZEN, "thawed": THAWED}
    if partly in as_other:
        codes[PARTLY_FROZEN] = codes[as_other[partly]]
    strange = np.setdiff1d(labels, [*STATE_WORDS, NO_STATE])
    if strange.size:
        raise UserError(
            f"a label of frozen ground is {strange[0]}: expected 0 thawed, 1 partly frozen, "
            "2 frozen or 255 unknown"
        )
    return codes[labels]


def class_weights(classes: Classes, words: Sequence[str]) -> Floats:
    """Return what a row of each class weighs for all classes to count alike, (n_classes,).

    n / (n_classes n_c), as scikit-learn's ``balanced``.

    Raises
    ------
    UserError
        If a class has no row.
    """
    counts = np.bincount(classes, minlength=len(words))
    if not counts.all():
        told = ", ".join(f"{word} {n:,}" for word, n in zip(words, counts, strict=True))
        raise UserError(
            f"a state has no row to learn from: {told}; take more days or a larger region, or map "
            "partly frozen ground otherwise"
        )
    return np.asarray(classes.size / (len(words) * counts))


def grow_trees(
    ready: Floats32, classes: Classes, weights: Floats, rules: ForestRules, numbers: range
) -> tuple[Tree, ...]:
    """Return some trees of a forest: each depends on the rows, the rules and its number alone.

    Parameters
    ----------
    ready
        float32 (n_samples, n_kept), no NaN.
    classes
        (n_samples,), every one of them known.
    weights
        (n_classes,), as `class_weights`; ones change nothing.
    numbers
        Which trees, counted from 0.

    Returns
    -------
    tuple of Tree
        Whose leaves hold the frequency of each class among their rows as these are: the weights
        shape the splits and are taken out of the leaves again.
    """
    of_rows = None if (weights == 1.0).all() else weights[classes]
    grown = []
    for number in numbers:
        forest = ExtraTreesClassifier(
            1,
            max_depth=rules.max_depth or None,
            min_samples_leaf=rules.min_samples_leaf,
            max_features=rules.max_features,
            random_state=tree_seed(rules.seed, number),
            n_jobs=1,
        ).fit(ready, classes, sample_weight=of_rows)
        (tree,) = sklearn_ensemble(forest).trees
        grown.append(tree if of_rows is None else replace(tree, value=_as_are(tree, weights)))
    return tuple(grown)


def tree_seed(seed: int, number: int) -> int:
    """Return the seed of one tree of a forest."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0]) % 2**31


def _as_are(tree: Tree, weights: Floats) -> Floats:
    """Return the frequencies of a tree's nodes without the weights of classes."""
    counted = tree.value / weights
    return np.asarray(counted / counted.sum(axis=1, keepdims=True))


def merged_trees(parts: Sequence[Sequence[Tree]], n_features: int) -> TreeSums:
    """Return the forest of all trees of some parts, in their order."""
    trees = tuple(tree for part in parts for tree in part)
    n_classes = trees[0].value.shape[1]
    return TreeSums(Ensemble(trees, n_features, n_classes, np.float64(0), len(trees)))


@dataclass(frozen=True, eq=False)
class FreezeThawModel:
    """A fitted forest.

    Attributes
    ----------
    columns : tuple of str
        Features in order.
    states : tuple of int
        State of each class, as it is stored.
    preparation : Preparation
    trees : TreeSums
    odds : float64 (n_classes,)
        What probabilities are multiplied by before the largest decides: `odds_of`.
    """

    columns: tuple[str, ...]
    states: tuple[int, ...]
    preparation: Preparation
    trees: TreeSums
    odds: Floats

    def probabilities(self, columns: Floats32) -> Floats:
        """Return the probability of each class at points.

        Parameters
        ----------
        columns
            float32 (n_features, n_points); NaN is unknown and taken for the feature's median.

        Returns
        -------
        float64 (n_points, n_classes)
            NaN where more than half of the features that the model uses are unknown. The same
            bits, whichever points are asked for beside one.

        Raises
        ------
        UserError
            If the number of features is another.
        """
        wanted = len(self.columns)
        if columns.ndim != 2 or len(columns) != wanted:
            raise UserError(
                f"this model takes features ({wanted}, n_points), found {columns.shape}"
            )
        found = np.full((columns.shape[1], len(self.states)), np.nan)
        for start in range(0, len(found), PIECE_POINTS):
            piece = slice(start, start + PIECE_POINTS)
            ready, enough = self.preparation.ready(columns[:, piece])
            found[piece][enough] = self.trees(np.ascontiguousarray(ready[:, enough]))
        return found

    def decided(self, probabilities: Floats) -> Classes:
        """Return the class of each point, `UNKNOWN_CLASS` where its probabilities are NaN."""
        return decided(probabilities, self.odds)

    def stored_states(self, classes: Classes) -> Labels:
        """Return states as they are stored, `NO_STATE` for unknown ones."""
        return np.append(np.array(self.states, np.uint8), np.uint8(NO_STATE))[classes]

    @property
    def frozen_class(self) -> int:
        """Return which class is frozen ground."""
        return self.states.index(FROZEN)


def odds_of(decision: Decision, even: Floats) -> Floats:
    """Return what probabilities are multiplied by before the largest decides, (n_classes,)."""
    return even if decision == "balanced" else np.ones(even.size)


def decided(probabilities: Floats, odds: Floats | None = None) -> Classes:
    """Return the class whose probability times its odds is largest; the first of equal ones."""
    known = np.asarray(np.isfinite(probabilities).all(axis=1))
    weighed = probabilities if odds is None else probabilities * odds
    best = np.argmax(np.where(known[:, None], weighed, 0.0), axis=1)
    return np.where(known, best, UNKNOWN_CLASS).astype(np.int8)


def frozen_by_temperature(soil_kelvin: NDArray[Any], partly: Partly) -> Classes:
    """Return the class by the plain rule: frozen where the soil is below 0 degrees Celsius.

    Parameters
    ----------
    soil_kelvin
        Temperature of the uppermost soil layer, K; NaN is unknown.
    """
    words = states_of(partly)
    is_frozen = np.asarray(soil_kelvin, np.float64) < 273.15
    found = np.where(is_frozen, words.index(FROZEN), words.index(THAWED))
    return np.where(np.isfinite(soil_kelvin), found, UNKNOWN_CLASS).astype(np.int8)


@dataclass(frozen=True, eq=False)
class PreparedRows:
    """Rows that trees are grown on.

    Attributes
    ----------
    ready : float32 (n_samples, n_kept)
    classes : int8 (n_samples,)
    weights : float64 (n_classes,)
        Of rows while trees are grown.
    even : float64 (n_classes,)
        Weights by which all classes count alike.
    preparation : Preparation
    """

    ready: Floats32
    classes: Classes
    weights: Floats
    even: Floats
    preparation: Preparation


def prepared(
    features: Floats32, labels: Labels, partly: Partly, rules: ForestRules
) -> PreparedRows:
    """Return what trees are grown on, of rows of which some may have no class.

    Parameters
    ----------
    features
        float32 (n_rows, n_features); NaN is unknown.
    labels
        uint8 (n_rows,), as `classes_of`.

    Raises
    ------
    UserError
        If a state has no row, or no feature varies.
    """
    classes = classes_of(labels, partly)
    usable = (classes >= 0) & (np.isfinite(features).mean(axis=1) >= 0.5)
    own = classes[usable]
    even = class_weights(own, words_of(partly))
    weights = even if rules.balanced else np.ones(even.size)
    preparation = Preparation.of(features[usable], is_scaled=False)
    return PreparedRows(preparation.of_samples(features[usable]), own, weights, even, preparation)


def fit_freeze_thaw(
    features: Floats32,
    labels: Labels,
    columns: Sequence[str],
    partly: Partly,
    rules: ForestRules,
) -> FreezeThawModel:
    """Return a forest grown in this process; see `prepared` for what it takes and raises."""
    return grown(prepared(features, labels, partly, rules), columns, partly, rules)


def grown(
    rows: PreparedRows, columns: Sequence[str], partly: Partly, rules: ForestRules
) -> FreezeThawModel:
    """Return a forest grown in this process on rows that are prepared."""
    trees = grow_trees(rows.ready, rows.classes, rows.weights, rules, range(rules.trees))
    return assembled(rows, [trees], columns, partly, rules.decision)


def assembled(
    rows: PreparedRows,
    parts: Sequence[Sequence[Tree]],
    columns: Sequence[str],
    partly: Partly,
    decision: Decision,
) -> FreezeThawModel:
    """Return the model of trees that were grown in parts on the same rows."""
    trees = merged_trees(parts, rows.preparation.kept.size)
    odds = odds_of(decision, rows.even)
    return FreezeThawModel(tuple(columns), states_of(partly), rows.preparation, trees, odds)
