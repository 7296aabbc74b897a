"""A layer of stored codes to the integers of a cube in one pass: look up, judge, average, pack.

A granule at 500 m is 5.8 million pixels a layer. Physical values, masks and means of it as arrays
of their own cost more time than the decoding of the file, most of it for fresh memory; here each
stored code is looked up once and goes straight into the slab of the cube.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from smcloud.core.compiled import compiled
from smcloud.cube.schema import Variable
from smcloud.sources.hdf_eos import Array, Floats
from smcloud.sources.quality import Condition, Mask, Words

Codes = NDArray[np.unsignedinteger[Any]]
EVERYTHING = np.ones(1, np.bool_)
"""The table of a field without bits: it keeps every pixel."""
SEGMENT = 64
"""Pixels of a row of the cube that are passed over together where the layer is all fill."""


@dataclass(frozen=True, eq=False)
class Coded:
    """A layer of a whole tile as stored, and what its codes mean.

    Attributes
    ----------
    stored : integer array (rows, cols)
        One or two bytes each.
    meanings : float32 array
        Physical value of each code by its unsigned bits (`hdf_eos.every_code`); NaN unknown.
    fill : int
        A code that means unknown, which most of a layer may be.
    """

    stored: Array
    meanings: Floats
    fill: int

    def physical(self) -> Floats:
        """Return the layer in physical units, float32 (rows, cols), NaN where unknown."""
        physical: Floats = self.meanings[unsigned(self.stored)]
        return physical


class _Judge(NamedTuple):
    """A `Condition` beside its word."""

    word: Codes
    start: np.uint32
    keeps: Mask


class _Packing(NamedTuple):
    """What `Variable.pack` knows: the range in float32, as it compares; the codes of the type."""

    low: np.float32
    high: np.float32
    offset: float
    scale: float
    least_code: float
    most_code: float

    @classmethod
    def of(cls, variable: Variable) -> "_Packing":
        low, high = map(np.float32, variable.valid)
        info = np.iinfo(variable.dtype)
        scale, offset = float(variable.scale), float(variable.offset)
        return cls(low, high, offset, scale, float(info.min), float(info.max))


def unsigned(values: Array) -> Codes:
    """Return the same bits as unsigned integers, not copied."""
    return values.view(f"u{values.dtype.itemsize}")


def pack_means(
    layer: Coded,
    words: Words,
    conditions: tuple[Condition, ...],
    variable: Variable,
    least_known: int,
    out: Array,
) -> None:
    """Pack the mean of the kept pixels inside each pixel of `out`; unknown ones are left alone.

    The same bits as `grids.regrid.block_mean` and `Variable.pack` of physical values give.

    Parameters
    ----------
    layer
        The layer, k times as fine as `out` along each side.
    words, conditions
        Quality words in the layer's shape, and what they must be (two conditions at most).
    variable
        Range and packing of the result.
    least_known
        How many of the k * k pixels must be known.
    out : (rows, cols) of the variable's stored type
    """
    stored = unsigned(layer.stored)
    judges = [_Judge(unsigned(words[c.word]), np.uint32(c.start), c.keeps) for c in conditions]
    judges += [_Judge(stored, np.uint32(0), EVERYTHING)] * (2 - len(judges))
    _pack_means(
        stored,
        unsigned(np.array([layer.fill], layer.stored.dtype))[0],
        layer.meanings,
        judges[0],
        judges[1],
        _Packing.of(variable),
        least_known,
        unsigned(out),
    )


@compiled
def _pack_means(
    stored: Codes,
    fill: np.unsignedinteger[Any],
    meanings: Floats,
    first: _Judge,
    second: _Judge,
    packing: _Packing,
    least_known: int,
    out: Codes,
) -> None:
    """Do the work of `pack_means` on plain arrays: float32 sums row by row, packed in double."""
    rows, cols = out.shape
    factor = stored.shape[0] // rows
    bits_1, bits_2 = np.uint32(first.keeps.size - 1), np.uint32(second.keeps.size - 1)
    total, count = np.empty(cols, np.float32), np.empty(cols, np.int32)
    for row in range(rows):
        for begin in range(0, cols, SEGMENT):
            end = min(begin + SEGMENT, cols)
            if _is_all(
                stored[row * factor : (row + 1) * factor, begin * factor : end * factor], fill
            ):
                continue
            total[begin:end] = 0
            count[begin:end] = 0
            for fine in range(row * factor, (row + 1) * factor):
                codes, word_1, word_2 = stored[fine], first.word[fine], second.word[fine]
                for part in range(factor):
                    for col in range(begin, end):
                        at = col * factor + part
                        value = meanings[codes[at]]
                        known = first.keeps[(word_1[at] >> first.start) & bits_1]
                        known &= second.keeps[(word_2[at] >> second.start) & bits_2]
                        known &= value == value
                        total[col] += value if known else np.float32(0)
                        count[col] += known
            for col in range(begin, end):
                if count[col] >= least_known:
                    mean = np.float32(total[col] / np.float32(count[col]))
                    code = np.rint((np.float64(mean) - packing.offset) / packing.scale)
                    is_valid = packing.low <= mean <= packing.high
                    if is_valid and packing.least_code <= code <= packing.most_code:
                        out[row, col] = np.int64(code)


@compiled
def _is_all(codes: Codes, code: np.unsignedinteger[Any]) -> bool:
    """Say whether all codes of a rectangle are one."""
    for row in range(codes.shape[0]):
        differing = 0
        for col in range(codes.shape[1]):
            differing |= codes[row, col] ^ code
        if differing != 0:
            return False
    return True
