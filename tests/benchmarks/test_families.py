"""The benchmark of the families at its smallest: equal estimates, and others refused."""

import numpy as np
import pytest

from benchmarks import families
from benchmarks.record import BenchmarkError
from smcloud.models.families import FAMILIES, TITLES
from smcloud.models.family_fits import fit_family

pytestmark = pytest.mark.cluster


def test_every_family_has_its_row(tmp_path):
    found = families.measure("tiny", 0, tmp_path)
    assert [row["family"] for row in found["families"]] == list(FAMILIES)
    assert min(row["nanoseconds_a_point"] for row in found["families"]) > 0
    assert [row["largest_difference"] for row in found["families"][3:]] == [0.0, 0.0]
    assert len(found["searches"]) == 3
    text = families.show(found)
    assert all(TITLES[name] in text for name in FAMILIES)


def test_estimates_that_differ_are_refused():
    cells = families.day_of_cells(12, 0)
    model = fit_family("rf", cells, {"trees": 3}, 0)
    columns = families.fine_points(cells, 50, 0)

    def theirs(rows):
        return model.predict(np.ascontiguousarray(rows.T)) + 1e-6

    with pytest.raises(BenchmarkError, match="random forest: differs from its library"):
        families.check("rf", model, columns, theirs)
