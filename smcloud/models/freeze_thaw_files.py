"""A forest of frozen ground as files: a card, and the archive of plain arrays that it names.

A prefix ``models/<name>/`` holds ``<sha256>.trees.npz``, ``<sha256>.scores.json`` (the counts
behind all scores) and ``card.json``, which names both hashes and is written last. There is no
pickle.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import ModelError
from smcloud.core.objects import Objects
from smcloud.models.base import (
    Parameter,
    card_bytes,
    check_columns,
    checked_bytes,
    parsed_card,
    save_parts,
)
from smcloud.models.downscaler import CoarseCard
from smcloud.models.families import Preparation
from smcloud.models.forest_trees import Tree
from smcloud.models.freeze_thaw import FreezeThawModel, Partly, merged_trees
from smcloud.models.tree_sums import TreeSums

FORMAT = "freeze-thaw 3"
"""Raised when equal rows and rules give other files."""
TREES, SCORES = "trees.npz", "scores.json"
_PREPARED = ("kept", "medians", "lows", "highs", "means", "scales")


class FreezeThawCard(CoarseCard):
    """The card of a forest of frozen ground; its scores are by split, set and features."""

    kind: Literal["freeze_thaw"] = "freeze_thaw"
    partly: Partly
    """What partly frozen ground counts as."""
    states: tuple[int, ...]
    """State of each class, as it is stored: 0 thawed, 1 partly frozen, 2 frozen."""
    rows: dict[str, int]
    """Rows of each state that the stored forest learned from."""
    params: dict[str, Parameter]
    headline: str
    """The split that tells what to expect; empty where none could be made."""
    notes: tuple[str, ...]
    """Splits that could not be made, and why."""
    sha256: str
    """Hash of the archive of trees."""
    scores_sha256: str
    """Hash of all counts behind the scores."""

    @property
    def whole_sha256(self) -> str:
        """Return the hash of everything that estimates come from."""
        return self.sha256


def save_freeze_thaw(
    objects: Objects, name: str, data: bytes, scores: bytes, card: FreezeThawCard
) -> None:
    """Store a forest, the counts behind its scores and its card, the card last.

    Raises
    ------
    ModelError
        If the card holds other hashes than those of the bytes.
    """
    parts = ((TREES, card.sha256, data), (SCORES, card.scores_sha256, scores))
    save_parts(objects, name, parts, card)


def load_freeze_thaw_card(objects: Objects, name: str) -> FreezeThawCard:
    """Return the card of a stored forest.

    Raises
    ------
    NotFoundError
        If there is no such model.
    ModelError
        If its card is of another kind or version.
    """
    return parsed_card(FreezeThawCard, *card_bytes(objects, name))


def load_freeze_thaw(
    objects: Objects, name: str, columns: Sequence[str] | None = None
) -> tuple[FreezeThawModel, FreezeThawCard]:
    """Return a stored forest and its card, after checking one against the other.

    Parameters
    ----------
    columns
        Feature names that will be fed to it, in order; None checks nothing.

    Raises
    ------
    NotFoundError
        If there is no such model.
    ModelError
        If the bytes have another hash, the columns differ, or the card is of another version.
    """
    card = load_freeze_thaw_card(objects, name)
    if columns is not None:
        check_columns(card, columns)
    return from_bytes(checked_bytes(objects, name, card.sha256, TREES)), card


def load_scores(objects: Objects, name: str, card: FreezeThawCard) -> bytes:
    """Return the counts behind a card's scores, after comparing their hash."""
    return checked_bytes(objects, name, card.scores_sha256, SCORES)


def trees_to_bytes(trees: Sequence[Tree]) -> bytes:
    """Return some trees as an archive of plain arrays: equal trees are equal bytes."""
    return _archive(merged_trees([trees], 0).arrays())


def trees_from_bytes(data: bytes) -> tuple[Tree, ...]:
    """Return what `trees_to_bytes` wrote."""
    return TreeSums.of(_arrays(data)).ensemble.trees


def to_bytes(model: FreezeThawModel) -> bytes:
    """Return a model as an archive of plain arrays: equal models are equal bytes."""
    head = {
        "format": FORMAT,
        "columns": list(model.columns),
        "states": list(model.states),
        "n_features": model.preparation.n_features,
    }
    arrays = {f"prepared_{name}": getattr(model.preparation, name) for name in _PREPARED}
    arrays |= {f"trees_{name}": part for name, part in model.trees.arrays().items()}
    arrays["odds"] = model.odds
    arrays["head"] = np.frombuffer(json.dumps(head, sort_keys=True).encode(), np.uint8)
    return _archive(arrays)


def from_bytes(data: bytes) -> FreezeThawModel:
    """Return the model that `to_bytes` wrote; its hash is for the caller to check first.

    Raises
    ------
    ModelError
        If the bytes are no such archive, or one of another format.
    """
    arrays = _arrays(data)
    try:
        head = json.loads(arrays["head"].tobytes())
    except (KeyError, ValueError) as err:
        raise ModelError("a file is not a model of frozen ground: train the model again") from err
    if head.get("format") != FORMAT:
        raise ModelError(
            f"a model has format {head.get('format')!r}, this smcloud reads {FORMAT!r}: "
            "train the model again"
        )
    kept = {name: arrays[f"prepared_{name}"] for name in _PREPARED}
    own = {
        name.removeprefix("trees_"): part
        for name, part in arrays.items()
        if name.startswith("trees_")
    }
    return FreezeThawModel(
        tuple(head["columns"]),
        tuple(head["states"]),
        Preparation(**kept, n_features=head["n_features"]),
        TreeSums.of(own),
        arrays["odds"],
    )


def _archive(arrays: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    # Keywords of this function are names of arrays; their order is that of the archive.
    np.savez_compressed(buffer, **dict(sorted(arrays.items())))
    return buffer.getvalue()


def _arrays(data: bytes) -> dict[str, NDArray[Any]]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, BadZipFile) as err:
        raise ModelError("a file is not a model of frozen ground: train the model again") from err
