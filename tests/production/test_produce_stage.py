"""The produce stage in one process: only what is missing is done, and always the same bytes."""

import threading

import numpy as np
import pytest
from distributed import Client
from distributed.protocol.pickle import dumps

from smcloud.core.errors import (
    BusyError,
    CubeError,
    IntegrityError,
    ModelError,
    PlanError,
    UserError,
)
from smcloud.core.listener import Silent
from smcloud.core.objects import open_objects
from smcloud.cube.store import open_cube
from smcloud.production import block, making, produce_stage
from smcloud.production.lease import hold
from smcloud.production.ledger import Ledger
from smcloud.production.plan import block_task, check_fits, plan_year
from smcloud.production.planned import State
from smcloud.production.produce_stage import run
from smcloud.production.recipe import recipe_of
from smcloud.production.status import status
from smcloud.production.store_year import published_year
from smcloud.production.verify import verify
from smcloud.production.versions import read_pointer
from tests.production.small_world import (
    BLOCKS,
    EAST,
    PART,
    TILE,
    WEST_PART,
    YEAR,
    beside,
    config_of,
    make_cube,
    make_model,
    tree_of,
    undisturbed,
    write_run,
)


@pytest.fixture
def config(world):
    return config_of(world / "run.toml")


@pytest.fixture(scope="module")
def unbroken(world_once, tmp_path_factory):
    """The product of a run that nothing disturbed."""
    return undisturbed(beside(world_once, tmp_path_factory.mktemp("unbroken")))


@pytest.fixture(scope="module")
def published(world_once, tmp_path_factory):
    """A published year that no test changes, and its pointer."""
    folder = beside(world_once, tmp_path_factory.mktemp("published"))
    config = config_of(write_run(folder))
    run(config, None, Silent())
    return config, read_pointer(config.layout, "glass-sm", YEAR)


def ledger_of(config):
    return Ledger(config.store.root, "produce/glass-sm").records(YEAR)


def test_a_year_is_written_published_and_recorded(world, config):
    (year,) = run(config, None, Silent()).years
    assert (year.made, year.kept, year.blocks) == (BLOCKS, 0, BLOCKS)
    pointer = read_pointer(config.layout, "glass-sm", YEAR)
    assert pointer is not None
    assert (pointer.version, pointer.tiles) == (year.version, (TILE,))
    (record,) = ledger_of(config).values()
    assert len(record.shards) == 2 * BLOCKS
    assert record.figures["rows"] == year.rows
    schema = recipe_of(config).schema
    cube = open_cube(year.store, schema, YEAR)
    moisture = cube.read_physical("soil_moisture", slice(0, 365), WEST_PART)
    land = block.land_points(WEST_PART, WEST_PART)
    assert 0.05 < np.nanmean(moisture) < 0.7
    assert np.isfinite(moisture.reshape(365, -1)[:, land]).all()
    assert np.isnan(moisture.reshape(365, -1)).sum() == 365 * (60 * 60 - len(land))


def test_every_block_with_land_has_its_objects_and_no_other(config):
    (year,) = run(config, None, Silent()).years
    (record,) = ledger_of(config).values()
    listed = {i.key for i in open_objects(year.store).list() if i.key.startswith(("soil", "qual"))}
    metadata = {"soil_moisture/zarr.json", "quality_flag/zarr.json"}
    assert listed - metadata == set(record.shards)


def test_a_second_run_does_nothing(world, config):
    run(config, None, Silent())
    before = tree_of(world / "out" / "products") | tree_of(world / "out" / "receipts")
    (year,) = run(config, None, Silent()).years
    assert (year.made, year.kept) == (0, BLOCKS)
    assert tree_of(world / "out" / "products") | tree_of(world / "out" / "receipts") == before


