"""Radiometers and states of freezing ground: errors of their own, and files that readers accept."""

from datetime import date

import numpy as np
import pytest

from smcloud.core.errors import ConfigError
from smcloud.cube.store import open_cube
from smcloud.grids.grid import EASE2_NORTH_25KM, GLOBAL025, Window
from smcloud.grids.tiles import TileYear
from smcloud.simulate.footprints import Footprints
from smcloud.simulate.frozen_ground import (
    AMSR2_IMAGER,
    MWRI_IMAGER,
    ImagingRadiometer,
    Lattice,
    SmapLabel,
    SmosLabel,
    frozen_share,
    ground_at,
)
from smcloud.simulate.frozen_pieces import FrozenGroundPiece, GldasPiece, northern_cells
from smcloud.simulate.granules_l1c import AMSR2_L1C, MWRI_L1, Scans, pass_time
from smcloud.simulate.request import SimulateRequest, pixels_of
from smcloud.simulate.truth_frozen import (
    FROZEN_TRUTH,
    LOCAL_HOURS,
    FrozenTruthPiece,
    frozen_truth_url,
)
from smcloud.simulate.world import Earth
from smcloud.sources.registry import SOURCES

SEED = 0
SOURCES_OF_GROUND = ("amsr2_tb", "mwri_tb", "smos_ft", "smap_ft")
TILE, WINDOW = "h25v05", "60x60+60+600"
DAYS = np.arange("2016-01-01", "2016-07-20", dtype="datetime64[D]")


def areas():
    request = SimulateRequest(
        "memory://x", (TILE,), (2016,), window=WINDOW, stations=0, sources=("gldas",)
    )
    return (pixels_of(request, TILE, ()),)


@pytest.fixture(scope="module")
def cells():
    lon, lat = np.meshgrid(np.linspace(88, 91, 20), np.linspace(35.5, 38.5, 20))
    return Footprints.holding(EASE2_NORTH_25KM, lon.ravel(), lat.ravel(), 2)


@pytest.fixture(scope="module")
def told(cells):
    """Return a year of brightness, labels and truth, (days, cells) each."""
    earth = Earth(SEED)
    imager = ImagingRadiometer(earth, AMSR2_IMAGER, cells)
    smos = SmosLabel(earth, cells, is_ascending=True)
    smap = SmapLabel(earth, cells, is_ascending=False)
    found = {"smos": [], "smap": [], "truth": [], "h10": [], "v36": []}
    for state in earth.run(cells.place_lon, cells.place_lat, DAYS):
        found["smos"].append(smos.observe(state))
        found["smap"].append(smap.observe(state))
        found["truth"].append(frozen_share(cells, state, 6.0))
        if state.day.astype(object).day == 15:
            measured = imager.observe(state, is_ascending=False)
            for name, band, number in (("h10", "10", 1), ("v36", "36", 0)):
                found[name].append(measured.brightness_k[band][:, number])
    few = {"h10", "v36"}
    return {name: one if name in few else np.stack(one) for name, one in found.items()}


def test_cells_are_those_of_the_grid_and_places_lie_in_them(cells):
    row, col = EASE2_NORTH_25KM.pixel_of(cells.lon, cells.lat)
    np.testing.assert_array_equal((row, col), (cells.rows, cells.cols))
    row, col = EASE2_NORTH_25KM.pixel_of(cells.place_lon, cells.place_lat)
    np.testing.assert_array_equal(row, np.repeat(cells.rows, 4))
    np.testing.assert_array_equal(col, np.repeat(cells.cols, 4))


def test_ground_is_warmest_in_the_afternoon_and_snow_hides_the_day(cells):
    (state,) = Earth(SEED).run(cells.place_lon, cells.place_lat, DAYS[90:91])
    dawn, noon = ground_at(state, 6.0), ground_at(state, 15.0)
    assert (noon.ground_c > dawn.ground_c).all()
    wave = noon.ground_c - dawn.ground_c
    white = state.snow_water_mm > 20
    if white.any() and (~white).any():
        assert wave[white].max() < np.median(wave[state.snow_water_mm == 0])


def test_wide_footprints_mix_what_lies_side_by_side(cells):
    lattice = Lattice(cells)
    values = np.random.default_rng(1).normal(size=cells.place_lon.size).astype(np.float32)
    spread = [lattice.smoothed(values, km).std() for km in (4.0, 9.5, 18.0, 33.0)]
    assert spread == sorted(spread, reverse=True)
    assert spread[-1] < 0.6 * spread[0]
    even = np.full(values.shape, 250.0, np.float32)
    np.testing.assert_allclose(lattice.smoothed(even, 33.0), 250.0, rtol=1e-5)


