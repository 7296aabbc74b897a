"""Station files as they are found in the wild."""

import zipfile
from datetime import datetime

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from smcloud.core.errors import GranuleError
from smcloud.sources.ismn import read_static, read_stm, site_of, variable_of
from smcloud.sources.station_rows import read_rows

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


def test_files_name_their_site_whatever_the_spelling():
    assert site_of(f"MAQU/CST-01/{NAME}") == "maqu/cst-01"
    assert site_of(NAME.replace("CST-01", "CST_01")) == "maqu/cst-01"
    assert site_of("MAQU/CST-01/MAQU_MAQU_CST-01_static_variables.csv") == "maqu/cst-01"
    assert site_of("static_variables.csv") == site_of("station.stm") == ""


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1899/12/31 23:00 0.5 U M", "expected dates from 1950 to 2099, found 1899-12-31T23:00"),
        ("2100/01/01 00:00 0.5 U M", "expected dates from 1950 to 2099, found 2100-01-01T00:00"),
        ("2019/02/29 00:00 0.5 U M", "expected YYYY/MM/DD HH:MM at row 2, found '2019/02/29"),
        ("2008/07/01 01:000.5 U M", "expected YYYY/MM/DD HH:MM at row 2"),
        ("2008/07/01 0", "expected YYYY/MM/DD HH:MM at row 2, found '2008/07/01 0'"),
        ("2008/07/01 01:00", "found rows without, such as '2008/07/01 01:00' at row 2; .* cut off"),
        ("2008/07/01 01:00 1.2.3 U M", "expected a number and a flag in each row, .*at row 2"),
        ("2008/07/01 01:00 1e U M", "expected a number and a flag"),
        ("2008/07/01 01:00 nan U M", "expected a number and a flag"),
        ("2008/07/01 01:00 - U M", "expected a number and a flag"),
    ],
)
@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_the_row_that_stops_a_file_is_told(row, message, end):
    good = "2008/07/01 00:00 0.5 U M"
    with pytest.raises(GranuleError, match=message):
        read_stm(end.join([f"{HEADER} X", good, row]).encode(), NAME)


def test_a_file_of_too_many_kinds_of_flags_is_none_of_ismns():
    rows = [f"2008/07/01 00:{n % 60:02d} 0.5 F{n} M" for n in range(1001)]
    with pytest.raises(GranuleError, match="more than 1,000 kinds by row 1001"):
        read_stm(header_file(rows=rows), NAME)


def test_a_ceop_file_that_ends_within_a_row_is_refused():
    whole = ceop_file("\r").strip()
    assert read_stm(whole, CEOP_NAME).values.size == 2
    assert read_stm(whole[: whole.rindex(b" M")], CEOP_NAME).values.size == 2  # its own flag only
    for cut in (10, 40, 60):
        with pytest.raises(GranuleError, match="at row 2"):
            read_stm(whole[: len(whole) // 2 + cut], CEOP_NAME)


@settings(max_examples=300, deadline=None)
@example(1.4318114779023688e-300)
@given(
    st.one_of(
        st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-900, max_value=1e6),
        st.floats(-800, 1e30, allow_nan=False),
    )
)
def test_values_are_those_that_python_reads(value):
    text = f"{value}".lower()
    found = read_rows(f"2008/07/01 00:00 {text} U M".encode(), 0, b"", 0)
    np.testing.assert_allclose(found.values, [float(text)], rtol=1.2e-15, atol=1e-300)
    digits = sum(map(str.isdigit, text.partition("e")[0]))
    if digits <= 15 and "e" not in text:
        assert found.values[0] == float(text)


@given(
    st.datetimes(min_value=datetime(1950, 1, 1), max_value=datetime(2099, 12, 31)),
    st.sampled_from(["\n", "\r", " \r\n", "\n\n", "   \n"]),
)
def test_times_are_those_of_the_calendar(time, end):
    text = f"{time:%Y/%m/%d %H:%M} 0.1 G M{end}"
    found = read_stm(f"{HEADER} X\n{text}{text}".encode(), NAME)
    expected = np.datetime64(time.replace(second=0, microsecond=0), "s")
    assert found.times.tolist() == [expected.item()] * 2


def test_twenty_four_hours_are_the_next_day():
    found = read_stm(header_file(rows=("2008/02/29 24:00 0.5 U M",)), NAME)
    assert found.times.astype(str).tolist() == ["2008-03-01T00:00:00"]


def test_a_folder_and_a_zip_hold_the_same_kind_of_series(sample_files):
    for archive in sample_files("ismn"):
        found = read_archive(archive)
        assert len(found) == 2
        for series in found:
            assert series.values.size == 96
            assert int(np.isnan(series.values).sum()) == 1
            assert {"M", "C03", "D01,D03"} < set(series.flags.tolist())


def read_archive(path):
    if path.is_dir():
        return [read_stm(file) for file in sorted(path.rglob("*.stm"))]
    with zipfile.ZipFile(path) as package:
        names = [name for name in package.namelist() if name.endswith(".stm")]
        return [read_stm(package.read(name), name) for name in names]
