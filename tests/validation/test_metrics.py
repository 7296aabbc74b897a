"""Scores agree with pytesmo, keep their identities, and say how sure they are."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytesmo import metrics as oracle

from smcloud.validation import metrics
from smcloud.validation.pairs import PairStats


def two_series(seed=0, n=400, noise=0.04, offset=0.03):
    rng = np.random.default_rng(seed)
    reference = np.clip(0.25 + 0.1 * np.sin(np.arange(n) / 40) + rng.normal(0, 0.02, n), 0, 1)
    return reference * 0.8 + offset + rng.normal(0, noise, n), reference


def test_scores_equal_those_of_pytesmo():
    x, y = two_series()
    found = metrics.all_scores(PairStats.of(x, y))
    assert found["R"] == pytest.approx(oracle.pearson_r(x, y))
    assert found["RMSE"] == pytest.approx(oracle.rmsd(x, y))
    assert found["ubRMSE"] == pytest.approx(oracle.ubrmsd(x, y))
    assert found["bias"] == pytest.approx(oracle.bias(x, y))
    assert found["MAE"] == pytest.approx(np.mean(np.abs(x - y)))


def test_the_fisher_interval_of_r_equals_that_of_pytesmo():
    x, y = two_series(n=50)
    found = metrics.intervals(PairStats.of(x, y), level=0.95)["R"]
    _, low, high = oracle.with_analytical_ci("pearson_r", x, y, alpha=0.05)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_the_interval_of_ubrmse_equals_that_of_pytesmo():
    x, y = two_series(n=50)
    found = metrics.intervals(PairStats.of(x, y), level=0.95)["ubRMSE"]
    _, low, high = oracle.with_analytical_ci("ubrmsd", x, y, alpha=0.05)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=60))
def test_rmse_squared_is_ubrmse_squared_plus_bias_squared(pairs):
    x, y = np.array(pairs).T
    found = metrics.all_scores(PairStats.of(x, y))
    assert found["RMSE"] ** 2 == pytest.approx(found["ubRMSE"] ** 2 + found["bias"] ** 2)
    assert found["RMSE"] == pytest.approx(np.sqrt(np.mean((x - y) ** 2)), abs=1e-12)
    spread_x, spread_y = x.std(), y.std()
    assert abs(spread_x - spread_y) <= found["ubRMSE"] + 1e-12
    assert found["ubRMSE"] <= spread_x + spread_y + 1e-12


@pytest.mark.parametrize("score", ["R", "RMSE", "ubRMSE", "MAE", "bias"])
def test_intervals_cover_the_true_score_as_often_as_they_say(score):
    rng = np.random.default_rng(11)
    y = rng.normal(0.25, 0.06, (80, 1500))
    x = y + rng.normal(0.02, 0.05, y.shape)
    spread = np.hypot(0.06, 0.05)
    folded = 0.05 * np.sqrt(2 / np.pi) * np.exp(-(0.4**2) / 2) + 0.02 * 0.31084
    truth = {"R": 0.06 / spread, "RMSE": np.hypot(0.05, 0.02), "ubRMSE": 0.05, "bias": 0.02}
    truth["MAE"] = folded
    found = metrics.intervals(PairStats.along(x, y, axis=0))[score]
    covered = np.mean((found.low <= truth[score]) & (truth[score] <= found.high))
    assert 0.93 <= covered <= 0.97


def test_memory_of_the_series_widens_the_intervals():
    x, y = two_series()
    pairs = PairStats.of(x, y)
    days = np.datetime64("2019-01-01") + np.arange(x.size)
    lag = metrics.lag_one_autocorrelation(days, y)
    assert lag > 0.8
    fewer = metrics.effective_sample_size(x.size, lag, lag)
    assert fewer < x.size / 3
    plain, honest = metrics.intervals(pairs), metrics.intervals(pairs, n_effective=fewer)
    for name in metrics.SCORES:
        assert np.ptp(honest[name][1:]) > 1.5 * np.ptp(plain[name][1:])


def test_lag_one_pairs_never_bridge_a_gap():
    days = np.array(["2019-01-01", "2019-01-02", "2019-01-05", "2019-01-06"], "datetime64[D]")
    assert metrics.lag_one_autocorrelation(days, [1.0, 2.0, 3.0, 4.0]) == 0.0  # two pairs only


def test_constant_series_and_short_ones_have_no_correlation():
    assert np.isnan(metrics.correlation(PairStats.of(np.full(50, 0.1), np.arange(50.0))))
    assert np.isnan(metrics.correlation(PairStats.of([0.1, 0.2], [0.2, 0.1])))


@pytest.mark.parametrize("n", [120, 4000])
def test_a_constant_series_has_no_correlation_however_it_was_summed(n):
    x, y = np.full(n, 0.2), np.random.default_rng(0).random(n)
    for pairs in (PairStats.of(x, y), PairStats.grouped(x, y, np.zeros(n, int), 1)):
        assert np.isnan(metrics.correlation(pairs)).all()
    assert np.isfinite(metrics.correlation(PairStats.of(x + 1e-9 * y, y)))


def station_table(stations=12, days=120, seed=5):
    rng = np.random.default_rng(seed)
    time = np.datetime64("2019-01-01") + np.arange(days)
    parts = []
    for number in range(stations):
        estimate, reference = two_series(seed=number, n=days, noise=rng.uniform(0.02, 0.06))
        parts.append(
            pd.DataFrame(
                {
                    "station": f"s{number:02d}",
                    "time": time.astype("datetime64[ns]"),
                    "estimate": estimate,
                    "soil_moisture": reference,
                    "block": f"b{number // 4}",
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def test_station_scores_hold_each_station_and_their_median():
    table = station_table()
    found = metrics.score_stations(table)
    assert list(found.stations.station) == [f"s{n:02d}" for n in range(12)]
    alone = table[table.station == "s03"]
    expected = oracle.ubrmsd(alone.estimate.to_numpy(), alone.soil_moisture.to_numpy())
    assert found.stations.ubRMSE[3] == pytest.approx(expected)
    assert found.median.value["R"] == pytest.approx(np.median(found.stations.R))
    assert found.median.low["R"] < found.median.value["R"] < found.median.high["R"]
    whole = oracle.rmsd(table.estimate.to_numpy(), table.soil_moisture.to_numpy())
    assert found.overall.value["RMSE"] == pytest.approx(whole)
    assert found.overall.low["RMSE"] < whole < found.overall.high["RMSE"]


def test_the_mean_over_stations_has_an_interval_and_counts_who_takes_part():
    table = station_table()
    found = metrics.score_stations(table)
    assert found.scored == 12
    assert found.mean.value["ubRMSE"] == pytest.approx(found.stations.ubRMSE.mean())
    assert found.mean.low["ubRMSE"] < found.mean.value["ubRMSE"] < found.mean.high["ubRMSE"]
    one_flat = table.assign(estimate=table.estimate.where(table.station != "s03", 0.2))
    flat = metrics.score_stations(one_flat)  # no correlation where nothing varies: left out
    known = found.stations.R[found.stations.station != "s03"]
    assert flat.mean.value["R"] == pytest.approx(known.mean())
    one_short = table[(table.station != "s03") | (table.time < "2019-01-11")]
    assert metrics.score_stations(one_short).scored == 11


def test_the_order_of_rows_changes_no_score():
    table = station_table()
    shuffled = table.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(
        metrics.score_stations(table).stations, metrics.score_stations(shuffled).stations
    )


def test_drawing_whole_blocks_moves_their_stations_together():
    weights = metrics.draw_weights(["a", "a", "b", "c"], seed=0, draws=50)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 1])
    assert len(np.unique(weights[:, 2])) > 1


def test_a_station_with_few_pairs_is_listed_but_takes_no_part_in_the_median():
    table = station_table()
    short = table[table.station == "s00"].head(5).assign(station="short", soil_moisture=9.0)
    found = metrics.score_stations(pd.concat([table, short]))
    assert found.stations.set_index("station").n["short"] == 5
    assert found.median.value["bias"] == pytest.approx(
        metrics.score_stations(table).median.value["bias"]
    )


def test_no_pairs_at_all_give_empty_scores_and_not_an_error():
    found = metrics.score_stations(station_table().head(0))
    assert found.stations.empty
    assert np.isnan(found.overall.value["R"])


def test_one_block_of_stations_gives_no_interval():
    """Drawing the same block again and again would make an interval of no width."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 50))
    pairs = PairStats.along(x, x + rng.normal(size=x.shape), 1)
    weights = metrics.draw_weights(["one", "one", "one"], seed=0)
    for found in (
        metrics.median_interval(pairs, weights),
        metrics.overall_interval(pairs, weights),
    ):
        assert np.isfinite(found["R"].value)
        assert np.isnan(found["R"].low)
        assert np.isnan(found["R"].high)
