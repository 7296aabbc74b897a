"""How a block asks its model: features as codes or floats in, estimates out, integers stored.

A slab of codes is a quarter of a slab of floats or less, and each feature is encoded while its
piece is still in the cache.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np

from smcloud.core.compiled import compiled
from smcloud.cube.schema import Array, Variable
from smcloud.features.inputs import Points
from smcloud.features.sink import FloatSink, Sink
from smcloud.features.spec import Flags, Floats32
from smcloud.models.base import ModelCard, Parameter
from smcloud.models.boosting import StoredSpread
from smcloud.models.forest import Forest
from smcloud.models.forest_layout import DEEPEST
from smcloud.models.uncertainty import SHIPPED_LEVEL, SPREAD_TREES
from smcloud.products.base import ESTIMATE_CLIPPED, NO_ESTIMATE

SMALL_BINS = 254
"""Cuts of a feature whose codes, that of unknown values among them, fit one byte."""
MOST_BINS = 256
"""XGBoost's default."""


class Predictor(Protocol):
    """What a block needs of a model that is not the evaluator's."""

    def predict(self, columns: Floats32) -> Floats32:
        """Return the target of each row of (n_features, n_rows)."""


class Estimator(Protocol):
    """A model and the sink that it wants."""

    def begin(self, n_days: int) -> Sink:
        """Return a sink for a slab of `n_days`; the slab before is forgotten."""

    def estimates(self) -> Floats32:
        """Return the estimates (n_days * n_points,) of the slab that the sink received."""


def estimator_of(
    model: Forest | Predictor, n_features: int, most_days: int, n_points: int
) -> Estimator:
    """Return the estimator of a block whose slabs have at most so many days and points."""
    if isinstance(model, Forest) and not model.fallback:
        return CodeEstimator(model, most_days, n_points)
    return FloatEstimator(model, n_features, n_points)


class FloatEstimator:
    """Asks a model for the estimates of float columns."""

    def __init__(self, model: Forest | Predictor, n_features: int, n_points: int) -> None:
        self._model, self._n_features, self._n_points = model, n_features, n_points

    def begin(self, n_days: int) -> Sink:
        """Return a sink of floats."""
        self._sink = FloatSink(self._n_features, n_days, self._n_points)
        return self._sink

    def estimates(self) -> Floats32:
        """Return what the model predicts."""
        return self._model.predict(self._sink.values.reshape(self._n_features, -1))


class CodeEstimator:
    """Keeps the codes of a slab of days, and evaluates them; the memory serves every slab.

    Parameters
    ----------
    forest : Forest
        Must not fall back to its library.
    most_days, n_points : int
        Size of the largest slab.
    """

    def __init__(self, forest: Forest, most_days: int, n_points: int) -> None:
        self._forest = forest
        self._n_points = n_points
        self._memory = np.empty(forest.n_features * most_days * n_points, forest.code_dtype)
        self._tables: dict[tuple[int, Variable], Array] = {}

    def begin(self, n_days: int) -> Sink:
        """Make room for a slab of `n_days`, and return itself as the sink."""
        shape = (self._forest.n_features, n_days, self._n_points)
        self._codes = self._memory[: math.prod(shape)].reshape(shape)
        return self

    def estimates(self) -> Floats32:
        """Return the evaluator's estimates."""
        return self._forest.predict_codes(self._codes.reshape(len(self._codes), -1))

    def put(self, column: int, days: slice, values: Floats32) -> None:
        """Encode physical values (days, n_points)."""
        self._forest.encode(values.reshape(-1), column, out=self._codes[column, days].reshape(-1))

    def put_static(self, column: int, values: Floats32) -> None:
        """Encode physical values (n_points,) once, for every day."""
        self._codes[column] = self._forest.encode(values, column)

    def put_stored(self, column: int, days: slice, stored: Array, variable: Variable) -> None:
        """Encode stored integers (days, n_points) by one look-up each."""
        key = column, variable
        if key not in self._tables:
            self._tables[key] = self._forest.table(column, physical_values(variable))
        out = self._codes[column, days].reshape(-1)
        self._forest.encode(stored.reshape(-1), column, self._tables[key], out)


def row_bytes(card: ModelCard, n_features: int) -> int:
    """Return the most bytes of a row (a pixel and day) that its estimator holds.

    Columns are codes, whose size follows from the bins of the training, or floats for trees that
    are too deep; estimates are added. The trees of a spread hold the same again, in codes of their
    own.
    """
    held = _row_bytes(card.params, n_features)
    return held + (_row_bytes(SPREAD_TREES, n_features) if card.spread else 0)


