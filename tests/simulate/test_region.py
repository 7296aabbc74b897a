"""A region of 0.25 degree cells: its cells, files that readers accept, truth, resume, refusals."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from smcloud.core.errors import ConfigError
from smcloud.core.listener import Silent
from smcloud.cube.store import open_cube
from smcloud.grids.grid import GLOBAL025, Window
from smcloud.grids.tiles import TileYear
from smcloud.simulate.region import Region, land_cells, region_stations
from smcloud.simulate.region_pieces import strips_of
from smcloud.simulate.request import SimulateRequest, product_sources
from smcloud.simulate.run import simulate
from smcloud.simulate.truth_cells import CELL_TRUTH, cell_truth_url
from smcloud.simulate.world import Earth
from smcloud.sources.amsr import RetrievalState
from smcloud.sources.registry import SOURCES
from tests.trees import tree_of

YEAR, REGION = 2012, "101,34,102,35"
WINDOW = Window(220, 224, 1124, 1128)
"""The 4 x 4 cells of REGION, all of them land."""
FOLDERS = {
    "windsat_lprm": "LPRM-WindSat",
    "amsr2_lprm": "LPRM-AMSR2",
    "imerg_025": "IMERG",
}


def request(out, **changes):
    given = {
        "tiles": (),
        "years": (YEAR,),
        "seed": 7,
        "stations": 2,
        "sources": product_sources("seamless", (YEAR,)),
        "region": REGION,
    }
    return SimulateRequest(str(out), **(given | changes))


@pytest.fixture(scope="module")
def earth(tmp_path_factory):
    out = tmp_path_factory.mktemp("region")
    plain = request(out)
    return out, simulate(plain, Silent())


def test_only_radiometers_that_measured_are_sources():
    assert product_sources("seamless", (2012,))[:2] == ("windsat_lprm", "amsr2_lprm")
    assert "amsre_lprm" in product_sources("seamless", (2011, 2012))
    assert len(product_sources("seamless", (1999,))) == 6


def test_every_source_has_its_days(earth):
    out, summary = earth
    found = Counter("/".join(name.split("/")[:2]) for name in tree_of(out))
    assert found["granules/LPRM-WindSat"] == 213
    assert found["granules/LPRM-AMSR2"] == 183
    assert found["granules/IMERG"] == 366
    assert "granules/LPRM-AMSRE" not in found
    assert found["granules/ISMN"] >= 2
    assert found["truth/stations.parquet"] == 1
    assert (summary.tiles, summary.pixels, summary.stations, summary.kept) == (0, 16, 2, 0)
    # A download of stations counts as one file.
    assert summary.written == 213 + 183 + 366 + 3 + 3


def stepped(out, name, limit=40, first=60):
    source = SOURCES[name]
    paths = sorted((out / "granules" / FOLDERS[name] / str(YEAR)).iterdir())[first : first + limit]
    datasets = [source.read(path) for path in paths]
    around = Window(WINDOW.row0 - 2, WINDOW.row1 + 2, WINDOW.col0 - 2, WINDOW.col1 + 2)
    found = source.steps(datasets, TileYear("global025", "globe", YEAR), within=around).load()
    for dataset in datasets:
        dataset.close()
    return found


@pytest.mark.parametrize("name", ["windsat_lprm", "amsr2_lprm"])
def test_readers_accept_the_radiometers_and_gaps_are_those_of_swaths(earth, name):
    found = stepped(earth[0], name)
    state = found["retrieval_state"].values
    inside = np.zeros(state.shape, bool)
    inside[:, 2:-2, 2:-2] = True
    assert np.isnan(state[~inside]).all()
    seen = np.isfinite(state) & inside
    assert 0.3 < seen.sum() / inside.sum() < 0.9
    known = np.isfinite(found["soil_moisture"].values)
    np.testing.assert_array_equal(known, state == RetrievalState.RETRIEVED)
    assert known.any()


def test_the_truth_is_the_mean_of_the_places_of_each_cell(earth):
    out, _ = earth
    cells = land_cells(Region.parse(REGION))
    cube = open_cube(cell_truth_url(str(out), YEAR), CELL_TRUTH, YEAR)
    wide = Window(WINDOW.row0 - 1, WINDOW.row1, WINDOW.col0, WINDOW.col1)
    found = {v.name: cube.read_physical(v.name, slice(0, 366), wide) for v in CELL_TRUTH.variables}
    for name, values in found.items():
        assert np.isnan(values[:, 0]).all(), name
        assert np.isfinite(values[:, 1:]).all(), name
    days = np.array([5, 200])
    states = Earth(7).run(cells.place_lon, cells.place_lat, cube.times[days])
    for day, state in zip(days, states, strict=True):
        here = {name: values[day, 1:].ravel() for name, values in found.items()}
        moisture, rain = cells.mean(state.soil_moisture), cells.mean(state.rain_mm)
        np.testing.assert_allclose(here["soil_moisture"], moisture, atol=0.51e-4)
        np.testing.assert_allclose(here["precipitation"], rain, atol=0.0101)
        frozen = cells.mean(state.is_frozen.astype(np.float32))
        np.testing.assert_allclose(here["frozen_share"], frozen, atol=0.0051)


def test_satellite_rain_follows_the_true_rain_and_is_not_it(earth):
    out, _ = earth
    found = stepped(out, "imerg_025", limit=30, first=180)
    rain = found["precipitation"].values[:, 2:-2, 2:-2]
    assert np.isfinite(rain).all()
    cube = open_cube(cell_truth_url(str(out), YEAR), CELL_TRUTH, YEAR)
    true = cube.read_physical("precipitation", slice(180, 210), WINDOW)
    assert 0.3 < np.corrcoef(rain.ravel(), true.ravel())[0, 1] < 0.9
    assert 0.5 < rain.mean() / true.mean() < 1.6


def test_a_second_call_writes_nothing_and_lost_files_come_back(earth):
    out, first = earth
    before = tree_of(out)
    again = simulate(request(out), Silent())
    assert (again.written, again.kept) == (0, first.written)
    lost = [
        next(name for name in before if "AMSR2_L3_D_SOILM3_V001_20120801" in name),
        next(name for name in before if "3IMERG.20120203" in name),
        next(name for name in before if "/precipitation/c/" in name),
    ]
    for name in lost:
        (out / name).unlink()
    assert simulate(request(out), Silent()).written == 3
    assert tree_of(out) == before


def test_processes_and_neighbours_change_no_value(earth, tmp_path):
    """The same cells, as part of a larger region and on two processes."""
    out, _ = earth
    wanted = request(tmp_path, region="100.5,34,102,35.5", sources=("amsr2_lprm",), workers=2)
    simulate(wanted, Silent())
    alone, beside = stepped(out, "amsr2_lprm", 20), stepped(tmp_path, "amsr2_lprm", 20)
    for name in ("soil_moisture", "retrieval_state"):
        inner = beside[name].values[:, 2:-2, 2:-2]
        np.testing.assert_array_equal(alone[name].values[:, 2:-2, 2:-2], inner)
    assert np.isfinite(beside["retrieval_state"].values[:, 2:-2, :2]).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"region": "101,34,103,35"}, "region there is 101,34,102,35, asked is 101,34,103,35"),
        ({"seed": 8}, "seed there is 7, asked is 8"),
        (
            {"region": "", "tiles": ("h26v05",), "sources": ("ismn",)},
            "region there is 101,34,102,35, asked is none",
        ),
    ],
)
def test_another_earth_is_not_mixed_in(earth, changes, message):
    with pytest.raises(ConfigError, match=message):
        simulate(request(earth[0], **changes), Silent())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"region": "101,34,102"}, "unreadable region '101,34,102': expected four numbers"),
        ({"region": "a,b,c,d"}, "unreadable region"),
        ({"region": "nan,34,102,35"}, "leaves the globe"),
        ({"region": "101,34,190,35"}, "leaves the globe"),
        ({"region": "101,-95,102,35"}, "leaves the globe"),
        ({"region": "101,35,102,34"}, "is empty: expected a south below its north"),
        ({"region": "101,34,101,35"}, "is empty"),
        ({"tiles": ("h26v05",)}, "no pixels of 1 km: leave out --tiles"),
        ({"sources": ("mod11a1",)}, "mod11a1 is not written over a region"),
        ({"sources": ("smap",)}, "unknown source 'smap'"),
        ({"region": ""}, "written over a region of 0.25 degree cells: give --region"),
        ({"years": (1996,), "sources": ("imerg_025",)}, "IMERG begins in 1998, asked is 1996"),
        ({"years": (2001,)}, "has no day in 2001"),
        ({"years": ()}, "at least one year"),
    ],
)
def test_a_region_that_cannot_be_met_is_one_clear_line(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        request(tmp_path, **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("region", ["-150,-30,-149,-29", "10.01,45.01,10.1,45.1"])
def test_empty_sea_and_less_than_a_cell_are_refused_before_anything_is_written(tmp_path, region):
    with pytest.raises(ConfigError, match=r"no cell of 0\.25 degree with land"):
        simulate(request(tmp_path, region=region), Silent())
    assert tree_of(tmp_path) == {}


def test_a_region_across_the_date_line_has_cells_and_stations_on_both_sides():
    region = Region.parse("175,64,-170,69")
    cells = land_cells(region)
    assert (cells.lon > 175).any()
    assert (cells.lon < -170).any()
    assert ((cells.lon > 175) | (cells.lon < -170)).all()
    stations = region_stations(7, 30, region, cells)
    east = [station.longitude for station in stations]
    assert min(east) < 0 < max(east)
    rows, cols = GLOBAL025.pixel_of(np.array(east), np.array([s.latitude for s in stations]))
    flat = cells.rows * GLOBAL025.cols + cells.cols
    assert np.isin(rows * GLOBAL025.cols + cols, flat).all()


def test_too_little_land_for_the_stations_is_told():
    region = Region.parse("101,34,101.3,34.3")
    cells = land_cells(region)
    assert len(cells.rows) == 1
    empty = replace(cells, rows=cells.rows[:0], cols=cells.cols[:0])
    with pytest.raises(ConfigError, match="too little land for 5 stations"):
        region_stations(7, 5, region, empty)


def test_strips_hold_every_cell_once_and_end_with_rows():
    cells = land_cells(Region.parse("100,30,110,35"))
    strips = strips_of(cells, 130)
    assert [part.stop for part in strips[:-1]] == [part.start for part in strips[1:]]
    assert (strips[0].start, strips[-1].stop) == (0, len(cells.rows))
    assert all(130 <= part.stop - part.start < 130 + 40 for part in strips[:-1])
    ends = [part.start for part in strips[1:]]
    assert (cells.rows[ends] != cells.rows[np.array(ends) - 1]).all()


def test_water_alone_is_bit_for_bit_what_the_full_state_has():
    earth, rng = Earth(7), np.random.default_rng(6)
    lon, lat = rng.uniform(0, 140, 40), rng.uniform(-30, 60, 40)
    days = np.array(["2012-01-01", "2012-01-02", "2012-01-05"], "datetime64[D]")
    for full, water in zip(earth.run(lon, lat, days), earth.run_water(lon, lat, days), strict=True):
        assert not hasattr(water, "reflectance")
        for name, values in vars(water).items():
            np.testing.assert_array_equal(values, getattr(full, name), err_msg=name)
