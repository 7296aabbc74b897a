"""Real elevation models and reanalysis files."""

import numpy as np
import pytest
import xarray as xr

from smcloud.core.errors import GranuleError
from smcloud.grids.grid import ERA5LAND
from smcloud.grids.tiles import TileYear
from smcloud.sources.era5_files import FIELDS, clip_rounding
from smcloud.sources.era5_land import ERA5_LAND
from smcloud.sources.terrain import TERRAIN

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def luxembourg(real_file):
    dataset = TERRAIN.read(real_file("dem/elev.tif"))
    found = TERRAIN.steps([dataset], TileYear("sin1km", "h18v04", None))
    yield dataset["elevation"].values, found
    dataset.close()


def test_real_elevations_have_their_known_range(luxembourg):
    elevation, _ = luxembourg
    assert (np.nanmin(elevation), np.nanmax(elevation)) == (141.0, 547.0)
    assert int(np.isfinite(elevation).sum()) == 4608


def test_real_elevations_come_to_the_output_grid_with_slopes(luxembourg):
    _, found = luxembourg
    mean = found["elevation"].values
    assert 141.0 <= np.nanmin(mean)
    assert np.nanmax(mean) <= 547.0
    assert 0.0 < np.nanmedian(found["slope"].values) < 5.0
    length = np.hypot(found["aspect_sin"].values, found["aspect_cos"].values)
    assert np.nanmax(length) <= 1.0 + 1e-5
    # The tile ends at 50 N and the model reaches to 50.19 N: a fifth of it is not in this tile.
    assert 2000 < np.isfinite(mean).sum() < 4608


@pytest.mark.parametrize("name", ["elev_vinschgau.tif", "small_dem_3m_merged.tif"])
def test_real_elevations_in_metres_of_utm_are_refused(real_file, name):
    with pytest.raises(GranuleError, match=f"{name}: expected latitude and longitude, found EPSG"):
        TERRAIN.read(real_file(f"dem/{name}"))


def test_t11_real_packed_soil_moisture_dips_below_zero_and_is_clipped(real_file):
    with xr.open_dataset(real_file("era5/era5_swvl1_raw.nc"), engine="scipy") as raw:
        moisture = raw["swvl1"].values
    assert -0.004 < np.nanmin(moisture) < -0.002
    field = FIELDS["swvl1"]
    clipped = clip_rounding(moisture, valid=field.valid, slack=field.slack)
    assert np.nanmin(clipped) == 0.0
    np.testing.assert_array_equal(np.isnan(clipped), np.isnan(moisture))


def test_real_reanalysis_of_another_grid_or_format_is_refused(real_file):
    cases = {
        "era5/era5_swvl1_raw.nc": r"nodes at multiples of 0\.1 degrees, found steps of 5 degrees",
        "era5/landmask_0.1_0.1.nc": "expected a dimension 'time'",
        "era5/era5-2mt-2019-03-uk.grib": "expected netCDF, found bytes that begin b'GRIB'",
    }
    for pattern, message in cases.items():
        path = real_file(pattern)
        with pytest.raises(GranuleError, match=message) as error:
            ERA5_LAND.read(path)
        assert path.name in str(error.value)


def test_the_real_era5_land_grid_is_ours(real_file):
    with xr.open_dataset(real_file("era5/landmask_0.1_0.1.nc"), engine="h5netcdf") as mask:
        np.testing.assert_allclose(mask["latitude"].values, ERA5LAND.y, atol=1e-4)
        np.testing.assert_allclose(mask["longitude"].values, ERA5LAND.x, atol=1e-4)
