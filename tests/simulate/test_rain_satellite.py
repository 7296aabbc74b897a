"""Satellite rain is not the truth: misses, false alarms, factors, and snow that is hardly seen."""

from datetime import date

import h5py
import numpy as np
import pytest

from smcloud.grids.grid import GLOBAL025, IMERG, Window
from smcloud.grids.tiles import TileYear
from smcloud.simulate.climate import day_of_year
from smcloud.simulate.columns import LAPSE_K_PER_M
from smcloud.simulate.footprints import Footprints
from smcloud.simulate.granules_imerg import ImergFiles, cells_within, centres_of, file_name
from smcloud.simulate.rain_satellite import RainSatellite
from smcloud.simulate.world import Earth
from smcloud.sources.imerg import IMERG_025

WET = 0.5


@pytest.fixture(scope="module")
def places():
    """Return 3,000 places of the middle latitudes, degrees."""
    rng = np.random.default_rng(4)
    return rng.uniform(60, 140, 3000), rng.uniform(20, 60, 3000)


@pytest.fixture(scope="module")
def days(places):
    """Return what was seen, what fell and whether it was cold, (days, n), through a year."""
    satellite, cooler = RainSatellite(7, *places), LAPSE_K_PER_M * Earth(7).elevation(*places)
    seen, fallen, cold = [], [], []
    for day in np.arange("2010-01-03", "2011-01-01", 6, dtype="datetime64[D]"):
        one, true = satellite.observed_and_true(day)
        lattice, number = satellite.lattice, int(day.astype(int))
        air = satellite.climate.temperature(
            lattice.lon, lattice.lat, satellite.normals, number, day_of_year(day)
        )
        seen.append(one)
        fallen.append(true)
        cold.append(lattice.to_pixels(air[None])[0] - cooler < 1)
    return np.stack(seen), np.stack(fallen), np.stack(cold)


def test_days_of_rain_are_found_about_as_often_as_by_real_satellites(days):
    seen, fallen, cold = days
    wet, told = (fallen > WET) & ~cold, seen > WET
    assert 0.60 < told[wet].mean() < 0.90
    assert told[wet & (fallen > 10)].mean() > 0.9
    false = (told & (fallen <= WET))[~cold].sum() / told[~cold].sum()
    assert 0.10 < false < 0.45
    r = np.corrcoef(seen[~cold], fallen[~cold])[0, 1]
    assert 0.5 < r < 0.9
    assert 0.8 < seen[~cold].sum() / fallen[~cold].sum() < 1.25


def test_snow_is_mostly_missed(days):
    seen, fallen, cold = days
    snow = (fallen > WET) & cold
    assert snow.sum() > 1000
    assert 0.1 < (seen > WET)[snow].mean() < 0.4
    assert seen[snow].sum() < 0.35 * fallen[snow].sum()


def test_amounts_are_of_rain_and_the_same_whatever_else_is_asked(days, places):
    seen, _, _ = days
    assert np.isfinite(seen).all()
    assert ((seen == 0) | (seen >= 0.1)).all()
    assert seen.max() < 1300
    lon, lat = np.array([100.05, 100.15]), np.array([35.05, 35.05])
    day = np.datetime64("2010-07-03")
    both = RainSatellite(7, lon, lat).observe(day)
    assert RainSatellite(7, lon[1:], lat[1:]).observe(day)[0] == both[1]
    other = RainSatellite(8, *places).observe(np.datetime64("2010-01-03"))
    assert ((other > 0) != (seen[0] > 0)).any()


def test_a_file_gives_back_its_rain_and_nothing_beyond_the_cells(tmp_path):
    cells = Footprints.holding(GLOBAL025, np.array([10.1, 10.4, 11.1]), np.full(3, 45.1), 3)
    rows, cols = cells_within(cells)
    assert len(rows) == 3 * 5 + 3 * 3
    lon, lat = centres_of(rows, cols)
    rain = (lon + lat).astype(np.float32)
    day = date(2012, 7, 1)
    path = tmp_path / file_name(day)
    path.write_bytes(ImergFiles(rows, cols).file(day, rain))
    with h5py.File(path) as file:  # apart from the reader
        layer = file["precipitation"]
        assert (layer.shape, layer.attrs["units"]) == ((1, 3600, 1800), "mm/day")
        assert layer[0, cols[0], 1799 - rows[0]] == rain[0]
        assert (layer[...] > 0).sum() == len(rows)
        assert (file["time"][0], file["time"].attrs["units"][:21]) == (
            (day - date(1980, 1, 6)).days,
            "days since 1980-01-06",
        )
    window = Window(int(cells.rows[0]) - 1, int(cells.rows[0]) + 2, 758, 766)
    with IMERG_025.read(path) as dataset:
        key = TileYear("global025", "globe", 2012)
        found = IMERG_025.steps([dataset], key, within=window)["precipitation"].values[0]
    assert np.isfinite(found[1]).tolist() == [False, False, True, True, False, False, True, False]
    np.testing.assert_allclose(found[1][2], 10.125 + 45.125, atol=0.05)
    assert np.isnan(found[[0, 2]]).all()
    assert IMERG.rows == 1800
