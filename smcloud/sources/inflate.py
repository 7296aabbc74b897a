"""Deflate streams that are mostly one value, inflated at the speed of memory.

A granule over a coast, a cut-out or a few stations is fill for the most part: long runs that zlib
copies a few bytes at a time. Here runs are joined and copied as a whole; all else is decoded code
by code, which is slower than zlib, so that only streams with long runs take this way. Format: RFC
1950 (container, checksum) and RFC 1951 (blocks and codes).
"""

import zlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from smcloud.core.compiled import compiled

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]

MANY = 64
"""Bytes to a byte of a stream from which on it must have long runs."""
_MOST_BITS = 15
_PADDING = bytes(8)
"""Codes are looked for a few bytes beyond a stream's end."""
_ORDER = np.array([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15])
"""In which the lengths of code lengths are stored."""
_LENGTH_BITS = np.array([0] * 8 + [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4 + [5] * 4 + [0])
_LENGTHS = 3 + np.concatenate([[0], np.cumsum(1 << _LENGTH_BITS)[:-1]])
_LENGTHS[28] = 258
_DISTANCE_BITS = np.array([0, 0, *(bits for bits in range(14) for _ in range(2))])
_DISTANCES = 1 + np.concatenate([[0], np.cumsum(1 << _DISTANCE_BITS)[:-1]])


class _Codes(NamedTuple):
    """A Huffman code: how many symbols have each length, and the symbols in the order of codes."""

    counts: Ints
    symbols: Ints


def inflate(stream: bytes, size: int) -> Bytes:
    """Return the `size` bytes of a zlib stream.

    Raises
    ------
    ValueError
        If the stream is damaged, or of another size.
    """
    if size < MANY * len(stream):
        try:
            whole = np.frombuffer(zlib.decompress(stream, bufsize=size), np.uint8)
        except zlib.error as err:
            raise ValueError(str(err)) from err
        if whole.size != size:
            raise ValueError(f"a stream of {whole.size} bytes, expected {size}")
        return whole
    if len(stream) < 6 or stream[0] & 15 != 8 or stream[1] & 32 or int.from_bytes(stream[:2]) % 31:
        raise ValueError("incorrect header of a stream")
    out = np.empty(size, np.uint8)
    end = _inflate(np.frombuffer(stream + _PADDING, np.uint8), len(stream), out)
    if end < 0 or stream[end : end + 4] != zlib.adler32(out.data).to_bytes(4):
        raise ValueError("a damaged stream, or one of another size")
    return out


@compiled
def _inflate(data: Bytes, size: int, out: Bytes) -> int:
    """Fill `out` from the blocks of a stream; return the byte after them, -1 on damage."""
    at = np.array([16, 0])  # bits of the stream, bytes of `out`
    is_last = False
    while not is_last:
        is_last = _bits(data, at, 1) == 1
        kind = _bits(data, at, 2)
        is_good = False
        if kind == 0:
            is_good = _stored(data, size, at, out)
        elif kind == 1:
            lengths = np.empty(288, np.int32)
            lengths[:144], lengths[144:256], lengths[256:280], lengths[280:] = 8, 9, 7, 8
            is_good = _coded(data, at, _codes(lengths), _codes(np.full(30, 5, np.int32)), out)
        elif kind == 2:
            lengths, literals = _code_lengths(data, at)
            if literals > 0:
                symbols, distances = _codes(lengths[:literals]), _codes(lengths[literals:])
                is_good = _coded(data, at, symbols, distances, out)
        if not is_good or at[0] > 8 * size:
            return -1
    return (at[0] + 7) // 8 if at[1] == out.size else -1


@compiled
def _bits(data: Bytes, at: NDArray[Any], count: int) -> int:
    """Return the next bits, least significant first; 0 beyond the end."""
    value = _peek(data, at) & ((1 << count) - 1)
    at[0] += count
    return value


@compiled
def _peek(data: Bytes, at: NDArray[Any]) -> int:
    """Return at least 16 bits from here on; 0 beyond the end."""
    byte = at[0] >> 3
    if byte + 3 > data.size:
        return 0
    word = np.int64(data[byte]) | np.int64(data[byte + 1]) << 8 | np.int64(data[byte + 2]) << 16
    return int(word >> (at[0] & 7))


@compiled
def _codes(lengths: Ints) -> _Codes:
    """Return the code whose symbols have these lengths (RFC 1951, 3.2.2); 0 is not used."""
    counts = np.zeros(_MOST_BITS + 1, np.int32)
    for length in lengths:
        counts[length] += 1
    counts[0] = 0
    place = np.zeros(_MOST_BITS + 2, np.int32)
    for length in range(1, _MOST_BITS + 1):
        place[length + 1] = place[length] + counts[length]
    symbols = np.zeros(lengths.size, np.int32)
    for symbol in range(lengths.size):
        length = lengths[symbol]
        if length > 0:
            symbols[place[length]] = symbol
            place[length] += 1
    return _Codes(counts, symbols)


@compiled
def _symbol(data: Bytes, at: NDArray[Any], codes: _Codes) -> int:
    """Return the next symbol; -1 if no code fits."""
    word = _peek(data, at)
    code = first = index = 0
    for length in range(1, _MOST_BITS + 1):
        code |= word & 1
        word >>= 1
        count = codes.counts[length]
        if code - first < count:
            at[0] += length
            return int(codes.symbols[index + code - first])
        index += count
        first = (first + count) << 1
        code <<= 1
    return -1


@compiled
def _code_lengths(data: Bytes, at: NDArray[Any]) -> tuple[Ints, int]:
    """Return the lengths of both codes of a block, and how many are of the first; -1 on damage."""
    literals, distances = _bits(data, at, 5) + 257, _bits(data, at, 5) + 1
    first = np.zeros(19, np.int32)
    for number in range(_bits(data, at, 4) + 4):
        first[_ORDER[number]] = _bits(data, at, 3)
    codes, lengths, done = _codes(first), np.zeros(literals + distances, np.int32), 0
    while done < lengths.size:
        symbol = _symbol(data, at, codes)
        if symbol < 0 or (symbol == 16 and done == 0):
            return lengths, -1
        if symbol < 16:
            lengths[done] = symbol
            done += 1
            continue
        value, times = 0, 0
        if symbol == 16:
            value, times = lengths[done - 1], 3 + _bits(data, at, 2)
        elif symbol == 17:
            times = 3 + _bits(data, at, 3)
        else:
            times = 11 + _bits(data, at, 7)
        if done + times > lengths.size:
            return lengths, -1
        lengths[done : done + times] = value
        done += times
    return lengths, literals


@compiled
def _stored(data: Bytes, size: int, at: NDArray[Any], out: Bytes) -> bool:
    """Copy a block that is not compressed; say whether it is sound."""
    byte = (at[0] + 7) >> 3
    if byte + 4 > size:
        return False
    count = np.int64(data[byte]) | np.int64(data[byte + 1]) << 8
    again = np.int64(data[byte + 2]) | np.int64(data[byte + 3]) << 8
    if count ^ 0xFFFF != again or byte + 4 + count > size or at[1] + count > out.size:
        return False
    out[at[1] : at[1] + count] = data[byte + 4 : byte + 4 + count]
    at[0], at[1] = 8 * (byte + 4 + count), at[1] + count
    return True


@compiled
def _coded(data: Bytes, at: NDArray[Any], symbols: _Codes, distances: _Codes, out: Bytes) -> bool:
    """Decode a compressed block, runs of one distance joined; say whether it is sound."""
    distance, run = 0, 0
    while True:
        symbol = _symbol(data, at, symbols)
        new, length = 0, 0
        if symbol > 256:
            if symbol > 285:
                return False
            length = _LENGTHS[symbol - 257] + _bits(data, at, _LENGTH_BITS[symbol - 257])
            far = _symbol(data, at, distances)
            if far < 0 or far > 29:
                return False
            new = _DISTANCES[far] + _bits(data, at, _DISTANCE_BITS[far])
            if new == distance and 0 < run < out.size:
                run += length
                continue
        if run > 0 and not _copied(out, at, distance, run):
            return False
        distance, run = new, length
        if symbol < 0 or (symbol < 256 and at[1] >= out.size):
            return False
        if symbol == 256:
            return True
        if symbol < 256:
            out[at[1]] = symbol
            at[1] += 1


@compiled
def _copied(out: Bytes, at: NDArray[Any], distance: int, count: int) -> bool:
    """Repeat the last `distance` bytes until `count` are added; say whether that is possible."""
    here = at[1]
    if distance > here or here + count > out.size:
        return False
    done = 0
    while done < count:
        part = min(distance + done, count - done)
        # Views: the compiler copies them at once, but not indices into one array.
        source, target = out[here - distance :], out[here + done :]
        for byte in range(part):
            target[byte] = source[byte]
        done += part
    at[1] += count
    return True
