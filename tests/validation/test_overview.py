"""Far views keep means, gaps and places."""

import numpy as np
import pytest

from smcloud.core.errors import ConfigError
from smcloud.grids.grid import PIXEL_M, SIN1KM, Window, bounding_window
from smcloud.grids.land import land_mask
from smcloud.validation.overview import (
    SEASONS,
    cell_size,
    mosaic,
    summarise_block,
)

from .conftest import BLOCKS, MOISTURE, product_of

DAY = np.datetime64("2019-07-15")


@pytest.fixture(scope="module")
def whole(layers):
    return mosaic([summarise_block(layers[0], block, block, 10, (DAY,)) for block in BLOCKS])


def values():
    return np.concatenate([MOISTURE.unpack(MOISTURE.pack(product_of(b))) for b in BLOCKS], axis=2)


def cells_of_land():
    land = np.concatenate([land_mask(block) for block in BLOCKS], axis=1)
    return land.reshape(5, 10, 10, 10).sum(axis=(1, 3))


def test_means_are_those_of_the_known_values(whole):
    cells = values().reshape(365, 5, 10, 10, 10)
    known = cells_of_land() > 0
    expected = np.nanmean(
        cells[..., :, :].transpose(1, 3, 0, 2, 4).reshape(5, 10, -1)[known], axis=1
    )
    np.testing.assert_allclose(whole.mean()[known], expected, rtol=1e-5)
    assert np.isnan(whole.mean()[~known]).all()


def test_seasons_hold_every_month_once(whole):
    assert sorted(month for months in SEASONS.values() for month in months) == list(range(12))
    summer = values()[151:243].reshape(92, 5, 10, 10, 10)[:, 1, :, 2, :]
    assert whole.mean((5, 6, 7))[1, 2] == pytest.approx(np.nanmean(summer), rel=1e-5)


def test_coverage_is_the_share_of_land_days(whole):
    land = cells_of_land()
    known = np.isfinite(values()).sum(axis=0).reshape(5, 10, 10, 10).sum(axis=(1, 3))
    expected = known[land > 0] / (land[land > 0] * 365)
    np.testing.assert_allclose(whole.coverage()[land > 0], expected)
    assert 0.7 < np.nanmean(whole.coverage()) < 0.9


def test_land_that_was_not_asked_for_is_no_gap(layers):
    block = BLOCKS[0]
    part = Window(block.row0, block.row0 + 20, block.col0, block.col1)
    found = summarise_block(layers[0], block, part, 10, ())
    assert (found.land_days[:2] > 0).any()
    assert (found.land_days[2:] == 0).all()


def test_the_day_asked_for_is_the_day_given(whole):
    day = values()[195].reshape(5, 10, 10, 10)[2, :, 3, :]
    assert whole.days[DAY][2, 3] == pytest.approx(np.nanmean(day), rel=1e-5)


def test_a_mosaic_leaves_unknown_what_lies_between(layers):
    far = Window(
        *(edge + shift for edge, shift in zip(_edges(BLOCKS[0]), (0, 0, 100, 100), strict=True))
    )
    one = summarise_block(layers[0], BLOCKS[0], BLOCKS[0], 10, ())
    other = type(one)(far, 10, one.total, one.known, one.land_days, {})
    wide = mosaic([one, other])
    assert wide.mean().shape == (5, 15)
    assert np.isnan(wide.mean()[:, 5:10]).all()
    np.testing.assert_array_equal(wide.mean()[:, :5], wide.mean()[:, 10:])


def _edges(window):
    return window.row0, window.row1, window.col0, window.col1


def test_the_extent_runs_along_pixel_edges(whole):
    west, east, south, north = whole.extent
    assert (east - west, north - south) == (
        pytest.approx(100 * PIXEL_M),
        pytest.approx(50 * PIXEL_M),
    )
    assert west == pytest.approx(SIN1KM.x[BLOCKS[0].col0] - PIXEL_M / 2)


def test_cells_are_as_small_as_the_picture_allows():
    assert cell_size(150, [Window(0, 300, 0, 300)]) == 1
    assert cell_size(150, [Window(0, 1200, 0, 1200)]) == 2
    assert cell_size(150, [Window(0, 150, 0, 43200)]) == 75
    assert bounding_window([Window(0, 5, 10, 15), Window(3, 9, 0, 2)]) == Window(0, 9, 0, 15)


def test_no_blocks_make_no_map():
    with pytest.raises(ConfigError, match="at least one block"):
        mosaic([])


def test_the_first_day_with_a_value_is_shown(layers):
    days = tuple(np.array(["2019-07-15", "2019-08-15"], "datetime64[D]"))
    found = summarise_block(layers[0], BLOCKS[0], BLOCKS[0], 10, days)
    assert list(found.with_day(days).days) == [days[0]]
    found.days[days[0]][:] = np.nan
    assert list(found.with_day(days).days) == [days[1]]
    found.days[days[1]][:] = np.nan
    assert list(found.with_day(days).days) == [days[0]]
