"""What `status` says of versions that lie side by side, and of the ingest."""

import pytest

from smcloud.core.listener import Silent
from smcloud.grids.tiles import TileYear
from smcloud.production import making, produce_stage
from smcloud.production.ledger import Ledger, Record
from smcloud.production.produce_stage import run
from smcloud.production.status import status
from tests.production.small_world import BLOCKS, TILE, YEAR, config_of, make_model


@pytest.fixture
def config(world):
    return config_of(world / "run.toml")


def rows_of(config):
    rows = [row for row in status(config) if row.stage == "produce/glass-sm"]
    return [(row.state, row.version, row.blocks) for row in rows]


def stopped_after(blocks, monkeypatch):
    """Let a run be interrupted in the block after so many."""
    real, calls = making.run_block, []

    def interrupted(task):
        calls.append(task)
        if len(calls) > blocks:
            raise KeyboardInterrupt
        return real(task)

    monkeypatch.setattr(making, "run_block", interrupted)


def test_a_version_in_progress_is_shown_beside_the_published_one(world, config, monkeypatch):
    (old,) = run(config, None, Silent()).years
    assert rows_of(config) == [("published", old.version, BLOCKS)]
    make_model(world, seed=1)
    with monkeypatch.context() as patch:
        stopped_after(2, patch)
        with pytest.raises(KeyboardInterrupt):
            run(config, None, Silent())
    published, partial = rows_of(config)
    assert published == ("published", old.version, BLOCKS)
    assert (partial[0], partial[2]) == ("partial", 2)
    (new,) = run(config, None, Silent()).years
    assert partial[1] == new.version
    assert rows_of(config) == [("published", new.version, BLOCKS)]


def test_a_tile_that_is_done_but_not_published_does_not_hide_what_readers_see(
    world, config, monkeypatch
):
    (old,) = run(config, None, Silent()).years
    make_model(world, seed=1)

    def fails(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(produce_stage, "verify_records", fails)
    with pytest.raises(KeyboardInterrupt):
        run(config, None, Silent())
    published, done = rows_of(config)
    assert published == ("published", old.version, BLOCKS)
    assert (done[0], done[2]) == ("done", BLOCKS)
    assert done[1] != old.version


def test_the_seconds_and_memory_of_an_ingest_are_shown(config):
    config = config.model_copy(
        update={"ingest": config.ingest.model_copy(update={"cubes": {}})},
    )
    key = TileYear("sin1km", TILE, YEAR)
    figures = {"seconds": 12.34, "peak_bytes": 5}
    Ledger(config.store.root, "ingest/mod11a1").write(
        Record("ingest/mod11a1", key, "in", {"lst_day/c/0/1/2": "aa"}, figures=figures)
    )
    (row,) = [row for row in status(config) if row.stage == "ingest/mod11a1"]
    assert (row.state, row.blocks, row.core_seconds, row.peak_bytes) == ("done", 1, 12.3, 5)
