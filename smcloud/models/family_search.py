"""A seeded search for the parameters of each family, on spatial groups of cells inside the fit.

Candidates are few, drawn once for all periods (scikit-learn's `ParameterSampler`), the defaults
first. Each is scored on whole groups of cells that its fit did not see (`GroupKFold`), every sample
once; none of them is in the test part. The search runs in one process: periods are many and small,
and the cluster is shared out by period and family.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, ParameterSampler

from smcloud.core.errors import ConfigError, UserError
from smcloud.models.base import Parameter
from smcloud.models.families import FAMILIES, CellSamples, Family, Floats, Parameters
from smcloud.models.family_fits import DEFAULTS, SPACES, WHILE_SEARCHED, fit_family

MOST_SEARCHED = 4_000
"""Samples that a search takes, whole days evenly over all: one day has fewer, and more would not
change the order of the candidates."""

Fold = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class SearchRules:
    """How parameters are searched.

    Attributes
    ----------
    candidates : int
        Sets of parameters, the defaults among them; a family with a smaller space tries it whole.
        1 searches nothing: the defaults are scored and kept.
    folds : int
        Parts of the groups that are scored in turn; fewer where there are fewer groups.
    seed : int
    """

    candidates: int = 6
    folds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.candidates < 1 or self.folds < 2:
            raise ConfigError(
                "the search needs 1 or more candidates and 2 or more folds, found "
                f"{self.candidates} and {self.folds}"
            )


@dataclass(frozen=True)
class Trial:
    """One set of parameters and its inner score.

    Attributes
    ----------
    parameters : mapping
    rmse : float
        Of every sample, each estimated by the model that did not see its group.
    """

    parameters: Parameters
    rmse: float


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes
    ----------
    trials : tuple of Trial
        In the order of the candidates.
    best : Trial
        The best; of equal ones the first. Its score is that of the whole model, where candidates
        are compared by cheaper ones.
    estimates : float64 (n_samples,)
        Of the best, each by the model that did not see the sample's group; NaN where too few
        features are known.
    """

    trials: tuple[Trial, ...]
    best: Trial
    estimates: Floats


def candidates(family: Family, rules: SearchRules) -> list[Parameters]:
    """Return the sets of parameters that are tried: the defaults, then draws from the space."""
    space, default = SPACES[family], DEFAULTS[family]
    stated: Parameters = {name: default[name] for name in sorted(space)}
    whole = int(np.prod([len(values) for values in space.values()]))
    drawn = ParameterSampler(
        {name: list(values) for name, values in sorted(space.items())},
        min(rules.candidates, whole),
        random_state=np.random.RandomState([rules.seed, FAMILIES.index(family)]),
    )
    others: list[Parameters] = [found for one in drawn if (found := _plain(one)) != stated]
    return [stated, *others][: rules.candidates]


def _plain(drawn: Mapping[str, Any]) -> dict[str, Parameter]:
    return dict(sorted(drawn.items()))


def inner_folds(groups: NDArray[np.int64], rules: SearchRules) -> list[Fold]:
    """Return rows to fit and rows to score of each inner fold; groups stay whole.

    Raises
    ------
    UserError
        If all samples lie in one group.
    """
    n_groups = int(np.unique(groups).size)
    if n_groups < 2:
        raise UserError("no group of cells is left to validate on")
    cut = GroupKFold(min(rules.folds, n_groups), shuffle=True, random_state=rules.seed)
    return [(fit, held) for fit, held in cut.split(groups, groups=groups)]


def search(family: Family, samples: CellSamples, rules: SearchRules) -> SearchResult:
    """Return every candidate's inner score and the best one.

    Raises
    ------
    UserError
        If all samples lie in one group, or a fold's part to fit has a constant target or no feature
        that varies: no candidate can be fitted then.
    """
    folds = inner_folds(samples.groups, rules)
    cheaper = WHILE_SEARCHED.get(family, {})

    def tried(parameters: Parameters) -> tuple[float, Floats]:
        estimates, enough = inner_estimates(family, samples, parameters, folds, rules)
        return root_mean_square(estimates[enough] - samples.target[enough]), estimates

    found = [
        (parameters, *tried({**parameters, **cheaper})) for parameters in candidates(family, rules)
    ]
    parameters, rmse, estimates = min(found, key=lambda one: one[1])
    if cheaper:
        rmse, estimates = tried(parameters)
    trials = tuple(Trial(one, cost) for one, cost, _ in found)
    return SearchResult(trials, Trial(parameters, rmse), estimates)


def inner_estimates(
    family: Family,
    samples: CellSamples,
    parameters: Parameters,
    folds: Sequence[Fold],
    rules: SearchRules,
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return an estimate of each sample by the fold that held it, and which have enough features.

    Samples with too few known features count for no family.
    """
    estimates = np.full(samples.size, np.nan)
    enough = np.zeros(samples.size, np.bool_)
    for fit, held in folds:
        model = fit_family(family, samples.at(fit), parameters, rules.seed)
        columns = np.ascontiguousarray(samples.features[held].T)
        enough[held] = model.preparation.ready(columns)[1]
        estimates[held] = model.predict(columns)
    return estimates, enough


def root_mean_square(errors: Floats) -> float:
    """Return it; infinity where an error is no number: a fit that diverged is never the best."""
    found = float(np.sqrt(np.square(errors).mean())) if errors.size else float("inf")
    return found if np.isfinite(found) else float("inf")
