"""Layers inflated here are those that the HDF4 library reads; others are left to it."""

import numpy as np
import pytest

from smcloud.sources.hdf4_streams import Streams

SD = pytest.importorskip("pyhdf.SD")
TYPES = {
    "int8": SD.SDC.INT8,
    "uint8": SD.SDC.UINT8,
    "int16": SD.SDC.INT16,
    "uint16": SD.SDC.UINT16,
    "uint32": SD.SDC.UINT32,
}


def write(path, values, *, compress=SD.SDC.COMP_DEFLATE, fill=None):
    file = SD.SD(str(path), SD.SDC.WRITE | SD.SDC.CREATE)
    for name, kind in TYPES.items():
        layer = file.create(name, kind, values.shape)
        if compress is not None:
            layer.setcompress(compress, 1)
        if fill is None:
            layer[:] = values.astype(name)
        else:
            layer.setfillvalue(fill)
        layer.endaccess()
    file.end()


def layers(path):
    file = SD.SD(str(path), SD.SDC.READ)
    for name in TYPES:
        layer = file.select(name)
        yield layer
        layer.endaccess()
    file.end()


@pytest.mark.parametrize("known", [0.0, 0.001, 1.0])
def test_every_type_is_read_as_the_library_reads_it(tmp_path, known):
    rng = np.random.default_rng(3)
    values = np.where(rng.random((300, 200)) < known, rng.integers(0, 256, (300, 200)), 100)
    write(tmp_path / "file.hdf", values)
    for layer in layers(tmp_path / "file.hdf"):
        found, expected = Streams(tmp_path / "file.hdf").layer(layer), layer.get()
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("options", [{"compress": None}, {"fill": 7}])
def test_layers_without_a_stream_are_left_to_the_library(tmp_path, options):
    write(tmp_path / "file.hdf", np.ones((5, 4)), **options)
    streams = Streams(tmp_path / "file.hdf")
    assert [streams.layer(layer) for layer in layers(tmp_path / "file.hdf")] == [None] * len(TYPES)
