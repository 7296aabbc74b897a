"""The references table: stations, day by day, beside products of others; no frozen days."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from smcloud.core.config import RunConfig
from smcloud.core.errors import ConfigError, NotFoundError
from smcloud.core.listener import Silent
from smcloud.features.spec import Quality
from smcloud.features.table import read_table
from smcloud.grids.grid import ERA5LAND, Window
from smcloud.production.drivers import drivers_of
from smcloud.production.references_stage import (
    build_references,
    read_selection,
    references_name,
    rules_of,
    thresholds_of,
    verdicts_of,
    write_selection,
)
from smcloud.products.glass_sm import GLASS_SM
from smcloud.sources.registry import SOURCES
from smcloud.validation.selection import select_stations
from tests.features.conftest import packed, schema, write_cube
from tests.features.test_references import SCHEMAS, cell_values, stored

WINDOW = Window(440, 450, 100, 120)
ACTIVE = packed("soil_moisture", "int16", "%", 0.0, 100.0, 0.01, -1)


class Told(Silent):
    """Keeps warnings."""

    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A run whose references lie on a 0.1 degree grid, in two years; there is no cci_active."""
    root = str(tmp_path / "own")
    schemas = {**SCHEMAS, "cci_active": schema("cci_active", 1, ACTIVE, grid="era5land")}
    for name, one in schemas.items():
        monkeypatch.setitem(SOURCES, name, SimpleNamespace(schema=one))
    for year in (2019, 2020):
        for name in SCHEMAS:
            write_cube(root, schemas[name], year, stored, (WINDOW,))
    return RunConfig.model_validate(
        {
            "product": "glass-sm",
            "years": [2019, 2020],
            "tiles": ["h18v04", "h19v04"],
            "store": {"root": str(tmp_path / "out")},
            "ingest": {"cubes": {name: f"{root}/{name}" for name in schemas}},
            "selection": {"use": True},
        }
    )


def sample_rows():
    """Three stations in two tiles, days of two years, two of them frozen; shuffled."""
    days = np.array(["2019-01-01", "2019-07-04", "2020-02-29", "2020-12-31"], "datetime64[ms]")
    parts = [
        pd.DataFrame(
            {
                "station": name,
                "network": "NET",
                "latitude": 45.51,
                "longitude": longitude,
                "tile": tile,
                "row": 5338,
                "col": 20000,
                "time": days,
                "lst_day": np.float32(280.0),
                "quality_flag": np.array([0, 0, Quality.LST_UNKNOWN, 0], np.uint8),
                "soil_moisture": np.float32(0.2),
            }
        )
        for name, longitude, tile in (
            ("NET/b", 10.31, "h18v04"),
            ("NET/a", 11.52, "h18v04"),
            ("NET/c", 10.31, "h19v04"),
        )
    ]
    rows = pd.concat(parts, ignore_index=True)
    rows.loc[[0, 5], "quality_flag"] |= np.uint8(Quality.FROZEN_OR_SNOW)
    return rows.sample(frac=1.0, random_state=0).reset_index(drop=True)


def test_each_day_of_a_station_stands_beside_its_cells(config):
    told = Told()
    rows = sample_rows()
    table = build_references(config, GLASS_SM, rows, None, told)
    assert len(table) == len(rows) - 2, "frozen days are left out"
    assert not {"lst_day", "quality_flag"} & set(table)
    first = table["time"].dt.year.map({2019: "2019-01-01", 2020: "2020-01-01"})
    day = (table["time"] - pd.to_datetime(first)).dt.days.to_numpy()
    row, col = ERA5LAND.pixel_of(table["longitude"].to_numpy(), table["latitude"].to_numpy())
    expected = [cell_values(366, r, c)[d] for r, c, d in zip(row, col, day, strict=True)]
    np.testing.assert_allclose(table["era5land"], expected, atol=1e-6)
    assert table["smap_l3"].notna().sum() == np.isin(day % 4, [0, 1, 2]).sum()
    assert table["cci_active"].isna().all()
    assert [text.split(" has no value")[0] for text in told.warnings] == ["cci_active"]
    again = read_table(config.layout.table(references_name("glass-sm")))
    ordered = table.sort_values(["station", "time"], ignore_index=True)
    pd.testing.assert_frame_equal(again, ordered, check_dtype=False)


