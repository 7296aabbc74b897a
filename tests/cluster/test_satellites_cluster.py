"""Coarse satellites on a cluster of processes: the same bytes as in one process."""

import pytest

from smcloud.core.listener import Silent
from smcloud.core.objects import open_objects
from smcloud.production.ingest_stage import IngestRequest, ingest_sources
from tests.sources.satellite_files import PLACE, write_satellite

pytestmark = pytest.mark.cluster
NAMES = ("cci_active", "smap_l3", "smap_sentinel")


def stored(folder):
    objects = open_objects(str(folder / "cubes"))
    return {info.key: objects.get(info.key) for info in objects.list()}


def test_a_cluster_writes_the_same_bytes_as_one_process(tmp_path, client):
    for name in NAMES:
        write_satellite(name, tmp_path / "in" / name)
    for out, where in (("many", client), ("one", None)):
        requests = [
            IngestRequest(
                name,
                str(tmp_path / "in"),
                str(tmp_path / out),
                ("h18v04",),
                (2019,),
                points=(PLACE,),
            )
            for name in NAMES
        ]
        ingest_sources(requests, where, Silent())
    assert stored(tmp_path / "many") == stored(tmp_path / "one")
    assert len(stored(tmp_path / "one")) > 10
