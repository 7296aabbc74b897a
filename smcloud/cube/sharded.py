"""Sharded arrays, read and written chunk by chunk: indexes, byte ranges, whole inner chunks.

A reader fetches the index of each shard once per process and then the bytes of the inner chunks
that it needs, neighbours in one request and several requests at once. Each chunk is decoded whole,
once, and what is wanted of it is copied straight into the result; chunks of which nothing is wanted
are neither fetched nor decoded. `Batch` does so for any number of arrays, which wait for a slow
store together and not one after another. Any number of threads may read at the same time.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec
from zarr.core.metadata import ArrayV3Metadata

from smcloud.core.errors import CubeError, NotFoundError, StoreError
from smcloud.core.objects import Objects, Part, in_order
from smcloud.cube.codecs import CRC_BYTES, ChunkCodec, Crc32c, chunk_codec
from smcloud.cube.patches import Patch
from smcloud.cube.schema import Array

Place = tuple[int, int, int]
EMPTY = np.uint64(2**64 - 1)
"""Offset and length of an inner chunk that is all fill and takes no space."""
MAX_GAP_BYTES = 2**18
"""Chunks closer than this are fetched together: a request costs as much as so many bytes."""
MAX_REQUEST_BYTES = 2**23
INDEXES_KEPT = 8192


@dataclass(frozen=True)
class ShardLayout:
    """How the inner chunks of an array lie in its shards; arrays in space alone have one step.

    Attributes
    ----------
    codec : ChunkCodec
    per_shard : (steps, rows, cols)
        Inner chunks of a shard.
    """

    codec: ChunkCodec
    per_shard: Place

    @property
    def index_bytes(self) -> int:
        """Return the bytes of the index at a shard's end: offset and length a chunk, a checksum."""
        return 16 * int(np.prod(self.per_shard)) + CRC_BYTES

    def encode(self, values: Array, fill: int) -> bytes:
        """Return the bytes of one shard; values (steps, rows, cols) may end before it does.

        Inner chunks that are all fill take no space; a shard of nothing else is its index alone.
        """
        index = np.full((*self.per_shard, 2), EMPTY, "<u8")
        parts: list[bytes] = []
        offset = 0
        for place in np.ndindex(self.per_shard):
            chunk = values[_slices(place, self.codec.shape)]
            if chunk.size == 0 or (chunk.flat[0] == fill and (chunk == fill).all()):
                continue
            parts.append(self.codec.encode(_padded(chunk, self.codec.shape, fill)))
            index[place] = offset, len(parts[-1])
            offset += len(parts[-1])
        return b"".join([*parts, Crc32c().encode(index)])

    def index(self, part: Part) -> NDArray[np.uint64]:
        """Return offset and length of each inner chunk, (*per_shard, 2), from a shard's last bytes.

        Raises
        ------
        CubeError
            If the bytes are damaged, or name bytes that the shard does not have.
        """
        if len(part.data) != self.index_bytes:
            raise CubeError(f"it has {part.size} bytes, its index alone {self.index_bytes}")
        try:
            data = Crc32c().decode(part.data)
        except ValueError as err:
            raise CubeError(f"its index is damaged: {err}") from err
        index = np.frombuffer(data, "<u8").reshape(*self.per_shard, 2)
        stored = index[index[..., 0] != EMPTY]
        room = part.size - self.index_bytes
        # Each alone first: the sum of two such numbers may pass the largest one.
        if (stored > room).any() or (stored.sum(-1) > room).any():
            raise CubeError(f"its index names bytes beyond its {part.size}")
        return index


