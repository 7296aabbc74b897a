"""A forest of frozen ground from end to end: workers, parts, what is done once, hard inputs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from smcloud.core.errors import UserError
from smcloud.core.objects import open_objects
from smcloud.models.base import content_hash
from smcloud.models.freeze_thaw import ForestRules, fit_freeze_thaw
from smcloud.models.freeze_thaw_files import load_freeze_thaw, to_bytes
from smcloud.models.freeze_thaw_rows import TableColumns
from smcloud.production import freeze_thaw_tasks
from smcloud.production.cluster import ClusterRequest, connect
from smcloud.production.freeze_thaw_tasks import FreezeThawRequest, train_freeze_thaw
from smcloud.validation.splits import SplitRules
from tests.models.frozen_ground import FEATURES, GLDAS, frozen_table
from tests.production.recorder import Recorder
from tests.trees import tree_of


@pytest.fixture(scope="module")
def table():
    return frozen_table()


def request_at(folder, **changes) -> FreezeThawRequest:
    settings = {
        "forest": ForestRules(trees=6, max_depth=7),
        "split": SplitRules(block_degrees=4.0, folds=3),
        "folds": 2,
        "gldas": GLDAS,
        "columns": TableColumns(elevation="elevation", soil_temperature="soil_temperature"),
        "trees_at_once": 4,
        "target": "freeze_thaw_state",
        "target_units": "1",
    } | changes
    return FreezeThawRequest(root=str(folder), name="mine", features=FEATURES, **settings)


@pytest.fixture(scope="module")
def trained(table, tmp_path_factory):
    request = request_at(tmp_path_factory.mktemp("root"))
    return request, train_freeze_thaw(table, request)


def test_the_kept_forest_learns_from_all_rows(trained, table) -> None:
    request, found = trained
    known = table[table["label"] != 255].sort_values(["time", "row", "col"])
    alone = fit_freeze_thaw(
        known[list(FEATURES)].to_numpy(np.float32),
        known["label"].to_numpy(),
        FEATURES,
        "frozen",
        request.forest,
    )
    assert content_hash(to_bytes(alone)) == found.card.sha256
    assert sum(found.card.rows.values()) == len(known)
    assert load_freeze_thaw(request.models, "mine", FEATURES)[1].to_json() == found.card.to_json()


def test_every_split_is_scored_and_the_hardest_has_the_ablation(trained) -> None:
    _, found = trained
    assert found.card.headline == "station_year"
    assert found.card.notes == ()
    assert set(found.scores.scores["unseen regions in unseen years"]) == {
        "all",
        "without GLDAS",
        "GLDAS alone",
    }
    assert set(found.scores.scores["unseen regions"]) == {"all"}
    told = json.loads(found.card.to_json())["scores"]["random: test, all"]
    assert told["overall_accuracy"] > 0.8
    # random; three splits of two folds; two folds without some features, twice; parts of the trees
    assert (found.done, found.kept) == (1 + 2 * 3 + 2 * 2 + 2, 0)


@pytest.mark.cluster
def test_files_are_the_same_bytes_for_any_workers_and_parts(
    trained, table, client, tmp_path
) -> None:
    expected = tree_of(open_folder(trained[0]))
    assert len(expected) == 3
    for name, cluster, parts in (("two", client, 1), ("none", None, 100)):
        request = request_at(tmp_path / name, trees_at_once=parts)
        train_freeze_thaw(table, request, cluster)
        assert tree_of(open_folder(request)) == expected
    with connect(ClusterRequest(workers=1, worker_bytes=2 * 2**30)) as alone:
        request = request_at(tmp_path / "one", trees_at_once=5)
        train_freeze_thaw(table, request, alone)
        assert tree_of(open_folder(request)) == expected


def open_folder(request) -> Path:
    return Path(request.root) / "models" / request.name


def test_a_second_run_does_nothing_and_rows_are_not_left_behind(table, tmp_path) -> None:
    request = request_at(tmp_path, folds=1)
    first = train_freeze_thaw(table, request)
    again = train_freeze_thaw(table.sample(frac=1.0, random_state=2), request)
    assert (again.repeated, again.done) == (True, 0)
    assert again.card.to_json() == first.card.to_json()
    assert open_objects(request.samples_url).list() == []
    other = train_freeze_thaw(table, replace(request, partly="thawed"))
    assert not other.repeated
    stored = {info.key for info in request.models.list("mine/")}
    card = other.card
    assert stored == {
        "mine/card.json",
        f"mine/{card.sha256}.trees.npz",
        f"mine/{card.scores_sha256}.scores.json",
    }


def test_a_run_that_was_killed_goes_on(table, tmp_path, monkeypatch) -> None:
    request = request_at(tmp_path, folds=1)

    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(freeze_thaw_tasks, "save_freeze_thaw", dies)
        with pytest.raises(KeyboardInterrupt):
            train_freeze_thaw(table, request)
    found = train_freeze_thaw(table, request)
    assert (found.done, found.kept) == (0, 1 + 3 + 2 + 2)


def test_a_damaged_model_is_trained_again(table, tmp_path) -> None:
    request = request_at(tmp_path, folds=1)
    first = train_freeze_thaw(table, request)
    request.models.put(f"mine/{first.card.sha256}.trees.npz", b"nothing")
    again = train_freeze_thaw(table, request)
    assert not again.repeated
    assert again.card.to_json() == first.card.to_json()


def test_one_year_leaves_splits_by_year_out_and_says_so(table, tmp_path) -> None:
    recorder = Recorder()
    year = table[table["time"] < "2015"]
    found = train_freeze_thaw(year, request_at(tmp_path, folds=1), listener=recorder)
    assert found.card.headline == "station"
    assert len(found.card.notes) == 2
    assert recorder.notes == list(found.card.notes)
    assert "needs rows of two years" in found.card.notes[0]


def test_a_table_of_one_state_is_refused_in_one_line(table, tmp_path) -> None:
    thawed = table[table["label"] == 0]
    with pytest.raises(UserError, match="frozen 0; take more days"):
        train_freeze_thaw(thawed, request_at(tmp_path))
    assert request_at(tmp_path).models.list("mine/") == []
