"""The same promises on a real S3 API, started here on loopback."""

import os
import socket
import subprocess
import sys
import time

import pytest

from smcloud.core.errors import NotFoundError
from smcloud.core.objects import open_objects

pytestmark = pytest.mark.s3


@pytest.fixture(scope="module")
def bucket():
    """Start moto_server, create a bucket and give its URL."""
    import boto3
    from botocore.exceptions import BotoCoreError

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{probe.getsockname()[1]}"
    settings = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "loopback",
        "AWS_SECRET_ACCESS_KEY": "loopback-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", endpoint.rsplit(":", 1)[1]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    old = {name: os.environ.get(name) for name in settings}
    os.environ |= settings
    s3 = boto3.client("s3", endpoint_url=endpoint)
    for _ in range(200):
        try:
            s3.create_bucket(Bucket="objects")
            break
        except BotoCoreError:
            time.sleep(0.2)
    yield "s3://objects/prefix"
    server.terminate()
    server.wait()
    for name, value in old.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def test_objects_on_s3(bucket):
    objects = open_objects(bucket)
    objects.put("a/b", b"12345")
    assert objects.get("a/b") == b"12345"
    assert objects.get_range("a/b", -2, 2) == b"45"
    assert [info.key for info in objects.list()] == ["a/b"]
    assert objects.create("c", b"1")
    assert not objects.create("c", b"2")
    with objects.fetch("a/b") as path:
        assert path.read_bytes() == b"12345"


def test_absent_bucket_is_named(bucket):
    with pytest.raises(NotFoundError, match="bucket of s3://nowhere/x/a does not exist"):
        open_objects("s3://nowhere/x").put("a", b"1")


def test_secret_is_never_shown_or_pickled(bucket):
    import pickle

    objects = open_objects(bucket)
    assert b"loopback-secret" not in pickle.dumps(objects)
    assert "loopback-secret" not in repr(objects)
