"""Gradient boosted trees: trained on one host or on a Dask cluster, resumable, read back checked.

The trees are grown by XGBoost's `hist` on quantised features. Each 20 rounds the booster goes to
the store; a training that was killed continues from there, and its card says so. On one host plain
`hist` is the faster way (measured: `xgboost.dask` ran at 0.65 of its rate); on several hosts, or
when the table does not fit this one, the histograms are summed over the workers.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Literal

import dask.array as da
import numpy as np
import psutil
from dask.delayed import delayed
from distributed import Client, Future, KilledWorker
from distributed.comm.core import CommClosedError
from numpy.typing import NDArray

from smcloud.core.errors import (
    ClusterError,
    ConfigError,
    MissingExtraError,
    ModelError,
    UserError,
)
from smcloud.core.layout import join
from smcloud.core.listener import Listener, Silent
from smcloud.core.objects import Objects
from smcloud.models.base import ModelCard, Parameter, load_bytes
from smcloud.models.checkpoints import (
    STOP_SET,
    Checkpoint,
    GrowingRules,
    History,
    Progress,
    best_round,
    finished_booster,
    forget_checkpoints,
    last_checkpoint,
)

try:
    import xgboost
    import xgboost.dask
except ImportError as err:
    raise MissingExtraError("xgboost", "cpu", "training and production") from err

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]
Route = Literal["auto", "dask", "local"]

CHUNK_ROWS = 32768
"""Rows that are transposed and predicted at a time: their features stay in the cache."""
TRAINING_BYTES = 10
"""Bytes of memory per table value while training: the float32, its copy, a bin and its sketch."""
ROWS_PER_THREAD = 20_000
"""With fewer rows each, threads wait for one another longer than they work."""
ATTEMPTS = 4
WORKER_SECONDS = 60
NEWS_SECONDS = 10.0
_LOST_WORKER = (
    xgboost.core.XGBoostError,
    RuntimeError,
    KilledWorker,
    CommClosedError,
    CancelledError,
)
"""What a worker's death looks like from here; RuntimeError is XGBoost's "Missing required
workers"."""
DEFAULT_TREES: Mapping[str, Parameter] = {
    "objective": "reg:squarederror",
    "max_depth": 8,
    "eta": 0.1,
    "min_child_weight": 10,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "lambda": 2.0,
    "max_bin": 256,
}
"""Defaults of our own, inside the search space of open soil moisture models; no source states
those of GLASS SM."""
_FIXED: Mapping[str, Parameter] = {
    "tree_method": "hist",
    "eval_metric": "rmse",
}


