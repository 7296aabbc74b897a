"""Stores: whole shards go in, the same values come out, and damage never reads as fill."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
import zarr

from smcloud.core.errors import CubeError, NotFoundError
from smcloud.core.objects import open_objects
from smcloud.cube.schema import CubeSchema, Variable, shard_index
from smcloud.cube.store import create_store, encode_shard, hash_values, open_cube, write_shard
from smcloud.grids.grid import SIN1KM, Window
from smcloud.grids.tiles import TileYear, tile_window

LST = Variable("lst", "uint16", "K", "temperature", (150.0, 400.0), scale=0.02, fill=0)
FLAG = Variable("flag", "uint8", "1", "flags", (0, 255))
SCHEMA = CubeSchema(
    "toy", "sin1km", (LST, FLAG), 1, chunks=(46, 150, 150), shards=(368, 150, 150), title="A toy"
)
TILE = tile_window(SIN1KM, "h18v04")
BLOCK = Window(TILE.row0, TILE.row0 + 150, TILE.col0, TILE.col0 + 150)
INDEX = shard_index(SCHEMA, BLOCK, 0)


def year_of_values(seed=0):
    rng = np.random.default_rng(seed)
    values = rng.uniform(250, 320, (365, 150, 150)).astype(np.float32)
    values[rng.random(values.shape) < 0.3] = np.nan
    return values


@pytest.fixture
def url(tmp_path):
    create_store(str(tmp_path / "2019.zarr"), SCHEMA, 2019)
    return str(tmp_path / "2019.zarr")


def test_values_survive_packing_and_storage(url):
    values = year_of_values()
    write_shard(url, SCHEMA, "lst", INDEX, LST.pack(values))
    read = open_cube(url, SCHEMA, 2019).read_physical("lst", slice(0, 365), BLOCK)
    np.testing.assert_array_equal(np.isnan(read), np.isnan(values))
    assert np.nanmax(np.abs(read - values)) <= 0.011


def test_window_across_stores_edge_is_unknown(url):
    cube = open_cube(url, SCHEMA, 2019)
    outside = Window(-2, 2, 0, 4)
    read = cube.read("lst", slice(0, 1), outside, required=False)
    assert (read == 0).all()


def test_plain_xarray_decodes_it(url):
    values = year_of_values()
    write_shard(url, SCHEMA, "lst", INDEX, LST.pack(values))
    with xr.open_zarr(url, chunks=None) as ds:
        point = ds.lst.isel(y=BLOCK.row0, x=BLOCK.col0)
        np.testing.assert_allclose(point.values, values[:, 0, 0], atol=0.011)
        assert str(ds.time.values[0])[:10] == "2019-01-01"
        assert ds.sizes == {"time": 365, "y": 21600, "x": 43200}


def test_absent_object_raises_instead_of_reading_as_fill(url):
    with pytest.raises(CubeError, match="lst/c/0/"):
        open_cube(url, SCHEMA, 2019).read("lst", slice(0, 2), BLOCK)


def test_empty_shard_exists_as_an_object(url):
    record = write_shard(url, SCHEMA, "lst", INDEX, np.zeros((365, 150, 150), np.uint16))
    assert open_objects(url).head(record.key).size > 0


@pytest.mark.parametrize("damage", ["truncate", "flip"])
def test_damaged_shard_raises_and_is_restored_by_writing_again(url, damage):
    packed = LST.pack(year_of_values())
    record = write_shard(url, SCHEMA, "lst", INDEX, packed)
    objects = open_objects(url)
    data = bytearray(objects.get(record.key))
    objects.put(record.key, bytes(data[:1000]) if damage == "truncate" else _flip(data))
    cube = open_cube.__wrapped__(url, SCHEMA, 2019)
    with pytest.raises(CubeError, match="cannot be decoded"):
        cube.read("lst", slice(0, 365), BLOCK)
    assert write_shard(url, SCHEMA, "lst", INDEX, packed) == record
    np.testing.assert_array_equal(cube.read("lst", slice(0, 365), BLOCK), packed)


def _flip(data):
    data[len(data) // 3] ^= 0xFF
    return bytes(data)


def test_same_input_same_bytes():
    packed = LST.pack(year_of_values())
    assert encode_shard(SCHEMA, LST, packed) == encode_shard(SCHEMA, LST, packed.copy())
    assert hash_values(packed) != hash_values(LST.pack(year_of_values(1)))


def test_store_of_other_codecs_is_read_but_not_added_to(url):
    """Shards of two encodings under one metadata would make the older ones unreadable."""
    packed = LST.pack(year_of_values())
    write_shard(url, SCHEMA, "lst", INDEX, packed)
    other = replace(SCHEMA, codec="lz4")
    with pytest.raises(CubeError, match=r"lst/zarr\.json has other codecs"):
        create_store(url, other, 2019)
    read = open_cube(url, other, 2019).read("lst", slice(0, 365), BLOCK)
    np.testing.assert_array_equal(read, packed)


def test_damaged_metadata_are_mended_by_creating_again(url):
    objects = open_objects(url)
    before = objects.get("lst/zarr.json")
    objects.put("lst/zarr.json", before[:20])
    create_store(url, SCHEMA, 2019)
    assert objects.get("lst/zarr.json") == before


def test_part_of_a_shard_is_refused():
    with pytest.raises(CubeError, match="not a whole shard"):
        shard_index(SCHEMA, Window(0, 100, 0, 150), 0)


def test_shard_shape_of_zarr_is_the_one_declared(url):
    array = zarr.open_group(url, mode="r")["lst"]
    assert array.shards == (368, 150, 150)
    assert array.chunks == (46, 150, 150)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variables": (replace(LST, units="degC"),)}, "expected units 'degC', found 'K'"),
        ({"variables": (replace(LST, name="ndvi"),)}, "no such array"),
        ({"step_days": 8}, "not those of 2019"),
        ({"grid": "era5land"}, "CRS"),
    ],
)
def test_store_that_differs_from_the_schema_is_refused(url, change, message):
    with pytest.raises(CubeError, match=message):
        open_cube(url, replace(SCHEMA, **change), 2019)


def test_missing_day_is_named(tmp_path):
    create_store(str(tmp_path), SCHEMA, 2019)
    zarr.open_group(str(tmp_path), mode="r+")["time"][40] = 99999
    with pytest.raises(CubeError, match="2019-02-10"):
        open_cube(str(tmp_path), SCHEMA, 2019)


def test_absent_store_is_named(tmp_path):
    with pytest.raises(NotFoundError, match="no Zarr store"):
        open_cube(str(tmp_path / "none.zarr"), SCHEMA, 2019)


def test_own_region_store_of_floats_is_accepted(tmp_path):
    """A user's own cube: a region of the grid, float32, written by plain xarray."""
    rows, cols = BLOCK.slices
    ds = xr.Dataset(
        {"lst": (("time", "y", "x"), year_of_values(), {"units": "K", "grid_mapping": "crs"})},
        coords={
            "time": SCHEMA.times(2019).astype("datetime64[ns]"),
            "y": SIN1KM.y[rows],
            "x": SIN1KM.x[cols],
            "crs": ((), 0, {"crs_wkt": SIN1KM.crs.to_wkt()}),
        },
    )
    ds.to_zarr(tmp_path / "own.zarr", zarr_format=3, consolidated=False)
    schema = replace(SCHEMA, variables=(LST,))
    cube = open_cube(str(tmp_path / "own.zarr"), schema, 2019)
    assert cube.window == BLOCK
    np.testing.assert_array_equal(
        cube.read_physical("lst", slice(3, 5), BLOCK), year_of_values()[3:5]
    )


def test_check_names_what_is_wrong():
    key = TileYear.parse("sin1km/h18v04/2019")
    ds = xr.Dataset({"lst": (("time", "y", "x"), np.full((1, 2, 2), 500.0), {"units": "K"})})
    schema = replace(SCHEMA, variables=(LST,))
    with pytest.raises(CubeError, match="4 values outside 150 to 400 K, such as 500"):
        schema.check(ds, key)
