"""A block of glass-sm: both predictors give one product, and each feature has its row."""

import pytest

from benchmarks import features, glass
from benchmarks.record import BenchmarkError
from smcloud.production.block import BlockArrays
from smcloud.products.glass_sm import GLASS_SM


def test_a_block_of_glass_sm_is_made_by_both_predictors(tmp_path):
    found = glass.measure("tiny", 0, tmp_path)
    assert [row["route"] for row in found["routes"]] == [glass.FOREST, glass.INPLACE]
    assert found["land_rows"] == 10 * int(0.29 * 150 * 150)
    assert all(row["steps"]["features"] > 0 for row in found["routes"])
    assert "smcloud is " in glass.show(found).splitlines()[-1]


def test_blocks_that_differ_are_refused():
    one, other = ({"soil_moisture": [value]} for value in (1, 2))
    made = {glass.FOREST: BlockArrays(one, 1, {}), glass.INPLACE: BlockArrays(other, 1, {})}
    with pytest.raises(BenchmarkError, match="glass-sm: soil_moisture differs"):
        glass._check(made)


def test_every_feature_of_glass_sm_has_its_row(tmp_path):
    found = features.measure("tiny", 0, tmp_path)
    names = [row["feature"] for row in found["features"]]
    assert names == [*GLASS_SM.features, "frost flag", "all 24"]
    assert min(row["alone_nanoseconds"] for row in found["features"]) > 0
    assert features.show(found).splitlines()[1].startswith("lst_day")
