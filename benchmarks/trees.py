"""The models that evaluators are measured on."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xgboost
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from benchmarks.workload import train, training_rows

FOREST_ROWS = 20_000
"""At most so many rows train a scikit-learn forest: enough for full trees of depth 8."""
FOREST_FEATURES = 8
"""Features looked at for each split: a third, as is usual for regression."""
FORESTS = {"random forest": RandomForestRegressor, "extra trees": ExtraTreesRegressor}


@dataclass(frozen=True)
class Case:
    """One model: what trains it, its size, and how many times the library's rate is wanted."""

    kind: str
    """``boosted`` (XGBoost), ``random forest`` or ``extra trees`` (scikit-learn)."""
    trees: int
    depth: int
    max_bin: int = 256
    goal_avx512: float = 0.0
    """Of two threads, as are all goals; 0 where none is set."""
    goal_avx2: float = 0.0
    with_others: bool = False
    """Measure the engines of others as well."""

    @property
    def name(self) -> str:
        """Return the name in tables and records."""
        bins = f", max_bin {self.max_bin}" if self.max_bin != 256 else ""
        return f"{self.kind} {self.trees} x {self.depth}{bins}"

    @property
    def file_stem(self) -> str:
        """Return the name of files that hold the model or what is made of it."""
        return f"{self.kind.replace(' ', '-')}-{self.trees}x{self.depth}-{self.max_bin}"

    @property
    def grown_alike(self) -> tuple[str, int, int]:
        """Return what two models share if one of them is the first trees of the other."""
        return self.kind, self.depth, self.max_bin

    def goal(self, vector_level: str) -> float:
        """Return the wanted ratio on ``avx512`` or ``avx2``; 0 where none is set."""
        return {"avx512": self.goal_avx512, "avx2": self.goal_avx2}.get(vector_level, 0.0)


def models_of(
    cases: Sequence[Case], train_rows: int, seed: int, folder: Path
) -> Iterator[tuple[Case, Any]]:
    """Yield each case with its model; boosters are kept in `folder`.

    Cases that differ in the number of trees alone share one training: the first trees of a longer
    model are the shorter one, bit by bit.
    """
    longest: dict[tuple[str, int, int], Any] = {}
    for case in sorted(cases, key=lambda one: -one.trees):
        if case.grown_alike not in longest:
            longest[case.grown_alike] = _trained(case, train_rows, seed, folder)
    for case in cases:
        yield case, _first_trees(longest[case.grown_alike], case.trees)


def _trained(case: Case, train_rows: int, seed: int, folder: Path) -> Any:
    if case.kind != "boosted":
        rows, target = training_rows(min(train_rows, FOREST_ROWS), seed)
        return FORESTS[case.kind](
            case.trees,
            max_depth=case.depth,
            max_features=FOREST_FEATURES,
            n_jobs=2,
            random_state=seed,
        ).fit(rows, target)
    path = folder / f"{case.file_stem}-{train_rows}-{seed}.ubj"
    if not path.exists():
        train(train_rows, case.trees, case.depth, seed, case.max_bin).save_model(path)
    return xgboost.Booster(model_file=path)


def _first_trees(model: Any, trees: int) -> Any:
    if isinstance(model, xgboost.Booster):
        return model[:trees]
    shorter = copy.copy(model)
    shorter.estimators_ = model.estimators_[:trees]
    shorter.n_estimators = trees
    return shorter
