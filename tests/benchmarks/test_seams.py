"""The table of fillers at its smallest."""

from benchmarks import seams


def test_every_filler_has_its_row_and_the_sub_model_is_first(tmp_path):
    found = seams.measure("tiny", 0, tmp_path)
    rows = found["fillers"]
    assert len(rows) == 4 * len(seams.NOISES)
    for noise in seams.NOISES:
        errors = {row["filler"]: row["RMSE"] for row in rows if row["errors"] == noise}
        assert min(errors, key=errors.get) == "sub-model"
        assert len({row["n"] for row in rows if row["errors"] == noise}) == 1
    assert "climatology" in seams.show(found).splitlines()[-1]
