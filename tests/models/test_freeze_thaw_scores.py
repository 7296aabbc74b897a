"""Counts over tested rows: splits told apart, folds merged, the plain rule, the ablation, files."""

import numpy as np
import pytest

from smcloud.core.errors import UserError
from smcloud.models.freeze_thaw import ForestRules
from smcloud.models.freeze_thaw_rows import (
    TableColumns,
    labelled_rows,
    rows_from_bytes,
    rows_to_bytes,
)
from smcloud.models.freeze_thaw_scores import (
    RANDOM_SETS,
    AllScores,
    assessed,
    columns_of,
    learned_and_tested,
    scores_to_bytes,
)
from smcloud.validation.confusion import overall_accuracy
from smcloud.validation.splits import SplitRules
from tests.models.frozen_ground import FEATURES, GLDAS, frozen_table

COLUMNS = TableColumns(elevation="elevation", soil_temperature="soil_temperature")
SPLIT = SplitRules(block_degrees=4.0, folds=3)
RULES = ForestRules(trees=12)


@pytest.fixture(scope="module")
def table():
    return frozen_table()


@pytest.fixture(scope="module")
def rows(table):
    return labelled_rows(table, FEATURES, COLUMNS, "frozen", block_degrees=4.0)


@pytest.fixture(scope="module")
def by_split(rows):
    """Return the counts of every tested set, three folds each, of forests of all features."""
    found = {}
    for kind, folds in (("random", 1), ("station", 3), ("year", 2), ("station_year", 3)):
        for fold in range(folds):
            learned, tested = learned_and_tested(rows.samples, kind, SPLIT, fold)
            every = range(len(FEATURES))
            for name, one in assessed(rows, learned, tested, every, "frozen", RULES).items():
                found[name] = found[name] + one if name in found else one
    return found


def accuracy(scores) -> float:
    return float(overall_accuracy(scores.whole))


def test_unseen_regions_are_harder_than_random_rows_and_fitted_ones_easiest(by_split) -> None:
    fitted, validation, test = (accuracy(by_split[name]) for name in RANDOM_SETS)
    assert fitted > test + 0.01
    assert abs(validation - test) < 0.04
    assert accuracy(by_split["unseen regions"]) < fitted - 0.01
    assert 0.7 < accuracy(by_split["unseen regions in unseen years"]) < test


def test_the_forest_beats_the_plain_rule_on_the_same_rows(by_split) -> None:
    scores = by_split["unseen regions"].summary()
    assert scores["beside rule n"] == scores["rule n"] == scores["n"]
    assert scores["beside rule kappa"] > scores["rule kappa"]


def test_months_of_transition_and_partly_frozen_ground_are_the_hard_part(by_split) -> None:
    found = by_split["unseen regions"]
    calm, changing = overall_accuracy(found.strata["transition"])
    assert changing < calm - 0.05
    thawed, partly, frozen = overall_accuracy(found.strata["state"])
    assert partly < min(thawed, frozen)
    for one in found.strata.values():
        assert one.n.sum() == found.whole.n


def test_without_gldas_is_worse_and_folds_cover_every_block_once(rows, by_split) -> None:
    blocks = by_split["unseen regions"].blocks
    has_estimate = np.isfinite(rows.features).mean(axis=1) >= 0.5
    in_blocks = np.bincount(rows.samples.ranks["blocks"][has_estimate])
    np.testing.assert_array_equal(blocks.n, in_blocks)
    seen = columns_of("without GLDAS", FEATURES, GLDAS)
    assert [FEATURES[at] for at in seen] == list(FEATURES[:5])
    assert columns_of("GLDAS alone", FEATURES, GLDAS) == (5, 6)
    found = None
    for fold in range(3):
        learned, tested = learned_and_tested(rows.samples, "station", SPLIT, fold)
        one = assessed(rows, learned, tested, seen, "frozen", RULES)["unseen regions"]
        found = one if found is None else found + one
    assert accuracy(found) < accuracy(by_split["unseen regions"]) - 0.01


def test_no_block_and_no_year_is_on_both_sides(rows) -> None:
    of = rows.samples
    learned, tested = learned_and_tested(of, "station_year", SPLIT, 0)
    (test,) = tested.values()
    assert not set(of.blocks[learned]) & set(of.blocks[test])
    assert not set(of.years[learned]) & set(of.years[test])
    one_year = frozen_table()
    one_year = one_year[one_year["time"] < "2015"]
    alone = labelled_rows(one_year, FEATURES, COLUMNS, "frozen", block_degrees=4.0)
    with pytest.raises(UserError, match="needs rows of two years"):
        learned_and_tested(alone.samples, "year", SPLIT, 0)


def test_counts_and_rows_survive_their_files(rows, by_split) -> None:
    scores = {name: {"all": one} for name, one in by_split.items()}
    data = scores_to_bytes(scores, rows.strata)
    back = AllScores.from_bytes(data)
    assert back.strata["season"] == ("winter", "spring", "summer", "autumn")
    assert scores_to_bytes(back.scores, rows.strata) == data
    assert back.scores["unseen years"]["all"].summary() == pytest.approx(
        by_split["unseen years"].summary(), nan_ok=True
    )
    stored = rows_to_bytes(rows)
    assert rows_to_bytes(rows_from_bytes(stored)) == stored


def test_the_order_of_rows_does_not_matter_and_unlabelled_ones_are_left_out(table, rows) -> None:
    mixed = table.sample(frac=1.0, random_state=1)
    again = labelled_rows(mixed, FEATURES, COLUMNS, "frozen", block_degrees=4.0)
    assert rows_to_bytes(again) == rows_to_bytes(rows)
    assert rows.labels.size == int((table["label"] != 255).sum())
    apart = labelled_rows(table, FEATURES, COLUMNS, "left_out", block_degrees=4.0)
    assert apart.labels.size == int(table["label"].isin([0, 2]).sum())


def test_tables_that_cannot_be_used_say_why(table) -> None:
    def made(of, features=FEATURES):
        return labelled_rows(of, features, COLUMNS, "frozen", block_degrees=4.0)

    with pytest.raises(UserError, match="lacks tb_89v"):
        made(table, (*FEATURES, "tb_89v"))
    with pytest.raises(UserError, match="1 rows whose cell, day and overpass"):
        made(table.iloc[[0, 1, 1]])
    with pytest.raises(UserError, match="has a state to learn from"):
        made(table.assign(label=np.uint8(255)))
