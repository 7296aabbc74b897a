"""Can smcloud work on this store? Each property that it relies on is tried."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from smcloud.core.errors import SmcloudError
from smcloud.core.layout import join
from smcloud.core.objects import Objects, open_objects
from smcloud.production.lease import store_time

FOLDER = "doctor"
MOST_SKEW_SECONDS = 60.0
BODY = bytes(range(256)) * 16


@dataclass(frozen=True)
class Finding:
    """One property of a store."""

    name: str
    is_good: bool
    text: str
    """What was found, and what to do about it."""


def examine(url: str) -> list[Finding]:
    """Return what holds and what does not; stops at the first write that fails.

    Leaves a few small objects below ``doctor/``: the rights to delete are not needed.
    """
    objects = open_objects(join(url, FOLDER, secrets.token_hex(6)))
    findings = [_tried("write", lambda: _write(objects))]
    if findings[0].is_good:
        checks: tuple[tuple[str, Callable[[], str]], ...] = (
            ("read", lambda: _read(objects)),
            ("overwrite", lambda: _overwrite(objects)),
            ("list", lambda: _list(objects)),
            ("create only if absent", lambda: _create(objects)),
            ("clock", lambda: _clock(objects)),
        )
        findings += [_tried(name, check) for name, check in checks]
    return findings


class _Amiss(Exception):
    """A property that does not hold; its text says what to do."""


def _tried(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, check())
    except (_Amiss, SmcloudError) as err:
        return Finding(name, False, str(err))


def _write(objects: Objects) -> str:
    objects.put("probe", BODY)
    return f"put {len(BODY)} bytes"


def _read(objects: Objects) -> str:
    if objects.get("probe") != BODY:
        raise _Amiss("an object read back differs from what was put: do not use this store")
    if objects.get_range("probe", 300, 100) != BODY[300:400]:
        raise _Amiss("a byte range differs: Zarr shards need range requests")
    return "whole objects and byte ranges"


def _overwrite(objects: Objects) -> str:
    objects.put("probe", BODY[:7])
    found = objects.get("probe")
    objects.put("probe", BODY)
    if found != BODY[:7]:
        raise _Amiss("a read after an overwrite gives old bytes: switch off caches in between")
    return "a read after an overwrite gives the new bytes"


def _list(objects: Objects) -> str:
    found = [(info.key, info.size) for info in objects.list()]
    if found != [("probe", len(BODY))]:
        raise _Amiss(f"a listing should hold 1 object of {len(BODY)} bytes, found {found}")
    return "a listing holds what was put, with its size"


def _create(objects: Objects) -> str:
    first = objects.create("lease", b"first")
    second = objects.create("lease", b"second")
    if not first or second or objects.get("lease") != b"first":
        raise _Amiss(
            "the store ignores conditional puts (If-None-Match: *): two runs at once could both "
            "hold the lease; use a store that honours them, or make sure that only one run works"
        )
    return "a second create is refused"


def _clock(objects: Objects) -> str:
    skew = (store_time(objects) - datetime.now(UTC)).total_seconds()
    if abs(skew) > MOST_SKEW_SECONDS:
        raise _Amiss(
            f"the store's clock differs by {skew:.0f} s from this host's: requests will be refused "
            "as expired; set this host's clock"
        )
    return f"within {max(abs(skew), 1):.0f} s of this host's"
