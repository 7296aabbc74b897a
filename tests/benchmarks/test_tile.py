"""The benchmark of the tile job runs every route, compares integers, and judges by its goals."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import ours, routes, tile


@pytest.fixture(scope="module")
def found(jobs, client):
    short, long = (tile.rates(job, routes.run_in_turn(job, lambda _: client)) for job in jobs)
    return {**tile.figures(short, long, jobs[0].scale, 0), "requests": {}}


@pytest.mark.cluster
def test_every_route_has_its_row(found):
    rows = [(row["route"], row["workers"]) for row in found["routes"]]
    peers = [routes.BLOCKWISE, *routes.PEERS, routes.XGBOOST_DASK]
    assert rows == [
        *[(routes.OURS, workers) for workers in routes.worker_counts()],
        *[(name, routes.PEER_WORKERS) for name in peers],
    ]
    assert all(
        row["land_rows_per_second"] > 0 and row["core_seconds"] > 0 for row in found["routes"]
    )


@pytest.mark.cluster
def test_the_table_says_what_is_met_and_what_is_not(found):
    hard = {"goal": "the moon", "at_least": 1.0, "found": 0.5}
    easy = {"goal": "the door", "at_most": 1.0, "found": 0.5}
    lines = tile.show({**found, "goals": [hard, easy]}).splitlines()
    assert "goal: the moon at least 1: 0.5, NOT MET" in lines
    assert "goal: the door at most 1: 0.5, met" in lines
    assert sum(line.startswith("smcloud ") for line in lines) == 2 * len(routes.worker_counts())
    assert any(line.startswith("30 trees, whole job over the evaluator alone") for line in lines)


@pytest.mark.cluster
def test_a_route_with_other_integers_is_refused(job, client, monkeypatch):
    right = ours.read_back
    monkeypatch.setattr(
        ours, "read_back", lambda store, scale: right(store, scale) + ("library" in store.name)
    )
    alone = replace(job, scale=replace(job.scale, with_peers=False))
    with pytest.raises(routes.BenchmarkError, match="inplace_predict: its integers differ"):
        routes.run_in_turn(alone, lambda workers: client)


def test_a_global_year_counts_all_cores_of_the_wall_clock(monkeypatch):
    monkeypatch.setattr(tile.os, "cpu_count", lambda: 2)
    row = {"route": routes.OURS, "workers": 2, "seconds": 10.0, "core_seconds": 15.0}
    row["land_rows_per_second"] = 4e6
    year = tile._global_year([row, {**row, "workers": 4}])
    assert year["land_rows_per_core_second"] == 2e6
    assert np.isclose(year["core_hours"], 157e6 * 365 / 2e6 / 3600)
    assert np.isclose(year["busy_core_hours"], 0.75 * year["core_hours"])
