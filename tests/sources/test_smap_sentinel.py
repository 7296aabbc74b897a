"""SPL2SMAP_S: scenes of the 1 km EASE-Grid 2.0 on the output grid, placed by their indices."""

from datetime import date

import h5py
import numpy as np
import pytest

from smcloud.core.errors import GranuleError
from smcloud.grids.grid import EASE2_1KM, SIN1KM, Window
from smcloud.grids.tiles import TileYear, tile_at, tile_window
from smcloud.ingest.index import index_granules, list_bucket
from smcloud.sources.smap_sentinel import SMAP_SENTINEL
from tests.sources.satellite_files import PLACE, START, around, scene_name, write_scene, write_smap

KEY = TileYear("sin1km", "h18v04", 2019)
SCENE = around(EASE2_1KM, 90)


def near(pixels):
    """Return a square of the output grid around the middle of the scene."""
    return around(SIN1KM, pixels)


def test_names_tell_the_day_of_smap_and_the_scene():
    name = "SMAP_L2_SM_SP_1AIWDV_20150331T170640_20150401T054620_003E34N_R18290_001.h5"
    granule = SMAP_SENTINEL.identify(name)
    assert (granule.start, granule.end) == (date(2015, 4, 1), date(2015, 4, 1))
    assert granule.produced == "R18290_001"
    assert SMAP_SENTINEL.identify(name.replace("_SP_", "_P_")) is None
    assert SMAP_SENTINEL.identify(name.replace("20150401T", "20150441T")) is None


@pytest.mark.parametrize(
    ("place", "tile", "is_near"),
    [
        ("008E46N", "h18v04", True),
        ("008E46N", "h18v03", True),
        ("008E46N", "h17v04", True),
        ("008E46N", "h25v05", False),
        ("020W46N", "h18v04", False),
        ("008E46S", "h18v04", False),
        ("179W05N", "h35v08", True),
        ("179E05N", "h00v08", True),
        ("100W40N", "h10v04", True),
    ],
)
def test_the_place_in_a_name_tells_which_tiles_a_scene_may_reach(place, tile, is_near):
    granule = SMAP_SENTINEL.identify(scene_name(START, place))
    assert SMAP_SENTINEL.covers(granule, TileYear("sin1km", tile, 2019)) == is_near


@pytest.mark.parametrize("lon", [-175.0, -80.3, 0.5, 33.0, 179.0])
@pytest.mark.parametrize("lat", [-54.0, 0.2, 39.9, 66.0])
def test_a_scene_covers_the_tile_that_its_place_lies_in(lon, lat):
    place = f"{abs(int(lon)):03d}{'E' if lon >= 0 else 'W'}{abs(int(lat)):02d}"
    granule = SMAP_SENTINEL.identify(scene_name(START, place + ("N" if lat >= 0 else "S")))
    row, col = (int(index) for index in SIN1KM.pixel_of(lon, lat))
    assert SMAP_SENTINEL.covers(granule, TileYear("sin1km", tile_at(row, col), 2019))


def test_a_pixel_has_the_value_of_the_cell_that_its_centre_lies_in(tmp_path):
    values = np.linspace(0.05, 0.45, 8100, dtype=np.float32).reshape(90, 90)
    scene = SMAP_SENTINEL.read(write_scene(tmp_path, START), quality="all")
    window = near(30)
    found = SMAP_SENTINEL.steps([scene], KEY, within=window)["soil_moisture"].values[0]
    lon, lat = SIN1KM.lonlat(window)
    row, col = EASE2_1KM.pixel_of(lon, lat)
    np.testing.assert_array_equal(found, values[row - SCENE.row0, col - SCENE.col0])
    assert len(np.unique(found)) > 600


