"""What a block asks of a model that learned from coarse cells, whichever model it is."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from smcloud.models.base import CARD_VERSION, Score, card_json

Floats32 = NDArray[np.float32]
Floats = NDArray[np.float64]


class Downscaler(Protocol):
    """Estimates the target at fine pixels, day by day.

    Tasks carry the URL, the name and the hash of such a model, never the model itself.
    """

    def estimate(self, day: np.datetime64, columns: Floats32, lonlat: Floats) -> Floats32:
        """Return the estimates of one day, before anything is anchored to coarse values.

        Parameters
        ----------
        day
            UTC day.
        columns
            float32 (n_features, n_points), in the order of the model's card; NaN is unknown.
        lonlat
            float64 (2, n_points), degrees.

        Returns
        -------
        float32 (n_points,)
            In the target's units; NaN where there is no estimate, on days without a model
            everywhere.
        """

    def is_modelled(self, day: np.datetime64) -> bool:
        """Return whether there is a model for the day."""

    def slope(self, day: np.datetime64) -> float:
        """Return the slope of the target on the estimates between the cells of a group on a day.

        From cells that the fit did not see and that no test uses; NaN where it is unknown.
        """

    def why_not(self, day: np.datetime64) -> str:
        """Return why there is no model for the day, in words; empty where there is one."""


class CoarseCard(BaseModel):
    """What any model that learned from coarse cells says of itself; no clock, no host."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")

    card_version: int = CARD_VERSION
    name: str
    target: str
    target_units: str
    columns: tuple[str, ...]
    """Features in the order of the model."""
    units: tuple[str, ...]
    versions: dict[str, str]
    input_hash: str
    """Hash of the rows and of all that shapes the model: a second run with the same has nothing to
    do."""
    scores: dict[str, dict[str, Score]]

    def to_json(self) -> bytes:
        """Return the card as JSON with sorted keys: equal cards are equal bytes."""
        return card_json(self)
