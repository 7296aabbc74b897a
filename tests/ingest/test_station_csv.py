"""Plain CSV beside ISMN's files: the same daily means, the same table of sensors."""

import numpy as np
import pytest

from smcloud.core.errors import UserError
from smcloud.ingest.daily_means import StationRules
from smcloud.ingest.station_files import find_station_files, read_station_files

HEAD = "network,station,lat,lon,depth,time,value\n"


def rows_of(station, day, values):
    return "".join(
        f"BABAO,{station},38.0,100.0,0.05,{day}T{hour:02d}:00,{value}\n"
        for hour, value in enumerate(values)
    )


def test_hours_of_a_csv_become_days_of_its_probes(tmp_path):
    text = (
        HEAD + rows_of("A", "2015-06-01", [0.2, 0.3] * 12) + rows_of("B", "2015-06-01", [0.1] * 5)
    )
    (tmp_path / "babao_soil_moisture.csv").write_text(text)
    found = find_station_files(str(tmp_path))
    (task,) = found.tasks
    read = read_station_files(task, StationRules())
    assert read.broken == ()
    a, b = read.sensors
    assert a.station_id == "BABAO/A/csv/0.050-0.050"
    np.testing.assert_array_equal(a.series.days, np.array(["2015-06-01"], "datetime64[D]"))
    np.testing.assert_allclose(a.series.means, [0.25])
    assert len(b.series.days) == 0


def test_a_broken_csv_is_named_and_the_others_are_read(tmp_path):
    (tmp_path / "good_soil_moisture.csv").write_text(HEAD + rows_of("A", "2015-06-01", [0.2] * 24))
    (tmp_path / "odd_soil_moisture.csv").write_text(HEAD + "N,S,1,2,0.05,never,0.2\n")
    found = find_station_files(str(tmp_path))
    reads = [read_station_files(task, StationRules()) for task in found.tasks]
    assert sum(len(read.sensors) for read in reads) == 1
    (bad,) = [bad for read in reads for bad in read.broken]
    assert "odd_soil_moisture.csv, line 2" in str(bad)


def test_rain_is_no_soil_moisture(tmp_path):
    (tmp_path / "precipitation.csv").write_text(HEAD + rows_of("A", "2015-06-01", [1.0] * 24))
    (tmp_path / "notes.txt").write_text("none")
    found = find_station_files(str(tmp_path))
    assert found.tasks == ()
    assert [one.file.name for one in found.rain] == ["precipitation.csv"]
    assert found.others == ("notes.txt",)


def test_other_csv_are_no_station_files(tmp_path):
    (tmp_path / "moisture.csv").write_text(HEAD)
    with pytest.raises(UserError, match=r"\*.stm or \*soil_moisture.csv"):
        find_station_files(str(tmp_path))
