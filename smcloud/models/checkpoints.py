"""Boosters kept in the store while they grow, and the rule that says when growing ends.

A checkpoint is ``<rounds>-<sha256>.ubj``: its name holds its hash, so a damaged one is passed over.
The scores on the stop set travel inside the booster as an attribute, so that a continued training
stops in the round in which an unbroken one would.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass

import numpy as np

from smcloud.core.errors import MissingExtraError, StoreError
from smcloud.core.listener import Listener
from smcloud.core.objects import open_objects
from smcloud.models.base import content_hash

try:
    import xgboost
    from xgboost import collective
    from xgboost.callback import TrainingCallback
except ImportError as err:
    raise MissingExtraError("xgboost", "cpu", "training and production") from err

log = logging.getLogger(__name__)

CHECKPOINT_ROUNDS = 20
STOP_SET = "stop"
_HISTORY = "stop_history"
_KEY = re.compile(r"(\d{5})-([0-9a-f]{64})\.ubj")

History = tuple[float, ...]


@dataclass(frozen=True)
class Checkpoint:
    """A booster to continue from."""

    booster: xgboost.Booster
    history: History
    """RMSE on the stop set after each of its rounds."""

    @property
    def rounds(self) -> int:
        """Return the trees that it has."""
        return len(self.history)


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


def last_checkpoint(url: str | None) -> Checkpoint | None:
    """Return the latest sound checkpoint below `url`, or None."""
    if url is None:
        return None
    objects = open_objects(url)
    for info in reversed(objects.list()):
        match = _KEY.fullmatch(info.key)
        if not match:
            continue
        data = objects.get(info.key)
        if content_hash(data) == match[2]:
            booster = xgboost.Booster(model_file=bytearray(data))
            return Checkpoint(booster, tuple(json.loads(booster.attr(_HISTORY) or "[]")))
        log.warning("checkpoint %s/%s is damaged: passed over", url, info.key)
    return None


def forget_checkpoints(url: str | None) -> None:
    """Delete the checkpoints of a training that has ended: another run of it starts afresh.

    Where the credentials may not delete, they stay, and the next equal training continues
    from the last of them.
    """
    if url is None:
        return
    objects = open_objects(url)
    try:
        for info in objects.list():
            objects.delete(info.key)
    except StoreError as err:
        log.warning("checkpoints stay below %s: %s", url, err)


def best_round(history: History | list[float]) -> int:
    """Return the number of trees after which the stop set was met best; the first such."""
    return int(np.argmin(history)) + 1


class GrowingRules(TrainingCallback):
    """Ends the training in time and keeps checkpoints; runs alike on every worker.

    The score on the stop set is summed over the workers before it arrives here, so all of them
    decide the same; the first one writes.
    """

    def __init__(self, patience: int, url: str | None, start: Checkpoint | None) -> None:
        super().__init__()
        self.patience = patience
        self.url = url
        self.history = [] if start is None else list(start.history)
        self.grown = len(self.history)

    def after_iteration(
        self,
        model: xgboost.Booster,
        epoch: int,
        evals_log: TrainingCallback.EvalsLog,
    ) -> bool:
        """Note the round; return whether it shall be the last."""
        self.history.append(_last_score(evals_log))
        if self.url is not None and len(self.history) % CHECKPOINT_ROUNDS == 0:
            self._keep(model)
        return len(self.history) - best_round(self.history) >= self.patience

    def _keep(self, model: xgboost.Booster) -> None:
        if self.url is None or collective.get_rank() != 0:
            return
        model.set_attr(**{_HISTORY: json.dumps(self.history)})
        data = bytes(model.save_raw("ubj"))
        key = f"{len(self.history):05d}-{content_hash(data)}.ubj"
        open_objects(self.url).put(key, data)


class Progress(TrainingCallback):
    """Tells a listener of each round; for trainings in this process only."""

    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self.listener = listener

    def after_iteration(
        self,
        model: xgboost.Booster,
        epoch: int,
        evals_log: TrainingCallback.EvalsLog,
    ) -> bool:
        """Advance by one round."""
        self.listener.advance(1, stop_rmse=_last_score(evals_log))
        return False


def _last_score(evals_log: TrainingCallback.EvalsLog) -> float:
    score = evals_log[STOP_SET]["rmse"][-1]
    return float(score[0] if isinstance(score, tuple) else score)


def finished(
    booster: xgboost.Booster, history: History, *, resumed: bool, distributed: bool
) -> Trained:
    """Return the trees up to the best round, without notes: equal trees are equal bytes."""
    rounds = best_round(history)
    kept = booster[:rounds]
    for name in kept.attributes():
        kept.set_attr(**{name: None})
    return Trained(bytes(kept.save_raw("ubj")), rounds, history, resumed, distributed)
