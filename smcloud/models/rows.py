"""Rows that a model learns from or stops on: a choice of a table's rows that copies nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import UserError

Floats = NDArray[np.float32]
Index = NDArray[np.int64]

BATCH_ROWS = 65_536
"""Rows that are gathered at a time: with 24 features 6 MB, which stay in a shared cache."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows to learn from or to stop on.

    Attributes
    ----------
    columns : tuple of arrays (n_table,)
        One per feature, of any numeric dtype; NaN is unknown, which the trees treat as a branch of
        its own. They are read where they lie.
    target : float32 (n_rows,)
        No NaN.
    index : int64 (n_rows,)
        Where in the columns each row lies.
    """

    columns: tuple[NDArray[Any], ...]
    target: Floats
    index: Index

    def __post_init__(self) -> None:
        if self.index.size != self.target.size or not self.target.size:
            raise UserError(
                f"training rows do not match: {self.index.size} rows of features, "
                f"{self.target.size} of the target"
            )
        if not np.isfinite(self.target).all():
            raise UserError("the target has unknown values: drop those rows before training")

    @classmethod
    def of_matrix(cls, features: Floats, target: Floats) -> Rows:
        """Return all rows of float32 (n_rows, n_features), which is not copied."""
        return cls(tuple(features.T), target, np.arange(len(features)))

    @property
    def size(self) -> int:
        """Return the number of rows."""
        return int(self.index.size)

    @property
    def n_values(self) -> int:
        """Return rows times features."""
        return self.size * len(self.columns)

    def batches(self, batch_rows: int = BATCH_ROWS) -> Iterator[tuple[Floats, Floats]]:
        """Return features, float32 (n_features, n), and target (n,) of a few rows at a time.

        The features lie in a buffer that the next batch overwrites.
        """
        buffer = np.empty((len(self.columns), min(batch_rows, self.size)), np.float32)
        for start in range(0, self.size, batch_rows):
            chosen = self.index[start : start + batch_rows]
            features = buffer[:, : chosen.size]
            for feature, column in zip(features, self.columns, strict=True):
                feature[:] = column[chosen]
            yield features, self.target[start : start + batch_rows]

    def content_hash(self) -> str:
        """Return a hash of all values in their order."""
        found = hashlib.sha256(repr((self.size, len(self.columns))).encode())
        for features, target in self.batches():
            found.update(np.ascontiguousarray(features).data)
            found.update(np.ascontiguousarray(target).data)
        return found.hexdigest()
