"""The station stage: what is stored, told, skipped and done again, in one process and on many."""

import json

import numpy as np
import pandas as pd
import pytest

from smcloud.core.config import RunConfig
from smcloud.core.errors import NotFoundError, UserError
from smcloud.core.listener import Silent
from smcloud.core.objects import open_objects
from smcloud.ingest.daily_means import StationRules
from smcloud.ingest.stations import read_stations
from smcloud.production import stations_stage
from smcloud.production.stations_stage import ingest_named_stations, ingest_stations
from tests.ingest.station_archives import STATIC, name_of, series_text, write_folder, write_zip

RULES = StationRules()
HEAD = "network,station,lat,lon,depth,time,value\n"
MOIST = HEAD + "".join(f"BABAO,W1,38.2,100.2,0.05,2019-06-01T{h:02d}:00,0.2\n" for h in range(24))
RAIN = HEAD + "BABAO,W1,38.2,100.2,,2019-06-01,3.5\n"


class Told(Silent):
    """Keeps what it is told."""

    def __init__(self):
        self.warnings, self.stages, self.notes = [], [], []

    def begin(self, stage, total, unit):
        self.stages.append((stage, total))

    def warn(self, text):
        self.warnings.append(text)

    def note(self, text):
        self.notes.append(text)


def archive(stations=20):
    """Two networks, two depths, one file of each kind that is of no use."""
    files = {"NETA/S00/NETA_NETA_S00_static_variables.csv": STATIC, "Metadata.xml": "<xml/>"}
    files["gauges/precipitation.csv"] = RAIN
    for number in range(stations):
        for network in ("NETA", "NETB"):
            known = {"station": f"S{number:02d}", "network": network}
            hours = {"hours": 24 * (1 + number % 5), "flag": "GU"[number % 2]}
            files[name_of(**known)] = series_text(**known, **hours)
            deep = series_text(**known, **hours).replace("0.05 0.05", "0.20 0.20")
            files[name_of(**known, depth="0.200000")] = deep
    files[name_of("S00", "ts", network="NETA")] = series_text()
    files[name_of("BAD", network="NETA")] = "no good data here"
    files[name_of("IDLE", network="NETB")] = series_text("IDLE", hours=3, network="NETB")
    return files


def ingested(source, out, client=None, *, redo=False, rules=RULES):
    told = Told()
    return ingest_stations(str(source), str(out), rules, client, told, redo=redo), told


def stored(out):
    objects = open_objects(f"{out}/stations")
    keys = [info.key for info in objects.list() if "receipts/" not in info.key]
    return {key: objects.get(key) for key in keys}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archives")
    write_folder(folder / "in", archive())
    write_zip(folder / "in.zip", archive())
    halves = sorted(archive().items())
    write_zip(folder / "zips" / "one.zip", dict(halves[::2]))
    write_zip(folder / "zips" / "two.zip", dict(halves[1::2]))
    return folder


@pytest.fixture(scope="module")
def one_process(world):
    return ingested(world / "in", world / "one")


