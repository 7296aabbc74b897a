"""From native files to maps: cells keep their means, no day is silently empty, flags are true."""

import json

import numpy as np
import pytest

from smcloud.core.config import load_config
from smcloud.grids.grid import EASE2_36KM, SIN1KM
from smcloud.production.ledger import Ledger
from smcloud.products.base import NO_ESTIMATE
from smcloud.products.downscaled import (
    COARSE_FILLED,
    LST_FILLED,
    MEAN_NOT_MET,
    NO_COARSE_VALUE,
    NOT_MODELLED,
)
from tests.end_to_end.maps import driver
from tests.end_to_end.season import (
    CLOUDED,
    DAYS,
    SEASON,
    SILENT,
    SMAP,
    TILE,
    WEATHER,
    WINDOW,
    YEAR,
    smcloud,
)

PACKING, TOLERANCE = 1e-4, 1e-4
LEAST_SHARE = 0.5
"""`downscale.minimum_share` of the runs."""


def judged_of(maps):
    """Return which cells must have their coarse mean on which day, (days, cells)."""
    return np.isfinite(maps.coarse) & (maps.by_cell(maps.known) >= LEAST_SHARE * maps.land)


def test_every_cell_has_its_coarse_mean_but_where_the_flag_says_otherwise(maps):
    judged, flagged = judged_of(maps), maps.by_cell(maps.raised(MEAN_NOT_MET)) > 0
    assert judged.sum() > 200
    away = np.abs(maps.means - maps.coarse)
    assert away[judged & ~flagged].max() <= TOLERANCE + PACKING
    assert flagged[judged].mean() < 0.05


def test_no_coarse_value_is_said_of_the_cells_that_were_not_anchored_and_of_no_other(maps):
    anchored = judged_of(maps)[:, maps.cell]
    assert (maps.raised(NO_COARSE_VALUE) == (maps.known & ~anchored)).all()


def test_pixels_differ_inside_cells_and_the_corrected_field_is_no_step(maps):
    """The maps are no copy of their input: within cells they vary on every modelled day."""
    days = judged_of(maps).any(axis=1)
    inside = maps.moisture - maps.means[:, maps.cell]
    assert (np.nanstd(inside[days], axis=1) > 1e-3).mean() > 0.9


def test_a_day_without_an_estimate_says_why_at_every_pixel(maps):
    """No NaN without a word: a pixel has a value, or the flag says which of two is missing."""
    said = maps.raised(NOT_MODELLED) | maps.raised(NO_ESTIMATE)
    assert (said == ~maps.known).all()
    whole = maps.raised(NOT_MODELLED)
    assert (whole.all(axis=1) == whole.any(axis=1)).all()
    assert maps.raised(NO_ESTIMATE)[whole].all()


def test_the_days_of_a_model_are_whole_and_all_others_are_named_in_the_ledger(run, maps, product):
    modelled = ~maps.raised(NOT_MODELLED).any(axis=1)
    assert maps.known[modelled].all()
    assert not modelled[: SEASON.start].any()
    config = load_config(run)
    (record,) = Ledger(config.store.root, f"produce/{product}").records(YEAR).values()
    assert record.figures["days_without_model"] == (~modelled).sum()
    named = np.zeros(DAYS.size, bool)
    for problem in record.problems:
        first, _, rest = problem.partition(" to ")
        start, end = (np.datetime64(text[:10]) for text in (first, rest or first))
        assert "model" in problem
        named |= (DAYS >= start) & (DAYS <= end)
    assert (named == ~modelled).all()
    rows = json.loads(smcloud("status", run, "--json"))
    (row,) = [row for row in rows if row["stage"] == f"produce/{product}"]
    assert (row["state"], row["key"]) == ("published", f"sin1km/{TILE}/{YEAR}")


def test_a_period_with_too_few_samples_is_in_the_report(runs):
    page = runs[SMAP].parent / f"root/reports/{SMAP}/{YEAR}/downscaling.html"
    assert "too few samples: more than 100 are needed" in page.read_text()


def test_silent_and_clouded_weeks_have_maps_all_the_same(all_maps):
    clouded = all_maps[SMAP]
    assert clouded.known[CLOUDED].all()
    weather = all_maps[WEATHER]
    assert weather.known[CLOUDED].all()
    assert not np.isfinite(all_maps[SMAP].coarse[SILENT]).any()


def test_filled_temperatures_are_flagged_where_the_cube_says_so_and_nowhere_else(runs, all_maps):
    state = driver(load_config(runs[WEATHER]), "lst_filled.lst_day_state", WINDOW)
    maps = all_maps[WEATHER]
    assert (maps.raised(LST_FILLED) == np.isin(state, (1, 2, 3))).all()
    assert maps.raised(LST_FILLED)[CLOUDED].all()
    share = maps.raised(LST_FILLED)[SEASON].mean()
    assert 0.2 < share < 0.95
    assert not all_maps[SMAP].raised(LST_FILLED).any()


def test_filled_coarse_values_are_flagged_where_the_cube_says_so_and_nowhere_else(runs, all_maps):
    maps, config = all_maps[WEATHER], load_config(runs[WEATHER])
    rows, cols = EASE2_36KM.pixel_of(*(axis.ravel() for axis in SIN1KM.lonlat(WINDOW)))
    from_cube = np.zeros(maps.flag.shape, bool)
    for row, col in sorted(set(zip(rows.tolist(), cols.tolist(), strict=True))):
        at = (rows == row) & (cols == col)
        window = type(WINDOW)(row, row + 1, col, col + 1)
        stated = driver(config, "coarse_moisture_36km.source_flag", window)
        from_cube[:, at] = np.isin(stated, (1, 2))
    assert (maps.raised(COARSE_FILLED) == from_cube).all()
    assert from_cube.any()
    assert not all_maps[SMAP].raised(COARSE_FILLED).any()


@pytest.mark.parametrize("days", [CLOUDED, slice(SEASON.start, CLOUDED.start)])
def test_maps_stay_within_their_physical_range(all_maps, days):
    for maps in all_maps.values():
        values = maps.moisture[days]
        assert np.nanmin(values) >= 0.0
        assert np.nanmax(values) <= 0.7
