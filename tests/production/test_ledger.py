"""The ledger: newest record of a tile counts, snapshots change nothing but the reading."""

import dataclasses
import secrets

import pytest

from smcloud.core.errors import BusyError, IntegrityError
from smcloud.core.objects import open_objects
from smcloud.grids.tiles import TileYear
from smcloud.production.ledger import Ledger, Record, combined_hash

H18 = TileYear("sin1km", "h18v04", 2019)
H25 = TileYear("sin1km", "h25v05", 2019)


@pytest.fixture
def root():
    return f"memory://ledger-{secrets.token_hex(4)}"


def record(key=H18, sha="aa", **changes):
    plain = Record("produce/glass-sm", key, "in", {"soil_moisture/c/0/1/2": sha}, "v1", 3)
    return dataclasses.replace(plain, **changes)


def test_a_record_comes_back_as_it_was_written(root):
    written = record(figures={"rows": 12.0}, problems=("MOD11A1.A2019001: truncated",))
    Ledger(root, "produce/glass-sm").write(written)
    assert Ledger(root, "produce/glass-sm").records(2019) == {H18: written}


def test_the_newest_record_of_a_tile_counts_before_and_after_a_snapshot(root):
    ledger = Ledger(root, "produce/glass-sm")
    ledger.write(record(H18, "old"))
    ledger.write(record(H25, "x"))
    ledger.snapshot(2019)
    ledger.write(record(H18, "new"))
    expected = {H18: record(H18, "new"), H25: record(H25, "x")}
    assert ledger.records(2019) == expected
    ledger.snapshot(2019)
    assert ledger.records(2019) == expected


def test_the_records_of_a_version_stay_readable_beside_a_newer_one(root):
    ledger = Ledger(root, "produce/glass-sm")
    ledger.write(record(H18, "old"))
    ledger.snapshot(2019)
    ledger.write(record(H18, "new", version="v2"))
    assert ledger.records(2019, "v1") == {H18: record(H18, "old")}
    assert ledger.records(2019, "v2") == ledger.records(2019)
    assert ledger.records(2019, "v3") == {}


def test_a_snapshot_needs_one_read_for_all_its_records(root, monkeypatch):
    ledger = Ledger(root, "produce/glass-sm")
    for sha in "abc":
        ledger.write(record(H18, sha))
    ledger.snapshot(2019)
    folder = open_objects(f"{root}/ledger/produce/glass-sm/2019")
    for number in (1, 2, 3):
        folder.delete(f"{number:06d}.json")
    assert ledger.records(2019)[H18].shards == {"soil_moisture/c/0/1/2": "c"}


def test_years_and_static_layers_lie_apart(root):
    ledger = Ledger(root, "ingest/terrain")
    static = record(TileYear("sin1km", "h18v04", None))
    ledger.write(static)
    assert ledger.records(2019) == {}
    assert ledger.records(None) == {static.key: static}


def test_a_number_that_another_writer_took_is_passed_over(root):
    ledger = Ledger(root, "ingest/mod11a1")
    open_objects(f"{root}/ledger/ingest/mod11a1/2019").put(
        "snapshot-000004.json", b'{"records":[]}'
    )
    ledger.write(record(H18))
    ledger.write(record(H25))
    assert [info.key for info in open_objects(f"{root}/ledger/ingest/mod11a1/2019").list()] == [
        "000005.json",
        "000006.json",
        "snapshot-000004.json",
    ]


def test_a_guard_that_raises_prevents_the_write(root):
    def lost():
        raise BusyError("taken over")

    with pytest.raises(BusyError):
        Ledger(root, "produce/glass-sm", lost).write(record())
    assert Ledger(root, "produce/glass-sm").records(2019) == {}


def test_an_unreadable_record_is_named(root):
    open_objects(f"{root}/ledger/produce/glass-sm/2019").put("000001.json", b"{")
    with pytest.raises(IntegrityError, match=r"000001\.json cannot be read"):
        Ledger(root, "produce/glass-sm").records(2019)


def test_output_hashes_ignore_the_order_of_shards_and_nothing_else():
    one = record(shards={"a": "1", "b": "2"})
    assert one.output_hash == record(shards={"b": "2", "a": "1"}).output_hash
    assert one.output_hash != record(shards={"a": "1", "b": "3"}).output_hash
    assert combined_hash(["a", "b"]) != combined_hash(["b", "a"])
