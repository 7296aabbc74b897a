"""Linear regression, support vectors and a small network: fitted by libraries, applied by us.

Estimates are float32 sums of compiled loops, in one order for every point: the bits of a point do
not depend on the points beside it, and so not on how a map is cut into blocks.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from sklearn.svm import SVR

from smcloud.models.families import Arrays, Estimator, Floats, Floats32, Parameters
from smcloud.models.family_kernels import kernel_sums, weighted_sums

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
        start = np.array([self.intercept], np.float32)
        found: Floats32 = layer(self.coefficients[None], start, ready)[0]
        return found

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

    def __call__(self, ready: Floats32) -> NDArray[Any]:
        """Return the estimates of scaled features (n_kept, n_points)."""
        # exp(-gamma d^2) = 2^-(d s)^2 with s^2 = gamma log2(e)
        scale = np.float32(np.sqrt(self.gamma * np.log2(np.e)))
        found = np.empty(ready.shape[1], np.float32)
        columns = np.ascontiguousarray(ready * scale)
        kernel_sums(self.vectors * scale, self.weights, columns, self.intercept, found)
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
    biases : tuple of float32 (n_out,)
        The last layer gives units of the target.
    """

    weights: tuple[Floats32, ...]
    biases: tuple[Floats32, ...]

    def __call__(self, ready: Floats32) -> NDArray[Any]:
        """Return the estimates of scaled features (n_kept, n_points)."""
        values = ready
        for number, (weights, biases) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = layer(weights, biases, values)
            if number < len(self.weights) - 1:
                np.tanh(values, out=values)
        found: Floats32 = values[0]
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
    biases = list(found.intercepts_)
    weights[-1], biases[-1] = weights[-1] * deviation, biases[-1] * deviation + mean
    return Network(
        tuple(np.ascontiguousarray(part, np.float32) for part in weights),
        tuple(np.ascontiguousarray(part, np.float32) for part in biases),
    )


def layer(weights: Floats32, starts: Floats32, columns: Floats32) -> Floats32:
    """Return starts + weights @ columns, (n_sums, n_points), a point's sum in one order."""
    found = np.empty((len(weights), columns.shape[1]), np.float32)
    weighted_sums(weights, np.ascontiguousarray(columns), starts, found)
    return found


def array_bytes(estimator: Estimator) -> int:
    """Return the bytes of all arrays that an estimator is made of."""
    return sum(part.nbytes for part in estimator.arrays().values())


def _scale_of(target: Floats) -> tuple[float, float]:
    """Return mean and deviation of a target that is not constant."""
    return float(target.mean()), float(target.std())
