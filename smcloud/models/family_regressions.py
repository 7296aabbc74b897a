"""Linear regression, support vectors and a small network: fitted once, then matrix products.

Estimates are made in float32 by BLAS, some thousand points at a time, so that what is in between
stays in the cache.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from sklearn.svm import SVR

from smcloud.models.families import Arrays, Estimator, Floats, Floats32, Parameters

KERNEL_VALUES = 2**18
"""Kernel values that are made at a time: 1 MB, which stays in a second-level cache."""
NETWORK_ROUNDS = 100
"""Most iterations of L-BFGS, half of scikit-learn's default: held-out scores are as good."""
WIDTHS = "x"
"""Stands between the widths of hidden layers, as in ``16x8``."""


@dataclass(frozen=True, eq=False)
class Linear:
    """Coefficients of scaled features.

    Attributes
    ----------
    coefficients : float32 (n_kept,)
    intercept : float
    rank : int
        Of the scaled features; below n_kept where the regression is singular.
    """

    coefficients: Floats32
    intercept: float
    rank: int

    def __call__(self, ready: Floats32) -> NDArray[Any]:
        """Return the estimates of scaled features (n_kept, n_points)."""
        return self.coefficients @ ready + np.float32(self.intercept)

    def arrays(self) -> Arrays:
        """Return the coefficients, the intercept and the rank."""
        return {
            "coefficients": self.coefficients,
            "intercept": np.array(self.intercept),
            "rank": np.array(self.rank),
        }

    @property
    def nbytes(self) -> int:
        """Return the bytes of the arrays."""
        return array_bytes(self)

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> Linear:
        """Return what `arrays` gave."""
        return cls(arrays["coefficients"], float(arrays["intercept"]), int(arrays["rank"]))


def fit_linear(ready: Floats32, target: Floats, parameters: Parameters) -> Linear:
    """Return least squares with a penalty on the coefficients, by singular values.

    b = V diag(s / (s^2 + n a)) U' (y - mean y); with penalty a = 0 the ordinary solution.
    Singular values below machine precision count as zero: collinear features, or more features
    than samples, get the solution of least norm instead of an error, and `rank` tells.

    Parameters
    ----------
    ready
        (n_samples, n_kept), scaled.
    target
        (n_samples,).
    parameters
        ``penalty``, per sample.
    """
    rows = ready.astype(np.float64)
    mean = float(target.mean())
    centre = rows.mean(axis=0)
    left, sizes, right = np.linalg.svd(rows - centre, full_matrices=False)
    # The features were float32 before: what is below their precision is rounding.
    counts = sizes > sizes.max(initial=0.0) * max(rows.shape) * np.finfo(np.float32).eps
    penalty = float(parameters["penalty"]) * target.size
    shrunk = np.divide(sizes, sizes**2 + penalty, out=np.zeros_like(sizes), where=counts)
    found = right.T @ (shrunk * (left.T @ (target - mean)))
    return Linear(found.astype(np.float32), mean - float(centre @ found), int(counts.sum()))