def test_the_summary_counts_what_was_read_and_what_was_not(one_process, world):
    summary, told = one_process
    assert (summary.networks, summary.stations, summary.sensors) == (2, 41, 81)
    assert (summary.files, summary.other_variables, summary.others) == (82, 1, 1)
    assert summary.idle == ("NETB/IDLE/Probe-X/0.050-0.050",)
    assert summary.days == len(read_stations(f"{world}/one/stations")[1]) == 2 * 2 * 60
    assert summary.flags == {"G": 80 * 24 * 3 // 2 + 3, "U": 80 * 24 * 3 // 2}
    (bad,) = summary.broken
    assert bad.name == name_of("BAD", network="NETA")
    (warning,) = told.warnings
    assert warning.startswith("station file left out: ")
    assert told.stages == [("ingest ismn", summary.tasks), ("ingest rain", 1)]
    assert summary.tasks == 6


@pytest.mark.parametrize("source", ["in.zip", "zips"])
def test_zips_give_the_same_bytes_as_a_folder(world, one_process, source):
    out = world / f"of-{source}"
    ingested(world / source, out)
    files = stored(out)
    assert files == stored(world / "one")


@pytest.mark.cluster
def test_a_cluster_writes_the_same_bytes_as_one_process(world, one_process, client):
    ingested(world / "in.zip", world / "many", client)
    assert stored(world / "many") == stored(world / "one")


@pytest.mark.parametrize(("stations", "size"), [(3, 64 << 20), (50, 64 << 20), (8, 5000)])
def test_the_tables_do_not_depend_on_the_size_of_tasks(
    world, one_process, tmp_path, monkeypatch, stations, size
):
    monkeypatch.setattr("smcloud.ingest.station_files.STATIONS_A_TASK", stations)
    monkeypatch.setattr("smcloud.ingest.station_files.BYTES_A_TASK", size)
    summary, _ = ingested(world / "in", tmp_path)
    assert summary.tasks != one_process[0].tasks
    for found, expected in zip(
        read_stations(f"{tmp_path}/stations"), read_stations(f"{world}/one/stations"), strict=True
    ):
        pd.testing.assert_frame_equal(found, expected)


def counted(monkeypatch):
    """Return a list that grows by the names of each task that runs."""
    ran = []
    real = stations_stage.ingest_station_files

    def noted(task, rules, url):
        ran.append(task.names)
        return real(task, rules, url)

    monkeypatch.setattr(stations_stage, "ingest_station_files", noted)
    return ran


def test_a_second_run_reads_only_what_changed(tmp_path, monkeypatch):
    write_folder(
        tmp_path / "in", {name_of(f"S{n:02d}"): series_text(f"S{n:02d}") for n in range(20)}
    )
    first, _ = ingested(tmp_path / "in", tmp_path / "out")
    files = stored(tmp_path / "out")
    ran = counted(monkeypatch)
    second, _ = ingested(tmp_path / "in", tmp_path / "out")
    assert ran == []
    assert (second.tasks, second.tasks_skipped) == (3, 3)
    assert (second.days, second.flags) == (first.days, first.flags)
    assert stored(tmp_path / "out") == files
    write_folder(tmp_path / "in", {name_of("S19"): series_text("S19", hours=72)})
    third, _ = ingested(tmp_path / "in", tmp_path / "out")
    assert [name_of("S19") in names for names in ran] == [True]
    assert third.days == first.days + 1
    assert len(stored(tmp_path / "out")) == len(files)
    ran.clear()
    ingested(tmp_path / "in", tmp_path / "out", redo=True)
    assert len(ran) == 3


def test_malformed_files_are_told_again_without_reading_them_again(tmp_path, monkeypatch):
    files = {name_of("A"): series_text("A"), name_of("C", network="OTHER"): "no good data here"}
    write_folder(tmp_path / "in", files)
    first, _ = ingested(tmp_path / "in", tmp_path / "out")
    ran = counted(monkeypatch)
    second, told = ingested(tmp_path / "in", tmp_path / "out")
    assert (ran, second.tasks_skipped) == ([], 2)
    assert second.broken == first.broken
    assert name_of("C", network="OTHER") in told.warnings[0]


def test_a_run_that_was_cut_short_goes_on(tmp_path, monkeypatch):
    write_folder(
        tmp_path / "in", {name_of(f"S{n:02d}"): series_text(f"S{n:02d}") for n in range(20)}
    )
    real = stations_stage.ingest_station_files
    calls = []

    def fails_at_the_second(task, rules, url):
        calls.append(task)
        if len(calls) == 2:
            raise RuntimeError("the machine went away")
        return real(task, rules, url)

    monkeypatch.setattr(stations_stage, "ingest_station_files", fails_at_the_second)
    with pytest.raises(RuntimeError, match="went away"):
        ingested(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out/stations/stations.parquet").exists()
    summary, _ = ingested(tmp_path / "in", tmp_path / "out")
    assert (summary.tasks, summary.tasks_skipped) == (3, 1)
    ingested(tmp_path / "in", tmp_path / "whole")
    assert stored(tmp_path / "out") == stored(tmp_path / "whole")


def test_copies_count_once_and_are_told(tmp_path):
    files = {name_of("A"): series_text("A"), name_of("B"): series_text("B")}
    write_folder(tmp_path / "in" / "unpacked", files)
    write_zip(tmp_path / "in" / "download.zip", files)
    summary, _ = ingested(tmp_path / "in", tmp_path / "out")
    assert (summary.files, summary.copies, summary.sensors, summary.days) == (4, 2, 2, 4)
    assert summary.flags == {"G": 96}


def test_one_sensor_under_two_names_of_a_station_counts_once_and_is_named(tmp_path):
    files = {name_of("A"): series_text("A"), name_of("Z"): series_text("A", flag="U")}
    files |= {name_of(f"S{number}"): series_text(f"S{number}") for number in range(9)}
    write_folder(tmp_path / "in", files)
    summary, told = ingested(tmp_path / "in", tmp_path / "out")
    assert [bad.name for bad in summary.broken] == ["NET/A/Probe-X/0.050-0.050"]
    assert "files that name two stations" in told.warnings[0]
    stations, daily = read_stations(f"{tmp_path}/out/stations")
    assert json.loads(stations.set_index("station").loc["A", "flags"]) == {"G": 48}
    assert not daily.duplicated(["station_id", "day"]).any()


def test_many_broken_files_are_told_in_few_lines(tmp_path):
    files = {name_of(f"C{number:02d}"): "no good data here" for number in range(15)}
    write_folder(tmp_path / "in", files | {name_of("A"): series_text("A")})
    summary, told = ingested(tmp_path / "in", tmp_path / "out")
    assert len(summary.broken) == 15
    assert len(told.warnings) == 11
    assert told.warnings[-1] == "5 more station files left out"


def test_an_archive_of_which_nothing_can_be_used_leaves_nothing(tmp_path):
    write_folder(tmp_path / "in", {name_of("A"): "no", name_of("A", "ts"): series_text("A")})
    with pytest.raises(UserError, match="1 files are malformed, 1 hold other variables"):
        ingested(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_depths_flags_counts_and_static_variables_are_in_the_data_set(world, one_process):
    parts = pd.read_parquet(world / "one" / "stations" / "daily")
    assert sorted(parts["depth_to"].unique()) == [0.05, 0.2]
    assert set(parts["flags"]) == {"G", "U"}
    assert (parts["count"] == 24).all()
    stations, daily = read_stations(f"{world}/one/stations", maximum_depth_m=0.05)
    assert set(stations["depth_to"]) == {0.05}
    assert stations.set_index(["network", "station"]).loc[
        ("NETA", "S00"), "static_clay_fraction_0.00_0.30_hwsd"
    ] == pytest.approx(23.0)
    np.testing.assert_allclose(daily["soil_moisture"], 0.2, rtol=1e-6)


def run_of(folder, product="smap-downscaling", **stations):
    """A run whose granules lie below a folder."""
    (folder / "granules").mkdir(parents=True, exist_ok=True)
    store = {"root": str(folder / "root"), "granules": str(folder / "granules")}
    return RunConfig(
        product=product, years=(2019,), tiles=("h25v05",), store=store, stations=stations
    )


def from_run(config):
    told = Told()
    return ingest_named_stations(config, None, told), told


def test_a_product_of_coarse_cells_needs_no_archive(tmp_path):
    found, told = from_run(run_of(tmp_path))
    assert found is None
    assert "learns from coarse cells and needs none" in told.notes[0]
    with pytest.raises(NotFoundError, match=r"nothing lies below .*/ISMN"):
        from_run(run_of(tmp_path, "glass-sm"))


@pytest.mark.parametrize("named", [{"archive": "ISNM"}, {"csv": "Stations"}])
def test_what_a_run_file_names_must_be_there(tmp_path, named):
    with pytest.raises(NotFoundError, match=f"nothing lies below .*/{next(iter(named.values()))}"):
        from_run(run_of(tmp_path, **named))


def test_plain_csv_and_an_archive_become_one_table_and_are_read_once(tmp_path):
    config = run_of(tmp_path, csv="plain")
    files = {"soil_moisture.csv": MOIST, "cma_precipitation.csv": RAIN}
    write_folder(tmp_path / "granules/plain", files)
    write_folder(tmp_path / "granules/ISMN", {name_of("S00"): series_text("S00")})
    found, _ = from_run(config)
    assert (found.networks, found.stations, found.others) == (2, 2, 0)
    assert (found.rain.stations, found.rain.days) == (1, 1)
    stations, daily = read_stations(config.layout.stations)
    assert stations["station_id"].tolist() == [
        "BABAO/W1/csv/0.050-0.050",
        "NET/S00/Probe-X/0.050-0.050",
    ]
    assert len(daily) == 3
    again, told = from_run(config)
    assert (again.tasks, again.tasks_skipped, again.rain.files_skipped) == (2, 2, 1)
    assert told.stages == [("ingest ismn", 0)]


def test_a_product_that_learns_from_stations_needs_soil_moisture(tmp_path):
    write_folder(tmp_path / "granules/plain", {"precipitation.csv": RAIN})
    found, _ = from_run(run_of(tmp_path, archive="", csv="plain"))
    assert (found.sensors, found.rain.stations) == (0, 1)
    with pytest.raises(UserError, match=r"no soil moisture series below .* can be used"):
        from_run(run_of(tmp_path, "glass-sm", archive="", csv="plain"))
    nothing, told = from_run(run_of(tmp_path, "glass-sm", archive=""))
    assert nothing is None
    assert "no station is ingested" in told.notes[0]
