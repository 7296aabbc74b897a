"""Soil texture of China: names, cells, projections, and means on our pixels."""

import numpy as np
import pytest
import rasterio
from affine import Affine

from smcloud.core.errors import GranuleError
from smcloud.grids.tiles import TileYear
from smcloud.simulate.samples import SAMPLE_TILE, sample_window, write_sample
from smcloud.sources.china_soil import CHINA_SOIL

KEY = TileYear("sin1km", SAMPLE_TILE, None)


def write(path, *, step=1 / 120, crs="EPSG:4326", value=30.0):
    """Write a map of one value about the sample's place, north up."""
    west, north = (7.0, 47.0) if crs == "EPSG:4326" else (0.0, 0.0)
    transform = Affine(step, 0, west, 0, -step, north)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=40,
        width=40,
        count=1,
        dtype="float32",
        crs=crs,
        transform=transform,
        nodata=-9999.0,
    ) as file:
        file.write(np.full((40, 40), value, np.float32), 1)
    return path


def test_names_of_soilgrids_are_none_of_its():
    assert CHINA_SOIL.identify("china_soil_clay.tif") is not None
    assert CHINA_SOIL.identify("sand_h25v05.tif") is not None
    assert CHINA_SOIL.identify("sand_0-5cm_mean.tif") is None


def test_fractions_of_a_sample_come_out_in_per_cent(tmp_path):
    datasets = [CHINA_SOIL.read(path) for path in write_sample("china_soil", tmp_path)]
    found = CHINA_SOIL.steps(datasets, KEY, within=sample_window())
    assert set(found.data_vars) == {"sand", "silt", "clay"}
    inner = found["sand"].values[5:-5, 5:-5]
    assert np.isfinite(inner).all()
    assert 20.0 <= inner.min() <= inner.max() <= 60.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"step": 1 / 1200}, "expected cells of 500 to 1500 m, found 93 m"),
        ({"crs": "EPSG:3857", "step": 250.0}, "found 250 m"),
    ],
)
def test_cells_of_another_size_are_named(changes, message, tmp_path):
    with pytest.raises(GranuleError, match=message):
        CHINA_SOIL.read(write(tmp_path / "china_soil_sand.tif", **changes))


def test_maps_on_two_projections_are_refused(tmp_path):
    one = CHINA_SOIL.read(write(tmp_path / "china_soil_sand.tif"))
    other = CHINA_SOIL.read(write(tmp_path / "china_soil_clay.tif", crs="EPSG:3857", step=1000.0))
    with pytest.raises(GranuleError, match=r"china_soil_clay.tif: expected the projection of"):
        CHINA_SOIL.steps([one, other], KEY, within=sample_window())
