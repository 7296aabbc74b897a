"""Rain gauges as plain CSV: sums of days, days that are not known, files that are not read."""

import numpy as np

from smcloud.ingest.station_files import find_station_files
from smcloud.ingest.station_rain import (
    daily_rain,
    finished_rain,
    ingest_rain_file,
    read_rain,
    write_rain,
)
from smcloud.sources.station_csv import read_station_csv
from tests.trees import tree_of

HEAD = "network,station,lat,lon,depth,time,value\n"


def rain_of(text):
    return daily_rain(read_station_csv((HEAD + text).encode(), "precipitation.csv"))


def hours(day, values):
    return "".join(f"CMA,A,38,100,,{day}T{h:02d}:00,{v}\n" for h, v in enumerate(values))


def test_hours_add_up_to_days():
    table = rain_of(hours("2016-07-01", [0.5] * 24) + hours("2016-07-02", [0] * 24))
    np.testing.assert_allclose(table["rain"], [12.0, 0.0])
    assert table["day"].astype(str).tolist() == ["2016-07-01", "2016-07-02"]


def test_days_with_few_hours_are_unknown():
    text = hours("2016-07-01", [1] * 24) + hours("2016-07-02", [1] * 10 + [""] * 14)
    assert rain_of(text)["day"].astype(str).tolist() == ["2016-07-01"]


def test_rows_of_days_count_as_they_are_and_nonsense_is_unknown():
    text = "".join(f"CMA,B,38,100,,2016-07-0{d},{v}\n" for d, v in ((1, 3.5), (2, -1), (3, 9e3)))
    table = rain_of(text)
    assert table["rain"].tolist() == [3.5]


def rain_files(folder, files):
    """Return the tasks of rain files with these contents, header apart."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(HEAD + text)
    return find_station_files(str(folder)).rain


def ingested(folder, files):
    out = str(folder / "out")
    tasks = rain_files(folder / "in", files)
    return write_rain({task: ingest_rain_file(task, out) for task in tasks}, out)


def test_broken_files_are_named_and_others_read(tmp_path):
    files = {
        "a_precipitation.csv": "CMA,A,38,100,,2016-07-01,4.0\n",
        "b_precipitation.csv": "CMA,A,38,100,,never,4.0\n",
    }
    summary = ingested(tmp_path, files)
    assert (summary.stations, summary.days, summary.files) == (1, 1, 2)
    assert "b_precipitation.csv, line 2" in str(summary.broken[0])
    assert read_rain(str(tmp_path / "out"))["rain"].tolist() == [4.0]


def test_a_day_counts_once_and_a_station_that_moves_between_files_keeps_its_first_place(tmp_path):
    files = {
        "a_precipitation.csv": "CMA,A,38,100,,2016-07-01,4.0\n",
        "b_precipitation.csv": "CMA,A,38,100,,2016-07-01,5.0\nCMA,A,38,100,,2016-07-02,0.0\n",
        "c_precipitation.csv": "CMA,A,39,100,,2016-07-03,6.0\nCMA,B,39,100,,2016-07-03,7.0\n",
    }
    summary = ingested(tmp_path, files)
    table = read_rain(str(tmp_path / "out"))
    assert table["rain"].tolist() == [4.0, 0.0, 7.0]
    assert str(summary.broken[0]) == (
        "c_precipitation.csv: expected CMA/A at 38, 100 (latitude, longitude) as in the files "
        "before, found 39, 100"
    )


def test_a_file_that_has_not_changed_is_not_read_again(tmp_path):
    out = str(tmp_path / "out")
    files = {
        "a_precipitation.csv": "CMA,A,38,100,,2016-07-01,4.0\n",
        "b_precipitation.csv": "CMA,A,38,100,,never,4.0\n",
    }
    ingested(tmp_path, files)
    before = tree_of(tmp_path / "out")
    tasks = rain_files(tmp_path / "in", {})
    done = finished_rain(tasks, out)
    assert list(done) == list(tasks)  # why a file was left out is remembered too
    write_rain(done, out)
    assert tree_of(tmp_path / "out") == before
    part = next(receipt.part for receipt in done.values() if receipt.part)
    (tmp_path / "out" / part).unlink()
    assert [task.file.name for task in finished_rain(tasks, out)] == ["b_precipitation.csv"]
    mended = rain_files(tmp_path / "in", {"b_precipitation.csv": "CMA,B,38,100,,2016-07-01,1.0\n"})
    assert finished_rain(mended, out) == {}


def test_what_is_no_longer_there_leaves_nothing_behind(tmp_path):
    ingested(tmp_path, {"a_precipitation.csv": "CMA,A,38,100,,2016-07-01,4.0\n"})
    assert write_rain({}, str(tmp_path / "out")).days == 0
    assert tree_of(tmp_path / "out") == {}
    assert read_rain(str(tmp_path / "out")) is None
