"""Plain CSV of simulated stations: one network beside the archive, rain of all."""

from dataclasses import replace

import pandas as pd
import pytest

from smcloud.core.listener import Silent
from smcloud.simulate.request import PRODUCT_SOURCES, SimulateRequest, stations_of
from smcloud.simulate.run import _csv_pieces, simulate
from smcloud.sources.station_csv import read_station_csv


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("csv")
    sources = ("ismn", "station_csv", "precipitation_csv")
    request = SimulateRequest(str(out), (), (2019,), at_stations=True, stations=24, sources=sources)
    simulate(request, Silent())
    return out


def series_of(out, name):
    path = out / "granules/Station-CSV" / name
    return read_station_csv(path.read_bytes(), name)


def test_one_network_is_csv_and_in_no_download(written):
    moisture = series_of(written, "soil_moisture.csv")
    (network,) = {one.network for one in moisture}
    assert all(one.depth_to <= 0.06 for one in moisture)
    assert not list((written / "granules/ISMN").rglob(f"*{network}*.stm"))


def test_a_lone_network_is_in_the_archive_and_its_rain_is_csv(tmp_path):
    sources = PRODUCT_SOURCES["smap-downscaling"]
    request = SimulateRequest(
        str(tmp_path), ("h25v05",), (2019,), window="6x6+400+700", stations=4, sources=sources
    )
    stations = stations_of(request)["h25v05"]
    assert [piece.source for piece in _csv_pieces(request, stations)] == ["precipitation_csv"]
    alone = replace(request, sources=("station_csv",))
    assert [piece.stations for piece in _csv_pieces(alone, stations)] == [stations]


def test_rain_has_a_row_a_day_of_each_station(written):
    rain = series_of(written, "precipitation.csv")
    assert len(rain) == 24
    totals = pd.Series([float(one.values.sum()) for one in rain])
    assert all(len(one.times) == 365 for one in rain)
    assert 50 < totals.median() < 3000
    assert min(float(one.values.min()) for one in rain) == 0.0
