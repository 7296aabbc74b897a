"""Hourly values to daily means: flags, minimum cover of a day, range, order."""

import numpy as np
import pytest

from smcloud.core.errors import UserError
from smcloud.ingest.daily_means import (
    StationRules,
    is_accepted,
    needed_by_day,
    values_needed,
)
from tests.ingest.station_archives import daily_means

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


def every(hours, start, end):
    return np.arange(start, end, np.timedelta64(60 * hours, "m"), dtype="datetime64[m]")


def test_each_year_has_its_own_sampling_step():
    """Three-hourly first and hourly later: eight values make a day of 2017, none of 2018."""
    times = np.concatenate([every(3, "2017-01-01", "2018-01-01"), every(1, "2018-01-01", "2019")])
    series = daily_means(times, np.full(times.size, 0.2), flagged(times.size), RULES)
    assert series.days.size == 2 * 365
    is_third = times.astype("datetime64[h]").astype(int) % 3 == 0
    thin = daily_means(times, np.full(times.size, 0.2), np.where(is_third, "G", "D01"), RULES)
    assert set(thin.days.astype("datetime64[Y]").astype(int)) == {2017 - 1970}


def test_a_year_of_few_values_has_the_step_of_the_series():
    monthly = np.arange("2018-01", "2019-01", dtype="datetime64[M]").astype("datetime64[m]")
    times = np.concatenate([monthly, every(1, "2019-01-01", "2020-01-01")])
    series = daily_means(times, np.full(times.size, 0.2), flagged(times.size), RULES)
    assert str(series.days[0]) == "2019-01-01"
    days = times.astype("datetime64[D]")
    mixed = np.random.default_rng(1).permutation(times)
    needed = needed_by_day(mixed, np.unique(days), RULES)
    assert set(needed.tolist()) == {12}


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


def test_every_flag_of_a_day_is_kept_as_written():
    flags = np.array([*["G"] * 20, "D01,D03", "M", "M", "C01", *["U"] * 23, "D06"])
    series = daily_means(hourly(48), np.full(48, 0.2), flags, RULES)
    assert series.day_flags.tolist() == ["C01 D01,D03 G M", "D06 U"]


def test_flags_of_unknown_days_are_counted_and_their_days_are_absent():
    flags = np.repeat(["G", "D01"], 24)
    series = daily_means(hourly(48), np.full(48, 0.2), flags, RULES)
    assert series.day_flags.tolist() == ["G"]
    assert series.flags == {"D01": 24, "G": 24}


@pytest.mark.parametrize("seed", range(5))
def test_the_means_are_those_of_a_loop_over_days(seed):
    """Half-hours with gaps, doubles, shuffled rows and unknown values, by the slowest road."""
    rng = np.random.default_rng(seed)
    n = 600
    times = np.datetime64("2016-02-27", "s") + rng.integers(0, 20 * 48, n) * np.timedelta64(
        1800, "s"
    )
    values = np.where(rng.random(n) < 0.1, np.nan, rng.uniform(-0.1, 0.7, n)).astype(np.float32)
    flags = rng.choice(["G", "U", "D03", "G,U"], n)
    series = daily_means(times, values, flags, RULES)
    needed = values_needed(np.unique(times), RULES)
    seen, by_day = set(), {}
    for time, value, flag in zip(times.tolist(), values, flags, strict=True):
        is_new = time not in seen
        seen.add(time)
        if is_new and flag != "D03" and 0.0 <= value <= 0.6:
            by_day.setdefault(time.date(), []).append(value)
    known = {day: held for day, held in sorted(by_day.items()) if len(held) >= needed}
    assert series.days.tolist() == list(known)
    assert series.counts.tolist() == [len(held) for held in known.values()]
    means = [np.mean(held, dtype=np.float64) for held in known.values()]
    np.testing.assert_allclose(series.means, means, rtol=1e-6)


def test_sets_of_many_flags_are_told_apart():
    """Thirty kinds need four bytes a day, most of them zero."""
    kinds = [f"F{number:02d}" for number in range(29)]
    flags = np.array([flag for kind in kinds for flag in [kind, *["G"] * 23]])
    series = daily_means(hourly(29 * 24), np.full(29 * 24, 0.2), flags, RULES)
    assert series.day_flags.tolist() == [f"{kind} G" for kind in kinds]
