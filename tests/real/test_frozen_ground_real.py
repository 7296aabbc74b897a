"""Real files of GPM level 1C (all fill) and of GLDAS Noah: six of the eight steps of a day."""

from contextlib import ExitStack
from datetime import date

import h5py
import numpy as np
import pytest

from smcloud.grids.grid import GLOBAL025, Window
from smcloud.grids.tiles import TileYear
from smcloud.sources.gldas import GLDAS
from smcloud.sources.gpm_l1c import AMSR2_TB, AMSRE_TB, GROUPS, SWATHS

pytestmark = pytest.mark.real
ORBITS = {"amsr/*AMSR2*": AMSR2_TB, "amsr/*AMSRE*": AMSRE_TB}
DAYS = {
    "amsr/*AMSR2*": (date(2012, 7, 2), date(2012, 7, 3)),
    "amsr/*AMSRE*": (date(2002, 6, 1), date(2002, 6, 1)),
}
KEY = TileYear("global025", "globe", 2016)


@pytest.mark.parametrize("pattern", sorted(ORBITS))
def test_orbits_of_fill_are_read_and_know_nothing(pattern, real_file):
    source, path = ORBITS[pattern], real_file(pattern)
    granule = source.identify(path.name)
    assert (granule.start, granule.end) == DAYS[pattern]
    for rule in source.quality_rules:
        dataset = source.read(path, quality=rule)
        assert dict(dataset.sizes) == {"time": 0, "y": 0, "x": 0}
        year = TileYear("ease2n_25km", "globe", granule.start.year)
        found = source.steps([dataset], year, within=Window(300, 310, 500, 510))
        assert found.sizes["time"] == 0


@pytest.mark.parametrize("pattern", sorted(ORBITS))
def test_channels_of_the_swaths_are_those_that_the_reader_asks_for(pattern, real_file):
    """10.65, 18.7, 23.8 and 36.5 GHz, and 89 GHz by two horns; found apart from the reader."""
    told = {}
    with h5py.File(real_file(pattern)) as file:
        for swath in sorted(SWATHS):
            assert file[f"{swath}/Tc"].shape == (10, 10, 2)
            assert (file[f"{swath}/Tc"][...] == np.float32(-9999.9)).all()
            assert (file[f"{swath}/Quality"][...] == -1).all()
            told[swath] = file[f"{swath}/Tc"].attrs["LongName"].decode()
    assert {swath for band in GROUPS.values() for swath in band} == set(told)
    for swath, frequency in SWATHS.items():
        assert f"1) {frequency} GHz V-Pol" in told[swath]
        assert f"2) {frequency} GHz H-Pol" in told[swath]


def gldas_files(realdata):
    paths = sorted((realdata / "gldas").glob("*.nc4"))
    if not paths:
        pytest.skip(f"no GLDAS files in {realdata}")
    return paths


def test_six_of_eight_steps_make_no_day(realdata):
    paths = gldas_files(realdata)
    hours = [GLDAS.identify(path.name).scene for path in paths]
    assert hours == [f"{hour:02d}-hours" for hour in range(3, 21, 3)]
    with ExitStack() as files:
        datasets = [files.enter_context(GLDAS.read(path)) for path in paths]
        found = GLDAS.steps(datasets, KEY, within=Window(200, 240, 1000, 1060))
    assert found.sizes["time"] == 1
    assert np.isnan(found["soil_moisture"].values).all()


def test_soil_moisture_is_volumetric_and_north_up(realdata):
    """kg m-2 over 0.1 m, divided by 100; of our variables these files have soil moisture alone."""
    path = gldas_files(realdata)[0]
    with GLDAS.read(path) as dataset:
        assert set(dataset.data_vars) == {"soil_moisture"}
        values = dataset["soil_moisture"].values[0]
        instant = dataset["time"].values[0]
    with h5py.File(path) as file:
        stored = file["SoilMoi0_10cm_inst"][0]
    assert instant == np.datetime64("2016-01-01T03:00")
    assert values.shape == (600, GLOBAL025.cols)
    known = stored[::-1] != -9999.0
    assert int(known.sum()) == int(np.isfinite(values).sum()) == 243_883
    np.testing.assert_allclose(values[known], stored[::-1][known] / 100.0, rtol=1e-6)
    assert 0.019 < np.nanmin(values) < np.nanmax(values) < 0.48
    # The Amazon is wetter than the Sahara, so north is up and west is left.
    row, col = GLOBAL025.pixel_of(np.array([-63.0, 5.0]), np.array([-5.0, 24.0]))
    amazon, sahara = values[row, col]
    assert amazon > 2 * sahara
