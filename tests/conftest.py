"""Fixtures that several layers share."""

import os

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(scope="session")
def client():
    """One local cluster of two one-thread processes for all tests that need one."""
    from smcloud.production.cluster import ClusterRequest, connect

    with connect(ClusterRequest(workers=2, worker_bytes=2 * 2**30)) as connected:
        yield connected
