"""A small world of driver cubes across the seam of longitude at 45 N, two years, in memory."""

from dataclasses import dataclass

import numpy as np
import pytest

from smcloud.core.layout import join, year_store
from smcloud.cube.schema import CubeSchema, Variable
from smcloud.cube.store import create_store, write_shard
from smcloud.features.spec import CubeSet, Driver
from smcloud.grids.grid import Window

SIDE = 40
REGION = Window(5400, 5440, 21580, 21620)
YEARS = (2018, 2019)

FINE = {"chunks": (46, 10, 10), "shards": (368, 20, 20)}
COARSE = {"chunks": (46, 5, 5), "shards": (368, 10, 10)}
CELLS = tuple(Window(row, row + 10, col, col + 10) for row in (440, 450) for col in (0, 3590))


def packed(name, dtype, units, low, high, scale, fill):
    return Variable(name, dtype, units, name, (low, high), scale=scale, fill=fill)


def fraction(name):
    return packed(name, "int16", "1", -1.0, 1.0, 0.0001, -32768)


def kelvin(name):
    return packed(name, "uint16", "K", 200.0, 350.0, 0.02, 0)


COMPOSITE_DAY = packed("composite_day", "int16", "days", 0, 15, 1.0, -1)
MM = packed("tp", "int16", "mm day-1", 0.0, 300.0, 0.01, -1)
SWVL1 = packed("swvl1", "int16", "m3 m-3", 0.0, 1.0, 0.0001, -1)


def schema(name, step_days, *variables, grid="sin1km"):
    layout = FINE if grid == "sin1km" else COARSE
    return CubeSchema(name, grid, variables, step_days, title=name, **layout)


SCHEMAS = {
    one.name: one
    for one in (
        schema("mod11a1", 1, kelvin("lst_day"), kelvin("lst_night")),
        schema("mod13a2", 16, fraction("ndvi"), fraction("evi"), COMPOSITE_DAY),
        schema("glass_lai", 8, packed("lai", "uint8", "m2 m-2", 0.0, 10.0, 0.1, 255)),
        schema("era5land", 1, SWVL1, MM, kelvin("stl1"), kelvin("skt"), grid="era5land"),
        schema(
            "terrain",
            None,
            packed("elevation", "int16", "m", -500.0, 9000.0, 1.0, -32768),
            packed("slope", "int16", "degree", 0.0, 90.0, 0.01, -1),
            packed("upstream_area", "uint32", "km2", 0.0, 1e6, 0.01, 4294967295),
        ),
    )
}
DRIVERS = (
    Driver("mod11a1"),
    Driver("mod13a2", to_days="linear"),
    Driver("glass_lai", to_days="linear"),
    Driver("era5land", to_grid="bilinear"),
    Driver("terrain", to_days="static"),
)
NAMES = (
    "lst_day",
    "lst_night",
    "lst_mean",
    "lst_range",
    "ndvi",
    "evi",
    "lai",
    "era5land_soil_moisture",
    "antecedent_precipitation",
    "elevation",
    "topographic_position",
    "slope_at_1km",
    "day_of_year_sine",
    "pixel_longitude",
)


@dataclass(frozen=True)
class World:
    """Where the cubes lie, what is in them, and how they are read."""

    cubes: CubeSet
    schemas: dict
    drivers: tuple
    names: tuple
    region: Window


def windows_of(schema):
    return (REGION,) if schema.grid == "sin1km" else CELLS


def random_values(schema, variable, year, window):
    """Return stored values of a window, two fifths of them unknown."""
    seed = [len(schema.name), len(variable.name), year or 0, window.row0, window.col0]
    rng = np.random.default_rng(seed)
    shape = (*([] if schema.is_static else [len(schema.times(year))]), *window.shape)
    low, high = variable.valid
    if variable.name == "upstream_area":  # as ingest leaves it without a raster of it
        return variable.pack(np.full(shape, np.nan))
    values = rng.uniform(max(low, 0.0) if variable.units == "1" else low, high, shape)
    if not schema.is_static and schema.grid == "sin1km":
        values[rng.random(shape) < 0.4] = np.nan
    if schema.grid == "era5land":
        values[:, rng.random(window.shape) < 0.1] = np.nan
        values[rng.random(shape) < 0.01] = np.nan
    return variable.pack(values)


def write_cube(root, schema, year, values_of=random_values, windows=None):
    """Write the shards of `windows` of one store and return its URL."""
    url = join(root, schema.name, year_store(year))
    create_store(url, schema, year)
    rows, cols = schema.shards[1:]
    for window in windows or windows_of(schema):
        for variable in schema.variables:
            values = values_of(schema, variable, year, window)
            for row in range(0, window.shape[0], rows):
                for col in range(0, window.shape[1], cols):
                    index = ((window.row0 + row) // rows, (window.col0 + col) // cols)
                    part = values[..., row : row + rows, col : col + cols]
                    head = () if schema.is_static else (0,)
                    write_shard(url, schema, variable.name, (*head, *index), part)
    return url


@pytest.fixture(scope="session")
def world():
    root = "memory://features-world"
    for one in SCHEMAS.values():
        for year in [None] if one.is_static else YEARS:
            write_cube(root, one, year)
    cubes = CubeSet({name: join(root, name) for name in SCHEMAS})
    return World(cubes, SCHEMAS, DRIVERS, NAMES, REGION)


@pytest.fixture(scope="session")
def make_cube():
    """Return the function that writes one cube, for tests that damage or change one."""
    return write_cube
