"""The reanalysis has the conventions of ERA5-Land and errors of its own."""

import ast
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from smcloud.simulate import reanalysis
from smcloud.simulate.reanalysis import Reanalysis


@pytest.fixture(scope="module")
def model(places, days):
    return list(Reanalysis(7).run(*places, days("2018-01-01", "2018-12-31")))


def test_it_never_sees_the_truth():
    tree = ast.parse(Path(reanalysis.__file__).read_text())
    seen = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    forbidden = {"world", "water", "columns", "sensors", "stations"}
    assert not seen & {f"smcloud.simulate.{name}" for name in forbidden}


def test_rain_accumulates_from_00_utc_and_ends_at_00_utc_of_the_next_day(model):
    for today, tomorrow in pairwise(model[:40]):
        hourly = np.diff(today.tp[1:], axis=0)
        assert (hourly >= -1e-7).all()
        assert (tomorrow.tp[0] >= today.tp[23] - 1e-6).all()
        np.testing.assert_allclose(tomorrow.tp[0], today.tp[12] * 2, rtol=1e-4, atol=1e-7)


def test_the_first_day_asked_knows_the_rain_of_the_day_before(places, days, model):
    lon, lat = (values[:20] for values in places)
    (alone,) = Reanalysis(7).run(lon, lat, days("2018-02-10", "2018-02-10"))
    for name in ("tp", "swvl1", "stl1", "skt", "t2m"):
        assert (getattr(alone, name) == getattr(model[40], name)[:, :20]).all(), name


def test_hours_join_without_a_step(model):
    for today, tomorrow in pairwise(model[100:110]):
        across = np.abs(tomorrow.swvl1[0] - today.swvl1[23])
        within = np.abs(np.diff(today.swvl1, axis=0)).max(axis=0)
        after = np.abs(np.diff(tomorrow.swvl1, axis=0)).max(axis=0)
        assert (across <= np.maximum(within, after) + 1e-5).all()


def test_fields_are_physical(model):
    water = np.stack([hours.swvl1 for hours in model])
    assert water.min() > 0
    assert water.max() < 0.62
    air = np.stack([hours.t2m for hours in model])
    assert 200 < air.min() < air.max() < 330


def test_its_rain_is_like_the_real_rain_but_not_the_same(model, of_year):
    truth = of_year("rain_mm")[:-1]
    own = np.stack([hours.tp[0] for hours in model[1:]]) * 1000
    by_place = [np.corrcoef(a, b)[0, 1] for a, b in zip(truth.T, own.T, strict=True)]
    assert 0.3 < np.median(by_place) < 0.85
    assert (own > 0.5).mean() > (truth > 0.5).mean()


def test_its_moisture_agrees_moderately_with_the_truth(model, of_year):
    own = np.stack([hours.swvl1.mean(axis=0) for hours in model])
    pairs = zip(of_year("soil_moisture").T, own.T, strict=True)
    by_place = [np.corrcoef(a, b)[0, 1] for a, b in pairs]
    assert 0.45 < np.median(by_place) < 0.85


def test_its_temperature_is_close(model, of_year):
    own = np.stack([hours.t2m.mean(axis=0) for hours in model])
    difference = own - of_year("air_temperature_k")
    assert np.abs(np.median(difference)) < 2
    assert np.median(np.std(difference, axis=0)) < 3
