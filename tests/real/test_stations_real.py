"""Real ISMN folders and zips to the station tables: flags counted as the data's README states."""

import json

import numpy as np
import pandas as pd
import pytest

from smcloud.core.errors import UserError
from smcloud.core.listener import Silent
from smcloud.ingest.daily_means import StationRules
from smcloud.ingest.stations import read_stations
from smcloud.production.stations_stage import ingest_stations

pytestmark = pytest.mark.real

ABRAMS = "SCAN/Abrams"
MAQU = "MAQU/CST_01"


def read(url, tmp_path, rules=None):
    summary = ingest_stations(str(url), str(tmp_path), rules or StationRules(), None, Silent())
    stations, daily = read_stations(f"{tmp_path}/stations")
    return summary, stations.assign(place=stations["network"] + "/" + stations["station"]), daily


def flags_of(stations, place):
    (text,) = stations.loc[stations["place"] == place, "flags"]
    return json.loads(text)


@pytest.fixture(scope="module")
def networks(realdata, tmp_path_factory):
    folder = realdata / "ismn" / "networks" / "multinetwork"
    return read(folder, tmp_path_factory.mktemp("stations"))


def test_flags_of_maqu_and_scan_are_counted_as_written(networks):
    _, stations, _ = networks
    maqu = flags_of(stations, MAQU)
    assert {flag: maqu[flag] for flag in ("U", "D01,D03", "C03", "D03")} == {
        "U": 9407,
        "D01,D03": 3258,
        "C03": 1338,
        "D03": 1235,
    }
    assert flags_of(stations, ABRAMS)["U"] == 46_231


def test_old_networks_without_a_single_g_keep_their_days(networks):
    summary, stations, daily = networks
    assert "G" not in summary.flags
    assert summary.sensors == 8
    assert (stations["days"] > 100).all()
    assert len(daily) == summary.days == stations["days"].sum()


def test_daily_means_equal_those_that_pandas_makes(networks, realdata):
    """The same day means by another road: rows split at the carriage returns, grouped by date."""
    _, stations, daily = networks
    (path,) = (realdata / "ismn/networks/multinetwork").rglob("*Abrams*.stm")
    rows = [line.split() for line in path.read_bytes().decode().split("\r")[1:] if line.strip()]
    frame = pd.DataFrame(rows, columns=["day", "hour", "value", "flag", "own"])
    good = frame[frame["flag"].isin(["G", "U"])].astype({"value": float})
    good = good[good["value"].between(0.0, 0.6)].drop_duplicates(["day", "hour"])
    expected = good.groupby("day")["value"].agg(["mean", "size"])
    expected = expected[expected["size"] >= 12]
    (name,) = stations.loc[stations["place"] == ABRAMS, "station_id"]
    found = daily[daily["station_id"] == name]
    assert found["day"].dt.strftime("%Y/%m/%d").tolist() == expected.index.tolist()
    np.testing.assert_allclose(found["soil_moisture"], expected["mean"], rtol=1e-6)
    assert found["count"].tolist() == expected["size"].tolist()


def test_a_zip_holds_the_same_stations_as_its_folder(networks, realdata, tmp_path):
    archive = realdata / "ismn/samples/zip_archives/multinetwork/header_values"
    _, stations, daily = read(archive / "Data_header_values.zip", tmp_path)
    pd.testing.assert_frame_equal(stations, networks[1])
    pd.testing.assert_frame_equal(daily, networks[2])


def test_both_formats_give_the_same_stations_and_statics(realdata, tmp_path):
    samples = realdata / "ismn" / "samples"
    _, header, daily = read(samples / "Data_seperate_files_header_20170810_20180809", tmp_path)
    _, ceop, ceop_daily = read(samples / "Data_seperate_files_20170810_20180809", tmp_path)
    cosmos = ceop[ceop["network"] == "COSMOS"].reset_index(drop=True)
    assert header["station_id"].tolist() == cosmos["station_id"].tolist()
    assert header["static_clay_fraction_0.00_0.30_hwsd"].tolist()[0] == 23.0
    assert header["days"].tolist() == cosmos["days"].tolist()
    np.testing.assert_allclose(daily["soil_moisture"], ceop_daily["soil_moisture"], atol=1e-6)


def test_only_accepted_flags_count(realdata, tmp_path):
    folder = realdata / "ismn" / "networks" / "multinetwork"
    with_g = StationRules(accepted_flags=("G",))
    summary, _, _ = read(folder, tmp_path, with_g)
    assert summary.days == 0


def test_a_folder_without_series_is_refused(realdata, tmp_path):
    with pytest.raises(UserError, match="mal_formed_file"):
        read(realdata / "ismn" / "networks" / "malformed", tmp_path)


def test_the_whole_folder_is_read_and_what_cannot_be_is_named(realdata, tmp_path):
    summary, _, _ = read(realdata / "ismn", tmp_path)
    assert summary.networks == 5
    assert [bad.name.rsplit("/", 1)[-1] for bad in summary.broken] == [
        "SMOSMANIA_SMOSMANIA_NBN_20100304_20130801.stm"
    ]


def test_what_repeats_another_file_is_counted_once(realdata, tmp_path):
    """The folder holds most series several times: in both formats, unpacked and zipped."""
    summary, stations, daily = read(realdata / "ismn", tmp_path)
    assert (summary.files, summary.copies, summary.sensors) == (29, 17, 11)
    assert summary.files == summary.sensors + summary.copies + len(summary.broken)
    assert flags_of(stations, ABRAMS)["U"] == 46_231
    assert not daily.duplicated(["station_id", "day"]).any()
    again = ingest_stations(str(realdata / "ismn"), str(tmp_path), StationRules(), None, Silent())
    assert again.tasks_skipped == again.tasks
    assert (again.flags, again.days, again.broken) == (summary.flags, summary.days, summary.broken)


def test_two_inch_probes_are_surface_and_cosmic_rays_are_not(realdata, tmp_path):
    read(realdata / "ismn", tmp_path)
    shallow, daily = read_stations(f"{tmp_path}/stations", maximum_depth_m=0.05, years=(2009, 2010))
    assert set(shallow["network"]) == {"MAQU", "SCAN", "SMOSMANIA", "SOILSCAPE"}
    assert set(daily["day"].dt.year) == {2009, 2010}


def test_flags_of_the_day_tell_frost_in_winter_alone(realdata, tmp_path):
    """MAQU lies at 3,400 m. Days with frost all through are unknown, so spring and autumn count."""
    folder = realdata / "ismn" / "networks" / "multinetwork"
    ingest_stations(str(folder), str(tmp_path), StationRules(), None, Silent())
    days = pd.read_parquet(tmp_path / "stations" / "daily")
    maqu = days[days["station_id"].str.startswith(MAQU)]
    frost = maqu["flags"].str.contains("D01|D03")
    assert frost.any()
    assert not frost[maqu["day"].dt.month.isin([7, 8])].any()
