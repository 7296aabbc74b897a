"""The plan of an ingest: tasks, slabs, missing steps, and a hash that knows what changed."""

from dataclasses import replace

import numpy as np
import pytest

from smcloud.core.errors import ConfigError, UserError
from smcloud.grids.tiles import TileYear
from smcloud.ingest.index import IndexedGranule, index_granules, list_bucket
from smcloud.ingest.plan import (
    PROCESS_BYTES,
    IngestTask,
    keys_of,
    plan_ingest,
    station_shards,
    station_tiles,
    task_bytes,
)
from smcloud.sources.base import Granule
from smcloud.sources.registry import SOURCES
from smcloud.sources.static_maps import STATIC_DAY
from tests.ingest.fakes import (
    COARSE,
    DAILY,
    FINE,
    FakeCoarse,
    FakeSource,
    fake_name,
    write_fakes,
)

SOURCE = FakeSource(schema=DAILY)
KEY = TileYear("sin1km", "h18v04", 2019)


def planned(folder, source=SOURCE, keys=(KEY,), **options):
    index = index_granules(source, str(folder), list_bucket(str(folder)))
    return plan_ingest(source, index, str(folder / "out"), keys, **options)


def test_a_daily_year_is_eight_tasks_of_46_days(tmp_path):
    write_fakes(tmp_path, range(1, 366))
    tasks = planned(tmp_path)
    assert [len(task.granules) for task in tasks] == [46] * 7 + [43]
    assert sum(len(task.missing) for task in tasks) == 0
    assert tasks[3].name == "ingest-fake-h18v04-2019-s03"


def test_days_without_a_granule_are_named(tmp_path):
    write_fakes(tmp_path, [1, 2, 4])
    first = planned(tmp_path)[0]
    assert first.missing[0] == "2019-01-03"
    assert len(first.missing) == 43


def test_a_day_lacks_its_granule_where_the_file_of_its_quality_is_absent(tmp_path):
    """MCD43D31 says how an albedo was inverted: the rule `all` does without, and leaves it out."""
    for code, day in (("61", 1), ("61", 2), ("31", 1), ("31", 3), ("40", 1)):
        (tmp_path / f"MCD43D{code}.A2019{day:03d}.061.2019040000000.hdf").touch()
    source = SOURCES["mcd43d61"]
    tasks = {rule: planned(tmp_path, source, quality=rule)[0] for rule in ("", "snow_free", "all")}
    assert [sorted({e.granule.scene for e in task.granules}) for task in tasks.values()] == [
        ["MCD43D31", "MCD43D61"],
        ["MCD43D31", "MCD43D40", "MCD43D61"],
        ["MCD43D61"],
    ]
    first_missing = [task.missing[0] for task in tasks.values()]
    assert first_missing == ["2019-01-02", "2019-01-02", "2019-01-03"]
    assert len(tasks[""].missing) == 15


def test_slabs_without_any_granule_are_written_too_so_that_readers_can_tell_loss(tmp_path):
    write_fakes(tmp_path, [1])
    tasks = planned(tmp_path)
    assert len(tasks) == 8
    assert [len(task.granules) for task in tasks] == [1] + [0] * 7


def test_a_tile_year_without_any_granule_has_no_task(tmp_path):
    write_fakes(tmp_path, [1])
    assert planned(tmp_path, keys=[TileYear("sin1km", "h18v04", 2020)]) == []
    assert planned(tmp_path, keys=[TileYear("sin1km", "h19v04", 2019)]) == []


def test_a_composite_belongs_to_the_year_it_starts_in(tmp_path):
    """The composite that starts on day 353 ends in January: it is no granule of the next year."""
    source = FakeSource(schema=FINE)
    write_fakes(tmp_path, range(1, 366, 16))
    tasks = planned(tmp_path, source)
    assert [len(task.granules) for task in tasks] == [12, 11]
    assert [task.missing for task in tasks] == [(), ()]
    assert planned(tmp_path, source, keys=[TileYear("sin1km", "h18v04", 2020)]) == []


def test_the_first_composite_of_the_next_year_is_none_of_this_one(tmp_path):
    """The last composite of 2019 is cut short on 31 December; the next begins the day after."""
    source = FakeSource(schema=FINE)
    write_fakes(tmp_path, range(1, 366, 16))
    (tmp_path / fake_name(1, year=2020)).write_text("300.0")
    tasks = planned(tmp_path, source)
    assert [len(task.granules) for task in tasks] == [12, 11]
    (first, *_) = planned(tmp_path, source, keys=[TileYear("sin1km", "h18v04", 2020)])
    assert len(first.granules) == 1


def coarse_folder(tmp_path, *spans):
    for start, end in spans:
        (tmp_path / f"fakecoarse_{start}_{end}.txt").write_text("fake")
    return tmp_path


def test_accumulated_values_bring_the_day_after_the_slab(tmp_path):
    """The total of 15 February, the last day of the first slab, lies in the file of the 16th."""
    folder = coarse_folder(tmp_path, ("2019-01-01", "2019-02-15"), ("2019-02-16", "2019-02-28"))
    key = TileYear("era5land", "globe", 2019)
    first, second = planned(folder, FakeCoarse(), [key])
    assert len(first.granules) == 2
    assert first.missing == ()
    assert [g.granule.start.isoformat() for g in second.granules] == ["2019-02-16"]


