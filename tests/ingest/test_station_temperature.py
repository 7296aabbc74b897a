"""Soil temperature of an archive: the shallowest series, flags of cold, hours of overpasses."""

import numpy as np
import pytest

from smcloud.core.errors import NotFoundError
from smcloud.ingest.station_temperature import at_overpass, read_soil_temperature
from tests.ingest.station_archives import name_of, series_text, write_folder


def text(station="A", depth=0.05, value="-1.5000", flag="G", longitude=1.0, hours=48):
    plain = series_text(station, hours=hours, flag=flag)
    head, rows = plain.split("\r\n", 1)
    head = head.replace(" 1.00000 ", f" {longitude:.5f} ")
    head = head.replace("0.05 0.05", f"{depth:.2f} {depth:.2f}")
    return head + "\r\n" + rows.replace(" 0.2000 ", f" {value} ")


def archive(tmp_path, files):
    write_folder(tmp_path, files)
    return str(tmp_path)


def test_the_shallowest_series_of_a_station_counts(tmp_path):
    url = archive(
        tmp_path,
        {
            name_of("A", "ts", "0.100000"): text(depth=0.10, value="4.0000"),
            name_of("A", "ts", "0.050000"): text(depth=0.05, value="-1.5000"),
            name_of("A", "ts", "0.500000"): text(depth=0.50, value="9.0000"),
            name_of("A", "sm"): series_text(),
            name_of("B", "ts", "0.500000"): text("B", depth=0.50),
        },
    )
    table, broken = read_soil_temperature(url)
    assert broken == ()
    assert set(table["station"]) == {"A"}
    assert set(table["temperature"]) == {np.float32(-1.5)}
    assert set(table["depth"]) == {0.05}
    assert len(table) == 48
    assert set(read_soil_temperature(url, deepest_m=0.6)[0]["station"]) == {"A", "B"}


@pytest.mark.parametrize(
    ("flag", "kept"),
    [("G", 48), ("U", 48), ("D01", 48), ("D01,D03", 48), ("D06", 0), ("D01,D06", 0), ("M", 0)],
)
def test_flags_that_say_that_it_is_cold_are_kept(flag, kept, tmp_path):
    url = archive(tmp_path, {name_of("A", "ts"): text(flag=flag)})
    assert len(read_soil_temperature(url)[0]) == kept


def test_missing_and_impossible_values_are_left_out(tmp_path):
    for value in ("-9999.0000", "95.0000"):
        url = archive(tmp_path / value, {name_of("A", "ts"): text(value=value)})
        assert read_soil_temperature(url)[0].empty


def test_a_malformed_file_is_named_and_the_others_are_read(tmp_path):
    url = archive(tmp_path, {name_of("A", "ts"): text(), name_of("B", "ts"): "nothing of ISMN"})
    table, broken = read_soil_temperature(url)
    assert set(table["station"]) == {"A"}
    assert [bad.name.rsplit("/", 1)[-1] for bad in broken] == [name_of("B", "ts").split("/")[-1]]


def test_an_archive_without_soil_temperature_is_refused(tmp_path):
    with pytest.raises(NotFoundError, match=r"no series of ts \(\*_ts_\*\.stm\) below"):
        read_soil_temperature(archive(tmp_path, {name_of("A", "sm"): series_text()}))


@pytest.mark.parametrize("longitude", [1.0, 85.0, 95.0, -170.0])
def test_overpasses_are_found_on_the_utc_day_of_the_pass(longitude, tmp_path):
    url = archive(tmp_path, {name_of("A", "ts"): text(longitude=longitude, hours=96)})
    table, _ = read_soil_temperature(url)
    table["temperature"] = np.arange(96.0)
    found = at_overpass(table, 6.0, within_hours=0.75)
    utc = (6.0 - longitude / 15.0) % 24.0
    for _, row in found.iterrows():
        number = (row["day"].to_datetime64() - np.datetime64("2019-01-01")) / np.timedelta64(1, "D")
        assert row["temperature"] == pytest.approx(24 * number + utc, abs=0.75)
    assert len(found) >= 3
