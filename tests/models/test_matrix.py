"""Rows that reach XGBoost in batches grow the trees of one whole array, bit for bit."""

from dataclasses import replace

import numpy as np
import pytest
import xgboost

from smcloud.models.matrix import quantised
from smcloud.models.parameters import BoostingParams
from smcloud.models.rows import BATCH_ROWS, Rows
from smcloud.models.training import train_boosting

PARAMS = BoostingParams(rounds=6, early_stopping=6, seed=5, threads=2, trees={"max_depth": 6})
TABLE_ROWS = 3 * BATCH_ROWS


@pytest.fixture(scope="module")
def table() -> tuple[np.ndarray, ...]:
    """Columns as tables have them: float32, float64 and whole numbers, some values unknown."""
    rng = np.random.default_rng(11)
    rain = rng.gamma(0.4, 5.0, TABLE_ROWS).astype(np.float32)
    heat = rng.normal(290, 8, TABLE_ROWS)
    day = rng.integers(1, 366, TABLE_ROWS, dtype=np.int16)
    rain[rng.random(TABLE_ROWS) < 0.1] = np.nan
    heat[rng.random(TABLE_ROWS) < 0.3] = np.nan
    return rain, heat, day


def chosen(table: tuple[np.ndarray, ...], n: int, seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    index = np.sort(rng.choice(TABLE_ROWS, n, replace=False))
    known = [np.nan_to_num(column[index]) for column in table]
    target = 0.1 + 0.01 * known[0] + 0.0005 * known[1] + 0.05 * np.sin(known[2] / 58.0)
    return Rows(table, (target + rng.normal(0, 0.02, n)).astype(np.float32), index)


@pytest.fixture(scope="module")
def fit(table: tuple[np.ndarray, ...]) -> Rows:
    return chosen(table, 2 * BATCH_ROWS + 777, 1)


@pytest.fixture(scope="module")
def stop(table: tuple[np.ndarray, ...]) -> Rows:
    return chosen(table, 5000, 2)


def whole(rows: Rows) -> np.ndarray:
    return np.column_stack([column[rows.index] for column in rows.columns]).astype(np.float32)


def test_batches_are_the_rows_in_order(fit: Rows) -> None:
    found = [(features.copy(), target) for features, target in fit.batches()]
    assert [target.size for _, target in found] == [BATCH_ROWS, BATCH_ROWS, 777]
    np.testing.assert_array_equal(np.hstack([part for part, _ in found]).T, whole(fit))
    np.testing.assert_array_equal(np.concatenate([part for _, part in found]), fit.target)


def test_streamed_rows_grow_the_trees_of_one_array(fit: Rows, stop: Rows) -> None:
    matrix = xgboost.QuantileDMatrix(whole(fit), fit.target, max_bin=256, nthread=2)
    held_out = xgboost.QuantileDMatrix(whole(stop), stop.target, ref=matrix, nthread=2)
    plain = xgboost.train(
        {**PARAMS.for_xgboost(0), "nthread": 2},
        matrix,
        PARAMS.rounds,
        evals=[(held_out, "stop")],
        verbose_eval=False,
    )
    found = train_boosting(fit, stop, PARAMS)
    assert found.rounds == PARAMS.rounds
    assert found.data == bytes(plain[: PARAMS.rounds].save_raw("ubj"))


@pytest.mark.parametrize("batch_rows", [1000, BATCH_ROWS - 1, TABLE_ROWS])
def test_the_size_of_a_batch_moves_no_cut(
    fit: Rows, batch_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = quantised(fit, max_bin=64, threads=1).get_quantile_cut()
    batches = Rows.batches
    monkeypatch.setattr(Rows, "batches", lambda rows: batches(rows, batch_rows))
    found = quantised(fit, max_bin=64, threads=2).get_quantile_cut()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_stop_set_is_cut_where_the_rows_to_fit_are(fit: Rows, stop: Rows) -> None:
    matrix = quantised(fit, max_bin=32, threads=1)
    held_out = quantised(stop, max_bin=32, threads=1, ref=matrix)
    np.testing.assert_array_equal(
        held_out.get_quantile_cut()[1][:-1], matrix.get_quantile_cut()[1][:-1]
    )


def test_equal_rows_have_one_hash_wherever_they_lie(fit: Rows) -> None:
    copied = Rows.of_matrix(whole(fit), fit.target)
    assert copied.content_hash() == fit.content_hash()
    assert replace(fit, index=fit.index[::-1]).content_hash() != fit.content_hash()
