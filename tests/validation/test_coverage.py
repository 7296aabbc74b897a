"""Shares of values inside their intervals, by station, network and moisture."""

import json

import numpy as np
import pytest

from smcloud.core.errors import UserError
from smcloud.validation.coverage import Coverage, coverage

RNG = np.random.default_rng(4)
STATIONS = np.repeat(["A/one", "A/two", "B/three"], [100, 300, 50])
ESTIMATES = RNG.uniform(0.05, 0.35, 450)
ERRORS = RNG.normal(0, 0.03, 450)
HALVES = {0.68: np.full(450, 0.03), 0.9: np.full(450, 0.05)}


def scored(**options):
    return coverage(HALVES, ESTIMATES, ESTIMATES + ERRORS, STATIONS, **options)


def test_shares_are_counted_row_by_row_and_station_by_station():
    inside = np.abs(ERRORS) <= 0.03
    row = scored().overall(0.68)
    assert (row.rows, row.stations) == (450, 3)
    assert row.covered == pytest.approx(inside.mean())
    by_station = [inside[name == STATIONS].mean() for name in np.unique(STATIONS)]
    assert row.covered_by_station == pytest.approx(np.mean(by_station))
    assert row.width == pytest.approx(0.06)
    stations = {one.group: one for one in scored().by("station") if one.nominal == 0.68}
    assert [stations[name].covered for name in np.unique(STATIONS)] == pytest.approx(by_station)


def test_networks_are_those_of_the_names_or_those_given():
    assert {row.group: row.stations for row in scored().by("network")} == {"A": 2, "B": 1}
    named = scored(networks=np.where(STATIONS == "A/one", "x", "y"))
    assert {row.group for row in named.by("network")} == {"x", "y"}
    plain = coverage(HALVES, ESTIMATES, ESTIMATES, np.arange(450))
    assert plain.by("network") == ()


def test_moisture_is_binned_by_the_estimate():
    rows = [row for row in scored().by("moisture") if row.nominal == 0.9]
    assert [row.group for row in rows] == ["0 to 0.1", "0.1 to 0.2", "0.2 to 0.3", "0.3 to 0.4"]
    assert sum(row.rows for row in rows) == 450
    assert rows[0].rows == (ESTIMATES < 0.1).sum()


def test_only_reported_levels_are_grouped_and_all_are_scored_overall():
    halves = {level: np.full(450, 0.1 * level) for level in (0.1, 0.5, 0.68, 0.9)}
    found = coverage(halves, ESTIMATES, ESTIMATES + ERRORS, STATIONS)
    assert [row.nominal for row in found.by("all")] == [0.1, 0.5, 0.68, 0.9]
    assert {row.nominal for row in found.by("station")} == {0.68, 0.9}
    shares = [row.covered for row in found.by("all")]
    assert shares == sorted(shares)


def test_unknown_rows_are_left_out_and_nothing_to_compare_is_an_error():
    holes = np.where(np.arange(450) < 100, np.nan, ESTIMATES)
    assert coverage(HALVES, holes, ESTIMATES, STATIONS).overall(0.9).stations == 2
    with pytest.raises(UserError, match="none of 450 rows"):
        coverage(HALVES, np.full(450, np.nan), ESTIMATES, STATIONS)
    with pytest.raises(UserError, match="one length"):
        coverage(HALVES, ESTIMATES[1:], ESTIMATES, STATIONS)
    with pytest.raises(UserError, match=r"0\.5: scored are 0\.68, 0\.9"):
        scored().overall(0.5)


def test_it_survives_json_and_says_what_is_covered():
    found = coverage(HALVES, ESTIMATES, ESTIMATES + ERRORS, STATIONS, covers="pixel")
    body = json.loads(json.dumps(found.to_json()))
    assert "pixel" in body["meaning"]
    again = Coverage.from_json(body)
    assert again.covers == "pixel"
    assert [row.group for row in again.rows] == [row.group for row in found.rows]
    shares = [row.covered for row in found.rows]
    assert [row.covered for row in again.rows] == pytest.approx(shares, rel=1e-5)
