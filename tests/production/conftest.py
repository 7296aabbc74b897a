"""One small world for all tests of production; each test works in a copy."""

import shutil

import pytest

from smcloud.core.listener import Silent
from smcloud.production import validate_stage
from smcloud.production.produce_stage import run
from tests.production import downscaled_root, small_downscaling
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


@pytest.fixture(scope="session")
def downscaling_once(tmp_path_factory):
    """A folder with cubes and models of a downscaled product, and one with its year as well."""
    folder, produced = (tmp_path_factory.mktemp(name) for name in ("fine", "fine-produced"))
    small_downscaling.make(folder)
    _copied(folder, produced)
    run(small_downscaling.config_of(produced), None, Silent())
    return folder, produced


@pytest.fixture
def downscaling(downscaling_once, tmp_path):
    """The run of a downscaled product of which nothing is produced."""
    return small_downscaling.config_of(_copied(downscaling_once[0], tmp_path / "run"))


@pytest.fixture
def downscaled(downscaling_once, tmp_path):
    """The run of a downscaled product whose year is published."""
    return small_downscaling.config_of(_copied(downscaling_once[1], tmp_path / "published"))


@pytest.fixture(scope="session")
def maps(tmp_path_factory):
    """The run of downscaled maps with truth, stations, rain of the reanalysis and of gauges."""
    folder = tmp_path_factory.mktemp("maps")
    config = downscaled_root.build(folder)
    downscaled_root.write_rain(config)
    return downscaled_root.with_gauges(config, folder)


@pytest.fixture(scope="session")
def maps_validated(maps):
    """What validate found of these maps."""
    return validate_stage.run(maps, None, Silent())


def _copied(source, folder):
    folder.mkdir(exist_ok=True)
    (folder / "own").symlink_to(source / "own")
    shutil.copytree(source / "out", folder / "out")
    return folder
