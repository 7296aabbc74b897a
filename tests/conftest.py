"""Fixtures that several layers share."""

import os

import pytest
from hypothesis import settings

os.environ.setdefault("MPLBACKEND", "Agg")
settings.register_profile("beside others", deadline=None)  # tests run two at a time, and in CI
settings.load_profile("beside others")
TOGETHER = ("tests/end_to_end/",)
"""Folders whose files share what takes a minute to make: one process of `pytest -n` tests them."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give each process of `pytest -n` whole files, or whole folders of `TOGETHER`."""
    from xdist.scheduler import LoadFileScheduling

    class LoadTogether(LoadFileScheduling):
        def _split_scope(self, nodeid):
            folders = (folder for folder in TOGETHER if nodeid.startswith(folder))
            return next(folders, None) or super()._split_scope(nodeid)

    return LoadTogether(config, log)


@pytest.fixture(scope="session")
def client():
    """One local cluster of two one-thread processes for all tests that need one."""
    from smcloud.production.cluster import ClusterRequest, connect

    with connect(ClusterRequest(workers=2, worker_bytes=2 * 2**30)) as connected:
        yield connected