@dataclass(frozen=True)
class BoostingParams:
    """How trees are grown.

    Attributes
    ----------
    rounds : int
        Most trees.
    early_stopping : int
        Rounds without a better score on the stop set after which growing ends.
    seed : int
        Draws rows and columns of each tree.
    trees : mapping
        XGBoost parameters that replace those of `DEFAULT_TREES`.
    threads : int
        Threads of a local training; 0 takes every core that has rows enough.
    """

    rounds: int = 300
    early_stopping: int = 30
    seed: int = 0
    trees: Mapping[str, Parameter] = field(default_factory=dict)
    threads: int = 0

    def __post_init__(self) -> None:
        own = sorted({*_FIXED, "seed", "nthread", "n_jobs", "device"} & set(self.trees))
        if own:
            raise ConfigError(f"the parameters {', '.join(own)} are set by smcloud: leave them out")
        if self.rounds < 1 or self.early_stopping < 1:
            raise ConfigError(
                "rounds and early_stopping must be 1 or more, found "
                f"{self.rounds} and {self.early_stopping}"
            )

    @property
    def max_bin(self) -> int:
        """Return the bins per feature, for the quantised matrix and the trees alike."""
        return int({**DEFAULT_TREES, **self.trees}["max_bin"])

    def stated(self) -> dict[str, Parameter]:
        """Return everything that shapes the model, as the card keeps it."""
        return {
            **_FIXED,
            **DEFAULT_TREES,
            **self.trees,
            "rounds": self.rounds,
            "early_stopping": self.early_stopping,
        }

    def for_xgboost(self, grown: int) -> dict[str, Parameter]:
        """Return XGBoost's parameters for a training that has `grown` trees already.

        XGBoost numbers the rounds of a continued training from zero again: with an unchanged
        seed the rows and columns of the first trees would be drawn a second time.
        """
        return {**DEFAULT_TREES, **self.trees, **_FIXED, "seed": self.seed + grown}


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows to learn from or to stop on.

    Attributes
    ----------
    features : float32 (n_rows, n_features)
        C-contiguous; NaN is unknown, which the trees treat as a branch of its own.
    target : float32 (n_rows,)
        No NaN.
    """

    features: Floats
    target: Floats

    def __post_init__(self) -> None:
        if self.features.shape[0] != self.target.size or not self.target.size:
            raise UserError(
                f"training rows do not match: {self.features.shape[0]} rows of features, "
                f"{self.target.size} of the target"
            )
        if not np.isfinite(self.target).all():
            raise UserError("the target has unknown values: drop those rows before training")


@dataclass(frozen=True)
class Trained:
    """A finished training: the booster as UBJSON and how it came about."""

    data: bytes
    rounds: int
    """Trees kept: up to the best round on the stop set."""
    history: tuple[float, ...]
    """RMSE on the stop set after each round, in units of the target."""
    resumed: bool
    distributed: bool


@dataclass(frozen=True, eq=False)
class Model:
    """A booster that was checked against its card, ready to predict."""

    card: ModelCard
    booster: xgboost.Booster

    def predict(self, columns: Floats) -> Floats:
        """Return the target at each point, in the card's `target_units`.

        Parameters
        ----------
        columns
            float32 (n_features, n_rows), in the order of the card's columns; NaN is unknown.

        Returns
        -------
        float32 (n_rows,)
            Never NaN: the trees have a branch for unknown values.

        Raises
        ------
        ModelError
            If the number of features differs.
        """
        n_features = len(columns)
        if n_features != len(self.card.columns):
            raise ModelError(
                f"model {self.card.name!r} takes {len(self.card.columns)} features, "
                f"found {n_features}: see the columns of its card"
            )
        return predict_columns(self.booster, columns)


def predict_columns(booster: xgboost.Booster, columns: Floats) -> Floats:
    """Return the booster's estimate of each row of (n_features, n_rows) float32, NaN unknown.

    XGBoost wants rows; they are turned over in pieces that fit the cache, so that no second copy
    of the columns is made and the rate stays near that of `inplace_predict` alone.
    """
    n_features, n_rows = columns.shape
    found = np.empty(n_rows, dtype=np.float32)
    buffer = np.empty((min(CHUNK_ROWS, n_rows), n_features), dtype=np.float32)
    for start in range(0, n_rows, CHUNK_ROWS):
        stop = min(start + CHUNK_ROWS, n_rows)
        rows = buffer[: stop - start]
        rows[...] = columns[:, start:stop].T
        found[start:stop] = booster.inplace_predict(rows, validate_features=False)
    return found


def load_model(
    objects: Objects, name: str, columns: Sequence[str] | None = None, *, threads: int = 1
) -> Model:
    """Return a stored model whose hash, card version and columns have been checked.

    Parameters
    ----------
    objects, name, columns
        See `smcloud.models.base.load_bytes`, which raises the errors.
    threads
        Threads of each prediction.
    """
    data, card = load_bytes(objects, name, columns)
    return Model(card, booster_of(data, threads))


def train_boosting(
    fit: Rows,
    stop: Rows,
    params: BoostingParams,
    *,
    client: Client | None = None,
    route: Route = "auto",
    checkpoints: str | None = None,
    listener: Listener | None = None,
) -> Trained:
    """Return trees fitted on `fit` up to the round that does best on `stop`.

    Parameters
    ----------
    fit, stop
        Disjoint rows; the same columns in the same order.
    client
        Cluster for the route "dask".
    route
        "local" is plain hist in this process; "dask" sums histograms over the workers; "auto" is
        local unless workers sit on several hosts or the rows do not fit this host's free memory.
    checkpoints
        URL below which the booster is kept each 20 rounds, in a folder named by a hash of rows and
        parameters; a training found there is continued. None keeps nothing. Removed at the end.

    Raises
    ------
    UserError
        If the target is constant, or "dask" is asked for without a cluster.
    ClusterError
        If workers kept dying.
    """
    if float(np.ptp(fit.target)) == 0.0:
        raise UserError(
            f"the target is {float(fit.target[0]):g} in all {fit.target.size} rows to fit: "
            "there is nothing to learn"
        )
    distributed = is_distributed(route, client, fit)
    url = None if checkpoints is None else join(checkpoints, _fingerprint(fit, stop, params))
    told = listener or Silent()
    told.begin("train", params.rounds, "rounds")
    if distributed and client is not None:
        trained = _train_on_cluster(client, fit, stop, params, url, told)
    else:
        trained = _train_here(fit, stop, params, url, told)
    told.end()
    forget_checkpoints(url)
    return trained


def is_distributed(route: Route, client: Client | None, fit: Rows) -> bool:
    """Return whether a training goes over the cluster's workers."""
    if route == "dask" and client is None:
        raise UserError("distributed training needs a cluster: none was started")
    if route != "auto" or client is None:
        return route == "dask"
    hosts = {worker["host"] for worker in _workers(client).values()}
    needed = fit.features.size * TRAINING_BYTES
    return len(hosts) > 1 or needed > psutil.virtual_memory().available


