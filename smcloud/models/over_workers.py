"""Trees grown over the workers of a Dask cluster; a dead worker costs the last rounds.

Each worker holds its part of the rows as a quantised matrix, and the histograms are summed over
the workers. On several hosts, or when the table does not fit this one, it is the way to train.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import CancelledError

import dask.array as da
import numpy as np
from dask.delayed import delayed
from distributed import Client, Future, KilledWorker
from distributed.comm.core import CommClosedError

from smcloud.core.errors import ClusterError, MissingExtraError
from smcloud.core.listener import Listener
from smcloud.models.checkpoints import (
    STOP_SET,
    Checkpoint,
    GrowingRules,
    History,
    Trained,
    finished,
    last_checkpoint,
)
from smcloud.models.parameters import BoostingParams
from smcloud.models.rows import Floats, Rows

try:
    import xgboost
    import xgboost.dask
except ImportError as err:
    raise MissingExtraError("xgboost", "cpu", "training and production") from err

log = logging.getLogger(__name__)

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


def train_over_workers(
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
        before = set(workers_of(client))
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
        return finished(booster, history, resumed=resumed, distributed=True)
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
    rules = GrowingRules(params.early_stopping, url, start)
    matrix = xgboost.dask.DaskQuantileDMatrix(client, *_spread(client, fit), max_bin=params.max_bin)
    held_out = xgboost.dask.DaskQuantileDMatrix(
        client, *_spread(client, stop), max_bin=params.max_bin, ref=matrix
    )
    found = xgboost.dask.train(
        client,
        params.for_xgboost(rules.grown),
        matrix,
        params.rounds - rules.grown,
        evals=[(held_out, STOP_SET)],
        callbacks=[rules],
        xgb_model=None if start is None else start.booster,
        verbose_eval=False,
    )
    before = () if start is None else start.history
    # A checkpoint of the last round leaves nothing to grow, and xgboost then reports no scores.
    grown = found["history"].get(STOP_SET, {"rmse": []})["rmse"]
    return found["booster"], (*before, *map(float, grown))


def _spread(client: Client, rows: Rows) -> tuple[da.Array, da.Array]:
    """Return features and target with one part on each worker, in row order."""
    workers = sorted(workers_of(client))
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


def workers_of(client: Client) -> dict[str, dict[str, object]]:
    """Return what the scheduler knows of each worker, by address."""
    found: dict[str, dict[str, object]] = client.scheduler_info(n_workers=-1)["workers"]
    return found


def _workers_changed(client: Client, before: set[str]) -> bool:
    """Return whether the cluster has lost or replaced a worker, waiting for the news a while."""
    deadline = time.monotonic() + NEWS_SECONDS
    while time.monotonic() < deadline:
        if set(workers_of(client)) != before:
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
