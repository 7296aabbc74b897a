"""A root below which temperatures are filled from a user's own cubes, in two blocks of land."""

from pathlib import Path

import pytest

from smcloud.core.config import RunConfig
from smcloud.core.listener import Silent
from smcloud.features.derived import DERIVED
from smcloud.production.derived_stage import DerivedSummary, run_derived
from tests.production import small_world
from tests.production.small_world import config_of, make_cube, write_run

TEXT, BLOCKS = "30x20+735+905", 2


def make_inputs(folder: Path) -> None:
    """Write the cubes that the filling reads below `folder`/own."""
    for source in DERIVED["lst_filled"].sources:
        write_input(folder, source)


def write_input(folder: Path, source: str, shift: float = 0.0) -> None:
    """Write one of them, its values moved by `shift` of their range."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small_world, "USED", small_world.USED | {"lst_night", "t2m"})
        make_cube(folder / "own" / source, source, shift)


def fill(folder: Path, client=None, window: str = TEXT) -> tuple[RunConfig, DerivedSummary]:
    """Fill the temperatures of a window; return the run and what was done."""
    config = config_of(write_run(folder), window=window)
    return config, run_derived(config, ["lst_filled"], client, Silent())[0]
