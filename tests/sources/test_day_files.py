"""Global files of one day: what is checked when opened, what is read when used, and damage."""

import random
import shutil

import h5py
import numpy as np
import psutil
import pytest

from smcloud.core.errors import GranuleError
from smcloud.grids.tiles import TileYear
from smcloud.sources import day_files
from smcloud.sources.day_files import Amount, DayFile, LazyAmount, LazyWords
from smcloud.sources.quality import Condition
from smcloud.sources.registry import SOURCES
from tests.sources.satellite_files import around, write_satellite

MOISTURE = Amount("group/sm", ("m3 m-3", "1"), (0.0, 1.0))
VALUES = np.array([[0.1, 0.2, -9999.0], [np.nan, 1.5, 0.3]], np.float32)


def write(path, *, values=VALUES, units="m3 m-3", attrs=None, dtype=None):
    with h5py.File(path, "w") as file:
        layer = file.create_dataset("group/sm", data=values, dtype=dtype)
        layer.attrs["units"] = units
        for name, value in (attrs or {}).items():
            layer.attrs[name] = value
    return path


def read(path, shape=(2, 3), conditions=(), words=None):
    file = DayFile(path, shape)
    layer = LazyAmount(file, MOISTURE, words or {}, conditions)
    found = day_files.lazy(layer, ("time", "y", "x")).values
    file.close()
    return found


def test_values_are_float32_of_one_day_and_unknown_where_they_must_be(tmp_path):
    found = read(write(tmp_path / "a.h5"))
    assert found.shape == (1, 2, 3)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(found[0]), [[False, False, True], [True, True, False]])


@pytest.mark.parametrize("dtype", [">f4", "<f8", ">f8"])
def test_any_float_of_any_byte_order_is_read(dtype, tmp_path):
    found = read(write(tmp_path / "a.h5", dtype=dtype))
    np.testing.assert_array_equal(found, read(write(tmp_path / "b.h5")))


def test_a_leading_day_is_allowed(tmp_path):
    np.testing.assert_array_equal(
        read(write(tmp_path / "a.h5", values=VALUES[None])), read(write(tmp_path / "b.h5"))
    )


@pytest.mark.parametrize("units", ["m3 m-3", np.bytes_("m3 m-3"), "1", np.array(["1"], "S1")])
def test_text_attributes_of_every_kind_are_understood(units, tmp_path):
    assert np.isfinite(read(write(tmp_path / "a.h5", units=units))).sum() == 3


@pytest.mark.parametrize(
    "attrs",
    [
        {"valid_range": np.array([0.15, 0.25], "f4")},
        {"valid_min": np.float32(0.15), "valid_max": np.array([0.25], "f4")},
    ],
)
def test_the_files_own_range_narrows_ours(attrs, tmp_path):
    values = np.array([[0.1, 0.2, 0.2], [0.2, 0.2, 0.3]], np.float32)
    found = read(write(tmp_path / "a.h5", values=values, attrs=attrs))[0]
    np.testing.assert_array_equal(np.isfinite(found), values == np.float32(0.2))


def test_a_wider_range_of_the_file_does_not_widen_ours(tmp_path):
    found = read(write(tmp_path / "a.h5", attrs={"valid_range": np.array([-5.0, 5.0])}))
    assert np.nanmax(found) < 1.0


@pytest.mark.parametrize("count", [1, 99, 100])
def test_few_values_outside_are_unknown_and_many_mean_other_units(count, tmp_path):
    values = np.full((10, 12), -9999.0, np.float32)
    values.flat[:count] = 40.0
    path = write(tmp_path / "a.h5", values=values)
    if count < 100:
        assert np.isnan(read(path, (10, 12))).all()
    else:
        with pytest.raises(GranuleError, match="100 of 100 values outside"):
            read(path, (10, 12))


@pytest.mark.parametrize("words", [False, True])
def test_a_layer_is_read_once_where_it_is_small_and_by_the_window_where_not(
    words, tmp_path, monkeypatch
):
    reads = []
    actual = day_files._cells

    def counted(layer, window):
        reads.append(window)
        return actual(layer, window)

    monkeypatch.setattr(day_files, "_cells", counted)
    for kept, expected in ((24, 1), (23, 2)):
        monkeypatch.setattr(day_files, "KEPT_BYTES", kept)
        reads.clear()
        file = DayFile(write(tmp_path / "a.h5"), (2, 3))
        layer = file.layer(MOISTURE.path, "f")
        either = LazyWords(file, layer) if words else LazyAmount(file, MOISTURE, {}, ())
        variable = day_files.lazy(either, ("time", "y", "x"))
        one = variable[:, :1, :2].values, variable[:, 1:, 2:].values
        file.close()
        assert len(reads) == expected
        np.testing.assert_array_equal(one[0][0].view("f4"), VALUES[:1, :2])
        np.testing.assert_array_equal(one[1][0].view("f4"), VALUES[1:, 2:])


