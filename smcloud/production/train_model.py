"""One training from rows to files: the search, the stored model, the folds, what they say of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pandas as pd
from distributed import Client

from smcloud.core.errors import StoreError, UserError
from smcloud.core.layout import Layout
from smcloud.core.listener import Listener
from smcloud.core.objects import Objects, open_objects
from smcloud.models.applicability import Area, fit_area
from smcloud.models.base import content_hash
from smcloud.models.fold_jobs import FoldJob, TrainingData, coverage_figures
from smcloud.models.folds import FoldFit, StationSelection, Variant, fit_fold, with_selected
from smcloud.models.importance import (
    Ablation,
    Importance,
    PermuteJob,
    ablation_jobs,
    ablation_of,
    gains,
    importances,
)
from smcloud.models.parameters import BoostingParams
from smcloud.models.scoring import (
    FoldScores,
    SplitScores,
    estimates_of,
    fold_scores,
    headline,
    pooled,
    rows_tested,
)
from smcloud.models.training import Route
from smcloud.models.tuning import TuningResult, search
from smcloud.models.uncertainty import Spread, fit_spread
from smcloud.production.assessment import Assessment
from smcloud.production.fold_tasks import (
    FoldRunner,
    Place,
    fits_a_worker,
    keep_training,
    kept_training,
)
from smcloud.production.model_files import (
    ORDER,
    StoredModel,
    TrainSummary,
    card_of,
    store,
    summary_of,
)
from smcloud.production.pooling import (
    coverages,
    split_scores,
    station_rows,
    stations_of,
    strategies,
)
from smcloud.production.references_stage import write_selection
from smcloud.production.train_request import SHIPPED, TrainRequest
from smcloud.validation.nested_splits import folds_of
from smcloud.validation.selection import counted_reasons
from smcloud.validation.splits import Samples, SplitKind

log = logging.getLogger(__name__)

COVERED: tuple[SplitKind, ...] = ("station_year", "network")
"""Splits beside that of the stored model whose first fold is asked for its coverage."""

Fold = tuple[SplitKind, int, Variant]


@dataclass(frozen=True, eq=False)
class Stored:
    """The stored model, what it was made of, and its test set.

    Attributes
    ----------
    fit : FoldFit
    params : BoostingParams
    scores : FoldScores
    spread : Spread or None
    area : Area or None
    coverage : mapping
        Of its test set, as plain JSON values.
    """

    fit: FoldFit
    params: BoostingParams
    scores: FoldScores
    spread: Spread | None
    area: Area | None
    coverage: Mapping[SplitKind, Any]

    @property
    def sha256(self) -> str:
        """Return the hash of the model's bytes."""
        return content_hash(self.fit.trained.data)


