"""Maps of coarse cells put each cell where it is on the globe."""

import io

import numpy as np
import pytest
from matplotlib.image import imread

from smcloud.grids.grid import GLOBAL025, Window, grid_named
from smcloud.publish import cell_map
from smcloud.publish.cell_map import cell_picture
from smcloud.publish.map import FROST_COLOURS, Panel, Style

PLACES = {
    "global025": Window(100, 140, 300, 360),
    "ease2n_25km": Window(380, 420, 520, 570),
}


@pytest.fixture(params=PLACES)
def place(request):
    return grid_named(request.param), PLACES[request.param]


def test_every_pixel_shows_the_cell_at_its_place(place):
    grid, window = place
    asked = np.zeros(window.shape, bool)
    asked[5:-5, 5:-5] = True
    view = cell_map._view_of(grid, window, asked, 400)
    lon, lat = np.meshgrid(view.lon, view.lat)
    at = cell_map._cells_at(grid, window, view)
    own = grid.lonlat(window)
    half = 0.6 * (grid.step if not grid.projected else 25_000 / 111_000)
    for wanted, values in zip((lon, lat), own, strict=True):
        shown = cell_map._seen(values, at)
        known = np.isfinite(shown)
        assert known.mean() > 0.5
        shrink = 1.0 if not grid.projected else np.cos(np.radians(lat[known]))
        apart = np.abs(shown[known] - wanted[known]) * (shrink if wanted is lon else 1.0)
        # On the projected grid a cell's sides are turned: its corners are further from its middle.
        assert apart.max() < half * (1.5 if grid.projected else 1.0)
    flat = np.flatnonzero(asked.ravel())
    assert np.isin(flat, at).all(), "every cell asked for is in the picture"


def test_a_picture_has_a_panel_for_each_and_the_ground_where_nothing_is_known(place):
    grid, window = place
    values = np.full(window.shape, np.nan)
    values[10:20, 10:20] = 1.0
    panels = [Panel("one", values), Panel("other", np.zeros(window.shape))]
    style = Style("probability", 0.0, 1.0, FROST_COLOURS)
    asked = np.ones(window.shape, bool)
    picture = imread(io.BytesIO(cell_picture(grid, window, asked, panels, style)))
    deep, pale = (np.array(FROST_COLOURS(end)[:3]) for end in (1.0, 0.0))
    left, right = np.split(picture[..., :3], [picture.shape[1] // 2], axis=1)

    def share(part, colour):
        return (np.abs(part - colour).max(axis=-1) < 0.02).mean()

    assert share(left, deep) > 5 * share(right, deep)
    assert share(right, pale) > 0.3 > 5 * share(left, pale)


def test_the_globe_fits_a_picture():
    window = Window(0, 720, 0, 1440)
    view = cell_map._view_of(GLOBAL025, window, np.ones(window.shape, bool), 300)
    assert view.edges == pytest.approx((-180.0, 180.0, -90.0, 90.0))
    assert (cell_map._cells_at(GLOBAL025, window, view) >= 0).all()
