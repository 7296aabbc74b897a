"""Processes are killed and disks fill up: nothing is lost, nothing is half written."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dask
import pytest

from smcloud.core.errors import ClusterError, StoreFullError
from smcloud.core.listener import Silent
from smcloud.production.cluster import ClusterRequest, connect
from smcloud.production.produce_stage import run
from smcloud.production.runner import Task, run_tasks
from smcloud.production.status import status
from tests.production.small_world import BLOCKS, config_of, make_model, tree_of, write_run

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

SCRIPT = Path(__file__).with_name("produce_process.py")
PAGE, FEW = 4096, 16
ROOT = Path(__file__).parents[2]


def receipts_of(world):
    return sorted((world / "out" / "receipts").rglob("*.json"))


def start_runner(world, workers):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(world / "run.toml"), str(workers)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill_after(process, world, blocks):
    """Kill a runner by SIGKILL as soon as `blocks` blocks have their receipts."""
    deadline = time.monotonic() + 90
    while len(receipts_of(world)) < blocks:
        assert process.poll() is None, "the runner ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()


def settled_receipts(world):
    """Return the receipts once the workers of a killed runner have ended too."""
    before = -1
    while len(receipts_of(world)) != before:
        before = len(receipts_of(world))
        time.sleep(1.5)
    return receipts_of(world)


def test_a_runner_killed_in_the_middle_continues_and_the_store_is_bit_identical(world, unbroken):
    kill_after(start_runner(world, 1), world, 1)
    left = settled_receipts(world)
    assert 1 <= len(left) < BLOCKS
    times = {path: path.stat().st_mtime_ns for path in left}
    config = config_of(world / "run.toml")
    (row,) = [row for row in status(config) if row.stage == "produce/glass-sm"]
    assert (row.state, row.blocks) == ("partial", len(left))
    started = time.monotonic()
    (year,) = run(config, None, Silent()).years
    # its lease expires after three beats of half a second, which is all that it may block
    assert time.monotonic() - started < 60
    assert (year.kept, year.made) == (len(left), BLOCKS - len(left))
    assert {path: path.stat().st_mtime_ns for path in left} == times
    assert tree_of(world / "out" / "products") == unbroken


class KillsAWorker(Silent):
    """Kills one worker process when the first block is done."""

    def __init__(self, client):
        self.pid = next(iter(client.run(os.getpid).values()))
        self.killed = False

    def advance(self, steps=1, **figures):
        if not self.killed:
            os.kill(self.pid, signal.SIGKILL)
            self.killed = True


def test_a_killed_worker_loses_nothing_and_many_workers_write_the_same_bytes(world, unbroken):
    with connect(ClusterRequest(workers=2, worker_bytes=2 * 2**30)) as client:
        killer = KillsAWorker(client)
        (year,) = run(config_of(world / "run.toml"), client, killer).years
    assert killer.killed
    assert (year.made, year.kept) == (BLOCKS, 0)
    assert tree_of(world / "out" / "products") == unbroken


def die(_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_task_that_kills_its_workers_ends_in_one_clear_error():
    task = Task("produce-deadly-2019-b00", die, (0,))
    # One death is enough here; by default Dask gives a task up after four.
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        connect(ClusterRequest(workers=1, worker_bytes=2**30)) as client,
        pytest.raises(ClusterError, match="produce-deadly-2019-b00: the workers that ran it died"),
    ):
        run_tasks(client, [task], window=1, retries=0, on_done=lambda *_: None)


@pytest.fixture
def small_disk(tmp_path, unbroken):
    """A file system with room for the metadata, the model and the first blocks only."""
    folder = tmp_path / "small"
    folder.mkdir()
    pages = {name: -(-len(data) // PAGE) for name, data in unbroken.items()}
    shards = sum(count for name, count in pages.items() if "/c/0/" in name)
    size = PAGE * (sum(pages.values()) - shards // 2 + FEW)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs more rights")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_ends_in_one_clear_error_and_nothing_half_written(world, small_disk, unbroken):
    make_model(small_disk)
    config = config_of(write_run(world, root=str(small_disk / "out")))
    with pytest.raises(StoreFullError, match="no space left"):
        run(config, None, Silent())
    written = tree_of(small_disk / "out" / "products")
    shards = [name for name in written if "/c/0/" in name]
    assert 0 < len(shards) < 2 * BLOCKS
    assert all(unbroken[name] == data for name, data in written.items())
    assert not list((small_disk / "out" / "ledger").rglob("*.json"))
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    run(config, None, Silent())
    assert tree_of(small_disk / "out" / "products") == unbroken
