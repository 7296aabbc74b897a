"""Verify names every kind of loss by tile and block, and repair restores the very bytes."""

import pytest

from smcloud.core.errors import IntegrityError, NotFoundError
from smcloud.core.listener import Silent
from smcloud.core.objects import open_objects
from smcloud.production.ledger import Ledger
from smcloud.production.produce_stage import run
from smcloud.production.verify import verify
from tests.production.small_world import BLOCKS, YEAR, config_of, tree_of


@pytest.fixture
def produced(world):
    config = config_of(world / "run.toml")
    (year,) = run(config, None, Silent()).years
    return config, open_objects(year.store), world / "out" / "products"


def flip(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


DAMAGE = {
    "emptied": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "cut at the index": lambda data: data[:-3],
    "flipped": flip,
}


def shard_of(store):
    """Return the shard of block b37, row 4 and column 5 of the tile's blocks of 150."""
    return next(info.key for info in store.list() if info.key.startswith("soil_moisture/c/0"))


def test_a_sound_store_passes(produced):
    config, _, _ = produced
    found = verify(config, None, Silent())
    assert (found.tile_years, found.shards, found.damages) == (1, 2 * BLOCKS, ())


@pytest.mark.parametrize("kind", [*DAMAGE, "deleted", "swapped"])
def test_each_loss_is_named_and_restored_byte_for_byte(produced, kind):
    config, store, folder = produced
    before = tree_of(folder)
    key = shard_of(store)
    if kind == "deleted":
        store.delete(key)
    elif kind == "swapped":
        shards = [i.key for i in store.list() if i.key.startswith("soil_moisture/c/0")]
        store.put(key, store.get(shards[1]))
    else:
        store.put(key, DAMAGE[kind](store.get(key)))
    (damage,) = verify(config, None, Silent()).damages
    expected = {"deleted": "missing", "emptied": "emptied", "swapped": "changed"}
    assert damage.fault == expected.get(kind, "damaged")
    assert str(damage) == f"sin1km/h18v04/{YEAR} block b{damage.block:02d} {key}: {damage.fault}"
    assert damage.block == 37
    (year,) = run(config, None, Silent(), redo="damaged").years
    assert (year.repaired, year.made) == (1, 0)
    assert tree_of(folder) == before
    assert verify(config, None, Silent()).damages == ()


def test_lost_metadata_is_named_and_restored(produced):
    config, store, folder = produced
    before = tree_of(folder)
    store.delete("zarr.json")
    (damage,) = verify(config, None, Silent()).damages
    assert "metadata zarr.json: missing" in str(damage)
    run(config, None, Silent(), redo="damaged")
    assert tree_of(folder) == before


def test_a_repair_that_comes_to_other_values_changes_nothing(produced):
    config, store, folder = produced
    ledger = Ledger(config.store.root, "produce/glass-sm")
    (record,) = ledger.records(YEAR).values()
    key = shard_of(store)
    ledger.write(type(record)(**{**vars(record), "shards": {**record.shards, key: "0" * 64}}))
    before = tree_of(folder)
    with pytest.raises(IntegrityError, match="comes out with other values than the ledger holds"):
        run(config, None, Silent(), redo="damaged")
    assert tree_of(folder) == before


def test_damage_before_publication_prevents_it(world, monkeypatch):
    from smcloud.production import making

    config = config_of(world / "run.toml")
    real = making.run_block

    def spoiled(task):
        receipt = real(task)
        if task.number == 37:
            open_objects(task.store).put(sorted(receipt.shards)[1], b"")
        return receipt

    monkeypatch.setattr(making, "run_block", spoiled)
    with pytest.raises(IntegrityError, match=r"not published: .* block b37 .*emptied"):
        run(config, None, Silent())
    assert not (world / "out/products/glass-sm" / str(YEAR) / "current.json").exists()
    monkeypatch.setattr(making, "run_block", real)
    (year,) = run(config, None, Silent(), redo="damaged").years
    assert year.repaired == 1
    assert (world / "out/products/glass-sm" / str(YEAR) / "current.json").exists()


def test_a_product_that_was_never_made_is_said_so(world):
    with pytest.raises(NotFoundError, match="run `smcloud produce` first"):
        verify(config_of(world / "run.toml"), None, Silent())
