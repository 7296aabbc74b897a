"""Plain station CSV: series by probe, what missing looks like, the first wrong line by number."""

import numpy as np
import pytest

from smcloud.core.errors import GranuleError
from smcloud.sources.station_csv import csv_variable, read_station_csv

HEAD = "network,station,lat,lon,depth,time,value\n"
NAME = "babao_soil_moisture.csv"


def read(*rows, head=HEAD, name=NAME):
    return read_station_csv((head + "\n".join(rows) + "\n").encode(), name)


def test_names_tell_the_variable():
    assert csv_variable("x/Babao_Soil_Moisture.csv") == "sm"
    assert csv_variable("rain/precipitation.csv") == "p"
    assert csv_variable("NET_x_static_variables.csv") == ""
    assert csv_variable("soil_moisture.csv.bak") == ""


def test_rows_become_one_series_a_probe_in_order():
    series = read(
        "BABAO,WATERNET-2,38.1,100.3,0.04,2013-07-01T00:00,0.21",
        "BABAO,WATERNET-1,38.2,100.2,0.00-0.05,2013-07-01 01:00:00,0.25",
        "BABAO,WATERNET-1,38.2,100.2,0.00-0.05,2013-07-01T02:00Z,",
        "",
        "BABAO,WATERNET-1,38.2,100.2,0.00-0.05,2013-07-01T04:00+01:00,-9999",
    )
    first, second = series
    assert [one.station for one in series] == ["WATERNET-1", "WATERNET-2"]
    assert (first.depth_from, first.depth_to) == (0.0, 0.05)
    assert (second.depth_from, second.depth_to) == (0.04, 0.04)
    assert (first.latitude, first.longitude) == (38.2, 100.2)
    np.testing.assert_array_equal(first.values, np.array([0.25, np.nan, np.nan], np.float32))
    assert (
        first.times.tolist()
        == np.array(["2013-07-01T01", "2013-07-01T02", "2013-07-01T03"], "datetime64[s]").tolist()
    )
    assert set(first.flags) == {"U"}


def test_longitudes_of_either_habit_are_one():
    (one,) = read("N,S,-10.0,350.5,,2013-07-01,0.2")
    assert one.longitude == -9.5
    assert (one.depth_from, one.depth_to) == (0.0, 0.0)


GOOD = "N,S,10,20,0.05,2013-07-01,0.2"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("N,S,10,20,0.05,2013-07-41,0.2", "line 3: expected a UTC time .* found '2013-07-41'"),
        ("N,S,10,20,0.05,1913-07-01,0.2", "line 3: expected a UTC time of 1950 to 2099"),
        ("N,S,10,20,0.05,2013-07-02,wet", "line 3: expected a number in value, found 'wet'"),
        ("N,S,95,20,0.05,2013-07-02,0.2", "line 3: expected degrees from -90 to 90 in lat, found"),
        ("N,S,10,-200,0.05,2013-07-02,0.2", "line 3: expected degrees from -180 to 360 in lon"),
        ("N,S,10,,0.05,2013-07-02,0.2", "line 3: expected degrees .* in lon, found ''"),
        ("N,,10,20,0.05,2013-07-02,0.2", "line 3: expected a name in station"),
        ("N,S,10,20,deep,2013-07-02,0.2", "line 3: expected depth as 0.05 or 0.00-0.05"),
        ("\nN,S,10,20,0.05", "line 4: expected a UTC time"),
        ("N,S,11,20,0.40,2013-07-02,0.2", "line 3: expected N/S at 10, 20 .* line 2, found 11, 20"),
        (
            "N,S,10,20,0.05,2013-07-01,0.3",
            "line 3: expected each time .*01T00:00 again, .* line 2",
        ),
        ("N,S,10,20,0.05,2013-06-30,0.3", "line 3: .* 2013-06-30T00:00 after .* line 2: sort"),
        ("N,S,10,20,0.05,2013-07-02,0.2,x", "expected CSV"),
    ],
)
def test_the_first_wrong_line_is_named(row, message):
    with pytest.raises(GranuleError, match=message) as error:
        read(GOOD, row)
    assert NAME in str(error.value)
    assert "\n" not in str(error.value)


def test_probes_of_a_station_and_stations_have_times_of_their_own():
    series = read(
        GOOD,
        "N,S,10,20,0.10,2013-07-01,0.2",
        "N,T,10,20,0.05,2013-06-01,0.2",
        "N,S,10,20,0.05,2013-07-02,0.2",
    )
    assert [one.times.size for one in series] == [2, 1, 1]


def test_per_cent_and_metres_are_told_from_fractions_and_millimetres():
    wet = [
        f"N,S,10,20,0.05,2013-07-0{day},{value}" for day, value in ((1, 0.9), (2, 21.5), (3, 30))
    ]
    with pytest.raises(GranuleError, match=r"m3 m-3 .* median of 21.5: divide per cent by 100"):
        read(*wet)
    assert read(*wet[:2])[0].values.tolist() == pytest.approx([0.9, 21.5])  # a spike is no unit
    rain = [f"N,S,10,20,,2013-07-{day:02d},{day / 1000}" for day in range(1, 13)]
    with pytest.raises(GranuleError, match=r"in mm, found at most 0.012: multiply metres by 1000"):
        read(*rain, name="precipitation.csv")
    (traces,) = read(*rain[:9], name="precipitation.csv")
    assert traces.values.max() == np.float32(0.009)


def test_a_mark_before_the_first_column_is_no_part_of_it():
    (one,) = read_station_csv(b"\xef\xbb\xbf" + (HEAD + GOOD + "\r\n").encode(), NAME)
    assert one.network == "N"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected CSV"),
        (HEAD.encode(), "expected rows below the columns"),
        ((HEAD + "N,S,10,20,0.05,2013-07-02,0.2,x\n").encode(), "expected 7 values in each row"),
        (b"a,b\n1,2\n", "expected the columns network,station,.* found a,b"),
        (b"\xff\xfe\x00\x01", "expected CSV"),
    ],
)
def test_files_of_another_kind_are_named(content, message):
    with pytest.raises(GranuleError, match=message) as error:
        read_station_csv(content, NAME)
    assert "\n" not in str(error.value)
