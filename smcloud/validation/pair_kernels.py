"""The sums of pairs by group in two passes over the values, compiled."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from smcloud.core.compiled import compiled

Floats = NDArray[np.float64]


@compiled
def sum_groups(x: Any, y: Any, group: Any, sums: Any) -> None:
    """Add the pairs (n,) that are known into `sums` (9, groups), which is zero before.

    Rows are n, mean x, mean y, squares of x, of y, products, squares of d = x - y (all about the
    means), mean d, sum of |d|: the fields of `PairStats`, in their order.
    """
    for pair in range(x.size):
        if np.isfinite(x[pair]) and np.isfinite(y[pair]):
            own = group[pair]
            sums[0, own] += 1.0
            sums[1, own] += x[pair]
            sums[2, own] += y[pair]
            sums[7, own] += x[pair] - y[pair]
            sums[8, own] += abs(x[pair] - y[pair])
    for own in range(sums.shape[1]):
        if sums[0, own] > 0.0:
            sums[1, own] /= sums[0, own]
            sums[2, own] /= sums[0, own]
            sums[7, own] /= sums[0, own]
    for pair in range(x.size):
        if np.isfinite(x[pair]) and np.isfinite(y[pair]):
            own = group[pair]
            a, b = x[pair] - sums[1, own], y[pair] - sums[2, own]
            c = (x[pair] - y[pair]) - sums[7, own]
            sums[3, own] += a * a
            sums[4, own] += b * b
            sums[5, own] += a * b
            sums[6, own] += c * c