def test_hdf5_keeps_nothing_of_the_layers_of_open_files(tmp_path):
    """By its default each layer would keep 3.5 MB: 1.8 GB of a slab of GLDAS."""
    shape, process = (600, 1440), psutil.Process()
    with h5py.File(tmp_path / "0.h5", "w") as file:
        layer = file.create_dataset("group/sm", shape, "f4", chunks=shape, compression=1)
        layer.attrs["units"] = "1"
        layer[...] = 0.5
    for number in range(1, 40):
        shutil.copyfile(tmp_path / "0.h5", tmp_path / f"{number}.h5")
    files = [DayFile(tmp_path / f"{number}.h5", shape) for number in range(40)]
    amounts = [LazyAmount(file, MOISTURE, {}, ()) for file in files]
    corner = slice(0, 4), slice(0, 4)
    amounts[0].physical(corner)
    before = process.memory_info().rss
    for amount in amounts:
        amount.physical(corner)
    assert process.memory_info().rss - before < 40e6
    for file in files:
        file.close()


def test_conditions_drop_cells_by_their_word(tmp_path):
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file["flag"] = np.array([[0, 1, 0], [0, 0, 1]], np.int8)
    file = DayFile(path, (2, 3))
    met = (Condition("flag", 0, np.array([True, False])),)
    layer = LazyAmount(file, MOISTURE, {"flag": file.layer("flag", "iu")}, met)
    found = day_files.lazy(layer, ("time", "y", "x")).values[0]
    file.close()
    np.testing.assert_array_equal(np.isfinite(found), [[True, False, False], [False, False, False]])


@pytest.mark.parametrize(
    ("values", "shape", "message"),
    [
        (VALUES, (3, 3), "expected group/sm of 3 x 3 cells, found 2 x 3"),
        (VALUES.astype(bool), (2, 3), "expected group/sm as float, found bool"),
        (VALUES[None, None], (2, 3), "found 1 x 1 x 2 x 3"),
    ],
)
def test_layers_of_another_form_are_named(values, shape, message, tmp_path):
    path = write(tmp_path / "a.h5", values=values)
    with pytest.raises(GranuleError, match=message):
        read(path, shape)


def test_a_group_where_a_layer_should_be_is_named(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_group("group/sm")
        file["group/other"] = 1.0
    with pytest.raises(GranuleError, match=r"a.h5: expected a layer group/sm, found in /group/"):
        read(path)


def damaged_copies(data, seed, count):
    """Yield copies of a file that were cut, or had bytes changed or zeroed."""
    rng = random.Random(seed)
    for number in range(count):
        copy = bytearray(data)
        at = rng.randrange(len(data))
        if number % 3 == 0:
            copy = copy[:at]
        elif number % 3 == 1:
            for _ in range(50):
                copy[rng.randrange(len(copy))] = rng.randrange(256)
        else:
            copy[at : at + 512] = bytes(len(copy[at : at + 512]))
        yield bytes(copy)


@pytest.mark.parametrize("name", ["cci_passive", "smap_l3", "smap_sentinel"])
def test_damage_anywhere_is_a_granule_error_or_harmless(name, tmp_path):
    source = SOURCES[name]
    grid = source.schema.on
    key = TileYear(grid.name, "h18v04" if grid.is_fine else "globe", 2019)
    path = write_satellite(name, tmp_path)[0]
    said = []
    for content in damaged_copies(path.read_bytes(), 7, 24):
        path.write_bytes(content)
        try:
            dataset = source.read(path)
            source.steps([dataset], key, within=around(grid, 12))
        except GranuleError as err:
            said.append(str(err))
        else:
            dataset.close()
    assert len(said) >= 8
    assert all(path.name in text and "\n" not in text for text in said)


@pytest.mark.parametrize("kept", [0, 24])
def test_integers_drop_their_axes_and_slices_keep_them(kept, tmp_path, monkeypatch):
    monkeypatch.setattr(day_files, "KEPT_BYTES", kept)
    values = np.linspace(0.1, 0.6, 6, dtype=np.float32).reshape(2, 3)
    path = write(tmp_path / "a.h5", values=values)
    with h5py.File(path, "a") as file:
        file["flag"] = np.arange(6, dtype=np.int8).reshape(2, 3)
    file = DayFile(path, (2, 3))
    layers = (
        (LazyAmount(file, MOISTURE, {}, ()), values[None]),
        (day_files.LazyWords(file, file.layer("flag", "iu")), np.arange(6).reshape(1, 2, 3)),
    )
    for layer, expected in layers:
        variable = day_files.lazy(layer, ("time", "y", "x"))
        for index in ((0, 1, 2), (0, -1, -2), (slice(None), 1, slice(0, 2)), (0, slice(1, 2), 0)):
            found = variable[index].values
            assert found.shape == expected[index].shape
            np.testing.assert_array_equal(found, expected[index])
    file.close()


@pytest.mark.parametrize("attrs", [{"scale_factor": 0.01}, {"add_offset": np.array([5.0])}])
def test_packed_layers_are_refused_and_not_taken_for_physical(attrs, tmp_path):
    with pytest.raises(GranuleError, match="expected physical values in group/sm, found a scale"):
        read(write(tmp_path / "a.h5", attrs=attrs))


def test_a_scale_of_one_is_none(tmp_path):
    plain = {"scale_factor": np.float32(1.0), "add_offset": 0.0}
    assert np.isfinite(read(write(tmp_path / "a.h5", attrs=plain))).sum() == 3
