"""A model per period: which days share one, what is stored, and the models ready to estimate.

A prefix ``models/<name>/`` holds ``periods/<sha256>.npz`` of each period's best family,
``periods/scores.parquet`` with one row a period and family, and ``card.json``, written last, which
names them all. A period without a model is in the card too, with the reason.
"""

from __future__ import annotations

import io
import json
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property, lru_cache
from threading import Lock
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from smcloud.core.errors import ModelError
from smcloud.core.objects import Objects, open_objects
from smcloud.models.base import (
    Parameter,
    card_bytes,
    checked_bytes,
    content_hash,
    parsed_card,
)
from smcloud.models.downscaler import CoarseCard, Floats, Floats32
from smcloud.models.families import TITLES, Family, FittedFamily
from smcloud.models.family_fits import from_bytes
from smcloud.models.period_fits import SUMS, FamilyResult, PeriodRules
from smcloud.validation.metrics import all_scores
from smcloud.validation.pairs import PairStats

PERIODS = "periods"
SCORES = f"{PERIODS}/scores.parquet"
LOADED_BYTES = 256 * 2**20
"""Models that a process keeps ready: a year of forests of days, half a megabyte each, fits."""
PRIOR_DEGREES = 100
"""Degrees of freedom that the covariance of all periods counts for beside that of one period."""
SHOWN = ("R", "RMSE", "ubRMSE", "bias")
BEST = "best"
"""Stands for the family chosen in each period, in the summary by family."""

Days = NDArray[np.datetime64]


@dataclass(frozen=True, order=True)
class Period:
    """Days that share a model.

    Attributes
    ----------
    start : date
        First UTC day.
    days : int
    """

    start: date
    days: int

    def __str__(self) -> str:
        return self.start.isoformat() if self.days == 1 else f"{self.start}+{self.days}d"

    def holds(self, day: np.datetime64) -> bool:
        """Return whether a UTC day is one of them."""
        first = np.datetime64(self.start, "D")
        return bool(first <= day.astype("datetime64[D]") < first + self.days)


def periods_of(days: Days, rules: PeriodRules) -> tuple[list[Period], NDArray[np.int64]]:
    """Return the periods from the first to the last of the days, and the period of each day.

    Periods are counted from each 1 January, so that they do not depend on which days are given;
    pooled, there is one, from the first day to the last. Periods in between that hold none of the
    days are listed: they are reported as not modelled.
    """
    at = days.astype("datetime64[D]")
    if at.size == 0:
        return [], np.zeros(0, np.int64)
    first, last = at.min(), at.max()
    if rules.pooled:
        whole = Period(first.astype(date), int((last - first).astype(int)) + 1)
        return [whole], np.zeros(at.size, np.int64)
    every = np.arange(first, last + 1)
    starts, lengths = _starts(every, rules.period_days)
    names, positions = np.unique(starts, return_index=True)
    found = [
        Period(name.astype(date), int(lengths[position]))
        for name, position in zip(names, positions, strict=True)
    ]
    return found, np.searchsorted(names, _starts(at, rules.period_days)[0]).astype(np.int64)


def _starts(days: Days, length: int) -> tuple[Days, NDArray[np.int64]]:
    """Return the first day and the length of the period of each day."""
    years = days.astype("datetime64[Y]")
    new_year = years.astype("datetime64[D]")
    year_end = (years + 1).astype("datetime64[D]")
    starts = new_year + (days - new_year).astype(np.int64) // length * length
    return starts, np.minimum((year_end - starts).astype(np.int64), length)


