"""Models by period, from a table of coarse cells: thousands of small fits as tasks of the cluster.

The samples of each period are written once; a task carries a URL, the hash of its samples and a
small record. First every family is searched and scored in every period, then the best of each is
fitted on all its samples. What a task finds lies at ``models/<name>/periods/work/<hash>.json``, the
hash being that of the samples and of everything else that shapes it: a run that was stopped, or
that has one more year, does only what is missing. Every task bounds BLAS to one thread, so that
the files are the same bytes in any number of workers and in none.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
from distributed import Client
from threadpoolctl import threadpool_limits

from smcloud.core.errors import ModelError, NotFoundError, UserError
from smcloud.core.layout import join
from smcloud.core.listener import Listener, Silent
from smcloud.core.objects import Objects, open_objects
from smcloud.models.base import CARD, content_hash
from smcloud.models.families import CellSamples, Family, Parameters
from smcloud.models.family_fits import to_bytes
from smcloud.models.period_fits import FamilyResult, PeriodRules, assess, chosen, refit
from smcloud.models.periods import (
    PERIODS,
    SCORES,
    Period,
    PeriodEntry,
    PeriodsCard,
    family_scores,
    load_periods_card,
    model_key,
    score_rows,
    to_parquet,
)
from smcloud.production.period_samples import (
    PeriodSamples,
    PeriodsRequest,
    cleaned,
    cut,
    read_samples,
    samples_data,
    samples_key,
)
from smcloud.production.training_jobs import FILE, Result, TrainingJob, TrainingJobs

WORK = f"{PERIODS}/work"
REFUSED = "why_not"


@dataclass(frozen=True)
class PeriodsSummary:
    """What a training made.

    Attributes
    ----------
    card : PeriodsCard
    scores : DataFrame
        One row a period and family, see `score_rows`.
    dropped : int
        Rows of the table without target or with too few features.
    done, kept : int
        Tasks that were run, and those whose results were found.
    repeated : bool
        True if an equal training had been finished before, and nothing was done.
    """

    card: PeriodsCard
    scores: pd.DataFrame
    dropped: int
    done: int = 0
    kept: int = 0
    repeated: bool = False


@dataclass(frozen=True)
class PeriodJob:
    """One fit, or the search and the scores of one family: a task, or what one is known by.

    Attributes
    ----------
    name : str
        As an operator sees it.
    samples : str
        Hash of the samples.
    family : str
    parameters : str
        JSON of what the search chose: the fit of the model that is kept. Empty for the search.
    """

    name: str
    samples: str
    family: Family
    parameters: str = ""


@dataclass(frozen=True)
class Place:
    """Where samples lie and results go; small, and sent with each task."""

    samples_url: str
    models_url: str
    model: str
    stamp: str
    rules: PeriodRules

    def key(self, job: PeriodJob) -> str:
        """Return where the result of a job lies, below the prefix of all models."""
        shaping = [self.stamp, job.samples, job.family, job.parameters]
        return f"{self.model}/{WORK}/{_hash(json.dumps(shaping))[:32]}.json"


def train_periods(
    table: pd.DataFrame,
    request: PeriodsRequest,
    client: Client | None = None,
    listener: Listener | None = None,
) -> PeriodsSummary:
    """Return the models of all periods of a table, stored below ``models/<name>/periods/``.

    Parameters
    ----------
    table
        One row a coarse cell and day: row, col, time, the features and the target; NaN is unknown.
        The order of rows does not matter.
    client
        Cluster; None works in this process, one task after another.

    Raises
    ------
    UserError
        If the table lacks a column, has a cell twice on a day, or no sample at all.
    """
    told = listener or Silent()
    usable_rows, dropped = cleaned(table, request)
    parts = cut(usable_rows, request)
    named = [request.units, request.target, request.target_units, request.rules.families]
    shaping = [request.stamp(), *named, *(part.known for part in parts)]
    input_hash = _hash(json.dumps(shaping))
    before = finished(request, input_hash, dropped)
    if before is not None:
        return before
    runner = _Runner(request, client, told)
    results = runner.assessed(parts)
    entries = runner.entries(parts, results)
    scores = _score_table(parts, results, entries)
    card = _card(request, input_hash, entries, scores)
    request.models.put(f"{request.name}/{SCORES}", to_parquet(scores))
    request.models.put(f"{request.name}/{CARD}", card.to_json())
    runner.tidy(card)
    return PeriodsSummary(card, scores, dropped, runner.jobs.done, runner.jobs.kept)


def perform(place: Place, job: PeriodJob) -> Result:
    """Do one job and store a `FamilyResult` or the hash of a model: the task of a worker."""
    samples = read_samples(place.samples_url, job.samples)
    models = open_objects(place.models_url)
    # With more threads BLAS sums in another order, and the last bits would differ.
    with threadpool_limits(1):
        if job.parameters:
            found = _fitted(place, job, samples, models)
        else:
            found = assess(samples, job.family, place.rules).to_json()
    models.put(place.key(job), found)
    return found


def _fitted(place: Place, job: PeriodJob, samples: CellSamples, models: Objects) -> Result:
    """Store the model that is kept, and return its hash, or why there is none, as JSON."""
    parameters: Parameters = json.loads(job.parameters)
    try:
        data = to_bytes(refit(samples, job.family, parameters, place.rules))
    except UserError as err:
        return json.dumps({REFUSED: str(err)}).encode()
    sha256 = content_hash(data)
    models.put(model_key(place.model, sha256), data)
    return json.dumps({FILE: sha256}).encode()


class _Runner:
    """The jobs of one training and their samples."""

    def __init__(self, request: PeriodsRequest, client: Client | None, listener: Listener) -> None:
        models_url = join(request.root, "models")
        self.place = Place(
            request.samples_url, models_url, request.name, request.stamp(), request.rules
        )
        self.jobs = TrainingJobs(
            request.models,
            f"{request.name}/{PERIODS}",
            partial(model_key, request.name),
            open_objects(request.samples_url),
            client,
            listener,
        )
        self._written: set[str] = set()

    def assessed(self, parts: Sequence[PeriodSamples]) -> dict[Period, list[FamilyResult]]:
        """Return what every family finds in every period that may be modelled."""
        jobs = [
            (part, PeriodJob(f"assess-{part.period}-{family}", part.sha256, family))
            for part in parts
            if not part.why_not
            for family in self.place.rules.families
        ]
        found: dict[Period, list[FamilyResult]] = {}
        for (part, _), data in zip(jobs, self._run(jobs, "families"), strict=True):
            found.setdefault(part.period, []).append(FamilyResult.from_json(data))
        return found

    def entries(
        self, parts: Sequence[PeriodSamples], results: Mapping[Period, list[FamilyResult]]
    ) -> tuple[PeriodEntry, ...]:
        """Return what the card says of each period; the models of the best families are fitted."""
        best = {part.period: chosen(results.get(part.period, [])) for part in parts}
        jobs = []
        for part in parts:
            if (one := best[part.period]) is not None:
                parameters = json.dumps(dict(one.parameters), sort_keys=True)
                name = f"fit-{part.period}-{one.family}"
                jobs.append((part, PeriodJob(name, part.sha256, one.family, parameters)))
        fitted = {
            part.period: json.loads(data)
            for (part, _), data in zip(jobs, self._run(jobs, "models"), strict=True)
        }
        return tuple(
            _entry(part, results.get(part.period, []), best[part.period], fitted) for part in parts
        )

    def tidy(self, card: PeriodsCard) -> None:
        """Delete samples, models and results that no card needs, where the credentials may."""
        kept = {f"{card.name}/{CARD}", f"{card.name}/{SCORES}"}
        kept |= {model_key(card.name, entry.sha256) for entry in card.periods if entry.sha256}
        self.jobs.tidy(kept, lambda key: True)

    def _run(self, jobs: Sequence[tuple[PeriodSamples, PeriodJob]], stage: str) -> list[Result]:
        """Return the results of jobs, in order; those finished before are read, not redone."""
        tasks = [
            TrainingJob(
                job.name,
                self.place.key(job),
                perform,
                (self.place, job),
                before=partial(self._write, part),
            )
            for part, job in jobs
        ]
        return self.jobs.run(tasks, stage, "fits")

    def _write(self, part: PeriodSamples) -> None:
        """Write the samples of a period before the first of its tasks."""
        if part.sha256 not in self._written:
            self.jobs.samples.put(samples_key(part.sha256), samples_data(part.samples))
            self._written.add(part.sha256)


def finished(request: PeriodsRequest, input_hash: str, dropped: int) -> PeriodsSummary | None:
    """Return the summary of an equal training that was finished before, or None."""
    models = request.models
    try:
        card = load_periods_card(models, request.name)
        data = models.get(f"{request.name}/{SCORES}")
    except (ModelError, NotFoundError):
        # No models, or some that this smcloud cannot read: they are trained and written anew.
        return None
    stored = {info.key for info in models.list(f"{request.name}/{PERIODS}")}
    wanted = {model_key(card.name, entry.sha256) for entry in card.periods if entry.sha256}
    is_whole = wanted <= stored and content_hash(data) == card.scores_sha256
    if card.input_hash != input_hash or not is_whole:
        return None
    return PeriodsSummary(card, pd.read_parquet(io.BytesIO(data)), dropped, repeated=True)


def _entry(
    part: PeriodSamples,
    results: Sequence[FamilyResult],
    best: FamilyResult | None,
    fitted: Mapping[Period, Mapping[str, str]],
) -> PeriodEntry:
    known: dict[str, Any] = {"start": part.period.start, "days": part.period.days}
    known["samples"] = part.samples.size
    if best is None:
        reasons = [part.why_not, *(f"{found.family}: {found.why_not}" for found in results)]
        return PeriodEntry(**known, why_not="; ".join(filter(None, reasons)))
    found = fitted[part.period]
    if REFUSED in found:
        return PeriodEntry(**known, why_not=f"{best.family}: {found[REFUSED]}")
    known |= {"parameters": dict(best.parameters), "inner_degrees": best.inner_degrees}
    if best.inner_degrees:
        known |= {name: getattr(best, name) for name in ("inner_covariance", "inner_variance")}
    return PeriodEntry(**known, family=best.family, sha256=found[FILE])


def _score_table(
    parts: Sequence[PeriodSamples],
    results: Mapping[Period, Sequence[FamilyResult]],
    entries: Sequence[PeriodEntry],
) -> pd.DataFrame:
    rows = [
        row
        for part, entry in zip(parts, entries, strict=True)
        for row in score_rows(part.period, results.get(part.period, []), entry.family or "")
    ]
    return pd.DataFrame(rows)


def _card(
    request: PeriodsRequest,
    input_hash: str,
    entries: tuple[PeriodEntry, ...],
    scores: pd.DataFrame,
) -> PeriodsCard:
    return PeriodsCard(
        **request.said,
        rules=request.rules.to_json(),
        input_hash=input_hash,
        scores=family_scores(scores),
        scores_sha256=content_hash(to_parquet(scores)),
        periods=entries,
    )


def _hash(text: str) -> str:
    return content_hash(text.encode())
