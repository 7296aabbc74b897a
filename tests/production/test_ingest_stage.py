"""The ingest stage in one process: second runs, bad input, the ledger and the summary file."""

import json
import logging
import os
import stat
from dataclasses import replace

import pytest

from smcloud.core.config import RunConfig
from smcloud.core.errors import ConfigError, NotFoundError, StoreError, UserError
from smcloud.core.listener import Silent
from smcloud.core.objects import open_objects
from smcloud.grids.grid import SIN1KM, Window
from smcloud.grids.tiles import TileYear
from smcloud.production.drivers import extent_of
from smcloud.production.ingest_stage import IngestRequest, ingest_sources
from smcloud.production.ledger import Ledger
from smcloud.sources.registry import SOURCES
from tests.ingest.fakes import STEPS, FakeCoarse, FakeSource, fake_name, write_fakes

KEY = TileYear("sin1km", "h18v04", 2019)


class Told(Silent):
    """Keeps what it is told."""

    def __init__(self):
        self.warnings, self.notes, self.stages = [], [], []

    def begin(self, stage, total, unit):
        self.stages.append((stage, total))

    def warn(self, text):
        self.warnings.append(text)

    def note(self, text):
        self.notes.append(text)


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(SOURCES, "fake", FakeSource())
    monkeypatch.setitem(SOURCES, "fakecoarse", FakeCoarse())


@pytest.fixture
def granules(tmp_path):
    write_fakes(tmp_path / "in", STEPS)
    return tmp_path / "in"


def request(tmp_path, **changes):
    wanted = {"tiles": ("h18v04",), "years": (2019,), **changes}
    return IngestRequest("fake", str(tmp_path / "in"), str(tmp_path / "out"), **wanted)


def ingested(tmp_path, told=None, **changes):
    return ingest_sources([request(tmp_path, **changes)], None, told or Told())[0]


def test_a_second_run_reads_nothing_and_says_so(tmp_path, granules):
    first = ingested(tmp_path)
    assert (first.tasks, first.tasks_skipped, first.granules_read) == (2, 0, 23)
    told = Told()
    second = ingested(tmp_path, told)
    assert second.tasks_skipped == 2
    assert told.notes == ["fake: 2 of 2 tasks done by an earlier run"]
    assert (second.granules_read, second.bytes_written) == (23, first.bytes_written)


def two_sources(tmp_path, **changes):
    """Return requests for tiles of 16 days and for a coarse grid, from one folder."""
    coarse = "fakecoarse_2019-01-01_2019-03-31.txt"
    write_fakes(tmp_path / "in", STEPS)
    (tmp_path / "in" / coarse).write_text("fake")
    first = request(tmp_path)
    return [first, replace(first, source="fakecoarse", **changes)]


def test_sources_share_one_pool_and_keep_their_own_receipts_ledger_and_summary(tmp_path):
    told = Told()
    tiles, coarse = ingest_sources(two_sources(tmp_path), None, told)
    assert told.stages == [("ingest 2 sources", 4)]
    assert (tiles.source, tiles.tasks, tiles.granules_read) == ("fake", 2, 23)
    assert (coarse.source, coarse.tasks, coarse.granules_read) == ("fakecoarse", 2, 2)
    out = str(tmp_path / "out")
    for summary in (tiles, coarse):
        (record,) = Ledger(out, f"ingest/{summary.source}").records(2019).values()
        assert record.figures["granules"] == summary.granules_read
        assert record.figures["bytes_written"] == summary.bytes_written
        receipts = open_objects(f"{out}/receipts/ingest/{summary.source}/2019").list()
        assert len(receipts) == summary.tasks
    again = ingest_sources(two_sources(tmp_path), None, Told())
    assert [summary.tasks_skipped for summary in again] == [2, 2]


def test_no_source_is_read_before_all_are_planned(tmp_path):
    with pytest.raises(NotFoundError, match="no fakecoarse granule"):
        ingest_sources(two_sources(tmp_path, years=(2011,)), None, Told())
    assert not (tmp_path / "out").exists()


def test_a_product_to_compare_with_that_is_not_there_is_told_in_a_line(tmp_path):
    told = Told()
    asked = two_sources(tmp_path, years=(2011,))
    (found,) = ingest_sources(asked, None, told, optional={"fakecoarse"})
    assert found.source == "fake"
    (warning,) = (text for text in told.warnings if "fakecoarse" in text)
    assert warning.startswith(
        "fakecoarse: the maps are not compared with it: no fakecoarse granule"
    )
    assert "\n" not in warning


def test_only_the_slab_whose_granules_changed_is_done_again(tmp_path):
    write_fakes(tmp_path / "in", STEPS[:3])
    ingested(tmp_path)
    write_fakes(tmp_path / "in", [49])
    assert ingested(tmp_path).tasks_skipped == 1


def test_a_lost_shard_is_written_again(tmp_path):
    write_fakes(tmp_path / "in", [1])
    ingested(tmp_path)
    store = open_objects(str(tmp_path / "out/cubes/fake/2019.zarr"))
    before = store.get("lst_day/c/0/4/18")
    store.delete("lst_day/c/0/4/18")
    assert ingested(tmp_path).tasks_skipped == 1
    assert store.get("lst_day/c/0/4/18") == before


def test_redo_does_everything_again(tmp_path):
    write_fakes(tmp_path / "in", [1])
    ingested(tmp_path)
    assert ingested(tmp_path, redo=True).tasks_skipped == 0


