"""Anomalies leave out the seasons, and only days that both know count."""

import numpy as np
import pytest

from smcloud.validation.anomalies import anomaly_pairs
from smcloud.validation.metrics import correlation

DAYS = np.arange("2019-01-01", "2020-01-01", dtype="datetime64[D]")
SEASON = 0.1 * np.cos(2 * np.pi * np.arange(365) / 365)


def test_two_products_that_share_the_season_alone_have_no_anomaly_correlation():
    rng = np.random.default_rng(0)
    x, y = (0.2 + SEASON + rng.normal(0, 0.02, 365) for _ in range(2))
    found = anomaly_pairs(x[None], y[None], DAYS)
    assert np.corrcoef(x, y)[0, 1] > 0.8
    assert abs(float(correlation(found)[0])) < 0.15


def test_shared_rain_is_seen_through_opposite_seasons():
    rng = np.random.default_rng(1)
    rain = rng.gamma(0.3, 0.05, 365)
    found = anomaly_pairs((0.2 + SEASON + rain)[None], (50 - 90 * SEASON + 100 * rain)[None], DAYS)
    assert float(correlation(found)[0]) > 0.95


def test_days_that_one_does_not_know_enter_no_mean():
    rng = np.random.default_rng(2)
    x = rng.normal(0.2, 0.02, 365)
    spiked = x.copy()
    spiked[100:110] = 5.0
    y = x + rng.normal(0, 0.01, 365)
    y[100:110] = np.nan
    clean = anomaly_pairs(x[None], y[None], DAYS)
    found = anomaly_pairs(spiked[None], y[None], DAYS)
    assert float(found.n[0]) == float(clean.n[0]) == 355
    assert float(correlation(found)[0]) == pytest.approx(float(correlation(clean)[0]), abs=1e-12)
