"""Seasons, elevation bands and months of transition; random sets of published shares."""

import numpy as np
import pytest

from smcloud.core.errors import ConfigError, UserError
from smcloud.validation.frost_strata import (
    NOT_KNOWN,
    SEASONS,
    by_elevation,
    by_season,
    by_transition,
    months_of,
)
from smcloud.validation.random_shares import PUBLISHED_SHARES, random_shares
from smcloud.validation.splits import Samples

YEAR = np.arange(np.datetime64("2015-01-01"), np.datetime64("2016-01-01"))


def test_seasons_turn_over_with_the_equator() -> None:
    days = np.array(["2015-01-15", "2015-04-15", "2015-07-15", "2015-12-01"], "datetime64[D]")
    north, south = (by_season(days, np.full(4, latitude)) for latitude in (33.0, -33.0))
    assert [SEASONS[code] for code in north.codes] == ["winter", "spring", "summer", "winter"]
    assert [SEASONS[code] for code in south.codes] == ["summer", "autumn", "winter", "summer"]
    assert months_of(np.array(["1969-12-31"], "datetime64[D]")).tolist() == [12]


def test_a_band_holds_its_lower_edge_and_an_unknown_height_is_in_none() -> None:
    found = by_elevation(np.array([999.0, 1000.0, 4999.0, 6000.0, np.nan]), (1000.0, 5000.0))
    assert found.classes == ("below 1000 m", "1000 to 5000 m", "from 5000 m")
    assert found.codes.tolist() == [0, 1, 1, 2, NOT_KNOWN]


def test_months_of_transition_are_those_in_which_a_cell_changes() -> None:
    frozen_until = np.array([45, 200])  # the first cell changes in February, the second in July
    cells = np.repeat([0, 1], YEAR.size)
    day_of_year = np.tile(np.arange(YEAR.size), 2)
    is_frozen = day_of_year < frozen_until[cells]
    found = by_transition(is_frozen, np.tile(YEAR, 2), cells)
    changing = {
        (int(c), int(m))
        for c, m, t in zip(cells, months_of(np.tile(YEAR, 2)), found.codes, strict=True)
        if t
    }
    assert changing == {(0, 2), (1, 7)}


def table(seed: int = 0) -> Samples:
    rng = np.random.default_rng(seed)
    order = rng.permutation(40 * 100)
    cells, days = np.divmod(order, 100)
    return Samples(cells, cells, cells // 4, YEAR[days])


def test_published_shares_are_kept_and_do_not_depend_on_the_order_of_rows() -> None:
    one, other = table(0), table(1)
    sets = random_shares(one)
    shares = [rows.size / one.days.size for rows in sets]
    np.testing.assert_allclose(shares, PUBLISHED_SHARES, atol=1e-3)
    together = np.sort(np.concatenate(sets))
    np.testing.assert_array_equal(together, np.arange(one.days.size))

    def named(samples, rows):
        return set(zip(samples.stations[rows].tolist(), samples.days[rows].tolist(), strict=True))

    for mine, theirs in zip(sets, random_shares(other), strict=True):
        assert named(one, mine) == named(other, theirs)
    assert random_shares(one, seed=1)[0].tolist() != sets[0].tolist()


def test_two_overpasses_of_a_day_stay_together() -> None:
    one = table()
    twice = Samples(
        *(np.concatenate([part, part]) for part in (one.stations, one.pixels, one.blocks, one.days))
    )
    for rows in random_shares(twice):
        first = rows[rows < one.days.size]
        assert set(rows.tolist()) == {*first.tolist(), *(first + one.days.size).tolist()}


def test_shares_that_are_none_and_tables_too_small_are_refused() -> None:
    with pytest.raises(ConfigError, match="with the sum 1"):
        random_shares(table(), (0.5, 0.4))
    few = Samples(
        *(part[:2] for part in (table().stations, table().pixels, table().blocks, table().days))
    )
    with pytest.raises(UserError, match="leaves a set empty"):
        random_shares(few)
