"""A forest of frozen ground and its scores, as tasks of the cluster.

The table is written once; a task carries a URL, a hash and a small record. Each split is one task:
it grows a forest on what is learned and counts over what is tested. The forest that is kept learns
from all rows and is grown in parts of a few trees, a task each; every tree has a seed of its own,
so that the files are the same bytes in any number of workers and in none, whatever the parts are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from importlib.metadata import version
from typing import Any, NamedTuple

import pandas as pd
from distributed import Client
from threadpoolctl import threadpool_limits

from smcloud.core.errors import ModelError, NotFoundError, UserError
from smcloud.core.layout import Layout, join
from smcloud.core.listener import Listener, Silent
from smcloud.core.objects import open_objects
from smcloud.models.base import CARD, content_hash
from smcloud.models.freeze_thaw import (
    STATE_WORDS,
    ForestRules,
    FreezeThawModel,
    Partly,
    assembled,
    classes_of,
    grow_trees,
    prepared,
    states_of,
    words_of,
)
from smcloud.models.freeze_thaw_files import (
    FORMAT,
    SCORES,
    TREES,
    FreezeThawCard,
    load_freeze_thaw,
    load_scores,
    save_freeze_thaw,
    to_bytes,
    trees_from_bytes,
    trees_to_bytes,
)
from smcloud.models.freeze_thaw_rows import (
    TableColumns,
    labelled_rows,
    rows_from_bytes,
    rows_to_bytes,
)
from smcloud.models.freeze_thaw_scores import (
    HEADLINES,
    SET_WORDS,
    VARIANTS,
    AllScores,
    LabelledRows,
    StateScores,
    Variant,
    assessed,
    columns_of,
    learned_and_tested,
    scores_to_bytes,
)
from smcloud.production.coarse_request import CoarseModelRequest
from smcloud.production.training_jobs import FILE, Result, TrainingJob, TrainingJobs
from smcloud.validation.splits import SPLIT_KINDS, SplitKind, SplitRules
from smcloud.version import __version__

WORK = "work"
LIBRARIES = ("numpy", "scikit-learn")


@dataclass(frozen=True, kw_only=True)
class FreezeThawRequest(CoarseModelRequest):
    """A forest of frozen ground to make.

    Attributes
    ----------
    partly : str
        What partly frozen ground counts as.
    forest : ForestRules
    split : SplitRules
        Blocks, folds and seed of the splits.
    folds : int
        Folds of each split that are grown and counted together.
    gldas : tuple of str
        Features that are left out, or stand alone, in the ablation.
    columns : TableColumns
        Names of the table's other columns.
    trees_at_once : int
        Trees that a task grows; changes nothing that is stored.
    """

    partly: Partly = "frozen"
    forest: ForestRules = field(default_factory=ForestRules)
    split: SplitRules = field(default_factory=lambda: SplitRules(block_degrees=2.0))
    folds: int = 3
    gldas: tuple[str, ...] = ()
    columns: TableColumns = field(default_factory=TableColumns)
    trees_at_once: int = 10

    @property
    def samples_url(self) -> str:
        """Return the prefix of the rows that workers read."""
        return Layout(self.root).table(f"{self.name}-forest")

    @property
    def all_versions(self) -> dict[str, str]:
        """Return the versions that the model depends on."""
        libraries = {name: version(name) for name in LIBRARIES}
        return {**self.versions, **libraries, "smcloud": __version__}

    def stamp(self) -> str:
        """Return a hash of all that shapes the model and its scores beside the rows."""
        shaping = {
            "format": FORMAT,
            "features": self.features,
            "partly": self.partly,
            "forest": self.forest.to_json(),
            "split": asdict(self.split),
            "folds": self.folds,
            "gldas": self.gldas,
            "columns": asdict(self.columns),
            "versions": self.all_versions,
        }
        return _hash(json.dumps(shaping, sort_keys=True))


@dataclass(frozen=True, eq=False)
class FreezeThawSummary:
    """What a training made.

    Attributes
    ----------
    card : FreezeThawCard
    model : FreezeThawModel
    scores : AllScores
    repeated : bool
        True if an equal training had been finished before, and nothing was done.
    done, kept : int
        Tasks that were run, and those whose results were found.
    """

    card: FreezeThawCard
    model: FreezeThawModel
    scores: AllScores
    repeated: bool = False
    done: int = 0
    kept: int = 0


class Fold(NamedTuple):
    """One forest that is grown to be scored."""

    kind: SplitKind
    number: int
    variant: Variant

    @property
    def task_name(self) -> str:
        """Return the readable key, as ``assess-station-f0-without-GLDAS``."""
        return f"assess-{self.kind}-f{self.number}-{self.variant.replace(' ', '-')}"


@dataclass(frozen=True)
class Place:
    """Where rows lie and results go; small, and sent with each task."""

    request: FreezeThawRequest
    samples: str
    stamp: str

    @property
    def models_url(self) -> str:
        """Return the prefix of all models."""
        return join(self.request.root, "models")

    def key(self, *shaping: object) -> str:
        """Return where a result lies, below the prefix of all models."""
        text = json.dumps([self.stamp, self.samples, *shaping])
        return f"{self.request.name}/{WORK}/{_hash(text)[:32]}.json"


def train_freeze_thaw(
    table: pd.DataFrame,
    request: FreezeThawRequest,
    client: Client | None = None,
    listener: Listener | None = None,
) -> FreezeThawSummary:
    """Return a forest and its scores, stored below ``models/<name>/``.

    Parameters
    ----------
    table
        One row a cell, day and overpass: the features and the columns of `TableColumns`; NaN is
        unknown. The order of rows does not matter.
    client
        Cluster; None works in this process, one task after another.

    Raises
    ------
    UserError
        If the table lacks a column, has a row twice, or a state has no row to learn from.
    """
    told = listener or Silent()
    rows = labelled_rows(
        table,
        request.features,
        request.columns,
        request.partly,
        block_degrees=request.split.block_degrees,
    )
    data = rows_to_bytes(rows)
    place = Place(request, content_hash(data), request.stamp())
    input_hash = _hash(json.dumps([place.stamp, place.samples, *_named(request)]))
    before = _finished(request, input_hash)
    if before is not None:
        return before
    # Fails here, in one line, and not in the first of many tasks.
    ready = prepared(rows.features, rows.labels, request.partly, request.forest)
    jobs = _jobs(place, client, told)
    jobs.samples.put(f"{place.samples}.npz", data)
    scores, notes = _scored(place, rows, jobs, told)
    parts = [trees_from_bytes(one) for one in _grown(place, jobs)]
    model = assembled(ready, parts, request.features, request.partly, request.forest.decision)
    stored, counts = to_bytes(model), scores_to_bytes(scores, rows.strata)
    card = _card(request, input_hash, rows, scores, notes, (stored, counts))
    save_freeze_thaw(request.models, request.name, stored, counts, card)
    _tidy(jobs, request.name, card)
    return FreezeThawSummary(card, model, AllScores.from_bytes(counts), False, jobs.done, jobs.kept)


def _tidy(jobs: TrainingJobs, name: str, card: FreezeThawCard) -> None:
    """Delete rows, results and parts, and the files of earlier trainings."""
    files = (f"{card.sha256}.{TREES}", f"{card.scores_sha256}.{SCORES}", CARD)
    ours = {f"{name}/{file}" for file in files}
    jobs.tidy(ours, lambda key: key.startswith(f"{name}/"), keep_results=False)


def _named(request: FreezeThawRequest) -> list[Any]:
    return [request.units, request.target, request.target_units]


def _jobs(place: Place, client: Client | None, listener: Listener) -> TrainingJobs:
    request = place.request
    return TrainingJobs(
        request.models,
        request.name,
        partial(_part_key, request.name),
        open_objects(request.samples_url),
        client,
        listener,
    )


def _part_key(name: str, sha256: str) -> str:
    return f"{name}/{WORK}/{sha256}.npz"


def _finished(request: FreezeThawRequest, input_hash: str) -> FreezeThawSummary | None:
    """Return the summary of an equal training that was finished before, or None."""
    try:
        model, card = load_freeze_thaw(request.models, request.name, request.features)
        if card.input_hash != input_hash:
            return None
        counts = load_scores(request.models, request.name, card)
    except (ModelError, NotFoundError):
        # No model, or one that is damaged or of another smcloud: it is trained and written anew.
        return None
    return FreezeThawSummary(card, model, AllScores.from_bytes(counts), repeated=True)


def _scored(
    place: Place, rows: LabelledRows, jobs: TrainingJobs, listener: Listener
) -> tuple[dict[str, dict[str, StateScores]], tuple[str, ...]]:
    """Return the counts by tested set and variant, folds together, and what could not be done."""
    folds, notes = folds_of(place.request, rows)
    for note in notes:
        listener.note(note)
    tasks = [
        TrainingJob(fold.task_name, place.key(*fold), assess_fold, (place, fold)) for fold in folds
    ]
    found: dict[str, dict[str, StateScores]] = {}
    for fold, data in zip(folds, jobs.run(tasks, "splits", "forests"), strict=True):
        for name, body in json.loads(data).items():
            one, variants = StateScores.from_json(body), found.setdefault(name, {})
            known = variants.get(fold.variant)
            variants[fold.variant] = one if known is None else known + one
    return found, notes


def folds_of(request: FreezeThawRequest, rows: LabelledRows) -> tuple[list[Fold], tuple[str, ...]]:
    """Return the forests that are grown to be scored, and why splits are left out.

    Every split has forests of all features; the headline has those of the ablation too.
    """
    found: dict[SplitKind, list[int]] = {}
    notes = []
    for kind in SPLIT_KINDS:
        for number in range(1 if kind == "random" else min(request.folds, request.split.folds)):
            try:
                _require_states(rows, request, kind, number)
            except UserError as err:
                notes.append(f"no scores of split {kind!r}, fold {number}: {err}")
            else:
                found.setdefault(kind, []).append(number)
    folds = [Fold(kind, number, "all") for kind, numbers in found.items() for number in numbers]
    head = headline_of(found)
    if head is not None and request.gldas:
        for variant in VARIANTS[1:]:
            if columns_of(variant, request.features, request.gldas):
                folds += [Fold(head, number, variant) for number in found[head]]
    return folds, tuple(notes)


def headline_of(kinds: Mapping[SplitKind, Any]) -> SplitKind | None:
    """Return the split that tells what to expect, of those that could be made."""
    return next((kind for kind in HEADLINES if kind in kinds), None)


def _require_states(
    rows: LabelledRows, request: FreezeThawRequest, kind: SplitKind, number: int
) -> None:
    """Raise `UserError` if a split cannot be made, or leaves a state without a row to learn."""
    learned, _ = learned_and_tested(rows.samples, kind, request.split, number)
    classes = classes_of(rows.labels[learned], request.partly)
    words = words_of(request.partly)
    missing = [word for code, word in enumerate(words) if not (classes == code).any()]
    if missing:
        raise UserError(f"no row to learn from is {' or '.join(missing)}")


@lru_cache(maxsize=1)
def _read_rows(url: str, sha256: str) -> LabelledRows:
    """Return the rows of this hash; a process keeps them for its next task."""
    return rows_from_bytes(open_objects(url).get(f"{sha256}.npz"))


def assess_fold(place: Place, fold: Fold) -> Result:
    """Grow and score one forest, store the counts and return them: the task of a worker."""
    request, rows = place.request, _read_rows(place.request.samples_url, place.samples)
    learned, tested = learned_and_tested(rows.samples, fold.kind, request.split, fold.number)
    seen = columns_of(fold.variant, request.features, request.gldas)
    with threadpool_limits(1):
        found = assessed(rows, learned, tested, seen, request.partly, request.forest)
    data = json.dumps({name: one.to_json() for name, one in found.items()}).encode()
    open_objects(place.models_url).put(place.key(*fold), data)
    return data


def _grown(place: Place, jobs: TrainingJobs) -> list[bytes]:
    """Return the trees that are kept, in their order, as archives of a few."""
    step, trees = place.request.trees_at_once, place.request.forest.trees
    tasks = []
    for first in range(0, trees, step):
        last = min(first + step, trees)
        name = f"grow-trees-{first:04d}-{last - 1:04d}"
        tasks.append(TrainingJob(name, place.key(first, last), grow_part, (place, first, last)))
    results = jobs.run(tasks, "trees", "parts")
    names = [json.loads(data)[FILE] for data in results]
    return [place.request.models.get(_part_key(place.request.name, name)) for name in names]


def grow_part(place: Place, first: int, last: int) -> Result:
    """Grow a few trees on all rows, store them and return their hash: the task of a worker."""
    request, rows = place.request, _read_rows(place.request.samples_url, place.samples)
    ready = prepared(rows.features, rows.labels, request.partly, request.forest)
    with threadpool_limits(1):
        numbers = range(first, last)
        trees = grow_trees(ready.ready, ready.classes, ready.weights, request.forest, numbers)
    data = trees_to_bytes(trees)
    sha256 = content_hash(data)
    models = open_objects(place.models_url)
    models.put(_part_key(request.name, sha256), data)
    result = json.dumps({FILE: sha256}).encode()
    models.put(place.key(first, last), result)
    return result


def _card(
    request: FreezeThawRequest,
    input_hash: str,
    rows: LabelledRows,
    scores: Mapping[str, Mapping[str, StateScores]],
    notes: tuple[str, ...],
    stored: tuple[bytes, bytes],
) -> FreezeThawCard:
    headline = headline_of({kind: None for kind, name in SET_WORDS.items() if name in scores})
    counted = {word: int((rows.labels == state).sum()) for state, word in STATE_WORDS.items()}
    return FreezeThawCard(
        name=request.name,
        target=request.target,
        target_units=request.target_units,
        columns=request.features,
        units=request.units or ("",) * len(request.features),
        versions=request.all_versions,
        input_hash=input_hash,
        scores={
            f"{name}, {variant}": one.summary()
            for name, variants in scores.items()
            for variant, one in variants.items()
        },
        partly=request.partly,
        states=states_of(request.partly),
        rows=counted,
        params=request.forest.to_json(),
        headline="" if headline is None else headline,
        notes=notes,
        sha256=content_hash(stored[0]),
        scores_sha256=content_hash(stored[1]),
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
