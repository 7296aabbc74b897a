"""IMERG: names, both versions, days and half hours, area means, what is unknown, refusals."""

from datetime import date

import h5py
import numpy as np
import pytest

from smcloud.core.errors import GranuleError
from smcloud.core.listener import Silent
from smcloud.cube.store import open_cube
from smcloud.grids.grid import GLOBAL025, IMERG, Window
from smcloud.grids.tiles import TileYear
from smcloud.ingest.cubes import ingest_slab
from smcloud.ingest.index import index_granules, list_bucket
from smcloud.ingest.plan import plan_ingest, task_bytes
from smcloud.production.ingest_stage import IngestRequest, ingest_sources
from smcloud.sources.imerg import HALF_HOURS, HALF_SCENES, IMERG_025
from tests.sources.imerg_files import (
    PLACE,
    daily_name,
    half_name,
    square,
    write_daily,
    write_half,
)

DAY = date(2019, 6, 3)
KEY = TileYear("global025", "globe", 2019)
CELLS = Window(172, 180, 748, 756)
"""The cells of 0.25 degree that PLACE fills."""
SMALL = Window(420, 460, 1860, 1900)
"""A cut of the globe about PLACE."""


def stepped(paths, quality="", within=CELLS):
    datasets = [IMERG_025.read(path, quality=quality) for path in paths]
    return IMERG_025.steps(datasets, KEY, within=within)["precipitation"].values


def means_of(values):
    """Return the means on CELLS of cells of PLACE, at the equator's proportions to 0.2 %."""
    fine = np.repeat(np.repeat(np.asarray(values, np.float64), 2, 0), 2, 1)
    blocks = fine.reshape(8, 5, 8, 5).transpose(0, 2, 1, 3).reshape(8, 8, 25)
    return np.nanmean(blocks, axis=2)


def test_names_tell_day_run_and_half_hour():
    day = IMERG_025.identify(daily_name(DAY))
    assert (day.start, day.end, day.tile, day.scene) == (DAY, DAY, "globe", "daily")
    late, early = (IMERG_025.identify(daily_name(DAY, "V06", run)) for run in ("-L", "-E"))
    assert early.produced < late.produced < day.produced
    assert IMERG_025.identify(daily_name(DAY, "V06")).produced < day.produced
    half = IMERG_025.identify("3B-HHR.MS.MRG.3IMERG.20000601-S233000-E235959.1410.V06B.HDF5")
    assert (half.start, half.scene) == (date(2000, 6, 1), HALF_SCENES[-1])
    assert len(set(HALF_SCENES)) == 48


@pytest.mark.parametrize(
    "name",
    [
        "3B-DAY.MS.MRG.3IMERG.20191303-S000000-E235959.V07B.nc4",
        "3B-MO.MS.MRG.3IMERG.20190601-S000000-E235959.06.V07B.HDF5",
        "3B-HHR.MS.MRG.3IMERG.20190601-S001500-E004459.0015.V07B.HDF5",
        "3B-DAY.MS.MRG.3IMERG.20190603-S000000-E235959.V07B.nc4.xml",
    ],
)
def test_months_odd_times_and_impossible_days_are_no_names(name):
    assert IMERG_025.identify(name) is None


@pytest.mark.parametrize("version", ["V06", "V07B"])
@pytest.mark.parametrize("cut", [None, SMALL], ids=["globe", "cut"])
def test_a_daily_file_becomes_area_means_with_rows_from_the_north(tmp_path, version, cut):
    path = write_daily(tmp_path, DAY, version=version, cut=cut)
    found = stepped([path])[0]
    np.testing.assert_allclose(found, means_of(square(DAY.toordinal())), rtol=0.01, atol=0.01)
    with IMERG_025.read(path) as dataset:
        assert dataset["precipitation"].attrs["units"] == "mm day-1"
        assert dataset["time"].values[0] == np.datetime64(DAY)


def test_what_a_file_does_not_know_for_half_of_a_cell_is_unknown(tmp_path):
    values = np.ones(PLACE.shape, np.float32)
    values[:2, :] = np.nan  # 2 of 2.5 rows of the northern cells
    found = stepped([write_daily(tmp_path, DAY, values=values, cut=SMALL)])[0]
    assert np.isnan(found[0]).all()
    np.testing.assert_array_equal(found[1:], 1.0)
    around = stepped([tmp_path / daily_name(DAY)], within=Window(170, 182, 746, 758))[0]
    assert np.isnan(around[:2]).all()
    assert np.isnan(around[:, -2:]).all()


def test_sums_need_all_half_hours_and_rates_half_of_them(tmp_path):
    counts = np.full(PLACE.shape, 47)
    counts[:, 10:] = 20
    old = stepped([write_daily(tmp_path, DAY, version="V06", counts=counts, cut=SMALL)])[0]
    assert np.isnan(old).all()
    new = stepped([write_daily(tmp_path, DAY, counts=counts, cut=SMALL)])[0]
    assert np.isfinite(new[:, :4]).all()
    assert np.isnan(new[:, 4:]).all()


@pytest.mark.parametrize("version", ["V06B", "V07A"])
def test_a_day_is_the_sum_of_its_48_half_hours(tmp_path, version):
    paths = [write_half(tmp_path, DAY, n, version=version, cut=SMALL) for n in range(48)]
    expected = sum(0.5 * means_of(square(n)) for n in range(48))
    np.testing.assert_allclose(stepped(paths, HALF_HOURS)[0], expected, rtol=0.01)
    assert np.isnan(stepped(paths[:47], HALF_HOURS)).all()
    assert stepped(paths[::-1], HALF_HOURS).tolist() == stepped(paths, HALF_HOURS).tolist()


