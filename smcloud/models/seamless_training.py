"""Training of the gap-filling network: seeded, continued after a break, ended by a year held out.

The same patches, rules and number of threads give the same bits, in one go or in several: all that
is drawn in an epoch follows from the seed and the epoch's number, and a checkpoint holds weights,
moments of Adam and scores. Checkpoints are safetensors, which hold arrays and nothing to execute.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field

import numpy as np

from smcloud.core.errors import MissingExtraError, ModelError, StoreError, UserError
from smcloud.core.listener import Listener, Silent
from smcloud.core.objects import open_objects
from smcloud.models.base import content_hash
from smcloud.models.gap_patches import Batch, Bools, HidingRules, Patches, batches, hide
from smcloud.models.seamless import SeamlessNet, estimated, exactly
from smcloud.models.seamless_rules import SeamlessShape, TrainingRules

try:
    import safetensors.torch as arrays
    import torch
    from torch import Tensor
except ImportError as err:
    raise MissingExtraError("safetensors", "deep", "training the network") from err

log = logging.getLogger(__name__)

LARGEST_GRADIENT = 1.0
"""Norm to which longer gradients are cut."""
_MORE = "take more days, or lower `seen_share` of the patches"
_KEY = re.compile(r"(\d{5})-([0-9a-f]{64})\.safetensors")
_EPOCHS, _VALIDATION = 0, 1
"""What a stream of random numbers is for; with the seed and a number it names the stream."""


@dataclass(frozen=True)
class TrainedNet:
    """A finished training: the weights of its best epoch as safetensors, and how it came about."""

    data: bytes
    epoch: int
    """The best epoch, from 1."""
    history: tuple[float, ...]
    """RMSE in the gaps of the patches held out after each epoch, m3 m-3."""
    untrained_rmse: float
    """The same of the first guess with the weights from which the training starts."""
    resumed: bool


@dataclass
class _State:
    """Everything that the next epoch depends on."""

    net: SeamlessNet
    adam: torch.optim.Adam
    history: list[float] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def best_epoch(self) -> int:
        """Return the number, from 1, of the first epoch with the least score."""
        return int(np.argmin(self.history)) + 1

    def ended(self, rules: TrainingRules) -> bool:
        """Say whether no further epoch is due."""
        done = len(self.history)
        return done >= rules.epochs or (done > 0 and done - self.best_epoch >= rules.patience)


def train(
    patches: Sequence[Patches],
    masks: Bools,
    validation: Patches,
    shape: SeamlessShape,
    rules: TrainingRules,
    *,
    hiding: HidingRules | None = None,
    input_hash: str = "",
    checkpoints: str | None = None,
    listener: Listener | None = None,
) -> TrainedNet:
    """Return the network that fills gaps best in patches of a year that it was not fitted to.

    Parameters
    ----------
    patches
        Shards to learn from; an epoch reads one of them, in an order that the seed draws.
    masks : bool (m, size, size)
        Gaps of real shape, `gap_patches.swath_masks`.
    validation
        Patches of the year held out; hidden once, in the same way for every epoch.
    input_hash
        Hash of what the patches were made of: only checkpoints of the same are continued.
    checkpoints
        URL below which the state is kept after each epoch; None keeps nothing.

    Raises
    ------
    UserError
        If there are no patches or no gaps, their days are not the network's, or there is no GPU.
    """
    _check(masks, validation, shape, rules)
    hiding, listener = hiding or HidingRules(), listener or Silent()
    url = (
        None if checkpoints is None else f"{checkpoints}/{_name(shape, rules, hiding, input_hash)}"
    )
    with exactly(rules.threads):
        state = _start(patches, shape, rules)
        held_out = _held_out(validation, masks, rules, hiding)
        start = _score(state.net, held_out, rules)
        resumed = _continue(state, url)
        listener.begin("train the network", rules.epochs, "epochs")
        listener.advance(len(state.history))
        while not state.ended(rules):
            _epoch(state, patches, masks, rules, hiding)
            state.history.append(_score(state.net, held_out, rules))
            if state.best_epoch == len(state.history):
                state.best = _copied(state.net)
            _keep(state, url)
            listener.advance(1, gap_rmse=state.history[-1])
        listener.end()
    best = {name: value.cpu() for name, value in state.best.items()}
    return TrainedNet(arrays.save(best), state.best_epoch, tuple(state.history), start, resumed)


def forget_checkpoints(url: str) -> None:
    """Delete the checkpoints of a training that has ended; without the right to, they stay."""
    objects = open_objects(url)
    try:
        for info in objects.list():
            if _KEY.fullmatch(info.key.rpartition("/")[2]):
                objects.delete(info.key)
    except StoreError as err:
        log.warning("checkpoints stay below %s: %s", url, err)


def new_net(shape: SeamlessShape, seed: int) -> SeamlessNet:
    """Return a network with weights drawn from the seed; torch's own stream is left as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SeamlessNet(shape)


