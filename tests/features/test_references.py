"""References at stations: the cell that contains the station, and NaN where nothing is stored."""

import numpy as np
import pytest

from smcloud.core.errors import ConfigError
from smcloud.core.layout import join
from smcloud.features.references import REFERENCES, Places, reference_days
from smcloud.features.spec import CubeSet
from smcloud.grids.grid import ERA5LAND, Window
from tests.features.conftest import SWVL1, packed, schema

ROOT = "memory://references"
WEST, EAST = Window(440, 450, 3590, 3600), Window(440, 450, 0, 10)
HALF = packed("soil_moisture_am", "int16", "m3 m-3", 0.0, 1.0, 0.0001, -1)
OTHER = packed("soil_moisture_pm", "int16", "m3 m-3", 0.0, 1.0, 0.0001, -1)
SCHEMAS = {
    "era5land": schema("era5land", 1, SWVL1, grid="era5land"),
    "smap_l3": schema("smap_l3", 1, HALF, OTHER, grid="era5land"),
}
CUBES = CubeSet({name: join(ROOT, name) for name in SCHEMAS})


def cell_values(days, row, col):
    """A number that tells the day and the cell apart."""
    day = np.arange(days).reshape(-1, *[1] * np.ndim(row))
    return ((7 * day + 13 * np.asarray(row) + 29 * np.asarray(col)) % 5000) * 0.0001


def stored(one, variable, year, window):
    row, col = np.mgrid[window.row0 : window.row1, window.col0 : window.col1]
    values = cell_values(len(one.times(year)), row, col)
    if variable.name == "soil_moisture_am":
        values[1::2] = np.nan
    if variable.name == "soil_moisture_pm":
        values = values + 0.3
        values[::4] = np.nan
        values[3::4] = np.nan
    return variable.pack(values)


@pytest.fixture(scope="module", autouse=True)
def _cubes(make_cube):
    make_cube(ROOT, SCHEMAS["era5land"], 2020, stored, (WEST, EAST))
    make_cube(ROOT, SCHEMAS["smap_l3"], 2020, stored, (EAST,))


def places(year=2020):
    """Two stations on either side of Greenwich, one of them near the edge of its cell."""
    return Places("h18v04", year, np.array([-0.06, 0.349]), np.array([45.51, 45.449]))


def test_a_station_gets_the_cell_that_contains_it():
    found = reference_days(CUBES, ["era5land"], places(), SCHEMAS)["era5land"]
    row, col = ERA5LAND.pixel_of(places().longitude, places().latitude)
    assert (row.tolist(), col.tolist()) == ([445, 446], [3599, 3])
    assert found.dtype == np.float32
    assert found.shape == (366, 2)
    np.testing.assert_allclose(found, cell_values(366, row, col), atol=1e-6)


def test_smap_is_the_morning_else_the_evening_and_unknown_where_no_shard_is():
    found = reference_days(CUBES, ["smap_l3"], places(), SCHEMAS)["smap_l3"]
    assert np.isnan(found[:, 0]).all(), "nothing was ingested west of Greenwich"
    expected = cell_values(366, 446, 3)
    expected[1::4] += 0.3
    expected[3::4] = np.nan
    np.testing.assert_allclose(found[:, 1], expected, atol=1e-6)


def test_a_year_that_was_never_ingested_is_unknown():
    found = reference_days(CUBES, list(SCHEMAS), places(2014), SCHEMAS)
    assert {name: values.shape for name, values in found.items()} == dict.fromkeys(
        SCHEMAS, (365, 2)
    )
    assert all(np.isnan(values).all() for values in found.values())


def test_a_product_that_is_no_reference_is_refused_by_name():
    with pytest.raises(ConfigError, match=f"'modis' is no .*one of {', '.join(REFERENCES)}"):
        reference_days(CUBES, ["modis"], places(), SCHEMAS)
