"""Which values of an inner chunk go where: rectangles of a window, or points of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from smcloud.cube.schema import Array
from smcloud.grids.grid import Window

Points = NDArray[np.intp]


class Patch(Protocol):
    """What is wanted of one column of inner chunks, those that differ in time alone."""

    @property
    def row(self) -> int:
        """Return the row of the chunk among the chunks of the array."""

    @property
    def col(self) -> int:
        """Return the column of the chunk among the chunks of the array."""

    def place(self, chunk: Array, out: Array) -> None:
        """Copy the wanted values of `chunk` (steps, rows, cols) into `out` (steps, ...)."""


@dataclass(frozen=True)
class Rectangle:
    """Pixels of a window: `inside` of the chunk, `target` of an output (steps, rows, cols)."""

    row: int
    col: int
    inside: tuple[slice, slice]
    target: tuple[slice, slice]

    def place(self, chunk: Array, out: Array) -> None:
        """Copy the rectangle."""
        out[:, *self.target] = chunk[:, *self.inside]


@dataclass(frozen=True, eq=False)
class Scatter:
    """Points: flat indices `inside` the chunk, columns `target` of an output (steps, points)."""

    row: int
    col: int
    inside: Points
    target: Points | slice

    def place(self, chunk: Array, out: Array) -> None:
        """Copy the points."""
        flat = chunk.reshape(len(chunk), -1)
        if isinstance(self.target, slice):
            # `clip` writes to `out` itself; the indices are inside by construction.
            np.take(flat, self.inside, axis=1, out=out[:, self.target], mode="clip")
        else:
            out[:, self.target] = np.take(flat, self.inside, axis=1)


def rectangles(
    window: Window, inside: Window, store: Window, chunk: tuple[int, int]
) -> Iterator[Rectangle]:
    """Yield the parts of a window by chunk, row by row.

    Parameters
    ----------
    window
        What is asked for; its corner is that of the output.
    inside
        The part of it that the store covers.
    store
        Pixels of the store; chunks are counted from its corner.
    chunk
        Rows and columns of a chunk.
    """
    rows, cols = inside.within(store)
    for row in _chunks(rows, chunk[0]):
        for col in _chunks(cols, chunk[1]):
            part_rows, part_cols = _part(rows, row, chunk[0]), _part(cols, col, chunk[1])
            down, right = store.row0 - window.row0, store.col0 - window.col0
            yield Rectangle(
                row,
                col,
                (_moved(part_rows, -row * chunk[0]), _moved(part_cols, -col * chunk[1])),
                (_moved(part_rows, down), _moved(part_cols, right)),
            )


def scatters(
    window: Window, points: Points, store: Window, chunk: tuple[int, int]
) -> Iterator[Scatter]:
    """Yield the points of a window by chunk; those outside the store and empty chunks are left out.

    Parameters
    ----------
    points
        Flat indices within the window; the output has one column for each, in their order.
    """
    rows, cols = np.divmod(points, window.shape[1])
    rows, cols = rows + (window.row0 - store.row0), cols + (window.col0 - store.col0)
    height, width = store.shape
    known = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
    across = -(-width // chunk[1])
    number = np.where(known, rows // chunk[0] * across + cols // chunk[1], -1)
    flat = rows % chunk[0] * chunk[1] + cols % chunk[1]
    for one in np.unique(number):
        if one < 0:
            continue
        mine = np.flatnonzero(number == one)
        row, col = divmod(int(one), across)
        target = slice(0, len(points)) if len(mine) == len(points) else mine
        yield Scatter(row, col, flat[mine], target)


def _chunks(span: slice, size: int) -> range:
    return range(span.start // size, -(-span.stop // size))


def _part(span: slice, number: int, size: int) -> slice:
    return slice(max(span.start, number * size), min(span.stop, (number + 1) * size))


def _moved(span: slice, by: int) -> slice:
    return slice(span.start + by, span.stop + by)
