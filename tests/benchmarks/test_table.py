"""The benchmark of a user's own table at scale tiny: one command, measured from start to end."""

import json
import resource
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks import table
from benchmarks.record import BenchmarkError
from smcloud.cli.main import app


def run_here(command: list[str], said: Path) -> table.Used:
    """Run the command in this process with few trees: a new one would import for longer."""
    options = command[command.index("train") :]
    with said.open("w") as words, redirect_stdout(words), redirect_stderr(words):
        app([*options, "--rounds", "3", "--permutations", "0"], standalone_mode=False)
    return table.Used.of(1.0, resource.getrusage(resource.RUSAGE_SELF))


def test_a_table_is_written_trained_on_and_measured(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(table, "used_by", run_here)
    found = table.measure("tiny", 0, tmp_path)
    (row,) = found["tables"]
    assert row["headline"] == "station_year"
    assert row["parts"]["stored model"] > 0
    assert json.loads(json.dumps(found)) == found
    assert f"{row['rows']:,}" in table.show(found)


def test_a_command_is_measured_as_a_process_of_its_own(tmp_path) -> None:
    size = 200_000_000
    busy = f"x = b'1' * {size}\nfor _ in range(10**6): pass\nprint(len(x))"
    used = table.used_by([sys.executable, "-S", "-c", busy], tmp_path / "said")
    assert (tmp_path / "said").read_text().strip() == str(size)
    assert used.peak_bytes > size
    assert 0 < used.core_seconds
    with pytest.raises(BenchmarkError, match="no such thing"):
        table.used_by(
            [sys.executable, "-S", "-c", "raise SystemExit('no such thing')"], tmp_path / "s"
        )


def test_a_table_has_its_rows_gaps_and_years(tmp_path) -> None:
    path = table.write_table(tmp_path / "t.parquet", table.Table(10_000), 3)
    rows = pq.read_table(path).to_pandas()
    assert len(rows) == 10_000
    assert rows["station"].nunique() == table.STATIONS
    assert rows["day"].map(lambda day: day.year).nunique() >= table.LEAST_YEARS
    assert 0.05 < rows["feature_07"].isna().mean() < 0.1
    again = table.write_table(tmp_path / "u.parquet", table.Table(10_000), 3)
    assert again.read_bytes() == path.read_bytes()
