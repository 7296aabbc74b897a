"""The small world of tests/production, and what an undisturbed run makes of it."""

import pytest

from smcloud.core.listener import Silent
from smcloud.production.produce_stage import run
from tests.production.conftest import world, world_once
from tests.production.small_world import config_of, make_model, tree_of, write_run

__all__ = ["unbroken", "world", "world_once"]


@pytest.fixture(scope="session")
def unbroken(world_once, tmp_path_factory):
    """The product of one process that nothing disturbed."""
    folder = tmp_path_factory.mktemp("unbroken")
    (folder / "own").symlink_to(world_once / "own")
    make_model(folder)
    run(config_of(write_run(folder)), None, Silent())
    return tree_of(folder / "out" / "products")
