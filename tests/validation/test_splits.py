"""Splits whose sets share nothing that would flatter a score."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smcloud.core.errors import ConfigError, ModelError, UserError
from smcloud.validation.splits import (
    SETS,
    SPLIT_KINDS,
    Samples,
    Split,
    SplitRules,
    check_leakage,
    locate,
    ranked,
    split_samples,
)

HONEST = [kind for kind in SPLIT_KINDS if kind != "random"]
RULES = SplitRules(block_degrees=1.0, folds=4, gap_days=20, seed=11)
DAYS = np.arange("2015-01-01", "2019-01-01", 9, dtype="datetime64[D]")


def stations_over(n: int, seed: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    names = np.array([f"net/{number:03d}" for number in range(n)])
    return names, rng.uniform(40.0, 48.0, n), rng.uniform(-2.0, 12.0, n)


def table(n: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    names, lat, lon = stations_over(n)
    rows = np.repeat(np.arange(n), DAYS.size)
    return names[rows], np.tile(DAYS, n), lat[rows], lon[rows]


@pytest.fixture(scope="module")
def samples() -> Samples:
    return locate(*table(), block_degrees=RULES.block_degrees)


@pytest.mark.parametrize("kind", SPLIT_KINDS)
def test_four_sets_are_disjoint_and_hold_rows(samples: Samples, kind: str) -> None:
    split = split_samples(samples, kind, RULES)
    rows = np.concatenate([split.sets[name] for name in SETS])
    assert np.unique(rows).size == rows.size
    assert all(split.sets[name].size for name in SETS)
    counts = split.counts(samples)
    assert counts["fit"]["rows"] > counts["stop"]["rows"] + counts["calibrate"]["rows"]
    assert counts["test"]["rows"] == split.test.size


@pytest.mark.parametrize("kind", HONEST)
def test_stop_and_calibrate_are_blocks_of_their_own(samples: Samples, kind: str) -> None:
    split = split_samples(samples, kind, RULES)
    blocks = {name: set(samples.blocks[rows]) for name, rows in split.sets.items()}
    assert not blocks["stop"] & (blocks["fit"] | blocks["calibrate"] | blocks["test"])
    assert not blocks["calibrate"] & (blocks["fit"] | blocks["test"])


@pytest.mark.parametrize("kind", ["station", "station_year"])
def test_test_stations_lie_in_unseen_blocks(samples: Samples, kind: str) -> None:
    split = split_samples(samples, kind, RULES)
    seen = np.concatenate([split.fit, split.stop, split.calibrate])
    assert not set(samples.blocks[split.test]) & set(samples.blocks[seen])


@pytest.mark.parametrize("kind", ["year", "station_year"])
def test_test_years_are_unseen_and_kept_at_a_distance(samples: Samples, kind: str) -> None:
    split = split_samples(samples, kind, RULES)
    years = set(samples.years[split.test])
    seen = np.concatenate([split.fit, split.stop, split.calibrate])
    assert not years & set(samples.years[seen])
    edges = np.array([f"{y + up}-01-01" for y in years for up in (0, 1)], "datetime64[D]")
    away = np.abs(samples.days[seen][:, None] - edges).min()
    assert away >= np.timedelta64(RULES.gap_days, "D")


def test_a_year_split_tests_the_fitted_stations(samples: Samples) -> None:
    split = split_samples(samples, "year", RULES)
    assert set(samples.stations[split.test]) == set(samples.stations[split.fit])


def test_a_random_split_tests_other_days_of_the_fitted_stations(samples: Samples) -> None:
    split = split_samples(samples, "random", RULES)
    assert set(samples.stations[split.test]) == set(samples.stations[split.fit])
    share = {name: rows.size / samples.days.size for name, rows in split.sets.items()}
    rest = 1 - 1 / RULES.folds
    assert share["test"] == pytest.approx(1 / RULES.folds, abs=0.001)
    assert share["stop"] == pytest.approx(rest * RULES.stop_share, abs=0.001)
    assert share["calibrate"] == pytest.approx(rest * RULES.calibrate_share, abs=0.001)


def test_two_sensors_of_a_pixel_and_day_are_never_parted_at_random() -> None:
    names, days, lat, lon = table(6)
    twice = [np.concatenate([part, part]) for part in (days, lat, lon)]
    samples = locate(np.concatenate([names, np.char.add(names, "b")]), *twice)
    split = split_samples(samples, "random", RULES)
    for rows in split.sets.values():
        assert set((rows + names.size) % (2 * names.size)) == set(rows)


@pytest.mark.parametrize("kind", SPLIT_KINDS)
def test_folds_test_every_row_once(samples: Samples, kind: str) -> None:
    folds = [split_samples(samples, kind, RULES, fold=fold) for fold in range(RULES.folds)]
    tested = np.concatenate([split.test for split in folds])
    if kind in ("station", "random"):
        np.testing.assert_array_equal(np.sort(tested), np.arange(samples.days.size))
    elif kind == "station_year":
        assert np.unique(tested).size == tested.size
    else:
        # The same blocks stop and calibrate in every fold; all other rows are tested once.
        held = {*folds[0].stop, *folds[0].calibrate}
        assert len(held & set(tested)) == 0
        assert np.unique(tested).size == tested.size


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), kind=st.sampled_from(SPLIT_KINDS))
def test_the_order_of_rows_does_not_matter(seed: int, kind: str) -> None:
    names, days, lat, lon = table()
    shuffled = np.random.default_rng(seed).permutation(names.size)
    whole = split_samples(locate(names, days, lat, lon), kind, RULES)
    mixed = split_samples(
        locate(names[shuffled], days[shuffled], lat[shuffled], lon[shuffled]), kind, RULES
    )
    for name in SETS:
        np.testing.assert_array_equal(np.sort(shuffled[mixed.sets[name]]), whole.sets[name])


@pytest.mark.parametrize("kind", SPLIT_KINDS)
def test_another_seed_gives_other_sets(samples: Samples, kind: str) -> None:
    one = split_samples(samples, kind, RULES)
    same = split_samples(samples, kind, RULES)
    other = split_samples(samples, kind, replace(RULES, seed=12))
    np.testing.assert_array_equal(one.fit, same.fit)
    assert not np.array_equal(one.fit, other.fit)


def test_stations_of_one_pixel_are_one_group() -> None:
    names = np.array(["a", "b", "c"])
    # a and b are 100 m apart, c is 5 km away.
    samples = locate(
        names,
        np.repeat(DAYS[:1], 3),
        np.array([45.0021, 45.0030, 45.05]),
        np.array([10.0021, 10.0021, 10.0021]),
        block_degrees=1 / 120,
    )
    assert samples.pixels[0] == samples.pixels[1] != samples.pixels[2]
    assert samples.blocks[0] == samples.blocks[1] != samples.blocks[2]


@given(size=st.floats(0.01, 5.0), seed=st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_a_pixel_lies_in_one_block_whatever_its_size(size: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 300
    lat, lon = rng.uniform(44.0, 44.05, n), rng.uniform(7.0, 7.05, n)
    samples = locate(np.arange(n).astype(str), np.repeat(DAYS[:1], n), lat, lon, block_degrees=size)
    for pixel in np.unique(samples.pixels):
        assert np.unique(samples.blocks[samples.pixels == pixel]).size == 1


def test_blocks_have_the_size_that_was_asked_for() -> None:
    lat = np.linspace(40.0, 49.99, 1000)
    samples = locate(
        np.arange(1000).astype(str), np.repeat(DAYS[:1], 1000), lat, np.zeros(1000), block_degrees=2
    )
    assert np.unique(samples.blocks).size == 5


def test_a_station_that_moved_stays_one_station() -> None:
    samples = locate(
        np.array(["a", "a", "b"]),
        np.repeat(DAYS[:1], 3),
        np.array([45.0, 46.0, 46.0]),
        np.array([9.0, 9.0, 9.0]),
    )
    assert samples.pixels[0] == samples.pixels[1] == samples.pixels[2]


def test_without_coordinates_a_group_is_a_block() -> None:
    names, days, _, _ = table()
    samples = locate(names, days)
    split = split_samples(samples, "station", RULES)
    assert not set(names[split.fit]) & set(names[split.test])


def injected(split: Split, **sets: np.ndarray) -> Split:
    return replace(split, **sets)


def test_a_row_in_two_sets_is_a_leak(samples: Samples) -> None:
    split = split_samples(samples, "random", RULES)
    leaky = injected(split, fit=np.append(split.fit, split.test[:3]))
    with pytest.raises(ModelError, match="'random' leaks: fit and test share 3 rows"):
        check_leakage(leaky, samples)


@pytest.mark.parametrize("kind", HONEST)
def test_a_stop_row_of_a_fitted_station_is_a_leak(samples: Samples, kind: str) -> None:
    split = split_samples(samples, kind, RULES)
    leaky = injected(split, stop=np.append(split.stop, split.fit[0]), fit=split.fit[1:])
    with pytest.raises(ModelError, match="fit and stop share 1 stations"):
        check_leakage(leaky, samples)


def test_a_fitted_row_of_a_test_station_is_a_leak(samples: Samples) -> None:
    split = split_samples(samples, "station", RULES)
    leaky = injected(split, fit=np.append(split.fit, split.test[0]), test=split.test[1:])
    with pytest.raises(ModelError, match="fit and test share 1 stations"):
        check_leakage(leaky, samples)


def test_a_neighbour_in_a_test_block_is_a_leak(samples: Samples) -> None:
    split = split_samples(samples, "station", RULES)
    blocks = samples.blocks.copy()
    blocks[split.fit] = blocks[split.test[0]]
    with pytest.raises(ModelError, match="spatial blocks"):
        check_leakage(split, replace(samples, blocks=blocks))


def test_a_fitted_day_of_a_test_year_is_a_leak(samples: Samples) -> None:
    split = split_samples(samples, "year", RULES)
    leaky = injected(split, fit=np.append(split.fit, split.test[0]), test=split.test[1:])
    with pytest.raises(ModelError, match="share 1 days"):
        check_leakage(leaky, samples)
    with pytest.raises(ModelError, match="days within 400 days"):
        check_leakage(split, samples, gap_days=400)


@pytest.mark.parametrize("kind", ["year", "station_year"])
def test_one_year_allows_no_split_by_year(kind: str) -> None:
    names, days, lat, lon = table()
    of_2017 = days.astype("datetime64[Y]") == np.datetime64("2017")
    samples = locate(names[of_2017], days[of_2017], lat[of_2017], lon[of_2017])
    with pytest.raises(UserError, match=f"'{kind}' is not possible: .* all of 2017"):
        split_samples(samples, kind, RULES)


def test_too_few_blocks_are_named_with_their_counts(samples: Samples) -> None:
    few = locate(*table(3))
    with pytest.raises(UserError, match=r"'station' needs 4 spatial blocks .* found 3 with 3 stat"):
        split_samples(few, "station", RULES)


def test_an_empty_set_is_named_with_its_counts(samples: Samples) -> None:
    wide = replace(RULES, gap_days=2000)
    with pytest.raises(UserError, match=r"'year' leaves a set empty: fit 0 rows of 0 stations"):
        split_samples(samples, "year", wide)


def test_unusable_rules_and_kinds_are_refused(samples: Samples) -> None:
    with pytest.raises(ConfigError, match="unknown split 'spatial'"):
        split_samples(samples, "spatial", RULES)
    with pytest.raises(ConfigError, match="fold 4 of split 'station': expected 0 to 3"):
        split_samples(samples, "station", RULES, fold=4)
    for wrong in ({"folds": 1}, {"block_degrees": 0.0}, {"stop_share": 1.0}, {"gap_days": -1}):
        with pytest.raises(ConfigError):
            SplitRules(**wrong)


def test_a_table_without_time_or_with_half_a_position_is_refused() -> None:
    names, days, lat, _ = table(4)
    with pytest.raises(UserError, match="only one of them"):
        locate(names, days, latitude=lat)
    days[0] = np.datetime64("NaT")
    with pytest.raises(UserError, match="1 rows have no time"):
        locate(names, days)


@given(
    codes=st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=40)
    | st.lists(st.integers(-9, 9), min_size=1, max_size=40)
)
def test_codes_are_ranked_as_sorting_ranks_them(codes: list[int]) -> None:
    found = np.array(codes, np.int64)
    np.testing.assert_array_equal(ranked(found), np.unique(found, return_inverse=True)[1])
