"""Sensors and daily means as one Parquet data set: what is joined, stored, read back, removed."""

import io
import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from smcloud.core.errors import IntegrityError, NotFoundError, UserError
from smcloud.core.objects import open_objects
from smcloud.ingest.daily_means import StationRules
from smcloud.ingest.stations import (
    Sensor,
    daily_part,
    read_stations,
    sensor_files,
    station_points,
    surface_sensors,
    write_part,
    write_table,
)
from tests.ingest.station_archives import daily_means, write_stations

RULES = StationRules()


def probe(
    station="A",
    file="N_N_A_sm.stm",
    start="2019-01-01T00",
    hours=48,
    level=0.2,
    flag="G",
    **changes,
):
    times = np.datetime64(start, "m") + np.arange(hours) * np.timedelta64(60, "m")
    series = daily_means(times, np.full(hours, level), np.full(hours, flag), RULES)
    known = {"network": "N", "station": station, "sensor": "S", "latitude": 45.0, "longitude": 1.0}
    depths = {"elevation": 100.0, "depth_from": 0.05, "depth_to": 0.05}
    return Sensor(**{**known, **depths, "values": hours, "series": series, "file": file, **changes})


@pytest.fixture
def url(tmp_path):
    return tmp_path.as_uri()


def test_the_tables_have_a_row_a_sensor_and_a_row_a_known_day(url):
    stations, daily = write_stations([probe("B"), probe("A")], url)
    assert stations["station_id"].tolist() == ["N/A/S/0.050-0.050", "N/B/S/0.050-0.050"]
    assert stations["days"].tolist() == [2, 2]
    assert stations["flags"].tolist() == ['{"G": 48}'] * 2
    assert stations["last_day"].tolist() == [pd.Timestamp("2019-01-02")] * 2
    assert daily.columns.tolist() == ["station_id", "day", "soil_moisture", "count"]
    assert daily["station_id"].tolist() == [
        name for name in stations["station_id"] for _ in range(2)
    ]


def test_files_of_one_sensor_are_joined_and_the_first_wins_where_they_overlap(url):
    later = probe(file="b.stm", start="2019-01-02T00", level=0.4)
    stations, daily = write_stations([later, probe(file="a.stm")], url)
    assert len(stations) == 1
    assert stations["values"].tolist() == [96]
    assert json.loads(stations["flags"][0]) == {"G": 96}
    assert daily["day"].dt.day.tolist() == [1, 2, 3]
    np.testing.assert_allclose(daily["soil_moisture"], [0.2, 0.2, 0.4], rtol=1e-6)


def test_a_file_beside_its_own_zip_counts_once(url):
    copies = [probe(file="x/a.stm"), probe(file="y/a.stm")]
    stations, _ = write_stations(copies, url)
    assert stations["flags"].tolist() == ['{"G": 48}']
    (files,) = sensor_files(copies)
    assert files.copies == 1


def test_a_file_that_names_the_same_sensor_elsewhere_is_not_joined():
    near, far = probe(file="a.stm"), probe(file="b.stm", longitude=1.5, start="2019-02-01T00")
    (files,) = sensor_files([far, near])
    assert files.parts == (near,)
    assert files.elsewhere == (far,)


def test_static_variables_are_numbers_where_all_are(url):
    rows = [
        probe("A", static={"clay": "23.0", "climate": "Cfa"}),
        probe("B", static={"clay": "11", "climate": "12"}),
        probe("C"),
    ]
    stations, _ = write_stations(rows, url)
    assert stations["static_clay"].tolist()[:2] == [23.0, 11.0]
    assert stations["static_climate"].tolist()[:2] == ["Cfa", "12"]
    assert stations["static_clay"].isna().tolist() == [False, False, True]


def test_tables_survive_their_parquet_files_and_give_points(url):
    sensors = [probe("A"), probe("B", elevation=float("nan")), probe("C", longitude=2.0)]
    stations, daily = write_stations(sensors, url)
    again, daily_again = read_stations(url)
    pd.testing.assert_frame_equal(stations, again)
    pd.testing.assert_frame_equal(daily, daily_again)
    assert np.isnan(stations["elevation"][1])
    assert station_points(url) == ((1.0, 45.0), (2.0, 45.0))


def test_each_part_opens_alone_with_depths_and_flags(url, tmp_path):
    write_stations([probe("A"), probe("B", depth_to=0.1, flag="U")], url)
    frame = pd.read_parquet(tmp_path / "daily")
    assert frame.columns.tolist() == [
        "station_id",
        "depth_from",
        "depth_to",
        "day",
        "soil_moisture",
        "count",
        "flags",
    ]
    assert frame["depth_to"].tolist() == [0.05, 0.05, 0.1, 0.1]
    assert frame["flags"].tolist() == ["G", "G", "U", "U"]