def layout_of(array: zarr.Array[Any]) -> ShardLayout | None:
    """Return the layout of a sharded array; None if it is not sharded or has codecs unknown here.

    Such arrays, of a user's own cube, are left to zarr.
    """
    metadata = array.metadata
    if not isinstance(metadata, ArrayV3Metadata) or len(metadata.codecs) != 1:
        return None
    sharding = metadata.codecs[0]
    if not isinstance(sharding, ShardingCodec) or not _has_plain_index(sharding):
        return None
    chunk, shard = _three(array.chunks), _three(array.shards or array.chunks)
    codec = chunk_codec(chunk, np.dtype(array.dtype), sharding.codecs)
    if codec is None:
        return None
    per_shard = (shard[0] // chunk[0], shard[1] // chunk[1], shard[2] // chunk[2])
    return ShardLayout(codec, per_shard)


def _has_plain_index(sharding: ShardingCodec) -> bool:
    kinds = [type(codec) for codec in sharding.index_codecs]
    return kinds == [BytesCodec, Crc32cCodec] and sharding.index_location.value == "end"


def _three(shape: tuple[int, ...]) -> Place:
    first, rows, cols = (1, *shape) if len(shape) == 2 else shape
    return first, rows, cols


def _slices(place: Sequence[int], shape: Place) -> tuple[slice, ...]:
    return tuple(slice(n * size, (n + 1) * size) for n, size in zip(place, shape, strict=True))


def _padded(chunk: Array, shape: Place, fill: int) -> Array:
    if chunk.shape == shape:
        return chunk
    whole = np.full(shape, fill, chunk.dtype)
    whole[tuple(slice(0, n) for n in chunk.shape)] = chunk
    return whole


@dataclass(frozen=True)
class _Shard:
    """The index of one shard and the state of the object that it was read from."""

    key: str
    index: NDArray[np.uint64]
    version: str


class _Indexes:
    """The indexes that a process has read, the oldest forgotten first; safe to share."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = Lock()
        self._known: OrderedDict[str, _Shard] = OrderedDict()

    def get(self, url: str) -> _Shard | None:
        with self._lock:
            if url in self._known:
                self._known.move_to_end(url)
            return self._known.get(url)

    def put(self, url: str, shard: _Shard) -> None:
        with self._lock:
            self._known[url] = shard
            self._known.move_to_end(url)
            while len(self._known) > self._most:
                self._known.popitem(last=False)

    def forget(self, url: str) -> bool:
        """Say whether the index was known; it is no longer."""
        with self._lock:
            return self._known.pop(url, None) is not None


_INDEXES = _Indexes(INDEXES_KEPT)


class _ChangedError(Exception):
    """An object was written again after its index was read."""


class _InShard(NamedTuple):
    """One inner chunk that is wanted: key and place in its shard, its steps and those of `out`."""

    key: str
    place: Place
    inside: slice
    target: slice
    patch: Patch


@dataclass(frozen=True)
class _Wanted:
    """One inner chunk, where its bytes lie, and where its values go."""

    offset: int
    length: int
    inside: slice
    target: slice
    patch: Patch


@dataclass(frozen=True)
class _Span:
    """Bytes of one shard that are fetched in one request, for one chunk or for neighbours."""

    shard: _Shard
    chunks: tuple[_Wanted, ...]

    @property
    def start(self) -> int:
        return self.chunks[0].offset

    @property
    def length(self) -> int:
        return max(chunk.offset + chunk.length for chunk in self.chunks) - self.start


def lacks(objects: Objects, key: str) -> CubeError:
    """Return the error of an absent object, which Zarr would read as fill without a word."""
    return CubeError(
        f"{objects.url} lacks the object {key}: it was not ingested, or it was lost; "
        "ingest this tile and year again"
    )


class ShardedArray:
    """One array whose layout is known, below the URL of its store.

    Parameters
    ----------
    objects : Objects
        The objects of the store.
    name : str
        Name of the array in the store.
    """

    def __init__(
        self, objects: Objects, name: str, array: zarr.Array[Any], layout: ShardLayout
    ) -> None:
        self._objects = objects
        self._name = name
        self._metadata = array.metadata
        self._has_time = array.ndim == 3
        self._fill = array.fill_value
        self.layout = layout

    def chunks_of(self, steps: slice, patches: Sequence[Patch]) -> Iterator[_InShard]:
        """Yield each inner chunk that the patches want of time steps."""
        size = self.layout.codec.shape[0]
        for number in range(steps.start // size, -(-steps.stop // size)):
            first = max(steps.start, number * size)
            stop = min(steps.stop, (number + 1) * size)
            inside = slice(first - number * size, stop - number * size)
            target = slice(first - steps.start, stop - steps.start)
            for patch in patches:
                places = zip((number, patch.row, patch.col), self.layout.per_shard, strict=True)
                (t, dt), (r, dr), (c, dc) = (divmod(place, per) for place, per in places)
                yield _InShard(self.key((t, r, c)), (dt, dr, dc), inside, target, patch)

    def key(self, shard: Place) -> str:
        """Return the key of one shard below its store."""
        place = shard if self._has_time else shard[1:]
        return f"{self._name}/{self._metadata.encode_chunk_key(place)}"

    def spans(
        self, wanted: Iterable[_InShard], shards: Mapping[str, _Shard | None], out: Array
    ) -> Iterator[_Span]:
        """Yield what to fetch, shard by shard; chunks that are all fill are filled at once.

        Parameters
        ----------
        shards : mapping
            Index of each shard by its URL; None where the object is absent.
        """
        ordered = sorted(wanted, key=lambda one: one.key)
        for key, group in groupby(ordered, lambda one: one.key):
            shard = shards[self.url(key)]
            if shard is None:
                continue
            chunks: list[_Wanted] = []
            for one in group:
                offset, length = (int(number) for number in shard.index[one.place])
                if offset == EMPTY:
                    whole = np.broadcast_to(np.asarray(self._fill), self.layout.codec.shape)
                    one.patch.place(whole[one.inside], out[one.target])
                else:
                    chunks.append(_Wanted(offset, length, one.inside, one.target, one.patch))
            yield from _joined(shard, sorted(chunks, key=lambda chunk: chunk.offset))

    def url(self, key: str) -> str:
        """Return the URL of an object of the array."""
        return f"{self._objects.url}/{key}"

    def lacks(self, key: str) -> CubeError:
        """Return the error of an absent object."""
        return lacks(self._objects, key)

    def fetch_index(self, key: str) -> _Shard | None:
        """Return the index of a shard and remember it; None if the object is absent."""
        size = self.layout.index_bytes
        try:
            part = self._objects.get_part(key, -size, size)
        except NotFoundError:
            if _INDEXES.forget(self.url(key)):
                raise lacks(self._objects, key) from None
            return None
        except StoreError:
            # Some stores refuse to give the last bytes of an object that has fewer.
            if self._objects.head(key).size >= size:
                raise
            part = Part(memoryview(b""), self._objects.head(key).size, "")
        try:
            shard = _Shard(key, self.layout.index(part), part.version)
        except CubeError as err:
            raise self._damaged(key, err) from err
        _INDEXES.put(self.url(key), shard)
        return shard

    def fetch(self, span: _Span) -> Part:
        """Return the bytes of a span."""
        part = self._objects.get_part(span.shard.key, span.start, span.length)
        if part.version != span.shard.version or len(part.data) != span.length:
            raise _ChangedError(f"{self.url(span.shard.key)} was written again")
        return part

    def place(self, span: _Span, part: Part, out: Array) -> None:
        """Decode the chunks of a span and copy what is wanted of them."""
        for chunk in span.chunks:
            start = chunk.offset - span.start
            try:
                values = self.layout.codec.decode(part.data[start : start + chunk.length])
            except CubeError as err:
                raise self._damaged(span.shard.key, err) from err
            chunk.patch.place(values[chunk.inside], out[chunk.target])

    def _damaged(self, key: str, err: CubeError) -> CubeError:
        return CubeError(
            f"{self._objects.url}: the object {key} cannot be decoded: {err}; verify names all "
            "such objects, and the stage that wrote them restores them"
        )


def _joined(shard: _Shard, chunks: list[_Wanted]) -> Iterator[_Span]:
    """Yield spans of chunks sorted by offset: neighbours together, up to a bound."""
    near: list[_Wanted] = []
    for chunk in chunks:
        end = max((one.offset + one.length for one in near), default=0)
        is_far = bool(near) and chunk.offset - end > MAX_GAP_BYTES
        is_full = bool(near) and chunk.offset + chunk.length - near[0].offset > MAX_REQUEST_BYTES
        if is_far or is_full:
            yield _Span(shard, tuple(near))
            near = []
        near.append(chunk)
    if near:
        yield _Span(shard, tuple(near))


@dataclass(frozen=True, eq=False)
class _Read:
    """What a batch is to copy from one array, and where to."""

    array: ShardedArray
    chunks: list[_InShard]
    out: Array
    unknown: np.generic


class Batch:
    """Reads of any number of arrays, whose requests are on their way together.

    What is added is read by `complete`, which one thread calls once.
    """

    def __init__(self) -> None:
        self._reads: list[_Read] = []
        self._required: dict[str, tuple[ShardedArray, str]] = {}

    def require(self, array: ShardedArray, keys: Iterable[str]) -> None:
        """Have `complete` raise `CubeError` for the first of these objects that is absent."""
        self._required.update({array.url(key): (array, key) for key in keys})

    def add(
        self,
        array: ShardedArray,
        steps: slice,
        patches: Iterable[Patch],
        out: Array,
        unknown: np.generic,
    ) -> None:
        """Have `complete` copy what the patches want of time steps into `out` (steps, ...).

        The rest, and what absent objects would hold, becomes `unknown`.
        """
        self._reads.append(_Read(array, list(array.chunks_of(steps, list(patches))), out, unknown))

    def complete(self) -> None:
        """Fetch and decode everything.

        Raises
        ------
        CubeError
            If an object is absent that is required, is damaged, or was there before and is gone.
        StoreError
            If the store fails.
        """
        try:
            self._complete(fresh=False)
        except (_ChangedError, StoreError):
            # Written again since its index was read, shorter now, or gone: with fresh indexes.
            try:
                self._complete(fresh=True)
            except _ChangedError as err:
                raise CubeError(f"{err} while it was read: read again when it is complete") from err

    def _complete(self, *, fresh: bool) -> None:
        shards = self._indexes(fresh=fresh)
        for url, (array, key) in self._required.items():
            if shards[url] is None:
                raise array.lacks(key)
        spans: list[tuple[_Read, _Span]] = []
        for read in self._reads:
            read.out[...] = read.unknown
            spans += [(read, span) for span in read.array.spans(read.chunks, shards, read.out)]
        parts = in_order(partial(read.array.fetch, span) for read, span in spans)
        for (read, span), part in zip(spans, parts, strict=True):
            read.array.place(span, part, read.out)

    def _indexes(self, *, fresh: bool) -> dict[str, _Shard | None]:
        """Return the indexes of shards by URL, None for absent ones; if `fresh`, none as known."""
        wanted = dict(self._required)
        for read in self._reads:
            wanted.update({read.array.url(one.key): (read.array, one.key) for one in read.chunks})
        found = {} if fresh else {url: _INDEXES.get(url) for url in wanted}
        unknown = [url for url in wanted if found.get(url) is None]
        fetched = in_order(partial(wanted[url][0].fetch_index, wanted[url][1]) for url in unknown)
        return {**found, **dict(zip(unknown, fetched, strict=True))}
