"""Points and windows come straight from the inner chunks, and damage to them never goes unseen."""

import threading
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, GzipCodec

from smcloud.core.errors import CubeError
from smcloud.core.objects import Objects, open_objects
from smcloud.cube.codecs import COMPRESSORS
from smcloud.cube.schema import CubeSchema, Variable
from smcloud.cube.sharded import layout_of
from smcloud.cube.store import Cube, create_store, encode_shard, open_cube, shard_key, write_shard
from smcloud.grids.grid import SIN1KM, Window
from smcloud.grids.tiles import tile_window

LST = Variable("lst", "uint16", "K", "temperature", (150.0, 400.0), scale=0.02, fill=0)
LAI = Variable("lai", "uint8", "m2 m-2", "leaf area", (0.0, 10.0), scale=0.1, fill=255)
SCHEMA = CubeSchema(
    "toy", "sin1km", (LST, LAI), 1, chunks=(46, 20, 20), shards=(92, 60, 60), title="A toy"
)
STATIC = replace(SCHEMA, name="still", step_days=None)
TILE = tile_window(SIN1KM, "h18v04")
CORNER = Window(TILE.row0, TILE.row0 + 60, TILE.col0, TILE.col0 + 60)
KEY = shard_key("lst", (0, CORNER.row0 // 60, CORNER.col0 // 60))
"""The first shard; the next slab of days and the next columns are shards of their own."""
EVERYWHERE = Window(CORNER.row0, CORNER.row1, CORNER.col0, CORNER.col0 + 120)


def stored_values(variable, shape, seed=0):
    """Return noise with gaps, and one inner chunk that is all fill."""
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 250, shape).astype(variable.dtype)
    values[rng.random(shape) < 0.3] = variable.fill_value
    values[..., :20, 20:40] = variable.fill_value
    return values


def write(url, schema, year=None):
    """Write two slabs and two shards side by side; return the values (steps, 60, 120)."""
    create_store(url, schema, year)
    steps = () if schema.is_static else (184,)
    truth = {}
    for variable in schema.variables:
        values = truth[variable.name] = stored_values(variable, (*steps, 60, 120))
        for place in np.ndindex(*(1 if schema.is_static else 2,), 2):
            part = values[..., place[1] * 60 : place[1] * 60 + 60]
            head = () if schema.is_static else (place[0],)
            part = part if schema.is_static else part[place[0] * 92 : place[0] * 92 + 92]
            index = (*head, CORNER.row0 // 60, CORNER.col0 // 60 + place[1])
            write_shard(url, schema, variable.name, index, part)
    return truth


@pytest.fixture(params=["zstd", "lz4"])
def toy(request, tmp_path):
    schema = replace(SCHEMA, codec=request.param)
    url = str(tmp_path / "2019.zarr")
    return url, schema, write(url, schema, 2019)


def some_points(shape, n=300):
    return np.random.default_rng(3).permutation(shape[0] * shape[1])[:n]


@pytest.mark.parametrize("name", ["lst", "lai"])
@pytest.mark.parametrize("steps", [slice(0, 184), slice(40, 50), slice(91, 93), slice(100, 101)])
def test_points_are_those_of_the_window(toy, name, steps):
    url, schema, truth = toy
    cube = Cube(url, schema, 2019)
    window = Window(CORNER.row0 + 5, CORNER.row1 - 3, CORNER.col0 + 7, CORNER.col0 + 101)
    expected = truth[name][steps, 5:57, 7:101]
    np.testing.assert_array_equal(cube.read(name, steps, window), expected)
    points = some_points(window.shape)
    found = cube.read_points(name, steps, window, points)
    np.testing.assert_array_equal(found, expected.reshape(len(expected), -1)[:, points])
    assert found.dtype == truth[name].dtype


def test_static_store_has_points_without_time(tmp_path):
    schema = replace(STATIC, codec="lz4")
    truth = write(str(tmp_path), schema)
    cube = Cube(str(tmp_path), schema, None)
    points = np.array([0, 119, 60 * 120 - 1, 4000])
    found = cube.read_points("lst", slice(0, 0), EVERYWHERE, points)
    np.testing.assert_array_equal(found, truth["lst"].reshape(-1)[points])
    np.testing.assert_array_equal(cube.read("lai", slice(0, 0), EVERYWHERE), truth["lai"])


def test_points_outside_the_store_are_fill(tmp_path):
    create_store(str(tmp_path), SCHEMA, 2019)
    cube = Cube(str(tmp_path), SCHEMA, 2019)
    north = Window(-2, 2, 0, 3)
    found = cube.read_points("lai", slice(0, 2), north, np.arange(12), required=False)
    assert (found == 255).all()
    assert found.shape == (2, 12)


def test_chunks_without_points_are_not_fetched(toy, monkeypatch):
    url, schema, _ = toy
    fetched = []
    get_part = Objects.get_part

    def counted(self, key, start, length):
        fetched.append((key, start >= 0, length))
        return get_part(self, key, start, length)

    monkeypatch.setattr(Objects, "get_part", counted)
    cube = Cube(url, schema, 2019)
    points = np.array([0, 1, 125])  # of the first inner chunk alone
    cube.read_points("lst", slice(0, 46), EVERYWHERE, points, required=False)
    values = [length for _, is_values, length in fetched if is_values]
    size = open_objects(url).head(KEY).size
    assert len(values) == 1
    assert values[0] < size / 8  # one of the sixteen chunks that have values
    assert [key for key, *_ in fetched] == [KEY, KEY]
    fetched.clear()
    cube.read_points("lst", slice(0, 46), EVERYWHERE, points + 2, required=False)
    assert len(fetched) == 1  # the index is known


def damage(objects, how):
    """Damage the first shard's object in place."""
    data = bytearray(objects.get(KEY))
    if how == "delete":
        objects.delete(KEY)
    elif how == "empty":
        objects.put(KEY, b"")
    elif how == "truncate":
        objects.put(KEY, bytes(data[: len(data) // 2]))
    elif how == "cut the index":
        objects.put(KEY, bytes(data[-40:]))
    else:
        data[{"flip": len(data) // 3, "flip the index": len(data) - 60}[how]] ^= 0x10
        objects.put(KEY, bytes(data))


@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize(
    "how", ["delete", "empty", "truncate", "cut the index", "flip", "flip the index"]
)
def test_damage_raises_and_names_the_object(toy, how, is_known):
    """Also where the index was read before the damage was done."""
    url, schema, _ = toy
    cube, points = Cube(url, schema, 2019), np.arange(60 * 60)
    if is_known:
        cube.read_points("lst", slice(0, 92), CORNER, points)
    damage(open_objects(url), how)
    message = "lacks the object lst/c" if how == "delete" else f"{KEY} cannot be decoded"
    with pytest.raises(CubeError, match=message):
        cube.read_points("lst", slice(0, 92), CORNER, points)
    with pytest.raises(CubeError, match=message):
        cube.read("lst", slice(0, 92), CORNER)


def test_every_flipped_byte_is_seen(tmp_path):
    """Wherever it lies in the object."""
    schema = replace(SCHEMA, variables=(LST,), chunks=(2, 5, 5), shards=(4, 10, 10), codec="lz4")
    create_store(str(tmp_path), schema, 2019)
    window = Window(CORNER.row0, CORNER.row0 + 10, CORNER.col0, CORNER.col0 + 10)
    index = (0, window.row0 // 10, window.col0 // 10)
    write_shard(str(tmp_path), schema, "lst", index, stored_values(LST, (4, 10, 10)))
    objects, key = open_objects(str(tmp_path)), shard_key("lst", index)
    cube, data = Cube(str(tmp_path), schema, 2019), objects.get(key)
    for place in range(0, len(data), 7):
        flipped = bytearray(data)
        flipped[place] ^= 0x04
        objects.put(key, bytes(flipped))
        with pytest.raises(CubeError, match="cannot be decoded"):
            cube.read("lst", slice(0, 4), window)


def test_shard_that_was_written_again_is_read_as_it_is_now(toy):
    url, schema, _ = toy
    cube, points = Cube(url, schema, 2019), np.arange(60 * 60)
    cube.read_points("lst", slice(0, 92), CORNER, points)
    fresh = stored_values(LST, (92, 60, 60), seed=9)
    fresh[:46, 30:] = 0  # other chunks are empty, so that all others lie elsewhere
    write_shard(url, schema, "lst", tuple(int(n) for n in KEY.split("/")[2:]), fresh)
    found = cube.read_points("lst", slice(0, 92), CORNER, points)
    np.testing.assert_array_equal(found, fresh.reshape(92, -1))


def test_absent_object_is_fill_where_it_need_not_exist(tmp_path):
    create_store(str(tmp_path), SCHEMA, 2019)
    cube, points = Cube(str(tmp_path), SCHEMA, 2019), np.arange(40)
    assert (cube.read_points("lst", slice(0, 9), CORNER, points, required=False) == 0).all()
    with pytest.raises(CubeError, match="lacks the object lst/c/0/"):
        cube.read_points("lst", slice(0, 9), CORNER, points)


def test_zarr_reads_what_is_written_and_writes_what_is_read(toy):
    url, schema, truth = toy
    array = zarr.open_group(url, mode="r")["lst"]
    rows, cols = EVERYWHERE.slices
    np.testing.assert_array_equal(array[:184, rows, cols], truth["lst"])
    other = stored_values(LST, (92, 60, 60), seed=4)
    zarr.open_group(url, mode="r+")["lst"][:92, rows, slice(cols.start, cols.start + 60)] = other
    found = Cube(url, schema, 2019).read("lst", slice(0, 92), CORNER)
    np.testing.assert_array_equal(found, other)


def test_product_shard_has_the_bytes_that_zarr_writes(tmp_path):
    """One inner chunk a slab of days: the order of chunks is zarr's own."""
    schema = replace(SCHEMA, chunks=(46, 20, 20), shards=(368, 20, 20))
    values = stored_values(LST, (365, 20, 20))
    values[100:160] = 0
    array = zarr.create_array(
        tmp_path,
        shape=(368, 20, 20),
        shards=(368, 20, 20),
        chunks=(46, 20, 20),
        dtype="uint16",
        fill_value=0,
        compressors=COMPRESSORS["zstd"],
    )
    array[:365] = values
    assert encode_shard(schema, LST, values) == (tmp_path / "c/0/0/0").read_bytes()


@pytest.mark.parametrize(
    "layout",
    [
        {"chunks": (46, 20, 20)},
        {"chunks": (46, 20, 20), "shards": (92, 60, 60), "compressors": [GzipCodec()]},
    ],
)
def test_other_layouts_are_left_to_zarr(tmp_path, layout):
    """A user's own cube: unsharded, or of a codec that is not known here."""
    create_store(str(tmp_path), SCHEMA, 2019)
    group = zarr.open_group(str(tmp_path), mode="r+", use_consolidated=False)
    attrs = dict(group["lst"].attrs)
    del group["lst"]
    array = group.create_array(
        "lst", shape=(365, 21600, 43200), dtype="uint16", attributes=attrs, fill_value=0, **layout
    )
    rows, cols = CORNER.slices
    values = stored_values(LST, (92, 60, 60)) | 1  # zarr would leave out a chunk that is all fill
    array[:92, rows, cols] = values
    with pytest.warns(zarr.errors.ZarrUserWarning):
        zarr.consolidate_metadata(group.store)
    assert layout_of(array) is None
    cube, points = Cube(str(tmp_path), SCHEMA, 2019), some_points((60, 60))
    found = cube.read_points("lst", slice(3, 92), CORNER, points)
    np.testing.assert_array_equal(found, values[3:].reshape(89, -1)[:, points])
    for lost in sorted((tmp_path / "lst" / "c" / "0").rglob("*")):
        if lost.is_file():
            lost.unlink()
    with pytest.raises(CubeError, match="lacks the object lst/c/0/"):
        Cube(str(tmp_path), SCHEMA, 2019).read_points("lst", slice(3, 92), CORNER, points)


def test_blosc_of_any_kind_with_a_checksum_is_known(tmp_path):
    array = zarr.create_array(
        tmp_path,
        shape=(92, 60, 60),
        chunks=(46, 20, 20),
        shards=(92, 60, 60),
        dtype="int16",
        compressors=[BloscCodec(cname="zstd", shuffle="bitshuffle"), COMPRESSORS["lz4"][1]],
    )
    layout = layout_of(array)
    assert layout is not None
    values = np.arange(46 * 400, dtype=np.int16).reshape(46, 20, 20)
    np.testing.assert_array_equal(layout.codec.decode(layout.codec.encode(values)), values)


def test_threads_read_the_same_cube_at_once(toy):
    """One thread reads ahead while another one works: both get what a lone reader gets."""
    url, schema, truth = toy
    cube, points = open_cube(url, schema, 2019), some_points((60, 60), 900)
    found = {}

    def read(name, number):
        for _ in range(5):
            found[name, number] = cube.read_points(name, slice(0, 184), CORNER, points)

    threads = [threading.Thread(target=read, args=(n, i)) for i in range(3) for n in ("lst", "lai")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    for (name, _), values in found.items():
        expected = truth[name][:, :, :60].reshape(184, -1)[:, points]
        np.testing.assert_array_equal(values, expected)


def test_few_points_take_no_array_of_the_window(toy):
    url, schema, truth = toy
    cube, points = Cube(url, schema, 2019), np.array([0, 3, 7000])
    cube.read_points("lst", slice(0, 184), EVERYWHERE, points)
    tracemalloc.start()
    found = cube.read_points("lst", slice(0, 184), EVERYWHERE, points)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.shape == (184, 3)
    assert peak < truth["lst"].nbytes / 8
