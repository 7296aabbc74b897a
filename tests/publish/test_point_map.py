"""Maps of stations and coarse cells show each value where it belongs."""

import io

import numpy as np
import pytest
from matplotlib.image import imread

from smcloud.grids.grid import Window, grid_named
from smcloud.publish.map import FROST_COLOURS, Panel, Style
from smcloud.publish.point_map import (
    Points,
    _at_view,
    _regions,
    _view_around,
    cell_map,
    station_map,
)

STYLE = Style("R", 0.0, 1.0, "viridis")
PLACES = {
    "global025": Window(100, 140, 300, 360),
    "ease2n_25km": Window(380, 420, 520, 570),
}


@pytest.mark.parametrize("name", ["global025", "ease2_36km", "ease2n_25km", "era5land"])
def test_a_view_shows_the_cell_that_holds_each_of_its_pixels(name):
    grid = grid_named(name)
    row, col = (int(i) for i in grid.pixel_of(9.0, 44.0))
    window = Window(row - 4, row + 4, col - 3, col + 3)
    values = np.arange(48, dtype=float).reshape(8, 6)
    lon, lat = grid.lonlat(window)
    view = _view_around((lon.min(), lon.max(), lat.min(), lat.max()), 0.0)
    found = _at_view(grid, window, values, view)
    at_row, at_col = grid.pixel_of(*np.meshgrid(view.lon, view.lat))
    at_row, at_col = at_row - window.row0, at_col - window.col0
    inside = (at_row >= 0) & (at_row < 8) & (at_col >= 0) & (at_col < 6)
    assert inside.mean() > 0.4  # the sides of one grid are turned against the meridians
    np.testing.assert_array_equal(found[inside], values[at_row[inside], at_col[inside]])
    assert np.isnan(found[~inside]).all()


def test_beyond_the_window_nothing_is_known():
    grid = grid_named("global025")
    window = Window(180, 184, 756, 760)
    view = _view_around((8.0, 12.0, 42.0, 46.0), 0.0)
    found = _at_view(grid, window, np.ones((4, 4)), view)
    assert np.isfinite(found).any()
    assert np.isnan(found[0]).all()


def test_maps_of_cells_are_drawn_with_gaps_and_without_any_value():
    grid, window = grid_named("global025"), Window(180, 184, 756, 760)
    values = np.full((4, 4), np.nan)
    assert cell_map(grid, window, [Panel("none", values)], STYLE).startswith(b"\x89PNG")
    values[1, 2] = 0.5
    first, second = (
        cell_map(grid, window, [Panel("a", values), Panel("b", values)], STYLE) for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize(("name", "window"), PLACES.items())
def test_a_map_shows_the_values_and_the_ground_where_there_could_be_one(name, window):
    grid, values = grid_named(name), np.full(window.shape, np.nan)
    values[10:20, 10:20] = 1.0
    panels = [Panel("one", values), Panel("other", np.zeros(window.shape))]
    style = Style("probability", 0.0, 1.0, FROST_COLOURS)
    asked = np.ones(window.shape, bool)
    picture = imread(io.BytesIO(cell_map(grid, window, panels, style, asked=asked)))[..., :3]
    left, right = np.split(picture, [picture.shape[1] // 2], axis=1)
    deep, pale = (np.array(FROST_COLOURS(end)[:3]) for end in (1.0, 0.0))

    def share(part, colour):
        return (np.abs(part - colour).max(axis=-1) < 0.02).mean()

    assert share(left, deep) > 5 * share(right, deep)
    assert share(right, pale) > 0.3 > 5 * share(left, pale)


def test_a_map_of_stations_is_drawn_of_one_station_and_of_the_globe():
    one = Points("kept", np.array([9.0]), np.array([44.0]), "#0072b2")
    far = Points("dropped", np.array([-179.0, 179.0]), np.array([-60.0, 80.0]), "#d55e00", "X")
    assert station_map([one]).startswith(b"\x89PNG")
    assert station_map([one, far]).startswith(b"\x89PNG")


def test_stations_on_several_continents_have_a_panel_each():
    lon, lat = np.array([-100.0, 8.0, 9.0, 105.0, 17.0]), np.array([40.0, 44.0, 45.0, 35.0, 48.0])
    found = [np.flatnonzero(region).tolist() for region in _regions(lon, lat)]
    assert found == [[0], [1, 2, 4], [3]]
    kinds = [Points("kept", lon[:3], lat[:3], "#0072b2"), Points("dropped", lon[3:], lat[3:], "k")]
    assert station_map(kinds).startswith(b"\x89PNG")


def test_stations_all_over_the_globe_share_one_map():
    lon = np.linspace(-170, 170, 12)
    assert len(_regions(lon, np.zeros(12))) == 1
