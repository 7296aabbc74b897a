"""The simulated Earth is as hard as the literature says reality is; gates can fail."""

from dataclasses import replace

import numpy as np
import pytest

from smcloud.core.errors import MissingExtraError
from smcloud.simulate import gates
from smcloud.simulate.gates import BANDS, Gate, GateReport, judge, per_station, run_gates


@pytest.fixture(scope="module")
def report() -> GateReport:
    return run_gates(seed=7, stations=200, years=(2018, 2019))


@pytest.mark.parametrize("name", sorted(BANDS))
def test_the_gate_is_passed_over_two_hundred_stations(report, name):
    (gate,) = (gate for gate in report.gates if gate.name == name)
    assert gate.is_passed, "\n".join(report.lines())


def test_bands_are_those_of_the_decision():
    assert BANDS["reanalysis_median_r"] == (0.55, 0.75)
    assert BANDS["random_minus_unseen_r"][0] == 0.08
    assert BANDS["unseen_median_r"] == (0.60, 0.85)
    assert BANDS["unseen_median_ubrmse"] == (0.04, 0.07)
    assert BANDS["worst_optical_share"][1] == 0.5


def test_the_report_says_which_gate_failed(report):
    failed = replace(report, gates=(Gate("unseen_median_r", 0.93, 0.6, 0.85),))
    assert not failed.is_passed
    assert any(line.startswith("FAIL  unseen_median_r") for line in failed.lines())


def test_an_earth_that_is_too_easy_fails(report):
    rng = np.random.default_rng(0)
    rows = 6000
    station = np.repeat(np.arange(40, dtype=np.int32), rows // 40)
    target = rng.uniform(0.05, 0.45, rows).astype(np.float32)
    features = rng.normal(size=(rows, len(gates.OPTICAL) + 1)).astype(np.float32)
    features[:, 0] = target + rng.normal(size=rows).astype(np.float32) * 0.01
    features[:, -1] = target
    table = gates.StationDays(
        (*gates.OPTICAL, "era5_swvl1"), features, target, target, station, station // 4, station
    )
    found, _ = judge(table, BANDS, seed=1, threads=1)
    failed = {gate.name for gate in found if not gate.is_passed}
    assert {"reanalysis_median_r", "unseen_median_r", "random_minus_unseen_r"} <= failed


def test_scores_per_station_are_those_of_the_definition():
    rng = np.random.default_rng(3)
    reference = rng.uniform(0, 0.5, 200).astype(np.float32)
    estimate = reference + 0.1
    r, ubrmse = per_station(estimate, reference, np.repeat([0, 1], 100).astype(np.int32))
    np.testing.assert_allclose(r, 1, atol=1e-5)
    np.testing.assert_allclose(ubrmse, 0, atol=1e-5)
    few, _ = per_station(estimate[:50], reference[:50], np.zeros(50, np.int32))
    assert few.size == 0


def test_without_xgboost_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "xgboost", None)
    with pytest.raises(MissingExtraError, match=r"smcloud\[cpu\]"):
        gates._xgboost()
