"""Trees grown over the workers of a Dask cluster; a dead worker costs the last rounds.

The rows lie in the store while the trees grow; tasks carry URL and key, and each worker reads its
own. The histograms are summed over the workers. On several hosts, or when the bins of the table do
not fit this one, it is the way to train.
"""

from __future__ import annotations

import io
import logging
import math
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.delayed import Delayed, delayed
from distributed import Client, Future, KilledWorker, wait
from distributed.comm.core import CommClosedError

from smcloud.core.errors import ClusterError, MissingExtraError
from smcloud.core.listener import Listener
from smcloud.core.objects import open_objects
from smcloud.models.checkpoints import (
    STOP_SET,
    Checkpoint,
    GrowingRules,
    History,
    Trained,
    finished,
    last_checkpoint,
)
from smcloud.models.devices import require_device
from smcloud.models.parameters import BoostingParams
from smcloud.models.rows import Floats, Rows

try:
    import xgboost
    import xgboost.dask
except ImportError as err:
    raise MissingExtraError("xgboost", "cpu", "training and production") from err

log = logging.getLogger(__name__)

PART_ROWS = 262_144
"""Rows of one object at most: with 24 features 26 MB."""
VALUE_BYTES = 11.5
"""Memory of a worker for each value of its rows: float32 and bins (docs/train.md has figures)."""
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


@dataclass(frozen=True)
class Part:
    """A piece of the rows that lies in the store: features and, last, the target, by column."""

    url: str
    key: str
    n_features: int
    n_rows: int

    def read(self) -> Floats:
        """Return float32 (n_features + 1, n_rows)."""
        found: Floats = np.load(io.BytesIO(open_objects(self.url).get(self.key)))
        return found


def train_over_workers(
    client: Client, fit: Rows, stop: Rows, params: BoostingParams, url: str, listener: Listener
) -> Trained:
    """Return trees grown over the workers of `client`, each of which reads its rows from `url`.

    When a worker dies, the others read its rows and go on from the last checkpoint below `url`.

    Raises
    ------
    UserError
        If a worker has no such device as `params` asks for.
    ClusterError
        If workers kept dying, or their memory cannot hold the rows.
    """
    _wait_for_a_worker(client)
    client.run(require_device, params.device)
    require_room(client, fit.n_values + stop.n_values)
    fit_parts = store_rows(fit, url, "fit", client)
    stop_parts = store_rows(stop, url, "stop", client)
    resumed = False
    for attempt in range(ATTEMPTS):
        start = last_checkpoint(url)
        resumed |= start is not None
        before = set(workers_of(client))
        try:
            booster, history = _grow_on_workers(client, fit_parts, stop_parts, params, url, start)
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
    fit: Sequence[Part],
    stop: Sequence[Part],
    params: BoostingParams,
    url: str,
    start: Checkpoint | None,
) -> tuple[xgboost.Booster, History]:
    rules = GrowingRules(params.early_stopping, url, start)
    matrix = xgboost.dask.DaskQuantileDMatrix(
        client, *rows_on_workers(client, fit), max_bin=params.max_bin
    )
    held_out = xgboost.dask.DaskQuantileDMatrix(
        client, *rows_on_workers(client, stop), max_bin=params.max_bin, ref=matrix
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


def store_rows(rows: Rows, url: str, name: str, client: Client) -> list[Part]:
    """Return the parts that the rows were written as: as many for each worker, of one size."""
    n_workers = len(workers_of(client))
    n_parts = n_workers * math.ceil(rows.size / (n_workers * PART_ROWS))
    objects = open_objects(url)
    parts: list[Part] = []
    for number, (features, target) in enumerate(rows.batches(math.ceil(rows.size / n_parts))):
        buffer = io.BytesIO()
        np.save(buffer, np.vstack([features, target]))
        part = Part(url, f"{name}-{number:05d}.npy", len(features), target.size)
        objects.put(part.key, buffer.getvalue())
        parts.append(part)
    return parts


def rows_on_workers(client: Client, parts: Sequence[Part]) -> tuple[da.Array, da.Array]:
    """Return features and target as workers have read them: neighbours on one worker, all alike."""
    workers = sorted(workers_of(client))
    at = [number * len(workers) // len(parts) for number in range(len(parts))]
    turns: dict[int, list[int]] = {}
    for number, worker in enumerate(at):
        turns.setdefault(number - at.index(worker), []).append(number)
    reads: dict[int, Future[Floats]] = {}
    # One part a worker at a time: of parts that wait in line an idle worker takes some, and the
    # rows of a table that fits all workers together then kill the one that started first.
    for turn in turns.values():
        reads |= {number: _read(client, parts[number], workers[at[number]]) for number in turn}
        wait([reads[number] for number in turn])
    features, targets = [], []
    for number, part in enumerate(parts):
        read = reads[number]
        features.append(_block(delayed(_features)(read), (part.n_rows, part.n_features)))
        targets.append(_block(delayed(_target)(read), (part.n_rows,)))
    return da.concatenate(features), da.concatenate(targets)  # type: ignore[no-untyped-call]


def _read(client: Client, part: Part, worker: str) -> Future[Floats]:
    # Another worker may read it: this one may have died meanwhile.
    return client.submit(
        part.read,
        key=f"read-{part.url.rpartition('/')[2]}-{part.key}",
        workers=[worker],
        allow_other_workers=True,
    )


def _features(part: Floats) -> Floats:
    return part[:-1].T


def _target(part: Floats) -> Floats:
    target: Floats = part[-1]
    return target


def _block(task: Delayed, shape: tuple[int, ...]) -> da.Array:
    block: da.Array = da.from_delayed(task, shape, np.float32)  # type: ignore[no-untyped-call]
    return block


def workers_of(client: Client) -> dict[str, dict[str, Any]]:
    """Return what the scheduler knows of each worker, by address."""
    found: dict[str, dict[str, Any]] = client.scheduler_info(n_workers=-1)["workers"]
    return found


def require_room(client: Client, n_values: int) -> None:
    """Raise `ClusterError` if the workers' share of the rows would fill one of them.

    Dask gives no work to a worker whose memory is nearly full, and XGBoost waits for all of them:
    nothing would ever happen.
    """
    share = dask.config.get("distributed.worker.memory.pause", default=False) or 1.0
    workers = workers_of(client)
    needed = VALUE_BYTES * n_values / len(workers)
    for address, told in sorted(workers.items()):
        limit, held = float(told["memory_limit"] or 0), float(told["metrics"]["memory"])
        if limit and held + needed > share * limit:
            raise ClusterError(
                f"the rows need {needed / 1e6:.0f} MB on each of {len(workers)} workers, and "
                f"{address} has {max(0.0, share * limit - held) / 1e6:.0f} MB left of "
                f"{limit / 1e6:.0f}: take more workers, give each more memory, or train on fewer "
                "rows"
            )


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
            f"no worker for {WORKER_SECONDS} s: start workers, then run the same "
            "command again; it goes on from the last checkpoint"
        ) from err