def test_pixels_outside_the_scene_and_in_its_empty_corner_are_unknown(tmp_path):
    scene = SMAP_SENTINEL.read(write_scene(tmp_path, START), quality="all")
    whole = SMAP_SENTINEL.steps([scene], KEY)["soil_moisture"].values[0]
    assert whole.shape == (1200, 1200)
    known = np.isfinite(whole)
    # Both grids have cells of about 1 km2: 926.6 m and 1000.9 m a side.
    assert known.sum() == pytest.approx((8100 - 100) * 1000.895**2 / 926.6254**2, rel=0.02)
    lon, lat = EASE2_1KM.lonlat(
        Window(SCENE.row0 + 3, SCENE.row0 + 4, SCENE.col0 + 3, SCENE.col0 + 4)
    )
    row, col = SIN1KM.pixel_of(lon[0, 0], lat[0, 0])
    home = tile_window(SIN1KM, "h18v04")
    assert not known[row - home.row0, col - home.col0]


def test_quality_rules_drop_the_rows_that_are_not_recommended(tmp_path):
    path = write_scene(tmp_path, START)
    kept = {
        rule: int(np.isfinite(SMAP_SENTINEL.read(path, quality=rule)["soil_moisture"].values).sum())
        for rule in SMAP_SENTINEL.quality_rules
    }
    assert kept == {"recommended": 8000 - 20 * 90, "attempted": 8000, "all": 8000}


def test_scenes_of_one_day_join_and_the_first_by_name_counts(tmp_path):
    east = Window(SCENE.row0, SCENE.row1, SCENE.col0 + 45, SCENE.col1 + 45)
    first = write_scene(tmp_path, START, name=scene_name(START, "008E46N"))
    second = write_scene(
        tmp_path,
        START,
        name=scene_name(START, "009E46N"),
        window=east,
        values=np.full((90, 90), 0.5),
    )
    datasets = [SMAP_SENTINEL.read(path, quality="all") for path in (second, first)]
    found = SMAP_SENTINEL.steps(datasets, KEY)["soil_moisture"].values
    alone = SMAP_SENTINEL.steps(datasets[1:], KEY)["soil_moisture"].values
    assert found.shape[0] == 1
    known = np.isfinite(alone)
    np.testing.assert_array_equal(found[known], alone[known])
    assert np.isfinite(found).sum() > 1.4 * known.sum()


def test_two_releases_of_a_scene_are_rivals_and_two_scenes_are_not(tmp_path):
    for name in (
        scene_name(START, "008E46N", "R16000"),
        scene_name(START, "008E46N", "R17000"),
        scene_name(START, "010E46N", "R16000"),
    ):
        (tmp_path / name).write_bytes(b"x")
    index = index_granules(SMAP_SENTINEL, str(tmp_path), list_bucket(str(tmp_path)))
    assert sorted(g.granule.produced[:6] for g in index.granules) == ["R16000", "R17000"]
    assert len(index.duplicates) == 1


def test_indices_that_are_no_rectangle_of_the_grid_are_refused(tmp_path):
    path = write_scene(tmp_path, START, shift=1)
    with pytest.raises(GranuleError, match="one rectangle of the 14616 rows") as error:
        SMAP_SENTINEL.read(path)
    assert path.name in str(error.value)


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("soil_moisture_1km", "expected a layer .*_1km/soil_moisture_1km, found in"),
        ("retrieval_qual_flag_1km", "expected a layer .*/retrieval_qual_flag_1km"),
        ("surface_flag_1km", "expected a layer .*/surface_flag_1km"),
        ("EASE_row_index_1km", "expected a layer .*/EASE_row_index_1km"),
    ],
)
def test_scenes_without_a_layer_are_named(lost, message, tmp_path):
    path = write_scene(tmp_path, START)
    with h5py.File(path, "a") as file:
        del file["Soil_Moisture_Retrieval_Data_1km"][lost]
    with pytest.raises(GranuleError, match=message) as error:
        SMAP_SENTINEL.read(path)
    assert path.name in str(error.value)


def test_another_product_under_the_name_of_a_scene_is_refused(tmp_path):
    path = write_smap(tmp_path, "SPL3SMP", START, name=scene_name(START))
    with pytest.raises(GranuleError, match="expected the product SPL2SMAP_S, found SPL3SMP"):
        SMAP_SENTINEL.read(path)


def test_a_day_without_a_scene_is_nothing_missing():
    assert not SMAP_SENTINEL.expects(START)


def test_the_place_lies_in_the_tile_of_these_tests():
    row, col = SIN1KM.pixel_of(*PLACE)
    assert tile_at(int(row), int(col)) == "h18v04"
