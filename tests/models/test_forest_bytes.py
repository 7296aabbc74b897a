"""The evaluator leaves the stored bytes of a product as XGBoost's predictor makes them."""

import numpy as np
import xgboost

from smcloud.models.forest import Forest
from smcloud.production.estimators import encoding_of, put_estimates
from smcloud.products.glass_sm import GLASS_SM
from tests.models.trees import by_library

N_FEATURES = len(GLASS_SM.features)
SCALES = np.geomspace(1e-2, 1e3, N_FEATURES, dtype=np.float32)[:, None]
"""From albedo to metres."""


def columns_of(n_rows, seed):
    rng = np.random.default_rng(seed)
    columns = rng.normal(1, 1, (N_FEATURES, n_rows)).astype(np.float32) * SCALES
    columns[rng.random(columns.shape) < 0.2] = np.nan
    return columns


def test_a_product_stores_the_same_bytes():
    columns = columns_of(4000, 1)
    relative = np.nan_to_num(columns / SCALES)
    target = 0.2 * relative[0] + 0.1 * relative[3] * relative[10] + 0.05 * relative[N_FEATURES - 1]
    parameters = {**GLASS_SM.parameters, "max_depth": 8, "nthread": 1}
    booster = xgboost.train(parameters, xgboost.DMatrix(columns.T, target, nthread=1), 40)
    tile = columns_of(9000, 2)
    flags = np.random.default_rng(3).integers(0, 16, 9000).astype(np.uint8)

    def stored(estimates):
        variable = GLASS_SM.schema.variable(GLASS_SM.target.column)
        encoding = encoding_of(variable, GLASS_SM.no_estimate_where)
        made = np.zeros((1, 9000), np.int16), np.zeros((1, 9000), np.uint8)
        put_estimates(estimates[None], flags[None], np.arange(9000), encoding, *made)
        return made

    found = stored(Forest.from_xgboost(booster).predict(tile, threads=2))
    expected = stored(by_library(booster, tile))
    assert len(np.unique(found[0])) > 1000
    assert [one.tobytes() for one in found] == [one.tobytes() for one in expected]
