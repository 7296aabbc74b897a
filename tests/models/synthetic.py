"""Rows of a small world that the tests of training and of stored models share."""

import numpy as np

from smcloud.models.parameters import BoostingParams
from smcloud.models.rows import Rows

COLUMNS = ("ndvi", "lst", "rain")
PARAMS = BoostingParams(rounds=60, early_stopping=60, seed=3, trees={"max_depth": 4}, threads=1)


def world(n: int, seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, len(COLUMNS))).astype(np.float32)
    target = 0.2 + 0.05 * features[:, 0] * features[:, 1] + 0.02 * np.sin(3 * features[:, 2])
    features[rng.random(features.shape) < 0.1] = np.nan
    return Rows.of_matrix(features, (target + rng.normal(0, 0.01, n)).astype(np.float32))