def _check(masks: Bools, validation: Patches, shape: SeamlessShape, rules: TrainingRules) -> None:
    """Raise `UserError` where there is nothing to learn from, or nowhere to learn."""
    if not len(validation):
        raise UserError(f"no complete patches of the year held out: {_MORE}")
    if not len(masks):
        raise UserError("no gap of a swath lies over land: take more days, or lower `least_hidden`")
    if validation.days != shape.days:
        raise UserError(
            f"the network looks {shape.days} days to each side, the patches {validation.days}: "
            "cut them with the same number"
        )
    if rules.device == "cuda" and not torch.cuda.is_available():
        raise UserError("device 'cuda' needs a GPU, and torch finds none here: train on 'cpu'")


def _name(shape: SeamlessShape, rules: TrainingRules, hiding: HidingRules, inputs: str) -> str:
    """Return the folder of the checkpoints: trainings that differ in anything never meet."""
    parts = [asdict(shape), asdict(rules), asdict(hiding), inputs]
    return content_hash(json.dumps(parts, sort_keys=True).encode())[:16]


def _start(patches: Sequence[Patches], shape: SeamlessShape, rules: TrainingRules) -> _State:
    """Return the state before the first epoch."""
    first = next((shard for shard in patches if len(shard)), None)
    if first is None:
        raise UserError(f"no complete patches in any shard: {_MORE}")
    net = new_net(shape, rules.seed)
    net.guess.mean.fill_(float(np.nanmean(first.moisture[:, shape.days], dtype=np.float64)))
    net = net.to(rules.device)
    adam = torch.optim.Adam(net.parameters(), lr=rules.learning_rate, foreach=False)
    return _State(net, adam)


