"""Gradient boosted trees read back from the store, checked, and asked for estimates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smcloud.core.errors import MissingExtraError, ModelError
from smcloud.core.objects import Objects
from smcloud.models.base import ModelCard, SpreadNote, load_bytes, load_parts
from smcloud.models.forest import Forest
from smcloud.models.rows import Floats

try:
    import xgboost
except ImportError as err:
    raise MissingExtraError("xgboost", "cpu", "training and production") from err


@dataclass(frozen=True, eq=False)
class StoredSpread:
    """The trees that say how large an estimate's error is, and what makes half widths of it.

    Attributes
    ----------
    forest : Forest
        Predicts the spread, in units of the target.
    note : SpreadNote
        Floor and factors.
    """

    forest: Forest
    note: SpreadNote

    def factor(self, level: float) -> float:
        """Return the factor of one level.

        Raises
        ------
        ModelError
            If the level was not calibrated, or the calibrate set had too few stations for it.
        """
        found = self.note.factors.get(f"{level:g}")
        if found is None:
            raise ModelError(f"the model's uncertainty has no factor for the level {level:g}")
        return found


@dataclass(frozen=True, eq=False)
class Model:
    """Trees that were checked against their card, ready to predict.

    Attributes
    ----------
    card : ModelCard
    forest : Forest
    spread : StoredSpread or None
        None where the card names none.
    area : bytes
        The area of applicability, for `applicability.Area.from_data`; empty where there is none.
    """

    card: ModelCard
    forest: Forest
    spread: StoredSpread | None = None
    area: bytes = b""

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
        return self.forest.predict(np.ascontiguousarray(columns, np.float32))


def load_model(
    objects: Objects, name: str, columns: Sequence[str] | None = None, *, threads: int = 1
) -> Model:
    """Return a stored model whose hashes, card version and columns have been checked.

    Parameters
    ----------
    objects, name, columns
        See `smcloud.models.base.load_bytes`, which raises the errors.
    threads
        Threads of each prediction.
    """
    data, card = load_bytes(objects, name, columns)
    spread, area = load_parts(objects, name, card)
    stored = StoredSpread(forest_of(spread, threads), card.spread) if card.spread else None
    return Model(card, forest_of(data, threads), stored, area)


def forest_of(data: bytes, threads: int = 1) -> Forest:
    """Return the forest of trusted UBJSON bytes; where the library predicts, on so many threads."""
    return Forest.from_xgboost(booster_of(data, threads), links_by_library=True)


def booster_of(data: bytes, threads: int = 0) -> xgboost.Booster:
    """Return a booster from trusted UBJSON bytes; 0 threads are all cores."""
    booster = xgboost.Booster(model_file=bytearray(data))
    booster.set_param({"nthread": threads})
    return booster
