"""ERA5-Land files open as the Climate Data Store's do, and tell where and when."""

from datetime import date

import h5netcdf
import numpy as np
import pytest
import xarray as xr

from smcloud.core.errors import ConfigError
from smcloud.simulate.coarse_files import Nodes, hours_files
from smcloud.simulate.granules_era5_land import file_name, write_era5_land

LATITUDE, LONGITUDE = np.array([45.3, 45.2, 45.1]), np.array([-0.1, 0.0])


def write(folder, hours=30):
    times = np.datetime64("2019-01-31T00", "h") + np.arange(hours)
    swvl1 = np.linspace(0.1, 0.4, hours * 6).reshape(hours, 3, 2).astype(np.float32)
    swvl1[:, 0, 0] = np.nan
    tp = np.broadcast_to(np.arange(hours)[:, None, None] / 1000.0, (hours, 3, 2))
    return write_era5_land(
        folder, "h18v04", times, LATITUDE, LONGITUDE, {"swvl1": swvl1, "tp": tp}
    ), swvl1


def test_values_times_and_nodes_come_back(tmp_path):
    path, swvl1 = write(tmp_path)
    assert path.name == "era5_land_20190131_20190201_h18v04.nc"
    with xr.open_dataset(path, engine="h5netcdf") as found:
        assert found.swvl1.dims == ("valid_time", "latitude", "longitude")
        np.testing.assert_array_equal(found.swvl1.values, swvl1)
        np.testing.assert_array_equal(found.latitude, LATITUDE)
        np.testing.assert_array_equal(found.longitude, LONGITUDE)
        assert found.valid_time.values[24] == np.datetime64("2019-02-01T00")
        assert found.swvl1.attrs["units"] == "m**3 m**-3"
        assert found.tp.attrs["GRIB_stepType"] == "accum"
        assert found.swvl1.attrs["GRIB_stepType"] == "instant"
        assert set(found.expver.values) == {"0001"}


def test_equal_arguments_give_equal_bytes(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    first, second = (write(folder)[0].read_bytes() for folder in folders)
    assert first == second


def test_an_unknown_field_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no field 'swvl9'"):
        write_era5_land(
            tmp_path,
            "",
            np.array(["2019-01-01T00"], "datetime64[h]"),
            LATITUDE,
            LONGITUDE,
            {"swvl9": np.zeros((1, 3, 2))},
        )


def test_a_year_is_its_months_and_one_hour_after_them():
    files = hours_files(2019, next_year_follows=False)
    assert len(files) == 13
    assert (files[1].first, files[1].last) == (date(2019, 2, 1), date(2019, 2, 28))
    assert (files[-1].first, files[-1].last, files[-1].hours) == (
        date(2020, 1, 1),
        date(2020, 1, 1),
        1,
    )
    assert len(hours_files(2019, next_year_follows=True)) == 12
    assert file_name(date(2019, 1, 1), date(2019, 1, 31), "") == "era5_land_20190101_20190131.nc"


def test_nodes_enclose_every_point_with_a_margin_and_leave_out_the_sea():
    lon, lat = np.array([9.03, 9.57]), np.array([44.05, 44.61])
    nodes = Nodes.around(lon, lat)
    assert nodes.latitude[0] >= lat.max() + 0.1
    assert nodes.latitude[-1] <= lat.min() - 0.1
    assert nodes.longitude[0] <= lon.min() - 0.1
    assert nodes.longitude[-1] >= lon.max() + 0.1
    placed = nodes.place(np.ones((2, len(nodes.rows)), np.float32))
    node_lon, node_lat = nodes.lonlat
    # Genoa's hinterland is land, the gulf south of it is water.
    assert np.hypot(node_lon - 9.5, node_lat - 44.6).min() < 0.01
    assert np.isnan(placed).any()
    assert np.nansum(placed[0]) == len(nodes.rows)


def test_nodes_stay_on_the_globe_at_the_dateline():
    nodes = Nodes.around(np.array([179.97]), np.array([68.9]))
    assert nodes.longitude.max() <= 179.9


def test_scattered_nodes_are_read_as_they_were_given(tmp_path):
    times = np.datetime64("2019-01-01T00", "h") + np.arange(48)
    latitude = np.round(50 - 0.1 * np.arange(70), 1)
    longitude = np.round(5 + 0.1 * np.arange(90), 1)
    values = np.full((48, 70, 90), np.nan, np.float32)
    rng = np.random.default_rng(1)
    for row, col in ((0, 0), (31, 63), (69, 89), (40, 10)):
        values[:, row, col] = rng.uniform(0.1, 0.4, 48)
    path = write_era5_land(tmp_path, "h18v04", times, latitude, longitude, {"swvl1": values})
    with h5netcdf.File(path) as file:
        assert file["swvl1"].chunks == (48, 32, 32)
        np.testing.assert_array_equal(file["swvl1"][:], values)
    full = np.ones((48, 70, 90), np.float32)
    path = write_era5_land(tmp_path, "h18v04", times, latitude, longitude, {"swvl1": full})
    with h5netcdf.File(path) as file:
        assert file["swvl1"].chunks == (48, 70, 90)
