"""Footprints to cells against plain loops; directions; days, doubts and orbits that overlap."""

import numpy as np
import pytest

from smcloud.grids.grid import EASE2_36KM, EASE2_NORTH_25KM, Window
from smcloud.sources.gpm_l1c import AMSR2_TB
from smcloud.sources.swath_cells import (
    Swath,
    cell_means,
    cells_of_points,
    directions_of,
    swath_means,
)
from smcloud.sources.swath_days import LEAST_FOOTPRINTS, merged_days, swath_dataset

GRID = EASE2_NORTH_25KM
DAY = np.datetime64("2016-03-01")
RNG = np.random.default_rng(11)


def swath(lon, lat, brightness=None, kept=None, days=None, rises=None):
    shape = lon.shape
    brightness = RNG.uniform(200, 280, (*shape, 2)) if brightness is None else brightness
    return Swath(
        lon,
        lat,
        brightness.astype(np.float32),
        np.ones(shape, bool) if kept is None else kept,
        np.full(shape[0], DAY) if days is None else days,
        7.5 + np.arange(shape[0]) / 2400.0,
        np.ones(shape[0], np.int8) if rises is None else rises,
    )


def random_swath(scans=40, pixels=30, **changes):
    lat = np.linspace(31, 34, scans)[:, None] + RNG.uniform(-0.02, 0.02, (scans, pixels))
    lon = np.linspace(88, 93, pixels)[None] + RNG.uniform(-0.02, 0.02, (scans, pixels))
    return swath(lon, lat, **changes)


def test_means_are_those_of_a_loop_over_footprints():
    one = random_swath()
    (found,) = swath_means(GRID, [one]).values()
    sums: dict[int, list[np.ndarray]] = {}
    for scan in range(one.lon.shape[0]):
        for pixel in range(one.lon.shape[1]):
            row, col = GRID.pixel_of(one.lon[scan, pixel], one.lat[scan, pixel])
            values = [*one.brightness_k[scan, pixel], one.hours[scan]]
            sums.setdefault(int(row) * 720 + int(col), []).append(values)
    assert found.cells.tolist() == sorted(sums)
    assert found.counts.tolist() == [len(sums[cell]) for cell in sorted(sums)]
    expected = np.array([np.mean(sums[cell], axis=0) for cell in sorted(sums)])
    np.testing.assert_allclose(found.means, expected, rtol=1e-6)


def test_points_off_the_grid_and_fill_belong_to_no_cell():
    lon = np.array([91.0, -9999.9, np.nan, -60.0, 91.0])
    lat = np.array([33.0, -9999.9, 33.0, -40.0, np.nan])
    assert (cells_of_points(GRID, lon, lat) >= 0).tolist() == [True, False, False, False, False]
    around = cells_of_points(EASE2_36KM, np.array([190.0, -170.0]), np.array([10.0, 10.0]))
    assert around[0] == around[1] >= 0


def test_no_footprint_gives_no_cell():
    nothing = cell_means(np.full(5, -1), np.ones((5, 2), np.float32))
    assert nothing.cells.size == 0
    assert nothing.means.shape == (0, 2)
    assert swath_means(GRID, [random_swath(kept=np.zeros((40, 30), bool))]) == {}


@pytest.mark.parametrize("bad", [np.nan, -9999.9, 20.0, 400.0])
def test_a_footprint_without_both_polarisations_counts_not(bad):
    one = random_swath(brightness=np.full((40, 30, 2), 250.0))
    one.brightness_k[::2, :, 1] = bad
    (found,) = swath_means(GRID, [one]).values()
    assert found.counts.sum() == 600
    np.testing.assert_array_equal(found.means[:, :2], np.float32(250.0))


def test_days_and_directions_are_kept_apart_and_unknown_ones_dropped():
    days = np.repeat([DAY, DAY + 1], 20)
    days[5] = np.datetime64("NaT")
    rises = np.tile([1, -1], 20).astype(np.int8)
    rises[9] = 0
    found = swath_means(GRID, [random_swath(days=days, rises=rises)])
    counts = {key: int(one.counts.sum()) // 30 for key, one in found.items()}
    assert counts == {
        (DAY, "asc"): 10,
        (DAY, "desc"): 8,
        (DAY + 1, "asc"): 10,
        (DAY + 1, "desc"): 10,
    }


def test_directions_follow_the_satellite_and_bridge_no_gap():
    up, down = np.linspace(-80, 82, 50), np.linspace(82, -80, 50)
    assert directions_of(np.concatenate([up, down])).tolist() == [1] * 49 + [0] + [-1] * 50
    lat = np.array([10.0, 10.1, np.nan, 10.3, 10.2, -9999.9])
    assert directions_of(lat).tolist() == [1, 1, 0, -1, -1, 0]
    assert directions_of(np.array([10.0])).tolist() == [0]
    assert directions_of(np.full(3, -9999.9)).tolist() == [0, 0, 0]


def dataset_of(*swaths):
    means = swath_means(GRID, list(swaths))
    every = dict.fromkeys(("10", "18", "23", "36", "89"), means)
    return swath_dataset(GRID, every, "amsr2_tb", "name")


def test_orbits_of_a_day_merge_to_the_mean_of_all_footprints():
    first, second = random_swath(), random_swath()
    window = Window(330, 380, 580, 625)
    apart = merged_days([dataset_of(first), dataset_of(second)], AMSR2_TB.schema, 2016, window)
    at_once = merged_days([dataset_of(first, second)], AMSR2_TB.schema, 2016, window)
    for name in ("tb_10v_asc", "tb_89h_asc", "hour_asc"):
        known = np.isfinite(apart[name].values)
        assert 100 < known.sum() < known.size
        np.testing.assert_array_equal(known, np.isfinite(at_once[name].values))
        np.testing.assert_allclose(apart[name].values, at_once[name].values, rtol=1e-6)
    assert np.isnan(apart["tb_10v_desc"].values).all()


@pytest.mark.parametrize(("count", "known"), [(LEAST_FOOTPRINTS - 1, 0), (LEAST_FOOTPRINTS, 1)])
def test_a_cell_needs_enough_footprints(count, known):
    places = swath(np.full((count, 1), 91.0), np.full((count, 1), 33.0))
    window = Window(0, 720, 0, 720)
    found = merged_days([dataset_of(places)], AMSR2_TB.schema, 2016, window)
    assert int(np.isfinite(found["tb_36v_asc"].values).sum()) == known


def test_blocks_of_any_window_are_parts_of_the_whole():
    datasets = [dataset_of(random_swath()), dataset_of(random_swath(days=np.full(40, DAY + 1)))]
    whole = merged_days(datasets, AMSR2_TB.schema, 2016, Window(320, 400, 570, 640))
    for row0, row1, col0, col1 in [(320, 350, 570, 600), (347, 361, 601, 640), (0, 10, 0, 10)]:
        window = Window(row0, row1, col0, col1)
        part = merged_days(datasets, AMSR2_TB.schema, 2016, window)["tb_18h_asc"].values
        assert part.shape == (2, *window.shape)
        if row0:
            cut = whole["tb_18h_asc"].values[:, row0 - 320 : row1 - 320, col0 - 570 : col1 - 570]
            np.testing.assert_array_equal(part, cut)
        else:
            assert np.isnan(part).all()


def test_days_of_another_year_are_left_out():
    found = merged_days([dataset_of(random_swath())], AMSR2_TB.schema, 2017, Window(0, 5, 0, 5))
    assert found["tb_10v_asc"].shape == (0, 5, 5)
