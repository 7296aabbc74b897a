"""Coarse satellites on a cluster of processes: the same bytes as in one process."""

import pytest

from smcloud.core.listener import Silent
from smcloud.core.objects import open_objects
from smcloud.grids.grid import SIN1KM, Window
from smcloud.production.ingest_stage import IngestRequest, ingest_sources
from tests.sources.satellite_files import PLACE, SATELLITES, write_satellite

pytestmark = pytest.mark.cluster


def stored(folder):
    objects = open_objects(str(folder / "cubes"))
    return {info.key: objects.get(info.key) for info in objects.list()}


@pytest.mark.parametrize("at", ["points", "parts"])
def test_a_cluster_writes_the_same_bytes_as_one_process(tmp_path, client, at):
    row, col = (int(index) for index in SIN1KM.pixel_of(*PLACE))
    where = {
        "points": {"points": (PLACE,)},
        "parts": {"points": (), "parts": (Window(row - 9, row + 9, col - 9, col + 9),)},
    }[at]
    for name in SATELLITES:
        write_satellite(name, tmp_path / "in" / name)
    for out, cluster in (("many", client), ("one", None)):
        urls = str(tmp_path / "in"), str(tmp_path / out)
        requests = [
            IngestRequest(name, *urls, ("h18v04",), (2019,), **where) for name in SATELLITES
        ]
        ingest_sources(requests, cluster, Silent())
    one = stored(tmp_path / "one")
    assert stored(tmp_path / "many") == one
    assert {key.split("/")[0] for key in one if "/c/" in key} == set(SATELLITES)
