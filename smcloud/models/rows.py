"""Rows that a model learns from or stops on, and the hash that tells them apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import UserError

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows to learn from or to stop on.

    Attributes
    ----------
    features : float32 (n_rows, n_features)
        C-contiguous; NaN is unknown, which the trees treat as a branch of its own.
    target : float32 (n_rows,)
        No NaN.
    """

    features: Floats
    target: Floats

    def __post_init__(self) -> None:
        if self.features.shape[0] != self.target.size or not self.target.size:
            raise UserError(
                f"training rows do not match: {self.features.shape[0]} rows of features, "
                f"{self.target.size} of the target"
            )
        if not np.isfinite(self.target).all():
            raise UserError("the target has unknown values: drop those rows before training")
