"""Correlated errors move the TC correlation of a station as theory says, and selection with it."""

import pytest

from benchmarks import selection


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return selection.measure("tiny", 0, tmp_path_factory.mktemp("nothing"))


@pytest.fixture(scope="module")
def cases(found):
    return {(row["case"], row["shared"]): row for row in found["rows"]}


def test_the_bias_is_that_of_theory(cases):
    for row in cases.values():
        for kind in ("good", "poor"):
            assert row[kind]["r"] == pytest.approx(row[kind]["expected"], abs=0.06), row


def test_independent_errors_give_the_true_correlation(cases):
    row = cases["none", 0.0]
    assert row["good"]["expected"] == selection.GOOD_R
    assert row["poor"]["expected"] == selection.POOR_R
    assert row["precision"] > 0.9


def test_references_that_share_errors_drop_good_stations(cases):
    recalls = [cases["none", 0.0], *(cases["reanalysis and satellite", s] for s in (0.3, 0.6))]
    assert recalls[0]["recall"] > recalls[1]["recall"] > recalls[2]["recall"]
    assert recalls[2]["good"]["r"] < selection.GOOD_R - 0.08


def test_a_reference_that_shares_the_station_s_errors_keeps_poor_stations(cases):
    precisions = [cases["none", 0.0], cases["station and reanalysis", 0.6]]
    assert precisions[1]["precision"] < precisions[0]["precision"] - 0.2
    assert precisions[1]["poor"]["r"] > 0.5


def test_the_table_has_a_line_a_case(found):
    assert len(selection.show(found).splitlines()) == 3 + len(found["rows"])


def test_stations_of_a_simulated_earth_are_judged_at_every_threshold():
    references, truth = selection.made_up(selection.Case("none", None, 0.0), 20, 400, 1)
    references["cci_active"] = references["smap_l3"]
    head, _, *lines = selection.judged(references, truth).splitlines()
    assert head.startswith("20 stations, 50% of them representative; median TC correlation 0.5")
    assert len(lines) == 4 * len(selection.THRESHOLDS)
    kept = [int(line.split()[3]) for line in lines[: len(selection.THRESHOLDS)]]
    assert kept == sorted(kept, reverse=True)
