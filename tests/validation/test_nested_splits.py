"""Splits inside a split, networks held out whole, and the checks that fail when they leak."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smcloud.core.errors import ConfigError, ModelError, UserError
from smcloud.validation.nested_splits import (
    InnerFold,
    InnerSplit,
    check_inner_leakage,
    check_selection_leakage,
    folds_of,
    inner_split,
    split_networks,
    thinned,
)
from smcloud.validation.splits import SPLIT_KINDS, Samples, SplitRules, locate, split_samples

RULES = SplitRules(block_degrees=1.0, folds=4, gap_days=20, seed=11)
DAYS = np.arange("2016-01-01", "2019-01-01", 11, dtype="datetime64[D]")


def names_and_places(n: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    networks = np.array(["ONE", "TWO", "THREE"])[np.arange(n) % 3]
    names = np.array([f"{net}/{number:03d}" for number, net in enumerate(networks)])
    return names, rng.uniform(40.0, 48.0, n), rng.uniform(-2.0, 12.0, n)


def located() -> tuple[Samples, np.ndarray]:
    names, lat, lon = names_and_places()
    rows = np.repeat(np.arange(names.size), DAYS.size)
    days = np.tile(DAYS, names.size)
    samples = locate(names[rows], days, lat[rows], lon[rows], block_degrees=RULES.block_degrees)
    return samples, names[rows]


@pytest.fixture(scope="module")
def samples() -> Samples:
    return located()[0]


@pytest.mark.parametrize("kind", SPLIT_KINDS)
def test_inner_folds_stay_inside_fit_and_stop_and_score_each_station_once(samples, kind) -> None:
    outer = split_samples(samples, kind, RULES)
    inside = np.sort(np.concatenate([outer.fit, outer.stop]))
    folds = [inner_split(samples, outer, InnerFold(number, 3)) for number in range(3)]
    np.testing.assert_array_equal(np.sort(np.concatenate([f.score for f in folds])), inside)
    for fold in folds:
        rows = np.concatenate([fold.fit, fold.stop, fold.score])
        np.testing.assert_array_equal(np.sort(rows), inside)
        assert not set(samples.blocks[fold.score]) & set(samples.blocks[fold.fit])
        assert not set(samples.blocks[fold.stop]) & set(samples.blocks[fold.fit])


def test_a_search_that_sees_a_test_row_fails_loudly(samples) -> None:
    outer = split_samples(samples, "station", RULES)
    inner = inner_split(samples, outer, InnerFold(0, 3))
    for name, stolen in (("fit", outer.test), ("stop", outer.calibrate), ("score", outer.test)):
        leaking = replace(inner, **{name: np.append(getattr(inner, name), stolen[:3])})
        with pytest.raises(ModelError, match=f"3 rows of its inner {name} set lie outside fit"):
            check_inner_leakage(leaking, outer, samples)


def test_inner_sets_that_share_a_station_fail_loudly(samples) -> None:
    outer = split_samples(samples, "station", RULES)
    inner = inner_split(samples, outer, InnerFold(1, 3))
    shared = InnerSplit(inner.fit[1:], inner.stop, np.append(inner.score, inner.fit[0]))
    with pytest.raises(ModelError, match="inner fit and score sets share 1 stations"):
        check_inner_leakage(shared, outer, samples)


@pytest.mark.parametrize("stolen", ["test", "calibrate"])
def test_a_selection_that_sees_other_rows_fails_loudly(samples, stolen) -> None:
    outer = split_samples(samples, "station_year", RULES)
    check_selection_leakage(outer, np.concatenate([outer.fit, outer.stop]))
    seen = np.append(outer.fit, getattr(outer, stolen)[:2])
    with pytest.raises(ModelError, match="selection leaks: it saw 2 rows outside"):
        check_selection_leakage(outer, seen)


def test_held_out_networks_are_tested_whole_and_nothing_near_them_teaches() -> None:
    samples, names = located()
    held = np.char.startswith(names, "TWO/")
    split = split_networks(samples, held, RULES)
    np.testing.assert_array_equal(split.test, np.flatnonzero(held))
    learned = np.concatenate([split.fit, split.stop, split.calibrate])
    assert not held[learned].any()
    assert not set(samples.blocks[learned]) & set(samples.blocks[split.test])
    assert all(rows.size for rows in split.sets.values())


def test_holding_out_everything_names_the_counts() -> None:
    samples, names = located()
    with pytest.raises(UserError, match="found 6000 rows and 0 blocks: hold out fewer networks"):
        split_networks(samples, np.ones(names.size, bool), RULES)
    with pytest.raises(UserError, match="found 0 rows"):
        split_networks(samples, np.zeros(names.size, bool), RULES)


def test_thinning_keeps_all_stations_and_every_so_manieth_day(samples) -> None:
    outer = split_samples(samples, "station", RULES)
    few = thinned(outer.fit, samples, 9)
    assert set(samples.stations[few]) == set(samples.stations[outer.fit])
    assert np.unique(samples.days[few]).size == pytest.approx(DAYS.size / 9, abs=1)
    np.testing.assert_array_equal(thinned(outer.fit, samples, 1), outer.fit)


@given(every=st.integers(2, 12), seed=st.integers(0, 99))
def test_thinning_loses_no_station_whatever_days_it_measures_on(every: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    stations = np.sort(rng.integers(0, 7, 200))
    # Each station has a rhythm of its own: many meet none of the days that are kept.
    days = np.datetime64("2019-01-01") + stations + every * rng.integers(0, 40, 200)
    sparse = locate(stations.astype(str), days)
    few = thinned(np.arange(200), sparse, every)
    assert set(sparse.stations[few]) == set(sparse.stations)
    assert (np.diff(few) > 0).all()
    assert few.size < 200


def test_years_limit_the_folds_of_a_split_by_year_only(samples) -> None:
    assert folds_of("year", samples, RULES, 4) == 3
    assert folds_of("station_year", samples, RULES, 4) == 4
    assert folds_of("station", samples, RULES, 9) == RULES.folds
    assert folds_of("network", samples, RULES, 4) == 1


def test_too_few_blocks_and_a_fold_too_many_are_named(samples) -> None:
    outer = split_samples(samples, "station", RULES)
    with pytest.raises(ConfigError, match="inner fold 3: expected 0 to 2"):
        inner_split(samples, outer, InnerFold(3, 3))
    with pytest.raises(UserError, match="needs 400 spatial blocks in fit and stop"):
        inner_split(samples, outer, InnerFold(0, 400))
