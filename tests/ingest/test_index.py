"""The granule index: one listing, newest production wins, duplicates are kept by name."""

from datetime import date

import pytest

from smcloud.core.errors import NotFoundError
from smcloud.ingest.index import (
    index_granules,
    list_bucket,
    read_index,
    what_was_found,
    write_index,
)
from tests.ingest.fakes import DAILY, FakeCoarse, FakeSource, fake_name, write_fakes

SOURCE = FakeSource(schema=DAILY)


def indexed(folder, source=SOURCE):
    return index_granules(source, str(folder), list_bucket(str(folder)))


def test_every_granule_is_found_below_the_url_with_its_key_and_size(tmp_path):
    write_fakes(tmp_path / "deep" / "down", [1, 2])
    index = indexed(tmp_path)
    assert [entry.granule.start for entry in index.granules] == [
        date(2019, 1, 1),
        date(2019, 1, 2),
    ]
    assert index.granules[0].key == f"deep/down/{fake_name(1)}"
    assert index.granules[0].size == 5
    assert index.tiles == ("h18v04",)


def test_the_newest_production_wins_and_the_older_one_is_recorded(tmp_path):
    write_fakes(tmp_path, [1], produced="2019010")
    write_fakes(tmp_path, [1], produced="2020300")
    write_fakes(tmp_path, [1], produced="2019300")
    index = indexed(tmp_path)
    assert [entry.granule.produced for entry in index.granules] == ["2020300"]
    assert [entry.granule.produced for entry in index.duplicates] == ["2019010", "2019300"]
    assert {entry.superseded_by for entry in index.duplicates} == {fake_name(1, produced="2020300")}


def test_one_file_in_two_folders_is_one_granule(tmp_path):
    write_fakes(tmp_path / "a", [1])
    write_fakes(tmp_path / "b", [1])
    index = indexed(tmp_path)
    assert len(index.granules) == 1
    assert len(index.duplicates) == 1


def test_files_that_are_not_cut_along_tiles_lie_beside_each_other(tmp_path):
    """Two files of one reanalysis period are two areas, not two versions; equal names are one."""
    source = FakeCoarse()
    name = "fakecoarse_2019-01-01_2019-01-31.txt"
    for path in (tmp_path / name, tmp_path / "twin" / name, tmp_path / "east" / f"east-{name}"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("fake")
    index = indexed(tmp_path, source)
    assert [entry.granule.name for entry in index.granules] == [f"east-{name}", name]
    assert len(index.duplicates) == 1


def test_a_modification_time_is_no_part_of_the_index(tmp_path):
    write_fakes(tmp_path, [1])
    before = indexed(tmp_path)
    (tmp_path / fake_name(1)).touch()
    assert indexed(tmp_path) == before


def test_the_index_survives_its_parquet_file(tmp_path):
    write_fakes(tmp_path / "in", [1, 2], produced="2019010")
    write_fakes(tmp_path / "in", [2], produced="2020300")
    index = indexed(tmp_path / "in")
    url = f"{tmp_path}/out/index/fake.parquet"
    write_index(index, url)
    assert read_index(url) == index


def test_an_absent_bucket_is_one_clear_line(tmp_path):
    with pytest.raises(NotFoundError, match="absent or empty"):
        list_bucket(str(tmp_path / "nowhere"))


def test_what_was_found_names_tiles_and_days(tmp_path):
    write_fakes(tmp_path, [1, 40])
    listing = list_bucket(str(tmp_path))
    told = what_was_found(indexed(tmp_path), listing, [SOURCE])
    assert told == "found 2 of fake for h18v04, 2019-01-01 to 2019-02-09"


def test_what_was_found_names_other_sources_and_strangers(tmp_path):
    write_fakes(tmp_path, [1])
    (tmp_path / "readme.txt").write_text("hello")
    other = FakeCoarse()
    listing = list_bucket(str(tmp_path))
    told = what_was_found(index_granules(other, str(tmp_path), listing), listing, [SOURCE, other])
    assert told == "found 1 of fake, 1 of no known source (readme.txt)"
