"""The ingest stage in one process: second runs, bad input, the ledger and the summary file."""

import json
import logging
import os
import stat

import pytest

from smcloud.core.errors import ConfigError, NotFoundError, StoreError, UserError
from smcloud.core.listener import Silent
from smcloud.core.objects import open_objects
from smcloud.grids.tiles import TileYear
from smcloud.production.ingest_stage import IngestRequest, ingest_source
from smcloud.production.ledger import Ledger
from smcloud.sources.registry import SOURCES
from tests.ingest.fakes import STEPS, FakeCoarse, FakeSource, fake_name, write_fakes

KEY = TileYear("sin1km", "h18v04", 2019)


class Told(Silent):
    """Keeps what it is told."""

    def __init__(self):
        self.warnings, self.notes = [], []

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
    return ingest_source(request(tmp_path, **changes), None, told or Told())


def test_a_second_run_reads_nothing_and_says_so(tmp_path, granules):
    first = ingested(tmp_path)
    assert (first.tasks, first.tasks_skipped, first.granules_read) == (2, 0, 23)
    told = Told()
    second = ingested(tmp_path, told)
    assert second.tasks_skipped == 2
    assert told.notes == ["2 of 2 tasks done by an earlier run"]
    assert (second.granules_read, second.bytes_written) == (23, first.bytes_written)


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


def test_an_unknown_source_is_refused_with_the_known_ones(tmp_path):
    wrong = IngestRequest("mod99", str(tmp_path), str(tmp_path / "out"))
    with pytest.raises(UserError, match=r"unknown source 'mod99': expected one of .*mod11a1"):
        ingest_source(wrong, None, Told())


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
