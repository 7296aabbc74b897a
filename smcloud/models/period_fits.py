"""The samples of one period: may it be modelled, what is held out, how well does a family do.

The test part are whole groups of cells that no fit and no search sees. Parameters, and later the
family, are chosen by the inner score of the part to fit; the test score is read, never chosen by.
A random split is scored beside it with the same parameters, as a reference: neighbouring cells are
alike, and it flatters.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import ConfigError, UserError
from smcloud.models.base import Parameter
from smcloud.models.families import (
    FAMILIES,
    MOST_UNKNOWN,
    CellSamples,
    Family,
    FittedFamily,
    Floats,
    known_families,
    varying,
)
from smcloud.models.family_fits import fit_family, is_constant, thinned
from smcloud.models.family_search import MOST_SEARCHED, SearchRules, search
from smcloud.validation.pairs import PairStats

LEAST_GROUPS = 3
"""One to hold out, and two to validate on in turn."""
LEAST_CELLS = 3
"""Cells of a group that are known on a day, for their pattern to count."""
SUMS = tuple(part.name for part in fields(PairStats))

Rows = NDArray[np.int64]
Split = tuple[Rows, Rows]


@dataclass(frozen=True)
class PeriodRules:
    """How the samples are cut into periods, and how each is modelled.

    Attributes
    ----------
    period_days : int
        Days of a period, counted from each 1 January; the last of a year may be shorter.
    minimum_samples : int
        A period is modelled where it has more samples than this.
    families : tuple of str
        Which compete; the first wins a draw.
    pooled : bool
        One model of all days instead of one a period.
    test_share : float
        Part of the samples that the held-out groups have, about.
    group_cells : int
        Side of a spatial group in coarse cells.
    search : SearchRules
    """

    period_days: int = 1
    minimum_samples: int = 100
    families: tuple[Family, ...] = FAMILIES
    pooled: bool = False
    test_share: float = 0.3
    group_cells: int = 3
    search: SearchRules = field(default_factory=SearchRules)

    def __post_init__(self) -> None:
        known_families(self.families)
        if not 1 <= self.period_days <= 366:
            raise ConfigError(f"period_days is {self.period_days}: expected 1 to 366")
        if self.minimum_samples < 0 or self.group_cells < 1:
            raise ConfigError(
                "minimum_samples must be 0 or more and group_cells 1 or more, found "
                f"{self.minimum_samples} and {self.group_cells}"
            )
        if not 0.0 < self.test_share < 1.0:
            raise ConfigError(f"test_share is {self.test_share:g}: expected between 0 and 1")

    def to_json(self) -> dict[str, Any]:
        """Return the rules as plain JSON values."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return found


