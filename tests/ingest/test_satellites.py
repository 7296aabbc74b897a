"""Satellites on coarse grids from native files to cubes, whole and at stations."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from smcloud.core.layout import Layout
from smcloud.core.listener import Silent
from smcloud.core.objects import open_objects
from smcloud.cube.store import open_cube
from smcloud.features.blockwise import FeatureReader
from smcloud.features.catalogue import features_named
from smcloud.features.spec import CubeSet, Driver
from smcloud.features.table import station_table
from smcloud.grids.grid import EASE2_36KM, GLOBAL025, SIN1KM
from smcloud.grids.tiles import TileYear
from smcloud.ingest.index import index_granules, list_bucket
from smcloud.ingest.plan import keys_of, plan_ingest, station_shards
from smcloud.production.ingest_stage import IngestRequest, ingest_sources
from smcloud.sources.registry import SOURCES
from tests.sources.satellite_files import (
    PLACE,
    START,
    around,
    cci_name,
    write_cci,
    write_satellite,
    write_scene,
    write_smap,
)

SITE = (8.1, 46.1)
"""A station; PLACE lies on the corner of four cells of 0.25 degree."""
GRIDS = {"cci_passive": GLOBAL025, "smap_l3": EASE2_36KM}


class Told(Silent):
    """Keeps what people are told."""

    def __init__(self):
        self.notes, self.warnings = [], []

    def note(self, text):
        self.notes.append(text)

    def warn(self, text):
        self.warnings.append(text)


def ingest(name, folder, *, points=None, told=None, out="out", tiles=(), quality="all"):
    request = IngestRequest(
        name, str(folder / "in"), str(folder / out), tiles, (2019,), quality, points
    )
    return ingest_sources([request], None, told or Told())[0]


def cube_of(name, folder, out="out"):
    schema = SOURCES[name].schema
    return open_cube(Layout(str(folder / out)).cubes(name) + "/2019.zarr", schema, 2019)


def corners(grid, window):
    """Return the places (degrees) of the corners of a window: stations whose shards hold it."""
    lon, lat = grid.lonlat(window)
    return tuple((float(lon[i, j]), float(lat[i, j])) for i in (0, -1) for j in (0, -1))


@pytest.mark.parametrize("name", ["cci_active", "cci_passive", "smap_l3", "smap_l3e"])
def test_the_cube_holds_what_the_files_hold(name, tmp_path):
    paths = write_satellite(name, tmp_path / "in")
    source = SOURCES[name]
    grid = source.schema.on
    square = around(grid, 12)
    ingest(name, tmp_path, points=corners(grid, square))
    cube = cube_of(name, tmp_path)
    for number, path in enumerate(paths):
        dataset = source.read(path, quality="all")
        key = TileYear(grid.name, "globe", 2019)
        found = source.steps([dataset], key, within=square)
        for variable in source.schema.variables:
            expected = variable.unpack(variable.pack(found[variable.name].values[0]))
            stored = cube.read_physical(variable.name, slice(number, number + 1), square)[0]
            np.testing.assert_array_equal(stored, expected)
            assert np.isfinite(stored).sum() > 100
        dataset.close()


@pytest.mark.parametrize("name", sorted(GRIDS))
def test_at_stations_only_their_shards_are_written_with_the_same_bytes(name, tmp_path):
    write_satellite(name, tmp_path / "in")
    ingest(name, tmp_path)
    ingest(name, tmp_path, points=(PLACE,), out="points")
    whole = stored(tmp_path / "out", name)
    part = stored(tmp_path / "points", name)
    assert part.items() <= whole.items()
    shards = station_shards(SOURCES[name].schema, *map(np.array, zip(PLACE, strict=True)))
    in_cube = {
        tuple(map(int, key.split("/")[-2:])) for key in part if "/c/" in key and "soil" in key
    }
    assert in_cube == set(shards)
    assert len(whole) > len(part)


def stored(folder, name):
    objects = open_objects(str(folder / "cubes" / name))
    return {info.key: objects.get(info.key) for info in objects.list()}


def test_a_damaged_day_is_named_and_the_others_are_kept(tmp_path):
    _, second = write_satellite("smap_l3", tmp_path / "in")
    second.write_bytes(second.read_bytes()[: second.stat().st_size // 2])
    square = around(EASE2_36KM, 12)
    summary = ingest("smap_l3", tmp_path, points=corners(EASE2_36KM, square))
    assert [bad.name for bad in summary.damaged] == [second.name]
    assert summary.granules_read == 1
    cube = cube_of("smap_l3", tmp_path)
    values = cube.read_physical("soil_moisture_am", slice(0, 2), square)
    assert np.isfinite(values[0]).sum() > 100
    assert np.isnan(values[1]).all()


def test_a_day_of_other_units_deep_in_the_values_is_named(tmp_path):
    write_cci(tmp_path / "in", "PASSIVE", START)
    bad = write_cci(
        tmp_path / "in", "PASSIVE", START + timedelta(days=1), values=np.full((20, 20), 44.0)
    )
    summary = ingest("cci_passive", tmp_path, points=(PLACE,))
    assert [damaged.name for damaged in summary.damaged] == [bad.name]
    assert "400 of 400 values outside" in summary.damaged[0].reason


def other_years_and_bad_files(folder):
    """Write a file of each kind that must not count beside START; return names of bad ones."""
    write_cci(folder, "PASSIVE", date(2018, 12, 31))
    days = (START + timedelta(days=number) for number in range(1, 20))
    bad = [write_cci(folder, "PASSIVE", next(days)) for _ in range(4)]
    bad[0].write_bytes(b"")
    bad[1].write_bytes(b"<!DOCTYPE html><title>Earthdata Login</title>")
    bad[2].write_bytes(bad[2].read_bytes()[:-5000])
    heap = bytearray(bad[3].read_bytes())
    heap[200:1200] = bytes(1000)
    bad[3].write_bytes(heap)
    bad.append(write_cci(folder, "COMBINED", START, name=cci_name("PASSIVE", next(days))))
    bad.append(write_cci(folder, "PASSIVE", START, name=cci_name("PASSIVE", next(days), "fv02.2")))
    kinds = ({"units": "percent"}, {"without": "flag"}, {"shape": (1440, 1440)})
    bad += [write_cci(folder, "PASSIVE", next(days), **kind) for kind in kinds]
    return [path.name for path in bad]


def test_every_kind_of_bad_file_is_named_in_one_line_and_the_run_goes_on(tmp_path):
    write_cci(tmp_path / "in", "PASSIVE", START)
    bad = other_years_and_bad_files(tmp_path / "in")
    told = Told()
    square = around(GLOBAL025, 20)
    summary = ingest("cci_passive", tmp_path, points=corners(GLOBAL025, square), told=told)
    assert sorted(one.name for one in summary.damaged) == sorted(bad)
    for one in summary.damaged:
        assert "\n" not in one.reason
        assert "expected" in one.reason or "damaged" in one.reason
    assert summary.granules_read == 1
    cube = cube_of("cci_passive", tmp_path)
    values = cube.read_physical("soil_moisture", slice(0, 12), square)
    assert np.isfinite(values[0]).all()
    assert np.isnan(values[1:]).all()


def test_days_of_an_outage_are_told_and_not_missing(tmp_path):
    write_smap(tmp_path / "in", "SPL3SMP", date(2019, 6, 18))
    write_smap(tmp_path / "in", "SPL3SMP", date(2019, 7, 24))
    told = Told()
    summary = ingest("smap_l3", tmp_path, points=(PLACE,), told=told)
    days = {text.split()[-1] for text in summary.missing}
    assert "2019-06-17" in days
    assert "2019-06-19" not in days
    assert "2019-07-23" not in days
    assert any("not produced from 2019-06-19 to 2019-07-23" in note for note in told.notes)


def test_scenes_reach_the_tiles_that_they_cover_and_no_day_is_missing(tmp_path):
    write_scene(tmp_path / "in", START)
    told = Told()
    summary = ingest("smap_sentinel", tmp_path, tiles=("h18v04",), told=told)
    assert summary.missing == ()
    assert told.warnings == []
    cube = cube_of("smap_sentinel", tmp_path)
    values = cube.read_physical("soil_moisture", slice(0, 2), around(SIN1KM, 30))
    assert np.isfinite(values[0]).all()
    assert np.isnan(values[1]).all()


def test_a_newer_release_takes_the_place_of_an_older_in_the_plan(tmp_path):
    source = SOURCES["smap_l3"]
    write_smap(tmp_path, "SPL3SMP", START)
    write_smap(tmp_path, "SPL3SMP", START, name="SMAP_L3_SM_P_20190101_R19240_001.h5")
    index = index_granules(source, str(tmp_path), list_bucket(str(tmp_path)))
    (task,) = plan_ingest(source, index, str(tmp_path), keys_of(source, [], [2019], index))
    assert [entry.granule.produced for entry in task.granules] == ["R19240_001"]


def test_stations_read_the_cell_they_lie_in(tmp_path):
    """The sample table with references as columns: what the catalogue's entries are for."""
    names = ("cci_passive", "smap_l3")
    for name in names:
        write_satellite(name, tmp_path / "in")
        ingest(name, tmp_path, points=(SITE,))
    drivers = tuple(Driver(name, to_grid="nearest") for name in names)
    columns = [f"{name}_soil_moisture" for name in names]
    cubes = CubeSet({name: Layout(str(tmp_path / "out")).cubes(name) for name in names})
    reader = FeatureReader(features_named(columns, drivers), drivers, cubes)
    rows = station_table(reader, *stations_at(*SITE))
    assert list(rows["time"].dt.day) == [1, 2]
    for name, column in zip(names, columns, strict=True):
        grid = GRIDS[name]
        row, col = (int(index) for index in grid.pixel_of(*SITE))
        variable = SOURCES[name].schema.variables[0].name
        cell = type(grid.window)(row, row + 1, col, col + 1)
        expected = cube_of(name, tmp_path).read_physical(variable, slice(0, 2), cell)
        np.testing.assert_array_equal(rows[column], expected.ravel())
        assert rows[column].notna().all()


