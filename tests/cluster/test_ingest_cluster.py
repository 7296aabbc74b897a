"""Ingest on a cluster of processes: native files to cubes, the same as in one process."""

import shutil

import numpy as np
import pytest

from smcloud.core.errors import ConfigError, NotFoundError
from smcloud.core.listener import Silent
from smcloud.core.objects import open_objects
from smcloud.cube.store import hash_values, open_cube
from smcloud.grids.grid import Window
from smcloud.grids.tiles import TileYear
from smcloud.ingest.daily_means import StationRules
from smcloud.ingest.stations import read_stations
from smcloud.production.ingest_stage import IngestRequest, ingest_sources
from smcloud.production.ledger import Ledger
from smcloud.production.stations_stage import ingest_stations
from smcloud.simulate.samples import SAMPLE_COL, SAMPLE_ROW, SAMPLE_SIZE, SAMPLE_TILE, write_sample
from smcloud.sources.registry import SOURCES

pytestmark = pytest.mark.cluster
pytest.importorskip("pyhdf")
KEY = TileYear("sin1km", SAMPLE_TILE, 2019)


class Told(Silent):
    """Keeps the warnings."""

    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


def ingested(name, folder, client, out="out", told=None):
    request = IngestRequest(name, str(folder / "in"), str(folder / out), (SAMPLE_TILE,), (2019,))
    return ingest_sources([request], client, told or Told())[0]


def stored(folder, name):
    objects = open_objects(str(folder / "cubes" / name))
    return {info.key: objects.get(info.key) for info in objects.list()}


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("granules")
    for name in ("mod13a2", "glass_lai", "era5land"):
        write_sample(name, folder / "in" / name)
    return folder


@pytest.mark.parametrize("name", ["mod13a2", "era5land"])
def test_a_cluster_writes_the_same_bytes_as_one_process(samples, client, name):
    ingested(name, samples, client, out="many")
    ingested(name, samples, None, out="one")
    assert stored(samples / "many", name) == stored(samples / "one", name)


def test_a_second_run_does_nothing_and_the_record_holds_every_shard(samples, client):
    first = ingested("glass_lai", samples, client)
    second = ingested("glass_lai", samples, client)
    assert first.tasks_skipped == 0
    assert second.tasks_skipped == second.tasks == 1
    record = Ledger(str(samples / "out"), "ingest/glass_lai").records(2019)[KEY]
    schema = SOURCES["glass_lai"].schema
    cube = open_cube(str(samples / "out/cubes/glass_lai/2019.zarr"), schema, 2019)
    values = cube.read("lai", slice(0, 46), KEY.window)
    assert record.shards == {"lai/c/0/4/18": hash_values(values)}


def test_damaged_and_replaced_granules_are_named_and_their_pixels_stay_unknown(tmp_path, client):
    first, second = write_sample("mod13a2", tmp_path / "in")
    older = second.name.replace(second.name.split(".")[-2], "2018001000000")
    shutil.copy(second, second.with_name(older))
    first.write_bytes(first.read_bytes()[:2000])
    told = Told()
    summary = ingested("mod13a2", tmp_path, client, told=told)
    assert [bad.name for bad in summary.damaged] == [first.name]
    assert summary.duplicates == (older,)
    assert any(first.name in text for text in told.warnings)
    row, col = KEY.window.row0 + SAMPLE_ROW, KEY.window.col0 + SAMPLE_COL
    pixels = Window(row, row + SAMPLE_SIZE, col, col + SAMPLE_SIZE)
    cube = open_cube(str(tmp_path / "out/cubes/mod13a2/2019.zarr"), SOURCES["mod13a2"].schema, 2019)
    values = cube.read_physical("ndvi", slice(0, 2), pixels)
    assert np.isnan(values[0]).all()
    assert np.isfinite(values[1]).any()


def test_a_granule_of_another_collection_is_named(tmp_path, client):
    first, _ = write_sample("mod13a2", tmp_path / "in")
    first.rename(first.with_name(first.name.replace(".061.", ".041.").replace(".006.", ".041.")))
    summary = ingested("mod13a2", tmp_path, client)
    (bad,) = summary.damaged
    assert "expected collection" in bad.reason


def test_stations_are_read_in_parallel_and_are_the_same(tmp_path, client):
    write_sample("ismn", tmp_path / "in")
    tables = []
    for out, cluster in (("many", client), ("one", None)):
        url = str(tmp_path / out)
        summary = ingest_stations(str(tmp_path / "in"), url, StationRules(), cluster, Told())
        assert summary.sensors == 4
        tables.append(read_stations(f"{url}/stations"))
    assert tables[0][0].equals(tables[1][0])
    assert tables[0][1].equals(tables[1][1])


def test_a_memory_url_is_refused_on_a_cluster_of_processes(tmp_path, client):
    write_sample("glass_lai", tmp_path / "in")
    request = IngestRequest("glass_lai", str(tmp_path / "in"), "memory://out", ("h18v04",), (2019,))
    with pytest.raises(ConfigError, match="memory://out"):
        ingest_sources([request], client, Told())


def test_an_empty_bucket_is_refused_before_any_task(tmp_path, client):
    with pytest.raises(NotFoundError, match="absent or empty"):
        ingested("mod13a2", tmp_path, client)
