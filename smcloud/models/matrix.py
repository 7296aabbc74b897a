"""Rows as XGBoost keeps them while it grows trees: the number of a bin in place of each value.

The rows go to XGBoost in batches of columns, so that no second float32 copy of the table is made.
The quantiles are sketched value by value: they, and so the trees, are those of one whole array,
whatever the size of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pandas as pd

from smcloud.core.errors import MissingExtraError
from smcloud.models.rows import Floats, Rows

try:
    import xgboost
except ImportError as err:
    raise MissingExtraError("xgboost", "cpu", "training and production") from err


def quantised(
    rows: Rows, *, max_bin: int, threads: int, ref: xgboost.QuantileDMatrix | None = None
) -> xgboost.QuantileDMatrix:
    """Return the rows as bins; `ref` lends its cuts, as the trees see a stop set."""
    matrix = xgboost.QuantileDMatrix(_Batches(rows), ref=ref, max_bin=max_bin, nthread=threads)
    # A frame's column numbers would become names and change the bytes of the model.
    matrix.feature_names = None
    matrix.feature_types = None
    return matrix


class _Batches(xgboost.DataIter):
    """Hands rows to XGBoost, which goes through them several times."""

    def __init__(self, rows: Rows) -> None:
        super().__init__()
        self._rows = rows
        self._left: Iterator[tuple[Floats, Floats]] = rows.batches()

    def reset(self) -> None:
        """Begin again with the first batch."""
        self._left = self._rows.batches()

    def next(self, input_data: Callable[..., None]) -> bool:
        """Hand over the next batch; return False when there is none."""
        batch = next(self._left, None)
        if batch is None:
            return False
        features, target = batch
        # XGBoost reads a frame column by column where it lies; an array it would walk row by row.
        input_data(data=pd.DataFrame(features.T, copy=False), label=target)
        return True
