"""Elevation sheets and soil maps lie where their names and transforms say."""

import numpy as np
import pytest
import rasterio
from pyproj import Transformer

from smcloud.simulate.granules_rasters import (
    SOIL_LAYERS,
    sheet_lonlat,
    sheet_name,
    sheets_of,
    write_elevation,
    write_soil_maps,
)

LON, LAT = np.array([9.4, 9.6]), np.array([45.1, 45.3])


def test_sheets_are_named_by_their_lower_left_corner():
    assert sheet_name(45, 5) == "n45e005_elv.tif"
    assert sheet_name(-5, -180) == "s05w180_elv.tif"
    assert sheets_of(np.array([9.9, -0.1]), np.array([49.9, -0.1])) == [(-5, -5), (45, 5)]


def test_an_elevation_reads_back_at_its_own_place(tmp_path):
    lon, lat = sheet_lonlat(45, 5)
    east, north = np.meshgrid(lon, lat)
    height = (1000 * east + north).astype(np.float32)
    height[0, 0] = np.nan
    with rasterio.open(write_elevation(tmp_path, 45, 5, height)) as file:
        assert file.crs.to_epsg() == 4326
        assert (file.bounds.left, file.bounds.bottom) == pytest.approx((5.0, 45.0))
        assert (file.bounds.right, file.bounds.top) == pytest.approx((10.0, 50.0))
        (value,) = next(file.sample([(7.123, 46.456)]))
        stored = file.read(1)
    assert stored[0, 0] == -9999.0
    assert value == pytest.approx(1000 * 7.123 + 46.456, abs=3.0)


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    def soil_at(lon, lat):
        fields = {name: np.full(lon.shape, 1.3) for name in SOIL_LAYERS}
        fields["sand_percent"] = 2.0 * lon
        fields["clay_percent"] = np.where(lat > 45.2, np.nan, 20.0)
        return fields

    return write_soil_maps(tmp_path_factory.mktemp("soil"), "h18v04", LON, LAT, soil_at)


def test_soil_maps_have_the_names_and_grid_of_soilgrids(maps):
    assert {path.name for path in maps} == {
        f"{word}_0-5cm_mean_h18v04.tif" for word in ("sand", "silt", "clay", "bdod", "soc")
    }
    for path in maps:
        with rasterio.open(path) as file:
            assert file.dtypes == ("int16",)
            assert file.nodata == -32768
            assert file.res == (250.0, 250.0)
            assert "homolosine" in file.crs.to_wkt().lower()


def test_soil_is_mapped_in_its_units_at_its_place_and_unknown_is_nodata(maps):
    found = {}
    for path in maps:
        with rasterio.open(path) as file:
            to_map = Transformer.from_crs("EPSG:4326", file.crs, always_xy=True)
            points = [to_map.transform(*point) for point in zip(LON, LAT, strict=True)]
            found[path.name.split("_")[0]] = [int(v[0]) for v in file.sample(points)]
    # Percent to g/kg, g cm-3 to cg cm-3, g/kg to dg/kg.
    assert found["sand"] == pytest.approx([10 * 2 * 9.4, 10 * 2 * 9.6], abs=1)
    assert found["bdod"] == [130, 130]
    assert found["soc"] == [13, 13]
    assert found["clay"] == [200, -32768]


def test_blocks_nobody_asked_for_take_no_space(tmp_path):
    def soil_at(lon, lat):
        rng = np.random.default_rng(0)
        return {name: rng.uniform(10, 50, lon.shape) for name in SOIL_LAYERS}

    far = write_soil_maps(tmp_path, "far", np.array([2.0, 12.0]), np.array([42.0, 49.0]), soil_at)
    with rasterio.open(far[0]) as file:
        pixels = file.width * file.height
    assert pixels > 5_000_000
    assert far[0].stat().st_size < 0.1 * 2 * pixels
