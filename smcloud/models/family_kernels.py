"""The compiled sums of linear regression, network and support vectors, point by point in one order.

BLAS adds up in an order that depends on how many points it is given, and where a point stands
among them: blocks of another cut would differ in their last bits. Here every point has the same
operations in the same order, whatever its neighbours are. The loops run along points, so that the
compiler makes vectors of them; without fastmath it changes no order.
"""

import numpy as np
from numpy.typing import NDArray

from smcloud.core.compiled import compiled

Floats32 = NDArray[np.float32]

POINTS = 512
"""Points whose sums are kept in the first-level cache."""
LOWEST = np.float32(-125)
"""Powers of two below are taken for this one: 1e-38."""
ROUNDER = np.float32(1.5 * 2**23)
"""Added and subtracted, it rounds a float32 to the nearest whole number."""
SECOND = np.float32(0.2402265)
THIRD = np.float32(0.05550411)
FOURTH = np.float32(0.009618129)
FIFTH = np.float32(0.0013333558)
SIXTH = np.float32(0.00015403530)
FIRST = np.float32(0.6931472)
ONE = np.float32(1)
"""Taylor's coefficients of 2^f, ln(2)^n / n!: for |f| <= 1/2 the rest is below 1e-7."""


@compiled
def weighted_sums(weights: Floats32, columns: Floats32, starts: Floats32, out: Floats32) -> None:
    """Write starts[i] + sum over j of weights[i, j] columns[j] to out (n_sums, n_points).

    Parameters
    ----------
    weights
        (n_sums, n_features).
    columns
        (n_features, n_points).
    starts
        (n_sums,).
    """
    n_points, n_features = out.shape[1], weights.shape[1]
    in_fours = n_features - n_features % 4
    for first in range(0, n_points, POINTS):
        stop = min(first + POINTS, n_points)
        for i in range(len(weights)):
            sums = out[i, first:stop]
            sums[:] = starts[i]
            for j in range(0, in_fours, 4):
                a, b, c, d = weights[i, j], weights[i, j + 1], weights[i, j + 2], weights[i, j + 3]
                x, y = columns[j, first:stop], columns[j + 1, first:stop]
                z, u = columns[j + 2, first:stop], columns[j + 3, first:stop]
                for p in range(len(sums)):
                    sums[p] = (((sums[p] + a * x[p]) + b * y[p]) + c * z[p]) + d * u[p]
            for j in range(in_fours, n_features):
                a, x = weights[i, j], columns[j, first:stop]
                for p in range(len(sums)):
                    sums[p] += a * x[p]


@compiled
def kernel_sums(
    vectors: Floats32, weights: Floats32, columns: Floats32, start: float, out: Floats32
) -> None:
    """Write start + sum over i of weights[i] 2^-|vectors[i] - point|^2 to out (n_points,).

    Parameters
    ----------
    vectors
        (n_vectors, n_features).
    weights
        (n_vectors,).
    columns
        (n_features, n_points).
    """
    n_features = len(columns)
    in_fours = n_features - n_features % 4
    power = np.empty(POINTS, np.float32)
    whole = np.empty(POINTS, np.int32)
    scale = whole.view(np.float32)
    for first in range(0, len(out), POINTS):
        sums = out[first : first + POINTS]
        size = len(sums)
        sums[:] = np.float32(start)
        for i in range(len(vectors)):
            for p in range(size):
                power[p] = np.float32(0)
            for j in range(0, in_fours, 4):
                a, b, c, d = vectors[i, j], vectors[i, j + 1], vectors[i, j + 2], vectors[i, j + 3]
                x, y = columns[j, first : first + size], columns[j + 1, first : first + size]
                z, u = columns[j + 2, first : first + size], columns[j + 3, first : first + size]
                for p in range(size):
                    e, f, g, h = x[p] - a, y[p] - b, z[p] - c, u[p] - d
                    power[p] = (((power[p] - e * e) - f * f) - g * g) - h * h
            for j in range(in_fours, n_features):
                a, x = vectors[i, j], columns[j, first : first + size]
                for p in range(size):
                    e = x[p] - a
                    power[p] -= e * e
            _power_of_two(power[:size], whole)
            weight = weights[i]
            for p in range(size):
                sums[p] += weight * (power[p] * scale[p])


@compiled
def _power_of_two(power: Floats32, whole: NDArray[np.int32]) -> None:
    """Turn powers into 2^f, |f| <= 1/2, and into the bits of the float32 2^n that is left."""
    for p in range(len(power)):
        bounded = max(power[p], LOWEST)
        nearest = (bounded + ROUNDER) - ROUNDER
        f = bounded - nearest
        high = FOURTH + f * (FIFTH + f * SIXTH)
        power[p] = ONE + f * (FIRST + f * (SECOND + f * (THIRD + f * high)))
        whole[p] = (np.int32(nearest) + np.int32(127)) << np.int32(23)
