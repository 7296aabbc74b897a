"""Object storage behind one small interface; the only module that knows its client library.

A URL names a bucket or a folder and a prefix in it: ``s3://bucket/prefix``, ``gs://bucket/prefix``,
``file:///folder``, ``memory://name`` (this process only) or a plain path. Tasks carry URLs, never
opened stores: a pickled store would carry its secret. Credentials, region and endpoint come from
the environment of each process (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ...), so that a worker
refreshes its own.
"""

import logging
import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from threading import Semaphore
from typing import TYPE_CHECKING, TypeVar

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import LocalStore, MemoryStore, ObjectStore, from_url

from smcloud.core.errors import ConfigError, NotFoundError, StoreError, StoreFullError

if TYPE_CHECKING:
    from obstore import SuffixRange
    from obstore.store import ClientConfig, RetryConfig

log = logging.getLogger(__name__)

T = TypeVar("T")

SCHEMES = ("s3", "gs", "az", "file", "memory")
READ_ATTEMPTS = 4
"""Bodies cut short are not retried by the client library, so reads are retried here."""
_RETRIES: "RetryConfig" = {"max_retries": 8, "retry_timeout": timedelta(minutes=3)}
_CLIENT: "ClientConfig" = {"allow_http": True, "timeout": timedelta(minutes=2)}
READ_AGAIN_SECONDS = 30.0
"""A read that failed later than this has been retried by the client: no more attempts here."""
READS_AHEAD = 16
"""Requests of a process that are on their way at once: a store answers after tens of ms."""
FIRST_ANSWER_SECONDS = 10
_REFUSALS = ("ermission denied", "403 Forbidden", "401 Unauthorized")
"""Signs of a refusal in errors of the client that are of no kind of their own (listings)."""
_NO_SUCH_BYTES = ("ange was invalid", "nvalid range", "InvalidRange", "416 Requested Range")
"""Signs that an object is shorter than the range asked of it: asking again is of no use."""
_METADATA_HOST = "169.254.169.254"
"""Where the client asks for a machine's role when the environment holds no credentials."""


@dataclass(frozen=True, order=True)
class ObjectInfo:
    """One stored object: its key below the prefix, its size in bytes, and the store's own clock."""

    key: str
    size: int
    modified: datetime
    etag: str


@dataclass(frozen=True)
class Part:
    """Consecutive bytes of one object, and which state of the object they are from.

    Attributes
    ----------
    data : memoryview
        Fewer bytes than were asked for where the object ends before.
    size : int
        Bytes of the whole object.
    version : str
        Differs as soon as the object has been written again.
    """

    data: memoryview
    size: int
    version: str


