"""Station files to daily means: flags, minimum cover of a day, range, and broken files."""

import numpy as np
import pandas as pd
import pytest

from smcloud.core.errors import UserError
from smcloud.ingest.stations import (
    Sensor,
    StationRules,
    daily_means,
    is_accepted,
    read_stations,
    station_frames,
    station_points,
    surface_sensors,
    values_needed,
    write_stations,
)

RULES = StationRules()


def hourly(hours, start="2019-01-01T00"):
    return np.datetime64(start, "m") + np.arange(hours) * np.timedelta64(60, "m")


def flagged(size, flag="G"):
    return np.full(size, flag)


def test_a_day_is_the_mean_of_its_accepted_hours():
    times = hourly(48)
    values = np.where(np.arange(48) < 24, 0.2, 0.3)
    series = daily_means(times, values, flagged(48), RULES)
    assert series.days.tolist() == [np.datetime64(d).item() for d in ("2019-01-01", "2019-01-02")]
    np.testing.assert_allclose(series.means, [0.2, 0.3], rtol=1e-6)
    assert series.counts.tolist() == [24, 24]


@pytest.mark.parametrize(("good_hours", "known_days"), [(12, 1), (11, 0)])
def test_a_day_with_too_few_hours_is_unknown(good_hours, known_days):
    flags = np.where(np.arange(24) < good_hours, "G", "D01")
    series = daily_means(hourly(24), np.full(24, 0.2), flags, RULES)
    assert series.days.size == known_days


def test_old_files_without_any_g_keep_their_u_values():
    """Trap T8: downloads from before 2013 hold U where newer ones hold G."""
    series = daily_means(hourly(24), np.full(24, 0.2), flagged(24, "U"), RULES)
    assert series.counts.tolist() == [24]


def test_a_combined_flag_counts_as_written_and_is_not_accepted():
    """Trap T8: flags combine with commas."""
    flags = np.where(np.arange(24) % 2 == 0, "D01,D03", "G")
    series = daily_means(hourly(24), np.full(24, 0.2), flags, RULES)
    assert series.flags == {"D01,D03": 12, "G": 12}
    assert series.counts.tolist() == [12]
    assert is_accepted("G,U", RULES)
    assert not is_accepted("G,D03", RULES)
    assert not is_accepted("", RULES)


def test_values_out_of_range_and_unknown_ones_are_left_out_of_the_mean():
    values = np.full(24, 0.2)
    values[:3] = [-0.01, 0.61, np.nan]
    series = daily_means(hourly(24), values, flagged(24), RULES)
    assert series.out_of_range == 2
    assert series.counts.tolist() == [21]
    np.testing.assert_allclose(series.means, [0.2], rtol=1e-6)


def test_a_repeated_time_counts_once_with_its_first_value():
    times = np.concatenate([hourly(24), hourly(24)])
    values = np.concatenate([np.full(24, 0.2), np.full(24, 0.5)])
    series = daily_means(times, values, flagged(48), RULES)
    assert series.repeated == 24
    np.testing.assert_allclose(series.means, [0.2], rtol=1e-6)


@pytest.mark.parametrize(
    ("step_minutes", "needed"), [(60, 12), (30, 24), (20, 36), (180, 4), (1440, 1)]
)
def test_the_minimum_follows_the_sampling_step(step_minutes, needed):
    times = np.datetime64("2019-01-01", "m") + np.arange(100) * np.timedelta64(step_minutes, "m")
    assert values_needed(times, RULES) == needed


def test_gaps_do_not_change_the_sampling_step():
    times = np.concatenate([hourly(30), hourly(30, "2019-06-01T00")])
    assert values_needed(times, RULES) == 12


def test_order_of_the_rows_does_not_matter():
    order = np.random.default_rng(3).permutation(72)
    times, values = hourly(72), np.linspace(0.1, 0.4, 72)
    straight = daily_means(times, values, flagged(72), RULES)
    mixed = daily_means(times[order], values[order], flagged(72), RULES)
    np.testing.assert_allclose(straight.means, mixed.means, rtol=1e-6)