@dataclass(frozen=True, eq=False)
class SupportVectors:
    """A sum of Gaussian kernels around the support vectors.

    Attributes
    ----------
    vectors : float32 (n_vectors, n_kept)
    weights : float32 (n_vectors,)
        Dual coefficients in units of the target.
    gamma : float
        Of the kernel exp(-gamma |x - v|^2).
    intercept : float
    """

    vectors: Floats32
    weights: Floats32
    gamma: float
    intercept: float
    _exponents: Floats32 = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # -gamma |x - v|^2 = 2 gamma v.x - gamma |v|^2 - gamma |x|^2: one matrix product gives it,
        # with 1 and |x|^2 as two more features.
        lengths = np.square(self.vectors.astype(np.float64)).sum(axis=1)
        doubled = 2 * self.gamma * self.vectors.astype(np.float64)
        ends = np.stack([-self.gamma * lengths, np.full(lengths.size, -self.gamma)], axis=1)
        whole = np.concatenate([doubled, ends], axis=1).astype(np.float32)
        object.__setattr__(self, "_exponents", whole)

    def __call__(self, ready: Floats32) -> NDArray[Any]:
        """Return the estimates of scaled features (n_kept, n_points)."""
        n_points = ready.shape[1]
        found = np.full(n_points, self.intercept, np.float32)
        if self.weights.size == 0:
            return found
        lengths = np.einsum("ij,ij->j", ready, ready)
        widened = np.vstack([ready, np.ones((1, n_points), np.float32), lengths[None]])
        at_once = max(1, KERNEL_VALUES // self.weights.size)
        for start in range(0, n_points, at_once):
            kernel = self._exponents @ widened[:, start : start + at_once]
            np.exp(kernel, out=kernel)
            found[start : start + at_once] += self.weights @ kernel
        return found

    def arrays(self) -> Arrays:
        """Return the support vectors, their weights, gamma and the intercept."""
        return {
            "vectors": self.vectors,
            "weights": self.weights,
            "gamma": np.array(self.gamma),
            "intercept": np.array(self.intercept),
        }

    @property
    def nbytes(self) -> int:
        """Return the bytes of the arrays."""
        return array_bytes(self)

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> SupportVectors:
        """Return what `arrays` gave."""
        ends = (float(arrays[name]) for name in ("gamma", "intercept"))
        return cls(arrays["vectors"], arrays["weights"], *ends)


def fit_support_vectors(ready: Floats32, target: Floats, parameters: Parameters) -> SupportVectors:
    """Return epsilon support vector regression with a Gaussian kernel, by scikit-learn.

    Parameters
    ----------
    ready
        (n_samples, n_kept), scaled.
    target
        (n_samples,); it is scaled too, so that C and epsilon are in its deviations.
    parameters
        ``C``, ``epsilon``, and ``gamma`` in units of 1 / n_kept, which is scikit-learn's "scale".
    """
    mean, deviation = _scale_of(target)
    gamma = float(parameters["gamma"]) / ready.shape[1]
    found = SVR(C=float(parameters["C"]), epsilon=float(parameters["epsilon"]), gamma=gamma)
    found.fit(ready.astype(np.float64), (target - mean) / deviation)
    return SupportVectors(
        found.support_vectors_.astype(np.float32),
        (found.dual_coef_[0] * deviation).astype(np.float32),
        gamma,
        float(found.intercept_[0] * deviation + mean),
    )


@dataclass(frozen=True, eq=False)
class Network:
    """Layers of a perceptron with tanh between them.

    Attributes
    ----------
    weights : tuple of float32 (n_out, n_in)
    biases : tuple of float32 (n_out, 1)
        The last layer gives units of the target.
    """

    weights: tuple[Floats32, ...]
    biases: tuple[Floats32, ...]

    def __call__(self, ready: Floats32) -> NDArray[Any]:
        """Return the estimates of scaled features (n_kept, n_points)."""
        values: NDArray[Any] = ready
        for number, (weights, biases) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = weights @ values
            values += biases
            if number < len(self.weights) - 1:
                np.tanh(values, out=values)
        found: NDArray[Any] = values[0]
        return found

    def arrays(self) -> Arrays:
        """Return weights and biases, layer by layer."""
        parts = {f"weights_{number}": part for number, part in enumerate(self.weights)}
        return parts | {f"biases_{number}": part for number, part in enumerate(self.biases)}

    @property
    def nbytes(self) -> int:
        """Return the bytes of the arrays."""
        return array_bytes(self)

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> Network:
        """Return what `arrays` gave."""
        layers = range(sum(name.startswith("weights_") for name in arrays))
        return cls(
            tuple(arrays[f"weights_{number}"] for number in layers),
            tuple(arrays[f"biases_{number}"] for number in layers),
        )


def fit_network(ready: Floats32, target: Floats, parameters: Parameters, seed: int) -> Network:
    """Return a small perceptron fitted by L-BFGS, by scikit-learn.

    Parameters
    ----------
    ready
        (n_samples, n_kept), scaled.
    target
        (n_samples,); it is scaled too.
    parameters
        ``hidden``, the widths of the layers as in ``16x8``, and ``alpha``, the penalty.
    seed
        Draws the first weights.
    """
    mean, deviation = _scale_of(target)
    widths = [int(width) for width in str(parameters["hidden"]).split(WIDTHS)]
    found = MLPRegressor(
        hidden_layer_sizes=widths,
        activation="tanh",
        solver="lbfgs",
        alpha=float(parameters["alpha"]),
        max_iter=NETWORK_ROUNDS,
        random_state=seed,
    )
    with warnings.catch_warnings():
        # Stopped early is regularised; the inner score says whether it was too early.
        warnings.simplefilter("ignore", ConvergenceWarning)
        found.fit(ready.astype(np.float64), (target - mean) / deviation)
    weights = [part.T for part in found.coefs_]
    biases = [part[:, None] for part in found.intercepts_]
    weights[-1], biases[-1] = weights[-1] * deviation, biases[-1] * deviation + mean
    return Network(
        tuple(np.ascontiguousarray(part, np.float32) for part in weights),
        tuple(np.ascontiguousarray(part, np.float32) for part in biases),
    )


def array_bytes(estimator: Estimator) -> int:
    """Return the bytes of all arrays that an estimator is made of."""
    return sum(part.nbytes for part in estimator.arrays().values())


def _scale_of(target: Floats) -> tuple[float, float]:
    """Return mean and deviation of a target that is not constant."""
    return float(target.mean()), float(target.std())