@dataclass(eq=False)
class ModelTraining:
    """Makes a model and all that is said of it.

    Attributes
    ----------
    request : TrainRequest
    data : TrainingData
    sites : DataFrame or None
        station and what is known of each.
    stamp : str
        Hash of the data.
    client : Client or None
    listener : Listener
    """

    request: TrainRequest
    data: TrainingData
    sites: pd.DataFrame | None
    stamp: str
    client: Client | None
    listener: Listener
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        request, table = self.request, self.data.table
        too_large = self.client is not None and not fits_a_worker(table, self.client)
        over_workers = too_large and request.route != "local"
        if over_workers:
            self.listener.note(
                "the rows do not fit a worker's memory: all workers together grow the trees of "
                "each fold"
            )
        place = Place(
            request.root,
            request.name,
            request.product or request.name,
            self.stamp,
            request.columns,
            request.rules,
            None if self.data.selection is None else self.data.selection.rules,
            request.most_rows,
            over_workers,
        )
        self.route: Route = "dask" if over_workers else request.route
        # Rows that fit no worker and shall not be parted are worked on here.
        client = None if too_large and not over_workers else self.client
        self.runner = FoldRunner(place, self.data, client, self.listener)
        self.shipped: Fold = (SHIPPED, 0, request.variants[0])

    def run(self, keys: tuple[str, ...], input_hash: str) -> TrainSummary:
        """Return what was made, after storing it.

        Parameters
        ----------
        keys
            TileYears, or years, that the rows come from.
        input_hash
            Hash of everything that shapes the files.
        """
        with self._timed("search"):
            tuning = self._search_all()
        stored = self._make_stored(tuning.get(self.shipped))
        with self._timed("folds"):
            folds = self._run_folds(tuning, stored)
        scores = split_scores(folds, self.shipped[2], self.request.rules.seed, ORDER)
        if tuning and not self._is_tuned_everywhere:
            # The card is that of the stored model; the folds beside it have the stated parameters.
            scores = scores | {SHIPPED: self._pooled([stored.scores])}
        self._forget_estimates(scores)
        assessment = self._assessment(tuning, stored, folds, scores)
        model = StoredModel(
            stored.fit.trained,
            stored.scores.counts,
            stored.params.stated(),
            stored.spread,
            stored.area,
        )
        card = card_of(self.request, model, scores, keys, input_hash)
        store(self.request, card, scores, model, assessment)
        self.runner.tidy()
        dropped = self.data.table.dropped
        return summary_of(self.request, card, scores, dropped, assessment, repeated=False)

    @property
    def _is_tuned_everywhere(self) -> bool:
        rules = self.request.tuning
        return rules is not None and rules.every_fold

    def _search_all(self) -> dict[Fold, TuningResult]:
        """Return the search of the stored model's fold, first, and of all others if asked for."""
        rules = self.request.tuning
        if rules is None:
            return {}
        others = self._folds() if rules.every_fold else []
        found = {}
        for fold in dict.fromkeys([self.shipped, *others]):
            if fold == self.shipped or self._is_possible(fold):
                stage = f"search {fold[0]} {fold[1]} {fold[2]}"
                found[fold] = search(
                    fold, self.request.ruled, rules, partial(self.runner.run, stage=stage)
                )
        return found

    def _make_stored(self, tuning: TuningResult | None) -> Stored:
        """Train the model that is stored, with its uncertainty, and score it on its test set."""
        request, table = self.request, self.data.table
        params = request.ruled if tuning is None else tuning.tuned(request.ruled)
        with self._timed("stored model"):
            fit = self._fitted(params)
            split, trained = fit.split, fit.trained
            estimates = estimates_of(table, split.test, trained.data)
            scores = fold_scores(
                table, split, request.rules, estimates, trained.rounds, self.shipped[2]
            )
            tested = rows_tested(table, split, request.rules, estimates)
            self._reports.put(_estimates_key(split.kind), tested.to_parquet(index=False))
        if not request.has_uncertainty:
            return Stored(fit, params, scores, None, None, {})
        with self._timed("uncertainty"):
            spread = fit_spread(table, split, request.rules, trained, params)
            found = coverage_figures(self.data, spread, split, estimates)["coverage"]
        with self._timed("area of applicability"):
            area = fit_area(table, split, request.rules, trained)
        return Stored(fit, params, scores, spread, area, {split.kind: found})

    def _fitted(self, params: BoostingParams) -> FoldFit:
        request = self.request
        split = self.data.fitted_split(*self.shipped)
        whole = self.data.split(*self.shipped[:2])
        if split.fit.size < whole.fit.size and request.most_rows:
            self.listener.note(
                f"{split.fit.size:,} of {whole.fit.size:,} rows to fit are used: all stations, "
                "fewer days"
            )
        # A model made over workers has other trees than one made here.
        job = FoldJob("", *self.shipped, params, estimates=self.route)
        kept = kept_training(self.runner.place, job)
        if kept is not None:
            self.listener.note("the model itself was finished before")
            return FoldFit(split, kept, None)
        fit = fit_fold(
            self.data.table,
            split,
            params,
            client=self.client,
            route=self.route,
            checkpoints=self.runner.place.checkpoints,
            listener=self.listener,
        )
        keep_training(self.runner.place, job, fit.trained)
        return fit

    def _selection(self) -> StationSelection:
        """Return the selection with its intervals, which the table of stations shows."""
        known = self.data.needed_selection()
        return replace(known, rules=self.request.selection or known.rules)

    def _selected(self) -> pd.DataFrame | None:
        """Return, and store, why each station to fit was kept, whichever variant is stored."""
        if self.request.selection is None:
            return None
        split = self.data.split(*self.shipped[:2])
        try:
            found = with_selected(self.data.table, split, self._selection())[1]
        except UserError as err:
            self.listener.warn(str(err))
            return None
        write_selection(Layout(self.request.root).model(self.request.name), found)
        return found

    def _run_folds(self, tuning: Mapping[Fold, TuningResult], stored: Stored) -> list[FoldScores]:
        """Return the scores of every fold and variant, that of the stored model among them."""
        is_stored = not tuning or self._is_tuned_everywhere
        wanted = [fold for fold in self._folds() if fold != self.shipped or not is_stored]
        found = self.runner.run([self._job(fold, tuning) for fold in wanted], "score folds")
        scores = dict(zip(wanted, found, strict=True))
        if is_stored:
            scores[self.shipped] = stored.scores
        return [scores[fold] for fold in self._folds()]

    def _folds(self) -> list[Fold]:
        """Return every fold of every split and variant, the stored variant first."""
        request = self.request
        counts = {
            kind: folds_of(kind, self._samples, request.rules, request.folds)
            for kind in request.kinds
        }
        return [
            (kind, number, variant)
            for variant in request.variants
            for kind in request.kinds
            for number in range(counts[kind])
        ]

    def _job(self, fold: Fold, tuning: Mapping[Fold, TuningResult]) -> FoldJob:
        kind, number, variant = fold
        params = self.request.ruled
        if self._is_tuned_everywhere and fold in tuning:
            params = tuning[fold].tuned(params)
        is_told = variant == self.shipped[2] and number == 0 and kind != SHIPPED
        return FoldJob(
            f"train-{self.request.name}-{kind}-{number}-{variant}",
            *fold,
            params,
            estimates=_estimates_key(kind) if is_told else "",
            has_spread=is_told and kind in COVERED and self.request.has_uncertainty,
        )

    def _is_possible(self, fold: Fold) -> bool:
        try:
            self.data.fitted_split(*fold)
        except UserError:
            return False
        return True

    def _importance(self, stored: Stored) -> tuple[Importance, ...]:
        """Return what each feature, then each driver, is worth to the stored model."""
        request = self.request
        features = request.columns.features
        groups: dict[str, tuple[str, ...]] = {name: (name,) for name in features}
        groups |= {name: group for name, group in request.groups.items() if name not in groups}
        permuted = {}
        if request.permutations:
            names = ["", *groups]
            jobs = [
                PermuteJob(
                    f"permute-{name}" if name else "permute",
                    *self.shipped,
                    groups.get(name, ()),
                    request.permutations,
                    request.rules.seed,
                    stored.sha256,
                )
                for name in names
            ]
            permuted = dict(zip(names, self.runner.run(jobs, "permute"), strict=True))
        return importances(groups, gains(stored.fit.trained.data, features), permuted)

    def _ablation(self, stored: Stored) -> tuple[Ablation, ...]:
        """Return what models without each driver lost against the stored one."""
        request = self.request
        if not request.ablation:
            return ()
        jobs = ablation_jobs(
            self.shipped,
            request.groups or {name: (name,) for name in request.columns.features},
            request.columns.features,
            stored.params,
            request.constraints,
        )
        found = self.runner.run(jobs, "leave drivers out")
        whole = self._pooled([stored.scores])
        return tuple(
            ablation_of(job.name.removeprefix("without-"), job.without, whole, self._pooled([part]))
            for job, part in zip(jobs, found, strict=True)
        )

    def _assessment(
        self,
        tuning: Mapping[Fold, TuningResult],
        stored: Stored,
        folds: Sequence[FoldScores],
        scores: Mapping[SplitKind, SplitScores],
    ) -> Assessment:
        request, shipped = self.request, self.shipped[2]
        with self._timed("importance"):
            importance = self._importance(stored)
        with self._timed("ablation"):
            ablation = self._ablation(stored)
        known = stations_of(self.data, self.sites)
        return Assessment(
            model=request.name,
            sha256=stored.sha256,
            headline=headline(scores),
            shipped=shipped,
            scores=strategies(folds, known, request.rules.seed),
            selection=_selection_figures(self._selected()),
            tuning=tuple(tuning.values()),
            tuned_test=self._tuned_test(tuning, stored, folds),
            importance=importance,
            ablation=ablation,
            coverage=coverages(folds, shipped, stored.coverage),
            constraints=request.constraints.to_json(),
            seconds=dict(self.seconds),
            rows=station_rows(folds, known),
        )

    def _tuned_test(
        self,
        tuning: Mapping[Fold, TuningResult],
        stored: Stored,
        folds: Sequence[FoldScores],
    ) -> dict[str, dict[str, float]]:
        """Return the scores on the stored model's test set, with stated and chosen parameters."""
        if not tuning:
            return {}
        found = {"chosen": self._pooled([stored.scores]).for_card()}
        if not self._is_tuned_everywhere:
            stated = [
                fold for fold in folds if (fold.kind, fold.fold, fold.variant) == self.shipped
            ]
            found["stated"] = self._pooled(stated).for_card()
        return found

    def _pooled(self, folds: Sequence[FoldScores]) -> SplitScores:
        return pooled(folds, self.request.rules.seed)

    def _forget_estimates(self, scores: Mapping[SplitKind, SplitScores]) -> None:
        """Delete the estimates of an earlier training in splits that are not possible now."""
        for kind, found in scores.items():
            key = _estimates_key(kind)
            try:
                if not found.possible and self._reports.exists(key):
                    self._reports.delete(key)
            except StoreError as err:
                log.warning("old estimates stay at %s/%s: %s", self._reports.url, key, err)

    @property
    def _samples(self) -> Samples:
        return self.data.table.samples(self.request.rules.block_degrees)

    @property
    def _reports(self) -> Objects:
        return open_objects(Layout(self.request.root).reports(self.runner.place.reports))

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[part] = round(time.perf_counter() - start, 2)


def _estimates_key(kind: SplitKind) -> str:
    """Return where the first fold's estimates of the stored variant lie, below the reports."""
    return f"splits/{kind}.parquet"


def _selection_figures(selection: pd.DataFrame | None) -> dict[str, Any] | None:
    """Return how many stations of fit and stop were kept, and why the others were not."""
    if selection is None:
        return None
    return {
        "stations": len(selection),
        "kept": int(selection["kept"].sum()),
        "reasons": dict(counted_reasons(selection)),
    }
