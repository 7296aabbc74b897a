"""One training of the small world, for tests of training and of stored models alike."""

import pytest

from smcloud.models.checkpoints import Trained
from smcloud.models.rows import Rows
from smcloud.models.training import train_boosting
from tests.models.synthetic import PARAMS, world


@pytest.fixture(scope="session")
def fit() -> Rows:
    return world(4000, 1)


@pytest.fixture(scope="session")
def stop() -> Rows:
    return world(1000, 2)


@pytest.fixture(scope="session")
def trained(fit: Rows, stop: Rows) -> Trained:
    return train_boosting(fit, stop, PARAMS)