def test_brightness_is_of_the_earth_and_follows_the_seasons(told):
    for name in ("h10", "v36"):
        assert sum(len(month) for month in told[name]) > 300
        values = np.concatenate(told[name])
        assert np.median(values) > 200
        assert ((values > 130) & (values < 320)).mean() > 0.995
    january, july = np.median(told["v36"][0]), np.median(told["v36"][6])
    assert july > january + 12


def test_the_label_agrees_with_the_truth_often_but_not_always(told):
    for name, frozen, unknown in (("smos", 2, 255), ("smap", 1, 254)):
        label, truth = told[name], told["truth"]
        plain = (label != unknown) & ((truth < 0.1) | (truth > 0.9)) & (label != 1 + (frozen == 1))
        right = (label[plain] == frozen) == (truth[plain] > 0.5)
        assert 0.80 < right.mean() < 0.998, name
    assert {0, 1, 2, 255} == set(np.unique(told["smos"]).tolist())
    assert {0, 1, 254} == set(np.unique(told["smap"]).tolist())


def test_both_states_are_common_enough_to_learn(told):
    share = (told["truth"] > 0.5).mean()
    assert 0.15 < share < 0.7
    partly = (told["smos"] == 1).mean()
    assert 0.01 < partly < 0.25


def test_smos_tells_changes_late(told):
    """Where ground thaws for good, the label says so days later more often than at once."""
    frozen, label = told["truth"] > 0.5, told["smos"]
    days = [
        day
        for day in range(6, len(frozen) - 8)
        if (frozen[day - 6 : day].all(axis=0) & ~frozen[day : day + 8].any(axis=0)).any()
    ]
    early, late = [], []
    for day in days:
        turned = frozen[day - 6 : day].all(axis=0) & ~frozen[day : day + 8].any(axis=0)
        for kept, span in ((early, slice(day, day + 2)), (late, slice(day + 5, day + 8))):
            seen = label[span][:, turned]
            kept.append(seen[seen != 255] == 0)
    assert np.concatenate(late).mean() > np.concatenate(early).mean() + 0.1


def test_a_lasting_error_of_the_label_is_not_in_the_brightness(cells, told):
    """Cells differ in how often the label is wrong; a map of that is the label's own."""
    label, truth = told["smos"], told["truth"]
    known = (label == 0) | (label == 2)
    wrong = known & ((label == 2) != (truth > 0.5))
    share = wrong.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    assert share.max() > 2 * np.median(share) > 0


def test_mwri_is_calibrated_apart_from_amsr2(cells):
    earth = Earth(SEED)
    (state,) = earth.run(cells.place_lon, cells.place_lat, DAYS[180:181])
    medians = []
    for imager in (AMSR2_IMAGER, MWRI_IMAGER):
        measured = ImagingRadiometer(earth, imager, cells).observe(state, is_ascending=True)
        medians.append(np.median(measured.brightness_k["18"][:, 0]))
    assert abs(medians[0] - medians[1]) < 12
    assert medians[0] != medians[1]


@pytest.mark.parametrize("is_ascending", [True, False])
def test_scans_run_the_way_of_the_satellite(is_ascending):
    lat = np.random.default_rng(2).uniform(30, 38, 101)
    middle = pass_time(date(2016, 3, 1), 13.5, 90.0)
    assert (middle.day, middle.hour, middle.minute) == (1, 7, 30)
    scans = Scans.of(lat, middle, is_ascending=is_ascending)
    assert scans.order.shape == (3, 48)
    assert (scans.order >= 0).sum() == 101
    assert (np.diff(scans.lat) > 0).all() == is_ascending
    assert (np.diff(scans.times) > np.timedelta64(0, "ms")).all()
    laid = scans.lay(lat, -9999.9)
    np.testing.assert_array_equal(np.sort(laid[scans.order >= 0]), np.sort(lat))
    assert (laid[scans.order < 0] == -9999.9).all()


def test_names_of_passes_are_known_by_the_readers():
    for day in (date(2016, 3, 1), date(2016, 12, 31)):
        for hour, up in ((13.5, True), (1.5, False)):
            for lon in (-170.0, 20.0, 90.0):
                middle = pass_time(day, hour, lon)
                granule = SOURCES["amsr2_tb"].identify(AMSR2_L1C.file_name(middle, up))
                assert granule.start <= day <= granule.end
                granule = SOURCES["mwri_tb"].identify(MWRI_L1.file_name(middle, up))
                assert granule.start <= day <= granule.end


def written(tmp_path, piece, chosen):
    """Run a piece for some of its keys and return their paths."""
    keys = [key for key in piece.keys() if chosen(key)]
    done = []
    piece.only(frozenset(keys)).run(lambda files, size: done.append(files))
    assert sum(done) == len(keys)
    return [tmp_path / key for key in keys]


