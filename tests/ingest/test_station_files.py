"""Station archives: folders, zips, folders of zips; what is malformed is named and left out."""

import zipfile

import pytest

from smcloud.core.errors import NotFoundError, UserError
from smcloud.core.objects import open_objects
from smcloud.ingest.daily_means import StationRules
from smcloud.ingest.station_files import find_station_files, read_station_files
from smcloud.ingest.station_receipts import finished, ingest_station_files, remove_others
from tests.ingest.station_archives import STATIC, name_of, series_text, write_folder, write_zip

RULES = StationRules()


def archive_files():
    return {
        name_of("A"): series_text("A"),
        "NET/A/NET_NET_A_static_variables.csv": STATIC,
        name_of("A", "ts"): series_text("A"),
        name_of("B"): series_text("B", flag="U", end="\r"),
        name_of("C"): "no good data here",
        "Metadata.xml": "<xml/>",
    }


@pytest.fixture(params=["folder", "zip", "folder of zips"])
def archive(request, tmp_path):
    if request.param == "folder":
        write_folder(tmp_path / "in", archive_files())
        return str(tmp_path / "in")
    write_zip(tmp_path / "in" / "download.zip", archive_files())
    return str(tmp_path / "in" / ("download.zip" if request.param == "zip" else ""))


def read_all(url):
    found = find_station_files(url)
    return found, [read_station_files(task, RULES) for task in found.tasks]


def test_soil_moisture_series_are_read_wherever_they_lie(archive):
    found, (part,) = read_all(archive)
    assert [sensor.station for sensor in part.sensors] == ["A", "B"]
    assert [sensor.series.counts.tolist() for sensor in part.sensors] == [[24, 24], [24, 24]]
    assert found.other_variables == 1
    assert found.others == ("Metadata.xml",)


def test_a_malformed_file_is_named_and_the_rest_is_read(archive):
    _, (part,) = read_all(archive)
    (bad,) = part.broken
    assert bad.name == name_of("C")
    assert "expected an ISMN station file" in bad.reason


def test_static_variables_belong_to_the_station_of_their_folder(archive):
    _, (part,) = read_all(archive)
    assert part.sensors[0].static == {
        "clay_fraction_0.00_0.30_hwsd": "23.00",
        "climate_classification_koeppen_geiger_2007": "Cfa",
    }
    assert part.sensors[1].static == {}


def test_static_variables_of_several_stations_in_one_folder_are_told_apart_by_name(tmp_path):
    files = {name.rsplit("/", 1)[-1]: text for name, text in archive_files().items()}
    files["NET_NET_B_static_variables.csv"] = STATIC.replace("23.00", "7.00")
    write_folder(tmp_path, files)
    _, (part,) = read_all(str(tmp_path))
    clay = [sensor.static["clay_fraction_0.00_0.30_hwsd"] for sensor in part.sensors]
    assert clay == ["23.00", "7.00"]


def test_malformed_static_variables_are_named_once_and_the_series_are_read(tmp_path):
    files = archive_files() | {
        "NET/A/NET_NET_A_static_variables.csv": "a;b\n1;2\n",
        name_of("A", depth="0.200000"): series_text("A").replace("0.05 0.05", "0.20 0.20"),
    }
    write_folder(tmp_path, files)
    _, (part,) = read_all(str(tmp_path))
    assert [sensor.depth_to for sensor in part.sensors] == [0.05, 0.2, 0.05]
    names = [bad.name for bad in part.broken]
    assert names.count("NET/A/NET_NET_A_static_variables.csv") == 1


def test_a_station_is_never_split_between_tasks_and_every_file_has_one(tmp_path):
    files = {name_of(f"S{number:02d}"): series_text() for number in range(20)}
    write_folder(tmp_path, files)
    tasks = find_station_files(str(tmp_path)).tasks
    assert len(tasks) == 3
    assert sorted(name for task in tasks for name in task.names) == sorted(files)


def test_files_of_a_station_are_one_task_even_from_two_zips(tmp_path):
    years = {year: name_of("A").replace("2019", year) for year in ("2018", "2019")}
    for year, name in years.items():
        write_zip(tmp_path / f"{year}.zip", {name: series_text("A", start=f"{year}-01-01T00")})
    _, (part,) = read_all(str(tmp_path))
    assert [sensor.file for sensor in part.sensors] == [years["2018"], years["2019"]]
    receipt = ingest_station_files(
        find_station_files(str(tmp_path)).tasks[0], RULES, str(tmp_path / "out")
    )
    (row,) = receipt.rows
    assert (row["days"], row["first_day"], row["last_day"]) == (4, "2018-01-01", "2019-01-02")


def test_tasks_are_the_same_for_a_folder_and_its_zip(tmp_path):
    files = {
        name_of(f"S{number:02d}", network=network): series_text(f"S{number:02d}", network=network)
        for number in range(11)
        for network in ("AA", "BB")
    }
    write_folder(tmp_path / "in", files)
    write_zip(tmp_path / "in.zip", files)
    plain, packed = (find_station_files(str(tmp_path / name)).tasks for name in ("in", "in.zip"))
    assert [task.names for task in plain] == [task.names for task in packed]
    assert [len(task.names) for task in plain] == [8, 3, 8, 3]
    parts = [
        [ingest_station_files(task, RULES, str(tmp_path / "out")).part for task in tasks]
        for tasks in (plain, packed)
    ]
    assert parts[0] == parts[1]


def test_large_stations_get_tasks_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr("smcloud.ingest.station_files.BYTES_A_TASK", 2500)
    write_folder(tmp_path, {name_of(f"S{number}"): series_text() for number in range(4)})
    size = len(series_text())
    assert 1250 < size < 2500
    assert [len(task.names) for task in find_station_files(str(tmp_path)).tasks] == [1] * 4


