"""Many small trainings as tasks: what was found before is read, the rest is done on the cluster.

The rows of a job are written once and read by its worker; what a job finds lies in a small JSON
object whose key is a hash of all that shapes it. So a training that was stopped, or that has one
more year, does only what is missing. A result may name a file by its ``sha256``, such as a model:
without the file it counts as not found.
"""

import json
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from distributed import Client

from smcloud.core.errors import StoreError
from smcloud.core.listener import Listener
from smcloud.core.objects import Objects, in_order
from smcloud.production.cluster import worker_threads
from smcloud.production.runner import Task, run_tasks

log = logging.getLogger(__name__)

Result = bytes
"""What a task stores and returns: JSON."""
FILE = "sha256"
"""Key of a result that names a file."""


@dataclass(frozen=True)
class TrainingJob:
    """One task of a training.

    Attributes
    ----------
    name : str
        As an operator sees it.
    key : str
        Of its result, below the prefix of all models.
    function, args
        What the worker calls: it stores the result and returns it.
    before : callable, optional
        Called before the task is handed out: writes what it reads.
    """

    name: str
    key: str
    function: Callable[..., Result]
    args: tuple[Any, ...]
    before: Callable[[], None] | None = None


class TrainingJobs:
    """Runs the jobs of one training, and knows which were done before.

    Parameters
    ----------
    models
        The prefix of all models.
    below
        What of it belongs to the training; listed once.
    file_of
        From the hash that a result names to the key of its file.
    samples
        Where rows travel to workers.

    Attributes
    ----------
    done, kept : int
        Jobs that were run, and those whose results were found.
    """

    def __init__(
        self,
        models: Objects,
        below: str,
        file_of: Callable[[str], str],
        samples: Objects,
        client: Client | None,
        listener: Listener,
    ) -> None:
        self.models, self.samples = models, samples
        self.done = self.kept = 0
        self._below, self._file_of = below, file_of
        self._client, self._listener = client, listener
        self._used: set[str] = set()
        self._stored = {info.key for info in models.list(below)}

    def is_known(self, key: str) -> bool:
        """Return whether a result lies in the store, and the file that it names too."""
        return bool(self._known({key: key}))

    def run(self, jobs: Sequence[TrainingJob], stage: str, unit: str) -> list[Result]:
        """Return the results of jobs, in order; those finished before are read, not redone."""
        self._listener.begin(stage, len(jobs), unit)
        found = self._known({job.name: job.key for job in jobs})
        self.kept += len(found)
        self._listener.advance(len(found))
        left = [job for job in jobs if job.name not in found]

        def tasks() -> Iterator[Task[Result]]:
            for job in left:
                if job.before is not None:
                    job.before()
                yield Task(job.name, job.function, job.args)

        def keep(task: Task[Result], data: Result) -> None:
            found[task.key] = data
            self.done += 1
            self._listener.advance(1, last=task.key)

        window = 1 if self._client is None else 2 * worker_threads(self._client)
        run_tasks(self._client, tasks(), window=window, on_done=keep, listener=self._listener)
        self._listener.end()
        return [found[job.name] for job in jobs]

    def tidy(
        self, kept: Collection[str], is_ours: Callable[[str], bool], *, keep_results: bool = True
    ) -> None:
        """Delete rows, and of our files those that are neither kept nor results, where one may.

        Results are of no more use either where any other training has other rows: they then go too.
        """
        used = self._used if keep_results else set()
        try:
            for info in self.models.list(self._below):
                if is_ours(info.key) and info.key not in used and info.key not in kept:
                    self.models.delete(info.key)
            for info in self.samples.list():
                self.samples.delete(info.key)
        except StoreError as err:
            log.warning("files of earlier trainings stay at %s: %s", self.models.url, err)

    def _known(self, keys: dict[str, str]) -> dict[str, Result]:
        """Return the results that are stored and whole, by name."""
        self._used |= set(keys.values())
        there = [name for name, key in keys.items() if key in self._stored]
        reads: list[Callable[[], bytes]] = [partial(self.models.get, keys[name]) for name in there]
        found = dict(zip(there, in_order(reads), strict=True))
        return {name: data for name, data in found.items() if self._is_whole(data)}

    def _is_whole(self, data: Result) -> bool:
        sha256 = json.loads(data).get(FILE)
        return sha256 is None or self._file_of(sha256) in self._stored
