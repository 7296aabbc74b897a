"""The benchmark of training at scale tiny: every route grows trees, and the local ones the same."""

import json

import pytest

from benchmarks import training


@pytest.mark.cluster
def test_every_route_is_measured_and_the_streamed_trees_are_the_plain_ones(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In one process: four new ones take longer to import all than to train.
    monkeypatch.setattr(training, "_apart", training._run)
    found = training.measure("tiny", 0, tmp_path)
    plain, streamed, one, two = found["routes"]
    assert streamed["same_trees"]
    assert plain["ratio"] == 1.0
    for row in (streamed, one, two):
        assert row["stop_rmse"] == pytest.approx(plain["stop_rmse"], rel=0.02)
    assert json.loads(json.dumps(found)) == found
    lines = training.show(found).splitlines()
    assert len(lines) == 2 + len(training.ROUTES)
    assert lines[3].endswith("the same")
