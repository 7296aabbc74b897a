"""Reading ahead, measured on stores of every latency; the requests really wait."""

import time

from benchmarks import ahead
from smcloud.core.objects import open_objects


def test_every_latency_is_measured_with_and_without(tmp_path):
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