class PeriodEntry(BaseModel):
    """What a card says of one period."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: date
    days: int
    samples: int
    """With a known target and half of the features."""
    family: Family | None = None
    """The best by the inner score; None where the period is not modelled."""
    sha256: str = ""
    parameters: dict[str, Parameter] = {}
    inner_covariance: float | None = None
    """Of estimates and target between the cells of a group on a day, in inner validation."""
    inner_variance: float | None = None
    """The same of the estimates alone."""
    inner_degrees: int = 0
    """Degrees of freedom behind both."""
    why_not: str = ""
    """Why the period is not modelled; empty where it is."""

    @property
    def period(self) -> Period:
        """Return the days."""
        return Period(self.start, self.days)


class PeriodsCard(CoarseCard):
    """The card of models by period.

    Its scores are by family, and of the best of each period: over the held-out groups of all
    periods in which every family has a model.
    """

    kind: Literal["periods"] = "periods"
    rules: dict[str, Any]
    scores_sha256: str
    """Hash of the bytes of the table of scores."""
    periods: tuple[PeriodEntry, ...]
    """In the order of time."""

    @property
    def whole_sha256(self) -> str:
        """Return one hash of everything that estimates, and how far to believe them, come from."""
        parts = [
            [str(one.period), one.sha256, one.inner_covariance, one.inner_variance]
            for one in self.periods
        ]
        degrees = [one.inner_degrees for one in self.periods]
        return content_hash(json.dumps([list(self.columns), parts, degrees]).encode())

    @property
    def modelled(self) -> int:
        """Return how many periods have a model."""
        return sum(entry.family is not None for entry in self.periods)


def model_key(name: str, sha256: str) -> str:
    """Return where the model of one period lies, below the prefix of all models."""
    return f"{name}/{PERIODS}/{sha256}.npz"


def load_periods_card(models: Objects, name: str) -> PeriodsCard:
    """Return the card of the models of all periods.

    Raises
    ------
    NotFoundError
        If there is no such model.
    ModelError
        If the card cannot be read or has another version.
    """
    return parsed_card(PeriodsCard, *card_bytes(models, name))


@dataclass(frozen=True, eq=False)
class PeriodModels:
    """The models of all periods, each read, checked and laid out when its first day is asked for.

    A `Downscaler`. Tasks carry the URL, the name and the hash, and call `open_period_models`.

    Attributes
    ----------
    models : Objects
        Prefix of all models.
    card : PeriodsCard
    """

    models: Objects
    card: PeriodsCard
    _starts: Days = field(init=False, repr=False)
    _loaded: OrderedDict[str, FittedFamily] = field(default_factory=OrderedDict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def __post_init__(self) -> None:
        starts = np.array([entry.start for entry in self.card.periods], "datetime64[D]")
        object.__setattr__(self, "_starts", starts)

    def estimate(self, day: np.datetime64, columns: Floats32, lonlat: Floats) -> Floats32:
        """Return the estimates of one day; see `Downscaler`. Positions are not looked at.

        Raises
        ------
        ModelError
            If a stored model is not there, or has another hash.
        UserError
            If the number of features is another.
        """
        entry = self.entry(day)
        if entry is None or entry.family is None:
            return np.full(columns.shape[1], np.nan, np.float32)
        return self.model_of(entry).predict(columns)

    def is_modelled(self, day: np.datetime64) -> bool:
        """Return whether the day's period has a model."""
        entry = self.entry(day)
        return entry is not None and entry.family is not None

    def why_not(self, day: np.datetime64) -> str:
        """Return why the day's period has no model; empty where it has one."""
        entry = self.entry(day)
        if entry is None:
            return "no day of its period was in the training table"
        return entry.why_not

    def slope(self, day: np.datetime64) -> float:
        """Return the slope of the target on the estimates within groups; see `Downscaler`.

        That of the day's period, drawn towards that of all periods: the latter weighs as
        `PRIOR_DEGREES` degrees of freedom. NaN on days without a model.
        """
        entry = self.entry(day)
        if entry is None or entry.family is None:
            return math.nan
        covariance, variance = self._pooled
        if entry.inner_covariance is not None and entry.inner_variance is not None:
            own, prior = entry.inner_degrees, PRIOR_DEGREES
            covariance = own * entry.inner_covariance + prior * covariance
            variance = own * entry.inner_variance + prior * variance
        return covariance / variance if variance > 0.0 else math.nan

    @cached_property
    def _pooled(self) -> tuple[float, float]:
        """Return covariance and variance over the cells of all periods; NaN where unknown."""
        known = [
            (entry.inner_degrees, entry.inner_covariance, entry.inner_variance)
            for entry in self.card.periods
            if entry.inner_covariance is not None and entry.inner_variance is not None
        ]
        degrees = sum(count for count, _, _ in known)
        if not degrees:
            return math.nan, math.nan
        return (
            sum(count * covariance for count, covariance, _ in known) / degrees,
            sum(count * variance for count, _, variance in known) / degrees,
        )

    def entry(self, day: np.datetime64) -> PeriodEntry | None:
        """Return what the card says of the period of a day; None where it knows none."""
        at = int(np.searchsorted(self._starts, day.astype("datetime64[D]"), side="right")) - 1
        if at < 0 or not self.card.periods[at].period.holds(day):
            return None
        return self.card.periods[at]

    def model_of(self, entry: PeriodEntry) -> FittedFamily:
        """Return the model of a period; those asked for last stay in memory, for all threads."""
        with self._lock:
            found = self._loaded.pop(entry.sha256, None)
            if found is None:
                prefix = f"{self.card.name}/{PERIODS}"
                found = from_bytes(checked_bytes(self.models, prefix, entry.sha256, "npz"))
            self._loaded[entry.sha256] = found
            while len(self._loaded) > 1 and self._size() > LOADED_BYTES:
                self._loaded.popitem(last=False)
        return found

    def _size(self) -> int:
        return sum(model.estimator.nbytes for model in self._loaded.values())


