"""The benchmark of intervals at scale tiny: four methods, and a block three times."""

import json

from benchmarks import uncertainty


def test_methods_are_scored_and_a_block_is_timed_with_and_without_them(tmp_path):
    found = uncertainty.measure("tiny", 0, tmp_path)
    assert [len(method["levels"]) for method in found["methods"]] == [2] * 4
    for method in found["methods"]:
        narrow, wide = method["levels"]
        assert 0 < narrow["width"] < wide["width"] < 1
        assert 0.3 < narrow["point_covered"] < wide["point_covered"] <= 1
    alone, spread, area = found["block"]
    assert alone["times"] == 1.0
    assert spread["times"] < 3
    assert area["seconds"] > 0
    assert json.loads(json.dumps(found)) == found
    assert len(uncertainty.show(found).splitlines()) == 2 + 8 + 1 + 3
