"""One small world for all tests of production; each test works in a copy."""

import shutil

import pytest

from tests.production.small_world import make_world, write_run


@pytest.fixture(scope="session")
def world_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    make_world(folder)
    return folder


@pytest.fixture
def world(world_once, tmp_path):
    """A folder with cubes, a model below out/, and run.toml."""
    (tmp_path / "own").symlink_to(world_once / "own")
    shutil.copytree(world_once / "out", tmp_path / "out")
    write_run(tmp_path)
    return tmp_path
