"""Rain that stations measured, from plain CSV, beside the maps."""

import numpy as np
import pytest

from smcloud.core.listener import Silent
from smcloud.core.objects import open_objects
from smcloud.grids.grid import SIN1KM
from smcloud.production import validate_stage
from smcloud.production.station_rain import daily_totals, station_rain
from smcloud.production.store_year import published_year
from smcloud.sources.station_csv import read_station_csv

from . import downscaled_root, product_root

DAYS = product_root.DAYS
HEAD = "network,station,lat,lon,depth,time,value\n"


class Heard(Silent):
    """Keeps what it is told."""

    def __init__(self):
        self.warnings = []

    def warn(self, text):
        self.warnings.append(text)


def series_of(rows):
    text = HEAD + "".join(f"CMA,one,43.0,2.0,,{time},{value}\n" for time, value in rows)
    (found,) = read_station_csv(text.encode(), "precipitation.csv")
    return found


def test_hours_add_up_to_days_and_a_day_with_gaps_is_unknown():
    hours = [(f"2019-01-01T{hour:02d}:00", 0.5) for hour in range(24)]
    hours += [(f"2019-01-02T{hour:02d}:00", 1.0 if hour < 20 else "") for hour in range(24)]
    found = daily_totals(series_of(hours), DAYS)
    assert found[0] == pytest.approx(12.0)
    assert np.isnan(found[1:]).all()


def test_rows_of_days_are_their_totals():
    found = daily_totals(series_of([("2019-01-01", 3.0), ("2019-01-03", 0.0)]), DAYS)
    assert (found[0], found[2]) == (3.0, 0.0)
    assert np.isnan(found[1])


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Maps, and a gauge inside them that measures the showers that wet them; another elsewhere."""
    folder = tmp_path_factory.mktemp("gauges")
    found = downscaled_root.build(folder)
    block = product_root.BLOCKS[0]
    lon, lat = (values[75, 75] for values in SIN1KM.lonlat(block))
    rain = 12.0 * (np.random.default_rng(5).random(DAYS.size) < 0.12)
    rows = [f"CMA,in,{lat},{lon},,{day},{mm}\n" for day, mm in zip(DAYS, rain, strict=True)]
    rows += [f"CMA,out,-20.0,30.0,,{day},1.0\n" for day in DAYS]
    archive = open_objects(str(folder / "granules" / "ISMN"))
    archive.put("cma_precipitation.csv", (HEAD + "".join(rows)).encode())
    archive.put("broken_precipitation.csv", b"nothing\n")
    granules = {"granules": str(folder / "granules")}
    return found.model_copy(update={"store": found.store.model_copy(update=granules)})


def test_gauges_inside_the_maps_are_found_and_broken_files_named(config):
    heard = Heard()
    found = station_rain(config, published_year(config, product_root.YEAR), heard)
    assert found.rain.shape == (365, 1)
    assert np.nanmax(found.rain) == 12.0
    assert len(heard.warnings) == 1
    assert "broken_precipitation.csv" in heard.warnings[0]


def test_maps_are_held_against_the_gauges_without_any_reanalysis(config):
    result = validate_stage.run(config, None, Silent())
    folder = open_objects(result.reports[0].rsplit("/", 1)[0])
    page = folder.get("downscaling.html").decode()
    assert "product at 1 rain gauge" in page
    assert "goes best with the rain of the same day" in page
