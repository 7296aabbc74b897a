"""The publish stage writes what the pointer names, and can write it again."""

import json
from pathlib import Path

import pytest
import rasterio
import xarray as xr

from smcloud.core.errors import ConfigError
from smcloud.core.listener import Silent
from smcloud.production import publish_stage
from smcloud.production.publish_stage import chosen_days
from tests.trees import tree_of

from . import product_root


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    config = product_root.build(tmp_path_factory.mktemp("root"))
    return config, publish_stage.run(config, None, Silent()).years[0]


def folder_of(config):
    return Path(config.layout.published("glass-sm", 2019).removeprefix("file://"))


def test_the_middle_of_each_season_becomes_a_geotiff(published):
    _, year = published
    assert [record.day[5:] for record in year.rasters] == ["01-15", "04-15", "07-15", "10-15"]
    for record in year.rasters:
        with rasterio.open(record.url.removeprefix("file://")) as raster:
            assert raster.nodata == -9999
            assert (raster.read(1) != -9999).sum() == record.known_pixels > 0


def test_the_item_leads_to_the_store_that_the_pointer_names(published):
    _, year = published
    item = json.loads(Path(year.items[0].removeprefix("file://")).read_text())
    assert item["id"] == "glass-sm-h18v04-2019"
    assert item["assets"]["store"]["href"] == year.store_url
    assert Path(year.store_url.removeprefix("file://"), "zarr.json").exists()
    assert len([name for name in item["assets"] if name.startswith("cog-")]) == 4
    assert len(item["properties"]["smcloud:model_sha256"]) == 64


def test_what_is_published_can_be_deleted_and_made_again(published):
    config, _ = published
    folder = folder_of(config)
    before = tree_of(folder)
    for name in before:
        (folder / name).unlink()
    publish_stage.run(config, None, Silent())
    assert tree_of(folder) == before


def test_netcdf_files_come_when_asked_for(published):
    config, _ = published
    year = publish_stage.run(config, None, Silent(), netcdf=True).years[0]
    assert [Path(url).name for url in year.netcdf] == ["glass-sm.h18v04.2019.nc"]
    with xr.open_dataset(year.netcdf[0], engine="h5netcdf") as found:
        assert found.soil_moisture.shape == (365, 1200, 1200)
        assert int(found.soil_moisture[195].notnull().sum()) == year.rasters[2].known_pixels
    item = json.loads(Path(year.items[0].removeprefix("file://")).read_text())
    assert item["assets"]["netcdf"]["href"] == year.netcdf[0]


def test_days_of_a_run_file_are_sorted_into_their_years():
    found = chosen_days(("2020-02-29", "2019-07-01", "2019-01-01"), (2019, 2020))
    assert found == {2019: ("2019-01-01", "2019-07-01"), 2020: ("2020-02-29",)}


@pytest.mark.parametrize(
    ("day", "message"), [("2019-02-30", "is not a day"), ("2021-01-01", "not in the years")]
)
def test_days_that_cannot_be_exported_are_named(day, message):
    with pytest.raises(ConfigError, match=f"{day}.*{message}"):
        chosen_days((day,), (2019,))


def test_every_day_may_be_exported():
    days = chosen_days(("all",), (2019, 2020))
    assert [len(days[year]) for year in (2019, 2020)] == [365, 366]
    assert days[2020][59] == "2020-02-29"


def test_the_region_becomes_one_file_a_day_where_the_run_file_asks(published):
    config, before = published
    assert before.regions == ()
    publish = config.publish.model_copy(update={"geotiff": True, "days": ("2019-07-15",)})
    asked = config.model_copy(update={"publish": publish})
    (region,) = publish_stage.run(asked, None, Silent()).years[0].regions
    assert region.url.endswith("geotiff/glass-sm.2019-07-15.tif")
    assert region.known_pixels == before.rasters[2].known_pixels
