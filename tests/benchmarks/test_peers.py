"""The peers do the same job: at a tiny scale their integers are equal, pixel by pixel."""

import numpy as np
import pytest

from benchmarks import ours, peers
from benchmarks.workload import SCALES, land, prepare


@pytest.fixture(scope="module")
def workload(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    scale = SCALES["tiny"]
    url, model = prepare(folder, scale, seed=0)
    return folder, scale, url, model, land(scale, seed=0)


@pytest.mark.cluster
def test_peers_agree_with_each_other(workload, client):
    folder, scale, url, model, is_land = workload
    naive = peers.naive(url, scale, model, is_land, folder)
    assert (naive[:, ~is_land] == peers.FILL).all()
    assert (naive[:, is_land] != peers.FILL).any()
    for peer in (peers.masked, peers.parallel_post_fit):
        np.testing.assert_array_equal(peer(url, scale, model, is_land, folder), naive)
    np.testing.assert_array_equal(
        peers.xgboost_dask(url, scale, model, is_land, folder, client), naive
    )


def test_smcloud_gives_the_integers_of_its_peers(workload):
    folder, scale, url, model, is_land = workload
    path = str(folder / "model.ubj")
    model.save_model(path)
    stored, done = ours.run(url, scale, path, 0, folder, None)
    np.testing.assert_array_equal(stored, peers.naive(url, scale, model, is_land, folder))
    assert sum(block.rows for block in done) == int(is_land.sum()) * scale.days
