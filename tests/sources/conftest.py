"""Small native files of every source, written, opened and brought to steps once a session."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import xarray as xr

from smcloud.grids.tiles import TileYear
from smcloud.simulate.samples import SAMPLE_START, SAMPLE_TILE, write_sample
from smcloud.sources.registry import SOURCES
from tests.sources.satellite_files import SATELLITES, write_satellite

Files = Callable[[str], list[Path]]
Opened = Callable[[str], list[xr.Dataset]]
Stepped = Callable[[str], xr.Dataset]


def sample_key(name: str) -> TileYear:
    """Return the key of the cube that a source's sample belongs to."""
    schema = SOURCES[name].schema
    tile = SAMPLE_TILE if schema.on.is_fine else "globe"
    return TileYear(schema.grid, tile, None if schema.is_static else SAMPLE_START.year)


@pytest.fixture(scope="session")
def sample_files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    def write(name: str) -> list[Path]:
        folder = tmp_path_factory.mktemp(name)
        return write_satellite(name, folder) if name in SATELLITES else write_sample(name, folder)

    return cache(write)


@pytest.fixture(scope="session")
def opened(sample_files: Files) -> Iterator[Opened]:
    open_now: list[xr.Dataset] = []

    @cache
    def datasets_of(name: str) -> list[xr.Dataset]:
        datasets = [SOURCES[name].read(path) for path in sample_files(name)]
        open_now.extend(datasets)
        return datasets

    yield datasets_of
    for dataset in open_now:
        dataset.close()


@pytest.fixture(scope="session")
def stepped(opened: Opened) -> Stepped:
    return cache(lambda name: SOURCES[name].steps(opened(name), sample_key(name)))
