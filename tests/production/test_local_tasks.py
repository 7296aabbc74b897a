"""Local regressions from end to end: bandwidth, years, order of rows, what is done once."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmarks.coarse_world import coarse_world
from smcloud.core.errors import UserError
from smcloud.core.objects import open_objects
from smcloud.grids.grid import EASE2_36KM
from smcloud.models.gwr import CoarseDays, fit_days, kernel
from smcloud.models.gwr_files import load_local
from smcloud.production import local_tasks
from smcloud.production.downscalers import load_downscaler_card, open_downscaler
from smcloud.production.local_tasks import LocalRequest, train_local
from tests.production.recorder import Recorder

FEATURES = ("lst", "ndvi", "swir")
WORLD = coarse_world(0, days=6, noise=0.01, varying=0.5, hidden=0.2)


def table_of(world) -> pd.DataFrame:
    """Return rows of all cells and days; the last three days lie in the next year."""
    series, area = world.series, world.area
    rows, cols = np.mgrid[area.row0 : area.row1, area.col0 : area.col1].reshape(2, -1)
    days = series.days.copy()
    days[3:] += np.timedelta64(366, "D")
    n_days, n_cells = series.target.shape
    columns = {
        "row": np.tile(rows, n_days).astype(np.int32),
        "col": np.tile(cols, n_days).astype(np.int32),
        "time": np.repeat(days, n_cells).astype("datetime64[s]"),
    }
    for number, name in enumerate(FEATURES):
        columns[name] = series.predictors[:, number].reshape(-1).astype(np.float32)
    return pd.DataFrame(columns | {"soil_moisture": series.target.reshape(-1).astype(np.float32)})


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return table_of(WORLD)


def request_at(folder, **changes) -> LocalRequest:
    settings = {"candidates": (100.0, 400.0), "units": ("K", "1", "1")} | changes
    return LocalRequest(
        root=str(folder), name="mine", grid="ease2_36km", features=FEATURES, **settings
    )


@pytest.fixture(scope="module")
def trained(table, tmp_path_factory):
    request = request_at(tmp_path_factory.mktemp("root"))
    return request, train_local(table, request)


def test_every_year_has_its_days_and_the_best_bandwidth(trained):
    request, found = trained
    card = found.card
    assert {year: (note.days, note.modelled) for year, note in card.years.items()} == {
        "2015": (3, 3),
        "2016": (3, 3),
    }
    assert found.modelled == 6
    rmse = card.scores["bandwidth_rmse"]
    assert card.bandwidth_km == float(min(rmse, key=rmse.get)) == 100.0
    assert load_downscaler_card(request.models, "mine") == card
    model = open_downscaler(request.models.url, "mine", card.whole_sha256)
    assert model.is_modelled(np.datetime64("2016-06-05"))
    assert not model.is_modelled(np.datetime64("2016-06-01"))


def test_coefficients_are_those_of_the_cells_in_one_piece(trained, table):
    request, found = trained
    series = CoarseDays.from_table(table[table["time"] < "2016"], EASE2_36KM, FEATURES)
    rule = replace(request.rule, bandwidth_km=100.0)
    places = series.lon, series.lat
    fit = fit_days(series, kernel(places, places, 100.0), rule)
    model = load_local(request.models, "mine")
    at = model.estimate(series.days[1], series.predictors[1].astype(np.float32), np.stack(places))
    np.testing.assert_allclose(at, fit.estimate(series.predictors)[1], atol=3e-6)
    row0, row1, col0, col1 = found.card.window
    assert (row1 - row0, col1 - col0) == tuple(n + 2 for n in WORLD.area.shape)


def test_the_order_of_rows_does_not_matter(trained, table, tmp_path):
    request = request_at(tmp_path)
    mixed = table.sample(frac=1.0, random_state=3)
    assert train_local(mixed, request).card == trained[1].card


def test_a_second_run_does_nothing_and_a_new_year_only_itself(table, tmp_path):
    request = request_at(tmp_path, bandwidth_km=150.0)
    first = train_local(table[table["time"] < "2016"], request)
    assert (first.done, first.kept, first.repeated) == (2, 0, False)
    recorder = Recorder()
    second = train_local(table[table["time"] < "2016"], request, listener=recorder)
    assert (second.done, second.kept, second.repeated) == (0, 2, True)
    assert second.card == first.card
    both = train_local(table, replace(request))
    assert (both.done, both.kept, both.repeated) == (2, 1, False)
    assert both.card.years["2015"] == first.card.years["2015"]


def test_files_of_before_are_removed_and_a_lost_year_is_made_again(table, tmp_path):
    request = request_at(tmp_path, bandwidth_km=150.0)
    train_local(table, request)
    other = train_local(table, replace(request, bandwidth_km=120.0))
    stored = {info.key for info in request.models.list("mine/") if info.key.endswith(".npz")}
    assert stored == {f"mine/{note.sha256}.local.npz" for note in other.card.years.values()}
    assert open_objects(request.samples_url).list() == []
    request.models.delete(f"mine/{other.card.years['2016'].sha256}.local.npz")
    again = train_local(table, replace(request, bandwidth_km=120.0))
    assert (again.done, again.kept) == (1, 2)
    assert again.card == other.card


def test_a_day_without_enough_cells_says_so_and_no_day_at_all_is_an_error(table, tmp_path):
    request = request_at(tmp_path, bandwidth_km=150.0)
    is_first = table["time"] == table["time"].min()
    few = table.copy()
    few.loc[is_first & (np.arange(len(few)) > 20), "soil_moisture"] = np.nan
    found = train_local(few, request)
    assert found.card.years["2015"].modelled == 2
    reason = load_local(request.models, "mine").why_not(np.datetime64("2015-06-01"))
    assert reason.endswith("coarse cells are known with all predictors, 30 are needed")
    cloudy = table.assign(lst=np.float32(np.nan))
    with pytest.raises(UserError, match="no day of mine has 30 coarse cells"):
        train_local(cloudy, request)
    with pytest.raises(UserError, match="no bandwidth can be judged"):
        train_local(cloudy, replace(request, bandwidth_km=0.0))
    with pytest.raises(UserError, match="no rows"):
        train_local(table[:0], request)


def test_settings_that_shape_coefficients_make_other_files(trained, table, tmp_path):
    request = request_at(tmp_path, bandwidth_km=100.0, rule=replace(trained[0].rule, ridge=0.5))
    assert train_local(table, request).card.whole_sha256 != trained[1].card.whole_sha256


def test_coefficients_of_another_format_are_made_anew(tmp_path, monkeypatch):
    before = request_at(tmp_path).stamp({})
    monkeypatch.setattr(local_tasks, "FORMAT", local_tasks.FORMAT + 1)
    assert request_at(tmp_path).stamp({}) != before


@pytest.mark.cluster
def test_any_number_of_workers_gives_the_same_card(client, trained, table, tmp_path):
    assert train_local(table, request_at(tmp_path), client).card == trained[1].card
