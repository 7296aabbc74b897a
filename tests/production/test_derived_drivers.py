"""A run whose product reads a derived cube ingests what that is made of, and makes it last."""

from dataclasses import replace
from pathlib import Path

import pytest

from smcloud.core.errors import ConfigError, NotFoundError, UserError
from smcloud.core.listener import Silent
from smcloud.features.spec import Driver
from smcloud.production.drivers import drivers_of
from smcloud.production.ingest_stage import run, source_named
from smcloud.production.run_file import read_run
from smcloud.products.registry import PRODUCTS
from tests.production.small_world import FEATURES, config_of, write_run

EXAMPLE = Path(__file__).parents[2] / "examples" / "all-weather.toml"
JOINED = "coarse_moisture_36km"


@pytest.fixture
def run_file(tmp_path, monkeypatch):
    """A run of a product with the filled temperatures for its only driver."""
    drivers = (Driver("lst_filled"),)
    probe = replace(PRODUCTS["glass-sm"], name="probe", drivers=drivers, references=())
    monkeypatch.setitem(PRODUCTS, "probe", probe)
    path = write_run(tmp_path)
    text = path.read_text().replace('"glass-sm"', '"probe"')
    path.write_text(text.replace(str(list(FEATURES)), '["lst_day", "lst_range"]'))
    return path


def sources(config):
    return [driver.source for driver in drivers_of(config)]


def test_inputs_come_before_what_is_made_of_them(run_file):
    config = config_of(run_file)
    ingested = config.ingest.model_copy(update={"cubes": {}})
    alone = config.model_copy(update={"ingest": ingested})
    assert sources(alone) == ["mod11a1", "era5land", "terrain", "lst_filled"]


def test_a_users_own_filled_cube_needs_no_inputs(run_file):
    config = config_of(run_file)
    ingested = config.ingest.model_copy(update={"cubes": {"lst_filled": "s3://mine/lst"}})
    assert sources(config.model_copy(update={"ingest": ingested})) == ["lst_filled"]


def test_quality_rules_are_those_of_the_inputs(run_file):
    text = run_file.read_text()
    run_file.write_text(text + '\n[ingest.quality]\nmod11a1 = "relaxed"\n')
    assert read_run(str(run_file)).ingest.quality == {"mod11a1": "relaxed"}
    run_file.write_text(text + '\n[ingest.quality]\nlst_filled = "good"\n')
    with pytest.raises(ConfigError, match="lst_filled = 'good': expected no such key"):
        read_run(str(run_file))


def test_a_bridge_without_files_is_refused_with_the_key_that_does_without(tmp_path):
    config = read_run(str(EXAMPLE))
    read = sources(config)
    assert "mwri_nnsm" in read
    own = {name: f"s3://mine/{name}" for name in read if name not in ("mwri_nnsm", JOINED)}
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "read.me").write_text("no granule")
    places = {"granules": str(tmp_path / "in"), "root": str(tmp_path / "out")}
    changes = {
        "ingest": config.ingest.model_copy(update={"cubes": own}),
        "store": config.store.model_copy(update=places),
        "stations": config.stations.model_copy(update={"csv": "", "archive": ""}),
    }
    with pytest.raises(NotFoundError, match=r"no mwri_nnsm granule .* downscale.bridge = 'clim"):
        run(config.model_copy(update=changes), None, Silent())
    without = config.downscale.model_copy(update={"bridge": "climatology"})
    assert "mwri_nnsm" not in sources(config.model_copy(update={"downscale": without}))


def test_it_cannot_be_ingested_from_granules():
    with pytest.raises(UserError, match="made of mod11a1, era5land, terrain: ingest it with a run"):
        source_named("lst_filled")
