"""Maps beside what stations and gauges inside them measured, which no model learned from."""

import io
import re

import numpy as np
import pandas as pd
import pytest

from smcloud.core.listener import Silent
from smcloud.core.objects import open_objects
from smcloud.production.examination import why_no_stations
from smcloud.production.station_pairs import Stations
from smcloud.production.station_rain import station_rain
from smcloud.production.stations_stage import ingest_named_stations
from smcloud.production.store_year import published_year

from . import product_root


def test_gauges_alone_are_read_once_and_broken_files_named(maps):
    found = ingest_named_stations(maps, None, Silent())
    rain = found.rain
    assert (found.sensors, rain.stations, rain.days) == (0, 2, 2 * 365)
    assert [bad.name for bad in rain.broken] == ["broken_precipitation.csv"]
    assert (rain.files, rain.files_skipped) == (2, 2)


def test_gauges_inside_the_maps_are_found(maps):
    found = station_rain(maps, published_year(maps, product_root.YEAR))
    assert found.rain.shape == (365, 1)
    assert np.nanmax(found.rain) == 12.0
    assert found.lat[0] > 40


def page_of(result, name):
    return open_objects(result.reports[0].rsplit("/", 1)[0]).get(name).decode()


def test_maps_are_held_against_the_rain_of_gauges_beside_that_of_the_reanalysis(maps_validated):
    section = (
        page_of(maps_validated, "downscaling.html").split('id="rain"')[1].split("</section>")[0]
    )
    assert "Rain of ERA5-Land, at every tenth pixel" in section
    own = section.split("Rain of 1 rain gauge")[1]
    assert "goes best with the rain of the same day" in own
    assert own.count("<tr>") == 4  # heads, the maps, the truth and the coarse input


def test_mean_over_stations_stands_beside_the_figure_of_the_paper(maps_validated):
    """The mean is that of the table of stations, by another road."""
    stations = pd.read_csv(io.StringIO(page_of(maps_validated, "stations.csv")))
    mean, median = stations["ubRMSE"].mean(), stations["ubRMSE"].median()
    (told,) = [line for line in maps_validated.told if "mean ubRMSE over" in line]
    assert told.startswith(f"2019: mean ubRMSE over 6 stations {mean:.3f} m3 m-3 ")
    assert f"(median {median:.3f})" in told
    assert "The paper prints 0.057 m3 m-3 (ESSD 14, 3053, 2022), at other stations" in told
    assert "No station had a part in fitting" in told
    page = page_of(maps_validated, "report.html").split('id="stations"')[1]
    assert told.removeprefix("2019: ") in page
    assert "Mean and median over stations" in page
    line = next(one for one in maps_validated.lines if one.against == "stations inside, mean")
    assert line.scores["ubRMSE"] == pytest.approx(mean, abs=1e-6)


def sites(*names):
    table = pd.DataFrame({"station": names})
    return Stations(table, table)


def days_of(*names):
    return pd.DataFrame({"station": names}, dtype=object)


@pytest.mark.parametrize(
    ("stations", "inside", "seen", "words"),
    [
        (None, days_of(), 0, r"none was ingested \(\[stations\] archive and csv name them\)"),
        (sites("a", "b"), days_of(), 0, "of 2 stations none lies inside what was made"),
        (sites("a", "b"), days_of("a"), 1, "made with all 1 that lie inside"),
        (sites("a", "b"), days_of("a", "a"), 0, "of 1 station inside .* none has 30 days"),
    ],
)
def test_why_there_is_no_station_is_said_in_words(stations, inside, seen, words):
    assert re.search(
        f"^There are no stations to score at: .*{words}", why_no_stations(stations, inside, seen)
    )
