"""Streams inflated here hold the bytes that zlib gives, and damage never passes."""

import zlib

import numpy as np
import pytest

from smcloud.sources import inflate as module
from smcloud.sources.inflate import inflate


def fill_with_islands(rng, size, islands):
    """Return mostly fill of two bytes with some values between."""
    values = np.full(size // 2, -28672, ">i2")
    for start in rng.integers(0, size // 2, islands):
        values[start : start + int(rng.integers(1, 40))] = rng.integers(-100, 16000)
    return values.tobytes()


def contents(rng):
    yield fill_with_islands(rng, 200_000, 12)
    yield bytes(100_000)
    yield rng.integers(0, 256, 5000, np.uint8).tobytes()
    yield rng.choice(np.array([3, 7], np.uint8), 20_000, p=[0.95, 0.05]).tobytes()
    yield b"a"
    yield np.arange(60_000, dtype=">u2").tobytes() + bytes(50_000)


@pytest.fixture(autouse=True)
def _own_way(monkeypatch):
    monkeypatch.setattr(module, "MANY", 0)


@pytest.mark.parametrize("level", [0, 1, 6, 9])
@pytest.mark.parametrize("strategy", [zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_RLE])
def test_every_kind_of_block_is_inflated_to_the_bytes_that_were_deflated(level, strategy):
    for data in contents(np.random.default_rng(level)):
        deflate = zlib.compressobj(level, strategy=strategy)
        stream = deflate.compress(data[: len(data) // 3]) + deflate.flush(zlib.Z_FULL_FLUSH)
        stream += deflate.compress(data[len(data) // 3 :]) + deflate.flush()
        assert inflate(stream, len(data)).tobytes() == data


def test_a_changed_byte_or_a_lost_end_is_never_taken_for_sound():
    rng = np.random.default_rng(5)
    data = fill_with_islands(rng, 20_000, 5)
    stream = zlib.compress(data, 1)
    for at in range(len(stream)):
        wrong = bytearray(stream)
        wrong[at] ^= int(rng.integers(1, 256))
        try:
            assert inflate(bytes(wrong), len(data)).tobytes() == data
        except ValueError:
            continue
    for end in range(len(stream)):
        with pytest.raises(ValueError, match=r"damaged|header"):
            inflate(stream[:end], len(data))


@pytest.mark.parametrize("way", [0, 10**9])
def test_a_stream_of_another_size_is_refused(monkeypatch, way):
    monkeypatch.setattr(module, "MANY", way)
    stream = zlib.compress(bytes(5000), 1)
    for size in (4999, 5001):
        with pytest.raises(ValueError, match=r"size|expected"):
            inflate(stream, size)
