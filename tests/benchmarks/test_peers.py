"""The peers do the same job: at a tiny scale their integers are equal, pixel by pixel."""

import numpy as np
import pytest

from benchmarks import ours, peers
from benchmarks.workload import land


@pytest.fixture(scope="module")
def naive(job):
    store = job.folder / "naive.zarr"
    peers.naive(job.cubes, job.scale, job.booster, land(job.scale, job.seed), store)
    return peers.read_back(store)


def test_the_naive_peer_gives_land_an_estimate_and_the_ocean_fill(job, naive):
    is_land = land(job.scale, job.seed)
    assert (naive[:, ~is_land] == peers.FILL).all()
    assert (naive[:, is_land] != peers.FILL).all()
    assert np.unique(naive[:, is_land]).size > 100


@pytest.mark.parametrize("peer", [peers.masked, peers.parallel_post_fit])
def test_peers_agree_with_each_other(job, naive, peer, tmp_path):
    store = tmp_path / "peer.zarr"
    peer(job.cubes, job.scale, job.booster, land(job.scale, job.seed), store)
    np.testing.assert_array_equal(peers.read_back(store), naive)


@pytest.mark.parametrize("is_library", [False, True])
def test_smclouds_blocks_give_the_integers_of_the_peers(job, naive, is_library, tmp_path):
    store = tmp_path / "ours.zarr"
    done = ours.run(None, job.cubes, job.scale, job.model, job.seed, store, is_library=is_library)
    np.testing.assert_array_equal(ours.read_back(store, job.scale), naive)
    assert sum(block.rows for block in done) == job.land_rows