@lru_cache(maxsize=2)
def open_period_models(url: str, name: str, whole_sha256: str) -> PeriodModels:
    """Return the models below ``url`` that have this hash; a process keeps the last ones.

    Parameters
    ----------
    url
        Prefix of all models, as ``join(root, "models")``.

    Raises
    ------
    NotFoundError, ModelError
        As `load_periods_card`, and if the models are others by now.
    """
    models = open_objects(url)
    card = load_periods_card(models, name)
    if card.whole_sha256 != whole_sha256:
        raise ModelError(
            f"the models by period {name!r} at {url} were trained anew while they were in use: "
            "run the same command again"
        )
    return PeriodModels(models, card)


def score_rows(period: Period, results: Sequence[FamilyResult], best: str) -> list[dict[str, Any]]:
    """Return one row of the score table for each family of a period.

    Scores of the held-out groups, those of the random split after ``random_``, and the RMSE of the
    fitted part's mean as ``constant_RMSE``; the sums behind the first two are kept to be merged.
    """
    rows = []
    for found in results:
        row: dict[str, Any] = {"start": np.datetime64(period.start, "ms"), "days": period.days}
        row |= {"family": found.family, "is_best": found.family == best}
        row |= {name: getattr(found, name) for name in ("samples", "fit", "test", "groups")}
        row |= {"parameters": json.dumps(dict(found.parameters), sort_keys=True)}
        row |= {"inner_RMSE": found.inner_rmse}
        row |= {name: float(all_scores(found.held_out)[name]) for name in SHOWN}
        row |= {f"random_{name}": float(all_scores(found.random)[name]) for name in SHOWN}
        row["constant_RMSE"] = float(all_scores(found.constant)["RMSE"])
        for what in ("held_out", "random", "constant"):
            pairs = getattr(found, what)
            row |= {f"{what}_{name}": float(getattr(pairs, name)) for name in SUMS}
        rows.append(row | {"why_not": found.why_not})
    return rows


def family_scores(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return the test scores by family over all periods in which every family has a model.

    Over the same samples, therefore, whichever family: R, RMSE, ubRMSE and bias over all pairs,
    the same of the random split after ``random_``, ``constant_RMSE``, ``periods`` that count, and
    ``chosen``, in how many of all periods the family is the best. `BEST` is the family chosen in
    each period by its inner score.
    """
    if table.empty:
        return {}
    is_whole = (table["why_not"] == "").groupby([table["start"], table["days"]]).transform("all")
    whole = table[is_whole]
    found = {}
    for family in dict.fromkeys(table["family"]):
        found[str(family)] = _summed(whole[whole["family"] == family])
        found[str(family)]["chosen"] = int(table[table["family"] == family]["is_best"].sum())
    found[BEST] = _summed(whole[whole["is_best"]])
    found[BEST]["chosen"] = int(table["is_best"].sum())
    return found


def _summed(rows: pd.DataFrame) -> dict[str, float]:
    scores: dict[str, float] = {"periods": len(rows)}
    for what, before in (("held_out", ""), ("random", "random_"), ("constant", "constant_")):
        sums = rows[[f"{what}_{name}" for name in SUMS]].to_numpy(np.float64)
        merged = PairStats(*sums.T).total() if len(rows) else PairStats.zero()
        shown = SHOWN if what != "constant" else ("RMSE",)
        scores |= {before + name: float(all_scores(merged)[name]) for name in shown}
    return scores


def summary_table(scores: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Return the scores by family as a table for people: titles first, one row a family."""
    titles: dict[str, str] = {BEST: "best of each period"} | {name: TITLES[name] for name in TITLES}
    return pd.DataFrame([{"family": titles[name], **found} for name, found in scores.items()])


def to_parquet(table: pd.DataFrame) -> bytes:
    """Return a table of scores as Parquet: equal tables are equal bytes."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()
