"""One fit of one family: its defaults, what is searched, how many rows it takes, its file.

A file is a NumPy archive of plain arrays, read without pickle; equal models are equal bytes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import ModelError, UserError
from smcloud.models.base import Parameter
from smcloud.models.families import (
    FAMILIES,
    SCALED,
    CellSamples,
    Estimator,
    Family,
    FittedFamily,
    Floats,
    Floats32,
    Parameters,
    Preparation,
    bounds_of,
)
from smcloud.models.family_regressions import (
    Linear,
    Network,
    SupportVectors,
    fit_linear,
    fit_network,
    fit_support_vectors,
)
from smcloud.models.family_trees import fit_random_forest, fit_xgboost
from smcloud.models.tree_sums import TreeSums

DEFAULTS: Mapping[Family, Parameters] = {
    "mlr": {"penalty": 0.0},
    "svr": {"C": 1.0, "epsilon": 0.1, "gamma": 1.0},
    "ann": {"hidden": "32", "alpha": 3.0},
    "rf": {"trees": 100, "min_samples_leaf": 5, "max_features": 1 / 3},
    "xgb": {
        "trees": 100,
        "max_depth": 3,
        "eta": 0.1,
        "min_child_weight": 5,
        "subsample": 0.8,
        "colsample_bytree": 0.8,
        "lambda": 1.0,
        "max_bin": 256,
    },
}
"""What a search tries first. The paper states none. MLR: ordinary least squares. SVR: the defaults
of scikit-learn. RF: a third of the features and leaves of five, Breiman's for regression (R's
randomForest), 100 trees as scikit-learn. ANN and XGBoost: our own, for hundreds of samples."""
SPACES: Mapping[Family, Mapping[str, tuple[Parameter, ...]]] = {
    "mlr": {"penalty": (0.0, 0.001, 0.01, 0.1, 1.0)},
    "svr": {
        "C": (0.3, 1.0, 3.0, 10.0, 30.0),
        "epsilon": (0.03, 0.1, 0.3),
        "gamma": (0.1, 0.3, 1.0, 3.0),
    },
    "ann": {"hidden": ("8", "16", "32", "16x8"), "alpha": (0.1, 1.0, 3.0, 10.0, 30.0)},
    "rf": {
        "min_samples_leaf": (2, 5, 10, 20),
        "max_features": (0.2, 1 / 3, 0.6, 1.0),
    },
    "xgb": {
        "trees": (50, 100, 200),
        "max_depth": (2, 3, 4, 6),
        "eta": (0.05, 0.1),
        "min_child_weight": (1, 5, 15),
        "lambda": (1.0, 5.0, 20.0),
    },
}
"""Values searched around the defaults: our own choice, no source states the paper's grids."""
MOST_ROWS: Mapping[Family, int] = {"svr": 4_000, "ann": 20_000, "rf": 40_000}
"""Rows that a fit takes, evenly over the samples; other families take all. A day has fewer. Support
vectors cost the square of the rows to fit and the rows to apply; to a forest more rows would give
deeper trees than the evaluator holds."""
WHILE_SEARCHED: Mapping[Family, Parameters] = {"rf": {"trees": 30}}
"""In place of the defaults while candidates are compared with each other: fewer trees rank leaves
and features as well as many do. The best candidate is scored once more as it will be."""
FORMAT = "families 2"
"""Raised when equal samples and parameters give other files."""

_READERS: Mapping[Family, Callable[[Mapping[str, NDArray[Any]]], Estimator]] = {
    "mlr": Linear.of,
    "svr": SupportVectors.of,
    "ann": Network.of,
    "rf": TreeSums.of,
    "xgb": TreeSums.of,
}
_PREPARED = ("kept", "medians", "lows", "highs", "means", "scales")


def fit_family(
    family: Family, samples: CellSamples, parameters: Parameters, seed: int
) -> FittedFamily:
    """Return a model of one family, fitted on samples; equal arguments give equal arrays.

    Equal they are with one thread of BLAS: the caller bounds it.

    Parameters
    ----------
    parameters
        Replace those of `DEFAULTS`.

    Raises
    ------
    UserError
        If the target is constant, no feature varies, or a parameter is unknown.
    """
    unknown = sorted(set(parameters) - set(DEFAULTS[family]))
    if unknown:
        raise UserError(
            f"{family} has no parameter {unknown[0]!r}: expected one of "
            f"{', '.join(sorted(DEFAULTS[family]))}"
        )
    fewer = thinned(samples, MOST_ROWS.get(family, samples.size))
    if is_constant(fewer.target):
        raise UserError("the target is constant")
    preparation = Preparation.of(fewer.features, is_scaled=family in SCALED)
    ready = preparation.of_samples(fewer.features)
    estimator = _estimator(family, ready, fewer.target, {**DEFAULTS[family], **parameters}, seed)
    return FittedFamily(family, preparation, estimator, bounds_of(fewer.target))


def _estimator(
    family: Family, ready: Floats32, target: Floats, parameters: Parameters, seed: int
) -> Estimator:
    if family == "mlr":
        return fit_linear(ready, target, parameters)
    if family == "svr":
        return fit_support_vectors(ready, target, parameters)
    if family == "ann":
        return fit_network(ready, target, parameters, seed)
    if family == "rf":
        return fit_random_forest(ready, target, parameters, seed)
    return fit_xgboost(ready, target, parameters, seed)


def thinned(samples: CellSamples, most: int) -> CellSamples:
    """Return so many samples at the most, evenly over their order."""
    if samples.size <= most:
        return samples
    return samples.at(np.linspace(0, samples.size - 1, most).round().astype(np.int64))


def is_constant(target: Floats) -> bool:
    """Return whether a target (n_samples,) does not vary by more than float32 resolves."""
    size = float(np.abs(target).max(initial=0.0))
    return bool(np.ptp(target) <= size * np.finfo(np.float32).eps)


def to_bytes(model: FittedFamily) -> bytes:
    """Return a model as an archive of plain arrays: equal models are equal bytes."""
    head = {
        "format": FORMAT,
        "family": model.family,
        "n_features": model.preparation.n_features,
        "bounds": list(model.bounds),
    }
    arrays = {f"prepared_{name}": getattr(model.preparation, name) for name in _PREPARED}
    arrays |= {f"estimator_{name}": part for name, part in model.estimator.arrays().items()}
    arrays["head"] = np.frombuffer(json.dumps(head, sort_keys=True).encode(), np.uint8)
    buffer = io.BytesIO()
    # Keywords of this function are names of arrays; their order is that of the archive.
    np.savez_compressed(buffer, **dict(sorted(arrays.items())))
    return buffer.getvalue()


def from_bytes(data: bytes) -> FittedFamily:
    """Return the model that `to_bytes` wrote; its hash is for the caller to check first.

    Raises
    ------
    ModelError
        If the bytes are no such archive, or one of another format.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        head = json.loads(arrays["head"].tobytes())
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as err:
        raise ModelError("a file is not a model of a family: train the model again") from err
    if head.get("format") != FORMAT or head.get("family") not in FAMILIES:
        raise ModelError(
            f"a model has format {head.get('format')!r}, this smcloud reads {FORMAT!r}: "
            "train the model again"
        )
    prepared = {name: arrays[f"prepared_{name}"] for name in _PREPARED}
    own = {
        name.removeprefix("estimator_"): part
        for name, part in arrays.items()
        if name.startswith("estimator_")
    }
    return FittedFamily(
        head["family"],
        Preparation(**prepared, n_features=head["n_features"]),
        _READERS[head["family"]](own),
        (head["bounds"][0], head["bounds"][1]),
    )
