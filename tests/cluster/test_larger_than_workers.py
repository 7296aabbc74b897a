"""Rows that no worker can hold: all workers together grow the trees of every fold."""

import numpy as np
import pandas as pd
import pytest

from smcloud.models.samples import TableColumns, training_table
from smcloud.production import train_model
from smcloud.production.fold_tasks import fits_a_worker
from tests.models.study import study
from tests.production.recorder import Recorder
from tests.production.training_root import request_below, trained

pytestmark = pytest.mark.cluster


def test_folds_of_such_rows_are_grown_over_all_workers(client, tmp_path, monkeypatch) -> None:
    world = study()
    request = request_below(tmp_path / "over", held_out_networks=("THREE",), permutations=1)
    here = trained(world, request_below(tmp_path / "here", held_out_networks=("THREE",)))
    monkeypatch.setattr(train_model, "fits_a_worker", lambda *_: False)
    listener = Recorder()
    found = trained(world, request, listener, client)
    assert found.card.distributed
    assert any("all workers together" in note for note in listener.notes)
    assert not (tmp_path / "over/tables/mine-training").exists()
    assert set(found.card.scores) == set(here.card.scores)
    for kind, scores in found.card.scores.items():
        assert scores["RMSE"] == pytest.approx(here.card.scores[kind]["RMSE"], rel=0.1)
    assert trained(world, request, None, client).repeated


def test_a_few_rows_fit_a_worker(client) -> None:
    small = pd.DataFrame({"station": ["a"] * 9 + ["b"], "day": np.datetime64("2019-01-01")})
    small = small.assign(x00=np.arange(10.0), sm=np.arange(10.0))
    columns = TableColumns(("x00",), "sm", "station", "day")
    assert fits_a_worker(training_table(small, columns), client)
