"""Maps put cells where they are on the globe."""

import io

import numpy as np
import pytest
from matplotlib.image import imread

from smcloud.grids.grid import SIN1KM
from smcloud.grids.tiles import tile_window
from smcloud.publish.map import (
    Panel,
    map_picture,
    moisture_style,
    reproject,
    season_panels,
    view_of,
)
from smcloud.validation.overview import Overview

WINDOW = tile_window(SIN1KM, "h18v04")
CELL = 10


@pytest.fixture(scope="module")
def overview():
    """Cells that hold their own longitude in January and their own latitude in July."""
    lon, lat = SIN1KM.lonlat(WINDOW)
    cells = [values[CELL // 2 :: CELL, CELL // 2 :: CELL] for values in (lon, lat)]
    total = np.zeros((12, *cells[0].shape))
    total[0], total[6] = cells
    known = np.zeros(total.shape)
    known[[0, 6]] = 1
    return Overview(WINDOW, CELL, total, known, np.ones(cells[0].shape), {})


def test_every_picture_pixel_shows_the_cell_at_its_place(overview):
    view = view_of(overview)
    lon, lat = np.meshgrid(view.lon, view.lat)
    found_lon = reproject(overview, overview.mean([0]), view)
    found_lat = reproject(overview, overview.mean([6]), view)
    inside = np.isfinite(found_lon)
    assert 0.8 < inside.mean() < 1
    assert np.abs(found_lon - lon)[inside].max() < 0.11  # half a cell at 50 N, 4.6 km
    assert np.abs(found_lat - lat)[inside].max() < 0.05


def test_outside_the_overview_nothing_is_drawn(overview):
    view = view_of(overview)
    found = reproject(overview, overview.mean([0]), view)
    south_east = found[-1, -1]  # 15 E at 40 N lies in the next tile
    assert np.isnan(south_east)
    assert np.isfinite(found[0, 5])


def test_the_view_is_cut_at_the_rim_of_the_globe():
    rim = tile_window(SIN1KM, "h35v08")
    shape = (12, 120, 120)
    view = view_of(Overview(rim, CELL, np.zeros(shape), np.zeros(shape), np.zeros(shape[1:]), {}))
    assert view.lon.max() <= 180
    assert view.edges[1] == pytest.approx(180)


def test_the_view_leaves_out_what_was_not_asked_for(overview):
    land_days = np.zeros((120, 120))
    land_days[30:60, 20:50] = 1
    part = Overview(WINDOW, CELL, overview.total, overview.known, land_days, {})
    _, _, south, north = view_of(part).edges
    assert (south, north) == (pytest.approx(45.0), pytest.approx(47.5))


def test_four_seasons_make_one_picture_twice_the_same(overview):
    panels = season_panels(overview)
    assert len(panels) == 4
    style = moisture_style(overview)
    picture = map_picture(overview, panels, style)
    assert picture == map_picture(overview, panels, style)
    assert imread(io.BytesIO(picture)).shape[1] == 1324  # 9.2 inches of 144 dots


def test_a_map_without_any_value_is_still_a_map(overview):
    empty = Panel("nothing", np.full((120, 120), np.nan))
    assert map_picture(overview, [empty], moisture_style(overview)).startswith(b"\x89PNG")
