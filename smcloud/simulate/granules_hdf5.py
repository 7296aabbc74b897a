"""HDF5 arrays of global grids of which few cells are known.

An array is cut into chunks, and only chunks with known cells are stored; HDF5 reads the others as
fill. So a daily file of the globe costs what its cells cost. Files are made in memory and depend on
their arguments alone.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from smcloud.simulate.footprints import Ints
from smcloud.simulate.hdf_eos import Array

CHUNK, LARGE_CHUNK = 32, 64
"""Rows and columns of a chunk: small, for known cells are scattered; but readers pay for each."""
LARGE = 2000
"""Columns from which chunks are large."""
DEFLATE_LEVEL = 1


@dataclass(frozen=True)
class Field:
    """One array of a file: its type, fill value and attributes."""

    name: str
    dtype: str
    fill: float | int
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class _Part:
    """The cells that fall into one chunk, and where they lie in it."""

    corner: tuple[int, int]
    cells: Ints
    at: tuple[Ints, Ints]


class CellArrays:
    """Cells of a global array, sorted into its chunks once for all files of a product."""

    def __init__(self, shape: tuple[int, int], rows: Ints, cols: Ints) -> None:
        self.shape = shape
        self._side = side = LARGE_CHUNK if shape[1] >= LARGE else CHUNK
        across = -(-shape[1] // side)
        chunk_of = rows // side * across + cols // side
        self._parts = []
        for chunk in np.unique(chunk_of):
            cells = np.flatnonzero(chunk_of == chunk)
            row, col = int(chunk) // across * side, int(chunk) % across * side
            self._parts.append(_Part((row, col), cells, (rows[cells] - row, cols[cells] - col)))

    def create(
        self, group: h5py.Group, field: Field, *, steps: bool = False, halves: int = 0
    ) -> h5py.Dataset:
        """Create an array without any chunk.

        `steps`: with a first dimension of one time step; `halves`: of so many parts of a day.
        """
        lead = (1,) if steps else (halves,) if halves else ()
        chunks = tuple(min(self._side, size) for size in self.shape)
        dataset = group.create_dataset(
            field.name,
            (*lead, *self.shape),
            field.dtype,
            chunks=(*(1 for _ in lead), *chunks),
            fillvalue=np.dtype(field.dtype).type(field.fill),
            compression="gzip",
            compression_opts=DEFLATE_LEVEL,
            shuffle=True,
        )
        for name, value in field.attributes.items():
            dataset.attrs[name] = value
        return dataset

    def store(self, dataset: h5py.Dataset, values: Array, known: Array, number: int = 0) -> None:
        """Store the known cells of an array that `create` made; chunks without one are left out.

        Parameters
        ----------
        values, known
            (n,) as stored, and which of them are known.
        number
            Along the first dimension, where there is one.
        """
        lead = (number,) * (dataset.ndim - 2)
        dtype, fill, whole = dataset.dtype, dataset.fillvalue, dataset.chunks[-2:]
        for part in self._parts:
            here = known[part.cells]
            if here.any():
                # Chunks at the edge are stored whole.
                block = np.full(whole, fill, dtype)
                block[part.at[0][here], part.at[1][here]] = values[part.cells][here]
                dataset.id.write_direct_chunk((*lead, *part.corner), _packed(block))


def _packed(block: Array) -> bytes:
    """Return a chunk as HDF5 stores it: bytes shuffled, then deflated."""
    shuffled = block.view(np.uint8).reshape(-1, block.itemsize).T
    return zlib.compress(shuffled.tobytes(), DEFLATE_LEVEL)


class Template:
    """A file whose structure and attributes are made once; its copies get chunks of their own."""

    def __init__(self, build: Callable[[h5py.File], None]) -> None:
        with h5py.File("template", "w", driver="core", backing_store=False) as file:
            build(file)
            file.flush()
            self._image: bytes = file.id.get_file_image()

    def copy(self, fill: Callable[[h5py.File], None]) -> bytes:
        """Return the content of a copy that `fill` has filled."""
        opened = h5py.h5f.open_file_image(self._image, h5py.h5f.FILE_IMAGE_OPEN_RW)
        with h5py.File(opened) as file:
            fill(file)
            file.flush()
            data: bytes = file.id.get_file_image()
        return data
