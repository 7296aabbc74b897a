"""The table of coarse cells: production's features, averaged over the land pixels of each cell."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from smcloud.core.errors import NotFoundError
from smcloud.cube.schema import CubeSchema, Variable
from smcloud.cube.store import create_store, write_shard
from smcloud.features.blockwise import FeatureReader
from smcloud.features.catalogue import features_named
from smcloud.features.coarse_table import AreaTask, CoarseTarget, area_rows, near
from smcloud.features.spec import CubeSet
from smcloud.grids.cells import Aggregation, areas_of, cells_in, land_pixels
from smcloud.grids.grid import GLOBAL025, SIN1KM, Window
from smcloud.grids.land import land_mask

YEAR = 2019
MOISTURE = Variable(
    "soil_moisture", "int16", "m3 m-3", "moisture", (0.0, 1.0), scale=0.0001, fill=-9999
)
COARSE = CubeSchema("coarse", "global025", (MOISTURE,), 1, (46, 20, 20), (368, 20, 20), "Coarse")
SHARD = Window(160, 200, 700, 740)
"""Around 45 N and Greenwich: four shards."""


@pytest.fixture(scope="module")
def target():
    """A coarse cube whose values tell cell and day apart; every fifth day is unknown."""
    url = "memory://coarse-table/coarse/2019.zarr"
    create_store(url, COARSE, YEAR)
    rows, cols = np.mgrid[SHARD.slices]
    days = np.arange(365)[:, None, None]
    values = 0.1 + 0.001 * (days % 100) + 0.002 * (rows % 10) + 0.01 * (cols % 10)
    values[::5] = np.nan
    stored = MOISTURE.pack(values)
    for row in (0, 20):
        for col in (0, 20):
            index = (0, (SHARD.row0 + row) // 20, (SHARD.col0 + col) // 20)
            write_shard(
                url, COARSE, "soil_moisture", index, stored[:, row : row + 20, col : col + 20]
            )
    return CoarseTarget(
        CubeSet({"coarse": "memory://coarse-table/coarse"}), COARSE, "soil_moisture"
    )


@pytest.fixture
def task(world, target):
    reader = FeatureReader(
        features_named(world.names, world.drivers),
        world.drivers,
        world.cubes,
        schemas=world.schemas,
    )
    areas = areas_of([world.region])
    area = Window(areas[0].row0, areas[0].row0 + 600, areas[0].col0, areas[-1].col0 + 1200)
    return AreaTask(reader, target, Aggregation("mean", 0.2), area, (world.region,), YEAR)


def expected(task, world):
    """The table by brute force, from the columns of the whole region."""
    region = world.region
    points = np.flatnonzero(land_mask(region))
    days = np.arange("2019-01-01", "2020-01-01", dtype="datetime64[D]")
    values = task.reader.compute(task.reader.read(region, days, points)).values.astype(float)
    lon, lat = (v.reshape(-1)[points] for v in SIN1KM.lonlat(region))
    rows, cols = GLOBAL025.pixel_of(lon, lat)
    parts = []
    for row, col in sorted(set(zip(rows.tolist(), cols.tolist(), strict=True))):
        own = values[..., (rows == row) & (cols == col)]
        land = land_pixels(GLOBAL025, Window(row, row + 1, col, col + 1))[0, 0]
        known = np.isfinite(own)
        mean = np.nansum(own, axis=-1) / np.maximum(known.sum(axis=-1), 1)
        mean[known.sum(axis=-1) < max(task.aggregation.minimum_share * land, 1)] = np.nan
        moisture = 0.1 + 0.001 * (np.arange(365) % 100) + 0.002 * (row % 10) + 0.01 * (col % 10)
        kept = (np.arange(365) % 5 != 0) & np.isfinite(mean).any(axis=0)
        frame = pd.DataFrame({"row": row, "col": col, "time": days[kept]})
        frame["valid_share"] = known.all(axis=0).sum(axis=-1)[kept] / land
        for name, column in zip(task.reader.names, mean[:, kept], strict=True):
            frame[name] = column
        frame["soil_moisture"] = moisture[kept]
        parts.append(frame)
    return pd.concat(parts, ignore_index=True)


def test_rows_are_means_of_what_production_computes(task, world):
    found = area_rows(task)
    wanted = expected(task, world)
    assert len(found) == len(wanted) > 300
    assert found["row"].dtype == found["col"].dtype == np.int32
    lon, lat = GLOBAL025.lonlat(Window(0, 720, 0, 1440))
    np.testing.assert_array_equal(found["latitude"], lat[found["row"], found["col"]])
    np.testing.assert_array_equal(found["longitude"], lon[found["row"], found["col"]])
    for name in wanted.columns:
        if name == "time":
            assert (found[name].to_numpy() == wanted[name].to_numpy()).all()
        else:
            np.testing.assert_allclose(found[name], wanted[name], rtol=3e-7, atol=1e-7)
    assert 0 < found["valid_share"].max() <= 1
    assert found[list(task.reader.names)].isna().to_numpy().any()


@pytest.mark.parametrize(
    ("rows", "cols", "step"),
    [
        ([0, 10, 20, 30, 40], [0, 10, 20, 30, 40], 46),
        ([0, 7, 40], [0, 3, 21, 40], 100),
        ([0, 40], [0, 20, 40], 365),
    ],
)
def test_any_blocks_and_slabs_give_the_same_bits(task, world, rows, cols, step):
    region = world.region
    blocks = tuple(
        Window(region.row0 + top, region.row0 + bottom, region.col0 + left, region.col0 + right)
        for top, bottom in itertools.pairwise(rows)
        for left, right in itertools.pairwise(cols)
    )
    pd.testing.assert_frame_equal(
        area_rows(replace(task, blocks=blocks, step_days=step)), area_rows(task), check_exact=True
    )


def test_areas_side_by_side_have_the_rows_of_one_area(task):
    middle = task.area.col0 + 600
    parts = [
        area_rows(replace(task, area=replace(task.area, **side)))
        for side in ({"col1": middle}, {"col0": middle})
    ]
    together = pd.concat(parts).sort_values(["row", "col", "time"], ignore_index=True)
    assert all(len(part) for part in parts)
    pd.testing.assert_frame_equal(together, area_rows(task), check_exact=True)


def test_the_nearest_pixel_stands_for_its_cell(task, world):
    found = area_rows(replace(task, aggregation=Aggregation("nearest")))
    assert set(found["valid_share"]) <= {0.0, 1.0}
    one = found.iloc[[0]]
    place = one["longitude"].to_numpy(), one["latitude"].to_numpy()
    row, col = (int(index[0]) for index in SIN1KM.pixel_of(*place))
    region = world.region
    point = (row - region.row0) * region.shape[1] + col - region.col0
    day = one["time"].to_numpy().astype("datetime64[D]")
    columns = task.reader.compute(task.reader.read(region, day, np.array([point])))
    np.testing.assert_array_equal(
        one[list(task.reader.names)].to_numpy(), columns.values[:, :, 0].T
    )


def test_a_share_that_no_cell_reaches_leaves_features_of_the_calendar_unknown_too(task):
    found = area_rows(replace(task, aggregation=Aggregation("mean", 1.0)))
    assert len(found) == 0
    assert found["soil_moisture"].dtype == np.float32
    assert list(found.columns) == list(area_rows(task).columns)


def test_cells_without_a_target_are_not_read(task):
    elsewhere = replace(task, area=Window(9000, 9600, 25200, 25800), blocks=())
    assert cells_in(GLOBAL025, elsewhere.area).rows.size > 0
    assert len(area_rows(elsewhere)) == 0
    at_sea = replace(task, area=Window(6000, 6600, 12000, 12600), blocks=())
    assert len(area_rows(at_sea)) == 0


def test_a_year_without_a_cube_of_the_target_is_an_error(task):
    with pytest.raises(NotFoundError, match="2018"):
        area_rows(replace(task, year=2018))


def test_only_blocks_near_an_area_are_its_own(task, world):
    far = Window(8000, 8040, 25000, 25040)
    assert near(task.area, (world.region, far), task.target) == (world.region,)
