"""A stored model and the card that says what it is, checked before a byte of it is parsed.

A prefix ``models/<name>/`` holds ``<sha256>.ubj`` (the booster as UBJSON) and ``card.json``, which
names that hash; beside them, where the card names them, ``<sha256>.spread.ubj`` (the trees of the
uncertainty) and ``<sha256>.area.npy`` (the area of applicability). The card is written last, so a
reader finds the old model or the new one. XGBoost loads a file with a flipped byte without a word
and predicts nonsense: the hash is compared first. There is no pickle anywhere.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Annotated, Protocol, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from smcloud.core.errors import ModelError, NotFoundError
from smcloud.core.objects import Objects

CARD_VERSION = 1
CARD = "card.json"

Card = TypeVar("Card", bound=BaseModel)
Parameter = int | float | str | bool
Score = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""A score; NaN where it cannot be known, written as null because JSON has no NaN."""


class SpreadNote(BaseModel):
    """What a card says of the trees that tell how far off an estimate may be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    """Hash of their bytes."""
    floor: float
    """Least spread, in units of the target."""
    factors: dict[str, float]
    """Level, such as ``0.68``, to the factor that makes a half width of a spread; without levels
    for which the calibrate set has too few stations."""
    stations: int
    """Stations of the calibrate set, those of one pixel counted once."""
    rounds: int


class AreaNote(BaseModel):
    """What a card says of the area in which the model may be applied."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    """Hash of the stored prototypes."""
    threshold: float
    """Largest dissimilarity index that is inside."""
    prototypes: int


class ModelCard(BaseModel):
    """What a model was made of and how well it does; JSON with sorted keys, no clock, no host."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")

    card_version: int = CARD_VERSION
    name: str
    target: str
    target_units: str
    columns: tuple[str, ...]
    """Feature columns in the order in which the trees number them."""
    units: tuple[str, ...]
    """Units of each column; empty where a user's table does not say."""
    training_keys: tuple[str, ...]
    """TileYears (or, for a user's table, years) that the rows come from, sorted."""
    sets: dict[str, dict[str, int]]
    """Rows, stations and spatial blocks of fit, stop, calibrate and test."""
    scores: dict[str, dict[str, Score]]
    """Per split: R, RMSE, ubRMSE, MAE and bias over all test pairs, their medians over stations
    (``median_R``), and the counts."""
    params: dict[str, Parameter]
    versions: dict[str, str]
    """Versions of smcloud, xgboost, the table's schema and each feature."""
    seed: int
    rounds: int
    """Trees in the model: those up to the best round on the stop set."""
    resumed: bool
    """True if the training was continued from a checkpoint: its trees differ slightly from those
    of an unbroken training, and so does its sha256."""
    distributed: bool
    """True if the histograms were summed over Dask workers."""
    input_hash: str
    """Hash of the table's rows and of everything else that shapes the model: a second run with
    the same hash has nothing to do."""
    sha256: str
    """Hash of the model's bytes."""
    spread: SpreadNote | None = None
    """The uncertainty's trees; None where there are none, as in cards of earlier releases."""
    area: AreaNote | None = None
    """The area of applicability; None where there is none."""

    @property
    def whole_sha256(self) -> str:
        """Return one hash of everything that estimates, their spread and their area come from."""
        notes = [note for note in (self.spread, self.area) if note is not None]
        if not notes:
            return self.sha256
        parts = [json.loads(note.model_dump_json()) for note in notes]
        return content_hash(json.dumps([self.sha256, *parts], sort_keys=True).encode())

    def to_json(self) -> bytes:
        """Return the card as JSON with sorted keys: equal cards are equal bytes."""
        return card_json(self)


def parsed_card(kind: type[Card], data: bytes, where: str) -> Card:
    """Return a card of this kind from JSON bytes.

    Raises
    ------
    ModelError
        If it is not a card, one of another version, or one with other fields.
    """
    try:
        found = json.loads(data)
        version = found["card_version"]
    except (ValueError, KeyError, TypeError) as err:
        raise ModelError(f"{where} is not a model card: train the model again") from err
    if version != CARD_VERSION:
        raise ModelError(
            f"{where} is a model card of version {version}, this smcloud reads version "
            f"{CARD_VERSION}: use the smcloud that wrote it, or train the model again"
        )
    try:
        return kind.model_validate(found)
    except ValidationError as err:
        fault = err.errors(include_url=False)[0]
        key = ".".join(str(part) for part in fault["loc"])
        raise ModelError(f"{where}: {key}: {fault['msg']}; train the model again") from err


