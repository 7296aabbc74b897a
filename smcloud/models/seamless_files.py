"""A trained network in the store: weights named by their hash, and the card that names them.

A prefix ``models/<name>/`` holds ``<sha256>.safetensors`` and ``card.json``, which is written last.
The hash is compared before a byte is parsed. The card alone can be read without torch.
"""

from __future__ import annotations

from dataclasses import asdict
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from smcloud.core.errors import MissingExtraError, ModelError
from smcloud.core.objects import Objects
from smcloud.models.base import (
    CARD_VERSION,
    Parameter,
    Score,
    card_bytes,
    card_json,
    checked_bytes,
    content_hash,
    parsed_card,
    save_parts,
)
from smcloud.models.seamless_rules import Device, SeamlessShape, TrainingRules
from smcloud.version import __version__

if TYPE_CHECKING:
    from smcloud.models.seamless import SeamlessNet
    from smcloud.models.seamless_training import TrainedNet

END = "safetensors"


class SeamlessCard(BaseModel):
    """What a network is, what it learned from and how well it fills; no clock, no host."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")

    card_version: int = CARD_VERSION
    kind: Literal["seamless"] = "seamless"
    name: str
    target: str = "soil_moisture"
    target_units: str = "m3 m-3"
    shape: dict[str, int]
    """Fields of `SeamlessShape`."""
    training_keys: tuple[str, ...]
    """TileYears that the patches come from, sorted."""
    held_out_keys: tuple[str, ...]
    """TileYears of the patches that ended the training, sorted."""
    patches: int
    held_out: int
    """Patches learned from, and held out."""
    masks: int
    """Windows of gaps that were drawn from."""
    scores: dict[str, dict[str, Score]]
    """``held_out``: RMSE in the gaps of the patches held out, of the network and, as
    ``RMSE_untrained``, of the first guess with the weights it starts from, m3 m-3."""
    params: dict[str, Parameter]
    """Fields of `TrainingRules`."""
    versions: dict[str, str]
    seed: int
    epoch: int
    """The epoch whose weights are kept."""
    history: tuple[float, ...]
    """RMSE on the patches held out after each epoch, m3 m-3."""
    resumed: bool
    """True if the training went on from a checkpoint; its bits are those of an unbroken one."""
    input_hash: str
    """Hash of the patches and of everything else that shapes the network."""
    sha256: str

    @property
    def whole_sha256(self) -> str:
        """Return one hash of everything that estimates come from."""
        return self.sha256

    def to_json(self) -> bytes:
        """Return the card as JSON with sorted keys: equal cards are equal bytes."""
        return card_json(self)


def require_torch() -> None:
    """Raise `MissingExtraError` unless the packages of the extra ``deep`` can be imported.

    Asked where a stage begins, so that no task of a worker is the first to say so.
    """
    for package in ("torch", "safetensors"):
        try:
            import_module(package)
        except ImportError as err:
            raise MissingExtraError(package, "deep", "filling gaps with the network") from err


def card_of(
    name: str,
    trained: TrainedNet,
    shape: SeamlessShape,
    rules: TrainingRules,
    *,
    counts: tuple[int, int, int],
    keys: tuple[tuple[str, ...], tuple[str, ...]],
    versions: dict[str, str],
    input_hash: str,
) -> SeamlessCard:
    """Return the card of a training.

    Parameters
    ----------
    counts
        Patches learned from, patches held out, masks.
    keys
        TileYears learned from, and held out.
    versions
        Of schemas and drivers; those of smcloud and torch are added.
    """
    rmse = trained.history[trained.epoch - 1]
    return SeamlessCard(
        name=name,
        shape=asdict(shape),
        training_keys=tuple(sorted(keys[0])),
        held_out_keys=tuple(sorted(keys[1])),
        patches=counts[0],
        held_out=counts[1],
        masks=counts[2],
        scores={"held_out": {"RMSE": rmse, "RMSE_untrained": trained.untrained_rmse}},
        params=asdict(rules),
        versions=versions | {"smcloud": __version__, "torch": version("torch")},
        seed=rules.seed,
        epoch=trained.epoch,
        history=trained.history,
        resumed=trained.resumed,
        input_hash=input_hash,
        sha256=content_hash(trained.data),
    )


def save_net(objects: Objects, name: str, data: bytes, card: SeamlessCard) -> None:
    """Store the weights and their card below ``name``, the card last.

    Raises
    ------
    ModelError
        If the card holds another hash than that of the bytes.
    """
    save_parts(objects, name, [(END, card.sha256, data)], card)


def load_net_card(objects: Objects, name: str) -> SeamlessCard:
    """Return the card of a stored network.

    Raises
    ------
    NotFoundError
        If there is none.
    ModelError
        If it is of another kind or version.
    """
    return parsed_card(SeamlessCard, *card_bytes(objects, name))


def load_net(
    objects: Objects, name: str, device: Device = "cpu"
) -> tuple[SeamlessNet, SeamlessCard]:
    """Return a stored network, ready to estimate, and its card.

    Raises
    ------
    NotFoundError
        If there is no such model.
    ModelError
        If the bytes have another hash, or are no network of the shape that the card says.
    MissingExtraError
        If torch is not installed.
    """
    card = load_net_card(objects, name)
    data = checked_bytes(objects, name, card.sha256, END)
    return net_of(data, SeamlessShape(**card.shape), name).to(device).eval(), card


def net_of(data: bytes, shape: SeamlessShape, name: str) -> SeamlessNet:
    """Return the network of these weights.

    Raises
    ------
    ModelError
        If they are no weights of a network of this shape.
    """
    require_torch()
    # Here, so that cards are read where the extra is not installed.
    import safetensors
    import safetensors.torch as arrays

    from smcloud.models.seamless import SeamlessNet

    net = SeamlessNet(shape)
    try:
        net.load_state_dict(arrays.load(data))
    except (safetensors.SafetensorError, RuntimeError) as err:
        raise ModelError(
            f"the weights of model {name!r} are not those of a network of {shape}: "
            "train the model again"
        ) from err
    return net