@dataclass(frozen=True)
class Objects:
    """The objects below one URL.

    Attributes
    ----------
    url : str
        Normalised URL without a trailing slash; equal URLs are equal objects.
    bucket : obstore.store.ObjectStore
        The client's store of the whole bucket (or file system); only `cube` passes it on.
    prefix : str
        Path of `url` inside the bucket, without slashes at its ends.
    """

    url: str
    bucket: ObjectStore
    prefix: str

    def __reduce__(self) -> tuple[Callable[[str], "Objects"], tuple[str]]:
        """Travel as a URL, so that no secret is ever pickled."""
        return open_objects, (self.url,)

    def __repr__(self) -> str:
        return f"Objects({self.url!r})"

    def path(self, key: str) -> str:
        """Return the path of `key` inside the bucket."""
        return "/".join(part for part in (self.prefix, key.strip("/")) if part)

    def child(self, path: str) -> "Objects":
        """Return the objects below `path`."""
        return open_objects(f"{self.url}/{path.strip('/')}")

    def get(self, key: str) -> bytes:
        """Return the bytes of one object.

        Raises
        ------
        NotFoundError
            If there is no such object.
        StoreError
            If the store refuses, or fails after its retries.
        """
        return self._read(key, lambda: bytes(obstore.get(self.bucket, self.path(key)).bytes()))

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return `length` bytes from `start` (negative: counted from the end of the object)."""
        if start < 0:
            start += self.head(key).size
        return self._read(
            key,
            lambda: bytes(
                obstore.get_range(self.bucket, self.path(key), start=start, length=length)
            ),
        )

    def get_part(self, key: str, start: int, length: int) -> Part:
        """Return up to `length` bytes from `start`; from -length on: the object's last bytes.

        Raises
        ------
        NotFoundError
            If there is no such object.
        StoreError
            If the store fails, or if `start` lies beyond the end of the object.
        """
        if start < 0 and self.url.startswith("az://"):
            # The one store that refuses to count from the end.
            start = max(0, self.head(key).size + start)
        wanted: tuple[int, int] | SuffixRange = (
            {"suffix": length} if start < 0 else (start, start + length)
        )

        def request() -> Part:
            found = obstore.get(self.bucket, self.path(key), options={"range": wanted})
            meta = found.meta
            version = meta["e_tag"] or f"{meta['last_modified'].isoformat()} {meta['size']}"
            return Part(memoryview(found.bytes()), meta["size"], version)

        return self._read(key, request)

    def head(self, key: str) -> ObjectInfo:
        """Return size and time of one object, or raise `NotFoundError`."""
        meta = self._read(key, lambda: obstore.head(self.bucket, self.path(key)))
        return ObjectInfo(key, meta["size"], meta["last_modified"], meta["e_tag"] or "")

    def exists(self, key: str) -> bool:
        """Say whether there is an object of this key."""
        try:
            self.head(key)
        except NotFoundError:
            return False
        return True

    def put(self, key: str, data: bytes) -> None:
        """Store `data` in one request; a reader sees the old bytes or the new ones, never a mix."""
        with self._translated(key):
            obstore.put(self.bucket, self.path(key), data, use_multipart=False)

    def create(self, key: str, data: bytes) -> bool:
        """Store `data` if the key is absent; return whether it was.

        When the reply to a successful request is lost, the retried request finds the key taken:
        callers that need to know who won read the object back and look for their own mark.
        """
        with self._translated(key):
            try:
                obstore.put(self.bucket, self.path(key), data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
        return True

    def copy_from(self, source: "Objects", key: str) -> None:
        """Copy one object of `source` to the same key here, inside the store where it can be.

        A folder's own copy would be a hard link, and damage to one file damage to both.
        """
        if source.bucket is not self.bucket or self.url.startswith("file://"):
            self.put(key, source.get(key))
            return
        with self._translated(key):
            obstore.copy(self.bucket, source.path(key), self.path(key))

    def list(self, prefix: str = "") -> list[ObjectInfo]:
        """Return all objects below `prefix`, sorted by key; an absent prefix is empty."""
        start = len(self.prefix) + 1 if self.prefix else 0
        with self._translated(prefix):
            try:
                found = [
                    ObjectInfo(m["path"][start:], m["size"], m["last_modified"], m["e_tag"] or "")
                    for page in obstore.list(self.bucket, self.path(prefix) or None)
                    for m in page
                ]
            except FileNotFoundError:
                return []
        return sorted(found)

    def delete(self, key: str) -> None:
        """Delete one object; only clean-up commands call this, never a worker."""
        with self._translated(key):
            obstore.delete(self.bucket, self.path(key))

    @contextmanager
    def fetch(self, key: str) -> Iterator[Path]:
        """Give a local path with the object's content, for libraries that read only files."""
        if self.url.startswith("file://"):
            path = Path("/", self.path(key))
            if not path.is_file():
                raise NotFoundError(f"no file {path}: check the path and run again")
            yield path
            return
        data = self.get(key)
        with tempfile.TemporaryDirectory(prefix="smcloud-") as folder:
            path = Path(folder, key.rsplit("/", 1)[-1])
            path.write_bytes(data)
            yield path

    def _read(self, key: str, request: Callable[[], T]) -> T:
        started = time.monotonic()
        for attempt in range(READ_ATTEMPTS):
            with self._translated(key):
                try:
                    return request()
                except (PermissionDeniedError, UnauthenticatedError):
                    raise
                except BaseError as err:
                    is_late = time.monotonic() - started > READ_AGAIN_SECONDS
                    is_short = any(sign in str(err) for sign in _NO_SUCH_BYTES)
                    if is_late or is_short or attempt == READ_ATTEMPTS - 1:
                        raise
                    log.warning("read of %s/%s failed, trying again: %s", self.url, key, err)
                    time.sleep(0.1 * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as err:
            if "NoSuchBucket" in str(err):
                raise _store_error(err, f"{self.url}/{key}") from err
            if self.url.startswith("file://") and Path("/", self.path(key)).is_dir():
                raise NotFoundError(
                    f"{self.url}/{key} is a folder, expected a file: name one that lies in it"
                ) from err
            raise NotFoundError(
                f"no object {self.url}/{key}: it was never written, or the bucket does not exist"
            ) from err
        except (BaseError, OSError) as err:
            raise _store_error(err, f"{self.url}/{key}") from err
        except ValueError as err:
            raise ConfigError(
                f"{self.url}/{key} cannot be the name of an object: leave out `..`, empty parts "
                "and control characters"
            ) from err


def _store_error(err: Exception, where: str) -> StoreError:
    text = str(err)
    if "No space left" in text or "os error 28" in text or "Disk quota" in text:
        return StoreFullError(
            f"no space left while writing {where}: free some, then run the same command again"
        )
    if "NoSuchBucket" in text:
        return NotFoundError(f"the bucket of {where} does not exist: create it or mend the URL")
    if _METADATA_HOST in text:
        return StoreError(
            f"no credentials for {where} were found: set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or run where a role gives them"
        )
    is_refused = isinstance(err, PermissionDeniedError | UnauthenticatedError)
    if is_refused or any(sign in text for sign in _REFUSALS):
        return StoreError(
            f"access to {where} was refused: check the credentials and the rights of this user"
        )
    return StoreError(
        f"the store failed at {where}: {_first_line(text)}; "
        "check the URL and that this user may write there, then run the same command again"
    )


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "no reason given"


class _Line:
    """The requests of a process: threads that send them, and room for so many at once."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(READS_AHEAD, thread_name_prefix="smcloud-read")
        self.room = Semaphore(READS_AHEAD)

    def take(self, waiting: "deque[Future[T]]") -> Iterator[T]:
        """Yield the first result; its room is free once the caller has done with it."""
        future = waiting.popleft()
        try:
            yield future.result()
        finally:
            self.room.release()


def in_order(calls: Iterable[Callable[[], T]]) -> Iterator[T]:
    """Yield the results of requests in their order, as many on their way as there is room for.

    All readers of a process share the room, `READS_AHEAD` requests whose results are not yet dealt
    with: their memory is bounded however many threads read. What a caller does with one result
    overlaps with the requests after it. The first that fails raises, and the rest are not begun.
    """
    line = _line()
    waiting: deque[Future[T]] = deque()
    try:
        for call in calls:
            # A reader waits for room only while it holds none: so somebody always goes on.
            while not line.room.acquire(blocking=not waiting):
                yield from line.take(waiting)
            waiting.append(line.threads.submit(call))
        while waiting:
            yield from line.take(waiting)
    finally:
        for future in waiting:
            future.cancel()
            line.room.release()


@lru_cache(maxsize=1)
def _line() -> _Line:
    return _Line()


os.register_at_fork(after_in_child=_line.cache_clear)  # the child has none of the threads


def normalise_url(url: str) -> str:
    """Return `url` without a trailing slash; a plain path becomes an absolute ``file://`` URL.

    Raises
    ------
    ConfigError
        If the scheme is not one that smcloud can read and write.
    """
    # Not urlsplit: a folder's name may hold `#`, `?` or `%`.
    scheme, separator, rest = url.partition("://")
    if not separator and url.partition(":")[0] not in SCHEMES:
        return "file://" + _absolute(Path(url).expanduser())
    if separator and scheme not in SCHEMES:
        raise ConfigError(
            f"the URL {url!r} has the scheme {scheme!r}; expected a path or one of "
            + ", ".join(f"{scheme}://" for scheme in SCHEMES)
        )
    if separator and scheme == "file":
        return "file://" + _absolute(Path(rest)).rstrip("/")
    if not rest.partition("/")[0]:
        raise ConfigError(f"the URL {url!r} names no bucket: expected one such as s3://bucket/path")
    return url.rstrip("/")


def _absolute(path: Path) -> str:
    """Return an absolute path; links are followed only where ``..`` would lead elsewhere."""
    return str(path.resolve() if ".." in path.parts else path.absolute())


def open_objects(url: str) -> Objects:
    """Return the objects below `url`; nothing is asked of the network yet."""
    normal = normalise_url(url)
    scheme, _, rest = normal.partition("://")
    if scheme in ("file", "memory"):
        return Objects(normal, _bucket(scheme, ""), rest.strip("/"))
    bucket, _, prefix = rest.partition("/")
    return Objects(normal, _bucket(scheme, bucket), prefix.strip("/"))


@lru_cache(maxsize=32)
def _bucket(scheme: str, bucket: str) -> ObjectStore:
    """Open one bucket once per process; the client refreshes its credentials itself."""
    if scheme == "file":
        return LocalStore()
    if scheme == "memory":
        return MemoryStore()
    url = f"{scheme}://{bucket}"
    _require_answer(url)
    return from_url(url, client_options=_CLIENT, retry_config=_RETRIES)


def _require_answer(url: str) -> None:
    """Raise StoreError unless the store of a bucket answers within seconds.

    The patience that carries a long run over an outage would otherwise keep a mistyped endpoint
    silent for minutes. Any answer will do: absent, refused, no such bucket.
    """
    patience = timedelta(seconds=FIRST_ANSWER_SECONDS)
    probe = from_url(
        url,
        client_options={"allow_http": True, "timeout": patience, "connect_timeout": patience},
        retry_config={"max_retries": 3, "retry_timeout": patience},
    )
    try:
        obstore.head(probe, "smcloud-knock")
    except (FileNotFoundError, PermissionDeniedError, UnauthenticatedError):
        return
    except BaseError as err:
        # A status line is an answer too; only silence or a refused connection is none.
        if "error sending request" not in str(err) and "timed out" not in str(err):
            log.info("the first request to %s was answered with an error: %s", url, err)
            return
        if _METADATA_HOST in str(err):
            raise _store_error(err, url) from err
        endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT", "")
        raise StoreError(
            f"the object store of {url}{f' at {endpoint}' if endpoint else ''} does not answer: "
            "check the endpoint in the environment (AWS_ENDPOINT_URL) and the network, then run "
            "the same command again"
        ) from err