def card_json(card: BaseModel) -> bytes:
    """Return a card as JSON with sorted keys: equal cards are equal bytes."""
    data = json.loads(card.model_dump_json())
    return (json.dumps(data, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def content_hash(data: bytes) -> str:
    """Return the SHA-256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def save_model(
    objects: Objects,
    name: str,
    data: bytes,
    card: ModelCard,
    *,
    spread: bytes = b"",
    area: bytes = b"",
) -> None:
    """Store a model and its card below ``name``, the card last.

    Parameters
    ----------
    spread, area
        What the card's notes name, as `Spread.data` and `Area.data`; empty without a note.

    Raises
    ------
    ModelError
        If the card holds other hashes than those of the bytes.
    """
    parts = [("ubj", card.sha256, data)]
    parts += [("spread.ubj", card.spread.sha256, spread)] if card.spread else []
    parts += [("area.npy", card.area.sha256, area)] if card.area else []
    save_parts(objects, name, parts, card)


def save_parts(
    objects: Objects, name: str, parts: Sequence[tuple[str, str, bytes]], card: BaseModel
) -> None:
    """Store the parts of a model and then its card.

    Parameters
    ----------
    parts
        End of the name, hash that the card has, and bytes of each.

    Raises
    ------
    ModelError
        If the card holds other hashes than those of the bytes; nothing is stored then.
    """
    for _, sha256, found in parts:
        if sha256 != content_hash(found):
            raise ModelError(f"the card of model {name!r} belongs to other bytes: sha256 differs")
    for end, sha256, found in parts:
        objects.put(f"{name}/{sha256}.{end}", found)
    objects.put(f"{name}/{CARD}", card_json(card))


def load_card(objects: Objects, name: str) -> ModelCard:
    """Return the card of a stored model.

    Raises
    ------
    NotFoundError
        If there is no such model.
    ModelError
        If the card cannot be read or has another version.
    """
    return parsed_card(ModelCard, *card_bytes(objects, name))


def card_bytes(objects: Objects, name: str) -> tuple[bytes, str]:
    """Return the bytes of a stored card, of whatever kind, and where they lie.

    Raises
    ------
    NotFoundError
        If there is no such model.
    """
    where = f"{objects.url}/{name}/{CARD}"
    try:
        return objects.get(f"{name}/{CARD}"), where
    except NotFoundError as err:
        raise NotFoundError(f"no model at {where}: run `smcloud train` first") from err


def load_bytes(
    objects: Objects, name: str, columns: Sequence[str] | None = None
) -> tuple[bytes, ModelCard]:
    """Return a stored model's bytes and card, after checking one against the other.

    Parameters
    ----------
    objects
        Prefix that holds the models, as ``open_objects(join(root, "models"))``.
    name
        Name of the model.
    columns
        Feature names that will be fed to it, in order; None checks nothing.

    Raises
    ------
    NotFoundError
        If there is no such model.
    ModelError
        If the bytes have another hash, the columns differ, or the card is of another version.
    """
    card = load_card(objects, name)
    if columns is not None:
        check_columns(card, columns)
    return checked_bytes(objects, name, card.sha256, "ubj"), card


def load_parts(objects: Objects, name: str, card: ModelCard) -> tuple[bytes, bytes]:
    """Return the spread's trees and the area that a card names, checked; empty where it names none.

    Raises
    ------
    ModelError
        If one is not there or has another hash.
    """
    spread = checked_bytes(objects, name, card.spread.sha256, "spread.ubj") if card.spread else b""
    return spread, checked_bytes(objects, name, card.area.sha256, "area.npy") if card.area else b""


def checked_bytes(objects: Objects, name: str, sha256: str, end: str) -> bytes:
    """Return the bytes of an object that is named by its hash, after comparing them."""
    key = f"{name}/{sha256}.{end}"
    try:
        data = objects.get(key)
    except NotFoundError as err:
        raise ModelError(
            f"{objects.url}/{key}, which the card of model {name!r} names, is not there: restore "
            "the file or train the model again"
        ) from err
    found = content_hash(data)
    if found != sha256:
        raise ModelError(
            f"{objects.url}/{key} is damaged: expected sha256 {sha256[:12]}, found "
            f"{found[:12]}; restore the file or train the model again"
        )
    return data


class TakesColumns(Protocol):
    """A card that names the columns of its model."""

    @property
    def name(self) -> str:
        """Return the name of the model."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns in the model's order."""


def check_columns(card: TakesColumns, columns: Sequence[str]) -> None:
    """Raise `ModelError`, naming the columns, unless they are the model's own in its order."""
    if tuple(columns) == card.columns:
        return
    faults = {
        "missing": [name for name in card.columns if name not in columns],
        "extra": [name for name in columns if name not in card.columns],
    }
    text = "; ".join(f"{what} {', '.join(names)}" for what, names in faults.items() if names)
    if not text:
        text = f"other order: expected {', '.join(card.columns)}, found {', '.join(columns)}"
    raise ModelError(
        f"the features do not fit model {card.name!r}: {text}; "
        "give it the columns of its card, or train the model again"
    )