def test_a_month_that_spans_two_slabs_is_read_by_both(tmp_path):
    folder = coarse_folder(tmp_path, ("2019-02-01", "2019-02-28"))
    tasks = planned(folder, FakeCoarse(), [TileYear("era5land", "globe", 2019)])
    assert [len(task.granules) for task in tasks] == [1, 1]


def test_the_hash_knows_names_sizes_quality_and_schema_but_no_clock(tmp_path):
    write_fakes(tmp_path, [1, 2])
    task = planned(tmp_path)[0]
    (tmp_path / task.granules[0].key).touch()
    assert planned(tmp_path)[0].input_hash == task.input_hash
    assert planned(tmp_path, quality="all")[0].input_hash != task.input_hash
    assert replace(task, schema_version=2).input_hash != task.input_hash
    (tmp_path / task.granules[0].key).write_text("300.00")
    assert planned(tmp_path)[0].input_hash != task.input_hash
    write_fakes(tmp_path, [3])
    assert len(planned(tmp_path)[0].granules) == 3


def test_an_unknown_quality_rule_is_refused_with_the_known_ones(tmp_path):
    write_fakes(tmp_path, [1])
    with pytest.raises(UserError, match="expected good, all"):
        planned(tmp_path, quality="perfect")


def test_keys_are_the_tiles_asked_for_or_all_that_the_index_has(tmp_path):
    write_fakes(tmp_path, [1], tile="h18v04")
    write_fakes(tmp_path, [1], tile="h25v05")
    index = index_granules(SOURCE, str(tmp_path), list_bucket(str(tmp_path)))
    assert [str(key) for key in keys_of(SOURCE, [], [2019], index)] == [
        "sin1km/h18v04/2019",
        "sin1km/h25v05/2019",
    ]
    assert [key.tile for key in keys_of(SOURCE, ["h25v05"], [2019], index)] == ["h25v05"]
    coarse = keys_of(FakeCoarse(), ["h25v05"], [2019], index)
    assert [str(key) for key in coarse] == ["era5land/globe/2019"]


@pytest.mark.parametrize(("tiles", "years"), [(["h40v04"], [2019]), (["h18v04"], [1900])])
def test_unknown_tile_or_year_is_one_clear_line(tmp_path, tiles, years):
    write_fakes(tmp_path, [1])
    index = index_granules(SOURCE, str(tmp_path), list_bucket(str(tmp_path)))
    with pytest.raises(ConfigError, match="unknown"):
        keys_of(SOURCE, tiles, years, index)


def test_a_source_with_time_steps_needs_a_year(tmp_path):
    write_fakes(tmp_path, [1])
    index = index_granules(SOURCE, str(tmp_path), list_bucket(str(tmp_path)))
    with pytest.raises(UserError, match="--year"):
        keys_of(SOURCE, ["h18v04"], [], index)


def test_stations_pick_their_tile_on_the_fine_grid():
    lon, lat = np.array([1.0, 100.0]), np.array([45.0, 35.0])
    assert station_tiles(lon, lat) == ["h18v04", "h26v05"]
    assert station_shards(DAILY, lon, lat) == [(4, 18), (5, 26)]


def test_stations_near_the_edge_of_a_coarse_shard_need_both_sides():
    """Cells are interpolated: the neighbour's shard is read too; longitude is a circle."""
    assert station_shards(COARSE, np.array([3.0]), np.array([87.0])) == [(0, 0)]
    assert station_shards(COARSE, np.array([5.9]), np.array([87.0])) == [(0, 0), (0, 1)]
    assert station_shards(COARSE, np.array([0.0]), np.array([87.0])) == [(0, 0), (0, 59)]


def task_of(source, granules=()):
    grid = source.schema.grid
    key = TileYear(grid, "h18v04" if source.schema.on.is_fine else "globe", 2019)
    return IngestTask(source.name, key, 0, "in", "out", tuple(granules))


def test_memory_of_a_task_counts_every_packed_variable():
    packed = 46 * 1200 * 1200 * 2
    granule = 8 * 4 * 1200 * 1200
    assert task_bytes(SOURCE, task_of(SOURCE)) == 2 * packed + granule + PROCESS_BYTES


def test_memory_of_a_coarse_task_grows_with_the_small_layers_that_its_files_keep():
    passive, hourly = SOURCES["cci_passive"], SOURCES["era5land"]
    day = IndexedGranule(Granule("any", "globe", STATIC_DAY, STATIC_DAY, "", "any"), "any", 1, "")
    empty, slab = (task_bytes(passive, task_of(passive, [day] * n)) for n in (0, 46))
    assert slab - empty == 46 * 4 * 720 * 1440
    assert task_bytes(hourly, task_of(hourly, [day] * 46)) == task_bytes(hourly, task_of(hourly))


def test_every_source_fits_a_worker_of_two_gigabytes():
    day = IndexedGranule(Granule("any", "globe", STATIC_DAY, STATIC_DAY, "", "any"), "any", 1, "")
    for source in SOURCES.values():
        assert task_bytes(source, task_of(source, [day] * 46)) < 1.6 * 2**30, source.name
