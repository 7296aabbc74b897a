from collections.abc import Iterator

import pytest
from distributed import Client

from smcloud.production.cluster import ClusterRequest, connect


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    with connect(ClusterRequest(workers=2, worker_bytes=2 * 2**30)) as connected:
        yield connected
