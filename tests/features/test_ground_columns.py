"""Columns of frozen ground read from cubes: places, contrasts, gaps, labels near in time."""

import numpy as np
import pytest

from smcloud.core.errors import NotFoundError
from smcloud.features.ground_columns import (
    BRIGHTNESS,
    DAY,
    NIGHT,
    NO_LABEL,
    GroundReader,
    GroundSources,
    brightness_contrasts,
    mean_of_known,
    sample_points,
)
from smcloud.features.spec import CubeSet
from smcloud.grids.grid import EASE2_NORTH_25KM, Window
from smcloud.sources.registry import SOURCES
from tests.production.ground_world import (
    EMPTY_DAY,
    NO_NIGHT,
    PLATEAU,
    SOURCES_USED,
    Ground,
    height,
    make_ground_world,
    state_of,
)

CELLS = PLATEAU.window_of("amsr2_tb")
ALL = GroundSources("amsr2_tb", "gldas", "terrain", "soilgrids")
POINTS = np.array([0, 7, 100, 200])


@pytest.fixture(scope="module")
def reader(tmp_path_factory) -> GroundReader:
    folder = tmp_path_factory.mktemp("ground")
    make_ground_world(folder)
    return GroundReader(
        ALL,
        CubeSet({name: f"{folder}/own/{name}" for name in SOURCES_USED}),
        {name: SOURCES[name].schema for name in SOURCES_USED},
        EASE2_NORTH_25KM,
    )


@pytest.fixture(scope="module")
def columns(reader) -> dict[str, np.ndarray]:
    return reader.read(CELLS, POINTS, 2015, (NIGHT, DAY))


def column(found: np.ndarray, name: str) -> np.ndarray:
    return found[ALL.columns.index(name)]


def places() -> tuple[np.ndarray, np.ndarray]:
    lon, lat = EASE2_NORTH_25KM.lonlat(CELLS)
    return lon.ravel()[POINTS], lat.ravel()[POINTS]


def test_columns_have_names_units_and_one_order(columns) -> None:
    assert len(ALL.columns) == len(ALL.units) == len(columns["night"]) == 10 + 5 + 4 + 5 + 1
    assert ALL.of_land_model == tuple(ALL.columns[15:19])
    assert dict(zip(ALL.columns, ALL.units, strict=True))["land_model_soil_moisture"] == "m3 m-3"
    assert column(columns["night"], "is_night")[0, 0] == 1.0
    assert column(columns["day"], "is_night")[0, 0] == 0.0
    few = GroundSources("mwri_tb")
    assert few.columns[-1] == "is_night"
    assert few.of_land_model == ()


def test_overpasses_are_kept_apart_and_gaps_are_unknown(columns) -> None:
    night, day = (column(columns[name], "tb_36v") for name in ("night", "day"))
    assert np.isnan(night[[EMPTY_DAY, NO_NIGHT]]).all()
    assert np.isnan(day[EMPTY_DAY]).all()
    assert np.isfinite(day[NO_NIGHT]).all()
    assert np.nanmean(day - night) > 3.0  # the ground is warmer by day


def test_contrasts_are_their_formulas(columns) -> None:
    found = columns["day"]
    v, h = column(found, "tb_18v"), column(found, "tb_18h")
    np.testing.assert_allclose(column(found, "polarisation_18"), (v - h) / (v + h), rtol=1e-5)
    seen = {name: np.full(1, 200.0 + number) for number, name in enumerate(BRIGHTNESS)}
    ratios = [1 / (202.0 + 203.0) * -1, 1 / (206.0 + 207.0) * -1]
    np.testing.assert_allclose(np.ravel(brightness_contrasts(seen)), [*ratios, 4.0, 4.0, 2.0])


def test_the_land_model_and_the_terrain_are_those_of_the_place(columns) -> None:
    lon, lat = places()
    ground = Ground.at(lon[None], lat[None], 2015)
    mean = 273.15 + (ground.night + ground.day)[:, 0] / 2
    soil = column(columns["night"], "land_model_soil_temperature")
    assert np.abs(soil - mean).mean() < 2.5
    assert np.corrcoef(soil.ravel(), mean.ravel())[0, 1] > 0.95
    found = column(columns["night"], "elevation")[0]
    np.testing.assert_allclose(found, height(lon, lat), atol=30.0)
    assert column(columns["night"], "sand")[5].tolist() == pytest.approx([33.0] * 4, abs=0.1)


def test_labels_are_those_of_the_same_night_although_filed_a_day_later(reader) -> None:
    lon, lat = places()
    ground = Ground.at(lon[None], lat[None], 2015)
    for overpass, soil in ((NIGHT, ground.night[:, 0]), (DAY, ground.day[:, 0])):
        found = reader.labels("smos_ft", CELLS, POINTS, 2015, overpass)
        expected = state_of(soil).astype(np.uint8)
        known = found != NO_LABEL
        # The last night's label is filed under the next year, which nobody ingested.
        assert known.sum(axis=0).tolist() == [365 - (overpass is NIGHT)] * len(POINTS)
        np.testing.assert_array_equal(found[known], expected[known])


def test_the_year_after_gives_the_last_night_its_label(reader) -> None:
    found = reader.labels("smos_ft", CELLS, POINTS, 2014, NIGHT)
    assert (found[-1] == NO_LABEL).all()  # the first morning of 2015 is unknown
    assert (found[:-1] != NO_LABEL).all()


def test_a_cube_that_was_not_ingested_is_named(reader) -> None:
    with pytest.raises(NotFoundError, match=r"gldas/2013\.zarr: ingest gldas first"):
        reader.read(CELLS, POINTS, 2013, (NIGHT,))


def test_samples_lie_inside_their_cell() -> None:
    window = Window(CELLS.row0, CELLS.row0 + 2, CELLS.col0, CELLS.col0 + 3)
    lon, lat = sample_points(EASE2_NORTH_25KM, window)
    assert lon.shape == (6, 25)
    row, col = EASE2_NORTH_25KM.pixel_of(lon.ravel(), lat.ravel())
    number = (row - window.row0) * 3 + col - window.col0
    np.testing.assert_array_equal(number, np.repeat(np.arange(6), 25))


def test_a_mean_of_too_few_is_unknown() -> None:
    values = np.array([[1, 2, 3, 4, 5], [1, 2, 3, 4, np.nan]], np.float32)
    found = mean_of_known(values)
    assert found[0] == 3.0
    assert np.isnan(found[1])
