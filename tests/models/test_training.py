"""Trees that are stopped in time and resumed from the store."""

from dataclasses import replace

import numpy as np
import pytest
import xgboost

from smcloud.core.errors import ConfigError, UserError
from smcloud.core.objects import open_objects
from smcloud.models.checkpoints import (
    CHECKPOINT_ROUNDS,
    GrowingRules,
    Trained,
    last_checkpoint,
)
from smcloud.models.parameters import BoostingParams
from smcloud.models.rows import Rows
from smcloud.models.training import is_distributed, train_boosting
from tests.models.synthetic import PARAMS


def test_equal_seeds_give_equal_bytes_and_others_do_not(
    fit: Rows, stop: Rows, trained: Trained
) -> None:
    assert train_boosting(fit, stop, PARAMS).data == trained.data
    assert train_boosting(fit, stop, replace(PARAMS, seed=4)).data != trained.data


def test_the_number_of_bins_reaches_the_trees(fit: Rows, stop: Rows, trained: Trained) -> None:
    def most_thresholds(found: Trained) -> int:
        trees = xgboost.Booster(model_file=bytearray(found.data)).trees_to_dataframe()
        return int(trees[trees.Feature != "Leaf"].groupby("Feature").Split.nunique().max())

    coarse = replace(PARAMS, trees={**PARAMS.trees, "max_bin": 4})
    assert most_thresholds(train_boosting(fit, stop, coarse)) <= 4 < most_thresholds(trained)


def test_growing_stops_where_the_stop_set_is_met_best(fit: Rows) -> None:
    rng = np.random.default_rng(0)
    few = Rows(fit.columns, rng.random(200).astype(np.float32), fit.index[:200])
    other = Rows(fit.columns, rng.random(200).astype(np.float32), fit.index[200:400])
    found = train_boosting(few, other, replace(PARAMS, rounds=200, early_stopping=5))
    assert len(found.history) == found.rounds + 5
    assert found.history[found.rounds - 1] == min(found.history)
    booster = xgboost.Booster(model_file=bytearray(found.data))
    assert booster.num_boosted_rounds() == found.rounds
    assert booster.attributes() == {}


class Killed(Exception):
    """Stands for a SIGKILL."""


def kill_after(monkeypatch: pytest.MonkeyPatch, rounds: int) -> None:
    whole = GrowingRules.after_iteration

    def until(self, model, epoch, evals_log):
        last = whole(self, model, epoch, evals_log)
        if len(self.history) >= rounds:
            raise Killed
        return last

    monkeypatch.setattr(GrowingRules, "after_iteration", until)


def run_killed(fit: Rows, stop: Rows, url: str, rounds: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        kill_after(patch, rounds)
        with pytest.raises(Killed):
            train_boosting(fit, stop, PARAMS, checkpoints=url)


def test_a_killed_training_goes_on_from_its_last_checkpoint(
    tmp_path, fit: Rows, stop: Rows, trained: Trained
) -> None:
    url = str(tmp_path)
    run_killed(fit, stop, url, CHECKPOINT_ROUNDS * 2 + 5)
    kept = last_checkpoint(open_objects(url).child(only_folder(url)).url)
    assert kept is not None
    assert kept.rounds == kept.booster.num_boosted_rounds() == CHECKPOINT_ROUNDS * 2
    again = train_boosting(fit, stop, PARAMS, checkpoints=url)
    assert again.resumed
    assert not trained.resumed
    assert len(again.history) == PARAMS.rounds
    assert again.history[: CHECKPOINT_ROUNDS * 2] == trained.history[: CHECKPOINT_ROUNDS * 2]
    assert abs(min(again.history) - min(trained.history)) < 0.05 * min(trained.history)
    assert open_objects(url).list() == []


def only_folder(url: str) -> str:
    (folder,) = {info.key.split("/")[0] for info in open_objects(url).list()}
    return folder


def test_a_damaged_checkpoint_is_passed_over(tmp_path, fit: Rows, stop: Rows) -> None:
    url = str(tmp_path)
    run_killed(fit, stop, url, CHECKPOINT_ROUNDS * 2 + 1)
    objects = open_objects(url)
    last = objects.list()[-1].key
    objects.put(last, objects.get(last)[:-1] + b"x")
    kept = last_checkpoint(objects.child(only_folder(url)).url)
    assert kept is not None
    assert kept.rounds == CHECKPOINT_ROUNDS


def test_a_checkpoint_of_other_rows_is_never_continued(tmp_path, fit: Rows, stop: Rows) -> None:
    url = str(tmp_path)
    run_killed(fit, stop, url, CHECKPOINT_ROUNDS + 1)
    other = replace(fit, target=fit.target + np.float32(0.001))
    assert not train_boosting(other, stop, PARAMS, checkpoints=url).resumed


def test_a_finished_training_is_not_resumed(
    tmp_path, fit: Rows, stop: Rows, trained: Trained
) -> None:
    for _ in range(2):
        found = train_boosting(fit, stop, PARAMS, checkpoints=str(tmp_path))
        assert not found.resumed
        assert found.data == trained.data


def test_a_constant_target_is_nothing_to_learn(fit: Rows, stop: Rows) -> None:
    flat = replace(fit, target=np.full(fit.size, 0.3, np.float32))
    with pytest.raises(UserError, match=r"the target is 0\.3 in all 4000 rows"):
        train_boosting(flat, stop, PARAMS)


def test_an_unknown_target_is_refused(fit: Rows) -> None:
    with pytest.raises(UserError, match="unknown values"):
        replace(fit, target=np.full(fit.size, np.nan, np.float32))


def test_parameters_of_ours_cannot_be_set() -> None:
    with pytest.raises(ConfigError, match="nthread are set by smcloud"):
        BoostingParams(trees={"nthread": 64})


class FakeClient:
    def __init__(self, *hosts: str) -> None:
        self.hosts = hosts

    def scheduler_info(self, n_workers: int) -> dict:
        return {"workers": {f"tcp://{i}": {"host": host} for i, host in enumerate(self.hosts)}}


def test_the_route_follows_hosts_and_memory(fit: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    here, apart = FakeClient("a", "a"), FakeClient("a", "b")
    assert not is_distributed("auto", None, fit)
    assert not is_distributed("auto", here, fit)
    assert is_distributed("auto", apart, fit)
    assert not is_distributed("local", apart, fit)
    assert is_distributed("dask", here, fit)
    monkeypatch.setattr("smcloud.models.training.TRAINING_BYTES", 10**12)
    assert is_distributed("auto", here, fit)
    with pytest.raises(UserError, match="needs a cluster"):
        is_distributed("dask", None, fit)
