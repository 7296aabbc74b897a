"""Where the real files lie: the environment variable SMCLOUD_REALDATA, or ../shared/realdata."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

BESIDE = Path(__file__).parents[2].parent / "shared" / "realdata"


@pytest.fixture(scope="session")
def realdata() -> Path:
    """Return the folder of real files, or skip."""
    folder = Path(os.environ.get("SMCLOUD_REALDATA") or BESIDE)
    if not folder.is_dir():
        pytest.skip(f"no real files at {folder}: point SMCLOUD_REALDATA at a folder of them")
    return folder


@pytest.fixture(scope="session")
def real_file(realdata: Path) -> Callable[[str], Path]:
    """Return a function that finds one file by a pattern, or skips."""

    def find(pattern: str) -> Path:
        found = sorted(realdata.glob(pattern))
        if not found:
            pytest.skip(f"no {pattern} in {realdata}")
        return found[0]

    return find
