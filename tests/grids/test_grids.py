"""Grids, tiles, land and regridding against facts of the MODIS grid and independent libraries."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from smcloud.core.errors import ConfigError
from smcloud.grids.grid import ERA5LAND, GRIDS, SIN1KM, Window
from smcloud.grids.land import land_mask, land_tiles
from smcloud.grids.regrid import bilinear, block_mean
from smcloud.grids.tiles import (
    TileYear,
    blocks_of,
    parse_window,
    tile_at,
    tile_window,
    tiles_of,
    window_text,
)


@given(h=st.integers(0, 35), v=st.integers(0, 17), year=st.integers(1970, 2199) | st.none())
def test_key_grammar_round_trips(h, v, year):
    key = TileYear("sin1km", f"h{h:02d}v{v:02d}", year)
    assert TileYear.parse(str(key)) == key


@pytest.mark.parametrize(
    "text",
    ["sin1km/h36v00/2019", "sin1km/h00v18/2019", "sin2km/h00v00/2019", "sin1km/h00v00", "x",
     "sin1km/h00v00/19", "era5land/h00v00/2019", "sin1km/h00v00/1900"],
)  # fmt: skip
def test_unknown_tiles_grids_and_years_are_refused(text):
    with pytest.raises(ConfigError):
        TileYear.parse(text)


def test_keys_sort_with_static_layers_first():
    keys = [TileYear("sin1km", "h18v04", year) for year in (2020, None, 2019)]
    assert [key.year for key in sorted(keys)] == [None, 2019, 2020]


def test_tile_corner_is_that_of_the_real_product():
    """MOD11A1 h14v09: upper left (-4447802.079066, 0.0) in its StructMetadata, to the mm."""
    box = SIN1KM.geobox(tile_window(SIN1KM, "h14v09"))
    assert box.affine.c == pytest.approx(-4447802.079066, abs=1e-3)
    assert box.affine.f == pytest.approx(0.0, abs=1e-3)
    assert box.boundingbox.right == pytest.approx(-3335851.559300, abs=1e-3)
    assert box.boundingbox.bottom == pytest.approx(-1111950.519767, abs=1e-3)


def test_lonlat_agrees_with_proj():
    window = Window(4800, 4810, 22000, 22010)
    lon, lat = SIN1KM.lonlat(window)
    proj = Transformer.from_crs(SIN1KM.crs, SIN1KM.crs.geodetic_crs, always_xy=True)
    x, y = np.meshgrid(SIN1KM.x[window.slices[1]], SIN1KM.y[window.slices[0]])
    expected_lon, expected_lat = proj.transform(x, y)
    np.testing.assert_allclose(lon, expected_lon, atol=1e-9)
    np.testing.assert_allclose(lat, expected_lat, atol=1e-9)


@given(row=st.integers(0, SIN1KM.rows - 1), col=st.integers(0, SIN1KM.cols - 1))
def test_the_centre_of_a_pixel_lies_in_that_pixel(row, col):
    lon, lat = SIN1KM.lonlat(Window(row, row + 1, col, col + 1))
    if np.isfinite(lon[0, 0]):
        assert SIN1KM.pixel_of(lon[0, 0], lat[0, 0]) == (row, col)
        assert tiles_of(lon[0], lat[0]) == [tile_at(row, col)]


def test_off_globe_corner_is_unknown_and_not_land():
    corner = Window(0, 2, 0, 2)
    assert np.isnan(SIN1KM.lonlat(corner)[0]).all()
    assert not land_mask(corner).any()


def test_points_without_coordinates_are_refused():
    with pytest.raises(ConfigError):
        SIN1KM.pixel_of(np.array([np.nan]), np.array([1.0]))


def test_tiles_and_blocks_partition_the_grid():
    tile = tile_window(SIN1KM, "h18v04")
    seen = np.zeros(tile.shape, int)
    for block in blocks_of(tile, 150):
        seen[block.within(tile)] += 1
    assert (seen == 1).all()
    with pytest.raises(ConfigError, match="does not divide"):
        blocks_of(tile, 70)


def test_windows_are_placed_in_their_tile():
    tile = tile_window(SIN1KM, "h18v04")
    centred = parse_window("240x240", "h18v04")
    assert centred.row0 - tile.row0 == 480
    placed = parse_window("100x200+10+20", "h18v04")
    assert placed == Window(tile.row0 + 10, tile.row0 + 110, tile.col0 + 20, tile.col0 + 220)
    assert window_text(placed, "h18v04") == "100x200+10+20"
    for bad in ("240", "1300x10", "10x10+1195+0", "0x5"):
        with pytest.raises(ConfigError):
            parse_window(bad, "h18v04")


def test_land_tiles_are_those_of_the_mask():
    table = land_tiles()
    assert table["h18v04"] == land_mask(tile_window(SIN1KM, "h18v04")).sum()
    assert "h00v00" not in table
    assert 171e6 < sum(table.values()) < 173e6


def test_land_mask_has_the_coast_where_it_is():
    """Known places: Rome, Lake Geneva counts as land, the Ligurian Sea, mid-Pacific."""
    lon, lat = np.array([12.5, 6.5, 9.0, -150.0]), np.array([41.9, 46.45, 43.8, 10.0])
    rows, cols = SIN1KM.pixel_of(lon, lat)
    found = [
        bool(land_mask(Window(r, r + 1, c, c + 1))[0, 0])
        for r, c in zip(rows.tolist(), cols.tolist(), strict=True)
    ]
    assert found == [True, True, False, False]


def field(lon, lat):
    return (2.0 + 0.3 * lat + 0.1 * lon).astype(np.float32)


def cells(weights):
    lon = ERA5LAND.x_first + ERA5LAND.step * np.arange(weights.window.col0, weights.window.col1)
    lat = ERA5LAND.y[weights.window.row0 : weights.window.row1]
    return np.meshgrid(lon, lat)


def test_bilinear_is_exact_on_a_plane():
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(8, 11, 500), rng.uniform(42, 45, 500)
    weights = bilinear(ERA5LAND, lon, lat)
    got = weights.apply(field(*cells(weights))[None])[0]
    np.testing.assert_allclose(got, field(lon, lat), atol=2e-5)


def test_bilinear_crosses_the_seam_of_longitude():
    weights = bilinear(ERA5LAND, np.array([-0.05, 0.05]), np.array([10.0, 10.0]))
    assert set(weights.columns.tolist()) == {3599, 0, 1}
    values = np.where(weights.columns == 3599, 1.0, 3.0).astype(np.float32)
    got = weights.apply(np.broadcast_to(values, weights.window.shape))
    np.testing.assert_allclose(got, [2.0, 3.0], atol=1e-4)


def test_bilinear_leaves_unknown_corners_out():
    weights = bilinear(ERA5LAND, np.array([10.05]), np.array([45.05]))
    values = np.full(weights.window.shape, 0.2, np.float32)
    values[0, 0] = np.nan
    assert weights.apply(values)[0] == pytest.approx(0.2)
    assert np.isnan(weights.apply(np.full_like(values, np.nan)))[0]


def test_bilinear_of_a_point_does_not_depend_on_the_others():
    rng = np.random.default_rng(1)
    lon, lat = rng.uniform(8, 11, 300), rng.uniform(42, 45, 300)
    everything = bilinear(ERA5LAND, lon, lat)
    values = rng.random(everything.window.shape).astype(np.float32)
    part = bilinear(ERA5LAND, lon[40:90], lat[40:90])
    rows, cols = part.window.within(everything.window)
    np.testing.assert_array_equal(part.apply(values[rows, cols]), everything.apply(values)[40:90])


def plain_bilinear(weights, values):
    """Return the points (n,) of one field by the rule as it is written, in float32."""
    corners = weights.corner[:, None] + np.array([0, 1, values.shape[1], values.shape[1] + 1])
    found = []
    for cells, shares in zip(values.reshape(-1)[corners], weights.shares, strict=True):
        total, known_share = np.float32(0), np.float32(0)
        for cell, share in zip(cells, shares, strict=True):
            if np.isfinite(cell):
                total += cell * share
                known_share += share
        if not np.isfinite(cells).all():
            total = total / known_share if known_share > 0 else np.float32(np.nan)
        found.append(total)
    return np.array(found, np.float32)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), points=st.integers(1, 40), days=st.integers(1, 20))
def test_bilinear_is_the_plain_sum_bit_by_bit(seed, points, days):
    rng = np.random.default_rng(seed)
    lon = (rng.uniform(-180, 180) + rng.random(points)) % 360 - 180
    lat = rng.uniform(-90, 89) + rng.random(points)
    weights = bilinear(ERA5LAND, lon, lat)
    values = rng.normal(size=(days, *weights.window.shape)).astype(np.float32)
    values[:, rng.random(values.shape[1:]) < rng.choice([0, 0.2])] = np.nan
    values[rng.random(values.shape) < rng.choice([0, 0.1])] = rng.choice([np.nan, np.inf, -0.0])
    expected = np.stack([plain_bilinear(weights, field) for field in values])
    assert weights.apply(values).tobytes() == expected.tobytes()


@pytest.mark.parametrize("grid", [g.name for g in GRIDS.values() if g.is_fine])
def test_bilinear_needs_latitude_and_longitude(grid):
    with pytest.raises(ConfigError):
        bilinear(GRIDS[grid], np.zeros(1), np.zeros(1))


def test_t03_block_mean_conserves_the_area_mean_and_is_not_the_nearest_pixel():
    rng = np.random.default_rng(2)
    fine = rng.random((3, 12, 18)).astype(np.float32)
    coarse = block_mean(fine, 2)
    np.testing.assert_allclose(coarse.mean((1, 2)), fine.mean((1, 2)), rtol=1e-6)
    assert not np.allclose(coarse, fine[:, ::2, ::2])


def test_block_mean_needs_enough_known_pixels():
    fine = np.full((2, 2), np.nan, np.float32)
    fine[0, 0] = 4.0
    assert block_mean(fine, 2, min_fraction=0.25)[0, 0] == 4.0
    assert np.isnan(block_mean(fine, 2, min_fraction=0.5)[0, 0])
