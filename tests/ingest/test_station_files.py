"""Station archives: folders, zips, folders of zips; what is malformed is named and left out."""

import zipfile

import numpy as np
import pytest

from smcloud.core.errors import NotFoundError, UserError
from smcloud.ingest.station_files import find_station_files, read_station_files
from smcloud.ingest.stations import StationRules

RULES = StationRules()
STATIC = (
    "quantity_name;unit;depth_from[m];depth_to[m];value;description;quantity_source_name;\n"
    "clay fraction;% weight;0.00;0.30;23.00;;HWSD;\n"
    "climate classification;;;;Cfa;Temperate;koeppen_geiger_2007;\n"
)


def series_text(station="A", hours=48, flag="G", end="\r\n"):
    rows = [f"NET NET {station} 45.00000 1.00000 100.00 0.05 0.05 Probe-X"]
    rows += [
        f"{t.item():%Y/%m/%d %H:%M} 0.2000 {flag} M"
        for t in np.datetime64("2019-01-01T00", "s") + np.arange(hours) * np.timedelta64(3600, "s")
    ]
    return end.join(rows) + end


def name_of(station, variable="sm"):
    stem = f"NET_NET_{station}"
    return f"NET/{station}/{stem}_{variable}_0.050000_0.050000_Probe-X_20190101_20190102.stm"


def archive_files():
    return {
        name_of("A"): series_text("A"),
        "NET/A/NET_NET_A_static_variables.csv": STATIC,
        name_of("A", "ts"): series_text("A"),
        name_of("B"): series_text("B", flag="U", end="\r"),
        name_of("C"): "no good data here",
        "Metadata.xml": "<xml/>",
    }


def write_folder(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


def write_zip(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)


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
    assert part.other_variables == 1
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


def test_a_station_is_never_split_between_tasks_and_every_file_has_one(tmp_path):
    files = {name_of(f"S{number:02d}"): series_text() for number in range(20)}
    write_folder(tmp_path, files)
    tasks = find_station_files(str(tmp_path)).tasks
    assert len(tasks) == 3
    assert sorted(name for task in tasks for name in task.names) == sorted(files)


def test_a_damaged_zip_beside_a_good_one_is_named(tmp_path):
    write_zip(tmp_path / "good.zip", archive_files())
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 cut off")
    found = find_station_files(str(tmp_path))
    assert [bad.name for bad in found.broken] == ["bad.zip"]
    assert len(found.tasks) == 1


def test_a_zip_that_leaves_its_folder_stops_the_run(tmp_path):
    write_zip(tmp_path / "evil.zip", {"../../" + name_of("A"): series_text("A")})
    with pytest.raises(UserError, match="unsafe"):
        find_station_files(str(tmp_path / "evil.zip"))


def test_an_empty_folder_and_a_folder_without_series_are_told_apart(tmp_path):
    with pytest.raises(NotFoundError, match="absent or empty"):
        find_station_files(str(tmp_path / "nowhere"))
    write_folder(tmp_path, {"readme.txt": "hello"})
    with pytest.raises(UserError, match=r"found 1 other files, such as readme\.txt"):
        find_station_files(str(tmp_path))
