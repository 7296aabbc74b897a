"""Where the features of a slab go: a float array for a model's library, or codes for the evaluator.

Features are handed over piece by piece, while they are in the cache, so that a sink that encodes
them at once never holds a slab of floats.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from smcloud.cube.schema import Array, Variable
from smcloud.features.inputs import unpacked
from smcloud.features.spec import Floats32


class Sink(Protocol):
    """Receives each column of a slab once, in pieces of days; NaN is unknown.

    ``days`` are slices relative to the slab. Arrays are C-contiguous and the caller's own: a sink
    neither changes nor keeps them, for they may be filled anew after the call.
    """

    def put(self, column: int, days: slice, values: Floats32) -> None:
        """Take physical values (days, n_points)."""

    def put_static(self, column: int, values: Floats32) -> None:
        """Take physical values (n_points,) that hold on every day of the slab."""

    def put_stored(self, column: int, days: slice, stored: Array, variable: Variable) -> None:
        """Take stored integers (days, n_points) of 1 or 2 bytes, to be unpacked as `variable`."""


class FloatSink:
    """Keeps physical values.

    Attributes
    ----------
    values : float32 (n_features, n_days, n_points), C-contiguous
        NaN for unknown.
    """

    bytes_per_value = 4

    def __init__(self, n_features: int, n_days: int, n_points: int) -> None:
        self.values: Floats32 = np.empty((n_features, n_days, n_points), np.float32)

    def put(self, column: int, days: slice, values: Floats32) -> None:
        """Keep physical values (days, n_points)."""
        self.values[column, days] = values

    def put_static(self, column: int, values: Floats32) -> None:
        """Keep physical values (n_points,) for every day."""
        self.values[column] = values

    def put_stored(self, column: int, days: slice, stored: Array, variable: Variable) -> None:
        """Unpack stored integers (days, n_points)."""
        self.values[column, days] = unpacked(stored, variable)


class DaySink:
    """Keeps physical values of a few days of a slab, and lets the others pass.

    Parameters
    ----------
    kept : sequence of int
        Days to keep, relative to the slab.

    Attributes
    ----------
    values : float32 (n_features, n_kept, n_points), C-contiguous
        NaN for unknown.
    """

    def __init__(self, n_features: int, kept: Sequence[int], n_points: int) -> None:
        self.kept = tuple(kept)
        self.values: Floats32 = np.empty((n_features, len(self.kept), n_points), np.float32)

    def put(self, column: int, days: slice, values: Floats32) -> None:
        """Keep the physical values of the kept days among (days, n_points)."""
        for place, day in enumerate(self.kept):
            if days.start <= day < days.stop:
                self.values[column, place] = values[day - days.start]

    def put_static(self, column: int, values: Floats32) -> None:
        """Keep physical values (n_points,) for every kept day."""
        self.values[column] = values

    def put_stored(self, column: int, days: slice, stored: Array, variable: Variable) -> None:
        """Unpack the stored integers of the kept days among (days, n_points)."""
        for place, day in enumerate(self.kept):
            if days.start <= day < days.stop:
                self.values[column, place] = unpacked(stored[day - days.start], variable)


class FanSink:
    """Hands every column on to several sinks: one pass of features feeds them all."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)

    def put(self, column: int, days: slice, values: Floats32) -> None:
        """Hand on physical values (days, n_points)."""
        for sink in self._sinks:
            sink.put(column, days, values)

    def put_static(self, column: int, values: Floats32) -> None:
        """Hand on physical values (n_points,)."""
        for sink in self._sinks:
            sink.put_static(column, values)

    def put_stored(self, column: int, days: slice, stored: Array, variable: Variable) -> None:
        """Hand on stored integers (days, n_points)."""
        for sink in self._sinks:
            sink.put_stored(column, days, stored, variable)