def test_a_cell_that_one_half_hour_does_not_know_is_unknown(tmp_path):
    ones = np.ones(PLACE.shape, np.float32)
    hole = ones.copy()
    hole[:5, :5] = np.nan
    paths = [
        write_half(tmp_path, DAY, n, values=hole if n == 30 else ones, cut=SMALL) for n in range(48)
    ]
    found = stepped(paths, HALF_HOURS)[0]
    assert np.isnan(found[:2, :2]).all()
    np.testing.assert_array_equal(found[2:], 24.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": "rain"}, "expected a layer precipitation, found in / lat, lon, rain"),
        ({"units": "kg"}, "expected precipitation in mm/day, found 'kg'"),
        ({"shift": 0.03}, "expected lat rising by 0.1 degree through centres"),
        ({"order": "time,lat,lon"}, "expected dimensions time,lon,lat, found time,lat,lon"),
        ({"version": "V05"}, "expected version V06 or V07, found V05"),
    ],
)
def test_another_layout_is_refused_in_one_line(tmp_path, changes, message):
    path = write_daily(tmp_path, DAY, cut=SMALL, **changes)
    with pytest.raises(GranuleError, match=message) as caught:
        IMERG_025.read(path)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_axes_in_the_other_order_and_values_in_another_unit_are_refused(tmp_path):
    path = write_daily(tmp_path, DAY, cut=Window(420, 460, 1860, 1905))
    with h5py.File(path, "r+") as file:
        turned = file["precipitation"][0].T
        del file["precipitation"]
        layer = file.create_dataset("precipitation", data=turned[None])
        layer.attrs["units"] = np.bytes_("mm/day")
    with pytest.raises(GranuleError, match="expected precipitation of 45 x 40 cells, found 1 x 40"):
        IMERG_025.read(path)
    path = write_daily(tmp_path, DAY, cut=SMALL, values=np.full(PLACE.shape, 9e5, np.float32))
    with pytest.raises(GranuleError, match="values outside"):
        stepped([path])


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """Return two daily files, one of them beside an older run, and half hours with a hole."""
    folder = tmp_path_factory.mktemp("imerg")
    write_daily(folder, DAY, cut=SMALL)
    write_daily(folder, DAY, run="-L", cut=SMALL, values=np.zeros(PLACE.shape, np.float32))
    write_daily(folder, date(2019, 6, 5), cut=SMALL)
    for day in (DAY, date(2019, 6, 4)):
        for half in range(48 if day == DAY else 47):
            write_half(folder, day, half, cut=SMALL)
    return folder


def test_ingest_writes_days_once_and_names_what_is_missing(bucket, tmp_path):
    request = IngestRequest("imerg_025", str(bucket), str(tmp_path), years=(2019,))
    (summary,) = ingest_sources([request], None, Silent())
    assert (summary.granules_read, summary.damaged) == (2, ())
    assert any("2019-06-04" in name for name in summary.missing)
    assert not any("2019-06-05" in name for name in summary.missing)
    assert len(summary.duplicates) == 1
    cube = open_cube(str(tmp_path / "cubes/imerg_025/2019.zarr"), IMERG_025.schema, 2019)
    at = [int((np.datetime64(f"2019-06-0{n}") - cube.times[0]).astype(int)) for n in (3, 4, 5)]
    days = [cube.read_physical("precipitation", slice(n, n + 1), CELLS)[0] for n in at]
    np.testing.assert_allclose(days[0], stepped([bucket / daily_name(DAY)])[0], atol=0.0101)
    assert np.isnan(days[1]).all()
    assert np.isfinite(days[2]).all()


def test_half_hours_make_the_cube_by_the_rule_of_that_name(bucket, tmp_path):
    index = index_granules(IMERG_025, str(bucket), list_bucket(str(bucket)))
    assert len(index.duplicates) == 1
    tasks = plan_ingest(IMERG_025, index, str(tmp_path), [KEY], quality=HALF_HOURS)
    (task,) = [task for task in tasks if task.granules]
    assert len(task.granules) == 95
    assert DAY.isoformat() not in task.missing
    assert "2019-06-04" in task.missing
    assert task_bytes(IMERG_025, task) < 1e9
    request = IngestRequest(
        "imerg_025", str(bucket), str(tmp_path), years=(2019,), quality=HALF_HOURS
    )
    ingest_sources([request], None, Silent())
    cube = open_cube(task.cube_url, IMERG_025.schema, 2019)
    at = int((np.datetime64(DAY) - cube.times[0]).astype(int))
    found = cube.read_physical("precipitation", slice(at, at + 2), CELLS)
    expected = stepped([bucket / half_name(DAY, n) for n in range(48)], HALF_HOURS)[0]
    np.testing.assert_allclose(found[0], expected, atol=0.0101)
    assert np.isnan(found[1]).all()


def test_a_damaged_half_hour_takes_its_day_and_is_named(bucket, tmp_path):
    folder = tmp_path / "cut"
    for path in sorted(bucket.glob("3B-HHR*20190603*")):
        data = path.read_bytes()
        folder.mkdir(exist_ok=True)
        (folder / path.name).write_bytes(data[:900] if "S120000" in path.name else data)
    index = index_granules(IMERG_025, str(folder), list_bucket(str(folder)))
    (task,) = plan_ingest(IMERG_025, index, str(tmp_path), [KEY], quality=HALF_HOURS)
    receipt = ingest_slab(task)
    assert [bad.name for bad in receipt.damaged] == [half_name(DAY, 24)]


def test_the_grid_is_that_of_the_files():
    assert IMERG.y[-1] == pytest.approx(-89.95)
    assert IMERG.x[-1] == pytest.approx(179.95)
    assert (IMERG.rows * 2, IMERG.cols * 2) == (GLOBAL025.rows * 5, GLOBAL025.cols * 5)
