"""Jobs of an assessment as tasks of the cluster, each finished one kept in the store.

The rows are written once and each process reads them once; tasks carry a URL, a stamp and a small
record. A job's result lies at ``models/<name>/folds/<hash>.parquet``, the hash being that of the
rows and of everything that shapes the job: an equal job is never done twice.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TypeAlias

import pandas as pd
from distributed import Client

from smcloud.core.errors import NotFoundError, StoreError
from smcloud.core.layout import Layout, join
from smcloud.core.listener import Listener
from smcloud.core.objects import Objects, open_objects
from smcloud.models.base import content_hash
from smcloud.models.boosting import forest_of
from smcloud.models.checkpoints import Trained
from smcloud.models.fold_jobs import FoldJob, OverWorkers, TrainingData, score_job
from smcloud.models.folds import StationSelection
from smcloud.models.forest import Forest
from smcloud.models.importance import PermuteJob, permuted_scores
from smcloud.models.mapped_table import FLOAT_BYTES, MEMORY_SHARE, NAME_BYTES
from smcloud.models.samples import TableColumns, TrainingTable, training_table
from smcloud.models.scoring import FoldScores
from smcloud.production.cluster import smallest_worker_bytes, worker_threads
from smcloud.production.runner import Task, run_tasks
from smcloud.validation.selection import SelectionRules
from smcloud.validation.splits import SplitRules

log = logging.getLogger(__name__)

TABLE_ROWS, REFERENCES, SITES = "rows.parquet", "references.parquet", "sites.json"
FOLDS = "folds"

Job: TypeAlias = FoldJob | PermuteJob


@dataclass(frozen=True)
class Place:
    """Where the data of jobs lie and where their results go; small, and sent with each task.

    Attributes
    ----------
    root, model, reports : str
        Root, name of the model, name of the folder of reports.
    stamp : str
        Hash of all data and rules.
    columns, rules, selection, most_rows
        What is needed to read the rows as `TrainingData`.
    over_workers : bool
        Trees of jobs are grown by all workers together: others than those of one process.
    """

    root: str
    model: str
    reports: str
    stamp: str
    columns: TableColumns
    rules: SplitRules
    selection: SelectionRules | None
    most_rows: int = 0
    over_workers: bool = False

    @property
    def data_url(self) -> str:
        """Return the prefix of the rows that workers read."""
        return Layout(self.root).table(f"{self.model}-training")

    @property
    def checkpoints(self) -> str:
        """Return the prefix below which trees and rows lie while the trees grow."""
        return join(Layout(self.root).model(self.model), "checkpoints")

    @property
    def models(self) -> Objects:
        """Return the prefix that holds all models."""
        return open_objects(join(self.root, "models"))

    def key(self, job: Job) -> str:
        """Return where the result of a job lies, below the models' prefix."""
        shaping = f"{self.stamp} {type(job).__name__} {job.identity()}"
        shaping += " over workers" if self.over_workers else ""
        return f"{self.model}/{FOLDS}/{hashlib.sha256(shaping.encode()).hexdigest()[:32]}.parquet"


@dataclass(eq=False)
class FoldRunner:
    """Runs jobs on a cluster, or in this process, and keeps what they find.

    Attributes
    ----------
    place : Place
    data : TrainingData
        What `place` holds for the workers; it is written when the first task needs it.
    client : Client or None
        None runs the jobs here, one after another, with the threads that their rows deserve. On a
        cluster each is a task with one thread: the same bytes in any number of workers. Where the
        rows do not fit a worker, jobs run here, and all workers together grow the trees of each.
    listener : Listener
    """

    place: Place
    data: TrainingData
    client: Client | None
    listener: Listener
    _is_written: bool = False
    _keys: set[str] = field(default_factory=set)

    def run(self, jobs: Sequence[Job], stage: str) -> list[FoldScores]:
        """Return the scores of every job, in order; those finished before are read, not redone."""
        found = {number: known for number, job in enumerate(jobs) if (known := self._known(job))}
        self.listener.begin(stage, len(jobs), "jobs")
        self.listener.advance(len(found))
        left = {job.name: number for number, job in enumerate(jobs) if number not in found}

        def keep(task: Task[FoldScores], scores: FoldScores) -> None:
            found[left[task.key]] = scores
            self.listener.advance(1, last=task.key)

        client = None if self.place.over_workers else self.client
        tasks = [self._task(jobs[number], client) for number in left.values()]
        if tasks and client is not None:
            self._write()
        window = 2 if client is None else 2 * worker_threads(client)
        run_tasks(client, tasks, window=window, on_done=keep, listener=self.listener)
        self.listener.end()
        return [found[number] for number in range(len(jobs))]

    def tidy(self) -> None:
        """Delete the results of other trainings of this model, where the credentials may."""
        models = self.place.models
        try:
            for info in models.list(f"{self.place.model}/{FOLDS}/"):
                if info.key not in self._keys:
                    models.delete(info.key)
        except StoreError as err:
            log.warning("results of earlier trainings stay at %s: %s", models.url, err)

    def _known(self, job: Job) -> FoldScores | None:
        key = self.place.key(job)
        self._keys.add(key)
        try:
            return FoldScores.from_parquet(self.place.models.get(key))
        except NotFoundError:
            return None

    def _task(self, job: Job, client: Client | None) -> Task[FoldScores]:
        if client is None:
            return Task(job.name, perform, (self.place, job, self.data, self._over()))
        bounded = job
        if isinstance(job, FoldJob):
            bounded = replace(job, params=replace(job.params, threads=1))
        return Task(job.name, perform, (self.place, bounded))

    def _over(self) -> OverWorkers | None:
        """Return the workers that grow the trees of every job; None where one process does."""
        if self.client is None or not self.place.over_workers:
            return None
        return OverWorkers(self.client, self.place.checkpoints)

    def _write(self) -> None:
        """Write the rows, the references and what is known of stations, once."""
        if self._is_written:
            return
        target = open_objects(self.place.data_url)
        target.put(TABLE_ROWS, self.data.table.to_parquet())
        if self.data.selection is not None:
            references = self.data.selection.references
            target.put(REFERENCES, references.to_parquet(index=False))
        sites = {
            "held_out": sorted(self.data.held_out),
            "networks": dict(sorted(self.data.networks.items())),
        }
        target.put(SITES, json.dumps(sites).encode())
        self._is_written = True