def test_rules_follow_the_run_file(config):
    rules = rules_of(config.selection.model_copy(update={"minimum_r": 0.7, "draws": 0}), seed=3)
    assert (rules.minimum_r, rules.bootstrap_draws, rules.seed) == (0.7, 0, 3)
    assert rules.columns == ("era5land", "smap_l3", "cci_active")
    with pytest.raises(ConfigError, match="'terrain' is no reference"):
        rules_of(config.selection.model_copy(update={"members": ("terrain", "smap_l3")}))


def test_the_selection_lies_beside_the_model(tmp_path):
    selection = pd.DataFrame({"station": ["NET/a"], "kept": [True], "r": [0.7]})
    write_selection(str(tmp_path), selection)
    pd.testing.assert_frame_equal(read_selection(str(tmp_path)), selection)
    with pytest.raises(NotFoundError):
        read_selection(str(tmp_path / "other"))


def test_references_are_ingested_when_the_run_asks_for_them(config, monkeypatch):
    monkeypatch.undo()  # the real sources have the layers that features need
    section = config.selection.model_copy(update={"use": False})
    without = config.model_copy(update={"selection": section})
    added = {one.source for one in drivers_of(config)} - {one.source for one in drivers_of(without)}
    assert added == {"smap_l3", "cci_active"}


def test_selection_is_judged_where_a_simulated_earth_knows(config, tmp_path):
    selection = pd.DataFrame({"station": ["NET/a", "NET/b"], "kept": [True, False]})
    assert verdicts_of(config, selection) is None
    (tmp_path / "truth").mkdir()
    store = config.store.model_copy(update={"truth": str(tmp_path / "truth")})
    simulated = config.model_copy(update={"store": store})
    assert verdicts_of(simulated, selection) is None, "a truth of pixels alone"
    truth = pd.DataFrame({"station": ["NET/a", "NET/b"], "representative": [True, True]})
    truth.to_parquet(tmp_path / "truth" / "stations.parquet")
    found = verdicts_of(simulated, selection)
    assert (found.precision, found.recall) == (1.0, 0.5)


def test_other_thresholds_are_told_by_the_rules_that_made_the_table(config):
    rules = rules_of(config.selection, config.train.seed)
    days = np.arange("2019-01-01", "2019-07-01", dtype="datetime64[D]")
    rng = np.random.default_rng(0)
    parts = []
    for name, noise in (("NET/a", 0.1), ("NET/b", 1.5)):
        signal = rng.normal(size=days.size)
        members = {m: signal + 0.3 * rng.normal(size=days.size) for m in rules.columns}
        station = signal + noise * rng.normal(size=days.size)
        parts.append(
            pd.DataFrame({"station": name, "time": days, "soil_moisture": station} | members)
        )
    references = pd.concat(parts).assign(network="NET", latitude=1.0, longitude=2.0)
    selection = select_stations(references, rules)
    told = Told()
    found = thresholds_of(config, selection, told).set_index("minimum_r")
    assert (found.loc[0.3, "kept"], found.loc[0.95, "kept"]) == (2, 1)
    assert found["recall"].isna().all(), "this run names no simulated Earth"
    assert not told.warnings
    assert thresholds_of(config, selection.assign(kept=False), told) is None
    assert thresholds_of(config, selection.drop(columns="n_again"), told) is None
    assert [text.partition(": ")[2][:22] for text in told.warnings] == [
        "[selection] has change",
        "the table of stations ",
    ]
