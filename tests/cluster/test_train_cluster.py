"""Training over the workers of a real cluster of processes, with one of them killed."""

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster, wait

from smcloud.core.errors import UserError
from smcloud.core.objects import open_objects
from smcloud.models.over_workers import rows_on_workers, store_rows
from smcloud.models.parameters import BoostingParams
from smcloud.models.rows import Rows
from smcloud.models.training import train_boosting

pytestmark = pytest.mark.cluster

PARAMS = BoostingParams(
    rounds=60,
    early_stopping=60,
    seed=3,
    # Without draws of rows and columns both routes grow the same trees but for rounding.
    trees={"max_depth": 4, "subsample": 1.0, "colsample_bytree": 1.0},
    threads=1,
)


def world(n: int, seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 5)).astype(np.float32)
    target = 0.2 + 0.05 * features[:, 0] + 0.02 * np.sin(3 * features[:, 2])
    return Rows.of_matrix(features, (target + rng.normal(0, 0.01, n)).astype(np.float32))


@pytest.fixture
def mortal():
    """A cluster of its own for a test that kills a worker."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster,
        Client(cluster) as mortal,
    ):
        yield mortal


def test_workers_together_learn_what_one_host_learns(client: Client, tmp_path) -> None:
    fit, stop = world(6001, 1), world(999, 2)
    here = train_boosting(fit, stop, PARAMS)
    spread = train_boosting(
        fit, stop, PARAMS, client=client, route="dask", checkpoints=str(tmp_path)
    )
    assert spread.distributed
    assert not here.distributed
    assert not spread.resumed
    assert len(spread.history) == len(here.history) == PARAMS.rounds
    assert min(spread.history) == pytest.approx(min(here.history), rel=0.05)
    assert open_objects(str(tmp_path)).list() == []


def test_each_worker_reads_its_share_of_the_rows_from_the_store(client: Client, tmp_path) -> None:
    fit = world(6001, 1)
    parts = store_rows(fit, str(tmp_path), "fit", client)
    assert sum(part.n_rows for part in parts) == fit.size
    assert all(len(pickle.dumps(part.read)) < 500 for part in parts)
    features, target = client.persist(rows_on_workers(client, parts))
    wait([features, target])
    assert all(client.has_what().values())
    np.testing.assert_array_equal(features.compute(), np.column_stack(fit.columns))
    np.testing.assert_array_equal(target.compute(), fit.target)


def test_rows_that_workers_cannot_read_are_refused(client: Client) -> None:
    with pytest.raises(UserError, match="needs a store that they can read"):
        train_boosting(world(100, 1), world(50, 2), PARAMS, client=client, route="dask")


@pytest.mark.faults
def test_a_killed_worker_costs_no_more_than_the_last_rounds(mortal: Client, tmp_path) -> None:
    fit, stop = world(60_000, 1), world(2000, 2)
    params = BoostingParams(rounds=400, early_stopping=400, seed=3, threads=1)
    victim = next(iter(mortal.run(os.getpid).values()))
    killer = threading.Thread(target=kill_at_first_checkpoint, args=(str(tmp_path), victim))
    killer.start()
    found = train_boosting(
        fit, stop, params, client=mortal, route="dask", checkpoints=str(tmp_path)
    )
    killer.join()
    assert found.resumed
    assert found.distributed
    assert len(found.history) == params.rounds
    assert found.history[-1] < found.history[19] < found.history[0]


def kill_at_first_checkpoint(url: str, pid: int) -> None:
    deadline = time.monotonic() + 60
    kept: list[str] = []
    while time.monotonic() < deadline and not kept:
        time.sleep(0.01)
        kept = [info.key for info in open_objects(url).list() if info.key.endswith(".ubj")]
    os.kill(pid, signal.SIGKILL)


@pytest.mark.faults
def test_a_command_killed_in_training_goes_on_when_given_again(tmp_path) -> None:
    rng = np.random.default_rng(6)
    rows = 20 * 200
    frame = pd.DataFrame(
        {
            "site": np.repeat([f"s{n:02d}" for n in range(20)], 200),
            "day": np.tile(pd.date_range("2019-01-01", periods=200), 20),
            **{f"x{n}": rng.normal(size=rows) for n in range(4)},
        }
    )
    frame["sm"] = np.tanh(frame["x0"] * frame["x1"]) + np.sin(2 * frame["x2"]) * frame["x3"]
    frame.to_parquet(tmp_path / "mine.parquet")
    words = ["train", "--table", "mine.parquet", "--target", "sm", "--group", "site"]
    words += ["--time", "day", "--out", "out", "--rounds", "200"]
    command = [sys.executable, "-m", "smcloud.cli.main", *words]
    kept = tmp_path / "out/models/mine/checkpoints"
    first = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    kill_at_first_checkpoint(str(kept), first.pid)
    assert first.wait(60) == -signal.SIGKILL
    assert not (tmp_path / "out/models/mine/card.json").exists()
    subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    card = json.loads((tmp_path / "out/models/mine/card.json").read_text())
    assert card["resumed"]
    assert card["rounds"] > 20
