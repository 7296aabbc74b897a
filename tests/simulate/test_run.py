"""A simulated Earth is written whole, continued where it was cut, and never mixed with another."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from pyhdf.SD import SD

from smcloud.core.errors import ConfigError
from smcloud.core.listener import Silent
from smcloud.cube.store import open_cube
from smcloud.grids.grid import SIN1KM
from smcloud.grids.tiles import parse_window, tile_window
from smcloud.simulate.pool import run_pieces
from smcloud.simulate.request import (
    SimulateRequest,
    land_pixels,
    lonlat_of,
    pixels_of,
    station_pixels,
    stations_of,
)
from smcloud.simulate.run import simulate
from smcloud.simulate.tile_files import PARTS, TilePart, tile_keys
from smcloud.simulate.truth import TRUTH_LST_SCHEMA, TRUTH_SCHEMA, TRUTHS, truth_url
from smcloud.simulate.world import Earth
from tests.trees import tree_of

TILE, YEAR, WINDOW = "h18v04", 2019, "6x6+700+850"
SOURCES = ("glass_lai", "era5land", "terrain", "soilgrids", "ismn", "truth")


def request(out, **changes):
    plain = SimulateRequest(
        str(out), (TILE,), (YEAR,), seed=7, window=WINDOW, stations=11, sources=SOURCES
    )
    return replace(plain, **changes)


@pytest.fixture(scope="module")
def earth(tmp_path_factory):
    out = tmp_path_factory.mktemp("earth")
    return out, simulate(request(out), Silent())


def test_every_asked_product_lies_in_its_folder(earth):
    out, summary = earth
    found = Counter("/".join(name.split("/")[:2]) for name in tree_of(out))
    assert found["granules/GLASS-LAI"] == 46
    assert found["granules/ERA5-Land"] == 13
    assert found["granules/SoilGrids"] == 5
    assert found["granules/DEM"] >= 1
    assert found["granules/ISMN"] > 3
    assert found["truth/2019.zarr"] > 3
    assert "granules/MOD11A1" not in found
    assert summary.pixels == 36
    assert summary.stations == 11
    assert summary.kept == 0


def test_the_truth_cube_holds_the_state_of_the_earth(earth):
    out, _ = earth
    window = parse_window(WINDOW, TILE)
    cube = open_cube(truth_url(str(out), YEAR), TRUTH_SCHEMA, YEAR)
    found = cube.read_physical("soil_moisture", slice(0, 365), window)
    lon, lat = (axis.ravel() for axis in SIN1KM.lonlat(window))
    days = np.array([3, 250])
    for day, state in zip(days, Earth(7).run(lon, lat, cube.times[days]), strict=True):
        np.testing.assert_allclose(found[day].ravel(), state.soil_moisture, atol=0.51e-4)
    assert np.isfinite(found).all()


def test_a_second_call_writes_nothing(earth):
    out, first = earth
    before = tree_of(out)
    again = simulate(request(out), Silent())
    assert (again.written, again.kept) == (0, first.written)
    assert tree_of(out) == before


def test_lost_files_come_back_bit_for_bit(earth):
    out, _ = earth
    before = tree_of(out)
    lost = [
        next(name for name in before if "GLASS01E01.V50.A2019041" in name),
        next(name for name in before if name.endswith(".zip")),
        next(name for name in before if "/soil_moisture/c/" in name),
        next(name for name in before if "clay_0-5cm_mean" in name),
    ]
    for name in lost:
        (out / name).unlink()
    simulate(request(out), Silent())
    assert tree_of(out) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 8}, "seed there is 7, asked is 8"),
        ({"window": "8x8+700+850"}, "the part of h18v04 there is 6x6"),
        ({"stations": 12}, "stations there is 11, asked is 12"),
    ],
)
def test_another_earth_is_not_mixed_in(earth, changes, message):
    out, _ = earth
    with pytest.raises(ConfigError, match=message):
        simulate(request(out, **changes), Silent())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tiles": ("h40v04",)}, "unknown tile 'h40v04'"),
        ({"tiles": ()}, "at least one tile"),
        ({"years": ()}, "at least one year"),
        ({"years": (12,)}, "unknown year 12"),
        ({"window": "1300x1300"}, "does not lie inside a tile"),
        ({"window": "wide"}, "unreadable window 'wide'"),
        ({"sources": ("mod11a1", "smap")}, "unknown source 'smap'"),
        ({"at_stations": True}, "exclude each other"),
        ({"stations": -1}, "--stations must be at least 0"),
        ({"window": "", "at_stations": True, "stations": 0}, "--at stations needs stations"),
    ],
)
def test_a_request_that_cannot_be_met_is_one_clear_line(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        request(tmp_path, **changes)
    assert "\n" not in str(caught.value)


def test_a_window_of_ocean_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match=r"window 6x6\+1100\+600 of tile h18v04 has no land"):
        simulate(request(tmp_path, window="6x6+1100+600", stations=0), Silent())
    assert tree_of(tmp_path) == {}


def test_the_number_of_processes_changes_no_byte(earth, tmp_path):
    out, _ = earth
    wanted = request(tmp_path, sources=("glass_lai", "soilgrids"), workers=2)
    simulate(wanted, Silent())
    before = tree_of(out)
    found = tree_of(tmp_path)
    assert len(found) == 46 + 5 + 1
    assert all(before[name] == data for name, data in found.items())


def test_memory_stores_are_written_in_this_process():
    summary = simulate(
        request("memory://simulated", sources=("soilgrids",), stations=0, workers=2), Silent()
    )
    assert summary.written == 5


def test_one_missing_day_is_one_file_and_the_right_day(tmp_path):
    pixels = land_pixels(WINDOW, TILE)
    day = {start.isoformat(): key for key, start in tile_keys("mod11a1", TILE, YEAR).items()}
    key = day["2019-01-05"]
    part = TilePart(str(tmp_path), 7, pixels, YEAR, 0, frozenset([key]))
    assert list(run_pieces([part], 1, lambda _files, _size: None)) == [part]
    assert list(tree_of(tmp_path)) == [key]
    file = SD(str(tmp_path / key))
    night = file.select("LST_Night_1km")[:] * 0.02
    qc = file.select("QC_Night")[:]
    file.end()
    lon, lat = lonlat_of(pixels)
    (state,) = Earth(7).run(lon, lat, np.array(["2019-01-05"], "datetime64[D]"))
    seen = night[pixels.rows, pixels.cols]
    known = seen > 0
    assert ((qc[pixels.rows, pixels.cols] & 3 < 2) == known).all()
    assert (qc == 3).sum() >= qc.size - len(pixels.rows)
    if known.any():
        assert np.abs(seen - state.lst_night_k)[known].max() < 15.0


def test_parts_of_a_year_cut_no_composite_and_cover_it():
    part = [TilePart("out", 7, None, YEAR, number, frozenset()) for number in range(len(PARTS))]
    spans = [each.span for each in part]
    assert all(start % 16 == 0 for start in PARTS)
    assert spans[0][0] == np.datetime64("2019-01-01")
    assert spans[-1][1] == np.datetime64("2019-12-31")
    assert all(a[1] + 1 == b[0] for a, b in pairwise(spans))


def test_stations_stand_on_land_inside_the_window():
    window = parse_window("60x60+700+850", TILE)
    own = stations_of(request("out", window="60x60+700+850", stations=23))[TILE]
    rows, cols = SIN1KM.pixel_of(
        np.array([s.longitude for s in own]), np.array([s.latitude for s in own])
    )
    assert len(own) == 23
    assert ((rows >= window.row0) & (rows < window.row1)).all()
    assert ((cols >= window.col0) & (cols < window.col1)).all()


def test_stations_are_shared_out_over_tiles_under_names_of_their_own():
    found = stations_of(
        request("out", tiles=("h18v04", "h09v05", "h25v05"), window="", stations=20)
    )
    assert {tile: len(own) for tile, own in found.items()} == {
        "h18v04": 7,
        "h09v05": 7,
        "h25v05": 6,
    }
    names = [(s.network, s.name) for own in found.values() for s in own]
    assert len(set(names)) == 20


def test_at_stations_needs_no_tile_and_asks_for_few_pixels():
    wanted = request("out", tiles=(), window="", at_stations=True, stations=30)
    found = stations_of(wanted)
    assert sum(len(own) for own in found.values()) == 30
    for tile, own in found.items():
        pixels = station_pixels(tile, own)
        _, lat = lonlat_of(pixels)
        assert len(pixels.rows) <= 9 * len(own)
        for station in own:
            outer = tile_window(SIN1KM, tile)
            row, col = SIN1KM.pixel_of(station.longitude, station.latitude)
            at = (pixels.rows == row - outer.row0) & (pixels.cols == col - outer.col0)
            assert at.sum() == 1
            assert abs(lat[at][0] - station.latitude) < 0.005


def test_a_window_with_too_little_land_for_the_stations_is_refused():
    with pytest.raises(ConfigError, match=r"window .* has too little land for 10 stations"):
        stations_of(request("out", window="30x30+795+585", stations=10))


def test_nothing_is_left_in_temporary_folders(earth, tmp_path, monkeypatch):
    out, _ = earth
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    simulate(request(out), Silent())
    assert list(Path(tmp_path).iterdir()) == []


def with_maps(out, **changes):
    return request(
        out,
        **{"window": "", "at_stations": True, "maps": (f"{TILE}:6x6+700+850",), "stations": 2}
        | changes,
    )


def test_a_part_for_maps_is_simulated_beside_the_stations(tmp_path):
    wanted = with_maps(tmp_path, sources=("truth",))
    own = stations_of(wanted)[TILE]
    pixels = pixels_of(wanted, TILE, own)
    flat = pixels.rows * 1200 + pixels.cols
    for part in (station_pixels(TILE, own), land_pixels("6x6+700+850", TILE)):
        assert np.isin(part.rows * 1200 + part.cols, flat).all()
    assert (np.diff(flat) > 0).all()
    assert simulate(wanted, Silent()).pixels == flat.size > 36
    cube = open_cube(truth_url(str(tmp_path), YEAR), TRUTH_SCHEMA, YEAR)
    window = parse_window("6x6+700+850", TILE)
    assert np.isfinite(cube.read_physical("soil_moisture", slice(0, 365), window)).all()


def test_a_part_for_maps_may_lie_in_a_tile_without_stations(tmp_path):
    wanted = with_maps(tmp_path, tiles=(), maps=("h18v04:6x6+700+850",), sources=("soilgrids",))
    assert TILE not in stations_of(wanted)
    summary = simulate(wanted, Silent())
    assert summary.tiles == len(stations_of(wanted)) + 1
    assert any("h18v04" in name for name in tree_of(tmp_path))


def test_stations_and_maps_are_another_earth_than_stations_alone(tmp_path):
    simulate(with_maps(tmp_path, maps=(), sources=("soilgrids",)), Silent())
    with pytest.raises(ConfigError, match=r"h18v04 there is stations, asked is stations and 6x6"):
        simulate(with_maps(tmp_path, sources=("soilgrids",)), Silent())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"maps": ("6x6+700+850",)}, r"--maps 6x6\+700\+850: expected a tile and a part of it"),
        ({"maps": (f"{TILE}:wide",)}, "unreadable window 'wide'"),
        ({"maps": ("h19v04:6x6+700+850",)}, "h19v04 is none of the --tiles"),
        ({"at_stations": False}, "--maps goes with --at stations"),
    ],
)
def test_a_part_for_maps_that_cannot_be_is_one_clear_line(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        with_maps(tmp_path, **changes)


def test_true_skin_temperature_is_written_when_asked_for(tmp_path):
    simulate(request(tmp_path, sources=("truth_lst",)), Silent())
    window = parse_window(WINDOW, TILE)
    url = TRUTHS["truth_lst"].url(str(tmp_path), YEAR)
    cube = open_cube(url, TRUTH_LST_SCHEMA, YEAR)
    lon, lat = (axis.ravel() for axis in SIN1KM.lonlat(window))
    days = np.array([3, 250])
    for day, state in zip(days, Earth(7).run(lon, lat, cube.times[days]), strict=True):
        for name, truth in (("lst_day", state.lst_day_k), ("lst_night", state.lst_night_k)):
            found = cube.read_physical(name, slice(day, day + 1), window)
            np.testing.assert_allclose(found.ravel(), truth, atol=0.0101)
        for name, clouds in (("cloud_day", state.cloud_day), ("cloud_night", state.cloud_night)):
            found = cube.read(name, slice(day, day + 1), window)
            np.testing.assert_array_equal(found.ravel(), clouds)
    assert not (tmp_path / "truth").exists()
    before = tree_of(tmp_path)
    assert simulate(request(tmp_path, sources=("truth_lst",)), Silent()).written == 0
    assert tree_of(tmp_path) == before