def _epoch(
    state: _State,
    patches: Sequence[Patches],
    masks: Bools,
    rules: TrainingRules,
    hiding: HidingRules,
) -> None:
    """Take the steps of one epoch over one shard."""
    epoch = len(state.history)
    rng = np.random.default_rng([rules.seed, _EPOCHS, epoch])
    shards = np.random.default_rng([rules.seed, _EPOCHS, epoch // len(patches), len(patches)])
    shard = patches[int(shards.permutation(len(patches))[epoch % len(patches)])]
    if not len(shard):
        return
    order = np.concatenate(
        [rng.permutation(len(shard)) for _ in range(-(-rules.steps * rules.batch // len(shard)))]
    )
    state.net.train()
    for step in range(rules.steps):
        done = (epoch + step / rules.steps) / rules.epochs
        for group in state.adam.param_groups:
            group["lr"] = rules.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
        chosen = order[step * rules.batch : (step + 1) * rules.batch]
        _step(state, hide(shard.take(chosen), masks, rng, hiding), rules)


def _step(state: _State, batch: Batch, rules: TrainingRules) -> None:
    """Follow the gradient of the mean squared error in the gaps of one batch."""
    device = rules.device
    state.adam.zero_grad()
    with _precision(rules):
        found = estimated(state.net, *_inputs(batch, device))
    hidden = torch.from_numpy(batch.hidden).to(device)
    truth = torch.from_numpy(batch.truth).to(device)
    error = torch.where(hidden, found.float() - truth.nan_to_num(), 0.0)
    loss = error.square().sum() / hidden.sum().clamp_min(1)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(state.net.parameters(), LARGEST_GRADIENT, foreach=False)
    state.adam.step()


def _precision(rules: TrainingRules) -> AbstractContextManager[object]:
    """Return the context in which convolutions run."""
    if rules.device == "cuda" and rules.mixed_precision:
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()


def _inputs(batch: Batch, device: str) -> list[Tensor]:
    """Return stack, weight, rain and normal of a batch where the network is."""
    fields = (batch.stack, batch.weight, batch.rain, batch.normal)
    return [torch.from_numpy(one).to(device) for one in fields]


def _held_out(
    validation: Patches, masks: Bools, rules: TrainingRules, hiding: HidingRules
) -> list[Batch]:
    """Return the patches held out, in batches, hidden as the seed draws it.

    Raises
    ------
    UserError
        If nothing known lies under a gap: there would be no score.
    """
    rng = np.random.default_rng([rules.seed, _VALIDATION])
    found = [
        hide(validation.take(np.arange(part.start, part.stop)), masks, rng, hiding)
        for part in batches(len(validation), rules.batch)
    ]
    if not any(one.hidden.any() for one in found):
        raise UserError(f"no value of the year held out can be hidden: {_MORE}")
    return found


def _score(net: SeamlessNet, held_out: Sequence[Batch], rules: TrainingRules) -> float:
    """Return the RMSE in the gaps of the patches held out, m3 m-3.

    Raises
    ------
    ModelError
        If it is no number: the weights have left all bounds.
    """
    net.eval()
    with torch.inference_mode(), _precision(rules):
        score = _rmse(
            [_errors(estimated(net, *_inputs(one, rules.device)), one) for one in held_out]
        )
    if not math.isfinite(score):
        raise ModelError("the training does not converge: lower its learning_rate")
    return score


def _errors(found: Tensor, batch: Batch) -> tuple[float, int]:
    """Return the sum of the squared errors in the gaps, and their number."""
    estimates = found.float().cpu().numpy()
    error = estimates[batch.hidden].astype(np.float64) - batch.truth[batch.hidden]
    return float(np.sum(error**2)), int(batch.hidden.sum())


def _rmse(sums: Sequence[tuple[float, int]]) -> float:
    return math.sqrt(math.fsum(squares for squares, _ in sums) / sum(n for _, n in sums))


def _copied(net: SeamlessNet) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


def _keep(state: _State, url: str | None) -> None:
    """Store the state as one file whose name holds its hash."""
    if url is None:
        return
    kept = {f"net.{name}": value for name, value in _copied(state.net).items()}
    kept |= {f"best.{name}": value for name, value in state.best.items()}
    for number, moments in state.adam.state_dict()["state"].items():
        kept |= {f"adam.{number}.{name}": value.clone() for name, value in moments.items()}
    kept["history"] = torch.tensor(state.history, dtype=torch.float64)
    data = arrays.save({name: value.cpu().contiguous() for name, value in kept.items()})
    key = f"{len(state.history):05d}-{content_hash(data)}.safetensors"
    open_objects(url).put(key, data)


def _continue(state: _State, url: str | None) -> bool:
    """Bring the state to that of the last sound checkpoint; return whether there is one."""
    found = None if url is None else _last(url)
    if found is None:
        return False
    parts: dict[str, dict[str, Tensor]] = {"net": {}, "best": {}, "adam": {}}
    state.history = [float(score) for score in found.pop("history")]
    for name, value in found.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = value
    state.net.load_state_dict(parts["net"])
    state.best = parts["best"]
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in parts["adam"].items():
        number, _, moment = name.partition(".")
        moments.setdefault(int(number), {})[moment] = value
    settings = state.adam.state_dict()["param_groups"]
    state.adam.load_state_dict({"state": moments, "param_groups": settings})
    return True


def _last(url: str) -> dict[str, Tensor] | None:
    """Return the arrays of the latest checkpoint whose bytes have the hash of its name."""
    objects = open_objects(url)
    for info in reversed(objects.list()):
        match = _KEY.fullmatch(info.key)
        if not match:
            continue
        data = objects.get(info.key)
        if content_hash(data) == match[2]:
            return {name: value.clone() for name, value in arrays.load(data).items()}
        log.warning("checkpoint %s/%s is damaged: passed over", url, info.key)
    return None
