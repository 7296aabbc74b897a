"""The peers do the same job: at a tiny scale their integers are equal, pixel by pixel."""

import numpy as np
import pytest

from benchmarks import peers
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
