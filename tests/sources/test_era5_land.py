"""Hours of any shape of file to UTC days."""

import numpy as np
import pytest
import xarray as xr

from smcloud.core.errors import GranuleError
from smcloud.grids.grid import Window
from smcloud.grids.tiles import TileYear
from smcloud.simulate.granules_era5_land import write_era5_land
from smcloud.sources.era5_files import clip_rounding
from smcloud.sources.era5_land import ERA5_LAND

KEY = TileYear("era5land", "globe", 2019)
LATITUDE, LONGITUDE = np.array([46.1, 46.0]), np.array([4.0, 4.1, 4.2])


def hourly(
    first: str, hours: int, *, time: str = "valid_time", longitude=LONGITUDE, step: int = 1
) -> xr.Dataset:
    """Return soil moisture that grows by the hour and rain of 1 mm an hour."""
    times = np.datetime64(first, "ns") + np.arange(0, hours, step) * np.timedelta64(1, "h")
    shape = (len(times), len(LATITUDE), len(longitude))
    hour = times.astype("datetime64[h]").astype(int) % 24
    moisture = np.broadcast_to(0.2 + 0.01 * hour[:, None, None], shape)
    rain = np.broadcast_to(0.001 * np.where(hour == 0, 24, hour)[:, None, None], shape)
    dims = (time, "latitude", "longitude")
    return xr.Dataset(
        {
            "swvl1": (dims, moisture.astype(np.float32), {"units": "m**3 m**-3"}),
            "tp": (dims, rain.astype(np.float32), {"units": "m"}),
        },
        coords={time: times, "latitude": LATITUDE, "longitude": longitude},
    )


def write(tmp_path, dataset: xr.Dataset, name: str = "era5_land_20190101_20190102.nc", **kwargs):
    path = tmp_path / name
    dataset.to_netcdf(path, engine=kwargs.pop("engine", "h5netcdf"), **kwargs)
    return path


@pytest.fixture
def day_and_midnight(tmp_path):
    return write(tmp_path, hourly("2019-01-01", 49))


def test_t11_rounding_below_zero_is_clipped_and_worse_is_unknown():
    values = np.array([-0.5, -0.003, 0.0, 0.3, 1.2, np.nan])
    found = clip_rounding(values, valid=(0.0, 1.0), slack=0.01)
    np.testing.assert_array_equal(found, np.array([np.nan, 0, 0, 0.3, np.nan, np.nan], np.float32))


def test_t11_packed_files_are_clipped_when_read(tmp_path):
    dataset = hourly("2019-01-01", 24)
    dataset["swvl1"].values[:, 0, 0] = -0.003
    packing = {"dtype": "int16", "scale_factor": 1e-5, "add_offset": 0.2, "_FillValue": -32767}
    path = write(tmp_path, dataset, encoding={"swvl1": packing})
    with ERA5_LAND.read(path) as found:
        assert float(found["swvl1"].min()) == 0.0
        daily = ERA5_LAND.steps([found], KEY)
    assert daily["swvl1"].values[0, 0, 0] == 0.0


def test_means_are_of_all_hours_and_totals_from_the_next_midnight(day_and_midnight):
    with ERA5_LAND.read(day_and_midnight) as found:
        daily = ERA5_LAND.steps([found], KEY)
    days = daily["time"].values.astype("datetime64[D]").astype(str).tolist()
    assert days == ["2019-01-01", "2019-01-02", "2019-01-03"]
    np.testing.assert_allclose(daily["swvl1"].values[:2], 0.2 + 0.01 * 11.5, rtol=1e-5)
    np.testing.assert_allclose(daily["tp"].values[:2], 24.0, rtol=1e-5)
    assert np.isnan(daily["swvl1"].values[2]).all()
    assert np.isnan(daily["tp"].values[2]).all()


