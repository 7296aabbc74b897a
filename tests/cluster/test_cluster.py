"""Clusters: bounded threads, warm workers, clear errors."""

import os
import socket
import sys
import time

import pytest

from smcloud.core.errors import ClusterError, ConfigError
from smcloud.production.cluster import (
    ClusterRequest,
    connect,
    refuse_memory_urls,
    smallest_worker_bytes,
    worker_threads,
)

pytestmark = pytest.mark.cluster


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_workers_are_processes_of_one_thread_with_bounded_pools(client):
    environments = client.run(lambda: (os.getpid(), os.environ["OMP_NUM_THREADS"]))
    pids = {pid for pid, _ in environments.values()}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert {threads for _, threads in environments.values()} == {"1"}
    assert worker_threads(client) == 2
    assert smallest_worker_bytes(client) == 2 * 2**30


def test_memory_urls_are_refused_on_processes_and_allowed_without_a_cluster(client):
    refuse_memory_urls(None, ["memory://here"])
    refuse_memory_urls(client, ["file:///here"])
    with pytest.raises(ConfigError, match="memory://here lives in one process"):
        refuse_memory_urls(client, ["file:///a", "memory://here"])


def test_a_restarted_worker_is_warm_too():
    with connect(ClusterRequest(workers=1, worker_bytes=2**30), ("colorsys",)) as client:
        client.restart()
        assert all(client.run(lambda: "colorsys" in sys.modules).values())


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:{port}", "not an address"])
def test_an_address_that_does_not_answer_fails_within_seconds(address):
    request = ClusterRequest(scheduler=address.format(port=free_port()))
    started = time.monotonic()
    with pytest.raises(ClusterError, match="scheduler"), connect(request):
        pass
    assert time.monotonic() - started < 10


def test_a_port_that_accepts_and_stays_silent_fails_within_seconds():
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        request = ClusterRequest(scheduler=f"tcp://127.0.0.1:{mute.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(ClusterError, match="did not answer"), connect(request):
            pass
        assert time.monotonic() - started < 15


def test_a_running_scheduler_is_joined(client):
    with connect(ClusterRequest(scheduler=client.scheduler.address)) as second:
        assert second.submit(sum, [1, 2], key="join-b00").result() == 3
