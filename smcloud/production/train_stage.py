"""The stage `train`: samples to a stored model, its card and its scores on unseen stations.

The shipped model is the one of the station-independent split: its test stations stay unseen, so
that `validate` may compare the product with them. The other splits train models of their own for
their scores alone, each as a task of the cluster.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import xgboost
from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.errors import ModelError, NotFoundError, StoreError
from smcloud.core.layout import Layout, join
from smcloud.core.listener import Listener
from smcloud.core.objects import Objects, open_objects
from smcloud.grids.tiles import TileYear
from smcloud.models.base import ModelCard, Parameter, content_hash, load_card, save_model
from smcloud.models.checkpoints import Trained
from smcloud.models.parameters import BoostingParams
from smcloud.models.samples import TableColumns, TrainingTable, training_table
from smcloud.models.scoring import Scored, SplitScores, fit_and_score, headline, score_test_set
from smcloud.models.training import Route, train_boosting
from smcloud.production.cluster import refuse_memory_urls
from smcloud.production.ledger import Ledger, Record
from smcloud.production.runner import Task, run_tasks
from smcloud.production.samples_stage import build_samples, features_of, training_keys
from smcloud.products.base import Product
from smcloud.products.registry import product_named
from smcloud.validation.splits import (
    SPLIT_KINDS,
    SplitKind,
    SplitRules,
    split_samples,
)
from smcloud.version import __version__

log = logging.getLogger(__name__)

SHIPPED: SplitKind = "station"
SCORES = "scores.json"
ROWS = "rows.parquet"


@dataclass(frozen=True)
class TrainRequest:
    """What one training needs to know beside the table.

    Attributes
    ----------
    root : str
        Product root below which the model is written (`Layout`).
    name : str
        Name of the model.
    columns : TableColumns
    rules : SplitRules
    params : BoostingParams
    product : str
        Product whose reports receive the estimates of the test sets; the model's name by default.
    route : "auto", "dask" or "local"
    target_units : str
    units : tuple of str
        Units of the features; empty strings where nobody said.
    versions : mapping
        Versions of product and features, kept in the card.
    """

    root: str
    name: str
    columns: TableColumns
    rules: SplitRules = field(default_factory=SplitRules)
    params: BoostingParams = field(default_factory=BoostingParams)
    product: str = ""
    route: Route = "auto"
    target_units: str = ""
    units: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def models(self) -> Objects:
        """Return the prefix that holds all models of the root."""
        return open_objects(join(self.root, "models"))


@dataclass(frozen=True)
class TrainSummary:
    """What a training made.

    Attributes
    ----------
    card : ModelCard
    scores : mapping
        Split to its scores, in the order of `SPLIT_KINDS`.
    model_url, scores_url : str
    dropped : int
        Rows of the table without target, time or station.
    repeated : bool
        True if an equal training had been finished before, and nothing was done.
    """

    card: ModelCard
    scores: Mapping[SplitKind, SplitScores]
    model_url: str
    scores_url: str
    dropped: int
    repeated: bool

    @property
    def headline(self) -> SplitKind:
        """Return the split whose scores stand for the model."""
        return headline(self.scores)


def run(config: RunConfig, client: Client | None, listener: Listener) -> TrainSummary:
    """Build the sample table of a run, train and score its model, and note it in the ledger.

    Raises
    ------
    NotFoundError
        If stations or cubes were not ingested.
    UserError
        If there are too few stations for a split.
    """
    product = product_named(config.product)
    rows = build_samples(config, product, client, listener)
    keys = training_keys(product, rows)
    summary = train_table(
        rows,
        _request_of(config, product),
        client,
        listener,
        training_keys=tuple(map(str, keys)),
    )
    _note_in_ledger(config, summary, keys)
    return summary


def train_table(
    source: pd.DataFrame,
    request: TrainRequest,
    client: Client | None,
    listener: Listener,
    *,
    training_keys: tuple[str, ...] | None = None,
) -> TrainSummary:
    """Train the model of a table, score it by every split, and store model, card and scores.

    Parameters
    ----------
    source
        One row per station and day, as `TableColumns` names them.
    client
        Cluster for the trainings of the other splits (and of the model, if it is distributed).
    training_keys
        TileYears of the rows; their years by default.

    Raises
    ------
    UserError
        If a column is missing, the target is constant, or stations are too few for a split.
    """
    refuse_memory_urls(client, [request.root])
    table = training_table(source, request.columns)
    input_hash = _input_hash(table, request)
    done = _finished(request, input_hash, table.dropped)
    if done is not None:
        listener.note(f"model {request.name} is up to date with its table: nothing to train")
        return done
    if table.dropped:
        listener.note(f"{table.dropped} rows have no target, time or station and are left out")
    split = split_samples(table.samples(request.rules.block_degrees), SHIPPED, request.rules)
    trained = train_boosting(
        table.rows(split.fit),
        table.rows(split.stop),
        request.params,
        client=client,
        route=request.route,
        checkpoints=join(Layout(request.root).model(request.name), "checkpoints"),
        listener=listener,
    )
    scored = score_test_set(table, split, request.rules, trained)
    listener.note("predictors: " + ", ".join(request.columns.features))
    shipped = _keep_estimates(request, scored)
    scores = _score_others(table, request, shipped, client, listener)
    keys = training_keys if training_keys is not None else _years_of(table)
    card = _card(request, shipped.counts, scores, trained, keys, input_hash)
    _store(request, card, scores, trained.data)
    return _summary(request, card, scores, table.dropped, repeated=False)


def score_split(url: str, request: TrainRequest, kind: SplitKind) -> SplitScores:
    """Return the scores of one split of the rows stored at `url`: the task of a worker."""
    data = open_objects(url).get(ROWS)
    table = training_table(pd.read_parquet(io.BytesIO(data)), request.columns)
    return _keep_estimates(request, fit_and_score(table, kind, request.rules, request.params))


def read_scores(models: Objects, name: str) -> dict[SplitKind, SplitScores]:
    """Return the stored scores of a model, by split."""
    body = json.loads(models.get(f"{name}/{SCORES}"))
    found = {part["kind"]: SplitScores.from_json(part) for part in body["splits"]}
    return {kind: found[kind] for kind in SPLIT_KINDS if kind in found}


def _request_of(config: RunConfig, product: Product) -> TrainRequest:
    chosen = config.train
    features = features_of(config, product)
    names = tuple(feature.name for feature in features)
    return TrainRequest(
        config.store.root,
        config.model_name,
        TableColumns(names, product.target.column, "station", "time", "latitude", "longitude"),
        SplitRules(block_degrees=chosen.block_degrees, seed=chosen.seed),
        BoostingParams(
            rounds=chosen.rounds,
            early_stopping=chosen.early_stopping,
            seed=chosen.seed,
            trees={**product.parameters, **chosen.parameters},
            device=chosen.device,
        ),
        product.name,
        chosen.distributed,
        product.target.units,
        tuple(feature.units for feature in features),
        {
            "product": str(product.version),
            "schema": str(product.schema.version),
            **{f"feature {feature.name}": str(feature.version) for feature in features},
        },
    )


def _note_in_ledger(config: RunConfig, summary: TrainSummary, keys: tuple[TileYear, ...]) -> None:
    """Record the model at each tile-year that taught it, unless that is known already."""
    card = summary.card
    ledger = Ledger(config.store.root, f"train/{card.name}")
    for key in keys:
        known = ledger.records(key.year).get(key)
        shards = {f"{card.sha256}.ubj": card.sha256}
        if known is None or known.shards != shards or known.input_hash != card.input_hash:
            figures = {"rounds": float(card.rounds), "rows": float(card.sets["fit"]["rows"])}
            ledger.write(
                Record(f"train/{card.name}", key, card.input_hash, shards, figures=figures)
            )


def _keep_estimates(request: TrainRequest, scored: Scored) -> SplitScores:
    """Store the estimates of a test set, for the report of `validate`; return the scores."""
    key = f"splits/{scored.scores.kind}.parquet"
    reports = open_objects(Layout(request.root).reports(request.product or request.name))
    if scored.table is not None:
        reports.put(key, scored.table.to_parquet(index=False))
    else:
        _forget(reports, key)
    return scored.scores


def _forget(reports: Objects, key: str) -> None:
    """Delete the estimates of an earlier training, where the credentials may."""
    try:
        if reports.exists(key):
            reports.delete(key)
    except StoreError as err:
        log.warning("old estimates stay at %s/%s: %s", reports.url, key, err)


def _score_others(
    table: TrainingTable,
    request: TrainRequest,
    shipped: SplitScores,
    client: Client | None,
    listener: Listener,
) -> dict[SplitKind, SplitScores]:
    kinds = [kind for kind in SPLIT_KINDS if kind != SHIPPED]
    found: dict[SplitKind, SplitScores] = {SHIPPED: shipped}
    listener.begin("score splits", len(kinds), "splits")

    def keep(kind: SplitKind, scores: SplitScores) -> None:
        found[kind] = scores
        listener.advance(1, split=kind)

    if client is None:
        for kind in kinds:
            scored = fit_and_score(table, kind, request.rules, request.params)
            keep(kind, _keep_estimates(request, scored))
    else:
        url = Layout(request.root).table(f"{request.name}-training")
        open_objects(url).put(ROWS, table.to_parquet())
        # Workers have one thread each unless their cluster says otherwise.
        bounded = replace(request, params=replace(request.params, threads=1))
        tasks = [
            Task(f"train-{request.name}-{kind}", score_split, (url, bounded, kind))
            for kind in kinds
        ]
        run_tasks(
            client,
            tasks,
            window=len(tasks),
            on_done=lambda task, scores: keep(task.args[2], scores),
            listener=listener,
        )
    listener.end()
    return {kind: found[kind] for kind in SPLIT_KINDS}


def _card(
    request: TrainRequest,
    counts: Mapping[str, Mapping[str, int]],
    scores: Mapping[SplitKind, SplitScores],
    trained: Trained,
    keys: tuple[str, ...],
    input_hash: str,
) -> ModelCard:
    return ModelCard(
        name=request.name,
        target=request.columns.target,
        target_units=request.target_units,
        columns=request.columns.features,
        units=request.units or ("",) * len(request.columns.features),
        training_keys=keys,
        sets={name: dict(found) for name, found in counts.items()},
        scores={kind: found.for_card() for kind, found in scores.items() if found.possible},
        params=request.params.stated(),
        versions=_versions(request),
        seed=request.params.seed,
        rounds=trained.rounds,
        resumed=trained.resumed,
        distributed=trained.distributed,
        input_hash=input_hash,
        sha256=content_hash(trained.data),
    )


def _store(
    request: TrainRequest,
    card: ModelCard,
    scores: Mapping[SplitKind, SplitScores],
    data: bytes,
) -> None:
    """Write the scores first and the card last: a model without a card does not exist."""
    models = request.models
    body = {
        "model": request.name,
        "sha256": card.sha256,
        "headline": headline(scores),
        "splits": [found.to_json() for found in scores.values()],
    }
    models.put(f"{request.name}/{SCORES}", _json(body))
    save_model(models, request.name, data, card)


def _finished(request: TrainRequest, input_hash: str, dropped: int) -> TrainSummary | None:
    """Return the summary of an equal training that was finished before, or None."""
    models = request.models
    try:
        card = load_card(models, request.name)
        if card.input_hash != input_hash or not models.exists(f"{request.name}/{card.sha256}.ubj"):
            return None
        scores = read_scores(models, request.name)
    except (ModelError, NotFoundError):
        # No model, or one that this smcloud cannot read: it is trained and written anew.
        return None
    return _summary(request, card, scores, dropped, repeated=True)


def _summary(
    request: TrainRequest,
    card: ModelCard,
    scores: Mapping[SplitKind, SplitScores],
    dropped: int,
    *,
    repeated: bool,
) -> TrainSummary:
    prefix = Layout(request.root).model(request.name)
    return TrainSummary(
        card,
        scores,
        join(prefix, f"{card.sha256}.ubj"),
        join(prefix, SCORES),
        dropped,
        repeated,
    )


def _years_of(table: TrainingTable) -> tuple[str, ...]:
    return tuple(str(year) for year in np.unique(table.days.astype("datetime64[Y]")))


def _versions(request: TrainRequest) -> dict[str, str]:
    return {**request.versions, "smcloud": __version__, "xgboost": str(xgboost.__version__)}


def _input_hash(table: TrainingTable, request: TrainRequest) -> str:
    stated: dict[str, Parameter] = request.params.stated()
    shaping = [
        table.content_hash(),
        repr(request.rules),
        stated,
        request.params.seed,
        request.route == "dask",
        _versions(request),
    ]
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()


def _json(body: object) -> bytes:
    return (json.dumps(body, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()