def test_the_total_of_a_months_last_day_lies_in_the_next_file(tmp_path):
    first = write(tmp_path, hourly("2019-01-31", 24), "era5_land_20190131_20190131.nc")
    second = write(tmp_path, hourly("2019-02-01", 1), "era5_land_20190201_20190201.nc")
    alone = ERA5_LAND.steps([ERA5_LAND.read(first)], KEY)
    assert np.isnan(alone["tp"].values).all()
    both = ERA5_LAND.steps([ERA5_LAND.read(path) for path in (first, second)], KEY)
    np.testing.assert_allclose(both["tp"].values[0], 24.0, rtol=1e-5)


def test_the_first_midnight_of_a_year_belongs_to_the_year_before(tmp_path):
    path = write(tmp_path, hourly("2019-12-31", 25))
    found = ERA5_LAND.read(path)
    assert ERA5_LAND.steps([found], KEY)["tp"].values[0] == pytest.approx(24.0)
    after = ERA5_LAND.steps([found], TileYear("era5land", "globe", 2020))
    assert np.isnan(after["tp"].values).all()


@pytest.mark.parametrize("engine", ["h5netcdf", "scipy"])
@pytest.mark.parametrize("time", ["time", "valid_time"])
def test_both_names_of_time_and_both_formats_are_read(tmp_path, time, engine, day_and_midnight):
    path = write(tmp_path, hourly("2019-01-01", 49, time=time), "other.nc", engine=engine)
    names = ["swvl1", "tp"]
    wanted = ERA5_LAND.steps([ERA5_LAND.read(day_and_midnight)], KEY)[names]
    xr.testing.assert_allclose(ERA5_LAND.steps([ERA5_LAND.read(path)], KEY)[names], wanted)


def test_longitudes_from_minus_180_and_from_0_land_on_the_same_cells(tmp_path):
    west = write(tmp_path, hourly("2019-01-01", 24, longitude=np.array([-0.2, -0.1, 0.0])), "w.nc")
    east = np.array([0.0, 359.8, 359.9])
    wrapped = write(tmp_path, hourly("2019-01-01", 24, longitude=east[[1, 2]]), "e.nc")
    window = Window(439, 441, 3598, 3600)
    both = [
        ERA5_LAND.steps([ERA5_LAND.read(path)], KEY, within=window)["swvl1"].values
        for path in (west, wrapped)
    ]
    assert np.isfinite(both[0]).all()
    np.testing.assert_array_equal(both[0], both[1])


def test_final_values_win_over_preliminary_ones(tmp_path):
    plain = hourly("2019-01-01", 24)
    final, preliminary = plain.copy(deep=True), plain.copy(deep=True)
    final["swvl1"].values[12:] = np.nan
    preliminary["swvl1"].values[:12] = np.nan
    preliminary["swvl1"].values[12:] = 0.4
    joined = xr.concat([final, preliminary], dim=xr.Variable("expver", [1, 5]))
    found = ERA5_LAND.read(write(tmp_path, joined))["swvl1"].values
    np.testing.assert_allclose(found[:12], plain["swvl1"].values[:12], rtol=1e-6)
    np.testing.assert_allclose(found[12:], 0.4, rtol=1e-6)


def test_a_repeated_hour_counts_once(tmp_path):
    plain = hourly("2019-01-01", 24)
    twice = xr.concat([plain, plain.isel(valid_time=[5])], dim="valid_time")
    daily = ERA5_LAND.steps([ERA5_LAND.read(write(tmp_path, twice))], KEY)
    np.testing.assert_allclose(daily["swvl1"].values[0], 0.2 + 0.01 * 11.5, rtol=1e-5)


def test_a_day_that_lacks_an_hour_is_unknown(tmp_path):
    gap = hourly("2019-01-01", 48).isel(valid_time=[i for i in range(48) if i != 30])
    daily = ERA5_LAND.steps([ERA5_LAND.read(write(tmp_path, gap))], KEY)["swvl1"].values
    assert np.isfinite(daily[0]).all()
    assert np.isnan(daily[1]).all()


def test_latitudes_that_ascend_are_turned(tmp_path):
    plain = hourly("2019-01-01", 24)
    plain["swvl1"].values[:, 0] = 0.5
    turned = plain.isel(latitude=slice(None, None, -1))
    found = ERA5_LAND.read(write(tmp_path, turned))
    assert found["latitude"].values.tolist() == LATITUDE.tolist()
    np.testing.assert_allclose(found["swvl1"].values[:, 0], 0.5)


