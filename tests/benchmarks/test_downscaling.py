"""The benchmark of downscaled years: every pass has a speed, and its peer gives the same values."""

import numpy as np
import pytest

from benchmarks import downscaling
from benchmarks.anchoring import CEILING, scene_of
from benchmarks.anchoring_peer import anchor_whole, prepare
from benchmarks.record import BenchmarkError
from smcloud.models.anchoring import State, anchor
from smcloud.production.passes import PASSES


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return downscaling.measure("tiny", 0, tmp_path_factory.mktemp("bench"))


def test_both_products_have_the_speed_of_every_pass_and_the_cost_of_their_region(found):
    years = {row["product"]: row for row in found["years"]}
    assert list(years) == ["smap-downscaling", "all-weather"]
    for row in years.values():
        assert row["rows"] == 365 * 30 * 30
        assert list(row["seconds"]) == [*PASSES, downscaling.FINISH]
        assert row["seconds"]["first guess"] > 0
        rate = row["rows"] / sum(row["seconds"].values())
        assert row["whole_rows_per_core_second"] == pytest.approx(rate, rel=1e-3)
        region = row["region"]
        assert region["core_hours"] == pytest.approx(
            region["land_pixels"] * 365 / rate / 3600, rel=1e-3
        )
        assert region["hours_on_cores"]["16"] == region["core_hours"] / 16
        assert row["process_peak_bytes"] > 0
    lines = downscaling.show(found).splitlines()
    assert len(lines) == 2 + 2 * len(years) + 2
    assert "a year of China (all-weather, local regressions)" in lines[-3]


def test_whole_arrays_anchor_to_the_same_values_where_pixels_are_clamped():
    scene = scene_of(np.random.default_rng(1), 120, 2, 0.03)
    ours, nodes = anchor(scene.guess, scene.where, scene.anchors, CEILING)
    assert (nodes.state == State.CLAMPED).any()
    whole = prepare(scene.where, scene.anchors.rules.decay_cells)
    theirs = anchor_whole(scene.guess, whole, scene.where, scene.anchors, CEILING)
    np.testing.assert_allclose(theirs, ours, atol=downscaling.AGREEMENT)


def test_a_peer_with_other_values_ends_the_run(monkeypatch):
    monkeypatch.setattr(downscaling, "anchor_whole", lambda guess, *_: guess + 0.01)
    with pytest.raises(BenchmarkError, match="whole arrays differs by"):
        downscaling._anchoring(downscaling.SIZES["tiny"], 0)
