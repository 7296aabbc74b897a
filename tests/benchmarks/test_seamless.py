"""The gap-filling network's tables at their smallest."""

import pytest

pytest.importorskip("torch", reason="needs torch: pip install 'smcloud[deep]'")

from benchmarks import seamless


def test_a_day_and_a_training_are_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(seamless, "PUBLISHED", seamless.SMALL)
    monkeypatch.setattr(seamless, "TILES", (24,))
    found = seamless.measure("tiny", 0, tmp_path)
    assert 0 < found["day"]["gaps"] < found["day"]["land_cells"]
    assert len(found["day"]["seconds"]) == 4
    rows = {row["filler"]: row for row in found["training"]["fillers"]}
    assert {"network", "network, rain unknown", "linear in time", "cosine smoother"} <= set(rows)
    assert len({row["n"] for row in rows.values()}) == 1
    assert len(seamless.show(found).splitlines()) == 5 + 3 + len(rows) + 1 + len(seamless.SINCE)
