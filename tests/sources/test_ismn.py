"""Station files as they are found in the wild."""

import numpy as np
import pytest

from smcloud.core.errors import GranuleError
from smcloud.sources.archive import open_archive
from smcloud.sources.ismn import read_static, read_stm, variable_of

NAME = "MAQU_MAQU_CST-01_sm_0.050000_0.050000_ECH20-EC-TM_20070101_20131231.stm"
HEADER = "MAQU       MAQU            CST_01            33.88330   102.13330 3431.00    0.05    0.05"
ROWS = (
    "2008/07/01 00:00   0.5000 C03 M",
    "2008/07/01 01:00 -9999.0000 M M",
    "2008/07/01 02:00   0.3100 D01,D03 M",
    "2008/07/01 03:00   0.3000 U M",
)
CEOP_NAME = "OLD_OLD_Site_sm_0.050000_0.050000_ThetaProbe-ML2X_20070101_20070131.stm"


def header_file(end: str = "\r\n", sensor: str = "ECH20-EC-TM", rows=ROWS) -> bytes:
    return (end.join([f"{HEADER} {sensor}", *rows]) + end).encode()


def ceop_file(end: str = " \r", place: str = "OLD        OLD             Site") -> bytes:
    where = f"{place}             43.15000     2.95670  112.00    0.05    0.05"
    rows = [
        f"2007/01/01 01:00 2007/01/01 01:00 {where}   0.2140 U M",
        f"2007/01/01 02:00 2007/01/01 02:00 {where} -999.9900 M M",
    ]
    return (end.join(rows) + end).encode()


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", " \r", " \r\n"])
def test_t08_all_line_ends_are_read(end):
    found = read_stm(header_file(end), NAME)
    assert found.times.astype(str).tolist() == [f"2008-07-01T0{hour}:00:00" for hour in range(4)]
    np.testing.assert_array_equal(found.values, np.array([0.5, np.nan, 0.31, 0.3], np.float32))
    assert read_stm(ceop_file(end), CEOP_NAME).times.size == 2


def test_t08_combined_flags_stay_as_they_are():
    assert read_stm(header_file(), NAME).flags.tolist() == ["C03", "M", "D01,D03", "U"]


def test_t08_both_numbers_for_missing_are_unknown():
    assert np.isnan(read_stm(header_file(), NAME).values).tolist() == [False, True, False, False]
    assert np.isnan(read_stm(ceop_file(), CEOP_NAME).values).tolist() == [False, True]


@pytest.mark.parametrize(
    "sensor", ["Hydraprobe-Analog-(2.5-Volt)", "Hydraprobe Analog [#2]", "n.s.", "A, B (2.5 Volt)"]
)
def test_t08_names_of_sensors_hold_spaces_brackets_and_hashes(sensor):
    assert read_stm(header_file(sensor=sensor), NAME).sensor == sensor


def test_t08_station_names_are_those_of_the_content_not_of_the_path():
    found = read_stm(header_file(), f"MAQU/CST-01/{NAME}")
    assert (found.network, found.station) == ("MAQU", "CST_01")
    assert (found.latitude, found.longitude, found.elevation) == (33.8833, 102.1333, 3431.0)
    hashed = NAME.replace("CST-01", "AdamsRanch#1")
    assert read_stm(header_file(), hashed).file == hashed


def test_ceop_files_take_their_sensor_from_the_name_and_may_have_spaces_in_the_station():
    assert read_stm(ceop_file(), CEOP_NAME).sensor == "ThetaProbe-ML2X"
    spaced = read_stm(ceop_file(place="OLD  OLD  Site by the river"), CEOP_NAME)
    assert spaced.station == "Site by the river"
    assert spaced.values[0] == np.float32(0.214)


def test_depths_of_the_name_are_more_exact_than_those_of_the_header():
    exact = NAME.replace("0.050000_0.050000", "0.050800_0.050800")
    assert read_stm(header_file(), exact).depth_to == 0.0508


def test_a_missing_elevation_is_unknown():
    content = header_file().replace(b"3431.00", b"-999.99")
    assert np.isnan(read_stm(content, NAME).elevation)


def test_only_names_of_series_have_a_variable():
    assert variable_of(f"MAQU/CST-01/{NAME}") == "sm"
    assert variable_of(NAME.replace("_sm_", "_ts_")) == "ts"
    assert variable_of("MAQU_static_variables.csv") == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no good data here", "expected an ISMN station file"),
        (b"", "expected an ISMN station file"),
        (header_file(rows=()), "expected rows of time, value and flag, found none"),
        (header_file(rows=("2008/07/01 00:00 0.5 U M", "rubbish and more")), "at row 2"),
        (header_file(rows=("2008/13/01 00:00 0.5 U M",)), "expected YYYY/MM/DD HH:MM at row 1"),
        (header_file(rows=("2008/07/01 00:00 wet U M",)), "expected a number and a flag"),
        (header_file(rows=("2008/07/01 00:00 0.5 U M", "2008/07/01 01:00 0.4")), "found rows w"),
        (header_file().replace(b"33.88330", b"133.88330"), "latitude within 90 degrees"),
        (header_file().replace(b" 0.05 ", b" 0.20 ").replace(b"0.05 E", b"0.20 E"), "the depth of"),
    ],
)
def test_malformed_files_are_refused_in_one_line(content, message):
    with pytest.raises(GranuleError, match=message) as error:
        read_stm(content, NAME)
    assert str(error.value).startswith(NAME)
    assert "\n" not in str(error.value)


def test_a_name_that_is_none_of_ismns_is_refused():
    with pytest.raises(GranuleError, match="expected a name like NETWORK_NETWORK_STATION"):
        read_stm(header_file(), "station.stm")


def test_another_station_further_down_a_ceop_file_is_refused():
    content = ceop_file() + ceop_file(place="OLD        OLD             Else")
    with pytest.raises(GranuleError, match="expected one station and depth in the file"):
        read_stm(content, CEOP_NAME)


def test_static_variables_hold_classes_and_bare_quotes():
    text = (
        "quantity_name;unit;depth_from[m];depth_to[m];value;description;quantity_source_name;\r\n"
        'clay fraction;% weight;0.00;0.30;23.00;;HWSD 30";\r\n'
        "climate classification;;;;Cfa;Temperate;koeppen_geiger_2007;\r\n"
        "organic carbon;% weight;-99.90;-99.90;0.59;;insitu;\r\n"
    )
    clay, climate, carbon = read_static(text.encode(), "static_variables.csv")
    assert (clay.name, clay.value, clay.depth_to, clay.source) == (
        "clay fraction",
        "23.00",
        0.3,
        'HWSD 30"',
    )
    assert climate.value == "Cfa"
    assert np.isnan(carbon.depth_from)
    with pytest.raises(GranuleError, match="expected the column 'quantity_name'"):
        read_static(b"a;b;c\n1;2;3\n", "static_variables.csv")


def test_a_folder_and_a_zip_hold_the_same_kind_of_series(sample_files):
    for archive in sample_files("ismn"):
        members = open_archive(archive, suffixes=(".stm",))
        assert len(members) == 2
        for member in members:
            series = read_stm(member.read(), member.name)
            assert series.values.size == 96
            assert int(np.isnan(series.values).sum()) == 1
            assert {"M", "C03", "D01,D03"} < set(series.flags.tolist())
