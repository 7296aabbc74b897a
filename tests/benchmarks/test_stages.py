"""The benchmark of the stages at its smallest: costs, what bounds them, and the table."""

import time

import pytest

from benchmarks import stages
from benchmarks.profiles import BOUNDS, Taken, profiled
from benchmarks.stages import Cost


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    pytest.importorskip("pyhdf")
    return stages.measure("tiny", 0, tmp_path_factory.mktemp("stages"))


def test_the_tiny_scale_times_physics_writers_and_ingest(found):
    told = [cost["stage"] for cost in found["stages"]]
    assert sorted(told) == [
        "ingest era5land",
        "ingest glass_lai",
        "ingest soilgrids",
        "ingest terrain",
        "simulate glass_lai",
        "simulate physics",
    ]
    seconds = [cost["core_seconds"] for cost in found["stages"]]
    assert seconds == sorted(seconds, reverse=True)
    assert min(seconds) > 0


def test_what_bounds_a_stage_is_a_share_of_it(found):
    bounds = {cost["stage"]: cost["bounds"] for cost in found["stages"]}
    assert bounds["simulate physics"]["water balance"] > 0
    assert bounds["ingest glass_lai"]["encoding shards"] > 0
    for shares in bounds.values():
        assert set(shares) <= set(BOUNDS)
        assert sum(shares.values()) < 1.05


def test_the_table_has_a_line_a_stage(found):
    lines = stages.show(found).splitlines()
    assert len(lines) == 1 + len(found["stages"])
    assert "water balance" in next(line for line in lines if "physics" in line)


def encode_cog():
    """Bear the name of a function that a profile looks for, in another file."""
    sum(range(200_000))


def test_a_profile_counts_processor_time_and_knows_files_apart():
    _, took = profiled(encode_cog)
    assert 0 < took.core_seconds < 5
    assert took.parts == {}
    _, slept = profiled(lambda: time.sleep(0.2))
    assert slept.core_seconds < 0.1


def test_only_what_goes_by_the_pixel_grows_with_them():
    took = Taken(3.0, {"drawing": 1.0, "overview": 0.5})
    whole = stages._whole_tile(took, 10)
    assert whole.core_seconds == pytest.approx(3.0 + 9 * 0.5)
    assert whole.parts == {"drawing": 1.0, "overview": 5.0}
    cost = Cost.of("report", whole, 2, stages.TILE_YEAR, "a window")
    assert cost.core_seconds == pytest.approx(15.0)
    assert cost.bounds["overview"] == pytest.approx(5 / 7.5)
