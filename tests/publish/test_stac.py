"""Items say where and when a tile-year lies, validate offline, and can be rebuilt."""

import json

import jsonschema
import numpy as np
import pystac
import pytest
from pystac.validation.local_validator import get_local_schema_cache
from referencing import Registry, Resource

from smcloud.core.errors import ConfigError
from smcloud.grids.grid import SIN1KM
from smcloud.grids.tiles import TileYear
from smcloud.publish.raster import RasterRecord
from smcloud.publish.stac import Published, item_bytes, tile_item, tile_outline

from .conftest import SCHEMA


def published(tile="h18v04"):
    raster = RasterRecord(tile, "2019-07-15", f"s3://b/cog/{tile}.tif", 1234, 99)
    return Published(
        "glass-sm", "Soil moisture", TileYear("sin1km", tile, 2019), SCHEMA,
        "s3://b/2019.zarr", "ab" * 32, "0.1", (raster,), "s3://b/n.nc", "s3://b/report.html", "s3://b/map.png",
    )  # fmt: skip


def core_faults(item):
    schemas = get_local_schema_cache()
    registry = Registry().with_resources(
        [(name, Resource.from_contents(schema)) for name, schema in schemas.items()]
    )
    schema = next(value for name, value in schemas.items() if name.endswith("/item.json"))
    return [
        e.message for e in jsonschema.Draft7Validator(schema, registry=registry).iter_errors(item)
    ]


def test_the_item_validates_against_the_core_schema():
    data = json.loads(item_bytes(tile_item(published())))
    assert core_faults(data) == []
    del data["properties"]["datetime"]
    assert core_faults(data)  # the validator does look


def test_extension_fields_are_there_and_consistent():
    item = tile_item(published())
    dimensions = item.properties["cube:dimensions"]
    for variable in item.properties["cube:variables"].values():
        assert set(variable["dimensions"]) <= set(dimensions)
        assert variable["type"] == "data"
    assert dimensions["time"]["extent"] == ["2019-01-01T00:00:00Z", "2019-12-31T00:00:00Z"]
    assert dimensions["x"]["step"] > 0 > dimensions["y"]["step"]
    assert item.properties["proj:wkt2"].startswith("PROJCRS")
    assert item.properties["proj:shape"] == [1200, 1200]
    assert all("stac-extensions.github.io" in url for url in item.stac_extensions)


def test_the_outline_holds_every_pixel_of_the_tile():
    key = TileYear("sin1km", "h18v04", 2019)
    ring = tile_outline(key)
    lon, lat = SIN1KM.lonlat(key.window)
    west, south, *_ = tile_item(published()).bbox
    east, north = tile_item(published()).bbox[2:]
    assert west <= np.nanmin(lon)
    assert east >= np.nanmax(lon)
    assert south <= np.nanmin(lat)
    assert north >= np.nanmax(lat)
    np.testing.assert_array_equal(ring[0], ring[-1])
    x, y = ring.T
    assert np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) > 0  # anticlockwise, as GeoJSON asks


@pytest.mark.parametrize("tile", ["h35v08", "h00v09", "h14v00", "h21v17", "h30v13", "h29v03"])
def test_outlines_at_the_rim_stay_on_the_globe(tile):
    ring = tile_outline(TileYear("sin1km", tile, 2019))
    assert np.isfinite(ring).all()
    assert np.abs(ring[:, 0]).max() <= 180
    assert np.abs(ring[:, 1]).max() <= 90
    assert len(ring) >= 4
    assert core_faults(json.loads(item_bytes(tile_item(published(tile))))) == []


def test_a_tile_off_the_globe_has_no_outline():
    with pytest.raises(ConfigError, match="off the globe"):
        tile_outline(TileYear("sin1km", "h23v17", 2019))


def test_assets_lead_to_store_rasters_map_and_report():
    assets = tile_item(published()).assets
    assert assets["store"].media_type == "application/vnd.zarr; version=3"
    assert assets["cog-2019-07-15"].media_type == pystac.MediaType.COG
    assert assets["cog-2019-07-15"].extra_fields["file:size"] == 1234
    assert {"map", "report", "netcdf"} <= set(assets)


def test_the_same_store_gives_the_same_bytes():
    assert item_bytes(tile_item(published())) == item_bytes(tile_item(published()))
