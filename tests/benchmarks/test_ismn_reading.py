"""The benchmark of station archives at its smallest: every route gives the same values."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import ismn_reading
from benchmarks.ismn_archive import patterns, write_archive
from benchmarks.record import BenchmarkError

pytestmark = pytest.mark.cluster


def test_every_route_reads_the_same_values_and_is_told(tmp_path):
    found = ismn_reading.measure("tiny", 0, tmp_path)
    assert found["archive"]["series"] == 12
    tasks = [row["task"] for row in found["routes"]]
    assert tasks == ["hourly"] * 3 + ["folder to daily"] * 2 + ["zip to daily"] * 2
    text = ismn_reading.show(found)
    assert text.count(", by cores ") == len(tasks)


@pytest.mark.parametrize("column", ["soil_moisture", "soil_moisture_flag"])
def test_a_difference_stops_the_benchmark(tmp_path, column):
    archive = write_archive(tmp_path, 1, 0.1, seed=3)
    ((site, (times, values, flags)),) = ismn_reading.read_by_us(archive)
    frame = pd.DataFrame({"soil_moisture": values, "soil_moisture_flag": flags}, index=times)
    ismn_reading.same_series(ismn_reading.read_by_us(archive), [(site, frame)])
    other = frame.astype({column: object})
    other.iloc[5, other.columns.get_loc(column)] = {"soil_moisture": 0.9}.get(column, "X")
    other = other.astype({"soil_moisture": np.float32})
    with pytest.raises(BenchmarkError, match="read different values"):
        ismn_reading.same_series(ismn_reading.read_by_us(archive), [(site, other)])


def test_without_real_files_rows_are_made_up(tmp_path, monkeypatch):
    monkeypatch.setenv("SMCLOUD_REALDATA", str(tmp_path / "nowhere"))
    (pattern,) = patterns(0)
    assert pattern.network == "MADE"
    archive = write_archive(tmp_path, 2, 0.05, seed=1)
    series = dict(ismn_reading.read_by_us(archive))
    assert sorted(series) == ["MADE/S0000", "MADE/S0001"]
    assert all(pd.unique(flags).size > 2 for _, _, flags in series.values())
