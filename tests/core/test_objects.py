"""Object storage: the promises that the rest of smcloud builds on."""

import os
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from smcloud.core.errors import ConfigError, NotFoundError, StoreError
from smcloud.core.objects import READS_AHEAD, in_order, normalise_url, open_objects


@pytest.fixture(params=["memory", "file"])
def objects(request, tmp_path):
    url = f"memory://objects/{tmp_path.name}" if request.param == "memory" else str(tmp_path)
    return open_objects(url)


def test_what_was_put_comes_back(objects):
    objects.put("a/b.bin", b"12345")
    assert objects.get("a/b.bin") == b"12345"
    assert objects.get_range("a/b.bin", 1, 2) == b"23"
    assert objects.get_range("a/b.bin", -2, 2) == b"45"
    assert objects.head("a/b.bin").size == 5


def test_create_has_one_winner(objects):
    assert objects.create("lease/000001", b"first")
    assert not objects.create("lease/000001", b"second")
    assert objects.get("lease/000001") == b"first"


def test_list_is_sorted_and_relative_to_the_prefix(objects):
    for key in ("b/2", "b/1", "a"):
        objects.put(key, b"x")
    assert [info.key for info in objects.list()] == ["a", "b/1", "b/2"]
    assert [info.key for info in objects.child("b").list()] == ["1", "2"]
    assert objects.child("absent").list() == []


def test_absent_object_is_named(objects):
    with pytest.raises(NotFoundError, match="nowhere"):
        objects.get("nowhere")
    assert not objects.exists("nowhere")


def test_a_folder_where_a_file_is_expected_is_called_one(tmp_path):
    (tmp_path / "table.parquet").mkdir()
    with pytest.raises(NotFoundError, match=r"table\.parquet is a folder, expected a file"):
        open_objects(str(tmp_path)).get("table.parquet")


def test_only_the_url_is_pickled(objects):
    assert objects.url.encode() in pickle.dumps(objects)
    assert pickle.loads(pickle.dumps(objects)).url == objects.url


def test_fetch_gives_a_readable_file(objects):
    objects.put("x/name.hdf", b"content")
    with objects.fetch("x/name.hdf") as path:
        assert path.name == "name.hdf"
        assert path.read_bytes() == b"content"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_refused_write_is_one_line(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="refused"):
        open_objects(str(tmp_path)).put("x", b"1")


@pytest.mark.parametrize("url", ["ftp://x/y", "s3://", "s3:///key"])
def test_unusable_urls_are_config_errors(url):
    with pytest.raises(ConfigError):
        normalise_url(url)


def test_plain_paths_become_file_urls(tmp_path):
    assert normalise_url(str(tmp_path) + "/") == f"file://{tmp_path}"


def test_parts_say_how_long_the_object_is_and_whether_it_changed(tmp_path):
    objects = open_objects(str(tmp_path))
    objects.put("a", b"0123456789")
    middle, end = objects.get_part("a", 2, 3), objects.get_part("a", -4, 4)
    assert (bytes(middle.data), bytes(end.data)) == (b"234", b"6789")
    assert middle.size == end.size == 10
    assert middle.version == end.version
    assert len(objects.get_part("a", 8, 5).data) == 2
    objects.put("a", b"0123456789")
    assert objects.get_part("a", 2, 3).version != middle.version


def test_part_beyond_the_end_is_asked_for_once(tmp_path, caplog):
    objects = open_objects(str(tmp_path))
    objects.put("a", b"0123456789")
    with pytest.raises(StoreError, match="range"):
        objects.get_part("a", 20, 5)
    assert not caplog.records


def test_requests_come_back_in_order_and_stop_at_the_first_that_fails():
    begun = []

    def request(number):
        begun.append(number)
        time.sleep(0.01 * (number % 3))
        if number == 20:
            raise StoreError("out of order")
        return number

    calls = (partial(request, number) for number in range(1000))
    found = []
    with pytest.raises(StoreError, match="out of order"):
        found.extend(in_order(calls))
    assert found == list(range(20))
    assert len(begun) <= 20 + READS_AHEAD


def test_readers_share_the_room_and_none_waits_for_ever():
    lock, on_their_way, most = threading.Lock(), set(), 0

    def request(reader, number):
        nonlocal most
        with lock:
            on_their_way.add((reader, number))
            most = max(most, len(on_their_way))
        time.sleep(0.001)
        return number

    def read(reader):
        found = []
        for number in in_order(partial(request, reader, number) for number in range(30)):
            found.append(number)
            with lock:
                on_their_way.discard((reader, number))
        return found

    with ThreadPoolExecutor(3 * READS_AHEAD) as threads:
        found = list(threads.map(read, range(3 * READS_AHEAD), timeout=60))
    assert found == [list(range(30))] * (3 * READS_AHEAD)
    assert most <= READS_AHEAD


def test_a_reader_that_stops_early_gives_its_room_back():
    for _ in range(2 * READS_AHEAD):
        reader = in_order(partial(int, number) for number in range(10))
        assert next(reader) == 0
        reader.close()
    assert list(in_order(partial(int, number) for number in range(40))) == list(range(40))
