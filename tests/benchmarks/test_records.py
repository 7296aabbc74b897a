"""Records are written once a commit, read strictly, compared figure by figure, and drawn."""

import json

import pytest

from benchmarks import __main__ as command
from benchmarks import compare, plot, record
from benchmarks.record import BenchmarkError


def test_a_record_comes_back_as_it_was_written(recorded):
    path = recorded("a1")
    found = record.read(path)
    assert path.name == "tile-small-a1.json"
    assert record.write(found, path.parent / "again").read_bytes() == path.read_bytes()


def test_here_and_now_is_recorded(tmp_path):
    made = record.record_of("tile", "tiny", 3, {"seconds": 1.0})
    assert made.versions["numpy"][0].isdigit()
    assert made.machine["cores"] >= 1
    assert record.read(record.write(made, tmp_path)) == made


def test_cpu_features_are_spelled_alike():
    assert record.vector_features(["sse2", "avx512_vbmi2", "avx2", "avx512f"]) == (
        "avx2 avx512f avx512vbmi2"
    )


def test_a_regression_is_found(recorded):
    differences, changes = compare.compare(recorded("a1"), recorded("b2", rate=50.0, cores=4))
    assert "machine differs: cores 2 against 4" in differences
    verdicts = {change.figure.split(" / ")[-1]: change.verdict for change in changes}
    assert verdicts == {"land_rows_per_second": "worse", "seconds": "worse"}
    assert "2 figures: 0 better, 2 worse" in compare.show(differences, changes)


def test_a_gain_is_found_and_noise_is_not(recorded):
    before = recorded("a1")
    _, gains = compare.compare(before, recorded("b2", rate=200.0))
    _, noise = compare.compare(before, recorded("c3", rate=105.0))
    assert {change.verdict for change in gains} == {"better"}
    assert {change.verdict for change in noise} == {""}


def test_a_figure_that_only_one_record_has_is_named(recorded):
    more = {"routes": [], "worker_peak_bytes": 5, "cost": 1.0}
    differences, changes = compare.compare(
        recorded("a1", figures=more), recorded("b2", figures={"cost": 2.0})
    )
    assert "only before: worker_peak_bytes" in differences
    assert [change.figure for change in changes] == ["cost"]


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "is not the record"), ("[]", "is not the record"), ('{"format": 1}', "has format 1"),
     ('{"format": 2}', "is not the record")],
)  # fmt: skip
def test_an_unreadable_record_is_one_line_and_exit_code_1(recorded, tmp_path, capsys, text, said):
    broken = tmp_path / "broken.json"
    broken.write_text(text)
    assert command.main(["compare", str(recorded()), str(broken)]) == 1
    line = capsys.readouterr().err
    assert said in line
    assert line.count("\n") == 1


@pytest.mark.parametrize("other", [{"scale": "large"}, {"seed": 1}, {"benchmark": "kernel"}])
def test_records_of_other_work_are_not_compared(recorded, capsys, other):
    assert command.main(["compare", str(recorded("a1")), str(recorded("b2", **other))]) == 1
    assert "cannot be compared" in capsys.readouterr().err


def test_an_absent_record_is_exit_code_1(recorded, tmp_path, capsys):
    assert command.main(["compare", str(recorded()), str(tmp_path / "none.json")]) == 1
    assert "No such file" in capsys.readouterr().err


def test_an_unknown_benchmark_is_named(capsys):
    assert command.main(["run", "--only", "kernel,tyle"]) == 1
    assert "no benchmark is called 'tyle'" in capsys.readouterr().err


def test_run_prints_a_table_and_writes_a_record(tmp_path, capsys):
    assert (
        command.main(["run", "--scale", "tiny", "--only", "kernel", "--results", str(tmp_path)])
        == 0
    )
    (path,) = tmp_path.glob("kernel-tiny-*.json")
    assert json.loads(path.read_text())["figures"]["kernels"]
    assert "boosted 12 x 4" in capsys.readouterr().out


def test_the_history_is_in_the_order_of_commits_and_without_changed_trees(recorded, tmp_path):
    recorded("b2", committed="2026-11-02T00:00:00+00:00")
    recorded("c3-changed", committed="2026-11-03T00:00:00+00:00")
    recorded("a9", committed="2026-11-01T00:00:00+00:00")
    recorded("d4", scale="tiny")
    assert [one.commit for one in plot.history(tmp_path)] == ["a9", "b2"]


def test_equal_records_are_drawn_as_equal_bytes(recorded, tmp_path):
    recorded("a1")
    recorded("b2", rate=200.0)
    first, again = plot.draw(tmp_path, tmp_path / "1.png"), plot.draw(tmp_path, tmp_path / "2.png")
    assert first.read_bytes() == again.read_bytes()
    recorded("b2", rate=300.0)
    assert plot.draw(tmp_path, tmp_path / "3.png").read_bytes() != first.read_bytes()


def test_nothing_to_draw_is_said(tmp_path):
    with pytest.raises(BenchmarkError, match="no record of a clean commit"):
        plot.draw(tmp_path, tmp_path / "none.png")
