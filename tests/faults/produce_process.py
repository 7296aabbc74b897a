"""A runner in a process of its own, to be killed: produce_process.py RUNFILE WORKERS."""

import sys

from smcloud.core.config import load_config
from smcloud.core.listener import Silent
from smcloud.production.cluster import ClusterRequest, connect
from smcloud.production.produce_stage import run

if __name__ == "__main__":
    request = ClusterRequest(workers=int(sys.argv[2]), worker_bytes=2 * 2**30)
    with connect(request) as client:
        run(load_config(sys.argv[1]), client, Silent())
