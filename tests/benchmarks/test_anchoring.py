"""The benchmark of anchoring runs, and what it prints is what the design note claims."""

from benchmarks import anchoring


def test_anchoring_beats_what_is_simpler_and_its_tables_are_whole(tmp_path):
    found = anchoring.measure("tiny", 0, tmp_path)
    for name in anchoring.LEVELS:
        rows = {row["way"]: row for row in found["methods"] if row["scene"] == name}
        anchored = rows["anchored"]
        assert anchored["worst_mean"] <= 1e-4
        assert anchored["jump"] <= 1.2 < rows["+ residual, even in its cell"]["jump"]
        assert anchored["missed"] == 0
        for other in ("first guess", "+ residual, even in its cell", "+ residual, bilinear"):
            assert anchored["RMSE"] < rows[other]["RMSE"]
            assert anchored["RMSE_within"] < rows[other]["RMSE_within"]
    assert all(missed[-1] <= 1e-4 and len(missed) <= 6 for missed in found["rounds"].values())
    assert abs(found["growth"]["checkerboard"] - 4) < 0.1
    lines = anchoring.show(found).splitlines()
    assert len(lines) == 2 + 10 + 5 + 6 + 5 + 4