def steps_of(name, paths, cells):
    source = SOURCES[name]
    key = TileYear(source.schema.grid, "globe", 2016)
    row, col = source.schema.on.pixel_of(cells.lon, cells.lat)
    window = Window(int(row.min()), int(row.max()) + 1, int(col.min()), int(col.max()) + 1)
    datasets = [source.read(path) for path in paths]
    try:
        return source.steps(datasets, key, within=window)
    finally:
        for dataset in datasets:
            dataset.close()


@pytest.mark.parametrize("name", SOURCES_OF_GROUND)
def test_readers_accept_what_is_written(name, tmp_path):
    piece = FrozenGroundPiece(str(tmp_path), SEED, 2016, areas(), (name,))
    folder_keys = [key for key in piece.keys() if "201601" in key]
    few = set(folder_keys[:12])
    paths = written(tmp_path, piece, few.__contains__)
    found = steps_of(name, paths, northern_cells(areas()))
    known = {v: int(np.isfinite(values.values).sum()) for v, values in found.data_vars.items()}
    assert all(count > 10 for count in known.values()), known
    if name.endswith("_tb"):
        asc, desc = (found[f"hour_{one}"].values for one in ("asc", "desc"))
        assert 6.5 < np.nanmedian(asc) < 9
        assert 18.5 < np.nanmedian(desc) < 21


def test_gldas_is_read_as_whole_days(tmp_path):
    piece = GldasPiece(str(tmp_path), SEED, 2016, areas())
    paths = written(
        tmp_path, piece, lambda key: ".A201601" in key and key.split(".")[1] < "A20160103"
    )
    assert len(paths) == 16
    cells = northern_cells(areas())
    found = steps_of("gldas", paths, cells)
    assert found.sizes["time"] == 2
    row, col = GLOBAL025.pixel_of(cells.lon, cells.lat)
    at = (slice(None), row - row.min(), col - col.min())
    for name, (low, high) in {
        "air_temperature": (230, 300),
        "soil_temperature": (240, 300),
        "soil_moisture": (0.01, 0.6),
        "snow_water": (0, 600),
    }.items():
        values = found[name].values[at]
        assert np.isfinite(values).all()
        assert low <= values.min() <= values.max() <= high


def test_a_label_written_alone_is_the_one_that_is_written_with_all(tmp_path):
    piece = FrozenGroundPiece(str(tmp_path), SEED, 2016, areas(), ("smos_ft",))
    early = [key for key in piece.keys() if "201601" in key]
    together = written(tmp_path, piece, set(early).__contains__)
    bytes_together = [path.read_bytes() for path in together]
    last = max(early)
    (alone,) = written(tmp_path, piece, {last}.__contains__)
    assert alone.read_bytes() == bytes_together[early.index(last)]


def test_the_truth_cube_holds_the_shares_of_the_earth(tmp_path):
    piece = FrozenTruthPiece(str(tmp_path), SEED, 2016, areas())
    assert len(written(tmp_path, piece, lambda key: True)) == 4 * len(shards_of(areas()))
    cube = open_cube(frozen_truth_url(str(tmp_path), 2016), FROZEN_TRUTH, 2016)
    cells = northern_cells(areas())
    (state,) = Earth(SEED).run(cells.place_lon, cells.place_lat, DAYS[20:21])
    row0, col0 = int(cells.rows.min()), int(cells.cols.min())
    window = Window(row0, int(cells.rows.max()) + 1, col0, int(cells.cols.max()) + 1)
    for word, hour in LOCAL_HOURS.items():
        found = cube.read_physical(f"frozen_share_{word}", slice(20, 21), window)[0]
        expected = frozen_share(cells, state, hour)
        held = found[cells.rows - row0, cells.cols - col0]
        np.testing.assert_allclose(held, expected, atol=0.0051)
        assert int(np.isfinite(found).sum()) == len(cells.rows)


def shards_of(areas):
    cells = northern_cells(areas)
    return set(zip((cells.rows // 120).tolist(), (cells.cols // 120).tolist(), strict=True))


def test_years_without_a_day_are_refused():
    for source, year, words in (
        ("mwri_tb", 2021, "from 2010 to 2019"),
        ("smos_ft", 2009, "from 2010"),
        ("amsre_tb", 2015, "from 2002 to 2011"),
        ("smap_ft", 2014, "from 2015"),
    ):
        with pytest.raises(ConfigError, match=f"{source} has no day in {year}: .*{words}"):
            SimulateRequest("x", (TILE,), (year,), sources=(source,))
