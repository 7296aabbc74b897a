"""Where the real files lie: the environment variable SMCLOUD_REALDATA, or ../shared/realdata."""

import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).parents[2].parent / "shared" / "realdata"


def realdata() -> Path:
    """Return the folder of real files, which may not exist."""
    return Path(os.environ.get("SMCLOUD_REALDATA") or BESIDE)


@pytest.fixture(scope="session")
def real() -> Path:
    """Return the folder of real files, or skip."""
    folder = realdata()
    if not folder.is_dir():
        pytest.skip(f"no real files at {folder}: point SMCLOUD_REALDATA at a folder of them")
    return folder


@pytest.fixture(scope="session")
def real_file(real: Path):
    """Return a function that finds one file by a pattern, or skips."""

    def find(pattern: str) -> Path:
        found = sorted(real.glob(pattern))
        if not found:
            pytest.skip(f"no {pattern} in {real}")
        return found[0]

    return find
