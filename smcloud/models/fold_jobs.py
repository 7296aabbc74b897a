"""What a worker does for an assessment: train a fold, an inner fold or an ablated model, score it.

A job is a small record; the rows come from `TrainingData`, which every process reads for itself.
Equal jobs on equal data give equal bytes wherever they run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from distributed import Client

from smcloud.core.errors import UserError
from smcloud.models.folds import (
    FoldFit,
    StationSelection,
    Variant,
    fit_fold,
    with_selected,
)
from smcloud.models.parameters import BoostingParams
from smcloud.models.rows import Floats
from smcloud.models.samples import TrainingTable
from smcloud.models.scoring import FoldScores, estimates_of, fold_scores, rows_tested
from smcloud.models.uncertainty import Spread, coverage_on, fit_spread
from smcloud.validation.coverage import coverage
from smcloud.validation.nested_splits import InnerFold, inner_split, split_networks, thinned
from smcloud.validation.splits import Samples, Split, SplitKind, SplitRules, split_samples

MAY_LACK: tuple[SplitKind, ...] = ("year", "station_year", "network")
"""Splits that a table of one year, or of few networks, does not allow: told, not raised."""


@dataclass(frozen=True)
class FoldJob:
    """One training and its scores.

    Attributes
    ----------
    name : str
        What an operator sees on the dashboard; no part of the job's identity.
    kind, fold, variant
        The outer fold, and whether selected stations alone are fitted.
    params : BoostingParams
    inner : InnerFold or None
        Train and score inside fit and stop of the outer fold instead; its test set stays unseen.
    every : int
        Fit and stop on every so-manieth day.
    without : tuple of str
        Features that are left out.
    estimates : str
        Key below the reports at which the estimates of the test set are kept; empty keeps none.
    has_spread : bool
        Uncertainty is fitted too, and its coverage of the test set found.
    """

    name: str
    kind: SplitKind
    fold: int
    variant: Variant
    params: BoostingParams
    inner: InnerFold | None = None
    every: int = 1
    without: tuple[str, ...] = ()
    estimates: str = ""
    has_spread: bool = False

    def identity(self) -> str:
        """Return everything that shapes the result, as one line."""
        inner = self.inner
        return json.dumps(
            {
                "fold": [self.kind, self.fold, self.variant],
                "params": [self.params.stated(), self.params.seed],
                "inner": None if inner is None else [inner.number, inner.folds, inner.seed],
                "rows": [self.every, list(self.without)],
                "also": [self.estimates, self.has_spread],
            },
            sort_keys=True,
        )


@dataclass(frozen=True, eq=False)
class OverWorkers:
    """Workers that grow the trees of a job together, each with a part of the rows.

    Attributes
    ----------
    client : Client
    checkpoints : str
        URL below which the rows lie for them while the trees grow.
    """

    client: Client
    checkpoints: str


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Everything that jobs read.

    Attributes
    ----------
    table : TrainingTable
    rules : SplitRules
    selection : StationSelection or None
        Needed by the variant "selected".
    held_out : frozenset of str
        Stations of the networks that the split "network" holds out.
    networks : mapping
        Station to its network, where known.
    most_rows : int
        Rows of fit and stop that a training takes, every so-manieth day of all stations; 0 for all.
    """

    table: TrainingTable
    rules: SplitRules
    selection: StationSelection | None = None
    held_out: frozenset[str] = frozenset()
    networks: Mapping[str, str] = field(default_factory=dict)
    most_rows: int = 0
    _selected: dict[tuple[SplitKind, int], Split | UserError] = field(
        default_factory=dict, repr=False
    )
    _last: dict[tuple[SplitKind, int], Split] = field(default_factory=dict, repr=False)

    def split(self, kind: SplitKind, fold: int) -> Split:
        """Return the four sets of one fold, checked for leaks.

        Raises
        ------
        UserError
            If the table does not allow it.
        """
        known = self._last.get((kind, fold))
        if known is None:
            known = self._cut(kind, fold)
            # Jobs come fold by fold; the row numbers of all folds would fill the memory.
            self._last.clear()
            self._last[kind, fold] = known
        return known

    def _cut(self, kind: SplitKind, fold: int) -> Split:
        samples = self.table.samples(self.rules.block_degrees)
        if kind == "network":
            return split_networks(samples, self.table.is_at(self.held_out), self.rules)
        return split_samples(samples, kind, self.rules, fold=fold)

    def fitted_split(self, kind: SplitKind, fold: int, variant: Variant) -> Split:
        """Return the fold whose fit and stop hold the rows that a training of the variant takes.

        Raises
        ------
        UserError
            If no station is selected.
        """
        if variant == "all":
            return self._few(self.split(kind, fold))
        if (kind, fold) not in self._selected:
            try:
                found: Split | UserError = with_selected(
                    self.table, self.split(kind, fold), self.needed_selection()
                )[0]
            except UserError as err:
                found = err
            self._selected[kind, fold] = found
        kept = self._selected[kind, fold]
        if isinstance(kept, UserError):
            raise kept
        return self._few(kept)

    def _few(self, split: Split) -> Split:
        """Return the split with no more rows to fit and to stop on than are wanted."""
        found = split.fit.size + split.stop.size
        every = -(-found // self.most_rows) if self.most_rows else 1
        if every == 1:
            return split
        samples = self.table.samples(self.rules.block_degrees)
        return _thinner(split, samples, every)

    def needed_selection(self) -> StationSelection:
        """Return the selection; there must be one."""
        if self.selection is None:
            raise UserError("selected stations need references: set selection.use in the run file")
        return self.selection


def score_job(
    data: TrainingData, job: FoldJob, over: OverWorkers | None = None
) -> tuple[FoldScores, pd.DataFrame | None]:
    """Return the scores of a job and, where it keeps them, the estimates of its test set.

    A fold that the table does not allow gives scores that say why.

    Parameters
    ----------
    over
        Workers whose histograms are summed; None grows the trees in this process.

    Raises
    ------
    UserError
        If a split that every table must allow cannot be made.
    """
    try:
        fit = _fitted(data, job, over)
    except UserError as err:
        if job.inner is not None or (job.kind not in MAY_LACK and job.variant == "all"):
            raise
        return FoldScores(job.kind, job.fold, job.variant, {}, 0, pd.DataFrame(), str(err)), None
    table = _table_of(data, job)
    estimates = estimates_of(table, fit.split.test, fit.trained.data)
    scores = fold_scores(table, fit.split, data.rules, estimates, fit.trained.rounds, job.variant)
    if job.has_spread:
        spread = fit_spread(table, fit.split, data.rules, fit.trained, job.params)
        scores = replace(scores, figures=coverage_figures(data, spread, fit.split, estimates))
    kept = rows_tested(table, fit.split, data.rules, estimates) if job.estimates else None
    return scores, kept


def coverage_figures(
    data: TrainingData, spread: Spread, split: Split, estimates: Floats
) -> dict[str, Any]:
    """Return the coverage of a test set as plain JSON values: of points, and of pixels if known."""
    if not spread.possible:
        return {"coverage": {"why_not": spread.why_not}}
    table = data.table
    stations = table.names[table.codes[split.test]].astype(str)
    networks = None
    if data.networks:
        networks = np.array([data.networks.get(name, "") for name in stations])
    point = coverage_on(spread, table, split.test, estimates, networks=networks)
    found = {"point": point.to_json()}
    truth = table.truth_at(split.test)
    if truth is not None and np.isfinite(truth).any():
        widths = spread.half_widths(table.rows(split.test))
        pixel = coverage(widths, estimates, truth, stations, networks=networks, covers="pixel")
        found["pixel"] = pixel.to_json()
    return {"coverage": found}


def _table_of(data: TrainingData, job: FoldJob) -> TrainingTable:
    if not job.without:
        return data.table
    features = [name for name in data.table.columns.features if name not in job.without]
    return data.table.with_features(features)


def _fitted(data: TrainingData, job: FoldJob, over: OverWorkers | None) -> FoldFit:
    table = _table_of(data, job)
    split = data.fitted_split(job.kind, job.fold, job.variant)
    if job.inner is not None:
        split = _inside(data, job, split, job.inner)
    if job.every > 1:
        split = _thinner(split, table.samples(data.rules.block_degrees), job.every)
    return fit_fold(
        table,
        split,
        job.params,
        client=over.client if over else None,
        route="dask" if over else "local",
        checkpoints=over.checkpoints if over else None,
    )


def _thinner(split: Split, samples: Samples, every: int) -> Split:
    """Return the split that fits and stops on every so-manieth day."""
    fit, stop = (thinned(rows, samples, every) for rows in (split.fit, split.stop))
    return replace(split, fit=fit, stop=stop)


def _inside(data: TrainingData, job: FoldJob, used: Split, inner: InnerFold) -> Split:
    """Return the inner fold: fit and stop of the stations used, scored on all of its own."""
    samples = data.table.samples(data.rules.block_degrees)
    found = inner_split(samples, data.split(job.kind, job.fold), inner)
    usable = np.zeros(samples.days.size, dtype=bool)
    usable[used.fit] = usable[used.stop] = True
    fit, stop = (rows[usable[rows]] for rows in (found.fit, found.stop))
    if not fit.size or not stop.size:
        raise UserError(
            f"inner fold {inner.number} of split {job.kind!r} has no selected station left to fit "
            "or to stop on: take fewer tune.inner_folds or a lower selection.minimum_r"
        )
    return replace(used, fit=fit, stop=stop, calibrate=found.score[:0], test=found.score)