def stations_at(lon, lat):
    """Return the two tables of an ingest of one station with two days."""
    station = {
        "station_id": "NET/ONE/probe/0.05", "network": "NET", "station": "ONE",
        "latitude": lat, "longitude": lon, "elevation": 0.0,
        "depth_from": 0.05, "depth_to": 0.05, "sensor": "probe", "variable": "soil_moisture",
    }  # fmt: skip
    days = pd.date_range("2019-01-01", periods=2)
    daily = pd.DataFrame(
        {
            "station_id": "NET/ONE/probe/0.05",
            "day": days,
            "soil_moisture": np.array([0.2, 0.3], np.float32),
            "count": 24,
        }
    )
    return pd.DataFrame([station]), daily


@pytest.mark.parametrize("name", ["amsr2_tb", "smos_ft"])
def test_frozen_ground_reaches_its_cube(name, tmp_path):
    """Orbits are merged to days, both passes of a day to one step."""
    paths = write_satellite(name, tmp_path / "in")
    source = SOURCES[name]
    grid = source.schema.on
    square = around(grid, 8)
    summary = ingest(name, tmp_path, points=corners(grid, square), quality="")
    assert summary.granules_read == len(paths)
    assert summary.damaged == ()
    datasets = [source.read(path) for path in paths]
    key = TileYear(grid.name, "globe", 2019)
    found = source.steps(datasets, key, within=square)
    cube = cube_of(name, tmp_path)
    for variable in source.schema.variables:
        expected = variable.unpack(variable.pack(found[variable.name].values))
        stored = cube.read_physical(variable.name, slice(0, 2), square)
        np.testing.assert_array_equal(stored, expected)
        assert np.isfinite(stored).any(), variable.name
    for dataset in datasets:
        dataset.close()
