"""The benchmark of the trees checks estimates first, and judges by this machine's goals."""

import numpy as np
import pytest

from benchmarks import kernel
from benchmarks.engines import OURS, Engine, Pool
from benchmarks.record import BenchmarkError
from benchmarks.trees import Case, models_of
from benchmarks.workload import VARIABLES


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return kernel.measure("tiny", 0, tmp_path_factory.mktemp("kernel"))


def test_every_model_has_the_library_and_smcloud_on_one_thread_and_on_two(found):
    rows = {(row["model"], row["engine"], row["threads"]): row for row in found["kernels"]}
    for case in kernel.TINY:
        library = "xgboost inplace_predict" if case.kind == "boosted" else "scikit-learn predict"
        for threads in (1, 2):
            assert rows[case.name, library, threads]["ratio"] == 1.0
            for engine in (OURS, f"{OURS}, stored int16"):
                row = rows[case.name, engine, threads]
                assert row["largest_difference"] == 0.0
                assert row["rows_per_second"] > 0


def test_an_evaluator_whose_bits_differ_is_refused():
    case = Case("boosted", 12, 4)
    pool = Pool(np.zeros((len(VARIABLES), 100), np.int16))
    right = np.full(100, 0.25, np.float32)
    one_bit_off = Engine("wrong", lambda columns: np.nextafter(right, 1), is_ours=True)
    with pytest.raises(BenchmarkError, match="wrong differs from the library in 100 of 100 rows"):
        kernel._difference(case, one_bit_off, pool, right)


def test_goals_are_judged_on_two_threads_by_what_the_machine_can_do():
    row = {"model": "boosted 300 x 8", "engine": OURS, "threads": 2, "ratio": 20.0}
    row |= {"largest_difference": 0.0, "note": ""}
    assert kernel._remark(row, "avx2") == "18x met"
    assert kernel._remark(row, "avx512") == "25x NOT MET"
    assert kernel._remark(row, "other") == ""
    assert kernel._remark({**row, "threads": 1}, "avx2") == ""
    assert kernel._remark({**row, "largest_difference": 0.5}, "avx2") == "not timed: off by 0.5"


def test_a_shorter_model_is_the_beginning_of_the_longer_one(tmp_path_factory):
    cases = [Case("boosted", 3, 3), Case("boosted", 7, 3), Case("extra trees", 2, 3)]
    models = dict(models_of(cases, 500, 0, tmp_path_factory.mktemp("all")))
    alone = dict(models_of(cases[:1], 500, 0, tmp_path_factory.mktemp("one")))
    assert models[cases[1]].num_boosted_rounds() == 7
    assert models[cases[0]].get_dump() == alone[cases[0]].get_dump()
    assert len(models[cases[2]].estimators_) == 2


def test_an_engine_that_computes_something_else_is_named_and_not_timed():
    case, size = Case("boosted", 12, 4), kernel.SIZES["tiny"]
    pool = Pool(np.zeros((len(VARIABLES), 100), np.int16))
    right = Engine("library", lambda rows: np.full(len(rows), 0.25, np.float32))
    wrong = Engine("other", lambda rows: np.full(len(rows), 0.5, np.float32))
    expected = right.predict(pool.rows)
    rows = kernel._rows(case, 2, [right, wrong], expected, pool, size)
    assert rows[0]["ratio"] == 1.0
    assert rows[1]["rows_per_second"] is None
    table = kernel.show({"features": 24, "vector_level": "avx2", "kernels": rows})
    assert table.splitlines()[-1].endswith("not timed: off by 0.25")
