"""The forest of frozen ground and a produced year, measured at their smallest."""

import numpy as np
import pytest

from benchmarks import freeze_thaw
from benchmarks.record import BenchmarkError


def test_forest_and_year_are_measured(tmp_path):
    found = freeze_thaw.measure("tiny", 0, tmp_path)
    cells, days = divmod(found["year"]["cell_days"], freeze_thaw.DAYS)
    assert 20 <= cells <= 50
    assert days == 0
    assert found["estimating"]["ratio"] > 0
    assert found["growing"]["rows"] > 1_500
    assert found["year"]["northern_land_cells"] > 100_000
    told = freeze_thaw.show(found)
    assert "equal in every bit" in told
    assert len(told.splitlines()) == 7


def test_other_estimates_are_refused():
    with pytest.raises(BenchmarkError, match=r"differ from scikit-learn's by 0\.5"):
        freeze_thaw._require_equal(np.zeros(3), np.full(3, 0.5))
