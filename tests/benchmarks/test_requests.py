"""The request budgets of the design hold for the product's own chunks and shards."""

from benchmarks.requests import POINT_YEAR_BUDGET, TILE_DAY_BUDGET, count, write_year


def test_a_points_year_and_a_tiles_day_stay_within_their_budgets(tmp_path):
    write_year(tmp_path, seed=0)
    found = count(tmp_path)
    assert 0 < found.point_year <= POINT_YEAR_BUDGET
    assert 64 <= found.tile_day <= TILE_DAY_BUDGET