def test_regions_beside_each_other_are_joined(tmp_path):
    left = write(tmp_path, hourly("2019-01-01", 24), "left.nc")
    right = write(tmp_path, hourly("2019-01-01", 24, longitude=np.array([4.2, 4.3])), "right.nc")
    daily = ERA5_LAND.steps([ERA5_LAND.read(left), ERA5_LAND.read(right)], KEY)
    assert daily.sizes["longitude"] == 4
    assert np.isfinite(daily["swvl1"].values).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.drop_vars(["swvl1", "tp"]).assign(e=d.tp), "expected one of swvl1"),
        (lambda d: d.assign(tp=d.tp.assign_attrs(units="mm")), "expected tp in m, found 'mm'"),
        (lambda d: d.assign_coords(latitude=[46.1, 45.6]), "steps of 0.5 degrees"),
        (lambda d: d.isel(latitude=0), "expected a dimension 'latitude'"),
        (lambda d: d.expand_dims(level=2), "found also level"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, change, message):
    path = write(tmp_path, change(hourly("2019-01-01", 24)))
    with pytest.raises(GranuleError, match=message) as error:
        ERA5_LAND.read(path)
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)


def test_a_zip_of_the_data_store_says_so(tmp_path):
    path = tmp_path / "era5_land_20190101_20190131.nc"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(GranuleError, match="found a zip: unpack it first"):
        ERA5_LAND.read(path)


@pytest.fixture
def few_nodes(tmp_path):
    """Return a file of 70 x 90 nodes that stores two blocks of them, and one that stores all."""
    rng = np.random.default_rng(11)
    times = np.datetime64("2019-01-01", "h") + np.arange(73)
    latitude, longitude = 46.0 - 0.1 * np.arange(70), 4.0 + 0.1 * np.arange(90)
    known = np.zeros((70, 90), np.bool_)
    known[[3, 40, 41], [5, 70, 71]] = True
    shape = (len(times), *known.shape)
    fields = {
        name: np.where(known, rng.uniform(*span, shape), np.nan).astype(np.float32)
        for name, span in {"swvl1": (0.0, 0.6), "t2m": (250.0, 310.0), "tp": (0.0, 0.1)}.items()
    }
    sparse = write_era5_land(tmp_path, "few", times, latitude, longitude, fields)
    units = {"swvl1": "m**3 m**-3", "t2m": "K", "tp": "m"}
    dims = ("time", "latitude", "longitude")
    whole = xr.Dataset(
        {name: (dims, values, {"units": units[name]}) for name, values in fields.items()},
        {"time": times.astype("datetime64[ns]"), "latitude": latitude, "longitude": longitude},
    )
    return ERA5_LAND.read(sparse), ERA5_LAND.read(write(tmp_path, whole))


def test_what_a_file_does_not_store_is_not_read_and_changes_no_bit(few_nodes):
    sparse, whole = few_nodes
    assert whole["stored"].values.all()
    assert 0 < sparse["stored"].values.mean() < 0.5
    found, expected = (ERA5_LAND.steps([one], KEY) for one in (sparse, whole))
    for name in ("swvl1", "t2m", "tp"):
        assert np.isfinite(found[name].values).sum() == 3 * 3
        np.testing.assert_array_equal(found[name].values, expected[name].values)


def test_any_part_of_a_file_has_the_bits_of_the_whole(few_nodes):
    rng = np.random.default_rng(2)
    for hours in few_nodes:
        whole = ERA5_LAND.steps([hours], KEY)
        row, col = 440, 40
        for _ in range(12):
            (top, bottom), (left, right) = (np.sort(rng.integers(0, n, 2)) for n in (70, 90))
            window = Window(row + top, row + bottom + 1, col + left, col + right + 1)
            part = ERA5_LAND.steps([hours], KEY, within=window)
            for name in ("swvl1", "t2m", "tp"):
                expected = whole[name].values[:, top : bottom + 1, left : right + 1]
                np.testing.assert_array_equal(part[name].values, expected)
