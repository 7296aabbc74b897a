"""Coarse cells looked up, not interpolated: what references are compared by."""

import numpy as np
import pytest

from smcloud.core.errors import UserError
from smcloud.cube.store import open_cube
from smcloud.features.blockwise import FeatureReader
from smcloud.features.catalogue import REFERENCES, features_named
from smcloud.features.spec import Driver, Feature, as_stored
from smcloud.grids.grid import ERA5LAND, SIN1KM, Window
from smcloud.products.registry import PRODUCTS
from smcloud.sources.registry import SOURCES

DAYS = np.arange("2018-12-30", "2019-01-04", dtype="datetime64[D]")
POINTS = np.arange(0, 1600, 7)
RAIN_AND_MOISTURE = Feature(
    "sum", ("era5land.swvl1", "era5land.tp"), "1", lambda one, two: one + two
)


def reader_of(world, features, to_grid="nearest"):
    drivers = (Driver("era5land", to_grid=to_grid),)
    return FeatureReader(features, drivers, world.cubes, schemas=world.schemas)


def computed(world, features, points=POINTS, days=DAYS):
    reader = reader_of(world, features)
    return reader.compute(reader.read(world.region, days, points)).values


@pytest.fixture(scope="module")
def moisture():
    return features_named(["era5land_soil_moisture"], (Driver("era5land", to_grid="nearest"),))


def test_a_pixel_has_the_value_of_the_cell_it_lies_in(world, moisture):
    lon, lat = (array.reshape(-1)[POINTS] for array in SIN1KM.lonlat(world.region))
    row, col = ERA5LAND.pixel_of(lon, lat)
    around = Window(int(row.min()), int(row.max()) + 1, int(col.min()), int(col.max()) + 1)
    schema = world.schemas["era5land"]
    expected = []
    for year in (2018, 2019):
        cube = open_cube(world.cubes.url("era5land", year), schema, year)
        of_year = DAYS[DAYS.astype("datetime64[Y]") == np.datetime64(str(year))]
        first = int((of_year[0] - np.datetime64(f"{year}-01-01")).astype(int))
        cells = cube.read_physical(
            "swvl1", slice(first, first + len(of_year)), around, required=False
        )
        expected.append(cells[:, row - around.row0, col - around.col0])
    np.testing.assert_array_equal(
        computed(world, moisture)[0], np.concatenate(expected).astype(np.float32)
    )


def test_it_is_not_the_interpolated_value(world, moisture):
    reader = reader_of(world, moisture, "bilinear")
    smooth = reader.compute(reader.read(world.region, DAYS, POINTS)).values
    assert not np.allclose(computed(world, moisture), smooth, equal_nan=True)


def test_a_point_alone_has_the_value_it_has_among_others(world, moisture):
    together = computed(world, moisture)
    for number in (0, 100, 228):
        alone = computed(world, moisture, POINTS[number : number + 1])
        np.testing.assert_array_equal(alone[..., 0], together[..., number])


def test_functions_of_cells_are_looked_up_too(world):
    one, two = (
        computed(world, (Feature(name, (f"era5land.{name}",), "1", as_stored),))
        for name in ("swvl1", "tp")
    )
    np.testing.assert_array_equal(computed(world, (RAIN_AND_MOISTURE,)), one + two)


def test_nearest_is_for_coarse_daily_sources():
    with pytest.raises(UserError, match="coarse sources are daily"):
        Driver("glass_lai", to_grid="nearest", to_days="linear")


def test_a_fine_source_has_no_nearest_cell(world):
    with pytest.raises(UserError, match="is brought to the grid 'native'"):
        FeatureReader(
            features_named(["lst_day"], (Driver("mod11a1"),)),
            (Driver("mod11a1", to_grid="nearest"),),
            world.cubes,
            schemas=world.schemas,
        )


def test_references_are_columns_of_sources_and_features_of_no_product():
    for record in REFERENCES:
        (text,) = record.inputs
        source, variable = text.split(".")
        assert SOURCES[source].schema.variable(variable).units == record.units
    names = {record.name for record in REFERENCES}
    for product in PRODUCTS.values():
        assert not names & set(product.features)
        with pytest.raises(UserError, match="needs the driver"):
            features_named(sorted(names), product.drivers)
