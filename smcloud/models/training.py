"""Gradient boosted trees grown on one host or over a Dask cluster, resumable.

The trees are grown by XGBoost's `hist` on quantised features. Each 20 rounds the booster goes to
the store; a training that was killed continues from there, and its card says so. On one host plain
`hist` is the faster way: docs/train.md has the figures.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Literal

import numpy as np
import psutil
from distributed import Client

from smcloud.core.errors import MissingExtraError, UserError
from smcloud.core.layout import join
from smcloud.core.listener import Listener, Silent
from smcloud.models.checkpoints import (
    STOP_SET,
    GrowingRules,
    Progress,
    Trained,
    finished,
    forget_checkpoints,
    last_checkpoint,
)
from smcloud.models.devices import require_device
from smcloud.models.matrix import quantised
from smcloud.models.over_workers import train_over_workers, workers_of
from smcloud.models.parameters import BoostingParams
from smcloud.models.rows import Rows

try:
    import xgboost
except ImportError as err:
    raise MissingExtraError("xgboost", "cpu", "training and production") from err

Route = Literal["auto", "dask", "local"]

TRAINING_BYTES = 8
"""Bytes of memory per value beside the table while training: 7.2 were measured, with values
unknown; XGBoost keeps two numbers of each bin, one of 4 bytes and one of 1, and sketches."""
ROWS_PER_THREAD = 20_000
"""With fewer rows each, threads wait for one another longer than they work."""


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
        parameters; a training found there is continued. None keeps nothing. Workers read their
        rows from that folder, too. Removed at the end.

    Raises
    ------
    UserError
        If the target is constant, "dask" is asked for without a cluster or a place for the rows,
        or the device is not there.
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
        if url is None:
            raise UserError("training over workers needs a store that they can read: name one")
        trained = train_over_workers(client, fit, stop, params, url, told)
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
    hosts = {worker["host"] for worker in workers_of(client).values()}
    needed = fit.n_values * TRAINING_BYTES
    return len(hosts) > 1 or needed > psutil.virtual_memory().available


def _train_here(
    fit: Rows, stop: Rows, params: BoostingParams, url: str | None, listener: Listener
) -> Trained:
    require_device(params.device)
    start = last_checkpoint(url)
    rules = GrowingRules(params.early_stopping, url, start)
    threads = params.threads or _threads_for(fit)
    matrix = quantised(fit, max_bin=params.max_bin, threads=threads)
    held_out = quantised(stop, max_bin=params.max_bin, threads=threads, ref=matrix)
    booster = xgboost.train(
        {**params.for_xgboost(rules.grown), "nthread": threads},
        matrix,
        params.rounds - rules.grown,
        evals=[(held_out, STOP_SET)],
        callbacks=[rules, Progress(listener)],
        xgb_model=None if start is None else start.booster,
        verbose_eval=False,
    )
    return finished(booster, tuple(rules.history), resumed=start is not None, distributed=False)


def _threads_for(fit: Rows) -> int:
    return max(1, min(os.cpu_count() or 1, fit.size // ROWS_PER_THREAD))


def _fingerprint(fit: Rows, stop: Rows, params: BoostingParams) -> str:
    """Return a hash of everything that shapes the trees: only an equal training is continued."""
    shaping = [params.stated(), params.seed, fit.content_hash(), stop.content_hash()]
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()[:24]