def test_a_damaged_zip_beside_a_good_one_is_named(tmp_path):
    write_zip(tmp_path / "good.zip", archive_files())
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 cut off")
    found = find_station_files(str(tmp_path))
    assert [bad.name for bad in found.broken] == ["bad.zip"]
    assert len(found.tasks) == 1


def test_a_zip_inside_a_zip_is_named(tmp_path):
    write_zip(tmp_path / "inner.zip", archive_files())
    inner = (tmp_path / "inner.zip").read_bytes()
    (tmp_path / "inner.zip").unlink()
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as package:
        package.writestr("deep/inner.zip", inner)
    with pytest.raises(UserError, match=r"outer\.zip/deep/inner\.zip: .*found a zip inside a zip"):
        find_station_files(str(tmp_path / "outer.zip"))
    write_folder(tmp_path, archive_files())
    found = find_station_files(str(tmp_path))
    assert [bad.name for bad in found.broken] == ["outer.zip/deep/inner.zip"]
    assert len(found.tasks) == 1


def test_a_zip_that_leaves_its_folder_stops_the_run(tmp_path):
    write_zip(tmp_path / "evil.zip", {"../../" + name_of("A"): series_text("A")})
    with pytest.raises(UserError, match="unsafe"):
        find_station_files(str(tmp_path / "evil.zip"))


def test_an_empty_folder_an_empty_zip_and_one_without_series_are_told_apart(tmp_path):
    with pytest.raises(NotFoundError, match="absent or empty"):
        find_station_files(str(tmp_path / "nowhere"))
    write_zip(tmp_path / "void.zip", {})
    with pytest.raises(NotFoundError, match=r"void\.zip: .*or the zip is"):
        find_station_files(str(tmp_path / "void.zip"))
    write_folder(tmp_path / "text", {"readme.txt": "hello"})
    with pytest.raises(UserError, match=r"found 1 other files, such as readme\.txt"):
        find_station_files(str(tmp_path / "text"))
    write_folder(tmp_path / "warm", {name_of("A", "ts"): series_text("A")})
    with pytest.raises(UserError, match="0 files are malformed, 1 hold other variables"):
        find_station_files(str(tmp_path / "warm"))


def test_a_file_too_large_to_be_a_series_is_named(tmp_path):
    write_folder(tmp_path, archive_files())
    huge = tmp_path / name_of("HUGE")
    huge.parent.mkdir(parents=True)
    with huge.open("wb") as file:
        file.truncate(600 * 1024 * 1024)  # a hole: no disk is used
    (bad,) = find_station_files(str(tmp_path)).broken
    assert bad.name == name_of("HUGE")
    assert "expected at most 536,870,912" in bad.reason


def test_a_file_that_went_away_after_the_listing_is_named(tmp_path):
    write_folder(tmp_path, archive_files())
    (task,) = find_station_files(str(tmp_path)).tasks
    (tmp_path / name_of("B")).unlink()
    read = read_station_files(task, RULES)
    assert [sensor.station for sensor in read.sensors] == ["A"]
    assert name_of("B") in {bad.name for bad in read.broken}


def tasks_done(folder, out, rules=RULES):
    tasks = find_station_files(str(folder)).tasks
    done = finished(tasks, rules, str(out))
    for task in tasks:
        ingest_station_files(task, rules, str(out))
    return len(done), len(tasks)


def test_a_task_is_done_until_a_file_of_its_or_a_rule_changes(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    write_folder(folder, {name_of(f"S{number:02d}"): series_text() for number in range(10)})
    assert tasks_done(folder, out) == (0, 2)
    assert tasks_done(folder, out) == (2, 2)
    write_folder(folder, {name_of("S09"): series_text(flag="U")})
    assert tasks_done(folder, out) == (1, 2)
    assert tasks_done(folder, out, StationRules(minimum_hours=18)) == (0, 2)


def test_a_receipt_without_its_part_or_cut_short_does_not_count(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    write_folder(folder, archive_files())
    (task,) = find_station_files(str(folder)).tasks
    receipt = ingest_station_files(task, RULES, str(out))
    assert finished([task], RULES, str(out)) == {task: receipt}
    target = open_objects(str(out))
    (info,) = target.list("receipts")
    whole = target.get(info.key)
    target.put(info.key, whole[:50])
    assert finished([task], RULES, str(out)) == {}
    target.put(info.key, whole)
    target.delete(receipt.part)
    assert finished([task], RULES, str(out)) == {}
    remove_others([], RULES, str(out))
    assert target.list("receipts") == []


def test_a_task_without_a_usable_file_leaves_nothing(tmp_path):
    write_folder(tmp_path / "in", {name_of("C"): "no good data here"})
    (task,) = find_station_files(str(tmp_path / "in")).tasks
    receipt = ingest_station_files(task, RULES, str(tmp_path / "out"))
    assert [bad.name for bad in receipt.broken] == [name_of("C")]
    assert not (tmp_path / "out").exists()


def test_a_file_that_stands_elsewhere_than_its_sensor_is_named(tmp_path):
    names = [name_of("A"), name_of("A").replace("20190102", "20190103")]
    texts = [series_text("A"), series_text("A").replace("45.00000", "46.00000")]
    write_folder(tmp_path / "in", dict(zip(names, texts, strict=True)))
    (task,) = find_station_files(str(tmp_path / "in")).tasks
    receipt = ingest_station_files(task, RULES, str(tmp_path / "out"))
    assert len(receipt.rows) == 1
    (bad,) = receipt.broken
    assert bad.name == names[1]
    assert "expected the place of" in bad.reason
    assert "found 46.0, 1.0" in bad.reason
