"""Lanes: blocks of one worker overlap, never more than one a thread in each lane."""

import threading
import time
from collections import Counter

import pytest
from distributed import Client

from smcloud.production.lanes import take_turn

SECONDS = 20
"""Longest wait for what must happen; a test that waits so long has failed."""
BLOCKS = 3


class Events:
    """What tasks tell each other; the worker shares this process, and so this module."""

    def __init__(self):
        self.read = [threading.Event() for _ in range(BLOCKS)]
        self.begun = [threading.Event() for _ in range(BLOCKS)]
        self.lock = threading.Lock()
        self.now, self.most = Counter(), Counter()

    def move(self, left, lane):
        with self.lock:
            self.now[lane] += 1
            self.now[left] -= 1
            self.most[lane] = max(self.most[lane], self.now[lane])


told = Events()


@pytest.fixture
def client():
    global told
    told = Events()
    with Client(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as client:
        yield client


def submitted(client, function, n):
    return [client.submit(function, number, key=f"b-{number}", pure=False) for number in range(n)]


def waiting_for_the_next(number):
    is_last = number == BLOCKS - 1
    with take_turn(overlap=True) as turn:
        told.read[number].set()
        turn.compute()
        told.begun[number].set()
        assert is_last or told.read[number + 1].wait(SECONDS), "the next was not read"
        turn.write()
        assert is_last or told.begun[number + 1].wait(SECONDS), "the next was not computed"
    return number


def slow_to_write(number):
    with take_turn(overlap=True) as turn:
        told.move("", "read")
        turn.compute()
        told.move("read", "compute")
        turn.write()
        told.move("compute", "write")
        time.sleep(0.05)
        told.move("write", "")


def odd_ones_fail(number):
    with take_turn(overlap=True) as turn:
        turn.compute()
        if number % 2:
            raise ValueError(f"block {number}")
        turn.write()
    return number


def test_the_next_block_is_read_while_one_is_computed_and_one_written(client):
    assert client.gather(submitted(client, waiting_for_the_next, BLOCKS)) == [0, 1, 2]


def test_each_lane_holds_one_block_a_thread_and_slow_writing_holds_computing_up(client):
    client.gather(submitted(client, slow_to_write, 8))
    assert (told.most["compute"], told.most["write"]) == (1, 1)
    assert told.most["read"] <= 2, "one that reads, and one that is just leaving"


def test_a_block_that_fails_leaves_its_lane(client):
    futures = submitted(client, odd_ones_fail, 6)
    assert client.gather(futures, errors="skip") == [0, 2, 4]
    assert [future.status for future in futures[1::2]] == ["error"] * 3


def test_without_overlap_or_a_worker_nothing_waits():
    with take_turn(overlap=True) as one, take_turn(overlap=True) as other:
        one.compute()
        other.compute()
        one.write()
        other.write()
