"""The lease of a product: one runner at a time, judged by the store alone.

Below ``lease/<product>/`` lie numbered epochs, ``000007.json``, each created only if absent, with
its owner and beat; ``000007.beat`` is put again at each beat, ``000007.released`` at the end. An
epoch is over when it was released or when three beats were missed **by the store's own clock**
(times of objects, never the clock of a host). Taking over creates the next epoch, so the older
owner finds out before its next ledger write. Nothing is deleted.
"""

import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from smcloud.core.errors import BusyError, StoreError
from smcloud.core.layout import Layout
from smcloud.core.listener import Listener
from smcloud.core.objects import Objects, open_objects

log = logging.getLogger(__name__)

MISSED_BEATS = 3
CLOCK_GRAIN_SECONDS = 1.0
"""S3 tells the times of objects in whole seconds."""
CLOCK = "clock"


@dataclass(frozen=True)
class Epoch:
    """One period of ownership, as the store shows it."""

    number: int
    owner: str
    beat_seconds: float
    last_sign: datetime
    """When the store last heard of the owner, by the store's clock."""
    is_released: bool

    @property
    def expiry_seconds(self) -> float:
        """Return how long after its last sign the epoch is over, in seconds."""
        return MISSED_BEATS * self.beat_seconds + CLOCK_GRAIN_SECONDS


@dataclass(frozen=True)
class Lease:
    """An epoch that this process owns."""

    url: str
    epoch: int
    owner: str

    def check(self) -> None:
        """Raise BusyError if another runner has taken over; asked before each ledger write."""
        objects = open_objects(self.url)
        following = _name(self.epoch + 1)
        if objects.exists(following):
            owner = json.loads(objects.get(following))["owner"]
            raise BusyError(
                f"the lease {self.url} was taken over by {owner} after this run missed "
                f"{MISSED_BEATS} beats: let that run finish, or stop it and run again"
            )


@contextmanager
def hold(root: str, product: str, beat_seconds: float, listener: Listener) -> Iterator[Lease]:
    """Hold the lease of `product` while the block runs; beats in a thread of its own.

    A predecessor that shows no sign of life is waited for until its epoch expires; one that beats
    is busy at once.

    Raises
    ------
    BusyError
        If another runner is alive, or won the race for the next epoch.
    StoreError
        If the store refuses.
    """
    objects = open_objects(Layout(root).lease(product))
    lease = _acquire(objects, beat_seconds, listener)
    stop = threading.Event()
    beats = threading.Thread(
        target=_beat, args=(objects, lease, beat_seconds, stop), name="smcloud-lease", daemon=True
    )
    beats.start()
    try:
        yield lease
    finally:
        stop.set()
        beats.join()
        _release(objects, lease)


def newest_epoch(objects: Objects) -> Epoch | None:
    """Return the newest epoch below a lease's prefix; None before the first."""
    listing = {info.key: info for info in objects.list()}
    numbers = [int(key[:6]) for key in listing if key.endswith(".json")]
    if not numbers:
        return None
    number = max(numbers)
    body = json.loads(objects.get(_name(number)))
    signs = [listing[key].modified for key in (_name(number), _beat_name(number)) if key in listing]
    return Epoch(
        number,
        str(body["owner"]),
        float(body["beat_seconds"]),
        max(signs),
        _released_name(number) in listing,
    )


def store_time(objects: Objects, key: str = CLOCK) -> datetime:
    """Return the store's present time: that of an object put just now."""
    objects.put(key, secrets.token_bytes(8))
    return objects.head(key).modified


def _acquire(objects: Objects, beat_seconds: float, listener: Listener) -> Lease:
    last = newest_epoch(objects)
    if last is not None and not last.is_released:
        _outwait(objects, last, listener)
    number = 1 if last is None else last.number + 1
    owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    data = json.dumps({"owner": owner, "beat_seconds": beat_seconds}, sort_keys=True).encode()
    # A retried request whose first reply was lost finds its own mark.
    if not objects.create(_name(number), data) and objects.get(_name(number)) != data:
        raise BusyError(
            f"another run took the lease {objects.url} just now: let it finish, then run again"
        )
    log.info("holding epoch %d of %s", number, objects.url)
    return Lease(objects.url, number, owner)


def _outwait(objects: Objects, last: Epoch, listener: Listener) -> None:
    """Return when the epoch is over; raise BusyError as soon as its owner shows a sign of life."""
    told = False
    while True:
        idle = (store_time(objects) - last.last_sign).total_seconds()
        if idle > last.expiry_seconds:
            listener.note(f"the lease of {last.owner} has expired, taking over")
            return
        found = newest_epoch(objects)
        if found is None or found.is_released:
            return
        if found.number != last.number or found.last_sign != last.last_sign:
            raise BusyError(
                f"{found.owner} is working on {objects.url} (epoch {found.number}): let it "
                "finish, or stop it, then run again"
            )
        if not told:
            listener.note(
                f"the lease is held by {last.owner}: waiting for a sign of life, taking over in "
                f"{last.expiry_seconds - idle:.0f} s without one"
            )
            told = True
        time.sleep(last.beat_seconds / 4)


def _beat(objects: Objects, lease: Lease, beat_seconds: float, stop: threading.Event) -> None:
    count = 0
    while not stop.wait(beat_seconds):
        count += 1
        try:
            objects.put(_beat_name(lease.epoch), f"{lease.owner} {count}".encode())
        except StoreError as err:
            log.warning("a beat of the lease failed: %s", err)


def _release(objects: Objects, lease: Lease) -> None:
    try:
        objects.put(_released_name(lease.epoch), lease.owner.encode())
    except StoreError as err:
        # Not worth failing a finished run for: the epoch expires by itself.
        log.warning("the lease could not be released: %s", err)


def _name(number: int) -> str:
    return f"{number:06d}.json"


def _beat_name(number: int) -> str:
    return f"{number:06d}.beat"


def _released_name(number: int) -> str:
    return f"{number:06d}.released"
