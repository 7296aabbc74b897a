"""The tile job at its smallest, and records to read."""

import pytest

from benchmarks import routes
from benchmarks.record import Record, write
from benchmarks.workload import SCALES


@pytest.fixture(scope="session")
def jobs(tmp_path_factory):
    return routes.prepared(SCALES["tiny"], 0, tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="session")
def job(jobs):
    return jobs[0]


@pytest.fixture
def recorded(tmp_path):
    """Return a function that writes a record of the tile job and returns its file."""

    def recorded(commit="a1", *, rate=100.0, cores=2, folder=tmp_path, **other):
        machine = {"processor": "a chip", "cores": cores, "compiled_for": "avx2"}
        row = {"route": "smcloud", "workers": 2, "seconds": 1e4 / rate}
        row["land_rows_per_second"] = rate
        known = {"benchmark": "tile", "scale": "small", "seed": 0, "committed": commit}
        known |= {"versions": {"numpy": "2.4"}, "figures": {"routes": [row]}} | other
        return write(Record(commit=commit, machine=machine, **known), folder)

    return recorded
