"""The lease: one owner, expiry by the store's clock, takeover by the next epoch."""

import secrets
import threading
import time
from contextlib import ExitStack

import pytest

from smcloud.core.errors import BusyError
from smcloud.core.listener import Silent
from smcloud.core.objects import open_objects
from smcloud.production.lease import hold, newest_epoch

BEAT = 0.1


@pytest.fixture(params=["memory", "file"])
def root(request, tmp_path):
    if request.param == "file":
        return f"file://{tmp_path}"
    return f"memory://lease-{secrets.token_hex(4)}"


def lease_objects(root):
    return open_objects(f"{root}/lease/glass-sm")


def abandon(root):
    """Leave the lease as a killed runner does: no beat any more, no release."""
    lease_objects(root).put("000001.json", b'{"beat_seconds": 0.1, "owner": "dead:1"}')


def test_a_released_lease_is_free_at_once_and_epochs_count_up(root):
    with hold(root, "glass-sm", 10, Silent()) as first:
        assert first.epoch == 1
    started = time.monotonic()
    with hold(root, "glass-sm", 10, Silent()) as second:
        assert second.epoch == 2
    assert time.monotonic() - started < 1


def test_two_runs_at_once_are_refused_within_a_beat_or_so(root):
    with hold(root, "glass-sm", BEAT, Silent()):
        started = time.monotonic()
        with (
            pytest.raises(BusyError, match="is working on"),
            hold(root, "glass-sm", BEAT, Silent()),
        ):
            pass
        assert time.monotonic() - started < 3 * BEAT + 0.5


def test_a_killed_owner_blocks_until_its_expiry_and_no_longer(root):
    abandon(root)
    started = time.monotonic()
    with hold(root, "glass-sm", BEAT, Silent()) as lease:
        assert lease.epoch == 2
    assert 2 * BEAT < time.monotonic() - started < 3 * BEAT + 1 + 1


def test_the_older_owner_finds_out_before_it_writes(root):
    with hold(root, "glass-sm", 10, Silent()) as slow:
        slow.check()
        lease_objects(root).put("000002.json", b'{"beat_seconds": 10, "owner": "other:2"}')
        with pytest.raises(BusyError, match="taken over by other:2"):
            slow.check()


def test_products_have_leases_of_their_own(root):
    with ExitStack() as stack:
        for product in ("glass-sm", "all-weather"):
            stack.enter_context(hold(root, product, 10, Silent()))


def test_one_of_many_racing_runs_wins_an_expired_lease(root):
    abandon(root)
    time.sleep(4 * BEAT + 1)
    won, gate = [], threading.Barrier(8)

    def race():
        gate.wait()
        try:
            with hold(root, "glass-sm", BEAT, Silent()) as lease:
                won.append(lease.epoch)
                time.sleep(6 * BEAT)
        except BusyError:
            pass

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [2]


def test_beats_keep_a_lease_alive_beyond_its_expiry(root):
    with hold(root, "glass-sm", BEAT, Silent()) as lease:
        time.sleep(6 * BEAT)
        lease.check()
        epoch = newest_epoch(lease_objects(root))
        assert epoch is not None
        assert epoch.number == 1
        with pytest.raises(BusyError), hold(root, "glass-sm", BEAT, Silent()):
            pass
