"""Places and days of a simulated Earth that several tests look at."""

from collections.abc import Callable

import numpy as np
import pytest

from smcloud.simulate.records import DayState
from smcloud.simulate.world import Earth

SEED = 7


Days = Callable[[str, str], np.ndarray]


@pytest.fixture(scope="session")
def days() -> Days:
    return lambda first, last: np.arange(first, np.datetime64(last) + 1, dtype="datetime64[D]")


@pytest.fixture(scope="session")
def places() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.uniform(-180, 180, 160), rng.uniform(-40, 62, 160)


@pytest.fixture(scope="session")
def earth() -> Earth:
    return Earth(SEED)


@pytest.fixture(scope="session")
def year(earth: Earth, places: tuple[np.ndarray, np.ndarray], days: Days) -> list[DayState]:
    return list(earth.run(*places, days("2018-01-01", "2018-12-31")))


@pytest.fixture(scope="session")
def of_year(year: list[DayState]) -> Callable[[str], np.ndarray]:
    return lambda name: np.stack([getattr(state, name) for state in year])
