"""One small world for all tests of production; each test works in a copy."""

import shutil

import pytest

from smcloud.core.listener import Silent
from smcloud.production import freeze_thaw_year, seamless_train, seamless_year, validate_stage
from smcloud.production.freeze_thaw_train import run_freeze_thaw
from smcloud.production.produce_stage import run
from smcloud.products.freeze_thaw import FREEZE_THAW
from smcloud.products.seamless import SEAMLESS
from tests.production import downscaled_root, ground_world, small_downscaling
from tests.production.gap_world import gap_config, make_gap_world
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


@pytest.fixture(scope="session")
def gap_world(tmp_path_factory):
    """A folder with cubes of soil moisture with gaps, and run.toml."""
    folder = tmp_path_factory.mktemp("gaps")
    make_gap_world(folder)
    return folder


@pytest.fixture(scope="session")
def trained(gap_world):
    """The run whose network is trained, and what that did."""
    config = gap_config(gap_world / "run.toml")
    return config, seamless_train.run_train(config, SEAMLESS, None, Silent())


@pytest.fixture(scope="session")
def produced(trained):
    """The run whose year is published, and what that did."""
    config, _ = trained
    return config, seamless_year.run_produce(config, SEAMLESS, None, Silent())


@pytest.fixture(scope="session")
def ground(tmp_path_factory):
    """A folder with cubes of a few cells whose ground freezes, and run.toml."""
    folder = tmp_path_factory.mktemp("ground")
    ground_world.make_ground_world(folder)
    return folder


@pytest.fixture(scope="session")
def ground_trained(ground):
    """The run whose forest is grown, and what that did."""
    config = ground_world.config_of(ground / "run.toml")
    return config, run_freeze_thaw(config, FREEZE_THAW, None, Silent())


@pytest.fixture(scope="session")
def ground_produced(ground_trained):
    """The run whose year is published, and what that did."""
    config, _ = ground_trained
    return config, freeze_thaw_year.run_produce(config, FREEZE_THAW, None, Silent())


def _copied(source, folder):
    folder.mkdir(exist_ok=True)
    (folder / "own").symlink_to(source / "own")
    shutil.copytree(source / "out", folder / "out")
    return folder
