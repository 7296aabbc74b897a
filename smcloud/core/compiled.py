"""Functions compiled by numba, with a cache that later versions and other users cannot spoil.

numba's own cache looks at one function's source file alone: neither at the functions that it
calls in other files nor at global constants. Hence the cache lies in a folder whose name changes
with the version of smcloud, that of numba, and the source of every file that compiles anything.
This file imports numba and the standard library only, so that what uses it can be lifted out.
"""

import hashlib
import logging
import os
import re
import stat
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba

from smcloud.version import __version__

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

PACKAGE = Path(__file__).parents[1]
COMPILES = re.compile(rb"^\s*(from|import)\s+(numba|llvmlite|smcloud\.core\.compiled)\b", re.M)
"""A source file that compiles something, or makes the pieces (intrinsics) of what is compiled."""
_DECORATING = threading.Lock()
_SETTINGS: Any = numba.config  # a module that fills itself from the environment


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Return `function` compiled by numba on its first call: without the GIL, without fastmath.

    Division is numpy's, which gives infinity or NaN and raises nothing. Machine code is kept in
    `cache_folder()`, so that the next process only loads it. Constants from files that compile
    nothing must come in as arguments: a change to them goes unseen.
    """
    folder = cache_folder()
    if folder is None:
        return _jit(function, cache=False)
    with _DECORATING, _numba_caches_in(folder):
        return _jit(function, cache=True)


def _jit(function: Callable[P, R], *, cache: bool) -> Callable[P, R]:
    made: Callable[P, R] = numba.njit(nogil=True, cache=cache, error_model="numpy")(function)
    return made


@contextmanager
def _numba_caches_in(folder: Path) -> Iterator[None]:
    """Set the folder that numba reads while it decorates a function, and no longer."""
    before = _SETTINGS.CACHE_DIR
    _SETTINGS.CACHE_DIR = str(folder)
    try:
        yield
    finally:
        _SETTINGS.CACHE_DIR = before


@lru_cache(maxsize=1)
def cache_folder() -> Path | None:
    """Return the folder of machine code, which exists and can be written; None if none can be.

    It lies below the user's ``NUMBA_CACHE_DIR`` if that is set, else below the user's cache
    folder, else below the folder for temporary files, there open to this user alone.
    """
    name = f"numba-{_fingerprint(PACKAGE)}"
    chosen = str(_SETTINGS.CACHE_DIR)
    places = [Path(chosen)] if chosen else [user_cache(), private_temporary()]
    for place in places:
        if place is not None and _is_writable(place / name):
            return place / name
    log.warning(
        "compiled code cannot be kept in %s: each process compiles anew, some seconds each; "
        "set NUMBA_CACHE_DIR to a folder that can be written",
        " or ".join(str(place) for place in places if place is not None) or "any folder",
    )
    return None


def user_cache() -> Path | None:
    """Return ``<user's cache>/smcloud`` by the XDG rule, None where there is no home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if base:
        return Path(base) / "smcloud"
    try:
        return Path.home() / ".cache" / "smcloud"
    except RuntimeError:  # a container's user that has no entry in the list of users
        return None


def private_temporary() -> Path | None:
    """Return a folder for temporary files that this user owns and nobody else can write.

    None where somebody else made a folder of this name: machine code of theirs would be run.
    """
    folder = Path(tempfile.gettempdir()) / f"smcloud-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    is_ours = found.st_uid == os.getuid() and stat.S_ISDIR(found.st_mode)
    return folder if is_ours and not found.st_mode & 0o077 else None


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _fingerprint(package: Path) -> str:
    """Return a hash of the versions and of every source file that compiles something."""
    digest = hashlib.sha256(f"{__version__} {numba.__version__}".encode())
    for name, source in _sources(package):
        if COMPILES.search(source):
            digest.update(f"\n{name} {len(source)}\n".encode() + source)
    return digest.hexdigest()[:16]


def _sources(package: Path) -> Iterable[tuple[str, bytes]]:
    for path in sorted(package.rglob("*.py")):
        yield path.relative_to(package).as_posix(), path.read_bytes()