def fits_a_worker(table: TrainingTable, client: Client) -> bool:
    """Return whether each worker may hold all rows of a table, which a job as a task needs."""
    limit = smallest_worker_bytes(client)
    row_bytes = NAME_BYTES + FLOAT_BYTES * len(table.values)
    return not limit or table.order.size * row_bytes <= MEMORY_SHARE * limit


def perform(
    place: Place, job: Job, data: TrainingData | None = None, over: OverWorkers | None = None
) -> FoldScores:
    """Do one job and store what it finds: the task of a worker, which reads the data itself."""
    data = _data_at(place) if data is None else data
    if isinstance(job, PermuteJob):
        scores = permuted_scores(data, job, _forest_at(place, job.model))
    else:
        scores, estimates = score_job(data, job, over)
        if estimates is not None:
            keep_estimates(place, job, estimates)
    place.models.put(place.key(job), scores.to_parquet())
    return scores


def keep_estimates(place: Place, job: FoldJob, estimates: pd.DataFrame) -> None:
    """Store the estimates of a test set, for the report."""
    reports = open_objects(Layout(place.root).reports(place.reports))
    reports.put(job.estimates, estimates.to_parquet(index=False))


def keep_training(place: Place, job: FoldJob, trained: Trained) -> None:
    """Store a finished training, the trees first and what says that they are there last."""
    sha256 = content_hash(trained.data)
    place.models.put(f"{place.model}/{sha256}.ubj", trained.data)
    said = {"sha256": sha256, "rounds": trained.rounds, "history": list(trained.history)}
    said |= {"resumed": trained.resumed, "distributed": trained.distributed}
    place.models.put(_training_key(place, job), json.dumps(said).encode())


def kept_training(place: Place, job: FoldJob) -> Trained | None:
    """Return the training that `keep_training` stored; None where there is none or it is lost."""
    try:
        said = json.loads(place.models.get(_training_key(place, job)))
        data = place.models.get(f"{place.model}/{said['sha256']}.ubj")
    except NotFoundError:
        return None
    if content_hash(data) != said["sha256"]:
        return None
    history = tuple(said["history"])
    return Trained(data, said["rounds"], history, said["resumed"], said["distributed"])


def _training_key(place: Place, job: FoldJob) -> str:
    return f"{place.key(job).removesuffix('.parquet')}.json"


@lru_cache(maxsize=1)
def _forest_at(place: Place, sha256: str) -> Forest:
    """Return the stored model; a process keeps the last, for every group asks the same one."""
    return forest_of(place.models.get(f"{place.model}/{sha256}.ubj"))


@lru_cache(maxsize=1)
def _data_at(place: Place) -> TrainingData:
    """Return what `FoldRunner` wrote; a process keeps that of one training."""
    source = open_objects(place.data_url)
    table = training_table(pd.read_parquet(io.BytesIO(source.get(TABLE_ROWS))), place.columns)
    sites = json.loads(source.get(SITES))
    selection = None
    if place.selection is not None:
        references = pd.read_parquet(io.BytesIO(source.get(REFERENCES)))
        selection = StationSelection(references, place.selection)
    return TrainingData(
        table,
        place.rules,
        selection,
        frozenset(sites["held_out"]),
        sites["networks"],
        place.most_rows,
    )
