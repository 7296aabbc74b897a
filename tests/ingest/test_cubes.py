"""An ingest task: granules in, whole shards and a receipt out, whatever the granules are like."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from smcloud.core.errors import GranuleError
from smcloud.core.objects import open_objects
from smcloud.cube.store import create_store, hash_values, open_cube
from smcloud.grids.grid import ERA5LAND, Window
from smcloud.grids.tiles import TileYear
from smcloud.ingest.cubes import Block, ingest_slab, known_box, window_of
from smcloud.ingest.index import index_granules, list_bucket
from smcloud.ingest.plan import plan_ingest
from smcloud.ingest.receipts import finished, read_receipt
from smcloud.sources.registry import SOURCES
from tests.ingest.fakes import COARSE, FINE, FakeCoarse, FakeSource, fake_name, write_fakes

KEY = TileYear("sin1km", "h18v04", 2019)
CORNER = Window(KEY.window.row0, KEY.window.row0 + 2, KEY.window.col0, KEY.window.col0 + 3)
GLOBE = TileYear("era5land", "globe", 2019)


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(SOURCES, "fake", FakeSource())
    monkeypatch.setitem(SOURCES, "fakecoarse", FakeCoarse())


def planned(folder, source, keys, **options):
    index = index_granules(source, str(folder / "in"), list_bucket(str(folder / "in")))
    tasks = plan_ingest(source, index, str(folder / "out"), keys, **options)
    create_store(tasks[0].cube_url, source.schema, 2019)
    return tasks


def first_task(folder):
    return planned(folder, FakeSource(), [KEY])[0]


def stored(task):
    return {info.key for info in open_objects(task.cube_url).list()}


def first_values(task, steps):
    return open_cube(task.cube_url, FINE, 2019).read_physical("lst_day", slice(0, steps), CORNER)


def test_days_land_on_their_steps_and_absent_days_stay_unknown(tmp_path):
    write_fakes(tmp_path / "in", [1], value=300.0)
    write_fakes(tmp_path / "in", [33], value=290.0)
    task = first_task(tmp_path)
    receipt = ingest_slab(task)
    values = first_values(task, 4)
    np.testing.assert_allclose(values[[0, 2], 1, 2], [300.0, 290.0], atol=0.01)
    assert np.isnan(values[[1, 3]]).all()
    assert receipt.granules_read == 2
    assert receipt.missing[0] == "2019-01-17"


def test_a_damaged_granule_is_named_and_the_rest_is_written(tmp_path):
    write_fakes(tmp_path / "in", [1, 17])
    (tmp_path / "in" / fake_name(17)).write_bytes(b"damaged")
    task = first_task(tmp_path)
    receipt = ingest_slab(task)
    (bad,) = receipt.damaged
    assert bad.name == fake_name(17)
    assert "expected a number" in bad.reason
    values = first_values(task, 2)
    assert np.isfinite(values[0]).all()
    assert np.isnan(values[1]).all()


def test_a_granule_damaged_at_its_end_leaves_nothing_behind(tmp_path):
    write_fakes(tmp_path / "in", [1, 17])
    (tmp_path / "in" / fake_name(17)).write_text("300 cut off")
    task = first_task(tmp_path)
    receipt = ingest_slab(task)
    assert [bad.name for bad in receipt.damaged] == [fake_name(17)]
    assert np.isnan(first_values(task, 2)[1]).all()


def test_a_granule_that_begins_between_the_steps_is_named(tmp_path):
    write_fakes(tmp_path / "in", [1, 18])
    receipt = ingest_slab(first_task(tmp_path))
    (bad,) = receipt.damaged
    assert bad.name == fake_name(18)
    assert "no step of the cube begins on 2019-01-18" in bad.reason


def test_a_granule_that_vanished_since_the_listing_is_named(tmp_path):
    write_fakes(tmp_path / "in", [1, 17])
    task = first_task(tmp_path)
    (tmp_path / "in" / fake_name(17)).unlink()
    receipt = ingest_slab(task)
    assert [bad.name for bad in receipt.damaged] == [fake_name(17)]
    assert receipt.granules_read == 1


def test_a_slab_without_granules_writes_shards_in_which_nothing_is_known(tmp_path):
    write_fakes(tmp_path / "in", [1])
    last = planned(tmp_path, FakeSource(), [KEY])[-1]
    receipt = ingest_slab(last)
    assert set(receipt.shards) <= stored(last)
    cube = open_cube(last.cube_url, FINE, 2019)
    assert np.isnan(cube.read_physical("lst_day", slice(12, 23), CORNER)).all()


def test_a_second_run_writes_the_same_bytes(tmp_path):
    write_fakes(tmp_path / "in", [1, 17])
    task = first_task(tmp_path)
    first = ingest_slab(task)
    objects = open_objects(task.cube_url)
    before = {key: objects.get(key) for key in first.shards}
    second = ingest_slab(task)
    assert first.shards == second.shards
    assert before == {key: objects.get(key) for key in second.shards}


def test_the_receipt_holds_the_hash_of_the_decoded_values(tmp_path):
    write_fakes(tmp_path / "in", [1])
    task = first_task(tmp_path)
    receipt = ingest_slab(task)
    ((key, sha256),) = receipt.shards.items()
    values = open_cube(task.cube_url, FINE, 2019).read("lst_day", slice(0, 12), KEY.window)
    assert key == "lst_day/c/0/4/18"
    assert sha256 == hash_values(values)
    assert read_receipt(task) == receipt


def test_what_is_finished_knows_changed_inputs_and_lost_shards(tmp_path):
    write_fakes(tmp_path / "in", [1])
    task = first_task(tmp_path)
    assert finished([task], {task.cube_url: stored(task)}) == []
    ingest_slab(task)
    keys = {task.cube_url: stored(task)}
    assert [receipt.task for receipt in finished([task], keys)] == [task.name]
    assert finished([task], {}) == []
    assert finished([replace(task, quality="all")], keys) == []
    open_objects(task.receipts_url).put(task.receipt_key, b"{broken")
    assert finished([task], keys) == []


def coarse_tasks(tmp_path, *spans, **options):
    (tmp_path / "in").mkdir()
    for start, end in spans:
        (tmp_path / "in" / f"fakecoarse_{start}_{end}.txt").write_text("fake")
    return planned(tmp_path, FakeCoarse(), [GLOBE], **options)


def test_a_coarse_source_writes_only_the_shards_that_its_files_reach(tmp_path):
    """Rows 58 to 61 lie across the edge of two shards of 60 rows."""
    tasks = coarse_tasks(tmp_path, ("2019-01-01", "2019-02-15"), ("2019-02-16", "2019-02-28"))
    receipt = ingest_slab(tasks[0])
    assert sorted(receipt.shards) == ["tp/c/0/0/0", "tp/c/0/1/0"]
    cube = open_cube(tasks[0].cube_url, COARSE, 2019)
    values = cube.read_physical("tp", slice(0, 46), Window(57, 62, 9, 15))
    assert np.isnan(values[:, 0]).all()
    assert np.isnan(values[:, :, 0]).all()
    # Day d holds the value at the first instant of day d + 1, the last from the next file.
    np.testing.assert_allclose(values[:, 1, 1], np.arange(46) + 1, atol=0.01)


def test_a_file_that_breaks_while_it_is_read_is_found_and_left_out(tmp_path):
    tasks = coarse_tasks(tmp_path, ("2019-01-01", "2019-02-15"), ("2019-02-16", "2019-02-28"))
    (tmp_path / "in" / tasks[0].granules[1].key).write_text("fake, damaged inside")
    receipt = ingest_slab(tasks[0])
    (bad,) = receipt.damaged
    assert bad.name == "fakecoarse_2019-02-16_2019-02-28.txt"
    assert "cannot decompress" in bad.reason
    assert receipt.granules_read == 1
    cube = open_cube(tasks[0].cube_url, COARSE, 2019)
    values = cube.read_physical("tp", slice(0, 46), Window(58, 59, 10, 11))[:, 0, 0]
    np.testing.assert_allclose(values[:45], np.arange(45) + 1, atol=0.01)
    assert np.isnan(values[45])


def test_only_the_shards_asked_for_are_written(tmp_path):
    tasks = coarse_tasks(tmp_path, ("2019-01-01", "2019-02-15"), only_shards=[(1, 0)])
    assert sorted(ingest_slab(tasks[0]).shards) == ["tp/c/0/1/0"]


def test_the_box_of_the_known_holds_all_of_it():
    values = np.full((5, 6), np.nan, np.float32)
    assert known_box(values) is None
    values[1, 2] = values[3, 4] = 1.0
    assert known_box(values) == (slice(1, 4), slice(2, 5))


def test_a_dataset_off_the_grid_is_refused():
    shifted = xr.Dataset(coords={"latitude": ERA5LAND.y[:3] + 0.03, "longitude": ERA5LAND.x[:3]})
    with pytest.raises(GranuleError, match="consecutive pixel centres"):
        window_of(ERA5LAND, shifted)


def test_a_variable_in_other_units_is_refused():
    block = Block.unknown(FINE, CORNER, np.array(["2019-01-01"], "datetime64[D]"))
    grid = FINE.on
    found = xr.Dataset(
        {"lst_day": (("time", "y", "x"), np.full((1, 2, 3), 20.0), {"units": "degC"})},
        {
            "time": np.array(["2019-01-01"], "datetime64[ns]"),
            "y": grid.y[CORNER.row0 : CORNER.row1],
            "x": grid.x[CORNER.col0 : CORNER.col1],
        },
    )
    with pytest.raises(GranuleError, match="expected units 'K', found 'degC'"):
        block.place(FINE, found)