def _row_bytes(params: Mapping[str, Parameter], n_features: int) -> int:
    bins = int(params.get("max_bin", MOST_BINS))
    if int(params.get("max_depth", 0)) > DEEPEST:
        column = FloatSink.bytes_per_value
    else:
        column = 1 if bins <= SMALL_BINS else 2
    return n_features * column + np.dtype(np.float32).itemsize


def physical_values(variable: Variable) -> Floats32:
    """Return what every stored integer of 1 or 2 bytes means, by its unsigned bits."""
    dtype = np.dtype(variable.dtype).newbyteorder("=")
    unsigned = np.dtype(f"u{dtype.itemsize}")
    return variable.unpack(np.arange(2 ** (8 * dtype.itemsize), dtype=unsigned).view(dtype))


class Encoding(NamedTuple):
    """How estimates are stored.

    Attributes
    ----------
    low, high : float32
        Physical range: estimates outside it are clipped to it.
    scale, offset : float
        physical = stored * scale + offset.
    fill : int
        Stored where there is no estimate.
    refuse : uint8
        Bits of the features' flags under which there is no estimate.
    clipped, refused : uint8
        Bits that are raised where an estimate was clipped, or there is none.
    """

    low: np.float32
    high: np.float32
    scale: float
    offset: float
    fill: int
    refuse: np.uint8
    clipped: np.uint8
    refused: np.uint8


def encoding_of(variable: Variable, refuse: int) -> Encoding:
    """Return how estimates of `variable` are stored; `refuse` are bits without an estimate."""
    low, high = variable.valid
    return Encoding(
        np.float32(low),
        np.float32(high),
        float(variable.scale),
        float(variable.offset),
        variable.fill_value,
        np.uint8(refuse),
        np.uint8(ESTIMATE_CLIPPED),
        np.uint8(NO_ESTIMATE),
    )


@compiled
def put_estimates(
    estimates: Floats32,
    flags: Flags,
    points: Points,
    encoding: Encoding,
    stored: Array,
    raised: Array,
) -> None:
    """Write estimates and flags (days, n_points) to the points of whole days (days, pixels).

    Estimates outside the physical range are clipped to it and flagged. Where a required driver
    or the estimate is unknown, fill is stored, and a flag that says so. Values are rounded half
    to even in double, as `Variable.pack` does.
    """
    for day in range(estimates.shape[0]):
        for number in range(points.shape[0]):
            point = points[number]
            found, flag = estimates[day, number], flags[day, number]
            if flag & encoding.refuse or found != found:
                stored[day, point] = encoding.fill
                raised[day, point] = flag | encoding.refused
                continue
            value = min(max(found, encoding.low), encoding.high)
            units = (np.float64(value) - encoding.offset) / encoding.scale
            stored[day, point] = np.int64(np.rint(units))
            raised[day, point] = flag if value == found else flag | encoding.clipped


class HalfWidths(NamedTuple):
    """How the half widths of intervals are stored.

    Attributes
    ----------
    floor, factor : float32
        A half width is the larger one of spread and floor, times the factor.
    high : float32
        Largest half width that is stored.
    scale, offset : float
        physical = stored * scale + offset.
    fill : int
        Stored where there is no estimate.
    no_estimate : int
        What the estimates' variable stores there.
    """

    floor: np.float32
    factor: np.float32
    high: np.float32
    scale: float
    offset: float
    fill: int
    no_estimate: int


def half_widths_of(variable: Variable, target: Variable, spread: StoredSpread) -> HalfWidths:
    """Return how half widths of the shipped level are stored as `variable`, beside `target`."""
    return HalfWidths(
        np.float32(spread.note.floor),
        np.float32(spread.factor(SHIPPED_LEVEL)),
        np.float32(variable.valid[1]),
        float(variable.scale),
        float(variable.offset),
        variable.fill_value,
        target.fill_value,
    )


@compiled
def put_half_widths(
    spreads: Floats32, points: Points, encoding: HalfWidths, estimates: Array, stored: Array
) -> None:
    """Write half widths of spreads (days, n_points) to the points of whole days (days, pixels).

    Fill where `estimates`, the stored ones (days, pixels), have none. Too large ones are stored as
    the largest; values are rounded half to even in double, as `Variable.pack` does.
    """
    for day in range(spreads.shape[0]):
        for number in range(points.shape[0]):
            point = points[number]
            if estimates[day, point] == encoding.no_estimate:
                stored[day, point] = encoding.fill
                continue
            half = max(spreads[day, number], encoding.floor) * encoding.factor
            half = min(half, encoding.high)
            units = (np.float64(half) - encoding.offset) / encoding.scale
            stored[day, point] = np.int64(np.rint(units))
