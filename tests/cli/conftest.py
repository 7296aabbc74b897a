"""The small world of tests/production, for commands that need a run."""

from tests.production.conftest import world, world_once

__all__ = ["world", "world_once"]
