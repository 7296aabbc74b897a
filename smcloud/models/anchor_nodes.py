"""The nodes of the smooth correction, what became of each cell, and how both are stored."""

import io
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from enum import IntEnum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from smcloud.grids.grid import Grid, Window, grid_named
from smcloud.models.cell_sums import Floats32, Links, packed, places

States = NDArray[np.uint8]
Bools = NDArray[np.bool_]
Value = TypeVar("Value", bound=np.generic)

TOLERANCE = 1e-4
"""Largest error of a cell's mean, in units of the target, before values are packed."""


class State(IntEnum):
    """What became of a cell on a day."""

    NO_TARGET = 0
    """The coarse value is unknown."""
    ANCHORED = 1
    """The mean is the coarse value; no pixel is clamped."""
    CLAMPED = 2
    """The mean is the coarse value, with pixels at 0 or at their ceiling."""
    NOT_REACHED = 3
    """The mean differs by more than the tolerance: the coarse value lies above what the pixels can
    hold, or cells of few pixels contradict each other."""
    TOO_FEW = 4
    """Too small a share of the cell's land has a first guess for a mean to be compared."""
    MODELLED = 5
    """The coarse value is unknown, and the mean is about that of the model."""


@dataclass(frozen=True, eq=False)
class Nodes:
    """The correction at the centres of coarse cells, of consecutive days.

    Attributes
    ----------
    grid : Grid
        The coarse grid.
    window : Window
        Cells, with a margin of one around those that were summed.
    values : float32 (days, rows, cols)
        What is added to the first guess, in units of the target; never NaN.
    state : uint8 (days, rows, cols)
        `State` of each cell.
    error : float32 (days, rows, cols)
        Mean of the cell less what was asked of it (`Anchors.asked`), as last summed; NaN where
        nothing is anchored.
    """

    grid: Grid
    window: Window
    values: Floats32
    state: States
    error: Floats32

    def on(self, window: Window) -> Floats32:
        """Return the values (days, rows, cols) on a window inside, as a block needs them."""
        return self._within(self.values, window)

    def state_at(self, where: Links) -> States:
        """Return the state of the cell of each point, (days, n_points)."""
        states = self._within(self.state, where.window)
        return np.asarray(states.reshape(len(states), -1)[:, where.cell])

    def of(self, days: NDArray[np.intp]) -> "Nodes":
        """Return those of some of the days."""
        return replace(
            self, values=self.values[days], state=self.state[days], error=self.error[days]
        )

    def missed(self, tolerance: float = TOLERANCE) -> Bools:
        """Say for each day whether a cell missed what was asked of it, (days,)."""
        return np.asarray((np.abs(self.error) > tolerance).any(axis=(1, 2)))

    def _within(self, values: NDArray[Value], window: Window) -> NDArray[Value]:
        rows, cols = places(self.grid, self.window, window)
        return np.ascontiguousarray(values[:, rows][:, :, cols])

    def to_bytes(self) -> bytes:
        """Return the nodes as a compressed NPZ file; equal nodes give equal bytes."""
        return packed(
            grid=np.array(self.grid.name),
            window=np.array(astuple(self.window)),
            values=self.values,
            state=self.state,
            error=self.error,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "Nodes":
        """Return the nodes that `to_bytes` wrote."""
        with np.load(io.BytesIO(data), allow_pickle=False) as found:
            grid, window = grid_named(str(found["grid"])), Window(*found["window"].tolist())
            return cls(grid, window, found["values"], found["state"], found["error"])


def joined(parts: Sequence[Nodes]) -> Nodes:
    """Return the nodes of consecutive days of one region as one."""
    return replace(
        parts[0],
        values=np.concatenate([part.values for part in parts]),
        state=np.concatenate([part.state for part in parts]),
        error=np.concatenate([part.error for part in parts]),
    )
