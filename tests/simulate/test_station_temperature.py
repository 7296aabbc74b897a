"""Thermometers of stations: their files are read as ISMN's, and freeze when their ground does."""

import numpy as np
import pytest

from smcloud.ingest.station_temperature import at_overpass, read_soil_temperature
from smcloud.simulate.request import SimulateRequest, stations_of
from smcloud.simulate.station_temperature import TemperaturePiece, soil_temperatures
from smcloud.simulate.world import Earth


@pytest.fixture(scope="module")
def stations():
    request = SimulateRequest(
        "memory://x", ("h25v05",), (2016,), window="240x240+0+600", stations=4, sources=("ismn",)
    )
    return stations_of(request)["h25v05"]


def test_the_download_is_read_and_has_a_winter(stations, tmp_path):
    piece = TemperaturePiece(str(tmp_path), 0, stations, (2016,))
    told = []
    piece.run(lambda files, size: told.append((files, size)))
    assert told[0][0] == len(piece.keys()) == 1
    assert (tmp_path / piece.keys()[0]).exists()
    table, broken = read_soil_temperature(str(tmp_path / "granules/ISMN-temperature"))
    assert broken == ()
    assert set(table["station"]) == {station.name for station in stations}
    months = table["time"].dt.month
    january = table.loc[months == 1, "temperature"].mean()
    july = table.loc[months == 7, "temperature"].mean()
    assert july > january + 10
    share = len(table) / (366 * 24 * len(stations))
    assert 0.94 < share < 1.0
    dawn, noon = at_overpass(table, 6.0), at_overpass(table, 15.0)
    assert noon["temperature"].mean() > dawn["temperature"].mean() + 1


def test_any_part_of_the_days_gives_the_same_readings(stations):
    days = np.arange("2016-03-01", "2016-03-06", dtype="datetime64[D]")
    whole = soil_temperatures(Earth(0), stations, days)
    part = soil_temperatures(Earth(0), stations, days[2:4])
    np.testing.assert_array_equal(part, whole[48:96])
