"""Inputs that leave little to learn from: each has its outcome, and none a traceback or a silence.

`docs/downscale.md` lists them under "What happens when".
"""

from dataclasses import dataclass

import numpy as np
import pytest

from smcloud.products.base import NO_ESTIMATE
from smcloud.products.downscaled import MEAN_NOT_MET, NO_COARSE_VALUE, NOT_MODELLED
from tests.end_to_end.maps import lose, maps_of, twin
from tests.end_to_end.season import SEASON, SMAP, WEATHER, WINDOW, Failed, smcloud, write_run
from tests.end_to_end.test_maps import PACKING, TOLERANCE, judged_of

NOTHING_KNOWN = "no coarse cell"
COARSE = {SMAP: "smap_l3.soil_moisture_am", WEATHER: "coarse_moisture_36km.soil_moisture"}
ONE_DAY = 'period_days = 1\nminimum_samples = 4\ncandidates = 1\nfamilies = ["mlr"]'
LINEAR = 'period_days = 32\ncandidates = 1\nfamilies = ["mlr"]'
FEW = 'bandwidth_km = 100\nminimum_cells = 4\nbridge = "none"'


@dataclass(frozen=True)
class Hard:
    """A run that is hard by its features and rules."""

    name: str
    product: str
    features: tuple[str, ...]
    downscale: str

    def __str__(self) -> str:
        return self.name


SINGULAR = (
    Hard("sand, silt and clay, whose sum is constant", SMAP, ("sand", "silt", "clay"), LINEAR),
    Hard("more features than samples", SMAP, (), ONE_DAY),
    Hard("a feature that is constant in each period", SMAP, ("day_of_year_sine", "ndvi"), ONE_DAY),
    Hard("predictors of which one is the others' sum", WEATHER, ("sand", "silt", "clay"), FEW),
    Hard("no predictor that varies on a day", WEATHER, ("day_of_year_sine",), FEW),
)


def run_of(runs, earth, folder, product, **changes):
    """Return the run file of a twin that has cubes alone."""
    return write_run(twin(runs[product], folder), earth, product, changes)


@pytest.mark.parametrize("hard", SINGULAR, ids=str)
def test_singular_regressions_give_maps_that_keep_their_means(hard, runs, earth, tmp_path):
    train = f"features = {list(hard.features)}" if hard.features else ""
    run = run_of(runs, earth, tmp_path, hard.product, train=train, downscale=hard.downscale)
    for command in ("train", "produce"):
        smcloud(command, run)
    maps = maps_of(run)
    judged = judged_of(maps) & ~(maps.by_cell(maps.raised(MEAN_NOT_MET)) > 0)
    assert judged.sum() > 100
    assert np.abs(maps.means - maps.coarse)[judged].max() <= TOLERANCE + PACKING
    assert (maps.known | maps.raised(NOT_MODELLED) | maps.raised(NO_ESTIMATE)).all()
    assert np.nanmax(maps.moisture) <= 0.7


REFUSED = {
    "constant in every period": (
        SMAP, ("day_of_year_sine",), ONE_DAY, 2, "no period of smap-downscaling has a model",
    ),
    "too few cells": (
        WEATHER, (), "bandwidth_km = 100\nminimum_cells = 200", 2, "has 200 coarse cells",
    ),
    "too few samples": (
        SMAP, (), ONE_DAY.replace("= 4", "= 100"), 2, "too few samples: more than 100",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_nothing_to_learn_from_at_all_is_one_line(case, runs, earth, tmp_path):
    product, features, downscale, code, line = REFUSED[case]
    train = f"features = {list(features)}" if features else ""
    run = run_of(runs, earth, tmp_path, product, train=train, downscale=downscale)
    with pytest.raises(Failed) as caught:
        smcloud("train", run)
    assert caught.value.code == code
    assert line in caught.value.line
    assert caught.value.line.count("\n") == 1
    with pytest.raises(Failed, match="train") as caught:
        smcloud("produce", run)
    assert caught.value.line.count("\n") == 1
    assert not (run.parent / "root" / "products").exists()


@pytest.mark.parametrize("product", [SMAP, WEATHER])
def test_no_valid_coarse_value_in_a_whole_year_is_one_line(product, runs, earth, tmp_path):
    run = run_of(runs, earth, tmp_path, product)
    lose(run, COARSE[product], lambda rows, cols: np.ones(rows.shape, bool))
    with pytest.raises(Failed, match=NOTHING_KNOWN) as caught:
        smcloud("train", run)
    assert caught.value.code == 2


@pytest.mark.parametrize("product", [SMAP, WEATHER])
def test_days_without_a_coarse_value_follow_the_first_guess_and_say_so(product, all_maps):
    """As SMAP leaves every second or third day, and as seams that nothing fills."""
    maps = all_maps[product]
    known = maps.known.any(axis=1)
    without = known & ~np.isfinite(maps.coarse).any(axis=1)
    if product == SMAP:
        assert without[SEASON].sum() > 10
    assert maps.raised(NO_COARSE_VALUE)[without].all()


@pytest.mark.parametrize(
    ("product", "layer"), [(SMAP, "soilgrids.clay"), (WEATHER, "mod13a2.ndvi")]
)
def test_a_cell_without_any_valid_pixel_stays_empty_and_its_neighbours_are_as_good(
    product, layer, runs, all_maps, earth, tmp_path
):
    before = all_maps[product]
    lost = int(np.bincount(before.cell[before.known.any(axis=0)]).argmax())
    pixels = before.cell == lost
    run = run_of(runs, earth, tmp_path, product)
    inside = pixels.reshape(WINDOW.shape)

    def is_lost(rows, cols):
        down, across = rows - WINDOW.row0, cols - WINDOW.col0
        within = (down >= 0) & (down < inside.shape[0]) & (across >= 0) & (across < inside.shape[1])
        found = np.zeros(rows.shape, bool)
        found[within] = inside[down[within], across[within]]
        return found

    lose(run, layer, is_lost)
    for command in ("train", "produce"):
        smcloud(command, run)
    maps = maps_of(run)
    assert not maps.known[:, pixels].any()
    assert maps.raised(NO_ESTIMATE)[:, pixels].all()
    modelled = ~maps.raised(NOT_MODELLED).any(axis=1)
    assert maps.known[modelled][:, ~pixels].all()
    judged = judged_of(maps) & ~(maps.by_cell(maps.raised(MEAN_NOT_MET)) > 0)
    assert np.abs(maps.means - maps.coarse)[judged].max() <= TOLERANCE + PACKING
