"""Stored local regressions: what comes back, what is refused, what a block gets."""

import pickle
from itertools import count

import numpy as np
import pytest

from benchmarks.coarse_world import coarse_world
from smcloud.core.errors import ModelError, NotFoundError
from smcloud.core.objects import open_objects
from smcloud.grids.grid import EASE2_36KM, Window
from smcloud.models.gwr import LocalRule, State, fit_days, kernel
from smcloud.models.gwr_files import LocalCard, LocalYear, load_local, save_card, save_year

WORLD = coarse_world(0, days=4, noise=0.01, varying=0.4)
WORLD.series.target[2, 12:] = np.nan
RULE = LocalRule(120.0)
NUMBERS = count()


def stored(area=WORLD.area, places=WORLD.places):
    objects = open_objects(f"memory://local-{next(NUMBERS)}")
    weights = kernel(places, WORLD.places, RULE.bandwidth_km)
    halves = [WORLD.series.at(slice(2, 4)), WORLD.series.at(slice(0, 2))]
    year = LocalYear.of([fit_days(half, weights, RULE) for half in halves], area.shape)
    note = save_year(objects, "local", year)
    card = LocalCard(
        name="local",
        target="soil_moisture",
        target_units="m3 m-3",
        columns=("lst", "ndvi", "swir"),
        units=("K", "1", "1"),
        grid="ease2_36km",
        window=(area.row0, area.row1, area.col0, area.col1),
        bandwidth_km=RULE.bandwidth_km,
        params={"minimum_cells": RULE.minimum_cells},
        scores={},
        versions={},
        input_hash="",
        years={"2015": note},
    )
    save_card(objects, "local", card)
    return objects, card


def points(n=200, seed=0):
    rng = np.random.default_rng(seed)
    lon = rng.uniform(WORLD.series.lon.min(), WORLD.series.lon.max(), n)
    lonlat = np.stack([lon, rng.uniform(WORLD.series.lat.min(), WORLD.series.lat.max(), n)])
    columns = np.stack([rng.normal(300, 5, n), rng.random(n), rng.random(n)])
    return lonlat, columns.astype(np.float32)


def test_centres_of_cells_get_the_estimate_of_their_own_coefficients():
    model = load_local(stored()[0], "local")
    series = WORLD.series
    for day in (0, 3):
        fit = fit_days(series, kernel(WORLD.places, WORLD.places, RULE.bandwidth_km), RULE)
        expected = fit.estimate(series.predictors)[day]
        columns = series.predictors[day].astype(np.float32)
        found = model.estimate(series.days[day], columns, np.stack(WORLD.places))
        np.testing.assert_allclose(found, expected, atol=2e-6)
        np.testing.assert_array_equal(model.state(series.days[day]).ravel(), fit.state[day])


def test_days_without_a_model_say_why_and_give_nothing():
    model = load_local(stored()[0], "local")
    lonlat, columns = points()
    assert model.is_modelled(WORLD.series.days[0])
    assert model.why_not(WORLD.series.days[0]) == ""
    few, absent = WORLD.series.days[2], np.datetime64("2015-08-01")
    assert model.why_not(few) == "12 coarse cells are known with all predictors, 30 are needed"
    for day in (few, absent, np.datetime64("2016-06-01")):
        assert not model.is_modelled(day)
        assert np.isnan(model.estimate(day, columns, lonlat)).all()
        assert (model.state(day) == State.NONE).all()
    assert model.why_not(absent) == "no coarse cell is known with all predictors"


def test_points_alone_equal_points_together():
    model = load_local(stored()[0], "local")
    lonlat, columns = points()
    day = WORLD.series.days[1]
    whole = model.estimate(day, columns, lonlat)
    parts = [
        model.estimate(day, columns[:, part], lonlat[:, part])
        for part in (slice(0, 3), slice(3, 90), slice(90, None))
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert np.isfinite(whole).all()


def test_an_unknown_predictor_and_a_place_far_from_all_nodes_are_unknown():
    model = load_local(stored()[0], "local")
    lonlat, columns = points(4)
    columns[2, 1] = np.nan
    lonlat[:, 2] = -100.0, 10.0
    found = model.estimate(WORLD.series.days[0], columns, lonlat)
    np.testing.assert_array_equal(np.isnan(found), [False, True, True, False])


def test_nodes_across_the_seam_of_longitude_are_found():
    area = Window(100, 104, EASE2_36KM.cols - 3, EASE2_36KM.cols + 3)
    cols = np.arange(area.col0, area.col1) % EASE2_36KM.cols
    lon, lat = EASE2_36KM.lonlat(Window(100, 104, 0, EASE2_36KM.cols))
    places = lon[:, cols].ravel(), lat[:, cols].ravel()
    model = load_local(stored(area, places)[0], "local")
    columns = np.repeat(points(1)[1], places[0].size, axis=1)
    found = model.estimate(WORLD.series.days[0], columns, np.stack(places))
    assert np.isfinite(found).all()
    inner = places[0].reshape(4, 6)[:, 2:4].ravel()  # either side of 180 degrees
    assert np.ptp(inner) > 350


def test_a_model_travels_as_its_address_and_days_cut_apart_are_one_year():
    objects, card = stored()
    model = load_local(objects, "local")
    other = pickle.loads(pickle.dumps(model))
    lonlat, columns = points()
    day = WORLD.series.days[3]
    np.testing.assert_array_equal(
        other.estimate(day, columns, lonlat), model.estimate(day, columns, lonlat)
    )
    assert len(pickle.dumps(model)) < 500
    assert stored()[1] == card, "equal fits are equal bytes"
    assert card.years["2015"].days == 4
    assert card.years["2015"].modelled == 3


def test_damage_is_found_before_anything_is_parsed():
    objects, card = stored()
    key = f"local/{card.years['2015'].sha256}.local.npz"
    data = bytearray(objects.get(key))
    data[len(data) // 2] ^= 1
    objects.put(key, bytes(data))
    with pytest.raises(ModelError, match="is damaged: expected sha256"):
        load_local(objects, "local").is_modelled(WORLD.series.days[0])


def test_what_is_no_card_of_this_kind_is_refused():
    objects, card = stored()
    with pytest.raises(NotFoundError, match="no model at"):
        load_local(objects, "other")
    objects.put("local/card.json", card.to_json().replace(b'"local"', b'"periods"', 1))
    with pytest.raises(ModelError, match="kind"):
        load_local(objects, "local")
    with pytest.raises(ModelError, match="coefficients of 2016"):
        save_card(objects, "local", card.model_copy(update={"years": {"2016": _note("0" * 64)}}))


def test_the_hash_of_the_whole_names_years_and_window():
    card = stored()[1]
    other = card.model_copy(update={"window": (0, 1, 0, 1)})
    later = card.model_copy(update={"years": {"2015": _note("1" * 64)}})
    assert len({card.whole_sha256, other.whole_sha256, later.whole_sha256}) == 3


def _note(sha256):
    return stored()[1].years["2015"].model_copy(update={"sha256": sha256})
