"""What every worker does before its first task."""

import os
from pathlib import Path

import pytest

from smcloud.core.errors import ModelError
from smcloud.production.cluster import ClusterRequest, connect, do_ahead


def sign(folder):
    (Path(folder) / str(os.getpid())).touch()


def refuse():
    raise ModelError("no such model")


@pytest.mark.cluster
def test_workers_prepare_at_once_and_when_they_join_later(tmp_path):
    with connect(ClusterRequest(workers=1)) as client:
        do_ahead(client, "sign", sign, (str(tmp_path),))
        assert len(list(tmp_path.iterdir())) == 1
        client.cluster.scale(2)
        client.wait_for_workers(2, timeout=30)
        pids = client.run(os.getpid).values()
        assert {path.name for path in tmp_path.iterdir()} == set(map(str, pids))


@pytest.mark.cluster
def test_a_preparation_that_fails_leaves_the_error_to_the_task():
    with connect(ClusterRequest(workers=1)) as client:
        do_ahead(client, "refuse", refuse, ())
        assert client.submit(sum, (1, 2)).result(timeout=20) == 3


def test_without_a_cluster_nothing_is_done_ahead():
    do_ahead(None, "refuse", refuse, ())