def test_an_interrupted_run_continues_with_what_is_missing(world, config, monkeypatch, unbroken):
    real, calls = making.run_block, []

    def interrupted(task):
        calls.append(task.number)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(task)

    monkeypatch.setattr(making, "run_block", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(config, None, Silent())
    assert read_pointer(config.layout, "glass-sm", YEAR) is None
    (year,) = run(config, None, Silent()).years
    assert (year.made, year.kept) == (2, 2)
    assert len(calls) == 3 + 2
    assert tree_of(world / "out" / "products") == unbroken


def test_a_block_whose_receipt_was_lost_is_made_again(world, config, unbroken):
    run(config, None, Silent())
    objects = open_objects(f"{config.store.root}")
    for info in objects.list("ledger") + objects.list("products"):
        if info.key.endswith(("json",)) and ("ledger" in info.key or "current" in info.key):
            objects.delete(info.key)
    receipt = objects.list("receipts")[0]
    objects.put(receipt.key, b"{")
    (year,) = run(config, None, Silent()).years
    assert (year.made, year.kept) == (1, BLOCKS - 1)
    assert tree_of(world / "out" / "products") == unbroken


def test_the_days_of_a_slab_and_the_workers_do_not_change_the_bytes(world, unbroken):
    config = config_of(world / "run.toml", step_days=100, tasks_per_worker=5)
    run(config, None, Silent())
    assert tree_of(world / "out" / "products") == unbroken


@pytest.mark.parametrize("threads", [1, 2])
def test_blocks_that_overlap_on_a_worker_have_the_same_bytes(world, unbroken, threads):
    config = config_of(world / "run.toml", read_ahead=True)
    with Client(
        n_workers=1, threads_per_worker=threads, processes=False, dashboard_address=None
    ) as client:
        run(config, client, Silent())
    assert tree_of(world / "out" / "products") == unbroken


def test_workers_read_ahead_in_buckets_unless_told_otherwise(config):
    assert not config.read_ahead
    in_bucket = config.store.model_copy(update={"root": "s3://bucket/out"})
    assert config.model_copy(update={"store": in_bucket}).read_ahead
    told = config.produce.model_copy(update={"read_ahead": True})
    ahead = config.model_copy(update={"produce": told})
    assert ahead.read_ahead
    apart, together = (plan_year(recipe_of(one), YEAR).memory for one in (config, ahead))
    assert together.total() > apart.total()
    assert together.meanwhile > apart.meanwhile == 0


def test_another_model_makes_another_version_beside_the_published_one(world, config):
    (old,) = run(config, None, Silent()).years
    before = tree_of(world / "out" / "products" / "glass-sm" / str(YEAR) / f"{old.version}.zarr")
    make_model(world, seed=1)
    (new,) = run(config, None, Silent()).years
    assert new.version != old.version
    assert new.made == BLOCKS
    pointer = read_pointer(config.layout, "glass-sm", YEAR)
    assert (pointer.version, pointer.history) == (new.version, (old.version,))
    kept = tree_of(world / "out" / "products" / "glass-sm" / str(YEAR) / f"{old.version}.zarr")
    assert kept == before


def test_a_version_left_unpublished_does_not_hide_the_published_one(world, config, monkeypatch):
    (old,) = run(config, None, Silent()).years

    def killed(*_):
        raise KeyboardInterrupt

    make_model(world, seed=1)
    with monkeypatch.context() as patch:
        patch.setattr(produce_stage, "write_pointer", killed)
        with pytest.raises(KeyboardInterrupt):
            run(config, None, Silent())
    make_model(world)
    (again,) = run(config, None, Silent()).years
    assert (again.version, again.made) == (old.version, 0)
    assert read_pointer(config.layout, "glass-sm", YEAR).version == old.version


def test_a_changed_driver_makes_another_version(world, config):
    (old,) = run(config, None, Silent()).years
    (world / "own").unlink()
    for source in ("mod11a1", "era5land", "terrain"):
        make_cube(world / "own" / source, source, shift=0.01 * (source == "mod11a1"))
    open_cube.cache_clear()
    (new,) = run(config, None, Silent()).years
    assert new.version != old.version


def test_one_more_tile_copies_the_unchanged_one(world, config):
    (old,) = run(config, None, Silent()).years
    (first,) = ledger_of(config).values()
    wider = config_of(write_run(world, tiles=(TILE, EAST)))
    plan = plan_year(recipe_of(wider), YEAR)
    assert [tile.state for tile in plan.tiles] == [State.COPY, State.NEW]
    (new,) = run(wider, None, Silent()).years
    assert new.version != old.version
    assert new.copied == BLOCKS
    assert new.made == new.blocks - BLOCKS > 0
    records = ledger_of(wider)
    assert [record.version for record in records.values()] == [new.version] * 2
    assert records[first.key].shards == first.shards


def test_only_the_tiles_and_years_to_produce_are_made(world):
    config = config_of(write_run(world, tiles=(TILE, EAST)), tiles=(EAST,), years=(YEAR,))
    config = config.model_copy(update={"years": (YEAR - 1, YEAR)})
    (year,) = run(config, None, Silent()).years
    assert year.year == YEAR
    pointer = read_pointer(config.layout, "glass-sm", YEAR)
    assert pointer is not None
    assert pointer.tiles == (EAST,)
    rows = [row.key.tile for row in status(config) if row.stage.startswith("produce")]
    assert rows == [EAST]
    assert verify(config, None, Silent()).tile_years == 1
    assert set(published_year(config, YEAR).tiles) == {EAST}


def test_a_run_that_would_hide_published_tiles_is_refused(world, config):
    run(config, None, Silent())
    with pytest.raises(UserError, match="readers would lose them"):
        run(config_of(write_run(world, tiles=(EAST,))), None, Silent())


@pytest.mark.parametrize("redo", ["missing", "all"])
@pytest.mark.parametrize("part", ["30x60+720+870", "60x60+722+870"])
def test_a_window_that_would_hide_published_pixels_is_refused(published, part, redo):
    config, before = published
    other = config.model_copy(
        update={"produce": config.produce.model_copy(update={"window": part})}
    )
    with pytest.raises(UserError) as caught:
        run(other, None, Silent(), redo=redo)
    for word in (PART, part, "readers would lose them", "`produce.window`", "`store.root`"):
        assert word in str(caught.value)
    assert read_pointer(config.layout, "glass-sm", YEAR) == before


def test_a_wider_window_replaces_a_narrower_one(world):
    narrow = config_of(world / "run.toml", window="30x60+720+870")
    (old,) = run(narrow, None, Silent()).years
    (new,) = run(config_of(world / "run.toml"), None, Silent()).years
    assert old.blocks < new.blocks == new.made == BLOCKS
    with pytest.raises(UserError, match="leaves out"):
        plan_year(recipe_of(narrow), YEAR)


def test_redo_all_writes_a_revision_with_the_same_values(config):
    (old,) = run(config, None, Silent()).years
    (first,) = ledger_of(config).values()
    (new,) = run(config, None, Silent(), redo="all").years
    assert new.version == f"{old.version}-r1"
    (second,) = ledger_of(config).values()
    assert second.shards == first.shards
    (again,) = run(config, None, Silent()).years
    assert (again.version, again.made) == (new.version, 0)


def test_two_runs_at_once_are_refused(config):
    with (
        hold(config.store.root, "glass-sm", 0.2, Silent()),
        pytest.raises(BusyError, match="is working on"),
    ):
        run(config, None, Silent())


def test_a_runner_that_lost_its_lease_writes_no_ledger_and_no_pointer(config, monkeypatch):
    real = making.run_block
    lease = open_objects(config.layout.lease("glass-sm"))

    def overtaken(task):
        lease.create("000002.json", b'{"beat_seconds": 1, "owner": "other:1"}')
        return real(task)

    monkeypatch.setattr(making, "run_block", overtaken)
    with pytest.raises(BusyError, match="taken over by other:1"):
        run(config, None, Silent())
    assert ledger_of(config) == {}
    assert read_pointer(config.layout, "glass-sm", YEAR) is None


def test_what_cannot_fit_a_worker_is_refused_with_numbers(config):
    plan = plan_year(recipe_of(config), YEAR)
    check_fits(plan, 2 * 2**30)
    with pytest.raises(PlanError, match=r"needs \d+ MiB .* a worker of 300 MiB leaves 240 MiB"):
        check_fits(plan, 300 * 2**20)


def test_each_thread_of_a_worker_needs_room_for_a_block_of_its_own(config):
    plan = plan_year(recipe_of(config), YEAR)
    room_for_one = int(plan.memory.total() / 0.8) + 2**20
    check_fits(plan, room_for_one)
    with pytest.raises(PlanError, match="making 2 blocks of 2019 at a time"):
        check_fits(plan, room_for_one, threads=2)


@pytest.mark.parametrize(("side", "is_advised"), [(150, False), (300, True)])
def test_smaller_blocks_are_advised_only_where_there_are_any(config, side, is_advised):
    config = config.model_copy(
        update={"produce": config.produce.model_copy(update={"block_pixels": side})}
    )
    with pytest.raises(PlanError, match=r"lower .*step_days") as caught:
        check_fits(plan_year(recipe_of(config), YEAR), 300 * 2**20)
    assert ("block_pixels" in str(caught.value)) == is_advised


def test_the_plan_counts_rows_bytes_and_requests(config):
    plan = plan_year(recipe_of(config), YEAR)
    land = sum(tile.land_pixels for tile in plan.tiles[0].blocks)
    assert plan.estimate.rows == 365 * land
    assert plan.estimate.bytes_written == BLOCKS * 365 * 150 * 150 * 4
    assert plan.estimate.requests > BLOCKS * 3
    assert plan.count(State.NEW) == 1
    run(config, None, Silent())
    done = plan_year(recipe_of(config), YEAR)
    assert (done.count(State.DONE), done.estimate.rows, done.is_published) == (1, 0, True)


def test_a_driver_in_other_units_is_refused_before_anything_is_written(world, config):
    (world / "own").unlink()
    for source in ("mod11a1", "era5land", "terrain"):
        make_cube(world / "own" / source, source)
    path = world / "own" / "mod11a1" / f"{YEAR}.zarr" / "lst_day" / "zarr.json"
    path.write_text(path.read_text().replace('"units": "K"', '"units": "degC"'))
    open_cube.cache_clear()
    with pytest.raises(CubeError, match="expected units 'K', found 'degC'"):
        run(config, None, Silent())
    assert not (world / "out" / "products").exists()


def test_a_model_of_other_columns_is_refused(world, config):
    other = config.model_copy(
        update={"train": config.train.model_copy(update={"features": ("lst_day", "elevation")})}
    )
    with pytest.raises(ModelError, match="missing era5land_soil_moisture"):
        run(other, None, Silent())


def test_the_ledger_of_a_published_year_is_not_written_anew(config):
    run(config, None, Silent())
    objects = open_objects(config.store.root)
    for info in [*objects.list("ledger"), *objects.list("receipts")]:
        objects.delete(info.key)
    with pytest.raises(IntegrityError, match="lost the records"):
        run(config, None, Silent())


def test_tasks_carry_urls_and_keys_only(config):
    plan = plan_year(recipe_of(config), YEAR)
    (tile,) = plan.tiles
    task = block_task(recipe_of(config), plan, tile, tile.blocks[0])
    assert task.name == f"produce-{TILE}-{YEAR}-b{tile.blocks[0].number:02d}"
    assert len(dumps(task)) < 20_000


def test_threads_of_the_lease_end_with_the_run(config):
    run(config, None, Silent())
    assert not [t for t in threading.enumerate() if t.name == "smcloud-lease"]
