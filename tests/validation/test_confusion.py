"""Confusion counts: against scikit-learn's scores, merged, by group, with intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from smcloud.core.errors import UserError
from smcloud.validation.confusion import (
    Confusion,
    all_scores,
    balanced_accuracy,
    f1,
    gain_interval,
    interval,
    kappa,
    merged,
    overall_accuracy,
    producers_accuracy,
    users_accuracy,
)

WORDS = ("thawed", "partly frozen", "frozen")


@pytest.fixture(scope="module")
def pairs() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    true = rng.choice(3, 4000, p=[0.7, 0.1, 0.2])
    estimated = np.where(rng.random(4000) < 0.7, true, rng.choice(3, 4000))
    return true, estimated


def test_scores_are_those_of_scikit_learn(pairs) -> None:
    true, estimated = pairs
    found = Confusion.of(true, estimated, WORDS)
    np.testing.assert_array_equal(found.counts, metrics.confusion_matrix(true, estimated))
    assert overall_accuracy(found) == pytest.approx(metrics.accuracy_score(true, estimated))
    assert kappa(found) == pytest.approx(metrics.cohen_kappa_score(true, estimated))
    assert balanced_accuracy(found) == pytest.approx(
        metrics.balanced_accuracy_score(true, estimated)
    )
    np.testing.assert_allclose(f1(found), metrics.f1_score(true, estimated, average=None))
    recall = metrics.recall_score(true, estimated, average=None)
    np.testing.assert_allclose(producers_accuracy(found), recall)
    precision = metrics.precision_score(true, estimated, average=None)
    np.testing.assert_allclose(users_accuracy(found), precision)


def test_a_guess_of_the_common_class_has_no_kappa_and_half_a_balanced_accuracy() -> None:
    found = Confusion.of(np.array([0] * 90 + [1] * 10), np.zeros(100, int), WORDS[:2])
    scores = all_scores(found)
    assert scores["overall_accuracy"] == pytest.approx(0.9)
    assert scores["kappa"] == pytest.approx(0.0)
    assert scores["balanced_accuracy"] == pytest.approx(0.5)
    assert scores["F1 partly frozen"] == 0.0
    assert np.isnan(scores["users_accuracy partly frozen"])


@given(st.lists(st.tuples(st.integers(-1, 2), st.integers(-1, 2), st.integers(0, 3)), max_size=40))
def test_parts_merge_to_the_whole_and_unknown_pairs_do_not_count(rows) -> None:
    true, estimated, groups = (np.array([row[k] for row in rows], np.int64) for k in range(3))
    whole = Confusion.grouped(true, estimated, groups, 4, WORDS)
    cut = len(rows) // 3
    parts = [
        Confusion.grouped(true[piece], estimated[piece], groups[piece], 4, WORDS)
        for piece in (slice(cut), slice(cut, None))
    ]
    np.testing.assert_array_equal((parts[0] + parts[1]).counts, whole.counts)
    np.testing.assert_array_equal((parts[1] + parts[0]).counts, whole.counts)
    assert int(whole.n.sum()) == sum(row[0] >= 0 and row[1] >= 0 for row in rows)
    by_hand = merged((whole.at(number) for number in range(4)), WORDS)
    np.testing.assert_array_equal(by_hand.counts, whole.total().counts)


def test_nothing_at_all_has_no_score() -> None:
    scores = all_scores(Confusion.zero(WORDS))
    assert scores.pop("n") == 0
    assert all(np.isnan(score) for score in scores.values())


def test_intervals_come_from_blocks_and_widen_when_blocks_differ() -> None:
    rng = np.random.default_rng(0)
    shares = np.repeat([[0.5], [1.0]], 10, axis=0)
    own = np.stack([rng.binomial(100, np.full(20, 0.75)), rng.binomial(100, shares[:, 0])])
    widths = []
    for hits in own:
        counts = np.zeros((20, 2, 2), np.int64)
        counts[:, 0, 0], counts[:, 0, 1] = hits, 100 - hits
        found = interval(Confusion(WORDS[:2], counts), overall_accuracy)
        assert found.low < found.value < found.high
        widths.append(found.high - found.low)
    assert widths[1] > 2 * widths[0]
    alone = interval(Confusion(WORDS[:2], counts[:1]), overall_accuracy)
    assert np.isnan(alone.low)


def test_other_classes_and_codes_beyond_the_last_are_refused() -> None:
    with pytest.raises(UserError, match="from 0 to 1, found 2"):
        Confusion.of(np.array([2]), np.array([0]), WORDS[:2])
    with pytest.raises(UserError, match="of one size, found 2, 1"):
        Confusion.grouped(np.zeros(2), np.zeros(1), np.zeros(2), 1, WORDS)
    with pytest.raises(UserError, match="cannot be added"):
        _ = Confusion.zero(WORDS) + Confusion.zero(WORDS[:2])


def test_a_gain_is_surer_than_both_scores_where_blocks_are_hard_for_both() -> None:
    rng = np.random.default_rng(1)
    hard = rng.integers(10, 60, 30)
    better, worse = (
        Confusion(WORDS[:2], np.array([[[100 - n, n], [n, 100 - n]] for n in wrong]))
        for wrong in (hard, hard + rng.integers(1, 4, 30))
    )
    gain = gain_interval(better, worse, overall_accuracy)
    assert gain.value == overall_accuracy(better.total()) - overall_accuracy(worse.total())
    assert 0.0 < gain.low < gain.value < gain.high < 0.03
    alone = interval(better, overall_accuracy)
    assert alone.high - alone.low > 5 * (gain.high - gain.low)