def _train_here(
    fit: Rows, stop: Rows, params: BoostingParams, url: str | None, listener: Listener
) -> Trained:
    start = last_checkpoint(url)
    rules = _rules(params, url, start)
    threads = params.threads or _threads_for(fit)
    quantised = {"max_bin": params.max_bin, "nthread": threads}
    matrix = xgboost.QuantileDMatrix(fit.features, fit.target, **quantised)
    held_out = xgboost.QuantileDMatrix(stop.features, stop.target, ref=matrix, **quantised)
    booster = xgboost.train(
        {**params.for_xgboost(_grown(start)), "nthread": threads},
        matrix,
        params.rounds - _grown(start),
        evals=[(held_out, STOP_SET)],
        callbacks=[rules, Progress(listener)],
        xgb_model=None if start is None else start.booster,
        verbose_eval=False,
    )
    return _trained(booster, tuple(rules.history), resumed=start is not None, distributed=False)


def _threads_for(fit: Rows) -> int:
    return max(1, min(os.cpu_count() or 1, fit.target.size // ROWS_PER_THREAD))


def _train_on_cluster(
    client: Client,
    fit: Rows,
    stop: Rows,
    params: BoostingParams,
    url: str | None,
    listener: Listener,
) -> Trained:
    """Train over the workers; when one dies, rebuild the matrices and go on from the store."""
    resumed = False
    for attempt in range(ATTEMPTS):
        start = last_checkpoint(url)
        resumed |= start is not None
        before = set(_workers(client))
        try:
            booster, history = _grow_on_workers(client, fit, stop, params, url, start)
        except _LOST_WORKER as err:
            if not _workers_changed(client, before):
                raise
            listener.warn(f"a worker died while training: trying again ({attempt + 1})")
            log.warning("distributed training failed: %s", err)
            _wait_for_a_worker(client)
            continue
        listener.advance(len(history))
        return _trained(booster, history, resumed=resumed, distributed=True)
    raise ClusterError(
        f"workers died in {ATTEMPTS} attempts to train, most likely out of memory: give each more "
        "memory, then run the same command again; it goes on from the last checkpoint"
    )


def _grow_on_workers(
    client: Client,
    fit: Rows,
    stop: Rows,
    params: BoostingParams,
    url: str | None,
    start: Checkpoint | None,
) -> tuple[xgboost.Booster, History]:
    matrix = xgboost.dask.DaskQuantileDMatrix(client, *_spread(client, fit), max_bin=params.max_bin)
    held_out = xgboost.dask.DaskQuantileDMatrix(
        client, *_spread(client, stop), max_bin=params.max_bin, ref=matrix
    )
    found = xgboost.dask.train(
        client,
        params.for_xgboost(_grown(start)),
        matrix,
        params.rounds - _grown(start),
        evals=[(held_out, STOP_SET)],
        callbacks=[_rules(params, url, start)],
        xgb_model=None if start is None else start.booster,
        verbose_eval=False,
    )
    before = () if start is None else start.history
    # A checkpoint of the last round leaves nothing to grow, and xgboost then reports no scores.
    grown = found["history"].get(STOP_SET, {"rmse": []})["rmse"]
    return found["booster"], (*before, *map(float, grown))


def _spread(client: Client, rows: Rows) -> tuple[da.Array, da.Array]:
    """Return features and target with one part on each worker, in row order."""
    workers = sorted(_workers(client))
    parts = np.array_split(np.arange(rows.target.size), len(workers))
    features, targets = [], []
    for worker, part in zip(workers, parts, strict=True):
        if not part.size:
            continue
        pair = slice(int(part[0]), int(part[-1]) + 1)
        x, y = client.scatter(
            [rows.features[pair], rows.target[pair]], workers=[worker], hash=False
        )
        features.append(_on_worker(x, rows.features[pair].shape))
        targets.append(_on_worker(y, (part.size,)))
    return da.concatenate(features), da.concatenate(targets)  # type: ignore[no-untyped-call]


def _on_worker(future: Future[Floats], shape: tuple[int, ...]) -> da.Array:
    """Return a dask array of one part that lies on a worker already."""
    part: da.Array = da.from_delayed(  # type: ignore[no-untyped-call]
        delayed(future), shape, np.float32
    )
    return part


def _rules(params: BoostingParams, url: str | None, start: Checkpoint | None) -> GrowingRules:
    return GrowingRules(params.early_stopping, url, () if start is None else start.history)


def _grown(start: Checkpoint | None) -> int:
    return 0 if start is None else start.rounds


def _trained(
    booster: xgboost.Booster, history: History, *, resumed: bool, distributed: bool
) -> Trained:
    data = finished_booster(booster, history)
    return Trained(data, best_round(history), history, resumed, distributed)


def _workers(client: Client) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = client.scheduler_info(n_workers=-1)["workers"]
    return found


def _workers_changed(client: Client, before: set[str]) -> bool:
    """Return whether the cluster has lost or replaced a worker, waiting for the news a while."""
    deadline = time.monotonic() + NEWS_SECONDS
    while time.monotonic() < deadline:
        if set(_workers(client)) != before:
            return True
        time.sleep(0.2)
    return False


def _wait_for_a_worker(client: Client) -> None:
    try:
        client.wait_for_workers(1, timeout=WORKER_SECONDS)
    except TimeoutError as err:
        raise ClusterError(
            f"no worker came back within {WORKER_SECONDS} s: start workers, then run the same "
            "command again; it goes on from the last checkpoint"
        ) from err


def _fingerprint(fit: Rows, stop: Rows, params: BoostingParams) -> str:
    """Return a hash of everything that shapes the trees: only an equal training is continued."""
    found = hashlib.sha256(json.dumps([params.stated(), params.seed], sort_keys=True).encode())
    for rows in (fit, stop):
        found.update(repr(rows.features.shape).encode())
        found.update(np.ascontiguousarray(rows.features).data)
        found.update(np.ascontiguousarray(rows.target).data)
    return found.hexdigest()[:24]


def booster_of(data: bytes, threads: int = 0) -> xgboost.Booster:
    """Return a booster from trusted UBJSON bytes; 0 threads are all cores."""
    booster = xgboost.Booster(model_file=bytearray(data))
    booster.set_param({"nthread": threads})
    return booster
