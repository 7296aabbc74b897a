"""The files of a trained model: what shapes it, its card, its scores, whether it is finished."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xgboost

from smcloud.core.errors import ModelError, NotFoundError
from smcloud.core.layout import Layout, join
from smcloud.core.objects import Objects
from smcloud.models.applicability import Area
from smcloud.models.base import ModelCard, content_hash, load_card, load_parts, save_model
from smcloud.models.checkpoints import Trained
from smcloud.models.fold_jobs import TrainingData
from smcloud.models.samples import TrainingTable
from smcloud.models.scoring import SplitScores, headline
from smcloud.models.uncertainty import Spread
from smcloud.production.assessment import Assessment, read_assessment, write_assessment
from smcloud.production.train_request import TrainRequest
from smcloud.validation.splits import SplitKind
from smcloud.validation.verdicts import Verdicts
from smcloud.version import __version__

SCORES = "scores.json"
ORDER: tuple[SplitKind, ...] = ("random", "station", "year", "station_year", "network")
"""The order in which splits are stored and shown."""
FORMAT = "assessment 1, spread 1"
"""Raised when equal rows and settings give other files: models of before are trained anew."""


@dataclass(frozen=True)
class TrainSummary:
    """What a training made.

    Attributes
    ----------
    card : ModelCard
    scores : mapping
        Split to the scores of the stored variant, all folds together.
    model_url, scores_url : str
    dropped : int
        Rows of the table without target, time or station.
    repeated : bool
        True if an equal training had been finished before, and nothing was done.
    assessment : Assessment or None
        Everything else that is known of the model.
    verdicts : Verdicts or None
        How often the selection of stations is right, where a simulated Earth knows.
    thresholds : DataFrame or None
        What other thresholds would keep, as `validation.verdicts.by_threshold`.
    """

    card: ModelCard
    scores: Mapping[SplitKind, SplitScores]
    model_url: str
    scores_url: str
    dropped: int
    repeated: bool
    assessment: Assessment | None = None
    verdicts: Verdicts | None = None
    thresholds: pd.DataFrame | None = None

    @property
    def headline(self) -> SplitKind:
        """Return the split whose scores stand for the model."""
        return headline(self.scores)


@dataclass(frozen=True, eq=False)
class StoredModel:
    """The stored model and what belongs to it.

    Attributes
    ----------
    trained : Trained
    counts : mapping
        Rows, stations and blocks of its four sets.
    params : mapping
        Everything that shaped its trees, as the card keeps it.
    spread : Spread or None
    area : Area or None
    """

    trained: Trained
    counts: Mapping[str, Mapping[str, int]]
    params: Mapping[str, int | float | str | bool]
    spread: Spread | None
    area: Area | None


def read_scores(models: Objects, name: str) -> dict[SplitKind, SplitScores]:
    """Return the stored scores of a model, by split."""
    body = json.loads(models.get(f"{name}/{SCORES}"))
    found = {part["kind"]: SplitScores.from_json(part) for part in body["splits"]}
    return {kind: found[kind] for kind in ORDER if kind in found}


def card_of(
    request: TrainRequest,
    model: StoredModel,
    scores: Mapping[SplitKind, SplitScores],
    keys: tuple[str, ...],
    input_hash: str,
) -> ModelCard:
    """Return the card of a model."""
    trained = model.trained
    return ModelCard(
        name=request.name,
        target=request.columns.target,
        target_units=request.target_units,
        columns=request.columns.features,
        units=request.units or ("",) * len(request.columns.features),
        training_keys=keys,
        sets={name: dict(found) for name, found in model.counts.items()},
        scores={kind: found.for_card() for kind, found in scores.items() if found.possible},
        params=dict(model.params),
        versions=versions_of(request),
        seed=request.params.seed,
        rounds=trained.rounds,
        resumed=trained.resumed,
        distributed=trained.distributed,
        input_hash=input_hash,
        sha256=content_hash(trained.data),
        spread=None if model.spread is None else model.spread.note(),
        area=None if model.area is None else model.area.note(),
    )


def store(
    request: TrainRequest,
    card: ModelCard,
    scores: Mapping[SplitKind, SplitScores],
    model: StoredModel,
    assessment: Assessment,
) -> None:
    """Write the card last: a model without a card does not exist."""
    models = request.models
    body = {
        "model": request.name,
        "sha256": card.sha256,
        "headline": headline(scores),
        "splits": [found.to_json() for found in scores.values()],
    }
    text = json.dumps(body, sort_keys=True, indent=1, allow_nan=False) + "\n"
    models.put(f"{request.name}/{SCORES}", text.encode())
    write_assessment(models, assessment)
    save_model(
        models,
        request.name,
        model.trained.data,
        card,
        spread=b"" if model.spread is None else model.spread.data,
        area=b"" if model.area is None else model.area.data,
    )


def finished(request: TrainRequest, input_hash: str, dropped: int) -> TrainSummary | None:
    """Return the summary of an equal training that was finished before, or None."""
    models = request.models
    try:
        card = load_card(models, request.name)
        if card.input_hash != input_hash or not models.exists(f"{request.name}/{card.sha256}.ubj"):
            return None
        load_parts(models, request.name, card)
        scores = read_scores(models, request.name)
        assessment = read_assessment(models, request.name)
    except (ModelError, NotFoundError):
        # No model, or one that this smcloud cannot read: it is trained and written anew.
        return None
    return summary_of(request, card, scores, dropped, assessment, repeated=True)


def summary_of(
    request: TrainRequest,
    card: ModelCard,
    scores: Mapping[SplitKind, SplitScores],
    dropped: int,
    assessment: Assessment | None,
    *,
    repeated: bool,
) -> TrainSummary:
    """Return what a training made, with the URLs of its files."""
    prefix = Layout(request.root).model(request.name)
    return TrainSummary(
        card,
        scores,
        join(prefix, f"{card.sha256}.ubj"),
        join(prefix, SCORES),
        dropped,
        repeated,
        assessment,
    )


def years_of(table: TrainingTable) -> tuple[str, ...]:
    """Return the years of a table's rows."""
    return tuple(str(year) for year in np.unique(table.days.astype("datetime64[Y]")))


def versions_of(request: TrainRequest) -> dict[str, str]:
    """Return the versions that a model depends on."""
    return {**request.versions, "smcloud": __version__, "xgboost": str(xgboost.__version__)}


def data_stamp(data: TrainingData, request: TrainRequest) -> str:
    """Return a hash of all rows and of what says how they are cut and chosen."""
    references = "" if data.selection is None else _frame_hash(data.selection.references)
    shaping = [
        data.table.content_hash(),
        repr(request.rules),
        repr(request.selection),
        references,
        sorted(data.held_out),
        sorted(data.networks.items()),
        request.most_rows,
        versions_of(request),
        FORMAT,
    ]
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()


def input_hash_of(stamp: str, request: TrainRequest) -> str:
    """Return a hash of everything that shapes the stored files."""
    shaping = [
        stamp,
        request.params.stated(),
        request.params.seed,
        request.route == "dask",
        request.folds,
        request.constraints.to_json(),
        None if request.tuning is None else request.tuning.to_json(),
        request.ship,
        {name: list(group) for name, group in request.groups.items()},
        [request.permutations, request.ablation, request.has_uncertainty],
    ]
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()


def _frame_hash(frame: pd.DataFrame) -> str:
    rows = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    return hashlib.sha256(repr(list(frame.columns)).encode() + rows.tobytes()).hexdigest()
