"""The same promises on a real S3 API, started here on loopback."""

import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from smcloud.core.errors import CubeError, NotFoundError
from smcloud.core.objects import open_objects
from smcloud.cube.schema import CubeSchema, Variable
from smcloud.cube.store import create_store, open_cube, write_shard
from smcloud.grids.grid import Window

pytestmark = pytest.mark.s3

FLAG = Variable("flag", "uint8", "1", "flags", (0, 255))


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


def test_parts_are_those_of_one_state_of_an_object(bucket):
    objects = open_objects(bucket)
    objects.put("part", b"0123456789")
    middle, end = objects.get_part("part", 2, 3), objects.get_part("part", -4, 4)
    assert (bytes(middle.data), bytes(end.data), end.size) == (b"234", b"6789", 10)
    assert middle.version == end.version
    objects.put("part", b"9876543210")
    assert objects.get_part("part", 2, 3).version != middle.version


def test_damaged_shards_on_s3_are_named(bucket):
    """Emptied, cut and deleted objects, of which the store answers otherwise than a folder."""
    schema = CubeSchema("toy", "sin1km", (FLAG,), 1, (2, 5, 5), (4, 10, 10), "A toy", codec="lz4")
    url = f"{bucket}/2019.zarr"
    create_store(url, schema, 2019)
    values = np.random.default_rng(0).integers(1, 200, (4, 10, 10), np.uint8)
    key = write_shard(url, schema, "flag", (0, 0, 0), values).key
    objects, corner = open_objects(url), Window(0, 10, 0, 10)
    data = objects.get(key)
    cube = open_cube(url, schema, 2019)
    np.testing.assert_array_equal(cube.read("flag", slice(0, 4), corner), values)
    for damage in (b"", data[:20], data[: len(data) // 2]):
        objects.put(key, damage)
        with pytest.raises(CubeError, match="cannot be decoded"):
            cube.read("flag", slice(0, 4), corner)
    objects.put(key, data)
    np.testing.assert_array_equal(cube.read("flag", slice(0, 4), corner), values)
    objects.delete(key)
    with pytest.raises(CubeError, match="lacks the object"):
        cube.read("flag", slice(0, 4), corner)