@dataclass(frozen=True, eq=False)
class FamilyResult:
    """What one family does with one period.

    Attributes
    ----------
    family : str
    samples, fit, test, groups : int
        Samples of the period, those to fit and to test, and all groups.
    parameters : mapping
        Chosen by the inner score.
    inner_rmse : float
        By which the family is compared with the others; NaN where it is not modelled.
    inner_covariance : float
        Of estimates and target between the cells of a group on a day, see `shared_pattern`; from
        the inner folds. NaN where no group has cells enough.
    inner_variance : float
        The same of the estimates alone.
    inner_degrees : int
        Degrees of freedom behind both.
    held_out, random, constant : PairStats
        Estimates and targets of the held-out groups, of the random test set, and the held-out
        groups as the mean of the part to fit estimates them.
    why_not : str
        Why the family has no model here; empty where it has.
    """

    family: Family
    samples: int
    fit: int
    test: int
    groups: int
    parameters: Mapping[str, Parameter]
    inner_rmse: float
    held_out: PairStats
    random: PairStats
    constant: PairStats
    inner_covariance: float = math.nan
    inner_variance: float = math.nan
    inner_degrees: int = 0
    why_not: str = ""

    def to_json(self) -> bytes:
        """Return the result as JSON with sorted keys: equal results are equal bytes."""
        body = {part.name: getattr(self, part.name) for part in fields(self)}
        body |= {name: _plain(getattr(self, name)) for name in _PAIRS}
        body["parameters"] = dict(self.parameters)
        body |= {name: None for name in _FIGURES if math.isnan(body[name])}
        return json.dumps(body, sort_keys=True, allow_nan=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> FamilyResult:
        """Return the result that `to_json` wrote."""
        body = json.loads(data)
        body |= {name: PairStats(*(np.array(v) for v in body[name])) for name in _PAIRS}
        body |= {name: math.nan for name in _FIGURES if body[name] is None}
        return cls(**body)


_PAIRS = ("held_out", "random", "constant")
_FIGURES = ("inner_rmse", "inner_covariance", "inner_variance")


def _plain(pairs: PairStats) -> list[float]:
    return [float(getattr(pairs, name)) for name in SUMS]


def usable(features: NDArray[Any], target: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which samples count, (n_samples,): the target is known, and half of the features."""
    known = np.isfinite(features).sum(axis=1) >= (1 - MOST_UNKNOWN) * features.shape[1]
    return np.asarray(np.isfinite(target) & known)


def groups_of(rows: NDArray[Any], cols: NDArray[Any], side: int) -> NDArray[np.int64]:
    """Return the number of the square of `side` by `side` cells that holds each cell."""
    return (rows.astype(np.int64) // side) * 2**24 + cols.astype(np.int64) // side


def why_not_modelled(samples: CellSamples, rules: PeriodRules) -> str:
    """Return why a period cannot be modelled by any family, in words; empty where it can."""
    if samples.size <= rules.minimum_samples:
        return f"too few samples: more than {rules.minimum_samples} are needed"
    if is_constant(samples.target):
        return "the target is constant"
    if not varying(samples.features).any():
        return "no feature varies"
    n_groups = int(np.unique(samples.groups).size)
    if n_groups < LEAST_GROUPS:
        return (
            f"no group to hold out: the cells lie in {n_groups} of the {LEAST_GROUPS} groups that "
            "test and validation need"
        )
    return ""


def hold_out(groups: NDArray[np.int64], share: float, seed: int) -> Split:
    """Return rows to fit and rows to test, each ascending; groups stay whole.

    Groups are taken in an order that depends on the seed and on nothing else, until the test part
    is as near as it gets to `share` of the rows: the same places are tested in every period. Two
    groups at least are left to fit.
    """
    names, of_row, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort([_rank(int(name), seed) for name in names], kind="stable")
    most = max(1, names.size - (LEAST_GROUPS - 1))
    reached = np.cumsum(sizes[order][:most]) / of_row.size
    count = int(np.argmin(np.abs(reached - share))) + 1
    is_test = np.isin(of_row, order[:count])
    return np.flatnonzero(~is_test), np.flatnonzero(is_test)


def _rank(group: int, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {group}".encode()).digest()[:7], "big")


def random_split(n_samples: int, share: float, seed: int) -> Split:
    """Return rows to fit and rows to test, drawn without regard to where they lie."""
    drawn = np.random.default_rng([seed, 11]).permutation(n_samples)
    n_test = min(max(round(share * n_samples), 1), n_samples - 1)
    return np.sort(drawn[n_test:]), np.sort(drawn[:n_test])


def assess(samples: CellSamples, family: Family, rules: PeriodRules) -> FamilyResult:
    """Return the parameters that a family finds for a period, and its scores.

    What a family cannot fit is a result that says why, not an error.
    """
    seed = rules.search.seed
    fit, test = hold_out(samples.groups, rules.test_share, seed)
    counts = (samples.size, fit.size, test.size, int(np.unique(samples.groups).size))
    to_fit = samples.at(fit)
    few = thinned_to_days(to_fit, MOST_SEARCHED)
    nothing = PairStats.zero()
    try:
        searched = search(family, few, rules.search)
        best = searched.best
        model = fit_family(family, to_fit, best.parameters, seed)
        held = _pairs(model, samples.at(test))
        random = _random_pairs(samples, family, best.parameters, rules)
    except UserError as err:
        reason, unknown = str(err), (nothing, nothing, nothing)
        return FamilyResult(family, *counts, {}, math.nan, *unknown, why_not=reason)
    mean = np.full(test.size, to_fit.target.mean())
    constant = PairStats.of(mean, samples.target[test])
    inner = best.rmse if math.isfinite(best.rmse) else math.nan
    reason = "" if math.isfinite(inner) else "its estimates are no numbers"
    covariance, variance, degrees = shared_pattern(searched.estimates, few)
    return FamilyResult(
        family,
        *counts,
        parameters=best.parameters,
        inner_rmse=inner,
        held_out=held,
        random=random,
        constant=constant,
        inner_covariance=covariance,
        inner_variance=variance,
        inner_degrees=degrees,
        why_not=reason,
    )


def shared_pattern(estimates: Floats, samples: CellSamples) -> tuple[float, float, int]:
    """Return how far estimates (n_samples,) and target vary together within groups on a day.

    Covariance of both, variance of the estimates, and degrees of freedom: sums of products of the
    departures from the mean of the group's cells on that day, over groups of `LEAST_CELLS` cells at
    least, divided by cells less one each. NaN and 0 where there is no such group. What all cells
    of a group share does not count, as it does not within a coarse cell that is anchored.
    """
    known = np.isfinite(estimates)
    keys = np.stack([samples.groups[known], samples.days[known]])
    _, member, count = np.unique(keys, axis=1, return_inverse=True, return_counts=True)
    enough = count >= LEAST_CELLS
    degrees = int((count[enough] - 1).sum())
    if not degrees:
        return math.nan, math.nan, 0
    parts = []
    for values in (estimates[known], samples.target[known]):
        means = np.bincount(member, weights=values, minlength=count.size) / count
        parts.append(np.where(enough[member], values - means[member], 0.0))
    ours, theirs = parts
    return float((ours * theirs).sum() / degrees), float((ours**2).sum() / degrees), degrees


def thinned_to_days(samples: CellSamples, most: int) -> CellSamples:
    """Return so many samples at the most, all of some days that lie evenly among all days.

    Days stay whole, for the cells of a group are compared on the same day. A single day that has
    more is thinned itself.
    """
    names, of_row, sizes = np.unique(samples.days, return_inverse=True, return_counts=True)
    every = int(np.ceil(samples.size / most)) if samples.size > most else 1
    while every < names.size and sizes[::every].sum() > most:
        every += 1
    return thinned(samples.at(of_row % every == 0), most)


def _random_pairs(
    samples: CellSamples, family: Family, parameters: Mapping[str, Parameter], rules: PeriodRules
) -> PairStats:
    seed = rules.search.seed
    fit, test = random_split(samples.size, rules.test_share, seed)
    return _pairs(fit_family(family, samples.at(fit), parameters, seed), samples.at(test))


def _pairs(model: FittedFamily, samples: CellSamples) -> PairStats:
    estimates = model.predict(np.ascontiguousarray(samples.features.T))
    return PairStats.of(estimates.astype(np.float64), samples.target)


def refit(
    samples: CellSamples, family: Family, parameters: Mapping[str, Parameter], rules: PeriodRules
) -> FittedFamily:
    """Return the model that is kept: the chosen family and parameters on all samples.

    Its test scores are those of the model without the held-out groups, which had fewer samples.
    """
    return fit_family(family, samples, parameters, rules.search.seed)


def chosen(results: list[FamilyResult]) -> FamilyResult | None:
    """Return the result with the least inner score, the first of equal ones; None without any."""
    possible = [found for found in results if not found.why_not]
    return min(possible, key=lambda found: found.inner_rmse, default=None)
