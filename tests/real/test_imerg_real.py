"""Real half hours of IMERG V06B and V07A, cut to 10 x 10 cells at the South Pole.

V06B knows nothing there; V07A says that it is dry from 0.3 degree off the pole.
"""

import shutil

import h5py
import numpy as np
import pytest

from smcloud.core.errors import GranuleError
from smcloud.grids.tiles import TileYear
from smcloud.sources.imerg import HALF_HOURS, IMERG_025, PER_HOUR

pytestmark = pytest.mark.real
VERSIONS = {"V06B": "precipitationCal", "V07A": "precipitation"}


def half_hour(real_file, version):
    return real_file(f"imerg/3B-HHR.MS.MRG.3IMERG.20000601*{version}.HDF5")


@pytest.mark.parametrize("version", sorted(VERSIONS))
def test_a_real_half_hour_is_read_where_it_lies(version, real_file):
    path = half_hour(real_file, version)
    with h5py.File(path) as file:  # found apart from the reader
        layer = file[f"Grid/{VERSIONS[version]}"]
        assert (layer.shape, layer.attrs["DimensionNames"]) == ((1, 10, 10), b"time,lon,lat")
        unknown = layer[0] == np.float32(-9999.9)
        assert (layer[0][~unknown] == 0).all()
        assert unknown.sum(axis=0).tolist() == [10] * 3 + [0 if version == "V07A" else 10] * 7
    with IMERG_025.read(path, quality=HALF_HOURS) as dataset:
        rain = dataset["precipitation"]
        assert rain.attrs["units"] == PER_HOUR
        assert rain.dims == ("time", "latitude", "longitude")
        assert dataset["time"].values.tolist() == [np.datetime64("2000-06-01T00:00", "ns").item()]
        np.testing.assert_allclose(dataset["latitude"], -89.875 + 0.25 * np.arange(4)[::-1])
        np.testing.assert_allclose(dataset["longitude"], -179.875 + 0.25 * np.arange(4))
        assert np.isnan(rain.values[0, 3]).all()
        rest = rain.values[0, :3]
        assert (rest == 0).all() if version == "V07A" else np.isnan(rest).all()


@pytest.mark.parametrize("version", sorted(VERSIONS))
def test_real_rain_put_into_a_real_file_comes_out_at_its_place(version, real_file, tmp_path):
    """The cuts hold no rain: a copy gets one wet cell, the most northern and eastern one."""
    path = tmp_path / half_hour(real_file, version).name
    shutil.copy(half_hour(real_file, version), path)
    with h5py.File(path, "r+") as file:
        layer = file[f"Grid/{VERSIONS[version]}"]
        layer[...] = 0.0
        layer[0, 9, 9] = 6.25
    with IMERG_025.read(path, quality=HALF_HOURS) as dataset:
        rate = dataset["precipitation"].values[0]
    sine = np.sin(np.radians([-89.0, -89.1, -89.25]))
    share = 0.4 * (sine[0] - sine[1]) / (sine[0] - sine[2])
    assert rate[0, 3] == pytest.approx(6.25 * share, rel=1e-5)
    assert (np.delete(rate.ravel(), 3) == 0).all()
    key = TileYear("global025", "globe", 2000)
    with IMERG_025.read(path) as dataset:
        day = IMERG_025.steps([dataset], key)["precipitation"].values
    assert day.shape == (1, 4, 4)
    assert np.isnan(day).all()  # one half hour is no day


def test_a_real_file_without_rain_is_refused_by_what_it_holds(real_file, tmp_path):
    path = tmp_path / "3B-HHR.MS.MRG.3IMERG.20200101-S113000-E115959.0690.V06B.HDF5"
    shutil.copy(real_file("imerg/GPM_3IMERGHH_prefetch.nc4"), path)
    with pytest.raises(GranuleError, match="expected a layer Grid/precipitationCal, found in"):
        IMERG_025.read(path)
