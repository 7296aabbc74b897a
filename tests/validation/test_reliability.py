"""Reliability bins and Brier's score: by hand, against scikit-learn, merged."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from smcloud.core.errors import UserError
from smcloud.validation.reliability import (
    Reliability,
    brier_score,
    brier_skill,
    calibration_error,
)


@pytest.fixture(scope="module")
def forecast() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    probability = rng.beta(0.6, 0.9, 20_000)
    return probability, rng.random(20_000) < probability


def test_scores_are_those_of_scikit_learn(forecast) -> None:
    probability, happened = forecast
    found = Reliability.of(probability, happened)
    assert brier_score(found) == pytest.approx(brier_score_loss(happened, probability))
    observed, stated = calibration_curve(happened, probability, n_bins=10)
    np.testing.assert_allclose(found.observed, observed)
    np.testing.assert_allclose(found.stated, stated)
    share = happened.mean()
    assert brier_skill(found) == pytest.approx(1 - brier_score(found) / (share * (1 - share)))


def test_honest_probabilities_lie_on_the_line_and_stretched_ones_do_not(forecast) -> None:
    probability, happened = forecast
    honest = Reliability.of(probability, happened)
    stretched = Reliability.of(np.clip(1.6 * (probability - 0.5) + 0.5, 0, 1), happened)
    assert calibration_error(honest) < 0.01 < 0.08 < calibration_error(stretched)
    assert brier_score(honest) < brier_score(stretched)
    assert brier_skill(Reliability.of(np.full(100, 0.25), np.arange(100) < 25)) == pytest.approx(0)


def test_parts_merge_and_unknown_probabilities_do_not_count(forecast) -> None:
    probability, happened = forecast
    whole = Reliability.of(probability, happened)
    parts = [Reliability.of(probability[k::2], happened[k::2]) for k in range(2)]
    both = parts[0] + parts[1] + Reliability.zero()
    np.testing.assert_allclose(both.square, whole.square)
    np.testing.assert_array_equal(both.n, whole.n)
    some = np.append(probability[:10], np.nan)
    assert Reliability.of(some, happened[:11]).n.sum() == 10
    back = Reliability.from_lists(whole.to_lists())
    np.testing.assert_array_equal(back.happened, whole.happened)


def test_empty_sets_have_no_score_and_probabilities_above_one_are_refused() -> None:
    nothing = Reliability.zero()
    assert np.isnan([brier_score(nothing), brier_skill(nothing), calibration_error(nothing)]).all()
    assert Reliability.of(np.array([1.0]), np.array([True])).n[-1] == 1
    with pytest.raises(UserError, match=r"from 0 to 1, found 0 to 1\.2"):
        Reliability.of(np.array([0.0, 1.2]), np.array([False, True]))
    with pytest.raises(UserError, match="an event per probability"):
        Reliability.of(np.zeros(2), np.zeros(3, bool))