def test_an_empty_file_gives_no_day():
    none = np.array([], dtype="datetime64[m]")
    series = daily_means(none, np.array([]), np.array([], dtype="U4"), RULES)
    assert series.days.size == 0
    assert series.flags == {}


@pytest.mark.parametrize("rules", [{"accepted_flags": ()}, {"minimum_hours": 0}])
def test_rules_that_keep_nothing_are_refused(rules):
    with pytest.raises(UserError):
        StationRules(**rules)


def probe(station="A", file="N_N_A_sm.stm", start="2019-01-01T00", **changes):
    hours = 48
    series = daily_means(hourly(hours, start), np.full(hours, 0.2), flagged(hours), RULES)
    known = {"network": "N", "station": station, "sensor": "S", "latitude": 45.0, "longitude": 1.0}
    depths = {"elevation": 100.0, "depth_from": 0.05, "depth_to": 0.05}
    return Sensor(**{**known, **depths, "values": hours, "series": series, "file": file, **changes})


def test_the_tables_have_a_row_a_sensor_and_a_row_a_known_day():
    stations, daily = station_frames([probe("B"), probe("A")])
    assert stations["station_id"].tolist() == ["N/A/S/0.050-0.050", "N/B/S/0.050-0.050"]
    assert stations["days"].tolist() == [2, 2]
    assert stations["flags"].tolist() == ['{"G": 48}'] * 2
    assert daily.columns.tolist() == ["station_id", "day", "soil_moisture", "count"]
    assert len(daily) == 4


def test_files_of_one_sensor_are_joined_and_the_first_wins_where_they_overlap():
    later = probe(file="b.stm", start="2019-01-02T00")
    stations, daily = station_frames([later, probe(file="a.stm")])
    assert len(stations) == 1
    assert stations["values"].tolist() == [96]
    assert daily["day"].dt.day.tolist() == [1, 2, 3]


def test_a_file_beside_its_own_zip_counts_once():
    stations, _ = station_frames([probe(file="x/a.stm"), probe(file="y/a.stm")])
    assert stations["flags"].tolist() == ['{"G": 48}']


def test_static_variables_are_numbers_where_all_are():
    rows = [
        probe("A", static={"clay": "23.0", "climate": "Cfa"}),
        probe("B", static={"clay": "11", "climate": "12"}),
        probe("C"),
    ]
    stations, _ = station_frames(rows)
    assert stations["static_clay"].tolist()[:2] == [23.0, 11.0]
    assert stations["static_climate"].tolist()[:2] == ["Cfa", "12"]
    assert stations["static_clay"].isna().tolist() == [False, False, True]


def test_tables_survive_their_parquet_files_and_give_points(tmp_path):
    stations, daily = write_stations(
        [probe("A"), probe("B"), probe("C", longitude=2.0)], tmp_path.as_uri()
    )
    again, daily_again = read_stations(tmp_path.as_uri())
    pd.testing.assert_frame_equal(stations, again)
    pd.testing.assert_frame_equal(daily, daily_again)
    assert station_points(tmp_path.as_uri()) == ((1.0, 45.0), (2.0, 45.0))


def test_surface_sensors_are_those_that_end_within_two_inches():
    rows = [probe(str(d), depth_from=0.0, depth_to=d) for d in (0.05, 0.0508, 0.1)]
    stations, _ = station_frames(rows)
    assert surface_sensors(stations, 0.05)["depth_to"].tolist() == [0.05, 0.0508]


def test_no_sensor_gives_empty_tables_of_the_same_columns():
    stations, daily = station_frames([])
    assert "station_id" in stations
    assert daily.columns.tolist() == ["station_id", "day", "soil_moisture", "count"]
