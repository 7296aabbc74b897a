"""The small world of tests/production, and what an undisturbed run makes of it."""

import pytest

from tests.production.conftest import world, world_once
from tests.production.small_world import beside, undisturbed

__all__ = ["unbroken", "world", "world_once"]


@pytest.fixture(scope="session")
def unbroken(world_once, tmp_path_factory):
    """The product of one process that nothing disturbed."""
    return undisturbed(beside(world_once, tmp_path_factory.mktemp("unbroken")))