def test_missing_damaged_and_replaced_granules_are_told_recorded_and_do_not_stop_the_run(
    tmp_path, caplog
):
    write_fakes(tmp_path / "in", STEPS[:-1])
    write_fakes(tmp_path / "in", [17], produced="2019001")
    (tmp_path / "in" / fake_name(33)).write_bytes(b"damaged")
    told = Told()
    summary = ingested(tmp_path, told)
    assert summary.missing == ("h18v04 2019-12-19",)
    assert [bad.name for bad in summary.damaged] == [fake_name(33)]
    assert summary.duplicates == (fake_name(17, produced="2019001"),)
    assert [any(word in text for text in told.warnings) for word in ("12-19", "A2019033")] == [
        True,
        True,
    ]
    folder, name = summary.report_url.rsplit("/", 1)
    text = open_objects(folder).get(name)
    assert text.endswith(b"}\n")
    report = json.loads(text)
    assert report["missing"] == ["h18v04 2019-12-19"]
    assert report["damaged"][0]["name"] == fake_name(33)
    assert any("1 step without a granule" in text for text in told.warnings)
    (damaged,) = [text for text in told.warnings if "damaged granule" in text]
    assert damaged.count(fake_name(33)) == 1
    assert not [log for log in caplog.records if log.levelno >= logging.WARNING]
    record = Ledger(str(tmp_path / "out"), "ingest/fake").records(2019)[KEY]
    assert record.problems[0] == "no granule for 2019-12-19"
    assert fake_name(33) in record.problems[1]
    assert len(record.shards) == 2


def test_the_ledger_gets_one_record_and_no_second_one_for_nothing(tmp_path):
    write_fakes(tmp_path / "in", [1])
    ingested(tmp_path)
    ledger = open_objects(str(tmp_path / "out/ledger/ingest/fake/2019"))
    before = ledger.list()
    ingested(tmp_path)
    assert [info.key for info in ledger.list()] == [info.key for info in before]


def test_points_pick_the_tiles_that_hold_them(tmp_path):
    write_fakes(tmp_path / "in", [1], tile="h18v04")
    write_fakes(tmp_path / "in", [1], tile="h25v05")
    summary = ingested(tmp_path, tiles=(), points=((1.0, 45.0),))
    assert {word.split()[0] for word in summary.missing} == {"h18v04"}
    with pytest.raises(UserError, match="no station lies in h25v05"):
        ingested(tmp_path, tiles=("h25v05",), points=((1.0, 45.0),))


def test_windows_to_produce_join_the_points(tmp_path):
    far, north = (1.0, 45.0), (1.2, 84.1)
    row, col = (int(index) for index in SIN1KM.pixel_of(*north))
    part = Window(row - 8, row + 8, col - 8, col + 8)
    for parts, shards in (
        ((), []),
        ((part,), [f"tp/c/{slab}/{row}/0" for slab in (0, 1) for row in (0, 1)]),
    ):
        _, coarse = two_sources(tmp_path, points=(far,), parts=parts, tiles=())
        ingest_sources([coarse], None, Told())
        stored = open_objects(str(tmp_path / "out/cubes/fakecoarse/2019.zarr")).list()
        assert sorted(i.key for i in stored if i.key.startswith("tp/c/")) == shards


def test_a_product_that_only_maps_are_compared_with_is_ingested_where_maps_are_made():
    run = {
        "product": "glass-sm",
        "years": [2018, 2019],
        "tiles": ["h18v04", "h25v05"],
        "store": {"root": "out"},
        "produce": {"tiles": ["h18v04"], "years": [2019]},
        "compare": {"products": ["cci_combined", "era5land"], "third": "smap_l3"},
    }
    everywhere, maps = (("h18v04", "h25v05"), (2018, 2019)), (("h18v04",), (2019,))
    config = RunConfig.model_validate(run)
    found = {name: extent_of(config, name) for name in ("cci_combined", "smap_l3", "era5land")}
    assert found == {"cci_combined": maps, "smap_l3": maps, "era5land": everywhere}
    selecting = RunConfig.model_validate({**run, "selection": {"use": True}})
    assert extent_of(selecting, "smap_l3") == everywhere


def test_an_unknown_source_is_refused_with_the_known_ones(tmp_path):
    wrong = IngestRequest("mod99", str(tmp_path), str(tmp_path / "out"))
    with pytest.raises(UserError, match=r"unknown source 'mod99': expected one of .*mod11a1"):
        ingest_sources([wrong], None, Told())


def test_an_absent_bucket_is_refused(tmp_path):
    with pytest.raises(NotFoundError, match="absent or empty"):
        ingested(tmp_path)


@pytest.mark.parametrize("changes", [{"tiles": ("h99v04",)}, {"years": (1066,)}])
def test_an_unknown_tile_or_year_is_refused(tmp_path, changes):
    write_fakes(tmp_path / "in", [1])
    with pytest.raises(ConfigError, match="unknown"):
        ingested(tmp_path, **changes)


def test_a_run_that_matches_nothing_says_what_was_found(tmp_path):
    write_fakes(tmp_path / "in", [1, 17], tile="h25v05")
    with pytest.raises(NotFoundError, match="found 2 of fake for h25v05, 2019-01-01 to 2019-02-01"):
        ingested(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_bucket_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    write_fakes(tmp_path / "in", [1])
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(StoreError, match="refused"):
        ingested(tmp_path)


def test_a_target_that_is_a_file_is_refused_before_any_work(tmp_path):
    write_fakes(tmp_path / "in", [1])
    (tmp_path / "out").write_text("a file, not a folder")
    told = Told()
    with pytest.raises(StoreError):
        ingested(tmp_path, told)
    assert told.warnings == []
