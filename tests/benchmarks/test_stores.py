"""The benchmark of stores runs, and its figures can only come from stores that hold the values."""

import numpy as np
import pytest

from benchmarks import stores


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return stores.measure("tiny", 0, tmp_path_factory.mktemp("stores"))


def test_every_codec_and_shape_has_figures(found):
    assert [row["codec"] for row in found["codecs"]] == list(stores.CODECS)
    assert len(found["shapes"]) == len(stores.SHAPES)
    text = stores.show(found)
    assert all(row["shape"] in text for row in found["shapes"])
    ratios = {row["codec"]: row["ratio"] for row in found["codecs"]}
    assert ratios["none + crc32c"] < 1.01 < ratios["lz4 5 shuffle + crc32c"]


def test_requests_stay_within_the_budgets_of_the_design(found):
    product = found["shapes"][3]
    assert product["shape"].endswith("in 368 x 10 x 10")
    assert product["point_year_requests"] <= 10
    assert product["tile_day_requests"] <= 200


def test_what_is_timed_reads_the_values_that_were_written(tmp_path):
    layers = stores.fields(10, seed=1)
    variable, values = layers["lst_day"]
    stored = stores.Stored(tmp_path / "one", variable, stores.SHAPES[0], values, 10)
    stored.write()
    assert (stored.read_day(5)[0] == values[5]).all()
    points = np.array([0, 7, 399])
    read = stored.read_points(stored.window, slice(0, len(values)), points)
    assert (read == values.reshape(len(values), -1)[:, points]).all()
    assert (stores.by_zarr(stored, "zarr", points) == read).all()
