"""Local regressions beside a loop at their smallest: same coefficients, and others refused."""

import numpy as np
import pytest

from benchmarks import gwr
from benchmarks.compare import figures_of
from benchmarks.record import BenchmarkError


def test_figures_of_both_sides_and_of_criteria(tmp_path, monkeypatch):
    monkeypatch.setattr(gwr, "KINDS", gwr.KINDS[1:2])
    monkeypatch.setattr(gwr, "RIDGED", gwr.RIDGED[-1:])
    found = gwr.measure("tiny", 0, tmp_path)
    assert found["cells"] == 144
    assert 0 < found["day_seconds"] < found["year_seconds"]
    (row,) = found["criteria"]
    assert row["block_error_ratio"] < row["cell_error_ratio"]
    assert row["block_km"] > row["cell_km"]
    (row,) = found["ridges"]
    assert row["1/0"] < 1.0 < row["0/0"]
    assert "loop_day_seconds" in dict(figures_of(found))
    lines = gwr.show(found).splitlines()
    assert lines[0].startswith("144 cells")
    assert any(line.startswith("one slope, errors like neighbours'") for line in lines)
    assert lines[-1].startswith("predictors alike (r 0.99)")


def test_other_coefficients_are_refused():
    one = np.ones((4, 3))
    gwr._check(one, one + 1e-9)
    with pytest.raises(BenchmarkError, match="differ from the loop"):
        gwr._check(one, one * 1.001)
    with pytest.raises(BenchmarkError, match="differ"):
        gwr._check(one * np.nan, one)
