"""Rows that no worker can hold: each reads its part, and together they grow the trees of one."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from distributed import Client

from smcloud.core.errors import ClusterError
from smcloud.models.boosting import forest_of
from smcloud.models.mapped_table import mapped_table
from smcloud.models.over_workers import VALUE_BYTES, require_room
from smcloud.models.parameters import BoostingParams
from smcloud.models.samples import TableColumns, TrainingTable, training_table
from smcloud.models.training import train_boosting
from smcloud.production.cluster import ClusterRequest, connect
from smcloud.production.fold_tasks import fits_a_worker

pytestmark = pytest.mark.cluster

WORKERS, WORKER_BYTES = 5, 640 * 2**20
STATIONS, DAYS, FEATURES = 480, 11_100, 15
"""682 MB of doubles: more than a worker has, its 320 MB of libraries not counted."""
COLUMNS = TableColumns(tuple(f"x{n:02d}" for n in range(FEATURES)), "sm", "station", "day")
ALL_ROWS = {"max_depth": 4, "eta": 0.5, "subsample": 1.0, "colsample_bytree": 1.0}
"""Rows and columns that workers draw are others; with all of them only the cuts of bins differ."""
LEVELS = 200
"""Values of a feature: fewer than bins, so that the cuts are the same whichever worker has which
rows, and the trees too but for the order in which sums are made."""
PARAMS = BoostingParams(rounds=4, early_stopping=4, seed=3, trees=ALL_ROWS)
SCORE_TOLERANCE = 1e-4
"""Of the RMSE on the stop set, against one process: docs/train.md says so."""


def station(number: int) -> pa.Table:
    rng = np.random.default_rng([4, number])
    x = rng.integers(0, LEVELS, (FEATURES, DAYS)) / LEVELS
    sm = 0.2 + 0.1 * x[0] * x[1] + 0.05 * np.sin(5 * x[2]) + 0.01 * rng.standard_normal(DAYS)
    days = np.datetime64("1960-01-01") + np.arange(DAYS)
    columns = {"station": pa.array([f"s{number:03d}"] * DAYS), "day": days}
    columns |= {name: x[n] for n, name in enumerate(COLUMNS.features)}
    return pa.table(columns | {"sm": sm})


@pytest.fixture
def table(tmp_path) -> TrainingTable:
    path, scratch = tmp_path / "t.parquet", tmp_path / "scratch"
    first = station(0)
    with pq.ParquetWriter(path, first.schema, compression="none", use_dictionary=False) as writer:
        for number in range(STATIONS):
            writer.write_table(station(number))
    assert path.stat().st_size > WORKER_BYTES
    scratch.mkdir()
    return training_table(mapped_table(path, scratch), COLUMNS)


def own_bytes() -> int:
    """Memory of this process but for the pages of files, which the system takes back."""
    held = psutil.Process().memory_info()
    return int(held.rss - held.shared)


class Watch:
    """What the run took at its most: memory of this process, parts that each worker held."""

    def __init__(self, client: Client) -> None:
        self.bytes = own_bytes()
        self.parts: dict[str, int] = {}
        self._client = client

    def look(self) -> None:
        self.bytes = max(self.bytes, own_bytes())
        for worker, keys in self._client.has_what().items():
            held = sum(str(key).startswith("read-") and "fit-" in str(key) for key in keys)
            self.parts[worker] = max(self.parts.get(worker, 0), held)


@contextmanager
def watched(client: Client) -> Iterator[Watch]:
    watch, stop = Watch(client), threading.Event()

    def look() -> None:
        while not stop.wait(0.1):
            watch.look()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watch
    finally:
        stop.set()
        thread.join()


@pytest.mark.timeout(900)  # Six processes that import all: minutes where others work beside.
def test_workers_too_small_for_the_rows_grow_the_trees_of_one_process(
    table: TrainingTable, tmp_path
) -> None:
    rows = np.arange(table.order.size)
    is_stop = table.codes % 50 == 0
    fit, stop = table.rows(rows[~is_stop]), table.rows(rows[is_stop])
    with connect(ClusterRequest(workers=WORKERS, worker_bytes=WORKER_BYTES)) as client:
        assert not fits_a_worker(table, client)
        before = client.run(os.getpid)
        held = own_bytes()
        with watched(client) as most:
            over = train_boosting(
                fit, stop, PARAMS, client=client, route="dask", checkpoints=str(tmp_path / "kept")
            )
        assert client.run(os.getpid) == before, "a worker was killed"
    assert over.distributed
    assert not over.resumed
    assert most.bytes - held < fit.n_values * 4 / 2, "the rows went through this process whole"
    assert len(most.parts) == WORKERS
    assert len(set(most.parts.values())) == 1, f"parts lie unevenly: {most.parts}"
    here = train_boosting(fit, stop, PARAMS)
    assert min(over.history) == pytest.approx(min(here.history), rel=SCORE_TOLERANCE)
    features = np.concatenate([part.copy() for part, _ in stop.batches()], axis=1)
    one, other = (forest_of(part.data).predict(features) for part in (here, over))
    assert np.sqrt(np.mean((one - other) ** 2)) < 1e-3 * min(here.history)


def test_rows_of_a_few_bytes_fit_a_worker(client: Client) -> None:
    small = pd.DataFrame({"station": ["a"] * 9 + ["b"], "day": np.datetime64("2019-01-01")})
    small = small.assign(x00=np.arange(10.0), sm=np.arange(10.0))
    columns = TableColumns(("x00",), "sm", "station", "day")
    assert fits_a_worker(training_table(small, columns), client)


def test_rows_that_all_workers_together_cannot_hold_are_refused_with_what_they_need(
    client: Client,
) -> None:
    values = int(2 * 2**30 / VALUE_BYTES)  # One of the two workers, whole.
    require_room(client, values // 2)
    with pytest.raises(ClusterError, match=r"need 21\d\d MB on each of 2 workers.* more memory"):
        require_room(client, 2 * values)
