"""Rain gauges as plain CSV: sums of days, days that are not known, files that are not read."""

import numpy as np

from smcloud.ingest.station_rain import daily_rain, ingest_rain, read_rain
from smcloud.sources.station_csv import read_station_csv

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


def test_an_archive_without_gauges_has_no_table(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/soil_moisture.csv").write_text(HEAD)
    assert ingest_rain(str(tmp_path / "in"), str(tmp_path / "out")) is None
    assert read_rain(str(tmp_path / "out")) is None


def test_broken_files_are_named_and_others_read(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a_precipitation.csv").write_text(HEAD + "CMA,A,38,100,,2016-07-01,4.0\n")
    (tmp_path / "in/b_precipitation.csv").write_text(HEAD + "CMA,A,38,100,,never,4.0\n")
    summary = ingest_rain(str(tmp_path / "in"), str(tmp_path / "out"))
    assert (summary.stations, summary.days) == (1, 1)
    assert "b_precipitation.csv, line 2" in str(summary.broken[0])
    assert read_rain(str(tmp_path / "out"))["rain"].tolist() == [4.0]
