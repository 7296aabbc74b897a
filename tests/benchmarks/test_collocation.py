"""Triple collocation beside pytesmo at its smallest: same values, and other values refused."""

import numpy as np
import pytest

from benchmarks import collocation
from benchmarks.compare import figures_of
from benchmarks.record import BenchmarkError
from smcloud.validation.triple_collocation import bootstrap, triple_collocation


def test_every_job_has_its_row_and_equal_values(tmp_path):
    found = collocation.measure("tiny", 0, tmp_path)
    assert [row["job"] for row in found["jobs"]] == list(collocation.JOBS)
    assert all(row["smcloud_seconds"] > 0 for row in found["jobs"])
    assert found["status"]["series"] == 6
    judged = dict(figures_of(found))
    assert {"jobs / scores / smcloud_seconds", "jobs / scores / pytesmo_seconds"} <= set(judged)
    lines = collocation.show(found).splitlines()
    assert "values are equal" in lines
    assert len(found["coverage"]) == len(collocation.MEMORIES) * len(collocation.BLOCKS)
    assert all(0.3 < row["r"] <= 1 for row in found["coverage"])
    assert "pytesmo on 2 stations" in lines[3]


def test_other_figures_are_refused():
    values = collocation.series(2, 2000, 0)
    snr, error, beta = collocation.their_collocation(values)
    collocation.check_collocation(triple_collocation(values), (snr, error, beta))
    with pytest.raises(BenchmarkError, match="error_std differs"):
        collocation.check_collocation(triple_collocation(values), (snr, error * 1.001, beta))


def test_other_intervals_are_refused():
    values = collocation.series(2, 2000, 0)
    ours = bootstrap(values, seed=0, draws=200, block_days=1)
    theirs = collocation.their_intervals(values, 200, 0)
    collocation.check_intervals(ours, theirs, 200)
    theirs[:, 1, 2] += np.abs(theirs[:, 1, 2] - theirs[:, 1, 1])
    with pytest.raises(BenchmarkError, match="beyond chance"):
        collocation.check_intervals(ours, theirs, 200)


def test_other_scores_are_refused():
    values = collocation.series(2, 2000, 0)
    ours = collocation.our_scores(values)
    with pytest.raises(BenchmarkError, match="bias differs"):
        collocation.check_scores(ours, collocation.their_scores(values) | {"bias": ours["R"]})