def test_a_sensor_without_a_known_day_stays_in_the_table(url):
    stations, daily = write_stations([probe("A"), probe("B", hours=5)], url)
    assert stations["days"].tolist() == [2, 0]
    assert stations["first_day"].isna().tolist() == [False, True]
    assert set(daily["station_id"]) == {"N/A/S/0.050-0.050"}


def stored_in_parts(sensors, url, size):
    rows = []
    for at in range(0, len(sensors), size):
        part = daily_part(sensor_files(sensors[at : at + size]))
        write_part(part, url)
        rows += part.rows
    write_table(rows, url)


@pytest.mark.parametrize("size", [1, 3, 12])
def test_the_tables_do_not_depend_on_how_sensors_were_put_into_parts(url, tmp_path, size):
    sensors = [
        probe(f"S{number:02d}", hours=24 * number, level=0.1 + number / 100) for number in range(12)
    ]
    stored_in_parts(sensors[::-1], url, size)
    whole = write_stations(sensors, (tmp_path / "whole").as_uri())
    for found, expected in zip(read_stations(url), whole, strict=True):
        pd.testing.assert_frame_equal(found, expected)


def test_parts_hold_the_same_bytes_for_the_same_sensors():
    first, second = (daily_part(sensor_files([probe("B"), probe("A")])) for _ in range(2))
    assert first == second


def test_only_what_is_asked_is_read(url, monkeypatch):
    north = {"latitude": 52.0, "longitude": 5.0}  # h18v03; the others lie in h18v04
    sensors = [
        probe("A", start="2017-12-31T00"),
        probe("B", depth_to=0.3),
        probe("C", **north),
        probe("D", start="2020-05-01T00"),
    ]
    stored_in_parts(sensors, url, 1)
    read = []
    get = type(open_objects(url)).get
    monkeypatch.setattr(
        type(open_objects(url)), "get", lambda self, key: read.append(key) or get(self, key)
    )
    stations, daily = read_stations(url, years=(2018,), tiles=("h18v04",), maximum_depth_m=0.05)
    assert stations["station"].tolist() == ["A", "D"]
    assert daily["day"].tolist() == [pd.Timestamp("2018-01-01")]
    assert len([key for key in read if key.startswith("daily/")]) == 1
    stations, daily = read_stations(url, tiles=("h18v03",))
    assert stations["station"].tolist() == ["C"]
    assert len(daily) == 2
    assert read_stations(url, years=())[1].empty


def test_all_sensors_of_a_station_lie_in_the_tile_of_the_first(url):
    sensors = [probe("A"), probe("A", sensor="T", latitude=52.0)]
    write_stations(sensors, url)
    assert len(read_stations(url, tiles=("h18v04",))[0]) == 2
    assert read_stations(url, tiles=("h18v03",))[0].empty


def test_parts_of_an_earlier_archive_are_removed_once_the_table_is_written(url):
    write_stations([probe("A"), probe("OLD")], url)
    write_stations([probe("A")], url)
    assert len(open_objects(url).list("daily")) == 1
    assert read_stations(url)[0]["station"].tolist() == ["A"]


def test_a_damaged_part_a_lost_one_and_an_old_layout_are_told_apart(url):
    write_stations([probe("A")], url)
    target = open_objects(url)
    (info,) = target.list("daily")
    target.put(info.key, target.get(info.key)[:-200])
    with pytest.raises(IntegrityError, match=r"is damaged: .*smcloud ingest ismn --redo"):
        read_stations(url)
    target.delete(info.key)
    with pytest.raises(NotFoundError, match=r"no object .*daily/"):
        read_stations(url)
    stations = pd.read_parquet(io.BytesIO(target.get("stations.parquet")))
    old = stations.drop(columns=["part", "row_group"])
    target.put("stations.parquet", old.to_parquet(index=False))
    with pytest.raises(UserError, match="of an earlier version"):
        read_stations(url)


def test_a_row_group_holds_one_sensor(url, tmp_path):
    write_stations([probe("A"), probe("B", hours=1), probe("C", hours=72)], url)
    (path,) = (tmp_path / "daily").iterdir()
    metadata = pq.ParquetFile(path).metadata
    assert [metadata.row_group(group).num_rows for group in range(2)] == [2, 3]
    assert metadata.num_row_groups == 2


def test_surface_sensors_are_those_that_end_within_two_inches(url):
    rows = [probe(str(d), depth_from=0.0, depth_to=d) for d in (0.05, 0.0508, 0.1)]
    stations, _ = write_stations(rows, url)
    assert surface_sensors(stations, 0.05)["depth_to"].tolist() == [0.05, 0.0508]


def test_no_sensor_gives_empty_tables_of_the_same_columns(url):
    stations, daily = write_stations([], url)
    assert "station_id" in stations
    assert daily.columns.tolist() == ["station_id", "day", "soil_moisture", "count"]
