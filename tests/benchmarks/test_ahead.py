"""Reading ahead, measured on stores of every latency; the requests really wait."""

import time
from contextlib import contextmanager

import pytest

from benchmarks import ahead, routes
from smcloud.core.objects import open_objects
from smcloud.production.cluster import worker_threads


@pytest.fixture
def two_clusters(client, monkeypatch):
    """Have every measurement on one worker, and every one on two, share its cluster."""
    with routes.clusters() as start:
        started = {1: start(1), 2: client}
        assert [worker_threads(each) for each in started.values()] == [1, 2]

        @contextmanager
        def clusters():
            yield started.__getitem__

        monkeypatch.setattr(ahead, "clusters", clusters)
        yield
        client.run(ahead.delay_requests, 0.0)


@pytest.mark.cluster
def test_every_latency_is_measured_with_and_without(tmp_path, two_clusters, monkeypatch):
    monkeypatch.setattr(ahead, "worker_counts", lambda: [1, 2])
    found = ahead.measure("tiny", 0, tmp_path)
    measured = {(row["latency"], row["workers"], row["read_ahead"]) for row in found["rows"]}
    assert {(0.0, 1, False), (0.0, 1, True), (0.01, 2, False), (0.01, 2, True)} <= measured
    assert found["planned_bytes"]["with"] > found["planned_bytes"]["without"]
    assert len(ahead.show(found).splitlines()) == 3 + len(measured)


def test_requests_wait_until_they_are_made_prompt_again(tmp_path):
    objects = open_objects(str(tmp_path))
    try:
        ahead.delay_requests(0.05)
        ahead.delay_requests(0.1)
        started = time.perf_counter()
        objects.put("a", b"1")
        assert 0.1 <= time.perf_counter() - started < 0.145, "delays added up"
    finally:
        ahead.delay_requests(0.0)
    started = time.perf_counter()
    objects.put("a", b"2")
    assert time.perf_counter() - started < 0.1
